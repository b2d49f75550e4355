/* pprof/record_write.h - the inside of pw_record_build: where the next byte goes.
 *
 * Purpose  record_build.c writes the symbols and stacks, record_series.c the series; both append to
 *          one buffer. record_place.c finishes a record in the memory its profile was unpacked to: there a
 *          stretch of dead wire takes what fits, and the rest is appended.
 * Owner    one build call.
 * Context  hot. Internal to pprof/.
 * Units    bytes.
 * Errors   NULL or false: the record would be larger than cap or 4 GiB.
 * Limits   -
 */
#ifndef PW_PPROF_RECORD_WRITE_H
#define PW_PPROF_RECORD_WRITE_H

#include "pprof/record.h"

enum { PW_RECORD_ALIGN = 16, PW_RECORD_SECTION_ALIGN = 8 };

struct pw_record_widths {
    uint32_t ref, number, address, stack;
};

struct pw_record_columns { /* of symbols */
    void *function_refs, *start_lines, *line_functions, *line_numbers;
    uint64_t *location_hashes;
    void *addresses, *location_lines, *location_mappings;
};

struct
    pw_record_tables { /* where each lies; texts and series have no place before they are written */
    struct pw_record_columns columns;
    uint32_t *strings;
    struct pw_record_mapping *mappings;
    struct pw_record_type *types;
    uint64_t *stack_hashes;
    uint32_t *stack_locs;
    void *stack_depths;
};

struct pw_record_writer {
    const struct pw_record_source *src;
    struct pw_record *rec;
    uint8_t *base;
    size_t used;
    size_t cap;
    size_t gap, gap_end; /* dead bytes below `used` that are taken first; equal: none */
    struct pw_record_tables at;
    bool straight; /* one series of every sample, no two of one stack: tables go over as they are */
    uint32_t *stack_at;    /* by stack of the profile: index + 1 in the record; unless straight */
    uint32_t *stack_from;  /* by stack of the record: which of the profile; unless straight */
    uint32_t *sample_at;   /* by stack of the record: the last sample without a span that has it */
    uint32_t *sample_slot; /* samples with a span, by stack and span: index + 1 in the series */
    uint64_t slot_mask;
};

/* The i-th sample of a group. */
static inline uint32_t
pw_record_sample_of(const struct pw_record_group *group, uint32_t i)
{
    return group->sample == NULL ? i : group->sample[i];
}

/* Room for n * size bytes, aligned. */
static inline void *
pw_record_section(struct pw_record_writer *w, size_t n, size_t size, uint32_t *off)
{
    size_t at = pw_align_up(w->gap, PW_RECORD_SECTION_ALIGN);
    size_t bytes = n * size; /* n comes from tables that fit memory, size is a small constant */

    if (at <= w->gap_end && bytes <= w->gap_end - at) {
        w->gap = at + bytes;
        *off = (uint32_t)at;
        return w->base + at;
    }
    at = pw_align_up(w->used, PW_RECORD_SECTION_ALIGN);
    if (at > w->cap || bytes > w->cap - at || at + bytes > UINT32_MAX) {
        return NULL;
    }
    memset(w->base + w->used, 0,
           at - w->used); /* nothing of what lay there leaves with the record */
    w->used = at + bytes;
    *off = (uint32_t)at;
    return w->base + at;
}

static inline bool
pw_record_put_text(struct pw_record_writer *w, struct pw_slice s, struct pw_record_span *span)
{
    if (s.len > w->cap - w->used || w->used + s.len > UINT32_MAX) {
        return false;
    }
    *span = (struct pw_record_span){.off = (uint32_t)w->used, .len = (uint32_t)s.len};
    if (s.len != 0) {
        pw_fiber_copy(w->src->profile->scratch->fiber, w->base + w->used, s.ptr, s.len);
        w->used += s.len;
    }
    return true;
}

/* Entry i of a column; where width is a constant there is no branch. */
static inline __attribute__((always_inline)) void
pw_record_put_uint(void *column, uint32_t width, size_t i, uint64_t v)
{
    switch (width) {
    case 0:
        break;
    case 1:
        ((uint8_t *)column)[i] = (uint8_t)v;
        break;
    case 2:
        ((uint16_t *)column)[i] = (uint16_t)v;
        break;
    case 4:
        ((uint32_t *)column)[i] = (uint32_t)v;
        break;
    default:
        ((uint64_t *)column)[i] = v;
        break;
    }
}

/* Bytes of a column whose entries have no bits but these: the smallest of 1, 2, 4 and 8 that holds
 * them and is not below least. */
static inline uint32_t
pw_record_width(uint64_t bits, uint32_t least)
{
    uint32_t width = bits <= UINT8_MAX ? 1 : bits <= UINT16_MAX ? 2 : bits <= UINT32_MAX ? 4 : 8;

    return width < least ? least : width;
}

struct pw_record_widths pw_record_widths_of(const struct pw_profile *p);
/* Whether each sample is the only one of its stack, and all of them make one series. */
bool pw_record_is_straight(const struct pw_record_source *src);
/* Header and tables: their places, counts and widths. rec->stacks_count is set. */
void pw_record_head(struct pw_record_writer *w);
PW_MUST_USE bool pw_record_take_tables(struct pw_record_writer *w);
/* Fills all but the stacks. strings_at: where in the record the profile's string_stretch lies. */
PW_MUST_USE bool pw_record_fill_tables(struct pw_record_writer *w, size_t strings_at);
/* Most that texts of types, tenant and strings outside the stretch take. */
size_t pw_record_texts_bytes_max(const struct pw_record_source *src);

/* Most that write_series takes, alignment included. */
size_t pw_record_series_bytes_max(const struct pw_record_source *src, uint32_t stack_bytes);
PW_MUST_USE bool pw_record_write_series(struct pw_record_writer *w);

#endif
