/* query/source.h - where stacks and labels are read from: a head, one partition of a block, or what
 * another appliance answered.
 *
 * Purpose  one set of readers for all, in the words of ingester/head.h, so that nothing above knows
 *          which it is. A head's are calls through; the others' are in source.c.
 * Owner    one query; a source is made by select.c and lives as long as the query's arena.
 * Context  cold; a head's readers stay as cheap as ingester/head.h has them.
 * Units    ids count within one source.
 * Errors   -
 * Limits   -
 */
#ifndef PW_QUERY_SOURCE_H
#define PW_QUERY_SOURCE_H

#include "ingester/catalog.h"
#include "query/far_wire.h"

struct pw_source {
    bool is_head; /* else one of the other two */
    struct pw_head_view head;
    const struct pw_catalog_block *block;
    const struct pw_far_part *far;

    /* Of a block. */
    const struct pw_block_symbols *symbols; /* NULL: this query asks for no stacks */
    const struct pw_head_series *series; /* [series_count]; labels of those that match; far's too */
    const struct pw_block_row *row;      /* the one last read, for its spans */

    /* All ids are below these. */
    uint32_t series_count;
    uint32_t stacks_count, strings_count, functions_count, locations_count, mappings_count;
};

void pw_source_of_head(struct pw_source *s, const struct pw_head_view *v);
/* symbols NULL: only series and rows will be read. series: [count]. */
void pw_source_of_block(struct pw_source *s, const struct pw_catalog_block *b,
                        const struct pw_block_symbols *symbols, const struct pw_head_series *series,
                        uint32_t series_count);
void pw_source_of_far(struct pw_source *s, const struct pw_far_part *part);

/* --- A block's or another appliance's ------------------------------------------------------------------------------- */

void pw_source_other_location(const struct pw_source *s, uint32_t id, struct pw_head_location *out);
void pw_source_other_function(const struct pw_source *s, uint32_t id, struct pw_head_function *out);
void pw_source_other_mapping(const struct pw_source *s, uint32_t id, struct pw_head_mapping *out);
void pw_source_other_span(const struct pw_source *s, uint32_t span, struct pw_record_span_id *out);
uint32_t pw_source_other_samples(const struct pw_source *s, const struct pw_head_row *row,
                                 uint32_t first, struct pw_head_sample *out, uint32_t n);
uint32_t pw_source_other_stack(const struct pw_source *s, uint32_t stack, uint32_t *loc,
                               uint32_t n);
struct pw_slice pw_source_other_string(const struct pw_source *s, uint32_t id);

/* --- Either's: as pw_head_* of the same name --------------------------------------------------- */

static inline void
pw_source_series(const struct pw_source *s, uint32_t id, struct pw_head_series *out)
{
    if (s->is_head) {
        pw_head_series_at(&s->head, id, out);
    } else {
        *out = s->series[id];
    }
}

/* Of a block: the row last read. A stack may be stacks_count, one more than there are: it is nothing
 * that could be resolved. Arrays by stack have stacks_count + 1 elements. */
static inline uint32_t
pw_source_samples(const struct pw_source *s, const struct pw_head_row *row, uint32_t first,
                  struct pw_head_sample *out, uint32_t n)
{
    return s->is_head ? pw_head_samples(&s->head, row, first, out, n)
                      : pw_source_other_samples(s, row, first, out, n);
}

/* Of a block: of the row last read. */
static inline void
pw_source_span(const struct pw_source *s, uint32_t span, struct pw_record_span_id *out)
{
    if (s->is_head) {
        pw_head_span(&s->head, span, out);
    } else {
        pw_source_other_span(s, span, out);
    }
}

static inline uint32_t
pw_source_stack(const struct pw_source *s, uint32_t stack, uint32_t *loc, uint32_t n)
{
    return s->is_head ? pw_head_stack(&s->head, stack, loc, n)
                      : pw_source_other_stack(s, stack, loc, n);
}

static inline void
pw_source_location(const struct pw_source *s, uint32_t id, struct pw_head_location *out)
{
    if (s->is_head) {
        pw_head_location(&s->head, id, out);
    } else {
        pw_source_other_location(s, id, out);
    }
}

static inline void
pw_source_function(const struct pw_source *s, uint32_t id, struct pw_head_function *out)
{
    if (s->is_head) {
        pw_head_function(&s->head, id, out);
    } else {
        pw_source_other_function(s, id, out);
    }
}

static inline void
pw_source_mapping(const struct pw_source *s, uint32_t id, struct pw_head_mapping *out)
{
    if (s->is_head) {
        pw_head_mapping(&s->head, id, out);
    } else {
        pw_source_other_mapping(s, id, out);
    }
}

static inline struct pw_slice
pw_source_string(const struct pw_source *s, uint32_t id)
{
    return s->is_head ? pw_head_string(&s->head, id) : pw_source_other_string(s, id);
}

#endif
