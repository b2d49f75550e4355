/* app/process_metrics.h - what Prometheus expects of every process, and who we are.
 *
 * Purpose  process_* from /proc, pyroscope_build_info.
 * Owner    -
 * Context  cold, any thread.
 * Units    bytes, seconds.
 * Errors   a family whose source cannot be read is left out.
 * Limits   -
 */
#ifndef PW_APP_PROCESS_METRICS_H
#define PW_APP_PROCESS_METRICS_H

#include "base/text.h"

void pw_process_metrics_cold(struct pw_text *t);

#endif
