#include "tests/store/block_case.h"

#include "base/check.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t
block_case_random(uint64_t *seed)
{
    uint64_t z = *seed += 0x9E3779B97F4A7C15U; /* splitmix64 */

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
}

static uint32_t
below(uint64_t *seed, uint32_t n)
{
    return n == 0 ? 0 : (uint32_t)(block_case_random(seed) % n);
}

static void *
array(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);

    PW_INVARIANT(p != NULL);
    return p;
}

static struct pw_slice
text_slice(const char *text, size_t pad)
{
    size_t n = strlen(text);
    char *p = array(n + pad, 1);

    memcpy(p, text, n);
    memset(p + n, 'x', pad);
    return pw_slice(p, n + pad);
}

static void
make_strings(struct block_case *c, uint64_t *seed)
{
    c->string = array(c->cfg.strings, sizeof(*c->string));
    for (uint32_t i = 0; i < c->cfg.strings; i++) {
        char text[64];
        size_t pad = below(seed, 40);

        if (c->cfg.awkward && below(seed, 200) == 0) {
            pad = below(seed, 2) == 0 ? 300 : 70000;
        }
        snprintf(text, sizeof(text), "pkg/mod.fn_%u_", i);
        c->string[i] = i == 3 ? text_slice("", 0) : text_slice(text, pad);
    }
}

static void
make_symbols(struct block_case *c, uint64_t *seed)
{
    const struct block_case_cfg *cfg = &c->cfg;

    make_strings(c, seed);
    c->function = array(cfg->functions, sizeof(*c->function));
    for (uint32_t i = 0; i < cfg->functions; i++) {
        c->function[i] = (struct pw_block_function){
            .name = below(seed, cfg->strings),
            .system_name = below(seed, cfg->strings),
            .filename = below(seed, cfg->strings),
            .start_line = below(seed, 5000),
        };
    }
    c->mapping = array(cfg->mappings, sizeof(*c->mapping));
    for (uint32_t i = 0; i < cfg->mappings; i++) {
        c->mapping[i] = (struct pw_block_mapping){
            .memory_start = block_case_random(seed) >> 16,
            .memory_limit = block_case_random(seed) >> 16,
            .file_offset = i % 2 * 4096,
            .filename = below(seed, cfg->strings),
            .build_id = below(seed, cfg->strings),
            .flags = below(seed, 16),
        };
    }
    c->location = array(cfg->locations, sizeof(*c->location));
    for (uint32_t i = 0; i < cfg->locations; i++) {
        uint32_t lines = 1 + (below(seed, 8) == 0 ? below(seed, 4) : 0);
        struct pw_block_line *line;

        if (cfg->awkward && below(seed, 50) == 0) {
            lines = below(seed, 2) == 0 ? 0 : 300;
        }
        line = array(lines, sizeof(*line));
        for (uint32_t k = 0; k < lines; k++) {
            line[k].function = below(seed, cfg->functions);
            line[k].line = below(seed, 100000);
        }
        c->location[i] = (struct pw_block_location){
            .address = below(seed, 3) == 0 ? block_case_random(seed) : 0,
            .mapping = cfg->mappings == 0 || (cfg->awkward && below(seed, 10) == 0)
                           ? PW_BLOCK_NO_MAPPING
                           : below(seed, cfg->mappings),
            .line_count = lines,
            .line = line,
        };
    }
}

/* Stacks grow out of one another, so that they share roots as real ones do; all are different. */
static void
make_stacks(struct block_case *c, uint64_t *seed)
{
    c->stack = array(c->cfg.stacks, sizeof(*c->stack));
    c->stack_depth = array(c->cfg.stacks, sizeof(*c->stack_depth));
    for (uint32_t i = 0; i < c->cfg.stacks; i++) {
        uint32_t parent = i == 0 ? 0 : below(seed, i);
        uint32_t base = i == 0 ? 0 : c->stack_depth[parent];
        uint32_t depth = 1 + below(seed, 4);

        base = base > c->cfg.depth_max ? 0 : base;
        if (i == 0 && c->cfg.awkward) {
            depth = 0;
        }
        c->stack[i] = array(base + depth, sizeof(uint32_t));
        c->stack_depth[i] = base + depth;
        for (uint32_t k = 0; k < depth; k++) { /* leaf first: what is new comes first */
            c->stack[i][k] = below(seed, c->cfg.locations);
        }
        for (uint32_t k = 0; k < base; k++) {
            c->stack[i][depth + k] = c->stack[parent][k];
        }
    }
}

static void
free_labels(const struct pw_label_pair *l, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        free((void *)(uintptr_t)l[k].value.ptr);
    }
    free((void *)(uintptr_t)l);
}

static void
make_series(struct block_case *c, uint64_t *seed)
{
    static const char *const types[] = {"cpu", "alloc_space", "inuse_objects"};

    c->series = array(c->cfg.series, sizeof(*c->series));
    for (uint32_t i = 0; i < c->cfg.series; i++) {
        struct pw_label_pair *l = array(4, sizeof(*l));
        struct pw_labels all = {.pair = l, .count = 4, .cap = 4};
        uint32_t service = below(seed, c->cfg.services);
        bool same = c->cfg.awkward && i > 0 && below(seed, 10) == 0;
        char text[64];

        snprintf(text, sizeof(text), "t:%s", types[i % 3]);
        l[0] = (struct pw_label_pair){pw_slice_str("__profile_type__"), text_slice(text, 0)};
        snprintf(text, sizeof(text), "pod-%u", i);
        l[1] = (struct pw_label_pair){pw_slice_str("pod"), text_slice(text, i % 5)};
        l[2] =
            (struct pw_label_pair){pw_slice_str("region"), text_slice(i % 2 == 0 ? "eu" : "us", 0)};
        snprintf(text, sizeof(text), "service-%u", service);
        l[3] = (struct pw_label_pair){pw_slice_str("service_name"), text_slice(text, 0)};
        c->series[i] = (struct pw_block_in_series){
            .label = same ? c->series[i - 1].label : l,
            .label_count = 4,
            .partition = pw_block_partition(pw_slice("", 0), l[3].value),
        };
        all.pair = (struct pw_label_pair *)(uintptr_t)c->series[i].label;
        c->series[i].fingerprint = pw_labels_fingerprint(&all);
        if (same) {
            free_labels(l, 4);
        }
    }
}

static void
make_row(struct block_case *c, uint64_t *seed, uint32_t i)
{
    const struct block_case_cfg *cfg = &c->cfg;
    struct block_case_row *r = &c->row[i];
    uint32_t n = below(seed, cfg->samples_max + 1);
    bool spans = cfg->spans != 0 && below(seed, 3) == 0;
    /* Different stacks in one row: a walk through all of them with a stride that has no factor of their
     * count in it. */
    uint32_t stride = cfg->stacks == 0 ? 1 : 1 + below(seed, cfg->stacks);
    uint32_t at = below(seed, cfg->stacks), seen = 0;

    r->sample = array(n, sizeof(*r->sample));
    for (; seen < n && seen < cfg->stacks; seen++) {
        struct pw_block_in_sample *s = &r->sample[seen];
        uint64_t v = block_case_random(seed);

        s->stack = at;
        s->span = spans && below(seed, 4) != 0 ? 1 + below(seed, cfg->spans) : 0;
        s->value = below(seed, 20) == 0 ? 0 : (int64_t)(v % 3 == 0 ? v >> 20 : v % 50 * 10000000);
        if (cfg->awkward && below(seed, 30) == 0) {
            s->value = -s->value;
        }
        at = (at + stride) % cfg->stacks;
        if (seen + 1 < n && at == r->sample[0].stack) {
            seen++;
            break;
        }
    }
    r->row = (struct pw_block_in_row){
        .time_ns = 1795227000000000000 + (int64_t)below(seed, 600) * 1000000000 + below(seed, 3),
        .duration_ns = below(seed, 3) == 0 ? 0 : 15000000000,
        .period = below(seed, 2) == 0 ? 0 : 10000000,
        .series = below(seed, cfg->series),
        .samples_count = seen,
        .samples_ref = i,
    };
    for (uint32_t k = 0; k < 2; k++) {
        uint64_t v = block_case_random(seed);

        memcpy(r->row.uuid + 8 * k, &v, sizeof(v));
    }
}

/* --- The source ----------------------------------------------------------------------------------- */

static void
get_series(const void *ctx, uint32_t id, struct pw_block_in_series *out)
{
    *out = ((const struct block_case *)ctx)->series[id];
}

static void
peek_row(const void *ctx, uint64_t i, uint32_t *series, int64_t *time_ns)
{
    const struct pw_block_in_row *r = &((const struct block_case *)ctx)->row[i].row;

    *series = r->series;
    *time_ns = r->time_ns;
}

static void
get_row(const void *ctx, uint64_t i, struct pw_block_in_row *out)
{
    *out = ((const struct block_case *)ctx)->row[i].row;
}

static uint32_t
get_samples(const void *ctx, const struct pw_block_in_row *row, uint32_t first,
            struct pw_block_in_sample *out, uint32_t n)
{
    const struct block_case_row *r = &((const struct block_case *)ctx)->row[row->samples_ref];
    uint32_t left = row->samples_count - first;

    n = n > 100 ? 100 : n; /* in pieces, as a source may */
    n = n < left ? n : left;
    memcpy(out, r->sample + first, n * sizeof(*out));
    return n;
}

static const uint32_t *
get_stack(const void *ctx, uint32_t id, uint32_t *depth)
{
    const struct block_case *c = ctx;

    *depth = c->stack_depth[id];
    return c->stack[id];
}

static void
get_location(const void *ctx, uint32_t id, struct pw_block_location *out)
{
    *out = ((const struct block_case *)ctx)->location[id];
}

static void
get_function(const void *ctx, uint32_t id, struct pw_block_function *out)
{
    *out = ((const struct block_case *)ctx)->function[id];
}

static void
get_mapping(const void *ctx, uint32_t id, struct pw_block_mapping *out)
{
    *out = ((const struct block_case *)ctx)->mapping[id];
}

static struct pw_slice
get_string(const void *ctx, uint32_t id)
{
    return ((const struct block_case *)ctx)->string[id];
}

static void
get_span(const void *ctx, uint32_t id, struct pw_block_span *out)
{
    *out = ((const struct block_case *)ctx)->span[id];
}

struct block_case *
block_case_make(const struct block_case_cfg *cfg)
{
    struct block_case *c = array(1, sizeof(*c));
    uint64_t seed = cfg->seed;

    c->cfg = *cfg;
    make_symbols(c, &seed);
    make_stacks(c, &seed);
    make_series(c, &seed);
    c->span = array(cfg->spans + 1UL, sizeof(*c->span));
    for (uint32_t i = 1; i <= cfg->spans; i++) {
        uint64_t v = block_case_random(&seed);

        memcpy(c->span[i].span_id, &v, sizeof(v));
        if (i % 3 != 0) {
            memcpy(c->span[i].trace_id, &v, sizeof(v));
            c->span[i].trace_id[15] = (uint8_t)i;
        }
    }
    c->row = array(cfg->rows, sizeof(*c->row));
    for (uint32_t i = 0; i < cfg->rows; i++) {
        make_row(c, &seed, i);
    }
    c->source = (struct pw_block_source){
        .ctx = c,
        .rows_count = cfg->rows,
        .series_count = cfg->series,
        .stacks_count = cfg->stacks,
        .locations_count = cfg->locations,
        .functions_count = cfg->functions,
        .mappings_count = cfg->mappings,
        .strings_count = cfg->strings,
        .series = get_series,
        .row_peek = peek_row,
        .row = get_row,
        .samples = get_samples,
        .stack = get_stack,
        .location = get_location,
        .function = get_function,
        .mapping = get_mapping,
        .string = get_string,
        .span = get_span,
    };
    return c;
}

void
block_case_free(struct block_case *c)
{
    for (uint32_t i = 0; i < c->cfg.strings; i++) {
        free((void *)(uintptr_t)c->string[i].ptr);
    }
    for (uint32_t i = 0; i < c->cfg.locations; i++) {
        free((void *)(uintptr_t)c->location[i].line);
    }
    for (uint32_t i = 0; i < c->cfg.stacks; i++) {
        free(c->stack[i]);
    }
    for (uint32_t i = c->cfg.series; i-- > 0;) {
        const struct pw_label_pair *l = c->series[i].label;

        if (i > 0 && c->series[i - 1].label == l) {
            continue;
        }
        free_labels(l, c->series[i].label_count);
    }
    for (uint32_t i = 0; i < c->cfg.rows; i++) {
        free(c->row[i].sample);
    }
    free(c->string);
    free(c->function);
    free(c->mapping);
    free(c->location);
    free(c->stack);
    free(c->stack_depth);
    free(c->span);
    free(c->series);
    free(c->row);
    free(c);
}

static void
put_cut(struct pw_text *t, struct pw_slice s)
{
    pw_text_put(t, s.ptr, s.len < PW_BLOCK_STRING_BYTES_MAX ? s.len : PW_BLOCK_STRING_BYTES_MAX);
}

void
block_case_stack_text(const struct block_case *c, uint32_t stack, struct pw_text *t)
{
    for (uint32_t i = c->stack_depth[stack]; i-- > 0;) {
        const struct pw_block_location *l = &c->location[c->stack[stack][i]];
        struct pw_block_mapping none = {.filename = 3, .build_id = 3};
        const struct pw_block_mapping *m =
            l->mapping == PW_BLOCK_NO_MAPPING ? &none : &c->mapping[l->mapping];
        uint32_t lines = l->line_count < PW_BLOCK_LINES_MAX ? l->line_count : PW_BLOCK_LINES_MAX;

        pw_text_printf(t, "@%llx %llx-%llx+%llx %x ", (unsigned long long)l->address,
                       (unsigned long long)m->memory_start, (unsigned long long)m->memory_limit,
                       (unsigned long long)m->file_offset, m->flags);
        put_cut(t, c->string[m->filename]);
        put_cut(t, c->string[m->build_id]);
        for (uint32_t k = 0; k < lines; k++) {
            const struct pw_block_function *f = &c->function[l->line[k].function];

            pw_text_printf(t, "|%lld %lld ", (long long)l->line[k].line, (long long)f->start_line);
            put_cut(t, c->string[f->name]);
            put_cut(t, c->string[f->system_name]);
            put_cut(t, c->string[f->filename]);
        }
        pw_text_char(t, ';');
    }
}
