/* Messages of a profile in any shape the wire format allows: unknown fields, repeated scalars (the
 * last one wins), zeros written out, varints longer than needed, packed and single values mixed. */
#include "pprof/profile_walk.h"

#include <stdio.h>

enum { ERR_TEXT_MAX = 96, LONG_MESSAGE_BYTES = 4096 };

static bool
wrong_type(struct pw_walk *w, uint32_t type, const char *field)
{
    char *text = pw_scratch_alloc(w->p->scratch, ERR_TEXT_MAX);

    if (text == NULL) {
        w->err = "proto: wrong wireType";
        return false;
    }
    (void)snprintf(text, ERR_TEXT_MAX, "proto: wrong wireType = %u for field %s", type, field);
    w->err = text;
    return false;
}

const char *
pw_walk_named(struct pw_walk *w, const char *message, const char *err)
{
    static const char prefix[] = "proto: ";
    char *text;

    if (err == NULL || (strcmp(err, "proto: wiretype end group for non-group") != 0 &&
                        strncmp(err, "proto: illegal tag", 18) != 0)) {
        return err;
    }
    text = pw_scratch_alloc(w->p->scratch, ERR_TEXT_MAX);
    if (text == NULL) {
        return err;
    }
    (void)snprintf(text, ERR_TEXT_MAX, "proto: %s: %s", message, err + sizeof(prefix) - 1);
    return text;
}

/* A checkpoint in a message longer than any that an encoder has reason to write. */
static inline void
long_message_pause(const struct pw_wire *r, struct pw_slice bytes)
{
    if (PW_UNLIKELY(bytes.len > LONG_MESSAGE_BYTES)) {
        pw_fiber_pause(r->fiber);
    }
}

/* A message whose known fields are all varints: v[number] gets the last value of each. Booleans
 * (numbers from bool_first on) become 0 or 1. *unknown gets the bytes of other fields. */
struct scalar_message {
    uint32_t last;
    uint32_t bool_first;
    const char *name[11]; /* of the message, then by field number, as the reference has them */
};

/* False, for the reader of a message that r ends in. */
static bool
broken(struct pw_walk *w, const char *message, const struct pw_wire *r)
{
    w->err = pw_walk_named(w, message, r->err);
    return false;
}

/* The type of a known field is judged before its content, and before an impossible type. */
static bool
read_scalars(struct pw_walk *w, const struct scalar_message *m, struct pw_slice bytes, uint64_t *v,
             uint64_t *unknown)
{
    struct pw_wire r;
    struct pw_wire_field f;
    int rc;

    pw_walk_wire_init(&r, bytes, w->p->scratch->fiber);
    for (const uint8_t *at = r.p; (rc = pw_wire_next(&r, &f)) != 0; at = r.p) {
        long_message_pause(&r, bytes);
        bool known = f.number - 1U < m->last;

        if (known && f.type != PW_WIRE_VARINT) {
            return wrong_type(w, f.type, m->name[f.number]);
        }
        if (rc < 0) {
            return broken(w, m->name[0], &r);
        }
        if (known) {
            v[f.number] = f.number >= m->bool_first ? f.varint != 0 : f.varint;
        } else {
            *unknown += (uint64_t)(r.p - at);
        }
    }
    return true;
}

static uint64_t
scalars_size(const struct scalar_message *m, const uint64_t *v, uint64_t unknown)
{
    for (uint32_t i = 1; i <= m->last; i++) {
        unknown += pw_scalar_size(v[i]);
    }
    return unknown;
}

static const struct scalar_message value_type_message = {
    .last = 2, .bool_first = 16, .name = {"ValueType", "Type", "Unit"}};
static const struct scalar_message label_message = {
    .last = 4, .bool_first = 16, .name = {"Label", "Key", "Str", "Num", "NumUnit"}};
static const struct scalar_message mapping_message = {
    .last = 10,
    .bool_first = 7,
    .name = {"Mapping", "Id", "MemoryStart", "MemoryLimit", "FileOffset", "Filename", "BuildId",
             "HasFunctions", "HasFilenames", "HasLineNumbers", "HasInlineFrames"}};
static const struct scalar_message line_message = {
    .last = 2, .bool_first = 16, .name = {"Line", "FunctionId", "Line"}};
static const struct scalar_message function_message = {
    .last = 5,
    .bool_first = 16,
    .name = {"Function", "Id", "Name", "SystemName", "Filename", "StartLine"}};

static bool
read_label(struct pw_walk *w, struct pw_slice bytes, uint64_t *size)
{
    uint64_t v[5] = {0}, unknown = 0;
    struct pw_sample_label *l = &w->p->sample_label[w->label_count];

    if (w->label_count >= w->cap.label) {
        return pw_walk_full(w);
    }
    if (!read_scalars(w, &label_message, bytes, v, &unknown)) {
        return false;
    }
    *l = (struct pw_sample_label){.sample = w->p->sample_count,
                                  .key_ref = pw_profile_ref((int64_t)v[1]),
                                  .str_ref = pw_profile_ref((int64_t)v[2])};
    pw_walk_note_label(w->p, (int64_t)v[1], (int64_t)v[2], (int64_t)v[4]);
    w->label_count++;
    *size += pw_len_field_size(scalars_size(&label_message, v, unknown));
    return true;
}

static void
push_id(struct pw_walk *w, uint64_t id)
{
    struct pw_profile *p = w->p;
    uint8_t *to = p->own_ids + p->own_ids_len;

    for (; id >= 0x80; id >>= 7) { /* at most nine turns */
        *to++ = (uint8_t)(id | 0x80);
    }
    *to++ = (uint8_t)id;
    p->own_ids_len = (size_t)(to - p->own_ids);
    w->own_count++;
}

struct values { /* of one sample; of more than there can be types the number alone counts */
    uint64_t v[PW_PROFILE_TYPES_MAX];
    uint32_t count;
};

/* One of the repeated integers of a sample: packed or single, mixed as they come. */
static bool
read_repeated(struct pw_walk *w, const struct pw_wire_field *f, struct values *values,
              uint64_t *bytes)
{
    struct pw_slice s = f->bytes;
    size_t at = 0;
    uint64_t v = f->varint;
    uint32_t turn = 0;

    do {
        if (f->type == PW_WIRE_LEN) {
            int n = at == s.len ? 0 : pw_wire_varint(s.ptr + at, s.ptr + s.len, &v);

            if (s.len == 0) {
                return true;
            }
            if (n <= 0) {
                w->err = n == 0 ? "unexpected EOF" : "proto: integer overflow";
                return false;
            }
            at += (size_t)n;
            PW_FIBER_PAUSE_EVERY(w->p->scratch->fiber, turn, 4096);
            turn++;
        }
        if (f->number == 1) {
            push_id(w, v);
        } else {
            values->v[values->count % PW_PROFILE_TYPES_MAX] = v;
            values->count++;
        }
        *bytes += pw_varint_size(v);
    } while (f->type == PW_WIRE_LEN && at < s.len);
    return true;
}

static bool
read_sample(struct pw_walk *w, struct pw_slice bytes, uint64_t *size)
{
    static const char *const name[] = {"Sample", "LocationId", "Value", "Label"};
    struct pw_profile *p = w->p;
    uint64_t packed[3] = {0}, rest = 0;
    struct pw_stack *s = &p->stack[p->sample_count];
    uint32_t label_first = w->label_count;
    struct values values;
    struct pw_wire r;
    struct pw_wire_field f;
    int rc;

    if (p->sample_count >= w->cap.sample) {
        return pw_walk_full(w);
    }
    values.count = 0;
    *s = (struct pw_stack){.ids_off = (uint32_t)(p->bytes.len + p->own_ids_len),
                           .loc_count = w->own_count};
    pw_walk_wire_init(&r, bytes, w->p->scratch->fiber);
    for (const uint8_t *at = r.p; (rc = pw_wire_next(&r, &f)) != 0; at = r.p) {
        long_message_pause(&r, bytes);
        bool known = f.number - 1U < 3, ok = true;

        if (known && f.type != PW_WIRE_LEN && (f.number == 3 || f.type != PW_WIRE_VARINT)) {
            return wrong_type(w, f.type, name[f.number]);
        }
        if (rc < 0) {
            return broken(w, name[0], &r);
        }
        if (!known) {
            rest += (uint64_t)(r.p - at);
        } else if (f.number == 3) {
            ok = read_label(w, f.bytes, &rest);
        } else {
            ok = read_repeated(w, &f, &values, &packed[f.number]);
        }
        if (!ok) {
            return false;
        }
    }
    s->loc_count = w->own_count - s->loc_count;
    s->ids_len = (uint32_t)(p->bytes.len + p->own_ids_len - s->ids_off);
    if (values.count == p->sample_type_count) {
        pw_walk_put_values(w, values.v);
    }
    p->sample_count++;
    pw_walk_note_sample(p, s->loc_count, values.count, w->label_count - label_first);
    rest += packed[1] == 0 ? 0 : pw_len_field_size(packed[1]);
    rest += packed[2] == 0 ? 0 : pw_len_field_size(packed[2]);
    *size += pw_len_field_size(rest);
    return true;
}

static bool
read_mapping(struct pw_walk *w, struct pw_slice bytes, uint64_t *size)
{
    struct pw_profile *p = w->p;
    uint64_t v[11] = {0}, unknown = 0;
    struct pw_mapping *m = &p->mapping[p->mapping_count];

    if (p->mapping_count >= w->cap.mapping) {
        return pw_walk_full(w);
    }
    if (!read_scalars(w, &mapping_message, bytes, v, &unknown)) {
        return false;
    }
    *m = (struct pw_mapping){.id = v[1],
                             .memory_start = v[2],
                             .memory_limit = v[3],
                             .file_offset = v[4],
                             .filename_ref = (int64_t)v[5],
                             .build_id_ref = (int64_t)v[6],
                             .has_functions = v[7] != 0,
                             .has_filenames = v[8] != 0,
                             .has_line_numbers = v[9] != 0,
                             .has_inline_frames = v[10] != 0};
    p->mapping_count++;
    pw_raise_max(&p->max_mapping_ref, m->filename_ref);
    pw_raise_max(&p->max_mapping_ref, m->build_id_ref);
    p->dense_mappings &= m->id == p->mapping_count;
    *size += pw_len_field_size(scalars_size(&mapping_message, v, unknown));
    return true;
}

uint32_t
pw_walk_big(struct pw_walk *w, uint64_t v)
{
    struct pw_profile *p = w->p;

    if (p->big_count == w->cap.big) {
        w->full = true;
        return 0;
    }
    p->big[p->big_count] = v;
    return PW_PROFILE_BIG + p->big_count++;
}

static bool
read_line(struct pw_walk *w, struct pw_slice bytes, uint64_t *size)
{
    struct pw_profile *p = w->p;
    uint64_t v[3] = {0}, unknown = 0;

    if (p->line_count >= w->cap.line) {
        return pw_walk_full(w);
    }
    if (!read_scalars(w, &line_message, bytes, v, &unknown)) {
        return false;
    }
    p->line[p->line_count++] =
        (struct pw_line){.function = pw_walk_number(w, v[1]), .line = pw_walk_number(w, v[2])};
    *size += pw_len_field_size(scalars_size(&line_message, v, unknown));
    return true;
}

static bool
read_location(struct pw_walk *w, struct pw_slice bytes, uint64_t *size)
{
    static const char *const name[] = {"Location", "Id",   "MappingId",
                                       "Address",  "Line", "IsFolded"};
    struct pw_profile *p = w->p;
    uint64_t v[6] = {0}, rest = 0;
    struct pw_location *l = &p->location[p->location_count];
    uint32_t line_first = p->line_count;
    struct pw_wire r;
    struct pw_wire_field f;
    int rc;

    if (p->location_count >= w->cap.location) {
        return pw_walk_full(w);
    }
    pw_walk_wire_init(&r, bytes, w->p->scratch->fiber);
    for (const uint8_t *at = r.p; (rc = pw_wire_next(&r, &f)) != 0; at = r.p) {
        long_message_pause(&r, bytes);
        bool known = f.number - 1U < 5;

        if (known && f.type != (f.number == 4 ? PW_WIRE_LEN : PW_WIRE_VARINT)) {
            return wrong_type(w, f.type, name[f.number]);
        }
        if (rc < 0) {
            return broken(w, name[0], &r);
        }
        if (!known) {
            rest += (uint64_t)(r.p - at);
        } else if (f.number != 4) {
            v[f.number] = f.number == 5 ? f.varint != 0 : f.varint;
        } else if (!read_line(w, f.bytes, &rest)) {
            return false;
        }
    }
    p->location_id[p->location_count] = v[1];
    *l = (struct pw_location){.mapping = pw_walk_number(w, v[2]),
                              .address = pw_walk_number(w, v[3]),
                              .line_first = line_first & PW_LINE_FIRST_MAX,
                              .is_folded = v[5] != 0};
    l[1].line_first = p->line_count & PW_LINE_FIRST_MAX;
    p->location_count++;
    p->dense_locations &= v[1] == p->location_count;
    p->zero_location_id |= v[1] == 0;
    rest +=
        pw_scalar_size(v[1]) + pw_scalar_size(v[2]) + pw_scalar_size(v[3]) + pw_scalar_size(v[5]);
    *size += pw_len_field_size(rest);
    return true;
}

static bool
read_function(struct pw_walk *w, struct pw_slice bytes, uint64_t *size)
{
    struct pw_profile *p = w->p;
    uint64_t v[6] = {0}, unknown = 0;
    struct pw_function *f = &p->function[p->function_count];

    if (p->function_count >= w->cap.function) {
        return pw_walk_full(w);
    }
    if (!read_scalars(w, &function_message, bytes, v, &unknown)) {
        return false;
    }
    *f = (struct pw_function){.id = v[1],
                              .name_ref = pw_profile_ref((int64_t)v[2]),
                              .system_name_ref = pw_profile_ref((int64_t)v[3]),
                              .filename_ref = pw_profile_ref((int64_t)v[4]),
                              .start_line = pw_walk_number(w, v[5])};
    p->function_count++;
    pw_raise_max(&p->max_function_ref, f->name_ref);
    pw_raise_max(&p->max_function_ref, f->system_name_ref);
    pw_raise_max(&p->max_function_ref, f->filename_ref);
    p->dense_functions &= f->id == p->function_count;
    p->zero_function_id |= f->id == 0;
    *size += pw_len_field_size(scalars_size(&function_message, v, unknown));
    return true;
}

static bool
read_sample_type(struct pw_walk *w, struct pw_slice bytes, uint64_t *size)
{
    struct pw_profile *p = w->p;
    uint64_t v[3] = {0}, unknown = 0;

    if (!read_scalars(w, &value_type_message, bytes, v, &unknown)) {
        return false;
    }
    if (p->sample_type_count == PW_PROFILE_TYPES_MAX) {
        w->err = "profile has too many sample types";
        return false;
    }
    p->sample_type[p->sample_type_count++] =
        (struct pw_value_type){.type_ref = (int64_t)v[1], .unit_ref = (int64_t)v[2]};
    *size += pw_len_field_size(scalars_size(&value_type_message, v, unknown));
    return true;
}

/* comment: only its size matters, nobody reads it. */
static bool
read_comment(struct pw_walk *w, const struct pw_wire_field *f)
{
    size_t at = 0;
    uint64_t v = f->varint;
    uint32_t turn = 0;

    if (f->type == PW_WIRE_VARINT) {
        w->comment_bytes += pw_varint_size(v);
        return true;
    }
    while (at < f->bytes.len) {
        int n = pw_wire_varint(f->bytes.ptr + at, f->bytes.ptr + f->bytes.len, &v);

        if (n <= 0) {
            w->err = n == 0 ? "unexpected EOF" : "proto: integer overflow";
            return false;
        }
        at += (size_t)n;
        PW_FIBER_PAUSE_EVERY(w->p->scratch->fiber, turn, 4096);
        turn++;
        w->comment_bytes += pw_varint_size(v);
    }
    return true;
}

static bool
read_string(struct pw_walk *w, struct pw_slice s, uint64_t *size)
{
    if (w->p->string_count >= w->cap.string) {
        return pw_walk_full(w);
    }
    pw_walk_put_string(w, s, w->p->scratch->fiber);
    *size += pw_len_field_size(s.len);
    return true;
}

static bool
read_known(struct pw_walk *w, const struct pw_wire_field *f, uint64_t *size)
{
    switch (f->number) {
    case 1:
        return read_sample_type(w, f->bytes, size);
    case 2:
        return read_sample(w, f->bytes, size);
    case 3:
        return read_mapping(w, f->bytes, size);
    case 4:
        return read_location(w, f->bytes, size);
    case 5:
        return read_function(w, f->bytes, size);
    case 6:
        return read_string(w, f->bytes, size);
    case 11: /* a repeated singular message merges */
        w->p->has_period_type = true;
        return read_scalars(w, &value_type_message, f->bytes, w->period_type, &w->period_unknown);
    case 13:
        return read_comment(w, f);
    default:
        w->tail[f->number] = f->varint;
        return true;
    }
}

bool
pw_walk_type_fits(struct pw_walk *w, const struct pw_wire_field *f)
{
    static const char *const name[] = {"",           "SampleType", "Sample",           "Mapping",
                                       "Location",   "Function",   "StringTable",      "DropFrames",
                                       "KeepFrames", "TimeNanos",  "DurationNanos",    "PeriodType",
                                       "Period",     "Comment",    "DefaultSampleType"};
    bool is_len = f->number <= 6 || f->number == 11;

    return f->number == 0 || f->number > 14 || f->type == (is_len ? PW_WIRE_LEN : PW_WIRE_VARINT) ||
           (f->number == 13 && f->type == PW_WIRE_LEN) || wrong_type(w, f->type, name[f->number]);
}

bool
pw_walk_field(struct pw_walk *w, const struct pw_wire_field *f, uint64_t wire_bytes)
{
    uint64_t size = 0;

    if (!pw_walk_type_fits(w, f)) {
        return false;
    }
    if (f->number > 14) {
        return true; /* unknown fields are kept as they came */
    }
    if (!read_known(w, f, &size)) {
        return false;
    }
    w->shrink += (int64_t)wire_bytes - (int64_t)size;
    w->padded_strings |= f->number == 6 && wire_bytes != size;
    return true;
}

/* Strings mostly follow one another: then a record takes them with one copy, tags and all. */
static void
find_stretch(struct pw_walk *w)
{
    enum { GAP_MAX = 8 };
    struct pw_profile *p = w->p;
    struct pw_slice first, last;
    size_t string_bytes = w->string_bytes, bytes;
    const uint8_t *from;

    p->string_loose_bytes = string_bytes;
    p->string_loose_count = p->string_count;
    if (p->string_count == 0 || w->padded_strings) {
        return;
    }
    first = pw_profile_text(p, 0);
    last = pw_profile_text(p, p->string_count - 1);
    from = first.ptr - pw_varint_size(first.len);
    bytes = (size_t)(last.ptr + last.len - from); /* wire order is table order */
    if (bytes <= string_bytes + (size_t)p->string_count * GAP_MAX) {
        p->string_stretch = pw_slice(from, bytes);
        p->string_loose_bytes = p->string_loose_count = 0;
    }
}

void
pw_walk_finish(struct pw_walk *w)
{
    struct pw_profile *p = w->p;
    uint64_t size = 0;

    for (uint32_t i = 7; i <= 14; i++) {
        size += pw_scalar_size(w->tail[i]);
    }
    if (p->has_period_type) {
        size +=
            pw_len_field_size(scalars_size(&value_type_message, w->period_type, w->period_unknown));
    }
    size += w->comment_bytes == 0 ? 0 : pw_len_field_size(w->comment_bytes);
    p->time_nanos = (int64_t)w->tail[9];
    p->duration_nanos = (int64_t)w->tail[10];
    p->period = (int64_t)w->tail[12];
    p->default_sample_type_ref = (int64_t)w->tail[14];
    p->period_type = (struct pw_value_type){.type_ref = (int64_t)w->period_type[1],
                                            .unit_ref = (int64_t)w->period_type[2]};
    p->string_hashed = p->string_count;
    p->sample_label_count = w->label_count;
    find_stretch(w);
    p->encoded_bytes = (uint64_t)((int64_t)p->bytes.len - w->shrink) + size;
}
