/* The log on a disk that forgets, fails and fills up (tests/support/mem_fs.h). */
#include "ingester/wal_frame.h"
#include "tests/ingester/wal_world.h"

#include <stdio.h>
#include <stdlib.h>

enum { PUSHES = 60 };

static void
push_some(struct world *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(world_push(w, i % w->cores), 0);
        if (i % 5 == 4) {
            world_step(w);
        }
    }
}

/* A name of the form of a segment; the i-th. */
static const char *
segment_name(struct world *w, uint32_t i)
{
    for (uint32_t k = 0;; k++) {
        const char *name = mem_fs_name(w->disk, k);

        if (name == NULL || (strstr(name, ".wal") != NULL && i-- == 0)) {
            return name;
        }
    }
}

static void
test_log__process_killed__acknowledged_records_once(void **state)
{
    struct world w;

    world_init(&w, 7);
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, PUSHES);
    world_stop(&w);
    mem_fs_kill(w.disk);
    assert_int_equal(world_start(&w, 1), 0);
    world_judge(&w);
    assert_int_equal(w.acked, PUSHES);
    assert_int_equal(w.replayed.records, PUSHES);
    assert_int_equal(w.replayed.missing + w.replayed.damaged + w.replayed.torn, 0);
    world_fini(&w);
}

static void
test_log__power_lost__only_what_waited_is_gone(void **state)
{
    struct world w;

    world_init(&w, 8);
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, PUSHES);
    assert_int_equal(world_push(&w, 0), 0); /* not stepped */
    world_stop(&w);
    mem_fs_crash(w.disk, 0);
    assert_int_equal(world_start(&w, 1), 0);
    world_judge(&w);
    assert_int_equal(w.replayed.records, PUSHES);
    world_fini(&w);
}

static void
test_log__second_process__locked_out(void **state)
{
    struct world w;
    struct pw_wal_dir *other;
    uint8_t why_bytes[512];
    struct pw_text why;
    struct pw_wal_cfg cfg = {.path = "/data/wal", .cores = 1};

    world_init(&w, 9);
    assert_int_equal(world_start(&w, 1), 0);
    cfg.fs = mem_fs_table(w.disk);
    pw_text_fixed(&why, why_bytes, sizeof(why_bytes));
    assert_int_equal(pw_wal_dir_open_cold(&other, &cfg, &why), PW_EBUSY);
    assert_non_null(memmem(why.ptr, why.len, "another process", 15));
    world_fini(&w);
}

static void
test_log__failed_sync__next_segment_and_acknowledged_there(void **state)
{
    struct world w;
    struct pw_wal_stats st;

    world_init(&w, 10);
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, 10);
    assert_int_equal(world_push(&w, 0), 0);
    mem_fs_fail(w.disk, MEM_FS_ERROR, 1, 1); /* 0 is the write, 1 the sync */
    world_step(&w);
    mem_fs_fail(w.disk, MEM_FS_NO_FAULT, 0, 0);
    pw_wal_stats(pw_wal_dir_log(w.dir, 0), &st);
    assert_int_equal(st.abandoned_segments, 1);
    assert_int_equal(w.acked, 11);
    world_stop(&w);
    mem_fs_crash(w.disk, 0); /* the failed one is not there, the second copy is */
    assert_int_equal(world_start(&w, 1), 0);
    world_judge(&w);
    assert_int_equal(w.replayed.records, 11);
    assert_int_equal(w.replayed.missing, 0);

    assert_int_equal(world_push(&w, 0), 0);
    world_step(&w);
    assert_int_equal(world_push(&w, 0), 0);
    mem_fs_fail(w.disk, MEM_FS_ERROR, 1, 1);
    world_step(&w);
    mem_fs_fail(w.disk, MEM_FS_NO_FAULT, 0, 0);
    world_stop(&w);
    mem_fs_kill(w.disk); /* both copies are there: one counts */
    assert_int_equal(world_start(&w, 1), 0);
    world_judge(&w);
    assert_int_equal(w.replayed.records, 13);
    assert_int_equal(w.replayed.twice, 1);
    world_fini(&w);
}

/* Of the commit that failed the power took one record and left the one behind it: both are in the next segment. */
static void
test_log__failed_sync__part_of_it_survives__all_acknowledged_there(void **state)
{
    struct world w;
    uint64_t len;

    (void)state;
    world_init(&w, 12);
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, 10);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world_push(&w, 0), 0);
    }
    mem_fs_fail(w.disk, MEM_FS_ERROR, 1, 1);
    world_step(&w);
    mem_fs_fail(w.disk, MEM_FS_NO_FAULT, 0, 0);
    assert_int_equal(w.acked, 13);
    world_stop(&w);
    mem_fs_kill(w.disk);

    uint8_t *bytes = mem_fs_bytes(w.disk, segment_name(&w, 0), &len);
    uint64_t at = 0;
    uint32_t frames = 0;

    for (; frames < 11 && at + PW_WAL_FRAME_BYTES < len; at += 8) { /* the frame of the eleventh */
        frames += memcmp(bytes + at, "PWAL", 4) == 0;
    }
    assert_int_equal(frames, 11);
    memset(bytes + at, 0, 64);
    assert_int_equal(world_start(&w, 1), 0);
    world_judge(&w);
    assert_int_equal(w.replayed.records, 13);
    assert_int_equal(w.replayed.missing, 0);
    assert_int_equal(w.replayed.twice, 2);
    world_fini(&w);
}

static void
test_log__disk_full__refused_until_there_is_room(void **state)
{
    struct world w;
    struct pw_wal_stats st;
    uint32_t refused = 0;

    world_init(&w, 11);
    assert_int_equal(world_start(&w, 1), 0);
    mem_fs_capacity(w.disk, 3 * w.segment_bytes);
    for (uint32_t i = 0; i < 3000 && refused < 5; i++) {
        refused += world_push(&w, 0) == PW_ENOSPC;
        world_step(&w);
    }
    assert_int_equal(refused, 5);
    assert_true(w.acked > 20);
    pw_wal_stats(pw_wal_dir_log(w.dir, 0), &st);
    assert_true(st.disk_full);
    assert_int_equal(st.refused_full, 5);
    uint64_t before = w.acked;

    mem_fs_capacity(w.disk, 0);
    world_step(&w); /* the probe */
    assert_int_equal(world_push(&w, 0), 0);
    world_step(&w);
    assert_int_equal(w.acked, before + 1);
    world_stop(&w);
    mem_fs_crash(w.disk, 0);
    assert_int_equal(world_start(&w, 1), 0);
    world_judge(&w);
    assert_int_equal(w.replayed.missing, 0); /* what was refused is not missed */
    world_fini(&w);
}

static void
test_start__disk_full__what_was_there_is_there_and_pushes_are_refused_until_there_is_room(
    void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 25);
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, PUSHES);
    world_stop(&w);
    mem_fs_kill(w.disk);
    mem_fs_capacity(w.disk, 1);
    assert_int_equal(world_start(&w, 1), 0);
    world_judge(&w);
    assert_int_equal(world_push(&w, 0), PW_ENOSPC);
    mem_fs_capacity(w.disk, 0);
    world_step(&w); /* the probe */
    assert_int_equal(world_push(&w, 0), 0);
    world_step(&w);
    assert_int_equal(w.acked, PUSHES + 1);
    world_fini(&w);
}

static void
test_log__full_buffer__takes_no_more_until_written(void **state)
{
    struct world w;
    uint32_t n = 0;

    world_init(&w, 12);
    assert_int_equal(world_start(&w, 1), 0);
    while (n < 4000 && world_push(&w, 0) == 0) {
        n++;
    }
    assert_true(n > 10 && n < 4000);
    for (uint32_t i = 0; i < 100; i++) {
        world_step(&w);
    }
    assert_int_equal(w.acked, n);
    assert_int_equal(world_push(&w, 0), 0);
    world_fini(&w);
}

static void
test_release__segments_go__records_of_blocks_are_not_replayed(void **state)
{
    struct world w;
    struct pw_wal_stats st;
    uint64_t most;

    world_init(&w, 13);
    w.segment_bytes = 1 << 16;
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, 300);
    pw_wal_stats(pw_wal_dir_log(w.dir, 0), &st);
    most = st.segments;
    assert_true(most > 4);
    world_cut(&w, 0, true);
    push_some(&w, 10);
    pw_wal_stats(pw_wal_dir_log(w.dir, 0), &st);
    assert_true(st.segments < most);
    world_stop(&w);
    mem_fs_crash(w.disk, 0);
    assert_int_equal(world_start(&w, 2), 0); /* with more cores, too */
    world_judge(&w);
    assert_int_equal(w.replayed.missing, 0);
    world_cut(&w, 0, false); /* the blocks say it */
    world_cut(&w, 1, false);
    world_stop(&w);
    mem_fs_crash(w.disk, 0);
    assert_int_equal(world_start(&w, 3), 0);
    world_judge(&w);
    assert_int_equal(w.replayed.records, 0);
    world_fini(&w);
}

/* Files whose names end so. */
static uint32_t
count_names(struct world *w, const char *end)
{
    uint32_t n = 0;
    const char *name;

    for (uint32_t k = 0; (name = mem_fs_name(w->disk, k)) != NULL; k++) {
        n += strlen(name) > strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
    }
    return n;
}

static void
test_reuse__segments_let_go__written_over_and_replayed_without_them(void **state)
{
    struct world w;
    struct pw_wal_stats st;

    (void)state;
    world_init(&w, 21);
    w.segment_bytes = 1 << 16;
    w.reuse_max = 8;
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, 300);
    world_cut(&w, 0, true);
    world_step(&w);
    assert_int_equal(count_names(&w, ".old"), 8);
    push_some(&w, 15);
    pw_wal_stats(pw_wal_dir_log(w.dir, 0), &st);
    assert_true(st.reused_segments >= 2);
    assert_in_range(count_names(&w, ".old"), 1, 6);
    world_stop(&w);
    mem_fs_crash(w.disk, 0);
    uint32_t files = count_names(&w, ".wal");

    assert_int_equal(world_start(&w, 1), 0);
    assert_int_equal(w.replayed.segments, files - 1); /* the spare was not begun */
    world_judge(&w);
    assert_int_equal(w.replayed.records, 15);
    assert_int_equal(w.replayed.missing + w.replayed.damaged + w.replayed.torn + w.replayed.twice,
                     0);
    assert_int_equal(count_names(&w, ".old"), 0); /* worth nothing to this process */
    world_fini(&w);
}

/* The header of a segment in a file that was one before is lost, and its first record: the others are found, and nothing
 * of what the file held. */
static void
test_reuse__header_and_first_record_lost__what_is_intact_and_nothing_older(void **state)
{
    struct world w;
    struct pw_wal_stats st;
    uint64_t len;

    (void)state;
    world_init(&w, 22);
    w.segment_bytes = 1 << 16;
    w.reuse_max = 4;
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, 200);
    world_cut(&w, 0, true);
    for (uint32_t i = 0; i < 400; i++) { /* until one was just begun */
        pw_wal_stats(pw_wal_dir_log(w.dir, 0), &st);
        if (st.reused_segments >= 2) {
            break;
        }
        assert_int_equal(world_push(&w, 0), 0);
        world_step(&w);
    }
    assert_int_equal(st.reused_segments, 2); /* one at work, one is the spare */
    world_cut(&w, 0, true);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world_push(&w, 0), 0);
        world_step(&w);
    }
    world_stop(&w);
    mem_fs_kill(w.disk);
    for (uint32_t k = 0; mem_fs_name(w.disk, k) != NULL; k++) {
        const char *name = mem_fs_name(w.disk, k);
        uint8_t *bytes = mem_fs_bytes(w.disk, name, &len);

        if (strstr(name, ".wal") != NULL) {
            memset(bytes, 0xff, PW_WAL_HEADER_BYTES + PW_WAL_FRAME_BYTES);
        }
    }
    assert_int_equal(world_start(&w, 1), 0);
    assert_true(w.replayed.headers_lost >= 1);
    for (uint32_t k = 1; k < w.next_key; k++) {
        assert_true((uint32_t)w.in_head[k] + w.in_block[k] <= 1);
    }
    assert_true(w.replayed.records >= 2); /* of the three at most the damaged one is gone */
    world_fini(&w);
}

/* A file whose sync failed is not written again, whatever was let go. */
static void
test_reuse__abandoned_segment__never_written_over(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 23);
    w.reuse_max = 4;
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, 5);
    assert_int_equal(world_push(&w, 0), 0);
    mem_fs_fail(w.disk, MEM_FS_ERROR, 1, 1);
    world_step(&w);
    mem_fs_fail(w.disk, MEM_FS_NO_FAULT, 0, 0);
    world_cut(&w, 0, true);
    world_step(&w);
    assert_int_equal(count_names(&w, ".old"), 0); /* it was the only one */
    assert_int_equal(count_names(&w, ".wal"), 2); /* at work, and the spare */
    world_fini(&w);
}

static void
test_reuse__disk_nearly_full__none_kept(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, 24);
    w.segment_bytes = 1 << 16;
    w.reuse_max = 4;
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, 300);
    world_cut(&w, 0, true);
    world_step(&w);
    assert_int_equal(count_names(&w, ".old"), 4);
    mem_fs_capacity(w.disk, 40 << 16);
    for (uint32_t i = 0; i < 4; i++) {
        world_step(&w);
    }
    assert_int_equal(count_names(&w, ".old"), 0);
    world_fini(&w);
}

static void
test_replay__a_missing_segment__named_and_the_rest_is_there(void **state)
{
    struct world w;
    uint64_t all;

    world_init(&w, 14);
    w.segment_bytes = 1 << 16;
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, 300);
    all = w.acked;
    world_stop(&w);
    mem_fs_kill(w.disk);
    assert_int_equal(mem_fs_table(w.disk)->unlink(w.disk, segment_name(&w, 1)), 0);
    assert_int_equal(world_start(&w, 1), 0);
    assert_true(w.replayed.missing > 0);
    assert_true(w.replayed.records + w.replayed.missing >= all);
    assert_true(w.replayed.records > 0);
    world_fini(&w);
}

static void
test_replay__flipped_bits__at_most_one_record_each(void **state)
{
    struct world w;
    uint64_t seed = 99, len;

    world_init(&w, 15);
    assert_int_equal(world_start(&w, 1), 0);
    push_some(&w, 40);
    world_stop(&w);
    mem_fs_kill(w.disk);
    for (uint32_t i = 0; i < 60; i++) {
        uint8_t *bytes = mem_fs_bytes(w.disk, segment_name(&w, 0), &len);
        uint64_t at = rb_random(&seed) % 60000;
        uint8_t bit = (uint8_t)(1 << rb_random(&seed) % 8);

        bytes[at] ^= bit;
        assert_int_equal(world_start(&w, 1), 0);
        assert_true(w.replayed.records + 1 >= 40);
        assert_int_equal(w.replayed.records + (w.replayed.missing != 0) + (w.replayed.torn != 0),
                         40);
        for (uint32_t k = 1; k < w.next_key; k++) {
            assert_true(w.in_head[k] <= 1);
        }
        world_stop(&w);
        mem_fs_kill(w.disk);
        bytes = mem_fs_bytes(w.disk, segment_name(&w, 0), &len);
        bytes[at] ^= bit;
    }
    world_fini(&w);
}

/* Every call of the file layer in turn, each way it can fail; then power off or kill, and replay. */
static void
test_faults__at_every_call__nothing_acknowledged_is_lost(void **state)
{
    static const enum mem_fs_fault fault[] = {MEM_FS_ERROR, MEM_FS_NOSPC, MEM_FS_SHORT,
                                              MEM_FS_TORN};

    for (uint32_t f = 0; f < PW_ARRAY_LEN(fault); f++) {
        bool reached = true;

        for (uint64_t at = 0; reached; at++) {
            struct world w;

            world_init(&w, 16 + at);
            w.segment_bytes = 1 << 15;
            w.reuse_max = 3;
            mem_fs_fail(w.disk, fault[f], at, 1);
            int rc = world_start(&w, 1);

            if (rc != 0) { /* said why; works when started again */
                mem_fs_kill(w.disk);
                assert_int_equal(world_start(&w, 1), 0);
            }
            for (uint32_t i = 0; i < 30; i++) {
                w.errors += world_push(&w, 0) != 0;
                world_step(&w);
            }
            world_cut(&w, 0, true);
            for (uint32_t i = 0; i < 60; i++) { /* some segments of what was let go */
                w.errors += world_push(&w, 0) != 0;
                world_step(&w);
            }
            assert_true(w.errors <= 1);
            reached = mem_fs_calls(w.disk) > at;
            mem_fs_fail(w.disk, MEM_FS_NO_FAULT, 0, 0);
            world_stop(&w);
            if (at % 2 == 0) {
                mem_fs_crash(w.disk, at % 4);
            } else {
                mem_fs_kill(w.disk);
            }
            assert_int_equal(world_start(&w, 1), 0);
            world_judge(&w);
            assert_int_equal(w.replayed.missing, 0);
            assert_true(at != 0 || w.reused != 0);
            world_fini(&w);
        }
    }
}

/* Replay itself on a disk that fails once at every call. */
static void
test_faults__in_replay__said_or_survived(void **state)
{
    for (uint64_t at = 0, reached = true; reached; at++) {
        struct world w;

        world_init(&w, 17);
        w.segment_bytes = 1 << 16;
        assert_int_equal(world_start(&w, 1), 0);
        push_some(&w, PUSHES);
        world_stop(&w);
        mem_fs_kill(w.disk);
        mem_fs_fail(w.disk, at % 2 == 0 ? MEM_FS_ERROR : MEM_FS_SHORT, at / 2, 1);
        int rc = world_start(&w, 1);

        reached = mem_fs_calls(w.disk) > at / 2;
        if (rc == 0 && w.replayed.read_errors == 0) {
            world_judge(&w);
        }
        /* A failed read costs what it was to give, for this time; the file is left alone. */
        mem_fs_fail(w.disk, MEM_FS_NO_FAULT, 0, 0);
        world_stop(&w);
        mem_fs_kill(w.disk);
        if (w.replayed.records != 0 || rc != 0) {
            assert_int_equal(world_start(&w, 1), 0);
            world_judge(&w);
        }
        world_fini(&w);
    }
}

/* Starts until a start is seen through; how often replay died. */
static uint32_t
start_at_last(struct world *w, uint32_t cores)
{
    uint32_t deaths = 0;
    int rc;

    while ((rc = world_start(w, cores)) == PW_EAGAIN) {
        deaths++;
        mem_fs_kill(w->disk);
        cores = 1 + deaths % WORLD_CORES_MAX;
    }
    assert_int_equal(rc, 0);
    return deaths;
}

static void
test_replay__heads_cut_on_the_way__each_once_however_often_it_dies(void **state)
{
    uint32_t deaths = 0, marks = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct world w;

        world_init(&w, seed);
        w.segment_bytes = 1 << 16;
        w.replay_cuts = 20;
        w.replay_deaths = 100;
        assert_int_equal(world_start(&w, 1 + (uint32_t)(seed % WORLD_CORES_MAX)), 0);
        for (uint32_t i = 0; i < 3; i++) {
            push_some(&w, 100);
            world_stop(&w);
            mem_fs_kill(w.disk);
            deaths += start_at_last(&w, 1 + (uint32_t)((seed + i) % WORLD_CORES_MAX));
            world_judge(&w);
            assert_int_equal(w.replayed.missing, 0);
        }
        marks += w.marks;
        world_fini(&w);
    }
    assert_true(deaths > 6 && marks > 20);
}

/* A life by seed: pushes, turns of the writer, faults, cuts, deaths of both kinds, other core counts. */
static uint64_t
simulate(uint64_t seed, uint32_t deaths)
{
    struct world w;
    uint64_t dice = seed * 2654435761U + 1;

    world_init(&w, seed + 1);
    w.segment_bytes = 1 << (14 + seed % 5);
    w.reuse_max = seed % 4 == 0 ? 0 : 1 + (uint32_t)(seed % 7);
    w.replay_cuts = seed % 3 == 1 ? 30 : 0;
    w.replay_deaths = seed % 3 == 1 ? 200 : 0;
    assert_int_equal(world_start(&w, 1 + (uint32_t)(seed % WORLD_CORES_MAX)), 0);
    for (uint32_t d = 0; d < deaths; d++) {
        uint32_t turns = 1 + (uint32_t)(rb_random(&dice) % 60);

        for (uint32_t t = 0; t < turns; t++) {
            uint64_t roll = rb_random(&dice) % 100;

            if (roll < 60) {
                (void)!world_push(&w, (uint32_t)(rb_random(&dice) % w.cores));
            } else if (roll < 90) {
                world_step(&w);
            } else if (roll < 95) {
                world_cut(&w, (uint32_t)(rb_random(&dice) % w.cores), rb_random(&dice) % 2 == 0);
            } else {
                mem_fs_fail(w.disk, 1 + (enum mem_fs_fault)(rb_random(&dice) % 4),
                            rb_random(&dice) % 8, 1 + rb_random(&dice) % 3);
            }
        }
        mem_fs_fail(w.disk, MEM_FS_NO_FAULT, 0, 0);
        world_stop(&w);
        if (rb_random(&dice) % 2 == 0) {
            mem_fs_kill(w.disk);
        } else {
            mem_fs_crash(w.disk, rb_random(&dice) % 3);
        }
        (void)start_at_last(&w, 1 + (uint32_t)(rb_random(&dice) % WORLD_CORES_MAX));
        world_judge(&w);
        assert_int_equal(w.replayed.missing, 0);
    }
    uint64_t reused = w.reused;

    world_fini(&w);
    return reused;
}

static void
test_life__by_seed__every_acknowledged_series_once(void **state)
{
    const char *asked = getenv("PW_WAL_SEEDS");
    uint64_t seeds = asked != NULL ? strtoull(asked, NULL, 10) : 15;

    uint64_t reused = 0;

    for (uint64_t seed = 1; seed <= seeds; seed++) {
        reused += simulate(seed, 12);
    }
    assert_true(reused > seeds); /* else they prove nothing about it */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log__process_killed__acknowledged_records_once),
        cmocka_unit_test(test_log__power_lost__only_what_waited_is_gone),
        cmocka_unit_test(test_log__second_process__locked_out),
        cmocka_unit_test(test_log__failed_sync__next_segment_and_acknowledged_there),
        cmocka_unit_test(test_log__failed_sync__part_of_it_survives__all_acknowledged_there),
        cmocka_unit_test(test_log__disk_full__refused_until_there_is_room),
        cmocka_unit_test(
            test_start__disk_full__what_was_there_is_there_and_pushes_are_refused_until_there_is_room),
        cmocka_unit_test(test_log__full_buffer__takes_no_more_until_written),
        cmocka_unit_test(test_release__segments_go__records_of_blocks_are_not_replayed),
        cmocka_unit_test(test_reuse__segments_let_go__written_over_and_replayed_without_them),
        cmocka_unit_test(
            test_reuse__header_and_first_record_lost__what_is_intact_and_nothing_older),
        cmocka_unit_test(test_reuse__abandoned_segment__never_written_over),
        cmocka_unit_test(test_reuse__disk_nearly_full__none_kept),
        cmocka_unit_test(test_replay__a_missing_segment__named_and_the_rest_is_there),
        cmocka_unit_test(test_replay__flipped_bits__at_most_one_record_each),
        cmocka_unit_test(test_faults__at_every_call__nothing_acknowledged_is_lost),
        cmocka_unit_test(test_faults__in_replay__said_or_survived),
        cmocka_unit_test(test_replay__heads_cut_on_the_way__each_once_however_often_it_dies),
        cmocka_unit_test(test_life__by_seed__every_acknowledged_series_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
