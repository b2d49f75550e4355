/* The log's own thread, on a real directory: with nobody waiting it writes what has gathered, and still somebody who
 * waits is answered. */
#include "base/clock.h"
#include "ingester/wal_priv.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/record_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { HASH_KEY = 77, RECORDS = 300, WAITS = 60, BURSTS = 20, RECORD_CAP = 1 << 20, HANG_S = 8 };

struct fixture {
    char path[32];
    struct pw_wal_dir *dir;
    struct pw_wal *log;
    struct rb_profile *profile;
    bool waits; /* each of them */
    bool no_writer;
    uint8_t why_bytes[512];
    void *buf;
};

static void
up(struct fixture *x, enum pw_wal_sync sync)
{
    struct pw_text why;
    struct pw_wal_cfg cfg = {
        .fs = pw_fs_os(),
        .path = x->path,
        .cores = 1,
        .sync = sync,
        .realtime_priority = 1, /* it need not be allowed */
        .segment_bytes = 1 << 20,
        .reuse_max = 2,
        .buffer_bytes = 1 << 20,
        .hash_key = HASH_KEY,
        .threads = !x->no_writer,
    };
    const bool replayed[1] = {false};

    x->waits = sync == PW_WAL_SYNC_GROUP;
    strcpy(x->path, "/tmp/pyrowire-wal.XXXXXX");
    assert_non_null(mkdtemp(x->path));
    pw_text_fixed(&why, x->why_bytes, sizeof(x->why_bytes));
    assert_int_equal(pw_wal_dir_open_cold(&x->dir, &cfg, &why), 0);
    assert_int_equal(pw_wal_dir_start_cold(x->dir, replayed, &why), 0);
    x->log = pw_wal_dir_log(x->dir, 0);
    x->profile = calloc(1, sizeof(*x->profile));
    x->buf = aligned_alloc(64, RECORD_CAP);
}

static void
unlink_in(void *arg, const char *name)
{
    char path[PW_FS_PATH_MAX + 32];

    snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
    (void)unlink(path);
}

static void
down(struct fixture *x)
{
    const struct pw_fs *fs = pw_fs_os();

    pw_wal_dir_close_cold(x->dir);
    assert_int_equal(fs->list(fs->ctx, x->path, unlink_in, x->path), 0);
    assert_int_equal(rmdir(x->path), 0);
    free(x->profile);
    free(x->buf);
}

static uint64_t
push(struct fixture *x, uint32_t i, bool borrow)
{
    struct rb_profile *p = x->profile;
    int64_t end = pw_wall_ns() + HANG_S * 1000000000LL;
    const struct pw_record *rec;
    int rc;

    p->tenant = "t";
    p->types_count = 1;
    p->series_count = 1;
    p->time_nanos = i + 1;
    p->series[0].sample_count = 1;
    p->series[0].sample[0] = (struct rb_sample){.stack = 1, .value = {1}};
    rec = rb_build(p, HASH_KEY, i + 1, x->buf, RECORD_CAP);
    while ((rc = pw_wal_reserve(x->log, rec, borrow)) == PW_EAGAIN) { /* the disk is slow */
        assert_true(pw_wall_ns() < end);
        usleep(100);
    }
    assert_int_equal(rc, 0);
    uint64_t sequence = pw_wal_commit(x->log);

    assert_int_equal(pw_wal_waits(x->log), borrow || x->waits);
    pw_wal_flush(x->log);
    return sequence;
}

/* Until the writer has settled that one; the number of commits it took so far. */
static uint64_t
await(struct fixture *x, uint64_t sequence)
{
    int64_t end = pw_wall_ns() + HANG_S * 1000000000LL;
    struct pw_wal_settled s = {0};
    struct pw_wal_stats st;

    while (s.through < sequence) {
        assert_true(pw_wall_ns() < end);
        if (!pw_wal_settled(x->log, &s)) {
            usleep(100);
        }
        assert_int_equal(s.status, 0);
    }
    pw_wal_stats(x->log, &st);
    assert_true(st.records >= sequence);
    return st.commits;
}

static void
test_writer__nobody_waits__many_records_a_write(void **state)
{
    struct fixture x = {0};
    uint64_t last = 0;

    up(&x, PW_WAL_SYNC_NONE);
    for (uint32_t i = 0; i < RECORDS; i++) {
        last = push(&x, i, false);
    }
    /* One for each would need a pause of milliseconds between any two of them. */
    assert_true(await(&x, last) < RECORDS);
    down(&x);
}

static void
test_writer__one_of_them_waits__settled_while_it_lingers(void **state)
{
    struct fixture x = {0};

    up(&x, PW_WAL_SYNC_NONE);
    for (uint32_t i = 0; i < WAITS; i++) {
        (void)await(&x, push(&x, i, i % 3 == 0));
    }
    down(&x);
}

static void
test_writer__all_wait__each_burst_settled_in_shared_commits(void **state)
{
    struct fixture x = {0};
    uint64_t last = 0;
    uint64_t commits = 0;

    up(&x, PW_WAL_SYNC_GROUP);
    for (uint32_t i = 0; i < BURSTS; i++) {
        for (uint32_t k = 0; k < RECORDS / BURSTS; k++) {
            last = push(&x, i * RECORDS + k, false);
        }
        commits = await(&x, last);
    }
    assert_int_equal(last, RECORDS);
    assert_true(commits < RECORDS);
    down(&x);
}

static void
test_writer__all_wait_one_by_one__each_settled(void **state)
{
    struct fixture x = {0};

    up(&x, PW_WAL_SYNC_GROUP);
    for (uint32_t i = 0; i < WAITS; i++) {
        (void)await(&x, push(&x, i, false));
    }
    down(&x);
}

/* The writer looks at this when it is about to wait for company, and is woken by it. */
static void
test_hasten__somebody_has_waited_long__the_flush_is_in_a_hurry(void **state)
{
    struct fixture x = {.no_writer = true};

    (void)state;
    up(&x, PW_WAL_SYNC_GROUP);
    (void)push(&x, 0, false);
    assert_false(atomic_load(&x.log->hurry));
    pw_wal_hasten(x.log);
    (void)push(&x, 1, false);
    assert_true(atomic_load(&x.log->hurry));
    atomic_store(&x.log->hurry, false); /* as the writer does when it begins */
    (void)push(&x, 2, false);
    assert_false(atomic_load(&x.log->hurry));
    atomic_store(&x.log->gathers, true); /* a core has no time to spare: all have waited long */
    pw_wal_hasten(x.log);
    (void)push(&x, 3, false);
    assert_false(atomic_load(&x.log->hurry));
    assert_int_equal(pw_wal_step_cold(x.log), 4);
    down(&x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer__nobody_waits__many_records_a_write),
        cmocka_unit_test(test_writer__one_of_them_waits__settled_while_it_lingers),
        cmocka_unit_test(test_writer__all_wait__each_burst_settled_in_shared_commits),
        cmocka_unit_test(test_writer__all_wait_one_by_one__each_settled),
        cmocka_unit_test(test_hasten__somebody_has_waited_long__the_flush_is_in_a_hurry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
