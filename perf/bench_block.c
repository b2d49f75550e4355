/* What a block of the mix takes on disk, in time and in memory, beside the head it is made from: the mix of
 * perf/corpus from 250 pods of 20 services, as bench_head. Every push has an ID of its own; `same` repeats
 * each profile's values, `vary` draws new ones, near the old.
 *
 * usage: bench_block [PUSHES [DIRECTORY]]     default 5000 pushes, below /tmp
 * zstd and plain write the same rows; plain has the encodings that stock writes. memory_of_head is what the
 * writer allocates at most, over what the head holds. */
#include "base/clock.h"
#include "ingester/head_source.h"
#include "perf/bench.h"
#include "perf/mix_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RECORDS = 500 };
#define HEAD_BYTES (6ULL << 30)

struct state {
    struct mix mix;
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
                              .hash_key = MIX_HASH_KEY,
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
        if (pw_head_append(s->head, rec, (struct pw_now){.wall_ns = rec->time_nanos}, 0, NULL) !=
            0) {
            die("append refused");
        }
    }
    if (!pw_head_view_open(s->head, PW_SLICE_LIT("00000000"), &s->view)) {
        die("no view");
    }
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
    uint64_t *partition = pw_head_source_partitions(&s->view);
    const struct pw_head_source head = {
        .v = s->view, .partition = partition, .rows = s->view.rows_count};
    struct pw_block_source src;
    struct pw_block_writer_cfg cfg = {.dir = dir, .codec = codec, .hostname = "bench"};
    struct pw_block_info info;
    struct pw_block_error err;
    struct pw_head_stats st;
    double start;
    uint64_t bytes;

    if (partition == NULL || pw_ulid_make(&cfg.ulid, 1700000000000) != 0) {
        die("no partitions or no ULID");
    }
    pw_head_source_describe(&head, &src);
    start = cpu_ns();
    if (pw_block_write(&cfg, &src, &info, &err) != 0) {
        die(err.text);
    }
    free(partition);
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
    records = mix_records(&s.mix, RECORDS, s.record);
    for (uint32_t i = 0; i < records; i++) {
        s.values[i] = copy_values(s.record[i]);
    }
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
