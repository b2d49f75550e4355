/* Members with real sockets on loopback: threads, seeds, leaving, and ends that do not speak the protocol. */
#include "base/log.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/gossip_member.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOSTILE = 200 };

/* At an address; seed: the port of another member there, 0 none. */
static struct member *
start_at(const char *address, const char *name, uint16_t seed)
{
    char bind[64], join[64];
    const char *const options[] = {bind, seed != 0 ? join : NULL, NULL};

    snprintf(bind, sizeof(bind), "-memberlist.bind-addr=%s", address);
    snprintf(join, sizeof(join),
             strchr(address, ':') != NULL ? "-memberlist.join=[%s]:%u" : "-memberlist.join=%s:%u",
             address, seed);
    return member_start(name, options);
}

static struct member *
start(const char *name, uint16_t seed)
{
    return start_at("127.0.0.1", name, seed);
}

/* --- Tests ------------------------------------------------------------------------------------------ */

/* Three that listen at one address, each told of the one before. */
static void
join_three(const char *address)
{
    struct member *a = start_at(address, "a", 0), *b, *c;

    member_add_instance(a, "from-a");
    b = start_at(address, "b", member_port(a));
    member_wait_joined(b);
    assert_true(member_has_instance(b, "from-a")); /* who registers now knows the ring */
    c = start_at(address, "c", member_port(b));
    member_check_three(a, b, c);
    member_end(c);
    member_end(b);
    member_end(a);
}

static void
test_join__three__one_cluster_and_one_store(void **state)
{
    join_three("127.0.0.1");
}

static void
test_join__three_over_ip6__one_cluster_and_one_store(void **state)
{
    member_need_ip6();
    join_three("::1");
}

static void
test_stop__last_change_and_leaving__are_told(void **state)
{
    struct member *a = start("a", 0), *b = start("b", member_port(a));

    member_wait_count(a, PW_ML_STATE_ALIVE, 2);
    member_add_instance(b, "last");
    pw_gossip_stop_ctl(&b->app);
    member_wait_instance(a, "last");
    member_wait_count(a, PW_ML_STATE_LEFT, 1);
    member_end(b);
    member_end(a);
}

static void
test_join__nobody_there__goes_on_alone(void **state)
{
    struct member *a = start("a", 0), *b;
    uint16_t port = member_port(a);

    member_end(a);
    b = start("b", port);
    member_wait_joined(b);
    assert_int_equal(member_count(b, PW_ML_STATE_ALIVE), 1);
    member_end(b);
}

/* Later the seed is there, and is asked again. */
static void
test_join__seed_comes_later__joined_by_a_later_attempt(void **state)
{
    struct member *a = start("a", 0), *b;
    uint16_t port = member_port(a);
    char bind[64];

    member_end(a);
    b = start("b", port);
    member_wait_joined(b);
    snprintf(bind, sizeof(bind), "-memberlist.bind-port=%u", port);
    a = member_start("a", (const char *const[]){"-memberlist.bind-addr=127.0.0.1", bind, NULL});
    member_wait_count(a, PW_ML_STATE_ALIVE, 2);
    member_wait_count(b, PW_ML_STATE_ALIVE, 2);
    member_end(b);
    member_end(a);
}

/* Attempts do not end with 0, as in stock. */
static void
test_join__retries_without_end__a_seed_that_comes_late_is_found(void **state)
{
    struct member *a = start("a", 0), *b;
    uint16_t port = member_port(a);
    char bind[64], join[64];

    member_end(a);
    snprintf(bind, sizeof(bind), "-memberlist.bind-port=%u", port);
    snprintf(join, sizeof(join), "-memberlist.join=127.0.0.1:%u", port);
    b = member_start("b", (const char *const[]){"-memberlist.bind-addr=127.0.0.1", join,
                                                "-memberlist.max-join-retries=0",
                                                "-memberlist.min-join-backoff=10ms", NULL});
    member_wait_joined(b); /* the first attempt has failed */
    a = member_start("a", (const char *const[]){"-memberlist.bind-addr=127.0.0.1", bind, NULL});
    member_wait_count(a, PW_ML_STATE_ALIVE, 2);
    member_end(b);
    member_end(a);
}

static void
test_join__rejoin_seeds__asked_although_nobody_was_to_be_joined(void **state)
{
    struct member *a = start("a", 0), *b;
    char seed[64];

    snprintf(seed, sizeof(seed), "-memberlist.rejoin-seed-nodes=127.0.0.1:%u", member_port(a));
    b = member_start("b", (const char *const[]){"-memberlist.bind-addr=127.0.0.1", seed,
                                                "-memberlist.rejoin-interval=100ms", NULL});
    member_wait_count(a, PW_ML_STATE_ALIVE, 2);
    member_wait_count(b, PW_ML_STATE_ALIVE, 2);
    member_end(b);
    member_end(a);
}

static atomic_int terminated;

static void
on_term(int sig)
{
    terminated++;
}

static bool
is_terminated(void *ctx)
{
    return terminated > 0;
}

/* One seed that is there: enough for one, not for two. */
static void
test_join__fewer_seeds_than_wanted__the_process_ends(void **state)
{
    struct member *a = start("a", 0), *b;
    char join[64];
    const char *options[] = {"-memberlist.bind-addr=127.0.0.1", join,
                             "-memberlist.abort-if-fast-join-fails", NULL, NULL};

    snprintf(join, sizeof(join), "-memberlist.join=127.0.0.1:%u", member_port(a));
    signal(SIGTERM, on_term);
    b = member_start("b", options);
    member_wait_joined(b);
    assert_int_equal(terminated, 0);
    member_end(b);
    options[3] = "-memberlist.abort-if-fast-join-fails-min-nodes=2";
    b = member_start("c", options);
    member_wait(is_terminated, NULL);
    signal(SIGTERM, SIG_DFL);
    member_end(b);
    member_end(a);
}

static void
test_listen__two_addresses__reached_at_both(void **state)
{
    struct member *a =
        member_start("a", (const char *const[]){"-memberlist.bind-addr=127.0.0.1",
                                                "-memberlist.bind-addr=127.0.0.2", NULL});
    struct member *b = start("b", member_port(a)), *c;
    char join[64];

    snprintf(join, sizeof(join), "-memberlist.join=127.0.0.2:%u", member_port(a));
    c = member_start("c", (const char *const[]){"-memberlist.bind-addr=127.0.0.1", join, NULL});
    member_wait_count(a, PW_ML_STATE_ALIVE, 3);
    member_wait_count(b, PW_ML_STATE_ALIVE, 3);
    member_wait_count(c, PW_ML_STATE_ALIVE, 3);
    member_end(c);
    member_end(b);
    member_end(a);
}

static void
test_hostile__many_connections_of_garbage__others_still_join(void **state)
{
    struct member *a = start("a", 0), *b;
    int silent[8];

    for (size_t i = 0; i < PW_ARRAY_LEN(silent); i++) {
        silent[i] = member_connect(member_port(a));
    }
    for (int i = 0; i < HOSTILE; i++) {
        static const char garbage[] = "\x02\x06\x83GET / HTTP/1.1\r\n\r\n";
        int fd = member_connect(member_port(a));

        assert_true(send(fd, garbage + i % 3, sizeof(garbage) - 4, MSG_NOSIGNAL) > 0);
        close(fd);
    }
    b = start("b", member_port(a));
    member_wait_count(a, PW_ML_STATE_ALIVE, 2);
    for (size_t i = 0; i < PW_ARRAY_LEN(silent); i++) {
        close(silent[i]);
    }
    member_end(b);
    member_end(a);
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

    member_add_instance(a, "ing-0");
    check_page(a, "format=json", "\"Name\":\"a\\u003cb\",\"Addr\":\"127.0.0.1\",\"Port\":");
    check_page(a, "format=json", "\"collectors/ring\":{\"Version\":1,\"CodecID\":\"ringDesc\"");
    check_page(a, "", "a&lt;b (this)");
    check_page(a, "", "ing-0 ACTIVE");
    member_end(a);
}

static void
test_page__messages_kept__shown_until_deleted(void **state)
{
    struct member *a = member_start(
        "a", (const char *const[]){"-memberlist.bind-addr=127.0.0.1",
                                   "-memberlist.message-history-buffer-bytes=1MiB", NULL});

    member_add_instance(a, "ing-0");
    check_page(a, "format=json", "\"StoreSizes\":{\"collectors/ring\":");
    check_page(a, "format=json",
               "\"MessageHistoryBufferBytes\":1048576,\"SentMessages\":[{\"ID\":1,");
    check_page(a, "format=json", "\"Pair\":{\"key\":\"collectors/ring\",\"value\":\"");
    check_page(a, "format=json",
               "\"codec\":\"ringDesc\"},\"Version\":1,\"Changes\":[\"ing-0\"]}],"
               "\"ReceivedMessages\":null");
    check_page(a, "", "<td>collectors/ring</td>");
    check_page(a, "deleteMessages=true&format=json", "\"SentMessages\":null");
    check_page(a, "format=json", "\"SentMessages\":null");
    member_end(a);
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
        cmocka_unit_test(test_join__retries_without_end__a_seed_that_comes_late_is_found),
        cmocka_unit_test(test_join__rejoin_seeds__asked_although_nobody_was_to_be_joined),
        cmocka_unit_test(test_join__fewer_seeds_than_wanted__the_process_ends),
        cmocka_unit_test(test_listen__two_addresses__reached_at_both),
        cmocka_unit_test(test_hostile__many_connections_of_garbage__others_still_join),
        cmocka_unit_test(test_page__members_and_keys__for_people_and_tools),
        cmocka_unit_test(test_page__messages_kept__shown_until_deleted),
    };

    pw_log_set_level_ctl(PW_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
