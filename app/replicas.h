/* app/replicas.h - which appliances there are, how this one reaches them, and how they reach it.
 *
 * Purpose  the ring (ring/snapshot.h) into sessions of each door's peer link and into the numbers that
 *          distributor/ counts with.
 * Owner    struct pw_replicas_door: the thread of its door, from its first poll on.
 * Context  poll: one load when nothing changed.
 * Units    TSC ticks in poll.
 * Errors   a member that cannot be opened (its address is none, the link is full) is one without a link:
 *          writes that need it are refused with a text, and it is tried again with each change.
 * Limits   PW_LINK_PEERS_MAX peers a door.
 *
 * Each ingester announces its link (app/ring.c) in an InstanceDesc (contract ring.md 1.2) under the key
 * `pyrowire-links`, which stock members store and relay like any ring of theirs: id as in the ingester ring,
 * addr = "ip:port" of the link, zone, heartbeat, state ACTIVE, no tokens, versions {1: PW_LINK_VERSION}. Session keys are not announced: both ends derive them from
 * -link.secret-file (dataplane/peer_link.md).
 */
#ifndef PW_APP_REPLICAS_H
#define PW_APP_REPLICAS_H

#include "dataplane/peer_link.h"
#include "distributor/owners.h"
#include "ring/snapshot.h"

struct pw_app;
struct pw_app_door;

struct pw_replicas_open {
    char id[PW_LINK_ID_BYTES_MAX + 1]; /* "": free */
    struct pw_link_addr addr;
    bool seen; /* in the snapshot at work */
};

struct pw_replicas_door {
    struct pw_app *app;
    struct pw_app_door *door;
    uint32_t index;                          /* of the door: its number as a reader of the board */
    const struct pw_ring_snapshot *snapshot; /* held */
    struct pw_replicas_open open[PW_LINK_PEERS_MAX]; /* by the link's numbers */
    struct pw_owners owners[2];                      /* the one in use, and the next */
    uint8_t peer[2][PW_RING_INSTANCES_MAX];
    uint32_t turn;
    uint32_t opened, up; /* peers; read by any thread, skew is fine */
    uint64_t downs;
};

/* What the door's link calls; ctx is the door's struct pw_replicas_door. */
struct pw_link_app pw_replicas_link_app(struct pw_replicas_door *p);
void pw_replicas_door_init_ctl(struct pw_replicas_door *p, struct pw_app *app, uint32_t door);
/* Nobody polls any more. */
void pw_replicas_door_fini_ctl(struct pw_replicas_door *p);
/* struct pw_poller function; ctx is the struct pw_replicas_door. Takes up what changed in the ring. */
uint32_t pw_replicas_poll(void *ctx, uint64_t now_tsc);

/* Prometheus text of all doors. */
void pw_replicas_metrics(void *app, struct pw_text *t);
/* The key that records are hashed under, from the secret that all appliances of a ring share, so that what one
 * sends finds in another's heads what is there already. A log that holds another key keeps that. 0, or
 * what reading the file gave: then the key stays a random one. */
PW_MUST_USE int pw_replicas_hash_key_cold(const char *secret_file, uint64_t *key);

#endif
