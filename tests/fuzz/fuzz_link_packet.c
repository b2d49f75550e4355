/* Two ends of a peer link, and between them somebody who can write every packet: well-sealed ones with frames of the
 * fuzzer's choice, handshakes, garbage. -link.insecure, whose tag anybody can compute, lets the fuzzer behind the cipher.
 * Properties: no call is done twice; what the ends count of their own (blocks, packets in flight, places for calls) adds
 * up after every step. */
#include "base/check.h"
#include "dataplane/peer_link_priv.h"
#include "tests/support/link_wire.h"

#include <stdlib.h>

enum { PACKET_BYTES = 600, COOKIES_MAX = 1024, LATER_MAX = 64, MESSAGE_MAX = 40000 };

struct fuzz {
    const uint8_t *p;
    size_t left;
    struct pw_wire *wire;
    struct pw_link *a;
    struct pw_link *b;
    uint32_t session[2]; /* that packets of end i go to */
    uint64_t number[2];  /* of the last of them */
    uint8_t hello[2][PACKET_BYTES];
    size_t hello_len[2];
    uint8_t done[COOKIES_MAX];
    uint32_t cookies;
    struct pw_link_from from[LATER_MAX];
    uint32_t waiting;
};

static uint32_t
byte(struct fuzz *f)
{
    if (f->left == 0) {
        return 0;
    }
    f->left--;
    return *f->p++;
}

static void
on_done(void *ctx, uint64_t cookie, int status, struct pw_slice text)
{
    struct fuzz *f = ctx;

    (void)status;
    PW_INVARIANT(cookie < f->cookies && f->done[cookie] == 0 && text.len <= PW_LINK_TEXT_BYTES_MAX);
    f->done[cookie] = 1;
}

static void
on_request(void *ctx, struct pw_link_from from, struct pw_slice bytes)
{
    struct fuzz *f = ctx;

    PW_INVARIANT(bytes.len > 0 && bytes.len <= PW_LINK_MESSAGE_BYTES_MAX);
    PW_INVARIANT(bytes.ptr[0] + bytes.ptr[bytes.len - 1] >= 0); /* both ends may be read */
    if (f->waiting < LATER_MAX && bytes.len % 2 == 0) {
        f->from[f->waiting++] = from;
    } else {
        (void)pw_link_reply(f->b, from, 200, pw_slice(bytes.ptr, bytes.len % 300));
    }
}

static void
tap(void *ctx, uint32_t from, const uint8_t *bytes, size_t len)
{
    struct fuzz *f = ctx;
    struct pw_link_header h;

    pw_link_header_get(bytes, &h);
    if (h.type == PW_LINK_PACKET_DATA) {
        f->session[from] = h.session;
        f->number[from] = h.number;
    } else if (len <= sizeof(f->hello[from])) {
        memcpy(f->hello[from], bytes, len);
        f->hello_len[from] = len;
    }
}

static struct pw_link *
end_new(struct fuzz *f, const char *id)
{
    const struct pw_link_cfg cfg = {.app = {.ctx = f, .on_done = on_done, .on_request = on_request},
                                    .self_id = id,
                                    .insecure = true,
                                    .peers_max = 2,
                                    .sessions_max = 3,
                                    .rx_bytes = 1,
                                    .packet_bytes = PACKET_BYTES,
                                    .epoch_bits = 6,
                                    .random = pw_wire_bytes,
                                    .random_ctx = f->wire};
    struct pw_link *l = pw_link_create_ctl(&cfg, 0, NULL);

    PW_INVARIANT(l != NULL);
    return l;
}

/* Puts a packet to the other end on the wire: header, body, tag of -link.insecure. */
static void
inject(struct fuzz *f, uint32_t from, const struct pw_link_header *h, uint32_t extra, size_t body)
{
    uint8_t bytes[700];
    struct pw_link_aead plain;

    pw_link_aead_plain_ctl(&plain);
    pw_link_header_put(bytes, h);
    memset(bytes + PW_LINK_HEADER_BYTES, 0, extra);
    for (size_t i = 0; i < body; i++) {
        bytes[PW_LINK_HEADER_BYTES + extra + i] = (uint8_t)byte(f);
    }
    plain.seal(NULL, NULL, bytes, pw_slice(bytes, PW_LINK_HEADER_BYTES),
               bytes + PW_LINK_HEADER_BYTES + extra, body);
    pw_wire_inject(f->wire, from, 1 - from, bytes,
                   PW_LINK_HEADER_BYTES + extra + body + PW_LINK_TAG_BYTES);
}

static void
inject_data(struct fuzz *f, uint32_t from)
{
    uint32_t ahead = byte(f);
    const struct pw_link_header h = {.version = PW_LINK_VERSION,
                                     .type = PW_LINK_PACKET_DATA,
                                     .flags = PW_LINK_FLAG_PLAIN,
                                     .session = f->session[from],
                                     .number = f->number[from] + 1 + ahead % 8};

    f->number[from] = h.number;
    inject(f, from, &h, 0, 1 + (size_t)byte(f) * 2 % 550);
}

static void
inject_hello(struct fuzz *f, uint32_t from)
{
    const struct pw_link_header h = {.version = PW_LINK_VERSION,
                                     .type = (uint8_t)(1 + byte(f) % 2),
                                     .flags = PW_LINK_FLAG_PLAIN,
                                     .session = f->session[from]};

    if (byte(f) % 2 == 0 && f->hello_len[from] > 0) { /* one that was seen, again */
        pw_wire_inject(f->wire, from, 1 - from, f->hello[from], f->hello_len[from]);
        return;
    }
    inject(f, from, &h, 4, 1 + (size_t)byte(f) % 250);
}

static void
call(struct fuzz *f, const uint8_t *bytes)
{
    struct pw_slice m = pw_slice(bytes, 1 + (size_t)byte(f) * 157 % MESSAGE_MAX);

    if (f->cookies < COOKIES_MAX && pw_link_call(f->a, 0, &m, 1, f->cookies) == 0) {
        f->cookies++;
    }
}

static void
check_session(const struct pw_link *l, const struct pw_link_session *s, uint32_t *blocks)
{
    uint32_t packets = 0;
    uint32_t bytes = 0;
    uint32_t used = 0;

    PW_INVARIANT(s->todo_count <= PW_LINK_TODO_MAX);
    for (uint32_t i = 0; i < PW_LINK_SENT_MAX; i++) {
        packets += s->sent[i].in_flight ? 1 : 0;
        bytes += s->sent[i].in_flight ? s->sent[i].bytes : 0;
    }
    PW_INVARIANT(packets == s->flight.packets && bytes == s->flight.bytes);
    PW_INVARIANT(s->flight.oldest <= s->flight.next_pn && s->flight.largest < s->flight.next_pn);
    for (uint32_t i = 0; i < PW_LINK_CALLS_MAX; i++) {
        if (s->client) {
            used += s->call[i].state != PW_LINK_CALL_FREE ? 1 : 0;
        } else if (s->slot[i].state == PW_LINK_SLOT_PARTIAL) {
            *blocks += s->slot[i].blocks;
        }
    }
    PW_INVARIANT(!s->client || used + s->calls_free == PW_LINK_CALLS_MAX);
    PW_INVARIANT(s->client || s->credit_used <= s->credit_max);
    (void)l;
}

static void
check(const struct pw_link *l)
{
    uint32_t blocks = 0;

    for (uint32_t i = 0; i < pw_link_sessions(l); i++) {
        if (l->live[i] && l->session[i].state == PW_LINK_STATE_UP) {
            check_session(l, &l->session[i], &blocks);
        }
    }
    PW_INVARIANT(l->arena.free + blocks == l->arena.blocks);
}

static void
step(struct fuzz *f, const uint8_t *bytes)
{
    switch (byte(f) % 9) {
    case 0:
        pw_wire_run(f->wire, 20 * (uint64_t)(1 + byte(f)));
        break;
    case 1:
        call(f, bytes);
        break;
    case 2:
        inject_data(f, 0);
        break;
    case 3:
        inject_data(f, 1);
        break;
    case 4:
        inject_hello(f, byte(f) % 2);
        break;
    case 5:
        f->wire->loss = byte(f) * 2;
        break;
    case 6:
        (void)pw_link_cancel(f->a, byte(f));
        break;
    case 7:
        for (uint32_t i = 0; i < f->waiting; i++) {
            (void)pw_link_reply(f->b, f->from[i], 429, PW_SLICE_LIT("later"));
        }
        f->waiting = 0;
        break;
    default:
        if (byte(f) == 0) {
            pw_link_close(f->a, 0);
        }
        struct pw_link_addr addr = pw_wire_addr(1);

        if (pw_link_open(f->a, "b", &addr) > 0) {
            pw_link_close(f->a, 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[MESSAGE_MAX + 1];
    struct fuzz *f = calloc(1, sizeof(*f));
    struct pw_link_addr addr = pw_wire_addr(1);

    PW_INVARIANT(f != NULL);
    f->p = data;
    f->left = size;
    f->wire = pw_wire_new(1);
    f->a = end_new(f, "a");
    f->b = end_new(f, "b");
    f->wire->ends = 2;
    f->wire->end[0] = f->a;
    f->wire->end[1] = f->b;
    f->wire->tap = tap;
    f->wire->tap_ctx = f;
    PW_INVARIANT(pw_link_open(f->a, "b", &addr) == 0);
    pw_wire_run(f->wire, 2000);
    PW_INVARIANT(pw_link_peer_up(f->a, 0));
    for (uint32_t i = 0; i < 256 && f->left > 0; i++) {
        step(f, bytes);
        pw_wire_run(f->wire, 40);
        check(f->a);
        check(f->b);
    }
    pw_link_destroy_ctl(f->a);
    pw_link_destroy_ctl(f->b);
    pw_wire_free(f->wire);
    free(f);
    return 0;
}
