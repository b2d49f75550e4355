/* The interning table against a flat list: growth from nothing over segment splits, equal hashes,
 * removal, the end of the region. And the array it comes with. */
#include "ingester/chunks.h"
#include "ingester/htab.h"

#include "ingester/head.h"
#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

struct fixture {
    struct pw_region region;
    struct pw_htab_pool pool;
    struct pw_htab t;
};

static void
setup(struct fixture *f, size_t bytes)
{
    memset(f, 0, sizeof(*f));
    assert_int_equal(pw_region_init_ctl(&f->region, bytes), 0);
    assert_int_equal(pw_htab_pool_init_ctl(&f->pool), 0);
}

static void
teardown(struct fixture *f)
{
    pw_region_fini_ctl(&f->region);
    pw_htab_pool_fini_ctl(&f->pool);
}

static uint64_t
hash_of(uint64_t i)
{
    i = (i + 1) * 0x9E3779B97F4A7C15ULL;
    i = (i ^ (i >> 32)) * 0xD6E8FEB86659FD93ULL;
    return i ^ (i >> 32);
}

static void
put(struct fixture *f, uint64_t hash, uint32_t aux, uint32_t id)
{
    assert_true(pw_htab_reserve(&f->t, &f->pool, &f->region, hash));
    pw_htab_put(&f->t, hash, aux, id);
}

static void
test_find__empty_table__none(void **state)
{
    struct pw_htab t = {0};

    pw_htab_prefetch(&t, 1);
    assert_int_equal(pw_htab_find(&t, 1, 0), PW_HTAB_NONE);
}

static void
test_put__200000_entries__all_found_and_no_other(void **state)
{
    enum { N = 200000 };
    struct fixture f;

    setup(&f, 64 << 20);
    for (uint32_t i = 0; i < N; i++) {
        put(&f, hash_of(i), i % 7, i);
        if (i % 4096 == 0) {
            assert_int_equal(pw_htab_find(&f.t, hash_of(i / 2), (i / 2) % 7), i / 2);
        }
    }
    assert_int_equal(f.t.count, N);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(pw_htab_find(&f.t, hash_of(i), i % 7), i);
        assert_int_equal(pw_htab_find(&f.t, hash_of(i), i % 7 + 1), PW_HTAB_NONE);
        assert_int_equal(pw_htab_find(&f.t, hash_of(i + N), i % 7), PW_HTAB_NONE);
    }
    /* Between 11/32 and 11/16 full, nothing left behind but the directories and small segments. */
    assert_true(f.region.used < 3 * (size_t)N * sizeof(struct pw_hslot));
    teardown(&f);
}

static void
test_next__same_hash_and_aux__every_entry_once(void **state)
{
    struct fixture f;
    uint32_t probe = 0, seen = 0;

    setup(&f, 64 << 20);
    for (uint32_t i = 0; i < 10; i++) {
        put(&f, 0xffffffffffffffffULL, 1, i); /* at the end of its segment: wraps */
    }
    for (uint32_t id;
         (id = pw_htab_next(&f.t, 0xffffffffffffffffULL, 1, &probe)) != PW_HTAB_NONE;) {
        assert_int_equal(seen & (1U << id), 0);
        seen |= 1U << id;
    }
    assert_int_equal(seen, 1023);
    teardown(&f);
}

static void
test_del__in_the_middle_of_runs__rest_still_found(void **state)
{
    enum { N = 20000 };
    struct fixture f;

    setup(&f, 64 << 20);
    for (uint32_t i = 0; i < N; i++) {
        put(&f, hash_of(i) & ~0xf0ULL, 0, i); /* crowded homes */
    }
    for (uint32_t i = 0; i < N; i += 3) {
        pw_htab_del(&f.t, hash_of(i) & ~0xf0ULL, i);
    }
    for (uint32_t i = 0; i < N; i++) {
        uint32_t want = i % 3 == 0 ? PW_HTAB_NONE : i;

        assert_int_equal(pw_htab_find(&f.t, hash_of(i) & ~0xf0ULL, 0), want);
    }
    teardown(&f);
}

static void
test_reserve__region_exhausted__false_and_table_intact(void **state)
{
    struct fixture f;
    uint32_t n = 0;

    setup(&f, PW_HEAD_BYTES_MIN);
    while (pw_htab_reserve(&f.t, &f.pool, &f.region, hash_of(n))) {
        pw_htab_put(&f.t, hash_of(n), 0, n);
        n++;
    }
    assert_true(n > 20000);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(pw_htab_find(&f.t, hash_of(i), 0), i);
    }
    teardown(&f);
}

static void
test_chunks__growth__elements_keep_their_place(void **state)
{
    enum { N = 100000 };
    struct fixture f;
    struct pw_chunks c = {0};
    uint64_t **place = malloc(N * sizeof(*place));

    setup(&f, 64 << 20);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(pw_chunks_reserve(&c, &f.region, PW_REGION_SYMBOLS, sizeof(uint64_t), 1));
        place[i] = PW_CHUNKS_AT(&c, uint64_t, i);
        *place[i] = i;
        c.count++;
    }
    for (uint32_t i = 0; i < N; i++) {
        assert_ptr_equal(PW_CHUNKS_AT(&c, uint64_t, i), place[i]);
        assert_true(*place[i] == i);
    }
    assert_true(c.cap >= N && c.cap < 2 * N + 128);
    assert_false(
        pw_chunks_reserve(&c, &f.region, PW_REGION_SYMBOLS, sizeof(uint64_t), UINT32_MAX / 2));
    free(place);
    teardown(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find__empty_table__none),
        cmocka_unit_test(test_put__200000_entries__all_found_and_no_other),
        cmocka_unit_test(test_next__same_hash_and_aux__every_entry_once),
        cmocka_unit_test(test_del__in_the_middle_of_runs__rest_still_found),
        cmocka_unit_test(test_reserve__region_exhausted__false_and_table_intact),
        cmocka_unit_test(test_chunks__growth__elements_keep_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
