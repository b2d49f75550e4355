/* What a push of the mix costs between its gzip body and its record, stage by stage, as it is in life:
 * every round takes each file of perf/corpus through all stages, so that a stage finds the caches and
 * predictors as the ones before it left them. Figures are microseconds per profile: the least (or the
 * median) of each stage of each file over the rounds, averaged over the files. */
#include "perf/bench.h"
#include "perf/mix.h"
#include "pprof/inflate.h"
#include "pprof/profile.h"
#include "pprof/record.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SCRATCH_BYTES = 256 << 20, OUT_BYTES = 16 << 20, SAMPLES_MAX = 1 << 20, ROUNDS = 400 };

enum stage { UNPACK, INFLATE, PARSE, VALIDATE, NORMALIZE, BUILD, STAGES };

struct state {
    struct mix mix;
    struct libdeflate_decompressor *whole;
    struct pw_inflater *inf;
    struct pw_scratch scratch;
    uint8_t *out;    /* unpacked profile */
    uint8_t *record; /* built record */
    uint32_t *all;   /* 0, 1, 2 ... */
    uint64_t record_bytes;
    double us[STAGES][MIX_FILES_MAX][ROUNDS];
};

static const struct pw_profile_limits limits = {.size_bytes_max = 4 << 20,
                                                .samples_max = 16000,
                                                .sample_labels_max = 100,
                                                .stacktrace_depth_max = 1000,
                                                .symbol_value_bytes_max = 65535};

static void
build(struct state *s, const struct pw_profile *p)
{
    static struct pw_label_pair pair[] = {
        {PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
        {PW_SLICE_LIT("namespace"), PW_SLICE_LIT("default")},
        {PW_SLICE_LIT("pod"), PW_SLICE_LIT("checkout-5d8f7c9b4-x2x7p")},
        {PW_SLICE_LIT("service_name"), PW_SLICE_LIT("checkout")},
    };
    struct pw_labels labels = {.pair = pair, .count = 4, .cap = 4};
    struct pw_record_group group = {
        .labels = &labels, .sample = s->all, .sample_count = p->sample_count};
    struct pw_record_source src = {
        .profile = p, .tenant = PW_SLICE_LIT("anonymous"), .group = &group, .group_count = 1};
    int64_t n = pw_record_build(&src, s->record, pw_record_bytes_max(&src));

    if (n <= 0) {
        fprintf(stderr, "bench: record refused\n");
        exit(1);
    }
    s->record_bytes += (uint64_t)n;
}

static double
now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* One file through all stages; at[] gets the time before the first and after each. */
static bool
one_push(struct state *s, uint32_t file, double *at)
{
    struct pw_profile p;
    struct pw_profile_finding f = {0};
    const char *err = NULL;
    size_t n = 0;
    bool ok;

    at[UNPACK] = now_us();
    ok = libdeflate_gzip_decompress(s->whole, s->mix.gz[file].ptr, s->mix.gz[file].len, s->out,
                                    OUT_BYTES, &n) == LIBDEFLATE_SUCCESS;
    at[INFLATE] = now_us();
    ok = ok && pw_inflate(s->inf, &s->mix.gz[file], 1, s->out, OUT_BYTES, &n) == PW_INFLATE_OK;
    at[PARSE] = now_us();
    s->scratch.used = 0;
    ok = ok && pw_profile_parse(&p, &s->scratch, 42, pw_slice(s->out, n), &err) == 0;
    at[VALIDATE] = now_us();
    ok = ok && pw_profile_validate(&p, &limits, 1, &f) == PW_PROFILE_FINE;
    at[NORMALIZE] = now_us();
    ok = ok && pw_profile_normalize(&p) == 0;
    at[BUILD] = now_us();
    if (ok) {
        build(s, &p);
    }
    at[STAGES] = now_us();
    return ok;
}

static int
cmp_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Mean over files of the least, and of the median, time of a stage. */
static void
summarize(struct state *s, int stage, double *least, double *median)
{
    *least = *median = 0;
    for (uint32_t i = 0; i < s->mix.count; i++) {
        double *t = s->us[stage][i];

        qsort(t, ROUNDS, sizeof(*t), cmp_double);
        *least += t[0] / s->mix.count;
        *median += t[ROUNDS / 2] / s->mix.count;
    }
}

int
main(int argc, char **argv)
{
    static const char *const name[STAGES] = {"unpack",   "inflate",   "parse",
                                             "validate", "normalize", "record"};
    static struct state s;
    double pprof = 0, pprof_median = 0;

    s = (struct state){.whole = libdeflate_alloc_decompressor(),
                       .out = malloc(OUT_BYTES),
                       .record = aligned_alloc(64, OUT_BYTES),
                       .all = malloc(SAMPLES_MAX * sizeof(uint32_t))};
    bench_begin();
    mix_load(&s.mix, argc > 1 ? argv[1] : NULL);
    if (pw_inflater_init_ctl(&s.inf) != 0 || pw_scratch_init_ctl(&s.scratch, SCRATCH_BYTES) != 0) {
        return 1;
    }
    for (uint32_t i = 0; i < SAMPLES_MAX; i++) {
        s.all[i] = i;
    }
    for (int round = 0; round < ROUNDS; round++) {
        s.record_bytes = 0;
        for (uint32_t i = 0; i < s.mix.count; i++) {
            double at[STAGES + 1];

            if (!one_push(&s, i, at)) {
                fprintf(stderr, "bench: %s refused\n", s.mix.name[i]);
                return 1;
            }
            for (int stage = 0; stage < STAGES; stage++) {
                s.us[stage][i][round] = at[stage + 1] - at[stage];
            }
        }
    }
    for (int stage = 0; stage < STAGES; stage++) {
        double least, median;
        char line[64];

        summarize(&s, stage, &least, &median);
        snprintf(line, sizeof(line), "%s_us", name[stage]);
        bench_print(line, least);
        snprintf(line, sizeof(line), "%s_median_us", name[stage]);
        bench_print(line, median);
        pprof += stage >= PARSE ? least : 0;
        pprof_median += stage >= PARSE ? median : 0;
    }
    bench_print("pprof_us", pprof);
    bench_print("pprof_median_us", pprof_median);
    bench_print("record_bytes", (double)s.record_bytes / s.mix.count);
    return 0;
}
