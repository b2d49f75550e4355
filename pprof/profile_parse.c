/* The tables of a profile from its wire bytes (contract write-path.md 8).
 *
 * Two walks: the first counts, so that every table is exactly as large as it has to be and a
 * hostile profile cannot ask for more scratch than its own bytes justify; the second fills. Both go
 * through messages in the order they come. The canonical size (3.2 step 3) is added up on the way:
 * what a proto3 encoder would write for the same content, unknown fields included as they came. */
#include "pprof/profile.h"

#include "base/check.h"

#include "pprof/wire.h"

#include <stdio.h>

struct counts {
    size_t sample, loc, value, label, mapping, location, line, function, string;
};

struct walk {
    struct pw_profile *p;
    struct counts cap;
    size_t label_count;
    size_t value_count;
    size_t comment_bytes;
    uint64_t tail[15]; /* top-level scalars by field number; 0 is left out of the encoding */
    uint64_t period_type[3];
    uint64_t period_unknown;
    const char *err;
};

enum { ERR_TEXT_MAX = 96 };

static inline uint64_t
varint_size(uint64_t v)
{
    return (uint64_t)((64 - __builtin_clzll(v | 1)) * 9 + 64) / 64;
}

/* Tag, length and content of a submessage or string whose number is below 16. */
static inline uint64_t
len_field_size(uint64_t len)
{
    return 1 + varint_size(len) + len;
}

static inline uint64_t
scalar_size(uint64_t v)
{
    return v == 0 ? 0 : 1 + varint_size(v);
}

static bool
wrong_type(struct walk *w, uint32_t type, const char *field)
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

/* Varints in a packed field, as many as end in it. */
static size_t
packed_count(struct pw_slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        n += s.ptr[i] < 0x80;
    }
    return n;
}

static void
count_sample(struct counts *c, struct pw_slice bytes)
{
    struct pw_wire r;
    struct pw_wire_field f;

    pw_wire_init(&r, bytes);
    c->sample++;
    while (pw_wire_next(&r, &f) == 1) {
        size_t n = f.type == PW_WIRE_LEN ? packed_count(f.bytes) : 1;

        c->loc += f.number == 1 ? n : 0;
        c->value += f.number == 2 ? n : 0;
        c->label += f.number == 3;
    }
}

static void
count_location(struct counts *c, struct pw_slice bytes)
{
    struct pw_wire r;
    struct pw_wire_field f;

    pw_wire_init(&r, bytes);
    c->location++;
    while (pw_wire_next(&r, &f) == 1) {
        c->line += f.number == 4;
    }
}

/* Stops quietly at the first fault: the second walk meets the same one and names it. */
static void
count_profile(struct counts *c, struct pw_slice bytes)
{
    struct pw_wire r;
    struct pw_wire_field f;

    pw_wire_init(&r, bytes);
    while (pw_wire_next(&r, &f) == 1) {
        if (f.type != PW_WIRE_LEN) {
            continue;
        }
        switch (f.number) {
        case 2:
            count_sample(c, f.bytes);
            break;
        case 3:
            c->mapping++;
            break;
        case 4:
            count_location(c, f.bytes);
            break;
        case 5:
            c->function++;
            break;
        case 6:
            c->string++;
            break;
        default:
            break;
        }
    }
}

static bool
alloc_tables(struct pw_profile *p, const struct counts *c)
{
    struct pw_scratch *s = p->scratch;

    p->string_cap = (uint32_t)c->string + PW_PROFILE_STRINGS_EXTRA;
    p->sample = pw_scratch_array(s, c->sample, sizeof(*p->sample));
    p->loc_ids = pw_scratch_array(s, c->loc, sizeof(*p->loc_ids));
    p->value = pw_scratch_array(s, c->value, sizeof(*p->value));
    p->sample_label = pw_scratch_array(s, c->label, sizeof(*p->sample_label));
    p->mapping = pw_scratch_array(s, c->mapping + 1, sizeof(*p->mapping)); /* one may be added */
    p->location = pw_scratch_array(s, c->location, sizeof(*p->location));
    p->line = pw_scratch_array(s, c->line, sizeof(*p->line));
    p->function = pw_scratch_array(s, c->function, sizeof(*p->function));
    p->string_table = pw_scratch_array(s, p->string_cap, sizeof(*p->string_table));
    p->string_hash = pw_scratch_array(s, p->string_cap, sizeof(*p->string_hash));
    return p->sample && p->loc_ids && p->value && p->sample_label && p->mapping && p->location &&
           p->line && p->function && p->string_table && p->string_hash;
}

/* A message whose known fields are all varints: v[number] gets the last value of each. Booleans
 * (numbers from bool_first on) become 0 or 1. *unknown gets the bytes of other fields. */
struct scalar_message {
    uint32_t last;
    uint32_t bool_first;
    const char *name[11]; /* by field number, as the reference names them in errors */
};

static bool
read_scalars(struct walk *w, const struct scalar_message *m, struct pw_slice bytes, uint64_t *v,
             uint64_t *unknown)
{
    struct pw_wire r;
    struct pw_wire_field f;
    int rc;

    pw_wire_init(&r, bytes);
    for (const uint8_t *at = r.p; (rc = pw_wire_next(&r, &f)) == 1; at = r.p) {
        if (f.number > m->last) {
            *unknown += (uint64_t)(r.p - at);
        } else if (f.type != PW_WIRE_VARINT) {
            return wrong_type(w, f.type, m->name[f.number]);
        } else {
            v[f.number] = f.number >= m->bool_first ? f.varint != 0 : f.varint;
        }
    }
    w->err = r.err;
    return rc == 0;
}

static uint64_t
scalars_size(const struct scalar_message *m, const uint64_t *v, uint64_t unknown)
{
    for (uint32_t i = 1; i <= m->last; i++) {
        unknown += scalar_size(v[i]);
    }
    return unknown;
}

static const struct scalar_message value_type_message = {
    .last = 2, .bool_first = 16, .name = {"", "Type", "Unit"}};
static const struct scalar_message label_message = {
    .last = 4, .bool_first = 16, .name = {"", "Key", "Str", "Num", "NumUnit"}};
static const struct scalar_message mapping_message = {
    .last = 10,
    .bool_first = 7,
    .name = {"", "Id", "MemoryStart", "MemoryLimit", "FileOffset", "Filename", "BuildId",
             "HasFunctions", "HasFilenames", "HasLineNumbers", "HasInlineFrames"}};
static const struct scalar_message line_message = {
    .last = 2, .bool_first = 16, .name = {"", "FunctionId", "Line"}};
static const struct scalar_message function_message = {
    .last = 5, .bool_first = 16, .name = {"", "Id", "Name", "SystemName", "Filename", "StartLine"}};

static inline void
raise_max(uint64_t *max, int64_t ref)
{
    if ((uint64_t)ref > *max) {
        *max = (uint64_t)ref;
    }
}

static bool
read_label(struct walk *w, struct pw_slice bytes, uint64_t *size)
{
    uint64_t v[5] = {0}, unknown = 0;
    struct pw_sample_label *l = &w->p->sample_label[w->label_count];

    PW_INVARIANT(w->label_count < w->cap.label);
    if (!read_scalars(w, &label_message, bytes, v, &unknown)) {
        return false;
    }
    *l = (struct pw_sample_label){.key_ref = (int64_t)v[1],
                                  .str_ref = (int64_t)v[2],
                                  .num = (int64_t)v[3],
                                  .num_unit_ref = (int64_t)v[4]};
    raise_max(&w->p->max_label_ref, l->key_ref);
    raise_max(&w->p->max_label_ref, l->str_ref);
    raise_max(&w->p->max_label_ref, l->num_unit_ref);
    w->label_count++;
    *size += len_field_size(scalars_size(&label_message, v, unknown));
    return true;
}

/* From the first id that needs more than 32 bits on, ids are kept 64 bits wide. */
static bool
widen(struct walk *w)
{
    struct pw_profile *p = w->p;

    p->loc_ids_wide = pw_scratch_array(p->scratch, w->cap.loc, sizeof(*p->loc_ids_wide));
    if (p->loc_ids_wide == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < p->loc_ids_count; i++) {
        p->loc_ids_wide[i] = p->loc_ids[i];
    }
    return true;
}

static bool
push_loc(struct walk *w, uint64_t id)
{
    struct pw_profile *p = w->p;

    PW_INVARIANT(p->loc_ids_count < w->cap.loc);
    if (id > UINT32_MAX && p->loc_ids_wide == NULL && !widen(w)) {
        return false;
    }
    if (p->loc_ids_wide != NULL) {
        p->loc_ids_wide[p->loc_ids_count] = id;
    } else {
        p->loc_ids[p->loc_ids_count] = (uint32_t)id;
    }
    p->loc_ids_count++;
    return true;
}

/* One of the repeated integers of a sample: packed or single, mixed as they come. */
static bool
read_repeated(struct walk *w, const struct pw_wire_field *f, uint64_t *bytes)
{
    struct pw_slice s = f->bytes;
    size_t at = 0;
    uint64_t v = f->varint;

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
        }
        if (f->number == 1) {
            if (!push_loc(w, v)) {
                w->err = NULL;
                return false;
            }
        } else {
            PW_INVARIANT(w->value_count < w->cap.value);
            w->p->value[w->value_count++] = (int64_t)v;
        }
        *bytes += varint_size(v);
    } while (f->type == PW_WIRE_LEN && at < s.len);
    return true;
}

static bool
read_sample(struct walk *w, struct pw_slice bytes, uint64_t *size)
{
    static const char *const name[] = {"", "LocationId", "Value", "Label"};
    struct pw_profile *p = w->p;
    uint64_t packed[3] = {0}, rest = 0;
    struct pw_sample *s = &p->sample[p->sample_count];
    struct pw_wire r;
    struct pw_wire_field f;
    int rc;

    PW_INVARIANT(p->sample_count < w->cap.sample);
    *s = (struct pw_sample){.loc_first = p->loc_ids_count,
                            .label_first = (uint32_t)w->label_count,
                            .value_first = (uint32_t)w->value_count};
    pw_wire_init(&r, bytes);
    for (const uint8_t *at = r.p; (rc = pw_wire_next(&r, &f)) == 1; at = r.p) {
        bool ok = true;

        if (f.number > 3) {
            rest += (uint64_t)(r.p - at);
        } else if (f.type != PW_WIRE_LEN && (f.number == 3 || f.type != PW_WIRE_VARINT)) {
            ok = wrong_type(w, f.type, name[f.number]);
        } else if (f.number == 3) {
            ok = read_label(w, f.bytes, &rest);
        } else {
            ok = read_repeated(w, &f, &packed[f.number]);
        }
        if (!ok) {
            return false;
        }
    }
    w->err = r.err;
    s->loc_count = p->loc_ids_count - s->loc_first;
    s->label_count = (uint32_t)w->label_count - s->label_first;
    s->value_count = (uint32_t)w->value_count - s->value_first;
    p->sample_count++;
    rest += packed[1] == 0 ? 0 : len_field_size(packed[1]);
    rest += packed[2] == 0 ? 0 : len_field_size(packed[2]);
    *size += len_field_size(rest);
    return rc == 0;
}

static bool
read_mapping(struct walk *w, struct pw_slice bytes, uint64_t *size)
{
    struct pw_profile *p = w->p;
    uint64_t v[11] = {0}, unknown = 0;
    struct pw_mapping *m = &p->mapping[p->mapping_count];

    PW_INVARIANT(p->mapping_count < w->cap.mapping);
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
    raise_max(&p->max_mapping_ref, m->filename_ref);
    raise_max(&p->max_mapping_ref, m->build_id_ref);
    p->dense_mappings &= m->id == p->mapping_count;
    *size += len_field_size(scalars_size(&mapping_message, v, unknown));
    return true;
}

static bool
read_line(struct walk *w, struct pw_slice bytes, uint64_t *size)
{
    struct pw_profile *p = w->p;
    uint64_t v[3] = {0}, unknown = 0;

    PW_INVARIANT(p->line_count < w->cap.line);
    if (!read_scalars(w, &line_message, bytes, v, &unknown)) {
        return false;
    }
    p->line[p->line_count++] = (struct pw_line){.function_id = v[1], .line = (int64_t)v[2]};
    *size += len_field_size(scalars_size(&line_message, v, unknown));
    return true;
}

static bool
read_location(struct walk *w, struct pw_slice bytes, uint64_t *size)
{
    static const char *const name[] = {"", "Id", "MappingId", "Address", "Line", "IsFolded"};
    struct pw_profile *p = w->p;
    uint64_t v[6] = {0}, rest = 0;
    struct pw_location *l = &p->location[p->location_count];
    uint32_t line_first = p->line_count;
    struct pw_wire r;
    struct pw_wire_field f;
    int rc;

    PW_INVARIANT(p->location_count < w->cap.location);
    pw_wire_init(&r, bytes);
    for (const uint8_t *at = r.p; (rc = pw_wire_next(&r, &f)) == 1; at = r.p) {
        if (f.number > 5) {
            rest += (uint64_t)(r.p - at);
        } else if (f.type != (f.number == 4 ? PW_WIRE_LEN : PW_WIRE_VARINT)) {
            return wrong_type(w, f.type, name[f.number]);
        } else if (f.number == 4) {
            if (!read_line(w, f.bytes, &rest)) {
                return false;
            }
        } else {
            v[f.number] = f.number == 5 ? f.varint != 0 : f.varint;
        }
    }
    w->err = r.err;
    *l = (struct pw_location){.id = v[1],
                              .mapping_id = v[2],
                              .address = v[3],
                              .line_first = line_first,
                              .line_count = p->line_count - line_first,
                              .is_folded = v[5] != 0};
    p->location_count++;
    p->dense_locations &= l->id == p->location_count;
    p->zero_location_id |= l->id == 0;
    rest += scalar_size(v[1]) + scalar_size(v[2]) + scalar_size(v[3]) + scalar_size(v[5]);
    *size += len_field_size(rest);
    return rc == 0;
}

static bool
read_function(struct walk *w, struct pw_slice bytes, uint64_t *size)
{
    struct pw_profile *p = w->p;
    uint64_t v[6] = {0}, unknown = 0;
    struct pw_function *f = &p->function[p->function_count];

    PW_INVARIANT(p->function_count < w->cap.function);
    if (!read_scalars(w, &function_message, bytes, v, &unknown)) {
        return false;
    }
    *f = (struct pw_function){.id = v[1],
                              .name_ref = (int64_t)v[2],
                              .system_name_ref = (int64_t)v[3],
                              .filename_ref = (int64_t)v[4],
                              .start_line = (int64_t)v[5]};
    p->function_count++;
    raise_max(&p->max_function_ref, f->name_ref);
    raise_max(&p->max_function_ref, f->system_name_ref);
    raise_max(&p->max_function_ref, f->filename_ref);
    p->dense_functions &= f->id == p->function_count;
    p->zero_function_id |= f->id == 0;
    *size += len_field_size(scalars_size(&function_message, v, unknown));
    return true;
}

static bool
read_sample_type(struct walk *w, struct pw_slice bytes, uint64_t *size)
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
    *size += len_field_size(scalars_size(&value_type_message, v, unknown));
    return true;
}

/* comment: only its size matters, nobody reads it. */
static bool
read_comment(struct walk *w, const struct pw_wire_field *f)
{
    size_t at = 0;
    uint64_t v = f->varint;

    if (f->type == PW_WIRE_VARINT) {
        w->comment_bytes += varint_size(v);
        return true;
    }
    while (at < f->bytes.len) {
        int n = pw_wire_varint(f->bytes.ptr + at, f->bytes.ptr + f->bytes.len, &v);

        if (n <= 0) {
            w->err = n == 0 ? "unexpected EOF" : "proto: integer overflow";
            return false;
        }
        at += (size_t)n;
        w->comment_bytes += varint_size(v);
    }
    return true;
}

static bool
read_top(struct walk *w, const struct pw_wire_field *f, uint64_t *size)
{
    struct pw_profile *p = w->p;

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
        PW_INVARIANT(p->string_count < w->cap.string);
        p->string_table[p->string_count++] = f->bytes;
        *size += len_field_size(f->bytes.len);
        return true;
    case 11: /* a repeated singular message merges */
        p->has_period_type = true;
        return read_scalars(w, &value_type_message, f->bytes, w->period_type, &w->period_unknown);
    case 13:
        return read_comment(w, f);
    default:
        w->tail[f->number] = f->varint;
        return true;
    }
}

static bool
walk_profile(struct walk *w, uint64_t *size)
{
    static const char *const name[] = {"",           "SampleType", "Sample",           "Mapping",
                                       "Location",   "Function",   "StringTable",      "DropFrames",
                                       "KeepFrames", "TimeNanos",  "DurationNanos",    "PeriodType",
                                       "Period",     "Comment",    "DefaultSampleType"};
    struct pw_wire r;
    struct pw_wire_field f;
    int rc;

    pw_wire_init(&r, w->p->bytes);
    for (const uint8_t *at = r.p; (rc = pw_wire_next(&r, &f)) == 1; at = r.p) {
        bool is_len = f.number <= 6 || f.number == 11;

        if (f.number > 14) {
            *size += (uint64_t)(r.p - at);
            continue;
        }
        if (f.type != (is_len ? PW_WIRE_LEN : PW_WIRE_VARINT) &&
            (f.number != 13 || f.type != PW_WIRE_LEN)) {
            return wrong_type(w, f.type, name[f.number]);
        }
        if (!read_top(w, &f, size)) {
            return false;
        }
    }
    w->err = r.err;
    return rc == 0;
}

static void
finish(struct walk *w, uint64_t size)
{
    struct pw_profile *p = w->p;

    for (uint32_t i = 7; i <= 14; i++) {
        size += scalar_size(w->tail[i]);
    }
    if (p->has_period_type) {
        size +=
            len_field_size(scalars_size(&value_type_message, w->period_type, w->period_unknown));
    }
    size += w->comment_bytes == 0 ? 0 : len_field_size(w->comment_bytes);
    p->time_nanos = (int64_t)w->tail[9];
    p->duration_nanos = (int64_t)w->tail[10];
    p->period = (int64_t)w->tail[12];
    p->default_sample_type_ref = (int64_t)w->tail[14];
    p->period_type = (struct pw_value_type){.type_ref = (int64_t)w->period_type[1],
                                            .unit_ref = (int64_t)w->period_type[2]};
    p->encoded_bytes = size;
}

int
pw_profile_parse(struct pw_profile *p, struct pw_scratch *scratch, uint64_t hash_key,
                 struct pw_slice bytes, const char **err_text)
{
    struct walk w = {.p = p};
    uint64_t size = 0;

    memset(p, 0, sizeof(*p));
    p->bytes = bytes;
    p->scratch = scratch;
    p->hash_key = hash_key;
    p->dense_functions = p->dense_mappings = p->dense_locations = true;
    if (bytes.len > PW_PROFILE_BYTES_MAX) {
        return PW_ENOMEM;
    }
    count_profile(&w.cap, bytes);
    if (!alloc_tables(p, &w.cap)) {
        return PW_ENOMEM;
    }
    if (!walk_profile(&w, &size)) {
        *err_text = w.err;
        return w.err != NULL ? PW_EINVAL : PW_ENOMEM;
    }
    finish(&w, size);
    return 0;
}

uint32_t
pw_profile_add_string(struct pw_profile *p, struct pw_slice s)
{
    if (p->string_count == p->string_cap) {
        return UINT32_MAX;
    }
    p->string_table[p->string_count] = s;
    return p->string_count++;
}

void
pw_profile_keep_types(struct pw_profile *p, const bool *keep)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        int64_t *v = p->value + p->sample[i].value_first;
        uint32_t kept = 0;

        for (uint32_t t = 0; t < p->sample[i].value_count && t < p->sample_type_count; t++) {
            if (keep[t]) {
                v[kept++] = v[t];
            }
        }
        p->sample[i].value_count = kept;
    }
    for (uint32_t t = 0; t < p->sample_type_count; t++) {
        if (keep[t]) {
            p->sample_type[n++] = p->sample_type[t];
        }
    }
    p->sample_type_count = n;
}
