/* SYN cookies (RFC 4987 3.6): while too many connections are half open, a SYN is answered without keeping
 * anything. Our initial number says what has to be known again when the peer's ACK repeats it:
 *
 *   bits 31..27  time, in units of 2^16 ms, modulo 32
 *   bits 26..24  index into the table of MSS below
 *   bits 23..0   keyed hash of the peer's address and number, both ports, the time and the index
 *
 * Window scale and SACK ride in the five lowest bits of our timestamp, which the peer echoes: with no
 * timestamp from the peer neither is offered. What a forger gains with 2^23 guesses in two minutes is one
 * connection to himself. The SYN,ACK is not sent again when lost; the peer's SYN is. */
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"

enum {
    TIME_SHIFT = 16,
    TIME_BITS = 5,
    HASH_BITS = 24,
    TS_BITS = 5,
    TS_MASK = (1 << TS_BITS) - 1,
    TS_WSCALE = 0xF,
    TS_WSCALE_NONE = 0xF,
    TS_SACK = 0x10,
};

/* Ascending; the largest that is not above what the peer said. */
static const uint16_t mss_table[8] = {PW_TCP_MSS_MIN, 256, PW_TCP_MSS_DEFAULT, 1200, 1360, 1440,
                                      1460,           8940};

static uint32_t
cookie_hash(const struct pw_worker *w, const struct pw_segment *seg, uint32_t irs, uint64_t time,
            uint32_t mss_idx)
{
    uint32_t ports = ((uint32_t)seg->lport << 16) | seg->peer.port;
    uint64_t addr[2];

    memcpy(addr, seg->peer.ip, sizeof(addr));
    const uint64_t rest[2] = {pw_tcp_sip(w->tcp.cookie_key, addr, ports), time};

    return (uint32_t)pw_tcp_sip(w->tcp.cookie_key, rest, irs ^ mss_idx << 29) >> (32 - HASH_BITS);
}

static uint32_t
cookie_of(const struct pw_worker *w, const struct pw_segment *seg, uint32_t irs, uint64_t time,
          uint32_t mss_idx)
{
    return (uint32_t)time << (32 - TIME_BITS) | mss_idx << HASH_BITS |
           cookie_hash(w, seg, irs, time, mss_idx);
}

static uint32_t
mss_index(uint32_t mss)
{
    uint32_t i = PW_ARRAY_LEN(mss_table) - 1;

    while (i > 0 && mss_table[i] > mss) {
        i--;
    }
    return i;
}

/* Our timestamp with what the peer offered in its lowest bits, and not ahead of the clock. */
static uint32_t
ts_with_options(uint32_t now, const struct pw_tcp_options *o)
{
    uint32_t bits = o->has_wscale ? o->wscale : TS_WSCALE_NONE;
    uint32_t ts = (now & ~(uint32_t)TS_MASK) | bits | (o->sack_ok ? TS_SACK : 0);

    return pw_seq_gt(ts, now) ? ts - (1U << TS_BITS) : ts;
}

void
pw_tcp_cookie_syn(struct pw_worker *w, const struct pw_segment *seg)
{
    uint32_t none = seg->v6 ? PW_TCP_MSS_DEFAULT_V6 : PW_TCP_MSS_DEFAULT;
    uint32_t idx = mss_index(seg->opt.mss == 0 ? none : seg->opt.mss);
    uint64_t time = w->now_tick >> TIME_SHIFT;
    uint32_t now = (uint32_t)w->now_tick + w->tcp.ts_offset;
    bool ts = seg->opt.has_ts;
    const struct pw_tcp_options o = {
        .mss = pw_tcp_mss(&w->tcp, seg->v6),
        .has_ts = ts,
        .ts_val = ts_with_options(now, &seg->opt),
        .ts_ecr = seg->opt.ts_val,
        .has_wscale = ts && seg->opt.has_wscale,
        .wscale = PW_TCP_RCV_WSCALE,
        .sack_ok = ts && seg->opt.sack_ok,
    };

    w->tcp.cookie_time = time;
    w->tcp.cookie_sent = true;
    w->stat[PW_STAT_TCP_COOKIES_SENT]++;
    pw_tcp_cookie_send(w, seg, cookie_of(w, seg, seg->seq, time, idx), &o);
}

bool
pw_tcp_cookie_check(const struct pw_worker *w, struct pw_segment *seg)
{
    uint32_t cookie = seg->ack - 1;
    uint32_t idx = cookie >> HASH_BITS & 7;
    uint64_t now = w->now_tick >> TIME_SHIFT;
    /* How many units ago it would have been made: this one or the one before. */
    uint32_t age = ((uint32_t)now - (cookie >> (32 - TIME_BITS))) & ((1U << TIME_BITS) - 1);

    if (!w->tcp.cookie_sent || now - w->tcp.cookie_time > 1 || age > 1 || age > now ||
        cookie_of(w, seg, seg->seq - 1, now - age, idx) != cookie) {
        return false;
    }
    /* As if the SYN's options came with this segment. */
    seg->opt.mss = mss_table[idx];
    seg->opt.has_wscale = false;
    seg->opt.sack_ok = false;
    if (seg->opt.has_ts) {
        uint32_t wscale = seg->opt.ts_ecr & TS_WSCALE;

        seg->opt.has_wscale = wscale != TS_WSCALE_NONE;
        seg->opt.wscale = (uint8_t)wscale;
        seg->opt.sack_ok = (seg->opt.ts_ecr & TS_SACK) != 0;
    }
    return true;
}
