/* Label selectors from outside: no crash, and a parse that succeeds can be written down again (names and
 * values quoted) and parsed to the same matchers. */
#include "query/selector.h"

#include "base/check.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_ = 1024, TEXT_MAX = 1 << 20 };

static const char *const ops[] = {[PW_MATCH_OP_EQ] = "=",
                                  [PW_MATCH_OP_NE] = "!=",
                                  [PW_MATCH_OP_RE] = "=~",
                                  [PW_MATCH_OP_NRE] = "!~"};

/* Go's quoting writes invalid UTF-8 as \x escapes, which the lexer reads back as bytes. */
static void
print(const struct pw_selector *sel, struct pw_text *out)
{
    pw_text_char(out, '{');
    for (uint32_t i = 0; i < sel->count; i++) {
        pw_text_str(out, i > 0 ? "," : "");
        pw_text_go_quoted(out, sel->matcher[i].name);
        pw_text_str(out, ops[sel->matcher[i].op]);
        pw_text_go_quoted(out, sel->matcher[i].value);
    }
    pw_text_char(out, '}');
}

static void
expect_same(const struct pw_selector *a, const struct pw_selector *b)
{
    PW_INVARIANT(a->count == b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        PW_INVARIANT(a->matcher[i].op == b->matcher[i].op);
        PW_INVARIANT(pw_slice_eq(a->matcher[i].name, b->matcher[i].name));
        PW_INVARIANT(pw_slice_eq(a->matcher[i].value, b->matcher[i].value));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pw_label_pair labels[] = {
        {PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
        {PW_SLICE_LIT("a"), PW_SLICE_LIT("b")},
        {PW_SLICE_LIT("service_name"), PW_SLICE_LIT("caf\xc3\xa9")}};
    struct pw_selector sel = {0}, again = {0};
    struct pw_regex_cache cache;
    struct pw_arena arena;
    struct pw_text err, text;

    if (size > SIZE_MAX_ || pw_regex_cache_init_cold(&cache) != 0) {
        return 0;
    }
    pw_arena_init(&arena, 16 << 20);
    pw_text_init(&err, TEXT_MAX);
    pw_text_init(&text, TEXT_MAX);
    if (pw_selector_parse(&sel, pw_slice(data, size), &arena, &cache, &err) == 0) {
        bool matches = pw_selector_matches(&sel, &cache, labels, PW_ARRAY_LEN(labels));

        print(&sel, &text);
        PW_INVARIANT(
            pw_selector_parse(&again, pw_slice(text.ptr, text.len), &arena, &cache, &err) == 0);
        expect_same(&sel, &again);
        PW_INVARIANT(pw_selector_matches(&again, &cache, labels, PW_ARRAY_LEN(labels)) == matches);
    } else {
        PW_INVARIANT(err.len > 0); /* a refusal always says why */
    }
    pw_text_fini(&text);
    pw_text_fini(&err);
    pw_arena_reset(&arena);
    pw_regex_cache_fini_cold(&cache);
    return 0;
}
