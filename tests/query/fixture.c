#include "tests/query/fixture.h"

#include "ingester/flush_blocks.h"
#include "pprof/profile.h"
#include "pprof/record.h"

#include "tests/support/cmocka_pw.h"

#include <ftw.h>
#include <profile.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY = 77, STRINGS_MAX = 512, LINES_MAX = 512, DEPTH_MAX = 64, SCRATCH = 64 << 20 };

/* --- A pprof from text ---------------------------------------------------------------------- */

struct maker {
    char *string[STRINGS_MAX];
    uint32_t string_count;
    char *frame[STRINGS_MAX]; /* location i + 1 */
    uint32_t frame_count;
    Google__V1__Sample *sample[LINES_MAX];
    uint32_t sample_count;
    struct pw_record_span_id span[LINES_MAX];
    uint32_t span_of[LINES_MAX]; /* index + 1 */
    uint32_t span_count;
};

static int64_t
string_of(struct maker *m, const char *s)
{
    for (uint32_t i = 0; i < m->string_count; i++) {
        if (strcmp(m->string[i], s) == 0) {
            return i;
        }
    }
    assert_true(m->string_count < STRINGS_MAX);
    m->string[m->string_count] = strdup(s);
    return m->string_count++;
}

static uint64_t
location_of(struct maker *m, const char *frame)
{
    for (uint32_t i = 0; i < m->frame_count; i++) {
        if (strcmp(m->frame[i], frame) == 0) {
            return i + 1;
        }
    }
    assert_true(m->frame_count < STRINGS_MAX);
    m->frame[m->frame_count++] = strdup(frame);
    return m->frame_count;
}

static void
hex(const char *s, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;

        assert_int_equal(sscanf(s + i * 2, "%2x", &v), 1);
        out[i] = (uint8_t)v;
    }
}

static void
read_span(struct maker *m, uint32_t sample, const char *text)
{
    struct pw_record_span_id *id = &m->span[m->span_count];
    const char *slash = strchr(text, '/');

    *id = (struct pw_record_span_id){.has_span = 1};
    hex(text, id->span_id, 8);
    if (slash != NULL) {
        hex(slash + 1, id->trace_id, 16);
        id->has_trace = 1;
    }
    m->span_of[sample] = ++m->span_count;
}

/* "a;b;c 4,400 @span/trace" */
static void
read_line(struct maker *m, char *line)
{
    Google__V1__Sample *s = calloc(1, sizeof(*s));
    char *value = strrchr(line, ' '), *save = NULL;
    uint64_t root_first[DEPTH_MAX];
    size_t depth = 0;

    google__v1__sample__init(s);
    if (value[1] == '@') {
        *value = 0;
        read_span(m, m->sample_count, value + 2);
        value = strrchr(line, ' ');
    }
    *value++ = 0;
    for (char *f = strtok_r(line, ";", &save); f != NULL; f = strtok_r(NULL, ";", &save)) {
        root_first[depth++] = location_of(m, f);
    }
    s->location_id = calloc(depth, sizeof(*s->location_id));
    for (size_t i = 0; i < depth; i++) {
        s->location_id[i] = root_first[depth - 1 - i];
    }
    s->n_location_id = depth;
    s->value = calloc(8, sizeof(*s->value));
    for (char *v = strtok_r(value, ",", &save); v != NULL; v = strtok_r(NULL, ",", &save)) {
        s->value[s->n_value++] = strtoll(v, NULL, 10);
    }
    m->sample[m->sample_count++] = s;
}

/* "type:unit" */
static Google__V1__ValueType *
value_type(struct maker *m, const char *text)
{
    Google__V1__ValueType *v = calloc(1, sizeof(*v));
    char buf[128], *colon;

    snprintf(buf, sizeof(buf), "%s", text);
    colon = strchr(buf, ':');
    *colon = 0;
    google__v1__value_type__init(v);
    v->type = string_of(m, buf);
    v->unit = string_of(m, colon + 1);
    return v;
}

static void
make_locations(struct maker *m, Google__V1__Profile *p)
{
    p->location = calloc(m->frame_count, sizeof(*p->location));
    p->function = calloc(STRINGS_MAX, sizeof(*p->function));
    for (uint32_t i = 0; i < m->frame_count; i++) {
        Google__V1__Location *loc = calloc(1, sizeof(*loc));
        char *part[8], *save = NULL;
        size_t parts = 0;

        google__v1__location__init(loc);
        loc->id = i + 1;
        loc->mapping_id = 1;
        for (char *x = strtok_r(m->frame[i], "|", &save); x; x = strtok_r(NULL, "|", &save)) {
            part[parts++] = x;
        }
        loc->line = calloc(parts, sizeof(*loc->line));
        for (size_t k = 0; k < parts; k++) { /* innermost first */
            Google__V1__Function *fn = calloc(1, sizeof(*fn));
            Google__V1__Line *line = calloc(1, sizeof(*line));
            char *number = strchr(part[parts - 1 - k], '~');

            if (number != NULL) {
                *number++ = 0;
            }
            google__v1__function__init(fn);
            google__v1__line__init(line);
            fn->id = p->n_function + 1;
            fn->name = fn->system_name = string_of(m, part[parts - 1 - k]);
            line->function_id = fn->id;
            line->line = number == NULL ? 10 : strtoll(number, NULL, 10);
            p->function[p->n_function++] = fn;
            loc->line[loc->n_line++] = line;
        }
        p->location[p->n_location++] = loc;
    }
}

static uint8_t *
make_pprof(struct maker *m, const struct qf_push *in, size_t *len)
{
    static Google__V1__Mapping mapping;
    Google__V1__Mapping *mappings[] = {&mapping};
    Google__V1__Profile p = GOOGLE__V1__PROFILE__INIT;
    Google__V1__ValueType *types[8];
    char *text = strdup(in->folded), *save = NULL;
    char *names = strdup(in->types == NULL ? "cpu:nanoseconds" : in->types);
    uint8_t *out;

    string_of(m, "");
    google__v1__mapping__init(&mapping);
    mapping.id = 1;
    mapping.filename = string_of(m, "/usr/bin/app");
    mapping.has_functions = in->has_functions;
    p.mapping = mappings;
    p.n_mapping = 1;
    for (char *l = strtok_r(text, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save)) {
        read_line(m, l);
    }
    p.sample_type = types;
    for (char *t = strtok_r(names, ",", &save); t != NULL; t = strtok_r(NULL, ",", &save)) {
        types[p.n_sample_type++] = value_type(m, t);
    }
    p.period_type = value_type(m, in->period == NULL ? "cpu:nanoseconds" : in->period);
    make_locations(m, &p);
    p.sample = m->sample;
    p.n_sample = m->sample_count;
    p.time_nanos = in->time_ms * 1000000;
    p.string_table = calloc(m->string_count, sizeof(*p.string_table));
    p.n_string_table = m->string_count;
    for (uint32_t i = 0; i < m->string_count; i++) {
        p.string_table[i] =
            (ProtobufCBinaryData){.len = strlen(m->string[i]), .data = (uint8_t *)m->string[i]};
    }
    *len = google__v1__profile__get_packed_size(&p);
    out = malloc(*len);
    google__v1__profile__pack(&p, out);
    free(text);
    free(names);
    return out; /* the small pieces live until the test ends */
}

/* --- Push ----------------------------------------------------------------------------------- */

static uint32_t
read_labels(const struct qf_push *in, char *text, struct pw_label_pair *pair)
{
    uint32_t n = 0;
    char *save = NULL;

    pair[n++] = (struct pw_label_pair){PW_SLICE_LIT("__name__"),
                                       pw_slice_str(in->name == NULL ? "process_cpu" : in->name)};
    for (char *p = strtok_r(text, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(p, '=');

        *eq = 0;
        pair[n++] = (struct pw_label_pair){pw_slice_str(p), pw_slice_str(eq + 1)};
    }
    return n;
}

void
qf_push(struct qf *f, const struct qf_push *in)
{
    struct maker *m = calloc(1, sizeof(*m));
    struct pw_scratch scratch;
    struct pw_profile *p = calloc(1, sizeof(*p));
    struct pw_label_pair pair[QF_LABELS_MAX];
    struct pw_labels labels = {.pair = pair, .cap = QF_LABELS_MAX};
    struct pw_head_append_info info;
    const char *err = NULL;
    uint32_t all[LINES_MAX];
    char text[256];
    size_t len;
    uint8_t *pprof = make_pprof(m, in, &len);
    struct pw_record_group group = {.labels = &labels, .sample = all, .span = m->span_of};
    struct pw_record_source src = {.profile = p,
                                   .tenant =
                                       pw_slice_str(in->tenant == NULL ? "anonymous" : in->tenant),
                                   .group = &group,
                                   .group_count = 1,
                                   .span_count = m->span_count,
                                   .span = m->span};

    assert_int_equal(pw_scratch_init_ctl(&scratch, SCRATCH), 0);
    assert_int_equal(pw_profile_parse(p, &scratch, KEY, pw_slice(pprof, len), &err), 0);
    assert_int_equal(pw_profile_normalize(p), 0);
    assert_int_equal(p->sample_count, m->sample_count); /* spans are by position */
    snprintf(text, sizeof(text), "%s", in->labels == NULL ? "service_name=app" : in->labels);
    labels.count = read_labels(in, text, pair);
    pw_labels_sort(&labels);
    group.sample_count = p->sample_count;
    memset(group.uuid, 0, sizeof(group.uuid));
    f->pushed++;
    group.uuid[15] = in->uuid != 0 ? in->uuid : (uint8_t)f->pushed;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        all[i] = i;
    }
    size_t cap = pw_align_up(pw_record_bytes_max(&src), 64);
    void *rec = aligned_alloc(64, cap);
    assert_true(pw_record_build(&src, rec, cap) > 0);
    assert_int_equal(pw_head_append(f->head[in->head], rec,
                                    (struct pw_now){.wall_ns = f->now_ms * 1000000}, 0, &info),
                     0);
    free(rec);
    free(pprof);
    free(p);
    pw_scratch_fini_ctl(&scratch);
    for (uint32_t i = 0; i < m->sample_count; i++) {
        free(m->sample[i]);
    }
    free(m);
}

/* --- Blocks --------------------------------------------------------------------------------- */

static void
new_head(struct qf *f, uint32_t i)
{
    struct pw_head_cfg head = {.bytes_max = 64 << 20, .hash_key = KEY, .tenants_max = 8};

    assert_int_equal(pw_head_create_ctl(&f->head[i], &head), 0);
}

/* The writer knows level 1 alone. */
static void
set_level(const char *dir, uint32_t level)
{
    static const char was[] = "\"level\": 1";
    char path[256], text[16384];
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "%s/meta.json", dir);
    file = fopen(path, "r+");
    assert_non_null(file);
    n = fread(text, 1, sizeof(text) - 1, file);
    text[n] = 0;
    char *at = strstr(text, was);
    assert_non_null(at);
    at[sizeof(was) - 2] = (char)('0' + level);
    rewind(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    fclose(file);
}

void
qf_cut(struct qf *f, const char *hostname, uint32_t level)
{
    static const struct pw_flush_store store = {.write = pw_block_write};
    struct pw_flush_blocks_cfg cfg = {.store = &store,
                                      .writer = {.dir = f->dir, .hostname = hostname},
                                      .window_ns = INT64_MAX / 2,
                                      .created_ns = f->now_ms * 1000000};
    struct pw_catalog_block add = {
        .close = pw_block_close, .remote = f->cut_to_bucket, .tenant = "anonymous"};
    struct pw_flush_blocks out = {0};
    struct pw_block_error err;
    struct pw_head_view v;
    char path[128], name[PW_ULID_CHARS + 1];

    if (f->dir[0] == 0) {
        snprintf(f->dir, sizeof(f->dir), "/tmp/pw-test-query-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
    }
    assert_true(pw_head_view_open(f->head[QF_ASIDE], PW_SLICE_LIT("anonymous"), &v));
    assert_int_equal(pw_flush_blocks_write(&cfg, &v, &out, &err), 0);
    assert_int_equal(out.count, 1);
    add.ulid = out.ulid[0];
    pw_ulid_print(&add.ulid, name);
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    if (level != 1) {
        set_level(path, level);
    }
    assert_int_equal(pw_block_open_later(&add.block, path, NULL, &err), 0);
    assert_int_equal(
        pw_catalog_edit(f->catalog, &(struct pw_catalog_edit){.add_block = &add, .add_blocks = 1}),
        0);
    pw_flush_blocks_fini(&out);
    pw_head_destroy_ctl(f->head[QF_ASIDE]);
    new_head(f, QF_ASIDE);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* --- Queries -------------------------------------------------------------------------------- */

static void
limits_of(void *ctx, struct pw_slice tenant, struct pw_query_limits *out)
{
    struct qf *f = ctx;

    (void)tenant;
    *out = f->limits;
}

/* The rules of distributor/limits.h in short: absent is an error, '/' is not allowed. */
static int
tenant_of(void *ctx, struct pw_slice header, struct pw_slice *tenant, struct pw_text *err)
{
    struct qf *f = ctx;

    (void)f;
    if (header.ptr == NULL || header.len == 0) {
        pw_text_str(err, "no org id");
        return PW_EPERM;
    }
    if (memchr(header.ptr, '/', header.len) != NULL) {
        pw_text_str(err, "tenant ID contains unsupported character '/'");
        return PW_EPERM;
    }
    *tenant = header;
    return 0;
}

static int
anonymous(void *ctx, struct pw_slice header, struct pw_slice *tenant, struct pw_text *err)
{
    (void)ctx;
    (void)header;
    (void)err;
    *tenant = PW_SLICE_LIT("anonymous");
    return 0;
}

void
qf_init(struct qf *f, bool multitenancy)
{
    qf_init_peer(f, multitenancy, NULL);
}

void
qf_init_peer(struct qf *f, bool multitenancy, const struct pw_peers *peers)
{
    struct pw_query_cfg cfg = {.multitenancy = multitenancy, .peers = peers};

    *f = (struct qf){.now_ms = 1800000000000,
                     .limits = {.max_query_lookback_ms = 7 * 86400000LL,
                                .max_query_length_ms = 86400000,
                                .max_flamegraph_nodes_default = 8192,
                                .max_flamegraph_nodes_max = 1048576}};
    for (uint32_t i = 0; i <= QF_ASIDE; i++) {
        new_head(f, i);
    }
    assert_int_equal(pw_catalog_create_ctl(&f->catalog), 0);
    assert_int_equal(pw_catalog_edit(f->catalog, &(struct pw_catalog_edit){.add_head = f->head,
                                                                           .add_heads = QF_HEADS}),
                     0);
    cfg.catalog = f->catalog;
    cfg.hash_key = KEY;
    cfg.hostname = QF_HOSTNAME;
    cfg.limits = limits_of;
    cfg.tenant = multitenancy ? tenant_of : anonymous;
    cfg.ctx = f;
    cfg.build.version = "test";
    assert_int_equal(pw_query_create_cold(&f->q, &cfg), 0);
    f->t = pw_query_thread_new_cold(f->q);
    assert_non_null(f->t);
}

static void
drop_reply(struct qf *f)
{
    free(f->rep.body);
    free(f->body);
    f->rep.body = NULL;
    f->body = NULL;
}

void
qf_fini(struct qf *f)
{
    drop_reply(f);
    pw_query_thread_free_cold(f->t);
    pw_query_destroy_cold(f->q);
    pw_catalog_destroy_ctl(f->catalog);
    pw_head_destroy_ctl(f->head[QF_ASIDE]);
    if (f->dir[0] != 0) {
        assert_int_equal(nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    }
}

void
qf_execute(struct qf *f, const struct pw_query_request *req)
{
    drop_reply(f);
    pw_query_execute_cold(f->t, req, &f->rep);
    f->body = calloc(1, f->rep.body_bytes + 1);
    if (f->rep.body_bytes > 0) {
        memcpy(f->body, f->rep.body, f->rep.body_bytes);
    }
}

static void
post(struct qf *f, const char *method, struct pw_slice body, const char *type)
{
    const struct pw_http_header h = {PW_SLICE_LIT("content-type"), pw_slice_str(type)};
    char path[200];

    snprintf(path, sizeof(path), "%s%s", method[0] == '/' ? "" : "/querier.v1.QuerierService/",
             method);
    qf_execute(f, &(struct pw_query_request){.method = PW_HTTP_METHOD_POST,
                                             .path = pw_slice_str(path),
                                             .headers = &h,
                                             .headers_count = 1,
                                             .body = body,
                                             .now_ms = f->now_ms});
}

void
qf_post(struct qf *f, const char *method, const char *json)
{
    post(f, method, pw_slice_str(json), "application/json");
}

void
qf_post_proto(struct qf *f, const char *method, struct pw_slice body)
{
    post(f, method, body, "application/proto");
}

void
qf_get(struct qf *f, const char *target)
{
    const char *q = strchr(target, '?');
    size_t n = q == NULL ? strlen(target) : (size_t)(q - target);

    qf_execute(f, &(struct pw_query_request){.method = PW_HTTP_METHOD_GET,
                                             .path = pw_slice(target, n),
                                             .query = q == NULL ? (struct pw_slice){0}
                                                                : pw_slice_str(q + 1),
                                             .now_ms = f->now_ms});
}

void
qf_expect(struct qf *f, const char *method, const char *json, const char *body)
{
    qf_post(f, method, json);
    if (f->rep.status != 200 || strcmp(f->body, body) != 0) {
        fail_msg("%s %s\n status %u\n got  %s\n want %s", method, json, f->rep.status, f->body,
                 body);
    }
}
