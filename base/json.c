#include "base/json.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void
pw_json_init(struct pw_json *j, struct pw_text *t)
{
    *j = (struct pw_json){.t = t};
}

static void
separate(struct pw_json *j)
{
    uint64_t bit = (uint64_t)1 << j->depth;

    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (j->has_items & bit) {
        pw_text_char(j->t, ',');
    }
    j->has_items |= bit;
}

static void
enter(struct pw_json *j, char open)
{
    separate(j);
    pw_text_char(j->t, open);
    j->depth++;
    PW_INVARIANT(j->depth < PW_JSON_DEPTH_MAX);
    j->has_items &= ~((uint64_t)1 << j->depth);
}

static void
leave(struct pw_json *j, char close)
{
    PW_INVARIANT(j->depth > 0 && !j->after_key);
    j->depth--;
    pw_text_char(j->t, close);
}

void
pw_json_object(struct pw_json *j)
{
    enter(j, '{');
}

void
pw_json_object_end(struct pw_json *j)
{
    leave(j, '}');
}

void
pw_json_array(struct pw_json *j)
{
    enter(j, '[');
}

void
pw_json_array_end(struct pw_json *j)
{
    leave(j, ']');
}

void
pw_json_key(struct pw_json *j, const char *name)
{
    separate(j);
    pw_text_char(j->t, '"');
    pw_text_str(j->t, name);
    pw_text_str(j->t, "\":");
    j->after_key = true;
}

void
pw_json_key_slice(struct pw_json *j, struct pw_slice name)
{
    separate(j);
    pw_text_json_string(j->t, name);
    pw_text_char(j->t, ':');
    j->after_key = true;
}

void
pw_json_str(struct pw_json *j, struct pw_slice s)
{
    separate(j);
    pw_text_json_string(j->t, s);
}

void
pw_json_cstr(struct pw_json *j, const char *s)
{
    pw_json_str(j, pw_slice_str(s));
}

void
pw_json_i64(struct pw_json *j, int64_t v)
{
    separate(j);
    pw_text_i64(j->t, v);
}

void
pw_json_i64_string(struct pw_json *j, int64_t v)
{
    separate(j);
    pw_text_char(j->t, '"');
    pw_text_i64(j->t, v);
    pw_text_char(j->t, '"');
}

void
pw_json_u64_string(struct pw_json *j, uint64_t v)
{
    separate(j);
    pw_text_char(j->t, '"');
    pw_text_u64(j->t, v);
    pw_text_char(j->t, '"');
}

void
pw_json_double(struct pw_json *j, double v)
{
    char buf[40];

    separate(j);
    if (!isfinite(v)) {
        pw_text_str(j->t, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    if (fabs(v) < 1e15 && v == (double)(int64_t)v) {
        pw_text_i64(j->t, (int64_t)v);
        return;
    }
    for (int prec = 1; prec <= 17; prec++) {
        snprintf(buf, sizeof(buf), "%.*g", prec, v);
        if (strtod(buf, NULL) == v) {
            break;
        }
    }
    pw_text_str(j->t, buf);
}

void
pw_json_bool(struct pw_json *j, bool v)
{
    separate(j);
    pw_text_str(j->t, v ? "true" : "false");
}

void
pw_json_null(struct pw_json *j)
{
    separate(j);
    pw_text_str(j->t, "null");
}

void
pw_json_base64(struct pw_json *j, struct pw_slice s)
{
    separate(j);
    pw_text_char(j->t, '"');
    pw_text_base64(j->t, s);
    pw_text_char(j->t, '"');
}

static int
base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

int
pw_base64_decode(struct pw_slice in, uint8_t *out, size_t cap, size_t *out_len)
{
    uint32_t acc = 0;
    uint32_t bits = 0;
    size_t n = 0;
    size_t len = in.len;

    for (int pad = 0; pad < 2 && len > 0 && in.ptr[len - 1] == '='; pad++) {
        len--;
    }
    if (len % 4 == 1 || (len != in.len && in.len % 4 != 0)) {
        return PW_EINVAL;
    }
    for (size_t i = 0; i < len; i++) {
        int v = base64_value(in.ptr[i]);

        if (v < 0) {
            return PW_EINVAL;
        }
        acc = (acc << 6) | (uint32_t)v;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (n == cap) {
                return PW_ENOSPC;
            }
            out[n++] = (uint8_t)(acc >> bits);
        }
    }
    *out_len = n;
    return 0;
}
