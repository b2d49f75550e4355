/* tests/support/prom_check.h - is this text valid Prometheus exposition format 0.0.4?
 *
 * Purpose  every page of metrics is put through it: the line grammar, TYPE once per family and
 *          before its samples, HELP at most once (the format lets it be left out), a family in one
 *          piece, no series twice, histogram suffixes only where TYPE says histogram.
 * Owner    -
 * Context  tests.
 * Errors   PW_EINVAL with the first offending line in err.
 * Limits   PROM_CHECK_FAMILIES_MAX, PROM_CHECK_SERIES_MAX.
 */
#ifndef PW_TESTS_PROM_CHECK_H
#define PW_TESTS_PROM_CHECK_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"

enum { PROM_CHECK_FAMILIES_MAX = 1024, PROM_CHECK_SERIES_MAX = 65536 };

PW_MUST_USE int prom_check(struct pw_slice page, struct pw_text *err);

#endif
