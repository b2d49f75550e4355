/* perf/link_mix.h - the mix as what crosses a peer link, in each of the forms that could.
 *
 * Purpose  `mix` and `store` of perf/link_peer.c: what both ends do with a profile beside sending it.
 * Owner    the process; one thread.
 * Context  perf only.
 * Units    microseconds, bytes.
 * Errors   load: false, what is missing was printed. take: false, not what the form says.
 * Limits   as many requests in flight as the mix has files.
 *
 * record: the record as it lies in the lane, with the gzip body for the other end's log in it, as an appliance sends
 *         it; the receiver copies it into its lane and checks it.
 * lz4:    the record alone in lz4's block format, packed when it is sent; the receiver unpacks and checks it.
 * gzip:   the body and what was decided about it; the receiver unpacks, walks and builds the record again.
 */
#ifndef PW_PERF_LINK_MIX_H
#define PW_PERF_LINK_MIX_H

#include "base/types.h"

struct link_mix;

struct link_mix *link_mix_load(const char *form);
/* The yardstick: unpacking one body, the mean of the mix, the least of some rounds. */
double link_mix_unpack_us(struct link_mix *m);
/* Of profile i, valid until as many others as the mix has files were asked for. */
struct pw_slice link_mix_give(struct link_mix *m, uint32_t i);
bool link_mix_take(struct link_mix *m, struct pw_slice bytes);
uint32_t link_mix_files(const struct link_mix *m);

#endif
