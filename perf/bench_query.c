/* What a query costs over 5,000 pushes of the mix (250 pods of 20 services) in one head. An operation is a
 * whole request through pw_query_execute_cold: JSON in, answer encoded. */
#include "ingester/head.h"
#include "perf/bench.h"
#include "perf/mix.h"
#include "pprof/inflate.h"
#include "pprof/profile.h"
#include "pprof/record.h"
#include "query/api.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SCRATCH_BYTES = 256 << 20,
    OUT_BYTES = 16 << 20,
    PODS = 250,
    SERVICES = 20,
    PUSHES = 5000,
    KEY = 42
};
#define HEAD_BYTES (4ULL << 30)
#define T0_NS      1700000000000000000LL

struct state {
    struct mix mix;
    struct pw_head *head;
    struct pw_query_thread *t;
    const char *method;
    char body[512];
    size_t reply_bytes;
};

static void
die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

/* One file of the mix as a record of one pod. */
static struct pw_record *
build(const struct pw_profile *p, uint32_t pod)
{
    char name[64], service[64];
    uint32_t *all = malloc(p->sample_count * sizeof(*all));
    struct pw_label_pair pair[] = {
        {PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
        {PW_SLICE_LIT("pod"),
         pw_slice(name, (size_t)snprintf(name, sizeof(name), "pod-%04u", pod))},
        {PW_SLICE_LIT("service_name"),
         pw_slice(service,
                  (size_t)snprintf(service, sizeof(service), "service-%02u", pod % SERVICES))},
    };
    struct pw_labels labels = {.pair = pair, .count = 3, .cap = 3};
    struct pw_record_group group = {
        .labels = &labels, .sample = all, .sample_count = p->sample_count};
    struct pw_record_source src = {
        .profile = p, .tenant = PW_SLICE_LIT("anonymous"), .group = &group, .group_count = 1};
    size_t cap = pw_align_up(pw_record_bytes_max(&src), 64);
    struct pw_record *rec = aligned_alloc(64, cap);

    for (uint32_t i = 0; i < p->sample_count; i++) {
        all[i] = i;
    }
    if (rec == NULL || pw_record_build(&src, rec, cap) <= 0) {
        die("record refused");
    }
    free(all);
    return rec;
}

static void
push_file(struct state *s, const struct pw_profile *p, uint32_t file)
{
    for (uint32_t i = file; i < PUSHES; i += s->mix.count) {
        struct pw_record *rec = build(p, i % PODS);

        rec->time_nanos = T0_NS + (int64_t)i * 10000000;
        if (pw_head_append(s->head, rec, (struct pw_now){.wall_ns = rec->time_nanos}, 0, NULL) !=
            0) {
            die("append refused");
        }
        free(rec);
    }
}

static void
fill(struct state *s)
{
    struct pw_head_cfg cfg = {.bytes_max = HEAD_BYTES, .hash_key = KEY, .tenants_max = 16};
    struct pw_inflater *inf = NULL;
    struct pw_scratch scratch;
    uint8_t *out = malloc(OUT_BYTES);

    if (out == NULL || pw_inflater_init_ctl(&inf) != 0 ||
        pw_scratch_init_ctl(&scratch, SCRATCH_BYTES) != 0 ||
        pw_head_create_ctl(&s->head, &cfg) != 0) {
        die("no memory");
    }
    for (uint32_t f = 0; f < s->mix.count; f++) {
        struct pw_profile p;
        const char *err = NULL;
        size_t n = 0;

        scratch.used = 0;
        if (pw_inflate(inf, &s->mix.gz[f], 1, out, OUT_BYTES, &n) != PW_INFLATE_OK ||
            pw_profile_parse(&p, &scratch, KEY, pw_slice(out, n), &err) != 0 ||
            pw_profile_normalize(&p) != 0) {
            die(s->mix.name[f]);
        }
        push_file(s, &p, f);
    }
    pw_scratch_fini_ctl(&scratch);
    pw_inflater_fini_ctl(inf);
    free(out);
}

static void
no_limits(void *ctx, struct pw_slice tenant, struct pw_query_limits *out)
{
    (void)ctx;
    (void)tenant;
    *out = (struct pw_query_limits){.max_flamegraph_nodes_default = 8192,
                                    .max_flamegraph_nodes_max = 1048576};
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

static void
step(void *arg)
{
    struct state *s = arg;
    const struct pw_http_header h = {PW_SLICE_LIT("Content-Type"),
                                     PW_SLICE_LIT("application/json")};
    struct pw_query_request req = {.method = PW_HTTP_METHOD_POST,
                                   .path = pw_slice_str(s->method),
                                   .headers = &h,
                                   .headers_count = 1,
                                   .body = pw_slice_str(s->body),
                                   .now_ms = T0_NS / 1000000 + 60000};
    struct pw_query_reply rep;

    pw_query_execute_cold(s->t, &req, &rep);
    if (rep.status != 200 || rep.body_bytes < 100) {
        die("query refused, or without an answer");
    }
    s->reply_bytes = rep.body_bytes;
    free(rep.body);
}

static void
measure(struct state *s, const char *name, const char *method, const char *type, const char *more)
{
    char out[64];

    s->method = method;
    snprintf(s->body, sizeof(s->body),
             "{\"profileTypeID\":\"%s\",\"labelSelector\":\"{}\",\"start\":%lld,\"end\":%lld%s}",
             type, T0_NS / 1000000 - 1000, T0_NS / 1000000 + 60000000, more);
    step(s);
    bench_print("reply_bytes", (double)s->reply_bytes);
    snprintf(out, sizeof(out), "query_%s_us", name);
    bench_print(out, bench_run(NULL, step, s, 1).ns_median / 1000);
}

int
main(void)
{
    static struct state s;
    struct pw_query_cfg cfg = {.limits = no_limits, .tenant = anonymous, .hash_key = KEY};
    struct pw_catalog *catalog;
    struct pw_head_stats st;
    struct pw_query *q;

    bench_begin();
    mix_load(&s.mix, NULL);
    fill(&s);
    if (pw_catalog_create_ctl(&catalog) != 0 ||
        pw_catalog_edit(catalog, &(struct pw_catalog_edit){.add_head = &s.head, .add_heads = 1}) !=
            0) {
        die("no catalog");
    }
    cfg.catalog = catalog;
    if (pw_query_create_cold(&q, &cfg) != 0 || (s.t = pw_query_thread_new_cold(q)) == NULL) {
        die("no query");
    }
    pw_head_stats(s.head, &st);
    bench_print("rows", (double)st.rows);
    bench_print("stacks", (double)st.stacks);
    bench_print("samples", (double)st.samples);
    measure(&s, "flamegraph_cpu", "/querier.v1.QuerierService/SelectMergeStacktraces",
            "process_cpu:cpu:nanoseconds:cpu:nanoseconds", "");
    measure(&s, "flamegraph_alloc_space", "/querier.v1.QuerierService/SelectMergeStacktraces",
            "process_cpu:alloc_space:bytes:space:bytes", "");
    measure(&s, "pprof_cpu", "/querier.v1.QuerierService/SelectMergeProfile",
            "process_cpu:cpu:nanoseconds:cpu:nanoseconds", "");
    measure(&s, "series_by_pod", "/querier.v1.QuerierService/SelectSeries",
            "process_cpu:cpu:nanoseconds:cpu:nanoseconds", ",\"groupBy\":[\"pod\"],\"step\":15");
    measure(&s, "label_values", "/querier.v1.QuerierService/LabelNames", "", "");
    pw_query_thread_free_cold(s.t);
    pw_query_destroy_cold(q);
    pw_catalog_destroy_ctl(catalog);
    return 0;
}
