/* app/limits_yaml.h - keys of the `limits` block that are in no row of options.def.
 *
 * Purpose  ingestion_limit (a mapping), and clear words for limits of stock that are not here.
 * Owner    -
 * Context  cold.
 * Units    -
 * Errors   through pw_yaml_fault.
 * Limits   -
 */
#ifndef PW_APP_LIMITS_YAML_H
#define PW_APP_LIMITS_YAML_H

#include "app/yaml_read.h"

/* struct pw_yaml_apply.other. */
bool pw_limits_yaml_other(void *ctx, struct pw_yaml_apply *a, struct pw_slice path,
                          yaml_node_t *value);

#endif
