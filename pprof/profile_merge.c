/* Contract write-path.md 3.4, step 3: samples of equal stack and label set added up, each stack once. */
#include "pprof/profile_ids.h"

struct merge {
    struct pw_slots stacks;  /* by hash, into p->stack_hash */
    struct pw_slots samples; /* by stack and label set; without labels there is none */
    uint32_t count;          /* of samples that were there before merging */
    bool widened;
};

/* A sum that no longer fits makes all values 8 bytes wide, in a place of their own. */
static bool
widen_values(struct pw_profile *p, struct merge *m)
{
    size_t n = (size_t)m->count * p->sample_type_count;
    uint64_t *wide = pw_scratch_array(p->scratch, n, sizeof(*wide));

    for (size_t i = 0; wide != NULL && i < n; i++) {
        wide[i] = ((const uint32_t *)p->value)[i];
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 16384);
    }
    if (wide == NULL) {
        return false;
    }
    p->value = wide;
    p->value_bytes = sizeof(*wide);
    m->widened = true;
    return true;
}

static bool
add_narrow(struct pw_profile *p, size_t to, size_t from)
{
    uint32_t *v = p->value;
    uint64_t bits = 0;

    for (uint32_t t = 0; t < p->sample_type_count; t++) {
        bits |= (uint64_t)v[to + t] + v[from + t];
    }
    if (bits > UINT32_MAX) {
        return false;
    }
    for (uint32_t t = 0; t < p->sample_type_count; t++) {
        v[to + t] += v[from + t];
    }
    p->value_bits |= bits;
    return true;
}

/* The values of one sample to those of another; false: no room. */
static bool
add_values(struct pw_profile *p, struct merge *m, uint32_t to_sample, uint32_t from_sample)
{
    size_t to = (size_t)to_sample * p->sample_type_count;
    size_t from = (size_t)from_sample * p->sample_type_count;
    uint64_t *v;

    if (p->value_bytes == sizeof(uint32_t) && add_narrow(p, to, from)) {
        return true;
    }
    if (p->value_bytes == sizeof(uint32_t) && !widen_values(p, m)) {
        return false;
    }
    v = p->value;
    for (uint32_t t = 0; t < p->sample_type_count; t++) {
        v[to + t] += v[from + t]; /* wraps, as the reference does */
        p->value_bits |= v[to + t];
    }
    return true;
}

static inline void
move_values(struct pw_profile *p, uint32_t to, uint32_t from)
{
    size_t bytes = p->value_bytes * (size_t)p->sample_type_count;

    if (to != from) {
        memcpy((uint8_t *)p->value + to * bytes, (const uint8_t *)p->value + from * bytes, bytes);
    }
}

/* The stack of sample i: *known when it was there before, else it is the next. Stacks and their hashes never get
 * behind the samples, so they lie where those were. */
static inline uint32_t
intern_stack(struct pw_profile *p, struct merge *m, uint32_t i, bool *known)
{
    uint64_t hash = p->stack_hash[i], at = hash & m->stacks.mask;
    uint32_t slot;

    for (; (slot = pw_slots_get(&m->stacks, at)) != 0; at = (at + 1) & m->stacks.mask) {
        if (p->stack_hash[slot - 1] == hash) {
            *known = true;
            return slot - 1;
        }
    }
    *known = false;
    slot = p->stack_count++;
    pw_slots_set(&m->stacks, at, slot);
    p->stack_hash[slot] = hash;
    p->stack[slot] = p->stack[i];
    p->stack_wire_bytes += p->stack[slot].ids_len;
    p->depth_bits |= p->stack[slot].loc_count;
    return slot;
}

/* Of no sample with a label: as many are left as there are stacks. */
static bool
merge_unlabelled(struct pw_profile *p, struct merge *m)
{
    for (uint32_t i = 0; i < p->sample_count; i++) {
        bool known;
        uint32_t stack = intern_stack(p, m, i, &known);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (!known) {
            move_values(p, stack, i);
        } else if (!add_values(p, m, stack, i)) {
            return false;
        }
    }
    p->sample_count = p->stack_count;
    return true;
}

/* The sample before n with this key, or where n is put as the one that has it. */
static uint32_t
intern_sample(const struct pw_profile *p, struct merge *m, struct pw_sample_key key, uint32_t n)
{
    uint64_t at = pw_hash_mix(p->stack_hash[key.stack], key.label_set) & m->samples.mask;
    uint32_t slot;

    for (; (slot = pw_slots_get(&m->samples, at)) != 0; at = (at + 1) & m->samples.mask) {
        const struct pw_sample_key *o = &p->sample_key[slot - 1];

        if (o->stack == key.stack && o->label_set == key.label_set) {
            return slot - 1;
        }
    }
    pw_slots_set(&m->samples, at, n);
    return n;
}

static bool
merge_labelled(struct pw_profile *p, struct merge *m)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        struct pw_sample_key key = p->sample_key[i];
        uint32_t at;
        bool known;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 256);
        key.stack = intern_stack(p, m, i, &known);
        at = intern_sample(p, m, key, n);
        if (at == n) {
            p->sample_key[n] = key;
            move_values(p, n++, i);
        } else if (!add_values(p, m, at, i)) {
            return false;
        }
    }
    p->sample_count = n;
    return true;
}

bool
pw_profile_merge_samples(struct pw_profile *p)
{
    struct pw_scratch *s = p->scratch;
    struct merge m = {.count = p->sample_count};
    size_t mark = s->used, values;
    bool labelled = p->sample_key != NULL;

    if (!pw_slots_init(&m.stacks, s, p->sample_count) ||
        (labelled && !pw_slots_init(&m.samples, s, p->sample_count)) ||
        !(labelled ? merge_labelled(p, &m) : merge_unlabelled(p, &m))) {
        return false;
    }
    values = (size_t)p->sample_count * p->sample_type_count * p->value_bytes;
    pw_scratch_rewind(s, mark);
    if (m.widened) { /* to where the tables were */
        void *to = pw_scratch_alloc(s, values);

        PW_INVARIANT(to != NULL);
        memmove(to, p->value, values);
        p->value = to;
    }
    return true;
}
