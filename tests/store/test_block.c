/* What is written is read back equal, whatever is pushed; a query sees exactly the rows it asked for. */
#include "base/hash.h"
#include "store/block/block_reader.h"
#include "store/block/block_writer.h"
#include "tests/store/block_case.h"
#include "tests/store/block_read_all.h"
#include "tests/support/cmocka_pw.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 26, DEPTH_MAX = 256 };

static const struct block_case_cfg small = {
    .services = 3,
    .series = 12,
    .rows = 150,
    .stacks = 300,
    .locations = 250,
    .functions = 150,
    .mappings = 4,
    .strings = 300,
    .samples_max = 60,
    .depth_max = 30,
    .spans = 50,
};

/* --- A temporary directory with a block in it ------------------------------------------------------- */

struct place {
    char dir[64];
    char block[128];
    struct pw_block_info info;
};

static void
place_make(struct place *p)
{
    snprintf(p->dir, sizeof(p->dir), "/tmp/pw-test-block-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
}

static void
place_remove(struct place *p)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", p->dir);
    assert_int_equal(system(command), 0);
}

static int
entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        n += e->d_name[0] != '.';
    }
    closedir(d);
    return n;
}

static int
write_to(struct place *p, const struct block_case *c, struct pw_block_writer_cfg cfg,
         struct pw_block_error *err)
{
    char ulid[PW_ULID_CHARS + 1];
    int rc;

    cfg.dir = p->dir;
    assert_int_equal(pw_ulid_make(&cfg.ulid, 1795227000000), 0);
    rc = pw_block_write(&cfg, &c->source, &p->info, err);
    pw_ulid_print(&cfg.ulid, ulid);
    snprintf(p->block, sizeof(p->block), "%s/%s", p->dir, ulid);
    return rc;
}

static struct pw_block *
open_written(struct place *p, const struct block_case *c, struct pw_block_writer_cfg cfg)
{
    struct pw_block_error err = {{0}};
    struct pw_block *b = NULL;

    if (write_to(p, c, cfg, &err) != 0 || pw_block_open(&b, p->block, NULL, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return b;
}

/* --- Rows as text, by hash -------------------------------------------------------------------------- */

struct hashes {
    uint64_t *v;
    size_t n, cap;
};

static void
push(struct hashes *h, uint64_t v)
{
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 1024 : h->cap * 2;
        h->v = realloc(h->v, h->cap * sizeof(*h->v));
        assert_non_null(h->v);
    }
    h->v[h->n++] = v;
}

static int
compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static uint64_t
sorted_hash(struct hashes *h)
{
    qsort(h->v, h->n, sizeof(*h->v), compare_u64);
    return pw_xxh64(h->v, h->n * sizeof(*h->v));
}

static uint64_t
hash_text(struct pw_text *t)
{
    uint64_t h;

    assert_false(t->failed);
    h = pw_xxh64(t->ptr, t->len);
    t->len = 0;
    return h;
}

static uint64_t
sample_hash(uint64_t stack, int64_t value, const uint8_t span[8], const uint8_t trace[16])
{
    uint64_t h = pw_hash_mix(stack, (uint64_t)value);

    h = pw_hash_mix(h, pw_xxh64(span, 8));
    return pw_hash_mix(h, pw_xxh64(trace, 16));
}

struct row_text { /* what both sides say of a row */
    struct pw_labels labels;
    int64_t time_ns, duration_ns, period, total;
    const uint8_t *uuid;
};

static uint64_t
row_hash(const struct row_text *r, struct hashes *samples, struct pw_text *t)
{
    pw_labels_text(&r->labels, t);
    pw_text_printf(t, " %lld %lld %lld %lld %llx ", (long long)r->time_ns,
                   (long long)r->duration_ns, (long long)r->period, (long long)r->total,
                   (unsigned long long)sorted_hash(samples));
    pw_text_put(t, r->uuid, 16);
    samples->n = 0;
    return hash_text(t);
}

/* Rows of the case between the times, of the series that are wanted (by labels: NULL all). */
static struct hashes
expected_rows(const struct block_case *c, int64_t min, int64_t max, const char *pod)
{
    static const uint8_t zero[16];
    struct hashes rows = {0}, samples = {0};
    uint64_t *stack = calloc(c->cfg.stacks + 1UL, sizeof(*stack));
    struct pw_text t;

    pw_text_init(&t, TEXT_MAX);
    for (uint32_t i = 0; i < c->cfg.stacks; i++) {
        block_case_stack_text(c, i, &t);
        stack[i] = hash_text(&t);
    }
    for (uint32_t i = 0; i < c->cfg.rows; i++) {
        const struct block_case_row *r = &c->row[i];
        const struct pw_block_in_series *s = &c->series[r->row.series];
        struct row_text text = {
            .labels = {.pair = (struct pw_label_pair *)(uintptr_t)s->label,
                       .count = s->label_count},
            .time_ns = r->row.time_ns,
            .duration_ns = r->row.duration_ns,
            .period = r->row.period,
            .uuid = r->row.uuid,
        };
        uint64_t total = 0;

        for (uint32_t k = 0; k < r->row.samples_count; k++) {
            const struct pw_block_in_sample *x = &r->sample[k];

            if (x->value != 0) {
                push(&samples, sample_hash(stack[x->stack], x->value,
                                           x->span == 0 ? zero : c->span[x->span].span_id,
                                           x->span == 0 ? zero : c->span[x->span].trace_id));
                total += (uint64_t)x->value;
            }
        }
        text.total = (int64_t)total;
        if (samples.n != 0 && text.time_ns >= min && text.time_ns <= max &&
            (pod == NULL || pw_slice_eq_str(s->label[1].value, pod))) {
            push(&rows, row_hash(&text, &samples, &t));
        }
        samples.n = 0;
    }
    free(stack);
    free(samples.v);
    pw_text_fini(&t);
    return rows;
}

/* The same of a partition that was read. */
static void
put_string(struct pw_text *t, const struct pw_block_symbols *s, uint32_t id)
{
    pw_text_slice(t, pw_block_string(s, id));
}

static uint64_t
read_stack_hash(const struct pw_block_symbols *s, uint32_t id, struct pw_text *t)
{
    uint32_t loc[DEPTH_MAX];
    uint32_t depth = pw_block_stack(s, id, loc, DEPTH_MAX);

    assert_true(depth <= DEPTH_MAX);
    for (uint32_t i = depth; i-- > 0;) {
        struct pw_block_location l;
        struct pw_block_mapping m;

        pw_block_location(s, loc[i], &l);
        pw_block_mapping(s, l.mapping, &m);
        pw_text_printf(t, "@%llx %llx-%llx+%llx %x ", (unsigned long long)l.address,
                       (unsigned long long)m.memory_start, (unsigned long long)m.memory_limit,
                       (unsigned long long)m.file_offset, m.flags);
        put_string(t, s, m.filename);
        put_string(t, s, m.build_id);
        for (uint32_t k = 0; k < l.line_count; k++) {
            struct pw_block_function f;

            pw_block_function(s, l.line[k].function, &f);
            pw_text_printf(t, "|%lld %lld ", (long long)l.line[k].line, (long long)f.start_line);
            put_string(t, s, f.name);
            put_string(t, s, f.system_name);
            put_string(t, s, f.filename);
        }
        pw_text_char(t, ';');
    }
    return hash_text(t);
}

struct order { /* of the row before */
    int64_t series, time_ns;
    uint8_t uuid[16];
};

static void
assert_order(struct order *o, const struct pw_block_row *r)
{
    bool same = o->series == r->series;

    assert_true(o->series <= r->series);
    assert_true(!same || o->time_ns <= r->time_ns);
    assert_true(!same || o->time_ns < r->time_ns || memcmp(o->uuid, r->uuid, 16) <= 0);
    for (uint32_t i = 1; i < r->samples_count; i++) {
        assert_true(r->stack[i - 1] <= r->stack[i]);
    }
    o->series = r->series;
    o->time_ns = r->time_ns;
    memcpy(o->uuid, r->uuid, 16);
}

static uint64_t
read_row_hash(const struct pw_block *b, const struct pw_block_row *r,
              const struct pw_block_series *series, struct hashes *samples, struct pw_text *t)
{
    static const uint8_t zero[16];
    const struct pw_block_symbols *s;
    struct pw_block_error err;
    struct row_text text = {
        .labels = {.pair = (struct pw_label_pair *)(uintptr_t)series->label,
                   .count = series->label_count},
        .time_ns = r->time_ns,
        .duration_ns = r->duration_ns,
        .period = r->period,
        .total = r->total,
        .uuid = r->uuid,
    };

    assert_int_equal(pw_block_symbols_open(b, r->partition, &s, &err), 0);
    for (uint32_t i = 0; i < r->samples_count; i++) {
        push(samples, sample_hash(read_stack_hash(s, r->stack[i], t), r->value[i],
                                  r->span == NULL ? zero : r->span[i],
                                  r->trace == NULL ? zero : r->trace[i]));
    }
    pw_block_symbols_close(b, s);
    assert_true(r->time_ns >= series->min_time_ns && r->time_ns <= series->max_time_ns);
    return row_hash(&text, samples, t);
}

static struct hashes
read_rows(const struct pw_block *b, const struct pw_block_query *q, uint64_t *pruned)
{
    struct pw_block_series *series = malloc(sizeof(*series));
    struct hashes rows = {0}, samples = {0};
    struct order order = {.series = -1};
    const struct pw_block_symbols *held = NULL;
    struct pw_block_error err = {{0}};
    struct pw_block_cursor *c;
    struct pw_block_row row;
    struct pw_text t;
    uint64_t decoded;
    int rc;

    pw_text_init(&t, TEXT_MAX);
    assert_int_equal(pw_block_rows_open(&c, b, q, &err), 0);
    while ((rc = pw_block_rows_next(c, &row, &err)) == 1) {
        if (held == NULL || held->partition != row.partition) {
            const struct pw_block_symbols *more;

            assert_int_equal(pw_block_symbols_open(b, row.partition, &more, &err), 0);
            if (held != NULL) {
                pw_block_symbols_close(b, held);
            }
            held = more; /* so that the partition is not decoded for every row */
        }
        assert_int_equal(pw_block_series_at(b, row.series, series, &err), 0);
        assert_order(&order, &row);
        push(&rows, read_row_hash(b, &row, series, &samples, &t));
    }
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
    pw_block_rows_pages(c, &decoded, pruned);
    if (held != NULL) {
        pw_block_symbols_close(b, held);
    }
    pw_block_rows_close(c);
    pw_text_fini(&t);
    free(samples.v);
    free(series);
    return rows;
}

static void
assert_same_rows(struct hashes *a, struct hashes *b)
{
    assert_int_equal(a->n, b->n);
    (void)sorted_hash(a);
    (void)sorted_hash(b);
    assert_memory_equal(a->v, b->v, a->n * sizeof(*a->v));
    free(a->v);
    free(b->v);
}

static const struct pw_block_query everything = {
    .min_time_ns = INT64_MIN, .max_time_ns = INT64_MAX, .columns = UINT32_MAX};

/* --- Tests ------------------------------------------------------------------------------------------ */

static void
round_trip(const struct block_case_cfg *cfg, struct pw_block_writer_cfg writer)
{
    struct block_case *c = block_case_make(cfg);
    struct pw_block_stats st;
    struct hashes want, got;
    struct place p;
    struct pw_block *b;
    uint64_t pruned;

    place_make(&p);
    b = open_written(&p, c, writer);
    want = expected_rows(c, INT64_MIN, INT64_MAX, NULL);
    got = read_rows(b, &everything, &pruned);
    pw_block_stats(b, &st);
    assert_int_equal(st.rows, want.n);
    assert_int_equal(p.info.rows, want.n);
    assert_int_equal(p.info.series, st.series);
    assert_int_equal(pw_block_meta(b)->profiles, want.n);
    assert_int_equal(pw_block_meta(b)->min_time_ms, p.info.min_time_ns / 1000000);
    assert_int_equal(st.file_bytes,
                     p.info.bytes_index + p.info.bytes_profiles + p.info.bytes_symbols);
    assert_same_rows(&want, &got);
    pw_block_close(b);
    place_remove(&p);
    block_case_free(c);
}

static void
test_block__random_profiles__read_back_equal(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct block_case_cfg cfg = small;
        struct pw_block_writer_cfg writer = {.codec = seed % 2 == 0 ? PW_BLOCK_ZSTD
                                                                    : PW_BLOCK_UNCOMPRESSED};

        cfg.seed = seed;
        cfg.awkward = seed % 3 == 0;
        cfg.spans = seed % 4 == 0 ? 0 : small.spans;
        cfg.mappings = seed % 5 == 0 ? 0 : small.mappings;
        writer.hostname = seed % 2 == 0 ? "host" : NULL;
        round_trip(&cfg, writer);
    }
}

static void
test_block__many_pages_row_groups_and_table_blocks__read_back_equal(void **state)
{
    struct block_case_cfg cfg = {.seed = 77,
                                 .services = 2,
                                 .series = 9,
                                 .rows = 5000, /* pages of 2048 rows */
                                 .stacks = 4000,
                                 .locations = 3000, /* table blocks of 1024 */
                                 .functions = 2500,
                                 .mappings = 1100,
                                 .strings = 2300,
                                 .samples_max = 40,
                                 .depth_max = 12,
                                 .spans = 3000,
                                 .awkward = true};

    round_trip(&cfg, (struct pw_block_writer_cfg){.row_group_bytes = 300000});
    cfg.rows = 1;
    cfg.samples_max = 4000;
    round_trip(&cfg, (struct pw_block_writer_cfg){0});
}

static void
test_block_rows__series_and_times__just_those(void **state)
{
    struct block_case_cfg cfg = small;
    struct pw_block_query q = everything;
    uint64_t wanted = 0, pruned;
    struct hashes want, got;
    struct pw_block_error err;
    struct block_case *c;
    struct pw_block *b;
    struct place p;
    uint32_t id, count;

    cfg.seed = 5;
    cfg.rows = 7000;
    cfg.samples_max = 20;
    c = block_case_make(&cfg);
    place_make(&p);
    b = open_written(&p, c, (struct pw_block_writer_cfg){0});
    /* one series among twelve (its name is padded: block_case.c) */
    assert_int_equal(
        pw_block_postings(b, pw_slice_str("pod"), pw_slice_str("pod-5"), &id, 1, &count, &err), 0);
    assert_int_equal(count, 1);
    wanted = 1ULL << id;
    q.series = &wanted;
    want = expected_rows(c, INT64_MIN, INT64_MAX, "pod-5");
    assert_true(want.n > 100);
    got = read_rows(b, &q, &pruned);
    assert_true(pruned > 0);
    assert_same_rows(&want, &got);
    q.min_time_ns = 1795227100000000001; /* inclusive, to the nanosecond */
    q.max_time_ns = 1795227200000000001;
    want = expected_rows(c, q.min_time_ns, q.max_time_ns, "pod-5");
    got = read_rows(b, &q, &pruned);
    assert_true(want.n > 10);
    assert_same_rows(&want, &got);
    q.series = NULL;
    want = expected_rows(c, q.min_time_ns, q.max_time_ns, NULL);
    got = read_rows(b, &q, &pruned);
    assert_same_rows(&want, &got);
    q.min_time_ns = q.max_time_ns = 0;
    got = read_rows(b, &q, &pruned);
    assert_int_equal(got.n, 0);
    free(got.v);
    pw_block_close(b);
    place_remove(&p);
    block_case_free(c);
}

static bool
has_label(const struct pw_block_series *s, struct pw_slice name, struct pw_slice value)
{
    for (uint32_t i = 0; i < s->label_count; i++) {
        if (pw_slice_eq(s->label[i].name, name) && pw_slice_eq(s->label[i].value, value)) {
            return true;
        }
    }
    return false;
}

static void
test_block_postings__every_value__the_series_that_have_it(void **state)
{
    struct pw_block_series *s = malloc(sizeof(*s));
    struct block_case_cfg cfg = small;
    struct pw_slice name, value;
    struct pw_block_error err;
    struct pw_block_stats st;
    struct block_case *c;
    struct pw_block *b;
    struct place p;
    uint32_t values, ids[64], count;

    cfg.seed = 9;
    cfg.series = 50;
    c = block_case_make(&cfg);
    place_make(&p);
    b = open_written(&p, c, (struct pw_block_writer_cfg){0});
    pw_block_stats(b, &st);
    for (uint32_t i = 0; pw_block_label_name(b, i, &name, &values); i++) {
        for (uint32_t v = 0; v < values; v++) {
            uint32_t at = 0;

            assert_true(pw_block_label_value(b, i, v, &value));
            assert_int_equal(pw_block_postings(b, name, value, ids, 64, &count, &err), 0);
            for (uint32_t id = 0; id < st.series; id++) {
                assert_int_equal(pw_block_series_at(b, id, s, &err), 0);
                if (has_label(s, name, value)) {
                    assert_true(at < count && ids[at] == id);
                    at++;
                }
            }
            assert_int_equal(at, count);
        }
        assert_false(pw_block_label_value(b, i, values, &value));
    }
    assert_int_equal(
        pw_block_postings(b, pw_slice_str("no"), pw_slice_str("x"), ids, 64, &count, &err), 0);
    assert_int_equal(count, 0);
    free(s);
    pw_block_close(b);
    place_remove(&p);
    block_case_free(c);
}

static bool
always(void *ctx)
{
    return true;
}

static void
test_block_write__nothing_to_write_or_stopped__error_and_no_block(void **state)
{
    struct block_case_cfg cfg = small;
    struct pw_block_error err = {{0}};
    struct block_case *c;
    struct place p;

    cfg.samples_max = 0;
    c = block_case_make(&cfg);
    place_make(&p);
    assert_int_equal(write_to(&p, c, (struct pw_block_writer_cfg){0}, &err), PW_EINVAL);
    assert_non_null(strstr(err.text, "no row has a sample"));
    assert_int_equal(entries(p.dir), 0);
    block_case_free(c);
    cfg.samples_max = 10;
    c = block_case_make(&cfg);
    assert_int_equal(write_to(&p, c, (struct pw_block_writer_cfg){.stop = always}, &err),
                     PW_EAGAIN);
    assert_int_equal(entries(p.dir), 0);
    block_case_free(c);
    place_remove(&p);
}

static void
test_block_partition__rule_of_stock(void **state)
{
    static const struct {
        const char *mapping, *service, *hashed;
    } rows[] = {
        {"/usr/bin/checkout", "svc", "checkout"},
        {"C:\\app\\run.exe", "svc", "run.exe"},
        {"/usr/lib//libc.so.6/", "svc", "libc.so.6"},
        {"[vdso]", "svc", "svc"},
        {"linux-vdso.so.1", "svc", "svc"},
        {"/dev/dri/card0", "svc", "svc"},
        {"//anon", "svc", "svc"},
        {"", "svc", "svc"},
        {"", "", "unknown"},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        assert_true(
            pw_block_partition(pw_slice_str(rows[i].mapping), pw_slice_str(rows[i].service)) ==
            pw_xxh64(rows[i].hashed, strlen(rows[i].hashed)));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block__random_profiles__read_back_equal),
        cmocka_unit_test(test_block__many_pages_row_groups_and_table_blocks__read_back_equal),
        cmocka_unit_test(test_block_rows__series_and_times__just_those),
        cmocka_unit_test(test_block_postings__every_value__the_series_that_have_it),
        cmocka_unit_test(test_block_write__nothing_to_write_or_stopped__error_and_no_block),
        cmocka_unit_test(test_block_partition__rule_of_stock),
    };

    return cmocka_run_group_tests_name("block", tests, NULL, NULL);
}
