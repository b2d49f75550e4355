#include "app/yaml_read.h"

#include "app/relabel_list.h"

#include <stdio.h>
#include <stdlib.h>

int
pw_yaml_read_file_cold(const char *path, uint8_t **bytes, size_t *len, struct pw_text *err)
{
    FILE *f = fopen(path, "rb");
    uint8_t *buf;

    if (f == NULL) {
        int rc = -errno;

        pw_text_printf(err, "open %s: %s", path, strerror(-rc));
        return rc;
    }
    buf = malloc(PW_CONFIG_FILE_BYTES_MAX + 1);
    if (buf == NULL) {
        (void)fclose(f);
        pw_text_printf(err, "%s: out of memory", path);
        return PW_ENOMEM;
    }
    *len = fread(buf, 1, PW_CONFIG_FILE_BYTES_MAX + 1, f);
    int rc = ferror(f) ? PW_EIO : *len > PW_CONFIG_FILE_BYTES_MAX ? PW_EMSGSIZE : 0;

    (void)fclose(f);
    if (rc != 0) {
        pw_text_printf(err, "read %s: %s", path,
                       rc == PW_EIO ? "it is not a readable file" : "larger than 4 MiB");
        free(buf);
        return rc;
    }
    *bytes = buf;
    return 0;
}

int
pw_yaml_load_cold(struct pw_yaml *y, struct pw_slice bytes, struct pw_text *err)
{
    yaml_parser_t p;

    y->loaded = false;
    if (!yaml_parser_initialize(&p)) {
        pw_text_str(err, "yaml: out of memory");
        return PW_ENOMEM;
    }
    yaml_parser_set_input_string(&p, bytes.ptr, bytes.len);
    if (!yaml_parser_load(&p, &y->doc)) {
        pw_text_printf(err, "yaml: line %zu: %s", p.problem_mark.line + 1,
                       p.problem != NULL ? p.problem : "malformed");
        yaml_parser_delete(&p);
        return PW_EINVAL;
    }
    yaml_parser_delete(&p);
    y->loaded = true;
    return 0;
}

void
pw_yaml_fini(struct pw_yaml *y)
{
    if (y->loaded) {
        yaml_document_delete(&y->doc);
        y->loaded = false;
    }
}

yaml_node_t *
pw_yaml_root(struct pw_yaml *y)
{
    return yaml_document_get_root_node(&y->doc);
}

yaml_node_t *
pw_yaml_node(struct pw_yaml *y, int id)
{
    return yaml_document_get_node(&y->doc, id);
}

struct pw_slice
pw_yaml_scalar(const yaml_node_t *n)
{
    if (n == NULL || n->type != YAML_SCALAR_NODE) {
        return pw_slice(NULL, 0);
    }
    return pw_slice(n->data.scalar.value, n->data.scalar.length);
}

bool
pw_yaml_is_null(const yaml_node_t *n)
{
    struct pw_slice s = pw_yaml_scalar(n);

    if (n == NULL) {
        return true;
    }
    return s.ptr != NULL && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (s.len == 0 || pw_slice_eq_str(s, "~") || pw_slice_caseeq_str(s, "null"));
}

void
pw_yaml_fault(struct pw_yaml_apply *a, const yaml_node_t *at, const char *fmt, ...)
{
    char buf[512];
    va_list ap;

    a->faults++;
    if (a->faults > PW_YAML_FAULTS_MAX) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(buf, sizeof(buf), fmt, ap);
    va_end(ap);
    pw_text_printf(a->err, "\n  line %zu: %s", at->start_mark.line + 1, buf);
}

/* --- Applying a mapping --------------------------------------------------------------------- */

struct section {
    yaml_node_t *mapping;
    yaml_node_pair_t *next;
    size_t path_len;
};

struct walk {
    struct pw_yaml_apply *a;
    struct section stack[PW_YAML_DEPTH_MAX];
    uint32_t depth;
    char path[PW_YAML_PATH_BYTES];
};

/* What stock calls the struct of a section in its errors (operations.md 1.1 has the first). */
static void
type_name(const char *path, size_t len, char *buf, size_t cap)
{
    if (len == 0) {
        (void)snprintf(buf, cap, "main.mainFlags");
    } else if (len == 6 && memcmp(path, "limits", 6) == 0) {
        (void)snprintf(buf, cap, "validation.Limits");
    } else {
        (void)snprintf(buf, cap, "%.*s.Config", (int)len, path);
    }
}

/* Some row lies below path. */
static bool
is_section(const char *path, size_t len)
{
    size_t count;
    const struct pw_option *o = pw_option_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (strncmp(o[i].yaml, path, len) == 0 && o[i].yaml[len] == '.') {
            return true;
        }
    }
    return false;
}

static void
apply_scalar(struct pw_yaml_apply *a, const struct pw_option *o, const yaml_node_t *n, bool append)
{
    char buf[256];
    struct pw_text why;
    struct pw_slice s = pw_yaml_scalar(n);

    pw_text_fixed(&why, buf, sizeof(buf) - 1);
    if (s.ptr == NULL) {
        pw_option_write_bounds(o, &why);
        buf[why.len] = 0;
        pw_yaml_fault(a, n, "option %s: must be %s", o->yaml, buf);
        return;
    }
    if (pw_option_set(o, a->cfg, s, append, &why) != 0) {
        buf[why.len] = 0;
        pw_yaml_fault(a, n, "option %s: invalid value `%.*s`: %s", o->yaml,
                      (int)(s.len < 128 ? s.len : 128), (const char *)s.ptr, buf);
    }
}

static void
apply_rules(struct pw_yaml_apply *a, const struct pw_option *o, const yaml_node_t *n)
{
    struct pw_relabel_list **field = (void *)((uint8_t *)a->cfg + o->offset);
    struct pw_relabel_list *list;

    if (pw_relabel_list_from_yaml_cold(a, n, &list) == 0) {
        pw_relabel_list_unref(*field);
        *field = list;
    }
}

static void
apply_option(struct pw_yaml_apply *a, const struct pw_option *o, const yaml_node_t *n)
{
    if (o->type == PW_OPTION_RULES && n->type != YAML_SCALAR_NODE) {
        apply_rules(a, o, n);
        return;
    }
    if (o->type != PW_OPTION_LIST || n->type != YAML_SEQUENCE_NODE) {
        apply_scalar(a, o, n, false);
        return;
    }
    yaml_node_item_t *item = n->data.sequence.items.start;

    if (item == n->data.sequence.items.top) {
        int rc = pw_option_set(o, a->cfg, PW_SLICE_LIT(""), false, a->err);

        (void)rc; /* an empty list always fits */
    }
    for (bool append = false; item < n->data.sequence.items.top; item++, append = true) {
        apply_scalar(a, o, pw_yaml_node(a->y, *item), append);
    }
}

/* The same key earlier in this mapping. Mappings here are small: a scan is enough. */
static bool
is_duplicate(struct pw_yaml *y, const struct section *s, const yaml_node_pair_t *pair,
             struct pw_slice key)
{
    for (const yaml_node_pair_t *p = s->mapping->data.mapping.pairs.start; p < pair; p++) {
        if (pw_slice_eq(pw_yaml_scalar(pw_yaml_node(y, p->key)), key)) {
            return true;
        }
    }
    return false;
}

static void
push_section(struct walk *w, const yaml_node_t *key, yaml_node_t *value, size_t path_len)
{
    char type[PW_YAML_PATH_BYTES + 16];

    if (pw_yaml_is_null(value)) {
        return;
    }
    type_name(w->path, path_len, type, sizeof(type));
    if (value->type != YAML_MAPPING_NODE) {
        pw_yaml_fault(w->a, value, "cannot unmarshal a value that is no mapping into %s", type);
        return;
    }
    if (w->depth == PW_YAML_DEPTH_MAX) {
        pw_yaml_fault(w->a, key, "nested too deep");
        return;
    }
    w->stack[w->depth++] = (struct section){
        .mapping = value, .next = value->data.mapping.pairs.start, .path_len = path_len};
}

/* One `key: value` of the innermost section. */
static void
apply_pair(struct walk *w, struct section *s, const yaml_node_pair_t *pair)
{
    struct pw_yaml_apply *a = w->a;
    yaml_node_t *key = pw_yaml_node(a->y, pair->key);
    yaml_node_t *value = pw_yaml_node(a->y, pair->value);
    struct pw_slice k = pw_yaml_scalar(key);
    char type[PW_YAML_PATH_BYTES + 16];
    size_t len = s->path_len;

    type_name(w->path, s->path_len, type, sizeof(type));
    if (k.ptr == NULL || k.len + len + 2 > sizeof(w->path)) {
        pw_yaml_fault(a, key, "a key of %s must be a short name", type);
        return;
    }
    if (is_duplicate(a->y, s, pair, k)) {
        pw_yaml_fault(a, key, "field %.*s already set in type %s", (int)k.len, (const char *)k.ptr,
                      type);
        return;
    }
    if (len > 0) {
        w->path[len++] = '.';
    }
    memcpy(w->path + len, k.ptr, k.len);
    len += k.len;
    w->path[len] = 0;

    bool plain = k.len > 0 && memchr(k.ptr, '.', k.len) == NULL; /* "a.b: 1" names no section */
    const struct pw_option *o = plain ? pw_option_by_yaml(pw_slice(w->path, len)) : NULL;

    if (o != NULL) {
        if (!pw_yaml_is_null(value)) {
            apply_option(a, o, value);
        }
    } else if (plain && is_section(w->path, len)) {
        push_section(w, key, value, len);
    } else if (a->other == NULL || !a->other(a->ctx, a, pw_slice(w->path, len), value)) {
        pw_yaml_fault(a, key, "field %.*s not found in type %s", (int)k.len, (const char *)k.ptr,
                      type);
    }
}

void
pw_yaml_apply(struct pw_yaml_apply *a, yaml_node_t *mapping)
{
    struct walk w = {.a = a};

    (void)snprintf(w.path, sizeof(w.path), "%s", a->base);
    push_section(&w, mapping, mapping, strlen(a->base));
    while (w.depth > 0) {
        struct section *s = &w.stack[w.depth - 1];

        if (s->next == s->mapping->data.mapping.pairs.top) {
            w.depth--;
            continue;
        }
        const yaml_node_pair_t *pair = s->next++;

        apply_pair(&w, s, pair);
    }
}
