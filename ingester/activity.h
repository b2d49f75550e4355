/* ingester/activity.h - which series of which tenant are active, whatever head they are in.
 *
 * Purpose  the limit of active series goes on when a head is cut: the fresh one knows no series yet, but
 *          those that had a profile a moment ago still count (write-path.md 8: active for 10 min).
 * Owner    the ingester core that writes the heads; created and destroyed by the control thread.
 * Context  hot: no malloc, no system call but the fault of a page that is written for the first time.
 * Units    ns of the monotonic clock: no series grows old because a clock is set.
 * Errors   when its memory is used up, series that are new are not counted: their tenant may have more.
 * Limits   PW_ACTIVITY_BYTES of address space, touched as used: some four million series at once.
 */
#ifndef PW_INGESTER_ACTIVITY_H
#define PW_INGESTER_ACTIVITY_H

#include "base/err.h"
#include "base/types.h"

#define PW_ACTIVITY_BYTES ((size_t)256 << 20)

struct pw_activity;

/* Who is meant: a keyed hash, and where it was found last. Zero but for the key to begin with. Tenants have
 * even keys and series odd ones (pw_activity_series_key), in which their tenant's is. */
struct pw_activity_ref {
    uint64_t key;
    uint32_t id_1;
    uint32_t pad;
};

uint64_t pw_activity_tenant_key(uint64_t hash);
uint64_t pw_activity_series_key(uint64_t tenant_key, uint64_t hash);

PW_MUST_USE int pw_activity_create_ctl(struct pw_activity **out);
void pw_activity_destroy_ctl(struct pw_activity *a);

/* It is mono_ns. Forgets series that were idle for longer than idle_ns. all: every one, else a few, so that no
 * append pays for many. */
void pw_activity_expire(struct pw_activity *a, int64_t mono_ns, int64_t idle_ns, bool all);
/* The tenant's active series. */
uint64_t pw_activity_count(const struct pw_activity *a, struct pw_activity_ref *tenant);
bool pw_activity_is_active(const struct pw_activity *a, struct pw_activity_ref *series);
/* A row of the series was written: active from now on. */
void pw_activity_touch(struct pw_activity *a, struct pw_activity_ref *tenant,
                       struct pw_activity_ref *series);

#endif
