/* What a profile costs as a replica, in the two forms that could cross: the record as it lies in the lane, or
 * the gzip body it was made from with what was decided about it. The wire's share is perf's link bench; here
 * is what is done beside it, per profile of the mix:
 *   record: the sender has it already; the receiver copies it into its lane and checks it
 *   packed: the sender copies the body; the receiver unpacks, walks and normalises it and builds the record
 *   lz4:    the record in lz4's block format, both ways, in addition to `record`
 *   unpack: the yardstick */
#include "distributor/replica_msg.h"
#include "ingester/wal_form.h"
#include "perf/bench.h"
#include "perf/mix_record.h"
#include "pprof/inflate.h"

#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>

enum { RECORDS = 500, CAP = 1 << 20, LABELS = 3 };

struct state {
    struct mix mix;
    struct pw_record *record[RECORDS];
    uint32_t count;
    struct pw_slice packed[MIX_FILES_MAX];
    char *lz4[RECORDS];
    int lz4_bytes[RECORDS];
    uint8_t *lane, *raw;
    struct pw_wal_rebuilder *rebuilder;
    struct pw_inflater *inflater;
};

static void
copy_and_check(void *arg)
{
    struct state *s = arg;

    for (uint32_t i = 0; i < s->count; i++) {
        memcpy(s->lane, s->record[i], s->record[i]->bytes);
        bench_keep(pw_replica_record_ok(s->lane, s->record[i]->bytes));
    }
}

static void
rebuild(void *arg)
{
    struct state *s = arg;

    for (uint32_t i = 0; i < s->mix.count; i++) {
        const struct pw_record *rec = pw_wal_rebuild(s->rebuilder, s->packed[i]);

        if (rec == NULL) {
            fprintf(stderr, "bench: %s cannot be rebuilt\n", s->mix.name[i]);
            exit(1);
        }
        bench_keep(rec->bytes);
    }
}

static void
compress(void *arg)
{
    struct state *s = arg;

    for (uint32_t i = 0; i < s->mix.count; i++) {
        s->lz4_bytes[i] = LZ4_compress_default((const char *)s->record[i], s->lz4[i],
                                               (int)s->record[i]->bytes, CAP);
    }
}

static void
decompress(void *arg)
{
    struct state *s = arg;

    for (uint32_t i = 0; i < s->mix.count; i++) {
        bench_keep((uint64_t)LZ4_decompress_safe(s->lz4[i], (char *)s->lane, s->lz4_bytes[i], CAP));
    }
}

static void
unpack(void *arg)
{
    struct state *s = arg;
    size_t len;

    for (uint32_t i = 0; i < s->mix.count; i++) {
        bench_keep((uint64_t)pw_inflate(s->inflater, &s->mix.gz[i], 1, s->raw, 16U << 20, &len));
    }
}

/* The durable form of a whole profile, with the labels of the mix. */
static struct pw_slice
packed(const struct pw_record *rec, struct pw_slice gz)
{
    struct pw_record *with = aligned_alloc(64, pw_align_up(rec->bytes + gz.len, 64));
    uint8_t *out;
    size_t n;

    memcpy(with, rec, rec->bytes);
    memcpy((uint8_t *)with + rec->bytes, gz.ptr, gz.len);
    with->raw_off = rec->bytes;
    with->raw_bytes = (uint32_t)gz.len;
    n = pw_wal_form_raw_bytes(with);
    out = malloc(n);
    pw_wal_form_raw(with, out);
    free(with);
    return pw_slice(out, n);
}

int
main(void)
{
    static struct state s;
    uint64_t record_bytes = 0, gzip_bytes = 0, lz4_bytes = 0;

    mix_load(&s.mix, NULL);
    s.count = mix_records(&s.mix, RECORDS, s.record);
    s.lane = aligned_alloc(64, CAP);
    s.raw = malloc(16U << 20);
    if (pw_wal_rebuilder_create_cold(&s.rebuilder, MIX_HASH_KEY) != 0 ||
        pw_inflater_init_ctl(&s.inflater) != 0) {
        return 1;
    }
    for (uint32_t i = 0; i < s.mix.count; i++) {
        s.packed[i] = packed(s.record[i], s.mix.gz[i]);
        s.lz4[i] = malloc(CAP);
        record_bytes += s.record[i]->bytes;
        gzip_bytes += s.packed[i].len;
    }
    compress(&s);
    for (uint32_t i = 0; i < s.mix.count; i++) {
        lz4_bytes += (uint64_t)s.lz4_bytes[i];
    }
    bench_begin();
    bench_print("record_bytes", (double)record_bytes / s.mix.count);
    bench_print("packed_bytes", (double)gzip_bytes / s.mix.count);
    bench_print("lz4_bytes", (double)lz4_bytes / s.mix.count);
    struct bench_result u = bench_run("unpack", unpack, &s, s.mix.count);
    struct bench_result c = bench_run("record_receiver", copy_and_check, &s, s.count);
    struct bench_result r = bench_run("packed_receiver", rebuild, &s, s.mix.count);
    struct bench_result z = bench_run("lz4_sender", compress, &s, s.mix.count);
    struct bench_result d = bench_run("lz4_receiver", decompress, &s, s.mix.count);

    bench_print("record_ratio", c.ns_min / u.ns_min);
    bench_print("packed_ratio", r.ns_min / u.ns_min);
    bench_print("lz4_ratio", (z.ns_min + d.ns_min) / u.ns_min);
    return 0;
}
