#include "distributor/pprof_form.h"

#include "distributor/json_read.h"
#include "distributor/multipart.h"

#define FORM_PREFIX "failed to parse pprof /ingest multipart form "

static const int64_t year_ns = 365LL * 24 * 3600 * 1000000000; /* 1970 had no leap day */

static bool
contains(struct pw_slice s, const char *needle)
{
    return s.len != 0 && memmem(s.ptr, s.len, needle, strlen(needle)) != NULL;
}

/* {"units","display-name","aggregation","cumulative","sampled"}: one of them matters. */
static bool
read_entry(struct pw_json_read *j, struct pw_scratch *scratch, struct pw_slice *display_name)
{
    struct pw_json_string key;
    struct pw_json_string s;

    *display_name = PW_SLICE_LIT("");
    if (pw_json_read_peek(j) == 'n') {
        return pw_json_read_null(j);
    }
    if (!pw_json_read_char(j, '{')) {
        return false;
    }
    if (pw_json_read_peek(j) == '}') {
        return pw_json_read_char(j, '}');
    }
    do { /* one member a turn */
        if (!pw_json_read_string(j, &key) || !pw_json_read_char(j, ':')) {
            return false;
        }
        if (pw_slice_caseeq_str(key.raw, "display-name") && pw_json_read_peek(j) == '"') {
            if (!pw_json_read_string(j, &s) || !pw_json_unescape(j, s, scratch, display_name)) {
                return false;
            }
        } else if (!pw_json_read_skip(j)) {
            return false;
        }
    } while (pw_json_read_more(j, '}'));
    return j->err == NULL;
}

static bool
read_config(struct pw_sample_type_config *c, struct pw_json_read *j, struct pw_scratch *scratch)
{
    struct pw_json_string key;
    struct pw_slice name;
    struct pw_slice display;

    if (!pw_json_read_char(j, '{')) {
        return false;
    }
    if (pw_json_read_peek(j) == '}') {
        return pw_json_read_char(j, '}');
    }
    do { /* one sample type a turn */
        if (!pw_json_read_string(j, &key) || !pw_json_unescape(j, key, scratch, &name) ||
            !pw_json_read_char(j, ':') || !read_entry(j, scratch, &display)) {
            return false;
        }
        if (c->count < PW_SAMPLE_TYPE_CONFIG_MAX) {
            c->name[c->count] = name;
            c->display_name[c->count++] = display;
        }
    } while (pw_json_read_more(j, '}'));
    return j->err == NULL;
}

static int
parse_config(struct pw_sample_type_config *c, struct pw_slice json, struct pw_scratch *scratch,
             struct pw_text *err)
{
    struct pw_json_read j;

    pw_json_read_init(&j, json, scratch->fiber);
    c->given = true;
    if (!read_config(c, &j, scratch)) {
        pw_text_str(err, FORM_PREFIX);
        pw_text_str(err, j.err == NULL ? "EOF" : j.err);
        return PW_EINVAL;
    }
    return 0;
}

int
pw_pprof_form_parse(struct pw_pprof_form *f, struct pw_slice content_type, struct pw_slice body,
                    struct pw_scratch *scratch, struct pw_text *err)
{
    struct pw_slice config = {0};
    struct pw_slice prev = {0};
    struct pw_multipart m;
    struct pw_multipart_part part;
    bool have_profile = false;
    int rc;

    *f = (struct pw_pprof_form){0};
    pw_text_str(err, FORM_PREFIX);
    if (pw_multipart_init(&m, content_type, body, scratch->fiber) != 0) {
        pw_text_str(err, "malformed multipart content type header");
        return PW_EINVAL;
    }
    while ((rc = pw_multipart_next(&m, &part, err)) == 1) {
        if (!part.file) {
            continue; /* only file parts are looked at */
        }
        if (pw_slice_eq_str(part.name, "profile") && !have_profile) {
            f->profile = part.data;
            have_profile = true;
        } else if (pw_slice_eq_str(part.name, "sample_type_config") && config.ptr == NULL) {
            config = part.data;
        } else if (pw_slice_eq_str(part.name, "prev_profile") && prev.ptr == NULL) {
            prev = part.data;
        }
    }
    if (rc != 0) {
        return rc;
    }
    if (prev.len != 0) {
        pw_text_str(err,
                    "unsupported client version. Please update github.com/grafana/pyroscope-go "
                    "to the latest version");
        return PW_EINVAL;
    }
    err->len = 0;
    return config.len == 0 ? 0 : parse_config(&f->config, config, scratch, err);
}

/* display-name of a type by the config sent, or by the built-in one. */
static struct pw_slice
display_name(const struct pw_sample_type_config *c, struct pw_slice type)
{
    if (!c->given) {
        return pw_slice_eq_str(type, "samples")       ? PW_SLICE_LIT("cpu")
               : pw_slice_eq_str(type, "goroutine")   ? PW_SLICE_LIT("goroutines")
               : pw_slice_eq_str(type, "contentions") ? PW_SLICE_LIT("mutex_count")
               : pw_slice_eq_str(type, "delay")       ? PW_SLICE_LIT("mutex_duration")
                                                      : type;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        if (pw_slice_eq(c->name[i], type) && c->display_name[i].len != 0) {
            return c->display_name[i];
        }
    }
    return type;
}

static const char *
metric_of(struct pw_slice type)
{
    if (contains(type, "cpu")) {
        return "process_cpu";
    }
    if (contains(type, "alloc_") || contains(type, "inuse_") || pw_slice_eq_str(type, "space") ||
        pw_slice_eq_str(type, "objects")) {
        return "memory";
    }
    if (contains(type, "mutex_")) {
        return "mutex";
    }
    if (contains(type, "block_")) {
        return "block";
    }
    return contains(type, "goroutines") ? "goroutines" : NULL;
}

struct pw_slice
pw_pprof_metric_name(const struct pw_profile *p, const struct pw_sample_type_config *c)
{
    struct pw_slice type = PW_SLICE_LIT("");

    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        if (pw_slice_eq_str(pw_profile_string(p, p->sample_type[i].type_ref), "wall")) {
            return PW_SLICE_LIT("wall");
        }
    }
    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        const char *metric;

        type = display_name(c, pw_profile_string(p, p->sample_type[i].type_ref));
        metric = metric_of(type);
        if (metric != NULL) {
            return pw_slice_str(metric);
        }
    }
    return type;
}

/* "<filename> <function>" for every function; equal names become one function, since what is left of
 * it besides the name (start line, system name) is taken from nowhere. */
static int
fix_scripting(struct pw_profile *p, bool python)
{
    for (uint32_t i = 0; i < p->function_count; i++) {
        struct pw_function *f = &p->function[i];
        struct pw_slice file = pw_profile_string(p, f->filename_ref);
        struct pw_slice name = pw_profile_string(p, f->name_ref);
        uint32_t ref;
        uint8_t *buf;

        if (python && file.len != 0 && file.ptr[0] == '/') {
            continue;
        }
        buf = pw_scratch_alloc(p->scratch, file.len + name.len + 1);
        if (buf == NULL) {
            return PW_ENOMEM;
        }
        if (file.len != 0) {
            memcpy(buf, file.ptr, file.len);
        }
        buf[file.len] = ' ';
        if (name.len != 0) {
            memcpy(buf + file.len + 1, name.ptr, name.len);
        }
        ref = pw_profile_add_string(p, pw_slice(buf, file.len + name.len + 1));
        if (ref == UINT32_MAX) {
            return PW_ENOMEM;
        }
        f->name_ref = pw_profile_ref(ref);
        f->system_name_ref = 0;
        f->start_line = 0;
    }
    return 0;
}

/* `-` to `_` in the names of sample types. */
static int
fix_type_names(struct pw_profile *p)
{
    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        struct pw_slice s = pw_profile_string(p, p->sample_type[i].type_ref);
        uint8_t *buf;
        uint32_t ref;

        if (s.len == 0 || memchr(s.ptr, '-', s.len) == NULL) {
            continue;
        }
        buf = pw_scratch_alloc(p->scratch, s.len);
        if (buf == NULL) {
            return PW_ENOMEM;
        }
        for (size_t b = 0; b < s.len; b++) {
            buf[b] = s.ptr[b] == '-' ? '_' : s.ptr[b];
        }
        ref = pw_profile_add_string(p, pw_slice(buf, s.len));
        if (ref == UINT32_MAX) {
            return PW_ENOMEM;
        }
        p->sample_type[i].type_ref = ref;
    }
    return 0;
}

/* Some .NET profilers leave every function id 0 and mean "same place as the location". */
static void
fix_function_ids(struct pw_profile *p)
{
    if (p->function_count != p->location_count) {
        return;
    }
    for (uint32_t i = 0; i < p->function_count; i++) {
        if (p->function[i].id != 0) {
            return;
        }
    }
    for (uint32_t i = 0; i < p->function_count; i++) {
        p->function[i].id = p->location_id[i];
    }
    p->dense_functions = p->dense_locations;
    p->zero_function_id = p->zero_location_id;
}

static bool
is_dotnet(struct pw_slice spy_name, const struct pw_sample_type_config *c)
{
    if (pw_slice_eq_str(spy_name, "dotnetspy")) {
        return true;
    }
    if (!pw_slice_eq_str(spy_name, "unknown")) {
        return false;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        if (pw_slice_eq_str(c->name[i], "inuse-space")) {
            return true;
        }
    }
    return false;
}

static bool
is_scripting(struct pw_slice spy_name)
{
    return pw_slice_eq_str(spy_name, "pyspy") || pw_slice_eq_str(spy_name, "rbspy") ||
           pw_slice_eq_str(spy_name, "scripting");
}

bool
pw_pprof_fixes(struct pw_slice spy_name, const struct pw_sample_type_config *c)
{
    return is_dotnet(spy_name, c) || is_scripting(spy_name);
}

int
pw_pprof_fix(struct pw_profile *p, struct pw_slice spy_name, int64_t from_ns,
             const struct pw_sample_type_config *c)
{
    if (p->time_nanos >= 0 && p->time_nanos < year_ns) {
        p->time_nanos = from_ns;
    }
    if (is_dotnet(spy_name, c)) {
        fix_function_ids(p);
        return fix_type_names(p);
    }
    if (is_scripting(spy_name)) {
        return fix_scripting(p, pw_slice_eq_str(spy_name, "pyspy"));
    }
    return 0;
}
