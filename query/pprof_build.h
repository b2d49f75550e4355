/* query/pprof_build.h - the tables of a pprof that several sources are merged into.
 *
 * Purpose  strings, functions, mappings, locations and stacks by content, each once (contract
 *          read-path.md 3.7).
 * Owner    all lives in the query's arena.
 * Context  cold; pprof_out.c only.
 * Units    ids of messages from 1.
 * Errors   0, false or UINT32_MAX: no memory.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_PPROF_BUILD_H
#define PW_QUERY_PPROF_BUILD_H

#include "query/call.h"
#include "query/names.h"
#include "query/source.h"

#include <profile.pb-c.h>

enum { PW_PPROF_FIRST_ID = 2 /* pw_names keeps 0 and 1 for itself */ };

/* Tables of the answer. Functions, locations and stacks are interned by their content, as blobs in
 * pw_names, so that several sources merge: ids there are PW_PPROF_FIRST_ID, PW_PPROF_FIRST_ID + 1, ... */
struct pw_pprof_build {
    struct pw_call *c;
    struct pw_arena *a;
    struct pw_names strings, functions, mappings, locations, stacks;
    uint32_t *string_index; /* by id of strings: index in the table + 1 */
    uint32_t string_index_cap;
    ProtobufCBinaryData *string_table;
    uint32_t string_count, string_cap;
    Google__V1__Function **function;
    Google__V1__Mapping **mapping;
    Google__V1__Location **location;
    uint32_t function_cap, mapping_cap, location_cap;
    int64_t *value; /* by stack id - PW_PPROF_FIRST_ID */
    uint32_t value_cap;
    uint32_t other; /* location id of the stub; 0: not made */
};

/* Memos of one source. */
struct pw_pprof_view {
    const struct pw_source *src;
    uint32_t *function, *mapping, *location; /* out id, 0: not made */
};

PW_MUST_USE bool pw_pprof_build_init(struct pw_pprof_build *b, struct pw_call *c);
/* Index in the string table. */
uint32_t pw_pprof_put_string(struct pw_pprof_build *b, struct pw_slice s);
/* Id of a location of the view's source. */
uint32_t pw_pprof_put_location(struct pw_pprof_build *b, struct pw_pprof_view *v,
                               uint32_t location);
/* Id of the stub that stands for truncated frames. */
uint32_t pw_pprof_put_other(struct pw_pprof_build *b);
/* After the last location: the stub names the first mapping too, when there is one. */
void pw_pprof_finish_other(struct pw_pprof_build *b);
/* Adds value to the stack of these location ids, the leaf first. */
PW_MUST_USE bool pw_pprof_put_stack(struct pw_pprof_build *b, const uint32_t *loc, uint32_t depth,
                                    int64_t value);
/* go_pgo aggregate_callees, after the last stack: a location that is the leaf of any stack loses its line
 * number wherever it stands, and locations and stacks that are alike then are one. */
PW_MUST_USE bool pw_pprof_drop_leaf_lines(struct pw_pprof_build *b);

#endif
