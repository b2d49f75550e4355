/* Text out of order: runs of text without a gap, sorted, each a chain of buffers in sequence order. Neighbours
 * that meet are one run, so between two of them lies a hole. Where a segment belongs is found by halving, what
 * a run has is known from its edges, and an ACK's SACK blocks are runs: nothing here walks buffers but to hand
 * them on or to free them, each once. A peer that leaves a hole behind every byte costs a search among
 * PW_TCP_OOO_RUNS_MAX and a move of so many entries a segment, no more.
 *
 * The table lives only as long as there is a hole; an idle connection has none. What the buffers may cost is
 * tcp_reass.c's concern. */
#include "dataplane/buf.h"
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

/* The first run that ends at or behind seq; count: none. */
static uint32_t
run_at(const struct pw_tcp_ooo *o, uint32_t seq)
{
    uint32_t lo = 0;
    uint32_t hi = o->count;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;

        if (pw_seq_lt(o->run[mid].at.right, seq)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static bool
holds(const struct pw_tcp_run *r, uint32_t seq)
{
    return pw_seq_in(seq, r->at.left, r->at.right);
}

static void
runs_remove(struct pw_tcp_ooo *o, uint32_t from, uint32_t n)
{
    o->count -= n;
    memmove(&o->run[from], &o->run[from + n], (o->count - from) * sizeof(o->run[0]));
}

/* Frees a run's buffers; the entry stays the caller's to remove. Returns how many they were. */
static uint32_t
run_free(struct pw_tcb *tcb, struct pw_tcp_run *r)
{
    uint32_t n = 0;

    for (struct rte_mbuf *m = r->first; m != NULL; n++) { /* bound: PW_TCP_OOO_SEGMENTS_MAX */
        struct rte_mbuf *next = m->next;

        tcb->rx_held_ooo -= m->buf_len;
        m->next = NULL;
        rte_pktmbuf_free_seg(m);
        m = next;
    }
    tcb->ooo_count = (uint16_t)(tcb->ooo_count - n);
    return n;
}

static void
table_drop_empty(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (tcb->ooo->count == 0) {
        pw_pool_put(&w->tcp.ooos, tcb->ooo);
        tcb->ooo = NULL;
    }
}

uint32_t
pw_tcp_ooo_evict(struct pw_worker *w, struct pw_tcb *tcb)
{
    uint32_t n;

    if (tcb->ooo == NULL) {
        return 0;
    }
    n = run_free(tcb, &tcb->ooo->run[--tcb->ooo->count]);
    table_drop_empty(w, tcb);
    w->drop[PW_DROP_TCP_OOO_EVICTED] += n;
    return n;
}

void
pw_tcp_ooo_clear(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (tcb->ooo == NULL) {
        return;
    }
    while (tcb->ooo->count > 0) { /* bound: PW_TCP_OOO_RUNS_MAX */
        (void)run_free(tcb, &tcb->ooo->run[--tcb->ooo->count]);
    }
    table_drop_empty(w, tcb);
}

/* --- SACK (RFC 2018 4, RFC 2883 4) --- */

void
pw_tcp_dsack_note(struct pw_tcb *tcb, uint32_t left, uint32_t right)
{
    if (pw_tcb_is(tcb, PW_TCB_SACK) && left != right) {
        tcb->dsack = (struct pw_tcp_range){left, right};
        pw_tcb_flag_set(tcb, PW_TCB_DSACK);
    }
}

/* RFC 2018 4: the first block is the run that the segment fell into that caused the ACK. Each run is named
 * once: others that it took in are forgotten. */
static void
recent_add(struct pw_tcp_ooo *o, const struct pw_tcp_run *r, uint32_t seq)
{
    uint32_t kept[PW_ARRAY_LEN(o->recent)] = {seq};
    uint32_t n = 1;

    for (uint32_t i = 0; i < PW_ARRAY_LEN(o->recent) && n < PW_ARRAY_LEN(kept); i++) {
        if (!holds(r, o->recent[i])) {
            kept[n++] = o->recent[i];
        }
    }
    for (; n < PW_ARRAY_LEN(kept); n++) {
        kept[n] = seq;
    }
    memcpy(o->recent, kept, sizeof(kept));
}

static bool
block_known(const struct pw_tcp_range *r, uint32_t n, uint32_t left)
{
    for (uint32_t i = 0; i < n; i++) { /* bound: PW_TCP_SACK_BLOCKS_MAX */
        if (r[i].left == left) {
            return true;
        }
    }
    return false;
}

uint32_t
pw_tcp_sack_blocks(struct pw_tcb *tcb, struct pw_tcp_range *r, uint32_t max)
{
    const struct pw_tcp_ooo *o = tcb->ooo;
    uint32_t n = 0;
    uint32_t first; /* behind the D-SACK, which may repeat what a block says */

    if (max > 0 && pw_tcb_is(tcb, PW_TCB_DSACK)) {
        r[n++] = tcb->dsack;
        pw_tcb_flag_clear(tcb, PW_TCB_DSACK);
    }
    if (o == NULL) {
        return n;
    }
    first = n;
    for (uint32_t i = 0; i < PW_ARRAY_LEN(o->recent) && n < max; i++) {
        uint32_t at = run_at(o, o->recent[i]);

        if (at < o->count && holds(&o->run[at], o->recent[i]) &&
            !block_known(&r[first], n - first, o->run[at].at.left)) {
            r[n++] = o->run[at].at;
        }
    }
    for (uint32_t i = 0; i < o->count && n < max; i++) { /* at most 3 of them are known */
        if (!block_known(&r[first], n - first, o->run[i].at.left)) {
            r[n++] = o->run[i].at;
        }
    }
    return n;
}

/* --- in --- */

static struct pw_tcp_ooo *
table_of(struct pw_worker *w, struct pw_tcb *tcb, uint32_t seq)
{
    if (tcb->ooo == NULL) {
        tcb->ooo = pw_pool_get(&w->tcp.ooos);
        if (tcb->ooo != NULL) {
            tcb->ooo->count = 0;
            for (uint32_t i = 0; i < PW_ARRAY_LEN(tcb->ooo->recent); i++) {
                tcb->ooo->recent[i] = seq;
            }
        }
    }
    return tcb->ooo;
}

/* Cuts from m, which begins at seq, what run i and those behind it have; those it covers are freed. Text that
 * two segments disagree about is kept as it came first where the first lies in front, RFC 9293 does not say; a
 * sender that changes its mind is at fault either way. */
static void
trim_behind(struct pw_tcb *tcb, uint32_t i, struct rte_mbuf *m, uint32_t seq)
{
    struct pw_tcp_ooo *o = tcb->ooo;
    uint32_t end = seq + m->data_len;
    uint32_t n = 0;

    while (i + n < o->count && pw_seq_leq(o->run[i + n].at.right, end)) {
        (void)run_free(tcb, &o->run[i + n]); /* each was put there by a segment of its own */
        n++;
    }
    runs_remove(o, i, n);
    if (i < o->count && pw_seq_lt(o->run[i].at.left, end)) {
        m->data_len = (uint16_t)(o->run[i].at.left - seq);
        m->pkt_len = m->data_len;
    }
}

/* Run i takes m at its end. False: no room for one more buffer. */
static bool
run_append(struct pw_worker *w, struct pw_tcb *tcb, struct pw_tcp_run *r, struct rte_mbuf *m)
{
    uint32_t n = m->data_len;

    if (!pw_buf_coalesce(r->last, m)) {
        if (!pw_tcp_ooo_fits(w, tcb, m->buf_len)) {
            return false;
        }
        r->last->next = m;
        r->last = m;
        tcb->rx_held_ooo += m->buf_len;
        tcb->ooo_count++;
    }
    r->at.right += n;
    return true;
}

/* m, at seq, in front of run i, or between it and the one before. False: no room. */
static bool
run_insert(struct pw_worker *w, struct pw_tcb *tcb, uint32_t i, struct rte_mbuf *m, uint32_t seq)
{
    struct pw_tcp_ooo *o = tcb->ooo;
    bool meets = i < o->count && o->run[i].at.left == seq + m->data_len;

    if ((!meets && o->count == PW_TCP_OOO_RUNS_MAX) || !pw_tcp_ooo_fits(w, tcb, m->buf_len)) {
        return false;
    }
    if (meets) {
        m->next = o->run[i].first;
        o->run[i].first = m;
        o->run[i].at.left = seq;
    } else {
        memmove(&o->run[i + 1], &o->run[i], (o->count - i) * sizeof(o->run[0]));
        o->run[i] = (struct pw_tcp_run){
            .at = {.left = seq, .right = seq + m->data_len}, .first = m, .last = m};
        o->count++;
    }
    tcb->rx_held_ooo += m->buf_len;
    tcb->ooo_count++;
    return true;
}

static void
join_next(struct pw_tcp_ooo *o, uint32_t i)
{
    struct pw_tcp_run *r = &o->run[i];

    if (i + 1 < o->count && r[1].at.left == r->at.right) {
        r->at.right = r[1].at.right;
        r->last->next = r[1].first;
        r->last = r[1].last;
        runs_remove(o, i + 1, 1);
    }
}

/* True: m was taken. *grew: it only made the run longer that is reported first. */
static bool
put(struct pw_worker *w, struct pw_tcb *tcb, struct rte_mbuf *m, uint32_t seq, bool *grew)
{
    struct pw_tcp_ooo *o = tcb->ooo;
    uint32_t i = run_at(o, seq);
    bool behind = i < o->count && pw_seq_leq(o->run[i].at.left, seq);
    uint32_t runs = o->count;

    *grew = behind && o->run[i].at.right == seq && holds(&o->run[i], o->recent[0]);

    if (behind && pw_seq_gt(o->run[i].at.right, seq)) {
        uint32_t known = o->run[i].at.right - seq;

        known = known < m->data_len ? known : m->data_len;
        pw_tcp_dsack_note(tcb, seq, seq + known);
        if (known == m->data_len) {
            recent_add(o, &o->run[i], seq); /* RFC 2883 4: the block around it is the second */
            pw_worker_drop(w, PW_DROP_TCP_DUPLICATE);
            return false;
        }
        (void)rte_pktmbuf_adj(m, (uint16_t)known);
        seq += known;
    }
    m->next = NULL;
    trim_behind(tcb, i + behind, m, seq);
    w->stat[PW_STAT_TCP_OOO_IN]++;
    if (!(behind ? run_append(w, tcb, &o->run[i], m) : run_insert(w, tcb, i, m, seq))) {
        pw_worker_drop(w, PW_DROP_TCP_OOO_FULL);
        return false;
    }
    join_next(o, i);
    recent_add(o, &o->run[i], seq);
    *grew = *grew && o->count == runs;
    return true;
}

bool
pw_tcp_ooo_put(struct pw_worker *w, struct pw_tcb *tcb, struct pw_segment *seg)
{
    bool grew = false;

    PW_DCHECK(seg->len > 0);
    if (table_of(w, tcb, seg->seq) == NULL) {
        pw_worker_drop(w, PW_DROP_TCP_OOO_FULL);
        return false;
    }
    if (!put(w, tcb, seg->m, seg->seq, &grew)) {
        table_drop_empty(w, tcb);
        return false;
    }
    seg->m = NULL;
    return grew;
}

/* --- out --- */

/* The first buffer of the first run. */
static struct rte_mbuf *
pop(struct pw_tcb *tcb)
{
    struct pw_tcp_run *r = &tcb->ooo->run[0];
    struct rte_mbuf *m = r->first;

    r->first = m->next;
    r->at.left += m->data_len;
    m->next = NULL;
    tcb->rx_held_ooo -= m->buf_len;
    tcb->ooo_count--;
    if (r->first == NULL) {
        runs_remove(tcb->ooo, 0, 1);
    }
    return m;
}

struct rte_mbuf *
pw_tcp_ooo_take(struct pw_worker *w, struct pw_tcb *tcb)
{
    struct rte_mbuf *m = NULL;

    while (m == NULL && tcb->ooo != NULL && pw_seq_leq(tcb->ooo->run[0].at.left, tcb->rcv_nxt)) {
        uint32_t known = tcb->rcv_nxt - tcb->ooo->run[0].at.left;

        m = pop(tcb);
        table_drop_empty(w, tcb);
        if (known >= m->data_len) {
            rte_pktmbuf_free_seg(m);
            m = NULL;
        } else {
            (void)rte_pktmbuf_adj(m, (uint16_t)known);
        }
    }
    return m;
}
