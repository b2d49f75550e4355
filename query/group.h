/* query/group.h - series put into groups by the values of some labels.
 *
 * Purpose  group_by of SelectSeries and SelectHeatmap: one group per distinct tuple of values; a label
 *          that is missing is left out of the tuple (contract read-path.md 3.4).
 * Owner    one query's arena.
 * Context  cold.
 * Units    group ids from 0.
 * Errors   UINT32_MAX: no memory.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_GROUP_H
#define PW_QUERY_GROUP_H

#include "query/names.h"
#include "query/select.h"

#include <types.pb-c.h>

struct pw_group {
    struct pw_label_pair *label; /* in the order asked for */
    uint32_t label_count;
};

struct pw_groups {
    const struct pw_select *s;
    struct pw_slice *by;
    uint32_t by_count;
    struct pw_names keys;
    struct pw_group *group;
    uint32_t count, cap;
    uint32_t **of_series; /* [view][series]: group + 1 */
};

/* False: no memory. */
bool pw_groups_init(struct pw_groups *g, const struct pw_select *s, char **by, size_t by_count);
uint32_t pw_groups_of(struct pw_groups *g, uint32_t view, uint32_t series);
/* Order of two groups by their labels. */
int pw_groups_cmp(const struct pw_group *a, const struct pw_group *b);

/* Labels as a message list; NULL with *n set to 0 for none. False: no memory. */
bool pw_group_labels(struct pw_arena *a, const struct pw_label_pair *label, uint32_t count,
                     Types__V1__LabelPair ***out, size_t *n);
/* Labels of a series as exemplars carry them: all but those of the group, in stock's order. */
bool pw_group_rest(struct pw_groups *g, uint32_t view, uint32_t series, Types__V1__LabelPair ***out,
                   size_t *n);
/* 8-4-4-4-12 of a profile id. */
char *pw_group_uuid(struct pw_arena *a, const uint8_t uuid[16]);

#endif
