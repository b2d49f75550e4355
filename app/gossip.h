/* app/gossip.h - the store of the rings, and its gossip with other members.
 *
 * Purpose  own app->kv (ring/kv.h), which every ring of this process lives in.
 * Owner    the main thread opens and closes.
 * Context  cold. app->kv_mutex is held around every use of app->kv, and of what pw_kv_get gave.
 * Units    -
 * Errors   -
 * Limits   those of ring/kv.h.
 */
#ifndef PW_APP_GOSSIP_H
#define PW_APP_GOSSIP_H

#include "base/text.h"

struct pw_app;

/* Makes the store, empty; before any part that has a ring. */
PW_MUST_USE int pw_gossip_open_ctl(struct pw_app *app, struct pw_text *why);
void pw_gossip_close_ctl(struct pw_app *app);

#endif
