#include "tests/support/prom_check.h"

#include <stdlib.h>

struct family {
    struct pw_slice name, type;
    bool help, samples;
};

struct check {
    struct family family[PROM_CHECK_FAMILIES_MAX];
    uint32_t families;
    struct family *current;
    struct pw_slice series[PROM_CHECK_SERIES_MAX];
    uint32_t series_count;
    const char *why;
};

static bool
is_name_char(uint8_t c, bool first, bool colon)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c == ':' && colon) ||
           (!first && c >= '0' && c <= '9');
}

/* Takes a name off the front of s; its length is 0 when there is none. */
static struct pw_slice
take_name(struct pw_slice *s, bool colon)
{
    size_t n = 0;

    while (n < s->len && is_name_char(s->ptr[n], n == 0, colon)) {
        n++;
    }

    struct pw_slice name = pw_slice(s->ptr, n);

    *s = pw_slice(s->ptr + n, s->len - n);
    return name;
}

static bool
take(struct pw_slice *s, const char *literal)
{
    size_t n = strlen(literal);

    if (s->len < n || memcmp(s->ptr, literal, n) != 0) {
        return false;
    }
    *s = pw_slice(s->ptr + n, s->len - n);
    return true;
}

static struct family *
find_family(struct check *c, struct pw_slice name)
{
    for (uint32_t i = 0; i < c->families; i++) {
        if (pw_slice_eq(c->family[i].name, name)) {
            return &c->family[i];
        }
    }
    if (c->families == PROM_CHECK_FAMILIES_MAX) {
        return NULL;
    }
    c->family[c->families] = (struct family){.name = name};
    return &c->family[c->families++];
}

/* After "# HELP " or "# TYPE ". */
static bool
check_comment(struct check *c, struct pw_slice s, bool help)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "summary", "untyped"};
    struct pw_slice name = take_name(&s, true);
    struct family *f = find_family(c, name);
    bool known = help;

    if (name.len == 0 || f == NULL || !take(&s, " ")) {
        c->why = "malformed comment";
        return false;
    }
    if (help ? f->help : f->type.ptr != NULL) {
        c->why = "HELP or TYPE given twice";
        return false;
    }
    if (f->samples) {
        c->why = "HELP or TYPE after samples of the family";
        return false;
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(types); i++) {
        known = known || pw_slice_eq_str(s, types[i]);
    }
    if (!known) {
        c->why = "unknown type";
        return false;
    }
    f->help = f->help || help;
    if (!help) {
        f->type = s;
    }
    return true;
}

/* "{a=\"b\",c=\"d\"}" */
static bool
take_labels(struct check *c, struct pw_slice *s)
{
    c->why = "malformed labels";
    if (!take(s, "{")) {
        return true;
    }
    for (bool first = true; !take(s, "}"); first = false) {
        if (!first && !take(s, ",")) {
            return false;
        }
        if (take_name(s, false).len == 0 || !take(s, "=\"")) {
            return false;
        }
        while (s->len > 0 && s->ptr[0] != '"') {
            size_t n = s->ptr[0] == '\\' ? 2 : 1;

            if (n > s->len || (n == 2 && strchr("\\\"n", s->ptr[1]) == NULL)) {
                return false;
            }
            *s = pw_slice(s->ptr + n, s->len - n);
        }
        if (!take(s, "\"")) {
            return false;
        }
    }
    return true;
}

static bool
ends_with(struct pw_slice s, const char *end)
{
    size_t n = strlen(end);

    return s.len > n && memcmp(s.ptr + s.len - n, end, n) == 0;
}

/* The family that a sample belongs to: its name, or without a histogram's suffix. */
static struct family *
family_of(struct check *c, struct pw_slice name)
{
    static const char *const suffix[] = {"_bucket", "_sum", "_count"};

    for (size_t i = 0; i < PW_ARRAY_LEN(suffix); i++) {
        if (ends_with(name, suffix[i])) {
            struct pw_slice base = pw_slice(name.ptr, name.len - strlen(suffix[i]));

            for (uint32_t k = 0; k < c->families; k++) {
                struct family *f = &c->family[k];

                if (pw_slice_eq(f->name, base) && (pw_slice_eq_str(f->type, "histogram") ||
                                                   pw_slice_eq_str(f->type, "summary"))) {
                    return f;
                }
            }
        }
    }
    return find_family(c, name);
}

static bool
is_number(struct pw_slice s)
{
    char buf[64];
    char *end;

    if (s.len == 0 || s.len >= sizeof(buf)) {
        return false;
    }
    memcpy(buf, s.ptr, s.len);
    buf[s.len] = 0;
    if (strcmp(buf, "+Inf") == 0 || strcmp(buf, "-Inf") == 0 || strcmp(buf, "NaN") == 0) {
        return true;
    }
    (void)strtod(buf, &end);
    return *end == 0 && strchr("0123456789+-.", buf[0]) != NULL;
}

static bool
check_sample(struct check *c, struct pw_slice line)
{
    struct pw_slice s = line;
    struct pw_slice name = take_name(&s, true);
    struct family *f;

    c->why = "malformed sample";
    if (name.len == 0 || !take_labels(c, &s)) {
        return false;
    }

    struct pw_slice series = pw_slice(line.ptr, (size_t)(s.ptr - line.ptr));

    c->why = "malformed value";
    if (!take(&s, " ") || !is_number(s)) {
        return false;
    }
    f = family_of(c, name);
    c->why = "no TYPE before the sample";
    if (f == NULL || f->type.ptr == NULL) {
        return false;
    }
    c->why = "the family is in several pieces";
    if (f->samples && c->current != f) {
        return false;
    }
    f->samples = true;
    c->current = f;
    c->why = "too many series";
    if (c->series_count == PROM_CHECK_SERIES_MAX) {
        return false;
    }
    c->series[c->series_count++] = series;
    return true;
}

static bool
check_line(struct check *c, struct pw_slice line)
{
    struct pw_slice s = line;

    if (take(&s, "# HELP ")) {
        return check_comment(c, s, true);
    }
    if (take(&s, "# TYPE ")) {
        return check_comment(c, s, false);
    }
    return line.len == 0 || line.ptr[0] == '#' || check_sample(c, line);
}

static int
by_bytes(const void *a, const void *b)
{
    return pw_slice_cmp(*(const struct pw_slice *)a, *(const struct pw_slice *)b);
}

static int
check_twice(struct check *c, struct pw_text *err)
{
    qsort(c->series, c->series_count, sizeof(c->series[0]), by_bytes);
    for (uint32_t i = 1; i < c->series_count; i++) {
        if (pw_slice_eq(c->series[i - 1], c->series[i])) {
            pw_text_str(err, "series given twice: ");
            pw_text_slice(err, c->series[i]);
            return PW_EINVAL;
        }
    }
    return 0;
}

int
prom_check(struct pw_slice page, struct pw_text *err)
{
    struct check *c = calloc(1, sizeof(*c));
    int rc = 0;

    if (c == NULL) {
        return PW_ENOMEM;
    }
    while (page.len > 0 && rc == 0) {
        const uint8_t *eol = memchr(page.ptr, '\n', page.len);
        struct pw_slice line = pw_slice(page.ptr, eol == NULL ? 0 : (size_t)(eol - page.ptr));

        c->why = "the last line has no end";
        if (eol == NULL || !check_line(c, line)) {
            pw_text_str(err, c->why);
            pw_text_str(err, ": ");
            pw_text_slice(err, eol == NULL ? page : line);
            rc = PW_EINVAL;
            break;
        }
        page = pw_slice(eol + 1, page.len - line.len - 1);
    }
    if (rc == 0) {
        rc = check_twice(c, err);
    }
    free(c);
    return rc;
}
