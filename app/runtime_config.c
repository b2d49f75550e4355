#include "app/runtime_config.h"

#include "app/config_write.h"
#include "app/limits_yaml.h"
#include "app/relabel_list.h"
#include "app/yaml_read.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metric.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { PAGE_BYTES_MAX = 256 << 20, WHY_BYTES_MAX = 1 << 16 };

#define LOG_MODULE "pw.app.runtime_config"

/* What tells one version of a file from another without reading it. */
struct signature {
    struct timespec mtime, ctime;
    off_t size;
    ino_t inode;
    bool present;
};

struct tenant {
    char name[PW_TENANT_BYTES_MAX + 1];
    struct pw_limits *limits; /* in the table being built */
    struct pw_relabel_list *rules;
    uint32_t position;
};

/* One reading of all files. */
struct build {
    const struct pw_config *cfg;
    struct pw_overrides *overrides;
    struct tenant *tenant;
    uint32_t count, cap;
};

struct pw_runtime_config {
    const struct pw_config *cfg;
    struct signature seen[PW_CONFIG_ITEMS_MAX];
    int64_t next_ms;
    /* Written by the control thread, read by the query threads that answer /metrics and the page. */
    pthread_mutex_t lock;
    bool last_ok;
    uint64_t reloads_ok, reloads_failed;
    uint32_t tenants;
    struct pw_text page_all, page_diff; /* of the table last given */
};

/* --- One reading ---------------------------------------------------------------------------- */

static struct tenant *
find_tenant(struct build *b, struct pw_slice name)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (pw_slice_eq_str(name, b->tenant[i].name)) {
            return &b->tenant[i];
        }
    }
    return NULL;
}

static struct tenant *
add_tenant(struct build *b, struct pw_slice name)
{
    if (b->count == b->cap) {
        uint32_t cap = b->cap == 0 ? 16 : b->cap * 2;
        struct tenant *p = realloc(b->tenant, cap * sizeof(*p));

        if (p == NULL) {
            return NULL;
        }
        b->tenant = p;
        b->cap = cap;
    }

    struct tenant *t = &b->tenant[b->count];

    *t = (struct tenant){.limits = pw_overrides_tenant_cold(b->overrides, name)};
    if (t->limits == NULL) {
        return NULL;
    }
    memcpy(t->name, name.ptr, name.len);
    t->rules = pw_relabel_list_ref(b->cfg->relabel_rules);
    t->position = b->cfg->relabel_position;
    b->count++;
    return t;
}

/* Applies the mapping of one tenant over what it has so far: the defaults of flags and YAML first,
 * then the files left to right. */
static void
apply_tenant(struct build *b, struct pw_yaml_apply *a, struct tenant *t, yaml_node_t *mapping)
{
    struct pw_config *scratch = a->cfg;

    *scratch = *b->cfg;
    scratch->limits = *t->limits;
    scratch->relabel_rules = t->rules;
    scratch->relabel_position = t->position;
    pw_yaml_apply(a, mapping);
    *t->limits = scratch->limits;
    t->rules = scratch->relabel_rules;
    t->position = scratch->relabel_position;
}

static void
read_tenant(struct build *b, struct pw_yaml_apply *a, yaml_node_t *key, yaml_node_t *value)
{
    struct pw_slice name = pw_yaml_scalar(key);
    struct tenant *t;

    if (name.ptr == NULL || name.len == 0 || name.len > PW_TENANT_BYTES_MAX) {
        pw_yaml_fault(a, key, "a tenant's name must have 1 to %d bytes", PW_TENANT_BYTES_MAX);
        return;
    }
    if (pw_yaml_is_null(value)) {
        return;
    }
    t = find_tenant(b, name);
    if (t == NULL && b->count == PW_RUNTIME_TENANTS_MAX) {
        pw_yaml_fault(a, key, "at most %d tenants", PW_RUNTIME_TENANTS_MAX);
        return;
    }
    t = t != NULL ? t : add_tenant(b, name);
    if (t == NULL) {
        pw_yaml_fault(a, key, "out of memory");
        return;
    }
    apply_tenant(b, a, t, value);
}

static void
read_tenants(struct build *b, struct pw_yaml_apply *a, yaml_node_t *overrides)
{
    if (overrides->type != YAML_MAPPING_NODE) {
        pw_yaml_fault(a, overrides, "overrides must map tenants to limits");
        return;
    }
    for (yaml_node_pair_t *p = overrides->data.mapping.pairs.start;
         p < overrides->data.mapping.pairs.top; p++) {
        read_tenant(b, a, pw_yaml_node(a->y, p->key), pw_yaml_node(a->y, p->value));
    }
}

static void
read_root(struct build *b, struct pw_yaml_apply *a, yaml_node_t *root)
{
    if (root == NULL || pw_yaml_is_null(root)) {
        return;
    }
    if (root->type != YAML_MAPPING_NODE) {
        pw_yaml_fault(a, root, "the file must be a mapping with the key overrides");
        return;
    }
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top;
         p++) {
        yaml_node_t *key = pw_yaml_node(a->y, p->key);
        yaml_node_t *value = pw_yaml_node(a->y, p->value);
        struct pw_slice k = pw_yaml_scalar(key);

        if (!pw_slice_eq_str(k, "overrides")) {
            pw_yaml_fault(a, key, "field %.*s not found in type runtimeConfigValues", (int)k.len,
                          k.ptr == NULL ? "" : (const char *)k.ptr);
        } else if (!pw_yaml_is_null(value)) {
            read_tenants(b, a, value);
        }
    }
}

static int
read_file(struct build *b, const char *path, struct pw_text *err)
{
    struct pw_config *scratch;
    struct pw_yaml y;
    uint8_t *bytes;
    size_t len;
    size_t err_start = err->len;
    int rc = pw_yaml_read_file_cold(path, &bytes, &len, err);

    if (rc != 0) {
        return rc;
    }
    pw_text_printf(err, "%s: ", path);
    rc = pw_yaml_load_cold(&y, pw_slice(bytes, len), err);
    free(bytes);
    if (rc != 0) {
        return rc;
    }
    scratch = malloc(sizeof(*scratch));
    if (scratch == NULL) {
        pw_yaml_fini(&y);
        return PW_ENOMEM;
    }
    pw_text_str(err, "yaml: unmarshal errors:");

    struct pw_yaml_apply a = {
        .y = &y, .cfg = scratch, .base = "limits", .err = err, .other = pw_limits_yaml_other};

    read_root(b, &a, pw_yaml_root(&y));
    pw_yaml_fini(&y);
    free(scratch);
    if (a.faults > 0) {
        return PW_EINVAL;
    }
    err->len = err_start;
    return 0;
}

/* Compiles the rules of the tenants that have their own; the others share the defaults' config. */
static int
compile_tenants(struct build *b, struct pw_text *err)
{
    for (uint32_t i = 0; i < b->count; i++) {
        struct tenant *t = &b->tenant[i];
        char why[256] = "";
        int rc;

        if (t->rules == b->cfg->relabel_rules && t->position == b->cfg->relabel_position) {
            continue;
        }
        rc = pw_relabel_compile_cold(t->rules == NULL ? NULL : t->rules->rule,
                                     t->rules == NULL ? 0 : t->rules->count, t->position,
                                     &t->limits->relabel, why, sizeof(why));
        if (rc != 0) {
            t->limits->relabel = NULL;
            pw_text_printf(err, "tenant %s: relabel rules: %s", t->name, why);
            return rc;
        }
    }
    return 0;
}

/* A table with the defaults alone, their rules compiled. */
static int
new_overrides(const struct pw_config *cfg, struct pw_overrides **out, struct pw_text *err)
{
    struct pw_limits defaults = cfg->limits;
    const struct pw_relabel_list *rules = cfg->relabel_rules;
    char why[256] = "";
    int rc = pw_relabel_compile_cold(rules == NULL ? NULL : rules->rule,
                                     rules == NULL ? 0 : rules->count, cfg->relabel_position,
                                     &defaults.relabel, why, sizeof(why));

    if (rc != 0) {
        pw_text_printf(err, "relabel rules: %s", why);
        return rc;
    }
    *out = pw_overrides_new_cold(&defaults);
    if (*out == NULL) {
        pw_relabel_release_cold(defaults.relabel, NULL);
        pw_text_str(err, "out of memory");
        return PW_ENOMEM;
    }
    return 0;
}

/* --- Pages ---------------------------------------------------------------------------------- */

static void
write_page(const struct build *b, bool diff, struct pw_text *t)
{
    struct pw_config *shown = malloc(sizeof(*shown));

    pw_text_init(t, PAGE_BYTES_MAX);
    if (shown == NULL) {
        return;
    }
    pw_text_str(t, b->count == 0 ? "overrides: {}\n" : "overrides:\n");
    for (uint32_t i = 0; i < b->count; i++) {
        *shown = *b->cfg;
        shown->limits = *b->tenant[i].limits;
        shown->relabel_rules = b->tenant[i].rules;
        shown->relabel_position = b->tenant[i].position;
        pw_text_str(t, "    ");
        pw_text_json_string(t, pw_slice_str(b->tenant[i].name));
        pw_text_char(t, ':');
        pw_config_write_limits(shown, diff ? b->cfg : NULL, 2, t);
    }
    free(shown);
}

static void
keep_pages(struct pw_runtime_config *rc, const struct build *b)
{
    struct pw_text all;
    struct pw_text diff;
    struct pw_text old_all;
    struct pw_text old_diff;

    write_page(b, false, &all);
    write_page(b, true, &diff);
    (void)pthread_mutex_lock(&rc->lock);
    old_all = rc->page_all;
    old_diff = rc->page_diff;
    rc->page_all = all;
    rc->page_diff = diff;
    rc->tenants = b->count;
    (void)pthread_mutex_unlock(&rc->lock);
    pw_text_fini(&old_all);
    pw_text_fini(&old_diff);
}

/* --- The files over time -------------------------------------------------------------------- */

static int
build_all(struct pw_runtime_config *rc, struct pw_overrides **out, struct pw_text *err)
{
    const struct pw_config_list *files = &rc->cfg->runtime_config_file;
    struct build b = {.cfg = rc->cfg};
    int status = new_overrides(rc->cfg, &b.overrides, err);

    for (uint32_t i = 0; status == 0 && i < files->count; i++) {
        status = read_file(&b, files->item[i], err);
    }
    if (status == 0) {
        status = compile_tenants(&b, err);
    }
    if (status == 0) {
        keep_pages(rc, &b);
        *out = b.overrides;
    } else {
        pw_overrides_free_cold(b.overrides);
    }
    for (uint32_t i = 0; i < b.count; i++) {
        pw_relabel_list_unref(b.tenant[i].rules);
    }
    free(b.tenant);
    return status;
}

static struct signature
look_at(const char *path)
{
    struct signature s;
    struct stat st;

    memset(&s, 0, sizeof(s)); /* compared with memcmp */
    if (stat(path, &st) == 0) {
        s.mtime = st.st_mtim;
        s.ctime = st.st_ctim;
        s.size = st.st_size;
        s.inode = st.st_ino;
        s.present = true;
    }
    return s;
}

/* True when a file is not what it was the last time. */
static bool
look_at_all(struct pw_runtime_config *rc)
{
    bool changed = false;

    for (uint32_t i = 0; i < rc->cfg->runtime_config_file.count; i++) {
        struct signature s = look_at(rc->cfg->runtime_config_file.item[i]);

        changed = changed || memcmp(&s, &rc->seen[i], sizeof(s)) != 0;
        rc->seen[i] = s;
    }
    return changed;
}

int
pw_runtime_config_create_cold(struct pw_runtime_config **out, const struct pw_config *cfg,
                              struct pw_overrides **first, struct pw_text *err)
{
    struct pw_runtime_config *rc = calloc(1, sizeof(*rc));
    int status;

    if (rc == NULL) {
        return PW_ENOMEM;
    }
    rc->cfg = cfg;
    rc->last_ok = true;
    if (pthread_mutex_init(&rc->lock, NULL) != 0) {
        free(rc);
        return PW_ENOMEM;
    }
    pw_text_init(&rc->page_all, PAGE_BYTES_MAX);
    pw_text_init(&rc->page_diff, PAGE_BYTES_MAX);
    (void)look_at_all(rc); /* before reading: a change during it is seen next time */
    pw_text_str(err, cfg->runtime_config_file.count > 0 ? "failed loading runtime config: " : "");
    status = build_all(rc, first, err);
    if (status != 0) {
        pw_runtime_config_destroy_cold(rc);
        return status;
    }
    err->len = 0;
    *out = rc;
    return 0;
}

void
pw_runtime_config_destroy_cold(struct pw_runtime_config *rc)
{
    if (rc != NULL) {
        pw_text_fini(&rc->page_all);
        pw_text_fini(&rc->page_diff);
        (void)pthread_mutex_destroy(&rc->lock);
        free(rc);
    }
}

struct pw_overrides *
pw_runtime_config_poll_cold(struct pw_runtime_config *rc, int64_t now_ms)
{
    struct pw_overrides *o = NULL;
    struct pw_text err;
    char quoted[PW_LOG_LINE_MAX / 2];

    if (now_ms < rc->next_ms) {
        return NULL;
    }
    rc->next_ms = now_ms + rc->cfg->runtime_config_period_ms;
    if (!look_at_all(rc)) {
        return NULL;
    }
    pw_text_init(&err, WHY_BYTES_MAX);

    bool ok = build_all(rc, &o, &err) == 0;

    (void)pthread_mutex_lock(&rc->lock);
    rc->last_ok = ok;
    rc->reloads_ok += ok;
    rc->reloads_failed += !ok;
    (void)pthread_mutex_unlock(&rc->lock);
    if (ok) {
        pw_log(PW_LOG_INFO, LOG_MODULE, "msg=\"runtime config reloaded\" tenants=%u", rc->tenants);
    } else {
        o = NULL;
        pw_log(PW_LOG_ERROR, LOG_MODULE,
               "msg=\"runtime config not loaded, the previous limits stay\" err=%s",
               pw_log_quote(quoted, sizeof(quoted), pw_slice(err.ptr, err.len)));
    }
    pw_text_fini(&err);
    return o;
}

void
pw_runtime_config_metrics(void *ctx, struct pw_text *t)
{
    struct pw_runtime_config *rc = ctx;

    (void)pthread_mutex_lock(&rc->lock);

    bool last_ok = rc->last_ok;
    uint64_t loaded = rc->reloads_ok;
    uint64_t refused = rc->reloads_failed;
    uint32_t tenants = rc->tenants;

    (void)pthread_mutex_unlock(&rc->lock);
    pw_text_str(t,
                "# HELP pyroscope_runtime_config_last_reload_successful Whether the last read of "
                "the runtime configuration was successful.\n"
                "# TYPE pyroscope_runtime_config_last_reload_successful gauge\n");
    pw_text_printf(t, "pyroscope_runtime_config_last_reload_successful %d\n", last_ok ? 1 : 0);
    pw_text_str(t, "# HELP pyrowire_runtime_config_reloads_total Changed runtime configurations by "
                   "outcome.\n"
                   "# TYPE pyrowire_runtime_config_reloads_total counter\n");
    pw_text_printf(t, "pyrowire_runtime_config_reloads_total{outcome=\"loaded\"} %" PRIu64 "\n",
                   loaded);
    pw_text_printf(t, "pyrowire_runtime_config_reloads_total{outcome=\"refused\"} %" PRIu64 "\n",
                   refused);
    pw_metric_family(t, "pyrowire_runtime_config_tenants", "gauge",
                     "Tenants with limits of their own.");
    pw_text_printf(t, "pyrowire_runtime_config_tenants %u\n", tenants);
}

bool
pw_runtime_config_page(struct pw_runtime_config *rc, bool diff, struct pw_text *t)
{
    const struct pw_text *page = diff ? &rc->page_diff : &rc->page_all;

    if (rc->cfg->runtime_config_file.count == 0) {
        return false;
    }
    (void)pthread_mutex_lock(&rc->lock);
    pw_text_put(t, page->ptr, page->len);
    (void)pthread_mutex_unlock(&rc->lock);
    return true;
}
