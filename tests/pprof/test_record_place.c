/* A record finished where its profile was unpacked against the one that is copied: they say the same, whatever the
 * profile and however little room there is; and where there is too little, nothing is lost. */
#include "pprof/wire.h"
#include "tests/pprof/build.h"
#include "tests/pprof/corpus.h"
#include "tests/pprof/fixture.h"
#include "tests/pprof/hostile.h"
#include "tests/pprof/record_same.h"

enum { BODY_BYTES = 100, HOSTILE_BYTES = 48 << 10, RECORD_SPARE = 1 << 10 };

static const uint8_t body_bytes[BODY_BYTES] = {0x1F, 0x8B, 8};
static const struct pw_slice body = {.ptr = body_bytes, .len = BODY_BYTES};

struct both { /* a profile in place, and its record copied */
    struct pw_record_place at;
    struct record_whole whole;
    struct pw_record *copied;
    size_t copied_bytes;
};

/* False: nothing that has a record, or no whole one. */
static bool
begin(struct both *b, struct fixture *fx, size_t cap, uint8_t fill, struct pw_slice raw)
{
    struct pw_profile_limits none = {0};
    struct pw_profile_finding f;
    size_t most;
    int64_t n;

    *b = (struct both){0};
    fx->scratch.used = 0;
    if (!record_place_parse(&b->at, cap, fill, body, raw, &fx->scratch, &fx->p) ||
        pw_profile_validate(&fx->p, &none, 1, &f) != PW_PROFILE_FINE) {
        return false;
    }
    pw_profile_fix_go(&fx->p);
    assert_int_equal(pw_profile_stitch_go(&fx->p), 0);
    assert_int_equal(pw_profile_normalize(&fx->p), 0);
    if (fx->p.sample_count == 0 || fx->p.label_set_count != 1) {
        return false;
    }
    record_whole_init(&b->whole, &fx->p, pw_slice(pw_record_place_body(&b->at), BODY_BYTES));
    most = pw_record_bytes_max(&b->whole.src);
    b->copied = aligned_alloc(16, most);
    memset(b->copied, fill, most);
    n = pw_record_build(&b->whole.src, b->copied, most);
    assert_true(n > 0);
    b->copied_bytes = (size_t)n;
    assert_int_equal(pw_record_check(b->copied, b->copied_bytes), 0);
    return true;
}

static void
end(struct both *b)
{
    free(b->at.base);
    free(b->copied);
}

/* Finishes it; bytes, or PW_ENOSPC with the profile as good as before. */
static int64_t
finish(struct both *b)
{
    int64_t n = pw_record_finish(&b->whole.src, &b->at);
    const struct pw_record *r = (const struct pw_record *)(const void *)b->at.base;

    if (n > 0) {
        assert_int_equal(n % 16, 0);
        assert_true((size_t)n <= b->at.cap);
        assert_int_equal(pw_record_check(r, (size_t)n), 0);
        assert_null(record_difference(r, b->copied));
        return n;
    }
    assert_int_equal(n, PW_ENOSPC);

    size_t most = pw_record_bytes_max(&b->whole.src);
    struct pw_record *again = aligned_alloc(16, most);

    assert_int_equal(pw_record_build(&b->whole.src, again, most), b->copied_bytes);
    assert_null(record_difference(again, b->copied));
    free(again);
    return n;
}

struct tally {
    struct fixture *fx;
    uint32_t placed;
};

static void
check_file(void *arg, const char *name, struct pw_slice raw)
{
    struct tally *t = arg;
    struct both b;
    int64_t n;

    if (!begin(&b, t->fx, 0, 0xEE, raw)) {
        end(&b);
        return;
    }
    n = finish(&b);
    print_message("%s: %zu bytes, record %lld\n", name, raw.len, (long long)n);
    assert_true(n > 0);
    assert_true((size_t)n - BODY_BYTES <= raw.len * 12 / 10 + RECORD_SPARE);
    t->placed++;
    end(&b);
}

/* The bar: what waits is the body and 1.2 times what it unpacks to. */
static void
test_pw_record_finish__golden_profiles__as_copied_and_small(void **state)
{
    struct tally t = {.fx = *state};
    const char *root = getenv("PW_SOURCE_ROOT");
    char folder[512];

    snprintf(folder, sizeof(folder), "%s/tests/golden/pprof", root != NULL ? root : ".");
    assert_true(corpus_each(folder, check_file, &t) >= 6);
    assert_true(t.placed >= 5);
}

static void
test_pw_record_finish__hostile_profiles__as_copied_or_left_alone(void **state)
{
    struct fixture *fx = *state;
    uint32_t placed = 0;

    for (uint32_t i = 0; i < HOSTILE_SHAPES; i++) {
        struct both b;

        fx->wire.len = 0;
        (void)hostile_profile(&fx->wire, i, HOSTILE_BYTES);
        if (begin(&b, fx, 0, 0xEE, pw_slice(fx->wire.ptr, fx->wire.len))) {
            placed += finish(&b) > 0;
        }
        end(&b);
    }
    assert_true(placed > 3);
}

/* Samples after the strings, or before them, or both: of three lists each. */
enum order { STRINGS_FIRST, STRINGS_LAST, STRINGS_BETWEEN, ORDERS };

static void
write_profile(struct pw_text *wire, enum order order)
{
    uint32_t before = order == STRINGS_FIRST ? 0 : order == STRINGS_LAST ? 3 : 1;

    wire->len = 0;
    for (uint32_t i = 0; i < 3; i++) {
        if (i == before) {
            build_symbols(wire);
        }
        const uint8_t sample[] = {0x0A, 2, (uint8_t)(1 + i), (uint8_t)(1 + (i + 1) % 3), 0x12, 2,
                                  1,    10};

        pw_wire_put_bytes(wire, 2, pw_slice(sample, sizeof(sample))); /* packed, as encoders do */
    }
    if (before == 3) {
        build_symbols(wire);
    }
    pw_wire_put_bytes(wire, 99, body); /* so that nothing is at the end */
    pw_wire_put_bytes(wire, 99, body);
}

static void
test_pw_record_finish__any_room__as_copied_or_left_alone(void **state)
{
    struct fixture *fx = *state;

    for (enum order order = STRINGS_FIRST; order < ORDERS; order++) {
        uint32_t placed = 0, left = 0;
        struct pw_slice raw;
        size_t least;

        write_profile(&fx->wire, order);
        raw = pw_slice(fx->wire.ptr, fx->wire.len);
        least = pw_align_up(sizeof(struct pw_record) + BODY_BYTES, 16) + raw.len;
        for (size_t cap = least; cap < least + 2048; cap++) {
            struct both b;

            assert_true(begin(&b, fx, cap, 0xEE, raw));
            assert_true(fx->p.stack[0].ids_len == 2 && fx->p.stack[2].ids_len == 2);
            placed += finish(&b) > 0;
            left = placed == 0 ? left + 1 : left;
            end(&b);
        }
        if (order == STRINGS_BETWEEN) {
            assert_int_equal(placed, 0);
        } else {
            assert_true(left > 0 && placed > 0);
            assert_int_equal(left + placed, 2048); /* once there is room, there is with more */
        }
    }
}

/* Whoever had the memory before: nothing of it leaves with the record. */
static void
test_pw_record_finish__memory_that_held_other_bytes__none_of_them_left(void **state)
{
    struct fixture *fx = *state;
    struct both b[2];
    int64_t n[2];

    write_profile(&fx->wire, STRINGS_LAST);
    for (int i = 0; i < 2; i++) {
        assert_true(begin(&b[i], fx, 0, i == 0 ? 0 : 0xFF, pw_slice(fx->wire.ptr, fx->wire.len)));
        n[i] = finish(&b[i]);
        assert_true(n[i] > 0);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(b[0].at.base, b[1].at.base, (size_t)n[0]);
    assert_int_equal(b[0].copied_bytes, b[1].copied_bytes);
    assert_memory_equal(b[0].copied, b[1].copied, b[0].copied_bytes);
    end(&b[0]);
    end(&b[1]);
}

/* What is not the whole of one push in that memory is for pw_record_build. */
static void
test_pw_record_finish__not_whole_or_not_there__left_alone(void **state)
{
    static const uint32_t some[] = {0, 2};
    static const struct pw_record_span_id span = {.has_span = 1};
    struct fixture *fx = *state;
    struct both b;
    struct pw_record_source src;
    struct pw_record_group g;
    struct pw_record_raw raw;
    struct pw_slice elsewhere = body;

    write_profile(&fx->wire, STRINGS_LAST);
    assert_true(begin(&b, fx, 0, 0xEE, pw_slice(fx->wire.ptr, fx->wire.len)));
    src = b.whole.src;
    src.raw = NULL;
    assert_int_equal(pw_record_finish(&src, &b.at), PW_ENOSPC);
    raw = b.whole.raw;
    raw.piece = &elsewhere;
    src.raw = &raw;
    assert_int_equal(pw_record_finish(&src, &b.at), PW_ENOSPC);
    src = b.whole.src;
    src.span = &span;
    src.span_count = 1;
    assert_int_equal(pw_record_finish(&src, &b.at), PW_ENOSPC);
    src = b.whole.src;
    g = b.whole.group;
    g.sample = some;
    g.sample_count = 2;
    src.group = &g;
    assert_int_equal(pw_record_finish(&src, &b.at), PW_ENOSPC);
    assert_true(finish(&b) > 0);
    end(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_pw_record_finish__golden_profiles__as_copied_and_small),
        fixture_test(test_pw_record_finish__hostile_profiles__as_copied_or_left_alone),
        fixture_test(test_pw_record_finish__any_room__as_copied_or_left_alone),
        fixture_test(test_pw_record_finish__memory_that_held_other_bytes__none_of_them_left),
        fixture_test(test_pw_record_finish__not_whole_or_not_there__left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
