/* Generations: readers see one moment, and what they hold stays until they let go. */
#include "ingester/catalog.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>

enum { KEY = 5 };

static struct pw_head *
new_head(void)
{
    const struct pw_head_cfg cfg = {
        .bytes_max = PW_HEAD_BYTES_MIN, .hash_key = KEY, .tenants_max = 4};
    struct pw_head *h = NULL;

    assert_int_equal(pw_head_create_ctl(&h, &cfg), 0);
    return h;
}

static void
add(struct pw_catalog *cat, struct pw_head *h)
{
    assert_int_equal(
        pw_catalog_edit(cat, &(struct pw_catalog_edit){.add_head = &h, .add_heads = 1}), 0);
}

static void
test_edit__reader_holds_a_generation__it_does_not_change(void **state)
{
    struct pw_catalog *cat;
    const struct pw_catalog_view *before, *after;
    struct pw_head *a = new_head(), *b = new_head();
    const struct pw_head *gone = a;
    struct pw_head_stats st;

    (void)state;
    assert_int_equal(pw_catalog_create_ctl(&cat), 0);
    add(cat, a);
    before = pw_catalog_acquire(cat);
    assert_int_equal(before->heads_count, 1);
    assert_int_equal(pw_catalog_edit(cat, &(struct pw_catalog_edit){.add_head = &b,
                                                                    .add_heads = 1,
                                                                    .remove_head = &gone,
                                                                    .remove_heads = 1}),
                     0);
    after = pw_catalog_acquire(cat);
    assert_int_equal(after->heads_count, 1);
    assert_ptr_equal(after->head[0], b);
    assert_true(after->generation > before->generation);
    assert_int_equal(pw_catalog_reap(cat), 1);
    assert_int_equal(before->heads_count, 1);
    assert_ptr_equal(before->head[0], a);
    pw_head_stats(before->head[0], &st); /* ASan: it is still there */
    assert_int_equal(st.rows, 0);
    pw_catalog_release(cat, before);
    assert_int_equal(pw_catalog_reap(cat), 0);
    pw_head_stats(after->head[0], &st);
    pw_catalog_release(cat, after);
    pw_catalog_destroy_ctl(cat);
}

static void
test_reap__a_later_generation_is_held__what_both_list_stays(void **state)
{
    struct pw_catalog *cat;
    const struct pw_catalog_view *late;
    struct pw_head *a = new_head(), *b = new_head();
    const struct pw_head *gone = a;
    struct pw_head_stats st;

    (void)state;
    assert_int_equal(pw_catalog_create_ctl(&cat), 0);
    add(cat, a);
    add(cat, b);
    late = pw_catalog_acquire(cat);
    assert_int_equal(
        pw_catalog_edit(cat, &(struct pw_catalog_edit){.remove_head = &gone, .remove_heads = 1}),
        0);
    assert_int_equal(pw_catalog_reap(cat), 1);
    for (uint32_t i = 0; i < late->heads_count; i++) {
        pw_head_stats(late->head[i], &st);
    }
    pw_catalog_release(cat, late);
    assert_int_equal(pw_catalog_reap(cat), 0);
    pw_catalog_destroy_ctl(cat);
}

static uint32_t closed;

static void
count_closed(struct pw_block *b)
{
    (void)b;
    closed++;
}

static void
add_block(struct pw_catalog *cat, const char *tenant, uint8_t number, bool remote)
{
    static char blocks[8]; /* a block is not looked into here, only told from others */
    static uint32_t n;
    struct pw_catalog_block b = {.block = (struct pw_block *)(void *)&blocks[n++ % 8],
                                 .close = count_closed,
                                 .remote = remote};

    snprintf(b.tenant, sizeof(b.tenant), "%s", tenant);
    memset(&b.ulid, number, sizeof(b.ulid));
    assert_int_equal(
        pw_catalog_edit(cat, &(struct pw_catalog_edit){.add_block = &b, .add_blocks = 1}), 0);
}

/* The shipper may upload a block that is not listed as local yet, and the gateway find it in the bucket before it is. */
static void
test_edit__block_is_listed_from_elsewhere__it_is_there_once(void **state)
{
    const struct pw_catalog_view *v;
    struct pw_catalog *cat;

    (void)state;
    assert_int_equal(pw_catalog_create_ctl(&cat), 0);
    closed = 0;
    for (int i = 0; i < 2; i++) {
        bool remote = i == 0;

        add_block(cat, "acme", 1, remote);
        add_block(cat, "acme", 2, true);
        add_block(cat, "other", 1, true);
        assert_int_equal(pw_catalog_reap(cat), 0);
        assert_int_equal(closed, i * 3);
        v = pw_catalog_acquire(cat);
        assert_int_equal(v->blocks_count, 3);
        for (uint32_t k = 0; k < 3; k++) {
            bool first = strcmp(v->block[k]->tenant, "acme") == 0 && v->block[k]->ulid.byte[0] == 1;

            assert_int_equal(v->block[k]->remote, first ? remote : true);
        }
        pw_catalog_release(cat, v);
    }
    pw_catalog_destroy_ctl(cat);
    assert_int_equal(closed, 6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edit__reader_holds_a_generation__it_does_not_change),
        cmocka_unit_test(test_edit__block_is_listed_from_elsewhere__it_is_there_once),
        cmocka_unit_test(test_reap__a_later_generation_is_held__what_both_list_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
