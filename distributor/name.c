#include "distributor/name.h"

#include "base/utf8.h"

static bool
is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct pw_slice
trim(struct pw_slice s)
{
    while (s.len != 0 && is_space(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len != 0 && is_space(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

static bool
is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
}

/* Every character of s allowed? extra: further allowed bytes. Else the text of the first bad rune. */
static int
check_chars(struct pw_slice s, const char *extra, const char *what, struct pw_text *err)
{
    for (size_t i = 0; i < s.len; i++) {
        size_t used;
        uint32_t r;

        if (is_name_byte(s.ptr[i]) || (s.ptr[i] != 0 && strchr(extra, s.ptr[i]) != NULL)) {
            continue;
        }
        r = pw_utf8_next(s.ptr + i, s.len - i, &used);
        pw_text_str(err, "name: invalid ");
        pw_text_str(err, what);
        pw_text_str(err, " name: ");
        pw_text_slice(err, s);
        pw_text_str(err, ": character is not allowed: '");
        if (r == PW_UTF8_BAD) {
            pw_text_str(err, "\xEF\xBF\xBD");
        } else {
            pw_text_put(err, s.ptr + i, used);
        }
        pw_text_char(err, '\'');
        return PW_EINVAL;
    }
    return 0;
}

static int
check_app(struct pw_slice app, struct pw_text *err)
{
    if (app.len == 0) {
        pw_text_str(err, "name: service name is required");
        return PW_EINVAL;
    }
    return check_chars(app, "/-", "service", err);
}

static int
check_key(struct pw_slice key, struct pw_text *err)
{
    if (key.len == 0) {
        pw_text_str(err, "name: label name is required");
        return PW_EINVAL;
    }
    return check_chars(key, "", "label", err);
}

/* Bytes before the first of the two stops; s.len when neither comes. */
static size_t
span_to(struct pw_slice s, uint8_t stop1, uint8_t stop2)
{
    size_t i = 0;

    while (i < s.len && s.ptr[i] != stop1 && s.ptr[i] != stop2) {
        i++;
    }
    return i;
}

static struct pw_slice
advance(struct pw_slice s, size_t n)
{
    return n >= s.len ? pw_slice(s.ptr + s.len, 0) : pw_slice(s.ptr + n, s.len - n);
}

/* What stands in the braces: key=value ended by , or }; an unterminated last pair is dropped. */
static int
parse_pairs(struct pw_name *n, struct pw_slice s, struct pw_text *err)
{
    while (s.len != 0) { /* one pair a turn */
        size_t k = span_to(s, '=', '}');
        struct pw_slice key = trim(pw_slice(s.ptr, k));
        struct pw_slice value;
        size_t v;
        bool last;

        if (k == s.len || s.ptr[k] == '}') {
            return 0;
        }
        if (check_key(key, err) != 0) {
            return PW_EINVAL;
        }
        s = advance(s, k + 1);
        v = span_to(s, ',', '}');
        if (v == s.len) {
            return 0;
        }
        last = s.ptr[v] == '}';
        value = trim(pw_slice(s.ptr, v));
        if (pw_slice_eq_str(key, "__name__")) {
            n->app = value;
        } else if (pw_labels_set(&n->labels, key, value) != 0) {
            return PW_ENOSPC;
        }
        if (last) {
            return 0;
        }
        s = advance(s, v + 1);
    }
    return 0;
}

int
pw_name_parse(struct pw_name *n, struct pw_slice s, struct pw_text *err)
{
    size_t brace = span_to(s, '{', '{');
    int rc;

    n->labels.count = 0;
    n->app = trim(pw_slice(s.ptr, brace));
    rc = check_app(n->app, err);
    if (rc != 0) {
        return rc;
    }
    return parse_pairs(n, advance(s, brace + 1), err);
}
