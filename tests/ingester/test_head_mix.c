/* Real profiles all the way: perf/corpus through pprof's reader, normaliser and record builder into a
 * head, twice, and back as flat weights of frames, equal to what the normalised profile says. */
#include "ingester/head.h"
#include "perf/mix.h"
#include "pprof/inflate.h"
#include "pprof/profile.h"
#include "pprof/record.h"
#include "pprof/wire.h"

#include "base/hash.h"
#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum { KEY = 42, SCRATCH_BYTES = 128 << 20, ROUNDS = 2, SAMPLES = 100, DEPTH = 1024 };

/* Sums over whole stacks: a hash of names, files, lines, addresses and mapping per stack, weighted by
 * the value. Order independent, so both sides may be in any order. */
static uint64_t
frame(uint64_t h, struct pw_slice name, struct pw_slice file, int64_t line)
{
    h = pw_hash_mix(h, pw_hash_keyed(1, name.ptr, name.len));
    h = pw_hash_mix(h, pw_hash_keyed(2, file.ptr, file.len));
    return pw_hash_mix(h, (uint64_t)line);
}

static uint64_t
profile_stack(const struct pw_profile *p, const struct pw_stack *s)
{
    const uint8_t *ids = pw_profile_ids(p, s), *end = ids + s->ids_len;
    uint64_t h = s->loc_count;

    for (uint64_t id = 0; ids < end;) {
        const struct pw_location *l;

        ids += pw_wire_varint(ids, end, &id);
        l = &p->location[id - 1];
        const struct pw_mapping *m = &p->mapping[l->mapping];

        h = pw_hash_mix(h, pw_profile_number(p, l->address));
        h = frame(h, pw_profile_string(p, m->filename_ref), pw_profile_string(p, m->build_id_ref),
                  (int64_t)m->memory_start);
        for (uint32_t i = 0; i < pw_profile_line_count(l); i++) {
            const struct pw_line *line = &p->line[l->line_first + i];
            const struct pw_function *f = &p->function[line->function];

            h = frame(h, pw_profile_string(p, f->name_ref), pw_profile_string(p, f->filename_ref),
                      (int64_t)pw_profile_number(p, line->line));
        }
    }
    return h;
}

static uint64_t
head_stack(const struct pw_head_view *v, uint32_t stack)
{
    uint32_t loc[DEPTH], depth = pw_head_stack(v, stack, loc, DEPTH);
    uint64_t h = depth;

    assert_true(depth <= DEPTH);
    for (uint32_t d = 0; d < depth; d++) {
        struct pw_head_location l;
        struct pw_head_mapping m;

        pw_head_location(v, loc[d], &l);
        pw_head_mapping(v, l.mapping, &m);
        h = pw_hash_mix(h, l.address);
        h = frame(h, pw_head_string(v, m.filename), pw_head_string(v, m.build_id),
                  (int64_t)m.memory_start);
        for (uint32_t i = 0; i < l.line_count; i++) {
            struct pw_head_function f;

            pw_head_function(v, l.line[i].function, &f);
            h = frame(h, pw_head_string(v, f.name), pw_head_string(v, f.filename), l.line[i].line);
        }
    }
    return h;
}

struct weights {
    uint64_t sum[PW_PROFILE_TYPES_MAX];    /* of values */
    uint64_t stacks[PW_PROFILE_TYPES_MAX]; /* of value x hash of the stack */
};

static const struct pw_record *
record_of(const struct pw_profile *p, struct weights *w)
{
    struct pw_label_pair pair[] = {{PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
                                   {PW_SLICE_LIT("service_name"), PW_SLICE_LIT("checkout")}};
    struct pw_labels labels = {.pair = pair, .count = 2, .cap = 2};
    uint32_t *all = malloc(p->sample_count * sizeof(*all));
    struct pw_record_group group = {
        .labels = &labels, .sample = all, .sample_count = p->sample_count};
    struct pw_record_source src = {
        .profile = p, .tenant = PW_SLICE_LIT("anonymous"), .group = &group, .group_count = 1};

    memset(w, 0, sizeof(*w));
    for (uint32_t i = 0; i < p->sample_count; i++) {
        const struct pw_stack *s = &p->stack[pw_profile_stack_of(p, i)];
        uint64_t h = profile_stack(p, s);

        all[i] = i;
        for (uint32_t t = 0; t < p->sample_type_count; t++) {
            w->sum[t] += (uint64_t)pw_profile_value(p, (size_t)i * p->sample_type_count + t);
            w->stacks[t] += (uint64_t)pw_profile_value(p, (size_t)i * p->sample_type_count + t) * h;
        }
    }
    size_t cap = pw_align_up(pw_record_bytes_max(&src), 64);
    void *buf = aligned_alloc(64, cap);
    int64_t n = pw_record_build(&src, buf, cap);

    free(all);
    assert_true(n > 0);
    assert_int_equal(pw_record_check(buf, (size_t)n), 0);
    return buf;
}

/* The rows that came with the last record, from row `i` on; returns how many. */
static uint64_t
expect_rows(const struct pw_head_view *v, uint64_t i, const struct weights *w, uint32_t types)
{
    uint64_t first = i;

    for (uint32_t t = 0; t < types; t++) {
        struct pw_head_sample s[SAMPLES];
        struct pw_head_row row;
        uint64_t stacks = 0;
        uint32_t at = 0, n;

        if (w->stacks[t] == 0) {
            continue;
        }
        assert_true(i < v->rows_count);
        pw_head_row_at(v, i++, &row);
        assert_true((uint64_t)row.total == w->sum[t]);
        for (; (n = pw_head_samples(v, &row, at, s, SAMPLES)) > 0; at += n) {
            for (uint32_t k = 0; k < n; k++) {
                stacks += (uint64_t)s[k].value * head_stack(v, s[k].stack);
            }
        }
        assert_true(stacks == w->stacks[t]);
    }
    return i - first;
}

static void
test_append__the_mix__weights_of_stacks_kept(void **state)
{
    static struct mix mix;
    struct pw_head_cfg cfg = {
        .bytes_max = 256 << 20, .hash_key = KEY, .tenants_max = 2, .series_idle_ns = 1};
    struct pw_head *head;
    struct pw_inflater *inf;
    struct pw_scratch scratch;
    uint8_t *out = malloc(PW_PROFILE_BYTES_MAX);
    uint64_t rows = 0;

    mix_load(&mix, getenv("PW_MIX"));
    assert_true(mix.count >= 20);
    assert_int_equal(pw_head_create_ctl(&head, &cfg), 0);
    assert_int_equal(pw_inflater_init_ctl(&inf), 0);
    assert_int_equal(pw_scratch_init_ctl(&scratch, SCRATCH_BYTES), 0);
    for (uint32_t i = 0; i < ROUNDS * mix.count; i++) {
        struct pw_profile p;
        struct weights w;
        struct pw_head_view v;
        const char *err = NULL;
        size_t n = 0;

        scratch.used = 0;
        assert_int_equal(pw_inflate(inf, &mix.gz[i % mix.count], 1, out, PW_PROFILE_BYTES_MAX, &n),
                         PW_INFLATE_OK);
        assert_int_equal(pw_profile_parse(&p, &scratch, KEY, pw_slice(out, n), &err), 0);
        assert_int_equal(pw_profile_normalize(&p), 0);
        const struct pw_record *rec = record_of(&p, &w);

        assert_int_equal(pw_head_append(head, rec, (struct pw_now){0}, 0, NULL), 0);
        free((void *)(uintptr_t)rec);
        assert_true(pw_head_view_open(head, PW_SLICE_LIT("anonymous"), &v));
        rows += expect_rows(&v, rows, &w, p.sample_type_count);
        assert_true(rows == v.rows_count);
    }
    pw_head_destroy_ctl(head);
    pw_inflater_fini_ctl(inf);
    pw_scratch_fini_ctl(&scratch);
    free(out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append__the_mix__weights_of_stacks_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
