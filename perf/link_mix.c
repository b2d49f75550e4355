#include "perf/link_mix.h"

#include "distributor/replica_msg.h"
#include "ingester/wal_form.h"
#include "perf/mix_record.h"
#include "pprof/inflate.h"

#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CAP = 1 << 20, RAW_CAP = 16 << 20, YARD_ROUNDS = 30 };

enum form { FORM_RECORD, FORM_LZ4, FORM_GZIP };

struct link_mix {
    struct mix mix;
    enum form form;
    struct pw_record *record[MIX_FILES_MAX]; /* gzip body in it, but for lz4 */
    struct pw_slice
        whole[MIX_FILES_MAX]; /* record: with the message's head; gzip: the log's payload */
    char *lz4[MIX_FILES_MAX];
    uint8_t *lane; /* of the receiver */
    uint8_t *raw;
    struct pw_wal_rebuilder *rebuilder;
    struct pw_inflater *inflater;
};

static struct pw_slice
message(const struct pw_record *rec)
{
    struct pw_replica_head h;
    uint8_t *p = malloc(sizeof(h) + rec->bytes);

    pw_replica_head_init(&h, rec->bytes);
    memcpy(p, &h, sizeof(h));
    memcpy(p + sizeof(h), rec, rec->bytes);
    return pw_slice(p, sizeof(h) + rec->bytes);
}

static struct pw_slice
logged(const struct pw_record *rec)
{
    size_t n = pw_wal_form_raw_bytes(rec);
    uint8_t *p = malloc(n + 1);

    pw_wal_form_raw(rec, p);
    return pw_slice(p, n);
}

struct link_mix *
link_mix_load(const char *form)
{
    struct link_mix *m = calloc(1, sizeof(*m));

    m->form = strcmp(form, "record") == 0 ? FORM_RECORD
              : strcmp(form, "lz4") == 0  ? FORM_LZ4
                                          : FORM_GZIP;
    mix_load(&m->mix, NULL);
    if (m->form == FORM_LZ4) {
        (void)mix_records(&m->mix, m->mix.count, m->record);
    } else {
        (void)mix_records_pushed(&m->mix, m->mix.count, m->record);
    }
    m->lane = aligned_alloc(64, CAP);
    m->raw = malloc(RAW_CAP);
    if (m->lane == NULL || m->raw == NULL || pw_inflater_init_ctl(&m->inflater) != 0 ||
        pw_wal_rebuilder_create_cold(&m->rebuilder, MIX_HASH_KEY) != 0) {
        fprintf(stderr, "link_mix: out of memory\n");
        return NULL;
    }
    for (uint32_t i = 0; i < m->mix.count; i++) {
        m->lz4[i] = malloc(CAP);
        m->whole[i] = m->form == FORM_GZIP ? logged(m->record[i]) : message(m->record[i]);
    }
    return m;
}

uint32_t
link_mix_files(const struct link_mix *m)
{
    return m->mix.count;
}

static double
now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

double
link_mix_unpack_us(struct link_mix *m)
{
    double best = 1e9;
    size_t len;

    for (uint32_t round = 0; round < YARD_ROUNDS; round++) {
        double begin = now_us();

        for (uint32_t i = 0; i < m->mix.count; i++) {
            if (pw_inflate(m->inflater, &m->mix.gz[i], 1, m->raw, RAW_CAP, &len) != PW_INFLATE_OK) {
                return 0;
            }
        }
        double us = (now_us() - begin) / m->mix.count;

        best = us < best ? us : best;
    }
    return best;
}

struct pw_slice
link_mix_give(struct link_mix *m, uint32_t i)
{
    uint32_t k = i % m->mix.count;

    if (m->form != FORM_LZ4) {
        return m->whole[k];
    }
    const struct pw_record *rec = m->record[k];
    int n = LZ4_compress_default((const char *)rec, m->lz4[k], (int)rec->bytes, CAP);

    return pw_slice(m->lz4[k], n < 0 ? 0 : (size_t)n);
}

bool
link_mix_take(struct link_mix *m, struct pw_slice bytes)
{
    struct pw_slice record;
    int n;

    switch (m->form) {
    case FORM_RECORD:
        if (pw_replica_read(bytes, &record) != PW_REPLICA_OK || record.len > CAP) {
            return false;
        }
        memcpy(m->lane, record.ptr, record.len);
        return pw_replica_record_ok(m->lane, record.len);
    case FORM_LZ4:
        n = LZ4_decompress_safe((const char *)bytes.ptr, (char *)m->lane, (int)bytes.len, CAP);
        return n > 0 && pw_replica_record_ok(m->lane, (size_t)n);
    case FORM_GZIP:
        return pw_wal_rebuild(m->rebuilder, bytes) != NULL;
    }
    return false;
}
