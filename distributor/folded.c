#include "distributor/folded.h"

#include "base/hash.h"
#include "pprof/wire.h"

enum {
    STRINGS_BASE = 5, /* "", type, unit, period type, period unit */
    STEP_BYTES = 4 << 10,
};

struct type_row {
    const char *suffix;
    const char *metric;
    const char *type; /* NULL: the suffix itself */
    const char *unit;
};

static const struct type_row type_rows[] = {
    {"cpu", "process_cpu", "samples", "count"},
    {"itimer", "process_cpu", "samples", "count"},
    {"wall", "wall", "samples", "count"},
    {"seconds", "wall", "samples", "count"},
    {"nanoseconds", "wall", "samples", "count"},
    {"microseconds", "wall", "samples", "count"},
    {"milliseconds", "wall", "samples", "count"},
    {"inuse_objects", "memory", NULL, "count"},
    {"alloc_objects", "memory", NULL, "count"},
    {"inuse_space", "memory", NULL, "bytes"},
    {"alloc_space", "memory", NULL, "bytes"},
    {"goroutines", "goroutine", "goroutines", "count"},
    {"mutex_count", "mutex", "contentions", "count"},
    {"mutex_duration", "mutex", "delay", "nanoseconds"},
    {"block_count", "block", "contentions", "count"},
    {"lock_count", "block", "contentions", "count"},
    {"block_duration", "block", "delay", "nanoseconds"},
    {"lock_duration", "block", "delay", "nanoseconds"},
    {"alloc_in_new_tlab_objects", "memory", NULL, "count"},
    {"alloc_outside_tlab_objects", "memory", NULL, "count"},
    {"alloc_in_new_tlab_bytes", "memory", NULL, "bytes"},
    {"alloc_outside_tlab_bytes", "memory", NULL, "bytes"},
    {"live", "memory", "live", "count"},
    {"exceptions", "exceptions", "samples", "count"},
    {"bytes", "memory", "samples", "bytes"},
};

int
pw_folded_type(struct pw_folded_type *t, struct pw_slice app, uint32_t sample_rate)
{
    const uint8_t *dot = app.len == 0 ? NULL : memrchr(app.ptr, '.', app.len);

    /* With an unknown suffix the body is judged first (1.3.1), so there has to be some type. */
    *t = (struct pw_folded_type){.app = app,
                                 .suffix = PW_SLICE_LIT("cpu"),
                                 .metric = "",
                                 .type = PW_SLICE_LIT("samples"),
                                 .unit = "count"};
    if (dot != NULL) {
        t->app.len = (size_t)(dot - app.ptr);
        t->suffix = pw_slice(dot + 1, app.len - t->app.len - 1);
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(type_rows); i++) {
        const struct type_row *r = &type_rows[i];

        if (!pw_slice_eq_str(t->suffix, r->suffix)) {
            continue;
        }
        t->metric = r->metric;
        t->type = r->type == NULL ? t->suffix : pw_slice_str(r->type);
        t->unit = r->unit;
        if (sample_rate != 0 &&
            (strcmp(r->metric, "process_cpu") == 0 || strcmp(r->metric, "wall") == 0)) {
            t->has_period = true;
            t->period = 1000000000 / sample_rate;
            t->type = strcmp(r->metric, "wall") == 0 ? PW_SLICE_LIT("wall") : PW_SLICE_LIT("cpu");
            t->unit = "nanoseconds";
        }
        return 0;
    }
    return PW_EINVAL;
}

/* Distinct frame names: id 1..n in order of first appearance, found by keyed hash. */
struct frames {
    struct pw_slice *name;
    uint32_t count;
    uint32_t *slot; /* id, 0 free */
    uint32_t mask;
    uint64_t hash_key;
    struct pw_fiber *fiber;
};

struct line {
    struct pw_slice stack;
    uint64_t count;
};

/* One line without its end (bufio.ScanLines: LF, and a CR before it); false at the end of input or at
 * a line that is too long. */
static bool
next_line(struct pw_slice *body, struct pw_slice *line)
{
    const uint8_t *lf;
    size_t n;

    if (body->len == 0) {
        return false;
    }
    lf = memchr(body->ptr, '\n', body->len);
    n = lf == NULL ? body->len : (size_t)(lf - body->ptr);
    if (n > PW_FOLDED_LINE_MAX) {
        return false;
    }
    *line = pw_slice(body->ptr, n);
    n += lf == NULL ? 0 : 1;
    *body = pw_slice(body->ptr + n, body->len - n);
    if (line->len != 0 && line->ptr[line->len - 1] == '\r') {
        line->len--;
    }
    return true;
}

/* strconv.Atoi as an int64 taken unsigned. */
static bool
parse_count(struct pw_slice s, uint64_t *out, struct pw_text *err)
{
    bool neg = s.len != 0 && s.ptr[0] == '-';
    size_t i = neg || (s.len != 0 && s.ptr[0] == '+') ? 1 : 0;
    uint64_t limit = (uint64_t)INT64_MAX + (neg ? 1 : 0);
    uint64_t v = 0;
    const char *why = i == s.len ? "invalid syntax" : NULL;

    for (; why == NULL && i < s.len; i++) {
        uint64_t d = (uint64_t)s.ptr[i] - '0';

        if (d > 9) {
            why = "invalid syntax";
        } else if (v > (limit - d) / 10) {
            why = "value out of range";
        } else {
            v = v * 10 + d;
        }
    }
    if (why != NULL) {
        pw_text_str(err, "strconv.Atoi: parsing ");
        pw_text_go_quoted(err, s);
        pw_text_str(err, ": ");
        pw_text_str(err, why);
        return false;
    }
    *out = neg ? 0 - v : v;
    return true;
}

/* stack and count of a line; 0 no record in it, 1, PW_EINVAL. */
static int
split_line(struct pw_slice text, struct line *out, struct pw_text *err)
{
    const uint8_t *space = text.len == 0 ? NULL : memrchr(text.ptr, ' ', text.len);
    size_t n;

    if (space == NULL) {
        return 0;
    }
    n = (size_t)(space - text.ptr);
    out->stack = pw_slice(text.ptr, n);
    return parse_count(pw_slice(space + 1, text.len - n - 1), &out->count, err) ? 1 : PW_EINVAL;
}

/* The first frame of s; *more when another follows. */
static struct pw_slice
next_frame(struct pw_slice *s, bool *more)
{
    const uint8_t *semi = s->len == 0 ? NULL : memchr(s->ptr, ';', s->len);
    struct pw_slice f = *s;

    *more = semi != NULL;
    if (semi != NULL) {
        f.len = (size_t)(semi - s->ptr);
        *s = pw_slice(semi + 1, s->len - f.len - 1);
    }
    return f;
}

static uint32_t
frame_id(struct frames *f, struct pw_slice name)
{
    uint32_t i = (uint32_t)pw_hash_keyed(f->hash_key, name.ptr, name.len) & f->mask;

    while (f->slot[i] != 0) { /* ends: the table is at most half full */
        if (pw_slice_eq(f->name[f->slot[i] - 1], name)) {
            return f->slot[i];
        }
        i = (i + 1) & f->mask;
    }
    f->name[f->count++] = name;
    f->slot[i] = f->count;
    return f->count;
}

/* A checkpoint whenever STEP_BYTES of lines were looked at, the empty ones a little too. */
static void
line_pause(struct pw_fiber *fiber, struct pw_slice text, size_t *since)
{
    *since += text.len + 8;
    if (*since >= STEP_BYTES) {
        *since = 0;
        pw_fiber_pause(fiber);
    }
}

/* Counts lines and frames, an upper bound of the distinct ones, and judges every count. */
static int
measure(struct pw_fiber *fiber, struct pw_slice body, uint32_t *frames, uint32_t *lines,
        struct pw_text *err)
{
    struct pw_slice text;
    struct line l;
    size_t since = 0;

    *frames = *lines = 0;
    while (next_line(&body, &text)) {
        int rc = split_line(text, &l, err);

        line_pause(fiber, text, &since);
        if (rc < 0) {
            return rc;
        }
        if (rc == 1) {
            (*lines)++;
            (*frames)++;
            for (size_t i = 0; i < l.stack.len; i++) {
                *frames += l.stack.ptr[i] == ';' ? 1U : 0U;
            }
        }
    }
    return 0;
}

static int
frames_init(struct frames *f, uint32_t max, uint64_t hash_key, struct pw_scratch *scratch)
{
    uint32_t cap = 16;

    while (cap < 2 * (uint64_t)max) {
        cap *= 2;
    }
    *f = (struct frames){.mask = cap - 1, .hash_key = hash_key, .fiber = scratch->fiber};
    f->name = pw_scratch_array(scratch, max, sizeof(*f->name));
    f->slot = pw_scratch_array(scratch, cap, sizeof(*f->slot));
    if (f->name == NULL || f->slot == NULL) {
        return PW_ENOMEM;
    }
    pw_fiber_clear(scratch->fiber, f->slot, cap * sizeof(*f->slot));
    return 0;
}

/* profile.proto Sample: 1 location_id packed, leaf first; 2 value packed. ids is room for the
 * deepest stack of the line. */
static void
put_sample(struct pw_text *t, struct frames *f, const struct line *l, uint64_t value, uint32_t *ids)
{
    struct pw_slice rest = l->stack;
    uint32_t n = 0;
    bool more = true;
    uint8_t buf[10];
    struct pw_text v;
    size_t packed = 0;

    while (more) {
        ids[n] = frame_id(f, next_frame(&rest, &more));
        packed += ids[n] < 0x80 ? 1U : ids[n] < 0x4000 ? 2U : ids[n] < 0x200000 ? 3U : 4U;
        PW_FIBER_PAUSE_EVERY(f->fiber, n, 1024);
        n++;
    }
    pw_text_fixed(&v, buf, sizeof(buf));
    pw_wire_put_varint(&v, value);
    pw_text_char(t, 2 << 3 | PW_WIRE_LEN); /* Profile.sample */
    pw_wire_put_varint(t, 1 +
                              (packed < 0x80     ? 1U
                               : packed < 0x4000 ? 2U
                                                 : 3U) +
                              packed + 2 + v.len);
    pw_text_char(t, 1 << 3 | PW_WIRE_LEN);
    pw_wire_put_varint(t, packed);
    for (uint32_t i = n; i > 0; i--) {
        pw_wire_put_varint(t, ids[i - 1]);
    }
    pw_wire_put_bytes(t, 2, pw_slice(buf, v.len));
}

static void
put_message(struct pw_text *t, uint32_t number, const struct pw_text *body)
{
    pw_wire_put_bytes(t, number, pw_slice(body->ptr, body->len));
}

static void
put_value_type(struct pw_text *t, uint32_t number, uint64_t type, uint64_t unit)
{
    uint8_t buf[32];
    struct pw_text m;

    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, type);
    pw_wire_put_tag_varint(&m, 2, unit);
    put_message(t, number, &m);
}

/* Location and function of frame `id`; string index STRINGS_BASE + id - 1. */
static void
put_frame(struct pw_text *t, uint32_t id)
{
    uint8_t line_buf[32];
    uint8_t buf[64];
    struct pw_text line;
    struct pw_text m;

    pw_text_fixed(&line, line_buf, sizeof(line_buf));
    pw_wire_put_tag_varint(&line, 1, id);
    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, id);
    pw_wire_put_tag_varint(&m, 2, 1); /* the one fake mapping */
    put_message(&m, 4, &line);
    put_message(t, 4, &m); /* Profile.location */
    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, id);
    pw_wire_put_tag_varint(&m, 2, STRINGS_BASE - 1 + (uint64_t)id);
    put_message(t, 5, &m); /* Profile.function */
}

static void
put_string(struct pw_text *t, struct pw_slice s)
{
    pw_text_char(t, 6 << 3 | PW_WIRE_LEN);
    pw_wire_put_varint(t, s.len);
    pw_text_slice(t, s);
}

static void
put_tables(struct pw_text *t, const struct pw_folded_type *type, const struct frames *f,
           int64_t time_nanos)
{
    uint8_t buf[16];
    struct pw_text m;

    put_value_type(t, 1, 1, 2);
    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, 1);
    put_message(t, 3, &m); /* Profile.mapping */
    for (uint32_t id = 1; id <= f->count; id++) {
        put_frame(t, id);
        PW_FIBER_PAUSE_EVERY(f->fiber, id, 256);
    }
    put_string(t, PW_SLICE_LIT(""));
    put_string(t, type->type);
    put_string(t, pw_slice_str(type->unit));
    put_string(t, PW_SLICE_LIT("cpu"));
    put_string(t, PW_SLICE_LIT("nanoseconds"));
    for (uint32_t i = 0; i < f->count; i++) {
        put_string(t, f->name[i]);
        PW_FIBER_PAUSE_EVERY(f->fiber, i, 256);
    }
    pw_wire_put_tag_varint(t, 9, (uint64_t)time_nanos);
    if (type->has_period) {
        put_value_type(t, 11, 3, 4);
        pw_wire_put_tag_varint(t, 12, type->period);
    }
}

int
pw_folded_encode(const struct pw_folded_type *t, struct pw_slice body, int64_t time_nanos,
                 uint64_t hash_key, struct pw_scratch *scratch, struct pw_slice *out,
                 struct pw_text *err)
{
    struct pw_slice text;
    struct pw_text enc;
    struct frames f;
    struct line l;
    uint32_t frames;
    uint32_t lines;
    uint32_t *ids;
    uint8_t *buf;
    size_t cap;
    size_t since = 0;
    int rc = measure(scratch->fiber, body, &frames, &lines, err);

    if (rc != 0) {
        return rc;
    }
    rc = frames_init(&f, frames, hash_key, scratch);
    ids = pw_scratch_array(scratch, PW_FOLDED_LINE_MAX + 1, sizeof(*ids));
    /* Per frame: an id in a sample, a location, a function, a string header; per line: a sample. */
    cap = 256 + (size_t)frames * 64 + (size_t)lines * 32 + body.len;
    buf = pw_scratch_alloc(scratch, cap);
    if (rc != 0 || ids == NULL || buf == NULL) {
        return PW_ENOMEM;
    }
    pw_text_fixed(&enc, buf, cap);
    while (next_line(&body, &text)) {
        if (split_line(text, &l, err) == 1) {
            put_sample(&enc, &f, &l, l.count * (t->has_period ? t->period : 1), ids);
        }
        line_pause(scratch->fiber, text, &since);
    }
    put_tables(&enc, t, &f, time_nanos);
    *out = pw_slice(enc.ptr, enc.len);
    return enc.failed ? PW_ENOMEM : 0;
}
