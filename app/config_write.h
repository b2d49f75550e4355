/* app/config_write.h - parts of the printed configuration.
 *
 * Purpose  the limits of one tenant as YAML, for /runtime_config.
 * Owner    -
 * Context  cold.
 * Units    depth in steps of 4 spaces.
 * Errors   those of pw_text.
 * Limits   -
 */
#ifndef PW_APP_CONFIG_WRITE_H
#define PW_APP_CONFIG_WRITE_H

#include "app/config.h"

/* The value of a key already written: a newline and the limits (those that differ from `base`, when
 * given), or " {}" when there is none. */
void pw_config_write_limits(const struct pw_config *cfg, const struct pw_config *base, size_t depth,
                            struct pw_text *t);

#endif
