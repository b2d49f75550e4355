#include "tests/support/gossip_member.h"

#include "tests/support/cmocka_pw.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { POLL_US = 5000, OPTIONS_MAX = 24 };

static const char key[] = "collectors/ring";

struct member *
member_try(const char *name, const char *const *options, struct pw_text *why)
{
    struct member *m = calloc(1, sizeof(*m));
    const char *argv[OPTIONS_MAX] = {"pyrowire", "-memberlist.bind-port=0",
                                     "-memberlist.gossip-interval=20ms",
                                     "-memberlist.randomize-node-name=false"};
    char node[64];
    struct pw_text out;
    int argc = 4;

    assert_non_null(m);
    snprintf(node, sizeof(node), "-memberlist.nodename=%s", name);
    argv[argc++] = node;
    for (uint32_t i = 0; options[i] != NULL; i++) {
        assert_true(argc < OPTIONS_MAX);
        argv[argc++] = options[i];
    }
    pw_text_init(&out, 1 << 16);
    assert_int_equal(pw_config_parse_cold(&m->cfg, argc, argv, &out, why), 0);
    pw_text_fini(&out);
    m->app.cfg = &m->cfg;
    assert_int_equal(pw_gossip_open_ctl(&m->app, why), 0);
    if (pw_gossip_start_ctl(&m->app, why) != 0) {
        member_end(m);
        return NULL;
    }
    return m;
}

struct member *
member_start(const char *name, const char *const *options)
{
    struct member *m;
    struct pw_text why;

    pw_text_init(&why, 1 << 16);
    m = member_try(name, options, &why);
    if (m == NULL) {
        fail_msg("%.*s", (int)why.len, (const char *)why.ptr);
    }
    pw_text_fini(&why);
    return m;
}

void
member_end(struct member *m)
{
    pw_gossip_close_ctl(&m->app);
    pw_config_fini(&m->cfg);
    free(m);
}

uint16_t
member_port(const struct member *m)
{
    return m->app.gossip->addr.port;
}

uint32_t
member_count(struct member *m, enum pw_ml_state state)
{
    uint32_t n;

    pthread_mutex_lock(&m->app.kv_mutex);
    n = pw_memberlist_count(m->app.gossip->ml, state);
    pthread_mutex_unlock(&m->app.kv_mutex);
    return n;
}

bool
member_has_instance(struct member *m, const char *id)
{
    const struct pw_ring_desc *d;
    bool has;

    pthread_mutex_lock(&m->app.kv_mutex);
    d = pw_kv_get(m->app.kv, key);
    has = d != NULL && pw_ring_desc_find(d, id) != NULL;
    pthread_mutex_unlock(&m->app.kv_mutex);
    return has;
}

static int
add(void *arg, struct pw_ring_desc *d)
{
    const struct pw_instance in = {.id = arg, .addr = "a:1", .zone = "", .timestamp = 1};

    return pw_ring_desc_put(d, &in);
}

void
member_add_instance(struct member *m, const char *id)
{
    pthread_mutex_lock(&m->app.kv_mutex);
    assert_int_equal(pw_kv_cas(m->app.kv, key, add, (void *)(uintptr_t)id, 1), 0);
    pthread_mutex_unlock(&m->app.kv_mutex);
}

/* --- What is waited for --------------------------------------------------------------------------- */

void
member_wait(bool (*is)(void *ctx), void *ctx)
{
    for (int64_t until = pw_mono_ms() + MEMBER_HANG_S * 1000; !is(ctx);) {
        assert_true(pw_mono_ms() < until);
        usleep(POLL_US);
    }
}

struct wanted {
    struct member *m;
    enum pw_ml_state state;
    uint32_t n;
    const char *id;
};

static bool
counts(void *ctx)
{
    const struct wanted *w = ctx;

    return member_count(w->m, w->state) == w->n;
}

void
member_wait_count(struct member *m, enum pw_ml_state state, uint32_t n)
{
    member_wait(counts, &(struct wanted){.m = m, .state = state, .n = n});
}

static bool
joined(void *ctx)
{
    const struct member *m = ctx;

    return *pw_gossip_joined(&m->app);
}

void
member_wait_joined(struct member *m)
{
    member_wait(joined, m);
}

static bool
has(void *ctx)
{
    const struct wanted *w = ctx;

    return member_has_instance(w->m, w->id);
}

void
member_wait_instance(struct member *m, const char *id)
{
    member_wait(has, &(struct wanted){.m = m, .id = id});
}

void
member_check_three(struct member *a, struct member *b, struct member *c)
{
    member_wait_count(a, PW_ML_STATE_ALIVE, 3);
    member_wait_count(b, PW_ML_STATE_ALIVE, 3);
    member_wait_count(c, PW_ML_STATE_ALIVE, 3);
    member_add_instance(c, "from-c");
    member_wait_instance(a, "from-c");
    member_wait_instance(b, "from-c");
}

void
member_need_ip6(void)
{
    const struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has_ip6 = fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    if (!has_ip6) {
        print_message("this host has no ::1\n");
        skip();
    }
}

int
member_connect(uint16_t port)
{
    const struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}
