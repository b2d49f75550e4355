/* tests/support/link_wire.h - peer links joined by a wire that may be bad, in virtual time.
 *
 * Purpose  datagrams between ends of real struct pw_link: delayed, lost, doubled, reordered, damaged by seed.
 * Owner    the test.
 * Context  tests; no sockets, no clock.
 * Units    microseconds; per mille.
 * Errors   a failed allocation ends the program.
 * Limits   PW_WIRE_ENDS_MAX ends.
 */
#ifndef PW_TESTS_LINK_WIRE_H
#define PW_TESTS_LINK_WIRE_H

#include "dataplane/peer_link_io.h"

enum { PW_WIRE_ENDS_MAX = 8, PW_WIRE_PACKET_BYTES = 9000, PW_WIRE_PACKETS_MAX = 65536 };

struct pw_wire_packet {
    uint64_t at_us;
    uint64_t order;
    uint32_t to; /* end */
    struct pw_link_addr from;
    uint32_t len;
    uint8_t *bytes;
};

struct pw_wire {
    uint64_t now_us;
    uint64_t seed;
    uint32_t delay_us; /* of each datagram */
    uint32_t loss;     /* per mille each */
    uint32_t duplicate;
    uint32_t reorder;
    uint32_t corrupt;
    uint32_t ends;
    struct pw_link *end[PW_WIRE_ENDS_MAX]; /* NULL: a dead appliance */
    bool cut[PW_WIRE_ENDS_MAX];            /* an isolated one */
    bool mute[PW_WIRE_ENDS_MAX];           /* one whose carrier takes nothing for now */
    uint64_t asleep_us[PW_WIRE_ENDS_MAX]; /* one that has no turn before; what comes waits for it */
    uint64_t order;
    uint64_t delivered;
    uint64_t damaged; /* delivered, but changed */
    uint32_t waiting;
    struct pw_wire_packet packet[PW_WIRE_PACKETS_MAX];
    /* Sees every datagram before the wire does; NULL: nobody. */
    void (*tap)(void *ctx, uint32_t from, const uint8_t *bytes, size_t len);
    void *tap_ctx;
};

struct pw_wire *pw_wire_new(uint64_t seed);
/* Not the links. */
void pw_wire_free(struct pw_wire *w);
/* Address of an end. */
struct pw_link_addr pw_wire_addr(uint32_t end);
/* Puts bytes on the wire as if they came from end `from`; no fault applies. */
void pw_wire_inject(struct pw_wire *w, uint32_t from, uint32_t to, const void *bytes, size_t len);
/* Turns until us have passed. */
void pw_wire_run(struct pw_wire *w, uint64_t us);
uint64_t pw_wire_random(struct pw_wire *w);
/* For pw_link_cfg.random with ctx the wire: the same every run. */
void pw_wire_bytes(void *ctx, uint8_t *dst, size_t n);

#endif
