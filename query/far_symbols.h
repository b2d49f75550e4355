/* query/far_symbols.h - the symbols that some stacks of a view need, as tables of their own.
 *
 * Purpose  an answer to another appliance holds what its stacks name and nothing else: ids are given anew, in
 *          order of first use.
 * Owner    one query's arena.
 * Context  cold.
 * Units    ids of the view in, ids of the part out.
 * Errors   UINT32_MAX: no memory.
 * Limits   memory of the query.
 */
#ifndef PW_QUERY_FAR_SYMBOLS_H
#define PW_QUERY_FAR_SYMBOLS_H

#include "query/far_wire.h"
#include "query/source.h"

struct pw_far_symbols {
    struct pw_arena *arena;
    const struct pw_source *src;
    struct pw_far_part *part;
    uint32_t *stack, *location, *function, *mapping,
        *string;   /* by id of the view: id of the part + 1 */
    uint32_t *loc; /* of the stack at hand */
    uint32_t loc_cap;
    uint32_t stack_cap, location_cap, function_cap, mapping_cap, string_cap, part_loc_cap;
};

PW_MUST_USE bool pw_far_symbols_init(struct pw_far_symbols *g, struct pw_arena *a,
                                     const struct pw_source *src, struct pw_far_part *part);
/* Id of the stack in the part. One that cannot be resolved (source.h) becomes an empty stack. */
uint32_t pw_far_symbols_stack(struct pw_far_symbols *g, uint32_t stack);

#endif
