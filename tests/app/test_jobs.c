/* Requests from a polling thread to query threads: those of other appliances have threads and jobs of their own, so
 * that they are answered while clients hold all the rest. */
#include "app/jobs.h"

#include "base/limits.h"
#include "query/patience.h"
#include "query/peers.h"
#include "tests/support/cmocka_pw.h"

#include <rte_eal.h>

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
    struct pw_jobs *jobs;
    struct pw_jobs_client *client;
    struct pw_plan plan;
    sem_t go; /* one client request each */
    _Atomic uint32_t began;
    uint32_t
        answered[4]; /* of clients, of peers, of operators, of who leaves: by their connection */
    bool unread;     /* answers are not taken */
    void (*sent)(void *arg);
    void *sent_arg[PW_QUERY_JOBS_MAX]; /* of those that were not */
    uint32_t unsent;
};

static struct fixture fx;

enum { OF_CLIENT = 0, OF_PEER = 1, OF_OPERATOR = 2, OF_LEAVER = 3 };

/* The link-time fake: dataplane/ is not here. */
int
pw_http_reply(struct pw_http_server *srv, uint64_t conn, const struct pw_http_reply *rep)
{
    (void)srv;
    assert_int_equal(rep->status, conn == OF_LEAVER ? 499 : 200);
    fx.answered[conn]++;
    assert_non_null(rep->body_free);
    if (fx.unread) {
        fx.sent = rep->body_free;
        fx.sent_arg[fx.unsent++] = rep->body_arg;
    } else {
        rep->body_free(rep->body_arg);
    }
    return 0;
}

static void *
thread_new(void *ctx)
{
    return ctx;
}

static void
thread_free(void *ctx, void *thread)
{
    assert_ptr_equal(ctx, thread);
}

/* What a client asks takes until the test lets it go on, and what one asks who is going to leave until it does. */
static void
run(void *ctx, void *thread, const struct pw_query_request *req, struct pw_query_reply *rep)
{
    struct fixture *f = ctx;

    (void)thread;
    if (pw_slice_eq_str(req->path, "/querier")) {
        atomic_fetch_add(&f->began, 1);
        while (sem_wait(&f->go) != 0) {
        }
    }
    if (pw_slice_eq_str(req->path, "/endless")) {
        atomic_fetch_add(&f->began, 1);
        while (!pw_patience_is_over(req->patience)) {
            usleep(100);
        }
        rep->status = 499;
        return;
    }
    rep->status = 200;
}

static bool
is_page(struct pw_slice path)
{
    return pw_slice_eq_str(path, "/metrics");
}

static void
up_with(uint32_t threads, uint32_t peer_threads, uint32_t page_threads)
{
    struct pw_jobs_cfg cfg = {
        .threads = threads,
        .peer_threads = peer_threads,
        .page_threads = page_threads,
        .is_page = is_page,
        .clients = 1,
        .plan = &fx.plan,
        .runner = {.ctx = &fx, .thread_new = thread_new, .thread_free = thread_free, .run = run},
    };

    fx = (struct fixture){0};
    sem_init(&fx.go, 0, 0);
    assert_int_equal(pw_jobs_create_ctl(&fx.jobs, &cfg), 0);
    fx.client = pw_jobs_client(fx.jobs, 0);
}

static void
up(uint32_t threads, uint32_t peer_threads)
{
    up_with(threads, peer_threads, 0);
}

static void
down(void)
{
    pw_jobs_destroy_ctl(fx.jobs);
    sem_destroy(&fx.go);
}

/* By a client at 10.0.0.<host>. */
static int
submit_from(uint32_t whose, uint8_t host)
{
    const struct pw_http_request req = {
        .method = PW_HTTP_METHOD_POST,
        .path = whose == OF_PEER       ? PW_SLICE_LIT(PW_PEER_ROUTE)
                : whose == OF_OPERATOR ? PW_SLICE_LIT("/metrics")
                : whose == OF_LEAVER   ? PW_SLICE_LIT("/endless")
                                       : PW_SLICE_LIT("/querier"),
        .peer = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = host}},
        .conn = whose};

    return pw_jobs_submit(fx.client, &req);
}

static int
submit(uint32_t whose)
{
    static uint8_t host;

    return submit_from(whose, host++);
}

/* Until so many of them are answered; a hang ends with the test's own time limit. */
static void
wait_for(uint32_t whose, uint32_t n)
{
    while (fx.answered[whose] < n) {
        (void)pw_jobs_poll(fx.client, 0);
        usleep(100);
    }
    assert_int_equal(fx.answered[whose], n);
}

/* Somebody at 10.0.0.<host> is served again, now that answers were read. */
static void
comes_back(uint8_t host)
{
    uint32_t before = fx.answered[OF_CLIENT];
    int rc = PW_EAGAIN;

    for (uint32_t i = 0; i < 50000 && rc != 0; i++) { /* many seconds: then it does not */
        rc = submit_from(OF_CLIENT, host);
        usleep(rc == 0 ? 0 : 200);
    }
    assert_int_equal(rc, 0);
    sem_post(&fx.go);
    wait_for(OF_CLIENT, before + 1);
}

static void
test_submit__clients_hold_every_thread__peers_are_answered(void **state)
{
    (void)state;
    up(2, 1);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(submit(OF_CLIENT), 0);
    }
    while (atomic_load(&fx.began) < 2) {
        usleep(100);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(submit(OF_PEER), 0);
    }
    wait_for(OF_PEER, 3);
    assert_int_equal(fx.answered[OF_CLIENT], 0);
    assert_int_equal(atomic_load(&fx.began), 2);
    for (uint32_t i = 0; i < 5; i++) {
        sem_post(&fx.go);
    }
    wait_for(OF_CLIENT, 5);
    assert_int_equal(pw_jobs_in_flight(fx.client), 0);
    down();
}

/* All of them wait for a bucket, say, and more do not even get a job. */
static void
test_submit__clients_hold_every_thread_and_job__pages_are_shown(void **state)
{
    uint32_t taken = 0;

    (void)state;
    up_with(2, 1, 1);
    while (submit(OF_CLIENT) == 0) {
        taken++;
    }
    for (uint32_t i = 0; i < 3 * PW_QUERY_JOBS_MAX; i++) { /* more than there are jobs */
        assert_int_equal(submit(OF_OPERATOR), 0);
        wait_for(OF_OPERATOR, i + 1);
    }
    assert_int_equal(submit(OF_PEER), 0);
    wait_for(OF_PEER, 1);
    assert_int_equal(fx.answered[OF_CLIENT], 0);
    for (uint32_t i = 0; i < taken; i++) {
        sem_post(&fx.go);
    }
    wait_for(OF_CLIENT, taken);
    down();
}

static void
test_submit__clients_take_all_they_may__a_share_is_kept_for_peers(void **state)
{
    uint32_t taken = 0;

    (void)state;
    up(1, 1);
    while (submit(OF_CLIENT) == 0) {
        taken++;
    }
    assert_int_equal(taken, PW_QUERY_JOBS_MAX - PW_QUERY_JOBS_MAX / 4);
    assert_int_equal(submit(OF_PEER), 0);
    wait_for(OF_PEER, 1);
    assert_int_equal(submit(OF_CLIENT), PW_EAGAIN);
    for (uint32_t i = 0; i < taken; i++) {
        sem_post(&fx.go);
    }
    wait_for(OF_CLIENT, taken);
    down();
}

/* Such as who asks for /metrics again and again and reads no answer. */
static void
test_submit__one_address_takes_what_it_can__others_are_served(void **state)
{
    uint32_t taken = 0;

    (void)state;
    up(1, 1);
    while (submit_from(OF_CLIENT, 1) == 0) {
        taken++;
    }
    assert_int_equal(taken, PW_QUERY_JOBS_MAX / 2);
    assert_int_equal(submit_from(OF_CLIENT, 2), 0);
    assert_int_equal(submit_from(OF_CLIENT, 1), PW_EAGAIN);
    for (uint32_t i = 0; i < taken + 1; i++) {
        sem_post(&fx.go);
    }
    wait_for(OF_CLIENT, taken + 1);
    comes_back(1);
    down();
}

/* Every answer was computed before the first is read: no thread is at work any more that could take the jobs back. */
static void
test_submit__all_answers_are_read_late__their_jobs_come_back(void **state)
{
    uint32_t taken = 0;

    (void)state;
    up(2, 1);
    fx.unread = true;
    while (submit(OF_CLIENT) == 0) {
        taken++;
    }
    for (uint32_t i = 0; i < taken; i++) {
        sem_post(&fx.go);
    }
    wait_for(OF_CLIENT, taken);
    assert_int_equal(fx.unsent, taken);
    fx.unread = false;
    while (fx.unsent > 0) {
        fx.sent(fx.sent_arg[--fx.unsent]);
    }
    comes_back(1);
    down();
}

static uint64_t
abandoned(void)
{
    static const char name[] = "\npyrowire_query_abandoned_total ";
    char page[1024];
    struct pw_text t;
    const char *at;

    pw_text_fixed(&t, page, sizeof(page));
    pw_jobs_metrics(fx.jobs, &t);
    pw_text_char(&t, 0);
    at = strstr(page, name);
    assert_non_null(at);
    return strtoull(at + sizeof(name) - 1, NULL, 10);
}

static void
test_leaving__query_is_at_work__stops_and_its_thread_is_free(void **state)
{
    (void)state;
    up(1, 0);
    assert_int_equal(submit(OF_LEAVER), 0);
    while (atomic_load(&fx.began) < 1) {
        usleep(100);
    }
    assert_int_equal(submit(OF_CLIENT), 0);
    sem_post(&fx.go);
    pw_jobs_leaving(fx.client, OF_CLIENT + 100, 0); /* somebody who has nothing here */
    assert_int_equal(fx.answered[OF_LEAVER], 0);
    pw_jobs_leaving(fx.client, OF_LEAVER, 3600000); /* it could still be reading for an hour, */
    pw_jobs_leaving(fx.client, OF_LEAVER, 0);       /* but now it is gone */
    wait_for(OF_LEAVER, 1);
    wait_for(OF_CLIENT, 1);
    assert_int_equal(abandoned(), 1);
    assert_int_equal(pw_jobs_in_flight(fx.client), 0);
    down();
}

static void
test_leaving__query_waits_for_a_thread__never_begins(void **state)
{
    (void)state;
    up(1, 0);
    assert_int_equal(submit(OF_CLIENT), 0);
    while (atomic_load(&fx.began) < 1) {
        usleep(100);
    }
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(submit(OF_LEAVER), 0);
    }
    pw_jobs_leaving(fx.client, OF_LEAVER, 0);
    sem_post(&fx.go);
    wait_for(OF_LEAVER, 10);
    wait_for(OF_CLIENT, 1);
    assert_int_equal(atomic_load(&fx.began), 1);
    assert_int_equal(abandoned(), 10);
    /* Nothing of it sticks to the job or the connection. */
    for (uint32_t i = 0; i < 2 * PW_QUERY_JOBS_MAX; i++) {
        assert_int_equal(submit(OF_CLIENT), 0);
        sem_post(&fx.go);
        wait_for(OF_CLIENT, i + 2);
    }
    assert_int_equal(abandoned(), 10);
    down();
}

static void
test_leaving__page__seen_through(void **state)
{
    (void)state;
    up_with(1, 1, 1);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(submit(OF_OPERATOR), 0);
        pw_jobs_leaving(fx.client, OF_OPERATOR, 0);
        wait_for(OF_OPERATOR, i + 1);
    }
    assert_int_equal(abandoned(), 0);
    down();
}

static void
test_submit__no_threads_for_peers__a_request_like_others(void **state)
{
    uint32_t taken = 0;

    (void)state;
    up(1, 0);
    assert_int_equal(submit(OF_PEER), 0);
    wait_for(OF_PEER, 1);
    while (submit(OF_CLIENT) == 0) {
        taken++;
    }
    assert_in_range(taken, PW_QUERY_JOBS_MAX - 1,
                    PW_QUERY_JOBS_MAX); /* one may be on its way back */
    for (uint32_t i = 0; i < taken; i++) {
        sem_post(&fx.go);
    }
    wait_for(OF_CLIENT, taken);
    down();
}

int
main(void)
{
    static char *eal[] = {"test_jobs", "--no-pci",    "--no-telemetry", "--no-huge", "-m",
                          "256",       "--no-shconf", "--file-prefix",  "pw_jobs",   "-l",
                          "0",         "--log-level", "error"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_submit__clients_hold_every_thread__peers_are_answered),
        cmocka_unit_test(test_submit__clients_hold_every_thread_and_job__pages_are_shown),
        cmocka_unit_test(test_submit__clients_take_all_they_may__a_share_is_kept_for_peers),
        cmocka_unit_test(test_submit__one_address_takes_what_it_can__others_are_served),
        cmocka_unit_test(test_submit__all_answers_are_read_late__their_jobs_come_back),
        cmocka_unit_test(test_leaving__query_is_at_work__stops_and_its_thread_is_free),
        cmocka_unit_test(test_leaving__query_waits_for_a_thread__never_begins),
        cmocka_unit_test(test_leaving__page__seen_through),
        cmocka_unit_test(test_submit__no_threads_for_peers__a_request_like_others),
    };

    if (rte_eal_init(PW_ARRAY_LEN(eal), eal) < 0) {
        return 77;
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    rte_eal_cleanup();
    return rc;
}
