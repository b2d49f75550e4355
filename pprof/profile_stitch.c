/* Contract write-path.md 3.5 (b): the Go runtime cuts deep stacks on the root side; what is missing is
 * taken from other stacks of the profile that hold the same frames nearer to their leaf.
 *
 * The reading of the contract, where it leaves a choice:
 * - a frame is a location id as pushed; stacks count as they are after the cut of 3.3 row 5, and
 *   stitched ones are not cut again;
 * - a group is linked to where its root-most 16 frames occur at the largest offset, 8 first. Among
 *   equal offsets its own suffix wins (a pure recursion: how much is missing cannot be known), then
 *   the group seen first;
 * - groups are followed to their root last seen first. The first one that needs more than 56 hops, a
 *   recursion as a rule, ends the work: it and the groups seen before it stay as they came.
 * It gives what stock answered for the three recorded profiles that are deep enough (pushes
 * pyroscope-go/019 and /020, profilecli/004: nodes and levels exact), and the smallest offset, no own
 * suffix, or going on after a recursion do not. It is not the only one that does: ranking groups by
 * their number of stacks (most first for ties, fewest first to follow) fits as well.
 *
 * Work, whatever the input: one keyed hash of 24 ids a deep stack, nine of 16 ids a group, one step a
 * group and 56 more to follow links, and a copy of at most STITCH_GROWTH_MAX times the frames that
 * came. Tables are compared by content, so a hash only decides where to look. */
#include "pprof/profile.h"

#include "base/hash.h"

#include <string.h>

enum {
    STITCH_SUFFIX = 24, /* root-most frames that make a group */
    STITCH_MATCH = 16,  /* root-most frames looked for in other groups */
    STITCH_OFFSET_MAX = STITCH_SUFFIX - STITCH_MATCH,
    STITCH_HOPS_MAX = 56,
    STITCH_GROWTH_MAX = 8, /* 64 frames and 56 hops of 8: what a stack can grow to */

    HEAP_DEPTH_MIN = 28, /* the runtime keeps 32 frames of an allocation, less those it hides ... */
    HEAP_DEPTH_END = 33, /* ... and one that keeps more does not cut there */
    CPU_DEPTH_MIN = 60,  /* 64 of a CPU sample */

    NO_GROUP = UINT32_MAX,
};

struct group {
    const uint8_t *suffix; /* its STITCH_SUFFIX ids, leaf first */
    uint32_t twin;         /* the first group with the same root-most STITCH_MATCH frames */
    uint32_t parent;       /* the group that holds those frames and the missing ones, or NO_GROUP */
    uint32_t missing;      /* offset in it: so many of its root-most frames follow */
    uint32_t hops;         /* to the last group, when resolved */
    uint32_t frames;       /* to append in all, when resolved */
    bool resolved;
};

struct stitch {
    struct pw_profile *p;
    const uint8_t *ids; /* loc_ids or loc_ids_wide */
    size_t width;       /* bytes of one id */
    uint32_t *group_of; /* by sample */
    struct group *group;
    uint32_t group_count;
};

/* Open addressing over groups by `len` bytes at `off` of the suffix. */
struct table {
    uint32_t *slot; /* group + 1, 0 empty */
    uint64_t mask;
    size_t off, len;
};

static bool
table_init(struct table *t, struct pw_scratch *s, uint32_t n)
{
    uint64_t size = 16;

    while (size < 2ULL * n) { /* at most 29 turns */
        size *= 2;
    }
    t->mask = size - 1;
    t->slot = pw_scratch_array(s, size, sizeof(*t->slot));
    if (t->slot != NULL) {
        pw_fiber_clear(s->fiber, t->slot, size * sizeof(*t->slot));
    }
    return t->slot != NULL;
}

/* The slot of the group whose bytes are these, or the empty one where it belongs. */
static uint32_t *
table_slot(const struct table *t, const struct stitch *st, const uint8_t *bytes)
{
    uint64_t i = pw_hash_keyed(st->p->hash_key, bytes, t->len) & t->mask;

    while (t->slot[i] != 0 &&
           memcmp(st->group[t->slot[i] - 1].suffix + t->off, bytes, t->len) != 0) {
        i = (i + 1) & t->mask; /* the table is at most half full */
    }
    return &t->slot[i];
}

/* Whether the profile is of a kind whose stacks are cut, and one is deep enough to have been. */
static bool
looks_cut(const struct pw_profile *p)
{
    bool heap = false, cpu = false;

    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        struct pw_slice type = pw_profile_string(p, p->sample_type[i].type_ref);

        cpu |= pw_slice_eq_str(type, "cpu");
        heap |= pw_slice_eq_str(type, "alloc_objects") || pw_slice_eq_str(type, "alloc_space") ||
                pw_slice_eq_str(type, "inuse_objects") || pw_slice_eq_str(type, "inuse_space");
    }
    return (cpu && p->depth_max >= CPU_DEPTH_MIN) ||
           (heap && p->depth_max < HEAP_DEPTH_END && p->depth_max >= HEAP_DEPTH_MIN);
}

static bool
group_stacks(struct stitch *st)
{
    const struct pw_profile *p = st->p;
    struct table suffixes = {.len = STITCH_SUFFIX * st->width};
    uint32_t deep = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        deep += p->sample[i].loc_count >= STITCH_SUFFIX;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    st->group_of = pw_scratch_array(p->scratch, p->sample_count, sizeof(*st->group_of));
    st->group = pw_scratch_array(p->scratch, deep, sizeof(*st->group));
    if (!table_init(&suffixes, p->scratch, deep) || st->group_of == NULL || st->group == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < p->sample_count; i++) {
        const struct pw_sample *s = &p->sample[i];
        const uint8_t *suffix;
        uint32_t *slot;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 256);
        if (s->loc_count < STITCH_SUFFIX) {
            st->group_of[i] = NO_GROUP;
            continue;
        }
        suffix = st->ids + (s->loc_first + (size_t)s->loc_count - STITCH_SUFFIX) * st->width;
        slot = table_slot(&suffixes, st, suffix);
        if (*slot == 0) {
            st->group[st->group_count++] = (struct group){.suffix = suffix, .parent = NO_GROUP};
            *slot = st->group_count;
        }
        st->group_of[i] = *slot - 1;
    }
    return true;
}

/* A filter for ids: the low 16 bits of each that was put in, which is the whole of a narrow one. */
enum { ID_FILTER_WORDS = 65536 / 64 };

static uint16_t
filter_bit(const uint8_t *id)
{
    return (uint16_t)(id[0] | id[1] << 8);
}

static void
filter_put(uint64_t *filter, const uint8_t *id)
{
    filter[filter_bit(id) / 64] |= 1ULL << filter_bit(id) % 64;
}

static bool
filter_may_have(const uint64_t *filter, const uint8_t *id)
{
    return (filter[filter_bit(id) / 64] >> filter_bit(id) % 64 & 1) != 0;
}

/* Finds each group's parent: twins share what is found, but for the one that is its own. */
static bool
link_groups(struct stitch *st)
{
    const size_t root = STITCH_OFFSET_MAX * st->width, last = (STITCH_SUFFIX - 1) * st->width;
    struct table roots = {.off = root, .len = STITCH_MATCH * st->width};
    uint64_t *last_ids = pw_scratch_array(st->p->scratch, ID_FILTER_WORDS, sizeof(*last_ids));

    if (last_ids == NULL || !table_init(&roots, st->p->scratch, st->group_count)) {
        return false;
    }
    memset(last_ids, 0, ID_FILTER_WORDS * sizeof(*last_ids));
    for (uint32_t g = 0; g < st->group_count; g++) {
        uint32_t *slot = table_slot(&roots, st, st->group[g].suffix + root);

        PW_FIBER_PAUSE_EVERY(st->p->scratch->fiber, g, 256);
        *slot = *slot == 0 ? g + 1 : *slot;
        st->group[g].twin = *slot - 1;
        filter_put(last_ids, st->group[g].suffix + last);
    }
    for (uint32_t g = 0; g < st->group_count; g++) {
        PW_FIBER_PAUSE_EVERY(st->p->scratch->fiber, g, 64);
        for (uint32_t offset = STITCH_OFFSET_MAX; offset > 0; offset--) {
            const uint8_t *suffix = st->group[g].suffix;
            uint32_t child;

            /* Few frames that have a caller here are the last of a stack elsewhere. */
            if (!filter_may_have(last_ids, suffix + last - offset * st->width)) {
                continue;
            }
            child = *table_slot(&roots, st, suffix + root - offset * st->width);
            if (child != 0 && offset > st->group[child - 1].missing) {
                st->group[child - 1].missing = offset;
                st->group[child - 1].parent = g;
            }
        }
    }
    for (uint32_t i = 0; i < st->group_count; i++) {
        struct group *g = &st->group[i];

        PW_FIBER_PAUSE_EVERY(st->p->scratch->fiber, i, 1024);
        g->missing = st->group[g->twin].missing;
        g->parent = st->group[g->twin].parent;
    }
    return true;
}

/* Its own frames again at the offset it was found at: no other group is needed to explain it. */
static void
prefer_own(struct stitch *st)
{
    const size_t root = STITCH_OFFSET_MAX * st->width;

    for (uint32_t i = 0; i < st->group_count; i++) {
        struct group *g = &st->group[i];

        PW_FIBER_PAUSE_EVERY(st->p->scratch->fiber, i, 1024);
        if (g->parent != NO_GROUP && memcmp(g->suffix + root - g->missing * st->width,
                                            g->suffix + root, STITCH_MATCH * st->width) == 0) {
            g->parent = i;
        }
    }
}

/* Follows the links from a group to one without a parent; false when that takes too many hops. Every
 * group on the way is resolved too, so that all chains together cost a step a group. */
static bool
resolve_group(struct stitch *st, uint32_t at)
{
    uint32_t path[STITCH_HOPS_MAX], n = 0;

    while (!st->group[at].resolved && st->group[at].parent != NO_GROUP) {
        if (n == STITCH_HOPS_MAX) {
            return false;
        }
        path[n++] = at;
        at = st->group[at].parent;
    }
    st->group[at].resolved = true;
    while (n > 0) {
        struct group *g = &st->group[path[--n]];
        const struct group *parent = &st->group[g->parent];

        if (parent->hops == STITCH_HOPS_MAX) {
            return false;
        }
        g->hops = parent->hops + 1;
        g->frames = parent->frames + g->missing;
        g->resolved = true;
    }
    return true;
}

/* The first of the groups that can be stitched: all behind it can. */
static uint32_t
resolve_groups(struct stitch *st)
{
    uint32_t first = st->group_count;

    while (first > 0 && resolve_group(st, first - 1)) {
        PW_FIBER_PAUSE_EVERY(st->p->scratch->fiber, first, 1024);
        first--;
    }
    return first;
}

static uint32_t
frames_missing(const struct stitch *st, uint32_t sample, uint32_t first)
{
    uint32_t g = st->group_of[sample];

    return g == NO_GROUP || g < first ? 0 : st->group[g].frames;
}

/* The stack of a sample and what it misses, to `out`; gives the end. */
static uint8_t *
put_stitched(const struct stitch *st, uint32_t sample, uint8_t *out)
{
    const struct pw_sample *s = &st->p->sample[sample];
    const struct group *g = &st->group[st->group_of[sample]];

    memcpy(out, st->ids + s->loc_first * st->width, s->loc_count * st->width);
    out += s->loc_count * st->width;
    while (g->parent != NO_GROUP) { /* resolved: at most STITCH_HOPS_MAX */
        const struct group *parent = &st->group[g->parent];
        size_t len = g->missing * st->width;

        memcpy(out, parent->suffix + STITCH_SUFFIX * st->width - len, len);
        out += len;
        g = parent;
    }
    return out;
}

/* Gives the samples of groups from `first` on their whole stacks, in a copy of the ids; every sample
 * keeps frames of its own, as normalise rewrites them in place. 1 when it did, 0 when there was none. */
static int
stitch_samples(struct stitch *st, uint32_t first)
{
    struct pw_profile *p = st->p;
    uint64_t count = p->loc_ids_count, more = 0;
    uint8_t *ids, *out;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        uint32_t missing = frames_missing(st, i, first);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        more += missing == 0 ? 0 : (uint64_t)p->sample[i].loc_count + missing;
    }
    if (more == 0 || more > STITCH_GROWTH_MAX * count || count + more > UINT32_MAX) {
        return 0;
    }
    ids = pw_scratch_array(p->scratch, count + more, st->width);
    if (ids == NULL) {
        return PW_ENOMEM;
    }
    pw_fiber_copy(p->scratch->fiber, ids, st->ids, count * st->width);
    out = ids + count * st->width;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        uint32_t missing = frames_missing(st, i, first);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 64);
        if (missing != 0) {
            uint32_t at = (uint32_t)((size_t)(out - ids) / st->width);

            out = put_stitched(st, i, out);
            p->sample[i].loc_first = at;
            p->sample[i].loc_count += missing;
            p->sample[i].ids_len = 0;
        }
    }
    p->loc_ids_count = (uint32_t)(count + more);
    if (p->loc_ids_wide != NULL) {
        p->loc_ids_wide = (uint64_t *)(void *)ids;
    } else {
        p->loc_ids = (uint16_t *)(void *)ids;
    }
    return 1;
}

int
pw_profile_stitch_go(struct pw_profile *p)
{
    size_t mark = p->scratch->used;
    struct stitch st = {
        .p = p,
        .ids = p->loc_ids_wide != NULL ? (const uint8_t *)p->loc_ids_wide
                                       : (const uint8_t *)p->loc_ids,
        .width = p->loc_ids_wide != NULL ? sizeof(*p->loc_ids_wide) : sizeof(*p->loc_ids),
    };
    int rc = PW_ENOMEM;

    if (!looks_cut(p)) {
        return 0;
    }
    if (group_stacks(&st) && link_groups(&st)) {
        prefer_own(&st);
        rc = stitch_samples(&st, resolve_groups(&st));
    }
    if (rc != 1) {
        pw_scratch_rewind(p->scratch, mark);
    }
    return rc == PW_ENOMEM ? PW_ENOMEM : 0;
}
