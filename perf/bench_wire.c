/* What a push of the mix costs between its gzip body and its record, stage by stage. One operation is
 * one profile; figures are microseconds per profile over all files of perf/corpus in turn. */
#include "perf/bench.h"
#include "perf/mix.h"
#include "pprof/inflate.h"
#include "pprof/profile.h"
#include "pprof/record.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCRATCH_BYTES = 256 << 20, OUT_BYTES = 16 << 20, SAMPLES_MAX = 1 << 20 };

struct state {
    struct mix mix;
    struct libdeflate_decompressor *whole;
    struct pw_inflater *inf;
    struct pw_scratch scratch;
    uint8_t *out;    /* unpacked profile */
    uint8_t *record; /* built record */
    uint32_t *all;   /* 0, 1, 2 ... */
    int upto;        /* how many stages a call runs */
    uint64_t record_bytes;
};

enum stage { INFLATE, PARSE, VALIDATE, NORMALIZE, BUILD };

static const struct pw_profile_limits limits = {.size_bytes_max = 4 << 20,
                                                .samples_max = 16000,
                                                .sample_labels_max = 100,
                                                .stacktrace_depth_max = 1000,
                                                .symbol_value_bytes_max = 65535};

static void
step_libdeflate(void *arg)
{
    struct state *s = arg;

    for (uint32_t i = 0; i < s->mix.count; i++) {
        size_t n = 0;

        (void)libdeflate_gzip_decompress(s->whole, s->mix.gz[i].ptr, s->mix.gz[i].len, s->out,
                                         OUT_BYTES, &n);
        bench_keep(n);
    }
}

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

/* Stages up to s->upto over each file; the cost of one stage is the difference of two runs, so that
 * every stage finds the caches as it does in life. */
static void
step(void *arg)
{
    struct state *s = arg;

    s->record_bytes = 0;
    for (uint32_t i = 0; i < s->mix.count; i++) {
        struct pw_profile p;
        struct pw_profile_finding f = {0};
        const char *err = NULL;
        size_t n = 0;
        int bad = pw_inflate(s->inf, &s->mix.gz[i], 1, s->out, OUT_BYTES, &n) != PW_INFLATE_OK;

        s->scratch.used = 0;
        if (!bad && s->upto >= PARSE) {
            bad = pw_profile_parse(&p, &s->scratch, 42, pw_slice(s->out, n), &err);
        }
        if (!bad && s->upto >= VALIDATE) {
            bad = pw_profile_validate(&p, &limits, 1, &f) != PW_PROFILE_FINE;
        }
        if (!bad && s->upto >= NORMALIZE) {
            bad = pw_profile_normalize(&p);
        }
        if (bad) {
            fprintf(stderr, "bench: %s refused\n", s->mix.name[i]);
            exit(1);
        }
        if (s->upto >= BUILD) {
            build(s, &p);
        }
    }
}

int
main(int argc, char **argv)
{
    static const char *const name[] = {"inflate_us", "parse_us", "validate_us", "normalize_us",
                                       "record_us"};
    struct state s = {.whole = libdeflate_alloc_decompressor(),
                      .out = malloc(OUT_BYTES),
                      .record = aligned_alloc(64, OUT_BYTES),
                      .all = malloc(SAMPLES_MAX * sizeof(uint32_t))};
    double before = 0, inflate = 0, unpack;

    bench_begin();
    mix_load(&s.mix, argc > 1 ? argv[1] : NULL);
    if (pw_inflater_init_ctl(&s.inf) != 0 || pw_scratch_init_ctl(&s.scratch, SCRATCH_BYTES) != 0) {
        return 1;
    }
    for (uint32_t i = 0; i < SAMPLES_MAX; i++) {
        s.all[i] = i;
    }
    unpack = bench_run(NULL, step_libdeflate, &s, s.mix.count).ns_min / 1000;
    bench_print("unpack_us", unpack);
    for (s.upto = INFLATE; s.upto <= BUILD; s.upto++) {
        double t = bench_run(NULL, step, &s, s.mix.count).ns_min / 1000;

        bench_print(name[s.upto], t - before);
        inflate = s.upto == INFLATE ? t : inflate;
        before = t;
    }
    bench_print("pprof_us", before - inflate);
    bench_print("record_bytes", (double)s.record_bytes / s.mix.count);
    return 0;
}
