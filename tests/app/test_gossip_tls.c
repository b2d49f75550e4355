/* Members over TLS: who trusts whom, what bad options say at start, and what the counters say of who does not get
 * in. Certificates are made by openssl(1) at the start; without it the test is skipped. */
#include "base/log.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/gossip_member.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXTRA_MAX = 6, SILENT = 12 };

static char dir[] = "/tmp/pyrowire-tls.XXXXXX";

static int
run(const char *command)
{
    int rc = system(command); /* NOLINT: our own words */

    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

static int
make_files(void)
{
    char command[512];

    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(command, sizeof(command), "bash %s %s 127.0.0.1 ::1", PW_TLS_FILES, dir);
    return run(command);
}

static void
remove_files(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    (void)run(command);
}

/* The options of a member that has the certificate `own` and trusts what `ca` signed. */
struct options {
    char text[EXTRA_MAX + 6][160];
    const char *list[EXTRA_MAX + 7];
    uint32_t count;
};

static void
add(struct options *o, const char *flag, const char *value)
{
    assert_true(o->count < EXTRA_MAX + 6);
    snprintf(o->text[o->count], sizeof(o->text[0]), "-memberlist.%s=%s", flag, value);
    o->list[o->count] = o->text[o->count];
    o->count++;
}

static void
add_file(struct options *o, const char *flag, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    add(o, flag, path);
}

static struct options
at(const char *address, uint16_t seed)
{
    struct options o = {0};
    char join[64];

    add(&o, "bind-addr", address);
    snprintf(join, sizeof(join), strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u", address, seed);
    if (seed != 0) {
        add(&o, "join", join);
    }
    return o;
}

static struct options
secure(const char *address, uint16_t seed, const char *own, const char *ca)
{
    struct options o = at(address, seed);
    char name[32];

    add(&o, "tls-enabled", "true");
    snprintf(name, sizeof(name), "%s.pem", own);
    add_file(&o, "tls-cert-path", name);
    snprintf(name, sizeof(name), "%s.key", own);
    add_file(&o, "tls-key-path", name);
    snprintf(name, sizeof(name), "%s.pem", ca);
    add_file(&o, "tls-ca-path", name);
    return o;
}

static struct member *
start(const char *name, struct options o)
{
    for (uint32_t i = 0; i < o.count; i++) {
        o.list[i] = o.text[i]; /* o is a copy */
    }
    return member_start(name, o.list);
}

static uint64_t
failed(const struct member *m, enum pw_conduit_fault fault)
{
    return m->app.gossip->handshakes_failed[fault];
}

struct fault {
    const struct member *m;
    enum pw_conduit_fault fault;
    uint64_t n;
};

static bool
has_failed(void *ctx)
{
    const struct fault *f = ctx;

    return failed(f->m, f->fault) >= f->n;
}

static void
wait_failed(const struct member *m, enum pw_conduit_fault fault, uint64_t n)
{
    member_wait(has_failed, &(struct fault){.m = m, .fault = fault, .n = n});
}

/* --- Who gets in ---------------------------------------------------------------------------------- */

static void
check_cluster(struct member *a, struct member *b, struct member *c)
{
    member_check_three(a, b, c);
    assert_true(a->app.gossip->handshakes > 0);
    for (enum pw_conduit_fault f = 0; f < PW_CONDUIT_FAULT_COUNT; f++) {
        assert_int_equal(failed(a, f) + failed(b, f) + failed(c, f), 0);
    }
    member_end(c);
    member_end(b);
    member_end(a);
}

static void
join_three(const char *address)
{
    struct member *a = start("a", secure(address, 0, "node", "ca")), *b, *c;

    member_add_instance(a, "from-a");
    b = start("b", secure(address, member_port(a), "node", "ca"));
    member_wait_joined(b);
    assert_true(member_has_instance(b, "from-a"));
    c = start("c", secure(address, member_port(b), "node", "ca"));
    check_cluster(a, b, c);
}

static void
test_join__three_that_trust_each_other__one_cluster(void **state)
{
    join_three("127.0.0.1");
}

static void
test_join__three_over_ip6__one_cluster(void **state)
{
    member_need_ip6();
    join_three("::1");
}

/* By name, at TLS 1.2 up with one suite, at 1.3 alone, and with one that is in ca.pem's place itself. */
static void
test_join__name_versions_suites_differ_but_fit__one_cluster(void **state)
{
    struct options o = secure("127.0.0.1", 0, "named", "ca");
    struct member *a, *b, *c;

    add(&o, "tls-server-name", "gossip.test");
    a = start("a", o);
    o = secure("127.0.0.1", member_port(a), "named", "ca");
    add(&o, "tls-server-name", "gossip.test");
    add(&o, "tls-cipher-suites",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256");
    b = start("b", o);
    o = secure("127.0.0.1", member_port(a), "named", "named"); /* trusts that certificate alone */
    add(&o, "tls-server-name", "gossip.test");
    add(&o, "tls-min-version", "VersionTLS13");
    c = start("c", o);
    check_cluster(a, b, c);
}

static void
check_refused(struct member *a, struct member *b)
{
    member_wait_joined(b); /* has tried, and goes on alone */
    assert_int_equal(member_count(a, PW_ML_STATE_ALIVE), 1);
    assert_int_equal(member_count(b, PW_ML_STATE_ALIVE), 1);
    assert_int_equal(a->app.gossip->handshakes + b->app.gossip->handshakes, 0);
    member_end(b);
    member_end(a);
}

static void
test_join__another_authority__neither_joins_and_counters_say_why(void **state)
{
    struct member *a = start("a", secure("127.0.0.1", 0, "node", "ca"));
    struct member *b = start("b", secure("127.0.0.1", member_port(a), "foreign", "other-ca"));

    wait_failed(b, PW_CONDUIT_FAULT_CERTIFICATE, 1);
    wait_failed(a, PW_CONDUIT_FAULT_REFUSED, 1);
    check_refused(a, b);
}

static void
test_join__certificate_is_not_for_the_address__refused(void **state)
{
    struct member *a = start("a", secure("127.0.0.1", 0, "named", "ca"));
    struct member *b = start("b", secure("127.0.0.1", member_port(a), "node", "ca"));

    wait_failed(b, PW_CONDUIT_FAULT_CERTIFICATE, 1);
    check_refused(a, b);
}

static void
test_join__certificate_is_not_for_the_name__refused(void **state)
{
    struct member *a = start("a", secure("127.0.0.1", 0, "node", "ca"));
    struct options o = secure("127.0.0.1", member_port(a), "node", "ca");
    struct member *b;

    add(&o, "tls-server-name", "node"); /* its common name, which does not count */
    b = start("b", o);
    wait_failed(b, PW_CONDUIT_FAULT_CERTIFICATE, 1);
    check_refused(a, b);
}

static void
test_join__without_verifying__whoever_it_is(void **state)
{
    struct options o = secure("127.0.0.1", 0, "node", "ca");
    struct member *a, *b;

    add(&o, "tls-insecure-skip-verify", "true");
    a = start("a", o);
    o = secure("127.0.0.1", member_port(a), "foreign", "other-ca");
    add(&o, "tls-insecure-skip-verify", "true");
    b = start("b", o);
    member_wait_count(a, PW_ML_STATE_ALIVE, 2);
    member_wait_count(b, PW_ML_STATE_ALIVE, 2);
    member_end(b);
    member_end(a);
}

static void
test_join__in_plain_text__neither_joins(void **state)
{
    struct member *a = start("a", secure("127.0.0.1", 0, "node", "ca"));
    struct member *b = start("b", at("127.0.0.1", member_port(a)));

    wait_failed(a, PW_CONDUIT_FAULT_NOT_TLS, 1);
    check_refused(a, b);
}

static void
test_join__seed_speaks_plain_text__neither_joins(void **state)
{
    struct member *a = start("a", at("127.0.0.1", 0));
    struct member *b = start("b", secure("127.0.0.1", member_port(a), "node", "ca"));

    wait_failed(b, PW_CONDUIT_FAULT_CLOSED, 1);
    check_refused(a, b);
}

static void
test_join__older_version__refused(void **state)
{
    struct options o = secure("127.0.0.1", 0, "node", "ca");
    struct member *a;
    char command[128];

    add(&o, "tls-min-version", "VersionTLS13");
    a = start("a", o);
    snprintf(command, sizeof(command),
             "openssl s_client -tls1_2 -connect 127.0.0.1:%u > /dev/null 2>&1 < /dev/null",
             member_port(a));
    assert_int_not_equal(run(command), 0);
    wait_failed(a, PW_CONDUIT_FAULT_NOTHING_SHARED, 1);
    member_end(a);
}

/* --- Who stalls ----------------------------------------------------------------------------------- */

/* A third of them says nothing, a third the head of a record, a third begins a ClientHello. */
static void
test_handshake__stalls__others_join_and_it_is_cut(void **state)
{
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    struct options o = secure("127.0.0.1", 0, "node", "ca");
    struct member *a, *b;
    int fd[SILENT];

    add(&o, "stream-timeout", "1s");
    add(&o, "packet-write-timeout", "1s");
    a = start("a", o);
    for (int i = 0; i < SILENT; i++) {
        size_t n = (size_t)(i % 3) * 5;

        fd[i] = member_connect(member_port(a));
        assert_int_equal(send(fd[i], hello, n, MSG_NOSIGNAL), n);
    }
    b = start("b", secure("127.0.0.1", member_port(a), "node", "ca"));
    member_wait_count(a, PW_ML_STATE_ALIVE, 2);
    member_wait_count(b, PW_ML_STATE_ALIVE, 2);
    wait_failed(a, PW_CONDUIT_FAULT_TIMEOUT, SILENT);
    for (int i = 0; i < SILENT; i++) {
        char c;

        assert_true(recv(fd[i], &c, 1, 0) <= 0); /* cut, not merely counted */
        close(fd[i]);
    }
    member_end(b);
    member_end(a);
}

/* --- Bad options ---------------------------------------------------------------------------------- */

static void
check_why(struct options o, const char *flag, const char *what)
{
    struct pw_text why;

    for (uint32_t i = 0; i < o.count; i++) {
        o.list[i] = o.text[i];
    }
    pw_text_init(&why, 1 << 12);
    assert_null(member_try("a", o.list, &why));
    pw_text_char(&why, 0);
    if (strstr((const char *)why.ptr, flag) == NULL ||
        strstr((const char *)why.ptr, what) == NULL) {
        fail_msg("\"%s\" says nothing of %s or %s", (const char *)why.ptr, flag, what);
    }
    pw_text_fini(&why);
}

static void
test_start__file_is_missing__named(void **state)
{
    static const char *const flag[] = {"tls-cert-path", "tls-key-path", "tls-ca-path"};

    for (size_t i = 0; i < PW_ARRAY_LEN(flag); i++) {
        struct options o = secure("127.0.0.1", 0, "node", "ca");
        char dashed[64];

        add_file(&o, flag[i], "nowhere.pem"); /* the last one counts */
        snprintf(dashed, sizeof(dashed), "-memberlist.%s ", flag[i]);
        check_why(o, dashed, "/nowhere.pem: No such file");
    }
}

static void
test_start__file_is_not_given__named(void **state)
{
    struct options o = secure("127.0.0.1", 0, "node", "ca");

    add(&o, "tls-key-path", "");
    check_why(o, "-memberlist.tls-key-path", "needed");
    o = at("127.0.0.1", 0);
    add(&o, "tls-enabled", "true");
    check_why(o, "-memberlist.tls-cert-path", "needed");
}

static void
test_start__file_holds_something_else__named(void **state)
{
    struct options o = secure("127.0.0.1", 0, "node", "ca");

    add_file(&o, "tls-cert-path", "node.key");
    check_why(o, "-memberlist.tls-cert-path ", "/node.key: ");
    o = secure("127.0.0.1", 0, "node", "ca");
    add_file(&o, "tls-key-path", "node.pem");
    check_why(o, "-memberlist.tls-key-path ", "/node.pem: ");
    o = secure("127.0.0.1", 0, "node", "ca");
    add_file(&o, "tls-ca-path", "ca.key");
    check_why(o, "-memberlist.tls-ca-path ", "/ca.key: ");
}

static void
test_start__key_does_not_fit__named(void **state)
{
    struct options o = secure("127.0.0.1", 0, "node", "ca");

    add_file(&o, "tls-key-path", "named.key");
    check_why(o, "-memberlist.tls-key-path ", "/named.key: not the key");
}

/* Nobody is asked for the passphrase: the process would hang at its start. */
static void
test_start__key_is_locked__named(void **state)
{
    struct options o = secure("127.0.0.1", 0, "node", "ca");

    add_file(&o, "tls-key-path", "locked.key");
    check_why(o, "-memberlist.tls-key-path ", "/locked.key: ");
}

static void
test_start__unknown_version_or_suite__named(void **state)
{
    struct options o = secure("127.0.0.1", 0, "node", "ca");

    add(&o, "tls-min-version", "1.2");
    check_why(o, "-memberlist.tls-min-version 1.2", "VersionTLS12");
    o = secure("127.0.0.1", 0, "node", "ca");
    add(&o, "tls-cipher-suites", "TLS_AES_128_GCM_SHA256,TLS_NOTHING");
    check_why(o, "-memberlist.tls-cipher-suites TLS_NOTHING", "no cipher suite");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join__three_that_trust_each_other__one_cluster),
        cmocka_unit_test(test_join__three_over_ip6__one_cluster),
        cmocka_unit_test(test_join__name_versions_suites_differ_but_fit__one_cluster),
        cmocka_unit_test(test_join__another_authority__neither_joins_and_counters_say_why),
        cmocka_unit_test(test_join__certificate_is_not_for_the_address__refused),
        cmocka_unit_test(test_join__certificate_is_not_for_the_name__refused),
        cmocka_unit_test(test_join__without_verifying__whoever_it_is),
        cmocka_unit_test(test_join__in_plain_text__neither_joins),
        cmocka_unit_test(test_join__seed_speaks_plain_text__neither_joins),
        cmocka_unit_test(test_join__older_version__refused),
        cmocka_unit_test(test_handshake__stalls__others_join_and_it_is_cut),
        cmocka_unit_test(test_start__file_is_missing__named),
        cmocka_unit_test(test_start__file_is_not_given__named),
        cmocka_unit_test(test_start__file_holds_something_else__named),
        cmocka_unit_test(test_start__key_does_not_fit__named),
        cmocka_unit_test(test_start__key_is_locked__named),
        cmocka_unit_test(test_start__unknown_version_or_suite__named),
    };
    int rc = make_files();

    if (rc == 0) {
        pw_log_set_level_ctl(PW_LOG_ERROR);
        signal(SIGPIPE, SIG_IGN);
        rc = cmocka_run_group_tests(tests, NULL, NULL);
    }
    remove_files();
    return rc;
}
