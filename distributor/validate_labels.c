#include "distributor/validate_labels.h"

#include "base/utf8.h"

/* <before>'LS(l)'<after>, what most texts of 3.6 begin with. */
static void
put_labels(struct pw_text *err, const char *before, const struct pw_labels *l, const char *after)
{
    pw_text_str(err, before);
    pw_text_char(err, '\'');
    pw_labels_text(l, err);
    pw_text_char(err, '\'');
    pw_text_str(err, after);
}

static void
put_quoted(struct pw_text *err, struct pw_slice s)
{
    pw_text_char(err, '\'');
    pw_text_slice(err, s);
    pw_text_char(err, '\'');
}

static bool
plain_name(struct pw_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';

        if (!alpha && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return s.len != 0;
}

static bool
name_ok(struct pw_slice s, bool sanitize)
{
    return sanitize ? plain_name(s) : s.len != 0 && pw_utf8_valid(s.ptr, s.len);
}

/* Rows 1-4. */
static enum pw_reason
check_set(const struct pw_labels *l, const struct pw_limits *lim, struct pw_text *err)
{
    struct pw_slice name;

    if (l->count == 0) {
        pw_text_str(err, "error at least one label pair is required per profile");
        return PW_REASON_MISSING_LABELS;
    }
    if (l->count > lim->max_label_names_per_series) {
        put_labels(err, "profile series ", l, "");
        pw_text_printf(err, " has %u label names; limit %u", l->count,
                       lim->max_label_names_per_series);
        return PW_REASON_MAX_LABEL_NAMES_PER_SERIES;
    }
    name = pw_labels_get(l, PW_SLICE_LIT("__name__"));
    if (name.len == 0 || !pw_utf8_valid(name.ptr, name.len)) {
        put_labels(err, "invalid labels ", l, " with error: invalid metric name");
        return PW_REASON_INVALID_LABELS;
    }
    if (pw_labels_get(l, PW_SLICE_LIT("service_name")).len == 0) {
        put_labels(err, "invalid labels ", l, " with error: service name is not provided");
        return PW_REASON_MISSING_LABELS;
    }
    return PW_REASON_NONE;
}

/* Rows 5-9 for one label; last is the name before it. */
static enum pw_reason
check_pair(const struct pw_labels *l, uint32_t i, struct pw_slice last, const struct pw_limits *lim,
           struct pw_text *err)
{
    const struct pw_label_pair *p = &l->pair[i];

    if (p->name.len > lim->max_label_name_length) {
        put_labels(err, "profile with labels ", l, " has label name too long: ");
        put_quoted(err, p->name);
        return PW_REASON_LABEL_NAME_TOO_LONG;
    }
    if (p->value.len > lim->max_label_value_length) {
        put_labels(err, "profile with labels ", l, " has label value too long: ");
        put_quoted(err, p->value);
        return PW_REASON_LABEL_VALUE_TOO_LONG;
    }
    if (!name_ok(p->name, !lim->disable_label_sanitization)) {
        put_labels(err, "invalid labels ", l, " with error: invalid label name ");
        put_quoted(err, p->name);
        return PW_REASON_INVALID_LABELS;
    }
    if (!pw_utf8_valid(p->value.ptr, p->value.len)) {
        put_labels(err, "invalid labels ", l, " with error: invalid label value ");
        put_quoted(err, p->value);
        return PW_REASON_INVALID_LABELS;
    }
    if (i != 0 && pw_slice_eq(p->name, last)) {
        put_labels(err, "profile with labels ", l, " has duplicate label name: ");
        put_quoted(err, p->name);
        return PW_REASON_DUPLICATE_LABEL_NAMES;
    }
    return PW_REASON_NONE;
}

/* disable_label_sanitization: false. Dots become underscores; a label that then meets one of its own
 * name collapses into it when the values agree. Sets *changed; *gone when the label collapsed. */
static enum pw_reason
sanitize(struct pw_labels *l, uint32_t i, struct pw_scratch *scratch, bool *gone,
         struct pw_text *err)
{
    struct pw_slice old = l->pair[i].name;
    uint8_t *name = pw_scratch_alloc(scratch, old.len);
    struct pw_slice fresh;

    *gone = false;
    if (name == NULL) {
        pw_text_str(err, "labels need more memory than this core has");
        return PW_REASON_CORE_MEMORY;
    }
    for (size_t b = 0; b < old.len; b++) {
        name[b] = old.ptr[b] == '.' ? '_' : old.ptr[b];
    }
    fresh = pw_slice(name, old.len);
    for (uint32_t k = 0; k < l->count; k++) {
        if (k == i || !pw_slice_eq(l->pair[k].name, fresh)) {
            continue;
        }
        if (!pw_slice_eq(l->pair[k].value, l->pair[i].value)) {
            put_labels(err, "profile with labels ", l, " has duplicate label name: ");
            put_quoted(err, fresh);
            pw_text_str(err, " after label name sanitization from ");
            put_quoted(err, old);
            return PW_REASON_DUPLICATE_LABEL_NAMES;
        }
        *gone = true;
    }
    if (*gone) {
        l->count--;
        memmove(&l->pair[i], &l->pair[i + 1], (l->count - i) * sizeof(l->pair[0]));
    } else {
        l->pair[i].name = fresh;
    }
    return PW_REASON_NONE;
}

enum pw_reason
pw_validate_labels(struct pw_labels *l, const struct pw_limits *lim, struct pw_scratch *scratch,
                   uint64_t *sanitized, struct pw_text *err)
{
    enum pw_reason reason = check_set(l, lim, err);
    struct pw_slice last = {0};
    bool changed = false;

    for (uint32_t i = 0; reason == PW_REASON_NONE && i < l->count;) {
        bool gone = false;

        reason = check_pair(l, i, last, lim, err);
        if (reason != PW_REASON_NONE) {
            return reason;
        }
        last = l->pair[i].name;
        if (!lim->disable_label_sanitization && memchr(last.ptr, '.', last.len) != NULL) {
            reason = sanitize(l, i, scratch, &gone, err);
            (*sanitized)++;
            changed = true;
        }
        i += gone ? 0 : 1;
    }
    if (changed) {
        pw_labels_sort(l);
    }
    return reason;
}
