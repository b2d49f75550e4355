/* dataplane/http_server.c - pools and settings of one thread's HTTP; nothing here is hot. */
#include "dataplane/http_conn_priv.h"

#include <stdlib.h>

static uint64_t
span_tsc(const struct pw_http_server_cfg *cfg, uint32_t ms, uint32_t default_ms)
{
    return pw_clock_us_to_tsc(cfg->clock, (uint64_t)(ms != 0 ? ms : default_ms) * 1000);
}

static int
init_pools(struct pw_http_server *srv, const struct pw_http_server_cfg *cfg)
{
    uint32_t conns = cfg->conns_max != 0 ? cfg->conns_max : PW_HTTP_CONNS_DEFAULT;
    uint32_t heads = cfg->head_bufs != 0 ? cfg->head_bufs : PW_HTTP_HEAD_BUFS_DEFAULT;
    uint32_t replies = cfg->reply_bufs != 0 ? cfg->reply_bufs : PW_HTTP_REPLY_BUFS_DEFAULT;
    int err = pw_pool_init_ctl(&srv->conns, conns, sizeof(struct pw_http_conn));

    if (err == 0) {
        err = pw_pool_init_ctl(&srv->head_bufs, heads, PW_HTTP_HEAD_BYTES_MAX);
    }
    if (err == 0) {
        err = pw_pool_init_ctl(&srv->reply_bufs, replies, REPLY_BUF_BYTES);
    }
    if (err == 0) {
        err = pw_peer_count_init_ctl(&srv->peers, conns, cfg->conns_per_address, cfg->hash_key);
    }
    srv->deadline = malloc(conns * sizeof(*srv->deadline));
    srv->body = calloc(PW_HTTP_BODY_SLICES_MAX, sizeof(*srv->body)); /* touched as used */
    if (srv->deadline == NULL || srv->body == NULL) {
        return PW_ENOMEM;
    }
    memset(srv->deadline, 0xff, conns * sizeof(*srv->deadline));
    return err;
}

struct pw_http_server *
pw_http_server_create_ctl(const struct pw_http_server_cfg *cfg, int *err)
{
    struct pw_http_server *srv = calloc(1, sizeof(*srv));

    *err = PW_ENOMEM;
    if (srv == NULL) {
        return NULL;
    }
    srv->app = *cfg->app;
    srv->stream_app = pw_http_stream_app;
    srv->stream_app.ctx = srv;
    srv->wall_ns = cfg->wall_ns != NULL ? cfg->wall_ns : pw_wall_ns;
    srv->second_tsc = cfg->clock->tsc_hz;
    srv->idle_tsc = span_tsc(cfg, cfg->idle_ms, PW_HTTP_IDLE_MS_DEFAULT);
    srv->head_tsc = span_tsc(cfg, cfg->head_ms, PW_HTTP_HEAD_MS_DEFAULT);
    srv->body_tsc = span_tsc(cfg, cfg->body_ms, PW_HTTP_BODY_MS_DEFAULT);
    srv->send_tsc = span_tsc(cfg, cfg->send_ms, PW_HTTP_SEND_MS_DEFAULT);
    srv->linger_tsc = span_tsc(cfg, cfg->linger_ms, PW_HTTP_LINGER_MS_DEFAULT);
    srv->slow_tsc = span_tsc(cfg, 0, PW_HTTP_SLOW_MS_DEFAULT);
    srv->starved_tsc = span_tsc(cfg, 0, PW_HTTP_STARVED_MS_DEFAULT);
    srv->sweep_tsc = span_tsc(cfg, 0, PW_HTTP_SWEEP_MS);
    *err = init_pools(srv, cfg);
    if (*err != 0) {
        pw_http_server_destroy_ctl(srv);
        return NULL;
    }
    return srv;
}

void
pw_http_server_destroy_ctl(struct pw_http_server *srv)
{
    if (srv == NULL) {
        return;
    }
    for (uint32_t i = 0; i < srv->deadline_used; i++) {
        struct pw_http_conn *c = pw_pool_at(&srv->conns, i);

        if (c->state != CONN_FREE) {
            pw_http_conn_kill(c);
        }
    }
    pw_pool_fini_ctl(&srv->conns);
    pw_pool_fini_ctl(&srv->head_bufs);
    pw_pool_fini_ctl(&srv->reply_bufs);
    pw_peer_count_fini_ctl(&srv->peers);
    free(srv->deadline);
    free(srv->body);
    free(srv);
}

const struct pw_stream_app *
pw_http_server_stream_app(struct pw_http_server *srv)
{
    return &srv->stream_app;
}

struct pw_slice
pw_http_header(const struct pw_http_request *req, const char *name)
{
    for (uint32_t i = 0; i < req->headers_count; i++) {
        if (pw_slice_caseeq_str(req->headers[i].name, name)) {
            return req->headers[i].value;
        }
    }
    return pw_slice(NULL, 0);
}

void
pw_http_server_drain(struct pw_http_server *srv)
{
    atomic_store_explicit(&srv->draining, true, memory_order_relaxed);
}

uint32_t
pw_http_server_open(const struct pw_http_server *srv)
{
    return pw_pool_used(&srv->conns);
}
