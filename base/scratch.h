/* base/scratch.h - bump allocator of fixed size for the work of one request.
 *
 * Purpose  a polling core needs memory for one profile at a time and must not call malloc.
 * Owner    one core (or one thread). Everything allocated is given back at once by reset.
 * Context  hot.
 * Units    bytes; every allocation is aligned to 16.
 * Errors   NULL when the region is exhausted: the request is too large for this core, answer so.
 * Limits   the region given at init; its high-water mark is kept in `peak`.
 */
#ifndef PW_BASE_SCRATCH_H
#define PW_BASE_SCRATCH_H

#include "base/err.h"
#include "base/fiber.h"
#include "base/types.h"

struct pw_scratch {
    uint8_t *base;
    size_t cap;
    size_t used;
    size_t peak;
    struct pw_fiber *fiber; /* the work it is for runs on this one; NULL: straight to its end */
};

/* Maps cap bytes (anonymous, huge pages where the kernel gives them). Touched lazily. */
PW_MUST_USE int pw_scratch_init_ctl(struct pw_scratch *s, size_t cap);
void pw_scratch_fini_ctl(struct pw_scratch *s);

static inline void *
pw_scratch_alloc(struct pw_scratch *s, size_t n)
{
    uint8_t *p = s->base + s->used;

    if (n > s->cap - s->used || pw_align_up(n, 16) > s->cap - s->used) {
        return NULL;
    }
    s->used += pw_align_up(n, 16);
    if (s->used > s->peak) {
        s->peak = s->used;
    }
    return p;
}

/* n * size without overflow. */
static inline void *
pw_scratch_array(struct pw_scratch *s, size_t n, size_t size)
{
    return n != 0 && size > SIZE_MAX / n ? NULL : pw_scratch_alloc(s, n * size);
}

/* What is left, for a caller that writes first and then keeps a prefix with pw_scratch_alloc. */
static inline size_t
pw_scratch_left(const struct pw_scratch *s)
{
    return s->cap - s->used;
}

/* Bytes in use beside those allocated, for the high-water mark. */
static inline void
pw_scratch_note(struct pw_scratch *s, size_t beside)
{
    s->peak = s->used + beside > s->peak ? s->used + beside : s->peak;
}

/* Ordinary pages behind the first `from` bytes. The first touch of one takes microseconds; of a huge page it takes
 * 0.1 ms, and milliseconds in a virtual machine whose host has to find the memory: too long for a polling core. */
void pw_scratch_small_pages_ctl(struct pw_scratch *s, size_t from);
/* Gives a piece of what lies between `keep` and `end` back to the system, from the end; the new end. Nothing may
 * be allocated there. Some ten microseconds. */
PW_MUST_USE size_t pw_scratch_trim(struct pw_scratch *s, size_t keep, size_t end);

/* Frees everything allocated since `mark` (a former value of s->used). */
static inline void
pw_scratch_rewind(struct pw_scratch *s, size_t mark)
{
    s->used = mark;
}

#endif
