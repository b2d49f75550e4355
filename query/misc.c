/* The small answers of contract read-path.md 1.1 and 1.3. */
#include "query/far.h"
#include "query/routes.h"

#include "base/json.h"

#include <front.pb-c.h>
#include <querier.pb-c.h>
#include <types.pb-c.h>

enum { NS_PER_MS = 1000000 };

struct times {
    int64_t min_ns, max_ns;
    bool any;
};

static void
widen(struct times *t, int64_t min_ns, int64_t max_ns)
{
    t->min_ns = !t->any || min_ns < t->min_ns ? min_ns : t->min_ns;
    t->max_ns = !t->any || max_ns > t->max_ns ? max_ns : t->max_ns;
    t->any = true;
}

/* Over one tenant's rows of a head. */
static void
widen_by_head(struct times *t, const struct pw_head_view *v)
{
    for (uint64_t i = 0; i < v->rows_count; i++) {
        uint32_t series;
        int64_t time_ns;

        pw_head_row_peek(v, i, &series, &time_ns);
        widen(t, time_ns, time_ns);
    }
}

static void
times_of(const struct pw_call *c, struct pw_slice tenant, struct times *t)
{
    const struct pw_catalog_view *from = c->sources;

    for (uint32_t i = 0; i < from->heads_count; i++) {
        struct pw_head_view v;

        if (pw_head_view_open(from->head[i], tenant, &v)) {
            widen_by_head(t, &v);
        }
    }
    for (uint32_t i = 0; i < from->blocks_count; i++) {
        if (pw_slice_eq_str(tenant, from->block[i]->tenant) &&
            !(c->of_peer && from->block[i]->remote)) {
            const struct pw_block_meta *m = pw_block_meta(from->block[i]->block);

            widen(t, m->min_time_ms * NS_PER_MS, m->max_time_ms * NS_PER_MS);
        }
    }
}

void
pw_misc_times(const struct pw_call *c, int64_t *min_ns, int64_t *max_ns, bool *any)
{
    struct times t = {0};

    for (uint32_t i = 0; i < c->tenant_count; i++) {
        times_of(c, c->tenant[i], &t);
    }
    *min_ns = t.min_ns;
    *max_ns = t.max_ns;
    *any = t.any;
}

int
pw_misc_profile_stats(struct pw_call *c, const ProtobufCMessage *req)
{
    Types__V1__GetProfileStatsResponse res = TYPES__V1__GET_PROFILE_STATS_RESPONSE__INIT;
    int64_t min_ns, max_ns;
    bool any;

    (void)req;
    if (c->tenant_count != 1) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "expected 1 tenant, got %u",
                            c->tenant_count);
    }
    pw_misc_times(c, &min_ns, &max_ns, &any);
    if (pw_far_times(c, &min_ns, &max_ns, &any) != 0) {
        return PW_EINVAL;
    }
    res.data_ingested = any;
    res.oldest_profile_time = min_ns / NS_PER_MS;
    res.newest_profile_time = max_ns / NS_PER_MS;
    return pw_call_answer(c, &res.base);
}

int
pw_misc_analyze_query(struct pw_call *c, const ProtobufCMessage *req)
{
    Querier__V1__AnalyzeQueryResponse res = QUERIER__V1__ANALYZE_QUERY_RESPONSE__INIT;

    (void)req;
    return pw_call_answer(c, &res.base);
}

int
pw_misc_flush(struct pw_call *c, const ProtobufCMessage *req)
{
    const struct pw_query_cfg *cfg = &c->t->q->cfg;
    Front__V1__Empty res = FRONT__V1__EMPTY__INIT;
    int rc;

    (void)req;
    /* It may take seconds: what is listed now must not be kept in memory for it. */
    pw_catalog_release(cfg->catalog, c->sources);
    rc = cfg->flush(cfg->ctx);
    c->sources = pw_catalog_acquire(cfg->catalog);
    if (rc != 0) {
        return pw_call_fail(
            c, rc == PW_ETIMEDOUT ? PW_CONNECT_CODE_DEADLINE_EXCEEDED : PW_CONNECT_CODE_INTERNAL,
            "flush: %s", pw_err_text(rc));
    }
    return pw_call_answer(c, &res.base);
}

int
pw_misc_version(struct pw_call *c, const ProtobufCMessage *req)
{
    Front__V1__VersionResponse res = FRONT__V1__VERSION_RESPONSE__INIT;

    (void)req;
    res.querierapi = 1;
    return pw_call_answer(c, &res.base);
}

int
pw_misc_feature_flags(struct pw_call *c, const ProtobufCMessage *req)
{
    static const struct {
        const char *name;
        const char *description;
        bool enabled;
    } flags[] = {
        {"pyroscopeRuler", "Metrics from profiles by recording rules.", false},
        {"pyroscopeRulerFunctions", "Metrics per function from profiles by recording rules.",
         false},
        {"utf8LabelNames", "Label names beyond [a-zA-Z_][a-zA-Z0-9_]*.", false},
        /* What clients decide by it (heatmaps, exemplars, call-site queries) is answered here. */
        {"v2StorageLayer", "Answers follow the v2 storage layer.", true},
    };
    Front__V1__FeatureFlag flag[PW_ARRAY_LEN(flags)], *list[PW_ARRAY_LEN(flags)];
    Front__V1__GetFeatureFlagsResponse res = FRONT__V1__GET_FEATURE_FLAGS_RESPONSE__INIT;

    (void)req;
    for (size_t i = 0; i < PW_ARRAY_LEN(flags); i++) {
        front__v1__feature_flag__init(&flag[i]);
        flag[i].name = pw_codec_string(c->arena, pw_slice_str(flags[i].name));
        flag[i].enabled = flags[i].enabled;
        flag[i].opt_description_case = FRONT__V1__FEATURE_FLAG__OPT_DESCRIPTION_DESCRIPTION;
        flag[i].description = pw_codec_string(c->arena, pw_slice_str(flags[i].description));
        list[i] = &flag[i];
    }
    res.feature_flags = list;
    res.n_feature_flags = PW_ARRAY_LEN(flags);
    return pw_call_answer(c, &res.base);
}

int
pw_misc_github_app(struct pw_call *c, const ProtobufCMessage *req)
{
    (void)req;
    return pw_call_fail(c, PW_CONNECT_CODE_UNIMPLEMENTED, "GitHub integration is not configured");
}

int
pw_misc_vcs(struct pw_call *c, const ProtobufCMessage *req)
{
    (void)req;
    return pw_call_fail(c, PW_CONNECT_CODE_UNAUTHENTICATED, "invalid token");
}

static void
put_member(struct pw_json *j, const char *name, const char *value)
{
    pw_json_key(j, name);
    pw_json_cstr(j, value == NULL ? "" : value);
}

int
pw_misc_buildinfo(struct pw_call *c, struct pw_query_reply *rep)
{
    const struct pw_query_cfg *cfg = &c->t->q->cfg;
    struct pw_json j;

    rep->content_type = "application/json";
    pw_json_init(&j, &c->out);
    pw_json_object(&j);
    put_member(&j, "status", "success");
    pw_json_key(&j, "data");
    pw_json_object(&j);
    put_member(&j, "version", cfg->build.version);
    put_member(&j, "revision", cfg->build.revision);
    put_member(&j, "branch", cfg->build.branch);
    put_member(&j, "buildUser", cfg->build.build_user);
    put_member(&j, "buildDate", cfg->build.build_date);
    put_member(&j, "goVersion", "");
    pw_json_object_end(&j);
    pw_json_object_end(&j);
    return 0;
}
