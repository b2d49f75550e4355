#include "app/option.h"

#include "app/relabel_list.h"
#include "base/limits.h"
#include "ring/view.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The field's C type must be the one the row's type is written through. */
#define FIELD(field)        (((struct pw_config *)0)->field)
#define TYPE_OF_BOOL(f)     _Generic((f), bool : 1, default : 0)
#define TYPE_OF_U32(f)      _Generic((f), uint32_t : 1, default : 0)
#define TYPE_OF_U64(f)      _Generic((f), uint64_t : 1, default : 0)
#define TYPE_OF_I64(f)      _Generic((f), int64_t : 1, default : 0)
#define TYPE_OF_DOUBLE(f)   _Generic((f), double : 1, default : 0)
#define TYPE_OF_DURATION(f) _Generic((f), int64_t : 1, default : 0)
#define TYPE_OF_STRING(f)   (sizeof(f) == PW_CONFIG_TEXT_BYTES)
#define TYPE_OF_LIST(f)     _Generic((f), struct pw_config_list : 1, default : 0)
#define TYPE_OF_ENUM(f)     _Generic((f), uint32_t : 1, default : 0)
#define TYPE_OF_RULES(f)    _Generic((f), struct pw_relabel_list * : 1, default : 0)

#define PW_OPTION(group, flag, yaml, type, field, deflt, min, max, unit, help)                     \
    static_assert(TYPE_OF_##type(FIELD(field)), "option " flag " does not fit its field");
#include "app/options.def"
#undef PW_OPTION

static const struct pw_option option_table[] = {
#define PW_OPTION(group, flag, yaml, type, field, deflt, min, max, unit, help)                     \
    {group, flag, yaml, PW_OPTION_##type, offsetof(struct pw_config, field), deflt, min,           \
     max,   unit, help},
#include "app/options.def"
#undef PW_OPTION
};

const struct pw_option *
pw_option_table(size_t *count)
{
    *count = PW_ARRAY_LEN(option_table);
    return option_table;
}

const struct pw_option *
pw_option_by_flag(struct pw_slice flag)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(option_table); i++) {
        if (pw_slice_eq_str(flag, option_table[i].flag)) {
            return &option_table[i];
        }
    }
    return NULL;
}

const struct pw_option *
pw_option_by_yaml(struct pw_slice path)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(option_table); i++) {
        if (path.len > 0 && pw_slice_eq_str(path, option_table[i].yaml)) {
            return &option_table[i];
        }
    }
    return NULL;
}

const char *
pw_option_type_name(const struct pw_option *o)
{
    static const char *const name[] = {
        [PW_OPTION_BOOL] = "bool",     [PW_OPTION_U32] = "uint",
        [PW_OPTION_U64] = "uint",      [PW_OPTION_I64] = "int",
        [PW_OPTION_DOUBLE] = "float",  [PW_OPTION_DURATION] = "duration",
        [PW_OPTION_STRING] = "string", [PW_OPTION_LIST] = "comma-separated-list-of-strings",
        [PW_OPTION_ENUM] = "one of",   [PW_OPTION_RULES] = "rules",
    };

    return name[o->type];
}

/* --- Durations ------------------------------------------------------------------------------ */

struct duration_unit {
    const char *name;
    long double ns;
};

/* Longest names first, so that "ms" is not read as "m". */
static const struct duration_unit duration_units[] = {
    {"ns", 1.0L},    {"us", 1e3L},     {"\xc2\xb5s", 1e3L}, {"\xce\xbcs", 1e3L},
    {"ms", 1e6L},    {"s", 1e9L},      {"m", 60e9L},        {"h", 3600e9L},
    {"d", 86400e9L}, {"w", 604800e9L}, {"y", 31536000e9L},
};

/* One "1.5h" from p; bytes taken, or 0. Digits are read here: strtold would take "0x1p3" and "inf".
 */
static size_t
duration_part(const uint8_t *p, size_t n, long double *ns)
{
    long double v = 0;
    long double scale = 1;
    size_t i = 0;
    size_t digits = 0;
    bool fraction = false;

    for (; i < n && ((p[i] >= '0' && p[i] <= '9') || (p[i] == '.' && !fraction)); i++) {
        if (p[i] == '.') {
            fraction = true;
            continue;
        }
        digits++;
        if (fraction) {
            scale /= 10;
            v += scale * (long double)(p[i] - '0');
        } else {
            v = v * 10 + (long double)(p[i] - '0');
        }
    }
    if (digits == 0) {
        return 0;
    }
    for (size_t u = 0; u < PW_ARRAY_LEN(duration_units); u++) {
        size_t len = strlen(duration_units[u].name);

        if (n - i >= len && memcmp(p + i, duration_units[u].name, len) == 0) {
            *ns = v * duration_units[u].ns;
            return i + len;
        }
    }
    return 0;
}

int
pw_option_parse_duration(struct pw_slice text, int64_t *ms)
{
    const uint8_t *p = text.ptr;
    size_t n = text.len;
    long double ns = 0;
    bool negative = false;

    if (n > 0 && (p[0] == '-' || p[0] == '+')) {
        negative = p[0] == '-';
        p++;
        n--;
    }
    if (n == 1 && p[0] == '0') {
        *ms = 0;
        return 0;
    }
    if (n == 0) {
        return PW_EINVAL;
    }
    while (n > 0) {
        long double part;
        size_t used = duration_part(p, n, &part);

        if (used == 0) {
            return PW_EINVAL;
        }
        ns += part;
        p += used;
        n -= used;
    }
    if (ns / 1e6L > 9e15L) {
        return PW_ERANGE;
    }
    /* Decimal fractions are not exact in binary: a value within a nanosecond of a ms is that ms. */
    int64_t whole = (int64_t)((ns + 0.5e6L) / 1e6L);

    if (fabsl(ns - (long double)whole * 1e6L) > 1) {
        return PW_EINVAL;
    }
    *ms = negative ? -whole : whole;
    return 0;
}

void
pw_option_write_duration(struct pw_text *t, int64_t ms)
{
    /* Years, weeks and days only when nothing remains: 36h stays 36h (operations.md 1.1). */
    static const struct {
        const char *name;
        int64_t ms;
        bool exact;
    } unit[] = {
        {"y", 31536000000, true}, {"w", 604800000, true}, {"d", 86400000, true},
        {"h", 3600000, false},    {"m", 60000, false},    {"s", 1000, false},
        {"ms", 1, false},
    };

    if (ms == 0) {
        pw_text_str(t, "0s");
        return;
    }
    if (ms < 0) {
        pw_text_char(t, '-');
        ms = -ms;
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(unit) && ms > 0; i++) {
        if (ms >= unit[i].ms && (!unit[i].exact || ms % unit[i].ms == 0)) {
            pw_text_i64(t, ms / unit[i].ms);
            pw_text_str(t, unit[i].name);
            ms %= unit[i].ms;
        }
    }
}

/* --- Reading values ------------------------------------------------------------------------- */

/* Decimal digits, with KiB, MiB, GiB or TiB behind where the unit is bytes. */
static int
parse_u64(struct pw_slice s, bool bytes, uint64_t *v)
{
    static const char *const suffix[] = {"", "KiB", "MiB", "GiB", "TiB"};
    uint64_t n = 0;
    size_t i = 0;

    for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) {
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.ptr[i] - '0'), &n)) {
            return PW_ERANGE;
        }
    }
    if (i == 0) {
        return PW_EINVAL;
    }
    for (size_t k = 0; k < (bytes ? PW_ARRAY_LEN(suffix) : 1); k++) {
        if (pw_slice_eq_str(pw_slice(s.ptr + i, s.len - i), suffix[k])) {
            return __builtin_mul_overflow(n, 1ULL << (10 * k), v) ? PW_ERANGE : 0;
        }
    }
    return PW_EINVAL;
}

static int
parse_double(struct pw_slice s, double *v)
{
    char buf[64];
    char *end;

    if (s.len == 0 || s.len >= sizeof(buf)) {
        return PW_EINVAL;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("0123456789+-.eE", s.ptr[i]) == NULL || s.ptr[i] == 0) {
            return PW_EINVAL; /* no hex, inf or nan */
        }
        buf[i] = (char)s.ptr[i];
    }
    buf[s.len] = 0;
    errno = 0;
    *v = strtod(buf, &end);
    if (*end != 0 || end == buf) {
        return PW_EINVAL;
    }
    return errno == ERANGE && fabs(*v) > 1 ? PW_ERANGE : 0;
}

int
pw_option_bool(struct pw_slice s, bool *v)
{
    static const char *const yes[] = {"true", "t", "1", "yes", "on"};
    static const char *const no[] = {"false", "f", "0", "no", "off"};

    for (size_t i = 0; i < PW_ARRAY_LEN(yes); i++) {
        if (pw_slice_caseeq_str(s, yes[i]) || pw_slice_caseeq_str(s, no[i])) {
            *v = pw_slice_caseeq_str(s, yes[i]);
            return 0;
        }
    }
    return PW_EINVAL;
}

/* Index of s among the words of "a|b|c". */
static int
parse_enum(struct pw_slice s, const char *words, uint32_t *v)
{
    const char *p = words;

    for (uint32_t i = 0; *p != 0; i++) {
        size_t len = strcspn(p, "|");

        if (pw_slice_eq(s, pw_slice(p, len))) {
            *v = i;
            return 0;
        }
        p += len + (p[len] == '|');
    }
    return PW_EINVAL;
}

static int
set_text(char field[PW_CONFIG_TEXT_BYTES], struct pw_slice s)
{
    if (s.len >= PW_CONFIG_TEXT_BYTES || memchr(s.ptr, 0, s.len) != NULL) {
        return PW_ERANGE;
    }
    memcpy(field, s.ptr, s.len);
    field[s.len] = 0;
    return 0;
}

/* Adds the comma separated items of s. */
static int
set_list(struct pw_config_list *l, struct pw_slice s, bool append)
{
    if (!append) {
        l->count = 0;
    }
    while (s.len > 0) {
        const uint8_t *comma = memchr(s.ptr, ',', s.len);
        size_t len = comma == NULL ? s.len : (size_t)(comma - s.ptr);

        if (len > 0) {
            if (l->count == PW_CONFIG_ITEMS_MAX ||
                set_text(l->item[l->count], pw_slice(s.ptr, len)) != 0) {
                return PW_ERANGE;
            }
            l->count++;
        }
        s = comma == NULL ? pw_slice(s.ptr, 0) : pw_slice(comma + 1, s.len - len - 1);
    }
    return 0;
}

/* Numbers of every width pass here, so that bounds are checked in one place. */
static int
parse_number(const struct pw_option *o, struct pw_slice s, double *as_double, uint64_t *bits)
{
    int64_t i64 = 0;
    int rc;

    switch (o->type) {
    case PW_OPTION_U32:
    case PW_OPTION_U64:
    case PW_OPTION_I64: /* none of ours is ever negative: see the minima */
        rc = parse_u64(s, strcmp(o->unit, "bytes") == 0, bits);
        *as_double = (double)*bits;
        return rc;
    case PW_OPTION_DURATION:
        rc = pw_option_parse_duration(s, &i64);
        *bits = (uint64_t)i64;
        *as_double = (double)i64;
        return rc;
    case PW_OPTION_DOUBLE:
        return parse_double(s, as_double);
    case PW_OPTION_BOOL:
    case PW_OPTION_STRING:
    case PW_OPTION_LIST:
    case PW_OPTION_ENUM:
    case PW_OPTION_RULES:
        break;
    }
    return PW_EINVAL;
}

static int
set_number(const struct pw_option *o, void *field, struct pw_slice s)
{
    double d = 0;
    uint64_t bits = 0;
    int rc = parse_number(o, s, &d, &bits);

    if (rc != 0) {
        return rc;
    }
    if (!(d >= o->min && d <= o->max)) {
        return PW_ERANGE;
    }
    if (o->type == PW_OPTION_U32) {
        *(uint32_t *)field = (uint32_t)bits;
    } else if (o->type == PW_OPTION_DOUBLE) {
        *(double *)field = d;
    } else {
        *(uint64_t *)field = bits;
    }
    return 0;
}

static int
set_bool(const struct pw_option *o, bool *field, struct pw_slice s)
{
    bool v;

    if (pw_option_bool(s, &v) != 0) {
        return PW_EINVAL;
    }
    if (v < o->min || v > o->max) {
        return PW_ERANGE;
    }
    *field = v;
    return 0;
}

static int
set_enum(const struct pw_option *o, uint32_t *field, struct pw_slice s)
{
    uint32_t v;

    if (parse_enum(s, o->unit, &v) != 0) {
        return PW_EINVAL;
    }
    if (v < o->min || v > o->max) {
        return PW_ERANGE;
    }
    *field = v;
    return 0;
}

static int
set_rules(struct pw_relabel_list **field, struct pw_slice s, struct pw_text *err)
{
    struct pw_relabel_list *list;
    int rc = pw_relabel_list_from_text_cold(s, &list, err);

    if (rc == 0) {
        pw_relabel_list_unref(*field);
        *field = list;
    }
    return rc;
}

static int
set_value(const struct pw_option *o, void *field, struct pw_slice s, bool append,
          struct pw_text *err)
{
    switch (o->type) {
    case PW_OPTION_BOOL:
        return set_bool(o, field, s);
    case PW_OPTION_ENUM:
        return set_enum(o, field, s);
    case PW_OPTION_STRING:
        return (double)s.len > o->max ? PW_ERANGE : set_text(field, s);
    case PW_OPTION_LIST:
        return set_list(field, s, append);
    case PW_OPTION_RULES:
        return set_rules(field, s, err);
    case PW_OPTION_U32:
    case PW_OPTION_U64:
    case PW_OPTION_I64:
    case PW_OPTION_DOUBLE:
    case PW_OPTION_DURATION:
        break;
    }
    return set_number(o, field, s);
}

int
pw_option_set(const struct pw_option *o, struct pw_config *cfg, struct pw_slice text, bool append,
              struct pw_text *err)
{
    int rc = set_value(o, (uint8_t *)cfg + o->offset, text, append, err);

    if (rc == 0) {
        return 0;
    }
    if (err->len > 0 && o->type == PW_OPTION_RULES) {
        return PW_EINVAL; /* err says it better */
    }
    if (rc == PW_ERANGE && pw_option_is_fixed(o)) {
        pw_text_printf(err, "not yet in this build: only %s is accepted", o->default_text);
    } else {
        pw_text_str(err, "must be ");
        pw_option_write_bounds(o, err);
    }
    return PW_EINVAL;
}

/* --- Writing values ------------------------------------------------------------------------- */

static void
write_enum(struct pw_text *t, const char *words, uint32_t index)
{
    for (uint32_t i = 0; i < index && *words != 0; i++) {
        words += strcspn(words, "|");
        words += *words == '|';
    }
    pw_text_put(t, words, strcspn(words, "|"));
}

static void
write_double(struct pw_text *t, double v)
{
    char buf[32];

    /* The shortest form that reads back equal. */
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(buf, sizeof(buf), "%.*g", digits, v);
        if (strtod(buf, NULL) == v) {
            break;
        }
    }
    pw_text_str(t, buf);
}

void
pw_option_write_value(const struct pw_option *o, const struct pw_config *cfg, struct pw_text *t)
{
    const void *field = (const uint8_t *)cfg + o->offset;
    const struct pw_config_list *l = field;

    switch (o->type) {
    case PW_OPTION_BOOL:
        pw_text_str(t, *(const bool *)field ? "true" : "false");
        break;
    case PW_OPTION_U32:
        pw_text_u64(t, *(const uint32_t *)field);
        break;
    case PW_OPTION_U64:
        pw_text_u64(t, *(const uint64_t *)field);
        break;
    case PW_OPTION_I64:
        pw_text_i64(t, *(const int64_t *)field);
        break;
    case PW_OPTION_DOUBLE:
        write_double(t, *(const double *)field);
        break;
    case PW_OPTION_DURATION:
        pw_option_write_duration(t, *(const int64_t *)field);
        break;
    case PW_OPTION_STRING:
        pw_text_str(t, field);
        break;
    case PW_OPTION_LIST:
        for (uint32_t i = 0; i < l->count; i++) {
            pw_text_str(t, i == 0 ? "" : ",");
            pw_text_str(t, l->item[i]);
        }
        break;
    case PW_OPTION_ENUM:
        write_enum(t, o->unit, *(const uint32_t *)field);
        break;
    case PW_OPTION_RULES:
        pw_relabel_list_write(*(struct pw_relabel_list *const *)field, t);
        break;
    }
}

static void
write_number(struct pw_text *t, double v)
{
    pw_text_printf(t, "%.0f", v);
}

void
pw_option_write_bounds(const struct pw_option *o, struct pw_text *t)
{
    switch (o->type) {
    case PW_OPTION_BOOL:
        pw_text_str(t, "true or false");
        return;
    case PW_OPTION_ENUM:
        pw_text_str(t, "one of ");
        pw_text_str(t, o->unit);
        return;
    case PW_OPTION_RULES:
        pw_text_printf(t, "a list of at most %.0f relabel_config objects, YAML or JSON", o->max);
        return;
    case PW_OPTION_STRING:
        pw_text_printf(t, "text of at most %.0f bytes", o->max);
        return;
    case PW_OPTION_LIST:
        pw_text_printf(t, "at most %d comma separated items of at most %.0f bytes",
                       PW_CONFIG_ITEMS_MAX, o->max);
        return;
    case PW_OPTION_DURATION:
        pw_text_str(t, "a duration from ");
        pw_option_write_duration(t, (int64_t)o->min);
        pw_text_str(t, " to ");
        pw_option_write_duration(t, (int64_t)o->max);
        pw_text_str(t, ", in whole ms, such as 90s, 1h30m or 1d");
        return;
    case PW_OPTION_U32:
    case PW_OPTION_U64:
    case PW_OPTION_I64:
    case PW_OPTION_DOUBLE:
        break;
    }
    pw_text_str(t, o->type == PW_OPTION_DOUBLE ? "a number from " : "a whole number from ");
    write_number(t, o->min);
    pw_text_str(t, " to ");
    write_number(t, o->max);
    if (o->unit[0] != 0) {
        pw_text_printf(t, " (%s%s)", o->unit,
                       strcmp(o->unit, "bytes") == 0 ? "; KiB, MiB, GiB may follow" : "");
    }
}
