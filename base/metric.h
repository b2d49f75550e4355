/* base/metric.h - families of /metrics in Prometheus' text form (exposition format 0.0.4).
 *
 * Purpose  the two lines that begin a family, and the whole of one that has a single value.
 * Owner    pure functions; the text is the caller's.
 * Context  query threads and tests; formats, so never a polling core.
 * Units    as the name says: _total, _bytes, _seconds.
 * Errors   a full text is truncated (base/text.h).
 * Limits   -
 */
#ifndef PW_BASE_METRIC_H
#define PW_BASE_METRIC_H

#include "base/text.h"

/* type: counter, gauge, histogram. Lines of values follow, the caller's. */
void pw_metric_family(struct pw_text *t, const char *name, const char *type, const char *help);
/* A family of one value without labels. */
void pw_metric_u64(struct pw_text *t, const char *name, const char *type, const char *help,
                   uint64_t v);
void pw_metric_f64(struct pw_text *t, const char *name, const char *type, const char *help,
                   double v);

#endif
