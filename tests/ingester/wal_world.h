/* tests/ingester/wal_world.h - an appliance's log on a disk in memory, and what must never happen to it.
 *
 * Purpose  tests push records, run the writer by hand, kill the process or the power, start again; the
 *          world knows which series was acknowledged and judges every replay: each of those once, in a
 *          block or in a head, none twice.
 * Owner    the test.
 * Context  tests; one thread.
 * Units    a series is known by its key, which is its uuid.
 * Errors   assertions.
 * Limits   WORLD_*.
 */
#ifndef PW_TESTS_WAL_WORLD_H
#define PW_TESTS_WAL_WORLD_H

#include "ingester/wal_replay.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/mem_fs.h"
#include "tests/support/record_build.h"

enum { WORLD_KEYS_MAX = 200000, WORLD_CORES_MAX = 3, WORLD_PENDING_MAX = 4096 };

enum world_state { /* of a series, by key */
                   WORLD_UNKNOWN,
                   WORLD_SENT,    /* committed, not settled */
                   WORLD_REFUSED, /* settled with an error: may come back, need not */
                   WORLD_ACKED,
};

struct world_pending {
    uint64_t sequence;
    uint32_t first_key, keys;
};

struct world {
    struct mem_fs *disk;
    struct pw_wal_dir *dir;
    uint32_t cores;
    uint64_t segment_bytes;
    uint32_t reuse_max;
    uint64_t reused; /* segments, by processes that ended */
    uint64_t seed;
    struct pw_wal_replay_stats replayed;

    uint32_t next_key;
    uint8_t *state;   /* enum world_state */
    uint8_t *in_head; /* how often, after the last replay and since */
    uint8_t *head_of; /* core */
    uint8_t *in_block;
    struct pw_wal_mark *mark; /* of every block ever written */
    uint32_t marks;
    /* Replay cuts a head before one in so many records, and dies before one in so many; 0: never. */
    uint32_t replay_cuts, replay_deaths;
    struct pw_wal_mark replay_at[WORLD_CORES_MAX];
    struct world_pending pending[WORLD_CORES_MAX][WORLD_PENDING_MAX];
    uint32_t pending_first[WORLD_CORES_MAX], pending_count[WORLD_CORES_MAX];
    struct rb_profile *profile;
    void *buf;
    uint64_t acked, refused, errors;
};

void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);
/* Open, replay, judge, start; 0, or what failed (then nothing is open). */
int world_start(struct world *w, uint32_t cores);
/* The process is gone; mem_fs_kill or mem_fs_crash next. */
void world_stop(struct world *w);
/* One record of 1..4 series into the log of a core; 0 or why not. */
int world_push(struct world *w, uint32_t core);
/* The writer's turn on every core, and the settlements. */
void world_step(struct world *w);
/* The core's head becomes a block; its marks are kept, or told to the log. */
void world_cut(struct world *w, uint32_t core, bool release);
/* Every acknowledged series is there once. */
void world_judge(const struct world *w);

#endif
