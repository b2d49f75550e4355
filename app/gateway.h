/* app/gateway.h - blocks of the bucket among those that queries read.
 *
 * Purpose  what a store-gateway does, for one appliance: keeps the catalog in step with the bucket. A block
 *          is listed once, local or from the bucket, never both; it changes from the one to the other in one
 *          generation of the catalog, when retention is about to delete the local files.
 * Owner    made and destroyed by the control thread; sync and take_over belong to the shipping thread
 *          (app/shipping.h), or to the control thread while there is none.
 * Context  cold, waits for the network.
 * Units    bytes.
 * Errors   sync: the bucket cannot be listed; what was read until then is read on. A single block that cannot
 *          be opened is logged and left out.
 * Limits   store/remote.h, store/listing.h.
 */
#ifndef PW_APP_GATEWAY_H
#define PW_APP_GATEWAY_H

#include "ingester/catalog.h"
#include "store/objstore/objstore.h"

struct pw_gateway;

/* The catalog is borrowed, and destroyed before this is: it holds blocks of ours. */
PW_MUST_USE int pw_gateway_create_ctl(struct pw_gateway **g, struct pw_catalog *catalog,
                                      const struct pw_objstore_cfg *bucket, uint64_t cache_bytes);
void pw_gateway_destroy_ctl(struct pw_gateway *g);
/* The process ends: whoever waits for a block of the bucket does not any more (pw_remote_give_up). NULL is fine. */
void pw_gateway_give_up_ctl(struct pw_gateway *g);

/* One look at the bucket: new blocks are listed in the catalog; those that are gone, marked for deletion or
 * compacted into others are not any more, local ones of that name included. */
PW_MUST_USE int pw_gateway_sync(struct pw_gateway *g, struct pw_objstore *bucket,
                                struct pw_objstore_why *why);
/* A local block is about to be deleted: from here on queries read it in the bucket. Not 0: it cannot be
 * read there, keep it. */
PW_MUST_USE int pw_gateway_take_over(struct pw_gateway *g, const char *tenant,
                                     const struct pw_ulid *ulid);
/* Prometheus text; any thread. */
void pw_gateway_metrics(const struct pw_gateway *g, struct pw_text *t);

#endif
