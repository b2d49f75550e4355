#include "app/config_write.h"

#include "app/option.h"
#include "base/check.h"

#include <inttypes.h>
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
    if (v.len > 0 && strcmp(o->unit, PW_OPTION_SECRET) == 0) { /* pages are for everybody */
        v.len = 0;
        pw_text_str(&v, "********");
    }
    pw_text_json_string(t, pw_slice(v.ptr, v.len)); /* a JSON string is a YAML one */
    pw_text_fini(&v);
}

/* ingestion_limit is no row: it is a mapping. */
static void
write_ingestion_limit(const struct pw_ingestion_limit *l, size_t depth, struct pw_text *t)
{
    if (!l->set) {
        return;
    }
    indent(t, depth);
    pw_text_str(t, "ingestion_limit:\n");
    indent(t, depth + 1);
    pw_text_str(t, "period_type: ");
    pw_text_json_string(t, pw_slice_str(l->period_type));
    pw_text_char(t, '\n');
    indent(t, depth + 1);
    pw_text_printf(t, "period_limit_mb: %.17g\n", l->period_limit_mb);
    indent(t, depth + 1);
    pw_text_printf(t, "limit_reset_time: %" PRId64 "\n", l->limit_reset_time_s);
    indent(t, depth + 1);
    pw_text_printf(t, "limit_reached: %s\n", l->limit_reached ? "true" : "false");
}

void
pw_config_write_limits(const struct pw_config *cfg, const struct pw_config *base, size_t depth,
                       struct pw_text *t)
{
    const struct pw_option *row[ROWS_MAX];
    size_t n = sorted_rows(row);
    size_t start = t->len + 1;

    pw_text_char(t, '\n');
    write_ingestion_limit(&cfg->limits.ingestion_limit, depth, t);
    for (size_t i = 0; i < n; i++) {
        if (!pw_option_is_limit(row[i]) || (base != NULL && is_default(row[i], cfg, base))) {
            continue;
        }
        indent(t, depth);
        pw_text_printf(t, "%s: ", row[i]->yaml + strlen("limits."));
        write_value(row[i], cfg, t);
        pw_text_char(t, '\n');
    }
    if (t->len == start) {
        t->len = start - 1;
        pw_text_str(t, " {}\n");
    }
}

void
pw_config_write_yaml(const struct pw_config *cfg, enum pw_config_view view, struct pw_text *t)
{
    const struct pw_option *row[ROWS_MAX];
    size_t n = sorted_rows(row);
    struct pw_config *defaults = malloc(sizeof(*defaults));
    const char *previous = "";
    size_t start = t->len;
    bool limits_open = false;

    if (defaults == NULL) {
        t->failed = true;
        return;
    }
    pw_config_defaults(defaults);
    for (size_t i = 0; i < n; i++) {
        const char *key;
        size_t depth;

        bool carries =
            pw_option_is_limit(row[i]) && !limits_open && cfg->limits.ingestion_limit.set;

        if (view == PW_CONFIG_VIEW_DIFF && !carries && is_default(row[i], cfg, defaults)) {
            continue;
        }
        depth = open_sections(t, previous, row[i]->yaml, &key);
        previous = row[i]->yaml;
        if (carries) { /* the first row of the section is printed in any case, with this before it */
            limits_open = true;
            write_ingestion_limit(&cfg->limits.ingestion_limit, depth, t);
        }
        indent(t, depth);
        pw_text_printf(t, "%s: ", key);
        write_value(row[i], cfg, t);
        pw_text_char(t, '\n');
    }
    if (t->len == start) {
        pw_text_str(t, "{}\n");
    }
    pw_config_fini(defaults);
    free(defaults);
}
