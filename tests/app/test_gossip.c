/* Members with real sockets on loopback: threads, seeds, leaving, and ends that do not speak the protocol. Waits
 * end when what is waited for is there; HANG_S is how long a hang is borne. */
#include "app/gossip_priv.h"

#include "base/log.h"
#include "tests/support/cmocka_pw.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HANG_S = 25, POLL_US = 5000, HOSTILE = 200 };

static const char key[] = "collectors/ring";

struct member {
    struct pw_app app;
    struct pw_config cfg;
};

/* At an address; seed: the port of another member there, 0 none. */
static struct member *
start_at(const char *address, const char *name, uint16_t seed)
{
    struct member *m = calloc(1, sizeof(*m));
    char bind[64], node[64], join[64];
    const char *argv[] = {"pyrowire",
                          bind,
                          "-memberlist.bind-port=0",
                          "-memberlist.gossip-interval=20ms",
                          "-memberlist.randomize-node-name=false",
                          node,
                          join};
    struct pw_text out, why;

    assert_non_null(m);
    snprintf(node, sizeof(node), "-memberlist.nodename=%s", name);
    snprintf(bind, sizeof(bind), "-memberlist.bind-addr=%s", address);
    snprintf(join, sizeof(join),
             strchr(address, ':') != NULL ? "-memberlist.join=[%s]:%u" : "-memberlist.join=%s:%u",
             address, seed);
    pw_text_init(&out, 1 << 16);
    pw_text_init(&why, 1 << 16);
    assert_int_equal(pw_config_parse_cold(&m->cfg, seed != 0 ? 7 : 6, argv, &out, &why), 0);
    m->app.cfg = &m->cfg;
    assert_int_equal(pw_gossip_open_ctl(&m->app, &why), 0);
    assert_int_equal(pw_gossip_start_ctl(&m->app, &why), 0);
    pw_text_fini(&out);
    pw_text_fini(&why);
    return m;
}

static struct member *
start(const char *name, uint16_t seed)
{
    return start_at("127.0.0.1", name, seed);
}

static void
end(struct member *m)
{
    pw_gossip_close_ctl(&m->app);
    free(m);
}

static uint16_t
port_of(const struct member *m)
{
    return m->app.gossip->addr.port;
}

/* --- What is waited for --------------------------------------------------------------------------- */

static uint32_t
count(struct member *m, enum pw_ml_state state)
{
    uint32_t n;

    pthread_mutex_lock(&m->app.kv_mutex);
    n = pw_memberlist_count(m->app.gossip->ml, state);
    pthread_mutex_unlock(&m->app.kv_mutex);
    return n;
}

static void
wait_count(struct member *m, enum pw_ml_state state, uint32_t n)
{
    for (int64_t until = gossip_mono_ms() + HANG_S * 1000; count(m, state) != n;) {
        assert_true(gossip_mono_ms() < until);
        usleep(POLL_US);
    }
}

static void
wait_joined(const struct member *m)
{
    for (int64_t until = gossip_mono_ms() + HANG_S * 1000; !*pw_gossip_joined(&m->app);) {
        assert_true(gossip_mono_ms() < until);
        usleep(POLL_US);
    }
}

static bool
has_instance(struct member *m, const char *id)
{
    const struct pw_ring_desc *d;
    bool has;

    pthread_mutex_lock(&m->app.kv_mutex);
    d = pw_kv_get(m->app.kv, key);
    has = d != NULL && pw_ring_desc_find(d, id) != NULL;
    pthread_mutex_unlock(&m->app.kv_mutex);
    return has;
}

static void
wait_instance(struct member *m, const char *id)
{
    for (int64_t until = gossip_mono_ms() + HANG_S * 1000; !has_instance(m, id);) {
        assert_true(gossip_mono_ms() < until);
        usleep(POLL_US);
    }
}

static int
add(void *arg, struct pw_ring_desc *d)
{
    const struct pw_instance in = {.id = arg, .addr = "a:1", .zone = "", .timestamp = 1};

    return pw_ring_desc_put(d, &in);
}

static void
add_instance(struct member *m, const char *id)
{
    pthread_mutex_lock(&m->app.kv_mutex);
    assert_int_equal(pw_kv_cas(m->app.kv, key, add, (void *)(uintptr_t)id, 1), 0);
    pthread_mutex_unlock(&m->app.kv_mutex);
}

static int
connect_to(uint16_t port)
{
    const struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

/* --- Tests ------------------------------------------------------------------------------------------ */

/* Three that listen at one address, each told of the one before. */
static void
join_three(const char *address)
{
    struct member *a = start_at(address, "a", 0), *b, *c;

    add_instance(a, "from-a");
    b = start_at(address, "b", port_of(a));
    wait_joined(b);
    assert_true(has_instance(b, "from-a")); /* who registers now knows the ring */
    c = start_at(address, "c", port_of(b));
    wait_count(a, PW_ML_STATE_ALIVE, 3);
    wait_count(b, PW_ML_STATE_ALIVE, 3);
    wait_count(c, PW_ML_STATE_ALIVE, 3);
    add_instance(c, "from-c");
    wait_instance(a, "from-c");
    wait_instance(b, "from-c");
    end(c);
    end(b);
    end(a);
}

static void
test_join__three__one_cluster_and_one_store(void **state)
{
    join_three("127.0.0.1");
}

static void
test_join__three_over_ip6__one_cluster_and_one_store(void **state)
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
    join_three("::1");
}

static void
test_stop__last_change_and_leaving__are_told(void **state)
{
    struct member *a = start("a", 0), *b = start("b", port_of(a));

    wait_count(a, PW_ML_STATE_ALIVE, 2);
    add_instance(b, "last");
    pw_gossip_stop_ctl(&b->app);
    wait_instance(a, "last");
    wait_count(a, PW_ML_STATE_LEFT, 1);
    end(b);
    end(a);
}

static void
test_join__nobody_there__goes_on_alone(void **state)
{
    struct member *a = start("a", 0), *b;
    uint16_t port = port_of(a);

    end(a);
    b = start("b", port);
    wait_joined(b);
    assert_int_equal(count(b, PW_ML_STATE_ALIVE), 1);
    end(b);
}

/* Later the seed is there, and is asked again. */
static void
test_join__seed_comes_later__joined_by_a_later_attempt(void **state)
{
    struct member *a = start("a", 0), *b;
    uint16_t port = port_of(a);
    char bind[64];

    end(a);
    b = start("b", port);
    wait_joined(b);
    a = calloc(1, sizeof(*a));
    assert_non_null(a);
    snprintf(bind, sizeof(bind), "-memberlist.bind-port=%u", port);
    {
        const char *argv[] = {"pyrowire", "-memberlist.bind-addr=127.0.0.1", bind,
                              "-memberlist.gossip-interval=20ms"};
        struct pw_text out, why;

        pw_text_init(&out, 1 << 16);
        pw_text_init(&why, 1 << 16);
        assert_int_equal(pw_config_parse_cold(&a->cfg, 4, argv, &out, &why), 0);
        a->app.cfg = &a->cfg;
        assert_int_equal(pw_gossip_open_ctl(&a->app, &why), 0);
        assert_int_equal(pw_gossip_start_ctl(&a->app, &why), 0);
        pw_text_fini(&out);
        pw_text_fini(&why);
    }
    wait_count(a, PW_ML_STATE_ALIVE, 2);
    wait_count(b, PW_ML_STATE_ALIVE, 2);
    end(b);
    end(a);
}

static void
test_hostile__many_connections_of_garbage__others_still_join(void **state)
{
    struct member *a = start("a", 0), *b;
    int silent[8];

    for (size_t i = 0; i < PW_ARRAY_LEN(silent); i++) {
        silent[i] = connect_to(port_of(a));
    }
    for (int i = 0; i < HOSTILE; i++) {
        static const char garbage[] = "\x02\x06\x83GET / HTTP/1.1\r\n\r\n";
        int fd = connect_to(port_of(a));

        assert_true(send(fd, garbage + i % 3, sizeof(garbage) - 4, MSG_NOSIGNAL) > 0);
        close(fd);
    }
    b = start("b", port_of(a));
    wait_count(a, PW_ML_STATE_ALIVE, 2);
    for (size_t i = 0; i < PW_ARRAY_LEN(silent); i++) {
        close(silent[i]);
    }
    end(b);
    end(a);
}

static void
check_page(struct member *m, const char *query, const char *expected)
{
    const struct pw_query_request req = {.method = PW_HTTP_METHOD_GET,
                                         .path = PW_SLICE_LIT("/memberlist"),
                                         .query = pw_slice_str(query)};
    struct pw_query_reply rep;

    assert_true(pw_gossip_page_owns_path(req.path));
    pw_gossip_page_execute_cold(&m->app, &req, &rep);
    assert_int_equal(rep.status, 200);
    assert_non_null(memmem(rep.body, rep.body_bytes, expected, strlen(expected)));
    free(rep.body);
}

static void
test_page__members_and_keys__for_people_and_tools(void **state)
{
    struct member *a = start("a<b", 0);

    add_instance(a, "ing-0");
    check_page(a, "format=json", "\"Name\":\"a\\u003cb\",\"Addr\":\"127.0.0.1\",\"Port\":");
    check_page(a, "format=json", "\"collectors/ring\":{\"Version\":1,\"CodecID\":\"ringDesc\"");
    check_page(a, "", "a&lt;b (this)");
    check_page(a, "", "ing-0 ACTIVE");
    end(a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join__three__one_cluster_and_one_store),
        cmocka_unit_test(test_join__three_over_ip6__one_cluster_and_one_store),
        cmocka_unit_test(test_stop__last_change_and_leaving__are_told),
        cmocka_unit_test(test_join__nobody_there__goes_on_alone),
        cmocka_unit_test(test_join__seed_comes_later__joined_by_a_later_attempt),
        cmocka_unit_test(test_hostile__many_connections_of_garbage__others_still_join),
        cmocka_unit_test(test_page__members_and_keys__for_people_and_tools),
    };

    pw_log_set_level_ctl(PW_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
