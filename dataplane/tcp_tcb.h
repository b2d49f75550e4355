/* dataplane/tcp_tcb.h - the connection, and what the files of TCP call of one another.
 *
 * Purpose  private to dataplane/tcp_*.c and worker.c.
 * Owner    the worker's lcore.
 * Context  hot.
 * Units    sequence numbers and windows in bytes, windows already scaled; times in ticks of 1 ms
 *          since the worker's start, or us where the name says so.
 * Errors   -
 * Limits   struct pw_tcp_cfg.
 */
#ifndef PW_DATAPLANE_TCP_TCB_H
#define PW_DATAPLANE_TCP_TCB_H

#include "base/check.h"
#include "base/pool.h"
#include "dataplane/stream.h"
#include "dataplane/tcp.h"
#include "dataplane/tcp_cc.h"
#include "dataplane/tcp_options.h"
#include "dataplane/tcp_state.h"
#include "dataplane/timer_wheel.h"

#include <sys/queue.h>

struct rte_mbuf;
struct pw_worker;

enum {
    PW_TCP_FIN = 0x01,
    PW_TCP_SYN = 0x02,
    PW_TCP_RST = 0x04,
    PW_TCP_PSH = 0x08,
    PW_TCP_ACK = 0x10,
};

enum { PW_TCP_HDR_BYTES = 20, PW_TCP_MSS_V6_LESS = 20 };

/* What TCP takes from either IP header. */
struct pw_tcp_l3 {
    uint8_t src[16]; /* as struct pw_peer_addr has it */
    uint64_t pseudo; /* checksum of the pseudo header, not folded */
    uint32_t off;    /* of the TCP header, from the start of the frame */
    uint32_t len;    /* from there on */
    bool v6;
};

/* A segment as it arrived, checked as far as it can be without a connection. */
struct pw_segment {
    struct rte_mbuf *m; /* trimmed to the payload; set to NULL by whoever takes it */
    const uint8_t *src_mac;
    struct pw_peer_addr peer; /* our own address is the worker's of the same family */
    uint16_t lport;
    bool v6;
    uint32_t hash;
    uint32_t seq;
    uint32_t ack;
    uint32_t len; /* payload bytes, SYN and FIN not counted */
    uint16_t wnd; /* unscaled */
    uint8_t flags;
    struct pw_tcp_options opt;
};

/* Sent and unacknowledged, or not yet sent, payload. */
enum { PW_SND_CHUNK_BYTES = 2032 };
struct pw_snd_chunk {
    struct pw_snd_chunk *next;
    uint16_t start; /* first byte not acknowledged */
    uint16_t end;
    uint8_t data[PW_SND_CHUNK_BYTES];
};
static_assert(sizeof(struct pw_snd_chunk) <= 2048, "a chunk and its header are 2 KiB");

struct pw_snd_buf {
    struct pw_snd_chunk *head;
    struct pw_snd_chunk *tail;
    struct pw_snd_chunk *cursor; /* where snd_nxt points; NULL: at the end of the tail */
    uint32_t cursor_off;
    uint32_t bytes; /* from snd_una on */
};

/* Text out of order (tcp_ooo.c): runs without a gap, ascending, a hole between any two. */
struct pw_tcp_run {
    struct pw_tcp_range at;
    struct rte_mbuf *first; /* chained by next */
    struct rte_mbuf *last;
};

struct pw_tcp_ooo {
    uint32_t count;
    uint32_t recent[PW_TCP_SACK_BLOCKS_MAX - 1]; /* numbers in the runs to report, newest first */
    struct pw_tcp_run run[PW_TCP_OOO_RUNS_MAX];
};

/* RFC 6675 3: what lies beyond snd_una and was selectively acknowledged. Ascending, disjoint, with holes
 * between; without an end: more than fit are forgotten from the top, which only sends them again. */
enum { PW_SACK_RANGES_MAX = 31 };
struct pw_sack_board {
    uint32_t count;
    bool timed; /* all its holes are lost: time says so (RFC 8985 6.2), not three segments above */
    uint32_t rxt; /* HighRxt: sent again up to here in this recovery */
    struct pw_tcp_range range[PW_SACK_RANGES_MAX];
};

/* What RFC 6675 4 reckons from the board. */
struct pw_sack_view {
    uint32_t pipe;
    struct pw_tcp_range lost; /* NextSeg (1): not sent again yet, and lost; empty: none */
    struct pw_tcp_range hole; /* NextSeg (3): the same, whether lost or not */
    uint32_t top;             /* highest number selectively acknowledged, plus one */
    bool first_lost;          /* IsLost(snd_una) */
};

enum pw_tcb_flag {
    PW_TCB_TS = 1 << 0,         /* timestamps agreed */
    PW_TCB_APP = 1 << 1,        /* the application has the stream: gone is owed */
    PW_TCB_OUT = 1 << 2,        /* in the worker's list of connections to be flushed */
    PW_TCB_ACK_NOW = 1 << 3,    /* an ACK goes with the next flush */
    PW_TCB_ACK_LATER = 1 << 4,  /* an ACK is owed, by the delayed-ACK timer at the latest */
    PW_TCB_ACK_SOON = 1 << 5,   /* that timer is to be short: the peer pushed */
    PW_TCB_FIN_QUEUED = 1 << 6, /* the application shut down */
    PW_TCB_FIN_SENT = 1 << 7,   /* snd_fin is valid */
    PW_TCB_FIN_KNOWN = 1 << 8, /* the peer's FIN arrived, perhaps ahead of data: rcv_fin is valid */
    PW_TCB_WANT_WRITE = 1 << 9,  /* a send was short */
    PW_TCB_PERSIST = 1 << 10,    /* the timer probes a closed window */
    PW_TCB_RTT_TIMING = 1 << 11, /* rtt_seq is being timed (no timestamps) */
    PW_TCB_RECOVERY = 1 << 12,   /* fast retransmit until snd_recover is acknowledged */
    PW_TCB_RTT_KNOWN = 1 << 13,  /* srtt holds a measurement */
    PW_TCB_HALF_OPEN = 1 << 14,  /* counted in the worker's SYN_RECEIVED bound */
    PW_TCB_STARVED = 1 << 15,    /* a send found no chunk, and no ACK will come to say writable */
    PW_TCB_SACK = 1 << 16,       /* SACK agreed (RFC 2018) */
    PW_TCB_DSACK = 1 << 17,      /* dsack is to be reported with the next ACK (RFC 2883) */
    PW_TCB_RTO_LOSS = 1 << 18,   /* a timeout went back: no fast retransmit before snd_recover */
    PW_TCB_RESCUED = 1 << 19,    /* RFC 6675 4 (4): once in a recovery */
    PW_TCB_COOKIE = 1 << 20, /* from a SYN cookie: the first timestamp echoed says no round trip */
    PW_TCB_NO_DF = 1 << 21,  /* routers may fragment: the path swallowed what they may not */
    PW_TCB_PTO = 1 << 22,    /* the timer is a probe's (RFC 8985 7), not the RTO's */
    PW_TCB_GUARDED =
        1 << 23, /* RFC 6582 3.2 step 1: snd_recover holds, nothing beyond it was acknowledged */
};

enum pw_tcb_timer {
    PW_TCB_TIMER_MAIN, /* retransmission, persist, TIME_WAIT or FIN_WAIT_2: one at a time */
    PW_TCB_TIMER_DELACK,
    PW_TCB_TIMER_KEEPALIVE,
};

struct pw_tcb {
    /* Line 0: finding it. */
    struct pw_stream stream; /* first: the application's pointer to us */
    struct pw_worker *w;
    uint32_t hash;
    uint16_t lport;
    bool v6;             /* stream.peer is an IPv6 address; our own is the worker's */
    uint8_t peer_mac[6]; /* where its frames came from */

    /* Line 1: what every segment reads or writes (RFC 9293 3.3.1 names). */
    uint32_t rcv_nxt;
    uint32_t rcv_adv; /* right edge of the window offered: RCV.NXT + RCV.WND */
    uint32_t snd_una;
    uint32_t snd_nxt; /* goes back to snd_una after a timeout */
    uint32_t snd_max; /* highest ever sent */
    uint32_t snd_wnd;
    uint32_t snd_wl1;
    uint32_t snd_wl2;
    uint32_t ts_recent;     /* RFC 7323 4.3 */
    uint32_t last_ack_sent; /* RFC 7323 4.3 */
    uint32_t flags;         /* enum pw_tcb_flag */
    uint8_t state;          /* enum pw_tcp_state, written by pw_tcp_state_set alone */
    uint8_t snd_wscale;
    uint16_t mss;           /* payload of a full segment, options taken off */
    struct pw_tcp_ooo *ooo; /* text behind a hole; NULL: none */
    uint32_t rx_reserved;   /* of the worker's budget, in buffer bytes */
    uint32_t rx_held_app;   /* buffers the application holds */

    /* Line 2: the rest of receive memory, sending. */
    uint32_t rx_held_ooo; /* buffers in ooo */
    uint32_t rx_admitted; /* what reserve() asked for, turned into buffer bytes */
    uint16_t ooo_count;
    uint8_t dupacks;
    uint8_t backoff;  /* doublings of the RTO */
    uint8_t ack_segs; /* received since the last ACK went out */
    uint8_t rcv_wscale;
    uint32_t bare_tick; /* an unacceptable segment without text was last answered */
    uint32_t heard;     /* pw_worker_coarse_s of the last acceptable segment */
    struct pw_snd_buf snd;
    struct pw_tcp_cc cc;

    /* Cold: timers, round trips, closing. */
    struct pw_timer timer;
    struct pw_timer delack;
    struct pw_timer keepalive;
    TAILQ_ENTRY(pw_tcb) out_link;
    TAILQ_ENTRY(pw_tcb) wait_link; /* in time_wait, or, before that, in starved: oldest first */
    uint32_t iss;
    uint32_t irs;
    uint32_t snd_fin;
    uint32_t rcv_fin;
    uint32_t snd_recover;
    uint32_t
        snd_wnd_max; /* largest window the peer ever offered (RFC 5961 5.2, RFC 9293 3.8.6.2.1) */
    uint32_t srtt_us;
    uint32_t rttvar_us;
    uint32_t rto_ms;
    uint32_t rtt_seq;
    uint64_t rtt_tick;
    uint64_t sent_tick;          /* last data segment */
    struct pw_sack_board *board; /* what the peer has beyond snd_una; NULL: nothing */
    struct pw_tcp_range dsack;
    uint32_t una_tick; /* snd_una last moved, or the flight began: the user timeout */
    uint8_t retries;
    uint8_t keepalive_probes; /* unanswered */
    uint8_t loss_probes;      /* since snd_una moved */
};
static_assert(offsetof(struct pw_tcb, rcv_nxt) == 64, "line 1 begins with what a segment changes");
static_assert(offsetof(struct pw_tcb, rx_held_ooo) == 128, "line 2 begins with receive memory");
static_assert(sizeof(struct pw_tcb) <= 512,
              "an idle connection costs this, and nothing else in TCP");

TAILQ_HEAD(pw_tcb_list, pw_tcb);

struct pw_tcp_slot {
    uint32_t hash;
    uint32_t idx1; /* index in the pool of tcbs plus one; 0: empty */
};

/* TCP's share of a worker. */
struct pw_tcp {
    /* Read only after init. */
    struct pw_tcp_cfg cfg;
    struct pw_stream_app app;
    uint64_t hash_key;
    uint64_t isn_key[2];
    uint64_t cookie_key[2];
    uint64_t tsc_per_4us; /* RFC 6528: the ISN clock */
    uint32_t ts_offset;
    uint32_t slot_mask;
    uint16_t mss; /* over IPv4; see pw_tcp_mss */
    uint16_t port[PW_TCP_LISTEN_PORTS_MAX];
    uint32_t port_count;

    /* Written by the owner. */
    struct pw_tcp_slot *slot;
    struct pw_pool tcbs;
    struct pw_pool chunks;
    struct pw_pool boards;
    struct pw_pool ooos;
    struct pw_timer_wheel wheel;
    struct pw_tcb_list out;
    struct pw_tcb_list time_wait;
    struct pw_tcb_list starved;
    uint64_t rx_budget_free;
    uint32_t half_open;
    uint32_t open;
    uint64_t cookie_time;     /* when a SYN cookie was last sent */
    bool cookie_sent;         /* one ever was */
    uint32_t challenge_count; /* RFC 5961 7: challenge ACKs in this second */
    uint64_t challenge_second;
};

/* tcp_conn.c: the table of connections, their birth and death, where their peers are. */
PW_MUST_USE int pw_tcp_init_ctl(struct pw_worker *w, const struct pw_tcp_cfg *cfg,
                                const uint8_t secret[16]);
void pw_tcp_fini_ctl(struct pw_worker *w);
uint32_t pw_tcp_hash(const struct pw_tcp *t, const struct pw_segment *seg);
/* NULL: no such connection. */
struct pw_tcb *pw_tcp_lookup(struct pw_tcp *t, const struct pw_segment *seg);
bool pw_tcp_key_is(const struct pw_tcb *tcb, const struct pw_segment *seg);
void pw_tcp_prefetch_slot(const struct pw_tcp *t, uint32_t hash);
/* A CLOSED connection with its key set and in the table; NULL when all are in use. */
struct pw_tcb *pw_tcp_open(struct pw_worker *w, const struct pw_segment *seg);
/* Gives everything back; `gone` is delivered when the application still has the stream. */
void pw_tcp_close(struct pw_worker *w, struct pw_tcb *tcb);
/* `gone` now, if owed. */
void pw_tcp_detach(struct pw_worker *w, struct pw_tcb *tcb);
/* The only writer of tcb->state. */
void pw_tcp_state_set(struct pw_worker *w, struct pw_tcb *tcb, enum pw_tcp_state to);
/* Puts tcb on the list that pw_tcp_flush empties. */
void pw_tcp_out_later(struct pw_worker *w, struct pw_tcb *tcb);

/* The neighbour that a segment came from. */
void pw_tcp_learn_peer(struct pw_worker *w, const struct pw_segment *seg);
/* Its frames come from elsewhere now: another gateway, or the address moved. */
void pw_tcp_follow(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg);
/* The same of text that we have: when the answer went where nobody is any more, its reader sends nothing else. Who would turn a
 * connection aside has to know numbers: of the last window, and of an acknowledgement as in RFC 5961 5.2. */
void pw_tcp_follow_again(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg);
/* Nothing came back from where its frames go: where other connections of that address, or ARP and neighbour discovery, saw it
 * since it was last heard. A reader that has nothing to send but waits for our text could not tell us itself. */
void pw_tcp_follow_others(const struct pw_worker *w, struct pw_tcb *tcb);

/* tcp_stream.c: what a connection offers to the application. */
extern const struct pw_stream_ops pw_tcp_stream_ops;
/* Says writable to some that waited for chunks, now that there are. Returns how many. */
uint32_t pw_tcp_starved_wake(struct pw_worker *w);

/* tcp_syn.c: segments without a connection; the handshake. */
void pw_tcp_stranger(struct pw_worker *w, struct pw_segment *seg);
uint32_t pw_tcp_isn(const struct pw_worker *w, const struct pw_segment *seg);

/* SipHash-2-4 of an address and two ports. */
uint64_t pw_tcp_sip(const uint64_t key[2], const uint64_t addr[2], uint32_t ports);

/* tcp_icmp.c */
/* A segment of ours, as an ICMP error quotes it. */
struct pw_tcp_quote {
    struct pw_peer_addr peer;
    uint16_t lport;
    bool v6;
    bool too_big;
    uint32_t seq;
    uint32_t mtu;         /* too_big: of the next hop, 0 when not said */
    uint32_t total_bytes; /* of the quoted packet */
};
void pw_tcp_icmp(struct pw_worker *w, const struct pw_tcp_quote *q);
/* An ICMP destination unreachable of len bytes (8 at least), checksum checked. */
void pw_icmp4_error(struct pw_worker *w, const uint8_t *icmp, uint32_t len);
/* The same of ICMPv6, or packet too big. */
void pw_icmp6_error(struct pw_worker *w, const uint8_t *icmp, uint32_t len);
/* Segments that fit the path MTU from here on. False: they did before. */
bool pw_tcp_mtu_lower(struct pw_tcb *tcb, uint32_t mtu);

/* tcp_cookie.c: RFC 4987 3.6. */
/* Answers a SYN and keeps nothing. */
void pw_tcp_cookie_syn(struct pw_worker *w, const struct pw_segment *seg);
/* Does seg acknowledge a cookie? Then seg->opt is made what the SYN's was. */
bool pw_tcp_cookie_check(const struct pw_worker *w, struct pw_segment *seg);

/* tcp_input.c */
/* A segment of a connection; seg->m stays the caller's unless it was taken (then NULL). */
void pw_tcp_segment_arrives(struct pw_worker *w, struct pw_tcb *tcb, struct pw_segment *seg);
/* Checks the TCP header and checksum of a packet to us and fills seg; m is trimmed to the
 * payload and seg borrows it. False: refused and counted, m stays the caller's. */
bool pw_tcp_parse(struct pw_worker *w, struct rte_mbuf *m, const struct pw_tcp_l3 *l3,
                  struct pw_segment *seg);
/* Takes the mbufs of all n segments. RFC 9293 3.10.7. */
void pw_tcp_input_burst(struct pw_worker *w, struct pw_segment *seg, uint16_t n);

/* tcp_ooo.c: text out of order. */
/* Takes seg->m when it is kept (then NULL). True: it only made the run longer that the last ACK reported
 * first, so that the next one's blocks say all there is to say. */
bool pw_tcp_ooo_put(struct pw_worker *w, struct pw_tcb *tcb, struct pw_segment *seg);
/* The next buffer that starts at or before rcv_nxt, trimmed to begin there; NULL: a hole. Gives m. */
struct rte_mbuf *pw_tcp_ooo_take(struct pw_worker *w, struct pw_tcb *tcb);
/* Gives up the last run (RFC 2018 8 allows it). Returns how many buffers came free. */
uint32_t pw_tcp_ooo_evict(struct pw_worker *w, struct pw_tcb *tcb);
void pw_tcp_ooo_clear(struct pw_worker *w, struct pw_tcb *tcb);
/* Text came that the connection has: the next ACK says so (RFC 2883 4). */
void pw_tcp_dsack_note(struct pw_tcb *tcb, uint32_t left, uint32_t right);
/* Blocks to report with an ACK, at most max: D-SACK, then the newest, then any. Notes D-SACK as done. */
uint32_t pw_tcp_sack_blocks(struct pw_tcb *tcb, struct pw_tcp_range *r, uint32_t max);

/* tcp_reass.c: receive memory. */
/* May one more buffer wait out of order? */
bool pw_tcp_ooo_fits(const struct pw_worker *w, const struct pw_tcb *tcb, uint32_t cost);
/* Makes room for cost buffer bytes of in-order text; false when the connection's share is spent. */
bool pw_tcp_rx_admit(struct pw_worker *w, struct pw_tcb *tcb, uint32_t cost);
/* Adjusts what the connection holds of the budget to what it needs. */
void pw_tcp_rx_settle(struct pw_worker *w, struct pw_tcb *tcb);
/* Reservation of a new connection, perhaps none. */
void pw_tcp_rx_open(struct pw_worker *w, struct pw_tcb *tcb);
/* What one buffer stands behind: the window of an idle connection. */
uint32_t pw_tcp_rx_window_least(const struct pw_worker *w);
/* Moves rcv_adv right as far as buffers allow; returns the window to offer. */
uint32_t pw_tcp_rx_window(struct pw_worker *w, struct pw_tcb *tcb);
/* Asks for a window update if enough came free (RFC 9293 3.8.6.2.2). */
void pw_tcp_rx_reopen(struct pw_worker *w, struct pw_tcb *tcb);
/* struct pw_stream_ops.reserve. */
PW_MUST_USE int pw_tcp_rx_reserve(struct pw_worker *w, struct pw_tcb *tcb, size_t bytes);

/* tcp_sack.c: the peer's SACKs (RFC 6675). */
/* Takes the blocks of an acceptable ACK. True: they say something new. */
bool pw_sack_take(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg);
/* snd_una advanced. */
void pw_sack_trim(struct pw_worker *w, struct pw_tcb *tcb);
void pw_sack_clear(struct pw_worker *w, struct pw_tcb *tcb);
struct pw_sack_view pw_sack_view_of(const struct pw_tcb *tcb);

/* tcp_segment.c: segments as frames. None of them waits for a buffer: without one nothing is sent. */
/* An ACK by itself, now. */
void pw_tcp_ack_send(struct pw_worker *w, struct pw_tcb *tcb);
/* RFC 5961: an ACK by itself unless too many went out this second. */
void pw_tcp_challenge_ack(struct pw_worker *w, struct pw_tcb *tcb);
void pw_tcp_rst_send(struct pw_worker *w, struct pw_tcb *tcb);
void pw_tcp_syn_ack_send(struct pw_worker *w, struct pw_tcb *tcb);
/* SYN,ACK for a SYN that nothing is kept of. */
void pw_tcp_cookie_send(struct pw_worker *w, const struct pw_segment *seg, uint32_t iss,
                        const struct pw_tcp_options *o);
/* RST for a segment without a connection (RFC 9293 3.10.7.1). */
void pw_tcp_rst_reply(struct pw_worker *w, const struct pw_segment *seg);
/* A segment that asks for an ACK (RFC 9293 3.8.4). */
void pw_tcp_keepalive_send(struct pw_worker *w, struct pw_tcb *tcb);
/* len bytes from the send buffer's cursor as one segment. False: no buffer, nothing happened. */
bool pw_tcp_segment_send(struct pw_worker *w, struct pw_tcb *tcb, uint32_t seq, uint32_t len,
                         uint8_t flags);

/* tcp_output.c: what is sent when. */
/* Sends what tcb may send now: text, FIN, or an ACK that is due. */
void pw_tcp_output(struct pw_worker *w, struct pw_tcb *tcb);
/* pw_tcp_output for every connection on the list. Returns how many there were. */
uint32_t pw_tcp_flush(struct pw_worker *w);
/* The segment at seq again, at most max bytes of sequence space; snd_nxt stays. Returns how many went. */
uint32_t pw_tcp_resend(struct pw_worker *w, struct pw_tcb *tcb, uint32_t seq, uint32_t max);
/* What a window not worth a segment takes, at least one byte (RFC 9293 3.8.6.1, 3.8.6.2.1). */
void pw_tcp_probe_send(struct pw_worker *w, struct pw_tcb *tcb);

/* tcp_snd_buf.c: bytes from the application until the peer has them. */
size_t pw_snd_put(struct pw_pool *chunks, struct pw_snd_buf *b, struct pw_slice s, size_t max);
/* Copies n bytes at the cursor to dst and moves the cursor. */
void pw_snd_copy(struct pw_snd_buf *b, uint8_t *dst, uint32_t n);
/* Frees n acknowledged bytes. */
void pw_snd_ack(struct pw_pool *chunks, struct pw_snd_buf *b, uint32_t n);
/* The cursor n bytes behind snd_una. */
void pw_snd_seek(struct pw_snd_buf *b, uint32_t n);
/* The cursor to snd_una (b->head). */
void pw_snd_rewind(struct pw_snd_buf *b);
void pw_snd_clear(struct pw_pool *chunks, struct pw_snd_buf *b);

/* tcp_recovery.c: RFC 6298, and the losses it finds. */
/* May a probe go before the RTO? */
bool pw_tcp_pto_wanted(const struct pw_tcb *tcb);
/* (Re)starts the retransmission timer: for a probe where that is wanted, else with the current, backed-off RTO. */
void pw_tcp_rto_arm(struct pw_worker *w, struct pw_tcb *tcb);
/* Asks in ms, where keep-alives are wanted. */
void pw_tcp_keepalive_arm(struct pw_worker *w, struct pw_tcb *tcb, uint64_t ms);
/* A timer of some connection fired. */
void pw_tcp_timer_expired(struct pw_worker *w, struct pw_timer *t);
/* An ACK advanced snd_una by n bytes of sequence space. */
void pw_tcp_acked(struct pw_worker *w, struct pw_tcb *tcb, const struct pw_segment *seg,
                  uint32_t n);
/* A duplicate ACK as RFC 5681 2 defines it, or, with SACK, as RFC 6675 2 does. */
void pw_tcp_dupack(struct pw_worker *w, struct pw_tcb *tcb);

/* What we offer, and the most we send, in a segment without options. */
static inline uint16_t
pw_tcp_mss(const struct pw_tcp *t, bool v6)
{
    return v6 ? (uint16_t)(t->mss - PW_TCP_MSS_V6_LESS) : t->mss;
}

static inline uint32_t
pw_tcb_rcv_wnd(const struct pw_tcb *tcb)
{
    return tcb->rcv_adv - tcb->rcv_nxt;
}

static inline bool
pw_tcb_is(const struct pw_tcb *tcb, uint32_t flag)
{
    return (tcb->flags & flag) != 0;
}

static inline void
pw_tcb_flag_set(struct pw_tcb *tcb, uint32_t flag)
{
    tcb->flags |= flag;
}

static inline void
pw_tcb_flag_clear(struct pw_tcb *tcb, uint32_t flag)
{
    tcb->flags &= ~flag;
}

/* tcb waits for chunks no longer, if it did. */
static inline void
pw_tcp_unstarve(struct pw_tcp *t, struct pw_tcb *tcb)
{
    if (pw_tcb_is(tcb, PW_TCB_STARVED)) {
        TAILQ_REMOVE(&t->starved, tcb, wait_link);
        pw_tcb_flag_clear(tcb, PW_TCB_STARVED);
    }
}

#endif
