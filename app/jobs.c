#include "app/jobs.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metric.h"
#include "query/patience.h"
#include "query/peers.h"

#include <rte_ring.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    JOB_BYTES = PW_HTTP_HEAD_BYTES_MAX + PW_QUERY_BODY_BYTES_MAX,
    JOBS_FOR_OTHERS = PW_QUERY_JOBS_MAX / 4, /* pages and peers: clients do not get them */
    JOBS_FOR_PEERS = PW_QUERY_JOBS_MAX / 8,  /* of these */
    JOBS_OF_ADDRESS = PW_QUERY_JOBS_MAX / 2,
    JOBS_SCARCE = PW_QUERY_JOBS_MAX / 2, /* in use */
};

struct job {
    struct pw_jobs_client *client;
    uint64_t conn;
    struct pw_patience patience; /* the client may end it while a query thread has the job */
    struct pw_query_request req;
    struct pw_query_reply rep;
    struct pw_http_header header[PW_HTTP_HEADERS_MAX];
    uint8_t bytes[JOB_BYTES];
};

struct pw_jobs_client {
    struct pw_jobs *jobs;
    struct pw_http_server *srv;
    struct rte_ring *answers; /* query threads put, this client gets */
    int eventfd;              /* -1: the client polls without sleeping */
    struct pw_bell *bell;     /* NULL: nobody to wake */
    uint32_t in_flight;       /* the client's own count */
    uint64_t conn_1
        [PW_QUERY_JOBS_MAX]; /* its own: job i is on its way for that connection, + 1; 0: not */
};

/* Requests of one kind on their way to the threads that are theirs. */
struct queue {
    struct rte_ring *work; /* clients put, query threads get */
    sem_t sem;             /* counts `work`; sem_post makes no system call while nobody sleeps */
};

enum kind { OF_CLIENTS, OF_PEERS, OF_PAGES, QUEUES };
enum { THREADS_MAX = 64 + 8 }; /* -query.threads, and those of others */

static_assert(
    (int)JOBS_SCARCE <= (int)JOBS_OF_ADDRESS &&
        (int)JOBS_SCARCE < PW_QUERY_JOBS_MAX - (int)JOBS_FOR_OTHERS,
    "whoever may have none because of answers that were sent finds a thread woken for them");

struct query_thread {
    struct pw_jobs *jobs;
    struct queue *queue;
    pthread_t thread;
};

struct pw_jobs {
    struct pw_jobs_cfg cfg;
    struct job *job; /* [PW_QUERY_JOBS_MAX], mapped, touched when used */
    /* For whom: written by who has the job, read by any client that submits. Relaxed: a number that is late by one is
     * near enough. 0: nobody. */
    _Atomic uint64_t address[PW_QUERY_JOBS_MAX];
    struct rte_ring *idle;  /* free jobs; clients get, query threads put */
    struct rte_ring *spent; /* sent answers on their way to be freed by a query thread */
    struct queue queue[QUEUES];
    _Atomic bool stop;
    _Atomic uint64_t abandoned;
    struct query_thread thread[THREADS_MAX];
    uint32_t threads_started;
    struct pw_jobs_client client[PW_WORKERS_MAX];
};

static void
set_address(struct pw_jobs *jobs, const struct job *job, uint64_t address)
{
    atomic_store_explicit(&jobs->address[job - jobs->job], address, memory_order_relaxed);
}

/* Answers go as their reader takes them, and hold their jobs so long: who reads slowly, or not at all, may not have them
 * all. Few in use are nobody's concern. */
static bool
has_its_share(const struct pw_jobs *jobs, uint64_t address)
{
    uint32_t n = 0;

    if (PW_QUERY_JOBS_MAX - rte_ring_count(jobs->idle) < JOBS_OF_ADDRESS) {
        return false;
    }
    for (uint32_t i = 0; i < PW_QUERY_JOBS_MAX; i++) {
        n += atomic_load_explicit(&jobs->address[i], memory_order_relaxed) == address;
    }
    return n >= JOBS_OF_ADDRESS;
}

static void
recycle_spent(struct pw_jobs *jobs)
{
    void *p;

    while (rte_ring_dequeue(jobs->spent, &p) == 0) {
        struct job *job = p;

        free(job->rep.body);
        job->rep.body = NULL;
        set_address(jobs, job, 0);
        PW_INVARIANT(rte_ring_enqueue(jobs->idle, job) == 0);
    }
}

static void
run_one(struct pw_jobs *jobs, void *thread_ctx, struct job *job)
{
    struct pw_jobs_client *c = job->client;
    uint64_t one = 1;

    job->rep = (struct pw_query_reply){.status = 499};
    if (!pw_patience_is_over(&job->patience)) {
        jobs->cfg.runner.run(jobs->cfg.runner.ctx, thread_ctx, &job->req, &job->rep);
    }
    atomic_fetch_add_explicit(&jobs->abandoned, pw_patience_is_over(&job->patience) ? 1 : 0,
                              memory_order_relaxed);
    /* The ring holds every job there is, so it cannot be full. */
    PW_INVARIANT(rte_ring_enqueue(c->answers, job) == 0);
    if (c->bell != NULL) {
        pw_bell_ring(c->bell);
    }
    if (c->eventfd >= 0 && write(c->eventfd, &one, sizeof(one)) < 0) {
        pw_log(PW_LOG_WARN, "pw.app.jobs", "msg=\"cannot wake the control thread\" err=\"%s\"",
               pw_err_text(-errno));
    }
}

static void *
query_thread(void *arg)
{
    struct query_thread *self = arg;
    struct pw_jobs *jobs = self->jobs;
    void *ctx = jobs->cfg.runner.thread_new(jobs->cfg.runner.ctx);
    void *p;

    /* EAL pinned the thread that made us; a machine where that cannot be undone is only slower. */
    if (pw_plan_background_ctl(jobs->cfg.plan) != 0) {
        pw_log(PW_LOG_WARN, "pw.app.jobs",
               "msg=\"query thread stays on the control thread's CPU\"");
    }
    for (;;) {
        while (sem_wait(&self->queue->sem) != 0) {
        }
        recycle_spent(jobs);
        if (rte_ring_dequeue(self->queue->work, &p) == 0) {
            run_one(jobs, ctx, p);
        } else if (atomic_load_explicit(&jobs->stop, memory_order_acquire)) {
            break;
        }
    }
    jobs->cfg.runner.thread_free(jobs->cfg.runner.ctx, ctx);
    return NULL;
}

static struct rte_ring *
new_ring(const char *name, const void *owner, uint32_t i)
{
    char full[RTE_RING_NAMESIZE];

    snprintf(full, sizeof(full), "%s%x_%u", name, (uint32_t)((uintptr_t)owner >> 4), i);
    return rte_ring_create(full, PW_QUERY_JOBS_MAX * 2, SOCKET_ID_ANY, 0);
}

static void
free_all(struct pw_jobs *jobs)
{
    for (uint32_t i = 0; i < jobs->cfg.clients; i++) {
        rte_ring_free(jobs->client[i].answers);
        if (jobs->client[i].eventfd >= 0) {
            close(jobs->client[i].eventfd);
        }
    }
    rte_ring_free(jobs->idle);
    rte_ring_free(jobs->spent);
    for (uint32_t i = 0; i < QUEUES; i++) {
        rte_ring_free(jobs->queue[i].work);
        sem_destroy(&jobs->queue[i].sem);
    }
    if (jobs->job != NULL) {
        munmap(jobs->job, sizeof(struct job) * PW_QUERY_JOBS_MAX);
    }
    free(jobs);
}

static int
start_thread(struct pw_jobs *jobs, enum kind kind, uint32_t number)
{
    static const char *const names[QUEUES] = {
        [OF_CLIENTS] = "pw-query", [OF_PEERS] = "pw-peer", [OF_PAGES] = "pw-page"};
    struct query_thread *t = &jobs->thread[jobs->threads_started];
    char name[16];

    *t = (struct query_thread){.jobs = jobs, .queue = &jobs->queue[kind]};
    int rc = pthread_create(&t->thread, NULL, query_thread, t);

    if (rc != 0) {
        return -rc;
    }
    jobs->threads_started++;
    snprintf(name, sizeof(name), "%s-%u", names[kind], number);
    pthread_setname_np(t->thread, name);
    return 0;
}

static int
start_threads(struct pw_jobs *jobs)
{
    const uint32_t of[QUEUES] = {[OF_CLIENTS] = jobs->cfg.threads,
                                 [OF_PEERS] = jobs->cfg.peer_threads,
                                 [OF_PAGES] = jobs->cfg.page_threads};
    int rc = 0;

    for (enum kind k = OF_CLIENTS; k < QUEUES; k++) {
        for (uint32_t i = 0; i < of[k] && rc == 0; i++) {
            rc = start_thread(jobs, k, i);
        }
    }
    return rc;
}

int
pw_jobs_create_ctl(struct pw_jobs **out, const struct pw_jobs_cfg *cfg)
{
    struct pw_jobs *jobs;
    int rc = PW_ENOMEM;

    if (cfg->clients > PW_WORKERS_MAX || cfg->threads == 0 || cfg->threads > THREADS_MAX ||
        cfg->peer_threads > THREADS_MAX || cfg->page_threads > THREADS_MAX ||
        cfg->threads + cfg->peer_threads + cfg->page_threads > THREADS_MAX) {
        return PW_EINVAL;
    }
    jobs = calloc(1, sizeof(*jobs));
    if (jobs == NULL) {
        return PW_ENOMEM;
    }
    jobs->cfg = *cfg;
    for (uint32_t i = 0; i < QUEUES; i++) {
        sem_init(&jobs->queue[i].sem, 0, 0);
    }
    for (uint32_t i = 0; i < cfg->clients; i++) {
        jobs->client[i] = (struct pw_jobs_client){.jobs = jobs, .eventfd = -1};
    }
    jobs->job = mmap(NULL, sizeof(struct job) * PW_QUERY_JOBS_MAX, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (jobs->job == MAP_FAILED) {
        jobs->job = NULL;
        goto err_free;
    }
    jobs->idle = new_ring("pwidle", jobs, 0);
    jobs->spent = new_ring("pwspent", jobs, 0);
    for (uint32_t i = 0; i < QUEUES; i++) {
        jobs->queue[i].work = new_ring("pwwork", jobs, i);
    }
    for (uint32_t i = 0; i < QUEUES; i++) {
        if (jobs->queue[i].work == NULL) {
            goto err_free;
        }
    }
    if (jobs->idle == NULL || jobs->spent == NULL) {
        goto err_free;
    }
    for (uint32_t i = 0; i < cfg->clients; i++) {
        jobs->client[i].answers = new_ring("pwans", jobs, i);
        if (jobs->client[i].answers == NULL) {
            goto err_free;
        }
    }
    for (uint32_t i = 0; i < PW_QUERY_JOBS_MAX; i++) {
        PW_INVARIANT(rte_ring_enqueue(jobs->idle, &jobs->job[i]) == 0);
    }
    rc = start_threads(jobs);
    if (rc != 0) {
        pw_jobs_destroy_ctl(jobs);
        return rc;
    }
    *out = jobs;
    return 0;
err_free:
    free_all(jobs);
    return rc;
}

void
pw_jobs_destroy_ctl(struct pw_jobs *jobs)
{
    void *p;

    atomic_store_explicit(&jobs->stop, true, memory_order_release);
    for (uint32_t i = 0; i < jobs->threads_started; i++) {
        sem_post(&jobs->thread[i].queue->sem);
    }
    for (uint32_t i = 0; i < jobs->threads_started; i++) {
        pthread_join(jobs->thread[i].thread, NULL);
    }
    recycle_spent(jobs);
    for (uint32_t i = 0; i < jobs->cfg.clients; i++) {
        while (rte_ring_dequeue(jobs->client[i].answers, &p) == 0) {
            free(((struct job *)p)->rep.body);
        }
    }
    free_all(jobs);
}

struct pw_jobs_client *
pw_jobs_client(struct pw_jobs *jobs, uint32_t i)
{
    PW_INVARIANT(i < jobs->cfg.clients);
    return &jobs->client[i];
}

void
pw_jobs_client_bind_http_ctl(struct pw_jobs_client *c, struct pw_http_server *srv)
{
    c->srv = srv;
}

void
pw_jobs_client_bind_bell_ctl(struct pw_jobs_client *c, struct pw_bell *bell)
{
    c->bell = bell;
}

int
pw_jobs_client_eventfd_ctl(struct pw_jobs_client *c)
{
    if (c->eventfd < 0) {
        c->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    return c->eventfd < 0 ? -errno : c->eventfd;
}

/* Copies s behind *used in the job's bytes; room was checked by the caller. */
static struct pw_slice
keep(struct job *job, size_t *used, struct pw_slice s)
{
    uint8_t *at = job->bytes + *used;

    if (s.len > 0) {
        memcpy(at, s.ptr, s.len);
    }
    *used += s.len;
    return pw_slice(at, s.len);
}

static bool
fits(const struct pw_http_request *req)
{
    size_t n = req->path.len + req->query.len + req->body_bytes;

    for (uint32_t i = 0; i < req->headers_count; i++) {
        n += req->headers[i].name.len + req->headers[i].value.len;
    }
    return n <= JOB_BYTES && req->headers_count <= PW_HTTP_HEADERS_MAX;
}

static enum kind
kind_of(const struct pw_jobs_cfg *cfg, struct pw_slice path)
{
    if (cfg->peer_threads > 0 && pw_slice_eq_str(path, PW_PEER_ROUTE)) {
        return OF_PEERS;
    }
    return cfg->page_threads > 0 && cfg->is_page != NULL && cfg->is_page(path) ? OF_PAGES
                                                                               : OF_CLIENTS;
}

/* How many jobs have to be left when one of that kind takes another. */
static uint32_t
kept_from(const struct pw_jobs_cfg *cfg, enum kind kind)
{
    switch (kind) {
    case OF_CLIENTS:
        return cfg->peer_threads + cfg->page_threads > 0 ? JOBS_FOR_OTHERS : 0;
    case OF_PAGES:
        return cfg->peer_threads > 0 ? JOBS_FOR_PEERS : 0;
    case OF_PEERS:
    case QUEUES:
        break;
    }
    return 0;
}

int
pw_jobs_submit(struct pw_jobs_client *c, const struct pw_http_request *req)
{
    struct pw_jobs *jobs = c->jobs;
    enum kind kind = kind_of(&jobs->cfg, req->path);
    struct queue *q = &jobs->queue[kind];
    uint64_t network = pw_peer_network(&req->peer);
    uint64_t address = kind == OF_PEERS ? 0 : network == 0 ? 1 : network;
    struct job *job;
    size_t used = 0;
    void *p;

    if (rte_ring_count(jobs->idle) <= kept_from(&jobs->cfg, kind) ||
        (kind != OF_PEERS && has_its_share(jobs, address))) {
        return PW_EAGAIN;
    }
    if (!fits(req) || rte_ring_dequeue(jobs->idle, &p) != 0) {
        return PW_EAGAIN;
    }
    job = p;
    set_address(jobs, job, address);
    job->client = c;
    job->conn = req->conn;
    job->req = (struct pw_query_request){
        .method = req->method,
        .path = keep(job, &used, req->path),
        .query = keep(job, &used, req->query),
        .headers = job->header,
        .headers_count = req->headers_count,
        .now_ms = pw_wall_ns() / 1000000,
        .patience = &job->patience,
    };
    pw_patience_begin(&job->patience);
    c->conn_1[job - jobs->job] = kind == OF_PAGES ? 0 : req->conn + 1;
    for (uint32_t i = 0; i < req->headers_count; i++) {
        job->header[i].name = keep(job, &used, req->headers[i].name);
        job->header[i].value = keep(job, &used, req->headers[i].value);
    }
    job->req.body = pw_slice(job->bytes + used, req->body_bytes);
    for (uint32_t i = 0; i < req->body_count; i++) {
        (void)keep(job, &used, req->body[i]);
    }
    c->in_flight++;
    PW_INVARIANT(rte_ring_enqueue(q->work, job) == 0);
    sem_post(&q->sem);
    return 0;
}

void
pw_jobs_leaving(struct pw_jobs_client *c, uint64_t conn, int64_t ms)
{
    for (uint32_t i = 0; c->in_flight > 0 && i < PW_QUERY_JOBS_MAX; i++) {
        if (c->conn_1[i] == conn + 1) {
            pw_patience_end(&c->jobs->job[i].patience, ms);
        }
    }
}

/* On the polling thread, when the answer was sent or its connection died: only passes the job on. While many are in use
 * a thread is woken for it, one that does not wait for a bucket: where none is left for another request, no request would
 * do that. */
static void
answer_sent(void *arg)
{
    struct job *job = arg;
    struct pw_jobs *jobs = job->client->jobs;

    PW_INVARIANT(rte_ring_enqueue(jobs->spent, job) == 0);
    if (PW_QUERY_JOBS_MAX - rte_ring_count(jobs->idle) >= JOBS_SCARCE) {
        sem_post(&jobs->queue[jobs->cfg.page_threads > 0 ? OF_PAGES : OF_CLIENTS].sem);
    }
}

uint32_t
pw_jobs_poll(void *ctx, uint64_t now_tsc)
{
    struct pw_jobs_client *c = ctx;
    void *burst[PW_BURST_MAX];
    uint32_t n = rte_ring_dequeue_burst(c->answers, burst, PW_BURST_MAX, NULL);

    (void)now_tsc;
    for (uint32_t i = 0; i < n; i++) {
        struct job *job = burst[i];
        const struct pw_http_reply rep = {
            .status = job->rep.status,
            .content_type = job->rep.content_type,
            .headers = pw_slice_str(job->rep.headers),
            .body = pw_slice(job->rep.body, job->rep.body_bytes),
            .body_free = answer_sent,
            .body_arg = job,
        };

        c->in_flight--;
        c->conn_1[job - c->jobs->job] = 0;
        /* A connection that is gone gets nothing; the job comes back through answer_sent. */
        (void)pw_http_reply(c->srv, job->conn, &rep);
    }
    return n;
}

uint32_t
pw_jobs_in_flight(const struct pw_jobs_client *c)
{
    return c->in_flight;
}

void
pw_jobs_metrics(const struct pw_jobs *jobs, struct pw_text *t)
{
    pw_metric_u64(
        t, "pyrowire_query_abandoned_total", "counter",
        "Requests whose client had gone before there was an answer: not begun, or stopped.",
        atomic_load_explicit(&jobs->abandoned, memory_order_relaxed));
}
