#include "distributor/relabel_rule.h"

#include <stdio.h>
#include <stdlib.h>

/* write-path.md 4, in order. */
static const struct pw_relabel_rule default_rules[] = {
    {.source_labels = {"__name__"},
     .source_count = 1,
     .regex = "godeltaprof_(.*)",
     .target_label = "__name_replaced__",
     .replacement = "$0"},
    {.source_labels = {"__name_replaced__"},
     .source_count = 1,
     .regex = "godeltaprof_(.*)",
     .target_label = "__delta__",
     .replacement = "false"},
    {.source_labels = {"__name__"},
     .source_count = 1,
     .regex = "godeltaprof_(.*)",
     .target_label = "__name__",
     .replacement = "$1"},
    {.source_labels = {"__name__", "__type__"},
     .source_count = 2,
     .separator = "/",
     .regex = "wall/cpu",
     .target_label = "__name_replaced__",
     .replacement = "wall"},
    {.source_labels = {"__name__", "__type__"},
     .source_count = 2,
     .separator = "/",
     .regex = "wall/cpu",
     .target_label = "__name__",
     .replacement = "process_cpu"},
};

static const char *const action_names[] = {
    [PW_RELABEL_REPLACE] = "replace",     [PW_RELABEL_KEEP] = "keep",
    [PW_RELABEL_DROP] = "drop",           [PW_RELABEL_KEEPEQUAL] = "keepequal",
    [PW_RELABEL_DROPEQUAL] = "dropequal", [PW_RELABEL_HASHMOD] = "hashmod",
    [PW_RELABEL_LABELMAP] = "labelmap",   [PW_RELABEL_LABELDROP] = "labeldrop",
    [PW_RELABEL_LABELKEEP] = "labelkeep", [PW_RELABEL_LOWERCASE] = "lowercase",
    [PW_RELABEL_UPPERCASE] = "uppercase",
};

int
pw_relabel_action_parse(const char *name, enum pw_relabel_action *action)
{
    for (uint32_t i = 0; i < PW_ARRAY_LEN(action_names); i++) {
        if (pw_slice_caseeq_str(pw_slice_str(name), action_names[i])) {
            *action = (enum pw_relabel_action)i;
            return 0;
        }
    }
    return PW_EINVAL;
}

static int
copy_str(struct pw_slice *out, const char *s)
{
    size_t n = strlen(s);
    uint8_t *p = malloc(n + 1);

    if (p == NULL) {
        return PW_ENOMEM;
    }
    memcpy(p, s, n + 1);
    *out = pw_slice(p, n);
    return 0;
}

static bool
is_literal(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strchr("\\.+*?()|[]{}^$", s[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static bool
ends_with(const char *s, size_t n, const char *tail)
{
    size_t t = strlen(tail);

    return n >= t && memcmp(s + n - t, tail, t) == 0;
}

static int
compile_regex(struct pw_relabel_compiled *r, const char *pattern, char *err_text, size_t err_cap)
{
    size_t n = strlen(pattern);
    size_t lit = n;

    r->match = PW_RELABEL_MATCH_LITERAL;
    if (ends_with(pattern, n, "(.*)")) {
        lit = n - 4;
        r->match = PW_RELABEL_MATCH_PREFIX;
        r->captures_rest = true;
    } else if (ends_with(pattern, n, ".*")) {
        lit = n - 2;
        r->match = PW_RELABEL_MATCH_PREFIX;
    }
    if (!is_literal(pattern, lit)) {
        r->match = PW_RELABEL_MATCH_REGEX;
        return pw_regex_compile_cold(pw_slice_str(pattern), &r->regex, err_text, err_cap);
    }
    if (r->match == PW_RELABEL_MATCH_PREFIX && lit == 0) {
        r->match = PW_RELABEL_MATCH_ANY;
    }
    if (copy_str(&r->literal, pattern) != 0) {
        return PW_ENOMEM;
    }
    r->literal.len = lit;
    return 0;
}

/* What Prometheus refuses when a configuration is loaded. */
static int
check_rule(const struct pw_relabel_rule *in, char *err_text, size_t err_cap)
{
    bool target = in->target_label != NULL && in->target_label[0] != 0;

    if (in->source_count > PW_RELABEL_SOURCES_MAX) {
        snprintf(err_text, err_cap, "relabel configuration has more than %d source labels",
                 PW_RELABEL_SOURCES_MAX);
        return PW_EINVAL;
    }
    if (in->action == PW_RELABEL_HASHMOD && in->modulus == 0) {
        snprintf(err_text, err_cap, "relabel configuration for hashmod requires non-zero modulus");
        return PW_EINVAL;
    }
    if (!target && in->action != PW_RELABEL_KEEP && in->action != PW_RELABEL_DROP &&
        in->action != PW_RELABEL_LABELMAP && in->action != PW_RELABEL_LABELDROP &&
        in->action != PW_RELABEL_LABELKEEP) {
        snprintf(err_text, err_cap,
                 "relabel configuration for %s action requires 'target_label' value",
                 action_names[in->action]);
        return PW_EINVAL;
    }
    return 0;
}

static int
compile_rule(struct pw_relabel_compiled *r, const struct pw_relabel_rule *in, char *err_text,
             size_t err_cap)
{
    int rc = check_rule(in, err_text, err_cap);

    if (rc != 0) {
        return rc;
    }
    r->action = in->action;
    r->modulus = in->modulus;
    for (; r->source_count < in->source_count; r->source_count++) {
        if (copy_str(&r->source[r->source_count], in->source_labels[r->source_count]) != 0) {
            return PW_ENOMEM;
        }
    }
    if (copy_str(&r->separator, in->separator == NULL ? ";" : in->separator) != 0 ||
        copy_str(&r->target, in->target_label == NULL ? "" : in->target_label) != 0 ||
        copy_str(&r->replacement, in->replacement == NULL ? "$1" : in->replacement) != 0) {
        return PW_ENOMEM;
    }
    return compile_regex(r, in->regex == NULL ? "(.*)" : in->regex, err_text, err_cap);
}

int
pw_relabel_compile_cold(const struct pw_relabel_rule *rules, uint32_t count,
                        enum pw_relabel_position position, struct pw_relabel_config **out,
                        char *err_text, size_t err_cap)
{
    uint32_t defaults = position == PW_RELABEL_DISABLED ? 0 : (uint32_t)PW_ARRAY_LEN(default_rules);
    struct pw_relabel_config *c;

    if (count > PW_RELABEL_RULES_MAX) {
        snprintf(err_text, err_cap, "more than %d relabelling rules", PW_RELABEL_RULES_MAX);
        return PW_EINVAL;
    }
    c = calloc(1, sizeof(*c) + (count + defaults) * sizeof(c->rule[0]));
    if (c == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t i = 0; i < count + defaults; i++) {
        uint32_t first = position == PW_RELABEL_FIRST ? defaults : 0;
        bool own = i >= first && i < first + count;
        const struct pw_relabel_rule *in =
            own ? &rules[i - first] : &default_rules[i < first ? i : i - count];
        int rc;

        c->count = i + 1;
        rc = compile_rule(&c->rule[i], in, err_text, err_cap);
        if (rc != 0) {
            pw_relabel_release_cold(c, NULL);
            return rc;
        }
    }
    *out = c;
    return 0;
}

static void
free_slice(struct pw_slice s)
{
    free((void *)(uintptr_t)s.ptr);
}

void
pw_relabel_release_cold(struct pw_relabel_config *c, const struct pw_relabel_config *shared)
{
    if (c == NULL || c == shared) {
        return;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        struct pw_relabel_compiled *r = &c->rule[i];

        for (uint32_t s = 0; s < r->source_count; s++) {
            free_slice(r->source[s]);
        }
        free_slice(r->separator);
        free_slice(r->target);
        free_slice(r->replacement);
        free_slice(r->literal);
        if (r->regex != NULL) {
            pw_regex_free_cold(r->regex);
        }
    }
    free(c);
}
