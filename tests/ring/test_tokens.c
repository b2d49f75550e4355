/* Tokens drawn by chance are new, sorted and as many as asked for; their file survives what files must. */
#include "ring/tokens.h"

#include "tests/support/cmocka_pw.h"
#include "tests/support/mem_fs.h"

static struct pw_tokens t, back;

static void
assert_ascending(const struct pw_tokens *of)
{
    for (uint32_t i = 1; i < of->count; i++) {
        assert_true(of->token[i - 1] < of->token[i]);
    }
}

static void
test_fill__from_nothing__draws_as_many_as_asked(void **state)
{
    uint64_t seed = 1;

    t.count = 0;
    pw_tokens_fill(&t, 128, NULL, &seed);
    assert_int_equal(t.count, 128);
    assert_ascending(&t);
    pw_tokens_fill(&t, PW_RING_TOKENS_MAX + 5, NULL, &seed);
    assert_int_equal(t.count, PW_RING_TOKENS_MAX);
    assert_ascending(&t);
}

static void
test_fill__seed_that_draws_what_is_taken__draws_others(void **state)
{
    struct pw_instance other = {.id = "other", .addr = "", .zone = ""};
    struct pw_ring_desc taken = {0};
    uint64_t seed = 7, again = 7;
    uint32_t first[4];

    t.count = 0;
    pw_tokens_fill(&t, 4, NULL, &seed);
    memcpy(first, t.token, sizeof(first));
    other.token = first;
    other.token_count = 4;
    assert_int_equal(pw_ring_desc_put(&taken, &other), 0);
    t.count = 0;
    pw_tokens_fill(&t, 4, &taken, &again);
    assert_int_equal(t.count, 4);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            assert_int_not_equal(t.token[i], first[j]);
        }
    }
    pw_ring_desc_fini(&taken);
}

static void
test_fill__some_there__keeps_them(void **state)
{
    const uint32_t had[] = {4000000000U, 5};
    uint64_t seed = 3;

    pw_tokens_set(&t, had, 2);
    pw_tokens_fill(&t, 10, NULL, &seed);
    assert_int_equal(t.count, 10);
    assert_ascending(&t);
    pw_tokens_trim(&t, 3, &seed);
    assert_int_equal(t.count, 3);
    assert_ascending(&t);
    pw_tokens_set(&t, had, 2);
    assert_int_equal(t.token[0], 5);
    assert_int_equal(t.token[1], 4000000000U);
}

static void
test_load__what_store_wrote__is_equal(void **state)
{
    struct mem_fs *m = mem_fs_new();
    const struct pw_fs *fs = mem_fs_table(m);
    uint64_t seed = 3, len = 0;
    uint8_t *bytes;

    assert_int_equal(fs->mkdir(fs->ctx, "/d"), 0);
    assert_int_equal(fs->sync_dir(fs->ctx, "/"), 0);
    assert_int_equal(pw_tokens_load_cold(&t, fs, "/d/tokens"), PW_ENOENT);
    t.count = 0;
    pw_tokens_fill(&t, 128, NULL, &seed);
    assert_int_equal(pw_tokens_store_cold(&t, fs, "/d/tokens"), 0);
    pw_tokens_fill(&t, 130, NULL, &seed);
    assert_int_equal(pw_tokens_store_cold(&t, fs, "/d/tokens"), 0);
    mem_fs_crash(m, 0);
    assert_int_equal(pw_tokens_load_cold(&back, fs, "/d/tokens"), 0);
    assert_true(pw_tokens_equal(&t, back.token, back.count));
    bytes = mem_fs_bytes(m, "/d/tokens", &len);
    assert_memory_equal(bytes, "{\"tokens\":[", 11);
    mem_fs_free(m);
}

/* Whatever call fails, what is read afterwards is the old list or the new one. */
static void
test_store__call_fails_and_power_goes__leaves_one_of_the_two(void **state)
{
    for (uint64_t at = 0; at < 12; at++) {
        struct mem_fs *m = mem_fs_new();
        const struct pw_fs *fs = mem_fs_table(m);
        static struct pw_tokens old, fresh;
        uint64_t seed = at + 1;

        assert_int_equal(fs->mkdir(fs->ctx, "/d"), 0);
        assert_int_equal(fs->sync_dir(fs->ctx, "/"), 0);
        old.count = fresh.count = 0;
        pw_tokens_fill(&old, 16, NULL, &seed);
        pw_tokens_fill(&fresh, 16, NULL, &seed);
        assert_int_equal(pw_tokens_store_cold(&old, fs, "/d/tokens"), 0);
        mem_fs_fail(m, MEM_FS_TORN, at, 1);
        (void)!pw_tokens_store_cold(&fresh, fs, "/d/tokens");
        mem_fs_crash(m, at + 1);
        mem_fs_fail(m, MEM_FS_NO_FAULT, 0, 0);
        assert_int_equal(pw_tokens_load_cold(&back, fs, "/d/tokens"), 0);
        assert_true(pw_tokens_equal(&old, back.token, back.count) ||
                    pw_tokens_equal(&fresh, back.token, back.count));
        mem_fs_free(m);
    }
}

static void
test_load__no_such_form__is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[1]",
                                      "{\"tokens\":[1,-1]}",
                                      "{\"tokens\":[4294967296]}",
                                      "{\"tokens\":\"1\"}",
                                      "{\"tokens\":[1.5]}"};
    struct mem_fs *m = mem_fs_new();
    const struct pw_fs *fs = mem_fs_table(m);

    for (size_t i = 0; i < PW_ARRAY_LEN(bad); i++) {
        int fd = fs->open(fs->ctx, "/f", PW_FS_CREATE);

        assert_true(fd >= 0);
        assert_int_equal(fs->write_sync(fs->ctx, fd, bad[i], strlen(bad[i]), 0), 0);
        assert_int_equal(fs->close(fs->ctx, fd), 0);
        assert_int_equal(pw_tokens_load_cold(&t, fs, "/f"), PW_EPROTO);
        assert_int_equal(t.count, 0);
        assert_int_equal(fs->unlink(fs->ctx, "/f"), 0);
    }
    mem_fs_free(m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill__from_nothing__draws_as_many_as_asked),
        cmocka_unit_test(test_fill__seed_that_draws_what_is_taken__draws_others),
        cmocka_unit_test(test_fill__some_there__keeps_them),
        cmocka_unit_test(test_load__what_store_wrote__is_equal),
        cmocka_unit_test(test_store__call_fails_and_power_goes__leaves_one_of_the_two),
        cmocka_unit_test(test_load__no_such_form__is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
