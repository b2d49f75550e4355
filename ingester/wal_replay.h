/* ingester/wal_replay.h - the logs of earlier processes, back into the heads.
 *
 * Purpose  every intact record once, in the order of its log, to the core that its series' tokens name
 *          now; what is in blocks already is left out. No limit, no relabelling, no ring decision is
 *          taken again: the records hold their results.
 * Owner    the control thread, before the ingesters poll. It reads; decoding threads unpack records
 *          side by side, and take turns to append them.
 * Context  cold.
 * Units    bytes, records.
 * Errors   what is not intact is counted, named in the log and left out. PW_ENOTSUP: written by another
 *          version; PW_ENOMEM: a head is too small; PW_EAGAIN: told to stop. All leave the files alone.
 * Limits   -
 */
#ifndef PW_INGESTER_WAL_REPLAY_H
#define PW_INGESTER_WAL_REPLAY_H

#include "ingester/wal.h"

#include <stdatomic.h>

enum { PW_WAL_REPLAY_THREADS_MAX = 32 };

/* Filled by app/, since ingester/ does not know the distributor. */
struct pw_wal_sink {
    void *ctx;
    /* One thread at a time, in order, to the core of `at`. Borrows both. A head of that core that holds this
     * and all before may be cut with `at` as its mark. 0, or PW_ENOMEM: the record is larger than a head. */
    int (*append)(void *ctx, const struct pw_wal_mark *at, const struct pw_record *rec);
    uint32_t threads;                 /* that decode side by side */
    void (*thread_begins)(void *ctx); /* on each of them, such as to let it run anywhere; or NULL */
    const atomic_bool *stop;          /* set: give up, PW_EAGAIN; NULL: never */
};

struct pw_wal_replay_stats {
    uint64_t segments, bytes;
    uint64_t records;            /* replayed, whole or in part */
    uint64_t raw_records;        /* of them, those that were kept as pushed */
    uint64_t covered;            /* series left out: they are in blocks */
    uint64_t twice;              /* records of abandoned segments that a later one holds too */
    uint64_t damaged;            /* places inside segments that are neither record nor padding */
    uint64_t torn;               /* segments that end in the middle of a record */
    uint64_t missing;            /* records by sequence: damaged, or their segment is missing */
    uint64_t read_errors;        /* pieces of segments that the disk does not give */
    uint64_t headers_lost;       /* segments without an intact header */
    uint64_t malformed;          /* intact by checksum, yet no record */
    uint64_t key_lost;           /* records under a hash key that is gone */
    bool held[PW_INGESTERS_MAX]; /* cores that got something: for pw_wal_dir_start_cold */
};

struct pw_wal_replay_progress {
    uint32_t files, files_all;
    uint64_t records;
};
/* Any thread, between open and start. */
void pw_wal_replay_progress(const struct pw_wal_dir *dir, struct pw_wal_replay_progress *p);

PW_MUST_USE int pw_wal_replay_cold(struct pw_wal_dir *dir, const struct pw_wal_sink *sink,
                                   struct pw_wal_replay_stats *st, struct pw_text *why);

#endif
