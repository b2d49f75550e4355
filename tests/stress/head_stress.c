/* One writer, several readers on one head: whatever a view shows is whole. Readers open views while
 * made-up records come in (and are refused: the head is small and fills up) and check that totals are
 * the sums of samples, that every id is below its count and that symbols read as they should.
 *
 * usage: head_stress [milliseconds] [readers] */
#include "ingester/head.h"

#include "tests/support/record_build.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    KEY = 3,
    READERS_MAX = 8,
    RECORD_CAP = 4 << 20,
    ROWS_PER_VIEW = 40,
    SAMPLES = 64,
    DEPTH = 64
};

struct run {
    struct pw_head *head;
    uint64_t deadline_ns;
    uint64_t appended, refused;
    _Atomic uint64_t views, rows;
};

struct reader {
    struct run *run;
    pthread_t thread;
    uint64_t seed;
};

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "head_stress: line %d: %s\n", __LINE__, #cond);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void
check_string(const struct pw_head_view *v, uint32_t id)
{
    CHECK(id < v->strings_count);
    struct pw_slice s = pw_head_string(v, id);

    CHECK(s.len == 0 || s.ptr[0] == 'e' || s.ptr[0] == '/');
}

static void
check_stack(const struct pw_head_view *v, uint32_t stack)
{
    uint32_t loc[DEPTH];

    CHECK(stack < v->stacks_count);
    uint32_t depth = pw_head_stack(v, stack, loc, DEPTH);

    CHECK(depth <= RB_DEPTH_MAX);
    for (uint32_t d = 0; d < depth; d++) {
        struct pw_head_location l;
        struct pw_head_mapping m;

        CHECK(loc[d] < v->locations_count);
        pw_head_location(v, loc[d], &l);
        CHECK(l.address >= 0x1000 && l.address < 0x1000 + 16ULL * RB_LOCATIONS);
        CHECK(l.mapping < v->mappings_count);
        pw_head_mapping(v, l.mapping, &m);
        check_string(v, m.filename);
        for (uint32_t i = 0; i < l.line_count; i++) {
            struct pw_head_function f;

            CHECK(l.line[i].function < v->functions_count);
            pw_head_function(v, l.line[i].function, &f);
            check_string(v, f.name);
            check_string(v, f.filename);
        }
    }
}

static void
check_row(const struct pw_head_view *v, uint64_t i, bool symbols)
{
    struct pw_head_sample s[SAMPLES];
    struct pw_head_row row;
    uint32_t first = 0, n;
    uint64_t total = 0;

    pw_head_row_at(v, i, &row);
    CHECK(row.series < v->series_count && row.samples_count > 0);
    while ((n = pw_head_samples(v, &row, first, s, SAMPLES)) > 0) {
        for (uint32_t k = 0; k < n; k++) {
            CHECK(s[k].value != 0 && s[k].stack < v->stacks_count);
            total += (uint64_t)s[k].value;
            if (s[k].span != 0) {
                struct pw_record_span_id id;

                pw_head_span(v, s[k].span, &id);
                CHECK(id.has_span == 1);
            }
        }
        if (symbols) {
            check_stack(v, s[0].stack);
        }
        first += n;
    }
    CHECK(first == row.samples_count && (int64_t)total == row.total);
}

static void
check_series(const struct pw_head_view *v, uint32_t id)
{
    struct pw_head_series s;
    int64_t min, max;
    uint64_t row = pw_head_series_last_row(v, id);

    pw_head_series_at(v, id, &s);
    CHECK(s.label_count >= 7);
    for (uint32_t i = 1; i < s.label_count; i++) {
        CHECK(pw_slice_cmp(s.label[i - 1].name, s.label[i].name) < 0);
    }
    /* A visible series has a visible row. */
    CHECK(row < v->rows_count);
    pw_head_series_time(v, id, &min, &max);
    for (int i = 0; i < 5 && row != PW_HEAD_NO_ROW; i++, row = pw_head_row_prev(v, row)) {
        uint32_t series;
        int64_t time;

        pw_head_row_peek(v, row, &series, &time);
        CHECK(series == id && time >= min && time <= max);
    }
}

static void
check_view(const struct pw_head_view *v, uint64_t *seed)
{
    uint64_t first = v->rows_count > ROWS_PER_VIEW ? v->rows_count - ROWS_PER_VIEW : 0;

    for (uint64_t i = first; i < v->rows_count; i++) { /* the newest: where a race would be */
        check_row(v, i, true);
    }
    for (int i = 0; i < 10; i++) {
        check_row(v, rb_random(seed) % v->rows_count, false);
        check_series(v, (uint32_t)(rb_random(seed) % v->series_count));
    }
    check_series(v, v->series_count - 1);
    check_stack(v, v->stacks_count - 1);
    check_string(v, v->strings_count - 1);
}

static void *
read_views(void *arg)
{
    struct reader *r = arg;
    uint64_t rows_before = 0;

    while (now_ns() < r->run->deadline_ns) {
        struct pw_slice name;
        uint64_t rows = 0;

        for (uint32_t t = 0; pw_head_tenant_at(r->run->head, t, &name); t++) {
            struct pw_head_view v;

            CHECK(pw_head_view_open(r->run->head, name, &v));
            CHECK(v.rows_count > 0);
            check_view(&v, &r->seed);
            rows += v.rows_count;
            atomic_fetch_add(&r->run->views, 1);
        }
        CHECK(rows >= rows_before);
        rows_before = rows;
    }
    atomic_fetch_add(&r->run->rows, rows_before);
    return NULL;
}

static void
write_records(struct run *run)
{
    struct rb_profile *p = malloc(sizeof(*p));
    void *buf = aligned_alloc(64, RECORD_CAP);
    uint64_t seed = 99;

    while (now_ns() < run->deadline_ns) {
        rb_profile_random(p, &seed, 300, RB_STACKS);
        const struct pw_record *rec = rb_build(p, KEY, rb_random(&seed), buf, RECORD_CAP);
        struct pw_head_append_info info;

        CHECK(rec != NULL);
        int rc =
            pw_head_append(run->head, rec, (struct pw_now){.wall_ns = p->time_nanos}, 1000, &info);

        CHECK(rc == 0 || rc == PW_ENOMEM || rc == PW_ERANGE);
        run->appended += rc == 0;
        run->refused += rc != 0;
    }
    free(p);
    free(buf);
}

int
main(int argc, char **argv)
{
    uint64_t ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    int readers = argc > 2 ? atoi(argv[2]) : 2;
    struct pw_head_cfg cfg = {.bytes_max = 24 << 20,
                              .hash_key = KEY,
                              .tenants_max = 4,
                              .series_idle_ns = 600LL * 1000000000};
    struct run run = {.deadline_ns = now_ns() + ms * 1000000};
    struct reader reader[READERS_MAX];

    CHECK(readers > 0 && readers <= READERS_MAX);
    CHECK(pw_head_create_ctl(&run.head, &cfg) == 0);
    for (int i = 0; i < readers; i++) {
        reader[i] = (struct reader){.run = &run, .seed = 1000 + (uint64_t)i};
        CHECK(pthread_create(&reader[i].thread, NULL, read_views, &reader[i]) == 0);
    }
    write_records(&run);
    for (int i = 0; i < readers; i++) {
        pthread_join(reader[i].thread, NULL);
    }
    printf("appended=%llu refused=%llu views=%llu\n", (unsigned long long)run.appended,
           (unsigned long long)run.refused, (unsigned long long)run.views);
    CHECK(run.appended > 10 && run.views > 10);
    pw_head_destroy_ctl(run.head);
    return 0;
}
