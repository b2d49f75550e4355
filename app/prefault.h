/* app/prefault.h - memory of the heads, made real before an ingester writes there.
 *
 * Purpose  a polling core must not wait for the kernel to find and clear a page.
 * Owner    a thread of its own on the background CPUs; it sleeps until a core that has used up half of what was made
 *          ready rings, PW_PREFAULT_PERIOD_MS at most: heads that are new are touched then.
 * Context  start and stop: control thread. The catalog outlives it.
 * Units    -
 * Errors   start: PW_ENOMEM, or what pthread_create says.
 * Limits   -ingester.head.prefault-bytes ahead in each head. On a machine with several nodes the pages come from the
 *          node of the background CPU it ran on.
 */
#ifndef PW_APP_PREFAULT_H
#define PW_APP_PREFAULT_H

#include "base/err.h"

#include <stddef.h>

enum { PW_PREFAULT_PERIOD_MS = 250 };

struct pw_bell;
struct pw_catalog;
struct pw_plan;
struct pw_prefault;

/* Borrows the catalog: what is listed there is what is written to, or was. */
PW_MUST_USE int pw_prefault_start_ctl(struct pw_prefault **p, struct pw_catalog *catalog,
                                      size_t ahead, const struct pw_plan *plan);
/* Rung by the cores. */
struct pw_bell *pw_prefault_bell(struct pw_prefault *p);
void pw_prefault_stop_ctl(struct pw_prefault *p);

#endif
