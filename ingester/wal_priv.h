/* ingester/wal_priv.h - the structs that the files of the log share; nobody else includes it.
 *
 * Purpose  struct pw_wal, struct pw_wal_dir, and who of their threads touches what.
 * Owner    wal_append.c: the polling core. wal_write.c: the log's writer. wal_segment.c: the writer and
 *          the housekeeper, under the log's mutex. wal_dir.c: the control thread; wal_marks.c: the control
 *          thread, then storage threads; the directory's mutex for what all threads share.
 * Context  -
 * Units    -
 * Errors   -
 * Limits   -
 */
#ifndef PW_INGESTER_WAL_PRIV_H
#define PW_INGESTER_WAL_PRIV_H

#include "ingester/wal.h"
#include "ingester/wal_frame.h"
#include "ingester/wal_pace.h"
#include "ring/lane.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

enum {
    PW_WAL_BATCH_RECORDS = 256,   /* of one commit */
    PW_WAL_BATCH_BYTES = 4 << 20, /* of one commit; a larger record is a commit of its own */
    PW_WAL_TRIES = 2,             /* segments tried for one commit before it fails */
    PW_WAL_PROBE_MS = 200,        /* between two looks whether the disk does better */
    PW_WAL_LINGER_MS = 5,         /* between two writes where nobody waits for them */
    PW_WAL_NAME_MAX = 32,
};

enum pw_wal_sleep {
    PW_WAL_AWAKE,
    PW_WAL_ASLEEP,  /* woken by whatever comes */
    PW_WAL_LINGERS, /* woken in a hurry only, else it looks by itself */
};

/* What lies in the lane from the polling core to the writer. */
struct pw_wal_entry {
    uint64_t sequence;
    const void *borrowed; /* NULL: the bytes follow */
    uint32_t bytes;
    uint32_t type; /* enum pw_wal_type; a RECORD is compressed by the writer */
    uint64_t pad;
};
static_assert(sizeof(struct pw_wal_entry) == 32, "what follows stays 16-aligned");

struct pw_wal_name { /* of a segment's file */
    uint32_t generation;
    uint32_t core;
    uint32_t index;
    bool kept; /* let go, to be written over */
};

struct pw_wal_closed { /* a segment of this generation that is not written any more */
    struct pw_wal_closed *next;
    uint32_t index;
    uint64_t last_sequence;
    uint64_t bytes;
    bool spoiled; /* a write or a sync of it failed: never written again */
};

struct pw_wal_open { /* a segment with its file; fd < 0: none */
    int fd;
    uint32_t index;
    uint64_t bytes; /* allocated */
    bool
        reused; /* it has the bytes of an earlier segment of this log, all of whose records were let go */
    bool spoiled; /* see struct pw_wal_closed */
};

struct pw_wal {
    /* --- read-only after start --- */
    struct pw_wal_dir *dir;
    uint32_t core;
    struct pw_lane *lane;           /* entries: polling core to writer */
    struct pw_lane *settled;        /* struct pw_wal_settled: writer to polling core */
    _Atomic(struct pw_bell *) bell; /* of the polling core; NULL: it looks by itself */
    pthread_t thread;
    bool running;

    /* --- the polling core's --- */
    alignas(64) uint64_t reserved; /* bytes of the open reservation; 0: none */
    bool reserved_raw, waits;
    bool hastens; /* somebody waits for it, and the writer does not know: it is not to linger */
    bool urgent;  /* one of those not flushed does */
    uint64_t lingering;        /* bytes committed since the writer last was to hurry */
    _Atomic uint64_t sequence; /* of the last committed; read by /metrics */
    _Atomic uint64_t refused_full, refused_error, raw_records;

    /* --- between them --- */
    alignas(64) _Atomic uint32_t sleeping; /* the writer waits on this word: enum pw_wal_sleep */
    _Atomic bool hurry;                    /* what is in the lane hastens, or it is much */
    _Atomic bool gathers;                  /* see pw_wal_pace_gathers */
    _Atomic int state;                     /* 0, PW_ENOSPC, PW_EIO: why nothing can be stored */
    _Atomic bool stop;

    /* --- the writer's --- */
    alignas(64) struct pw_wal_open segment; /* at work */
    uint64_t at;                            /* bytes of it that are written */
    uint32_t salt;
    uint64_t taken;  /* sequence of the last record in the segment */
    uint64_t stored; /* the last one that was stored for good */
    int64_t probe_ns;
    struct pw_wal_pace pace;
    uint8_t *batch; /* PW_FS_BLOCK_BYTES-aligned */
    size_t batch_cap;
    uint64_t salt_seed;
    struct pw_lane_record rec[PW_WAL_BATCH_RECORDS]; /* popped, from rec_first on not yet settled */
    uint32_t rec_first, rec_count;
    _Atomic uint64_t through; /* settled */
    _Atomic uint64_t records, bytes, commits, failed_commits, abandoned, cpu_ns;

    /* --- writer and housekeeper, under mutex --- */
    alignas(64) pthread_mutex_t mutex;
    struct pw_wal_open spare;
    uint32_t next_index;
    struct pw_wal_closed *closed; /* oldest first */
    struct pw_wal_closed **closed_tail;
    struct pw_wal_closed *kept; /* let go, renamed, to be written over */
    uint32_t kept_count;
    uint64_t released;
    _Atomic uint64_t segments, segment_bytes, reused;
};

struct pw_wal_cover { /* a mark found in a block, for one tenant; tenant_len 0: all of them */
    struct pw_wal_mark mark;
    uint32_t tenant_len;
    uint8_t tenant[PW_TENANT_BYTES_MAX];
};

struct pw_wal_dir {
    struct pw_wal_cfg cfg;
    char path[PW_FS_PATH_MAX];
    int lock_fd;
    uint32_t generation; /* of this process */
    uint64_t hash_key;
    struct pw_wal_name *old; /* what was there at open, sorted; wal_replay.c reads it */
    uint32_t old_count;
    struct pw_wal_cover *cover;
    uint32_t cover_count;
    _Atomic uint32_t replayed_files; /* of old_count; read by whoever wants to know how far it is */
    _Atomic uint64_t replayed_records;
    struct pw_wal *log[PW_INGESTERS_MAX];
    uint32_t logs;
    const uint64_t *idle_tsc[PW_WAL_PACE_CORES_MAX]; /* of the polling cores */
    _Atomic uint32_t idle_count;

    pthread_mutex_t mutex;
    pthread_cond_t wake; /* the housekeeper */
    pthread_t housekeeper;
    bool running;
    bool stop;
    bool old_gone;
    bool old_held[PW_INGESTERS_MAX]; /* by this core's head */
    struct pw_wal_mark *mark;        /* the file of marks: one a (generation, core) */
    uint32_t mark_count;
};

/* --- wal_dir.c --- */
void pw_wal_path(const struct pw_wal_dir *d, const char *name, char out[PW_FS_PATH_MAX]);
/* The header of a segment; PW_ENOENT: it was never begun (all zeros, or the header is of the segment that the file was
 * before); other errors: it cannot be had. */
PW_MUST_USE int pw_wal_dir_header(const struct pw_wal_dir *d, const struct pw_wal_name *n,
                                  struct pw_wal_segment *seg);
void pw_wal_name_write(const struct pw_wal_name *n, char out[PW_WAL_NAME_MAX]);
/* Unlinks the segments of earlier generations when no head holds what was in them. */
void pw_wal_dir_housekeep(struct pw_wal_dir *d);

/* --- wal_marks.c --- */
/* Whether a series whose ring token is `token`, in a record of that log, is in a block already. */
bool pw_wal_covered(const struct pw_wal_dir *d, const struct pw_wal_name *log, uint64_t sequence,
                    struct pw_slice tenant, uint32_t token);
PW_MUST_USE int pw_wal_marks_read(struct pw_wal_dir *d);
/* The later of two marks of one log is the one that counts. These two under mutex. */
PW_MUST_USE int pw_wal_marks_add(struct pw_wal_dir *d, const struct pw_wal_mark *m);
PW_MUST_USE int pw_wal_marks_write(struct pw_wal_dir *d);

/* --- wal_segment.c --- */
/* A segment of at least `bytes`, allocated and named, into w->segment: the spare, or a new one. */
PW_MUST_USE int pw_wal_segment_begin(struct pw_wal *w, uint64_t bytes);
/* The segment at work is not written any more. */
void pw_wal_segment_end(struct pw_wal *w);
/* The process ends: closes what is open, without the room that was allocated ahead. */
void pw_wal_segment_trim(struct pw_wal *w);
/* Makes the spare that is missing, unlinks what was released; true when there was work. */
bool pw_wal_housekeep(struct pw_wal *w);

/* --- wal_write.c --- */
void *pw_wal_writer_main(void *arg);

#endif
