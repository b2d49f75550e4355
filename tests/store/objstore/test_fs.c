#include "store/objstore/objstore.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    struct pw_objstore *s;
    struct pw_objstore_why why;
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/pw_objstore_XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    struct pw_objstore_cfg cfg = {
        .backend = PW_OBJSTORE_FILESYSTEM, .prefix = "team/a", .filesystem_dir = f->dir};
    assert_int_equal(pw_objstore_open(&f->s, &cfg, &f->why), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    char cmd[128];

    pw_objstore_close(f->s);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
    assert_int_equal(system(cmd), 0);
    free(f);
    return 0;
}

static void
put(struct fixture *f, const char *key, const char *body)
{
    assert_int_equal(pw_objstore_put(f->s, key, pw_slice_str(body), &f->why), 0);
}

static int
note(void *arg, const char *key, const struct pw_object_info *info)
{
    char *log = arg;

    snprintf(log + strlen(log), 512 - strlen(log), "%s:%ju ", key, (uintmax_t)info->size);
    return 0;
}

static void
assert_listing(struct fixture *f, const char *dir, bool deep, const char *want)
{
    char log[512] = "";

    assert_int_equal(pw_objstore_list(f->s, dir, deep, note, log, &f->why), 0);
    assert_string_equal(log, want);
}

static void
test_put__then_get_ranges__gives_the_bytes(void **state)
{
    struct fixture *f = *state;
    struct pw_text t;

    put(f, "t/phlaredb/01/meta.json", "0123456789");
    pw_text_init(&t, 100);
    assert_int_equal(pw_objstore_get(f->s, "t/phlaredb/01/meta.json", 2, 3, &t, &f->why), 0);
    assert_int_equal(pw_objstore_get(f->s, "t/phlaredb/01/meta.json", 8, 100, &t, &f->why), 0);
    assert_int_equal(pw_objstore_get(f->s, "t/phlaredb/01/meta.json", 0, UINT64_MAX, &t, &f->why),
                     0);
    assert_int_equal(t.len, 15);
    assert_memory_equal(t.ptr, "234890123456789", 15);
    assert_int_equal(pw_objstore_get(f->s, "t/phlaredb/01/meta.json", 10, 1, &t, &f->why),
                     PW_ERANGE);
    pw_text_fini(&t);
}

static void
test_get__more_than_the_caller_allows__is_refused(void **state)
{
    struct fixture *f = *state;
    struct pw_text t;

    put(f, "k", "0123456789");
    pw_text_init(&t, 9);
    assert_int_equal(pw_objstore_get(f->s, "k", 0, UINT64_MAX, &t, &f->why), PW_EMSGSIZE);
    pw_text_fini(&t);
}

static void
test_put__twice__replaces_and_leaves_no_temporary_file(void **state)
{
    struct fixture *f = *state;
    struct pw_object_info info;

    put(f, "d/k", "first");
    put(f, "d/k", "2nd");
    assert_int_equal(pw_objstore_stat(f->s, "d/k", &info, &f->why), 0);
    assert_int_equal(info.size, 3);
    assert_true(info.mtime_ns > 1500000000000000000);
    assert_listing(f, "", true, "d/k:3 ");
}

static void
test_list__one_level_and_deep__are_in_key_order(void **state)
{
    struct fixture *f = *state;

    put(f, "a/b/c", "1");
    put(f, "a/b.x", "22");
    put(f, "a/b-x/y", "333");
    put(f, "a0", "4444");
    assert_listing(f, "a/", false, "a/b-x/:0 a/b.x:2 a/b/:0 ");
    assert_listing(f, "", true, "a/b-x/y:3 a/b.x:2 a/b/c:1 a0:4 ");
    assert_listing(f, "none/", true, "");
}

static void
test_delete__last_of_a_directory__removes_the_directory(void **state)
{
    struct fixture *f = *state;
    struct pw_object_info info;

    put(f, "a/b/c", "1");
    assert_int_equal(pw_objstore_delete(f->s, "a/b/c", &f->why), 0);
    assert_int_equal(pw_objstore_delete(f->s, "a/b/c", &f->why), 0);
    assert_int_equal(pw_objstore_stat(f->s, "a/b/c", &info, &f->why), PW_ENOENT);
    assert_listing(f, "", false, "");
}

static void
test_every_call__key_that_leaves_the_bucket__is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a/.."};
    struct pw_object_info info;
    char log[512] = "";

    for (size_t i = 0; i < PW_ARRAY_LEN(bad); i++) {
        assert_int_equal(pw_objstore_put(f->s, bad[i], PW_SLICE_LIT("x"), &f->why), PW_EINVAL);
        assert_int_equal(pw_objstore_stat(f->s, bad[i], &info, &f->why), PW_EINVAL);
        assert_int_equal(pw_objstore_delete(f->s, bad[i], &f->why), PW_EINVAL);
    }
    assert_int_equal(pw_objstore_list(f->s, "a", true, note, log, &f->why), PW_EINVAL);
    assert_int_equal(pw_objstore_list(f->s, "../", true, note, log, &f->why), PW_EINVAL);
}

static void
test_put__path_is_taken_by_a_file__says_which(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "1");
    assert_int_not_equal(pw_objstore_put(f->s, "a/b", PW_SLICE_LIT("2"), &f->why), 0);
    assert_non_null(strstr(f->why.text, "team/a/a/b"));
}

static void
test_open__bad_prefix__is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"/a", "1a", "a/2b", "a//b", "a/../b", "sp ace"};

    for (size_t i = 0; i < PW_ARRAY_LEN(bad); i++) {
        struct pw_objstore_cfg cfg = {
            .backend = PW_OBJSTORE_FILESYSTEM, .prefix = bad[i], .filesystem_dir = f->dir};
        struct pw_objstore *s;

        assert_int_equal(pw_objstore_open(&s, &cfg, &f->why), PW_EINVAL);
    }
}

static void
test_put_file__file__is_uploaded_and_counted(void **state)
{
    struct fixture *f = *state;
    struct pw_objstore_stats st;
    char path[96];
    FILE *file;

    snprintf(path, sizeof(path), "%s/source", f->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("hello", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(pw_objstore_put_file(f->s, "h", path, &f->why), 0);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(pw_objstore_put_file(f->s, "empty", path, &f->why), 0);
    assert_int_equal(pw_objstore_put_file(f->s, "h", "/nonexistent", &f->why), PW_ENOENT);
    assert_listing(f, "", true, "empty:0 h:5 ");
    pw_objstore_stats(f->s, &st);
    assert_int_equal(st.done[PW_OBJSTORE_OP_PUT], 2);
    assert_int_equal(st.bytes_put, 5);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_put__then_get_ranges__gives_the_bytes),
        T(test_get__more_than_the_caller_allows__is_refused),
        T(test_put__twice__replaces_and_leaves_no_temporary_file),
        T(test_list__one_level_and_deep__are_in_key_order),
        T(test_delete__last_of_a_directory__removes_the_directory),
        T(test_every_call__key_that_leaves_the_bucket__is_refused),
        T(test_put__path_is_taken_by_a_file__says_which),
        T(test_open__bad_prefix__is_refused),
        T(test_put_file__file__is_uploaded_and_counted),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
