#include "app/conduit.h"

#include "base/check.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- Life ----------------------------------------------------------------------------------------- */

void
pw_conduit_open(struct pw_conduit *s, int fd)
{
    *s = (struct pw_conduit){.fd = fd, .established = true};
}

bool
pw_conduit_secure(struct pw_conduit *s, SSL *ssl)
{
    s->established = false;
    s->needs = EPOLLIN; /* of who was dialed; who dials is told when it is connected */
    s->ssl = ssl;
    return ssl != NULL && SSL_set_fd(ssl, s->fd) == 1;
}

void
pw_conduit_close(struct pw_conduit *s)
{
    if (s->ssl != NULL) {
        if (s->established && !s->broken && !s->finishing) {
            ERR_clear_error();
            (void)SSL_shutdown(s->ssl); /* close_notify, where the socket takes it */
        }
        SSL_free(s->ssl);
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    *s = (struct pw_conduit){.fd = -1};
}

/* --- What TLS says -------------------------------------------------------------------------------- */

/* PW_EAGAIN, 0 when the other end said that it ends, else another negative. */
static int
judge(struct pw_conduit *s, int ret)
{
    switch (SSL_get_error(s->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        s->needs = EPOLLIN;
        return PW_EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        s->needs = EPOLLOUT;
        return PW_EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        s->broken = true;
        return PW_ECONNRESET;
    }
}

static enum pw_conduit_fault
fault_of(const SSL *ssl, unsigned long err)
{
    if (SSL_get_verify_result(ssl) != X509_V_OK) {
        return PW_CONDUIT_FAULT_CERTIFICATE;
    }
    if (ERR_GET_LIB(err) != ERR_LIB_SSL) { /* none: the socket failed */
        return err == 0 || ERR_GET_LIB(err) == ERR_LIB_SYS ? PW_CONDUIT_FAULT_CLOSED
                                                           : PW_CONDUIT_FAULT_OTHER;
    }
    if (ERR_GET_REASON(err) >= SSL_AD_REASON_OFFSET) {
        return PW_CONDUIT_FAULT_REFUSED;
    }
    switch (ERR_GET_REASON(err)) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return PW_CONDUIT_FAULT_CLOSED;
    case SSL_R_WRONG_VERSION_NUMBER: /* of a record, not of what it asks for */
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
        return PW_CONDUIT_FAULT_NOT_TLS;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
        return PW_CONDUIT_FAULT_NOTHING_SHARED;
    default:
        return PW_CONDUIT_FAULT_OTHER;
    }
}

static void
note_fault(struct pw_conduit *s)
{
    unsigned long err = ERR_peek_error();
    const char *text = ERR_reason_error_string(err);

    s->fault = fault_of(s->ssl, err);
    if (s->fault == PW_CONDUIT_FAULT_CERTIFICATE) {
        text = X509_verify_cert_error_string(SSL_get_verify_result(s->ssl));
    }
    s->fault_text = text != NULL ? text : "the connection ended";
}

int
pw_conduit_handshake(struct pw_conduit *s)
{
    int rc, ret;

    if (s->established) {
        return 0;
    }
    ERR_clear_error();
    s->needs = 0;
    ret = SSL_do_handshake(s->ssl);
    if (ret == 1) {
        s->established = true;
        return 0;
    }
    rc = judge(s, ret);
    if (rc == PW_EAGAIN) {
        return rc;
    }
    s->broken = true;
    note_fault(s);
    return PW_ECONNRESET;
}

/* --- Bytes ---------------------------------------------------------------------------------------- */

static int
socket_error(void)
{
    return errno == EAGAIN || errno == EINTR ? PW_EAGAIN : PW_ECONNRESET;
}

int64_t
pw_conduit_read(struct pw_conduit *s, void *buf, size_t cap)
{
    size_t n = 0;
    int ret;

    PW_INVARIANT(cap >= PW_CONDUIT_READ_MIN);
    if (s->ssl == NULL) {
        ssize_t got = recv(s->fd, buf, cap, 0);

        return got < 0 ? socket_error() : got;
    }
    ERR_clear_error();
    s->needs = 0;
    ret = SSL_read_ex(s->ssl, buf, cap, &n);
    return ret == 1 ? (int64_t)n : judge(s, ret);
}

int64_t
pw_conduit_write(struct pw_conduit *s, struct pw_slice bytes)
{
    size_t n = 0;
    int ret, rc;

    if (s->ssl == NULL) {
        ssize_t put = send(s->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        return put < 0 ? socket_error() : put;
    }
    ERR_clear_error();
    s->needs = 0;
    ret = SSL_write_ex(s->ssl, bytes.ptr, bytes.len, &n);
    if (ret == 1) {
        return (int64_t)n;
    }
    rc = judge(s, ret);
    return rc == 0 ? PW_ECONNRESET : rc;
}

int
pw_conduit_finish(struct pw_conduit *s)
{
    uint8_t unwanted[PW_CONDUIT_READ_MIN];
    int64_t n;
    int ret;

    if (s->ssl == NULL) {
        return 0;
    }
    if (!s->finishing) {
        ERR_clear_error();
        s->needs = 0;
        ret = SSL_shutdown(s->ssl);
        if (ret < 0) {
            return judge(s, ret) == PW_EAGAIN ? PW_EAGAIN : PW_ECONNRESET;
        }
        s->finishing = true;
        (void)shutdown(s->fd, SHUT_WR);
    }
    do {
        n = recv(s->fd, unwanted, sizeof(unwanted), 0); /* not for us to read any more */
    } while (n > 0);
    return n < 0 && socket_error() == PW_EAGAIN ? PW_EAGAIN : 0;
}

uint32_t
pw_conduit_events(const struct pw_conduit *s, uint32_t wanted)
{
    if (!s->established) {
        return s->needs;
    }
    if (s->finishing) {
        return EPOLLIN;
    }
    return wanted | s->needs;
}

const char *
pw_conduit_fault_name(enum pw_conduit_fault f)
{
    static const char *const name[] = {
#define PW_CONDUIT_FAULT(name, text) text,
        PW_CONDUIT_FAULTS(PW_CONDUIT_FAULT)
#undef PW_CONDUIT_FAULT
    };

    return name[f];
}
