/* query/flame.h - a flame graph as it is sent: names and levels of tuples.
 *
 * Purpose  4-tuples [offset, total, self, name] of one tree, or 7-tuples of a diff (contract
 *          read-path.md 3.1, 3.3), and their three encodings: querier JSON (64-bit numbers as
 *          strings), protobuf, /pyroscope/render JSON (plain numbers).
 * Owner    one query's arena.
 * Context  cold; streams, builds no JSON in memory.
 * Units    offsets are delta coded.
 * Errors   false: no memory. Encoding: those of the text.
 * Limits   -
 */
#ifndef PW_QUERY_FLAME_H
#define PW_QUERY_FLAME_H

#include "base/json.h"
#include "query/call.h"
#include "query/names.h"

struct pw_flame_level {
    int64_t *value;
    uint32_t count; /* of values */
    uint32_t at;    /* while filling: values before it are still free */
};

struct pw_flame {
    uint32_t width; /* 4 or 7 */
    struct pw_slice *name;
    uint32_t name_count;
    uint32_t *name_index; /* by id of pw_names: index + 1 */
    struct pw_flame_level *level;
    uint32_t level_count;
    int64_t total, max_self;
    int64_t left_ticks, right_ticks;
};

/* nodes[l] nodes will come at level l; names_count bounds the ids. */
bool pw_flame_init(struct pw_flame *f, struct pw_arena *a, uint32_t width, const uint32_t *nodes,
                   uint32_t level_count, uint32_t names_count);
/* Index of a name, given at its first visit. Id 0 is the root's. */
uint32_t pw_flame_name(struct pw_flame *f, const struct pw_names *names, uint32_t id);
/* Puts the next node of a level, from right to left, offsets absolute. */
void pw_flame_put(struct pw_flame *f, uint32_t level, const int64_t *tuple);
/* Offsets from absolute to delta. */
void pw_flame_delta(struct pw_flame *f);
/* The flamebearer object of render. */
void pw_flame_bearer(const struct pw_flame *f, struct pw_json *j);

/* The answer of a method whose response holds the graph as field 1, `flamegraph`: JSON or proto, as
 * asked. What does not fit marks c->out failed. */
void pw_flame_answer(struct pw_call *c, const struct pw_flame *f);

#endif
