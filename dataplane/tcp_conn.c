/* The life of a connection: pw_tcp_open gives it a slot in the table when its SYN is taken; SYN,ACK
 * acknowledged makes it ESTABLISHED and the application's (accept); pw_tcp_detach ends the
 * application's part (gone), pw_tcp_close the whole. Memory is reused only by a later open, so code
 * that called the application looks at tcb->state afterwards and may find CLOSED. */
#include "base/hash.h"
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

#include <stdlib.h>
#include <sys/mman.h>

enum { IN_LOSS_MAX = 4096 };

void
pw_tcp_cfg_defaults(struct pw_tcp_cfg *c)
{
    const struct {
        uint32_t *field;
        uint32_t value;
    } d[] = {
        {&c->conns_max, 4096},
        {&c->rx_base_bytes, 80 << 10},
        {&c->rx_base_bytes_min, 10 << 10},
        {&c->rcv_wnd_max, 512 << 10},
        {&c->snd_buf_bytes_max, 256 << 10},
        {&c->delack_ms, 40},
        {&c->rto_ms_init, 1000},
        {&c->rto_ms_min, 200},
        {&c->rto_ms_max, 60000},
        {&c->retries_max, 12},
        {&c->syn_retries_max, 4},
        {&c->time_wait_ms, 60000},
        {&c->fin_wait_2_ms, 60000},
        {&c->user_timeout_ms, 300000},
        {&c->keepalive_interval_ms, 75000},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(d); i++) {
        *d[i].field = *d[i].field == 0 ? d[i].value : *d[i].field;
    }
    if (c->syn_received_max == 0) {
        c->syn_received_max = c->conns_max / 4 > 1024 ? 1024 : c->conns_max / 4 + 1;
    }
    if (c->snd_pool_bytes == 0) {
        c->snd_pool_bytes = 32 << 20;
    }
}

/* --- the table: open addressing, linear probing, deletion by shifting back --- */

uint32_t
pw_tcp_hash(const struct pw_tcp *t, const struct pw_segment *seg)
{
    uint64_t ports = ((uint64_t)seg->lport << 16) | seg->peer.port;
    uint64_t addr[2];

    memcpy(addr, seg->peer.ip, sizeof(addr));
    uint64_t h = seg->v6 ? pw_hash_mix(t->hash_key, addr[0]) : t->hash_key;

    h = pw_hash_mix(pw_hash_mix(h, addr[1]), ports);

    return (uint32_t)(h ^ (h >> 32));
}

void
pw_tcp_prefetch_slot(const struct pw_tcp *t, uint32_t hash)
{
    __builtin_prefetch(&t->slot[hash & t->slot_mask]);
}

bool
pw_tcp_key_is(const struct pw_tcb *tcb, const struct pw_segment *seg)
{
    uint64_t a[2], b[2];

    memcpy(a, tcb->stream.peer.ip, sizeof(a));
    memcpy(b, seg->peer.ip, sizeof(b));
    return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0 && tcb->stream.peer.port == seg->peer.port &&
           tcb->lport == seg->lport;
}

struct pw_tcb *
pw_tcp_lookup(struct pw_tcp *t, const struct pw_segment *seg)
{
    for (uint32_t i = seg->hash & t->slot_mask;; i = (i + 1) & t->slot_mask) {
        const struct pw_tcp_slot *s = &t->slot[i]; /* bound: half of the slots are empty */

        if (s->idx1 == 0) {
            return NULL;
        }
        if (s->hash == seg->hash) {
            struct pw_tcb *tcb = pw_pool_at(&t->tcbs, s->idx1 - 1);

            if (pw_tcp_key_is(tcb, seg)) {
                return tcb;
            }
        }
    }
}

static void
table_add(struct pw_tcp *t, const struct pw_tcb *tcb)
{
    uint32_t i = tcb->hash & t->slot_mask;

    while (t->slot[i].idx1 != 0) {
        i = (i + 1) & t->slot_mask;
    }
    t->slot[i] = (struct pw_tcp_slot){.hash = tcb->hash, .idx1 = pw_pool_index(&t->tcbs, tcb) + 1};
}

static void
table_remove(struct pw_tcp *t, const struct pw_tcb *tcb)
{
    uint32_t idx1 = pw_pool_index(&t->tcbs, tcb) + 1;
    uint32_t hole = tcb->hash & t->slot_mask;

    while (t->slot[hole].idx1 != idx1) {
        PW_INVARIANT(t->slot[hole].idx1 != 0);
        hole = (hole + 1) & t->slot_mask;
    }
    /* Knuth 6.4 algorithm R: an entry behind the hole moves into it unless that were before its
     * home. */
    for (uint32_t i = (hole + 1) & t->slot_mask; t->slot[i].idx1 != 0; i = (i + 1) & t->slot_mask) {
        uint32_t home = t->slot[i].hash & t->slot_mask;

        if (((i - home) & t->slot_mask) >= ((i - hole) & t->slot_mask)) {
            t->slot[hole] = t->slot[i];
            hole = i;
        }
    }
    t->slot[hole].idx1 = 0;
}

/* --- birth and death --- */

void
pw_tcp_state_set(struct pw_worker *w, struct pw_tcb *tcb, enum pw_tcp_state to)
{
    PW_INVARIANT(pw_tcp_edge_ok(tcb->state, to));
    pw_trace(&w->trace, w->now_tsc, pw_tcp_state_name(to), pw_pool_index(&w->tcp.tcbs, tcb),
             tcb->state);
    tcb->state = (uint8_t)to;
}

/* A free slot; when there is none, that of the oldest TIME_WAIT, which RFC 9293 3.6.1 lets go early
 * only by a new SYN of the same peer. We give it up all the same: refusing a new client is worse
 * than answering a very late duplicate FIN with RST. */
static struct pw_tcb *
tcb_get(struct pw_worker *w)
{
    struct pw_tcb *tcb = pw_pool_get(&w->tcp.tcbs);

    if (tcb == NULL && !TAILQ_EMPTY(&w->tcp.time_wait)) {
        w->stat[PW_STAT_TCP_RECYCLED]++;
        pw_tcp_close(w, TAILQ_FIRST(&w->tcp.time_wait));
        tcb = pw_pool_get(&w->tcp.tcbs);
    }
    return tcb;
}

struct pw_tcb *
pw_tcp_open(struct pw_worker *w, const struct pw_segment *seg)
{
    struct pw_tcb *tcb = tcb_get(w);

    if (tcb == NULL) {
        return NULL;
    }
    *tcb = (struct pw_tcb){
        .stream = {.ops = &pw_tcp_stream_ops, .peer = seg->peer},
        .w = w,
        .hash = seg->hash,
        .lport = seg->lport,
        .v6 = seg->v6,
        .state = PW_TCP_CLOSED,
        .timer = {.kind = PW_TCB_TIMER_MAIN},
        .delack = {.kind = PW_TCB_TIMER_DELACK},
        .keepalive = {.kind = PW_TCB_TIMER_KEEPALIVE},
        .cc = {.ops = w->tcp.cfg.reno ? &pw_tcp_cc_reno : &pw_tcp_cc_cubic},
        .rto_ms = w->tcp.cfg.rto_ms_init,
    };
    memcpy(tcb->peer_mac, seg->src_mac, 6);
    table_add(&w->tcp, tcb);
    return tcb;
}

void
pw_tcp_learn_peer(struct pw_worker *w, const struct pw_segment *seg)
{
    if (seg->v6) {
        pw_neigh6_learn(&w->neigh6, seg->peer.ip, seg->src_mac, w->now_tick);
    } else {
        pw_neigh_learn(&w->neigh, pw_load_be32(seg->peer.ip + 12), seg->src_mac, w->now_tick);
    }
}

void
pw_tcp_follow(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    if (memcmp(tcb->peer_mac, seg->src_mac, 6) != 0) {
        memcpy(tcb->peer_mac, seg->src_mac, 6);
        pw_tcp_learn_peer(w, seg);
    }
}

void
pw_tcp_follow_again(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    if (seg->len != 0 && (seg->flags & (PW_TCP_SYN | PW_TCP_RST | PW_TCP_ACK)) == PW_TCP_ACK &&
        tcb->rcv_nxt - seg->seq <= UINT16_MAX &&
        pw_seq_leq(tcb->snd_una - tcb->snd_wnd_max, seg->ack) &&
        pw_seq_leq(seg->ack, tcb->snd_nxt)) {
        pw_tcp_follow(w, tcb, seg);
    }
}

/* Seen there at that tick. */
static void
follow_newer(struct pw_tcb *tcb, const uint8_t mac[6], uint64_t tick)
{
    if ((uint32_t)(tick >> 10) >= tcb->heard) { /* as pw_worker_coarse_s */
        memcpy(tcb->peer_mac, mac, 6);
    }
}

void
pw_tcp_follow_others(const struct pw_worker *w, struct pw_tcb *tcb)
{
    if (tcb->v6) {
        const struct pw_neigh6 *n = pw_neigh6_find(&w->neigh6, tcb->stream.peer.ip);

        if (n != NULL) {
            follow_newer(tcb, n->mac, n->tick);
        }
    } else {
        const struct pw_neigh *n = pw_neigh_find(&w->neigh, pw_load_be32(tcb->stream.peer.ip + 12));

        if (n != NULL) {
            follow_newer(tcb, n->mac, n->tick);
        }
    }
}

void
pw_tcp_detach(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (!pw_tcb_is(tcb, PW_TCB_APP)) {
        return;
    }
    void *user = tcb->stream.user;

    pw_tcb_flag_clear(tcb, PW_TCB_APP);
    tcb->stream.user = NULL;
    w->tcp.open--;
    w->tcp.app.gone(user, w->now_tsc);
}

void
pw_tcp_close(struct pw_worker *w, struct pw_tcb *tcb)
{
    struct pw_tcp *t = &w->tcp;

    if (tcb->state == PW_TCP_TIME_WAIT) {
        TAILQ_REMOVE(&t->time_wait, tcb, wait_link);
    }
    if (tcb->state != PW_TCP_CLOSED) { /* a SYN can fail before it has a state */
        pw_tcp_state_set(w, tcb, PW_TCP_CLOSED);
    }
    pw_tcp_unstarve(t, tcb);
    pw_timer_cancel(&t->wheel, &tcb->timer);
    pw_timer_cancel(&t->wheel, &tcb->delack);
    pw_timer_cancel(&t->wheel, &tcb->keepalive);
    if (pw_tcb_is(tcb, PW_TCB_OUT)) {
        TAILQ_REMOVE(&t->out, tcb, out_link);
        pw_tcb_flag_clear(tcb, PW_TCB_OUT);
    }
    if (pw_tcb_is(tcb, PW_TCB_HALF_OPEN)) {
        t->half_open--;
        pw_tcb_flag_clear(tcb, PW_TCB_HALF_OPEN);
    }
    pw_tcp_ooo_clear(w, tcb);
    pw_sack_clear(w, tcb);
    pw_snd_clear(&t->chunks, &tcb->snd);
    t->rx_budget_free += tcb->rx_reserved;
    tcb->rx_reserved = 0;
    table_remove(t, tcb);
    pw_pool_put(&t->tcbs, tcb);
    /* Last: the application may act on other streams in it. */
    pw_tcp_detach(w, tcb);
}

void
pw_tcp_out_later(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (!pw_tcb_is(tcb, PW_TCB_OUT)) {
        pw_tcb_flag_set(tcb, PW_TCB_OUT);
        TAILQ_INSERT_TAIL(&w->tcp.out, tcb, out_link);
    }
}

/* --- init --- */

static uint32_t
pow2_at_least(uint32_t n)
{
    uint32_t p = 1;

    while (p < n) {
        p *= 2;
    }
    return p;
}

/* Only connections in loss have a scoreboard, or text behind a hole; who finds none recovers without SACK, and
 * what comes out of order is not kept. */
static uint32_t
in_loss_max(const struct pw_tcp_cfg *c)
{
    return c->conns_max < IN_LOSS_MAX ? c->conns_max : IN_LOSS_MAX;
}

static int
cfg_check(struct pw_worker *w, struct pw_tcp_cfg *c)
{
    uint64_t pool_bytes = (uint64_t)w->mempool->size * w->buf_bytes;

    pw_tcp_cfg_defaults(c);
    if (c->rx_budget_bytes == 0) {
        c->rx_budget_bytes = pool_bytes / 4 * 3;
    }
    if (c->conns_max > 1U << 24 || c->rx_budget_bytes > pool_bytes ||
        c->rx_base_bytes_min < 4 * w->buf_bytes || c->rx_base_bytes < c->rx_base_bytes_min ||
        c->rcv_wnd_max > UINT16_MAX << PW_TCP_RCV_WSCALE ||
        c->snd_buf_bytes_max < PW_SND_CHUNK_BYTES || c->snd_buf_bytes_max > 1U << 30 ||
        c->snd_pool_bytes / sizeof(struct pw_snd_chunk) > 1U << 24) {
        return PW_ERANGE;
    }
    return 0;
}

static void
secrets_init(struct pw_worker *w, const uint8_t secret[16])
{
    struct pw_tcp *t = &w->tcp;

    memcpy(t->isn_key, secret, 16);
    t->hash_key = pw_hash_keyed(t->isn_key[0], secret, 16);
    t->ts_offset = (uint32_t)pw_hash_keyed(t->isn_key[1], secret, 16);
    for (uint64_t i = 0; i < PW_ARRAY_LEN(t->cookie_key); i++) { /* a key of its own */
        const uint64_t label[2] = {0x636F6F6B6965U, i};

        t->cookie_key[i] = pw_tcp_sip(t->isn_key, label, 0);
    }
    t->tsc_per_4us = w->tsc_hz / 250000 == 0 ? 1 : w->tsc_hz / 250000;
}

int
pw_tcp_init_ctl(struct pw_worker *w, const struct pw_tcp_cfg *cfg, const uint8_t secret[16])
{
    struct pw_tcp *t = &w->tcp;
    int rc;

    t->cfg = *cfg;
    rc = cfg_check(w, &t->cfg);
    if (rc != 0) {
        return rc;
    }
    secrets_init(w, secret);
    t->mss = (uint16_t)(w->mtu - 40);
    t->rx_budget_free = t->cfg.rx_budget_bytes;
    t->slot_mask = pow2_at_least(2 * t->cfg.conns_max) - 1;
    TAILQ_INIT(&t->out);
    TAILQ_INIT(&t->time_wait);
    TAILQ_INIT(&t->starved);
    pw_timer_wheel_init(&t->wheel, w->now_tick);
    t->slot = calloc((size_t)t->slot_mask + 1, sizeof(t->slot[0]));
    if (t->slot == NULL) {
        return PW_ENOMEM;
    }
    rc = pw_pool_init_ctl(&t->tcbs, t->cfg.conns_max, sizeof(struct pw_tcb));
    if (rc != 0) {
        goto err_slot;
    }
    rc = pw_pool_init_ctl(&t->chunks,
                          (uint32_t)(t->cfg.snd_pool_bytes / sizeof(struct pw_snd_chunk)),
                          sizeof(struct pw_snd_chunk));
    if (rc != 0) {
        goto err_tcbs;
    }
    rc = pw_pool_init_ctl(&t->boards, in_loss_max(&t->cfg), sizeof(struct pw_sack_board));
    if (rc != 0) {
        goto err_chunks;
    }
    rc = pw_pool_init_ctl(&t->ooos, in_loss_max(&t->cfg), sizeof(struct pw_tcp_ooo));
    if (rc != 0) {
        goto err_boards;
    }
    return 0;
err_boards:
    pw_pool_fini_ctl(&t->boards);
err_chunks:
    pw_pool_fini_ctl(&t->chunks);
err_tcbs:
    pw_pool_fini_ctl(&t->tcbs);
err_slot:
    free(t->slot);
    return rc;
}

void
pw_tcp_fini_ctl(struct pw_worker *w)
{
    struct pw_tcp *t = &w->tcp;

    for (uint32_t i = 0; i < t->tcbs.count && pw_pool_used(&t->tcbs) > 0; i++) {
        struct pw_tcb *tcb = pw_pool_at(&t->tcbs, i);

        if (tcb->state != PW_TCP_CLOSED) {
            if (pw_tcb_is(tcb, PW_TCB_APP)) {
                pw_tcp_rst_send(w, tcb);
            }
            pw_tcp_close(w, tcb);
        }
    }
    PW_INVARIANT(pw_pool_used(&t->tcbs) == 0);
    PW_INVARIANT(pw_pool_used(&t->chunks) == 0);
    PW_INVARIANT(pw_pool_used(&t->boards) == 0);
    PW_INVARIANT(pw_pool_used(&t->ooos) == 0);
    PW_INVARIANT(t->rx_budget_free == t->cfg.rx_budget_bytes);
    pw_pool_fini_ctl(&t->ooos);
    pw_pool_fini_ctl(&t->boards);
    pw_pool_fini_ctl(&t->chunks);
    pw_pool_fini_ctl(&t->tcbs);
    free(t->slot);
}
