#include "app/gossip_srv.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>

enum {
    ANSWER_BYTES_MAX = 65535,
    SRV_FIXED_BYTES = 6, /* priority, weight, port */
};

/* RFC 2782: a target of "." says that there is no such service. */
static bool
take(ns_msg *msg, const ns_rr *rr, struct gossip_srv *out)
{
    const uint8_t *p = ns_rr_rdata(*rr);

    if (ns_rr_type(*rr) != ns_t_srv || ns_rr_rdlen(*rr) <= SRV_FIXED_BYTES) {
        return false;
    }
    out->port = pw_load_be16(p + 4);
    return ns_name_uncompress(ns_msg_base(*msg), ns_msg_end(*msg), p + SRV_FIXED_BYTES, out->target,
                              sizeof(out->target)) > 0 &&
           out->target[0] != 0 && strcmp(out->target, ".") != 0 && out->port != 0;
}

int
gossip_srv_parse(const uint8_t *answer, size_t len, struct gossip_srv *out, uint32_t cap)
{
    uint32_t n = 0;
    ns_msg msg;
    ns_rr rr;

    if (len > ANSWER_BYTES_MAX || ns_initparse(answer, (int)len, &msg) != 0) {
        return PW_EPROTO;
    }
    for (int i = 0; i < ns_msg_count(msg, ns_s_an) && n < cap; i++) {
        if (ns_parserr(&msg, ns_s_an, i, &rr) != 0) {
            return PW_EPROTO;
        }
        n += take(&msg, &rr, &out[n]);
    }
    return (int)n;
}

int
gossip_srv_look_up(const char *name, struct gossip_srv *out, uint32_t cap)
{
    uint8_t *answer = malloc(ANSWER_BYTES_MAX);
    struct __res_state state = {0};
    int n = -1;

    if (answer == NULL) {
        return PW_ENOMEM;
    }
    if (res_ninit(&state) == 0) {
        n = res_nsearch(&state, name, ns_c_in, ns_t_srv, answer, ANSWER_BYTES_MAX);
        res_nclose(&state);
    }
    n = n > ANSWER_BYTES_MAX ? ANSWER_BYTES_MAX : n;
    n = n < 0 ? PW_EIO : gossip_srv_parse(answer, (size_t)n, out, cap);
    free(answer);
    return n;
}
