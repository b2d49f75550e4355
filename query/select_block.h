/* query/select_block.h - the half of select.h that reads blocks; for select.c, and remote.c for its views.
 *
 * Purpose  which blocks overlap the query, which of their series match (by postings where a matcher asks
 *          for one value), their symbol partitions as views, and their rows.
 * Owner    one query.
 * Context  cold; may wait for the disk.
 * Units    ns.
 * Errors   in the call: a block that cannot be read ends the query.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_SELECT_BLOCK_H
#define PW_QUERY_SELECT_BLOCK_H

#include "query/select.h"

/* Of select.c. */
bool pw_select_series_matches(const struct pw_select *s, const struct pw_label_pair *label,
                              uint32_t label_count);
struct pw_select_view *pw_select_add_view(struct pw_select *s);

PW_MUST_USE int pw_select_blocks_open(struct pw_select *s);
/* The next matching row in range of any block; false at the end or with the error in the call. */
bool pw_select_block_next(const struct pw_select *s, struct pw_select_cursor *cur,
                          struct pw_head_row *row);
/* The next series all of whose rows are in range, so that no row need be read; not named again. */
bool pw_select_block_next_series(struct pw_select *s, struct pw_select_series_cursor *cur,
                                 struct pw_head_series *series);

#endif
