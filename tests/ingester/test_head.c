/* The head against a model: what thousands of made-up records say is what readers get back. */
#include "ingester/activity.h"
#include "ingester/head.h"

#include "tests/support/cmocka_pw.h"
#include "tests/support/record_build.h"

#include <stdlib.h>

enum { KEY = 42, RECORD_CAP = 4 << 20 };
static const int64_t NOW = 1700000000000000000;
static const int64_t IDLE = 600LL * 1000000000;

struct model_row {
    const char *tenant;
    struct rb_profile *profile;
    uint32_t series, type; /* of the profile */
};

struct fixture {
    struct pw_head *head;
    void *buf;
    uint64_t seed;
    struct rb_profile **profile; /* all appended, to free */
    uint32_t profiles;
    struct model_row *row;
    uint64_t rows;
};

static struct pw_head *
head_of(size_t bytes)
{
    struct pw_head *h = NULL;
    struct pw_head_cfg cfg = {
        .bytes_max = bytes, .hash_key = KEY, .tenants_max = 4, .series_idle_ns = IDLE};

    assert_int_equal(pw_head_create_ctl(&h, &cfg), 0);
    return h;
}

static struct fixture
fixture_new(size_t bytes, uint64_t seed)
{
    return (struct fixture){.head = head_of(bytes),
                            .buf = aligned_alloc(64, RECORD_CAP),
                            .seed = seed,
                            .profile = malloc(10000 * sizeof(struct rb_profile *)),
                            .row = malloc(500000 * sizeof(struct model_row))};
}

static void
fixture_free(struct fixture *f)
{
    pw_head_destroy_ctl(f->head);
    for (uint32_t i = 0; i < f->profiles; i++) {
        free(f->profile[i]);
    }
    free(f->profile);
    free(f->row);
    free(f->buf);
}

static struct pw_slice
slice_of(const char *s)
{
    return pw_slice_str(s);
}

static uint32_t
nonzero(const struct rb_series *s, uint32_t t)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->sample_count; i++) {
        n += s->sample[i].value[t] != 0;
    }
    return n;
}

static void
model_append(struct fixture *f, const struct rb_profile *p)
{
    struct rb_profile *kept = malloc(sizeof(*p));

    *kept = *p;
    f->profile[f->profiles++] = kept;
    for (uint32_t i = 0; i < p->series_count; i++) {
        for (uint32_t t = 0; t < p->types_count; t++) {
            if (nonzero(&p->series[i], t) != 0) {
                f->row[f->rows++] = (struct model_row){p->tenant, kept, i, t};
            }
        }
    }
}

static int
append_at(struct fixture *f, const struct rb_profile *p, struct pw_now now, uint64_t limit,
          struct pw_head_append_info *info)
{
    const struct pw_record *rec = rb_build(p, KEY, rb_random(&f->seed), f->buf, RECORD_CAP);

    assert_non_null(rec);
    assert_int_equal(pw_record_check(rec, rec->bytes), 0);
    int rc = pw_head_append(f->head, rec, now, limit, info);

    /* The lane's memory is used again: nothing in the head may point into it. */
    memset(f->buf, 0xee, rec->bytes);
    return rc;
}

/* Where it does not matter which clock says so. */
static int
append(struct fixture *f, const struct rb_profile *p, int64_t now, uint64_t limit,
       struct pw_head_append_info *info)
{
    return append_at(f, p, (struct pw_now){.wall_ns = now, .mono_ns = now}, limit, info);
}

static void
expect_samples(const struct pw_head_view *v, const struct pw_head_row *row,
               const struct model_row *m)
{
    struct pw_head_sample got[7]; /* short, so that reading goes on in the middle */
    const struct rb_series *s = &m->profile->series[m->series];
    uint32_t at = 0, first = 0, n;
    uint64_t total = 0; /* wraps, as the head's does */

    while ((n = pw_head_samples(v, row, first, got, 7)) > 0) {
        for (uint32_t i = 0; i < n; i++, at++) {
            while (s->sample[at].value[m->type] == 0) {
                at++;
            }
            assert_int_equal(rb_expect_stack(v, got[i].stack), s->sample[at].stack);
            assert_true(got[i].value == s->sample[at].value[m->type]);
            total += (uint64_t)got[i].value;
            if (s->sample[at].span == 0) {
                assert_int_equal(got[i].span, 0);
            } else {
                struct pw_record_span_id id;
                uint32_t number;

                pw_head_span(v, got[i].span, &id);
                memcpy(&number, id.span_id, sizeof(number));
                assert_int_equal(number + 1, s->sample[at].span);
            }
        }
        first += n;
    }
    assert_int_equal(first, nonzero(s, m->type));
    assert_int_equal(first, row->samples_count);
    assert_true((int64_t)total == row->total);
}

static void
expect_row(const struct pw_head_view *v, uint64_t i, const struct model_row *m)
{
    const struct rb_profile *p = m->profile;
    struct pw_head_row row;
    uint32_t series;
    int64_t time, min, max;

    pw_head_row_at(v, i, &row);
    assert_true(row.time_ns == p->time_nanos);
    assert_true(row.duration_ns == p->duration_nanos);
    assert_true(row.period == p->period);
    assert_memory_equal(row.uuid, p->series[m->series].uuid, sizeof(row.uuid));
    pw_head_row_peek(v, i, &series, &time);
    assert_int_equal(series, row.series);
    assert_true(time == row.time_ns);
    pw_head_series_time(v, series, &min, &max);
    assert_true(min <= time && time <= max);
    rb_expect_series(v, row.series, p, p->series[m->series].label_set, m->type);
    expect_samples(v, &row, m);
}

/* Every row through the chain of its series, and every series has one. */
static void
expect_chains(const struct pw_head_view *v)
{
    uint64_t seen = 0;

    for (uint32_t s = 0; s < v->series_count; s++) {
        uint64_t before = UINT64_MAX;

        for (uint64_t i = pw_head_series_last_row(v, s); i != PW_HEAD_NO_ROW;
             i = pw_head_row_prev(v, i)) {
            uint32_t series;
            int64_t time;

            pw_head_row_peek(v, i, &series, &time);
            assert_int_equal(series, s);
            assert_true(i < before && i < v->rows_count);
            before = i;
            seen++;
        }
        assert_true(before != UINT64_MAX);
    }
    assert_true(seen == v->rows_count);
}

static void
expect_model(const struct fixture *f)
{
    static const char *const tenants[] = {"anonymous", "team-a", ""};
    uint64_t rows = 0;

    for (size_t t = 0; t < PW_ARRAY_LEN(tenants); t++) {
        struct pw_head_view v = {0};
        uint64_t i = 0;
        bool open = pw_head_view_open(f->head, slice_of(tenants[t]), &v);

        for (uint64_t k = 0; k < f->rows; k++) {
            if (strcmp(f->row[k].tenant, tenants[t]) == 0) {
                assert_true(open && i < v.rows_count);
                expect_row(&v, i++, &f->row[k]);
            }
        }
        assert_true(i == v.rows_count);
        if (open) {
            expect_chains(&v);
        }
        rows += i;
    }
    assert_true(rows == f->rows);
}

static void
test_append__random_records__read_back_equal(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct fixture f = fixture_new(256 << 20, seed * 7919);
        struct rb_profile *p = malloc(sizeof(*p));
        struct pw_head_append_info info;

        for (int i = 0; i < 250; i++) {
            rb_profile_random(p, &f.seed, seed % 2 == 0 ? 10 : 400, 300 * (uint32_t)seed);
            assert_int_equal(append(&f, p, NOW, 0, &info), 0);
            model_append(&f, p);
        }
        expect_model(&f);
        free(p);
        fixture_free(&f);
    }
}

static void
test_append__same_profile_again__interns_nothing_new(void **state)
{
    struct fixture f = fixture_new(64 << 20, 5);
    struct rb_profile *p = malloc(sizeof(*p));
    struct pw_head_stats a, b;

    do {
        rb_profile_random(p, &f.seed, 10, 1000);
    } while (p->series[0].sample_count < 100 || nonzero(&p->series[0], 0) == 0);
    p->span_count = 0;
    for (uint32_t i = 0; i < p->series_count * RB_SAMPLES_MAX; i++) {
        p->series[i / RB_SAMPLES_MAX].sample[i % RB_SAMPLES_MAX].span = 0;
    }
    assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
    pw_head_stats(f.head, &a);
    for (int i = 0; i < 10; i++) {
        p->time_nanos += 1;
        assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
    }
    pw_head_stats(f.head, &b);
    assert_int_equal(a.series, b.series);
    assert_int_equal(a.stacks, b.stacks);
    assert_int_equal(a.locations, b.locations);
    assert_int_equal(a.functions, b.functions);
    assert_int_equal(a.strings, b.strings);
    assert_int_equal(a.bytes_symbols, b.bytes_symbols);
    assert_int_equal(a.bytes_stacks, b.bytes_stacks);
    assert_int_equal(a.bytes_index, b.bytes_index);
    assert_int_equal(b.rows, 11 * a.rows);
    assert_int_equal(b.samples, 11 * a.samples);
    assert_true(b.time_max_ns == a.time_max_ns + 10 && b.time_min_ns == a.time_min_ns);
    assert_int_equal(b.bytes_used, b.bytes_symbols + b.bytes_stacks + b.bytes_series +
                                       b.bytes_samples + b.bytes_index + 64);
    free(p);
    fixture_free(&f);
}

static void
test_append__all_values_zero__tenant_has_nothing(void **state)
{
    struct fixture f = fixture_new(64 << 20, 9);
    struct rb_profile *p = calloc(1, sizeof(*p));
    struct pw_head_view v;
    struct pw_slice name;

    *p = (struct rb_profile){.tenant = "anonymous", .types_count = 2, .series_count = 1};
    p->series[0].sample_count = 1;
    p->series[0].sample[0].stack = 1;
    assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
    assert_false(pw_head_view_open(f.head, slice_of("anonymous"), &v));
    assert_false(pw_head_tenant_at(f.head, 0, &name));
    /* Only the type with a value comes to exist. */
    p->series[0].sample[0].value[1] = 5;
    assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
    assert_true(pw_head_view_open(f.head, slice_of("anonymous"), &v));
    assert_true(pw_head_tenant_at(f.head, 0, &name));
    assert_true(pw_slice_eq_str(name, "anonymous"));
    assert_int_equal(v.series_count, 1);
    assert_int_equal(v.rows_count, 1);
    rb_expect_series(&v, 0, p, 0, 1);
    /* The other one later, in the group that is already known. */
    p->series[0].sample[0].value[0] = 5;
    assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
    assert_true(pw_head_view_open(f.head, slice_of("anonymous"), &v));
    assert_int_equal(v.series_count, 2);
    assert_int_equal(v.rows_count, 3);
    rb_expect_series(&v, 1, p, 0, 0);
    free(p);
    fixture_free(&f);
}

static void
test_append__same_labels_other_types__one_series(void **state)
{
    struct fixture f = fixture_new(64 << 20, 9);
    struct rb_profile *p = calloc(1, sizeof(*p));
    struct pw_head_view v;

    *p = (struct rb_profile){.tenant = "anonymous", .types_count = 1, .series_count = 1};
    p->series[0].sample_count = 1;
    for (uint32_t t = 0; t < 3; t++) {
        p->series[0].sample[0].value[t] = 1;
    }
    for (uint32_t types = 1; types <= 3; types++) {
        p->types_count = types;
        assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
    }
    assert_true(pw_head_view_open(f.head, slice_of("anonymous"), &v));
    assert_int_equal(v.series_count, 3);
    assert_int_equal(v.rows_count, 6);
    p->has_period_type = true; /* another profile type */
    assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
    assert_true(pw_head_view_open(f.head, slice_of("anonymous"), &v));
    assert_int_equal(v.series_count, 6);
    expect_chains(&v);
    free(p);
    fixture_free(&f);
}

static void
test_append__negative_and_wide_values__kept(void **state)
{
    static const int64_t value[] = {-1, 1, 255, 256, INT64_MAX, INT64_MIN, -1, 7, 65535, 65536};
    struct fixture f = fixture_new(64 << 20, 9);
    struct rb_profile *p = calloc(1, sizeof(*p));

    for (uint32_t n = 1; n <= PW_ARRAY_LEN(value); n++) {
        for (uint32_t from = 0; from + n <= PW_ARRAY_LEN(value); from++) {
            memset(p, 0, sizeof(*p));
            *p = (struct rb_profile){.tenant = "anonymous", .types_count = 1, .series_count = 1};
            p->series[0].sample_count = n;
            for (uint32_t i = 0; i < n; i++) {
                p->series[0].sample[i] =
                    (struct rb_sample){.stack = i * 300, .value = {value[from + i]}};
            }
            assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
            model_append(&f, p);
        }
    }
    expect_model(&f);
    free(p);
    fixture_free(&f);
}

/* Fills heads of many sizes to the brim: refused records leave no row, no series, and what is in stays
 * right; the same record is refused again and a smaller one may still fit. */
static void
test_append__region_exhausted__all_or_nothing(void **state)
{
    uint32_t refused = 0, leaked = 0;

    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct fixture f = fixture_new((1 << 20) + seed * 40000, seed);
        struct rb_profile *p = malloc(sizeof(*p));

        for (int i = 0; i < 150; i++) {
            struct pw_head_stats a, b;

            rb_profile_random(p, &f.seed, 100, 3000);
            pw_head_stats(f.head, &a);
            int rc = append(&f, p, NOW, 0, NULL);

            pw_head_stats(f.head, &b);
            if (rc == 0) {
                model_append(&f, p);
                continue;
            }
            assert_int_equal(rc, PW_ENOMEM);
            assert_int_equal(a.rows, b.rows);
            assert_int_equal(a.series, b.series);
            assert_int_equal(a.samples, b.samples);
            assert_true(b.bytes_used <= b.bytes_max);
            leaked += b.symbols_leaked > a.symbols_leaked;
            refused++;
        }
        expect_model(&f);
        free(p);
        fixture_free(&f);
    }
    assert_true(refused > 100);
    assert_true(leaked > 0);
}

static void
one_series(struct rb_profile *p, uint32_t label_set)
{
    memset(p, 0, sizeof(*p));
    *p = (struct rb_profile){.tenant = "anonymous", .types_count = 1, .series_count = 1};
    p->series[0].label_set = label_set;
    p->series[0].sample_count = 1;
    p->series[0].sample[0] = (struct rb_sample){.stack = 1, .value = {1}};
}

static void
test_append__series_limit__counts_active_ones(void **state)
{
    struct fixture f = fixture_new(64 << 20, 9);
    struct pw_activity *activity;
    struct rb_profile *p = malloc(sizeof(*p));
    struct pw_head_append_info info = {0};
    struct pw_head_stats a, b;

    assert_int_equal(pw_activity_create_ctl(&activity), 0);
    pw_head_activity(f.head, activity);
    for (uint32_t i = 0; i < 10; i++) {
        one_series(p, i);
        assert_int_equal(append(&f, p, NOW + i, 10, &info), 0);
    }
    one_series(p, 10);
    pw_head_stats(f.head, &a);
    assert_int_equal(append(&f, p, NOW + 10, 10, &info), PW_ERANGE);
    pw_head_stats(f.head, &b);
    assert_int_equal(info.actual, 10);
    assert_int_equal(info.limit, 10);
    assert_int_equal(a.series, b.series);
    assert_int_equal(a.bytes_used, b.bytes_used); /* being refused costs no memory */
    one_series(p, 3);                             /* known and active: fine, and active again */
    assert_int_equal(append(&f, p, NOW + IDLE, 10, &info), 0);
    one_series(p, 10);
    assert_int_equal(append(&f, p, NOW + IDLE, 10, &info), PW_ERANGE);
    /* Series 0 had its profile at NOW: a nanosecond later than that it is idle too long. */
    assert_int_equal(append(&f, p, NOW + IDLE + 1, 10, &info), 0);
    one_series(p, 0); /* exists, but comes back to life */
    assert_int_equal(append(&f, p, NOW + IDLE + 1, 10, &info), PW_ERANGE);
    assert_int_equal(append(&f, p, NOW + IDLE + 2, 10, &info), 0);
    one_series(p, 11);
    assert_int_equal(append(&f, p, NOW + 3 * IDLE, 1, &info), 0);
    free(p);
    fixture_free(&f);
    pw_activity_destroy_ctl(activity);
}

/* Ahead of time by a year and set right, or behind and set right: neither keeps a series active nor ends it. */
static void
clock_is_set(int64_t from, int64_t to)
{
    struct fixture f = fixture_new(64 << 20, 9);
    struct pw_activity *activity;
    struct rb_profile *p = malloc(sizeof(*p));
    struct pw_head_append_info info = {0};
    struct pw_now now = {.wall_ns = from, .mono_ns = 1};

    assert_int_equal(pw_activity_create_ctl(&activity), 0);
    pw_head_activity(f.head, activity);
    one_series(p, 0);
    assert_int_equal(append_at(&f, p, now, 1, &info), 0);
    assert_int_equal(pw_head_created_ns(f.head), from);
    one_series(p, 1);
    now.wall_ns = to;
    assert_int_equal(append_at(&f, p, now, 1, &info), PW_ERANGE);
    now.mono_ns += IDLE;
    assert_int_equal(append_at(&f, p, now, 1, &info), PW_ERANGE);
    now.mono_ns++;
    assert_int_equal(append_at(&f, p, now, 1, &info), 0);
    assert_int_equal(pw_head_created_ns(f.head), from);
    free(p);
    fixture_free(&f);
    pw_activity_destroy_ctl(activity);
}

static void
test_append__clock_is_set__series_grow_idle_as_before(void **state)
{
    const int64_t year = 365 * 24 * INT64_C(3600000000000);

    (void)state;
    clock_is_set(NOW + year, NOW);
    clock_is_set(NOW - year, NOW);
}

static void
test_append__more_tenants_than_configured__enomem(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct fixture f = fixture_new(64 << 20, 9);
    struct rb_profile *p = malloc(sizeof(*p));
    struct pw_slice name;
    struct pw_head_view v;

    for (uint32_t i = 0; i < 5; i++) {
        one_series(p, 1);
        p->tenant = names[i];
        assert_int_equal(append(&f, p, NOW, 0, NULL), i < 4 ? 0 : PW_ENOMEM);
        assert_int_equal(pw_head_view_open(f.head, slice_of(names[i]), &v), i < 4);
    }
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(pw_head_tenant_at(f.head, i, &name), i < 4);
        assert_true(i == 4 || pw_slice_eq_str(name, names[i]));
    }
    free(p);
    fixture_free(&f);
}

static void
test_view__taken_before_an_append__unchanged_by_it(void **state)
{
    struct fixture f = fixture_new(64 << 20, 77);
    struct rb_profile *p = malloc(sizeof(*p));
    struct pw_head_view old;
    struct pw_head_row row;

    one_series(p, 1);
    assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
    assert_true(pw_head_view_open(f.head, slice_of("anonymous"), &old));
    for (uint32_t i = 0; i < 100; i++) {
        one_series(p, 1);
        p->series[0].sample[0].value[0] = 100 + i;
        assert_int_equal(append(&f, p, NOW, 0, NULL), 0);
    }
    assert_int_equal(old.rows_count, 1);
    assert_int_equal(pw_head_series_last_row(&old, 0), 0);
    assert_true(pw_head_row_prev(&old, 0) == PW_HEAD_NO_ROW);
    pw_head_row_at(&old, 0, &row);
    assert_int_equal(row.total, 1);
    free(p);
    fixture_free(&f);
}

static void
test_create__bad_sizes__einval(void **state)
{
    struct pw_head *h;
    struct pw_head_cfg cfg = {.bytes_max = PW_HEAD_BYTES_MIN - 1, .tenants_max = 1};

    assert_int_equal(pw_head_create_ctl(&h, &cfg), PW_EINVAL);
    cfg.bytes_max = PW_HEAD_BYTES_MAX + 1;
    assert_int_equal(pw_head_create_ctl(&h, &cfg), PW_EINVAL);
    cfg.bytes_max = PW_HEAD_BYTES_MIN;
    cfg.tenants_max = 0;
    assert_int_equal(pw_head_create_ctl(&h, &cfg), PW_EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append__random_records__read_back_equal),
        cmocka_unit_test(test_append__same_profile_again__interns_nothing_new),
        cmocka_unit_test(test_append__all_values_zero__tenant_has_nothing),
        cmocka_unit_test(test_append__same_labels_other_types__one_series),
        cmocka_unit_test(test_append__negative_and_wide_values__kept),
        cmocka_unit_test(test_append__region_exhausted__all_or_nothing),
        cmocka_unit_test(test_append__series_limit__counts_active_ones),
        cmocka_unit_test(test_append__clock_is_set__series_grow_idle_as_before),
        cmocka_unit_test(test_append__more_tenants_than_configured__enomem),
        cmocka_unit_test(test_view__taken_before_an_append__unchanged_by_it),
        cmocka_unit_test(test_create__bad_sizes__einval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
