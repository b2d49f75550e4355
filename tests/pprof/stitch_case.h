/* tests/pprof/stitch_case.h - profiles that are nothing but stacks, and what stitching should make of
 * them.
 *
 * Purpose  the tests and the fuzz target of pprof/profile_stitch.c: a profile filled without wire
 *          bytes, and the same rules a second time, as slowly and plainly as they can be written.
 * Owner    stitch_case_init / _fini; everything else is inside.
 * Context  tests only.
 * Limits   STITCH_CASE_SAMPLES samples, STITCH_CASE_IDS ids.
 */
#ifndef PW_TESTS_PPROF_STITCH_CASE_H
#define PW_TESTS_PPROF_STITCH_CASE_H

#include "pprof/profile.h"

enum { STITCH_CASE_SAMPLES = 20000, STITCH_CASE_IDS = 1 << 20 };
#define STITCH_CASE_WIDE (1ULL << 63)

/* What holds() has found out of a sample so far: the same question comes some thousand times. */
struct stitch_case_known {
    int group, parent, offset;
};

struct stitch_case {
    struct pw_scratch scratch;
    struct pw_profile p;
    struct pw_string string[2];
    struct pw_slice type;
    uint64_t *came; /* the ids as they were added, of all samples */
    uint32_t *came_first, *came_count;
    struct stitch_case_known *known;
    uint32_t ids_count;
    bool wide;
};

void stitch_case_init(struct stitch_case *c, size_t scratch_bytes);
void stitch_case_fini(struct stitch_case *c);

/* Starts an empty profile of one sample type; wide: ids take ten bytes, each STITCH_CASE_WIDE more than as it is
 * added. */
void stitch_case_begin(struct stitch_case *c, const char *type, bool wide);
/* One sample with these locations, leaf first; false when the case is full. */
bool stitch_case_add(struct stitch_case *c, const uint64_t *ids, uint32_t n);
/* Frame i of a sample as the profile has it now. */
uint64_t stitch_case_id(const struct stitch_case *c, uint32_t sample, uint32_t i);
/* Whether the profile as it is now is what the rules want. */
bool stitch_case_holds(const struct stitch_case *c);

#endif
