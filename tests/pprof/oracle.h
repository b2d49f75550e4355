/* tests/pprof/oracle.h - our tables against protobuf-c's view of the same bytes.
 *
 * Purpose  one comparison for unit tests, the corpus and the fuzz target.
 * Owner    pure.
 * Context  tests only.
 */
#ifndef PW_TESTS_PPROF_ORACLE_H
#define PW_TESTS_PPROF_ORACLE_H

#include "pprof/profile.h"

#include <profile.pb-c.h>

/* NULL when p, just parsed, says what o says, else the first thing that differs. */
const char *oracle_difference(const struct pw_profile *p, const Google__V1__Profile *o);

#endif
