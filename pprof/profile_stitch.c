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
 * Ids are compared as the varints they lie in, which are equal when the ids are, being minimal.
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

static_assert(STITCH_SUFFIX * 10 <= UINT8_MAX, "a place in a suffix of the longest varints fits");

struct group {
    const uint8_t *suffix;         /* its STITCH_SUFFIX ids, leaf first */
    uint8_t at[STITCH_SUFFIX + 1]; /* where each of them begins, and the end */
    uint32_t twin;                 /* the first group with the same root-most STITCH_MATCH frames */
    uint32_t parent;  /* the group that holds those frames and the missing ones, or NO_GROUP */
    uint32_t missing; /* offset in it: so many of its root-most frames follow */
    uint32_t hops;    /* to the last group, when resolved */
    uint32_t frames;  /* to append in all, when resolved */
    uint32_t bytes;   /* that these take */
    bool resolved;
};

struct stitch {
    struct pw_profile *p;
    uint32_t *group_of; /* by sample */
    struct group *group;
    uint32_t group_count;
};

/* n ids of its suffix. */
static struct pw_slice
ids_at(const struct group *g, uint32_t first, uint32_t n)
{
    return pw_slice(g->suffix + g->at[first], (size_t)g->at[first + n] - g->at[first]);
}

/* Open addressing over groups by `count` ids at `first` of the suffix. */
struct table {
    uint32_t *slot; /* group + 1, 0 empty */
    uint64_t mask;
    uint32_t first, count;
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

/* The slot of the group whose ids are these, or the empty one where it belongs. */
static uint32_t *
table_slot(const struct table *t, const struct stitch *st, struct pw_slice ids)
{
    uint64_t i = pw_hash_keyed(st->p->hash_key, ids.ptr, ids.len) & t->mask;

    while (t->slot[i] != 0 &&
           !pw_slice_eq(ids_at(&st->group[t->slot[i] - 1], t->first, t->count), ids)) {
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

/* The last STITCH_SUFFIX ids of a stack that has as many. */
static struct pw_slice
suffix_of(const struct pw_profile *p, const struct pw_stack *s)
{
    const uint8_t *ids = pw_profile_ids(p, s), *end = ids + s->ids_len, *at = end;

    for (uint32_t n = 0; n < STITCH_SUFFIX; n++) {
        at--;
        while (at > ids && at[-1] >= 0x80) { /* nine at most */
            at--;
        }
    }
    return pw_slice(at, (size_t)(end - at));
}

static struct group
group_of_suffix(struct pw_slice suffix)
{
    struct group g = {.suffix = suffix.ptr, .parent = NO_GROUP};
    uint32_t n = 0;

    for (size_t i = 0; i < suffix.len; i++) {
        if (suffix.ptr[i] < 0x80) {
            g.at[++n] = (uint8_t)(i + 1);
        }
    }
    return g;
}

static bool
group_stacks(struct stitch *st)
{
    const struct pw_profile *p = st->p;
    struct table suffixes = {.count = STITCH_SUFFIX};
    uint32_t deep = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        deep += p->stack[i].loc_count >= STITCH_SUFFIX;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    st->group_of = pw_scratch_array(p->scratch, p->sample_count, sizeof(*st->group_of));
    st->group = pw_scratch_array(p->scratch, deep, sizeof(*st->group));
    if (!table_init(&suffixes, p->scratch, deep) || st->group_of == NULL || st->group == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < p->sample_count; i++) {
        const struct pw_stack *s = &p->stack[i];
        struct pw_slice suffix;
        uint32_t *slot;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 256);
        if (s->loc_count < STITCH_SUFFIX) {
            st->group_of[i] = NO_GROUP;
            continue;
        }
        suffix = suffix_of(p, s);
        slot = table_slot(&suffixes, st, suffix);
        if (*slot == 0) {
            st->group[st->group_count++] = group_of_suffix(suffix);
            *slot = st->group_count;
        }
        st->group_of[i] = *slot - 1;
    }
    return true;
}

/* A filter for ids: the first two bytes of each that was put in, which is the whole of a small one. */
enum { ID_FILTER_WORDS = 65536 / 64 };

static uint16_t
filter_bit(struct pw_slice id)
{
    return (uint16_t)(id.ptr[0] | (id.len > 1 ? id.ptr[1] << 8 : 0));
}

static void
filter_put(uint64_t *filter, struct pw_slice id)
{
    filter[filter_bit(id) / 64] |= 1ULL << filter_bit(id) % 64;
}

static bool
filter_may_have(const uint64_t *filter, struct pw_slice id)
{
    return (filter[filter_bit(id) / 64] >> filter_bit(id) % 64 & 1) != 0;
}

/* Finds each group's parent: twins share what is found, but for the one that is its own. */
static bool
link_groups(struct stitch *st)
{
    const uint32_t root = STITCH_OFFSET_MAX, last = STITCH_SUFFIX - 1;
    struct table roots = {.first = root, .count = STITCH_MATCH};
    uint64_t *last_ids = pw_scratch_array(st->p->scratch, ID_FILTER_WORDS, sizeof(*last_ids));

    if (last_ids == NULL || !table_init(&roots, st->p->scratch, st->group_count)) {
        return false;
    }
    memset(last_ids, 0, ID_FILTER_WORDS * sizeof(*last_ids));
    for (uint32_t g = 0; g < st->group_count; g++) {
        uint32_t *slot = table_slot(&roots, st, ids_at(&st->group[g], root, STITCH_MATCH));

        PW_FIBER_PAUSE_EVERY(st->p->scratch->fiber, g, 256);
        *slot = *slot == 0 ? g + 1 : *slot;
        st->group[g].twin = *slot - 1;
        filter_put(last_ids, ids_at(&st->group[g], last, 1));
    }
    for (uint32_t g = 0; g < st->group_count; g++) {
        PW_FIBER_PAUSE_EVERY(st->p->scratch->fiber, g, 64);
        for (uint32_t offset = STITCH_OFFSET_MAX; offset > 0; offset--) {
            const struct group *parent = &st->group[g];
            uint32_t child;

            /* Few frames that have a caller here are the last of a stack elsewhere. */
            if (!filter_may_have(last_ids, ids_at(parent, last - offset, 1))) {
                continue;
            }
            child = *table_slot(&roots, st, ids_at(parent, root - offset, STITCH_MATCH));
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
    const uint32_t root = STITCH_OFFSET_MAX;

    for (uint32_t i = 0; i < st->group_count; i++) {
        struct group *g = &st->group[i];

        PW_FIBER_PAUSE_EVERY(st->p->scratch->fiber, i, 1024);
        if (g->parent != NO_GROUP && pw_slice_eq(ids_at(g, root - g->missing, STITCH_MATCH),
                                                 ids_at(g, root, STITCH_MATCH))) {
            g->parent = i;
        }
    }
}

static struct pw_slice
last_ids_of(const struct group *g, uint32_t n)
{
    return ids_at(g, STITCH_SUFFIX - n, n);
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
        g->bytes = parent->bytes + (uint32_t)last_ids_of(parent, g->missing).len;
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

/* The group of a sample that misses something, or NULL. */
static const struct group *
group_to_stitch(const struct stitch *st, uint32_t sample, uint32_t first)
{
    uint32_t g = st->group_of[sample];

    return g == NO_GROUP || g < first || st->group[g].frames == 0 ? NULL : &st->group[g];
}

/* The stack of a sample and what it misses, to `out`; gives the end. */
static uint8_t *
put_stitched(const struct stitch *st, const struct pw_stack *s, const struct group *g, uint8_t *out)
{
    memcpy(out, pw_profile_ids(st->p, s), s->ids_len);
    out += s->ids_len;
    while (g->parent != NO_GROUP) { /* resolved: at most STITCH_HOPS_MAX */
        const struct group *parent = &st->group[g->parent];
        struct pw_slice ids = last_ids_of(parent, g->missing);

        memcpy(out, ids.ptr, ids.len);
        out += ids.len;
        g = parent;
    }
    return out;
}

/* Bytes of the whole stacks of all samples that miss something; 0 when none does, or when these would be too
 * many frames. */
static uint64_t
stitched_bytes(const struct stitch *st, uint32_t first)
{
    const struct pw_profile *p = st->p;
    uint64_t count = 0, more = 0, bytes = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        const struct pw_stack *s = &p->stack[i];
        const struct group *g = group_to_stitch(st, i, first);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        count += s->loc_count;
        more += g == NULL ? 0 : (uint64_t)s->loc_count + g->frames;
        bytes += g == NULL ? 0 : (uint64_t)s->ids_len + g->bytes;
    }
    return more > STITCH_GROWTH_MAX * count || p->bytes.len + p->own_ids_len + bytes > UINT32_MAX
               ? 0
               : bytes;
}

/* Gives the samples of groups from `first` on their whole stacks, behind a copy of the lists of their own that
 * there are. 1 when it did, 0 when there was none. */
static int
stitch_samples(struct stitch *st, uint32_t first)
{
    struct pw_profile *p = st->p;
    uint64_t more = stitched_bytes(st, first);
    uint8_t *ids, *out;

    if (more == 0) {
        return 0;
    }
    ids = pw_scratch_alloc(p->scratch, p->own_ids_len + more + PW_PROFILE_IDS_SLACK);
    if (ids == NULL) {
        return PW_ENOMEM;
    }
    if (p->own_ids_len != 0) {
        pw_fiber_copy(p->scratch->fiber, ids, p->own_ids, p->own_ids_len);
    }
    out = ids + p->own_ids_len;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        const struct group *g = group_to_stitch(st, i, first);
        struct pw_stack *s = &p->stack[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 64);
        if (g != NULL) {
            uint8_t *end = put_stitched(st, s, g, out);

            s->ids_off = (uint32_t)(p->bytes.len + (size_t)(out - ids));
            s->ids_len = (uint32_t)(end - out);
            s->loc_count += g->frames;
            p->depth_max = s->loc_count > p->depth_max ? s->loc_count : p->depth_max;
            out = end;
        }
    }
    p->own_ids = ids;
    p->own_ids_len = (size_t)(out - ids);
    return 1;
}

int
pw_profile_stitch_go(struct pw_profile *p)
{
    size_t mark = p->scratch->used;
    struct stitch st = {.p = p};
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
