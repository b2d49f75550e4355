/* pprof/profile_tables.h - room for the tables of a profile while it is walked.
 *
 * Purpose  scratch holds what a profile needs and hardly a byte more. How long tables are is known only
 *          when the walk is over, and a pass that counts first costs as much as the outline: so what
 *          grows side by side is staged at the far end of the scratch, in places that depend on the
 *          size class of the body alone, and is moved to its own when its length is known; a table
 *          that grows alone takes what is left and keeps what it filled.
 * Owner    one parse call.
 * Context  hot. Internal to pprof/.
 * Units    entries; bytes.
 * Errors   false with w->full: does not fit here; count and start again.
 * Limits   staged: what profiles of this length have been seen to stay far below, three times the
 *          densest of the corpus in each table.
 */
#ifndef PW_PPROF_PROFILE_TABLES_H
#define PW_PPROF_PROFILE_TABLES_H

#include "pprof/profile_walk.h"

/* The three tables whose messages are listed, and where these lie. Strings need no list: they come
 * one after another, and are read while the walk waits to learn where the next one begins. */
enum pw_list {
    PW_LIST_NONE,
    PW_LIST_SAMPLE,
    PW_LIST_LOCATION,
    PW_LIST_FUNCTION,
    PW_LISTS,
    PW_LIST_STRING
};

struct pw_walk_lists { /* where the length of each message is, from the start of the profile */
    uint32_t *first[PW_LISTS], *next[PW_LISTS], *end[PW_LISTS];
};

/* Exact counts, by reading everything once. Stops quietly at the first fault: the walk meets the same
 * one and names it. */
void pw_walk_count(struct pw_walk_counts *c, struct pw_fiber *fiber, struct pw_slice bytes);
/* Tables of w->cap. */
PW_MUST_USE bool pw_walk_alloc(struct pw_walk *w);
/* Lists of w->cap, where the staged tables below would be. */
PW_MUST_USE bool pw_walk_far_lists(struct pw_walk *w, struct pw_walk_lists *l);
/* After the locations: numbers of more than 31 bits. */
PW_MUST_USE bool pw_walk_place_big(struct pw_walk *w);
/* After the samples: what their values and own_ids took. */
PW_MUST_USE bool pw_walk_keep_samples(struct pw_walk *w);

/* Without counting: before the outline, after it, before the samples, after them. The scratch ends
 * where the staged tables begin from the first on; the caller puts its cap back. */
PW_MUST_USE bool pw_walk_stage(struct pw_walk *w, struct pw_walk_lists *l);
PW_MUST_USE bool pw_walk_place_symbols(struct pw_walk *w, const struct pw_walk_lists *l);
PW_MUST_USE bool pw_walk_place_samples(struct pw_walk *w, const struct pw_walk_lists *l);
PW_MUST_USE bool pw_walk_place_rest(struct pw_walk *w);

#endif
