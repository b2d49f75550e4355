#include "distributor/waiting.h"

#include "base/check.h"

#include <stdlib.h>

enum { SIZE_FIRST_BITS = 11 }; /* bodies below 2 KiB share a line: what they take hardly differs */

static_assert(PW_LARGE_BODY_BYTES == 1U << (SIZE_FIRST_BITS + PW_WAITING_SIZES / 2),
              "the lines end where large bodies begin");

static uint32_t
larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Two lines for each power of two: 2 and 3 KiB, 4 and 6 KiB, ... */
static uint32_t
line_of(uint64_t bytes)
{
    if (bytes > PW_LARGE_BODY_BYTES) {
        return PW_WAITING_LARGE;
    }
    if (bytes >> SIZE_FIRST_BITS == 0) {
        return 0;
    }
    uint32_t bits = 63U - (uint32_t)__builtin_clzll(bytes);
    uint32_t line = (bits - SIZE_FIRST_BITS) * 2 + (uint32_t)((bytes >> (bits - 1)) & 1);

    return line < PW_WAITING_SIZES ? line : PW_WAITING_SIZES - 1U;
}

int
pw_waiting_init_ctl(struct pw_waiting_lines *l, uint64_t old_tsc)
{
    *l = (struct pw_waiting_lines){.old_tsc = old_tsc};
    for (uint32_t i = 0; i < PW_WAITING_LINES; i++) {
        struct pw_waiting_ring *r = &l->line[i];

        /* Address space; of a line nobody waits in nothing is touched. */
        r->cap = i == PW_WAITING_LARGE ? PW_WAITING_LARGE_MAX : PW_WAITING_SMALL_MAX;
        r->entry = calloc(r->cap, sizeof(*r->entry));
        if (r->entry == NULL) {
            pw_waiting_fini_ctl(l);
            return PW_ENOMEM;
        }
    }
    return 0;
}

void
pw_waiting_fini_ctl(struct pw_waiting_lines *l)
{
    for (uint32_t i = 0; i < PW_WAITING_LINES; i++) {
        free(l->line[i].entry);
        l->line[i].entry = NULL;
    }
}

void
pw_waiting_put_back(struct pw_waiting_lines *l, uint32_t line, const struct pw_waiting *w)
{
    struct pw_waiting_ring *r = &l->line[line];

    PW_INVARIANT(r->count < r->cap);
    r->entry[(r->first + r->count++) & (r->cap - 1)] = *w;
    l->small += line == PW_WAITING_LARGE ? 0 : 1;
}

bool
pw_waiting_put(struct pw_waiting_lines *l, const struct pw_waiting *w)
{
    uint32_t line = line_of(w->bytes);
    struct pw_waiting_ring *r = &l->line[line];

    if (line == PW_WAITING_LARGE ? r->count == r->cap : l->small == PW_WAITING_SMALL_MAX) {
        return false;
    }
    pw_waiting_put_back(l, line, w);
    l->large_peak = larger(l->line[PW_WAITING_LARGE].count, l->large_peak);
    l->small_peak = larger(l->small, l->small_peak);
    return true;
}

const struct pw_waiting *
pw_waiting_first(const struct pw_waiting_lines *l, uint32_t line)
{
    PW_DCHECK(l->line[line].count != 0);
    return &l->line[line].entry[l->line[line].first];
}

uint32_t
pw_waiting_next(const struct pw_waiting_lines *l, uint64_t now_tsc, uint32_t skip)
{
    uint32_t shortest = PW_WAITING_LINES, oldest = PW_WAITING_LINES;
    uint64_t since = now_tsc < l->old_tsc ? 0 : now_tsc - l->old_tsc;

    for (uint32_t i = 0; i < PW_WAITING_LINES; i++) {
        if (l->line[i].count == 0 || (skip >> i & 1) != 0) {
            continue;
        }
        shortest = shortest == PW_WAITING_LINES ? i : shortest;
        if (pw_waiting_first(l, i)->since_tsc < since) {
            since = pw_waiting_first(l, i)->since_tsc;
            oldest = i;
        }
    }
    return oldest != PW_WAITING_LINES ? oldest : shortest;
}

struct pw_waiting
pw_waiting_take(struct pw_waiting_lines *l, uint32_t line)
{
    struct pw_waiting_ring *r = &l->line[line];
    struct pw_waiting w = *pw_waiting_first(l, line);

    r->first = (r->first + 1) & (r->cap - 1);
    r->count--;
    l->small -= line == PW_WAITING_LARGE ? 0 : 1;
    return w;
}
