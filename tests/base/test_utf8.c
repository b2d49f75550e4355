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
        {"\xc0\x80", false},                 /* overlong NUL */
        {"\xed\xa0\x80", false},             /* surrogate */
        {"\xf4\x90\x80\x80", false},         /* above U+10FFFF */
        {"12345678abc\xe2\x82", false},      /* cut */
        {"1234567\x80 12345678", false},     /* lone continuation at a word's end */
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        assert_int_equal(pw_utf8_valid((const uint8_t *)rows[i].s, strlen(rows[i].s)),
                         rows[i].valid);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_utf8_valid__rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
