#include "base/regex.h"

#include "base/re2_shim.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>

static struct pw_regex *
compile(const char *pattern, struct pw_regex_scratch *s)
{
    struct pw_regex *re = NULL;
    char err[256];

    assert_int_equal(pw_regex_compile_cold(pw_slice_str(pattern), &re, err, sizeof(err)), 0);
    assert_int_equal(pw_regex_scratch_fit_cold(s, re), 0);
    return re;
}

static void
test_pw_regex_match__rows__whole_subject_with_re2_meaning(void **state)
{
    static const struct {
        const char *pattern;
        const char *subject;
        bool matches;
        bool hyperscan;
    } rows[] = {
        {"cart", "cart", true, true},
        {"car", "cart", false, true}, /* anchored at the end */
        {"art", "cart", false, true}, /* and at the start */
        {"c.*", "checkout", true, true},
        {"cart|checkout|store", "checkout", true, true},
        {"cart|checkout|store", "checkouts", false, true},
        {"a|", "", true, true},
        {".+", "", false, true},
        {".*", "a\nb", true, true},          /* the dot takes newlines */
        {"a$", "a\n", false, true},          /* PCRE's $ would match */
        {"caf.", "caf\xc3\xa9", true, true}, /* one rune, two bytes */
        {"caf..", "caf\xc3\xa9", false, true},
        {"[^x]{2}", "\xc3\xa9\xc3\xa9", true, true},
        {"\xc3\xa9+", "\xc3\xa9\xc3\xa9", true, true},
        {"\\s", "\v", false, true}, /* RE2's \s has no vertical tab */
        {"\\d+\\.\\d+", "1.25", true, true},
        {"x{2,3}", "xxx", true, true},
        {"x{,3}", "x{,3}", true, true}, /* not a repetition */
        {"[-a]+", "a-", true, true},
        {"[a-]+", "a-", true, true},
        {"(?P<n>ab)+", "abab", true, true},
        {"(?i)cart", "CaRt", true, false}, /* flags stay with RE2 */
        {"\\bcart\\b", "cart", true, false},
        {"[[:alpha:]]+", "abc", true, false},
        {"\\pL+", "\xc3\xa9", true, false},
        {"a.c",
         "a\xff" /* not UTF-8: RE2's rule, no match */
         "c",
         false, true},
    };
    struct pw_regex_scratch *s = pw_regex_scratch_new_cold();

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_regex *re = compile(rows[i].pattern, s);

        if (pw_regex_match(re, s, pw_slice_str(rows[i].subject)) != rows[i].matches ||
            pw_regex_is_hyperscan(re) != rows[i].hyperscan) {
            fail_msg("row %zu: %s", i, rows[i].pattern);
        }
        pw_regex_free_cold(re);
    }
    pw_regex_scratch_free_cold(s);
}

static void
test_pw_regex_compile_cold__bad_expressions__say_so_in_gos_words(void **state)
{
    static const struct {
        const char *pattern;
        const char *err;
    } rows[] = {
        {"(", "missing closing ): `(`"},
        {"a)", "unexpected ): `a)`"},
        {"[a", "missing closing ]: `[a`"},
        {"*", "missing argument to repetition operator: `*`"},
        {"a**", "invalid nested repetition operator: `**`"},
        {"[z-a]", "invalid character class range: `z-a`"},
        {"\\8", "invalid escape sequence: `\\8`"},
        {"(?=a)", "invalid or unsupported Perl syntax: `(?=`"},
        {"a{1001}", "invalid repeat count: `{1001}`"},
        {"x\\", "trailing backslash at end of expression: ``"},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_regex *re = NULL;
        char err[256] = "";

        assert_int_equal(
            pw_regex_compile_cold(pw_slice_str(rows[i].pattern), &re, err, sizeof(err)), PW_EINVAL);
        assert_null(re);
        assert_string_equal(err, rows[i].err);
    }
}

static void
test_pw_regex_compile_cold__too_long__refused(void **state)
{
    static uint8_t big[PW_REGEX_BYTES_MAX + 1];
    struct pw_regex *re = NULL;
    char err[64];

    memset(big, 'a', sizeof(big));
    assert_int_equal(pw_regex_compile_cold(pw_slice(big, sizeof(big)), &re, err, sizeof(err)),
                     PW_EMSGSIZE);
}

static void
test_pw_regex_captures__groups__set_unset_and_none(void **state)
{
    struct pw_regex_scratch *s = pw_regex_scratch_new_cold();
    struct pw_regex *re = compile("(a+)(b)?(c*)", s);
    struct pw_slice g[PW_REGEX_GROUPS_MAX];

    assert_int_equal(pw_regex_captures(re, PW_SLICE_LIT("aac"), g), 4);
    assert_true(pw_slice_eq_str(g[0], "aac"));
    assert_true(pw_slice_eq_str(g[1], "aa"));
    assert_int_equal(g[2].len, 0);
    assert_true(pw_slice_eq_str(g[3], "c"));
    assert_int_equal(pw_regex_captures(re, PW_SLICE_LIT("x"), g), 0);
    pw_regex_free_cold(re);
    pw_regex_scratch_free_cold(s);
}

/* --- Oracle: hyperscan and RE2 agree on random expressions and subjects ---------------------- */

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void
random_text(uint64_t *rng, const char *const *piece, size_t pieces, char *out, uint32_t n_max)
{
    uint32_t n = (uint32_t)(next_random(rng) % (n_max + 1));

    out[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        strcat(out, piece[next_random(rng) % pieces]);
    }
}

static void
test_pw_regex_match__random_expressions__hyperscan_agrees_with_re2(void **state)
{
    static const char *const pattern_piece[] = {
        "a",    "b",   ".",   "\xc3\xa9", "a*", "b+",   "(a|b)",  "(?:ab)?", "[ab]",
        "[^a]", "\\.", "\\s", "\\S",      "|",  "a{2}", ".{1,2}", "$",       "^",
        "\\d",  "\\W", "-",   "[a-b]*?",  " ",  "{",    "\n"};
    static const char *const subject_piece[] = {"a",  "b",  "ab", "\xc3\xa9", "1", " ",
                                                "\n", "\v", ".",  "-",        "{", "\xff"};
    struct pw_regex_scratch *s = pw_regex_scratch_new_cold();
    uint64_t rng = 0x9E3779B97F4A7C15U;
    uint32_t through_hyperscan = 0, matches = 0;

    for (int i = 0; i < 400; i++) {
        char pattern[256], subject[128], err[256];
        struct pw_regex *re = NULL;
        struct pw_re2 *oracle;

        random_text(&rng, pattern_piece, PW_ARRAY_LEN(pattern_piece), pattern, 7);
        if (pw_regex_compile_cold(pw_slice_str(pattern), &re, err, sizeof(err)) != 0) {
            continue; /* "**" and the like */
        }
        assert_int_equal(pw_regex_scratch_fit_cold(s, re), 0);
        oracle = pw_re2_new(pattern, strlen(pattern), 8 << 20, err, sizeof(err));
        assert_non_null(oracle);
        through_hyperscan += pw_regex_is_hyperscan(re);
        for (int k = 0; k < 60; k++) {
            bool want;

            random_text(&rng, subject_piece, PW_ARRAY_LEN(subject_piece), subject, 6);
            want = pw_re2_match(oracle, subject, strlen(subject), NULL, 0);
            matches += want;
            if (pw_regex_match(re, s, pw_slice_str(subject)) != want) {
                fail_msg("expression \"%s\" subject \"%s\": RE2 says %d", pattern, subject, want);
            }
        }
        pw_re2_free(oracle);
        pw_regex_free_cold(re);
    }
    assert_true(through_hyperscan > 200);
    assert_true(matches > 200);
    pw_regex_scratch_free_cold(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_regex_match__rows__whole_subject_with_re2_meaning),
        cmocka_unit_test(test_pw_regex_compile_cold__bad_expressions__say_so_in_gos_words),
        cmocka_unit_test(test_pw_regex_compile_cold__too_long__refused),
        cmocka_unit_test(test_pw_regex_captures__groups__set_unset_and_none),
        cmocka_unit_test(test_pw_regex_match__random_expressions__hyperscan_agrees_with_re2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
