/* ring/desc.h - the value of a ring in the gossiped store: instances, how they travel and how they merge.
 *
 * Purpose  decode and encode the protobuf message Desc (contract ring.md 1.2) and merge two of them so
 *          that every member of a cluster arrives at the same ring (4.8).
 * Owner    a desc owns its instances; what an instance points to is one allocation that begins with its
 *          id. Pointers into a desc are good until it is next changed.
 * Context  cold: control and query threads. Pure: the time is handed in.
 * Units    unix seconds. Texts are NUL-terminated; a NUL within one is refused.
 * Errors   PW_EPROTO: not such a message; PW_EMSGSIZE: over a limit; PW_ENOMEM.
 * Limits   PW_RING_INSTANCES_MAX, PW_RING_TOKENS_MAX, PW_RING_NAME_MAX, PW_RING_VERSIONS_MAX.
 */
#ifndef PW_RING_DESC_H
#define PW_RING_DESC_H

#include "base/text.h"
#include "ring/view.h"

enum {
    PW_RING_NAME_MAX = 1023, /* bytes of an id, an address, a zone */
    PW_RING_VERSIONS_MAX = 64,
};

struct pw_ring_desc {
    struct pw_instance *instance; /* ascending by id; its scalars may be written in place */
    uint32_t count;
    uint32_t cap;
};

void pw_ring_desc_init(struct pw_ring_desc *d);
void pw_ring_desc_fini(struct pw_ring_desc *d);

/* d is initialised and replaced; after an error it is empty and `why` (NULL: none wanted) has a text.
 * Identity is the key of the map. Tokens come out ascending and once; a LEFT instance has none. An
 * instance in a state that has no name here is left out: absence in what others send means nothing. */
PW_MUST_USE int pw_ring_desc_decode(struct pw_ring_desc *d, struct pw_slice bytes,
                                    struct pw_text *why);
/* Appends; the same desc gives the same bytes. */
void pw_ring_desc_encode(const struct pw_ring_desc *d, struct pw_text *t);

/* NULL when there is none. */
struct pw_instance *pw_ring_desc_find(const struct pw_ring_desc *d, const char *id);
/* Adds a copy of in, in place of the one with its id; tokens may be in any order and more than once.
 * in may point into d. */
PW_MUST_USE int pw_ring_desc_put(struct pw_ring_desc *d, const struct pw_instance *in);
void pw_ring_desc_remove(struct pw_ring_desc *d, const char *id); /* without a trace: see merge */
/* to is initialised and replaced; on error it is empty. */
PW_MUST_USE int pw_ring_desc_copy(struct pw_ring_desc *to, const struct pw_ring_desc *from);
bool pw_ring_desc_equal(const struct pw_ring_desc *a, const struct pw_ring_desc *b);

/* Takes over from incoming whatever is newer than in `into`: a later heartbeat, or at the same second
 * LEFT over not LEFT; an unknown instance counts as one of second 0. With local_cas, incoming is an
 * edited copy of `into`: whoever is missing in it was removed by us and becomes LEFT at now_s (or at its
 * own heartbeat where that is ahead of our clock, so that nobody's copy of it comes back).
 * A token that then belongs to two goes to the one that is not LEAVING, else to the smaller id.
 * `change` (initialised, replaced) gets the accepted instances as they came out: what is to be told to
 * others; empty when nothing happened. After an error `into` is valid but may have taken part of it. */
PW_MUST_USE int pw_ring_desc_merge(struct pw_ring_desc *into, const struct pw_ring_desc *incoming,
                                   bool local_cas, int64_t now_s, struct pw_ring_desc *change);

/* Drops LEFT instances of before limit_s; how many. */
uint32_t pw_ring_desc_remove_tombstones(struct pw_ring_desc *d, int64_t limit_s);

#endif
