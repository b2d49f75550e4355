/* A file that is replaced is the old one or the new one, whatever fails and whenever the power goes; and what the
 * operating system's errors become. */
#include "base/file.h"

#include "tests/support/cmocka_pw.h"
#include "tests/support/mem_fs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int os_error; /* of the three calls below, which stand before the C library's */

ssize_t
pwrite(int fd, const void *buf, size_t n, off_t off)
{
    errno = os_error;
    return -1;
}

int
posix_fallocate(int fd, off_t off, off_t len)
{
    return os_error;
}

int
mkdir(const char *name, mode_t mode)
{
    errno = os_error;
    return -1;
}

static const char path[] = "/d/f";
static const char before[] = "what was there before",
                  after[] = "what is there now, and it is longer";

static struct mem_fs *
disk_with_file(void)
{
    struct mem_fs *disk = mem_fs_new();
    const struct pw_fs *fs = mem_fs_table(disk);

    assert_int_equal(fs->mkdir(fs->ctx, "/d"), 0);
    assert_int_equal(fs->sync_dir(fs->ctx, "/"), 0);
    assert_int_equal(pw_fs_replace_cold(fs, path, pw_slice_str(before)), 0);
    assert_int_equal(fs->sync_dir(fs->ctx, "/d"), 0);
    return disk;
}

static bool
holds(struct mem_fs *disk, const char *text)
{
    uint64_t len;
    const uint8_t *bytes = mem_fs_bytes(disk, path, &len);

    return bytes != NULL && pw_slice_eq(pw_slice(bytes, len), pw_slice_str(text));
}

static bool
is_there(struct mem_fs *disk, const char *name)
{
    uint64_t len;

    return mem_fs_bytes(disk, name, &len) != NULL;
}

static void
test_replace__nothing_fails__the_new_bytes_survive_once_the_directory_is_synced(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct mem_fs *disk = disk_with_file();
        const struct pw_fs *fs = mem_fs_table(disk);

        assert_int_equal(pw_fs_replace_cold(fs, path, pw_slice_str(after)), 0);
        assert_true(holds(disk, after));
        assert_false(is_there(disk, "/d/f.tmp"));
        if (seed % 2 == 0) {
            assert_int_equal(fs->sync_dir(fs->ctx, "/d"), 0);
        }
        mem_fs_crash(disk, seed);
        assert_true(holds(disk, after) || (seed % 2 != 0 && holds(disk, before)));
        mem_fs_free(disk);
    }
}

static void
test_replace__each_call_fails_in_each_way__old_or_new_and_the_next_try_works(void **state)
{
    static const enum mem_fs_fault fault[] = {MEM_FS_ERROR, MEM_FS_NOSPC, MEM_FS_SHORT,
                                              MEM_FS_TORN};
    uint64_t calls = UINT64_MAX, failed = 0;

    (void)state;
    for (uint64_t i = 0; i / PW_ARRAY_LEN(fault) < calls; i++) {
        struct mem_fs *disk = disk_with_file();
        const struct pw_fs *fs = mem_fs_table(disk);

        mem_fs_fail(disk, fault[i % PW_ARRAY_LEN(fault)], i / PW_ARRAY_LEN(fault), 1);
        int rc = pw_fs_replace_cold(fs, path, pw_slice_str(after));

        calls = mem_fs_calls(disk);
        mem_fs_fail(disk, MEM_FS_NO_FAULT, 0, 0);
        failed += rc != 0;
        assert_true(holds(disk, rc == 0 ? after : before));
        if (i % 2 == 0) {
            mem_fs_crash(disk, i);
            assert_true(holds(disk, before) || (rc == 0 && holds(disk, after)));
        }
        assert_int_equal(pw_fs_replace_cold(fs, path, pw_slice_str("again")), 0);
        assert_true(holds(disk, "again"));
        mem_fs_free(disk);
    }
    assert_true(failed >= 4 * 3); /* open, write, sync, rename: nearly every way */
}

static void
test_replace__path_too_long_for_its_temporary__said(void **state)
{
    struct mem_fs *disk = disk_with_file();
    char name[PW_FS_PATH_MAX];

    (void)state;
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    assert_int_equal(pw_fs_replace_cold(mem_fs_table(disk), name, pw_slice_str(after)),
                     PW_EMSGSIZE);
    mem_fs_free(disk);
}

static void
test_os__disk_or_quota_used_up__enospc(void **state)
{
    static const int as_it_is[] = {ENOSPC, EROFS, EACCES, EIO};
    const struct pw_fs *fs = pw_fs_os();

    (void)state;
    os_error = EDQUOT;
    assert_int_equal(fs->write(fs->ctx, -1, "x", 1, 0), PW_ENOSPC);
    assert_int_equal(fs->write_sync(fs->ctx, -1, "x", 1, 0), PW_ENOSPC);
    assert_int_equal(fs->allocate(fs->ctx, -1, 4096), PW_ENOSPC);
    assert_int_equal(fs->mkdir(fs->ctx, "/d"), PW_ENOSPC);
    for (size_t i = 0; i < PW_ARRAY_LEN(as_it_is); i++) {
        os_error = as_it_is[i];
        assert_int_equal(fs->write(fs->ctx, -1, "x", 1, 0), -os_error);
        assert_int_equal(fs->allocate(fs->ctx, -1, 4096), -os_error);
        assert_int_equal(fs->mkdir(fs->ctx, "/d"), -os_error);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_replace__nothing_fails__the_new_bytes_survive_once_the_directory_is_synced),
        cmocka_unit_test(
            test_replace__each_call_fails_in_each_way__old_or_new_and_the_next_try_works),
        cmocka_unit_test(test_replace__path_too_long_for_its_temporary__said),
        cmocka_unit_test(test_os__disk_or_quota_used_up__enospc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
