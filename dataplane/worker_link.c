#include "dataplane/worker_link.h"

#include "dataplane/ip4.h"
#include "dataplane/peer_link_wire.h"
#include "dataplane/udp.h"
#include "dataplane/worker_priv.h"

#include <rte_mbuf.h>

/* More would leave the caches before the port takes them (a third of the throughput over veth); the rest has the next
 * turn, which is at once. */
enum { FRAMES_PER_TURN = 128 };

static uint64_t
time_us(const struct pw_worker_link *b)
{
    const struct pw_worker *w = b->worker;

    return (w->now_tsc - w->start_tsc) / (w->tsc_hz / 1000000);
}

static bool
input(void *ctx, struct pw_worker *w, const struct pw_udp_datagram *d)
{
    struct pw_worker_link *b = ctx;
    struct pw_link_addr from = {.port = d->port, .local = d->local_port};
    /* Who begins a session tells where it lives now; who goes on with one has been heard before. */
    bool begins = d->len > 1 && d->bytes[1] != PW_LINK_PACKET_DATA;

    (void)w;
    memcpy(from.ip, d->ip, sizeof(from.ip));
    pw_link_input(b->link, &from, d->bytes, d->len, time_us(b));
    return begins;
}

/* A frame's memory on its way into the cache while the one before is filled. */
static void
write_soon(uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n + PW_UDP_HEADERS_BYTES; i += 64) {
        __builtin_prefetch(p - PW_UDP_HEADERS_BYTES + i, 1, 3);
    }
}

static uint32_t
flush(void *ctx, struct pw_worker *w)
{
    struct pw_worker_link *b = ctx;
    uint64_t now_us = time_us(b);
    uint32_t work = pw_link_tick(b->link, now_us);

    if (atomic_load_explicit(&b->leave, memory_order_relaxed) && !b->left) {
        b->left = true;
        pw_link_leave(b->link);
    }

    uint8_t *payload, *next_payload;
    uint32_t room;
    struct rte_mbuf *next = NULL;
    struct rte_mbuf *m = pw_link_next_us(b->link) == 0 ? pw_udp_frame(w, &payload, &room) : NULL;

    while (m != NULL && work < FRAMES_PER_TURN) {
        struct pw_link_addr to;

        PW_DCHECK(room >= pw_link_packet_bytes(b->link));
        next = pw_udp_frame(w, &next_payload, &room);
        if (next != NULL) {
            write_soon(next_payload, pw_link_packet_bytes(b->link));
        }
        size_t n = pw_link_output(b->link, payload, &to, now_us);

        if (n == 0) {
            break;
        }
        struct pw_udp_datagram d = {
            .port = to.port, .local_port = to.local == 0 ? b->port : to.local, .len = (uint32_t)n};

        memcpy(d.ip, to.ip, sizeof(d.ip));
        (void)pw_udp_send(w, m, &d);
        work++;
        m = next;
        payload = next_payload;
        next = NULL;
    }
    rte_pktmbuf_free(m);
    rte_pktmbuf_free(next);
    return work;
}

static void
too_big(void *ctx, const struct pw_udp_datagram *quoted, uint32_t bytes)
{
    struct pw_worker_link *b = ctx;
    struct pw_link_addr to = {.port = quoted->port, .local = quoted->local_port};

    memcpy(to.ip, quoted->ip, sizeof(to.ip));
    pw_link_too_big(b->link, &to, bytes, time_us(b));
}

static uint32_t
rest_us(void *ctx)
{
    const struct pw_worker_link *b = ctx;
    const struct pw_worker *w = b->worker;
    uint64_t now_us = (pw_rdtsc() - w->start_tsc) / (w->tsc_hz / 1000000);
    uint64_t next_us = pw_link_next_us(b->link);

    if (next_us <= now_us) {
        return 0;
    }
    return next_us - now_us < UINT32_MAX ? (uint32_t)(next_us - now_us) : UINT32_MAX;
}

int
pw_worker_link_bind_ctl(struct pw_worker_link *b, struct pw_worker *w, struct pw_link *link,
                        uint16_t port, uint16_t ports)
{
    uint32_t frame = w->buf_bytes - RTE_PKTMBUF_HEADROOM;
    uint32_t mtu = w->mtu < frame - PW_ETHER_BYTES ? w->mtu : frame - PW_ETHER_BYTES;

    if (pw_link_packet_bytes(link) + (uint32_t)(PW_IP4_BYTES + PW_UDP_BYTES) > mtu) {
        return PW_EMSGSIZE;
    }
    b->link = link;
    b->worker = w;
    b->port = port;
    b->left = false;
    atomic_init(&b->leave, false);
    return pw_udp_bind_ctl(w, &(struct pw_udp_user){.ctx = b,
                                                    .port = port,
                                                    .ports = ports,
                                                    .input = input,
                                                    .too_big = too_big,
                                                    .flush = flush,
                                                    .rest_us = rest_us});
}
