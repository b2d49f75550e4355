/* tests/support/fake_link.h - the functions of dataplane/peer_link.h without a wire.
 *
 * Purpose  a test of what calls peers links fake_link.c instead of the protocol: it sees every call, answers or
 *          drops it, and plays requests of others.
 * Owner    the test.
 * Context  tests.
 * Units    -
 * Errors   a failed allocation ends the program.
 * Limits   PW_LINK_PEERS_MAX peers, PW_LINK_CALLS_MAX calls to each, as many replies as are asked for.
 *
 * struct pw_link is created by pw_link_create_ctl as always (secret and clock are ignored). Peers are down
 * until pw_fake_link_up.
 */
#ifndef PW_TESTS_FAKE_LINK_H
#define PW_TESTS_FAKE_LINK_H

#include "dataplane/peer_link.h"

/* A call in flight, as the other end would have it. */
struct pw_fake_call {
    bool used;
    uint32_t peer;
    uint64_t cookie;
    uint64_t order; /* ascending over all calls of the end */
    uint8_t *bytes; /* the parts in a row */
    size_t len;
};

/* A reply that the test subject gave. */
struct pw_fake_reply {
    struct pw_link_from from;
    uint16_t status;
    char text[PW_LINK_TEXT_BYTES_MAX + 1];
};

/* Tells on_peer; down: calls in flight are done with PW_LINK_DEAD first. */
void pw_fake_link_up(struct pw_link *l, uint32_t peer, bool up);
/* The oldest call in flight to the peer; NULL: none. Borrowed until it is done. */
const struct pw_fake_call *pw_fake_link_call(const struct pw_link *l, uint32_t peer);
uint32_t pw_fake_link_calls(const struct pw_link *l, uint32_t peer);
/* on_done of the oldest call to the peer. False: there is none. */
bool pw_fake_link_answer(struct pw_link *l, uint32_t peer, uint16_t status, const char *text);
/* From now on that many more calls are taken and then PW_EAGAIN; UINT32_MAX: no such limit. */
void pw_fake_link_room(struct pw_link *l, uint32_t calls);
/* A peer of that id asks: on_request. Returns its number among the requests so far, the `turn` of from. */
uint32_t pw_fake_link_request(struct pw_link *l, const char *from_id, struct pw_slice bytes);
/* The reply to that request; NULL: none yet. */
const struct pw_fake_reply *pw_fake_link_reply(const struct pw_link *l, uint32_t request);
/* Id and address that peer was opened with; id "" when it is not open. */
const char *pw_fake_link_peer(const struct pw_link *l, uint32_t peer, struct pw_link_addr *addr);

#endif
