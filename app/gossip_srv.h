/* app/gossip_srv.h - SRV records (RFC 2782): which hosts serve a name, and on which ports.
 *
 * Purpose  dnssrv+ names of -memberlist.join.
 * Owner    the caller; nothing is kept.
 * Context  look_up: blocks as the resolver does, a thread of its own. parse: pure.
 * Units    -
 * Errors   PW_EPROTO: the answer is none; PW_EIO: nobody answered, or the name is not there.
 * Limits   GOSSIP_SRV_NAME_BYTES; records beyond the array are left out, in the order they came: each is asked, so
 *          priority and weight do not matter.
 */
#ifndef PW_APP_GOSSIP_SRV_H
#define PW_APP_GOSSIP_SRV_H

#include "base/err.h"
#include "base/types.h"

enum { GOSSIP_SRV_NAME_BYTES = 256 };

struct gossip_srv {
    char target[GOSSIP_SRV_NAME_BYTES];
    uint16_t port;
};

/* A count, or an error. */
PW_MUST_USE int gossip_srv_look_up(const char *name, struct gossip_srv *out, uint32_t cap);
/* The same of an answer (RFC 1035 4.1). Other records in it are skipped. */
PW_MUST_USE int gossip_srv_parse(const uint8_t *answer, size_t len, struct gossip_srv *out,
                                 uint32_t cap);

#endif
