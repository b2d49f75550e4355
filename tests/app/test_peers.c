/* Questions to other appliances over real sockets: who is asked, what an answer, a refusal, a hang-up, a server
 * that says nothing and a closed port amount to. */
#include "app/peers.h"

#include "query/patience.h"

#include "tests/support/cmocka_pw.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PEERS = 3, PAGE_BYTES = 4096 };

enum manner { ANSWERS, REFUSES, HANGS_UP, SAYS_NOTHING, CLOSED };

struct server {
    enum manner manner;
    int fd; /* listens */
    uint16_t port;
    pthread_t thread;
    char seen[4096]; /* the last request */
    volatile int stop;
};

struct fixture {
    struct server server[PEERS];
    struct pw_ring_board *board;
    struct pw_peers_net *net;
    const struct pw_peers *ops;
    void *thread;
    struct pw_patience patience; /* of whoever asks */
};

/* --- Servers ------------------------------------------------------------------------------------ */

/* A whole request, as far as its Content-Length goes; 0: the other end went away. */
static size_t
read_request(int fd, char *buf, size_t cap)
{
    size_t n = 0;

    for (;;) {
        ssize_t got = read(fd, buf + n, cap - 1 - n);
        char *body, *length;

        if (got <= 0) {
            return 0;
        }
        n += (size_t)got;
        buf[n] = 0;
        body = strstr(buf, "\r\n\r\n");
        length = strstr(buf, "Content-Length: ");
        if (body != NULL && length != NULL &&
            n >= (size_t)(body + 4 - buf) + strtoul(length + 16, NULL, 10)) {
            return n;
        }
    }
}

static void
serve(struct server *s, int fd)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nreply";
    static const char no[] = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy";
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (!s->stop && (poll(&p, 1, 20) == 0 || read_request(fd, s->seen, sizeof(s->seen)) > 0)) {
        if ((p.revents & POLLIN) == 0) {
            continue;
        }
        p.revents = 0;
        if (s->manner == HANGS_UP) {
            return;
        }
        if (s->manner == ANSWERS) {
            assert_true(write(fd, ok, sizeof(ok) - 1) > 0);
        } else if (s->manner == REFUSES) {
            assert_true(write(fd, no, sizeof(no) - 1) > 0);
        }
    }
}

static void *
run(void *arg)
{
    struct server *s = arg;
    struct pollfd p = {.fd = s->fd, .events = POLLIN};

    while (!s->stop) {
        if (poll(&p, 1, 20) > 0) {
            int fd = accept(s->fd, NULL, NULL);

            serve(s, fd);
            close(fd);
        }
    }
    return NULL;
}

static void
start(struct server *s, enum manner manner)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof(a);

    *s = (struct server){.manner = manner};
    inet_pton(AF_INET, "127.0.0.18", &a.sin_addr);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    s->port = ntohs(a.sin_port);
    if (manner == CLOSED) {
        return; /* bound, and nobody listens */
    }
    assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

static void
stop(struct server *s)
{
    s->stop = 1;
    if (s->manner != CLOSED) {
        assert_int_equal(pthread_join(s->thread, NULL), 0);
    }
    close(s->fd);
}

/* --- The ring ----------------------------------------------------------------------------------- */

/* This appliance, "self", and the servers, the last of them LEAVING. */
static void
publish(struct fixture *f, uint32_t peers, const char *self, uint32_t factor)
{
    const struct pw_ring_snapshot_cfg cfg = {
        .ring = {.replication_factor = factor, .heartbeat_timeout = 60}, .self = self};
    struct pw_ring_desc d;
    struct pw_ring_snapshot *s;

    pw_ring_desc_init(&d);
    for (uint32_t i = 0; i <= peers; i++) {
        char id[16], addr[32];
        uint32_t token = 1000 * (i + 1);
        struct pw_instance in = {.id = id,
                                 .addr = addr,
                                 .zone = "",
                                 .state = i == PEERS ? PW_INSTANCE_LEAVING : PW_INSTANCE_ACTIVE,
                                 .timestamp = time(NULL),
                                 .token = &token,
                                 .token_count = 1};

        snprintf(id, sizeof(id), i == 0 ? "self" : "peer-%u", i);
        snprintf(addr, sizeof(addr), "127.0.0.18:%u", i == 0 ? 1 : f->server[i - 1].port);
        assert_int_equal(pw_ring_desc_put(&d, &in), 0);
    }
    assert_int_equal(pw_ring_snapshot_make_ctl(&s, &cfg, &d, NULL), 0);
    pw_ring_board_publish_ctl(f->board, s);
    pw_ring_desc_fini(&d);
}

static void
up(struct fixture *f, enum manner a, enum manner b, enum manner c)
{
    memset(f, 0, sizeof(*f));
    start(&f->server[0], a);
    start(&f->server[1], b);
    start(&f->server[2], c);
    assert_int_equal(pw_ring_board_create_ctl(&f->board), 0);
    assert_int_equal(pw_peers_create_cold(&f->net), 0);
    f->ops = pw_peers_ops(f->net);
    f->thread = f->ops->thread_new(f->ops->ctx);
    assert_non_null(f->thread);
    pw_peers_bind_board(f->net, f->board, false);
}

static void
down(struct fixture *f)
{
    f->ops->thread_free(f->ops->ctx, f->thread);
    pw_peers_destroy_cold(f->net);
    pw_ring_board_destroy_ctl(f->board);
    for (uint32_t i = 0; i < PEERS; i++) {
        stop(&f->server[i]);
    }
}

static struct pw_peer_set *
set_of(struct fixture *f)
{
    static struct pw_peer_set set;
    char buf[256];
    struct pw_text why;

    pw_text_fixed(&why, buf, sizeof(buf));
    assert_int_equal(f->ops->set(f->ops->ctx, &set, &why), 0);
    return &set;
}

/* One question to each of the set. */
static void
ask_each(struct fixture *f, const struct pw_peer_set *set, struct pw_peer_ask *ask,
         uint32_t max_errors)
{
    for (uint32_t i = 0; i < set->count; i++) {
        ask[i] = (struct pw_peer_ask){.peer = i, .body = PW_SLICE_LIT("question")};
    }
    f->ops->ask(f->ops->ctx, f->thread,
                &(struct pw_peer_round){.set = set,
                                        .tenants = PW_SLICE_LIT("a|b"),
                                        .ask = ask,
                                        .count = set->count,
                                        .max_errors = max_errors,
                                        .patience = &f->patience});
}

/* --- Tests -------------------------------------------------------------------------------------- */

static void
test_set__alone_or_no_ring__nobody(void **state)
{
    struct fixture f;

    (void)state;
    up(&f, CLOSED, CLOSED, CLOSED);
    assert_int_equal(set_of(&f)->count, 0);
    publish(&f, 0, "self", 1);
    assert_int_equal(set_of(&f)->count, 0);
    publish(&f, 0, "", 1); /* not a member: the one that is has to be asked */
    assert_int_equal(set_of(&f)->count, 1);
    down(&f);
}

static void
test_set__four_in_the_ring__the_others_the_leaving_one_too(void **state)
{
    struct fixture f;
    const struct pw_peer_set *set;

    (void)state;
    up(&f, CLOSED, CLOSED, CLOSED);
    publish(&f, PEERS, "self", 3);
    set = set_of(&f);
    assert_int_equal(set->count, PEERS);
    assert_int_equal(set->max_errors, 1); /* 4 - (4 - 3 / 2) */
    for (uint32_t i = 0; i < PEERS; i++) {
        char addr[32];

        snprintf(addr, sizeof(addr), "127.0.0.18:%u", f.server[i].port);
        assert_string_equal(set->peer[i].addr, addr);
    }
    down(&f);
}

static void
test_ask__answers_and_failures__told_apart(void **state)
{
    struct fixture f;
    struct pw_peer_ask ask[PEERS];

    (void)state;
    up(&f, ANSWERS, REFUSES, CLOSED);
    publish(&f, PEERS, "self", 3);
    for (int i = 0; i < 3; i++) { /* connections are kept */
        ask_each(&f, set_of(&f), ask, 0);
        assert_int_equal(ask[0].rc, 0);
        assert_int_equal(ask[0].reply_bytes, 5);
        assert_memory_equal(ask[0].reply, "reply", 5);
        free(ask[0].reply);
        assert_int_equal(ask[1].rc, PW_EIO);
        assert_string_equal(ask[1].why, "status 429 busy");
        assert_int_equal(ask[2].rc, PW_EIO);
        assert_true(ask[2].why[0] != 0);
        assert_null(ask[2].reply);
    }
    assert_memory_equal(f.server[0].seen, "POST /pyrowire.v1.Reader/Select HTTP/1.1\r\n", 42);
    assert_non_null(strstr(f.server[0].seen, "\r\nX-Scope-OrgID: a|b\r\n"));
    assert_non_null(strstr(f.server[0].seen, "\r\nContent-Type: application/proto\r\n"));
    assert_non_null(strstr(f.server[0].seen, "\r\n\r\nquestion"));
    down(&f);
}

static void
metrics_of(const struct fixture *f, char page[PAGE_BYTES])
{
    struct pw_text t;

    pw_text_fixed(&t, page, PAGE_BYTES);
    pw_peers_metrics(f->net, &t);
    pw_text_char(&t, 0);
}

static void
test_ask__enough_answered__who_says_nothing_is_not_waited_for(void **state)
{
    struct fixture f;
    struct pw_peer_ask ask[PEERS];
    char page[PAGE_BYTES];

    (void)state;
    up(&f, ANSWERS, SAYS_NOTHING, ANSWERS);
    publish(&f, PEERS, "self", 3);
    ask_each(&f, set_of(&f), ask, 1);
    assert_int_equal(ask[0].rc, 0);
    assert_int_equal(ask[1].rc, PW_EAGAIN);
    assert_int_equal(ask[2].rc, 0);
    free(ask[0].reply);
    free(ask[2].reply);
    metrics_of(&f, page);
    assert_non_null(strstr(page, "pyrowire_peer_questions_total 3\n"));
    assert_non_null(strstr(page, "pyrowire_peer_abandoned_total 1\n"));
    assert_non_null(strstr(page, "pyrowire_peer_failures_total 0\n"));
    assert_non_null(strstr(page, "pyrowire_peer_answer_bytes_total 10\n"));
    down(&f);
}

/* The questions go with it: their connections are closed, so that those who were asked stop, too. */
static void
test_ask__nobody_waits_any_more__returns_without_answers(void **state)
{
    struct fixture f;
    struct pw_peer_ask ask[PEERS];
    char page[PAGE_BYTES];

    (void)state;
    up(&f, SAYS_NOTHING, SAYS_NOTHING, SAYS_NOTHING);
    publish(&f, PEERS, "self", 3);
    pw_patience_end(&f.patience, 0);
    ask_each(&f, set_of(&f), ask, 1);
    for (uint32_t i = 0; i < PEERS; i++) {
        assert_int_equal(ask[i].rc, PW_EAGAIN); /* not PW_ETIMEDOUT */
    }
    metrics_of(&f, page);
    assert_non_null(strstr(page, "pyrowire_peer_abandoned_total 3\n"));
    assert_non_null(strstr(page, "pyrowire_peer_failures_total 0\n"));
    down(&f);
}

static void
test_ask__hangs_up__a_failure(void **state)
{
    struct fixture f;
    struct pw_peer_ask ask[PEERS];

    (void)state;
    up(&f, HANGS_UP, ANSWERS, ANSWERS);
    publish(&f, PEERS, "self", 3);
    ask_each(&f, set_of(&f), ask, 0);
    assert_int_equal(ask[0].rc, PW_EIO);
    free(ask[1].reply);
    free(ask[2].reply);
    down(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set__alone_or_no_ring__nobody),
        cmocka_unit_test(test_set__four_in_the_ring__the_others_the_leaving_one_too),
        cmocka_unit_test(test_ask__answers_and_failures__told_apart),
        cmocka_unit_test(test_ask__enough_answered__who_says_nothing_is_not_waited_for),
        cmocka_unit_test(test_ask__nobody_waits_any_more__returns_without_answers),
        cmocka_unit_test(test_ask__hangs_up__a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
