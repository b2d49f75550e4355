#include "base/utf8.h"

#include "tests/support/cmocka_pw.h"

static void
test_utf8_valid__rows(void **state)
{
    static const struct {
        const char *s;
        bool valid;
    } rows[] = {
        {"", true},
        {"plain ascii, longer than eight bytes", true},
        {"12345678\xc3\xa9", true},
        {"\xe2\x82\xac\xf0\x9f\x98\x80", true},
        {"\xff\xfe", false},
        {"\xc0\x80", false},             /* overlong NUL */
        {"\xed\xa0\x80", false},         /* surrogate */
        {"\xf4\x90\x80\x80", false},     /* above U+10FFFF */
        {"12345678abc\xe2\x82", false},  /* cut */
        {"1234567\x80 12345678", false}, /* lone continuation at a word's end */
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        assert_int_equal(pw_utf8_valid((const uint8_t *)rows[i].s, strlen(rows[i].s)),
                         rows[i].valid);
    }
}

static void
test_utf8_valid__one_odd_byte__found_wherever_it_is(void **state)
{
    enum { LEN_MAX = 40 };
    uint8_t text[LEN_MAX];

    (void)state;
    for (size_t len = 0; len <= LEN_MAX; len++) {
        memset(text, 'a', sizeof(text));
        assert_true(pw_utf8_valid(text, len));
        for (size_t i = 0; i < len; i++) {
            memset(text, 'a', sizeof(text));
            text[i] = 0xC3; /* the first of two */
            assert_false(pw_utf8_valid(text, len));
            if (i + 1 < len) {
                text[i + 1] = 0xA9;
                assert_true(pw_utf8_valid(text, len));
            }
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_valid__rows),
        cmocka_unit_test(test_utf8_valid__one_odd_byte__found_wherever_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
