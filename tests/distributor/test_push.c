/* What is stored, and what is answered when it cannot be: split, merge, relabelling, fix-ups, several
 * cores, partial failures, full lanes, full heads, deadlines. Profiles are built with protobuf-c, the
 * ingester is played by the harness, records are read as text (pprof/record_text.h). */
#include "tests/distributor/harness.h"

#include "base/limits.h"
#include "distributor/metrics.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/prom_check.h"

#include <profile.pb-c.h>
#include <push.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

enum { STRINGS_MAX = 128, SAMPLES_MAX = 64, LABELS_MAX = 8, BODY_MAX = 1 << 20 };

static const char *const proto_header[] = {"Content-Type", "application/proto", NULL};

/* --- a profile under construction: one type, one frame per location --- */

struct prof {
    const char *string[STRINGS_MAX];
    uint32_t strings;
    Google__V1__Sample sample[SAMPLES_MAX];
    uint64_t locs[SAMPLES_MAX][8];
    int64_t value[SAMPLES_MAX];
    Google__V1__Label label[SAMPLES_MAX][LABELS_MAX];
    Google__V1__Label *label_ptr[SAMPLES_MAX][LABELS_MAX];
    uint32_t samples;
    uint32_t frames;
    int64_t frame_name[STRINGS_MAX];
    const char *file;     /* of all functions */
    const char *build_id; /* of the mapping */
    int64_t time_nanos;
};

/* Frame names live as long as the test program. */
static char *kept[1024];
static uint32_t kept_count;

static char *
keep(const char *s)
{
    assert_true(kept_count < PW_ARRAY_LEN(kept));
    kept[kept_count] = strdup(s);
    return kept[kept_count++];
}

static int
free_kept(void **state)
{
    (void)state;
    while (kept_count > 0) {
        free(kept[--kept_count]);
    }
    return 0;
}

static int64_t
str(struct prof *p, const char *s)
{
    for (uint32_t i = 0; i < p->strings; i++) {
        if (strcmp(p->string[i], s) == 0) {
            return i;
        }
    }
    assert_true(p->strings < STRINGS_MAX);
    p->string[p->strings] = s;
    return p->strings++;
}

static void
prof_init(struct prof *p)
{
    memset(p, 0, sizeof(*p));
    (void)str(p, "");
    (void)str(p, "cpu");
    (void)str(p, "nanoseconds");
}

/* stack: frames root first, at most 8; labels: key, value, ..., NULL. */
static void
prof_sample(struct prof *p, const char *stack, int64_t value, const char *const *labels)
{
    uint32_t i = p->samples++;
    Google__V1__Sample *s = &p->sample[i];
    char *copy = keep(stack);
    char *save = NULL;
    uint32_t n = 0;
    uint64_t ids[8];

    assert_true(i < SAMPLES_MAX);
    google__v1__sample__init(s);
    for (char *f = strtok_r(copy, ";", &save); f != NULL; f = strtok_r(NULL, ";", &save)) {
        int64_t name = str(p, f);
        uint32_t id = 0;

        while (id < p->frames && p->frame_name[id] != name) {
            id++;
        }
        if (id == p->frames) {
            p->frame_name[p->frames++] = name;
        }
        ids[n++] = id + 1;
    }
    for (uint32_t k = 0; k < n; k++) {
        p->locs[i][k] = ids[n - 1 - k];
    }
    p->value[i] = value;
    s->location_id = p->locs[i];
    s->n_location_id = n;
    s->value = &p->value[i];
    s->n_value = 1;
    s->label = p->label_ptr[i];
    for (uint32_t k = 0; labels != NULL && labels[2 * k] != NULL; k++) {
        google__v1__label__init(&p->label[i][k]);
        p->label[i][k].key = str(p, labels[2 * k]);
        p->label[i][k].str = str(p, labels[2 * k + 1]);
        p->label_ptr[i][k] = &p->label[i][k];
        s->n_label++;
    }
}

static size_t
prof_pack(struct prof *p, uint8_t *out)
{
    Google__V1__Profile m = GOOGLE__V1__PROFILE__INIT;
    Google__V1__ValueType type = GOOGLE__V1__VALUE_TYPE__INIT;
    Google__V1__ValueType *types[] = {&type};
    Google__V1__Mapping map = GOOGLE__V1__MAPPING__INIT;
    Google__V1__Mapping *maps[] = {&map};
    Google__V1__Sample *samples[SAMPLES_MAX];
    Google__V1__Location loc[STRINGS_MAX];
    Google__V1__Location *locs[STRINGS_MAX];
    Google__V1__Line line[STRINGS_MAX];
    Google__V1__Line *lines[STRINGS_MAX][1];
    Google__V1__Function fn[STRINGS_MAX];
    Google__V1__Function *fns[STRINGS_MAX];
    ProtobufCBinaryData strings[STRINGS_MAX];

    type.type = 1;
    type.unit = 2;
    map.id = 1;
    map.build_id = p->build_id == NULL ? 0 : str(p, p->build_id);
    for (uint32_t i = 0; i < p->frames; i++) {
        google__v1__location__init(&loc[i]);
        google__v1__line__init(&line[i]);
        google__v1__function__init(&fn[i]);
        fn[i].id = loc[i].id = line[i].function_id = i + 1;
        fn[i].name = p->frame_name[i];
        fn[i].filename = p->file == NULL ? 0 : str(p, p->file);
        loc[i].mapping_id = 1;
        loc[i].n_line = 1;
        lines[i][0] = &line[i];
        loc[i].line = lines[i];
        locs[i] = &loc[i];
        fns[i] = &fn[i];
    }
    for (uint32_t i = 0; i < p->samples; i++) {
        samples[i] = &p->sample[i];
    }
    for (uint32_t i = 0; i < p->strings; i++) {
        strings[i].data = (uint8_t *)(uintptr_t)p->string[i];
        strings[i].len = strlen(p->string[i]);
    }
    m.sample_type = types;
    m.n_sample_type = 1;
    m.sample = samples;
    m.n_sample = p->samples;
    m.mapping = maps;
    m.n_mapping = 1;
    m.location = locs;
    m.n_location = p->frames;
    m.function = fns;
    m.n_function = p->frames;
    m.string_table = strings;
    m.n_string_table = p->strings;
    m.period_type = &type;
    m.period = 10000000;
    m.time_nanos = p->time_nanos;
    return google__v1__profile__pack(&m, out);
}

/* --- a push request --- */

struct push {
    uint8_t *body;
    size_t len;
};

/* Appends a series: "a=b,c=d" and one raw profile. */
static void
push_series(struct push *q, const char *labels, const void *raw, size_t raw_len)
{
    Types__V1__LabelPair pair[LABELS_MAX * 8];
    Types__V1__LabelPair *pairs[LABELS_MAX * 8];
    Push__V1__RawSample s = PUSH__V1__RAW_SAMPLE__INIT;
    Push__V1__RawSample *samples[] = {&s};
    Push__V1__RawProfileSeries r = PUSH__V1__RAW_PROFILE_SERIES__INIT;
    Push__V1__RawProfileSeries *series[] = {&r};
    Push__V1__PushRequest req = PUSH__V1__PUSH_REQUEST__INIT;
    char *copy = strdup(labels);
    char *save = NULL;

    if (q->body == NULL) {
        q->body = malloc(BODY_MAX);
    }
    for (char *l = strtok_r(copy, ",", &save); l != NULL; l = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(l, '=');

        *eq = 0;
        types__v1__label_pair__init(&pair[r.n_labels]);
        pair[r.n_labels].name = l;
        pair[r.n_labels].value = eq + 1;
        pairs[r.n_labels] = &pair[r.n_labels];
        r.n_labels++;
    }
    r.labels = pairs;
    s.raw_profile.data = (uint8_t *)(uintptr_t)raw;
    s.raw_profile.len = raw_len;
    r.samples = samples;
    r.n_samples = 1;
    req.series = series;
    req.n_series = 1;
    /* two encoded messages one after the other are their merge */
    q->len += push__v1__push_request__pack(&req, q->body + q->len);
    assert_true(q->len < BODY_MAX);
    free(copy);
}

static void
push_profile(struct push *q, const char *labels, struct prof *p)
{
    uint8_t *raw = malloc(BODY_MAX);

    push_series(q, labels, raw, prof_pack(p, raw));
    free(raw);
}

static void
call(struct pw_t *t, struct push *q)
{
    pw_t_call(t, &(struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                        .header = proto_header,
                                        .body = q->body,
                                        .body_len = q->len});
    free(q->body);
    *q = (struct push){0};
}

static void
send_only(struct pw_t *t, struct push *q)
{
    pw_t_send(t, &(struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                        .header = proto_header,
                                        .body = q->body,
                                        .body_len = q->len});
    free(q->body);
    *q = (struct push){0};
}

static void
expect(const struct pw_t *t, uint16_t status, const char *body)
{
    if (t->reply.status != status || strcmp((const char *)t->reply.body, body) != 0) {
        fail_msg("got %u %s, want %u %s", t->reply.status, (const char *)t->reply.body, status,
                 body);
    }
}

#define OK_LABELS "__name__=process_cpu,service_name=svc"
#define LS        "{__name__=\"process_cpu\", service_name=\"svc\"}"

static const char *const ctx_a[] = {"ctx", "a", NULL};
static const char *const ctx_b[] = {"ctx", "b", NULL};

/* --- what is stored --- */

static void
test_push__sample_labels__become_series(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "main;foo", 1, NULL);
    prof_sample(&p, "main;bar", 2, ctx_a);
    prof_sample(&p, "main;foo", 4, ctx_b);
    prof_sample(&p, "main;bar", 8, ctx_a); /* merges with the second */
    push_profile(&q, OK_LABELS, &p);
    call(&t, &q);
    expect(&t, 200, "");
    assert_int_equal(t.records, 1); /* one core: one record for all three series */
    assert_string_equal(t.stored, LS " cpu/nanoseconds\nmain;foo 1\n"
                                     "{__name__=\"process_cpu\", ctx=\"a\", service_name=\"svc\"} "
                                     "cpu/nanoseconds\nmain;bar 10\n"
                                     "{__name__=\"process_cpu\", ctx=\"b\", service_name=\"svc\"} "
                                     "cpu/nanoseconds\nmain;foo 4\n");
    pw_t_down(&t);
}

static void
test_push__series_label_against_sample_label__the_series_wins(void **state)
{
    static const char *const both[] = {"ctx", "inner", "service_name", "other", NULL};
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "f", 1, both);
    prof_sample(&p, "f", 2, NULL);
    push_profile(&q, OK_LABELS ",ctx=outer", &p);
    call(&t, &q);
    expect(&t, 200, "");
    /* two label sets, one final label set: equal groups and equal stacks are summed */
    assert_string_equal(t.stored, "{__name__=\"process_cpu\", ctx=\"outer\", service_name=\"svc\"} "
                                  "cpu/nanoseconds\nf 3\n");
    pw_t_down(&t);
}

static void
test_push__span_ids__stay_on_samples(void **state)
{
    static const char *const span[] = {"span_id", "0123456789ABCDEF", NULL};
    static const char *const old_span[] = {"profile_id", "00000000000000ff", "ctx", "a", NULL};
    static const char *const bad[] = {"span_id", "not-hex-not-hex!", NULL};
    static const char *const last_bad[] = {"span_id", "0123456789abcdeg", NULL};
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "f", 1, span);
    prof_sample(&p, "f", 2, NULL);
    prof_sample(&p, "f", 4, old_span);
    prof_sample(&p, "f", 8, bad); /* dropped silently: the sample is one without a span */
    prof_sample(&p, "f", 16, last_bad);
    push_profile(&q, OK_LABELS, &p);
    call(&t, &q);
    expect(&t, 200, "");
    assert_string_equal(t.stored, LS " cpu/nanoseconds\nf span=0123456789abcdef 1\nf 26\n"
                                     "{__name__=\"process_cpu\", ctx=\"a\", service_name=\"svc\"} "
                                     "cpu/nanoseconds\nf span=00000000000000ff 4\n");
    pw_t_down(&t);
}

static void
test_push__hidden_labels__stripped_renamed_or_kept(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    push_profile(&q,
                 "__name__=godeltaprof_memory,__delta__=true,__order__=x,__otel__=true,__x__=y,"
                 "__session_id__=0123456789abcdef,service_name=svc,e=",
                 &p);
    call(&t, &q);
    expect(&t, 200, "");
    assert_string_equal(t.stored, "{__name__=\"memory\", __name_replaced__=\"godeltaprof_memory\", "
                                  "__otel__=\"true\", __x__=\"y\", service_name=\"svc\"} "
                                  "cpu/nanoseconds\nf 1\n");
    /* max_sessions_per_series 8: little-endian value modulo 8, written the same way */
    pw_overrides_tenant_cold(t.overrides, PW_SLICE_LIT("anonymous"))->max_sessions_per_series = 8;
    push_profile(&q, OK_LABELS ",__session_id__=0b00000000000000", &p);
    push_profile(&q, OK_LABELS ",__session_id__=xyz", &p);
    call(&t, &q);
    expect(&t, 200, "");
    assert_string_equal(t.stored, "{__name__=\"process_cpu\", __session_id__=\"0300000000000000\", "
                                  "service_name=\"svc\"} cpu/nanoseconds\nf 1\n" LS
                                  " cpu/nanoseconds\nf 1\n");
    pw_t_down(&t);
}

static void
test_push__uuid_time_and_tenant__set(void **state)
{
    static const char *const header[] = {"Content-Type", "application/proto", "X-Scope-OrgID",
                                         "team:x", NULL};
    struct pw_t t;
    struct prof p;
    struct push q = {0};
    uint8_t first[16];

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){.multitenancy = true});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    p.time_nanos = pw_wall_ns() - 60000000000LL;
    for (int i = 0; i < 2; i++) {
        push_profile(&q, OK_LABELS, &p);
        pw_t_call(&t, &(struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                             .header = header,
                                             .body = q.body,
                                             .body_len = q.len});
        expect(&t, 200, "");
        assert_int_equal(t.last_uuid[6] >> 4, 4);
        assert_int_equal(t.last_uuid[8] >> 6, 2);
        assert_int_equal(t.last_time_nanos, p.time_nanos);
        assert_string_equal(t.last_tenant, "team");
        if (i == 0) {
            memcpy(first, t.last_uuid, 16);
        } else {
            assert_memory_not_equal(first, t.last_uuid, 16);
        }
        free(q.body);
        q = (struct push){0};
    }
    pw_t_down(&t);
}

static void
test_push__several_cores__each_series_goes_to_its_token(void **state)
{
    struct pw_t one;
    struct pw_t four;
    struct prof p;
    struct push q = {0};
    static const char *ctx[32][3];
    static char name[32][8];

    (void)state;
    prof_init(&p);
    for (uint32_t i = 0; i < 32; i++) {
        snprintf(name[i], sizeof(name[i]), "c%u", i);
        ctx[i][0] = "ctx";
        ctx[i][1] = name[i];
        prof_sample(&p, "f", 1, ctx[i]);
    }
    pw_t_up(&four, &(struct pw_t_cfg){.cores = 4});
    push_profile(&q, OK_LABELS, &p);
    call(&four, &q);
    expect(&four, 200, "");
    assert_int_equal(four.records, 4); /* 32 tokens over 4 cores: all are hit, one record each */
    pw_t_down(&four);
    pw_t_up(&one, &(struct pw_t_cfg){.cores = 1});
    push_profile(&q, OK_LABELS, &p);
    call(&one, &q);
    assert_int_equal(one.records, 1);
    pw_t_down(&one);
}

static void
test_push__large_record__travels_in_the_bulk_pool(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};
    char *huge = malloc(60001);
    char *huge2 = malloc(60001);

    (void)state;
    memset(huge, 'h', 60000);
    memset(huge2, 'i', 60000);
    huge[60000] = huge2[60000] = 0;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, huge, 1, NULL);
    prof_sample(&p, huge2, 2, NULL);
    push_profile(&q, OK_LABELS, &p);
    call(&t, &q);
    expect(&t, 200, "");
    assert_int_equal(t.records, 1);
    assert_true(t.stored_len > 120000);
    pw_t_down(&t); /* asserts nothing is in flight; the pool's level is in the metrics test */
    free(huge);
    free(huge2);
}

static void
test_push__repository_labels__injected_into_build_id(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    p.build_id = "b\"1";
    prof_sample(&p, "f", 1, NULL);
    push_profile(&q, OK_LABELS ",service_repository=https://r,service_git_ref=HEAD", &p);
    send_only(&t, &q);
    {
        struct pw_lane_record rec;
        static const char want[] =
            "{\"repository\":\"https://r\",\"git_ref\":\"HEAD\",\"build_id\":\"b\\\"1\"}";

        assert_int_equal(pw_lane_pop_burst(t.out[0], &rec, 1), 1);
        assert_non_null(memmem(rec.data, rec.bytes, want, sizeof(want) - 1));
        /* not released: popped again by the ingester below would be wrong, so answer here */
        {
            const uint64_t *cookie = rec.data; /* struct pw_lane_push.slot */
            uint64_t done[4] = {*cookie};
            void *to = pw_lane_reserve(t.back[0], sizeof(done));

            memcpy(to, done, sizeof(done));
            pw_lane_commit(t.back[0], 2, sizeof(done));
            pw_lane_flush(t.back[0]);
            pw_lane_release(t.out[0], 1);
        }
    }
    pw_t_settle(&t);
    expect(&t, 200, "");
    pw_t_down(&t);
}

/* --- /ingest --- */

static void
ingest(struct pw_t *t, const char *path, const void *body, size_t len)
{
    pw_t_call(t, &(struct pw_t_request){.path = path, .body = body, .body_len = len});
}

static void
test_ingest__folded__stored_with_period_and_labels(void **state)
{
    static const char body[] = "main;foo 3\nmain;bar 4\nmain;foo 1\n";
    struct pw_t t;

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    ingest(&t, "/ingest?name=shop.cart.cpu%7Benv=prod,__hidden__=x%7D&spyName=gospy&sampleRate=50",
           body, strlen(body));
    expect(&t, 200, "");
    assert_string_equal(t.stored,
                        "{__name__=\"process_cpu\", env=\"prod\", pyroscope_spy=\"gospy\", "
                        "service_name=\"shop.cart\"} cpu/nanoseconds\n"
                        "main;foo 80000000\nmain;bar 80000000\n");
    assert_string_equal(t.reply.headers, "Vary: Accept-Encoding\r\n");
    ingest(&t, "/ingest?name=app.alloc_space%7Bservice_name=own%7D&from=now-5m", body,
           strlen(body));
    expect(&t, 200, "");
    assert_string_equal(t.stored,
                        "{__name__=\"memory\", app_name=\"app\", pyroscope_spy=\"unknown\", "
                        "service_name=\"own\"} alloc_space/bytes\nmain;foo 4\nmain;bar 4\n");
    assert_in_range(t.last_time_nanos, pw_wall_ns() - 301000000000LL,
                    pw_wall_ns() - 299000000000LL);
    /* accepted and discarded */
    ingest(&t, "/ingest?name=app%7Bprofile_id=1%7D", body, strlen(body));
    expect(&t, 200, "");
    assert_int_equal(t.records, 0);
    /* rate above 1e9: period 0, all values zero */
    ingest(&t, "/ingest?name=app&sampleRate=2000000000", body, strlen(body));
    expect(&t, 200, "");
    assert_int_equal(t.records, 0);
    pw_t_down(&t);
}

static void
test_ingest__pprof_of_scripting_languages__names_carry_the_file(void **state)
{
    struct pw_t t;
    struct prof p;
    uint8_t *raw = malloc(BODY_MAX);
    size_t n;

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    p.file = "lib/a.py";
    prof_sample(&p, "main;foo", 1, NULL);
    n = prof_pack(&p, raw);
    ingest(&t, "/ingest?name=app.web&format=pprof&spyName=pyspy", raw, n);
    expect(&t, 200, "");
    /* pprof keeps the whole application name; time 0 became `from` */
    assert_string_equal(
        t.stored, "{__name__=\"process_cpu\", pyroscope_spy=\"pyspy\", "
                  "service_name=\"app.web\"} cpu/nanoseconds\nlib/a.py main;lib/a.py foo 1\n");
    prof_init(&p);
    p.file = "/abs/a.py";
    prof_sample(&p, "main;foo", 1, NULL);
    n = prof_pack(&p, raw);
    ingest(&t, "/ingest?name=app&format=pprof&spyName=pyspy", raw, n);
    assert_non_null(strstr(t.stored, "\nmain;foo 1\n"));
    ingest(&t, "/ingest?name=app&format=pprof&spyName=rbspy", raw, n);
    assert_non_null(strstr(t.stored, "\n/abs/a.py main;/abs/a.py foo 1\n"));
    ingest(&t, "/ingest?name=app&format=pprof&spyName=gospy", raw, n);
    assert_non_null(strstr(t.stored, "\nmain;foo 1\n"));
    free(raw);
    pw_t_down(&t);
}

static void
test_ingest__formats_of_later__501_names_the_format(void **state)
{
    static const char *const trie[] = {"Content-Type", "binary/octet-stream+trie", NULL};
    struct pw_t t;

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    ingest(&t, "/ingest?name=a&format=jfr", "x", 1);
    expect(&t, 501,
           "{\"code\":\"unimplemented\",\"message\":\"format jfr is not implemented by this server "
           "yet\"}\n");
    pw_t_call(&t, &(struct pw_t_request){.path = "/pyroscope/ingest?name=a", .header = trie});
    expect(
        &t, 501,
        "{\"code\":\"unimplemented\",\"message\":\"format trie is not implemented by this server "
        "yet\"}\n");
    pw_t_call(&t, &(struct pw_t_request){.path = "/v1development/profiles",
                                         .header = (const char *const[]){
                                             "Content-Type", "application/x-protobuf", NULL}});
    assert_int_equal(t.reply.status, 501);
    /* an unknown name is judged before the format */
    ingest(&t, "/ingest?format=jfr", "x", 1);
    assert_int_equal(t.reply.status, 400);
    pw_t_down(&t);
}

static void
test_ingest__tenants__status_depends_on_the_format(void **state)
{
    static const char *const bad[] = {"X-Scope-OrgID", "a|b", NULL};
    struct pw_t t;

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){.multitenancy = true});
    pw_t_call(&t, &(struct pw_t_request){
                      .path = "/ingest?name=a", .header = bad, .body = "m 1", .body_len = 3});
    expect(&t, 401, "{\"code\":\"unauthenticated\",\"message\":\"multiple org IDs present\"}");
    pw_t_call(&t, &(struct pw_t_request){.path = "/ingest?name=a&format=pprof",
                                         .header = bad,
                                         .body = "0123456789a",
                                         .body_len = 11});
    expect(&t, 422,
           "{\"code\":\"unknown\",\"message\":\"parsing IngestInput-pprof failed multiple org IDs "
           "present\"}\n");
    pw_t_call(&t, &(struct pw_t_request){.path = "/ingest?name=a&format=pprof", .header = bad});
    expect(&t, 200, "");
    pw_t_down(&t);
}

/* --- failures --- */

static void
test_push__partial_failure__good_series_stay_stored(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    push_series(&q, OK_LABELS, "garbage-garbage", 15);
    push_profile(&q, OK_LABELS ",i=1", &p);
    push_profile(&q, "service_name=svc", &p);
    push_profile(&q, OK_LABELS ",i=2", &p);
    call(&t, &q);
    /* the coded failure wins over the undecodable one */
    expect(
        &t, 400,
        "{\"code\":\"invalid_argument\",\"message\":\"invalid labels '{service_name=\\\"svc\\\"}' "
        "with error: invalid metric name\"}");
    assert_int_equal(t.records, 2);
    push_series(&q, OK_LABELS, "garbage-garbage", 15);
    push_profile(&q, OK_LABELS, &p);
    push_series(&q, OK_LABELS, "", 0);
    call(&t, &q);
    assert_int_equal(t.reply.status, 400);
    assert_non_null(strstr((char *)t.reply.body, "\"2 errors: "));
    assert_non_null(strstr((char *)t.reply.body, "; gzip reset: EOF\"}"));
    assert_int_equal(t.records, 1);
    pw_t_down(&t);
}

static void
test_push__batch_over_the_body_limit__nothing_is_stored(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    pw_overrides_tenant_cold(t.overrides, PW_SLICE_LIT("anonymous"))->ingestion_body_limit_mb =
        0.0001; /* 104 bytes */
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    push_profile(&q, OK_LABELS ",i=1", &p);
    push_profile(&q, OK_LABELS ",i=2", &p);
    call(&t, &q);
    expect(&t, 400,
           "{\"code\":\"invalid_argument\",\"message\":\"uncompressed batched profile payload size "
           "exceeds limit of 104 B\"}");
    assert_int_equal(t.records, 0);
    pw_t_down(&t);
}

static void
test_push__ingester_refuses__the_client_hears_why(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};
    uint8_t *raw = malloc(BODY_MAX);
    size_t n;

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    t.answer_status = PW_ERANGE;
    t.answer_actual = t.answer_limit = 5000;
    push_profile(&q, OK_LABELS, &p);
    call(&t, &q);
    expect(&t, 429,
           "{\"code\":\"resource_exhausted\",\"message\":\"Maximum active series limit exceeded "
           "(5000/5000), reduce the number of active streams (reduce labels or reduce label "
           "values), or contact your administrator to see if the limit can be increased\"}");
    n = prof_pack(&p, raw);
    t.answer_status = PW_ENOMEM;
    t.answer_actual = t.answer_limit = 1 << 30;
    ingest(&t, "/ingest?name=a&format=pprof", raw, n);
    expect(&t, 429,
           "{\"code\":\"resource_exhausted\",\"message\":\"pushing IngestInput-pprof failed push "
           "series with index 0 and id  failed: resource_exhausted: head memory limit reached (1.0 "
           "GiB of 1.0 GiB), the profile was not stored\"}\n");
    t.answer_status = PW_EBUSY;
    t.answer_actual = 3 << 20;
    t.answer_limit = 2 << 20;
    ingest(&t, "/ingest?name=a&format=pprof", raw, n);
    expect(
        &t, 429,
        "{\"code\":\"resource_exhausted\",\"message\":\"pushing IngestInput-pprof failed push "
        "series with index 0 and id  failed: resource_exhausted: this tenant's share of the head "
        "memory is used (3.0 MiB held, 2.0 MiB allowed now), the profile was not stored, retry "
        "later\"}\n");
    free(raw);
    pw_t_down(&t);
}

static void
test_push__tenant_near_its_share__its_bodies_wait_and_no_others(void **state)
{
    static const char *const greedy[] = {"X-Scope-OrgID", "greedy", NULL};
    static const char *const modest[] = {"X-Scope-OrgID", "modest", NULL};
    struct pw_t_request r = {
        .path = "/ingest?name=a&format=folded", .body = "a;b 1\n", .body_len = 6};
    struct pw_t t;
    struct pw_text text;

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){.multitenancy = true, .cores = 2});
    r.header = greedy;
    pw_t_call(&t, &r);
    assert_false(t.pressed);
    atomic_store(&t.pressure.tenant[0],
                 pw_tenant_pressure_key(PW_T_HASH_KEY, pw_slice_str("greedy")));
    atomic_store(&t.pressure.count, 1);
    pw_t_call(&t, &r);
    assert_true(t.pressed);
    assert_true(pw_distributor_pressed(t.d, t.pressed_key));
    r.header = modest;
    pw_t_call(&t, &r);
    assert_false(t.pressed);
    r.header = greedy;
    pw_t_call(&t, &r);
    atomic_store(&t.pressure.count, 0);
    assert_false(pw_distributor_pressed(t.d, t.pressed_key));
    pw_text_init(&text, 1 << 20);
    pw_distributor_metrics(&t.d, 1, &text);
    pw_text_char(&text, 0);
    assert_non_null(
        strstr((char *)text.ptr, "pyrowire_distributor_slowed_total{tenant=\"greedy\"} 2\n"));
    pw_text_fini(&text);
    pw_t_down(&t);
}

static void
test_push__thread_behind__every_body_waits(void **state)
{
    struct pw_t_request r = {
        .path = "/ingest?name=a&format=folded", .body = "a;b 1\n", .body_len = 6};
    struct pw_t_reply reply = {.body = malloc(PW_T_REPLY_MAX + 1)};
    struct pw_t t;

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){.slots_max = 16});
    for (uint32_t i = 0; i < 9; i++) { /* more than half of the slots */
        pw_t_send_on(&t, i, &r, &reply);
        assert_false(t.pressed);
    }
    pw_t_send_on(&t, 9, &r, &reply);
    assert_true(t.pressed);
    pw_t_settle(&t);
    assert_false(pw_distributor_pressed(t.d, t.pressed_key));
    free(reply.body);
    pw_t_down(&t);
}

static void
test_push__lane_full__503_and_recovers(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};
    uint32_t sent = 0;

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){.lane_bytes = 64 << 10, .slots_max = 4096});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    do { /* no ingester runs */
        push_profile(&q, OK_LABELS, &p);
        send_only(&t, &q);
        sent += t.reply.count == 0;
    } while (t.reply.count == 0 && sent < 1000);
    expect(&t, 503, "{\"code\":\"unavailable\",\"message\":\"ingester queue is full, retry\"}");
    assert_in_range(sent, 20, 500);
    assert_int_equal(pw_distributor_in_flight(t.d), sent);
    t.reply.count = 0;
    pw_t_settle(&t);
    while (pw_distributor_in_flight(t.d) != 0) {
        pw_t_settle(&t);
    }
    assert_int_equal(t.reply.count, sent);
    push_profile(&q, OK_LABELS, &p);
    call(&t, &q);
    expect(&t, 200, "");
    pw_t_down(&t);
}

static void
test_push__slots_used_up__503(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){.slots_max = 2});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    for (int i = 0; i < 3; i++) {
        push_profile(&q, OK_LABELS, &p);
        send_only(&t, &q);
        assert_int_equal(t.reply.count, i == 2 ? 1 : 0);
    }
    expect(&t, 503, "{\"code\":\"unavailable\",\"message\":\"ingester queue is full, retry\"}");
    pw_t_settle(&t);
    pw_t_down(&t);
}

static void
test_push__no_acknowledgement__504_after_the_deadline(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    push_profile(&q, OK_LABELS, &p);
    send_only(&t, &q);
    t.now_tsc += 4999 * 1000000ULL;
    assert_int_equal(pw_distributor_poll(t.d, t.now_tsc), 0);
    assert_int_equal(t.reply.count, 0);
    t.now_tsc += 1000000;
    assert_int_equal(pw_distributor_poll(t.d, t.now_tsc), 1);
    expect(&t, 504, "{\"code\":\"deadline_exceeded\",\"message\":\"context deadline exceeded\"}");
    /* the slot waits for the record, then goes without a second answer */
    assert_int_equal(pw_distributor_in_flight(t.d), 1);
    pw_t_settle(&t);
    assert_int_equal(t.reply.count, 1);
    assert_int_equal(pw_distributor_in_flight(t.d), 0);
    pw_t_down(&t);
}

static void
test_push__connect_timeout__shortens_the_deadline(void **state)
{
    static const char *const header[] = {"Content-Type", "application/proto", "Connect-Timeout-Ms",
                                         "100", NULL};
    static const char *const bad[] = {"Content-Type", "application/proto", "Connect-Timeout-Ms",
                                      "abc", NULL};
    struct pw_t t;
    struct prof p;
    struct push q = {0};

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    push_profile(&q, OK_LABELS, &p);
    pw_t_send(&t, &(struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                         .header = header,
                                         .body = q.body,
                                         .body_len = q.len});
    t.now_tsc += 101 * 1000000ULL;
    assert_int_equal(pw_distributor_poll(t.d, t.now_tsc), 1);
    assert_int_equal(t.reply.status, 504);
    pw_t_settle(&t);
    pw_t_call(&t, &(struct pw_t_request){
                      .path = "/push.v1.PusherService/Push", .header = bad, .body = q.body});
    expect(&t, 400,
           "{\"code\":\"invalid_argument\",\"message\":\"parse timeout: strconv.ParseInt: parsing "
           "\\\"abc\\\": invalid syntax\"}");
    free(q.body);
    pw_t_down(&t);
}

static void
test_push__error_larger_than_a_copied_reply__arrives_whole(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};
    char labels[8192];
    int n = snprintf(labels, sizeof(labels), OK_LABELS ",big=%05000d", 0);

    (void)state;
    assert_true(n < (int)sizeof(labels));
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    push_profile(&q, labels, &p);
    call(&t, &q);
    assert_int_equal(t.reply.status, 400);
    assert_true(t.reply.body_len > 10000); /* the value is in it twice */
    assert_non_null(strstr((char *)t.reply.body, "has label value too long: '0"));
    assert_string_equal((char *)t.reply.body + t.reply.body_len - 4, "0'\"}");
    pw_t_down(&t);
}

static void
test_push__thousands_of_labels__refused_cheaply(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};
    uint8_t raw[1024];
    size_t n;
    uint8_t *body = malloc(2 << 20);
    size_t at = 0;

    (void)state;
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    n = prof_pack(&p, raw);
    /* a series of 100,000 labels in falling order, by hand: { name: "lNNNNNN" value: "v" } */
    for (uint32_t i = 0; i < 100000; i++) {
        at += (size_t)sprintf((char *)body + 16 + at, "\x0a\x0c\x0a\x07l%06u\x12\x01v", 999999 - i);
    }
    {
        uint8_t *b = body + 16;
        uint32_t len = (uint32_t)at + 6 + (uint32_t)n;

        b[at++] = 0x12; /* samples */
        b[at++] = (uint8_t)(((n + 3) & 0x7F) | 0x80);
        b[at++] = (uint8_t)((n + 3) >> 7);
        b[at++] = 0x0a; /* raw_profile */
        b[at++] = (uint8_t)((n & 0x7F) | 0x80);
        b[at++] = (uint8_t)(n >> 7);
        memcpy(b + at, raw, n);
        at += n;
        assert_int_equal(at, len);
        b[-4] = 0x0a;
        b[-3] = (uint8_t)((len & 0x7F) | 0x80);
        b[-2] = (uint8_t)(((len >> 7) & 0x7F) | 0x80);
        b[-1] = (uint8_t)(len >> 14);
    }
    pw_t_up(&t, &(struct pw_t_cfg){0});
    q = (struct push){.body = body, .len = at + 4};
    pw_t_call(&t, &(struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                         .header = proto_header,
                                         .body = body + 12,
                                         .body_len = q.len});
    assert_int_equal(t.reply.status, 400);
    assert_non_null(strstr((char *)t.reply.body, "has 100001 label names; limit 30"));
    assert_int_equal(t.records, 0);
    free(body);
    pw_t_down(&t);
}

static void
test_push__scratch_too_small__429_not_a_crash(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};
    char *huge = malloc(300001);

    (void)state;
    memset(huge, 'h', 300000);
    huge[300000] = 0;
    for (size_t scratch = 270 << 10; scratch < 1200 << 10; scratch += 40 << 10) {
        pw_t_up(&t, &(struct pw_t_cfg){.scratch_bytes = scratch});
        pw_overrides_tenant_cold(t.overrides, PW_SLICE_LIT("anonymous"))
            ->max_profile_symbol_value_length = 0;
        prof_init(&p);
        prof_sample(&p, huge, 1, ctx_a);
        push_profile(&q, OK_LABELS, &p);
        call(&t, &q);
        assert_true(t.reply.status == 200 || t.reply.status == 429);
        pw_t_down(&t);
    }
    free(huge);
}

/* --- metrics --- */

static void
test_pw_distributor_metrics__after_traffic__valid_and_counted(void **state)
{
    struct pw_t t;
    struct prof p;
    struct push q = {0};
    struct pw_text page;
    struct pw_text err;
    char buf[512];

    (void)state;
    pw_t_up(&t, &(struct pw_t_cfg){0});
    prof_init(&p);
    prof_sample(&p, "f", 1, NULL);
    push_profile(
        &q, OK_LABELS ",otel.scope.name=com.grafana.pyroscope/go,otel.scope.version=v1.2.3", &p);
    call(&t, &q);
    push_profile(&q, "service_name=svc", &p);
    call(&t, &q);
    ingest(&t, "/ingest?name=a.b.foo", "m 1", 3);
    pw_text_init(&page, 1 << 20);
    pw_distributor_metrics(&t.d, 1, &page);
    assert_false(page.failed);
    pw_text_fixed(&err, buf, sizeof(buf));
    if (prom_check(pw_slice(page.ptr, page.len), &err) != 0) {
        fail_msg("%.*s", (int)err.len, buf);
    }
    pw_text_char(&page, 0);
    assert_non_null(strstr((char *)page.ptr,
                           "pyroscope_discarded_samples_total{reason=\"invalid_labels\",tenant="
                           "\"anonymous\"} 1\n"));
    assert_non_null(strstr((char *)page.ptr,
                           "pyroscope_distributor_profiles_received_total{scope_name=\"com.grafana."
                           "pyroscope/go\",scope_version=\"v1.2.3\",tenant=\"anonymous\"} 1\n"));
    assert_non_null(strstr((char *)page.ptr, "pyrowire_distributor_bulk_bytes 0\n"));
    pw_text_fini(&page);
    pw_t_down(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push__sample_labels__become_series),
        cmocka_unit_test(test_push__series_label_against_sample_label__the_series_wins),
        cmocka_unit_test(test_push__span_ids__stay_on_samples),
        cmocka_unit_test(test_push__hidden_labels__stripped_renamed_or_kept),
        cmocka_unit_test(test_push__uuid_time_and_tenant__set),
        cmocka_unit_test(test_push__several_cores__each_series_goes_to_its_token),
        cmocka_unit_test(test_push__large_record__travels_in_the_bulk_pool),
        cmocka_unit_test(test_push__repository_labels__injected_into_build_id),
        cmocka_unit_test(test_ingest__folded__stored_with_period_and_labels),
        cmocka_unit_test(test_ingest__pprof_of_scripting_languages__names_carry_the_file),
        cmocka_unit_test(test_ingest__formats_of_later__501_names_the_format),
        cmocka_unit_test(test_ingest__tenants__status_depends_on_the_format),
        cmocka_unit_test(test_push__partial_failure__good_series_stay_stored),
        cmocka_unit_test(test_push__batch_over_the_body_limit__nothing_is_stored),
        cmocka_unit_test(test_push__ingester_refuses__the_client_hears_why),
        cmocka_unit_test(test_push__tenant_near_its_share__its_bodies_wait_and_no_others),
        cmocka_unit_test(test_push__thread_behind__every_body_waits),
        cmocka_unit_test(test_push__lane_full__503_and_recovers),
        cmocka_unit_test(test_push__slots_used_up__503),
        cmocka_unit_test(test_push__no_acknowledgement__504_after_the_deadline),
        cmocka_unit_test(test_push__connect_timeout__shortens_the_deadline),
        cmocka_unit_test(test_push__error_larger_than_a_copied_reply__arrives_whole),
        cmocka_unit_test(test_push__thousands_of_labels__refused_cheaply),
        cmocka_unit_test(test_push__scratch_too_small__429_not_a_crash),
        cmocka_unit_test(test_pw_distributor_metrics__after_traffic__valid_and_counted),
    };

    return cmocka_run_group_tests(tests, NULL, free_kept);
}
