/* ingester/flush_priv.h - what flush.c (thread, triggers, requests) and flush_head.c (one sealed head on
 * its way to disk) both know.
 *
 * Purpose  the state of a core's flushing.
 * Owner    the storage thread; what is under the mutex or atomic says so.
 * Context  cold.
 * Units    ns.
 * Errors   -
 * Limits   -
 */
#ifndef PW_INGESTER_FLUSH_PRIV_H
#define PW_INGESTER_FLUSH_PRIV_H

#include "base/bell.h"
#include "ingester/flush.h"

#include <pthread.h>
#include <stdatomic.h>

enum pw_flush_step { /* of the head that is being flushed; see flush.h */
                     PW_FLUSH_NONE,
                     PW_FLUSH_STAGE,
                     PW_FLUSH_MOVE,
                     PW_FLUSH_LIST,
};

struct pw_flush_commit { /* a head whose blocks are listed, until they are safe */
    struct pw_flush_commit *next;
    struct pw_journal journal;
};

struct pw_flush_core {
    struct pw_head_set *set;
    uint32_t index;

    /* The head being flushed. */
    enum pw_flush_step step;
    struct pw_head_sealed sealed;
    struct pw_journal journal;
    int64_t retry_ns;  /* monotonic: not before this */
    uint32_t failures; /* in a row */

    struct pw_flush_commit *first, *last; /* in the order of the log */
    bool released;                        /* once in this process */
    uint64_t ticket;                      /* of the cut that a request waits for */
};

struct pw_flush {
    struct pw_flush_cfg cfg;
    struct pw_flush_disk disk;
    struct pw_journal_dir dir;
    char *data_path, *hostname;
    uint32_t cores;
    struct pw_flush_core core[PW_INGESTERS_MAX];

    /* Journals found at start: their marks cover parts of logs of processes before, and they are needed
     * until those logs are gone, which is when every core that had something to replay let go once. */
    struct pw_journal *recovered;
    uint32_t recovered_count;
    _Atomic bool watched; /* which cores had something is known: replayed is set */
    bool replayed[PW_INGESTERS_MAX];

    int64_t window;       /* the newest that ended */
    int64_t safe_look_ns; /* monotonic */

    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    struct pw_bell bell; /* the thread: stop or asked changed, a head was cut */
    pthread_cond_t done; /* whoever asked: finished changed */
    bool stop;           /* these four under the mutex */
    uint64_t asked, finished;
    int result;       /* of the finished ones */
    int64_t mono_ns;  /* the thread's: of this turn */
    uint64_t serving; /* the thread's: the request it works for; 0 none */
    int error;        /* the thread's: the last one since it serves */

    _Atomic uint64_t heads, blocks, rows, bytes, failures, write_ns, waiting, unreleased,
        memory_peak;
};

/* Takes the core's next step: of the head in flush, else of the next sealed one. Whether there was any
 * work; *rc: 0, or why it has to be tried again. */
bool pw_flush_head_step(struct pw_flush *f, struct pw_flush_core *c, int *rc);
/* Lets go what is safe. */
void pw_flush_head_release(struct pw_flush *f, struct pw_flush_core *c);
/* Opens the blocks of a journal, or of a tenant's local directory, and lists them. */
PW_MUST_USE int pw_flush_head_open(struct pw_flush *f, const char *tenant,
                                   const struct pw_ulid *ulid, struct pw_catalog_block *out,
                                   struct pw_block_error *err);

#endif
