/* ingester/wal_frame.h - the bytes of the log: segment header and records, written and found again.
 *
 * Purpose  framing alone, no files: what a record looks like, and how a scanner tells an intact one
 *          from a torn tail and from damage, and finds the next intact one behind it.
 * Owner    pure functions over the caller's memory.
 * Context  storage threads and replay; any thread.
 * Units    bytes; little-endian, as the only machines we run on are. Records start at multiples of
 *          PW_WAL_ALIGN in the segment; a commit is padded with zeros to PW_FS_BLOCK_BYTES.
 * Errors   scan verdicts below; nothing here fails.
 * Limits   PW_WAL_PAYLOAD_BYTES_MAX.
 *
 *     segment: one block of header, then records; behind the last one zeros, or what the file held when
 *     it was an earlier segment of the same log.
 *
 *     record   0 magic  4 length  8 sequence  16 type  20 salt  24 crc of payload  28 crc of 0..27
 *             32 payload, zeros to a multiple of 16
 *
 * CRC is CRC-32C. The salt is drawn for each segment: a record that lies in a file because it was
 * written there for another segment, or because a pushed profile contains one, has another salt.
 */
#ifndef PW_INGESTER_WAL_FRAME_H
#define PW_INGESTER_WAL_FRAME_H

#include "base/err.h"
#include "base/file.h"
#include "base/types.h"

enum {
    PW_WAL_VERSION = 1,
    PW_WAL_ALIGN = 16,
    PW_WAL_HEADER_BYTES = PW_FS_BLOCK_BYTES,
    PW_WAL_FRAME_BYTES = 32,
};
#define PW_WAL_PAYLOAD_BYTES_MAX (512U << 20)

enum pw_wal_type { /* of a record */
                   PW_WAL_TYPE_RECORD =
                       1, /* struct pw_wal_record_head, then a struct pw_record, lz4 */
                   PW_WAL_TYPE_RAW =
                       2, /* struct pw_wal_raw_head and what it says: a profile as it was pushed */
};

struct pw_wal_segment { /* what the header says */
    uint32_t core;
    uint32_t cores; /* how many there were */
    uint32_t index; /* of the segment, ascending within its core */
    uint32_t salt;
    uint64_t first_sequence; /* of the first record it was begun for */
    uint64_t stored_before;  /* the last sequence that earlier segments hold, for good */
    uint64_t hash_key;       /* the process's: the records' hashes are under it */
    uint32_t record_version; /* PW_RECORD_VERSION */
    uint32_t
        reused; /* 1: the file was a segment before, whose bytes lie behind the last record; 0 */
    int64_t created_ns;
};

/* Writes PW_WAL_HEADER_BYTES at out. */
void pw_wal_segment_write(const struct pw_wal_segment *seg, void *out);
/* 0, or PW_EINVAL: no header of ours, or not intact; PW_ENOTSUP: of another version. */
PW_MUST_USE int pw_wal_segment_read(struct pw_slice bytes, struct pw_wal_segment *seg);

struct pw_wal_frame {
    uint64_t sequence;
    uint32_t type;
    uint32_t salt;
    struct pw_slice payload;
};

static inline size_t
pw_wal_frame_bytes(size_t payload_bytes)
{
    return PW_WAL_FRAME_BYTES + pw_align_up(payload_bytes, PW_WAL_ALIGN);
}

/* Writes the frame's head at out (PW_WAL_FRAME_BYTES); the payload lies behind it already, in
 * frame->payload's bytes or elsewhere. */
void pw_wal_frame_write(const struct pw_wal_frame *frame, void *out);

enum pw_wal_verdict {
    PW_WAL_RECORD,  /* frame is intact */
    PW_WAL_DAMAGED, /* bytes from..to are neither a record nor padding; an intact record follows */
    PW_WAL_TORN,    /* the same, but nothing intact follows: the tail of a write that was cut off */
    PW_WAL_END, /* zeros to the end; in a reused file whatever is no beginning of a record of this segment */
};

struct pw_wal_scan {
    struct pw_slice bytes; /* the whole segment */
    size_t at;
    uint32_t salt;
    bool any_salt; /* the header is lost: the first intact record's salt is taken, */
    uint64_t
        beyond; /* of those with a later sequence: up to here they may be of the segment that the file was before */
    bool reused;
    uint64_t from, to;
    struct pw_wal_frame frame;
};

/* seg NULL: the header is lost. Borrows bytes, PW_WAL_ALIGN-aligned in memory. */
void pw_wal_scan_init(struct pw_wal_scan *s, struct pw_slice bytes,
                      const struct pw_wal_segment *seg);
PW_MUST_USE enum pw_wal_verdict pw_wal_scan_next(struct pw_wal_scan *s);

#endif
