/* One contract, in plain text and in TLS, over a pair of sockets: whoever reads finds what was written, to its end
 * and not behind it. */
#include "app/conduit.h"
#include "tests/support/cmocka_pw.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 3 << 20, TURNS_MAX = 1 << 20 };

static char dir[] = "/tmp/pyrowire-conduit.XXXXXX";
static struct pw_tls *keys;

static int
run(const char *command)
{
    int rc = system(command); /* NOLINT: our own words */

    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

static int
open_keys(void)
{
    char command[512], cert[64], key[64], ca[64];
    struct pw_tls_cfg cfg = {.flags = "x.",
                             .cert_path = cert,
                             .key_path = key,
                             .ca_path = ca,
                             .server_name = "",
                             .cipher_suites = "",
                             .min_version = ""};
    struct pw_text why;
    int rc;

    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(command, sizeof(command), "bash %s %s 127.0.0.1", PW_TLS_FILES, dir);
    rc = run(command);
    if (rc != 0) {
        return rc;
    }
    snprintf(cert, sizeof(cert), "%s/node.pem", dir);
    snprintf(key, sizeof(key), "%s/node.key", dir);
    snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
    pw_text_init(&why, 1 << 12);
    rc = pw_tls_open_ctl(&keys, &cfg, &why);
    pw_text_fini(&why);
    return rc;
}

static void
remove_files(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    (void)run(command);
}

/* [0] dialed, [1] accepted. */
static void
open_pair(struct pw_conduit c[2], bool tls)
{
    int fd[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    for (int i = 0; i < 2; i++) {
        pw_conduit_open(&c[i], fd[i]);
    }
    if (tls) {
        assert_true(pw_conduit_secure(&c[0], pw_tls_dial(keys, "127.0.0.1")));
        assert_true(pw_conduit_secure(&c[1], pw_tls_accept(keys)));
    }
}

/* Turn by turn, as far as each can. */
static void
shake_hands(struct pw_conduit c[2])
{
    int rc[2] = {PW_EAGAIN, PW_EAGAIN};

    for (int turn = 0; turn < 100 && (rc[0] == PW_EAGAIN || rc[1] == PW_EAGAIN); turn++) {
        for (int i = 0; i < 2; i++) {
            rc[i] = pw_conduit_handshake(&c[i]);
            assert_true(rc[i] == 0 || (rc[i] == PW_EAGAIN && pw_conduit_events(&c[i], 0) != 0));
        }
    }
    assert_int_equal(rc[0], 0);
    assert_int_equal(rc[1], 0);
}

static uint8_t
byte_at(size_t i)
{
    return (uint8_t)(i * 2654435761U >> 13);
}

/* More than the socket holds goes through whole, and its end is seen behind the last byte. */
static void
transfer(bool tls)
{
    struct pw_conduit c[2];
    uint8_t *sent = malloc(BYTES);
    uint8_t *buf = malloc(1 << 16);
    size_t written = 0, read = 0;
    bool full = false, ended = false;
    int fin = PW_EAGAIN;

    assert_non_null(sent);
    assert_non_null(buf);
    for (size_t i = 0; i < BYTES; i++) {
        sent[i] = byte_at(i);
    }
    open_pair(c, tls);
    shake_hands(c);
    for (int turn = 0; turn < TURNS_MAX && !ended; turn++) {
        int64_t n = PW_EAGAIN;

        if (written < BYTES) {
            n = pw_conduit_write(&c[0], pw_slice(sent + written, BYTES - written));
            assert_true(n > 0 || n == PW_EAGAIN);
            full = full || n == PW_EAGAIN;
            assert_true(n > 0 || (pw_conduit_events(&c[0], EPOLLOUT) & EPOLLOUT));
            written += n > 0 ? (size_t)n : 0;
        } else if (fin == PW_EAGAIN) {
            fin = pw_conduit_finish(&c[0]);
            assert_true(fin == 0 || (tls && fin == PW_EAGAIN)); /* until the other end has closed */
            if (!tls) {
                pw_conduit_close(&c[0]);
            }
        }
        if (n > 0) {
            continue; /* until it is full */
        }
        n = pw_conduit_read(&c[1], buf, 1 << 16);
        assert_true(n >= 0 || n == PW_EAGAIN);
        ended = n == 0;
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(buf[i], byte_at(read + (size_t)i));
        }
        read += n > 0 ? (size_t)n : 0;
    }
    assert_true(full); /* else this proves less than it says */
    assert_true(ended);
    assert_int_equal(read, BYTES);
    pw_conduit_close(&c[1]);
    if (tls) {
        assert_int_equal(pw_conduit_finish(&c[0]), 0);
        pw_conduit_close(&c[0]);
    }
    free(sent);
    free(buf);
}

static void
test_transfer__plain__whole(void **state)
{
    transfer(false);
}

static void
test_transfer__tls__whole(void **state)
{
    transfer(true);
}

/* Whoever can cut a connection must not make half of a message look whole. */
static void
test_read__cut_without_a_goodbye__broken(void **state)
{
    uint8_t buf[PW_CONDUIT_READ_MIN];
    struct pw_conduit c[2];

    open_pair(c, true);
    shake_hands(c);
    assert_int_equal(pw_conduit_write(&c[0], PW_SLICE_LIT("half")), 4);
    shutdown(c[0].fd, SHUT_WR);
    assert_int_equal(pw_conduit_read(&c[1], buf, sizeof(buf)), 4);
    assert_int_equal(pw_conduit_read(&c[1], buf, sizeof(buf)), PW_ECONNRESET);
    pw_conduit_close(&c[0]);
    pw_conduit_close(&c[1]);
}

/* One bit of what is on the wire flipped. */
static void
test_read__forged__broken(void **state)
{
    uint8_t buf[PW_CONDUIT_READ_MIN];
    struct pw_conduit c[2];
    ssize_t n;

    open_pair(c, true);
    shake_hands(c);
    assert_int_equal(pw_conduit_write(&c[0], PW_SLICE_LIT("true")), 4);
    n = recv(c[1].fd, buf, sizeof(buf), 0);
    assert_true(n > 5);
    buf[n - 1] ^= 1;
    assert_int_equal(send(c[0].fd, buf, (size_t)n, MSG_NOSIGNAL), n);
    assert_int_equal(pw_conduit_read(&c[1], buf, sizeof(buf)), PW_ECONNRESET);
    pw_conduit_close(&c[0]);
    pw_conduit_close(&c[1]);
}

static void
check_handshake(struct pw_slice from_other, bool closes, enum pw_conduit_fault fault)
{
    struct pw_conduit c[2];
    int rc;

    open_pair(c, false);
    assert_true(pw_conduit_secure(&c[1], pw_tls_accept(keys)));
    assert_int_equal(pw_conduit_handshake(&c[1]), PW_EAGAIN);
    assert_int_equal(pw_conduit_events(&c[1], 0), EPOLLIN);
    if (from_other.len > 0) {
        assert_int_equal(pw_conduit_write(&c[0], from_other), from_other.len);
    }
    if (closes) {
        shutdown(c[0].fd, SHUT_WR);
    }
    rc = pw_conduit_handshake(&c[1]);
    assert_int_equal(rc, PW_ECONNRESET);
    assert_string_equal(pw_conduit_fault_name(c[1].fault), pw_conduit_fault_name(fault));
    assert_true(c[1].fault_text[0] != 0);
    pw_conduit_close(&c[0]);
    pw_conduit_close(&c[1]);
}

static void
test_handshake__with_what_is_no_tls__says_so(void **state)
{
    check_handshake(PW_SLICE_LIT("GET / HTTP/1.1\r\n\r\n"), false, PW_CONDUIT_FAULT_NOT_TLS);
    check_handshake(PW_SLICE_LIT("\x01\x0f"
                                 "127.0.0.1:12345\x08"),
                    false, PW_CONDUIT_FAULT_NOT_TLS);
    check_handshake(PW_SLICE_LIT("\x02\x06\x83\xa5Nodes"), false, PW_CONDUIT_FAULT_NOT_TLS);
    check_handshake(PW_SLICE_LIT(""), true, PW_CONDUIT_FAULT_CLOSED);
    check_handshake(PW_SLICE_LIT("\x16\x03\x01\x02\x00\x01"), true, PW_CONDUIT_FAULT_CLOSED);
}

static void
test_close__never_opened_or_never_shaken__nothing_happens(void **state)
{
    struct pw_conduit none = {.fd = -1}, c[2];

    pw_conduit_close(&none);
    open_pair(c, true);
    pw_conduit_close(&c[0]);
    pw_conduit_close(&c[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer__plain__whole),
        cmocka_unit_test(test_transfer__tls__whole),
        cmocka_unit_test(test_read__cut_without_a_goodbye__broken),
        cmocka_unit_test(test_read__forged__broken),
        cmocka_unit_test(test_handshake__with_what_is_no_tls__says_so),
        cmocka_unit_test(test_close__never_opened_or_never_shaken__nothing_happens),
    };
    int rc = open_keys();

    if (rc == 0) {
        signal(SIGPIPE, SIG_IGN);
        rc = cmocka_run_group_tests(tests, NULL, NULL);
    }
    pw_tls_close_ctl(keys);
    remove_files();
    return rc;
}
