#include "tests/pprof/stitch_case.h"

#include "pprof/packed.h"
#include "pprof/wire.h"

#include <stdlib.h>
#include <string.h>

enum { SUFFIX = 24, MATCH = 16, OFFSET_MAX = 8, HOPS_MAX = 56, GROWTH_MAX = 8 };
enum { NONE = -1, UNKNOWN = -2 };

void
stitch_case_init(struct stitch_case *c, size_t scratch_bytes)
{
    *c = (struct stitch_case){.came = malloc(STITCH_CASE_IDS * sizeof(uint64_t)),
                              .came_first = malloc(STITCH_CASE_SAMPLES * sizeof(uint32_t)),
                              .came_count = malloc(STITCH_CASE_SAMPLES * sizeof(uint32_t)),
                              .known = malloc(STITCH_CASE_SAMPLES * sizeof(*c->known))};
    if (pw_scratch_init_ctl(&c->scratch, scratch_bytes) != 0) {
        abort();
    }
    c->p.stack = malloc(STITCH_CASE_SAMPLES * sizeof(*c->p.stack));
}

void
stitch_case_fini(struct stitch_case *c)
{
    pw_scratch_fini_ctl(&c->scratch);
    free(c->came);
    free(c->came_first);
    free(c->came_count);
    free(c->known);
    free(c->p.stack);
}

void
stitch_case_begin(struct stitch_case *c, const char *type, bool wide)
{
    struct pw_stack *stack = c->p.stack;

    c->scratch.used = 0;
    c->ids_count = 0;
    c->string[0] = (struct pw_string){0};
    c->string[1] = (struct pw_string){.len = PW_STRING_LOOSE};
    c->type = pw_slice(type, strlen(type));
    c->p = (struct pw_profile){.scratch = &c->scratch,
                               .hash_key = 42,
                               .stack = stack,
                               .string = c->string,
                               .string_count = 2,
                               .loose_string = &c->type,
                               .sample_type_count = 1};
    c->p.sample_type[0].type_ref = 1;
    c->wide = wide;
    c->p.own_ids = pw_scratch_alloc(&c->scratch, (size_t)STITCH_CASE_IDS * (wide ? 10 : 3));
    if (c->p.own_ids == NULL) {
        abort();
    }
}

bool
stitch_case_add(struct stitch_case *c, const uint64_t *ids, uint32_t n)
{
    struct pw_profile *p = &c->p;

    size_t first = p->own_ids_len;

    if (p->sample_count == STITCH_CASE_SAMPLES || n > STITCH_CASE_IDS - c->ids_count) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t id = ids[i] + (c->wide ? STITCH_CASE_WIDE : 0);

        c->came[c->ids_count + i] = ids[i];
        for (; id >= 0x80; id >>= 7) {
            p->own_ids[p->own_ids_len++] = (uint8_t)(id | 0x80);
        }
        p->own_ids[p->own_ids_len++] = (uint8_t)id;
    }
    c->came_first[p->sample_count] = c->ids_count;
    c->came_count[p->sample_count] = n;
    p->stack[p->sample_count++] = (struct pw_stack){
        .ids_off = (uint32_t)first, .ids_len = (uint32_t)(p->own_ids_len - first), .loc_count = n};
    p->depth_max = n > p->depth_max ? n : p->depth_max; /* the walk keeps it */
    c->ids_count += n;
    return true;
}

static uint64_t
next_id(const struct stitch_case *c, const uint8_t **ids)
{
    uint64_t id = 0;

    *ids += pw_wire_varint(*ids, *ids + 10, &id);
    return id - (c->wide ? STITCH_CASE_WIDE : 0);
}

uint64_t
stitch_case_id(const struct stitch_case *c, uint32_t sample, uint32_t i)
{
    const uint8_t *at = pw_packed_skip(pw_profile_ids(&c->p, &c->p.stack[sample]), i);

    return next_id(c, &at);
}

static const uint64_t *
suffix(const struct stitch_case *c, int sample)
{
    return c->came + c->came_first[sample] + c->came_count[sample] - SUFFIX;
}

static bool
same(const uint64_t *a, const uint64_t *b, int n)
{
    return memcmp(a, b, (size_t)n * sizeof(*a)) == 0;
}

static int
find_group(const struct stitch_case *c, int sample)
{
    if (c->came_count[sample] < SUFFIX) {
        return NONE;
    }
    for (int i = 0; i < sample; i++) {
        if (c->came_count[i] >= SUFFIX && same(suffix(c, i), suffix(c, sample), SUFFIX)) {
            return i;
        }
    }
    return sample;
}

/* The first sample of a sample's group; a group is known by it. */
static int
group_of(const struct stitch_case *c, int sample)
{
    int *known = &c->known[sample].group;

    *known = *known == UNKNOWN ? find_group(c, sample) : *known;
    return *known;
}

static bool
fits(const struct stitch_case *c, int child, int parent, int offset)
{
    return same(suffix(c, child) + OFFSET_MAX, suffix(c, parent) + OFFSET_MAX - offset, MATCH);
}

static int
find_parent(const struct stitch_case *c, int group, int *offset)
{
    for (*offset = OFFSET_MAX; *offset > 0; (*offset)--) {
        if (fits(c, group, group, *offset)) {
            return group;
        }
        for (int i = 0; i < (int)c->p.sample_count; i++) {
            if (group_of(c, i) == i && fits(c, group, i, *offset)) {
                return i;
            }
        }
    }
    return NONE;
}

static int
parent_of(const struct stitch_case *c, int group, int *offset)
{
    struct stitch_case_known *known = &c->known[group];

    if (known->parent == UNKNOWN) {
        known->parent = find_parent(c, group, &known->offset);
    }
    *offset = known->offset;
    return known->parent;
}

/* What a group misses; NONE: too many hops. */
static int
chain(const struct stitch_case *c, int group, uint64_t *out)
{
    int n = 0, offset;

    for (int hops = 0;; hops++) {
        int parent = parent_of(c, group, &offset);

        if (parent == NONE) {
            return n;
        }
        if (hops == HOPS_MAX) {
            return NONE;
        }
        memcpy(out + n, suffix(c, parent) + SUFFIX - offset, (size_t)offset * sizeof(*out));
        n += offset;
        group = parent;
    }
}

static bool
looks_cut(const struct stitch_case *c)
{
    bool cpu = pw_slice_eq_str(c->type, "cpu");
    bool heap =
        pw_slice_eq_str(c->type, "alloc_objects") || pw_slice_eq_str(c->type, "alloc_space") ||
        pw_slice_eq_str(c->type, "inuse_objects") || pw_slice_eq_str(c->type, "inuse_space");
    uint32_t deepest = 0;

    for (uint32_t i = 0; i < c->p.sample_count; i++) {
        deepest = c->came_count[i] > deepest ? c->came_count[i] : deepest;
    }
    return (cpu && deepest >= 60) || (heap && deepest >= 28 && deepest <= 32);
}

/* The groups from this sample on are stitched. */
static int
first_stitched(const struct stitch_case *c, uint64_t *out)
{
    int first = (int)c->p.sample_count;

    while (first > 0 && (group_of(c, first - 1) != first - 1 || chain(c, first - 1, out) != NONE)) {
        first--;
    }
    return first;
}

static uint32_t
appended(const struct stitch_case *c, int sample, int first, uint64_t *out)
{
    int group = group_of(c, sample);

    return group == NONE || group < first ? 0 : (uint32_t)chain(c, group, out);
}

/* The same, or behind the last when nothing is stitched. */
static int
plan(const struct stitch_case *c, uint64_t *out)
{
    int first = looks_cut(c) ? first_stitched(c, out) : (int)c->p.sample_count;
    uint64_t more = 0;

    for (int i = 0; i < (int)c->p.sample_count; i++) {
        uint32_t n = appended(c, i, first, out);

        more += n == 0 ? 0 : n + c->came_count[i];
    }
    return more > (uint64_t)GROWTH_MAX * c->ids_count ? (int)c->p.sample_count : first;
}

bool
stitch_case_holds(const struct stitch_case *c)
{
    uint64_t out[HOPS_MAX * OFFSET_MAX];
    int first;

    for (uint32_t s = 0; s < c->p.sample_count; s++) {
        c->known[s] = (struct stitch_case_known){.group = UNKNOWN, .parent = UNKNOWN};
    }
    first = plan(c, out);

    for (uint32_t s = 0; s < c->p.sample_count; s++) {
        const struct pw_stack *x = &c->p.stack[s];
        const uint8_t *ids;
        uint32_t came = c->came_count[s], more = appended(c, (int)s, first, out);

        if (x->loc_count != came + more || x->loc_count > c->p.depth_max ||
            (size_t)x->ids_off + x->ids_len > c->p.own_ids_len ||
            pw_packed_skip(pw_profile_ids(&c->p, x), x->loc_count) !=
                pw_profile_ids(&c->p, x) + x->ids_len) {
            return false;
        }
        ids = pw_profile_ids(&c->p, x);
        for (uint32_t i = 0; i < came + more; i++) {
            uint64_t want = i < came ? c->came[c->came_first[s] + i] : out[i - came];

            if (next_id(c, &ids) != want) {
                return false;
            }
        }
    }
    return true;
}
