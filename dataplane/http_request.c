/* dataplane/http_request.c - a request as the application sees it: delivered, held, released.
 */
#include "dataplane/http_conn_priv.h"

void
pw_http_fill_request(struct pw_http_conn *c, struct pw_http_request *req)
{
    struct pw_http_server *srv = c->srv;

    if (srv->head_owner != c) { /* another connection's head was parsed since: read ours again */
        struct pw_http1_resume r = {0};
        int n = pw_http1_head_parse(&srv->head, c->head, c->head_bytes, &r);

        PW_INVARIANT(n == c->head_bytes);
        srv->head_owner = c;
    }
    *req = (struct pw_http_request){
        .method = srv->head.method,
        .minor_version = srv->head.minor_version,
        .target = srv->head.target,
        .path = srv->head.path,
        .query = srv->head.query,
        .headers = srv->head.headers,
        .headers_count = srv->head.headers_count,
        .peer = c->stream->peer,
        .conn = conn_handle(c),
        .now_tsc = srv->now_tsc,
    };
}

static void
fill_body(struct pw_http_conn *c, struct pw_http_request *req)
{
    req->body = c->srv->body;
    req->body_count = pw_http_body_slices(c);
    req->body_bytes = c->body_bytes;
}

void
pw_http_call_too_large(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;
    struct pw_http_request req;

    c->close = true;
    srv->stats.drops[PW_HTTP_DROP_BODY_TOO_LARGE]++;
    if (srv->app.body_too_large != NULL) {
        pw_http_fill_request(c, &req);
        srv->in_callback = true;
        /* What a reader stopped by the limit would have read, however the body was announced. */
        srv->app.body_too_large(srv->app.ctx, srv, &req, c->body_limit);
        srv->in_callback = false;
    }
    if (c->owed) {
        srv->stats.drops[PW_HTTP_DROP_BODY_TOO_LARGE]--;
        pw_http_refuse(c, PW_HTTP_DROP_BODY_TOO_LARGE);
    }
    c->state = CONN_SEND;
}

void
pw_http_deliver(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;
    struct pw_http_request req;

    pw_http_reserve_none(c);
    clear_deadline(c);
    pw_http_fill_request(c, &req);
    fill_body(c, &req);
    srv->stats.bytes_of_bodies += c->body_bytes;
    c->state = CONN_APP;
    srv->in_callback = true;
    srv->app.request(srv->app.ctx, srv, &req);
    srv->in_callback = false;
    if (!c->held) {
        pw_http_release_request(c);
    }
    pw_http_tell_leaving(c);
}

void
pw_http_hold(struct pw_http_server *srv, uint64_t conn)
{
    struct pw_http_conn *c = conn_of_handle(srv, conn);

    PW_INVARIANT(srv->in_callback && c != NULL && c->state == CONN_APP);
    c->held = true;
}

int
pw_http_held(struct pw_http_server *srv, uint64_t conn, struct pw_http_request *req)
{
    struct pw_http_conn *c = conn_of_handle(srv, conn);

    if (c == NULL || !c->held) {
        return PW_ENOENT;
    }
    pw_http_fill_request(c, req);
    fill_body(c, req);
    return 0;
}

void
pw_http_release(struct pw_http_server *srv, uint64_t conn)
{
    struct pw_http_conn *c = conn_of_handle(srv, conn);

    if (c != NULL && c->held) {
        pw_http_release_request(c);
        if (!c->running) {
            pw_http_report_consumed(c);
        }
    }
}

void
pw_http_body_done(struct pw_http_server *srv, uint64_t conn)
{
    struct pw_http_conn *c = conn_of_handle(srv, conn);

    if (c != NULL && c->state == CONN_APP) {
        pw_http_body_free(c);
        if (!c->running) {
            pw_http_report_consumed(c);
        }
    }
}
