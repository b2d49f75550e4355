/* app/bucket.h - object storage of the appliance: from options to the shipping thread.
 *
 * Purpose  join app/shipping.h with the options and the catalog of what queries read.
 * Owner    the control thread. app->shipping belongs here.
 * Context  cold: start and stop.
 * Units    -
 * Errors   why: for a person; a bucket that cannot be used keeps the appliance down, since what it is
 *          told to upload would pile up unseen.
 * Limits   -
 */
#ifndef PW_APP_BUCKET_H
#define PW_APP_BUCKET_H

#include "base/err.h"
#include "base/text.h"

struct pw_app;

/* Nothing without -storage.backend. The catalog and the data path are there. */
PW_MUST_USE int pw_bucket_start_ctl(struct pw_app *app, struct pw_text *why);
/* Queries that wait for it do not any more. */
void pw_bucket_give_up_ctl(struct pw_app *app);
/* After the last block was written: one more pass. */
void pw_bucket_stop_ctl(struct pw_app *app);

#endif
