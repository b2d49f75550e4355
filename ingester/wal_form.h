/* ingester/wal_form.h - what the payload of a log record looks like.
 *
 * Purpose  the durable form of a record: written by the writer thread, undone at replay.
 * Owner    the caller's memory.
 * Context  cold: storage threads, replay; what says hot: the polling core. Compression is never there.
 * Units    bytes.
 * Errors   PW_EINVAL: not a payload of this form.
 * Limits   PW_WAL_PAYLOAD_BYTES_MAX.
 *
 * PW_WAL_TYPE_RAW: struct pw_wal_raw_head, lengths of label names and values by turns, the tenant, the
 * names and values, the gzip body. With what the head says, reading it again gives the same record: the
 * labels are the final ones, and limits, relabelling and the split are not asked again.
 *
 * PW_WAL_TYPE_RECORD: bytes of the record, bytes stored, then the record in lz4's block format; as it
 * is where lz4 gains nothing (stored equals bytes).
 */
#ifndef PW_INGESTER_WAL_FORM_H
#define PW_INGESTER_WAL_FORM_H

#include "base/err.h"
#include "base/types.h"
#include "pprof/record.h"

struct pw_wal_record_head {
    uint32_t bytes;  /* of the record */
    uint32_t stored; /* of what follows */
};

/* Room that pw_wal_form_record needs for a record of that size. */
size_t pw_wal_form_bytes_max(size_t record_bytes);
/* Writes the payload of a PW_WAL_TYPE_RECORD at out; its length. */
size_t pw_wal_form_record(struct pw_slice record, uint8_t *out, size_t cap);
/* Bytes of the record in that payload. */
PW_MUST_USE int64_t pw_wal_form_record_bytes(struct pw_slice payload);
/* Unpacks it to out (16-aligned, as many bytes) and checks it. */
PW_MUST_USE int pw_wal_form_unpack(struct pw_slice payload, void *out, size_t bytes);

struct pw_wal_raw_head {
    uint8_t uuid[16];
    int64_t time_nanos;
    uint32_t depth_max, symbol_max;
    uint32_t go;
    uint32_t tenant_bytes;
    uint32_t labels_count;
    uint32_t raw_bytes;
};

/* Hot: whether the record can be kept as it was pushed, and the length of that payload; 0: it cannot. */
size_t pw_wal_form_raw_bytes(const struct pw_record *rec);
/* Hot: writes it. */
void pw_wal_form_raw(const struct pw_record *rec, uint8_t *out);

/* Makes the record of such a payload again; one a thread. */
struct pw_wal_rebuilder;

PW_MUST_USE int pw_wal_rebuilder_create_cold(struct pw_wal_rebuilder **r, uint64_t hash_key);
void pw_wal_rebuilder_destroy_cold(struct pw_wal_rebuilder *r);
/* In memory of r until its next call; NULL: not such a payload, or not a profile. */
const struct pw_record *pw_wal_rebuild(struct pw_wal_rebuilder *r, struct pw_slice payload);

#endif
