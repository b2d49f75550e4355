/* What a connection offers as a byte stream (struct pw_stream_ops), and who waits for room to send. None of the
 * operations calls the application. */
#include "dataplane/worker_priv.h"

enum { SND_SHARE_SCARCE = 4 * PW_SND_CHUNK_BYTES };

uint32_t
pw_tcp_starved_wake(struct pw_worker *w)
{
    struct pw_tcp *t = &w->tcp;
    uint32_t n = 0;

    /* Who finds nothing again goes to the end of the list. */
    for (; n < PW_BURST_MAX && t->chunks.free_count > 0 && !TAILQ_EMPTY(&t->starved); n++) {
        struct pw_tcb *tcb = TAILQ_FIRST(&t->starved);

        pw_tcp_unstarve(t, tcb);
        pw_tcb_flag_clear(tcb, PW_TCB_WANT_WRITE);
        t->app.writable(tcb->stream.user, w->now_tsc);
    }
    return n;
}

static struct pw_tcb *
tcb_of(struct pw_stream *s)
{
    struct pw_tcb *tcb = (struct pw_tcb *)(void *)s;

    PW_INVARIANT(tcb->state != PW_TCP_CLOSED && pw_tcb_is(tcb, PW_TCB_APP));
    return tcb;
}

/* What one connection may have waiting: when three quarters of the chunks are in use only a little,
 * so that peers who do not read what they asked for cannot silence the others. */
static uint32_t
snd_share(const struct pw_tcp *t)
{
    bool plenty = t->chunks.free_count > t->chunks.count / 4;

    return plenty || t->cfg.snd_buf_bytes_max < SND_SHARE_SCARCE ? t->cfg.snd_buf_bytes_max
                                                                 : SND_SHARE_SCARCE;
}

static size_t
ops_send_room(struct pw_stream *s)
{
    const struct pw_tcb *tcb = tcb_of(s);
    const struct pw_tcp *t = &tcb->w->tcp;
    uint32_t share = snd_share(t);

    if (pw_tcb_is(tcb, PW_TCB_FIN_QUEUED) || tcb->snd.bytes >= share) {
        return 0;
    }
    size_t own = share - tcb->snd.bytes;
    size_t pool = (size_t)t->chunks.free_count * PW_SND_CHUNK_BYTES;

    return own < pool ? own : pool;
}

/* After a send that took so many bytes. With bytes in flight ACKs say when to go on; without any, only
 * the chunks that others give back do. */
static void
send_starved(struct pw_tcb *tcb, size_t took)
{
    struct pw_tcp *t = &tcb->w->tcp;

    if (took > 0) {
        pw_tcp_unstarve(t, tcb);
    } else if (tcb->snd.bytes == 0 && pw_tcb_is(tcb, PW_TCB_WANT_WRITE) &&
               !pw_tcb_is(tcb, PW_TCB_FIN_QUEUED | PW_TCB_STARVED)) {
        pw_tcb_flag_set(tcb, PW_TCB_STARVED);
        TAILQ_INSERT_TAIL(&t->starved, tcb, wait_link);
    }
}

static size_t
ops_unacked(struct pw_stream *s)
{
    return tcb_of(s)->snd.bytes;
}

static size_t
ops_send(struct pw_stream *s, const struct pw_slice *iov, uint32_t iov_count)
{
    struct pw_tcb *tcb = tcb_of(s);
    size_t took = 0;

    for (uint32_t i = 0; i < iov_count; i++) {
        size_t n = pw_snd_put(&tcb->w->tcp.chunks, &tcb->snd, iov[i], ops_send_room(s));

        took += n;
        if (n < iov[i].len) {
            pw_tcb_flag_set(tcb, PW_TCB_WANT_WRITE);
            break;
        }
    }
    if (took > 0) {
        pw_tcp_out_later(tcb->w, tcb);
    }
    send_starved(tcb, took);
    return took;
}

static void
ops_consumed(struct pw_stream *s, size_t buf_bytes)
{
    struct pw_tcb *tcb = tcb_of(s);

    PW_INVARIANT(buf_bytes <= tcb->rx_held_app);
    tcb->rx_held_app -= (uint32_t)buf_bytes;
    pw_tcp_rx_settle(tcb->w, tcb);
    pw_tcp_rx_reopen(tcb->w, tcb);
}

static int
ops_reserve(struct pw_stream *s, size_t bytes)
{
    struct pw_tcb *tcb = tcb_of(s);

    return pw_tcp_rx_reserve(tcb->w, tcb, bytes);
}

static void
ops_shutdown(struct pw_stream *s)
{
    struct pw_tcb *tcb = tcb_of(s);

    if (pw_tcb_is(tcb, PW_TCB_FIN_QUEUED)) {
        return;
    }
    /* RFC 9293 3.10.4: the FIN follows everything queued; the state changes now. */
    pw_tcb_flag_set(tcb, PW_TCB_FIN_QUEUED);
    pw_tcb_flag_clear(tcb, PW_TCB_WANT_WRITE);
    pw_tcp_unstarve(&tcb->w->tcp, tcb);
    pw_tcp_state_set(tcb->w, tcb,
                     tcb->state == PW_TCP_CLOSE_WAIT ? PW_TCP_LAST_ACK : PW_TCP_FIN_WAIT_1);
    pw_tcp_out_later(tcb->w, tcb);
}

static void
ops_reset(struct pw_stream *s)
{
    struct pw_tcb *tcb = tcb_of(s);
    struct pw_worker *w = tcb->w;

    pw_tcb_flag_clear(tcb, PW_TCB_APP); /* no gone for it */
    tcb->stream.user = NULL;
    w->tcp.open--;
    pw_tcp_rst_send(w, tcb);
    pw_tcp_close(w, tcb);
}

const struct pw_stream_ops pw_tcp_stream_ops = {
    .send_room = ops_send_room,
    .send = ops_send,
    .unacked = ops_unacked,
    .consumed = ops_consumed,
    .reserve = ops_reserve,
    .shutdown = ops_shutdown,
    .reset = ops_reset,
};
