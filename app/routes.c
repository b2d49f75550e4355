#include "app/routes.h"

#include "app/gossip.h"
#include "app/ring_page.h"
#include "base/limits.h"
#include "query/api.h"
#include "query/patience.h"

enum route { ROUTE_NONE, ROUTE_PUSH, ROUTE_QUERY, ROUTE_ADMIN, ROUTE_RING, ROUTE_READY };

static enum route
route_of(const struct pw_routes *r, struct pw_slice path)
{
    if (pw_distributor_owns_path(path)) {
        return r->pushes ? ROUTE_PUSH : ROUTE_NONE;
    }
    if (pw_slice_eq_str(path, "/ready")) {
        return ROUTE_READY;
    }
    if (pw_query_route(path) != PW_QUERY_ROUTE_NONE) {
        return r->queries ? ROUTE_QUERY : ROUTE_NONE;
    }
    if (pw_ring_page_owns_path(path) || pw_gossip_page_owns_path(path)) {
        return ROUTE_RING;
    }
    return pw_admin_owns_path(path) ? ROUTE_ADMIN : ROUTE_NONE;
}

static void
reply_text(struct pw_http_server *srv, uint64_t conn, uint16_t status, const char *headers,
           const char *body)
{
    const struct pw_http_reply rep = {
        .status = status,
        .content_type = body[0] == 0 ? NULL : "text/plain; charset=utf-8",
        .headers = pw_slice_str(headers),
        .body = pw_slice_str(body),
    };

    (void)pw_http_reply(srv, conn, &rep);
}

static bool
is_get(const struct pw_http_request *req)
{
    return req->method == PW_HTTP_METHOD_GET || req->method == PW_HTTP_METHOD_HEAD;
}

/* Nobody has taken the request up yet: its sender may safely try again. */
static void
reply_starting(struct pw_http_server *srv, const struct pw_http_request *req)
{
    static const char text[] = "{\"code\":\"unavailable\",\"message\":\"starting, see /ready\"}";
    const struct pw_http_reply rep = {
        .status = 503,
        .content_type = "application/json",
        .body = pw_slice(text, sizeof(text) - 1),
    };

    (void)pw_http_reply(srv, req->conn, &rep);
}

static void
on_head(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req,
        struct pw_http_verdict *v)
{
    struct pw_routes *r = ctx;

    enum route route = route_of(r, req->path);

    v->answered = false;
    v->body_bytes_limit = PW_QUERY_BODY_BYTES_MAX;
    if (PW_UNLIKELY(pw_admin_is_starting(r->admin)) && route != ROUTE_READY &&
        route != ROUTE_NONE) {
        reply_starting(srv, req);
        v->answered = true;
        return;
    }
    switch (route) {
    case ROUTE_PUSH:
        pw_distributor_head(r->distributor, req, v);
        return;
    case ROUTE_RING:
    case ROUTE_QUERY: /* method and content type are the query room's to judge */
        return;
    case ROUTE_ADMIN:
    case ROUTE_READY:
        if (!is_get(req)) {
            reply_text(srv, req->conn, 405, "Allow: GET\r\n", "");
            v->answered = true;
        }
        return;
    case ROUTE_NONE:
        /* The text and headers of Go's mux, which clients of stock have seen (write-path.md 1). */
        reply_text(srv, req->conn, 404, "X-Content-Type-Options: nosniff\r\n",
                   "404 page not found\n");
        v->answered = true;
        return;
    }
}

/* Answered here, not by a query thread: probes come often and must not wait behind queries. */
static void
reply_ready(const struct pw_routes *r, struct pw_http_server *srv,
            const struct pw_http_request *req)
{
    uint8_t bytes[PW_ADMIN_READY_BYTES_MAX];
    struct pw_text t;
    struct pw_http_reply rep = {.content_type = "text/plain; charset=utf-8"};

    pw_text_fixed(&t, bytes, sizeof(bytes));
    rep.status = pw_admin_ready(r->admin, &t);
    if (rep.status == 200) {
        uint8_t ring_bytes[PW_ADMIN_READY_BYTES_MAX];
        struct pw_text ring;

        pw_text_fixed(&ring, ring_bytes, sizeof(ring_bytes));
        rep.status = pw_app_ring_ready(*r->ring, r->number, &ring);
        if (rep.status != 200) {
            t.len = 0;
            pw_text_put(&t, ring.ptr, ring.len);
        }
    }
    rep.body = pw_slice(t.ptr, t.len);
    (void)pw_http_reply(srv, req->conn, &rep);
}

static void
on_request(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req)
{
    static const char busy[] =
        "{\"code\":\"resource_exhausted\",\"message\":\"too many outstanding requests\"}";
    struct pw_routes *r = ctx;
    enum route route = route_of(r, req->path);

    if (route == ROUTE_PUSH) {
        pw_distributor_request(r->distributor, req);
    } else if (route == ROUTE_READY) {
        reply_ready(r, srv, req);
    } else if (pw_jobs_submit(r->jobs, req) != 0) {
        const struct pw_http_reply rep = {
            .status = 429,
            .content_type = "application/json",
            .body = pw_slice(busy, sizeof(busy) - 1),
        };

        (void)pw_http_reply(srv, req->conn, &rep);
    }
}

static void
on_body_too_large(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req,
                  uint64_t bytes_read)
{
    struct pw_routes *r = ctx;

    if (route_of(r, req->path) == ROUTE_PUSH) {
        pw_distributor_body_too_large(r->distributor, req, bytes_read);
        return;
    }
    reply_text(srv, req->conn, 413, "", "request body larger than 64 KiB\n");
}

static void
on_abandoned(void *ctx, uint64_t conn)
{
    struct pw_routes *r = ctx;

    pw_distributor_abandoned(r->distributor, conn);
    pw_jobs_leaving(r->jobs, conn, 0);
}

static void
on_leaving(void *ctx, uint64_t conn)
{
    struct pw_routes *r = ctx;

    pw_jobs_leaving(r->jobs, conn, PW_PATIENCE_LEFT_MS);
}

static bool
on_pressed(void *ctx, uint64_t key)
{
    const struct pw_routes *r = ctx;

    return pw_distributor_pressed(r->distributor, key);
}

void
pw_routes_init_ctl(struct pw_routes *r)
{
    r->app = (struct pw_http_app){
        .ctx = r,
        .head = on_head,
        .request = on_request,
        .body_too_large = on_body_too_large,
        .abandoned = on_abandoned,
        .leaving = on_leaving,
        .pressed = on_pressed,
    };
}
