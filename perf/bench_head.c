/* What taking a record into the head costs, and how many bytes it leaves there. The mix of perf/corpus
 * from 250 pods of 20 services. head_repeat: every stack was seen before (the steady state).
 * head_first: each profile is the first of its kind in its tenant. */
#include "base/clock.h"
#include "base/hist.h"
#include "ingester/head.h"
#include "perf/bench.h"
#include "perf/mix_record.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RECORDS = 500,
    PUSHES = 5000,
    TENANT_LEN = 8,
};
#define HEAD_BYTES (4ULL << 30)

struct state {
    struct mix mix;
    struct pw_record *record[RECORDS]; /* of push i: record[i % records] */
    uint32_t records;
    struct pw_head *head;
    uint64_t pushed, tenants;
};

static void
die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void
head_new(struct state *s)
{
    struct pw_head_cfg cfg = {.bytes_max = HEAD_BYTES,
                              .hash_key = MIX_HASH_KEY,
                              .tenants_max = 1 << 16,
                              .series_idle_ns = 600LL * 1000000000};

    pw_head_destroy_ctl(s->head);
    if (pw_head_create_ctl(&s->head, &cfg) != 0) {
        die("no head");
    }
    s->pushed = 0;
}

static void
push(struct state *s, uint64_t i)
{
    struct pw_record *rec = s->record[i % s->records];

    rec->time_nanos = 1700000000000000000 + (int64_t)i * 1000000;
    if (pw_head_append(s->head, rec, (struct pw_now){.wall_ns = rec->time_nanos}, 0, NULL) != 0) {
        die("append refused");
    }
}

static void
fill_once(struct state *s)
{
    head_new(s);
    for (uint32_t i = 0; i < s->records; i++) {
        push(s, s->pushed++);
    }
}

static void
step_repeat(void *arg)
{
    struct state *s = arg;
    struct pw_head_stats st;

    pw_head_stats(s->head, &st);
    if (st.bytes_used > HEAD_BYTES / 2) {
        fill_once(s);
    }
    for (uint32_t i = 0; i < s->mix.count; i++) {
        push(s, s->pushed++);
    }
}

static void
step_first(void *arg)
{
    struct state *s = arg;
    char tenant[TENANT_LEN + 1];

    snprintf(tenant, sizeof(tenant), "%08u", (unsigned)++s->tenants);
    for (uint32_t i = 0; i < s->mix.count; i++) {
        struct pw_record *rec = s->record[i];

        memcpy((uint8_t *)rec + rec->tenant.off, tenant, TENANT_LEN);
        push(s, i);
    }
}

static void
print_bytes(struct state *s)
{
    struct pw_head_stats st;

    head_new(s);
    for (uint32_t i = 0; i < PUSHES; i++) {
        push(s, i);
    }
    pw_head_stats(s->head, &st);
    bench_print("head_bytes_per_push", (double)st.bytes_used / PUSHES);
    bench_print("head_samples_bytes_per_push", (double)st.bytes_samples / PUSHES);
    bench_print("head_other_bytes_per_push", (double)(st.bytes_used - st.bytes_samples) / PUSHES);
    bench_print("head_samples_per_push", (double)st.samples / PUSHES);
    bench_print("head_rows_per_push", (double)st.rows / PUSHES);
}

/* How long single pushes take, with and without idle turns in between. */
static void
print_slowest(struct state *s, const char *name, int idle_turns)
{
    static struct pw_hist hist;
    struct pw_clock clock;
    char line[64];

    pw_clock_init_ctl(&clock);
    memset(&hist, 0, sizeof(hist));
    fill_once(s);
    for (uint32_t i = 0; i < 4 * PUSHES; i++) {
        for (int k = 0; k < idle_turns; k++) {
            (void)pw_head_prefault_cold(s->head, 4 << 20);
        }
        uint64_t start = pw_rdtsc();

        push(s, s->pushed++);
        pw_hist_record(&hist, pw_clock_tsc_to_ns(&clock, pw_rdtsc() - start));
    }
    snprintf(line, sizeof(line), "%s_p99_ns", name);
    bench_print(line, (double)pw_hist_quantile(&hist, 0.99));
    snprintf(line, sizeof(line), "%s_p9999_ns", name);
    bench_print(line, (double)pw_hist_quantile(&hist, 0.9999));
}

static void
step_read(void *arg)
{
    struct state *s = arg;
    struct pw_head_view v;
    uint64_t sum = 0;

    if (!pw_head_view_open(s->head, PW_SLICE_LIT("00000000"), &v)) {
        die("no view");
    }
    for (uint64_t i = 0; i < v.rows_count; i++) {
        struct pw_head_sample sample[256];
        struct pw_head_row row;
        uint32_t first = 0, n;

        pw_head_row_at(&v, i, &row);
        while ((n = pw_head_samples(&v, &row, first, sample, 256)) > 0) {
            for (uint32_t k = 0; k < n; k++) {
                sum += (uint64_t)sample[k].value + sample[k].stack;
            }
            first += n;
        }
    }
    bench_keep(sum);
}

int
main(int argc, char **argv)
{
    struct state s = {0};
    struct pw_head_stats st;

    bench_begin();
    mix_load(&s.mix, argc > 1 ? argv[1] : NULL);
    s.records = mix_records(&s.mix, RECORDS, s.record);
    print_bytes(&s);
    pw_head_stats(s.head, &st);
    bench_run("head_read_sample", step_read, &s, st.samples);
    fill_once(&s);
    bench_run("head_repeat", step_repeat, &s, s.mix.count);
    print_slowest(&s, "head_busy", 0);
    print_slowest(&s, "head_idle_between", 1);
    head_new(&s);
    bench_run("head_first", step_first, &s, s.mix.count);
    return 0;
}
