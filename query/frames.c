#include "query/frames.h"

#include "base/limits.h"

#include <stdio.h>

bool
pw_frames_init(struct pw_frames *f, struct pw_arena *a, const struct pw_source *src,
               struct pw_names *names)
{
    *f = (struct pw_frames){.arena = a, .src = src, .names = names, .loc_cap = 256};
    f->location = pw_arena_zalloc(a, src->locations_count, sizeof(*f->location));
    f->string_name = pw_arena_zalloc(a, src->strings_count, sizeof(*f->string_name));
    f->loc = pw_arena_alloc(a, f->loc_cap * sizeof(*f->loc));
    return f->location != NULL && f->string_name != NULL && f->loc != NULL;
}

static bool
put_frame(struct pw_frames *f, uint32_t name)
{
    void *frame = f->frame;

    if (name == UINT32_MAX ||
        !pw_arena_room(f->arena, &frame, f->frame_count, &f->frame_cap, sizeof(*f->frame))) {
        return false;
    }
    f->frame = frame;
    f->frame[f->frame_count++] = name;
    return true;
}

static bool
put_function(struct pw_frames *f, uint32_t function)
{
    struct pw_head_function fn;
    uint32_t *memo, name;

    pw_source_function(f->src, function, &fn);
    memo = &f->string_name[fn.name];
    if (*memo == 0) {
        name = pw_names_intern(f->names, pw_source_string(f->src, fn.name));
        if (name == UINT32_MAX) {
            return false;
        }
        *memo = name + 1;
    }
    return put_frame(f, *memo - 1);
}

/* A location without symbols reads as its address. */
static bool
put_address(struct pw_frames *f, uint64_t address)
{
    char text[24];
    struct pw_slice s;
    int n = snprintf(text, sizeof(text), "%llx", (unsigned long long)address);

    s = pw_arena_copy(f->arena, pw_slice(text, (size_t)n));
    return s.ptr != NULL && put_frame(f, pw_names_intern(f->names, s));
}

static bool
resolve(struct pw_frames *f, uint32_t location)
{
    struct pw_frames_span *span = &f->location[location];
    struct pw_head_location loc;
    uint32_t first = f->frame_count;

    pw_source_location(f->src, location, &loc);
    if (loc.line_count == 0 && !put_address(f, loc.address)) {
        return false;
    }
    for (uint32_t i = loc.line_count; i > 0; i--) { /* line[0] is the innermost */
        if (!put_function(f, loc.line[i - 1].function)) {
            return false;
        }
    }
    *span = (struct pw_frames_span){.first = first + 1, .count = f->frame_count - first};
    return true;
}

const uint32_t *
pw_frames_of(struct pw_frames *f, uint32_t location, uint32_t *count)
{
    struct pw_frames_span *span = &f->location[location];

    if (span->first == 0 && !resolve(f, location)) {
        return NULL;
    }
    *count = span->count;
    return &f->frame[span->first - 1];
}

uint32_t
pw_frames_stack(struct pw_frames *f, uint32_t stack)
{
    uint32_t depth = pw_source_stack(f->src, stack, f->loc, f->loc_cap);

    if (depth > f->loc_cap) {
        f->loc = pw_arena_alloc(f->arena, (size_t)depth * 2 * sizeof(*f->loc));
        if (f->loc == NULL) {
            return UINT32_MAX;
        }
        f->loc_cap = depth * 2;
        depth = pw_source_stack(f->src, stack, f->loc, f->loc_cap);
    }
    return depth;
}

bool
pw_frames_has_prefix(struct pw_frames *f, uint32_t depth, const uint32_t *prefix,
                     uint32_t prefix_count)
{
    uint32_t at = 0;

    for (uint32_t i = depth; i > 0 && at < prefix_count; i--) {
        uint32_t n = 0;
        const uint32_t *name = pw_frames_of(f, f->loc[i - 1], &n);

        for (uint32_t k = 0; name != NULL && k < n && at < prefix_count; k++, at++) {
            if (name[k] != prefix[at]) {
                return false;
            }
        }
    }
    return at == prefix_count;
}
