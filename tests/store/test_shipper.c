/* The shipper and retention over a directory bucket; blocks are made by hand from a meta.json and two
 * small files, since neither reads further than that. */
#include "store/retention.h"
#include "store/shipper.h"

#include "store/block/meta.h"
#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLD   "01M7Y1GEPHRX9AZS6AWW3AARP5"
#define NEWER "01M7Y5GEPHRX9AZS6AWW3AARP6"

struct fixture {
    char root[64], data[96], bucket_dir[96];
    struct pw_objstore *bucket;
    struct pw_objstore_why why;
    struct pw_ship_stats st;
};

static void
write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void
make_block(const struct fixture *f, const char *ulid, int level)
{
    char path[256], json[1024];

    snprintf(path, sizeof(path), "mkdir -p %s/acme/local/%s", f->data, ulid);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof(path), "%s/acme/local/%s/index.tsdb", f->data, ulid);
    write_file(path, "index");
    snprintf(path, sizeof(path), "%s/acme/local/%s/profiles.parquet", f->data, ulid);
    write_file(path, "profiles!");
    snprintf(path, sizeof(path), "%s/acme/local/%s/meta.json", f->data, ulid);
    snprintf(json, sizeof(json),
             "{\"ulid\":\"%s\",\"minTime\":1795227000,\"maxTime\":1795227046.5,"
             "\"stats\":{\"numSamples\":1,\"numSeries\":1,\"numProfiles\":1},"
             "\"files\":[{\"relPath\":\"index.tsdb\",\"sizeBytes\":5},"
             "{\"relPath\":\"profiles.parquet\",\"sizeBytes\":9}],"
             "\"compaction\":{\"level\":%d,\"sources\":[\"%s\"]},\"version\":3}",
             ulid, level, ulid);
    write_file(path, json);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char cmd[256];

    snprintf(f->root, sizeof(f->root), "/tmp/pw_shipper_XXXXXX");
    assert_non_null(mkdtemp(f->root));
    snprintf(f->data, sizeof(f->data), "%s/data", f->root);
    snprintf(f->bucket_dir, sizeof(f->bucket_dir), "%s/bucket", f->root);
    snprintf(cmd, sizeof(cmd), "mkdir -p %s/no-tenant %s/acme/local/tmp", f->data, f->data);
    assert_int_equal(system(cmd), 0);
    struct pw_objstore_cfg cfg = {
        .backend = PW_OBJSTORE_FILESYSTEM, .prefix = "", .filesystem_dir = f->bucket_dir};
    assert_int_equal(pw_objstore_open(&f->bucket, &cfg, &f->why), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    char cmd[128];

    pw_objstore_close(f->bucket);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", f->root);
    assert_int_equal(system(cmd), 0);
    free(f);
    return 0;
}

static int
ship(struct fixture *f)
{
    f->st = (struct pw_ship_stats){0};
    return pw_ship_all(f->bucket, f->data, "host-1", &f->st, &f->why);
}

static int
note(void *arg, const char *key, const struct pw_object_info *info)
{
    char *log = arg;

    snprintf(log + strlen(log), 1024 - strlen(log), "%s ", key);
    return 0;
}

static void
assert_bucket(struct fixture *f, const char *want)
{
    char log[1024] = "";

    assert_int_equal(pw_objstore_list(f->bucket, "", true, note, log, &f->why), 0);
    assert_string_equal(log, want);
}

static bool
file_has(const char *dir, const char *name, const char *text)
{
    char path[256], buf[4096];
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "r");
    if (f == NULL) {
        return false;
    }
    n = fread(buf, 1, sizeof(buf) - 1, f);
    buf[n] = 0;
    fclose(f);
    return strstr(buf, text) != NULL;
}

#define KEYS(ulid)                                                                                 \
    "acme/phlaredb/" ulid "/index.tsdb acme/phlaredb/" ulid "/meta.json acme/phlaredb/" ulid       \
    "/profiles.parquet "

static void
test_ship__two_blocks__are_uploaded_once_with_the_hostname(void **state)
{
    struct fixture *f = *state;

    make_block(f, OLD, 1);
    make_block(f, NEWER, 1);
    assert_int_equal(ship(f), 0);
    assert_int_equal(f->st.uploaded, 2);
    assert_int_equal(f->st.bytes, 28);
    assert_bucket(f, KEYS(OLD) KEYS(NEWER));
    assert_true(file_has(f->bucket_dir, "acme/phlaredb/" OLD "/meta.json", "\"__hostname__\""));
    assert_true(file_has(f->bucket_dir, "acme/phlaredb/" OLD "/meta.json", "host-1"));
    assert_true(file_has(f->bucket_dir, "acme/phlaredb/" OLD "/meta.json", "1795227046.5"));
    assert_true(file_has(f->data, "acme/local/shipper.json",
                         "{\"version\":1,\"uploaded\":[\"" OLD "\",\"" NEWER "\"]}"));
    assert_int_equal(ship(f), 0);
    assert_int_equal(f->st.uploaded + f->st.found, 0);
}

static void
test_ship__shipper_json_lost_or_broken__nothing_is_sent_twice(void **state)
{
    struct fixture *f = *state;
    char path[160];

    make_block(f, OLD, 1);
    assert_int_equal(ship(f), 0);
    snprintf(path, sizeof(path), "%s/acme/local/shipper.json", f->data);
    write_file(path, "{\"version\":1,\"uplo");
    assert_int_equal(ship(f), 0);
    assert_int_equal(f->st.uploaded, 0);
    assert_int_equal(f->st.found, 1);
    assert_true(file_has(f->data, "acme/local/shipper.json", OLD));
}

static void
test_ship__no_blocks__writes_null_as_stock(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ship(f), 0);
    assert_true(file_has(f->data, "acme/local/shipper.json", "{\"version\":1,\"uploaded\":null}"));
}

static void
test_ship__compacted_block__stays(void **state)
{
    struct fixture *f = *state;

    make_block(f, OLD, 2);
    assert_int_equal(ship(f), 0);
    assert_int_equal(f->st.uploaded, 0);
    assert_bucket(f, "");
}

static void
test_ship__data_file_fails__takes_the_others_back_and_tries_again(void **state)
{
    struct fixture *f = *state;
    char cmd[256];

    make_block(f, OLD, 1);
    make_block(f, NEWER, 1);
    /* A directory where the second file is to be: its rename fails. */
    snprintf(cmd, sizeof(cmd), "mkdir -p %s/acme/phlaredb/" OLD "/profiles.parquet/x",
             f->bucket_dir);
    assert_int_equal(system(cmd), 0);
    assert_int_not_equal(ship(f), 0);
    assert_int_equal(f->st.failed, 1);
    assert_int_equal(f->st.uploaded, 1);
    assert_bucket(f, KEYS(NEWER));
    assert_false(file_has(f->data, "acme/local/shipper.json", OLD));
    snprintf(cmd, sizeof(cmd), "rm -r %s/acme/phlaredb/" OLD, f->bucket_dir);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(ship(f), 0);
    assert_bucket(f, KEYS(OLD) KEYS(NEWER));
}

static void
test_ship__meta_fails__leaves_the_data_and_the_block_invisible(void **state)
{
    struct fixture *f = *state;
    char cmd[256];

    make_block(f, OLD, 1);
    snprintf(cmd, sizeof(cmd), "mkdir -p %s/acme/phlaredb/" OLD "/meta.json/x", f->bucket_dir);
    assert_int_equal(system(cmd), 0);
    assert_int_not_equal(ship(f), 0);
    assert_bucket(f, "acme/phlaredb/" OLD "/index.tsdb acme/phlaredb/" OLD "/profiles.parquet ");
}

static void
test_ship__meta_that_is_none__says_which_block(void **state)
{
    struct fixture *f = *state;
    char path[160];

    make_block(f, OLD, 1);
    snprintf(path, sizeof(path), "%s/acme/local/" OLD "/meta.json", f->data);
    write_file(path, "{");
    assert_int_not_equal(ship(f), 0);
    assert_non_null(strstr(f->why.text, OLD));
    assert_bucket(f, "");
}

/* ---- retention --------------------------------------------------------------------------------- */

struct disk {
    uint64_t free_bytes, total;
    uint32_t forgotten;
    bool keep; /* says forget */
};

static int
disk_space(void *ctx, const char *path, uint64_t *free_bytes, uint64_t *total)
{
    const struct disk *d = ctx;

    *free_bytes = d->free_bytes;
    *total = d->total;
    return 0;
}

static int
forget(void *ctx, const char *tenant, const struct pw_ulid *ulid)
{
    struct disk *d = ctx;

    assert_string_equal(tenant, "acme");
    d->forgotten++;
    return d->keep ? PW_EIO : 0;
}

static struct pw_retention_result
retain(struct fixture *f, struct disk *d, int64_t hours_after_old)
{
    struct pw_retention_cfg cfg = {.data_path = f->data,
                                   .min_age_ms = 4 * 3600 * 1000,
                                   .min_free_bytes = (uint64_t)10 << 30,
                                   .min_free_fraction = 0.05,
                                   .free_space = disk_space,
                                   .forget = forget,
                                   .ctx = d};
    struct pw_retention_result r;
    struct pw_ulid old;

    assert_int_equal(pw_ulid_parse(&old, pw_slice_str(OLD)), 0);
    assert_int_equal(pw_retention_run(&cfg, pw_ulid_ms(&old) + hours_after_old * 3600 * 1000, &r),
                     0);
    return r;
}

static bool
block_exists(const struct fixture *f, const char *ulid)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/acme/local/%s", f->data, ulid);
    return access(path, F_OK) == 0;
}

static void
test_retention__uploaded_and_old__is_deleted_the_others_stay(void **state)
{
    struct fixture *f = *state;
    struct disk d = {.free_bytes = (uint64_t)100 << 30, .total = (uint64_t)200 << 30};

    make_block(f, OLD, 1);
    assert_int_equal(ship(f), 0);
    make_block(f, NEWER, 1);
    assert_int_equal(retain(f, &d, 3).deleted, 0);
    struct pw_retention_result r = retain(f, &d, 5);
    assert_int_equal(r.deleted, 1);
    assert_int_equal(d.forgotten, 1);
    assert_false(r.disk_high);
    assert_false(block_exists(f, OLD));
    assert_true(block_exists(f, NEWER));
}

static void
test_retention__not_readable_in_the_bucket__stays(void **state)
{
    struct fixture *f = *state;
    struct disk d = {.free_bytes = (uint64_t)100 << 30, .total = (uint64_t)200 << 30, .keep = true};

    make_block(f, OLD, 1);
    assert_int_equal(ship(f), 0);
    struct pw_retention_result r = retain(f, &d, 5);
    assert_int_equal(r.deleted, 0);
    assert_int_equal(r.kept_unread, 1);
    assert_true(block_exists(f, OLD));
    d.keep = false;
    assert_int_equal(retain(f, &d, 5).deleted, 1);
    assert_false(block_exists(f, OLD));
}

static void
test_retention__full_disk__never_deletes_what_was_not_uploaded(void **state)
{
    struct fixture *f = *state;
    struct disk d = {.free_bytes = 1 << 20, .total = (uint64_t)200 << 30};

    make_block(f, OLD, 1);
    make_block(f, NEWER, 1);
    struct pw_retention_result r = retain(f, &d, 1000);
    assert_int_equal(r.deleted, 0);
    assert_int_equal(r.kept_unshipped, 2);
    assert_true(r.disk_high);
    assert_true(block_exists(f, OLD) && block_exists(f, NEWER));
}

static void
test_retention__disk_is_high__needs_both_limits(void **state)
{
    struct fixture *f = *state;
    struct disk large = {.free_bytes = (uint64_t)9 << 30, .total = (uint64_t)100 << 30};
    struct disk huge = {.free_bytes = (uint64_t)40 << 30, .total = (uint64_t)1000 << 30};

    assert_false(retain(f, &large, 5).disk_high);
    assert_false(retain(f, &huge, 5).disk_high);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_ship__two_blocks__are_uploaded_once_with_the_hostname),
        T(test_ship__shipper_json_lost_or_broken__nothing_is_sent_twice),
        T(test_ship__no_blocks__writes_null_as_stock),
        T(test_ship__compacted_block__stays),
        T(test_ship__data_file_fails__takes_the_others_back_and_tries_again),
        T(test_ship__meta_fails__leaves_the_data_and_the_block_invisible),
        T(test_ship__meta_that_is_none__says_which_block),
        T(test_retention__uploaded_and_old__is_deleted_the_others_stay),
        T(test_retention__not_readable_in_the_bucket__stays),
        T(test_retention__full_disk__never_deletes_what_was_not_uploaded),
        T(test_retention__disk_is_high__needs_both_limits),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
