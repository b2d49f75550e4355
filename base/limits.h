/* base/limits.h - every capacity of the house and how they relate.
 *
 * Purpose  one place to read what bounds what.
 * Owner    constants. Limits an operator can set are options (app/options.def); these are the
 *          compiled bounds of those, and the sizes of fixed structures.
 * Context  any.
 * Units    in the name.
 */
#ifndef PW_BASE_LIMITS_H
#define PW_BASE_LIMITS_H

#include <assert.h>

/* Threads and lcores. */
#define PW_WORKERS_MAX   32 /* I/O workers, the control thread's listener included */
#define PW_INGESTERS_MAX 32
#define PW_POLLERS_MAX   16 /* per lcore */
#define PW_BURST_MAX     32 /* packets or records handled in one phase */

/* HTTP. */
#define PW_HTTP_HEAD_BYTES_MAX                                                                     \
    16384 /* request line and header fields: above is 431 (414 for the target) */
#define PW_HTTP_TARGET_BYTES_MAX 8192
#define PW_HTTP_HEADERS_MAX      64
#define PW_HTTP_PRESSED_MS_MAX                                                                     \
    1000 /* a body that overload holds back waits so long, then is tried */
#define PW_HTTP_BODY_SLICES_MAX 262144 /* 256 MiB in segments of at least 1 KiB */
#define PW_HTTP_REPLY_HEAD_MAX  2048
#define PW_HTTP_REPLY_COPY_MAX  4096 /* reply bodies above this are given, not copied */

/* Profiles (compiled bounds; tenants' limits are smaller, see distributor/limits.h). */
#define PW_PROFILE_BYTES_MAX (64U << 20) /* uncompressed pprof of one sample */
#define PW_PROFILE_TYPES_MAX 32          /* sample types of one profile */
#define PW_PROFILE_DEPTH_MAX 16384
#define PW_LABELS_MAX        256 /* labels of one series, as pushed */
#define PW_PUSH_SERIES_MAX   65536
#define PW_TENANT_BYTES_MAX  150

/* Requests at work on one polling thread (distributor/desk.c). */
#define PW_DESKS             8
#define PW_DESKS_PER_ADDRESS 3            /* that requests of one address may have parked */
#define PW_DESKS_LARGE       2            /* for large bodies, of different addresses */
#define PW_LARGE_BODY_BYTES  (128U << 10) /* bodies above, as they came, are large */
#define PW_WAITING_SMALL_MAX 4096
#define PW_WAITING_LARGE_MAX 64
#define PW_WAITING_OLD_US    800 /* who has waited so long goes before the shorter */
#define PW_WORK_SLICE_US     200 /* work gives way to the loop after it */
#define PW_WORK_BUSY_US      500 /* the same while more than PW_WORK_BUSY wait: a switch has its price */
#define PW_WORK_BUSY         2
#define PW_WORK_TURN_US                                                                            \
    60 /* no other begins in a turn in which both would take longer: answers first */
#define PW_WORK_OVERDUE_SLICES 5 /* of others; then work that was begun goes on for one */
#define PW_WORK_OLD_US                                                                             \
    1000 /* parked work whose request came so long ago goes on before others begin, ... */
#define PW_WORK_OLD_SPENT_US 1000 /* ... until it has taken so long itself */
#define PW_INGEST_OLD_US     800 /* a push that came so long ago does not wait for company in the log */
#define PW_WORK_US_LEAST     10 /* what work on a body takes, by its size: ... */
#define PW_WORK_BYTES_A_US   115
#define PW_DESK_SCRATCH_KEEP (8U << 20) /* more than this goes back to the system, ... */
#define PW_DESK_KEEP_MS      10000      /* ... when nobody needed it for so long */

static_assert(PW_DESKS_PER_ADDRESS < PW_DESKS && PW_DESKS_LARGE < PW_DESKS - PW_DESKS_PER_ADDRESS,
              "one address and large bodies together leave desks free");

/* Lanes. */
#define PW_LANE_BYTES_MIN        (64U << 10)
#define PW_LANE_BYTES_MAX        (256U << 20)
#define PW_LANE_INLINE_BYTES_MAX (64U << 10) /* larger records travel as handles into a pool */

/* Queries. */
#define PW_QUERY_BODY_BYTES_MAX  (64U << 10)
#define PW_QUERY_JOBS_MAX        256 /* waiting or running, all query threads together */
#define PW_QUERY_REPLY_BYTES_MAX (256U << 20)

static_assert(PW_LANE_BYTES_MIN >= PW_LANE_INLINE_BYTES_MAX / 4, "a lane holds several records");
static_assert(PW_HTTP_TARGET_BYTES_MAX < PW_HTTP_HEAD_BYTES_MAX, "a target fits into a head");

#endif
