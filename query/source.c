#include "query/source.h"

#include <assert.h>
#include <stddef.h>

/* A block's lines are read in place. */
static_assert(sizeof(struct pw_head_line) == sizeof(struct pw_block_line) &&
                  offsetof(struct pw_head_line, function) ==
                      offsetof(struct pw_block_line, function) &&
                  offsetof(struct pw_head_line, line) == offsetof(struct pw_block_line, line),
              "one shape");
enum { /* of a mapping, as struct pw_record_mapping has them */
       FUNCTIONS = 1,
       FILENAMES = 2,
       LINE_NUMBERS = 4,
       INLINE_FRAMES = 8,
};

static_assert(PW_BLOCK_NO_MAPPING == UINT32_MAX, "as the head says it");

void
pw_source_of_head(struct pw_source *s, const struct pw_head_view *v)
{
    *s = (struct pw_source){
        .is_head = true,
        .head = *v,
        .series_count = v->series_count,
        .stacks_count = v->stacks_count,
        .strings_count = v->strings_count,
        .functions_count = v->functions_count,
        .locations_count = v->locations_count,
        .mappings_count = v->mappings_count,
    };
}

void
pw_source_of_block(struct pw_source *s, const struct pw_catalog_block *b,
                   const struct pw_block_symbols *symbols, const struct pw_head_series *series,
                   uint32_t series_count)
{
    *s = (struct pw_source){
        .block = b, .symbols = symbols, .series = series, .series_count = series_count};
    if (symbols != NULL) {
        s->stacks_count = symbols->stacks_count;
        s->strings_count = symbols->strings_count;
        s->functions_count = symbols->functions_count;
        s->locations_count = symbols->locations_count;
        s->mappings_count = symbols->mappings_count;
    }
}

void
pw_source_of_far(struct pw_source *s, const struct pw_far_part *part)
{
    *s = (struct pw_source){
        .far = part,
        .series = part->series,
        .series_count = part->series_count,
        .stacks_count = part->stack_count,
        .strings_count = part->string_count,
        .functions_count = part->function_count,
        .locations_count = part->location_count,
        .mappings_count = part->mapping_count,
    };
}

void
pw_source_other_location(const struct pw_source *s, uint32_t id, struct pw_head_location *out)
{
    struct pw_block_location l;

    if (s->far != NULL) {
        *out = s->far->location[id];
        return;
    }
    pw_block_location(s->symbols, id, &l);
    *out = (struct pw_head_location){
        .address = l.address,
        .mapping = l.mapping,
        .line_count = l.line_count,
        .line = (const struct pw_head_line *)l.line,
    };
}

void
pw_source_other_function(const struct pw_source *s, uint32_t id, struct pw_head_function *out)
{
    struct pw_block_function f;

    if (s->far != NULL) {
        *out = s->far->function[id];
        return;
    }
    pw_block_function(s->symbols, id, &f);
    *out = (struct pw_head_function){
        .name = f.name,
        .system_name = f.system_name,
        .filename = f.filename,
        .start_line = f.start_line,
    };
}

void
pw_source_other_mapping(const struct pw_source *s, uint32_t id, struct pw_head_mapping *out)
{
    struct pw_block_mapping m;

    if (s->far != NULL) {
        *out = s->far->mapping[id];
        return;
    }
    pw_block_mapping(s->symbols, id, &m);
    *out = (struct pw_head_mapping){
        .memory_start = m.memory_start,
        .memory_limit = m.memory_limit,
        .file_offset = m.file_offset,
        .filename = m.filename,
        .build_id = m.build_id,
        .flags = (m.flags & PW_BLOCK_HAS_FUNCTIONS ? FUNCTIONS : 0U) |
                 (m.flags & PW_BLOCK_HAS_FILENAMES ? FILENAMES : 0U) |
                 (m.flags & PW_BLOCK_HAS_LINE_NUMBERS ? LINE_NUMBERS : 0U) |
                 (m.flags & PW_BLOCK_HAS_INLINE_FRAMES ? INLINE_FRAMES : 0U),
    };
}

void
pw_source_other_span(const struct pw_source *s, uint32_t span, struct pw_record_span_id *out)
{
    static const uint8_t none[16];
    const struct pw_block_row *row = s->row;

    if (s->far != NULL) {
        *out = s->far->span[span - 1];
        return;
    }
    *out = (struct pw_record_span_id){0};
    if (row->span != NULL && memcmp(row->span[span - 1], none, sizeof(row->span[0])) != 0) {
        memcpy(out->span_id, row->span[span - 1], sizeof(out->span_id));
        out->has_span = 1;
    }
    if (row->trace != NULL && memcmp(row->trace[span - 1], none, sizeof(row->trace[0])) != 0) {
        memcpy(out->trace_id, row->trace[span - 1], sizeof(out->trace_id));
        out->has_trace = 1;
    }
}

static uint32_t
far_samples(const struct pw_far_part *part, const struct pw_head_row *row, uint32_t first,
            struct pw_head_sample *out, uint32_t n)
{
    uint32_t left = first < row->samples_count ? row->samples_count - first : 0;

    n = left < n ? left : n;
    memcpy(out, part->sample + row->samples_ref + first, n * sizeof(*out));
    return n;
}

uint32_t
pw_source_other_samples(const struct pw_source *s, const struct pw_head_row *of, uint32_t first,
                        struct pw_head_sample *out, uint32_t n)
{
    const struct pw_block_row *row = s->row;

    if (s->far != NULL) {
        return far_samples(s->far, of, first, out, n);
    }
    bool spans = row->span != NULL || row->trace != NULL;
    uint32_t left = first < row->samples_count ? row->samples_count - first : 0;

    n = left < n ? left : n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t stack = row->stack[first + i];

        /* A row of a broken file may name a stack that is not there. */
        out[i].stack = stack < s->stacks_count ? stack : s->stacks_count;
        out[i].value = row->value[first + i];
        out[i].span = spans ? first + i + 1 : 0; /* which of the row's samples: see block_span */
    }
    return n;
}

uint32_t
pw_source_other_stack(const struct pw_source *s, uint32_t stack, uint32_t *loc, uint32_t n)
{
    const struct pw_far_part *p = s->far;

    if (p == NULL) {
        return pw_block_stack(s->symbols, stack, loc, n);
    }
    uint32_t first = p->stack[stack], depth = p->stack[stack + 1] - first;

    memcpy(loc, p->loc + first, (depth < n ? depth : n) * sizeof(*loc));
    return depth;
}

struct pw_slice
pw_source_other_string(const struct pw_source *s, uint32_t id)
{
    return s->far != NULL ? s->far->string[id] : pw_block_string(s->symbols, id);
}
