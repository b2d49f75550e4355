/* ingester/wal_form.h - what the payload of a log record looks like.
 *
 * Purpose  the durable form of a record: written by the writer thread, undone at replay.
 * Owner    the caller's memory.
 * Context  cold: storage threads, replay. A record is compressed there, never on the polling core.
 * Units    bytes.
 * Errors   PW_EINVAL: not a payload of this form.
 * Limits   PW_WAL_PAYLOAD_BYTES_MAX.
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

#endif
