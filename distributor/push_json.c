#include "distributor/json_read.h"
#include "distributor/push.h"

#include "base/json.h"

struct reader {
    struct pw_push_build b;
    struct pw_json_read j;
};

static bool
fail(struct reader *r, const char *why)
{
    if (r->j.err == NULL) {
        r->j.err = why;
    }
    return false;
}

/* A member's name is one of ours? (proto3 JSON accepts the JSON name and the field's own name.) */
static bool
named(struct pw_json_string key, const char *json, const char *proto)
{
    return !key.escaped &&
           (pw_slice_eq_str(key.raw, json) || (proto != NULL && pw_slice_eq_str(key.raw, proto)));
}

/* "key": ... of an object; true when a member follows. *first starts true. */
static bool
next_member(struct reader *r, bool *first, struct pw_json_string *key)
{
    if (*first) {
        *first = false;
        if (!pw_json_read_char(&r->j, '{')) {
            return false;
        }
        if (pw_json_read_peek(&r->j) == '}') {
            (void)pw_json_read_char(&r->j, '}');
            return false;
        }
    } else if (!pw_json_read_more(&r->j, '}')) {
        return false;
    }
    return pw_json_read_string(&r->j, key) && pw_json_read_char(&r->j, ':');
}

/* The next element of an array (null counts as an empty one); true when one follows. */
static bool
next_element(struct reader *r, bool *first)
{
    if (*first) {
        *first = false;
        if (pw_json_read_peek(&r->j) == 'n') {
            (void)pw_json_read_null(&r->j);
            return false;
        }
        if (!pw_json_read_char(&r->j, '[')) {
            return false;
        }
        if (pw_json_read_peek(&r->j) == ']') {
            (void)pw_json_read_char(&r->j, ']');
            return false;
        }
        return true;
    }
    return pw_json_read_more(&r->j, ']');
}

/* A member may come once. */
static bool
once(struct reader *r, bool *seen)
{
    bool again = *seen;

    *seen = true;
    return !again || fail(r, "duplicate field");
}

static bool
read_string(struct reader *r, struct pw_slice *out)
{
    struct pw_json_string s;

    if (pw_json_read_peek(&r->j) == 'n') {
        return pw_json_read_null(&r->j);
    }
    if (!pw_json_read_string(&r->j, &s)) {
        return false;
    }
    /* The first pass only judges; its copies go at once. */
    size_t mark = r->b.scratch->used;
    bool ok = pw_json_unescape(&r->j, s, r->b.scratch, out);

    if (r->b.out == NULL) {
        pw_scratch_rewind(r->b.scratch, mark);
    }
    return ok;
}

/* In steps of whole groups of four; only the last one may be padded. */
static bool
decode_base64(struct reader *r, struct pw_slice text, uint8_t *buf, size_t cap, size_t *len)
{
    enum { STEP_CHARS = 64 << 10, STEP_BYTES = STEP_CHARS / 4 * 3 };
    size_t n = 0;

    *len = 0;
    while (text.len > STEP_CHARS) {
        if (pw_base64_decode(pw_slice(text.ptr, STEP_CHARS), buf + *len, cap - *len, &n) != 0 ||
            n != STEP_BYTES) {
            return false;
        }
        *len += n;
        text = pw_slice(text.ptr + STEP_CHARS, text.len - STEP_CHARS);
        pw_fiber_pause(r->b.scratch->fiber);
    }
    if (pw_base64_decode(text, buf + *len, cap - *len, &n) != 0) {
        return false;
    }
    *len += n;
    return true;
}

static bool
read_bytes(struct reader *r, struct pw_push_sample *out)
{
    struct pw_slice text = PW_SLICE_LIT("");
    size_t mark = r->b.scratch->used;
    size_t cap;
    size_t n;
    uint8_t *buf;

    if (!read_string(r, &text)) {
        return false;
    }
    r->b.pieces++;
    if (r->b.out == NULL) {
        return true;
    }
    cap = text.len / 4 * 3 + 3;
    buf = pw_scratch_alloc(r->b.scratch, cap);
    if (buf == NULL) {
        r->b.no_memory = true;
        pw_scratch_rewind(r->b.scratch, mark);
        return false;
    }
    if (!decode_base64(r, text, buf, cap, &n)) {
        return fail(r, "invalid value for bytes field rawProfile");
    }
    r->b.piece[r->b.pieces - 1] = pw_slice(buf, n);
    out->piece = &r->b.piece[r->b.pieces - 1];
    out->piece_count = n == 0 ? 0 : 1;
    out->bytes = n;
    return true;
}

static bool
read_label(struct reader *r)
{
    struct pw_label_pair pair = {PW_SLICE_LIT(""), PW_SLICE_LIT("")};
    struct pw_json_string key;
    bool first = true;
    bool name_seen = false;
    bool value_seen = false;

    while (next_member(r, &first, &key)) {
        bool ok;

        if (named(key, "name", NULL)) {
            ok = once(r, &name_seen) && read_string(r, &pair.name);
        } else if (named(key, "value", NULL)) {
            ok = once(r, &value_seen) && read_string(r, &pair.value);
        } else {
            ok = pw_json_read_skip(&r->j);
        }
        if (!ok) {
            return false;
        }
    }
    if (r->b.out != NULL) {
        r->b.label[r->b.labels] = pair;
    }
    r->b.labels++;
    return r->j.err == NULL;
}

static bool
read_sample(struct reader *r)
{
    struct pw_push_sample s = {.id = PW_SLICE_LIT("")};
    struct pw_json_string key;
    bool first = true;
    bool raw_seen = false;
    bool id_seen = false;

    while (next_member(r, &first, &key)) {
        bool ok;

        if (named(key, "rawProfile", "raw_profile")) {
            ok = once(r, &raw_seen) && read_bytes(r, &s);
        } else if (named(key, "ID", NULL)) {
            ok = once(r, &id_seen) && read_string(r, &s.id);
        } else {
            ok = pw_json_read_skip(&r->j);
        }
        if (!ok) {
            return false;
        }
    }
    if (r->b.out != NULL) {
        r->b.sample[r->b.samples] = s;
    }
    r->b.samples++;
    return r->j.err == NULL;
}

static bool
read_list(struct reader *r, bool (*element)(struct reader *r))
{
    bool first = true;

    while (next_element(r, &first)) {
        if (!element(r)) {
            return false;
        }
    }
    return r->j.err == NULL;
}

static bool
read_series(struct reader *r)
{
    uint32_t labels = r->b.labels;
    uint32_t samples = r->b.samples;
    struct pw_json_string key;
    bool first = true;
    bool labels_seen = false;
    bool samples_seen = false;

    while (next_member(r, &first, &key)) {
        bool ok;

        if (named(key, "labels", NULL)) {
            ok = once(r, &labels_seen) && read_list(r, read_label);
        } else if (named(key, "samples", NULL)) {
            ok = once(r, &samples_seen) && read_list(r, read_sample);
        } else {
            ok = pw_json_read_skip(&r->j);
        }
        if (!ok) {
            return false;
        }
    }
    if (r->b.out != NULL) {
        r->b.out->series[r->b.series] = (struct pw_push_series){
            .label = r->b.label + labels,
            .sample = r->b.sample + samples,
            .label_count = r->b.labels - labels,
            .sample_count = r->b.samples - samples,
        };
    }
    r->b.series++;
    return r->j.err == NULL;
}

static bool
read_request(struct reader *r, struct pw_slice body)
{
    struct pw_json_string key;
    bool first = true;
    bool seen = false;

    pw_json_read_init(&r->j, body, r->b.scratch->fiber);
    while (next_member(r, &first, &key)) {
        bool ok = named(key, "series", NULL) ? once(r, &seen) && read_list(r, read_series)
                                             : pw_json_read_skip(&r->j);

        if (!ok) {
            return false;
        }
    }
    return pw_json_read_end(&r->j);
}

static int
refuse(struct reader *r)
{
    if (r->b.no_memory) {
        return PW_ENOMEM;
    }
    if (r->j.p == r->j.start && r->j.end == r->j.start) {
        pw_text_str(r->b.err, "zero-length payload is not a valid JSON object");
    } else {
        pw_text_printf(r->b.err, "proto: syntax error (offset %zu): %s",
                       (size_t)(r->j.p - r->j.start), r->j.err);
    }
    return PW_EINVAL;
}

int
pw_push_parse_json(struct pw_push *out, struct pw_slice body, struct pw_scratch *scratch,
                   struct pw_text *err)
{
    struct reader r = {.b = {.scratch = scratch, .err = err}};
    int rc;

    if (!read_request(&r, body)) {
        return refuse(&r);
    }
    rc = pw_push_build_alloc(&r.b, out);
    if (rc == 0 && !read_request(&r, body)) {
        rc = refuse(&r);
    }
    return rc;
}
