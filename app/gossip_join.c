/* Seeds: looked up, asked, and asked again with growing patience (contract ring.md 4.4). */
#include "app/gossip_priv.h"
#include "app/gossip_srv.h"
#include "base/log.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char module[] = "pw.app.gossip";

struct gossip_lookup {
    atomic_int owners;
    atomic_bool done;
    int wake_fd; /* a copy */
    uint32_t seeds;
    char seed[GOSSIP_SEEDS_MAX][PW_CONFIG_TEXT_BYTES];
    uint32_t found;
    struct pw_ml_addr addr[GOSSIP_SEEDS_MAX];
};

/* --- Looking up, on its own thread ---------------------------------------------------------------- */

static void
let_go(struct gossip_lookup *l)
{
    if (atomic_fetch_sub(&l->owners, 1) == 1) {
        close(l->wake_fd);
        free(l);
    }
}

/* "host", "host:port", "[::1]", "[::1]:port", "::1"; without a port the gossip's own. */
static void
split_seed(const char *seed, char *host, size_t cap, char port[8])
{
    const char *colon = strrchr(seed, ':');
    const char *bracket = strrchr(seed, ']');
    bool bare6 = bracket == NULL && colon != NULL && strchr(seed, ':') != colon;

    snprintf(port, 8, "%u", GOSSIP_PORT);
    if (colon != NULL && !bare6 && colon > bracket && strlen(colon + 1) > 0 &&
        strlen(colon + 1) < 8) {
        snprintf(port, 8, "%s", colon + 1);
    } else {
        colon = seed + strlen(seed);
    }
    if (bracket != NULL && seed[0] == '[') {
        seed++;
        colon = bracket;
    }
    snprintf(host, cap, "%.*s", (int)(colon - seed), seed);
}

static void
add_address(struct gossip_lookup *l, const struct addrinfo *ai)
{
    union gossip_sockaddr sa = {0};
    struct pw_ml_addr a;

    if (ai->ai_addrlen > sizeof(sa)) {
        return;
    }
    memcpy(&sa, ai->ai_addr, ai->ai_addrlen);
    a = gossip_addr_of(&sa);
    for (uint32_t i = 0; i < l->found; i++) {
        if (pw_ml_addr_equal(&a, &l->addr[i])) {
            return;
        }
    }
    if (l->found < GOSSIP_SEEDS_MAX) {
        l->addr[l->found++] = a;
    }
}

static void
no_address(const char *name, const char *why)
{
    char quoted[PW_CONFIG_TEXT_BYTES];

    pw_log(PW_LOG_WARN, module,
           "msg=\"a name of -memberlist.join has no address\" name=%s err=\"%s\"",
           pw_log_quote(quoted, sizeof(quoted), pw_slice_str(name)), why);
}

static void
look_up_host(struct gossip_lookup *l, const char *host, const char *port)
{
    /* No AI_ADDRCONFIG: a seed on ::1 is there on a host without any other IPv6 address. */
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, port, &hints, &list);

    if (rc != 0) {
        no_address(host, rc == EAI_SERVICE ? "what stands for its port is none" : gai_strerror(rc));
        return;
    }
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        if (a->ai_family == AF_INET || a->ai_family == AF_INET6) {
            add_address(l, a);
        }
    }
    freeaddrinfo(list);
}

/* The records say host and port of each; a port that the seed says does not count. */
static void
look_up_service(struct gossip_lookup *l, const char *name)
{
    struct gossip_srv srv[GOSSIP_SEEDS_MAX];
    char host[PW_CONFIG_TEXT_BYTES], port[8];

    split_seed(name, host, sizeof(host), port);
    int n = gossip_srv_look_up(host, srv, GOSSIP_SEEDS_MAX);

    if (n <= 0) {
        no_address(name, n == 0 ? "no SRV records" : pw_err_text(n));
    }
    for (int i = 0; i < n; i++) {
        snprintf(port, sizeof(port), "%u", srv[i].port);
        look_up_host(l, srv[i].target, port);
    }
}

/* A prefix says what to ask for; without one, and with dns+, that is addresses (contract operations.md 1.3). */
static void
look_up(struct gossip_lookup *l, const char *seed)
{
    static const char *const service[] = {"dnssrvnoa+", "dnssrv+"};
    char host[PW_CONFIG_TEXT_BYTES], port[8];

    for (uint32_t i = 0; i < PW_ARRAY_LEN(service); i++) {
        if (strncmp(seed, service[i], strlen(service[i])) == 0) {
            look_up_service(l, seed + strlen(service[i]));
            return;
        }
    }
    split_seed(seed + (strncmp(seed, "dns+", 4) == 0 ? 4 : 0), host, sizeof(host), port);
    look_up_host(l, host, port);
}

static void *
lookup_thread(void *arg)
{
    struct gossip_lookup *l = arg;

    pthread_setname_np(pthread_self(), "gossip-names");
    for (uint32_t i = 0; i < l->seeds; i++) {
        look_up(l, l->seed[i]);
    }
    atomic_store_explicit(&l->done, true, memory_order_release);
    (void)!write(l->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
    let_go(l);
    return NULL;
}

/* Whom to ask now: after the first time perhaps others. */
static const struct pw_config_list *
seeds_of(const struct pw_gossip *g)
{
    return g->join.again && g->cfg->rejoin_seeds.count > 0 ? &g->cfg->rejoin_seeds : &g->cfg->join;
}

static bool
begin_lookup(struct pw_gossip *g)
{
    const struct pw_config_list *seeds = seeds_of(g);
    struct gossip_lookup *l = calloc(1, sizeof(*l));
    pthread_t thread;

    if (l == NULL || (l->wake_fd = dup(g->wake_fd)) < 0) {
        free(l);
        return false;
    }
    atomic_init(&l->owners, 2);
    for (uint32_t i = 0; i < seeds->count && i < GOSSIP_SEEDS_MAX; i++) {
        snprintf(l->seed[l->seeds++], PW_CONFIG_TEXT_BYTES, "%s", seeds->item[i]);
    }
    if (pthread_create(&thread, NULL, lookup_thread, l) != 0) {
        close(l->wake_fd);
        free(l);
        return false;
    }
    pthread_detach(thread);
    g->join.lookup = l;
    return true;
}

void
gossip_join_fini(struct pw_gossip *g)
{
    if (g->join.lookup != NULL) {
        let_go(g->join.lookup);
        g->join.lookup = NULL;
    }
}

/* --- Attempts -------------------------------------------------------------------------------------- */

/* The process is of no use without the others, who was asked said so. */
static void
give_up_process(const char *why)
{
    pw_log(PW_LOG_ERROR, module, "msg=\"%s, stopping as -memberlist.abort-if-... says\"", why);
    (void)kill(getpid(), SIGTERM);
}

static int64_t
finish(struct gossip_join *j, const struct pw_config_memberlist *c, int64_t now_ms)
{
    j->again = true;
    if (c->rejoin_interval_ms == 0 || c->join.count + c->rejoin_seeds.count == 0) {
        j->state = JOIN_DONE;
        return INT64_MAX;
    }
    j->state = JOIN_WAITING;
    j->next_ms = now_ms + c->rejoin_interval_ms;
    return j->next_ms;
}

static int64_t
retry(struct pw_gossip *g, int64_t now_ms)
{
    struct gossip_join *j = &g->join;

    if (g->cfg->max_join_retries > 0 && j->attempts > g->cfg->max_join_retries) {
        pw_log(PW_LOG_ERROR, module, "msg=\"no member of memberlist.join answered\" attempts=%u",
               j->attempts);
        if (g->cfg->abort_if_join_fails) {
            give_up_process("no member answered at any attempt");
        }
        return finish(j, g->cfg, now_ms);
    }
    j->backoff_ms = j->backoff_ms == 0 ? g->cfg->min_join_backoff_ms : 2 * j->backoff_ms;
    j->backoff_ms =
        j->backoff_ms > g->cfg->max_join_backoff_ms ? g->cfg->max_join_backoff_ms : j->backoff_ms;
    pw_log(PW_LOG_WARN, module, "msg=\"no member answered yet\" attempt=%u next_ms=%lld",
           j->attempts, (long long)j->backoff_ms);
    j->state = JOIN_WAITING;
    j->next_ms = now_ms + j->backoff_ms;
    return j->next_ms;
}

/* All seeds have answered or failed. */
static int64_t
end_attempt(struct pw_gossip *g, int64_t now_ms)
{
    struct gossip_join *j = &g->join;
    bool ok = j->answered > 0 || j->asked == 0;

    if (j->attempts == 1 && !j->again && g->cfg->abort_if_fast_join_fails &&
        j->answered + j->own < g->cfg->fast_join_min_nodes) {
        give_up_process("too few members answered");
    }
    atomic_store_explicit(&g->joined, true, memory_order_release);
    if (ok && !j->succeeded) {
        pw_log(PW_LOG_INFO, module, "msg=\"joined\" answered=%u of=%u", j->answered, j->asked);
    }
    j->succeeded = j->succeeded || ok;
    return j->succeeded || j->again ? finish(j, g->cfg, now_ms) : retry(g, now_ms);
}

static void
ask_seeds(struct pw_gossip *g, struct pw_ml_now now)
{
    struct gossip_join *j = &g->join;
    const struct gossip_lookup *l = j->lookup;

    j->state = JOIN_ASKING;
    j->asked = l->found == 0; /* names without an address are no answer */
    j->refused = j->asked;
    j->answered = j->own = 0;
    pthread_mutex_lock(&g->app->kv_mutex);
    for (uint32_t i = 0; i < l->found; i++) {
        if (pw_ml_addr_equal(&l->addr[i], &g->addr)) {
            j->own = 1;
        } else {
            j->asked++;
            j->refused += pw_memberlist_join(g->ml, &l->addr[i], now) != 0;
        }
    }
    pthread_mutex_unlock(&g->app->kv_mutex);
    gossip_join_fini(g);
}

void
gossip_join_ended(struct pw_gossip *g, bool ok)
{
    *(ok ? &g->join.answered : &g->join.refused) += 1;
}

int64_t
gossip_join_step(struct pw_gossip *g, int64_t now_ms)
{
    struct gossip_join *j = &g->join;

    if (j->state == JOIN_IDLE && g->cfg->join.count == 0) {
        atomic_store_explicit(&g->joined, true, memory_order_release);
        (void)finish(j, g->cfg, now_ms);
    }
    if (j->state == JOIN_IDLE || (j->state == JOIN_WAITING && j->next_ms <= now_ms)) {
        j->attempts++;
        j->state = JOIN_LOOKUP;
        if (!begin_lookup(g)) {
            j->asked = 1;
            j->answered = 0;
            return end_attempt(g, now_ms);
        }
    }
    if (j->state == JOIN_LOOKUP && atomic_load_explicit(&j->lookup->done, memory_order_acquire)) {
        ask_seeds(g, gossip_now());
    }
    if (j->state == JOIN_ASKING && j->answered + j->refused >= j->asked) {
        return end_attempt(g, now_ms);
    }
    return j->state == JOIN_WAITING ? j->next_ms : INT64_MAX;
}
