#include "app/relabel_list.h"

#include "base/json.h"

#include <stdlib.h>

static const char *const action_name[] = {
    [PW_RELABEL_REPLACE] = "replace",     [PW_RELABEL_KEEP] = "keep",
    [PW_RELABEL_DROP] = "drop",           [PW_RELABEL_KEEPEQUAL] = "keepequal",
    [PW_RELABEL_DROPEQUAL] = "dropequal", [PW_RELABEL_HASHMOD] = "hashmod",
    [PW_RELABEL_LABELMAP] = "labelmap",   [PW_RELABEL_LABELDROP] = "labeldrop",
    [PW_RELABEL_LABELKEEP] = "labelkeep", [PW_RELABEL_LOWERCASE] = "lowercase",
    [PW_RELABEL_UPPERCASE] = "uppercase",
};

struct reader {
    struct pw_yaml_apply *a;
    struct pw_relabel_list *list;
    size_t used; /* of list->bytes */
    size_t cap;
};

/* Every scalar of the document once. An alias may repeat some: the caller allows for that once, and
 * keep() refuses more. */
static size_t
string_bytes(struct pw_yaml *y)
{
    size_t n = 0;

    for (const yaml_node_t *p = y->doc.nodes.start; p < y->doc.nodes.top; p++) {
        n += p->type == YAML_SCALAR_NODE ? p->data.scalar.length + 1 : 0;
    }
    return n;
}

/* Keeps a copy of the scalar. NULL (and a fault) when it is none or holds a NUL byte. */
static const char *
keep(struct reader *r, const yaml_node_t *n, const char *key)
{
    struct pw_slice s = pw_yaml_scalar(n);
    char *at = r->list->bytes + r->used;

    if (s.ptr == NULL || memchr(s.ptr, 0, s.len) != NULL) {
        pw_yaml_fault(r->a, n, "relabel rule: %s must be text", key);
        return NULL;
    }
    if (s.len + 1 > r->cap - r->used) {
        pw_yaml_fault(r->a, n, "relabel rule: aliases repeat too much");
        return NULL;
    }
    memcpy(at, s.ptr, s.len);
    at[s.len] = 0;
    r->used += s.len + 1;
    return at;
}

static void
read_sources(struct reader *r, const yaml_node_t *n, struct pw_relabel_rule *rule)
{
    if (n->type != YAML_SEQUENCE_NODE) {
        pw_yaml_fault(r->a, n, "relabel rule: source_labels must be a list");
        return;
    }
    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
        if (rule->source_count == PW_RELABEL_SOURCES_MAX) {
            pw_yaml_fault(r->a, n, "relabel rule: at most %d source_labels",
                          PW_RELABEL_SOURCES_MAX);
            return;
        }
        rule->source_labels[rule->source_count++] =
            keep(r, pw_yaml_node(r->a->y, *i), "a source label");
    }
}

static void
read_modulus(struct reader *r, const yaml_node_t *n, struct pw_relabel_rule *rule)
{
    struct pw_slice s = pw_yaml_scalar(n);
    uint64_t v = 0;
    bool ok = s.ptr != NULL && s.len > 0;

    for (size_t i = 0; ok && i < s.len; i++) {
        ok = s.ptr[i] >= '0' && s.ptr[i] <= '9' && !__builtin_mul_overflow(v, 10, &v) &&
             !__builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v);
    }
    if (!ok) {
        pw_yaml_fault(r->a, n, "relabel rule: modulus must be a whole number");
    }
    rule->modulus = v;
}

static void
read_action(struct reader *r, const yaml_node_t *n, struct pw_relabel_rule *rule)
{
    const char *name = keep(r, n, "action");

    if (name != NULL && pw_relabel_action_parse(name, &rule->action) != 0) {
        pw_yaml_fault(r->a, n, "relabel rule: unknown relabel action \"%s\"", name);
    }
}

static void
read_key(struct reader *r, struct pw_slice key, const yaml_node_t *value, const yaml_node_t *at,
         struct pw_relabel_rule *rule)
{
    if (pw_slice_eq_str(key, "source_labels")) {
        read_sources(r, value, rule);
    } else if (pw_slice_eq_str(key, "separator")) {
        rule->separator = keep(r, value, "separator");
    } else if (pw_slice_eq_str(key, "regex")) {
        rule->regex = keep(r, value, "regex");
    } else if (pw_slice_eq_str(key, "modulus")) {
        read_modulus(r, value, rule);
    } else if (pw_slice_eq_str(key, "target_label")) {
        rule->target_label = keep(r, value, "target_label");
    } else if (pw_slice_eq_str(key, "replacement")) {
        rule->replacement = keep(r, value, "replacement");
    } else if (pw_slice_eq_str(key, "action")) {
        read_action(r, value, rule);
    } else {
        pw_yaml_fault(r->a, at, "field %.*s not found in type relabel.Config", (int)key.len,
                      key.ptr == NULL ? "" : (const char *)key.ptr);
    }
}

static void
read_rule(struct reader *r, const yaml_node_t *n, struct pw_relabel_rule *rule)
{
    if (n->type != YAML_MAPPING_NODE) {
        pw_yaml_fault(r->a, n, "relabel rule: must be a mapping");
        return;
    }
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = pw_yaml_node(r->a->y, p->key);

        read_key(r, pw_yaml_scalar(key), pw_yaml_node(r->a->y, p->value), key, rule);
    }
}

/* What the compiler would refuse too, but here with its line. */
static void
check_rules(struct reader *r, const yaml_node_t *node)
{
    struct pw_relabel_config *compiled = NULL;
    char why[256] = "";

    if (pw_relabel_compile_cold(r->list->rule, r->list->count, PW_RELABEL_DISABLED, &compiled, why,
                                sizeof(why)) != 0) {
        pw_yaml_fault(r->a, node, "relabel rules: %s", why);
        return;
    }
    pw_relabel_release_cold(compiled, NULL);
}

int
pw_relabel_list_from_yaml_cold(struct pw_yaml_apply *a, const yaml_node_t *node,
                               struct pw_relabel_list **list)
{
    uint32_t faults = a->faults;
    struct reader r = {.a = a};
    size_t count;

    *list = NULL;
    if (node->type != YAML_SEQUENCE_NODE) {
        pw_yaml_fault(a, node, "relabel rules must be a list");
        return PW_EINVAL;
    }
    count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (count == 0) {
        return 0;
    }
    if (count > PW_RELABEL_RULES_MAX) {
        pw_yaml_fault(a, node, "at most %d relabel rules", PW_RELABEL_RULES_MAX);
        return PW_EINVAL;
    }
    r.list = calloc(1, sizeof(*r.list) + count * sizeof(r.list->rule[0]));
    if (r.list == NULL) {
        return PW_ENOMEM;
    }
    r.list->refs = 1;
    r.list->count = (uint32_t)count;
    r.cap = 2 * string_bytes(a->y) + 1;
    r.list->bytes = malloc(r.cap);
    if (r.list->bytes == NULL) {
        free(r.list);
        return PW_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        read_rule(&r, pw_yaml_node(a->y, node->data.sequence.items.start[i]), &r.list->rule[i]);
    }
    if (a->faults == faults) {
        check_rules(&r, node);
    }
    if (a->faults != faults) {
        pw_relabel_list_unref(r.list);
        return PW_EINVAL;
    }
    *list = r.list;
    return 0;
}

int
pw_relabel_list_from_text_cold(struct pw_slice text, struct pw_relabel_list **list,
                               struct pw_text *err)
{
    struct pw_yaml y;
    int rc;

    *list = NULL;
    if (text.len == 0) {
        return 0;
    }
    rc = pw_yaml_load_cold(&y, text, err);
    if (rc != 0) {
        return rc;
    }

    struct pw_yaml_apply a = {.y = &y, .base = "", .err = err};

    rc = pw_yaml_root(&y) == NULL ? 0 : pw_relabel_list_from_yaml_cold(&a, pw_yaml_root(&y), list);
    pw_yaml_fini(&y);
    return rc;
}

struct pw_relabel_list *
pw_relabel_list_ref(struct pw_relabel_list *list)
{
    if (list != NULL) {
        list->refs++;
    }
    return list;
}

void
pw_relabel_list_unref(struct pw_relabel_list *list)
{
    if (list != NULL && --list->refs == 0) {
        free(list->bytes);
        free(list);
    }
}

static void
write_string(struct pw_json *j, const char *key, const char *value)
{
    if (value != NULL) {
        pw_json_key(j, key);
        pw_json_cstr(j, value);
    }
}

void
pw_relabel_list_write(const struct pw_relabel_list *list, struct pw_text *t)
{
    struct pw_json j;

    pw_json_init(&j, t);
    pw_json_array(&j);
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        const struct pw_relabel_rule *r = &list->rule[i];

        pw_json_object(&j);
        if (r->source_count > 0) {
            pw_json_key(&j, "source_labels");
            pw_json_array(&j);
            for (uint32_t k = 0; k < r->source_count; k++) {
                pw_json_cstr(&j, r->source_labels[k]);
            }
            pw_json_array_end(&j);
        }
        write_string(&j, "separator", r->separator);
        write_string(&j, "regex", r->regex);
        if (r->modulus > 0) {
            pw_json_key(&j, "modulus");
            pw_json_i64(&j, (int64_t)r->modulus);
        }
        write_string(&j, "target_label", r->target_label);
        write_string(&j, "replacement", r->replacement);
        write_string(&j, "action", action_name[r->action]);
        pw_json_object_end(&j);
    }
    pw_json_array_end(&j);
}
