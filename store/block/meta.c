#include "store/block/meta.h"

#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- Writing -------------------------------------------------------------------------------------- */

/* storage.md 1.2: seconds with up to three decimals, zeros at the end left out. */
static void
put_time(struct pw_text *t, int64_t ms)
{
    uint64_t abs = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    uint64_t milli = abs % 1000;
    int digits = 3;

    if (ms < 0) {
        pw_text_char(t, '-');
    }
    pw_text_u64(t, abs / 1000);
    if (milli == 0) {
        return;
    }
    while (milli % 10 == 0) {
        milli /= 10;
        digits--;
    }
    pw_text_printf(t, ".%0*llu", digits, (unsigned long long)milli);
}

static void
put_file(struct pw_text *t, const struct pw_block_file *f, bool last)
{
    pw_text_str(t, "\t\t{\n\t\t\t\"relPath\": ");
    pw_text_json_string(t, pw_slice_str(f->rel_path));
    if (f->has_size) {
        pw_text_printf(t, ",\n\t\t\t\"sizeBytes\": %llu", (unsigned long long)f->size_bytes);
    }
    if (f->row_groups != 0) {
        pw_text_printf(t,
                       ",\n\t\t\t\"parquet\": {\n\t\t\t\t\"numRowGroups\": %llu,\n\t\t\t\t"
                       "\"numRows\": %llu\n\t\t\t}",
                       (unsigned long long)f->row_groups, (unsigned long long)f->rows);
    }
    if (f->series != 0) {
        pw_text_printf(t, ",\n\t\t\t\"tsdb\": {\n\t\t\t\t\"numSeries\": %llu\n\t\t\t}",
                       (unsigned long long)f->series);
    }
    pw_text_str(t, last ? "\n\t\t}\n" : "\n\t\t},\n");
}

static void
put_ulid(struct pw_text *t, const struct pw_ulid *u)
{
    char text[PW_ULID_CHARS + 1];

    pw_ulid_print(u, text);
    pw_text_printf(t, "\"%s\"", text);
}

static void
put_compaction(struct pw_text *t, const struct pw_block_meta *m)
{
    pw_text_printf(t, "\t\"compaction\": {\n\t\t\"level\": %u,\n\t\t\"sources\": [", m->level);
    for (uint32_t i = 0; i < m->source_count; i++) {
        pw_text_str(t, i == 0 ? "\n\t\t\t" : ",\n\t\t\t");
        put_ulid(t, &m->source[i]);
    }
    pw_text_str(t, "\n\t\t]\n\t},\n");
}

static void
put_labels(struct pw_text *t, const struct pw_block_meta *m)
{
    pw_text_str(t, "\t\"labels\": {");
    for (uint32_t i = 0; i < m->label_count; i++) {
        pw_text_str(t, i == 0 ? "\n\t\t" : ",\n\t\t");
        pw_text_json_string(t, m->label[i].name);
        pw_text_str(t, ": ");
        pw_text_json_string(t, m->label[i].value);
    }
    pw_text_str(t, m->label_count == 0 ? "},\n" : "\n\t},\n");
}

void
pw_block_meta_print(const struct pw_block_meta *m, struct pw_text *t)
{
    pw_text_str(t, "{\n\t\"ulid\": ");
    put_ulid(t, &m->ulid);
    pw_text_str(t, ",\n\t\"minTime\": ");
    put_time(t, m->min_time_ms);
    pw_text_str(t, ",\n\t\"maxTime\": ");
    put_time(t, m->max_time_ms);
    pw_text_printf(t,
                   ",\n\t\"stats\": {\n\t\t\"numSamples\": %llu,\n\t\t\"numSeries\": %llu,\n\t\t"
                   "\"numProfiles\": %llu\n\t},\n\t\"files\": [\n",
                   (unsigned long long)m->samples, (unsigned long long)m->series,
                   (unsigned long long)m->profiles);
    for (uint32_t i = 0; i < m->file_count; i++) {
        put_file(t, &m->file[i], i + 1 == m->file_count);
    }
    pw_text_str(t, "\t],\n");
    put_compaction(t, m);
    pw_text_printf(t, "\t\"version\": %u,\n", m->version);
    put_labels(t, m);
    pw_text_str(t, "\t\"source\": ");
    pw_text_json_string(t, pw_slice_str(m->origin));
    pw_text_str(t, ",\n\t\"downsample\": {\n\t\t\"resolution\": 0\n\t}\n}\n");
}

/* --- Reading -------------------------------------------------------------------------------------- */

PW_PRINTF(2, 3)
static int
bad(struct pw_block_error *err, const char *fmt, ...)
{
    int n = snprintf(err->text, sizeof(err->text), "meta.json: ");
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text + n, sizeof(err->text) - (size_t)n, fmt, ap);
    va_end(ap);
    return PW_EINVAL;
}

/* A count: an integer >= 0; absent is 0. */
static int
get_count(const json_t *object, const char *key, uint64_t *out, struct pw_block_error *err)
{
    const json_t *v = json_object_get(object, key);

    *out = 0;
    if (v == NULL) {
        return 0;
    }
    if (!json_is_integer(v) || json_integer_value(v) < 0) {
        return bad(err, "%s is not a count", key);
    }
    *out = (uint64_t)json_integer_value(v);
    return 0;
}

static int
get_time(const json_t *root, const char *key, int64_t *ms, struct pw_block_error *err)
{
    const json_t *v = json_object_get(root, key);
    double seconds = json_number_value(v);

    if (!json_is_number(v) || !(fabs(seconds) < 1e12)) {
        return bad(err, "%s is not a time", key);
    }
    *ms = llround(seconds * 1000);
    return 0;
}

static int
get_ulid(const json_t *v, struct pw_ulid *u)
{
    return json_is_string(v)
               ? pw_ulid_parse(u, pw_slice(json_string_value(v), json_string_length(v)))
               : PW_EINVAL;
}

/* Only what a writer of blocks uses: no way out of the block's directory. */
static bool
is_rel_path(const char *s, size_t len)
{
    size_t part = 0;

    if (len == 0 || len >= PW_BLOCK_PATH_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i <= len; i++) {
        bool end = i == len || s[i] == '/';

        if (end) {
            bool dots = part <= 2 && part != 0 && memcmp(s + i - part, "..", part) == 0;

            if (part == 0 || dots) {
                return false;
            }
            part = 0;
            continue;
        }
        if ((s[i] < 'a' || s[i] > 'z') && (s[i] < 'A' || s[i] > 'Z') &&
            (s[i] < '0' || s[i] > '9') && s[i] != '_' && s[i] != '.' && s[i] != '-') {
            return false;
        }
        part++;
    }
    return true;
}

static int
get_file(const json_t *v, struct pw_block_file *f, struct pw_block_error *err)
{
    const json_t *path = json_object_get(v, "relPath");
    const json_t *parquet = json_object_get(v, "parquet");
    int rc;

    if (!json_is_string(path) || !is_rel_path(json_string_value(path), json_string_length(path))) {
        return bad(err, "a relPath in files is not a path inside the block");
    }
    memcpy(f->rel_path, json_string_value(path), json_string_length(path) + 1);
    f->has_size = json_object_get(v, "sizeBytes") != NULL;
    rc = get_count(v, "sizeBytes", &f->size_bytes, err);
    rc = rc != 0 ? rc : get_count(parquet, "numRowGroups", &f->row_groups, err);
    rc = rc != 0 ? rc : get_count(parquet, "numRows", &f->rows, err);
    return rc != 0 ? rc : get_count(json_object_get(v, "tsdb"), "numSeries", &f->series, err);
}

static int
compare_files(const void *a, const void *b)
{
    return strcmp(((const struct pw_block_file *)a)->rel_path,
                  ((const struct pw_block_file *)b)->rel_path);
}

static int
get_files(const json_t *root, struct pw_block_meta *m, struct pw_block_error *err)
{
    const json_t *files = json_object_get(root, "files");
    size_t n = json_array_size(files);

    if (n > PW_BLOCK_META_FILES_MAX) {
        return bad(err, "%zu files, at most %d", n, PW_BLOCK_META_FILES_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = get_file(json_array_get(files, i), &m->file[i], err);

        if (rc != 0) {
            return rc;
        }
        m->file_count++;
    }
    qsort(m->file, m->file_count, sizeof(m->file[0]), compare_files);
    return 0;
}

static int
get_compaction(const json_t *root, struct pw_block_meta *m, struct pw_block_error *err)
{
    const json_t *compaction = json_object_get(root, "compaction");
    const json_t *sources = json_object_get(compaction, "sources");
    size_t n = json_array_size(sources);
    uint64_t level;

    if (get_count(compaction, "level", &level, err) != 0 || level > 255) {
        return bad(err, "compaction level is not a level");
    }
    m->level = (uint32_t)level;
    if (n > PW_BLOCK_META_SOURCES_MAX) {
        return bad(err, "%zu sources, at most %d", n, PW_BLOCK_META_SOURCES_MAX);
    }
    m->source = calloc(n + 1, sizeof(*m->source));
    if (m->source == NULL) {
        return PW_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        if (get_ulid(json_array_get(sources, i), &m->source[i]) != 0) {
            return bad(err, "a source is not a ULID");
        }
        m->source_count++;
    }
    return 0;
}

/* Two passes: how many bytes the labels take, then copy them. */
static int
get_labels(json_t *root, struct pw_block_meta *m, struct pw_block_error *err)
{
    json_t *labels = json_object_get(root, "labels"), *v;
    const char *key;
    size_t bytes = 0;
    char *p;

    if (json_object_size(labels) > PW_BLOCK_META_LABELS_MAX) {
        return bad(err, "too many labels");
    }
    json_object_foreach(labels, key, v)
    {
        bytes += strlen(key) + json_string_length(v);
    }
    m->text = p = malloc(bytes + 1);
    if (p == NULL) {
        return PW_ENOMEM;
    }
    json_object_foreach(labels, key, v)
    {
        struct pw_label_pair *l = &m->label[m->label_count++];

        l->name = pw_slice(memcpy(p, key, strlen(key)), strlen(key));
        p += l->name.len;
        l->value = pw_slice(p, json_string_length(v));
        if (l->value.len != 0) {
            memcpy(p, json_string_value(v), l->value.len);
        }
        p += l->value.len;
    }
    m->text_bytes = (uint32_t)bytes;
    return 0;
}

static int
parse(struct pw_block_meta *m, json_t *root, struct pw_block_error *err)
{
    const json_t *stats = json_object_get(root, "stats");
    const char *origin = json_string_value(json_object_get(root, "source"));
    uint64_t version;
    int rc;

    if (get_ulid(json_object_get(root, "ulid"), &m->ulid) != 0) {
        return bad(err, "ulid is not a ULID");
    }
    rc = get_count(root, "version", &version, err);
    if (rc != 0 || version < 1 || version > 3) {
        return bad(err, "version is none of 1, 2, 3");
    }
    m->version = (uint32_t)version;
    snprintf(m->origin, sizeof(m->origin), "%s", origin == NULL ? "" : origin);
    rc = get_time(root, "minTime", &m->min_time_ms, err);
    rc = rc != 0 ? rc : get_time(root, "maxTime", &m->max_time_ms, err);
    rc = rc != 0 ? rc : get_count(stats, "numSamples", &m->samples, err);
    rc = rc != 0 ? rc : get_count(stats, "numSeries", &m->series, err);
    rc = rc != 0 ? rc : get_count(stats, "numProfiles", &m->profiles, err);
    rc = rc != 0 ? rc : get_files(root, m, err);
    rc = rc != 0 ? rc : get_compaction(root, m, err);
    return rc != 0 ? rc : get_labels(root, m, err);
}

int
pw_block_meta_parse(struct pw_block_meta *m, struct pw_slice json, struct pw_block_error *err)
{
    json_error_t why;
    json_t *root;
    int rc;

    memset(m, 0, sizeof(*m));
    if (json.len > PW_BLOCK_META_BYTES_MAX) {
        return bad(err, "%zu bytes, at most %d", json.len, PW_BLOCK_META_BYTES_MAX);
    }
    root = json_loadb((const char *)json.ptr, json.len, 0, &why);
    if (!json_is_object(root)) {
        json_decref(root);
        return bad(err, "not a JSON object, at byte %d: %s", root == NULL ? why.position : 0,
                   root == NULL ? why.text : "another type");
    }
    rc = parse(m, root, err);
    json_decref(root);
    if (rc != 0) {
        pw_block_meta_fini(m);
    }
    return rc;
}

void
pw_block_meta_fini(struct pw_block_meta *m)
{
    free(m->source);
    free(m->text);
    m->source = NULL;
    m->text = NULL;
}

const struct pw_block_file *
pw_block_meta_file(const struct pw_block_meta *m, const char *base_name)
{
    for (uint32_t i = 0; i < m->file_count; i++) {
        const char *slash = strrchr(m->file[i].rel_path, '/');

        if (strcmp(slash == NULL ? m->file[i].rel_path : slash + 1, base_name) == 0) {
            return &m->file[i];
        }
    }
    return NULL;
}
