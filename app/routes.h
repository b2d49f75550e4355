/* app/routes.h - which path goes to which room: the struct pw_http_app of one polling thread.
 *
 * Purpose  joins HTTP to the distributor (pushes), to query threads (queries, /metrics, /config, pages)
 *          and answers /ready itself.
 * Owner    one struct pw_routes per polling thread; the parts it points to are that thread's.
 * Context  hot.
 * Units    -
 * Errors   every request gets an answer: 404, 405, 413, 429 and 503 are decided here for what is not
 *          the distributor's.
 * Limits   PW_QUERY_BODY_BYTES_MAX for bodies of queries.
 */
#ifndef PW_APP_ROUTES_H
#define PW_APP_ROUTES_H

#include "app/admin.h"
#include "app/jobs.h"
#include "app/ring.h"
#include "dataplane/http_app.h"
#include "distributor/distributor.h"

struct pw_routes {
    struct pw_distributor *distributor;
    struct pw_jobs_client *jobs;
    const struct pw_admin *admin;
    bool pushes, queries; /* what this process takes, by -target */
    struct pw_app_ring *const *ring; /* made after the doors */
    uint32_t number;                 /* of the door this is */
    struct pw_http_app app;          /* filled by pw_routes_init_ctl; give it to the HTTP server */
};

void pw_routes_init_ctl(struct pw_routes *r);

#endif
