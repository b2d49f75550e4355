#include "tests/ingester/wal_world.h"

#include <stdlib.h>

enum { RECORD_CAP = 1 << 20, HASH_KEY = 42, SAMPLES = 3 };

void
world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->disk = mem_fs_new();
    w->segment_bytes = 1 << 18;
    w->seed = seed;
    w->next_key = 1;
    w->state = calloc(WORLD_KEYS_MAX, 1);
    w->in_head = calloc(WORLD_KEYS_MAX, 1);
    w->head_of = calloc(WORLD_KEYS_MAX, 1);
    w->in_block = calloc(WORLD_KEYS_MAX, 1);
    w->mark = calloc(WORLD_KEYS_MAX, sizeof(*w->mark));
    w->profile = calloc(1, sizeof(*w->profile));
    w->buf = aligned_alloc(64, RECORD_CAP);
}

void
world_fini(struct world *w)
{
    world_stop(w);
    mem_fs_free(w->disk);
    free(w->state);
    free(w->in_head);
    free(w->head_of);
    free(w->in_block);
    free(w->mark);
    free(w->profile);
    free(w->buf);
}

static uint32_t
key_of(const struct pw_record_series *s)
{
    uint32_t key;

    memcpy(&key, s->uuid, sizeof(key));
    assert_true(key < WORLD_KEYS_MAX);
    return key;
}

/* What the core's head holds is in a block; the mark is said at every start from now on. */
static void
to_block(struct world *w, uint32_t core, const struct pw_wal_mark *m)
{
    struct pw_wal_mark again;
    char text[PW_WAL_MARK_TEXT_MAX];

    assert_int_equal(pw_wal_mark_read(pw_slice(text, pw_wal_mark_write(m, text)), &again), 0);
    assert_memory_equal(m, &again, sizeof(again));
    for (uint32_t k = 1; k < w->next_key; k++) {
        if (w->in_head[k] != 0 && w->head_of[k] == core) {
            w->in_block[k]++;
            w->in_head[k] = 0;
        }
    }
    w->mark[w->marks++] = *m;
}

static bool
roll(struct world *w, uint32_t one_in)
{
    return one_in != 0 && rb_random(&w->seed) % one_in == 0;
}

static int
replay_append(void *ctx, const struct pw_wal_mark *at, const struct pw_record *rec)
{
    struct world *w = ctx;
    const struct pw_record_series *s = PW_RECORD_AT(rec, struct pw_record_series, rec->series_off);
    uint32_t core = at->core;

    assert_true(core < w->cores);
    assert_int_equal(at->cores, w->cores);
    if (w->replay_at[core].cores != 0 && roll(w, w->replay_cuts)) {
        to_block(w, core, &w->replay_at[core]);
    }
    if (roll(w, w->replay_deaths)) {
        return PW_EAGAIN;
    }
    /* In the order of its log, whichever thread decoded it. */
    assert_true(at->generation != w->replay_at[core].generation ||
                at->replay != w->replay_at[core].replay ||
                at->sequence > w->replay_at[core].sequence);
    w->replay_at[core] = *at;
    assert_true(rec->series_count > 0);
    for (uint32_t i = 0; i < rec->series_count; i++) {
        uint32_t key = key_of(&s[i]);

        assert_int_equal(rec->time_nanos, (int64_t)key - i % 4 == 0 ? 0 : rec->time_nanos);
        w->in_head[key]++;
        w->head_of[key] = (uint8_t)core;
    }
    return 0;
}

int
world_start(struct world *w, uint32_t cores)
{
    const struct pw_wal_cfg cfg = {
        .fs = mem_fs_table(w->disk),
        .path = "/data/wal",
        .cores = cores,
        .sync = PW_WAL_SYNC_GROUP,
        .segment_bytes = w->segment_bytes,
        .reuse_max = w->reuse_max,
        .buffer_bytes = 1 << 20,
        .hash_key = HASH_KEY,
    };
    const struct pw_wal_sink sink = {.ctx = w, .append = replay_append, .threads = 3};
    uint8_t why_bytes[512];
    struct pw_text why;
    int rc;

    pw_text_fixed(&why, why_bytes, sizeof(why_bytes));
    w->cores = cores;
    memset(w->replay_at, 0, sizeof(w->replay_at));
    memset(w->in_head, 0, WORLD_KEYS_MAX);
    rc = pw_wal_dir_open_cold(&w->dir, &cfg, &why);
    if (rc != 0) {
        assert_true(why.len > 0);
        w->dir = NULL;
        return rc;
    }
    for (uint32_t i = 0; i < w->marks && rc == 0; i++) {
        rc = pw_wal_dir_covered_cold(w->dir, &w->mark[i], PW_SLICE_LIT("t"));
    }
    rc = rc != 0 ? rc : pw_wal_replay_cold(w->dir, &sink, &w->replayed, &why);
    rc = rc != 0 ? rc : pw_wal_dir_start_cold(w->dir, w->replayed.held, &why);
    if (rc != 0) {
        assert_true(why.len > 0);
        world_stop(w);
    }
    memset(w->pending_first, 0, sizeof(w->pending_first));
    memset(w->pending_count, 0, sizeof(w->pending_count));
    return rc;
}

void
world_stop(struct world *w)
{
    for (uint32_t c = 0; w->dir != NULL && pw_wal_dir_log(w->dir, c) != NULL; c++) {
        struct pw_wal_stats st;

        pw_wal_stats(pw_wal_dir_log(w->dir, c), &st);
        w->reused += st.reused_segments;
    }
    pw_wal_dir_close_cold(w->dir);
    w->dir = NULL;
    for (uint32_t k = 1; k < w->next_key; k++) { /* nobody will be told */
        w->state[k] = w->state[k] == WORLD_SENT ? WORLD_REFUSED : w->state[k];
    }
}

void
world_judge(const struct world *w)
{
    for (uint32_t k = 1; k < w->next_key; k++) {
        uint32_t n = (uint32_t)w->in_head[k] + w->in_block[k];

        if (n > 1 || (n == 0 && w->state[k] == WORLD_ACKED)) {
            print_error("series %u: state %u, in head %u, in block %u\n", k, w->state[k],
                        w->in_head[k], w->in_block[k]);
        }
        assert_true(n <= 1);
        assert_true(n == 1 || w->state[k] != WORLD_ACKED);
    }
}

static const struct pw_record *
build(struct world *w, uint32_t series)
{
    struct rb_profile *p = w->profile;

    p->tenant = "t";
    p->types_count = 1;
    p->series_count = series;
    p->time_nanos = w->next_key;
    for (uint32_t i = 0; i < series; i++) {
        struct rb_series *s = &p->series[i];
        uint32_t key = w->next_key + i;

        s->label_set = (uint32_t)(rb_random(&w->seed) % 40);
        s->sample_count = SAMPLES;
        for (uint32_t k = 0; k < SAMPLES; k++) {
            s->sample[k] = (struct rb_sample){.stack = 1 + (uint32_t)(rb_random(&w->seed) % 50),
                                              .value = {1 + k}};
        }
        memset(s->uuid, 0, sizeof(s->uuid));
        memcpy(s->uuid, &key, sizeof(key));
    }
    return rb_build(p, HASH_KEY, w->next_key, w->buf, RECORD_CAP);
}

int
world_push(struct world *w, uint32_t core)
{
    struct pw_wal *log = pw_wal_dir_log(w->dir, core);
    uint32_t series = 1 + (uint32_t)(rb_random(&w->seed) % 4);
    const struct pw_record *rec = build(w, series);
    int rc;

    assert_true(w->next_key + series < WORLD_KEYS_MAX);
    if (w->pending_count[core] == WORLD_PENDING_MAX) {
        return PW_EAGAIN;
    }
    rc = pw_wal_reserve(log, rec, false);
    if (rc != 0) {
        return rc;
    }
    uint32_t at = (w->pending_first[core] + w->pending_count[core]++) % WORLD_PENDING_MAX;

    w->pending[core][at] = (struct world_pending){
        .sequence = pw_wal_commit(log), .first_key = w->next_key, .keys = series};
    pw_wal_flush(log);
    for (uint32_t i = 0; i < series; i++) {
        w->state[w->next_key] = WORLD_SENT;
        w->in_head[w->next_key] = 1;
        w->head_of[w->next_key++] = (uint8_t)core;
    }
    return 0;
}

static void
settle(struct world *w, uint32_t core)
{
    struct pw_wal_settled s;

    while (pw_wal_settled(pw_wal_dir_log(w->dir, core), &s)) {
        while (w->pending_count[core] != 0) {
            struct world_pending *p = &w->pending[core][w->pending_first[core]];

            if (p->sequence > s.through) {
                break;
            }
            for (uint32_t i = 0; i < p->keys; i++) {
                w->state[p->first_key + i] = s.status == 0 ? WORLD_ACKED : WORLD_REFUSED;
            }
            w->acked += s.status == 0;
            w->refused += s.status != 0;
            w->pending_first[core] = (w->pending_first[core] + 1) % WORLD_PENDING_MAX;
            w->pending_count[core]--;
        }
    }
}

void
world_step(struct world *w)
{
    for (uint32_t c = 0; c < w->cores; c++) {
        (void)pw_wal_step_cold(pw_wal_dir_log(w->dir, c));
        settle(w, c);
    }
}

void
world_cut(struct world *w, uint32_t core, bool release)
{
    struct pw_wal *log = pw_wal_dir_log(w->dir, core);
    struct pw_wal_mark m;

    pw_wal_mark(log, &m);
    to_block(w, core, &m);
    if (release) {
        w->errors += pw_wal_release_cold(log, &m) != 0;
    }
}
