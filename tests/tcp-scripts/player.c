/* Plays segment scripts against a worker with a virtual clock. README.md in this folder has the
 * language. argv: script files; the first failing line of each is printed, exit code 1. */
#include "dataplane/buf.h"
#include "dataplane/ip4.h"
#include "dataplane/ip6.h"
#include "dataplane/worker_priv.h"
#include "tests/support/fake_port.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 512, WORDS_MAX = 32, HELD_MAX = 4096, PAYLOAD_MAX = 1 << 20 };

struct player {
    struct pw_fake_port port;
    struct pw_worker *w;
    const char *file;
    uint32_t line;
    bool failed;

    /* The peer's side. */
    uint32_t peer_isn;
    uint32_t our_isn;
    bool ts; /* agreed: every segment that does not say its own timestamp gets one */
    uint32_t ts_base;
    uint32_t ts_last; /* ours, as last seen */
    uint16_t sport;
    bool v6; /* everything goes over IPv6 */

    /* The application's side. */
    struct pw_stream *stream;
    bool refuse; /* accept answers NULL */
    bool hold;   /* keeps what it gets until `consume` */
    bool closes; /* shuts down in its first input */
    struct rte_mbuf *held[HELD_MAX];
    uint32_t held_count;
    uint64_t input_bytes;
    uint64_t sent_bytes;
    uint32_t accepted;
    uint32_t fin;
    uint32_t gone;
    uint32_t writable;
};

/* Every stream in either direction is this pattern: each payload byte is checked by its place. */
static uint8_t
pattern(uint64_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8) * 13 + 1);
}

static void fail(struct player *p, const char *fmt, ...) PW_PRINTF(2, 3);

static void
fail(struct player *p, const char *fmt, ...)
{
    va_list ap;

    if (!p->failed) {
        fprintf(stderr, "%s:%u: ", p->file, p->line);
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fprintf(stderr, "\n");
    }
    p->failed = true;
}

/* --- the application --- */

static void *
app_accept(void *ctx, struct pw_stream *s, uint64_t now_tsc)
{
    struct player *p = ctx;

    p->accepted++;
    p->stream = p->refuse ? NULL : s;
    return p->refuse ? NULL : p;
}

static void
app_input(void *user, struct rte_mbuf *m, uint64_t now_tsc)
{
    struct player *p = user;
    const uint8_t *b = rte_pktmbuf_mtod(m, const uint8_t *);
    uint32_t cost = m->buf_len;

    for (uint32_t i = 0; i < m->data_len; i++) {
        if (b[i] != pattern(p->input_bytes + i)) {
            fail(p, "input byte %" PRIu64 " is wrong", p->input_bytes + i);
        }
    }
    p->input_bytes += m->data_len;
    /* As any application of ours does: small pieces are put together. */
    if (p->hold && (p->held_count == 0 || !pw_buf_coalesce(p->held[p->held_count - 1], m))) {
        p->held[p->held_count++] = m;
        return;
    }
    if (!p->hold) {
        rte_pktmbuf_free(m);
    }
    p->stream->ops->consumed(p->stream, cost);
    if (p->closes) {
        p->stream->ops->shutdown(p->stream);
    }
}

static void
app_writable(void *user, uint64_t now_tsc)
{
    ((struct player *)user)->writable++;
}

static void
app_fin(void *user, uint64_t now_tsc)
{
    ((struct player *)user)->fin++;
}

static void
held_free(struct player *p)
{
    for (uint32_t i = 0; i < p->held_count; i++) {
        rte_pktmbuf_free(p->held[i]);
    }
    p->held_count = 0;
}

static void
app_gone(void *user, uint64_t now_tsc)
{
    struct player *p = user;

    p->gone++;
    p->stream = NULL;
    held_free(p);
}

/* --- words --- */

static const char *
value_of(const char *word, const char *key)
{
    size_t n = strlen(key);

    return strncmp(word, key, n) == 0 && word[n] == '=' ? word + n + 1 : NULL;
}

static uint32_t
num(struct player *p, const char *s)
{
    char *end;
    unsigned long v = strtoul(s, &end, 0);

    if (end == s || *end != 0) {
        fail(p, "not a number: %s", s);
    }
    return (uint32_t)v;
}

static uint8_t
flags_of(struct player *p, const char *s)
{
    static const char letters[] = "FSRPAUEC"; /* in the order of the header's bits */
    uint32_t f = 0;

    for (; *s != 0; s++) {
        const char *at = strchr(letters, *s);

        if (at != NULL) {
            f |= 1U << (at - letters);
        } else if (*s != '-') {
            fail(p, "no such flag: %c", *s);
        }
    }
    return (uint8_t)f;
}

static void
hex_option(struct player *p, struct pw_fake_seg *s, const char *hex)
{
    while (isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1]) &&
           s->raw_opt_len < sizeof(s->raw_opt)) {
        char two[3] = {hex[0], hex[1], 0};

        s->raw_opt[s->raw_opt_len++] = (uint8_t)strtoul(two, NULL, 16);
        hex += 2;
    }
    if (*hex != 0 || s->raw_opt_len % 4 != 0) {
        fail(p, "opt= wants whole words of hex");
    }
}

/* KIND:HEX, extension headers of an IPv6 packet: what the fixed header calls the first, and the bytes. */
static void
extension(struct player *p, struct pw_fake_seg *s, const char *v)
{
    char *hex;

    s->ext_first = (uint8_t)strtoul(v, &hex, 10);
    s->ext_len = 0;
    hex += *hex == ':';
    for (; isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1]); hex += 2) {
        char two[3] = {hex[0], hex[1], 0};

        if (s->ext_len == sizeof(s->ext)) {
            break;
        }
        s->ext[s->ext_len++] = (uint8_t)strtoul(two, NULL, 16);
    }
    if (*hex != 0 || s->ext_len == 0 || s->ext_len % 8 != 0) {
        fail(p, "ext= wants KIND: and whole eights of hex");
    }
}

/* "1001-2001,3001-4001": at most four blocks, relative to isn, into r. Returns how many. */
static uint32_t
sack_words(struct player *p, const char *s, uint32_t isn, struct pw_tcp_range r[4])
{
    uint32_t n = 0;

    while (*s != 0 && n < 4) {
        char *end;

        r[n].left = isn + (uint32_t)strtoul(s, &end, 0);
        if (*end != '-') {
            break;
        }
        r[n].right = isn + (uint32_t)strtoul(end + 1, &end, 0);
        n++;
        s = *end == ',' ? end + 1 : end;
    }
    if (*s != 0) {
        fail(p, "not SACK blocks: %s", s);
    }
    return n;
}

/* --- segments in --- */

static bool
in_option(struct player *p, struct pw_fake_seg *s, const char *word)
{
    const char *v;

    if (strcmp(word, "sackok") == 0) {
        s->opt.sack_ok = true;
    } else if ((v = value_of(word, "sack")) != NULL) {
        static uint8_t bytes[32];
        struct pw_tcp_range r[4];

        s->opt.sack_count = (uint8_t)sack_words(p, v, p->our_isn, r);
        s->opt.sack = bytes;
        for (uint32_t i = 0; i < s->opt.sack_count; i++) {
            pw_store_be32(bytes + (size_t)i * 8, r[i].left);
            pw_store_be32(bytes + (size_t)i * 8 + 4, r[i].right);
        }
    } else if ((v = value_of(word, "mss")) != NULL) {
        s->opt.mss = (uint16_t)num(p, v);
    } else if ((v = value_of(word, "ws")) != NULL) {
        s->opt.has_wscale = true;
        s->opt.wscale = (uint8_t)num(p, v);
    } else if ((v = value_of(word, "ts")) != NULL) {
        s->opt.has_ts = strcmp(v, "none") != 0;
        s->opt.ts_val = s->opt.has_ts ? num(p, v) : 0;
        p->ts = p->ts || ((s->flags & PW_TCP_SYN) != 0 && s->opt.has_ts);
    } else if ((v = value_of(word, "ecr")) != NULL) {
        s->opt.ts_ecr = num(p, v);
    } else if ((v = value_of(word, "opt")) != NULL) {
        hex_option(p, s, v);
    } else {
        return false;
    }
    return true;
}

static void
in_word(struct player *p, struct pw_fake_seg *s, const char *word)
{
    const char *v;

    if (in_option(p, s, word)) {
        return;
    }
    if ((v = value_of(word, "seq")) != NULL) {
        s->seq = p->peer_isn + num(p, v);
    } else if ((v = value_of(word, "ack")) != NULL) {
        s->ack = p->our_isn + num(p, v);
    } else if ((v = value_of(word, "len")) != NULL) {
        s->len = num(p, v);
    } else if ((v = value_of(word, "win")) != NULL) {
        s->wnd = (uint16_t)num(p, v);
    } else if ((v = value_of(word, "port")) != NULL) {
        s->dport = (uint16_t)num(p, v);
    } else if ((v = value_of(word, "pad")) != NULL) {
        s->pad = num(p, v);
    } else if ((v = value_of(word, "ext")) != NULL) {
        extension(p, s, v);
    } else if (strcmp(word, "bad-tcp-sum") == 0) {
        s->bad_tcp_sum = true;
    } else if (strcmp(word, "bad-ip-sum") == 0) {
        s->bad_ip_sum = true;
    } else {
        fail(p, "no such word: %s", word);
    }
}

static void
inject(struct player *p, char **word, uint32_t n, bool poll)
{
    static uint8_t payload[2048];
    bool own_ts = false;
    struct pw_fake_seg s = {
        .v6 = p->v6,
        .saddr = PW_FAKE_PEER_IP,
        .daddr = PW_FAKE_OUR_IP,
        .sport = p->sport,
        .dport = PW_FAKE_PORT,
        .wnd = 65535,
        .flags = flags_of(p, n > 1 ? word[1] : ""),
        .payload = payload,
    };

    for (uint32_t i = 2; i < n; i++) {
        own_ts = own_ts || value_of(word[i], "ts") != NULL;
        in_word(p, &s, word[i]);
    }
    if (p->ts && !own_ts) {
        s.opt.has_ts = true;
        s.opt.ts_val = p->ts_base + (uint32_t)(p->port.now_tsc / 1000000);
        s.opt.ts_ecr = s.opt.ts_ecr == 0 ? p->ts_last : s.opt.ts_ecr;
    }
    if (s.len > 1460) {
        fail(p, "segment too long");
        return;
    }
    for (uint32_t i = 0; i < s.len; i++) {
        payload[i] = pattern(s.seq + i - p->peer_isn - 1);
    }
    if (p->port.tx_count != 0) {
        fail(p, "%u segments came out before that the script does not expect", p->port.tx_count);
        return;
    }
    pw_fake_rx(&p->port, pw_fake_segment(&p->port, &s));
    if (poll) {
        pw_fake_poll(&p->port, p->w);
    }
}

/* --- segments out --- */

static void
show(const struct player *p, const struct pw_fake_seg *s, uint64_t tsc)
{
    char flags[9] = "";
    uint32_t n = 0;

    for (uint32_t b = 0; b < 8; b++) {
        if ((s->flags >> b & 1) != 0) {
            flags[n++] = "FSRPAUEC"[b];
        }
    }
    fprintf(stderr,
            "    got at %" PRIu64 " ms (now %" PRIu64 "): %s seq=%u ack=%u len=%u win=%u mss=%u "
            "ts=%d ws=%d\n",
            tsc / 1000000, p->port.now_tsc / 1000000, flags, s->seq - p->our_isn,
            s->ack - p->peer_isn, s->len, s->wnd, s->opt.mss, s->opt.has_ts,
            s->opt.has_wscale ? s->opt.wscale : -1);
    for (uint32_t i = 0; i < s->opt.sack_count; i++) {
        struct pw_tcp_range r = pw_tcp_options_sack_at(&s->opt, i);

        fprintf(stderr, "        sack %u-%u\n", r.left - p->peer_isn, r.right - p->peer_isn);
    }
}

static bool
number_matches(struct player *p, uint32_t got, const char *want)
{
    if (want[0] == '>') {
        return got > num(p, want + 1);
    }
    if (want[0] == '<') {
        return got < num(p, want + 1);
    }
    return got == num(p, want);
}

static bool
sack_matches(struct player *p, const struct pw_fake_seg *s, const char *want)
{
    struct pw_tcp_range r[4];
    uint32_t n = strcmp(want, "none") == 0 ? 0 : sack_words(p, want, p->peer_isn, r);

    for (uint32_t i = 0; i < n && i < s->opt.sack_count; i++) {
        struct pw_tcp_range got = pw_tcp_options_sack_at(&s->opt, i);

        if (got.left != r[i].left || got.right != r[i].right) {
            return false;
        }
    }
    return n == s->opt.sack_count;
}

/* One word of an expectation; false when the segment is otherwise. */
static bool
out_word(struct player *p, const struct pw_fake_seg *s, const char *word)
{
    const struct {
        const char *key;
        uint32_t got;
        bool absent;
    } f[] = {
        {"seq", s->seq - p->our_isn, false},
        {"rawseq", s->seq, false},
        {"ack", s->ack - p->peer_isn, (s->flags & PW_TCP_ACK) == 0},
        {"len", s->len, false},
        {"df", s->df, false},
        {"win", s->wnd, false},
        {"port", s->sport, false},
        {"mss", s->opt.mss, s->opt.mss == 0},
        {"ws", s->opt.wscale, !s->opt.has_wscale},
        {"ts", s->opt.ts_val, !s->opt.has_ts},
        {"ecr", s->opt.ts_ecr, !s->opt.has_ts},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(f); i++) {
        const char *v = value_of(word, f[i].key);

        if (v != NULL) {
            bool any = strcmp(v, "any") == 0;

            return strcmp(v, "none") == 0 ? f[i].absent
                                          : !f[i].absent && (any || number_matches(p, f[i].got, v));
        }
    }
    if (value_of(word, "sack") != NULL) {
        return sack_matches(p, s, value_of(word, "sack"));
    }
    if (strcmp(word, "sackok") == 0 || strcmp(word, "nosackok") == 0) {
        return s->opt.sack_ok == (word[0] == 's');
    }
    fail(p, "no such word: %s", word);
    return false;
}

static void
out_check(struct player *p, const struct pw_fake_seg *s, uint64_t tsc, char **word, uint32_t n)
{
    uint64_t age_ms = (p->port.now_tsc - tsc) / 1000000;
    bool len_said = false;

    if ((s->flags & PW_TCP_SYN) != 0) {
        p->our_isn = s->seq;
    }
    p->ts_last = s->opt.has_ts ? s->opt.ts_val : p->ts_last;
    if (s->flags != flags_of(p, n > 1 ? word[1] : "")) {
        fail(p, "other flags came out");
    }
    if (age_ms != 0) {
        fail(p, "it came out %" PRIu64 " ms early", age_ms);
    }
    for (uint32_t i = 2; i < n; i++) {
        len_said = len_said || value_of(word[i], "len") != NULL;
        if (!out_word(p, s, word[i])) {
            fail(p, "expected %s", word[i]);
        }
    }
    if (!len_said && s->len != 0) {
        fail(p, "text came out");
    }
    for (uint32_t i = 0; i < s->len; i++) {
        if (s->payload[i] != pattern(s->seq + i - p->our_isn - 1)) {
            fail(p, "payload byte %u of the segment is wrong", i);
        }
    }
    if (p->failed) {
        show(p, s, tsc);
    }
}

static void
expect_segment(struct player *p, char **word, uint32_t n)
{
    struct pw_fake_seg s;
    uint64_t tsc;
    const char *why;
    struct rte_mbuf *m = pw_fake_tx_pop(&p->port, &tsc);

    if (m == NULL) {
        fail(p, "nothing came out");
        return;
    }
    if (!pw_fake_read(m, &s, &why)) {
        fail(p, "a broken frame came out: %s", why);
    } else if (s.v6 != p->v6 || s.saddr != PW_FAKE_OUR_IP || s.daddr != PW_FAKE_PEER_IP) {
        fail(p, "a frame with other addresses came out");
    } else {
        out_check(p, &s, tsc, word, n);
    }
    rte_pktmbuf_free(m);
}

/* --- state --- */

static const struct pw_tcb *
our_tcb(const struct player *p)
{
    for (uint32_t i = 0; i < p->w->tcp.tcbs.count; i++) {
        const struct pw_tcb *tcb = pw_pool_at(&p->w->tcp.tcbs, i);

        if (tcb->state != PW_TCP_CLOSED && tcb->stream.peer.port == p->sport) {
            return tcb;
        }
    }
    return NULL;
}

/* UINT64_MAX: no such counter. */
static uint64_t
counter(const struct player *p, const char *name)
{
    const struct pw_tcp *t = &p->w->tcp;
    const struct pw_tcb *tcb = our_tcb(p);
    const struct {
        const char *name;
        uint64_t value;
    } c[] = {
        {"input", p->input_bytes},
        {"accepted", p->accepted},
        {"fin", p->fin},
        {"gone", p->gone},
        {"writable", p->writable},
        {"held", p->held_count},
        {"open", pw_worker_open_count(p->w)},
        {"half-open", t->half_open},
        {"all", pw_pool_used(&t->tcbs)},
        {"ooo", tcb == NULL ? 0 : tcb->ooo_count},
        {"rto", tcb == NULL ? 0 : tcb->rto_ms},
        {"cwnd", tcb == NULL ? 0 : tcb->cc.cwnd},
        {"ssthresh", tcb == NULL ? 0 : tcb->cc.ssthresh},
        {"sack-ranges", tcb == NULL || tcb->board == NULL ? 0 : tcb->board->count},
        {"boards", pw_pool_used(&t->boards)},
        {"room", p->stream == NULL ? 0 : p->stream->ops->send_room(p->stream)},
        {"budget-used", t->cfg.rx_budget_bytes - t->rx_budget_free},
        {"chunks", pw_pool_used(&t->chunks)},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(c); i++) {
        if (strcmp(c[i].name, name) == 0) {
            return c[i].value;
        }
    }
    uint64_t v = pw_worker_drops(p->w, name);

    return v == UINT64_MAX ? pw_worker_stat(p->w, name) : v;
}

static void
expect_state(struct player *p, char *word)
{
    const char *want = value_of(word, "state");

    if (want != NULL) {
        const struct pw_tcb *tcb = our_tcb(p);
        const char *got = tcb == NULL ? "CLOSED" : pw_tcp_state_name(tcb->state);

        if (strcmp(got, want) != 0) {
            fail(p, "state is %s, not %s", got, want);
        }
        return;
    }
    char *eq = strchr(word, '=');

    if (eq == NULL) {
        fail(p, "expect wants name=value");
        return;
    }
    *eq = 0;
    uint64_t got = counter(p, word);

    if (got == UINT64_MAX) {
        fail(p, "no such counter: %s", word);
    } else if (!number_matches(p, (uint32_t)got, eq + 1)) {
        fail(p, "%s is %" PRIu64 ", not %s", word, got, eq + 1);
    }
}

/* --- commands --- */

static void
cmd_send(struct player *p, uint32_t n)
{
    uint8_t *b = malloc(PAYLOAD_MAX);

    for (uint32_t i = 0; i < n; i++) {
        b[i] = pattern(p->sent_bytes + i);
    }
    struct pw_slice iov[2] = {pw_slice(b, n / 3), pw_slice(b + n / 3, n - n / 3)};

    p->sent_bytes += p->stream->ops->send(p->stream, iov, 2);
    free(b);
    pw_fake_poll(&p->port, p->w);
}

static void
cmd_consume(struct player *p)
{
    size_t cost = 0;

    for (uint32_t i = 0; i < p->held_count; i++) {
        cost += p->held[i]->buf_len;
    }
    held_free(p);
    p->stream->ops->consumed(p->stream, cost);
    pw_fake_poll(&p->port, p->w);
}

static void
cmd_flood(struct player *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct pw_fake_seg s = {.v6 = p->v6,
                                .saddr = PW_FAKE_PEER_IP,
                                .daddr = PW_FAKE_OUR_IP,
                                .sport = (uint16_t)(20000 + i),
                                .dport = PW_FAKE_PORT,
                                .seq = i * 1000003,
                                .flags = PW_TCP_SYN,
                                .wnd = 1000};

        pw_fake_rx(&p->port, pw_fake_segment(&p->port, &s));
        pw_fake_poll(&p->port, p->w);
    }
}

/* icmp TYPE CODE seq=N mtu=N: an error that quotes a segment of ours with that number. */
static void
cmd_icmp(struct player *p, char **word, uint32_t n)
{
    uint8_t f[14 + 40 + 8 + 40 + 8] = {0};
    uint32_t ip_bytes = p->v6 ? PW_IP6_BYTES : PW_IP4_BYTES;
    uint8_t *ip = f + PW_ETHER_BYTES;
    uint8_t *icmp = ip + ip_bytes;
    uint8_t *quote = icmp + 8;
    uint8_t *tcp = quote + ip_bytes;
    uint32_t len = 8 + ip_bytes + 8;
    uint32_t seq = 0;
    uint32_t mtu = 0;
    uint16_t sum;

    for (uint32_t i = 3; i < n; i++) {
        seq = value_of(word[i], "seq") != NULL ? num(p, value_of(word[i], "seq")) : seq;
        mtu = value_of(word[i], "mtu") != NULL ? num(p, value_of(word[i], "mtu")) : mtu;
    }
    pw_store_be16(tcp, PW_FAKE_PORT);
    pw_store_be16(tcp + 2, p->sport);
    pw_store_be32(tcp + 4, p->our_isn + seq);
    icmp[0] = (uint8_t)num(p, word[1]);
    icmp[1] = (uint8_t)num(p, word[2]);
    pw_store_be32(icmp + 4, mtu);
    if (p->v6) {
        uint8_t ours[16];
        uint8_t peers[16];

        pw_fake_ip6(PW_FAKE_OUR_IP, ours);
        pw_fake_ip6(PW_FAKE_PEER_IP, peers);
        pw_ether_put(f, pw_fake_our_mac, pw_fake_peer_mac, PW_ETHER_TYPE_IP6);
        ip[0] = quote[0] = 0x60;
        pw_store_be16(ip + 4, (uint16_t)len);
        ip[6] = PW_IP6_NEXT_ICMP6;
        ip[7] = 64;
        memcpy(ip + 8, peers, 16);
        memcpy(ip + 24, ours, 16);
        pw_store_be16(quote + 4, 1000);
        quote[6] = PW_IP6_NEXT_TCP;
        memcpy(quote + 8, ours, 16);
        memcpy(quote + 24, peers, 16);
        sum = (uint16_t)~pw_cksum_fold(
            pw_cksum_add(pw_ip6_pseudo(ip + 8, ip + 24, PW_IP6_NEXT_ICMP6, len), icmp, len));
    } else {
        pw_ether_put(f, pw_fake_our_mac, pw_fake_peer_mac, PW_ETHER_TYPE_IP4);
        ip[0] = quote[0] = 0x45;
        pw_store_be16(ip + 2, (uint16_t)(PW_IP4_BYTES + len));
        ip[8] = 64;
        ip[9] = PW_IP4_PROTO_ICMP;
        pw_store_be32(ip + 12, PW_FAKE_PEER_IP);
        pw_store_be32(ip + 16, PW_FAKE_OUR_IP);
        sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(0, ip, PW_IP4_BYTES));
        memcpy(ip + 10, &sum, 2);
        pw_store_be16(quote + 2, 1500);
        quote[9] = PW_IP4_PROTO_TCP;
        pw_store_be32(quote + 12, PW_FAKE_OUR_IP);
        pw_store_be32(quote + 16, PW_FAKE_PEER_IP);
        sum = (uint16_t)~pw_cksum_fold(pw_cksum_add(0, icmp, len));
    }
    memcpy(icmp + 2, &sum, 2);
    pw_fake_rx(&p->port, pw_fake_frame(&p->port, f, PW_ETHER_BYTES + ip_bytes + len));
    pw_fake_poll(&p->port, p->w);
}

static void
discard(struct player *p)
{
    struct rte_mbuf *m;

    while ((m = pw_fake_tx_pop(&p->port, NULL)) != NULL) {
        rte_pktmbuf_free(m);
    }
}

/* What every script but those about handshakes starts with; options go into the SYN. */
static void
cmd_handshake(struct player *p, char **option, uint32_t options)
{
    char lt[] = "<", gt[] = ">", s[] = "S", a[] = "A", sa[] = "SA", seq0[] = "seq=0";
    char seq1[] = "seq=1", ack1[] = "ack=1";
    char *syn[WORDS_MAX] = {lt, s, seq0};
    char *syn_ack[] = {gt, sa, ack1};
    char *ack[] = {lt, a, seq1, ack1};

    for (uint32_t i = 0; i < options && i < WORDS_MAX - 3; i++) {
        syn[3 + i] = option[i];
    }
    inject(p, syn, 3 + options, true);
    expect_segment(p, syn_ack, 3);
    inject(p, ack, 4, true);
    if (p->stream == NULL) {
        fail(p, "the handshake did not make a stream");
    }
}

/* Moves the virtual clock so that our ISN for the next SYN is what the script wants: ISN = M + F, and
 * M counts 4 us. */
static void
cmd_our_isn(struct player *p, uint32_t want)
{
    struct pw_segment seg = {.peer = {.ip = {[10] = 0xFF, [11] = 0xFF}, .port = p->sport},
                             .lport = PW_FAKE_PORT,
                             .v6 = p->v6};

    if (p->v6) {
        pw_fake_ip6(PW_FAKE_PEER_IP, seg.peer.ip);
    } else {
        pw_store_be32(seg.peer.ip + 12, PW_FAKE_PEER_IP);
    }
    pw_fake_poll(&p->port, p->w);
    uint32_t gap = want - pw_tcp_isn(p->w, &seg);

    p->port.now_tsc += (uint64_t)gap * p->w->tcp.tsc_per_4us;
    pw_fake_poll(&p->port, p->w);
}

static void
set_option(struct player *p, struct pw_worker_cfg *cfg, const char *word)
{
    const struct {
        const char *name;
        uint32_t *field;
    } o[] = {
        {"conns_max", &cfg->tcp.conns_max},
        {"syn_received_max", &cfg->tcp.syn_received_max},
        {"rx_base_bytes", &cfg->tcp.rx_base_bytes},
        {"rx_base_bytes_min", &cfg->tcp.rx_base_bytes_min},
        {"snd_buf_bytes_max", &cfg->tcp.snd_buf_bytes_max},
        {"delack_ms", &cfg->tcp.delack_ms},
        {"time_wait_ms", &cfg->tcp.time_wait_ms},
        {"fin_wait_2_ms", &cfg->tcp.fin_wait_2_ms},
        {"retries_max", &cfg->tcp.retries_max},
        {"user_timeout_ms", &cfg->tcp.user_timeout_ms},
        {"keepalive_idle_ms", &cfg->tcp.keepalive_idle_ms},
        {"keepalive_interval_ms", &cfg->tcp.keepalive_interval_ms},
        {"rcv_wnd_max", &cfg->tcp.rcv_wnd_max},
    };

    if (strcmp(word, "reno") == 0) {
        cfg->tcp.reno = true;
        return;
    }
    if (value_of(word, "rx_budget_bytes") != NULL) {
        cfg->tcp.rx_budget_bytes = num(p, value_of(word, "rx_budget_bytes"));
        return;
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(o); i++) {
        if (value_of(word, o[i].name) != NULL) {
            *o[i].field = num(p, value_of(word, o[i].name));
            return;
        }
    }
    fail(p, "no such setting: %s", word);
}

static void
worker_start(struct player *p, char **word, uint32_t n)
{
    struct pw_worker_cfg cfg = pw_fake_worker_cfg(&p->port);
    int err = 0;

    cfg.app = (struct pw_stream_app){.ctx = p,
                                     .accept = app_accept,
                                     .input = app_input,
                                     .writable = app_writable,
                                     .fin = app_fin,
                                     .gone = app_gone};
    for (uint32_t i = 1; i < n; i++) {
        set_option(p, &cfg, word[i]);
    }
    p->w = pw_worker_create_ctl(&cfg, p->port.now_tsc, &err);
    if (p->w == NULL || pw_worker_listen_ctl(p->w, PW_FAKE_PORT) != 0) {
        fail(p, "no worker: %s", pw_err_text(err));
    }
}

static void
cmd_end(struct player *p)
{
    p->stream->ops->reset(p->stream);
    p->stream = NULL;
    held_free(p);
    pw_fake_poll(&p->port, p->w);
}

/* What the application does; needs a stream. */
static void
app_command(struct player *p, char **word, uint32_t n)
{
    const char *c = word[0];

    if (p->stream == NULL) {
        fail(p, "%s: no such command, or no stream to do it on", c);
    } else if (strcmp(c, "send") == 0 && n == 2) {
        cmd_send(p, num(p, word[1]));
    } else if (strcmp(c, "shutdown") == 0) {
        p->stream->ops->shutdown(p->stream);
        pw_fake_poll(&p->port, p->w);
    } else if (strcmp(c, "reset") == 0) {
        cmd_end(p);
    } else if (strcmp(c, "consume") == 0) {
        cmd_consume(p);
    } else if (strcmp(c, "reserve") == 0 && n >= 2) {
        int want = n > 2 && strcmp(word[2], "fails") == 0 ? PW_EAGAIN : 0;

        if (p->stream->ops->reserve(p->stream, num(p, word[1])) != want) {
            fail(p, "reserve answered otherwise");
        }
        pw_fake_poll(&p->port, p->w);
    } else {
        fail(p, "no such command: %s", c);
    }
}

static bool
world_command(struct player *p, char **word, uint32_t n)
{
    const char *c = word[0];

    if (strcmp(c, "our-isn") == 0 && n == 2) {
        cmd_our_isn(p, num(p, word[1]));
    } else if (strcmp(c, "peer-isn") == 0 && n == 2) {
        p->peer_isn = num(p, word[1]);
    } else if (strcmp(c, "peer-port") == 0 && n == 2) {
        p->sport = (uint16_t)num(p, word[1]);
        p->ts = false;
    } else if (strcmp(c, "ip") == 0 && n == 2) {
        p->v6 = num(p, word[1]) == 6;
        p->ts = false;
    } else if (strcmp(c, "flood") == 0 && n == 2) {
        cmd_flood(p, num(p, word[1]));
    } else if (strcmp(c, "icmp") == 0 && n >= 3) {
        cmd_icmp(p, word, n);
    } else if (strcmp(c, "skip-minutes") == 0 && n == 2) {
        p->port.now_tsc += num(p, word[1]) * 60ULL * PW_FAKE_TSC_HZ;
        pw_fake_poll(&p->port, p->w);
    } else if (strcmp(c, "discard") == 0) {
        discard(p);
    } else if (strcmp(c, "tx-room") == 0 && n == 2) {
        p->port.tx_room = num(p, word[1]);
    } else if (strcmp(c, "drain") == 0) {
        (void)pw_worker_drain(p->w);
    } else if (strcmp(c, "app") == 0 && n == 2) {
        p->refuse = strcmp(word[1], "refuses") == 0;
        p->hold = strcmp(word[1], "holds") == 0;
        p->closes = strcmp(word[1], "closes") == 0;
    } else {
        return false;
    }
    return true;
}

static void
command(struct player *p, char **word, uint32_t n)
{
    const char *c = word[0];

    if (c[0] == '+') {
        pw_fake_run(&p->port, p->w, num(p, c + 1));
    } else if (strcmp(c, "<") == 0) {
        inject(p, word, n, true);
    } else if (strcmp(c, "<<") == 0) {
        inject(p, word, n, false);
    } else if (strcmp(c, ">") == 0) {
        expect_segment(p, word, n);
    } else if (strcmp(c, "expect") == 0) {
        for (uint32_t i = 1; i < n; i++) {
            expect_state(p, word[i]);
        }
    } else if (strcmp(c, "handshake") == 0) {
        cmd_handshake(p, word + 1, n - 1);
    } else if (!world_command(p, word, n)) {
        app_command(p, word, n);
    }
}

static void
play_line(struct player *p, char *text)
{
    char *word[WORDS_MAX];
    char defaults[] = "worker";
    char *default_word[] = {defaults};
    uint32_t n = 0;
    char *hash = strchr(text, '#');

    if (hash != NULL) {
        *hash = 0;
    }
    for (char *s = strtok(text, " \t\n"); s != NULL && n < WORDS_MAX; s = strtok(NULL, " \t\n")) {
        word[n++] = s;
    }
    if (n == 0) {
        return;
    }
    if (strcmp(word[0], "worker") == 0) {
        worker_start(p, word, n);
        return;
    }
    if (p->w == NULL) {
        worker_start(p, default_word, 1);
    }
    if (!p->failed) {
        command(p, word, n);
    }
}

/* A script may stop in any state: what is left is reset by the worker's end, and every buffer and all
 * of the budget must be back. */
static void
wind_up(struct player *p)
{
    if (p->port.tx_count != 0) {
        fail(p, "%u segments came out that the script does not expect", p->port.tx_count);
    }
    pw_worker_destroy_ctl(p->w);
    held_free(p);
    uint32_t leaked = pw_fake_port_fini(&p->port);

    if (leaked != 0) {
        fail(p, "%u mbufs are not back in their pool", leaked);
    }
}

static bool
play(const char *file)
{
    struct player *p = calloc(1, sizeof(*p));
    char text[LINE_MAX_BYTES];
    FILE *f = fopen(file, "r");

    if (f == NULL) {
        fprintf(stderr, "%s: cannot open\n", file);
        free(p);
        return false;
    }
    pw_fake_port_init(&p->port, 2047);
    p->file = file;
    p->peer_isn = 1000;
    p->sport = 30000;
    p->ts_base = 5000;
    while (!p->failed && fgets(text, sizeof(text), f) != NULL) {
        p->line++;
        play_line(p, text);
    }
    fclose(f);
    wind_up(p);
    bool ok = !p->failed;

    free(p);
    return ok;
}

int
main(int argc, char **argv)
{
    int bad = 0;

    if (!pw_fake_eal_init()) {
        return 77;
    }
    for (int i = 1; i < argc; i++) {
        bool ok = play(argv[i]);

        printf("%s %s\n", ok ? "ok  " : "FAIL", argv[i]);
        bad += !ok;
    }
    printf("%d scripts, %d failed\n", argc - 1, bad);
    return bad == 0 && argc > 1 ? 0 : 1;
}
