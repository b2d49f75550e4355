/* query/replicas.h - which of the selected heads and blocks may hold copies of one another's profiles; for
 * select.c and select_block.c.
 *
 * Purpose  name the origin of everything that is read (the appliance that took the pushes, by the label
 *          __hostname__ of its blocks), and mark the series that lie in several origins at one time, so that
 *          the others cost nothing. dedup.h then decides row by row.
 * Owner    one query.
 * Context  cold: one sort of the series that match, and only where there is more than one origin.
 * Units    ns.
 * Errors   PW_EINVAL with the error in the call.
 * Limits   memory of the query.
 *
 * Contract storage.md 2.8: copies are looked for when something of level below 2 is read (below 3, where the
 * compactor splits by series); what is compacted had its copies taken out. So all compacted blocks are one
 * origin. A block of level 1 that names no host is an origin of its own.
 */
#ifndef PW_QUERY_REPLICAS_H
#define PW_QUERY_REPLICAS_H

#include "query/select.h"

struct pw_replica_block { /* of the catalog, to be read */
    const struct pw_catalog_block *from;
    uint32_t origin; /* 0: this appliance, whose heads are */
};

/* Sorts by origin and numbers the origins: rows of one come together, this appliance's first. */
void pw_replicas_order(const struct pw_select *s, struct pw_replica_block *block, uint32_t count);
/* After all views are open: sets shared of those that may hold copies, and s->replicas. */
PW_MUST_USE int pw_replicas_mark(struct pw_select *s);
/* Whether the row, which has been selected, counts. The state is the cursor's. */
bool pw_replicas_take(const struct pw_select *s, struct pw_select_cursor *cur,
                      const struct pw_head_row *row);

#endif
