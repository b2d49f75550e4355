/* What a block of the mix takes on disk, in time and in memory, beside the head it is made from: the mix of
 * perf/corpus from 250 pods of 20 services, as bench_head. Every push has an ID of its own; `same` repeats
 * each profile's values, `vary` draws new ones, near the old.
 *
 * usage: bench_block [PUSHES [DIRECTORY]]     default 5000 pushes, below /tmp
 * zstd and plain write the same rows; plain has the encodings that stock writes. memory_of_head is what the
 * writer allocates at most, over what the head holds. */
#include "base/clock.h"
#include "ingester/head.h"
#include "perf/bench.h"
#include "perf/mix.h"
#include "pprof/inflate.h"
#include "pprof/profile.h"
#include "pprof/record.h"
#include "store/block/block_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SCRATCH_BYTES = 256 << 20,
    OUT_BYTES = 16 << 20,
    SAMPLES_MAX = 1 << 20,
    PODS = 250,
    SERVICES = 20,
    RECORDS = 500,
    KEY = 42,
};
#define HEAD_BYTES (6ULL << 30)

struct state {
    struct mix mix;
    struct pw_inflater *inf;
    struct pw_scratch scratch;
    uint8_t *out;
    uint32_t *all;
    struct pw_record *record[RECORDS];
    uint8_t *values[RECORDS]; /* as they were in the profile */
    struct pw_head *head;
    struct pw_head_view view;
    uint64_t seed;
};

static void
die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static uint64_t
draw(struct state *s)
{
    uint64_t z = s->seed += 0x9E3779B97F4A7C15U; /* splitmix64 */

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
}

/* --- Filling a head --------------------------------------------------------------------------------- */

static struct pw_record *
build(struct state *s, const struct pw_profile *p, uint32_t push)
{
    char pod[64], service[64];
    uint32_t n = push % PODS;

    snprintf(service, sizeof(service), "service-%02u", n % SERVICES);
    snprintf(pod, sizeof(pod), "service-%02u-5d8f7c9b4-x%04u", n % SERVICES, n);
    struct pw_label_pair pair[] = {
        {PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
        {PW_SLICE_LIT("namespace"), PW_SLICE_LIT("default")},
        {PW_SLICE_LIT("pod"), pw_slice_str(pod)},
        {PW_SLICE_LIT("service_name"), pw_slice_str(service)},
    };
    struct pw_labels labels = {.pair = pair, .count = 4, .cap = 4};
    struct pw_record_group group = {
        .labels = &labels, .sample = s->all, .sample_count = p->sample_count};
    struct pw_record_source src = {
        .profile = p, .tenant = PW_SLICE_LIT("00000000"), .group = &group, .group_count = 1};
    size_t cap = pw_record_bytes_max(&src);
    struct pw_record *rec = aligned_alloc(64, pw_align_up(cap, 64));

    if (rec == NULL || pw_record_build(&src, rec, cap) <= 0) {
        die("record refused");
    }
    return rec;
}

static uint8_t *
copy_values(const struct pw_record *rec)
{
    const struct pw_record_series *rs = PW_RECORD_AT(rec, struct pw_record_series, rec->series_off);
    size_t n = (size_t)rs->samples_count * rec->types_count * rs->value_bytes;
    uint8_t *copy = malloc(n + 1);

    if (copy == NULL) {
        die("out of memory");
    }
    return memcpy(copy, (const uint8_t *)rec + rs->values_off, n);
}

static uint32_t
build_records(struct state *s)
{
    uint32_t n = RECORDS / s->mix.count * s->mix.count;

    for (uint32_t i = 0; i < n; i++) {
        struct pw_slice gz = s->mix.gz[i % s->mix.count];
        struct pw_profile p;
        const char *err = NULL;
        size_t bytes = 0;

        s->scratch.used = 0;
        if (pw_inflate(s->inf, &gz, 1, s->out, OUT_BYTES, &bytes) != PW_INFLATE_OK ||
            pw_profile_parse(&p, &s->scratch, KEY, pw_slice(s->out, bytes), &err) != 0 ||
            pw_profile_normalize(&p) != 0) {
            die(s->mix.name[i % s->mix.count]);
        }
        s->record[i] = build(s, &p, i);
        s->values[i] = copy_values(s->record[i]);
    }
    return n;
}

/* Values keep their unit: the largest power of ten that divides them. */
static int64_t
near(struct state *s, int64_t v)
{
    int64_t unit = 1;

    if (v <= 0) {
        return v;
    }
    while (v % (unit * 10) == 0) {
        unit *= 10;
    }
    v = v / unit;
    v = v / 2 + (int64_t)(draw(s) % (uint64_t)(v + 1));
    return (v == 0 ? 1 : v) * unit;
}

static void
vary_values(struct state *s, struct pw_record *rec, const struct pw_record_series *rs,
            const uint8_t *from)
{
    uint8_t *at = (uint8_t *)rec + rs->values_off;
    int64_t max = rs->value_bytes == 8 ? INT64_MAX : (int64_t)(1ULL << 8 * rs->value_bytes) - 1;

    for (uint32_t k = 0; k < rs->samples_count * rec->types_count; k++) {
        int64_t v = 0, drawn;

        memcpy(&v, from, rs->value_bytes);
        drawn = near(s, v);
        v = drawn <= max ? drawn : v;
        memcpy(at, &v, rs->value_bytes);
        at += rs->value_bytes;
        from += rs->value_bytes;
    }
}

static void
fill_head(struct state *s, uint32_t pushes, uint32_t records, bool vary)
{
    struct pw_head_cfg cfg = {.bytes_max = HEAD_BYTES,
                              .hash_key = KEY,
                              .tenants_max = 16,
                              .series_idle_ns = 600LL * 1000000000};

    pw_head_destroy_ctl(s->head);
    if (pw_head_create_ctl(&s->head, &cfg) != 0) {
        die("no head");
    }
    for (uint32_t i = 0; i < pushes; i++) {
        struct pw_record *rec = s->record[i % records];
        struct pw_record_series *rs = (void *)((uint8_t *)rec + rec->series_off);

        for (uint32_t k = 0; k < 2; k++) {
            uint64_t half = draw(s);

            memcpy(rs->uuid + 8 * k, &half, sizeof(half));
        }
        if (vary) {
            vary_values(s, rec, rs, s->values[i % records]);
        }
        rec->time_nanos = 1700000000000000000 + (int64_t)i * 1000000 + (int64_t)(draw(s) % 1000000);
        if (pw_head_append(s->head, rec, rec->time_nanos, 0, NULL) != 0) {
            die("append refused");
        }
    }
    if (!pw_head_view_open(s->head, PW_SLICE_LIT("00000000"), &s->view)) {
        die("no view");
    }
}

/* --- The head as a source ---------------------------------------------------------------------------- */

static const struct pw_head_view *
view_of(const void *ctx)
{
    return &((const struct state *)ctx)->view;
}

static void
get_series(const void *ctx, uint32_t id, struct pw_block_in_series *out)
{
    struct pw_head_series s;
    struct pw_slice service = {NULL, 0};

    pw_head_series_at(view_of(ctx), id, &s);
    for (uint32_t i = 0; i < s.label_count; i++) {
        service = pw_slice_eq_str(s.label[i].name, "service_name") ? s.label[i].value : service;
    }
    *out = (struct pw_block_in_series){
        .label = s.label,
        .label_count = s.label_count,
        .fingerprint = s.fingerprint,
        .partition = pw_block_partition(pw_slice("", 0), service),
    };
}

static void
peek_row(const void *ctx, uint64_t i, uint32_t *series, int64_t *time_ns)
{
    pw_head_row_peek(view_of(ctx), i, series, time_ns);
}

static void
get_row(const void *ctx, uint64_t i, struct pw_block_in_row *out)
{
    struct pw_head_row r;

    pw_head_row_at(view_of(ctx), i, &r);
    *out = (struct pw_block_in_row){
        .time_ns = r.time_ns,
        .duration_ns = r.duration_ns,
        .period = r.period,
        .series = r.series,
        .samples_count = r.samples_count,
        .samples_ref = r.samples_ref,
    };
    memcpy(out->uuid, r.uuid, sizeof(out->uuid));
}

static_assert(sizeof(struct pw_block_in_sample) == sizeof(struct pw_head_sample) &&
                  offsetof(struct pw_block_in_sample, span) ==
                      offsetof(struct pw_head_sample, span),
              "samples are handed on as they are");

static uint32_t
get_samples(const void *ctx, const struct pw_block_in_row *row, uint32_t first,
            struct pw_block_in_sample *out, uint32_t n)
{
    struct pw_head_row r = {.samples_count = row->samples_count, .samples_ref = row->samples_ref};

    return pw_head_samples(view_of(ctx), &r, first, (struct pw_head_sample *)(void *)out, n);
}

static const uint32_t *
get_stack(const void *ctx, uint32_t id, uint32_t *depth)
{
    return pw_head_stack_locs(view_of(ctx), id, depth);
}

static void
get_location(const void *ctx, uint32_t id, struct pw_block_location *out)
{
    struct pw_head_location l;

    pw_head_location(view_of(ctx), id, &l);
    *out = (struct pw_block_location){
        .address = l.address,
        .mapping = l.mapping,
        .line_count = l.line_count,
        .line = (const struct pw_block_line *)(const void *)l.line,
    };
}

static void
get_function(const void *ctx, uint32_t id, struct pw_block_function *out)
{
    struct pw_head_function f;

    pw_head_function(view_of(ctx), id, &f);
    *out = (struct pw_block_function){.name = f.name,
                                      .system_name = f.system_name,
                                      .filename = f.filename,
                                      .start_line = f.start_line};
}

static void
get_mapping(const void *ctx, uint32_t id, struct pw_block_mapping *out)
{
    struct pw_head_mapping m;

    pw_head_mapping(view_of(ctx), id, &m);
    *out = (struct pw_block_mapping){.memory_start = m.memory_start,
                                     .memory_limit = m.memory_limit,
                                     .file_offset = m.file_offset,
                                     .filename = m.filename,
                                     .build_id = m.build_id};
}

static struct pw_slice
get_string(const void *ctx, uint32_t id)
{
    return pw_head_string(view_of(ctx), id);
}

static void
get_span(const void *ctx, uint32_t id, struct pw_block_span *out)
{
    struct pw_record_span_id span;

    pw_head_span(view_of(ctx), id, &span);
    memcpy(out->span_id, span.span_id, sizeof(out->span_id));
    memcpy(out->trace_id, span.trace_id, sizeof(out->trace_id));
}

static struct pw_block_source
source_of(const struct state *s)
{
    return (struct pw_block_source){
        .ctx = s,
        .rows_count = s->view.rows_count,
        .series_count = s->view.series_count,
        .stacks_count = s->view.stacks_count,
        .locations_count = s->view.locations_count,
        .functions_count = s->view.functions_count,
        .mappings_count = s->view.mappings_count,
        .strings_count = s->view.strings_count,
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
}

/* --- Measuring --------------------------------------------------------------------------------------- */

static double
cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
print(const char *kind, const char *codec, const char *what, double v)
{
    char name[96];

    snprintf(name, sizeof(name), "block_%s_%s_%s", kind, codec, what);
    bench_print(name, v);
}

static void
measure(struct state *s, const char *kind, const char *codec_name, enum pw_block_codec codec,
        uint32_t pushes, const char *dir)
{
    struct pw_block_source src = source_of(s);
    struct pw_block_writer_cfg cfg = {.dir = dir, .codec = codec, .hostname = "bench"};
    struct pw_block_info info;
    struct pw_block_error err;
    struct pw_head_stats st;
    double start;
    uint64_t bytes;

    if (pw_ulid_make(&cfg.ulid, 1700000000000) != 0) {
        die("no ULID");
    }
    start = cpu_ns();
    if (pw_block_write(&cfg, &src, &info, &err) != 0) {
        die(err.text);
    }
    print(kind, codec_name, "cpu_ns_per_push", (cpu_ns() - start) / pushes);
    bytes = info.bytes_index + info.bytes_meta + info.bytes_profiles + info.bytes_symbols;
    print(kind, codec_name, "bytes_per_push", (double)bytes / pushes);
    print(kind, codec_name, "profiles_bytes_per_push", (double)info.bytes_profiles / pushes);
    pw_head_stats(s->head, &st);
    print(kind, codec_name, "memory_of_head", (double)info.memory_peak / (double)st.bytes_used);
}

int
main(int argc, char **argv)
{
    uint32_t pushes = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 5000;
    char dir[] = "/tmp/pw-bench-block-XXXXXX", command[128];
    static struct state s = {.seed = 1};
    const char *where = argc > 2 ? argv[2] : mkdtemp(dir);
    uint32_t records;

    if (where == NULL || pushes == 0) {
        die("usage: bench_block [PUSHES [DIRECTORY]]");
    }
    mix_load(&s.mix, NULL);
    s.out = malloc(OUT_BYTES);
    s.all = malloc(SAMPLES_MAX * sizeof(*s.all));
    if (pw_inflater_init_ctl(&s.inf) != 0 || s.out == NULL || s.all == NULL ||
        pw_scratch_init_ctl(&s.scratch, SCRATCH_BYTES) != 0) {
        die("out of memory");
    }
    for (uint32_t i = 0; i < SAMPLES_MAX; i++) {
        s.all[i] = i;
    }
    records = build_records(&s);
    for (int vary = 0; vary < 2; vary++) {
        const char *kind = vary != 0 ? "vary" : "same";

        fill_head(&s, pushes, records, vary != 0);
        measure(&s, kind, "zstd", PW_BLOCK_ZSTD, pushes, where);
        measure(&s, kind, "plain", PW_BLOCK_UNCOMPRESSED, pushes, where);
    }
    if (argc <= 2) {
        snprintf(command, sizeof(command), "rm -rf %s", dir);
        return system(command) != 0;
    }
    return 0;
}
