/* app/jobs.h - requests that polling threads hand to query threads, and the answers on their way back.
 *
 * Purpose  queries, /metrics and /config allocate and take long; they run on query threads. A polling
 *          thread copies the request into a fixed job, and later sends the answer it finds in its ring.
 * Owner    struct pw_jobs is made by the control thread before launch. A job belongs to the polling
 *          thread until submit, to one query thread while it runs, then to the polling thread again
 *          until its answer is sent; answers are freed by query threads, never while polling.
 * Context  submit, poll, leaving: hot (no allocation; one futex wake when a query thread sleeps).
 *          Query threads: cold.
 * Units    -
 * Errors   submit: PW_EAGAIN when all jobs are taken, or half of them by the same address, or the request is
 *          larger than a job.
 * Limits   PW_QUERY_JOBS_MAX jobs; PW_HTTP_HEAD_BYTES_MAX + PW_QUERY_BODY_BYTES_MAX bytes each.
 */
#ifndef PW_APP_JOBS_H
#define PW_APP_JOBS_H

#include "base/bell.h"
#include "base/err.h"
#include "dataplane/http_app.h"
#include "nic-config/plan.h"
#include "query/api.h"

struct pw_jobs;
struct pw_jobs_client; /* one per polling thread */

/* Runs one request on a query thread: fills *rep always. thread_ctx is what thread_new returned. */
struct pw_jobs_runner {
    void *ctx;
    void *(*thread_new)(void *ctx);
    void (*thread_free)(void *ctx, void *thread_ctx);
    void (*run)(void *ctx, void *thread_ctx, const struct pw_query_request *req,
                struct pw_query_reply *rep);
};

struct pw_jobs_cfg {
    uint32_t threads;
    /* Beside those: for PW_PEER_ROUTE alone, so that appliances which ask each other never wait for threads that wait
     * for them. 0: it is a request like others. */
    uint32_t peer_threads;
    /* And for what is_page says of, the operators' pages: they never wait behind queries, which may all wait for a bucket
     * that does not answer. 0: they do. */
    uint32_t page_threads;
    bool (*is_page)(struct pw_slice path); /* NULL: nothing */
    uint32_t clients;
    const struct pw_plan *plan; /* query threads run on its background CPUs; borrowed */
    struct pw_jobs_runner runner;
};

PW_MUST_USE int pw_jobs_create_ctl(struct pw_jobs **jobs, const struct pw_jobs_cfg *cfg);
/* Lets running jobs finish, joins the threads, drops answers nobody fetched. */
void pw_jobs_destroy_ctl(struct pw_jobs *jobs);

struct pw_jobs_client *pw_jobs_client(struct pw_jobs *jobs, uint32_t i);
void pw_jobs_client_bind_http_ctl(struct pw_jobs_client *c, struct pw_http_server *srv);
/* Rung with every answer, for a client whose loop may sleep; borrowed. Before the first submit. */
void pw_jobs_client_bind_bell_ctl(struct pw_jobs_client *c, struct pw_bell *bell);
/* A descriptor that becomes readable when an answer is there, for a client that sleeps in epoll. */
int pw_jobs_client_eventfd_ctl(struct pw_jobs_client *c);

/* Copies req. 0: an answer will be sent by pw_jobs_poll. */
PW_MUST_USE int pw_jobs_submit(struct pw_jobs_client *c, const struct pw_http_request *req);
/* Whoever asked on that connection waits `ms` more at most: 0 when it is gone. A request of it that no thread has begun is
 * not begun then, and one at work stops at its next look (query/patience.h). Pages are seen through, they take no time. */
void pw_jobs_leaving(struct pw_jobs_client *c, uint64_t conn, int64_t ms);
/* struct pw_poller function; ctx is the client. Sends the answers that are ready. */
uint32_t pw_jobs_poll(void *ctx, uint64_t now_tsc);
uint32_t pw_jobs_in_flight(const struct pw_jobs_client *c);
/* Prometheus text. Any thread. */
void pw_jobs_metrics(const struct pw_jobs *jobs, struct pw_text *t);

#endif
