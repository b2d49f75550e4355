/* app/ring_page.h - /ring and /distributor/ring: who is in the ring, for people and for tools.
 *
 * Purpose  HTML, or JSON in stock's shape (operations.md 2.3) with Accept: application/json or
 *          ?format=json; ?tokens=true lists tokens; POST forget=<id> takes a member out.
 * Owner    the caller's texts; pure but for execute.
 * Context  query threads.
 * Units    -
 * Errors   405 for other methods, 400 without an id, 500 with stock's text when forgetting fails.
 * Limits   RING_PAGE_BYTES_MAX.
 */
#ifndef PW_APP_RING_PAGE_H
#define PW_APP_RING_PAGE_H

#include "app/ring.h"
#include "query/api.h"

struct pw_ring_page {
    const char *title;                /* "Ingester ring" */
    const struct pw_ring_snapshot *s; /* NULL: nobody yet */
    int64_t heartbeat_timeout_s;      /* older: UNHEALTHY */
    int64_t now_ms;                   /* wall time */
    bool tokens;
    bool links; /* members may announce a link; those that do not are no pyrowire */
};

void pw_ring_page_json(const struct pw_ring_page *p, struct pw_text *t);
void pw_ring_page_html(const struct pw_ring_page *p, struct pw_text *t);

/* Share of the keys that each of the view's instances owns first, in order; of sum 1 with any token. */
void pw_ring_page_ownership(const struct pw_ring_view *v, double *share);

bool pw_ring_page_owns_path(struct pw_slice path);
/* Fills *rep always. */
void pw_ring_page_execute_cold(struct pw_app *app, const struct pw_query_request *req,
                               struct pw_query_reply *rep);

#endif
