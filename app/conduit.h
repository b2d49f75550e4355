/* app/conduit.h - one non-blocking connection, in plain text or in TLS, under one contract.
 *
 * Purpose  who reads and writes it need not know which it is.
 * Owner    the thread whose socket it is.
 * Context  cold; never waits. Writes to who is gone raise SIGPIPE, which must be ignored (app/main.c).
 * Units    bytes.
 * Errors   PW_EAGAIN: again when epoll says so for pw_conduit_events. Another negative value: nothing more comes
 *          of this connection; of a handshake pw_conduit_fault and _fault_text say why.
 * Limits   buffers of reads are PW_CONDUIT_READ_MIN at least: what TLS has decrypted must not stay with it,
 *          where epoll does not see it.
 */
#ifndef PW_APP_CONDUIT_H
#define PW_APP_CONDUIT_H

#include "app/tls.h"

enum { PW_CONDUIT_READ_MIN = 16 << 10 }; /* RFC 8446 5.1: the longest record */

/* Why a handshake failed; the texts are labels of a metric. */
#define PW_CONDUIT_FAULTS(X)                                                                       \
    X(CERTIFICATE, "certificate")       /* that of who was dialed does not verify */               \
    X(REFUSED, "refused")               /* the other end said no, by an alert */                   \
    X(NOT_TLS, "not_tls")               /* it does not speak TLS */                                \
    X(NOTHING_SHARED, "nothing_shared") /* no version or cipher suite in common */                 \
    X(CLOSED, "closed")                 /* it went away */                                         \
    X(TIMEOUT, "timeout")               /* it was silent; its owner says so */                     \
    X(OTHER, "other")

enum pw_conduit_fault {
#define PW_CONDUIT_FAULT(name, text) PW_CONDUIT_FAULT_##name,
    PW_CONDUIT_FAULTS(PW_CONDUIT_FAULT)
#undef PW_CONDUIT_FAULT
        PW_CONDUIT_FAULT_COUNT
};

struct pw_conduit {
    int fd;             /* -1 none */
    struct ssl_st *ssl; /* NULL: plain text */
    bool established;   /* hands were shaken */
    bool finishing;
    bool broken; /* no alert may follow */
    uint32_t needs;
    enum pw_conduit_fault fault;
    const char *fault_text; /* static */
};

/* Takes fd, a non-blocking socket, in plain text. */
void pw_conduit_open(struct pw_conduit *s, int fd);
/* From here on it is TLS; ssl is taken, of pw_tls_accept or pw_tls_dial. False: it was NULL or no memory. */
PW_MUST_USE bool pw_conduit_secure(struct pw_conduit *s, struct ssl_st *ssl);
/* -1 in fd is none and fine. */
void pw_conduit_close(struct pw_conduit *s);

/* 0: read and write now. Once the socket is connected. */
PW_MUST_USE int pw_conduit_handshake(struct pw_conduit *s);
/* Bytes; 0: the other end writes no more. */
PW_MUST_USE int64_t pw_conduit_read(struct pw_conduit *s, void *buf, size_t cap);
/* Bytes taken, 1 at least. What was refused with PW_EAGAIN must be offered again. */
PW_MUST_USE int64_t pw_conduit_write(struct pw_conduit *s, struct pw_slice bytes);
/* All is written. 0: closing it loses nothing now. TLS waits for the other end to close: what that sent
 * behind the handshake and nobody read would make the kernel reset the connection, and lose what was written. */
PW_MUST_USE int pw_conduit_finish(struct pw_conduit *s);
/* What to ask of epoll for someone who wants these. */
uint32_t pw_conduit_events(const struct pw_conduit *s, uint32_t wanted);

const char *pw_conduit_fault_name(enum pw_conduit_fault f);

#endif
