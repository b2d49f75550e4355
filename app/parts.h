/* app/parts.h - the root struct of the appliance: every part, by who polls it.
 *
 * Purpose  what app/wire.c builds, app/control.c runs and app/pages.c reports on.
 * Owner    the main thread builds and takes apart; between launch and join each part belongs to the
 *          thread that polls it (see the comments).
 * Context  cold, but for what the members' own contracts say.
 * Units    -
 * Errors   -
 * Limits   base/limits.h.
 */
#ifndef PW_APP_PARTS_H
#define PW_APP_PARTS_H

#include "app/admin.h"
#include "app/config.h"
#include "app/jobs.h"
#include "app/link_socket.h"
#include "app/listener.h"
#include "app/prefault.h"
#include "app/replicas.h"
#include "app/ring.h"
#include "app/routes.h"
#include "app/runtime_config.h"
#include "base/clock.h"
#include "base/limits.h"
#include "dataplane/http_conn.h"
#include "dataplane/loop.h"
#include "dataplane/worker.h"
#include "dataplane/worker_link.h"
#include "distributor/distributor.h"
#include "ingester/flush.h"
#include "ingester/ingester.h"
#include "nic-config/nic.h"
#include "query/api.h"
#include "ring/kv.h"
#include "ring/lane.h"

#include <pthread.h>
#include <stdatomic.h>

/* Everything one polling thread needs to answer HTTP: an I/O worker, or the control thread. */
struct pw_app_door {
    struct pw_routes routes;
    struct pw_http_server *http;
    struct pw_distributor *distributor;
    struct pw_jobs_client *jobs;
    struct pw_link *link; /* to other appliances; NULL: off (app/link.h) */
    struct pw_replicas_door replicas;
    struct pw_worker_link carrier;          /* of a worker's */
    struct pw_lane *out[PW_INGESTERS_MAX];  /* to ingester i */
    struct pw_lane *back[PW_INGESTERS_MAX]; /* from ingester i */
};

struct pw_app {
    const struct pw_config *cfg;
    struct pw_clock clock;
    uint64_t hash_key;
    int64_t start_wall_ns;
    struct pw_nic_cfg nic_cfg;
    struct pw_nic nic; /* plan, port, steering */
    struct pw_nic_cfg link_nic_cfg;
    struct pw_nic link_nic;       /* the link's own port; has_port false: it shares the NIC's */
    struct pw_wal_dir *wal_dir;   /* app/durable.h */
    struct pw_shipping *shipping; /* a thread; NULL without object storage (app/bucket.h) */
    struct pw_gateway *gateway;   /* its blocks are in the catalog: goes after it; NULL likewise */
    char hostname[256];           /* __hostname__ of the blocks: which are this appliance's */
    struct pw_admin *admin;
    struct pw_runtime_config *runtime;
    struct pw_app_ring *ring; /* this process in its rings */

    uint32_t ingesters;
    struct pw_catalog *catalog; /* what query threads read: heads, blocks */
    const struct pw_pressure *pressure[PW_INGESTERS_MAX]; /* of ingester i, for the doors */
    struct pw_flush *flush;                         /* heads and the thread that writes blocks */
    struct pw_prefault *prefault;                   /* a thread; touches memory of heads ahead */
    struct pw_ingester *ingester[PW_INGESTERS_MAX]; /* polled by plan.ingester_lcore[i] */

    uint32_t workers;
    struct pw_worker *worker[PW_WORKERS_MAX]; /* polled by plan.worker_lcore[i] */
    struct pw_worker
        *link_worker[PW_WORKERS_MAX]; /* beside it, on the link's own port; else NULL */
    uint32_t doors;                   /* workers, then the control thread's */
    struct pw_app_door door[PW_WORKERS_MAX];

    uint32_t loops; /* EAL lcore i + 1 runs loop[i] */
    struct pw_loop *loop[PW_PLAN_LCORES_MAX];
    struct pw_bell bell[PW_PLAN_LCORES_MAX]; /* of loop[i]; lives longer, query threads ring it */

    struct pw_query *query;
    struct pw_peers_net *peers; /* the other appliances, for queries (app/peers.h) */
    struct pw_jobs *jobs;
    struct rte_mempool *listener_pool;
    struct pw_listener *listener;
    struct pw_link_socket link_socket; /* carries the control thread's link; fd -1: off */
    uint32_t link_ifindex;             /* whose neighbours the kernel knows; 0: none */
    uint64_t link_neighbours_us;       /* when workers were asked what neighbours they want */

    /* The overrides every distributor reads once a request. The control thread swaps it and frees the
     * old one when every loop has made a turn since; query threads read it under the mutex. */
    _Atomic(const struct pw_overrides *) overrides;
    struct pw_rate_table *rates; /* token buckets that all distributors share */
    _Atomic uint32_t ingesters_known; /* of the ring, ACTIVE and heard of; 0 before it is there */
    pthread_mutex_t overrides_mutex;

    /* The rings. The gossip's thread, the control thread and query threads use it, one at a time:
     * with the mutex, also for what pw_kv_get gave (app/gossip.h). */
    struct pw_kv *kv;
    pthread_mutex_t kv_mutex;
    struct pw_gossip *gossip; /* a thread; NULL: the process is alone */
};

static inline struct pw_app_door *
pw_app_control_door(struct pw_app *app)
{
    return &app->door[app->doors - 1];
}

#endif
