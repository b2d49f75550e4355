/* ingester/wal_replay_priv.h - what reading and scanning (wal_replay.c) and decoding (wal_decode.c) share.
 *
 * Purpose  the segment at work, and the threads that decode its frames.
 * Owner    the control thread; what decoding threads share is under the mutex.
 * Context  cold.
 * Units    -
 * Errors   -
 * Limits   -
 */
#ifndef PW_INGESTER_WAL_REPLAY_PRIV_H
#define PW_INGESTER_WAL_REPLAY_PRIV_H

#include "ingester/wal_priv.h"
#include "ingester/wal_replay.h"

struct pw_wal_file { /* one segment in memory */
    struct pw_wal_name name;
    char text[PW_WAL_NAME_MAX];
    uint8_t *bytes; /* kept for the next segment: fresh memory costs a fault a page */
    size_t len, cap;
    struct pw_wal_segment header;
    bool has_header;
    bool pieces_lost;           /* the disk did not give all of it */
    struct pw_wal_frame *frame; /* to be replayed */
    uint32_t frames, frames_cap;
};

enum {
    PW_WAL_REPLAY_SLOTS = 128, /* a power of two */
};
#define PW_WAL_REPLAY_AHEAD_BYTES ((size_t)64 << 20)

struct pw_wal_slot {             /* one frame, from its decoding to its turn */
    const struct pw_record *rec; /* in buf; NULL: none came of it */
    uint8_t *buf;
    size_t cap;
    size_t bytes;  /* of the record */
    uint8_t *core; /* of each series */
    struct pw_record_series *series;
    uint32_t series_cap;
    bool ready; /* under the mutex */
    bool lost;  /* under a hash key that is gone */
    int rc;
};

struct pw_wal_replay {
    struct pw_wal_dir *d;
    const struct pw_wal_sink *sink;
    struct pw_wal_replay_stats *st;
    struct pw_text *why;
    struct pw_wal_file file[2];
    struct pw_wal_file *reading;        /* by whoever reads; its statistics are not the decoders' */
    const struct pw_wal_file *decoding; /* by the decoders */
    uint32_t names;                     /* of the directory's, that were looked at */
    int ahead;                          /* what reading said */
    uint64_t seen;                      /* the last sequence of the log at work */
    uint64_t next_first;                /* from here on the next segment of the log has them */
    uint64_t released;                  /* of that log: what is missing up to there was let go */
    int64_t said_ns;                    /* monotonic: progress, the last time */

    /* Decoding threads. A slot is of the thread that decodes its frame, then of the one that delivers it; all
     * else is under mutex. */
    struct pw_wal_slot slot[PW_WAL_REPLAY_SLOTS];
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    uint32_t next;     /* frame to decode */
    uint32_t turn;     /* frame to deliver */
    uint32_t waiting;  /* threads */
    size_t held_bytes; /* of records that were decoded and wait for their turn */
    bool delivering;   /* a thread has the turn */
    int rc;
};

struct pw_wal_decoder { /* one thread's */
    struct pw_wal_replay *r;
    struct pw_wal_rebuilder *rebuilder;
    uint8_t *text;
    struct pw_label_pair *pair;
};

/* Of the sink's threads. Free them even after an error. */
PW_MUST_USE int pw_wal_decoders_make(struct pw_wal_replay *r, struct pw_wal_decoder *dec);
void pw_wal_decoders_free(struct pw_wal_replay *r, struct pw_wal_decoder *dec);
/* All frames of the segment at work, delivered in their order. */
PW_MUST_USE int pw_wal_decode_all(struct pw_wal_replay *r, struct pw_wal_decoder *dec);

#endif
