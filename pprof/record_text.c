#include "pprof/record_text.h"

#include <stdlib.h>

/* Frames of one location, outermost first: lines are stored innermost first. */
static void
put_location(const struct pw_record *r, uint32_t index, struct pw_text *t)
{
    struct pw_record_location l = pw_record_location(r, index);

    if (l.line_count == 0) {
        pw_text_printf(t, "0x%llx", (unsigned long long)l.address);
    }
    for (uint32_t i = l.line_count; i > 0; i--) {
        uint32_t f = pw_record_line(r, l.line_first + i - 1).function;

        pw_text_slice(t, pw_record_string(r, pw_record_function(r, f).name));
        if (i > 1) {
            pw_text_char(t, ';');
        }
    }
}

static void
put_stack(const struct pw_record *r, uint32_t index, struct pw_text *t)
{
    uint32_t depth = pw_record_stack_depth(r, index);
    uint32_t *loc = calloc((size_t)depth + 1, sizeof(*loc));

    if (loc == NULL) {
        pw_text_str(t, "(no memory)");
        return;
    }
    pw_record_stack_locs(r, index, loc);
    for (uint32_t i = depth; i > 0; i--) {
        put_location(r, loc[i - 1], t);
        if (i > 1) {
            pw_text_char(t, ';');
        }
    }
    free(loc);
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
    const struct pw_record_type *type = PW_RECORD_AT(r, struct pw_record_type, r->types_off);
    const struct pw_record_span_id *span = PW_RECORD_AT(r, struct pw_record_span_id, r->spans_off);

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
        uint32_t span_1 = pw_record_sample_span(r, s, i);

        put_stack(r, pw_record_sample_stack(r, s, i), t);
        if (span_1 != 0) {
            pw_text_str(t, " span=");
            put_hex(t, span[span_1 - 1].span_id, 8);
        }
        for (uint32_t v = 0; v < r->types_count; v++) {
            pw_text_char(t, ' ');
            pw_text_i64(t, pw_record_value(r, s, i, v));
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
