/* ingester/wal.h - what was acknowledged survives: one log per ingester core, written by threads.
 *
 * Purpose  a record is in the log, synced, before its push is answered. The polling core copies the
 *          durable form into a lane; the log's own thread writes what is there with one write and one
 *          sync (group commit) and says up to which sequence. Where the polling cores have no time to
 *          spare it gathers records for some milliseconds between two commits (wal_pace.h). At start the logs of the process before
 *          are replayed into the heads (wal_replay.h). Segments are let go when blocks hold them.
 * Owner    struct pw_wal: poller side by the ingester's lcore, writer side by its thread.
 *          struct pw_wal_dir: the control thread; it holds the directory's lock.
 * Context  reserve, commit, cancel, flush, settled: hot, no system call but a futex wake when the
 *          writer sleeps. release: storage threads. Everything _cold: control thread.
 * Units    sequences count the records of one log in one generation (process), from 1.
 * Errors   PW_EAGAIN: the buffer is full, try later. PW_ENOSPC: the disk is full; PW_EIO: it returns
 *          errors. Both end by themselves when the disk does better.
 * Limits   buffer_bytes of records not yet synced; PW_INGESTERS_MAX logs.
 *
 * After a failed write or sync nothing is known about that segment: it is abandoned where it is, what
 * was not acknowledged goes to a new one under the same sequences, and replay takes each once. When
 * that fails too the records are settled with an error, and pushes are refused until a new segment
 * could be made.
 */
#ifndef PW_INGESTER_WAL_H
#define PW_INGESTER_WAL_H

#include "base/bell.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "pprof/record.h"

struct pw_wal;
struct pw_wal_dir;

enum { PW_WAL_REUSE_MAX = 16 }; /* 1 GiB of segments of the usual size */

enum pw_wal_sync {
    PW_WAL_SYNC_GROUP, /* answered when synced */
    PW_WAL_SYNC_NONE,  /* answered at once; written, never synced: latency work only */
};

struct pw_wal_cfg {
    const struct pw_fs *fs;
    const char *path; /* of the directory; made when missing */
    uint32_t cores;
    enum pw_wal_sync sync;
    uint64_t segment_bytes; /* a larger record gets a larger segment */
    uint32_t reuse_max;     /* segments that were let go and are kept to be written over, a log */
    size_t buffer_bytes;    /* a power of two, PW_LANE_BYTES_MIN..MAX */
    uint64_t hash_key;      /* taken when the directory has none yet */
    uint32_t realtime_priority;       /* of the writers, SCHED_FIFO; 0: ordinary threads */
    bool threads;                     /* false in tests: they call pw_wal_step_cold themselves */
    void (*thread_begins)(void *ctx); /* on each of the log's threads, such as to pin it; or NULL */
    void *ctx;
};

/* What a cut head holds: every record of this log up to sequence, and every series of older
 * generations that falls to this core when `cores` share the tokens. A block writer puts it, as text,
 * into the block's directory before the rename that makes the block whole; app/ hands the marks it
 * finds there to pw_wal_dir_covered_cold, so that no profile is both in a block and replayed. */
struct pw_wal_mark {
    uint32_t generation;
    uint32_t cores;
    uint32_t core;
    /* 0, or 1 + L for a head that was cut during replay: it holds every series that falls to this core, of
     * what replay had read by then: older generations, this generation's logs before L, and L up to
     * sequence. */
    uint32_t replay;
    uint64_t sequence;
};

enum { PW_WAL_MARK_TEXT_MAX = 64 };
/* "generation cores core sequence\n", before the newline " replay" when that is not 0; the length written. */
size_t pw_wal_mark_write(const struct pw_wal_mark *m, char text[PW_WAL_MARK_TEXT_MAX]);
PW_MUST_USE int pw_wal_mark_read(struct pw_slice text, struct pw_wal_mark *m);

/* --- The directory ------------------------------------------------------------------------------ */

/* Makes and locks the directory, lists what is there, draws or finds the hash key. why: for a person.
 * PW_EBUSY: another process has it. */
PW_MUST_USE int pw_wal_dir_open_cold(struct pw_wal_dir **dir, const struct pw_wal_cfg *cfg,
                                     struct pw_text *why);
uint64_t pw_wal_dir_hash_key(const struct pw_wal_dir *dir);
/* Before replay: the tenant's part of that mark is safe in a block. */
PW_MUST_USE int pw_wal_dir_covered_cold(struct pw_wal_dir *dir, const struct pw_wal_mark *mark,
                                        struct pw_slice tenant);
/* After replay: begins this generation's logs. replayed[core]: the core's head holds records of older
 * generations, whose segments stay until every such core was released once. */
PW_MUST_USE int pw_wal_dir_start_cold(struct pw_wal_dir *dir, const bool *replayed,
                                      struct pw_text *why);
struct pw_wal *pw_wal_dir_log(struct pw_wal_dir *dir, uint32_t core);
/* Whom settlements wake. Borrows the bell; before the polling core starts. */
void pw_wal_bind_bell_ctl(struct pw_wal *w, struct pw_bell *bell);
/* A polling core that spends CPU on commits, of whatever log: the cycles for which it had nothing to do so far, written by it.
 * Where a core of these has no time to spare records share commits (wal_pace.h). Borrows the counter until the close. */
void pw_wal_dir_watch_ctl(struct pw_wal_dir *dir, const uint64_t *idle_tsc);
/* Writes what was committed, joins the threads, unlocks. NULL is fine. */
void pw_wal_dir_close_cold(struct pw_wal_dir *dir);

/* --- The polling core --------------------------------------------------------------------------- */

/* Room for the durable form of rec. borrow: rec stays as it is until its sequence is settled (it lies
 * in bulk memory), so it need not be copied. At most one reservation is open. 0, PW_EAGAIN,
 * PW_ENOSPC, PW_EIO. */
PW_MUST_USE int pw_wal_reserve(struct pw_wal *w, const struct pw_record *rec, bool borrow);
/* Closes it: the record's sequence. Not seen by the writer before flush. */
uint64_t pw_wal_commit(struct pw_wal *w);
void pw_wal_cancel(struct pw_wal *w);
/* Whoever waits for the record committed last has waited long: with the next flush the writer ends its wait for company,
 * unless a core has no time to spare: then everybody has waited long, and commits that are shared less make it worse. */
void pw_wal_hasten(struct pw_wal *w);
void pw_wal_flush(struct pw_wal *w);
/* Whether the record committed last waits for its settlement before it is answered. */
bool pw_wal_waits(const struct pw_wal *w);

struct pw_wal_settled {
    uint64_t through; /* all up to this one, that no settlement before named */
    int status;       /* 0; PW_ENOSPC, PW_EIO: not stored */
};
/* The next settlement; false when there is none. */
bool pw_wal_settled(struct pw_wal *w, struct pw_wal_settled *s);

/* Everything committed so far: what a head that is cut now holds. */
void pw_wal_mark(const struct pw_wal *w, struct pw_wal_mark *mark);

/* --- Storage threads ---------------------------------------------------------------------------- */

/* All tenants of that mark are safe in blocks: remembers it on disk, lets whole segments go. */
PW_MUST_USE int pw_wal_release_cold(struct pw_wal *w, const struct pw_wal_mark *mark);

/* One turn of the writer and one of the housekeeper, in tests without threads: records settled. */
uint32_t pw_wal_step_cold(struct pw_wal *w);

/* --- Any thread --------------------------------------------------------------------------------- */

struct pw_wal_stats {
    uint64_t records, bytes,
        commits;          /* commits: writes that were synced (or not, with sync none) */
    uint64_t raw_records; /* of records: as they were pushed */
    uint64_t failed_commits, refused_full, refused_error, abandoned_segments;
    uint64_t segments, segment_bytes; /* kept on disk, of this generation */
    uint64_t reused_segments;         /* begun in a file that was one before */
    uint64_t sequence, settled;
    uint64_t writer_cpu_ns;
    bool disk_full;
};
void pw_wal_stats(const struct pw_wal *w, struct pw_wal_stats *st);
/* Prometheus text. */
void pw_wal_metrics(struct pw_wal_dir *dir, struct pw_text *t);

#endif
