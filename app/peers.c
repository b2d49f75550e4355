#include "app/peers.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metric.h"
#include "query/patience.h"
#include "ring/replication_set.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char module[] = "pw.app.peers";

#define COPIES_FILE ".copies~" /* what blocks and logs beside it hold may be elsewhere too */

enum {
    CONNECT_MS = 1000,
    PEER_CONNECTIONS = 4,
    POLL_MS = 50,
    TENANTS_HEADER_BYTES = 16 << 10,
};

struct pw_peers_net {
    struct pw_peers ops;
    _Atomic(struct pw_ring_board *) board;
    _Atomic bool single;
    _Atomic uint64_t asked, failed, abandoned, reply_bytes;
};

/* One question on its way. */
struct transfer {
    struct pw_peer_ask *ask;
    CURL *easy;
    struct pw_text reply;
    char error[CURL_ERROR_SIZE];
    bool done;
};

struct thread {
    CURLM *multi; /* keeps connections */
};

/* --- Who ---------------------------------------------------------------------------------------- */

static void
put_peer(struct pw_peer_set *set, const struct pw_instance *in)
{
    struct pw_peer *p = &set->peer[set->count++];

    snprintf(p->addr, sizeof(p->addr), "%s", in->addr);
    snprintf(p->zone, sizeof(p->zone), "%s", in->zone);
}

static int
fill_set(const struct pw_ring_snapshot *s, struct pw_peer_set *set, struct pw_text *why)
{
    struct pw_replication_set *all = malloc(sizeof(*all));
    int rc = all == NULL ? PW_ENOMEM
                         : pw_ring_set_for_operation(s->view, PW_RING_READ, time(NULL), all, why);

    if (rc == 0) {
        set->max_errors = all->max_errors;
        set->max_unavailable_zones = all->max_unavailable_zones;
    }
    for (uint32_t i = 0; rc == 0 && i < all->count; i++) {
        if (all->instance[i] == s->self) {
            continue;
        }
        if (set->count == PW_PEERS_MAX) {
            pw_text_printf(why, "more than %d instances in the ring", PW_PEERS_MAX);
            rc = PW_EMSGSIZE;
        } else {
            put_peer(set, &s->view->instance[all->instance[i]]);
        }
    }
    free(all);
    return rc;
}

static int
find_set(void *ctx, struct pw_peer_set *set, struct pw_text *why)
{
    struct pw_peers_net *n = ctx;
    struct pw_ring_board *board = atomic_load_explicit(&n->board, memory_order_acquire);
    const struct pw_ring_snapshot *s = board == NULL ? NULL : pw_ring_snapshot_acquire(board);
    int rc = 0;

    set->count = set->max_errors = set->max_unavailable_zones = 0;
    if (s == NULL) {
        return 0;
    }
    /* Alone, even before the ring says so: what is here is all there is. */
    if (s->view->instance_count > 1 ||
        (s->view->instance_count == 1 && s->self == PW_RING_NOT_A_MEMBER)) {
        rc = fill_set(s, set, why);
    }
    pw_ring_snapshot_release(s);
    return rc;
}

static bool
is_single(void *ctx)
{
    struct pw_peers_net *n = ctx;

    return atomic_load_explicit(&n->single, memory_order_relaxed);
}

bool
pw_peers_single_cold(const char *data_path, uint32_t replication_factor)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/%s", data_path, COPIES_FILE);
    int fd;

    if (n < 0 || (size_t)n >= sizeof(path)) {
        return false;
    }
    if (replication_factor <= 1) {
        return access(path, F_OK) != 0 && errno == ENOENT;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        pw_log(PW_LOG_WARN, module,
               "msg=\"cannot remember that there are replicas\" file=\"%s\" err=\"%s\"", path,
               strerror(errno));
        return false;
    }
    close(fd);
    return false;
}

/* --- How ---------------------------------------------------------------------------------------- */

static size_t
on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;

    pw_text_put(&t->reply, bytes, size * n);
    return t->reply.failed ? 0 : size * n;
}

/* NULL headers: no memory. */
static struct curl_slist *
headers_of(struct pw_slice tenants)
{
    char *line = malloc(TENANTS_HEADER_BYTES);
    struct curl_slist *list = NULL, *next;
    const char *const fixed[] = {"Content-Type: application/proto", "Expect:"};
    bool ok = line != NULL && tenants.len < TENANTS_HEADER_BYTES - 32;

    for (size_t i = 0; ok && i <= PW_ARRAY_LEN(fixed); i++) {
        if (i == PW_ARRAY_LEN(fixed)) {
            snprintf(line, TENANTS_HEADER_BYTES, "X-Scope-OrgID: %.*s", (int)tenants.len,
                     (const char *)tenants.ptr);
        }
        next = curl_slist_append(list, i == PW_ARRAY_LEN(fixed) ? line : fixed[i]);
        ok = next != NULL;
        list = ok ? next : list;
    }
    free(line);
    if (!ok) {
        curl_slist_free_all(list);
        return NULL;
    }
    return list;
}

static bool
set_up(struct transfer *t, const struct pw_peer *peer, struct curl_slist *headers)
{
    char url[PW_PEER_NAME_BYTES + 64];
    CURL *e = t->easy;

    snprintf(url, sizeof(url), "http://%s" PW_PEER_ROUTE, peer->addr);
    return curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)PW_PEER_TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->ask->body.ptr) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->ask->body.len) ==
               CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PRIVATE, t) == CURLE_OK;
}

static void
fail(struct transfer *t, int rc, const char *why)
{
    t->done = true;
    t->ask->rc = rc;
    snprintf(t->ask->why, sizeof(t->ask->why), "%.*s", (int)sizeof(t->ask->why) - 1, why);
}

static void
settle(struct transfer *t, CURLcode code)
{
    long status = 0;
    size_t len = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        fail(t, code == CURLE_OPERATION_TIMEDOUT ? PW_ETIMEDOUT : PW_EIO,
             t->error[0] != 0 ? t->error : curl_easy_strerror(code));
        return;
    }
    if (status == 404) { /* stock, in a ring that is for watching */
        fail(t, PW_EIO, "it is no pyrowire appliance, and what it has cannot be asked for");
        return;
    }
    if (status != 200) {
        char why[256];

        snprintf(why, sizeof(why), "status %ld %.*s", status,
                 (int)(t->reply.len < 200 ? t->reply.len : 200), (const char *)t->reply.ptr);
        fail(t, PW_EIO, why);
        return;
    }
    t->done = true;
    t->ask->rc = 0;
    t->ask->reply = pw_text_steal(&t->reply, &len);
    t->ask->reply_bytes = len;
}

/* How many succeeded and how many are on their way. */
static void
count(const struct transfer *t, uint32_t n, uint32_t *good, uint32_t *open)
{
    *good = *open = 0;
    for (uint32_t i = 0; i < n; i++) {
        *good += t[i].done && t[i].ask->rc == 0;
        *open += !t[i].done;
    }
}

static void
collect(CURLM *multi)
{
    struct CURLMsg *m;
    int more = 0;

    while ((m = curl_multi_info_read(multi, &more)) != NULL) {
        void *arg = NULL;

        if (m->msg == CURLMSG_DONE &&
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &arg) == CURLE_OK && arg != NULL) {
            settle(arg, m->data.result);
        }
    }
}

/* Until all are done, or enough and the grace is over, or the time is, or nobody waits for us. */
static void
drive(CURLM *multi, const struct transfer *t, const struct pw_peer_round *r)
{
    int64_t end = pw_mono_ms() + PW_PEER_TIMEOUT_MS, enough_ms = INT64_MAX;

    for (;;) {
        uint32_t good, open;
        int64_t now, left;
        int running = 0;

        if (curl_multi_perform(multi, &running) != CURLM_OK) {
            return;
        }
        collect(multi);
        count(t, r->count, &good, &open);
        now = pw_mono_ms();
        if (enough_ms == INT64_MAX && good + r->max_errors >= r->count) {
            enough_ms = now + PW_PEER_GRACE_MS;
        }
        left = (end < enough_ms ? end : enough_ms) - now;
        if (open == 0 || left <= 0 || pw_patience_is_over(r->patience)) {
            return;
        }
        if (curl_multi_poll(multi, NULL, 0, (int)(left < POLL_MS ? left : POLL_MS), NULL) !=
            CURLM_OK) {
            return;
        }
    }
}

static void
start(struct thread *th, struct transfer *t, const struct pw_peer *peer, struct curl_slist *headers)
{
    pw_text_init(&t->reply, PW_QUERY_REPLY_BYTES_MAX);
    t->easy = curl_easy_init();
    if (headers == NULL || t->easy == NULL || !set_up(t, peer, headers) ||
        curl_multi_add_handle(th->multi, t->easy) != CURLM_OK) {
        fail(t, PW_ENOMEM, "no memory");
    }
}

static void
finish(struct pw_peers_net *n, struct thread *th, struct transfer *t, bool unwanted)
{
    if (!t->done) {
        fail(t, unwanted ? PW_EAGAIN : PW_ETIMEDOUT, unwanted ? "" : "no answer in time");
    }
    if (t->easy != NULL) {
        curl_multi_remove_handle(th->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    pw_text_fini(&t->reply);
    atomic_fetch_add_explicit(&n->asked, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(t->ask->rc == PW_EAGAIN ? &n->abandoned : &n->failed,
                              t->ask->rc != 0 ? 1 : 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&n->reply_bytes, t->ask->reply_bytes, memory_order_relaxed);
}

static void
ask(void *ctx, void *thread, const struct pw_peer_round *r)
{
    struct transfer *t = calloc(r->count, sizeof(*t));
    struct curl_slist *headers = headers_of(r->tenants);
    uint32_t good, open;
    bool unwanted;

    for (uint32_t i = 0; i < r->count; i++) {
        r->ask[i].rc = PW_ENOMEM;
        snprintf(r->ask[i].why, sizeof(r->ask[i].why), "no memory");
    }
    if (t == NULL) {
        curl_slist_free_all(headers);
        return;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        t[i].ask = &r->ask[i];
        start(thread, &t[i], &r->set->peer[r->ask[i].peer], headers);
    }
    drive(((struct thread *)thread)->multi, t, r);
    count(t, r->count, &good, &open);
    unwanted = good + r->max_errors >= r->count || pw_patience_is_over(r->patience);
    for (uint32_t i = 0; i < r->count; i++) {
        finish(ctx, thread, &t[i], unwanted);
    }
    curl_slist_free_all(headers);
    free(t);
}

/* --- Threads, start and stop ---------------------------------------------------------------------- */

static void *
thread_new(void *ctx)
{
    struct thread *th = calloc(1, sizeof(*th));

    (void)ctx;
    if (th != NULL) {
        th->multi = curl_multi_init();
    }
    if (th == NULL || th->multi == NULL ||
        curl_multi_setopt(th->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)PEER_CONNECTIONS) !=
            CURLM_OK) {
        free(th);
        return NULL;
    }
    return th;
}

static void
thread_free(void *ctx, void *thread)
{
    struct thread *th = thread;

    (void)ctx;
    curl_multi_cleanup(th->multi);
    free(th);
}

int
pw_peers_create_cold(struct pw_peers_net **out)
{
    struct pw_peers_net *n = calloc(1, sizeof(*n));

    if (n == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(n);
        return PW_ENOMEM;
    }
    n->ops = (struct pw_peers){.ctx = n,
                               .thread_new = thread_new,
                               .thread_free = thread_free,
                               .set = find_set,
                               .ask = ask,
                               .single = is_single};
    *out = n;
    return 0;
}

void
pw_peers_bind_board(struct pw_peers_net *n, struct pw_ring_board *board, bool single)
{
    atomic_store_explicit(&n->single, single, memory_order_relaxed);
    atomic_store_explicit(&n->board, board, memory_order_release);
}

void
pw_peers_destroy_cold(struct pw_peers_net *n)
{
    if (n != NULL) {
        curl_global_cleanup();
    }
    free(n);
}

const struct pw_peers *
pw_peers_ops(const struct pw_peers_net *n)
{
    return &n->ops;
}

static uint64_t
read_of(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

void
pw_peers_metrics(void *ctx, struct pw_text *t)
{
    const struct pw_peers_net *n = ctx;

    pw_metric_u64(t, "pyrowire_peer_questions_total", "counter",
                  "Questions of queries to other appliances.", read_of(&n->asked));
    pw_metric_u64(t, "pyrowire_peer_failures_total", "counter", "Of those: without an answer.",
                  read_of(&n->failed));
    pw_metric_u64(
        t, "pyrowire_peer_abandoned_total", "counter",
        "Of those: not waited for, because enough others had answered, or the client had gone.",
        read_of(&n->abandoned));
    pw_metric_u64(t, "pyrowire_peer_answer_bytes_total", "counter", "Bytes of the answers.",
                  read_of(&n->reply_bytes));
}
