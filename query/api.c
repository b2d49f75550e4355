#include "query/api.h"

#include "query/envelope.h"
#include "query/peers.h"
#include "query/routes.h"
#include "query/settings.h"

#include "base/limits.h"

#include <libdeflate.h>
#include <stdlib.h>

int
pw_query_create_cold(struct pw_query **out, const struct pw_query_cfg *cfg)
{
    struct pw_query *q = calloc(1, sizeof(*q));

    *out = NULL;
    if (q == NULL) {
        return PW_ENOMEM;
    }
    q->cfg = *cfg;
    if (pw_settings_create_cold(&q->settings) != 0) {
        free(q);
        return PW_ENOMEM;
    }
    *out = q;
    return 0;
}

void
pw_query_destroy_cold(struct pw_query *q)
{
    if (q != NULL) {
        pw_settings_destroy_cold(q->settings);
    }
    free(q);
}

struct pw_query_thread *
pw_query_thread_new_cold(struct pw_query *q)
{
    struct pw_query_thread *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        return NULL;
    }
    t->q = q;
    pw_arena_init(&t->arena, PW_QUERY_MEMORY_BYTES_MAX);
    t->deflate = libdeflate_alloc_compressor(1);
    t->inflate = libdeflate_alloc_decompressor();
    t->peers = q->cfg.peers != NULL ? q->cfg.peers->thread_new(q->cfg.peers->ctx) : NULL;
    if ((q->cfg.peers != NULL && t->peers == NULL) || pw_regex_cache_init_cold(&t->regex) != 0 ||
        t->deflate == NULL || t->inflate == NULL) {
        pw_query_thread_free_cold(t);
        return NULL;
    }
    return t;
}

void
pw_query_thread_free_cold(struct pw_query_thread *t)
{
    if (t == NULL) {
        return;
    }
    if (t->peers != NULL) {
        t->q->cfg.peers->thread_free(t->q->cfg.peers->ctx, t->peers);
    }
    pw_arena_reset(&t->arena);
    pw_regex_cache_fini_cold(&t->regex);
    libdeflate_free_compressor(t->deflate);
    libdeflate_free_decompressor(t->inflate);
    free(t);
}

/* --- Routes --------------------------------------------------------------------------------- */

static bool
has_prefix(struct pw_slice s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.len >= n && memcmp(s.ptr, prefix, n) == 0;
}

enum pw_query_route
pw_query_route(struct pw_slice path)
{
    static const char *const families[] = {"/querier.v1.", "/settings.v1.",     "/vcs.v1.",
                                           "/version.v1.", "/capabilities.v1.", "/ingester.v1.",
                                           "/pyrowire.v1."};

    if (pw_routes_rpc(path) != NULL) {
        return PW_QUERY_ROUTE_RPC;
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(families); i++) {
        if (has_prefix(path, families[i])) {
            return PW_QUERY_ROUTE_RPC; /* unknown methods get their 404 here */
        }
    }
    if (pw_routes_get(path) != NULL || has_prefix(path, "/api/")) {
        return PW_QUERY_ROUTE_GET;
    }
    return PW_QUERY_ROUTE_NONE;
}

/* --- Tenants -------------------------------------------------------------------------------- */

static void
add_tenant(struct pw_call *c, struct pw_slice tenant)
{
    uint32_t i = 0;

    while (i < c->tenant_count && pw_slice_cmp(c->tenant[i], tenant) < 0) {
        i++;
    }
    if (i < c->tenant_count && pw_slice_eq(c->tenant[i], tenant)) {
        return;
    }
    memmove(&c->tenant[i + 1], &c->tenant[i], (c->tenant_count - i) * sizeof(c->tenant[0]));
    c->tenant[i] = tenant;
    c->tenant_count++;
}

static int
one_tenant(struct pw_call *c, struct pw_slice header)
{
    const struct pw_query_cfg *cfg = &c->t->q->cfg;
    struct pw_slice tenant = {0};
    struct pw_text err;
    char buf[512];

    if (c->tenant_count >= PW_CALL_TENANTS_MAX) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "more than %d tenants in one query", PW_CALL_TENANTS_MAX);
    }
    pw_text_fixed(&err, buf, sizeof(buf));
    if (cfg->tenant(cfg->ctx, header, &tenant, &err) != 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_UNAUTHENTICATED, "%.*s", (int)err.len, buf);
    }
    add_tenant(c, tenant);
    return 0;
}

/* The smallest positive limit of several tenants counts (contract read-path.md 3.9). */
static void
merge_limits(struct pw_query_limits *all, const struct pw_query_limits *one)
{
    int64_t *a[] = {&all->max_query_lookback_ms, &all->max_query_length_ms,
                    &all->max_flamegraph_nodes_default, &all->max_flamegraph_nodes_max};
    const int64_t b[] = {one->max_query_lookback_ms, one->max_query_length_ms,
                         one->max_flamegraph_nodes_default, one->max_flamegraph_nodes_max};

    for (size_t i = 0; i < PW_ARRAY_LEN(a); i++) {
        if (b[i] > 0 && (*a[i] <= 0 || b[i] < *a[i])) {
            *a[i] = b[i];
        }
    }
}

/* A reader may name several tenants, `a|b`: their union is read. */
static int
find_tenants(struct pw_call *c)
{
    const struct pw_query_cfg *cfg = &c->t->q->cfg;
    struct pw_slice rest = pw_call_header(c->req, "X-Scope-OrgID");
    const uint8_t *bar;
    int rc = 0;

    while (rc == 0 && cfg->multitenancy && rest.len > 0 &&
           (bar = memchr(rest.ptr, '|', rest.len)) != NULL) {
        rc = one_tenant(c, pw_slice(rest.ptr, (size_t)(bar - rest.ptr)));
        rest = pw_slice(bar + 1, rest.len - (size_t)(bar + 1 - rest.ptr));
    }
    if (rc == 0) {
        rc = one_tenant(c, rest);
    }
    for (uint32_t i = 0; rc == 0 && i < c->tenant_count; i++) {
        struct pw_query_limits one = {0};

        cfg->limits(cfg->ctx, c->tenant[i], &one);
        merge_limits(&c->limits, &one);
    }
    return rc;
}

/* --- Calls ---------------------------------------------------------------------------------- */

static int
read_request(struct pw_call *c, const struct pw_rpc *rpc, ProtobufCMessage **msg)
{
    struct pw_slice body = {0};
    struct pw_text err;
    char buf[1024];
    int rc;

    if (pw_envelope_open(c, &body) != 0) {
        return PW_EINVAL;
    }
    if (rpc->request == NULL) {
        return 0;
    }
    pw_text_fixed(&err, buf, sizeof(buf));
    if (c->is_json) {
        pw_text_printf(&err, "unmarshal message: unmarshal into %s: ", rpc->type);
        rc = pw_codec_from_json(c->arena, body, rpc->request, msg, &err);
    } else {
        pw_text_str(&err, "unmarshal message: ");
        rc = pw_codec_from_proto(c->arena, body, rpc->request, msg, &err);
    }
    if (rc == PW_ENOMEM) {
        return pw_call_no_memory(c);
    }
    return rc == 0 ? 0
                   : pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "%.*s", (int)err.len, buf);
}

static void
execute_rpc(struct pw_call *c, const struct pw_rpc *rpc, struct pw_query_reply *rep)
{
    enum pw_media media = pw_envelope_media(pw_call_header(c->req, "Content-Type"));
    ProtobufCMessage *msg = NULL;

    if (c->req->method != PW_HTTP_METHOD_POST) {
        pw_envelope_header(rep, "Allow: POST");
        pw_envelope_text(rep, 405, NULL, "");
        return;
    }
    if (media == PW_MEDIA_OTHER) {
        pw_envelope_header(rep, "Accept-Post: application/json, application/proto");
        pw_envelope_text(rep, 415, NULL, "");
        return;
    }
    c->is_json = media == PW_MEDIA_JSON;
    pw_envelope_header(rep, "Accept-Encoding: gzip");
    if (find_tenants(c) != 0 || read_request(c, rpc, &msg) != 0 || rpc->handle(c, msg) != 0 ||
        c->code != PW_CONNECT_CODE_OK) {
        pw_envelope_error(c, rep);
        return;
    }
    rep->status = 200;
    rep->content_type = c->is_json ? "application/json" : "application/proto";
    pw_envelope_close(c, rep);
}

static void
execute_get(struct pw_call *c, const struct pw_get *get, struct pw_query_reply *rep)
{
    if (c->req->method != PW_HTTP_METHOD_GET && c->req->method != PW_HTTP_METHOD_HEAD) {
        pw_envelope_header(rep, "Allow: GET, HEAD");
        pw_envelope_text(rep, 405, NULL, "");
        return;
    }
    if (get->wants_tenant && find_tenants(c) != 0) {
        pw_envelope_header(rep, "X-Content-Type-Options: nosniff");
        pw_envelope_error(c, rep);
        return;
    }
    rep->status = 200;
    if (get->handle(c, rep) != 0 || c->code != PW_CONNECT_CODE_OK) {
        pw_envelope_error(c, rep);
        return;
    }
    if (rep->status == 200) {
        pw_envelope_close(c, rep);
    }
}

static void
dispatch(struct pw_call *c, struct pw_query_reply *rep)
{
    const struct pw_rpc *rpc = pw_routes_rpc(c->req->path);
    const struct pw_get *get = pw_routes_get(c->req->path);

    if (pw_envelope_accept(pw_call_header(c->req, "Accept"), &c->utf8_names) != 0) {
        pw_envelope_text(rep, 400, "text/plain; charset=utf-8",
                         "Invalid header format: mime: unexpected content after media subtype\n");
    } else if (rpc != NULL) {
        execute_rpc(c, rpc, rep);
    } else if (get != NULL) {
        execute_get(c, get, rep);
    } else if (has_prefix(c->req->path, "/api/")) {
        pw_envelope_text(rep, 404, "application/json",
                         "{\"code\":5,\"message\":\"Not Found\",\"details\":[]}");
    } else {
        pw_envelope_text(rep, 404, "text/plain; charset=utf-8", "404 page not found\n");
    }
}

void
pw_query_execute_cold(struct pw_query_thread *t, const struct pw_query_request *req,
                      struct pw_query_reply *rep)
{
    struct pw_catalog *catalog = t->q->cfg.catalog;
    struct pw_call c = {.t = t, .arena = &t->arena, .req = req};

    *rep = (struct pw_query_reply){0};
    t->arena.patience = req->patience;
    pw_text_init(&c.out, PW_QUERY_REPLY_BYTES_MAX);
    pw_text_init(&c.err, PW_CALL_ERR_BYTES_MAX);
    c.sources = pw_catalog_acquire(catalog);
    dispatch(&c, rep);
    while (c.held != NULL) {
        pw_call_let_go(c.held);
        c.held = c.held->next;
    }
    pw_catalog_release(catalog, c.sources);
    pw_text_fini(&c.out);
    pw_text_fini(&c.err);
    pw_arena_reset(&t->arena);
    pw_regex_cache_trim(&t->regex);
}
