/* perf/pyroload_body.h - the requests pyroload sends, made before the clock starts.
 *
 * Purpose  push.v1 requests of the mix: each profile of the corpus for each pod, a time_nanos of now,
 *          packed again at gzip level 1 (what Go's SDK does), inside a Connect envelope and an HTTP
 *          head. Or one GET.
 * Owner    the set owns all bytes; read only once made.
 * Context  before the run; allocates.
 * Units    bytes; times in ns.
 * Errors   PW_EINVAL with a reason on stderr.
 * Limits   PYROLOAD_BYTES_MAX of prepared requests.
 */
#ifndef PW_PERF_PYROLOAD_BODY_H
#define PW_PERF_PYROLOAD_BODY_H

#include "base/err.h"
#include "base/types.h"
#include "perf/mix.h"

#define PYROLOAD_BYTES_MAX (2ULL << 30)

struct pyroload_request {
    uint8_t *bytes; /* head and body, sent as they are */
    uint32_t len;
    uint32_t body_len;
};

struct pyroload_set {
    struct pyroload_request *request;
    uint32_t count;
    uint64_t body_bytes; /* sum over the set */
    uint8_t *region;     /* holds all requests when they were packed */
    size_t region_bytes;
};

struct pyroload_body_cfg {
    const struct mix *mix;
    const char *host;   /* of the Host header */
    const char *tenant; /* X-Scope-OrgID; NULL: none */
    uint32_t pods, services;
    uint32_t variants; /* 0: profiles x pods */
    int64_t now_ns;    /* time_nanos of the newest; each older one lies up to 10 ms before */
    uint64_t seed;
};

/* Variant v is profile v mod files of pod (v / files) mod pods; pod p runs service p mod services. */
PW_MUST_USE int pyroload_set_push(struct pyroload_set *s, const struct pyroload_body_cfg *cfg);
PW_MUST_USE int pyroload_set_get(struct pyroload_set *s, const char *host, const char *path,
                                 const char *tenant);
/* Puts all requests into one region of huge pages. A small page that was not touched for 100 ms costs a virtual
 * machine's hypervisor 5 to 15 us at the next touch, five times for each body that is sent: the generator's
 * time, which would be in every latency. Where there are none it stays as it is. */
void pyroload_set_pack(struct pyroload_set *s);
void pyroload_set_free(struct pyroload_set *s);

/* The raw profile with time_nanos now: replaced in place where the old value is as long, else added
 * as a later field 9, which wins (proto3). out has raw.len + 11 bytes. Returns the length, 0 when raw
 * is no protobuf. */
size_t pyroload_stamp(struct pw_slice raw, int64_t now_ns, uint8_t *out);
/* "process_cpu", "memory", "wall" or "mutex", by the profile's sample types. */
const char *pyroload_profile_name(struct pw_slice raw);

#endif
