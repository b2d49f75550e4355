#include "app/config.h"

#include "app/option.h"
#include "base/check.h"

#include <stdlib.h>

enum { ROWS_MAX = 256 };

static int
by_yaml_path(const void *a, const void *b)
{
    const struct pw_option *const *x = a;
    const struct pw_option *const *y = b;

    return strcmp((*x)->yaml, (*y)->yaml);
}

/* The rows that have a YAML path, so ordered that each section is one run. */
static size_t
sorted_rows(const struct pw_option *row[ROWS_MAX])
{
    size_t count;
    size_t n = 0;
    const struct pw_option *o = pw_option_table(&count);

    PW_INVARIANT(count <= ROWS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (o[i].yaml[0] != 0) {
            row[n++] = &o[i];
        }
    }
    qsort(row, n, sizeof(row[0]), by_yaml_path);
    return n;
}

/* Same value in both? Compared as printed: one place knows the types. */
static bool
is_default(const struct pw_option *o, const struct pw_config *cfg, const struct pw_config *defaults)
{
    struct pw_text a;
    struct pw_text b;

    pw_text_init(&a, 1 << 16);
    pw_text_init(&b, 1 << 16);
    pw_option_write_value(o, cfg, &a);
    pw_option_write_value(o, defaults, &b);

    bool same = pw_slice_eq(pw_slice(a.ptr, a.len), pw_slice(b.ptr, b.len));

    pw_text_fini(&a);
    pw_text_fini(&b);
    return same;
}

static void
indent(struct pw_text *t, size_t depth)
{
    for (size_t i = 0; i < depth; i++) {
        pw_text_str(t, "    ");
    }
}

/* The section headers of path that the row before did not open; returns the depth of its key and
 * the key. */
static size_t
open_sections(struct pw_text *t, const char *previous, const char *path, const char **key)
{
    size_t depth = 0;
    bool same = true;

    for (;;) {
        size_t len = strcspn(path, ".");

        if (path[len] == 0) {
            *key = path;
            return depth;
        }
        same = same && strncmp(previous, path, len + 1) == 0;
        if (!same) {
            indent(t, depth);
            pw_text_put(t, path, len);
            pw_text_str(t, ":\n");
        }
        previous += same ? len + 1 : 0;
        path += len + 1;
        depth++;
    }
}

/* Text is always quoted: YAML has too many plain words with a meaning. Durations and words of ours
 * need none. */
static void
write_value(const struct pw_option *o, const struct pw_config *cfg, struct pw_text *t)
{
    if (o->type != PW_OPTION_STRING && o->type != PW_OPTION_LIST) {
        pw_option_write_value(o, cfg, t);
        return;
    }
    struct pw_text v;

    pw_text_init(&v, 1 << 16);
    pw_option_write_value(o, cfg, &v);
    pw_text_json_string(t, pw_slice(v.ptr, v.len)); /* a JSON string is a YAML one */
    pw_text_fini(&v);
}

void
pw_config_write_yaml(const struct pw_config *cfg, enum pw_config_view view, struct pw_text *t)
{
    const struct pw_option *row[ROWS_MAX];
    size_t n = sorted_rows(row);
    struct pw_config *defaults = malloc(sizeof(*defaults));
    const char *previous = "";
    size_t start = t->len;

    if (defaults == NULL) {
        t->failed = true;
        return;
    }
    pw_config_defaults(defaults);
    for (size_t i = 0; i < n; i++) {
        const char *key;
        size_t depth;

        if (view == PW_CONFIG_VIEW_DIFF && is_default(row[i], cfg, defaults)) {
            continue;
        }
        depth = open_sections(t, previous, row[i]->yaml, &key);
        previous = row[i]->yaml;
        indent(t, depth);
        pw_text_printf(t, "%s: ", key);
        write_value(row[i], cfg, t);
        pw_text_char(t, '\n');
    }
    if (t->len == start) {
        pw_text_str(t, "{}\n");
    }
    free(defaults);
}
