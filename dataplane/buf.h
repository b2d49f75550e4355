/* dataplane/buf.h - mbufs as receive buffers: putting small ones together.
 *
 * Purpose  keep a sender of one-byte segments from pinning a buffer a byte.
 * Owner    as said at each function.
 * Context  hot.
 * Units    bytes.
 * Errors   -
 * Limits   -
 */
#ifndef PW_DATAPLANE_BUF_H
#define PW_DATAPLANE_BUF_H

#include "base/types.h"

#include <rte_mbuf.h>

/* Appends the payload of m (one buffer) to tail (one buffer of ours alone) when it fits. Takes m
 * then, frees it and returns true; else returns false and m stays the caller's. */
static inline bool
pw_buf_coalesce(struct rte_mbuf *tail, struct rte_mbuf *m)
{
    if (m->data_len > rte_pktmbuf_tailroom(tail)) {
        return false;
    }
    memcpy(rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len),
           rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
    tail->data_len = (uint16_t)(tail->data_len + m->data_len);
    tail->pkt_len = tail->data_len;
    rte_pktmbuf_free_seg(m);
    return true;
}

#endif
