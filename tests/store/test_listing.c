/* Which blocks of a bucket are to be read: contract storage.md 1.1, 2.8, 3 and 4. The bucket is a directory;
 * blocks are their meta.json, since a listing reads no further. */
#include "store/block/meta.h"
#include "store/listing.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define A   "01M7Y1GEPHRX9AZS6AWW3AARP5"
#define B   "01M7Y2GEPHRX9AZS6AWW3AARP5"
#define C   "01M7Y3GEPHRX9AZS6AWW3AARP5"
#define D   "01M7Y4GEPHRX9AZS6AWW3AARP5"
#define E   "01M7Y5GEPHRX9AZS6AWW3AARP5"
#define NOW INT64_C(1795230000000)

struct fixture {
    char root[64];
    struct pw_objstore *bucket;
    struct pw_objstore_why why;
    struct pw_listing l;
};

static void
put(struct fixture *f, const char *key, const char *text)
{
    assert_int_equal(pw_objstore_put(f->bucket, key, pw_slice_str(text), &f->why), 0);
}

/* sources: "A","B" in quotes; shard: "1_of_2", NULL none */
static void
put_block(struct fixture *f, const char *ulid, int level, const char *sources, const char *shard)
{
    char key[256], json[1024];

    snprintf(key, sizeof(key), "acme/phlaredb/%s/meta.json", ulid);
    snprintf(json, sizeof(json),
             "{\"ulid\":\"%s\",\"minTime\":1795227000,\"maxTime\":1795227046.5,"
             "\"stats\":{\"numSamples\":1,\"numSeries\":1,\"numProfiles\":1},"
             "\"files\":[{\"relPath\":\"index.tsdb\",\"sizeBytes\":5}],"
             "\"compaction\":{\"level\":%d,\"sources\":[%s]},\"version\":3,"
             "\"labels\":{%s%s%s}}",
             ulid, level, sources, shard != NULL ? "\"__compactor_shard_id__\":\"" : "",
             shard != NULL ? shard : "", shard != NULL ? "\"" : "");
    put(f, key, json);
}

static void
drop_block(struct fixture *f, const char *ulid)
{
    char key[256];

    snprintf(key, sizeof(key), "acme/phlaredb/%s/meta.json", ulid);
    assert_int_equal(pw_objstore_delete(f->bucket, key, &f->why), 0);
}

static void
refresh(struct fixture *f, int64_t now)
{
    if (pw_listing_refresh(&f->l, f->bucket, now, &f->why) != 0) {
        fail_msg("%s", f->why.text);
    }
}

static const struct pw_listing_block *
block(const struct fixture *f, const char *ulid)
{
    struct pw_ulid u;

    assert_int_equal(pw_ulid_parse(&u, pw_slice_str(ulid)), 0);
    return pw_listing_find(&f->l, "acme", &u);
}

static bool
wanted(const struct fixture *f, const char *ulid)
{
    const struct pw_listing_block *b = block(f, ulid);

    return b != NULL && b->wanted;
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->root, sizeof(f->root), "/tmp/pw_listing_XXXXXX");
    assert_non_null(mkdtemp(f->root));
    struct pw_objstore_cfg cfg = {
        .backend = PW_OBJSTORE_FILESYSTEM, .prefix = "", .filesystem_dir = f->root};
    assert_int_equal(pw_objstore_open(&f->bucket, &cfg, &f->why), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    char cmd[128];

    pw_listing_fini(&f->l);
    pw_objstore_close(f->bucket);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", f->root);
    assert_int_equal(system(cmd), 0);
    free(f);
    return 0;
}

/* The i-th of many. */
static const char *
numbered(uint32_t i, char name[PW_ULID_CHARS + 1])
{
    struct pw_ulid u;

    assert_int_equal(pw_ulid_parse(&u, pw_slice_str(A)), 0);
    pw_ulid_print(&u, name);
    snprintf(name + PW_ULID_CHARS - 4, 5, "%04u", i);
    return name;
}

static void
test_refresh__many_new_blocks__each_fetched_once_with_its_own_meta(void **state)
{
    enum { MANY = 100 };
    struct fixture *f = *state;
    char name[PW_ULID_CHARS + 1], quoted[PW_ULID_CHARS + 3];
    struct pw_objstore_stats before, after;

    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(quoted, sizeof(quoted), "\"%s\"", numbered(i, name));
        put_block(f, name, 1, quoted, NULL);
    }
    put(f, "acme/phlaredb/" B "/profiles.parquet", "being uploaded");
    pw_objstore_stats(f->bucket, &before);
    refresh(f, NOW);
    pw_objstore_stats(f->bucket, &after);
    assert_int_equal(f->l.count, MANY);
    assert_int_equal(after.done[PW_OBJSTORE_OP_GET] - before.done[PW_OBJSTORE_OP_GET], MANY + 1);
    for (uint32_t i = 0; i < MANY; i++) {
        const struct pw_listing_block *b = block(f, numbered(i, name));

        assert_true(wanted(f, name));
        assert_non_null(memmem(b->meta.ptr, b->meta.len, name, PW_ULID_CHARS));
    }
}

static void
test_refresh__one_of_many_cannot_be_fetched__said_and_nothing_is_forgotten(void **state)
{
    enum { MANY = 30 };
    struct fixture *f = *state;
    char name[PW_ULID_CHARS + 1], quoted[PW_ULID_CHARS + 3], path[512];

    put_block(f, A, 1, "\"" A "\"", NULL);
    refresh(f, NOW);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(quoted, sizeof(quoted), "\"%s\"", numbered(i, name));
        put_block(f, name, 1, quoted, NULL);
    }
    snprintf(path, sizeof(path), "%s/acme/phlaredb/%s/meta.json", f->root, numbered(7, name));
    assert_int_equal(truncate(path, PW_BLOCK_META_BYTES_MAX + 1), 0);
    f->why.text[0] = 0;
    assert_int_equal(pw_listing_refresh(&f->l, f->bucket, NOW, &f->why), PW_EMSGSIZE);
    assert_true(f->why.text[0] != 0);
    assert_true(wanted(f, A));
    assert_null(block(f, name));
    snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    put_block(f, name, 1, quoted, NULL);
    refresh(f, NOW);
    assert_int_equal(f->l.count, MANY + 1);
}

static void
test_refresh__blocks_come_and_go__meta_is_read_once(void **state)
{
    struct fixture *f = *state;
    struct pw_objstore_stats before, after;

    put_block(f, A, 1, "\"" A "\"", NULL);
    put(f, "acme/phlaredb/" B "/profiles.parquet", "being uploaded");
    put(f, "acme/phlaredb/bucket-index.json.gz", "not looked at");
    put(f, "segments/1/anonymous/" C "/block.bin", "v2's");
    refresh(f, NOW);
    assert_int_equal(f->l.count, 1);
    assert_true(wanted(f, A));
    assert_true(block(f, A)->meta.len > 0);
    put_block(f, B, 1, "\"" B "\"", NULL);
    pw_objstore_stats(f->bucket, &before);
    refresh(f, NOW);
    pw_objstore_stats(f->bucket, &after);
    assert_true(wanted(f, A) && wanted(f, B));
    assert_int_equal(after.done[PW_OBJSTORE_OP_GET] - before.done[PW_OBJSTORE_OP_GET], 1);
    assert_int_equal(block(f, A)->meta.len, 0); /* of the new ones alone */
    drop_block(f, A);
    refresh(f, NOW);
    assert_null(block(f, A));
    assert_true(wanted(f, B));
}

static void
test_refresh__compacted__replaces_its_sources(void **state)
{
    struct fixture *f = *state;
    struct pw_ulid u;

    put_block(f, A, 1, "\"" A "\"", NULL);
    put_block(f, B, 1, "\"" B "\"", NULL);
    put_block(f, C, 1, "\"" C "\"", NULL);
    put_block(f, D, 2, "\"" A "\",\"" B "\"", NULL);
    refresh(f, NOW);
    assert_false(wanted(f, A) || wanted(f, B));
    assert_true(wanted(f, C) && wanted(f, D));
    assert_int_equal(pw_ulid_parse(&u, pw_slice_str(A)), 0);
    assert_true(pw_listing_supersedes(&f->l, "acme", &u));
    assert_false(pw_listing_supersedes(&f->l, "other", &u));
    put_block(f, E, 3, "\"" A "\",\"" B "\",\"" C "\"", NULL);
    refresh(f, NOW);
    assert_true(wanted(f, E));
    assert_false(wanted(f, C) || wanted(f, D));
    drop_block(f, E); /* an operator may */
    refresh(f, NOW);
    assert_true(wanted(f, C) && wanted(f, D));
    assert_false(wanted(f, A));
}

static void
test_refresh__some_shards__do_not_replace_until_all_are_there(void **state)
{
    struct fixture *f = *state;

    put_block(f, A, 1, "\"" A "\"", NULL);
    put_block(f, B, 1, "\"" B "\"", NULL);
    put_block(f, C, 2, "\"" B "\",\"" A "\"", "1_of_2");
    refresh(f, NOW);
    assert_true(wanted(f, A) && wanted(f, B) && wanted(f, C));
    put_block(f, D, 2, "\"" A "\",\"" B "\"", "2_of_2");
    refresh(f, NOW);
    assert_false(wanted(f, A) || wanted(f, B));
    assert_true(wanted(f, C) && wanted(f, D));
}

static void
test_refresh__marked__is_read_for_half_an_hour_more(void **state)
{
    struct fixture *f = *state;

    put_block(f, A, 1, "\"" A "\"", NULL);
    put(f, "acme/phlaredb/markers/" A "-deletion-mark.json",
        "{\"id\":\"" A "\",\"version\":1,\"deletion_time\":1795230000}");
    put(f, "acme/phlaredb/markers/" B "-no-compact-mark.json", "{}");
    refresh(f, NOW + PW_LISTING_MARK_DELAY_MS - 1);
    assert_true(wanted(f, A));
    refresh(f, NOW + PW_LISTING_MARK_DELAY_MS);
    assert_false(wanted(f, A));
}

static void
test_refresh__broken_meta__leaves_that_block_out(void **state)
{
    struct fixture *f = *state;

    put_block(f, A, 1, "\"" A "\"", NULL);
    put(f, "acme/phlaredb/" B "/meta.json", "{\"ulid\":");
    refresh(f, NOW);
    assert_true(wanted(f, A));
    assert_true(block(f, B)->broken);
    assert_false(wanted(f, B));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_refresh__blocks_come_and_go__meta_is_read_once),
        T(test_refresh__many_new_blocks__each_fetched_once_with_its_own_meta),
        T(test_refresh__one_of_many_cannot_be_fetched__said_and_nothing_is_forgotten),
        T(test_refresh__compacted__replaces_its_sources),
        T(test_refresh__some_shards__do_not_replace_until_all_are_there),
        T(test_refresh__marked__is_read_for_half_an_hour_more),
        T(test_refresh__broken_meta__leaves_that_block_out),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
