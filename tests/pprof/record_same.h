/* tests/pprof/record_same.h - whether two records say the same.
 *
 * Purpose  a record that was finished in place against one that was copied: everything a reader can ask of
 *          them, entry by entry, wherever it lies in each.
 * Owner    the caller's records.
 * Context  tests only.
 */
#ifndef PW_TESTS_PPROF_RECORD_SAME_H
#define PW_TESTS_PPROF_RECORD_SAME_H

#include "pprof/record_place.h"

/* NULL, or what differs. Both have been checked. */
const char *record_difference(const struct pw_record *a, const struct pw_record *b);

/* The profile `raw`, which came as `body`, in memory laid out for its record; parsed there. cap 0: as much as
 * pw_record_place_bytes says. fill: what every byte was before. Free at->base. False: not parsed. */
struct pw_profile;
struct pw_scratch;
bool record_place_parse(struct pw_record_place *at, size_t cap, uint8_t fill, struct pw_slice body,
                        struct pw_slice raw, struct pw_scratch *scratch, struct pw_profile *p);

/* Source of a record of the whole profile; a series of two labels. */
struct record_whole {
    struct pw_slice piece;
    struct pw_record_raw raw;
    struct pw_label_pair pair[2];
    struct pw_labels labels;
    struct pw_record_group group;
    struct pw_record_source src;
};
void record_whole_init(struct record_whole *w, const struct pw_profile *p, struct pw_slice body);

#endif
