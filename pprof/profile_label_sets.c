/* Contract write-path.md 3.4, step 1: the string labels of samples as sets, each once.
 *
 * The pairs of the sets lie where the labels were that they are made from, as far as these have been read. */
#include "pprof/profile_ids.h"

struct label_entry { /* a set under one of its hashes */
    uint64_t hash;
    uint32_t set;
};

/* One table for two kinds of keyed hashes: of label references as sent, and of the texts of a set. */
struct label_sets {
    struct label_entry *entry; /* open end of the scratch */
    uint32_t count, cap;
    struct pw_slots slots;
    uint32_t pair_count;
};

static_assert(sizeof(struct pw_label_set_pair) <= sizeof(struct pw_sample_label),
              "pairs never overtake the labels they come from");

/* The set with this hash, or UINT32_MAX and where it belongs. */
static uint32_t
find(const struct label_sets *t, uint64_t hash, uint64_t *place)
{
    uint64_t i = hash & t->slots.mask;
    uint32_t at;

    for (; (at = pw_slots_get(&t->slots, i)) != 0; i = (i + 1) & t->slots.mask) {
        if (t->entry[at - 1].hash == hash) {
            return t->entry[at - 1].set;
        }
    }
    *place = i;
    return UINT32_MAX;
}

static bool
put(struct label_sets *t, uint64_t hash, uint32_t set)
{
    uint64_t place = 0;

    if (t->count == t->cap) {
        return false;
    }
    if (find(t, hash, &place) == UINT32_MAX) {
        t->entry[t->count] = (struct label_entry){.hash = hash, .set = set};
        pw_slots_set(&t->slots, place, t->count++);
    }
    return true;
}

static int
pair_cmp(const struct pw_profile *p, struct pw_label_set_pair a, struct pw_label_set_pair b)
{
    int c = pw_slice_cmp(pw_profile_text(p, a.key), pw_profile_text(p, b.key));

    return c != 0 ? c : pw_slice_cmp(pw_profile_text(p, a.str), pw_profile_text(p, b.str));
}

/* Places the pair among the n sorted ones at pair[0]: insertion, by binary search because a sample
 * may carry as many labels as its tenant allows. */
static void
insert_pair(const struct pw_profile *p, struct pw_label_set_pair *pair, uint32_t n,
            struct pw_label_set_pair x)
{
    uint32_t lo = 0, hi = n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (pair_cmp(p, pair[mid], x) <= 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    memmove(&pair[lo + 1], &pair[lo], (n - lo) * sizeof(x));
    pair[lo] = x;
}

/* The set of n pairs in no order behind those of the sets there are: sorted, then an earlier equal one or a new
 * one. Sets are equal when the keyed hashes of their texts are. UINT32_MAX: no room. */
static uint32_t
intern_set(struct pw_profile *p, struct label_sets *t, uint32_t n)
{
    struct pw_label_set_pair *pair = p->label_set_pair + t->pair_count;
    uint64_t h = pw_hash_mix(p->hash_key, n), place;
    uint32_t set;

    for (uint32_t j = 1; j < n; j++) {
        insert_pair(p, pair, j, pair[j]);
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, j, 64);
    }
    for (uint32_t j = 0; j < n; j++) {
        h = pw_hash_mix(h, pw_hash_mix(p->string[pair[j].key].hash, p->string[pair[j].str].hash));
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, j, 1024);
    }
    set = find(t, h, &place);
    if (set != UINT32_MAX) {
        return set;
    }
    set = p->label_set_count++;
    p->label_set[set] = (struct pw_label_set){.pair_first = t->pair_count, .pair_count = n};
    t->pair_count += n;
    return put(t, h, set) ? set : UINT32_MAX;
}

/* Step 1, then the set of what is left. Most samples repeat the labels of another one reference by
 * reference: those are known by that and never sorted. UINT32_MAX: no room. */
static uint32_t
resolve(struct pw_profile *p, struct label_sets *t, struct pw_sample_key key)
{
    const struct pw_sample_label *l = p->sample_label + key.label_first;
    uint64_t h = ~p->hash_key, place;
    uint32_t n = 0, set;

    for (uint32_t j = 0; j < key.label_count; j++) {
        uint64_t k = (uint64_t)l[j].key_ref, str = (uint64_t)l[j].str_ref;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, j, 1024);
        if (str - 1 < p->string_count - 1U && k < p->string_count && p->string[str].len != 0) {
            p->label_set_pair[t->pair_count + n++] =
                (struct pw_label_set_pair){.key = (uint32_t)k, .str = (uint32_t)str};
            h = pw_hash_mix(h, k << 32 | str);
        }
    }
    if (n == 0) {
        return 0;
    }
    set = find(t, h, &place);
    if (set == UINT32_MAX) {
        set = intern_set(p, t, n);
        if (set == UINT32_MAX || !put(t, h, set)) {
            return UINT32_MAX;
        }
    }
    return set;
}

/* The empty set keeps place 0 while samples are read; when none has it, it goes. */
static void
drop_empty_set(struct pw_profile *p)
{
    for (uint32_t i = 0; i < p->sample_count; i++) {
        p->sample_key[i].label_set--;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    p->label_set_count--;
    for (uint32_t i = 0; i < p->label_set_count; i++) {
        p->label_set[i] = p->label_set[i + 1];
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
}

/* Of each sample at most two hashes, and no more than two of each label. */
static bool
tables_init(struct pw_profile *p, struct label_sets *t)
{
    struct pw_scratch *s = p->scratch;
    uint32_t n = p->sample_count < p->sample_label_count ? p->sample_count : p->sample_label_count;
    uint64_t cap;

    p->label_set = pw_scratch_array(s, n + 1ULL, sizeof(*p->label_set));
    if (p->label_set == NULL || !pw_slots_init(&t->slots, s, 2ULL * n)) {
        return false;
    }
    cap = pw_scratch_left(s) / sizeof(*t->entry);
    t->cap = cap < 2ULL * n ? (uint32_t)cap : 2 * n;
    t->entry = (struct label_entry *)(void *)(s->base + s->used);
    p->label_set_pair = (struct pw_label_set_pair *)(void *)p->sample_label;
    p->label_set[0] = (struct pw_label_set){0};
    p->label_set_count = 1;
    return true;
}

static bool
resolve_all(struct pw_profile *p, struct label_sets *t)
{
    bool empty_used = false;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        uint32_t set = resolve(p, t, p->sample_key[i]);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 256);
        if (set == UINT32_MAX) {
            return false;
        }
        p->sample_key[i].label_set = set;
        empty_used |= set == 0;
    }
    if (!empty_used) {
        drop_empty_set(p);
    }
    return true;
}

bool
pw_profile_resolve_label_sets(struct pw_profile *p)
{
    struct pw_scratch *s = p->scratch;
    struct label_sets t = {0};
    size_t mark = s->used;

    if (p->sample_key == NULL) {
        p->label_set = pw_scratch_alloc(s, sizeof(*p->label_set));
        p->label_set_count = p->sample_count != 0;
        if (p->label_set != NULL) {
            p->label_set[0] = (struct pw_label_set){0};
        }
        return p->label_set != NULL;
    }
    if (!tables_init(p, &t) || !resolve_all(p, &t)) {
        return false;
    }
    pw_scratch_note(s, t.count * sizeof(*t.entry));
    pw_scratch_rewind(s, mark + pw_align_up(p->label_set_count * sizeof(*p->label_set), 16));
    return true;
}
