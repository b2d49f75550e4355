/* The requests of the ring's pages: what was asked for, and who is to be forgotten. */
#include "app/html.h"
#include "app/parts.h"
#include "app/ring_page.h"
#include "app/ring_priv.h"
#include "query/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { RING_PAGE_BYTES_MAX = 64 << 20 };

static bool
kind_of(struct pw_slice path, enum pw_app_ring_kind *kind)
{
    *kind = pw_slice_eq_str(path, "/ring") ? PW_APP_RING_INGESTERS : PW_APP_RING_DISTRIBUTORS;
    return *kind == PW_APP_RING_INGESTERS || pw_slice_eq_str(path, "/distributor/ring");
}

bool
pw_ring_page_owns_path(struct pw_slice path)
{
    enum pw_app_ring_kind kind;

    return kind_of(path, &kind);
}

static int
hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = pw_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* application/x-www-form-urlencoded (WHATWG URL, 5.1): plus is a space, a broken escape stands as it is. */
static void
decode(struct pw_slice in, struct pw_text *out)
{
    for (size_t i = 0; i < in.len; i++) {
        int high = i + 2 < in.len && in.ptr[i] == '%' ? hex(in.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex(in.ptr[i + 2]) : -1;

        if (low >= 0) {
            pw_text_char(out, (char)(high << 4 | low));
            i += 2;
        } else {
            pw_text_char(out, in.ptr[i] == '+' ? ' ' : (char)in.ptr[i]);
        }
    }
}

/* First value of that name; ptr NULL when there is none. */
static struct pw_slice
value_of(struct pw_slice form, const char *name)
{
    size_t len = strlen(name);

    while (form.len > 0) {
        const uint8_t *end = memchr(form.ptr, '&', form.len);
        size_t n = end == NULL ? form.len : (size_t)(end - form.ptr);

        if (n > len && form.ptr[len] == '=' && memcmp(form.ptr, name, len) == 0) {
            return pw_slice(form.ptr + len + 1, n - len - 1);
        }
        n += end != NULL;
        form = pw_slice(form.ptr + n, form.len - n);
    }
    return (struct pw_slice){0};
}

static bool
wants_json(const struct pw_query_request *req)
{
    if (pw_slice_eq_str(value_of(req->query, "format"), "json")) {
        return true;
    }
    for (uint32_t i = 0; i < req->headers_count; i++) {
        if (pw_slice_caseeq_str(req->headers[i].name, "accept")) {
            struct pw_slice v = req->headers[i].value;

            return v.len > 0 && memmem(v.ptr, v.len, "application/json", 16) != NULL;
        }
    }
    return false;
}

/* The host of an origin (RFC 6454 6.1), with its port; ptr NULL: it has none. */
static struct pw_slice
host_of(struct pw_slice origin)
{
    const uint8_t *at = origin.len == 0 ? NULL : memmem(origin.ptr, origin.len, "://", 3);

    return at == NULL ? (struct pw_slice){0}
                      : pw_slice(at + 3, origin.len - (size_t)(at + 3 - origin.ptr));
}

/* Whether a page of somebody else made the reader's browser send this: a form may go to any address the browser reaches.
 * It says so in Sec-Fetch-Site where the connection is safe (W3C Fetch Metadata 2.4), in Origin elsewhere; who is no
 * browser says neither. */
static bool
is_of_another_site(const struct pw_query_request *req)
{
    struct pw_slice site = pw_call_header(req, "sec-fetch-site");
    struct pw_slice origin = pw_call_header(req, "origin");
    struct pw_slice host = pw_call_header(req, "host");
    struct pw_slice from = host_of(origin);

    if (site.len > 0) {
        return !pw_slice_eq_str(site, "same-origin") && !pw_slice_eq_str(site, "none");
    }
    return origin.len > 0 &&
           (from.len != host.len || from.len == 0 ||
            strncasecmp((const char *)from.ptr, (const char *)host.ptr, from.len) != 0);
}

static void
show(struct pw_app_ring *r, enum pw_app_ring_kind kind, const struct pw_query_request *req,
     struct pw_query_reply *rep, struct pw_text *t)
{
    const struct pw_ring_page page = {
        .title = kind == PW_APP_RING_INGESTERS ? "Ingester ring" : "Distributor ring",
        .s = pw_app_ring_acquire(r, kind),
        .heartbeat_timeout_s = r->ring[kind].page_timeout_s,
        .now_ms = req->now_ms,
        .tokens = pw_slice_eq_str(value_of(req->query, "tokens"), "true"),
        .links = kind == PW_APP_RING_INGESTERS,
    };

    rep->status = 200;
    if (wants_json(req)) {
        rep->content_type = "application/json";
        pw_ring_page_json(&page, t);
    } else {
        rep->content_type = "text/html; charset=utf-8";
        /* Its button does something: no page of others may lie over it, or send what it sends from within. */
        (void)snprintf(rep->headers, sizeof(rep->headers), PW_HTML_POLICY);
        pw_ring_page_html(&page, t);
    }
    pw_ring_snapshot_release(page.s);
}

static void
forget(struct pw_app_ring *r, enum pw_app_ring_kind kind, const struct pw_query_request *req,
       struct pw_query_reply *rep, struct pw_text *t)
{
    struct pw_slice id = value_of(req->body, "forget");
    char name[PW_RING_NAME_MAX + 1];
    struct pw_text decoded;
    int rc;

    pw_text_fixed(&decoded, name, sizeof(name) - 1);
    decode(id, &decoded);
    rep->content_type = "text/plain; charset=utf-8";
    (void)snprintf(rep->headers, sizeof(rep->headers), "X-Content-Type-Options: nosniff\r\n");
    if (is_of_another_site(req)) {
        rep->status = 403;
        pw_text_str(t, "a page of another site asked for this\n");
        return;
    }
    if (decoded.len == 0 || decoded.failed || memchr(name, 0, decoded.len) != NULL) {
        rep->status = 400;
        pw_text_str(t, "the form has no member to forget (forget=<id>)\n");
        return;
    }
    name[decoded.len] = 0;
    rc = pw_app_ring_forget(r, kind, name);
    if (rc != 0) {
        rep->status = 500;
        pw_text_printf(t, "error forgetting instance '%s': %s\n", name,
                       rc == PW_ENOENT ? "no such member" : pw_err_text(rc));
        return;
    }
    rep->status = 302;
    rep->content_type = NULL;
    (void)snprintf(rep->headers, sizeof(rep->headers), "Location: #\r\n");
}

void
pw_ring_page_execute_cold(struct pw_app *app, const struct pw_query_request *req,
                          struct pw_query_reply *rep)
{
    enum pw_app_ring_kind kind;
    struct pw_text t;

    *rep = (struct pw_query_reply){.status = 405};
    pw_text_init(&t, RING_PAGE_BYTES_MAX);
    (void)kind_of(req->path, &kind);
    if (req->method == PW_HTTP_METHOD_GET || req->method == PW_HTTP_METHOD_HEAD) {
        show(app->ring, kind, req, rep, &t);
    } else if (req->method == PW_HTTP_METHOD_POST) {
        forget(app->ring, kind, req, rep, &t);
    } else {
        (void)snprintf(rep->headers, sizeof(rep->headers), "Allow: GET, POST\r\n");
    }
    rep->body = pw_text_steal(&t, &rep->body_bytes);
    if (rep->body == NULL) {
        *rep = (struct pw_query_reply){.status = 500};
    }
    pw_text_fini(&t);
}
