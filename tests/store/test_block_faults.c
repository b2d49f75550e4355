/* Blocks and trouble: a disk that fails at every call in turn, power that goes at every call in turn,
 * bytes that turn over in every file. */
#include "store/block/block_out.h"
#include "store/block/block_reader.h"
#include "store/block/block_writer.h"
#include "tests/store/block_case.h"
#include "tests/store/block_read_all.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/mem_fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char dir[] = "/blocks";

static struct block_case *
tiny_case(uint64_t seed)
{
    struct block_case_cfg cfg = {.seed = seed,
                                 .services = 2,
                                 .series = 4,
                                 .rows = 30,
                                 .stacks = 40,
                                 .locations = 40,
                                 .functions = 30,
                                 .mappings = 2,
                                 .strings = 60,
                                 .samples_max = 12,
                                 .depth_max = 8,
                                 .spans = 9};

    return block_case_make(&cfg);
}

static struct pw_ulid
fixed_ulid(void)
{
    struct pw_ulid u;

    assert_int_equal(pw_ulid_parse(&u, pw_slice_str("01M7Y1GEPHRX9AZS6AWW3AARP5")), 0);
    return u;
}

static int
write_mem(struct mem_fs *m, const struct block_case *c)
{
    struct pw_block_writer_cfg cfg = {.dir = dir, .ulid = fixed_ulid(), .fs = mem_fs_table(m)};
    struct pw_block_info info;
    struct pw_block_error err;
    int rc = pw_block_write(&cfg, &c->source, &info, &err);

    assert_true(rc == 0 || err.text[0] != 0);
    return rc;
}

/* --- A block in a struct mem_fs, as a reader sees it -------------------------------------------------- */

static int
mem_get(void *ctx, const char *rel_path, struct pw_slice *bytes)
{
    char path[128];
    uint64_t len;
    uint8_t *p;

    snprintf(path, sizeof(path), "%s/01M7Y1GEPHRX9AZS6AWW3AARP5/%s", dir, rel_path);
    p = mem_fs_bytes(ctx, path, &len);
    if (p == NULL) {
        return PW_ENOENT;
    }
    *bytes = pw_slice(p, len);
    return 0;
}

static void
mem_release(void *ctx, struct pw_slice bytes)
{
}

/* 1 a whole block, 0 none; anything else fails the test. */
static int
look_for_block(struct mem_fs *m, const struct block_sum *want)
{
    struct pw_block_files files = {.ctx = m, .get = mem_get, .release = mem_release};
    struct pw_block_error err = {{0}};
    struct block_sum sum;
    struct pw_block *b;
    struct pw_slice any;
    uint32_t there = 0;
    int rc;

    for (size_t i = 0; i < 4; i++) {
        static const char *const names[] = {"meta.json", "index.tsdb", "profiles.parquet",
                                            "symbols.symdb"};

        there += mem_get(m, names[i], &any) == 0;
    }
    if (there == 0) {
        return 0;
    }
    assert_int_equal(there, 4);
    rc = pw_block_open(&b, "/blocks/01M7Y1GEPHRX9AZS6AWW3AARP5", &files, &err);
    if (rc != 0 || block_read_all(b, UINT64_MAX, &sum, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_memory_equal(&sum, want, sizeof(sum));
    pw_block_close(b);
    return 1;
}

static struct block_sum
sum_of(const struct block_case *c, uint64_t *calls)
{
    struct mem_fs *m = mem_fs_new();
    struct pw_block_files files = {.ctx = m, .get = mem_get, .release = mem_release};
    struct pw_block_error err;
    struct block_sum sum;
    struct pw_block *b;

    assert_int_equal(write_mem(m, c), 0);
    *calls = mem_fs_calls(m);
    assert_int_equal(pw_block_open(&b, "/blocks/01M7Y1GEPHRX9AZS6AWW3AARP5", &files, &err), 0);
    assert_int_equal(block_read_all(b, UINT64_MAX, &sum, &err), 0);
    assert_true(sum.rows > 10 && sum.samples > 20 && sum.frames > 20);
    pw_block_close(b);
    mem_fs_free(m);
    return sum;
}

/* --- Tests -------------------------------------------------------------------------------------------- */

static void
test_block_write__every_call_fails_in_turn__error_and_no_block(void **state)
{
    static const enum mem_fs_fault faults[] = {MEM_FS_ERROR, MEM_FS_NOSPC, MEM_FS_TORN};
    struct block_case *c = tiny_case(3);
    uint64_t calls;
    struct block_sum sum = sum_of(c, &calls);
    uint32_t failed = 0;

    for (uint64_t at = 0; at < calls; at++) {
        for (size_t f = 0; f < PW_ARRAY_LEN(faults); f++) {
            struct mem_fs *m = mem_fs_new();
            int rc;

            mem_fs_fail(m, faults[f], at, 1);
            rc = write_mem(m, c);
            assert_true(rc == PW_EIO || rc == PW_ENOSPC);
            assert_int_equal(look_for_block(m, &sum), 0);
            mem_fs_fail(m, MEM_FS_NO_FAULT, 0, 0);
            assert_int_equal(write_mem(m, c), 0); /* the same ULID, after the disk is well again */
            assert_int_equal(look_for_block(m, &sum), 1);
            mem_fs_free(m);
            failed++;
        }
    }
    assert_true(failed >= 3 * 16); /* directory, 4 files (open, write, sync), sync, rename, sync */
    block_case_free(c);
}

static void
test_block_write__short_writes__as_without(void **state)
{
    struct block_case *c = tiny_case(4);
    uint64_t calls;
    struct block_sum sum = sum_of(c, &calls);

    for (uint64_t at = 0; at < calls; at++) {
        struct mem_fs *m = mem_fs_new();
        int rc;

        mem_fs_fail(m, MEM_FS_SHORT, at, 1); /* of other calls than write: an error */
        rc = write_mem(m, c);
        assert_int_equal(look_for_block(m, &sum), rc == 0);
        mem_fs_free(m);
    }
    block_case_free(c);
}

static void
test_block_write__power_goes_at_every_call__no_block_or_a_whole_one(void **state)
{
    struct block_case *c = tiny_case(5);
    uint64_t calls;
    struct block_sum sum = sum_of(c, &calls);
    uint32_t none = 0, whole = 0;

    for (uint64_t at = 0; at <= calls; at++) {
        for (uint64_t seed = 0; seed < 6; seed++) { /* 0: all that was not synced is lost */
            struct mem_fs *m = mem_fs_new();
            int rc, found;

            mem_fs_fail(m, MEM_FS_ERROR, at, UINT64_MAX); /* nothing happens any more */
            rc = write_mem(m, c);
            mem_fs_crash(m, seed);
            found = look_for_block(m, &sum);
            none += found == 0;
            whole += found == 1;
            assert_true(rc != 0 || found == 1); /* what was reported written is there */
            mem_fs_free(m);
        }
    }
    assert_true(none > 50 && whole >= 6);
    block_case_free(c);
}

/* --- Damage ------------------------------------------------------------------------------------------- */

static const char *const data_files[] = {"index.tsdb", "profiles.parquet", "symbols.symdb",
                                         "meta.json"};

/* What open or reading says of the block as it is now. */
static int
read_damaged(struct mem_fs *m, struct block_sum *sum)
{
    struct pw_block_files files = {.ctx = m, .get = mem_get, .release = mem_release};
    struct pw_block_error err = {{0}};
    struct pw_block *b;
    int rc = pw_block_open(&b, "/blocks/01M7Y1GEPHRX9AZS6AWW3AARP5", &files, &err);

    if (rc == 0) {
        rc = block_read_all(b, 100000, sum, &err);
        pw_block_close(b);
    }
    assert_true(rc == 0 || err.text[0] != 0);
    return rc;
}

/* A byte that turns over in index.tsdb, symbols.symdb or a page is noticed, or is one that nothing reads:
 * padding, sections 4 and 6 of the index, statistics. Then the block reads as before. Only what stands in
 * meta.json and in a parquet footer has no checksum. */
static void
test_block_open__a_byte_turns_over__error_or_same_answer(void **state)
{
    struct block_case *c = tiny_case(6);
    uint64_t seed = 6, calls;
    struct block_sum want = sum_of(c, &calls);
    uint32_t noticed = 0;

    for (size_t f = 0; f < PW_ARRAY_LEN(data_files); f++) {
        struct mem_fs *m = mem_fs_new();
        struct pw_slice bytes = {0};

        assert_int_equal(write_mem(m, c), 0);
        assert_int_equal(mem_get(m, data_files[f], &bytes), 0);
        for (uint32_t i = 0; i < 3000; i++) {
            uint8_t *p = (uint8_t *)(uintptr_t)bytes.ptr + block_case_random(&seed) % bytes.len;
            uint8_t was = *p;
            struct block_sum sum;
            int rc;

            *p ^= (uint8_t)(1 + block_case_random(&seed) % 255);
            rc = read_damaged(m, &sum);
            noticed += rc != 0;
            if (rc == 0 && (f == 0 || f == 2)) {
                assert_memory_equal(&sum, &want, sizeof(sum));
            }
            *p = was;
        }
        mem_fs_free(m);
    }
    assert_true(noticed > 6000);
    block_case_free(c);
}

static void
test_block_open__file_missing_cut_or_of_other_size__clear_error(void **state)
{
    struct block_case *c = tiny_case(7);
    struct pw_block_writer_cfg cfg = {.ulid = fixed_ulid()};
    struct pw_block_info info;
    struct pw_block_error err;
    struct pw_block *b;
    char base[] = "/tmp/pw-test-damage-XXXXXX", path[128], block[96], command[128];

    assert_non_null(mkdtemp(base));
    cfg.dir = base;
    assert_int_equal(pw_block_write(&cfg, &c->source, &info, &err), 0);
    snprintf(block, sizeof(block), "%s/01M7Y1GEPHRX9AZS6AWW3AARP5", base);
    assert_int_equal(pw_block_open(&b, block, NULL, &err), 0);
    pw_block_close(b);
    snprintf(path, sizeof(path), "%s/profiles.parquet", block);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(pw_block_open(&b, block, NULL, &err), PW_EINVAL);
    assert_non_null(strstr(err.text, "profiles.parquet: 100 bytes, meta.json says"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(pw_block_open(&b, block, NULL, &err), PW_ENOENT);
    assert_non_null(strstr(err.text, "profiles.parquet"));
    snprintf(path, sizeof(path), "%s/meta.json", block);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(pw_block_open(&b, block, NULL, &err), PW_ENOENT);
    assert_non_null(strstr(err.text, "meta.json"));
    snprintf(command, sizeof(command), "rm -rf %s", base);
    assert_int_equal(system(command), 0);
    block_case_free(c);
}

static void
test_block_remove_leftovers__temporary_directories_only(void **state)
{
    char base[] = "/tmp/pw-test-left-XXXXXX", path[256], command[128];
    static const char *const names[] = {"01M7Y1GEPHRX9AZS6AWW3AARP5.tmp",
                                        "01M7Y1GEPHRX9AZS6AWW3AARP5", "keep.tmp"};
    struct pw_block_error err;

    assert_non_null(mkdtemp(base));
    for (size_t i = 0; i < PW_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", base, names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    snprintf(path, sizeof(path), "touch %s/%s/symbols.symdb", base, names[0]);
    assert_int_equal(system(path), 0);
    assert_int_equal(pw_block_remove_leftovers(base, NULL, &err), 1);
    assert_int_equal(pw_block_remove_leftovers(base, NULL, &err), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", base, names[i]);
        assert_int_equal(access(path, F_OK), i == 0 ? -1 : 0);
    }
    snprintf(command, sizeof(command), "rm -rf %s", base);
    assert_int_equal(system(command), 0);
}

/* Writes into a buffer, and remembers the largest. */
struct sink {
    uint8_t bytes[1 << 20];
    size_t most;
};

static int
sink_open(void *ctx, const char *path, enum pw_fs_open how)
{
    (void)ctx, (void)path, (void)how;
    return 3;
}

static int
sink_close(void *ctx, int fd)
{
    (void)ctx, (void)fd;
    return 0;
}

static int64_t
sink_write(void *ctx, int fd, const void *buf, size_t n, uint64_t off)
{
    struct sink *s = ctx;

    (void)fd;
    assert_true(off + n <= sizeof(s->bytes));
    memcpy(s->bytes + off, buf, n);
    s->most = n > s->most ? n : s->most;
    return (int64_t)n;
}

static void
test_block_out__more_than_a_piece_at_once__no_write_is_larger(void **state)
{
    enum { BYTES = 5 * PW_BLOCK_OUT_PIECE + 77, FIRST = 1000 };
    struct sink *sink = calloc(1, sizeof(*sink));
    struct pw_fs fs = {.ctx = sink,
                       .open = sink_open,
                       .close = sink_close,
                       .write = sink_write,
                       .sync = sink_close};
    struct pw_block_out *out = malloc(sizeof(*out));
    struct pw_block_error err;
    uint8_t *data = malloc(BYTES);

    (void)state;
    for (uint32_t i = 0; i < BYTES; i++) {
        data[i] = (uint8_t)(i * 7 + i / 251);
    }
    pw_block_out_create(out, &fs, "/d", "f");
    pw_block_out_put(out, data, FIRST);
    pw_block_out_put(out, data + FIRST, BYTES - FIRST);
    assert_int_equal(pw_block_out_finish(out, &err), 0);
    assert_int_equal(out->written, BYTES);
    assert_memory_equal(sink->bytes, data, BYTES);
    assert_int_equal(sink->most, PW_BLOCK_OUT_PIECE);
    free(data);
    free(out);
    free(sink);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_write__every_call_fails_in_turn__error_and_no_block),
        cmocka_unit_test(test_block_write__short_writes__as_without),
        cmocka_unit_test(test_block_write__power_goes_at_every_call__no_block_or_a_whole_one),
        cmocka_unit_test(test_block_open__a_byte_turns_over__error_or_same_answer),
        cmocka_unit_test(test_block_open__file_missing_cut_or_of_other_size__clear_error),
        cmocka_unit_test(test_block_remove_leftovers__temporary_directories_only),
        cmocka_unit_test(test_block_out__more_than_a_piece_at_once__no_write_is_larger),
    };

    return cmocka_run_group_tests_name("block_faults", tests, NULL, NULL);
}
