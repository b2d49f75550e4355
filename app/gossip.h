/* app/gossip.h - the store of the rings, and its gossip with other members.
 *
 * Purpose  own app->kv (ring/kv.h), which every ring of this process lives in, and a thread with the sockets
 *          of ring/memberlist.h, so that a control thread that is busy for seconds is not held for dead.
 * Owner    the main thread opens, starts, stops and closes; app->gossip is NULL while there is no gossip.
 * Context  cold. app->kv_mutex is held around every use of app->kv, of what pw_kv_get gave, and of the
 *          member list; functions here take it themselves.
 * Units    -
 * Errors   start: why says what to do. Seeds that do not answer are tried again, as -memberlist.* says.
 * Limits   those of ring/kv.h and ring/memberlist.h; GOSSIP_WRITES_MAX packets under way.
 *
 * Names are looked up on a thread that ends with it. A port that is taken is an error, but for a process of
 * which nobody asked any -memberlist.* option: it warns and lives without gossip.
 */
#ifndef PW_APP_GOSSIP_H
#define PW_APP_GOSSIP_H

#include "base/text.h"
#include "query/api.h"

#include <stdatomic.h>

struct pw_app;
struct pw_gossip;

/* Makes the store, empty; before any part that has a ring. */
PW_MUST_USE int pw_gossip_open_ctl(struct pw_app *app, struct pw_text *why);
/* Listens and begins to join. */
PW_MUST_USE int pw_gossip_start_ctl(struct pw_app *app, struct pw_text *why);
/* Every seed has been asked once, or there is none: who registers now does so in the ring that is there.
 * Set for good. */
const atomic_bool *pw_gossip_joined(const struct pw_app *app);
/* Our last changes go out, then the news that we leave; within the timeouts of -memberlist.*. */
void pw_gossip_stop_ctl(struct pw_app *app);
/* At once, what is still there. */
void pw_gossip_close_ctl(struct pw_app *app);

/* Families of /metrics; any thread that may block. */
void pw_gossip_metrics(struct pw_app *app, struct pw_text *t);
/* /memberlist: HTML, or JSON with Accept: application/json or ?format=json. Any thread that may block. */
bool pw_gossip_page_owns_path(struct pw_slice path);
void pw_gossip_page_execute_cold(struct pw_app *app, const struct pw_query_request *req,
                                 struct pw_query_reply *rep);

#endif
