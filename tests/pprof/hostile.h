/* tests/pprof/hostile.h - profiles made to cost more than they weigh.
 *
 * Purpose  one list of shapes for the tests of checkpoints and for benches: whatever a message can be
 *          repeated, nested or filled with.
 * Owner    the caller's text.
 * Context  tests only.
 * Limits   -
 */
#ifndef PW_TESTS_PPROF_HOSTILE_H
#define PW_TESTS_PPROF_HOSTILE_H

#include "base/text.h"

enum { HOSTILE_SHAPES = 26 };

/* Fills t with a profile of shape i, of about `bytes` bytes; gives its name. */
const char *hostile_profile(struct pw_text *t, uint32_t i, size_t bytes);

#endif
