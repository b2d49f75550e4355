/* What the peer says it has beyond snd_una, and what follows for recovery: RFC 6675 3 to 5, reckoned
 * in ranges instead of octets. Between two ranges lies a hole; every octet of a hole has the same
 * ranges above it, so IsLost is a question about holes. Board and ranges live only as long as there
 * is a hole: an idle connection has none. */
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

/* Merges r into the board. False: nothing new. */
static bool
board_add(struct pw_sack_board *b, struct pw_tcp_range r)
{
    uint32_t i = 0;

    while (i < b->count && pw_seq_lt(b->range[i].right, r.left)) { /* bound: PW_SACK_RANGES_MAX */
        i++;
    }
    if (i < b->count && pw_seq_leq(b->range[i].left, r.left) &&
        pw_seq_leq(r.right, b->range[i].right)) {
        return false;
    }
    uint32_t j = i;

    for (; j < b->count && pw_seq_leq(b->range[j].left, r.right); j++) {
        r.left = pw_seq_min(r.left, b->range[j].left);
        r.right = pw_seq_max(r.right, b->range[j].right);
    }
    if (i == j && b->count == PW_SACK_RANGES_MAX) {
        if (i == b->count) {
            return false;
        }
        b->count--; /* the topmost is forgotten */
    }
    memmove(&b->range[i + 1], &b->range[j], (b->count - j) * sizeof(b->range[0]));
    b->count = b->count + 1 - (j - i);
    b->range[i] = r;
    return true;
}

bool
pw_sack_take(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg)
{
    uint32_t una = pw_seq_max(tcb->snd_una, seg->ack);
    bool news = false;

    if (!pw_tcb_is(tcb, PW_TCB_SACK)) {
        return false;
    }
    for (uint32_t i = 0; i < seg->opt.sack_count; i++) { /* bound: PW_TCP_SACK_BLOCKS_MAX */
        struct pw_tcp_range r = pw_tcp_options_sack_at(&seg->opt, i);

        if (i == 0 && pw_seq_lt(r.left, seg->ack)) { /* RFC 2883 4.1: what it had already */
            w->stat[PW_STAT_TCP_DSACK_IN]++;
        }
        /* RFC 5961 in spirit: only numbers that are in flight. A block at snd_una cannot be honest. */
        if (pw_seq_leq(r.left, una) || pw_seq_gt(r.right, tcb->snd_max) ||
            !pw_seq_lt(r.left, r.right)) {
            continue;
        }
        if (tcb->board == NULL) {
            tcb->board = pw_pool_get(&w->tcp.boards);
            if (tcb->board == NULL) {
                return true; /* it counts as a duplicate ACK; recovery goes without the board */
            }
            tcb->board->count = 0;
            tcb->board->timed = false;
            tcb->board->rxt = una;
        }
        news |= board_add(tcb->board, r);
    }
    return news;
}

void
pw_sack_clear(struct pw_worker *w, struct pw_tcb *tcb)
{
    if (tcb->board != NULL) {
        pw_pool_put(&w->tcp.boards, tcb->board);
        tcb->board = NULL;
    }
}

void
pw_sack_trim(struct pw_worker *w, struct pw_tcb *tcb)
{
    struct pw_sack_board *b = tcb->board;
    uint32_t gone = 0;

    if (b == NULL) {
        return;
    }
    while (gone < b->count && pw_seq_leq(b->range[gone].right, tcb->snd_una)) {
        gone++;
    }
    b->count -= gone;
    memmove(&b->range[0], &b->range[gone], b->count * sizeof(b->range[0]));
    b->timed = false;
    b->rxt = pw_seq_max(b->rxt, tcb->snd_una);
    /* A range at snd_una would have been acknowledged: the peer gave its text up (RFC 2018 8). */
    bool reneged = b->count > 0 && pw_seq_leq(b->range[0].left, tcb->snd_una);

    if (reneged || (b->count == 0 && !pw_tcb_is(tcb, PW_TCB_RECOVERY))) {
        pw_sack_clear(w, tcb);
    }
}

/* RFC 6675 4: IsLost, SetPipe and NextSeg (1) and (3) in one pass from snd_una up. */
struct pw_sack_view
pw_sack_view_of(const struct pw_tcb *tcb)
{
    const struct pw_sack_board *b = tcb->board;
    struct pw_sack_view v = {.top = tcb->snd_una};
    uint32_t at = tcb->snd_una;
    uint32_t above = 0; /* octets selectively acknowledged above the hole in question */

    for (uint32_t i = 0; i < b->count; i++) {
        above += b->range[i].right - b->range[i].left;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t end = b->range[i].left;
        bool lost =
            b->timed || b->count - i >= PW_TCP_DUPACKS || above > (PW_TCP_DUPACKS - 1U) * tcb->mss;
        uint32_t from = pw_seq_min(pw_seq_max(at, b->rxt), end);

        v.pipe += from - at; /* sent again */
        v.pipe += lost ? 0 : end - at;
        if (from != end && lost && v.lost.left == v.lost.right) {
            v.lost = (struct pw_tcp_range){from, end};
        }
        if (from != end && v.hole.left == v.hole.right) {
            v.hole = (struct pw_tcp_range){from, end};
        }
        v.first_lost = v.first_lost || (i == 0 && lost);
        above -= b->range[i].right - end;
        at = b->range[i].right;
        v.top = at;
    }
    v.pipe += tcb->snd_max - at;
    if (pw_seq_gt(b->rxt, at)) {
        v.pipe += b->rxt - at;
    }
    return v;
}
