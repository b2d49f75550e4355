/* distributor/bulk.h - bounded memory for records and answers too large for their usual place.
 *
 * Purpose  profiles are unpacked and their records finished in here (pprof/record_place.h); other records
 *          above PW_LANE_INLINE_BYTES_MAX travel as pointers into here; error texts above
 *          PW_HTTP_REPLY_COPY_MAX wait here until they are sent.
 * Owner    one polling thread allocates and frees; ingesters only read.
 * Context  hot; first fit over runs of pages, no allocation.
 * Units    bytes; pages of PW_BULK_PAGE_BYTES.
 * Errors   alloc returns PW_BULK_NONE when there is no run of pages.
 * Limits   bytes at init. Of those a fifth, the low end, is for who could do without; but all may use that.
 */
#ifndef PW_DISTRIBUTOR_BULK_H
#define PW_DISTRIBUTOR_BULK_H

#include "base/err.h"
#include "base/types.h"

enum { PW_BULK_PAGE_BYTES = 4096, PW_BULK_LOW_SHARE = 5 };
#define PW_BULK_NONE UINT32_MAX

struct pw_bulk {
    uint8_t *base;
    uint32_t
        *run; /* pages of the allocation that starts here; 0 inside of one, and where none is */
    uint32_t pages;
    uint32_t pages_low;
    uint32_t pages_used;
    uint32_t pages_used_peak;
    uint32_t pages_low_used;
};

PW_MUST_USE int pw_bulk_init_ctl(struct pw_bulk *b, size_t bytes);
void pw_bulk_fini_ctl(struct pw_bulk *b);

/* Gives a handle to at least bytes bytes, page-aligned. */
PW_MUST_USE uint32_t pw_bulk_alloc(struct pw_bulk *b, size_t bytes);
/* The same from the low end alone. */
PW_MUST_USE uint32_t pw_bulk_alloc_low(struct pw_bulk *b, size_t bytes);
/* Gives back what lies behind the first `bytes` bytes. */
void pw_bulk_trim(struct pw_bulk *b, uint32_t handle, size_t bytes);
void pw_bulk_free(struct pw_bulk *b, uint32_t handle);

static inline void *
pw_bulk_at(const struct pw_bulk *b, uint32_t handle)
{
    return b->base + (size_t)handle * PW_BULK_PAGE_BYTES;
}

#endif
