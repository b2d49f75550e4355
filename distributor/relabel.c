#include "distributor/relabel_rule.h"

#include <openssl/md5.h>
#include <stdio.h>

/* The source values joined by the separator; one source is borrowed as it is. ptr == NULL: no room. */
static struct pw_slice
source_value(const struct pw_relabel_compiled *r, const struct pw_labels *l,
             struct pw_scratch *scratch)
{
    struct pw_slice part[PW_RELABEL_SOURCES_MAX];
    size_t n = 0;
    size_t at = 0;
    uint8_t *buf;

    for (uint32_t i = 0; i < r->source_count; i++) {
        part[i] = pw_labels_get(l, r->source[i]);
        n += part[i].len + (i == 0 ? 0 : r->separator.len);
    }
    if (n == 0) {
        return PW_SLICE_LIT("");
    }
    if (r->source_count == 1) {
        return part[0];
    }
    buf = pw_scratch_alloc(scratch, n);
    if (buf == NULL) {
        return (struct pw_slice){0};
    }
    for (uint32_t i = 0; i < r->source_count; i++) {
        if (i != 0 && r->separator.len != 0) {
            memcpy(buf + at, r->separator.ptr, r->separator.len);
            at += r->separator.len;
        }
        if (part[i].len != 0) {
            memcpy(buf + at, part[i].ptr, part[i].len);
            at += part[i].len;
        }
    }
    return pw_slice(buf, n);
}

/* Number of groups set (group 0 included), 0 for no match. */
static uint32_t
match_groups(const struct pw_relabel_compiled *r, struct pw_slice s,
             struct pw_slice groups[PW_REGEX_GROUPS_MAX])
{
    if (r->match == PW_RELABEL_MATCH_REGEX) {
        return pw_regex_captures(r->regex, s, groups);
    }
    if (s.len < r->literal.len ||
        (r->match == PW_RELABEL_MATCH_LITERAL && s.len != r->literal.len) ||
        (r->literal.len != 0 && memcmp(s.ptr, r->literal.ptr, r->literal.len) != 0)) {
        return 0;
    }
    groups[0] = s;
    if (!r->captures_rest) {
        return 1;
    }
    groups[1] = pw_slice(s.ptr + r->literal.len, s.len - r->literal.len);
    return 2;
}

struct expansion {
    struct pw_slice tmpl;
    const struct pw_slice *group;
    uint32_t group_count;
    uint8_t *out; /* NULL: only measure */
    size_t len;
};

static void
expand_put(struct expansion *e, const uint8_t *p, size_t n)
{
    if (e->out != NULL && n != 0) {
        memcpy(e->out + e->len, p, n);
    }
    e->len += n;
}

static bool
is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Go's Regexp.Expand: $1, ${1}, $$; the longest name of word characters; a name that is no group
 * number is empty, a lone $ stays. Returns the bytes of the template used. */
static size_t
expand_dollar(struct expansion *e, const uint8_t *p, size_t n)
{
    size_t open = n > 1 && p[1] == '{' ? 1 : 0;
    size_t i = 1 + open;
    uint64_t num = 0;
    bool digits = true;

    if (n > 1 && p[1] == '$') {
        expand_put(e, p, 1);
        return 2;
    }
    for (; i < n && is_word(p[i]); i++) {
        digits = digits && p[i] >= '0' && p[i] <= '9';
        num = num > UINT32_MAX ? num : num * 10 + (uint64_t)(p[i] - '0');
    }
    if (i == 1 + open || (open == 1 && (i >= n || p[i] != '}'))) {
        expand_put(e, p, 1);
        return 1;
    }
    if (digits && num < e->group_count) {
        expand_put(e, e->group[num].ptr, e->group[num].len);
    }
    return i + open;
}

static void
expand_run(struct expansion *e)
{
    size_t i = 0;

    e->len = 0;
    while (i < e->tmpl.len) {
        if (e->tmpl.ptr[i] == '$') {
            i += expand_dollar(e, e->tmpl.ptr + i, e->tmpl.len - i);
        } else {
            expand_put(e, e->tmpl.ptr + i, 1);
            i++;
        }
    }
}

static int
expand(struct pw_slice tmpl, const struct pw_slice *group, uint32_t group_count,
       struct pw_scratch *scratch, struct pw_slice *out)
{
    struct expansion e = {.tmpl = tmpl, .group = group, .group_count = group_count};

    if (tmpl.len == 0 || memchr(tmpl.ptr, '$', tmpl.len) == NULL) {
        *out = tmpl;
        return 0;
    }
    expand_run(&e);
    e.out = pw_scratch_alloc(scratch, e.len);
    if (e.out == NULL) {
        return PW_ENOMEM;
    }
    expand_run(&e);
    *out = pw_slice(e.out, e.len);
    return 0;
}

/* Sets, or deletes when value is empty. */
static int
assign(struct pw_labels *l, struct pw_slice name, struct pw_slice value)
{
    if (value.len == 0) {
        pw_labels_del(l, name);
        return 0;
    }
    return pw_labels_set(l, name, value);
}

static int
apply_replace(const struct pw_relabel_compiled *r, struct pw_labels *l, struct pw_slice src,
              struct pw_scratch *scratch)
{
    struct pw_slice group[PW_REGEX_GROUPS_MAX];
    uint32_t n = match_groups(r, src, group);
    struct pw_slice name;
    struct pw_slice value;

    if (n == 0) {
        return 0;
    }
    if (expand(r->target, group, n, scratch, &name) != 0 ||
        expand(r->replacement, group, n, scratch, &value) != 0) {
        return PW_ENOMEM;
    }
    if (name.len == 0) {
        return 0;
    }
    return assign(l, name, value);
}

static int
apply_hashmod(const struct pw_relabel_compiled *r, struct pw_labels *l, struct pw_slice src,
              struct pw_scratch *scratch)
{
    uint8_t digest[MD5_DIGEST_LENGTH];
    char *text = pw_scratch_alloc(scratch, 24);
    uint64_t v = 0;
    int n;

    if (text == NULL) {
        return PW_ENOMEM;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    MD5(src.ptr, src.len, digest); /* Prometheus hashmod is defined over MD5 */
#pragma GCC diagnostic pop
    for (int i = 8; i < 16; i++) {
        v = v << 8 | digest[i];
    }
    n = snprintf(text, 24, "%llu", (unsigned long long)(v % r->modulus));
    return assign(l, r->target, pw_slice(text, (size_t)n));
}

static int
apply_case(const struct pw_relabel_compiled *r, struct pw_labels *l, struct pw_slice src,
           struct pw_scratch *scratch)
{
    uint8_t *p = pw_scratch_alloc(scratch, src.len);

    if (p == NULL) {
        return PW_ENOMEM;
    }
    for (size_t i = 0; i < src.len; i++) {
        uint8_t c = src.ptr[i];
        bool up = r->action == PW_RELABEL_UPPERCASE;

        p[i] = up && c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : up ? c : pw_ascii_lower(c);
    }
    return assign(l, r->target, pw_slice(p, src.len));
}

static int
apply_labelmap(const struct pw_relabel_compiled *r, struct pw_labels *l, struct pw_scratch *scratch)
{
    uint32_t count = l->count; /* only the labels that were there before */

    for (uint32_t i = 0; i < count; i++) {
        struct pw_slice group[PW_REGEX_GROUPS_MAX];
        uint32_t n = match_groups(r, l->pair[i].name, group);
        struct pw_slice name;

        if (n == 0) {
            continue;
        }
        if (expand(r->replacement, group, n, scratch, &name) != 0) {
            return PW_ENOMEM;
        }
        if (name.len != 0 && pw_labels_set(l, name, l->pair[i].value) != 0) {
            return PW_ENOSPC;
        }
    }
    return 0;
}

static void
apply_labeldrop(const struct pw_relabel_compiled *r, struct pw_labels *l)
{
    bool drop_matching = r->action == PW_RELABEL_LABELDROP;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < l->count; i++) {
        struct pw_slice group[PW_REGEX_GROUPS_MAX];
        bool matches = match_groups(r, l->pair[i].name, group) != 0;

        if (matches != drop_matching) {
            l->pair[kept++] = l->pair[i];
        }
    }
    l->count = kept;
}

/* 0 on, 1 dropped, negative enum pw_err. */
static int
apply_rule(const struct pw_relabel_compiled *r, struct pw_labels *l, struct pw_scratch *scratch)
{
    struct pw_slice group[PW_REGEX_GROUPS_MAX];
    struct pw_slice src = source_value(r, l, scratch);

    if (src.ptr == NULL && src.len == 0 && r->source_count > 1) {
        return PW_ENOMEM;
    }
    switch (r->action) {
    case PW_RELABEL_REPLACE:
        return apply_replace(r, l, src, scratch);
    case PW_RELABEL_KEEP:
        return match_groups(r, src, group) != 0 ? 0 : 1;
    case PW_RELABEL_DROP:
        return match_groups(r, src, group) != 0 ? 1 : 0;
    case PW_RELABEL_KEEPEQUAL:
        return pw_slice_eq(pw_labels_get(l, r->target), src) ? 0 : 1;
    case PW_RELABEL_DROPEQUAL:
        return pw_slice_eq(pw_labels_get(l, r->target), src) ? 1 : 0;
    case PW_RELABEL_HASHMOD:
        return apply_hashmod(r, l, src, scratch);
    case PW_RELABEL_LABELMAP:
        return apply_labelmap(r, l, scratch);
    case PW_RELABEL_LABELDROP:
    case PW_RELABEL_LABELKEEP:
        apply_labeldrop(r, l);
        return 0;
    case PW_RELABEL_LOWERCASE:
    case PW_RELABEL_UPPERCASE:
        return apply_case(r, l, src, scratch);
    }
    return 0;
}

/* A label with an empty value takes every label of its name with it: empty means absent. */
static void
del_empty_names(struct pw_labels *l)
{
    for (uint32_t i = 0; i < l->count;) {
        if (l->pair[i].value.len == 0) {
            pw_labels_del(l, l->pair[i].name);
            i = 0; /* at most as often as there are labels */
        } else {
            i++;
        }
    }
}

int
pw_relabel_apply(const struct pw_relabel_config *c, struct pw_labels *l, struct pw_scratch *scratch)
{
    del_empty_names(l);
    for (uint32_t i = 0; i < c->count; i++) {
        int rc = apply_rule(&c->rule[i], l, scratch);

        if (rc != 0) {
            return rc == 1 ? PW_RELABEL_DROPPED : rc;
        }
    }
    pw_labels_sort(l);
    return PW_RELABEL_KEPT;
}
