/* A lane is one block of memory: struct pw_lane, then `capacity` bytes of records.
 *
 *     tail                                     head          (free-running 64-bit byte indices,
 *      |                                        |             masked on access)
 *      v                                        v
 *     [hdr|payload....][hdr|payload][hdr| pad ]            index 0 of the next lap follows
 *
 * A header is 16 bytes, records are multiples of 16, so between any position and the end of the
 * memory there is always room for a header: a record that does not fit before the end is preceded
 * by a padding record (type 0) that fills the rest.
 *
 * What two cores share is head and tail, each on a cache line pair of its own (the adjacent-line
 * prefetcher fetches pairs). Everything else is private to one side. Each side keeps its last look
 * at the other's index and looks again only when that says full or empty, so that on a lane that is
 * neither, no line moves but those of the records and one per flush. */
#include "ring/lane.h"

#include "base/check.h"
#include "base/limits.h"
#include "ring/lane_mem.h"

#include <stdalign.h>
#include <stdatomic.h>

enum { HEADER_BYTES = 16, TYPE_PAD = 0, RECORDS_PER_LANE_MIN = 4 };

struct lane_header {
    uint32_t type;
    uint32_t bytes;  /* payload, as committed */
    uint64_t stride; /* to the next header */
};
static_assert(sizeof(struct lane_header) == HEADER_BYTES, "payloads stay 16-aligned");

struct pw_lane {
    /* --- read-only after create --- */
    uint8_t *buf;
    uint64_t mask;
    size_t capacity;
    struct pw_lane_mem mem;

    /* --- written by the producer, read by the consumer --- */
    alignas(PW_LANE_MEM_ALIGN) _Atomic uint64_t head;

    /* --- the producer's own --- */
    alignas(PW_LANE_MEM_ALIGN) uint64_t next; /* end of what is committed */
    uint64_t tail_seen;
    uint64_t open_at; /* header of the open reservation */
    uint32_t open_bytes;
    bool open;

    /* --- written by the consumer, read by the producer --- */
    alignas(PW_LANE_MEM_ALIGN) _Atomic uint64_t tail;

    /* --- the consumer's own --- */
    alignas(PW_LANE_MEM_ALIGN) uint64_t popped; /* next header to pop */
    uint64_t released;                          /* same as tail, without the atomic load */
    uint64_t head_seen;
};
static_assert(offsetof(struct pw_lane, next) - offsetof(struct pw_lane, head) >= 128, "own lines");
static_assert(offsetof(struct pw_lane, popped) - offsetof(struct pw_lane, tail) >= 128,
              "own lines");

static struct lane_header *
header_at(const struct pw_lane *lane, uint64_t index)
{
    return (struct lane_header *)(void *)(lane->buf + (index & lane->mask));
}

int
pw_lane_create_ctl(struct pw_lane **out, size_t bytes, int socket)
{
    struct pw_lane_mem mem;

    if (bytes < PW_LANE_BYTES_MIN || bytes > PW_LANE_BYTES_MAX || (bytes & (bytes - 1)) != 0) {
        return PW_EINVAL;
    }
    int rc = pw_lane_mem_take_ctl(&mem, sizeof(struct pw_lane) + bytes, socket);

    if (rc != 0) {
        return rc;
    }
    struct pw_lane *lane = (struct pw_lane *)(void *)mem.ptr;

    lane->buf = mem.ptr + sizeof(*lane);
    lane->capacity = bytes;
    lane->mask = bytes - 1;
    lane->mem = mem;
    *out = lane;
    return 0;
}

void
pw_lane_destroy_ctl(struct pw_lane *lane)
{
    if (lane != NULL) {
        struct pw_lane_mem mem = lane->mem; /* the struct itself lies in what is given back */

        pw_lane_mem_give_ctl(&mem);
    }
}

/* --- Producer ------------------------------------------------------------------------------- */

static bool
has_room(struct pw_lane *lane, uint64_t need)
{
    if (lane->capacity - (lane->next - lane->tail_seen) >= need) {
        return true;
    }
    /* A2: pairs with R2. The consumer is done reading what lies below this tail, so that it may be
     * overwritten. */
    lane->tail_seen = atomic_load_explicit(&lane->tail, memory_order_acquire);
    return lane->capacity - (lane->next - lane->tail_seen) >= need;
}

void *
pw_lane_reserve(struct pw_lane *lane, uint32_t bytes)
{
    uint64_t stride = HEADER_BYTES + pw_align_up(bytes, HEADER_BYTES);
    uint64_t to_end = lane->capacity - (lane->next & lane->mask);
    uint64_t pad = stride > to_end ? to_end : 0;

    PW_DCHECK(!lane->open);
    /* With a quarter as the limit, padding and record together always fit into an empty lane. */
    if (PW_UNLIKELY(bytes > pw_lane_record_bytes_max(lane)) || !has_room(lane, pad + stride)) {
        return NULL;
    }
    if (pad != 0) {
        *header_at(lane, lane->next) = (struct lane_header){.type = TYPE_PAD, .stride = pad};
    }
    lane->open = true;
    lane->open_at = lane->next + pad;
    lane->open_bytes = bytes;
    return header_at(lane, lane->open_at) + 1;
}

void
pw_lane_commit(struct pw_lane *lane, uint32_t type, uint32_t bytes)
{
    uint64_t stride = HEADER_BYTES + pw_align_up(bytes, HEADER_BYTES);

    PW_INVARIANT(lane->open && bytes <= lane->open_bytes && type != TYPE_PAD);
    *header_at(lane, lane->open_at) =
        (struct lane_header){.type = type, .bytes = bytes, .stride = stride};
    lane->next = lane->open_at + stride;
    lane->open = false;
}

void
pw_lane_cancel(struct pw_lane *lane)
{
    PW_DCHECK(lane->open);
    lane->open = false; /* a padding header may stay behind: next still stands before it */
}

void
pw_lane_flush(struct pw_lane *lane)
{
    /* R1: pairs with A1. Every record below head is completely written. */
    atomic_store_explicit(&lane->head, lane->next, memory_order_release);
}

/* --- Consumer ------------------------------------------------------------------------------- */

uint32_t
pw_lane_pop_burst(struct pw_lane *lane, struct pw_lane_record *rec, uint32_t n)
{
    uint32_t got = 0;

    while (got < n) {
        if (lane->popped == lane->head_seen) {
            /* A1: pairs with R1. What lies below head may be read. */
            lane->head_seen = atomic_load_explicit(&lane->head, memory_order_acquire);
            if (lane->popped == lane->head_seen) {
                break;
            }
        }
        struct lane_header *h = header_at(lane, lane->popped);

        lane->popped += h->stride;
        if (h->type != TYPE_PAD) {
            rec[got++] = (struct pw_lane_record){.type = h->type, .bytes = h->bytes, .data = h + 1};
        }
    }
    return got;
}

void
pw_lane_release(struct pw_lane *lane, uint32_t n)
{
    uint64_t at = lane->released;

    while (n > 0) {
        PW_INVARIANT(at != lane->popped);
        const struct lane_header *h = header_at(lane, at);

        at += h->stride;
        n -= h->type != TYPE_PAD;
    }
    lane->released = at;
    /* R2: pairs with A2. Nothing below tail is read any more. */
    atomic_store_explicit(&lane->tail, at, memory_order_release);
}

/* --- Any thread ----------------------------------------------------------------------------- */

uint32_t
pw_lane_record_bytes_max(const struct pw_lane *lane)
{
    return (uint32_t)(lane->capacity / RECORDS_PER_LANE_MIN) - HEADER_BYTES;
}

size_t
pw_lane_used(const struct pw_lane *lane)
{
    /* tail first: read the other way round, a consumer in between could make the difference
     * negative. */
    uint64_t tail = atomic_load_explicit(&lane->tail, memory_order_acquire);
    uint64_t used = atomic_load_explicit(&lane->head, memory_order_relaxed) - tail;

    return used > lane->capacity ? lane->capacity : used;
}

size_t
pw_lane_capacity(const struct pw_lane *lane)
{
    return lane->capacity;
}

void
pw_lane_start_at_fortest(struct pw_lane *lane, uint64_t index)
{
    PW_INVARIANT(lane->next == lane->released && index % HEADER_BYTES == 0);
    lane->next = lane->tail_seen = lane->popped = lane->released = lane->head_seen = index;
    atomic_store(&lane->head, index);
    atomic_store(&lane->tail, index);
}
