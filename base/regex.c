#include "base/regex.h"

#include "base/re2_shim.h"
#include "base/text.h"
#include "base/utf8.h"

#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RE2_BYTES_MAX = 8 << 20,
    /* Above this RE2 program size hyperscan may compile for seconds; RE2 alone serves then. */
    PROGRAM_SIZE_MAX = 2000,
};

struct pw_regex {
    struct pw_re2 *re2;
    hs_database_t *hs; /* NULL: RE2 alone */
    bool wants_utf8;   /* hyperscan runs in UTF-8 mode and may only see valid UTF-8 */
    bool matches_empty;
};

struct pw_regex_scratch {
    hs_scratch_t *hs;
};

/* --- Translation --------------------------------------------------------------------------- *
 * Hyperscan speaks PCRE, which differs from RE2 in `$`, \s, \v, case folding and more. Only what
 * means the same in both is passed on, rewritten where a rewrite makes it equal; everything else
 * stays with RE2. The input is known to be valid RE2. */

struct translate {
    const uint8_t *p;
    const uint8_t *end;
    struct pw_text *out;
    bool wide; /* something matches runes that are not spelled out: UTF-8 mode */
};

static bool
is_punct(uint8_t c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

static void
put_literal(struct translate *t, uint8_t c)
{
    pw_text_printf(t->out, "\\x%02x", (unsigned)c);
}

/* After a backslash. False: leave it to RE2. */
static bool
translate_escape(struct translate *t, bool in_class)
{
    uint8_t c;

    if (t->p >= t->end) {
        return false;
    }
    c = *t->p++;
    if (is_punct(c)) {
        put_literal(t, c);
        return true;
    }
    switch (c) {
    case 'n':
        put_literal(t, '\n');
        return true;
    case 't':
        put_literal(t, '\t');
        return true;
    case 'r':
        put_literal(t, '\r');
        return true;
    case 'f':
        put_literal(t, '\f');
        return true;
    case 'd':
        pw_text_str(t->out, in_class ? "0-9" : "[0-9]");
        return true;
    case 'w':
        pw_text_str(t->out, in_class ? "0-9A-Za-z_" : "[0-9A-Za-z_]");
        return true;
    case 's': /* PCRE adds the vertical tab */
        pw_text_str(t->out, in_class ? "\\x09\\x0a\\x0c\\x0d\\x20" : "[\\x09\\x0a\\x0c\\x0d\\x20]");
        return true;
    case 'D':
        t->wide = true;
        pw_text_str(t->out, "[^0-9]");
        return !in_class;
    case 'W':
        t->wide = true;
        pw_text_str(t->out, "[^0-9A-Za-z_]");
        return !in_class;
    case 'S':
        t->wide = true;
        pw_text_str(t->out, "[^\\x09\\x0a\\x0c\\x0d\\x20]");
        return !in_class;
    default:
        return false;
    }
}

/* After '['. Only ASCII members; named classes stay with RE2. */
static bool
translate_class(struct translate *t)
{
    bool first = true;

    pw_text_char(t->out, '[');
    if (t->p < t->end && *t->p == '^') {
        t->p++;
        t->wide = true;
        pw_text_char(t->out, '^');
    }
    for (; t->p < t->end; first = false) {
        uint8_t c = *t->p++;

        if (c == ']' && !first) {
            pw_text_char(t->out, ']');
            return true;
        }
        if (c >= 0x80 || c == '[') {
            return false;
        }
        if (c == '\\') {
            if (!translate_escape(t, true)) {
                return false;
            }
        } else if (c == '-') {
            /* A range sign, unless at an edge, where it is itself. */
            bool edge = first || (t->p < t->end && *t->p == ']');

            if (edge) {
                put_literal(t, c);
            } else {
                pw_text_char(t->out, '-');
            }
        } else {
            put_literal(t, c);
        }
    }
    return false;
}

/* After '('. Plain, non-capturing and named groups; flags stay with RE2. */
static bool
translate_group(struct translate *t)
{
    pw_text_str(t->out, "(?:");
    if (t->p >= t->end || *t->p != '?') {
        return true;
    }
    if (t->end - t->p >= 2 && t->p[1] == ':') {
        t->p += 2;
        return true;
    }
    if (t->end - t->p >= 3 && t->p[1] == 'P' && t->p[2] == '<') {
        while (t->p < t->end && *t->p != '>') {
            t->p++;
        }
        t->p += t->p < t->end ? 1 : 0;
        return true;
    }
    return false;
}

/* After '{'. True and copied when it is a repetition; a literal brace otherwise (as RE2 reads it).
 */
static void
translate_brace(struct translate *t)
{
    const uint8_t *q = t->p;
    uint32_t digits = 0;

    while (q < t->end && *q >= '0' && *q <= '9') {
        q++;
        digits++;
    }
    if (digits > 0 && q < t->end && *q == ',') {
        q++;
        while (q < t->end && *q >= '0' && *q <= '9') {
            q++;
        }
    }
    if (digits == 0 || q >= t->end || *q != '}') {
        put_literal(t, '{');
        return;
    }
    pw_text_char(t->out, '{');
    pw_text_put(t->out, t->p, (size_t)(q + 1 - t->p));
    t->p = q + 1;
}

static bool
translate_one(struct translate *t)
{
    uint8_t c = *t->p++;

    switch (c) {
    case '\\':
        return translate_escape(t, false);
    case '[':
        return translate_class(t);
    case '(':
        return translate_group(t);
    case '{':
        translate_brace(t);
        return true;
    case '.':
        t->wide = true;
        pw_text_char(t->out, '.');
        return true;
    case '$': /* PCRE's also matches before a last newline */
        pw_text_str(t->out, "\\z");
        return true;
    case '^':
        pw_text_str(t->out, "\\A");
        return true;
    case ')':
    case '|':
    case '*':
    case '+':
    case '?':
        pw_text_char(t->out, (char)c);
        return true;
    default:
        if (c < 0x80) {
            put_literal(t, c);
        } else {
            t->wide = true; /* a repeated multi-byte rune is one unit only in UTF-8 mode */
            pw_text_char(t->out, (char)c);
        }
        return true;
    }
}

static bool
translate(struct pw_slice pattern, struct pw_text *out, bool *wide)
{
    struct translate t = {.p = pattern.ptr, .end = pattern.ptr + pattern.len, .out = out};

    pw_text_str(out, "\\A(?:");
    while (t.p < t.end) {
        if (!translate_one(&t)) {
            return false;
        }
    }
    pw_text_str(out, ")\\z");
    pw_text_char(out, 0);
    *wide = t.wide;
    return !out->failed;
}

static void
compile_hyperscan(struct pw_regex *re, struct pw_slice pattern)
{
    struct pw_text text;
    hs_compile_error_t *err = NULL;
    unsigned flags = HS_FLAG_DOTALL | HS_FLAG_ALLOWEMPTY | HS_FLAG_SINGLEMATCH;

    if (hs_valid_platform() != HS_SUCCESS || pw_re2_program_size(re->re2) > PROGRAM_SIZE_MAX) {
        return;
    }
    pw_text_init(&text, PW_REGEX_BYTES_MAX * 32);
    if (translate(pattern, &text, &re->wants_utf8)) {
        flags |= re->wants_utf8 ? HS_FLAG_UTF8 : 0;
        if (hs_compile((const char *)text.ptr, flags, HS_MODE_BLOCK, NULL, &re->hs, &err) !=
            HS_SUCCESS) {
            hs_free_compile_error(err); /* too large or not expressible: RE2 alone */
            re->hs = NULL;
        }
    }
    pw_text_fini(&text);
}

int
pw_regex_compile_cold(struct pw_slice pattern, struct pw_regex **out, char *err_text,
                      size_t err_cap)
{
    struct pw_regex *re;

    *out = NULL;
    if (pattern.len > PW_REGEX_BYTES_MAX) {
        snprintf(err_text, err_cap, "expression too large");
        return PW_EMSGSIZE;
    }
    re = calloc(1, sizeof(*re));
    if (re == NULL) {
        return PW_ENOMEM;
    }
    re->re2 = pw_re2_new((const char *)pattern.ptr, pattern.len, RE2_BYTES_MAX, err_text, err_cap);
    if (re->re2 == NULL) {
        free(re);
        return err_cap > 0 && err_text[0] != 0 ? PW_EINVAL : PW_ENOMEM;
    }
    re->matches_empty = pw_re2_match(re->re2, "", 0, NULL, 0);
    compile_hyperscan(re, pattern);
    *out = re;
    return 0;
}

void
pw_regex_free_cold(struct pw_regex *re)
{
    if (re == NULL) {
        return;
    }
    if (re->hs != NULL) {
        hs_free_database(re->hs);
    }
    pw_re2_free(re->re2);
    free(re);
}

struct pw_regex_scratch *
pw_regex_scratch_new_cold(void)
{
    return calloc(1, sizeof(struct pw_regex_scratch));
}

int
pw_regex_scratch_fit_cold(struct pw_regex_scratch *s, const struct pw_regex *re)
{
    if (re->hs == NULL) {
        return 0;
    }
    return hs_alloc_scratch(re->hs, &s->hs) == HS_SUCCESS ? 0 : PW_ENOMEM;
}

void
pw_regex_scratch_free_cold(struct pw_regex_scratch *s)
{
    if (s == NULL) {
        return;
    }
    if (s->hs != NULL) {
        hs_free_scratch(s->hs);
    }
    free(s);
}

bool
pw_regex_is_hyperscan(const struct pw_regex *re)
{
    return re->hs != NULL;
}

static int
on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx)
{
    (void)id;
    (void)from;
    (void)to;
    (void)flags;
    *(bool *)ctx = true;
    return 1; /* stop: anchored at both ends, so any match is the match */
}

bool
pw_regex_match(const struct pw_regex *re, struct pw_regex_scratch *s, struct pw_slice subject)
{
    bool hit = false;
    hs_error_t rc;

    if (subject.len == 0) {
        return re->matches_empty;
    }
    /* A label value is far below 4 GiB; what is not goes to RE2. */
    if (re->hs == NULL || s == NULL || s->hs == NULL || subject.len > UINT32_MAX ||
        (re->wants_utf8 && !pw_utf8_valid(subject.ptr, subject.len))) {
        return pw_re2_match(re->re2, (const char *)subject.ptr, subject.len, NULL, 0);
    }
    rc =
        hs_scan(re->hs, (const char *)subject.ptr, (unsigned)subject.len, 0, s->hs, on_match, &hit);
    if (rc != HS_SUCCESS && rc != HS_SCAN_TERMINATED) { /* scratch never fitted: still answer */
        return pw_re2_match(re->re2, (const char *)subject.ptr, subject.len, NULL, 0);
    }
    return hit;
}

uint32_t
pw_regex_captures(const struct pw_regex *re, struct pw_slice subject,
                  struct pw_slice groups[PW_REGEX_GROUPS_MAX])
{
    struct pw_re2_group g[PW_REGEX_GROUPS_MAX];
    int n = pw_re2_groups(re->re2);

    n = n > PW_REGEX_GROUPS_MAX ? PW_REGEX_GROUPS_MAX : n;
    if (!pw_re2_match(re->re2, subject.len == 0 ? "" : (const char *)subject.ptr, subject.len, g,
                      n)) {
        return 0;
    }
    for (int i = 0; i < n; i++) {
        groups[i] = g[i].ptr == NULL ? (struct pw_slice){0} : pw_slice(g[i].ptr, g[i].len);
    }
    return (uint32_t)n;
}
