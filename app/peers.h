/* app/peers.h - the other appliances of the ring over kernel TCP, for query threads (query/peers.h).
 *
 * Purpose  who is to be asked comes from the ring as it hangs on the board (ring.md 2.5, ReplicationSetForOperation for
 *          reading: LEAVING ones are asked too); questions travel as HTTP to the address in the ring.
 * Owner    one struct pw_peers_net a process; connections belong to the query thread that made them.
 * Context  cold; a query thread waits in ask.
 * Units    ms.
 * Errors   as query/peers.h has them.
 * Limits   PW_PEERS_MAX others; PEER_CONNECTIONS to one of them at once, a thread.
 */
#ifndef PW_APP_PEERS_H
#define PW_APP_PEERS_H

#include "query/peers.h"
#include "ring/snapshot.h"

struct pw_peers_net;

PW_MUST_USE int pw_peers_create_cold(struct pw_peers_net **n);
/* From here on the ring there is asked; before, nobody is. Borrowed, until all query threads have ended. single: as
 * pw_peers_single_cold found. */
void pw_peers_bind_board(struct pw_peers_net *n, struct pw_ring_board *board, bool single);
/* Whether what lies, and will be written, under data_path is nowhere else: there is one replica, and never were more. Remembers
 * when there are, in a file there (a name that no tenant has). */
bool pw_peers_single_cold(const char *data_path, uint32_t replication_factor);
void pw_peers_destroy_cold(struct pw_peers_net *n);
const struct pw_peers *pw_peers_ops(const struct pw_peers_net *n);
/* pyrowire_peer_*; a struct pw_metrics_source function. */
void pw_peers_metrics(void *ctx, struct pw_text *t);

#endif
