/* dataplane/http_body.c - input queue and body of a connection, as mbufs.
 *
 * Payload stays where the port wrote it. What would pin a whole mbuf for a few bytes is copied behind
 * its predecessor; chunk framing is squeezed out in place.
 */
#include "dataplane/http_conn_priv.h"

/* ---- Lists ------------------------------------------------------------------------------- */

void
pw_http_mbuf_free(struct pw_http_conn *c, struct rte_mbuf *m)
{
    c->freed += m->buf_len;
    rte_pktmbuf_free_seg(m);
}

struct rte_mbuf *
pw_http_list_pop(struct mbuf_list *l)
{
    struct rte_mbuf *m = l->first;

    l->first = m->next;
    l->last = l->first == NULL ? NULL : l->last;
    l->count--;
    l->bytes -= m->data_len;
    m->next = NULL;
    return m;
}

void
pw_http_list_free(struct pw_http_conn *c, struct mbuf_list *l)
{
    while (l->first != NULL) {
        struct rte_mbuf *m = pw_http_list_pop(l);

        if (m == c->head_mbuf) {
            c->head_mbuf = NULL;
        }
        pw_http_mbuf_free(c, m);
    }
}

void
pw_http_body_free(struct pw_http_conn *c)
{
    while (c->body.first != NULL) {
        struct rte_mbuf *m = pw_http_list_pop(&c->body);

        if (m == c->head_mbuf) {
            c->head_mbuf_loose = true;
        } else {
            pw_http_mbuf_free(c, m);
        }
    }
}

static bool
may_append_to(const struct rte_mbuf *t, uint16_t bytes)
{
    return rte_pktmbuf_tailroom(t) >= bytes && RTE_MBUF_DIRECT(t) && rte_mbuf_refcnt_read(t) == 1;
}

/* Takes m, a single segment: copies it behind the last one if it is short enough, else links it. */
static void
list_append(struct pw_http_conn *c, struct mbuf_list *l, struct rte_mbuf *m, uint16_t copy_max)
{
    uint16_t n = m->data_len;

    l->bytes += n;
    if (l->last != NULL && n <= copy_max && m != c->head_mbuf && may_append_to(l->last, n)) {
        struct rte_mbuf *t = l->last;

        memcpy(rte_pktmbuf_mtod_offset(t, uint8_t *, t->data_len), rte_pktmbuf_mtod(m, uint8_t *),
               n);
        t->data_len = (uint16_t)(t->data_len + n);
        pw_http_mbuf_free(c, m);
        return;
    }
    if (l->last == NULL) {
        l->first = m;
    } else {
        l->last->next = m;
    }
    l->last = m;
    l->count++;
}

void
pw_http_input_append(struct pw_http_conn *c, struct rte_mbuf *chain)
{
    /* Inside a head everything that fits is gathered, so that most heads end up in one piece. */
    uint16_t copy_max = c->state == CONN_HEAD ? UINT16_MAX : COALESCE_BYTES_MAX;

    while (chain != NULL) {
        struct rte_mbuf *m = chain;

        chain = m->next;
        m->next = NULL;
        m->nb_segs = 1;
        c->srv->stats.bytes_received += m->data_len;
        if (m->data_len == 0) {
            pw_http_mbuf_free(c, m);
            continue;
        }
        list_append(c, &c->in, m, copy_max);
    }
}

void
pw_http_input_adj(struct pw_http_conn *c, uint32_t n)
{
    struct rte_mbuf *m = c->in.first;

    PW_DCHECK(n <= m->data_len);
    m->data_off = (uint16_t)(m->data_off + n);
    m->data_len = (uint16_t)(m->data_len - n);
    c->in.bytes -= n;
}

/* ---- Releasing --------------------------------------------------------------------------- */

void
pw_http_release_head(struct pw_http_conn *c)
{
    if (c->head_mbuf_loose) {
        pw_http_mbuf_free(c, c->head_mbuf);
        c->head_mbuf_loose = false;
    }
    if (c->head_buf != NULL) {
        pw_pool_put(&c->srv->head_bufs, c->head_buf);
        c->head_buf = NULL;
    }
    if (c->srv->head_owner == c) {
        c->srv->head_owner = NULL;
    }
    c->head_mbuf = NULL;
    c->head = NULL;
    c->head_bytes = 0;
    c->resume = (struct pw_http1_resume){0};
}

void
pw_http_release_request(struct pw_http_conn *c)
{
    c->held = false;
    pw_http_release_head(c);
    pw_http_list_free(c, &c->body);
    if (c->body_tail_skip != 0) {
        pw_http_input_adj(c, c->body_tail_skip);
        c->body_tail_skip = 0;
        c->body_tail = pw_slice(NULL, 0);
    }
}

/* ---- Reading ----------------------------------------------------------------------------- */

/* Takes m, whose remaining bytes are body. */
static void
keep_body(struct pw_http_conn *c, struct rte_mbuf *m)
{
    if (c->discard) {
        pw_http_mbuf_free(c, m);
    } else if (m->data_len == 0 && m == c->head_mbuf) {
        c->head_mbuf_loose = true;
    } else if (m->data_len == 0) {
        pw_http_mbuf_free(c, m);
    } else {
        list_append(c, &c->body, m, COALESCE_BYTES_MAX);
    }
}

/* The body ended inside in.first: len bytes at its start are body, skip bytes are used up. */
static void
keep_tail(struct pw_http_conn *c, uint32_t len, uint32_t skip)
{
    if (c->discard) {
        pw_http_input_adj(c, skip);
    } else {
        c->body_tail = pw_slice(rte_pktmbuf_mtod(c->in.first, uint8_t *), len);
        c->body_tail_skip = skip;
    }
}

/* RFC 9112 6.2 */
static enum pw_http_drop
read_length(struct pw_http_conn *c, bool *done)
{
    while (c->in.first != NULL && c->body_left > 0) {
        struct rte_mbuf *m = c->in.first;
        uint32_t take = c->body_left < m->data_len ? (uint32_t)c->body_left : m->data_len;

        c->body_left -= take;
        c->body_bytes += take;
        if (take < m->data_len) {
            keep_tail(c, take, take);
        } else {
            keep_body(c, pw_http_list_pop(&c->in));
        }
    }
    *done = c->body_left == 0;
    return c->body.count >= PW_HTTP_BODY_SLICES_MAX ? PW_HTTP_DROP_BODY_TOO_LARGE
                                                    : PW_HTTP_DROP_NONE;
}

/* Squeezes the framing out of one mbuf: *len body bytes end up at its start, *used bytes of it were
 * part of the message. */
static enum pw_http_drop
squeeze_chunks(struct pw_http_conn *c, struct rte_mbuf *m, uint32_t *len, uint32_t *used)
{
    uint8_t *base = rte_pktmbuf_mtod(m, uint8_t *);
    uint32_t r = 0;
    uint32_t w = 0;

    while (r < m->data_len && !pw_http1_chunked_done(&c->chunked)) {
        struct pw_slice data;
        int64_t n = pw_http1_chunked_next(&c->chunked, base + r, m->data_len - r, &data);

        if (n < 0) {
            return (enum pw_http_drop)c->chunked.drop;
        }
        if (data.len > c->body_limit - c->body_bytes) {
            return PW_HTTP_DROP_BODY_TOO_LARGE;
        }
        if (data.len != 0 && data.ptr != base + w) {
            memmove(base + w, data.ptr, data.len);
        }
        c->body_bytes += data.len;
        w += (uint32_t)data.len;
        r += (uint32_t)n;
    }
    *len = w;
    *used = r;
    return PW_HTTP_DROP_NONE;
}

static enum pw_http_drop
read_chunked(struct pw_http_conn *c, bool *done)
{
    while (c->in.first != NULL && !pw_http1_chunked_done(&c->chunked)) {
        struct rte_mbuf *m = c->in.first;
        uint32_t len = 0;
        uint32_t used = 0;
        enum pw_http_drop drop = squeeze_chunks(c, m, &len, &used);

        if (drop != PW_HTTP_DROP_NONE) {
            return drop;
        }
        if (used < m->data_len) {
            keep_tail(c, len, used);
        } else {
            m = pw_http_list_pop(&c->in);
            m->data_len = (uint16_t)len;
            keep_body(c, m);
        }
    }
    *done = pw_http1_chunked_done(&c->chunked);
    return c->body.count >= PW_HTTP_BODY_SLICES_MAX ? PW_HTTP_DROP_BODY_TOO_LARGE
                                                    : PW_HTTP_DROP_NONE;
}

enum pw_http_drop
pw_http_body_read(struct pw_http_conn *c, bool *done)
{
    return c->chunked_body ? read_chunked(c, done) : read_length(c, done);
}

uint32_t
pw_http_body_slices(struct pw_http_conn *c)
{
    struct pw_slice *out = c->srv->body;
    uint32_t n = 0;

    for (struct rte_mbuf *m = c->body.first; m != NULL; m = m->next) {
        out[n++] = pw_slice(rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
    }
    if (c->body_tail.len != 0) {
        out[n++] = c->body_tail;
    }
    PW_INVARIANT(n <= PW_HTTP_BODY_SLICES_MAX);
    return n;
}
