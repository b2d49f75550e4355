/* dataplane/http_app.h - the door between HTTP and whoever answers it; app/ fills it in.
 *
 * Purpose  http_conn parses requests and writes replies; what a route means is decided behind this
 *          table. dataplane/ never learns what a profile is.
 * Owner    one struct pw_http_server per polling thread (I/O worker or control thread); everything
 *          here is called on that thread only.
 * Context  hot.
 * Units    bytes; times in TSC ticks.
 * Errors   see each function.
 * Limits   base/limits.h PW_HTTP_*.
 */
#ifndef PW_DATAPLANE_HTTP_APP_H
#define PW_DATAPLANE_HTTP_APP_H

#include "base/err.h"
#include "base/types.h"
#include "dataplane/stream.h"

struct pw_http_server; /* one per thread, dataplane/http_conn.h */

enum pw_http_method {
    PW_HTTP_METHOD_GET,
    PW_HTTP_METHOD_HEAD,
    PW_HTTP_METHOD_POST,
    PW_HTTP_METHOD_PUT,
    PW_HTTP_METHOD_DELETE,
    PW_HTTP_METHOD_OPTIONS,
    PW_HTTP_METHOD_PATCH,
    PW_HTTP_METHOD_OTHER, /* a valid token we do not name */
};

struct pw_http_header {
    struct pw_slice name;  /* as sent; compare with pw_slice_caseeq_str */
    struct pw_slice value; /* optional white space trimmed */
};

/* One request. All slices are borrowed until the callback that got it returns. */
struct pw_http_request {
    enum pw_http_method method;
    uint8_t minor_version;  /* HTTP/1.<minor> */
    struct pw_slice target; /* as sent */
    struct pw_slice path;   /* up to '?', as sent (not percent-decoded) */
    struct pw_slice query;  /* after '?', empty when none */
    const struct pw_http_header *headers;
    uint32_t headers_count;
    /* The body with chunked coding removed; in pieces as it lies in receive buffers. Content-Encoding
     * is not undone. Empty in `head`. */
    const struct pw_slice *body;
    uint32_t body_count;
    uint64_t
        body_bytes; /* sum of the pieces; in `head`: the Content-Length, or UINT64_MAX when chunked */
    struct pw_peer_addr peer;
    uint64_t conn; /* handle for pw_http_reply: stays valid, and harmless, after a close */
    uint64_t now_tsc;
};

struct pw_http_reply {
    uint16_t status;
    const char *content_type; /* NULL: no Content-Type header */
    struct pw_slice headers;  /* further "Name: value\r\n" lines, copied during the call */
    struct pw_slice body;
    /* When set, body is taken: it stays valid until body_free(body_arg) is called, on the same
     * thread, once it was sent or the connection died. When NULL, body is copied during the call and
     * must be at most PW_HTTP_REPLY_COPY_MAX bytes. */
    void (*body_free)(void *body_arg);
    void *body_arg;
    bool close; /* Connection: close, and FIN after the reply */
};

/* What `head` decides once the request line and fields are in, before any body byte is accepted. */
struct pw_http_verdict {
    uint64_t body_bytes_limit; /* larger bodies end in body_too_large */
    bool answered; /* the callback called pw_http_reply already: the body is discarded */
    /* Ask `pressed` first: while it says so, the body is not read and the receive window not opened for it, for
     * PW_HTTP_PRESSED_MS_MAX at most. */
    bool pressed;
    uint64_t pressed_key; /* for `pressed`, the application's own */
};

struct pw_http_app {
    void *ctx;
    /* Checks method, path and length before the body arrives. May answer at once (unknown path 404,
     * wrong method 405, ...); then sets v->answered. */
    void (*head)(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req,
                 struct pw_http_verdict *v);
    /* The whole request. Answers now, or later with pw_http_reply(srv, req->conn, ...) from the same
     * thread. Exactly one reply per request; http_conn keeps the order of pipelined requests by
     * starting the next one only after the reply. */
    void (*request)(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req);
    /* The body passed v->body_bytes_limit (Content-Length says so, or chunks did). bytes_read body
     * bytes were read. Must reply (413); http_conn closes after it. */
    void (*body_too_large)(void *ctx, struct pw_http_server *srv, const struct pw_http_request *req,
                           uint64_t bytes_read);
    /* The connection died before the reply to `conn`. Replies to it are dropped from now on. */
    void (*abandoned)(void *ctx, uint64_t conn);
    /* The peer has closed its side and said all it had to, the reply to `conn` is still owed. Mostly it has gone, and it
     * may be reading on: a reply is sent as ever. NULL: nobody wants to know. */
    void (*leaving)(void *ctx, uint64_t conn);
    /* Whether a body that was held back under this key still has to wait. Asked about once a millisecond. May be
     * NULL when no verdict holds back. */
    bool (*pressed)(void *ctx, uint64_t key);
};

/* Sends the reply to the request in progress on conn. Takes body when body_free is set (also when it
 * fails). 0; PW_ENOENT when the connection is gone (nothing to do). A second reply to one request is
 * a broken invariant. HEAD replies keep Content-Length and drop the body. */
int pw_http_reply(struct pw_http_server *srv, uint64_t conn, const struct pw_http_reply *rep);

/* Within `request`, when the reply will come later and the work on it goes on: what the slices of the request
 * point to stays until the reply, until pw_http_release, or until `abandoned` was called for it. The request
 * and its arrays of headers and pieces are borrowed as ever: copy them, or have them again. */
void pw_http_hold(struct pw_http_server *srv, uint64_t conn);
/* A held request once more, borrowed until the next call into this server. 0, or PW_ENOENT when it is not held
 * (any more). */
PW_MUST_USE int pw_http_held(struct pw_http_server *srv, uint64_t conn,
                             struct pw_http_request *req);
/* The receive buffers of a held request go back; harmless when it is gone. */
void pw_http_release(struct pw_http_server *srv, uint64_t conn);
/* Within `request`, or while it is held: its body was read. The buffers of that go back, but for what lies in one with
 * the head or with the next request; pieces are not to be looked at any more, head and headers are as before. */
void pw_http_body_done(struct pw_http_server *srv, uint64_t conn);

/* Value of the first header of that name (ASCII case-insensitive), or a slice with ptr == NULL. */
struct pw_slice pw_http_header(const struct pw_http_request *req, const char *name);

#endif
