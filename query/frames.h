/* query/frames.h - what a location of a source reads as in a flame graph, resolved once per query.
 *
 * Purpose  a location becomes its function names, outermost first (inlined lines expand: contract
 *          read-path.md 3.1); a stack becomes location ids, root first.
 * Owner    one query's arena.
 * Context  cold.
 * Units    ids of struct pw_names.
 * Errors   false: no memory.
 * Limits   PW_PROFILE_DEPTH_MAX locations a stack.
 */
#ifndef PW_QUERY_FRAMES_H
#define PW_QUERY_FRAMES_H

#include "query/names.h"
#include "query/source.h"

struct pw_frames_span {
    uint32_t first; /* into frame, + 1; 0: not resolved yet */
    uint32_t count;
};

struct pw_frames {
    struct pw_arena *arena;
    const struct pw_source *src;
    struct pw_names *names;
    struct pw_frames_span *location; /* [locations_count] */
    uint32_t *string_name;           /* [strings_count]: name id + 1 */
    uint32_t *frame;                 /* name ids */
    uint32_t frame_count, frame_cap;
    uint32_t *loc; /* of the stack last read, leaf first as the head keeps it */
    uint32_t loc_cap;
};

bool pw_frames_init(struct pw_frames *f, struct pw_arena *a, const struct pw_source *src,
                    struct pw_names *names);
/* Name ids of a location, outermost first; valid until the next call. NULL: no memory. */
const uint32_t *pw_frames_of(struct pw_frames *f, uint32_t location, uint32_t *count);
/* Reads a stack into f->loc; UINT32_MAX: no memory. */
uint32_t pw_frames_stack(struct pw_frames *f, uint32_t stack);
/* Whether the stack in f->loc begins, at its root, with these names. */
bool pw_frames_has_prefix(struct pw_frames *f, uint32_t depth, const uint32_t *prefix,
                          uint32_t prefix_count);

#endif
