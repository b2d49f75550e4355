#include "pprof/record_text.h"

static uint32_t
loc_at(const struct pw_record *r, uint32_t i)
{
    return r->loc_bytes == 2 ? PW_RECORD_AT(r, uint16_t, r->locs_off)[i]
                             : PW_RECORD_AT(r, uint32_t, r->locs_off)[i];
}

static void
put_string(const struct pw_record *r, uint32_t index, struct pw_text *t)
{
    const struct pw_record_string *s =
        PW_RECORD_AT(r, struct pw_record_string, r->strings_off) + index;

    pw_text_slice(t, pw_slice((const uint8_t *)r + s->off, s->len));
}

/* Frames of one location, outermost first: lines are stored innermost first. */
static void
put_location(const struct pw_record *r, uint32_t index, struct pw_text *t)
{
    const struct pw_record_location *l =
        PW_RECORD_AT(r, struct pw_record_location, r->locations_off) + index;
    const struct pw_record_line *line = PW_RECORD_AT(r, struct pw_record_line, r->lines_off);
    const struct pw_record_function *f =
        PW_RECORD_AT(r, struct pw_record_function, r->functions_off);

    if (l->line_count == 0) {
        pw_text_printf(t, "0x%llx", (unsigned long long)l->address);
    }
    for (uint32_t i = l->line_count; i > 0; i--) {
        put_string(r, f[line[l->line_first + i - 1].function].name, t);
        if (i > 1) {
            pw_text_char(t, ';');
        }
    }
}

static void
put_stack(const struct pw_record *r, uint32_t index, struct pw_text *t)
{
    const struct pw_record_stack *s =
        PW_RECORD_AT(r, struct pw_record_stack, r->stacks_off) + index;

    for (uint32_t i = s->loc_count; i > 0; i--) {
        put_location(r, loc_at(r, s->loc_first + i - 1), t);
        if (i > 1) {
            pw_text_char(t, ';');
        }
    }
}

static void
put_hex(struct pw_text *t, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pw_text_printf(t, "%02x", p[i]);
    }
}

static void
put_series(const struct pw_record *r, const struct pw_record_series *s, struct pw_text *t)
{
    const struct pw_record_label *l = PW_RECORD_AT(r, struct pw_record_label, s->labels_off);
    const struct pw_record_sample *x = PW_RECORD_AT(r, struct pw_record_sample, s->samples_off);
    const struct pw_record_type *type = PW_RECORD_AT(r, struct pw_record_type, r->types_off);
    const struct pw_record_span_id *span = PW_RECORD_AT(r, struct pw_record_span_id, r->spans_off);
    const int64_t *value = PW_RECORD_AT(r, int64_t, s->values_off);

    pw_text_char(t, '{');
    for (uint32_t i = 0; i < s->labels_count; i++) {
        pw_text_str(t, i == 0 ? "" : ", ");
        pw_text_slice(t, pw_record_slice(r, l[i].name));
        pw_text_char(t, '=');
        pw_text_go_quoted(t, pw_record_slice(r, l[i].value));
    }
    pw_text_char(t, '}');
    for (uint32_t i = 0; i < r->types_count; i++) {
        pw_text_char(t, ' ');
        pw_text_slice(t, pw_record_slice(r, type[i].type));
        pw_text_char(t, '/');
        pw_text_slice(t, pw_record_slice(r, type[i].unit));
    }
    pw_text_char(t, '\n');
    for (uint32_t i = 0; i < s->samples_count; i++) {
        put_stack(r, x[i].stack, t);
        if (x[i].span != 0) {
            pw_text_str(t, " span=");
            put_hex(t, span[x[i].span - 1].span_id, 8);
        }
        for (uint32_t v = 0; v < r->types_count; v++) {
            pw_text_char(t, ' ');
            pw_text_i64(t, value[(size_t)i * r->types_count + v]);
        }
        pw_text_char(t, '\n');
    }
}

void
pw_record_text_cold(const struct pw_record *r, struct pw_text *t)
{
    const struct pw_record_series *s = PW_RECORD_AT(r, struct pw_record_series, r->series_off);

    for (uint32_t i = 0; i < r->series_count; i++) {
        put_series(r, &s[i], t);
    }
}
