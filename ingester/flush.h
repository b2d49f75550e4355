/* ingester/flush.h - heads are cut, written as blocks, and let go: one storage thread for all cores.
 *
 * Purpose  give every core's head set (head_set.h) its spares; ask for cuts when a head is old, on
 *          request and at shutdown (a head that is large is cut by its core itself); write what was cut
 *          as blocks, make them what queries read in the head's place, and let the log go.
 * Owner    control thread: create, recover, start, stop. The storage thread: the heads once they are
 *          sealed, the journal, the edits of the catalog. now(): any thread that may wait.
 * Context  cold. A turn never waits for an ingester core, but for the disk.
 * Units    ns, bytes. Windows end by wall time, waits by the monotonic clock.
 * Errors   a head that cannot be written stays in memory, readable, and is tried again later; until then
 *          its bytes are missing to the active head, which in the end refuses.
 * Limits   head.bytes_max bytes of heads a core; flush_blocks.h for memory while writing.
 *
 * A sealed head goes through:
 *     staged     blocks of all its tenants and windows are written where nobody looks
 *     journal    one file names them: from here on they will be there, whatever happens
 *     moved      they are local blocks
 *     listed     one generation of the catalog has them and not the head; the head's memory is free as
 *                soon as the last reader of older generations is done
 *     safe       the log lets the head's records go, the journal ends. A block is safe when it is
 *                local, or, where there is object storage, when it is uploaded: is_safe says so.
 */
#ifndef PW_INGESTER_FLUSH_H
#define PW_INGESTER_FLUSH_H

#include "base/clock.h"
#include "ingester/catalog.h"
#include "ingester/flush_blocks.h"
#include "ingester/flush_journal.h"
#include "ingester/head_set.h"

struct pw_flush;

/* What of store/block is used; a test may put its own here. NULL: the real one. */
struct pw_flush_disk {
    const struct pw_fs *fs;
    const struct pw_flush_store *store;
    int (*open)(struct pw_block **b, const char *dir, const struct pw_block_files *files,
                struct pw_block_error *err);
    void (*close)(struct pw_block *b);
};

struct pw_flush_cfg {
    struct pw_catalog *catalog; /* borrowed */
    uint32_t cores;
    struct pw_head_cfg head; /* bytes_max: of one core, all its heads together */
    uint64_t cut_bytes;      /* of one head; 0: bytes_max / PW_HEAD_CUT_SHARE */
    int64_t window_ns;       /* of blocks; heads are cut when one ends */
    const char *data_path;
    const char *hostname; /* of the blocks; NULL: none */
    const struct pw_flush_disk *disk;
    /* Whether the block, local since its head was written, is as safe as it is to be before the log
     * lets go. Called on the storage thread now and then until it says yes. NULL: local is enough. */
    bool (*is_safe)(void *ctx, const char *tenant, const struct pw_ulid *ulid);
    /* Blocks were written and are listed. Called on the storage thread. NULL: nobody wants to know. */
    void (*wrote)(void *ctx);
    /* The log of a core lets go (pw_wal_release_cold). NULL: there is no log. */
    int (*release)(void *ctx, uint32_t core, const struct pw_wal_mark *mark);
    void (*wake)(
        void *ctx); /* ingester cores that sleep have to look: a cut is due. NULL: they poll */
    void (*thread_init)(void *ctx); /* first thing of the storage thread; NULL: nothing */
    void *ctx;
};

/* Makes the heads, and lists them. Nothing runs yet. */
PW_MUST_USE int pw_flush_create_ctl(struct pw_flush **f, const struct pw_flush_cfg *cfg,
                                    struct pw_text *why);
/* For the ingester of that core; for its log. */
struct pw_head_set *pw_flush_heads(struct pw_flush *f, uint32_t core);

/* After the data directory is locked, before the log is replayed: completes what a crash left half
 * done, opens the local blocks and lists them. covered (may be NULL) hears which marks of the log are in
 * blocks, tenant by tenant. A block that cannot be opened is logged and left out. */
typedef int (*pw_flush_covered_fn)(void *ctx, const struct pw_wal_mark *mark,
                                   struct pw_slice tenant);
PW_MUST_USE int pw_flush_recover_ctl(struct pw_flush *f, pw_flush_covered_fn covered, void *ctx,
                                     struct pw_text *why);

/* From here on heads that are cut are written. Before replay: it cuts what does not fit. */
PW_MUST_USE int pw_flush_start_ctl(struct pw_flush *f);
/* After replay: which cores got something of earlier processes' logs. Journals of those processes go when
 * all of these cores have let go once. */
void pw_flush_replayed_ctl(struct pw_flush *f, const bool *replayed);
/* Cuts all heads and waits until what was in them is in local blocks. 0; PW_ETIMEDOUT; or why a head
 * could not be written. */
PW_MUST_USE int pw_flush_now(struct pw_flush *f, uint32_t timeout_ms);
/* Joins the thread, after the head that is being written. Writes nothing more: call now before. */
void pw_flush_stop_ctl(struct pw_flush *f);
/* No reader, no ingester is left; the catalog still is. */
void pw_flush_destroy_ctl(struct pw_flush *f);

/* One turn of the thread, for tests without one. Whether there was work. */
bool pw_flush_turn(struct pw_flush *f, struct pw_now now);

struct pw_flush_stats {
    uint64_t heads, blocks, rows, bytes; /* written */
    uint64_t failures;
    uint64_t write_ns;       /* spent writing heads */
    uint64_t sealed_waiting; /* heads cut and not listed as blocks yet */
    uint64_t unreleased;     /* heads whose blocks are listed, not safe yet */
    uint64_t memory_peak;    /* most that writing one block took */
    uint64_t cut_waits;      /* turns in which a cut was due and could not be */
};
void pw_flush_stats(const struct pw_flush *f, struct pw_flush_stats *st);
/* Prometheus text. */
void pw_flush_metrics(const struct pw_flush *f, struct pw_text *t);

#endif
