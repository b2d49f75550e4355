#include "pprof/labels.h"

#include "base/hash.h"
#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

#define L(n, v)                                                                                    \
    {                                                                                              \
        PW_SLICE_LIT(n), PW_SLICE_LIT(v)                                                           \
    }

static void
text_is(const struct pw_labels *l, const char *want)
{
    struct pw_text t;

    pw_text_init(&t, 1 << 20);
    pw_labels_text(l, &t);
    pw_text_char(&t, 0);
    assert_string_equal(t.ptr, want);
    pw_text_fini(&t);
}

static void
test_labels_sort__duplicates__keep_their_order(void **state)
{
    struct pw_label_pair pair[] = {L("b", "1"), L("a", "2"), L("b", "0"), L("", "x"), L("ab", "3")};
    struct pw_labels l = {.pair = pair, .count = 5, .cap = 5};

    pw_labels_sort(&l);
    text_is(&l, "{=\"x\", a=\"2\", ab=\"3\", b=\"1\", b=\"0\"}");
}

static void
test_labels_set_del__rows(void **state)
{
    struct pw_label_pair pair[3] = {L("b", "1"), L("a", "")};
    struct pw_labels l = {.pair = pair, .count = 2, .cap = 3};

    assert_null(pw_labels_get(&l, PW_SLICE_LIT("c")).ptr);
    assert_non_null(pw_labels_get(&l, PW_SLICE_LIT("a")).ptr); /* empty is not absent */
    assert_int_equal(pw_labels_set(&l, PW_SLICE_LIT("b"), PW_SLICE_LIT("2")), 0);
    assert_int_equal(pw_labels_set(&l, PW_SLICE_LIT("c"), PW_SLICE_LIT("3")), 0);
    assert_int_equal(pw_labels_set(&l, PW_SLICE_LIT("d"), PW_SLICE_LIT("4")), PW_ENOSPC);
    text_is(&l, "{b=\"2\", a=\"\", c=\"3\"}");
    pw_labels_del(&l, PW_SLICE_LIT("a"));
    pw_labels_del(&l, PW_SLICE_LIT("b"));
    text_is(&l, "{c=\"3\"}");
}

/* name 0xff value 0xff ...: the same whether it fits the buffer on the stack or is streamed. */
static void
test_labels_fingerprint__short_and_long__xxh64_of_joined(void **state)
{
    uint8_t big[3000], joined[3100];

    memset(big, 'x', sizeof(big));
    for (size_t n = 0; n < sizeof(big); n += 499) {
        struct pw_label_pair pair[] = {L("a", "1"), {PW_SLICE_LIT("b"), pw_slice(big, n)}};
        struct pw_labels l = {.pair = pair, .count = 2, .cap = 2};
        size_t len = 6;

        memcpy(joined,
               "a\xff"
               "1\xff"
               "b\xff",
               6);
        memcpy(joined + len, big, n);
        len += n;
        joined[len++] = 0xFF;
        assert_true(pw_labels_fingerprint(&l) == pw_xxh64(joined, len));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_sort__duplicates__keep_their_order),
        cmocka_unit_test(test_labels_set_del__rows),
        cmocka_unit_test(test_labels_fingerprint__short_and_long__xxh64_of_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
