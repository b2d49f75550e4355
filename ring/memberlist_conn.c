/* Connections: packets that come in, and streams, on which states are compared (contract ring.md 4.1, 4.4). */
#include "base/check.h"
#include "base/log.h"
#include "ring/memberlist_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>

static const char module[] = "pw.ring.memberlist";

enum conn_state {
    CONN_FIRST,  /* accepted, nothing read */
    CONN_PACKET, /* to its end */
    CONN_LABEL,  /* a stream, its head */
    CONN_STREAM, /* a message of a stream */
    CONN_DONE,   /* what is left is to be written */
};

struct pw_ml_conn {
    struct pw_memberlist *ml;
    enum conn_state state;
    bool dialed, join, ok;
    struct pw_text in, out;
    size_t written;
    size_t message; /* where in `in` the stream's message begins */
    /* A push/pull that is not all there yet is read on from here. */
    size_t scanned;
    uint32_t nodes_left;
    bool header_read;
    struct pw_ml_msg header;
};

enum { IN_BYTES_MAX = PW_ML_DECODED_BYTES_MAX + (1 << 20), OUT_BYTES_MAX = 2 * IN_BYTES_MAX };

static struct pw_ml_conn *
new_conn(struct pw_memberlist *ml)
{
    struct pw_ml_conn *c;

    if (ml->connections == PW_ML_CONNECTIONS_MAX || (c = calloc(1, sizeof(*c))) == NULL) {
        ml->stats.connections_refused++;
        return NULL;
    }
    c->ml = ml;
    pw_text_init(&c->in, IN_BYTES_MAX);
    pw_text_init(&c->out, OUT_BYTES_MAX);
    ml->connections++;
    return c;
}

void
pw_ml_conn_free(struct pw_ml_conn *c)
{
    struct pw_memberlist *ml = c->ml;

    ml->connections--;
    ml->input_bytes -= c->in.len;
    ml->stats.push_pull_out_failed += c->dialed && !c->ok;
    pw_text_fini(&c->in);
    pw_text_fini(&c->out);
    free(c);
}

struct pw_ml_conn *
pw_ml_conn_accept(struct pw_memberlist *ml)
{
    return new_conn(ml);
}

struct pw_slice
pw_ml_conn_output(const struct pw_ml_conn *c)
{
    size_t n = c->out.len - c->written; /* nothing was ever written: no address to add to */

    return n == 0 ? (struct pw_slice){0} : pw_slice(c->out.ptr + c->written, n);
}

void
pw_ml_conn_written(struct pw_ml_conn *c, size_t n)
{
    PW_INVARIANT(n <= c->out.len - c->written);
    c->written += n;
}

bool
pw_ml_conn_is_join(const struct pw_ml_conn *c)
{
    return c->dialed && c->join;
}

bool
pw_ml_conn_ok(const struct pw_ml_conn *c)
{
    return c->ok;
}

/* --- Our state ---------------------------------------------------------------------------------- */

static void
write_state(struct pw_memberlist *ml, bool join, struct pw_text *t)
{
    struct pw_ml_msg m = {.join = join, .nodes = ml->nodes};
    struct pw_text user;

    pw_text_init(&user, PW_ML_STATE_BYTES_MAX);
    pw_kv_put_state(ml->kv, &user);
    m.user_bytes = (uint32_t)user.len;
    pw_ml_msg_write(PW_ML_PUSH_PULL, &m, t);
    for (uint32_t i = 0; i < ml->nodes; i++) {
        ml_describe(ml->node[i], &m);
        pw_ml_msg_write(PW_ML_NODE_STATE, &m, t);
    }
    pw_text_put(t, user.ptr, user.len);
    t->failed = t->failed || user.failed;
    pw_text_fini(&user);
}

static bool
put_state(struct pw_ml_conn *c, bool join)
{
    struct pw_text t;

    pw_text_init(&t, IN_BYTES_MAX);
    write_state(c->ml, join, &t);
    if (!t.failed) {
        pw_ml_compress(&c->ml->wire, pw_slice(t.ptr, t.len), &c->out);
    }
    c->out.failed = c->out.failed || t.failed;
    pw_text_fini(&t);
    return !c->out.failed;
}

static int
dial(struct pw_memberlist *ml, const struct pw_ml_addr *to, bool join)
{
    struct pw_ml_conn *c = new_conn(ml);
    int rc = 0;

    if (c == NULL) {
        return PW_EAGAIN;
    }
    ml->stats.push_pull_out++;
    c->dialed = true;
    c->join = join;
    c->state = CONN_STREAM; /* the answer has neither first byte nor label */
    pw_text_char(&c->out, PW_ML_CONNECTION_STREAM);
    pw_ml_label_write(&ml->wire, &c->out);
    rc = put_state(c, join) ? ml->io.dial(ml->io.ctx, to, c) : PW_ENOMEM;
    if (rc != 0) {
        pw_ml_conn_free(c);
    }
    return rc;
}

void
ml_push_pull(struct pw_memberlist *ml, const struct pw_ml_addr *to)
{
    (void)!dial(ml, to, false); /* counted; the next one comes */
}

int
pw_memberlist_join(struct pw_memberlist *ml, const struct pw_ml_addr *to, struct pw_ml_now now)
{
    ml->now = now;
    return dial(ml, to, true);
}

/* --- The other's state -------------------------------------------------------------------------- */

struct range {
    uint8_t pmin, pmax, dmin, dmax;
};

static void
narrow(struct range *r, const uint8_t *vsn)
{
    r->pmin = vsn[VSN_PMIN] > r->pmin ? vsn[VSN_PMIN] : r->pmin;
    r->pmax = vsn[VSN_PMAX] < r->pmax ? vsn[VSN_PMAX] : r->pmax;
    r->dmin = vsn[VSN_DMIN] > r->dmin ? vsn[VSN_DMIN] : r->dmin;
    r->dmax = vsn[VSN_DMAX] < r->dmax ? vsn[VSN_DMAX] : r->dmax;
}

static bool
within(const struct range *r, const uint8_t *vsn)
{
    return vsn[VSN_PCUR] >= r->pmin && vsn[VSN_PCUR] <= r->pmax && vsn[VSN_DCUR] >= r->dmin &&
           vsn[VSN_DCUR] <= r->dmax;
}

/* The nodes of a state that is all there; calls for each. */
static void
each_node(struct pw_slice nodes, uint32_t count,
          void (*fn)(void *ctx, const struct pw_ml_msg *node), void *ctx)
{
    const uint8_t *p = nodes.ptr, *end = p + nodes.len;

    for (uint32_t i = 0; i < count; i++) {
        struct pw_ml_msg m;
        int64_t used = pw_ml_msg_read(PW_ML_NODE_STATE, pw_slice(p, (size_t)(end - p)), &m);

        PW_INVARIANT(used > 0); /* it was scanned */
        p += used;
        fn(ctx, &m);
    }
}

struct version_check {
    struct range range;
    bool checking, ok;
};

static void
look_at_version(void *ctx, const struct pw_ml_msg *m)
{
    static const uint8_t none[PW_ML_VSN_BYTES];
    struct version_check *c = ctx;
    const uint8_t *vsn = m->vsn.len == PW_ML_VSN_BYTES ? m->vsn.ptr : none;

    if (c->checking) {
        c->ok = c->ok && within(&c->range, vsn);
    } else if (m->state == PW_ML_STATE_ALIVE && m->vsn.len == PW_ML_VSN_BYTES) {
        narrow(&c->range, vsn);
    }
}

/* Every member listed, here and there, must speak what all that are alive understand. */
static bool
versions_fit(const struct pw_memberlist *ml, struct pw_slice nodes, uint32_t count)
{
    struct version_check c = {.range = {.pmax = 255, .dmax = 255}, .ok = true};

    for (uint32_t i = 0; i < ml->nodes; i++) {
        if (ml->node[i]->state == PW_ML_STATE_ALIVE) {
            narrow(&c.range, ml->node[i]->vsn);
        }
    }
    each_node(nodes, count, look_at_version, &c);
    c.checking = true;
    each_node(nodes, count, look_at_version, &c);
    for (uint32_t i = 0; i < ml->nodes; i++) {
        c.ok = c.ok && within(&c.range, ml->node[i]->vsn);
    }
    return c.ok;
}

/* Whom the other holds for dead, we only suspect: it may say otherwise. */
static void
merge_node(void *ctx, const struct pw_ml_msg *remote)
{
    struct pw_memberlist *ml = ctx;
    struct pw_ml_msg m = *remote;

    switch (m.state) {
    case PW_ML_STATE_ALIVE:
        ml_alive(ml, &m);
        break;
    case PW_ML_STATE_LEFT:
        m.from = m.node;
        ml_dead(ml, &m);
        break;
    case PW_ML_STATE_SUSPECT:
    case PW_ML_STATE_DEAD:
        m.from = ml_own_name(ml);
        ml_suspect(ml, &m);
        break;
    default:
        ml->stats.nodes_refused++;
        break;
    }
}

static int
merge_state(struct pw_ml_conn *c, struct pw_slice state)
{
    struct pw_memberlist *ml = c->ml;
    struct pw_slice nodes = pw_slice(state.ptr, state.len - c->header.user_bytes);

    if (!versions_fit(ml, nodes, c->header.nodes)) {
        return PW_EPROTO;
    }
    each_node(nodes, c->header.nodes, merge_node, ml);
    return pw_kv_merge_state(ml->kv, pw_slice(nodes.ptr + nodes.len, c->header.user_bytes),
                             ml->now.wall_s);
}

/* --- A stream's message ------------------------------------------------------------------------- */

/* 0 when all of a push/pull is in `in` (which begins behind the type's byte). */
static int
scan_state(struct pw_ml_conn *c, struct pw_slice in)
{
    struct pw_ml_msg m;

    if (!c->header_read) {
        int64_t used = pw_ml_msg_read(PW_ML_PUSH_PULL, in, &c->header);

        if (used < 0) {
            return (int)used;
        }
        if (c->header.nodes > 2 * PW_ML_NODES_MAX || c->header.user_bytes > PW_ML_STATE_BYTES_MAX) {
            return PW_PARSE_BAD;
        }
        c->header_read = true;
        c->scanned = (size_t)used;
        c->nodes_left = c->header.nodes;
    }
    for (; c->nodes_left > 0; c->nodes_left--) {
        int64_t used = pw_ml_msg_read(PW_ML_NODE_STATE,
                                      pw_slice(in.ptr + c->scanned, in.len - c->scanned), &m);

        if (used < 0) {
            return (int)used;
        }
        c->scanned += (size_t)used;
    }
    return in.len - c->scanned < c->header.user_bytes ? PW_PARSE_MORE : 0;
}

static enum pw_ml_conn_next
broken(struct pw_ml_conn *c)
{
    c->ml->stats.push_pull_broken++;
    return PW_ML_CONN_CLOSE;
}

static enum pw_ml_conn_next
take_push_pull(struct pw_ml_conn *c, struct pw_slice in)
{
    int rc = scan_state(c, in);
    int64_t head;
    struct pw_ml_msg m;

    if (rc != 0) {
        return rc == PW_PARSE_MORE ? PW_ML_CONN_MORE : broken(c);
    }
    if (!c->dialed) {
        c->ml->stats.push_pull_in++;
        if (!put_state(c, c->header.join)) {
            return PW_ML_CONN_CLOSE;
        }
    }
    head = pw_ml_msg_read(PW_ML_PUSH_PULL, in, &m);
    PW_INVARIANT(head > 0);
    rc = merge_state(c, pw_slice(in.ptr + head, c->scanned - (size_t)head + m.user_bytes));
    if (rc != 0) {
        c->ml->stats.push_pull_broken++;
        pw_log(PW_LOG_WARN, module, "msg=\"the state of another member was refused\" err=\"%s\"",
               pw_err_text(rc));
    }
    c->ok = rc == 0;
    c->state = CONN_DONE;
    return PW_ML_CONN_DONE;
}

/* A ping over a stream is answered on it. */
static enum pw_ml_conn_next
take_stream_ping(struct pw_ml_conn *c, struct pw_slice in)
{
    struct pw_ml_msg m, ack = {0};
    int64_t used = pw_ml_msg_read(PW_ML_PING, in, &m);

    if (used < 0) {
        return used == PW_PARSE_MORE ? PW_ML_CONN_MORE : broken(c);
    }
    if (m.node.len > 0 && !pw_slice_eq(m.node, ml_own_name(c->ml))) {
        return PW_ML_CONN_CLOSE;
    }
    ack.seq = m.seq;
    pw_ml_msg_write(PW_ML_ACK, &ack, &c->out);
    c->state = CONN_DONE;
    return PW_ML_CONN_DONE;
}

static enum pw_ml_conn_next
take_stream_user(struct pw_ml_conn *c, struct pw_slice in)
{
    struct pw_ml_msg m;
    int64_t used = pw_ml_msg_read(PW_ML_USER_STREAM, in, &m);

    if (used < 0 || m.user_bytes > PW_ML_STATE_BYTES_MAX) {
        return used == PW_PARSE_MORE ? PW_ML_CONN_MORE : broken(c);
    }
    if (in.len - (size_t)used < m.user_bytes) {
        return PW_ML_CONN_MORE;
    }
    c->ml->stats.user_in++;
    (void)!pw_kv_merge_pair(c->ml->kv, pw_slice(in.ptr + used, m.user_bytes), c->ml->now.wall_s);
    c->state = CONN_DONE;
    return PW_ML_CONN_DONE;
}

static enum pw_ml_conn_next
take_err(struct pw_ml_conn *c, struct pw_slice in)
{
    char quoted[256];
    struct pw_ml_msg m;
    int64_t used = pw_ml_msg_read(PW_ML_ERR, in, &m);

    if (used < 0) {
        return used == PW_PARSE_MORE ? PW_ML_CONN_MORE : broken(c);
    }
    pw_log(PW_LOG_WARN, module, "msg=\"another member refused our state\" err=%s",
           pw_log_quote(quoted, sizeof(quoted), m.bytes));
    return PW_ML_CONN_CLOSE;
}

static enum pw_ml_conn_next
take_plain(struct pw_ml_conn *c, struct pw_slice in)
{
    struct pw_slice body = pw_slice(in.ptr + 1, in.len - 1);

    switch (in.ptr[0]) {
    case PW_ML_PUSH_PULL:
        return take_push_pull(c, body);
    case PW_ML_PING:
        return c->dialed ? broken(c) : take_stream_ping(c, body);
    case PW_ML_USER:
        return c->dialed ? broken(c) : take_stream_user(c, body);
    case PW_ML_ERR:
        return take_err(c, body);
    default:
        c->ml->stats.messages_unknown++;
        return PW_ML_CONN_CLOSE;
    }
}

/* Once its envelope is all there, so is the message. */
static enum pw_ml_conn_next
take_compressed(struct pw_ml_conn *c, struct pw_slice map)
{
    struct pw_ml_msg m;
    struct pw_text plain;
    enum pw_ml_conn_next next;
    int64_t used = pw_ml_msg_read(PW_ML_COMPRESS, map, &m);

    if (used < 0) {
        return used == PW_PARSE_MORE ? PW_ML_CONN_MORE : broken(c);
    }
    pw_text_init(&plain, PW_ML_DECODED_BYTES_MAX);
    if (pw_ml_decompress(pw_slice(map.ptr, (size_t)used), &plain) != 0 || plain.len == 0) {
        next = broken(c);
    } else {
        next = take_plain(c, pw_slice(plain.ptr, plain.len));
        next = next == PW_ML_CONN_MORE ? broken(c) : next;
    }
    pw_text_fini(&plain);
    return next;
}

static enum pw_ml_conn_next
take_stream(struct pw_ml_conn *c)
{
    struct pw_slice in = pw_slice(c->in.ptr + c->message, c->in.len - c->message);

    if (in.len == 0) {
        return PW_ML_CONN_MORE;
    }
    if (in.ptr[0] == PW_ML_COMPRESS) {
        return take_compressed(c, pw_slice(in.ptr + 1, in.len - 1));
    }
    return take_plain(c, in);
}

/* --- Bytes -------------------------------------------------------------------------------------- */

static enum pw_ml_conn_next
take_label(struct pw_ml_conn *c)
{
    int used = pw_ml_label_read(&c->ml->wire, pw_slice(c->in.ptr + 1, c->in.len - 1));

    if (used == PW_PARSE_BAD) {
        c->ml->stats.packets_other_label++;
        return PW_ML_CONN_CLOSE;
    }
    if (used == PW_PARSE_MORE) {
        return PW_ML_CONN_MORE;
    }
    c->message = 1 + (size_t)used;
    c->state = CONN_STREAM;
    return take_stream(c);
}

static enum pw_ml_conn_next
take_first(struct pw_ml_conn *c)
{
    switch (c->in.ptr[0]) {
    case PW_ML_CONNECTION_PACKET:
        c->state = CONN_PACKET;
        return PW_ML_CONN_MORE;
    case PW_ML_CONNECTION_STREAM:
        c->state = CONN_LABEL;
        return take_label(c);
    default:
        c->ml->stats.messages_unknown++;
        return PW_ML_CONN_CLOSE;
    }
}

enum pw_ml_conn_next
pw_ml_conn_input(struct pw_ml_conn *c, struct pw_slice bytes, struct pw_ml_now now)
{
    struct pw_memberlist *ml = c->ml;

    ml->now = now;
    ml->stats.bytes_in += bytes.len;
    if (bytes.len > PW_ML_INPUT_BYTES_MAX - ml->input_bytes) {
        ml->stats.connections_refused++;
        return PW_ML_CONN_CLOSE;
    }
    pw_text_slice(&c->in, bytes);
    if (c->in.failed) {
        ml->stats.connections_refused++;
        return PW_ML_CONN_CLOSE;
    }
    ml->input_bytes += bytes.len;
    if (c->in.len == 0) {
        return PW_ML_CONN_MORE;
    }
    switch (c->state) {
    case CONN_FIRST:
        return take_first(c);
    case CONN_PACKET:
        return PW_ML_CONN_MORE;
    case CONN_LABEL:
        return take_label(c);
    case CONN_STREAM:
        return take_stream(c);
    case CONN_DONE:
        return PW_ML_CONN_DONE; /* what comes behind it is nobody's */
    }
    PW_UNREACHABLE("state of a connection");
}

/* "1.2.3.4:7946" or "[::1]:7946": where the sender is reached, should its ping not say. */
static struct pw_ml_addr
read_from(struct pw_slice text)
{
    struct pw_ml_addr none = {0};
    struct pw_ml_addr a;
    char copy[PW_ML_ADDR_TEXT];
    char *colon;
    size_t host;
    long port;

    if (text.len == 0 || text.len >= sizeof(copy)) {
        return none;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    colon = strrchr(copy, ':');
    if (colon == NULL || colon == copy) {
        return none;
    }
    *colon = 0;
    host = (size_t)(colon - copy);
    port = strtol(colon + 1, NULL, 10);
    if (port <= 0 || port > UINT16_MAX) {
        return none;
    }
    if (copy[0] == '[' && copy[host - 1] == ']') {
        copy[host - 1] = 0;
        return pw_ml_addr_read(copy + 1, (uint16_t)port, &a) == 0 ? a : none;
    }
    return pw_ml_addr_read(copy, (uint16_t)port, &a) == 0 ? a : none;
}

static void
take_packet(struct pw_ml_conn *c)
{
    struct pw_memberlist *ml = c->ml;
    struct pw_ml_packet p;
    struct pw_ml_addr from;
    struct pw_text plain;
    int rc;

    pw_text_init(&plain, PW_ML_DECODED_BYTES_MAX);
    rc = pw_ml_packet_read(&ml->wire, pw_slice(c->in.ptr, c->in.len), &plain, &p);
    ml->stats.packets_md5_differs += p.md5_differs;
    if (rc == PW_EPERM) {
        ml->stats.packets_other_label++;
    } else if (rc != 0) {
        ml->stats.packets_broken++;
    } else {
        ml->stats.packets_in++;
        from = read_from(p.from);
        ml_take_message(ml, p.message, &from);
    }
    pw_text_fini(&plain);
}

enum pw_ml_conn_next
pw_ml_conn_eof(struct pw_ml_conn *c, struct pw_ml_now now)
{
    c->ml->now = now;
    if (c->state == CONN_PACKET) {
        take_packet(c);
    }
    return c->state == CONN_DONE ? PW_ML_CONN_DONE : PW_ML_CONN_CLOSE;
}
