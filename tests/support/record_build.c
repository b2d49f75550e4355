#include "tests/support/record_build.h"

#include "base/hash.h"
#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t
rb_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * 0x2545F4914F6CDD1DULL >> 7;
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
    return pw_hash_mix(pw_hash_mix(0x1234, a), b);
}

const char *
rb_type(uint32_t t)
{
    static const char *const type[] = {"samples", "cpu", "alloc_space", "inuse_space"};

    return type[t];
}

const char *
rb_unit(uint32_t t)
{
    static const char *const unit[] = {"count", "nanoseconds", "bytes", "bytes"};

    return unit[t];
}

/* --- The universe ------------------------------------------------------------------------------ */

static uint32_t
stack_depth(uint32_t k)
{
    return k == 0 ? 0 : 1 + (uint32_t)(mix(1, k) % RB_DEPTH_MAX);
}

static uint32_t
stack_loc(uint32_t k, uint32_t d)
{
    return d == 0 ? k : RB_STACKS + (uint32_t)(mix(k, d) % (RB_LOCATIONS - RB_STACKS));
}

static uint32_t
loc_lines(uint32_t l)
{
    return (uint32_t)(mix(2, l) % 4); /* 0: an address without symbols */
}

static uint32_t
loc_function(uint32_t l, uint32_t i)
{
    return (uint32_t)(mix(l, i + 7) % RB_FUNCTIONS);
}

static uint32_t
loc_mapping(uint32_t l)
{
    return (uint32_t)(mix(3, l) % RB_MAPPINGS);
}

/* String s of the universe: 0 is empty; function names, file names, mapping names. */
enum {
    STR_NAME = 1,
    STR_FILE = STR_NAME + RB_FUNCTIONS,
    STR_MAP = STR_FILE + 100,
    STR_COUNT = STR_MAP + RB_MAPPINGS
};

static size_t
string_text(char *buf, size_t cap, uint32_t s)
{
    if (s == 0) {
        return 0;
    }
    if (s < STR_FILE) {
        return (size_t)snprintf(buf, cap, "example.com/pkg%u.function_%u", s % 13, s - STR_NAME);
    }
    if (s < STR_MAP) {
        return (size_t)snprintf(buf, cap, "/src/file_%u.go", s - STR_FILE);
    }
    return (size_t)snprintf(buf, cap, "/bin/m%u", s - STR_MAP);
}

static struct pw_record_function
function_of(uint32_t f)
{
    return (struct pw_record_function){.name = STR_NAME + f,
                                       .system_name = f % 3 == 0 ? STR_NAME + f : 0,
                                       .filename = STR_FILE + f % 100,
                                       .start_line = (int64_t)f * 3};
}

/* --- Random profiles --------------------------------------------------------------------------- */

static int64_t
random_value(uint64_t *seed, uint32_t kind)
{
    static const int64_t scale[] = {1, 200, 60000, 1LL << 30, 1LL << 54};
    int64_t v = (int64_t)(rb_random(seed) % 255) * scale[kind % 5];

    return kind >= 5 && rb_random(seed) % 4 != 0 ? 0 : v;
}

static void
series_random(struct rb_series *s, const struct rb_profile *p, uint64_t *seed, uint32_t stacks)
{
    uint32_t first = (uint32_t)(rb_random(seed) % stacks);
    uint32_t kind[RB_TYPES_MAX];

    s->sample_count =
        (uint32_t)(rb_random(seed) % (rb_random(seed) % 8 == 0 ? RB_SAMPLES_MAX : 20));
    for (uint32_t t = 0; t < RB_TYPES_MAX; t++) {
        kind[t] = (uint32_t)(rb_random(seed) % 10);
    }
    kind[3] = rb_random(seed) % 2 == 0 ? kind[2] : kind[3];
    for (uint32_t i = 0; i < s->sample_count; i++) {
        struct rb_sample *m = &s->sample[i];

        /* Distinct within the series, as the builder of pprof/ makes them. */
        m->stack = (first + i * 7) % RB_STACKS;
        m->span = p->span_count == 0 ? 0 : (uint32_t)(rb_random(seed) % (p->span_count + 1));
        for (uint32_t t = 0; t < RB_TYPES_MAX; t++) {
            m->value[t] = random_value(seed, kind[t]);
        }
    }
    for (uint32_t i = 0; i < sizeof(s->uuid); i++) {
        s->uuid[i] = (uint8_t)rb_random(seed);
    }
}

void
rb_profile_random(struct rb_profile *p, uint64_t *seed, uint32_t label_sets, uint32_t stacks)
{
    static const char *const tenants[] = {"anonymous", "team-a", ""};

    p->tenant = tenants[rb_random(seed) % PW_ARRAY_LEN(tenants)];
    p->types_count = 1 + (uint32_t)(rb_random(seed) % RB_TYPES_MAX);
    p->has_period_type = rb_random(seed) % 2 == 0;
    p->span_count = rb_random(seed) % 3 == 0 ? (uint32_t)(rb_random(seed) % 400) : 0;
    p->time_nanos = 1700000000000000000 + (int64_t)(rb_random(seed) % 1000000000000);
    p->duration_nanos = (int64_t)(rb_random(seed) % 15000000000);
    p->period = 10000000;
    p->series_count =
        1 + (uint32_t)(rb_random(seed) % (rb_random(seed) % 4 == 0 ? RB_SERIES_MAX : 2));
    for (uint32_t i = 0; i < p->series_count; i++) {
        p->series[i].label_set = (uint32_t)((rb_random(seed) + i) % label_sets);
        series_random(&p->series[i], p, seed, stacks);
    }
}

/* --- Writing a record --------------------------------------------------------------------------- */

struct table {      /* universe number <-> index in the record, in shuffled order */
    uint32_t *at;   /* [universe] index, UINT32_MAX: not used */
    uint32_t *item; /* [count] universe number */
    uint32_t count;
};

struct out {
    uint8_t *base;
    size_t used, cap;
    bool full;
};

static void *
put(struct out *o, size_t bytes, size_t align, uint32_t *off)
{
    o->used = pw_align_up(o->used, align);
    *off = (uint32_t)o->used;
    if (bytes > o->cap - o->used) {
        o->full = true;
        return o->base; /* nothing is written past the buffer: see rb_build */
    }
    o->used += bytes;
    return o->base + *off;
}

static void
put_uint(void *column, uint32_t width, size_t i, uint64_t v)
{
    memcpy((uint8_t *)column + i * width, &v, width); /* little-endian, as everything here */
}

static struct pw_record_span
put_text(struct out *o, const char *s, size_t n)
{
    struct pw_record_span span = {.len = (uint32_t)n};

    memcpy(put(o, n, 1, &span.off), s, o->full ? 0 : n);
    return span;
}

static struct table
table_new(uint32_t universe)
{
    struct table t = {.at = malloc(universe * sizeof(uint32_t)),
                      .item = malloc(universe * sizeof(uint32_t))};

    memset(t.at, 0xff, universe * sizeof(uint32_t));
    return t;
}

static void
table_use(struct table *t, uint32_t u)
{
    if (t->at[u] == UINT32_MAX) {
        t->at[u] = t->count;
        t->item[t->count++] = u;
    }
}

static void
table_shuffle(struct table *t, uint64_t *seed)
{
    for (uint32_t i = t->count; i > 1; i--) {
        uint32_t j = (uint32_t)(rb_random(seed) % i), x = t->item[i - 1];

        t->item[i - 1] = t->item[j];
        t->item[j] = x;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        t->at[t->item[i]] = i;
    }
}

static void
table_free(struct table *t)
{
    free(t->at);
    free(t->item);
}

struct tables {
    struct table string, function, mapping, location, stack;
};

static void
use_location(struct tables *x, uint32_t l)
{
    table_use(&x->location, l);
    for (uint32_t i = 0; i < loc_lines(l); i++) {
        uint32_t f = loc_function(l, i);
        struct pw_record_function fn = function_of(f);

        table_use(&x->function, f);
        table_use(&x->string, fn.name);
        table_use(&x->string, fn.system_name);
        table_use(&x->string, fn.filename);
    }
    table_use(&x->mapping, loc_mapping(l));
    table_use(&x->string, STR_MAP + loc_mapping(l));
    table_use(&x->string, 0);
}

static void
collect(struct tables *x, const struct rb_profile *p, uint64_t seed)
{
    *x = (struct tables){.string = table_new(STR_COUNT),
                         .function = table_new(RB_FUNCTIONS),
                         .mapping = table_new(RB_MAPPINGS),
                         .location = table_new(RB_LOCATIONS),
                         .stack = table_new(RB_STACKS)};
    for (uint32_t i = 0; i < p->series_count; i++) {
        for (uint32_t k = 0; k < p->series[i].sample_count; k++) {
            table_use(&x->stack, p->series[i].sample[k].stack);
        }
    }
    for (uint32_t i = 0; i < x->stack.count; i++) {
        for (uint32_t d = 0; d < stack_depth(x->stack.item[i]); d++) {
            use_location(x, stack_loc(x->stack.item[i], d));
        }
    }
    table_shuffle(&x->string, &seed);
    table_shuffle(&x->function, &seed);
    table_shuffle(&x->mapping, &seed);
    table_shuffle(&x->location, &seed);
    table_shuffle(&x->stack, &seed);
}

static void
put_names(struct out *o, struct pw_record *r, const struct tables *x, uint64_t key)
{
    uint32_t *at = put(o, (r->strings_count = x->string.count) * sizeof(*at), 8, &r->strings_off);

    for (uint32_t i = 0; i < x->string.count && !o->full; i++) {
        char text[128];
        size_t n = string_text(text + 1, sizeof(text) - 1, x->string.item[i]);

        text[0] = (char)n; /* below 128: one byte of varint */
        at[i] = put_text(o, text, n + 1).off;
    }
    r->functions_count = x->function.count;
    void *f = put(o, 3 * (size_t)x->function.count * r->ref_bytes, 8, &r->functions_off);
    void *start = put(o, (size_t)x->function.count * r->number_bytes, 8, &r->start_lines_off);

    for (uint32_t i = 0; i < x->function.count && !o->full; i++) {
        struct pw_record_function fn = function_of(x->function.item[i]);

        put_uint(f, r->ref_bytes, 3 * i, x->string.at[fn.name]);
        put_uint(f, r->ref_bytes, 3 * i + 1, x->string.at[fn.system_name]);
        put_uint(f, r->ref_bytes, 3 * i + 2, x->string.at[fn.filename]);
        put_uint(start, r->number_bytes, i, (uint64_t)fn.start_line);
    }
    struct pw_record_mapping *m =
        put(o, (r->mappings_count = x->mapping.count) * sizeof(*m), 8, &r->mappings_off);

    for (uint32_t i = 0; i < x->mapping.count && !o->full; i++) {
        uint32_t u = x->mapping.item[i];

        m[i] = (struct pw_record_mapping){.memory_start = u * 4096,
                                          .filename = x->string.at[STR_MAP + u],
                                          .build_id = x->string.at[0],
                                          .flags = u,
                                          .hash = mix(key + 2, u)};
    }
}

static void
put_locations(struct out *o, struct pw_record *r, const struct tables *x, uint64_t key)
{
    size_t n = r->locations_count = x->location.count;
    uint64_t *hash = put(o, n * sizeof(*hash), 8, &r->location_hashes_off);
    void *address = put(o, n * r->address_bytes, 8, &r->addresses_off);
    void *mapping = put(o, n * r->ref_bytes, 8, &r->location_mappings_off);
    void *first = put(o, (n + 1) * r->ref_bytes, 8, &r->location_lines_off);
    void *function = put(o, 4 * n * r->ref_bytes, 8, &r->line_functions_off);
    void *number = put(o, 4 * n * r->number_bytes, 8, &r->line_numbers_off);

    for (uint32_t i = 0; i < n && !o->full; i++) {
        uint32_t u = x->location.item[i];

        hash[i] = mix(key + 3, u);
        put_uint(address, r->address_bytes, i, 0x1000 + 16ULL * u);
        put_uint(mapping, r->ref_bytes, i, 2 * x->mapping.at[loc_mapping(u)] + (u % 5 == 0));
        put_uint(first, r->ref_bytes, i, r->lines_count);
        for (uint32_t k = 0; k < loc_lines(u); k++, r->lines_count++) {
            put_uint(function, r->ref_bytes, r->lines_count, x->function.at[loc_function(u, k)]);
            put_uint(number, r->number_bytes, r->lines_count, u + k);
        }
    }
    if (!o->full) {
        put_uint(first, r->ref_bytes, n, r->lines_count);
    }
}

static void
put_stacks(struct out *o, struct pw_record *r, const struct tables *x, uint64_t key)
{
    size_t n = r->stacks_count = x->stack.count;
    uint64_t *hash = put(o, n * sizeof(*hash), 8, &r->stack_hashes_off);
    uint32_t *at = put(o, (n + 1) * sizeof(*at), 8, &r->stack_locs_off);
    void *depth = put(o, n * r->stack_bytes, 8, &r->stack_depths_off);
    uint8_t *locs = put(o, n * RB_DEPTH_MAX * 2 + PW_RECORD_LOCS_SLACK, 8, &r->locs_off);

    for (uint32_t i = 0; i < n && !o->full; i++) {
        uint32_t u = x->stack.item[i];

        hash[i] = mix(key + 4, u);
        at[i] = r->locs_bytes;
        put_uint(depth, r->stack_bytes, i, stack_depth(u));
        for (uint32_t d = 0; d < stack_depth(u); d++) {
            uint32_t id = x->location.at[stack_loc(u, d)] + 1; /* below 2^14 */

            if (id >= 0x80) {
                locs[r->locs_bytes++] = (uint8_t)(id | 0x80);
                id >>= 7;
            }
            locs[r->locs_bytes++] = (uint8_t)id;
        }
    }
    if (!o->full) {
        at[n] = r->locs_bytes;
    }
}

static const char *
label_value(char *buf, size_t cap, uint32_t label_set, uint32_t which)
{
    static const char *const fmt[] = {"name%u", "pod-%u", "svc-%u"};
    uint32_t n[] = {label_set % 3, label_set, label_set % 20};

    snprintf(buf, cap, fmt[which], n[which]);
    return buf;
}

static const char *const label_name[] = {"__name__", "pod", "service_name"};

static void
put_series(struct out *o, const struct pw_record *r, struct pw_record_series *rs,
           const struct rb_series *s, const struct tables *x)
{
    struct pw_record_label *l = put(o, 3 * sizeof(*l), 8, &rs->labels_off);
    char text[64];

    rs->labels_count = 3;
    for (uint32_t i = 0; i < 3 && !o->full; i++) {
        l[i].name = put_text(o, label_name[i], strlen(label_name[i]));
        label_value(text, sizeof(text), s->label_set, i);
        l[i].value = put_text(o, text, strlen(text));
    }
    size_t n = rs->samples_count = s->sample_count, types = r->types_count;

    rs->value_bytes = 1;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t t = 0; t < types; t++) {
            uint64_t v = (uint64_t)s->sample[i].value[t];
            uint32_t need = v >> 8 == 0 ? 1 : v >> 16 == 0 ? 2 : v >> 32 == 0 ? 4 : 8;

            rs->value_bytes = need > rs->value_bytes ? need : rs->value_bytes;
        }
    }
    void *stack = put(o, n * r->stack_bytes, 8, &rs->samples_off);
    uint32_t *span = r->spans_count == 0 ? NULL : put(o, n * sizeof(*span), 8, &rs->spans_off);
    void *value = put(o, n * types * rs->value_bytes, 8, &rs->values_off);

    for (uint32_t i = 0; i < n && !o->full; i++) {
        put_uint(stack, r->stack_bytes, i, x->stack.at[s->sample[i].stack]);
        if (span != NULL) {
            span[i] = s->sample[i].span;
        }
        for (uint32_t t = 0; t < types; t++) {
            put_uint(value, rs->value_bytes, i * types + t, (uint64_t)s->sample[i].value[t]);
        }
    }
    memcpy(rs->uuid, s->uuid, sizeof(rs->uuid));
}

static void
put_header(struct out *o, struct pw_record *r, const struct rb_profile *p)
{
    struct pw_record_type *type = put(o, p->types_count * sizeof(*type), 8, &r->types_off);

    r->version = PW_RECORD_VERSION;
    r->types_count = (uint16_t)p->types_count;
    r->time_nanos = p->time_nanos;
    r->duration_nanos = p->duration_nanos;
    r->period = p->period;
    r->tenant = put_text(o, p->tenant, strlen(p->tenant));
    r->has_period_type = p->has_period_type;
    if (p->has_period_type) {
        r->period_type = put_text(o, "cpu", 3);
        r->period_unit = put_text(o, "nanoseconds", 11);
    }
    for (uint32_t t = 0; t < p->types_count && !o->full; t++) {
        type[t].type = put_text(o, rb_type(t), strlen(rb_type(t)));
        type[t].unit = put_text(o, rb_unit(t), strlen(rb_unit(t)));
    }
    struct pw_record_span_id *span =
        put(o, (r->spans_count = p->span_count) * sizeof(*span), 8, &r->spans_off);

    for (uint32_t i = 0; i < p->span_count && !o->full; i++) {
        span[i] = (struct pw_record_span_id){.has_span = 1};
        memcpy(span[i].span_id, &i, sizeof(i));
    }
}

const struct pw_record *
rb_build(const struct rb_profile *p, uint64_t hash_key, uint64_t shuffle, void *buf, size_t cap)
{
    struct out o = {.base = buf, .cap = cap, .used = sizeof(struct pw_record)};
    struct pw_record *r = buf;
    struct tables x;

    if (cap < sizeof(*r)) {
        return NULL;
    }
    memset(buf, 0, cap < 4096 ? cap : 4096);
    collect(&x, p, shuffle);
    r->ref_bytes = (shuffle & 1) != 0 ? 4 : 2;
    r->number_bytes = (shuffle & 2) != 0 ? 8 : (shuffle & 4) != 0 ? 4 : 2;
    r->address_bytes = (shuffle & 8) != 0 ? 4 : 8;
    r->stack_bytes = (shuffle & 16) != 0 ? 4 : 2;
    put_header(&o, r, p);
    put_names(&o, r, &x, hash_key);
    put_locations(&o, r, &x, hash_key);
    put_stacks(&o, r, &x, hash_key);
    struct pw_record_series *rs =
        put(&o, (r->series_count = p->series_count) * sizeof(*rs), 8, &r->series_off);

    for (uint32_t i = 0; i < p->series_count && !o.full; i++) {
        rs[i] = (struct pw_record_series){0};
        rs[i].key = mix(p->series[i].label_set, p->types_count);
        put_series(&o, r, &rs[i], &p->series[i], &x);
    }
    uint32_t end;

    put(&o, 0, 16, &end);
    r->bytes = end;
    table_free(&x.string);
    table_free(&x.function);
    table_free(&x.mapping);
    table_free(&x.location);
    table_free(&x.stack);
    return o.full ? NULL : r;
}

/* --- Reading back ------------------------------------------------------------------------------- */

static void
string_is(const struct pw_head_view *v, uint32_t id, uint32_t s)
{
    char text[128];
    size_t n = string_text(text, sizeof(text), s);

    assert_true(id < v->strings_count);
    assert_true(pw_slice_eq(pw_head_string(v, id), pw_slice(text, n)));
}

static void
location_is(const struct pw_head_view *v, uint32_t id, uint32_t u)
{
    struct pw_head_location l;

    assert_true(id < v->locations_count);
    pw_head_location(v, id, &l);
    assert_true(l.address == 0x1000 + 16ULL * u);
    assert_int_equal(l.line_count, loc_lines(u));
    assert_int_equal(l.is_folded, u % 5 == 0);
    for (uint32_t i = 0; i < l.line_count; i++) {
        struct pw_record_function want = function_of(loc_function(u, i));
        struct pw_head_function f;

        assert_true(l.line[i].function < v->functions_count);
        assert_true(l.line[i].line == u + i);
        pw_head_function(v, l.line[i].function, &f);
        string_is(v, f.name, want.name);
        string_is(v, f.system_name, want.system_name);
        string_is(v, f.filename, want.filename);
        assert_true(f.start_line == want.start_line);
    }
    struct pw_head_mapping m;

    assert_true(l.mapping < v->mappings_count);
    pw_head_mapping(v, l.mapping, &m);
    assert_int_equal(m.memory_start, loc_mapping(u) * 4096);
    assert_int_equal(m.flags, loc_mapping(u));
    string_is(v, m.filename, STR_MAP + loc_mapping(u));
    string_is(v, m.build_id, 0);
}

uint32_t
rb_expect_stack(const struct pw_head_view *v, uint32_t stack)
{
    uint32_t loc[RB_DEPTH_MAX], depth, n;
    struct pw_head_location leaf;

    assert_true(stack < v->stacks_count);
    n = pw_head_stack(v, stack, loc, RB_DEPTH_MAX);
    assert_memory_equal(loc, pw_head_stack_locs(v, stack, &depth), n * sizeof(*loc));
    assert_int_equal(n, depth);
    if (n == 0) {
        return 0;
    }
    assert_true(loc[0] < v->locations_count);
    pw_head_location(v, loc[0], &leaf);
    uint32_t k = (uint32_t)((leaf.address - 0x1000) / 16);

    assert_true(k != 0 && k < RB_STACKS);
    assert_int_equal(n, stack_depth(k));
    for (uint32_t d = 0; d < n; d++) {
        location_is(v, loc[d], stack_loc(k, d));
    }
    return k;
}

static int
pair_cmp(const void *a, const void *b)
{
    return pw_slice_cmp(((const struct pw_label_pair *)a)->name,
                        ((const struct pw_label_pair *)b)->name);
}

void
rb_expect_series(const struct pw_head_view *v, uint32_t id, const struct rb_profile *p,
                 uint32_t label_set, uint32_t type)
{
    char text[3][64], profile_type[256];
    struct pw_label_pair want[9];
    uint32_t n = 0;
    struct pw_head_series s;

    for (uint32_t i = 0; i < 3; i++) {
        label_value(text[i], sizeof(text[i]), label_set, i);
        want[n++] = (struct pw_label_pair){pw_slice_str(label_name[i]), pw_slice_str(text[i])};
    }
    snprintf(profile_type, sizeof(profile_type), "%s:%s:%s:%s", text[0], rb_type(type),
             rb_unit(type), p->has_period_type ? "cpu:nanoseconds" : ":");
    const char *added[][2] = {{"__service_name__", text[2]}, {"__type__", rb_type(type)},
                              {"__unit__", rb_unit(type)},   {"__profile_type__", profile_type},
                              {"__period_type__", "cpu"},    {"__period_unit__", "nanoseconds"}};

    for (uint32_t i = 0; i < (p->has_period_type ? 6U : 4U); i++) {
        want[n++] = (struct pw_label_pair){pw_slice_str(added[i][0]), pw_slice_str(added[i][1])};
    }
    qsort(want, n, sizeof(want[0]), pair_cmp);
    assert_true(id < v->series_count);
    pw_head_series_at(v, id, &s);
    assert_int_equal(s.label_count, n);
    assert_int_equal(s.id, id);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(pw_slice_eq(s.label[i].name, want[i].name));
        assert_true(pw_slice_eq(s.label[i].value, want[i].value));
    }
    struct pw_labels l = {.pair = want, .count = n, .cap = n};

    assert_true(s.fingerprint == pw_labels_fingerprint(&l));
}
