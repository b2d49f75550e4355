/* dataplane/http_reserve.c - buffers set aside for bodies, and the connections that wait for some.
 */
#include "dataplane/http_conn_priv.h"

void
pw_http_starved_push(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;

    if (c->ready) {
        return;
    }
    c->ready = true;
    c->next_ready = NULL;
    if (srv->starved_last == NULL) {
        srv->starved = c;
    } else {
        srv->starved_last->next_ready = c;
    }
    srv->starved_last = c;
}

void
pw_http_starved_wake(struct pw_http_server *srv)
{
    if (srv->starved == NULL || srv->now_tsc - srv->starved_run_tsc < srv->second_tsc / 1000) {
        return;
    }
    srv->starved_run_tsc = srv->now_tsc;
    if (srv->ready_last == NULL) {
        srv->ready = srv->starved;
    } else {
        srv->ready_last->next_ready = srv->starved;
    }
    srv->ready_last = srv->starved_last;
    srv->starved = NULL;
    srv->starved_last = NULL;
}

void
pw_http_reserve_none(struct pw_http_conn *c)
{
    if (c->reserved_upto != 0) {
        c->reserved_upto = 0;
        if (c->stream->ops->reserve(c->stream, 0) != 0) {
            c->doomed = true; /* giving back cannot fail in a stream that works */
        }
    }
}

uint64_t
pw_http_reserve_wanted(const struct pw_http_conn *c)
{
    uint64_t have = c->body_bytes + c->in.bytes;
    uint64_t ahead = have / 2 > RESERVE_STEP ? have / 2 : RESERVE_STEP;
    uint64_t left = c->body_left > c->in.bytes ? c->body_left - c->in.bytes : 0;

    if (!c->chunked_body && (left == 0 || have + left <= c->reserved_upto)) {
        return 0;
    }
    if (have + RESERVE_STEP / 2 <= c->reserved_upto) {
        return 0;
    }
    return c->chunked_body || ahead < left ? ahead : left;
}

bool
pw_http_reserve(struct pw_http_conn *c, uint64_t bytes)
{
    struct pw_http_server *srv = c->srv;

    if (c->stream->ops->reserve(c->stream, (size_t)bytes) == 0) {
        c->reserved_upto = c->body_bytes + c->in.bytes + bytes;
        c->starved_tsc = 0;
        return true;
    }
    srv->short_until_tsc = srv->now_tsc + srv->starved_tsc;
    c->starved_tsc = c->starved_tsc == 0 ? srv->now_tsc : c->starved_tsc;
    /* Who asked first has sent nothing that would be lost. */
    if (c->expect_continue || srv->now_tsc - c->starved_tsc >= srv->starved_tsc) {
        pw_http_refuse(c, PW_HTTP_DROP_NO_RECEIVE_BUFFERS);
    } else {
        pw_http_starved_push(c);
    }
    return false;
}
