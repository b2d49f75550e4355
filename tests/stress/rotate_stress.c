/* One writer that is cut all the time, one storage thread that gives spares, takes sealed heads and
 * frees them, several readers of the catalog: every reader's sum of rows lies between what was appended
 * before it looked and what was after, and at the end it is exact. A head that leaves is stood in for
 * by the number of its rows, kept per generation, as a block would.
 *
 * usage: rotate_stress [milliseconds] [readers] */
#include "ingester/catalog.h"
#include "ingester/head_set.h"

#include "tests/support/record_build.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    KEY = 3,
    READERS_MAX = 8,
    RECORD_CAP = 4 << 20,
    HEAD_BYTES = 32 << 20,
    CUT_BYTES = 3 << 20,
    GENERATIONS_MAX = 1 << 20,
    SERIES = 300,
};

struct run {
    struct pw_catalog *catalog;
    struct pw_head_set *set;
    uint64_t deadline_ns;
    _Atomic uint64_t rows_before, rows_after; /* round an append: not less, not more is visible */
    _Atomic bool written;
    uint64_t *archived; /* rows that are in no head any more, by generation */
    uint64_t refused, cuts;
    _Atomic uint64_t looks;
};

struct reader {
    struct run *run;
    pthread_t thread;
};

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "rotate_stress: line %d: %s\n", __LINE__, #cond);                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static uint64_t
rows_of(const struct pw_head *h)
{
    struct pw_head_view v;

    return pw_head_view_open(h, PW_SLICE_LIT("t"), &v) ? v.rows_count : 0;
}

/* Touches what the newest rows refer to: a head that was freed too early is an error of the sanitizer. */
static void
read_some(const struct pw_head *h)
{
    struct pw_head_view v;
    struct pw_head_row row;
    struct pw_head_sample s;
    uint32_t depth;

    if (!pw_head_view_open(h, PW_SLICE_LIT("t"), &v)) {
        return;
    }
    for (uint64_t i = v.rows_count > 3 ? v.rows_count - 3 : 0; i < v.rows_count; i++) {
        pw_head_row_at(&v, i, &row);
        CHECK(pw_head_samples(&v, &row, 0, &s, 1) == 1 && s.value != 0);
        CHECK(pw_head_stack_locs(&v, s.stack, &depth) != NULL && depth <= RB_DEPTH_MAX);
    }
}

static uint64_t
look(struct run *run)
{
    const struct pw_catalog_view *view = pw_catalog_acquire(run->catalog);
    uint64_t rows = run->archived[view->generation];

    for (uint32_t i = 0; i < view->heads_count; i++) {
        rows += rows_of(view->head[i]);
        read_some(view->head[i]);
    }
    pw_catalog_release(run->catalog, view);
    return rows;
}

static void *
read_catalog(void *arg)
{
    struct reader *r = arg;

    while (now_ns() < r->run->deadline_ns) {
        uint64_t least = atomic_load(&r->run->rows_before);
        uint64_t rows = look(r->run);

        CHECK(rows >= least);
        CHECK(rows <= atomic_load(&r->run->rows_after));
        atomic_fetch_add(&r->run->looks, 1);
    }
    return NULL;
}

static struct pw_head *
new_head(void)
{
    const struct pw_head_cfg cfg = {.bytes_max = HEAD_BYTES, .hash_key = KEY, .tenants_max = 4};
    struct pw_head *h = NULL;

    CHECK(pw_head_create_ctl(&h, &cfg) == 0);
    return h;
}

static void
edit(struct run *run, uint64_t *generation, const struct pw_catalog_edit *e, uint64_t archived)
{
    CHECK(++*generation < GENERATIONS_MAX);
    run->archived[*generation] = archived;
    CHECK(pw_catalog_edit(run->catalog, e) == 0);
}

static void *
store(void *arg)
{
    struct run *run = arg;
    uint64_t generation = 1, archived = 0; /* 1: the first head */
    bool last;

    do {
        struct pw_head_sealed sealed;
        struct pw_head *h;

        last = atomic_load(&run->written);
        if (pw_head_set_wants_spare(run->set)) {
            h = new_head();
            edit(run, &generation, &(struct pw_catalog_edit){.add_head = &h, .add_heads = 1},
                 archived);
            pw_head_set_give_spare(run->set, h);
        }
        pw_head_set_cut(run->set);
        while (pw_head_set_take_sealed(run->set, &sealed)) {
            const struct pw_head *gone = sealed.head;

            archived += rows_of(gone);
            pw_head_set_retire(run->set, gone);
            edit(run, &generation,
                 &(struct pw_catalog_edit){.remove_head = &gone, .remove_heads = 1}, archived);
            run->cuts++;
        }
        pw_catalog_reap(run->catalog);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    } while (!last);
    return NULL;
}

static uint64_t
write_records(struct run *run)
{
    struct rb_profile *p = malloc(sizeof(*p));
    void *buf = aligned_alloc(64, RECORD_CAP);
    uint64_t seed = 99, rows = 0;

    while (now_ns() < run->deadline_ns) {
        struct pw_head *h = pw_head_set_turn(run->set);
        struct pw_head_append_info info;
        uint64_t had = rows_of(h);

        rb_profile_random(p, &seed, SERIES, RB_STACKS);
        p->tenant = "t";
        const struct pw_record *rec = rb_build(p, KEY, rb_random(&seed), buf, RECORD_CAP);

        CHECK(rec != NULL);
        atomic_store(&run->rows_after, rows + (uint64_t)p->series_count * p->types_count);
        run->refused +=
            pw_head_append(h, rec, (struct pw_now){.wall_ns = p->time_nanos}, 0, &info) != 0;
        rows += rows_of(h) - had;
        atomic_store(&run->rows_after, rows);
        atomic_store(&run->rows_before, rows);
    }
    atomic_store(&run->written, true);
    free(p);
    free(buf);
    return rows;
}

int
main(int argc, char **argv)
{
    uint64_t ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000, rows;
    int readers = argc > 2 ? atoi(argv[2]) : 2;
    struct run run = {.deadline_ns = now_ns() + ms * 1000000};
    struct reader reader[READERS_MAX];
    struct pw_head_set_cfg cfg = {.bytes_max = HEAD_BYTES, .cut_bytes = CUT_BYTES};
    pthread_t storage;

    CHECK(readers > 0 && readers <= READERS_MAX);
    run.archived = calloc(GENERATIONS_MAX, sizeof(*run.archived));
    CHECK(run.archived != NULL && pw_catalog_create_ctl(&run.catalog) == 0);
    cfg.first = new_head();
    CHECK(pw_catalog_edit(run.catalog,
                          &(struct pw_catalog_edit){.add_head = &cfg.first, .add_heads = 1}) == 0);
    CHECK(pw_head_set_create_ctl(&run.set, &cfg) == 0);
    CHECK(pthread_create(&storage, NULL, store, &run) == 0);
    for (int i = 0; i < readers; i++) {
        reader[i] = (struct reader){.run = &run};
        CHECK(pthread_create(&reader[i].thread, NULL, read_catalog, &reader[i]) == 0);
    }
    rows = write_records(&run);
    for (int i = 0; i < readers; i++) {
        pthread_join(reader[i].thread, NULL);
    }
    pthread_join(storage, NULL);
    printf("rows=%llu refused=%llu cuts=%llu looks=%llu\n", (unsigned long long)rows,
           (unsigned long long)run.refused, (unsigned long long)run.cuts,
           (unsigned long long)run.looks);
    CHECK(look(&run) == rows);
    CHECK(rows > 100 && run.cuts > 10 && run.looks > 10);
    CHECK(pw_catalog_reap(run.catalog) == 0);
    pw_head_set_destroy_ctl(run.set);
    pw_catalog_destroy_ctl(run.catalog);
    free(run.archived);
    return 0;
}
