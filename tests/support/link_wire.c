#include "tests/support/link_wire.h"

#include "base/check.h"

#include <stdlib.h>

enum { STEP_US = 20 };

struct pw_wire *
pw_wire_new(uint64_t seed)
{
    struct pw_wire *w = calloc(1, sizeof(*w));

    PW_INVARIANT(w != NULL);
    w->seed = seed;
    w->delay_us = 20;
    return w;
}

void
pw_wire_free(struct pw_wire *w)
{
    for (uint32_t i = 0; i < w->waiting; i++) {
        free(w->packet[i].bytes);
    }
    free(w);
}

/* splitmix64 */
uint64_t
pw_wire_random(struct pw_wire *w)
{
    uint64_t z = w->seed += 0x9E3779B97F4A7C15ULL;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

void
pw_wire_bytes(void *ctx, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dst[i] = (uint8_t)pw_wire_random(ctx);
    }
}

struct pw_link_addr
pw_wire_addr(uint32_t end)
{
    struct pw_link_addr a = {.ip = {[10] = 0xFF, [11] = 0xFF, [12] = 10}, .port = 4041};

    a.ip[15] = (uint8_t)(end + 1);
    return a;
}

static void
put(struct pw_wire *w, uint32_t from, uint32_t to, const void *bytes, size_t len, uint64_t at_us)
{
    struct pw_wire_packet *p = &w->packet[w->waiting];

    if (w->waiting == PW_WIRE_PACKETS_MAX) {
        return; /* a switch with full buffers */
    }
    *p = (struct pw_wire_packet){.at_us = at_us,
                                 .order = w->order++,
                                 .to = to,
                                 .from = pw_wire_addr(from),
                                 .len = (uint32_t)len,
                                 .bytes = malloc(len)};
    PW_INVARIANT(p->bytes != NULL);
    memcpy(p->bytes, bytes, len);
    w->waiting++;
}

void
pw_wire_inject(struct pw_wire *w, uint32_t from, uint32_t to, const void *bytes, size_t len)
{
    put(w, from, to, bytes, len, w->now_us);
}

static bool
chance(struct pw_wire *w, uint32_t per_mille)
{
    return pw_wire_random(w) % 1000 < per_mille;
}

static void
send_one(struct pw_wire *w, uint32_t from, const struct pw_link_addr *to, uint8_t *bytes,
         size_t len)
{
    uint32_t end = (uint32_t)to->ip[15] - 1;
    uint64_t at = w->now_us + w->delay_us;

    if (w->tap != NULL) {
        w->tap(w->tap_ctx, from, bytes, len);
    }
    if (end >= w->ends || w->cut[from] || w->cut[end] || chance(w, w->loss)) {
        return;
    }
    if (chance(w, w->duplicate)) {
        put(w, from, end, bytes, len, at + pw_wire_random(w) % 3000);
    }
    if (chance(w, w->corrupt)) {
        bytes[pw_wire_random(w) % len] ^= (uint8_t)(1 + pw_wire_random(w) % 255);
        w->damaged++;
    }
    at += chance(w, w->reorder) ? pw_wire_random(w) % 2000 : 0;
    put(w, from, end, bytes, len, at);
}

/* The next datagram that is due, by time and then by order; UINT32_MAX: none. */
static uint32_t
due(const struct pw_wire *w)
{
    uint32_t found = UINT32_MAX;

    for (uint32_t i = 0; i < w->waiting; i++) {
        const struct pw_wire_packet *p = &w->packet[i];

        if (p->at_us <= w->now_us && w->asleep_us[p->to] <= w->now_us &&
            (found == UINT32_MAX || p->at_us < w->packet[found].at_us ||
             (p->at_us == w->packet[found].at_us && p->order < w->packet[found].order))) {
            found = i;
        }
    }
    return found;
}

static void
deliver(struct pw_wire *w)
{
    uint32_t i;

    while ((i = due(w)) != UINT32_MAX) {
        struct pw_wire_packet p = w->packet[i];

        w->packet[i] = w->packet[--w->waiting];
        if (w->end[p.to] != NULL) {
            w->delivered++;
            pw_link_input(w->end[p.to], &p.from, p.bytes, p.len, w->now_us);
        }
        free(p.bytes);
    }
}

void
pw_wire_run(struct pw_wire *w, uint64_t us)
{
    uint64_t until = w->now_us + us;

    while (w->now_us < until) {
        deliver(w);
        for (uint32_t e = 0; e < w->ends; e++) {
            uint8_t buf[PW_WIRE_PACKET_BYTES];
            struct pw_link_addr to;
            size_t n;

            if (w->end[e] == NULL || w->asleep_us[e] > w->now_us) {
                continue;
            }
            (void)pw_link_tick(w->end[e], w->now_us);
            while (!w->mute[e] && (n = pw_link_output(w->end[e], buf, &to, w->now_us)) > 0) {
                PW_INVARIANT(n <= pw_link_packet_bytes(w->end[e]));
                send_one(w, e, &to, buf, n);
            }
        }
        w->now_us += STEP_US;
    }
}
