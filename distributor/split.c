#include "distributor/split.h"

#include "base/hash.h"
#include "distributor/validate_labels.h"

enum { LABELS_SLACK = 16, GROUP_DROPPED = -1 };

/* Work of one split. set_* arrays have one entry per label set of the profile; hash tables hold
 * group number + 1 and are at most half full. */
struct work {
    const struct pw_split_source *src;
    struct pw_scratch *scratch;
    struct pw_split *out;
    struct pw_text *err;
    int32_t *set_group;
    uint32_t *set_span;
    uint32_t *promoted_slot; /* set index + 1, by the promoted labels alone */
    uint64_t *promoted_hash; /* per set */
    uint32_t *final_slot;    /* group + 1, by the final labels */
    uint64_t *final_hash;    /* per group */
    uint32_t mask;
    bool spans;
};

static enum pw_reason
no_memory(struct pw_text *err)
{
    err->len = 0;
    pw_text_str(err, "profile needs more memory than this core has");
    return PW_REASON_CORE_MEMORY;
}

enum kind { KIND_LABEL, KIND_SPAN, KIND_TRACE };

static enum kind
kind_of(struct pw_slice key)
{
    if (pw_slice_eq_str(key, "span_id") || pw_slice_eq_str(key, "profile_id")) {
        return KIND_SPAN;
    }
    return pw_slice_eq_str(key, "trace_id") ? KIND_TRACE : KIND_LABEL;
}

/* The value of a hex digit plus 1; 0: it is none. */
static const uint8_t hex_digit[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};

/* Hex of exactly n bytes; false for anything else (such an id is dropped silently). No branch on a digit: they
 * are random. */
static bool
decode_hex(struct pw_slice s, uint8_t *out, size_t n)
{
    uint32_t bad = 0;

    if (s.len != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t high = hex_digit[s.ptr[2 * i]] - 1U, low = hex_digit[s.ptr[2 * i + 1]] - 1U;

        bad |= high | low;
        out[i] = (uint8_t)(high << 4 | low);
    }
    if (bad >= 16) {
        memset(out, 0, n);
    }
    return bad < 16;
}

/* Span ids of a set into the table; index + 1, 0 when it has none. */
static uint32_t
take_span(struct work *w, const struct pw_label_set *set)
{
    const struct pw_profile *p = w->src->profile;
    struct pw_record_span_id id = {0};

    for (uint32_t i = 0; i < set->pair_count; i++) {
        const struct pw_label_set_pair *pair = &p->label_set_pair[set->pair_first + i];
        struct pw_slice str = pw_profile_string(p, pair->str);

        switch (kind_of(pw_profile_string(p, pair->key))) {
        case KIND_SPAN:
            if (id.has_span == 0) {
                id.has_span = decode_hex(str, id.span_id, sizeof(id.span_id));
            }
            break;
        case KIND_TRACE:
            if (id.has_trace == 0) {
                id.has_trace = decode_hex(str, id.trace_id, sizeof(id.trace_id));
            }
            break;
        case KIND_LABEL:
            break;
        }
    }
    if (id.has_span == 0 && id.has_trace == 0) {
        return 0;
    }
    w->out->span[w->out->span_count++] = id;
    w->spans = true;
    return w->out->span_count;
}

/* Hash of the labels of a set that become series labels; *count how many. */
static uint64_t
hash_promoted(const struct pw_profile *p, const struct pw_label_set *set, uint32_t *count)
{
    uint64_t h = 1;

    *count = 0;
    for (uint32_t i = 0; i < set->pair_count; i++) {
        const struct pw_label_set_pair *pair = &p->label_set_pair[set->pair_first + i];

        if (kind_of(pw_profile_string(p, pair->key)) == KIND_LABEL) {
            h = pw_hash_mix(pw_hash_mix(h, p->string[pair->key].hash), p->string[pair->str].hash);
            (*count)++;
        }
    }
    return h;
}

/* The i-th promoted pair from *at on; NULL at the end. */
static const struct pw_label_set_pair *
next_promoted(const struct pw_profile *p, const struct pw_label_set *set, uint32_t *at)
{
    while (*at < set->pair_count) {
        const struct pw_label_set_pair *pair = &p->label_set_pair[set->pair_first + (*at)++];

        if (kind_of(pw_profile_string(p, pair->key)) == KIND_LABEL) {
            return pair;
        }
    }
    return NULL;
}

static bool
same_promoted(const struct pw_profile *p, const struct pw_label_set *a,
              const struct pw_label_set *b)
{
    uint32_t ia = 0;
    uint32_t ib = 0;

    while (true) { /* pairs are sorted by text, so equal sets are equal in order */
        const struct pw_label_set_pair *x = next_promoted(p, a, &ia);
        const struct pw_label_set_pair *y = next_promoted(p, b, &ib);

        if (x == NULL || y == NULL) {
            return x == y;
        }
        if (!pw_slice_eq(pw_profile_string(p, x->key), pw_profile_string(p, y->key)) ||
            !pw_slice_eq(pw_profile_string(p, x->str), pw_profile_string(p, y->str))) {
            return false;
        }
    }
}

/* Series labels and the set's, relabelled. A series label with a value wins over a sample label of
 * the same name. PW_RELABEL_KEPT, PW_RELABEL_DROPPED or a negative enum pw_err. */
static int
final_labels(struct work *w, const struct pw_label_set *set, uint32_t promoted, struct pw_labels *l)
{
    const struct pw_profile *p = w->src->profile;
    const struct pw_labels *base = w->src->labels;
    const struct pw_label_set_pair *pair;
    uint32_t at = 0;

    l->cap = 2 * (base->count + promoted) + LABELS_SLACK;
    l->pair = pw_scratch_array(w->scratch, l->cap, sizeof(*l->pair));
    if (l->pair == NULL) {
        return PW_ENOMEM;
    }
    if (base->count != 0) {
        memcpy(l->pair, base->pair, base->count * sizeof(*l->pair));
    }
    l->count = base->count;
    while ((pair = next_promoted(p, set, &at)) != NULL) {
        struct pw_slice name = pw_profile_string(p, pair->key);

        if (pw_labels_get(l, name).len == 0 &&
            pw_labels_set(l, name, pw_profile_string(p, pair->str)) != 0) {
            return PW_ENOSPC;
        }
    }
    return pw_relabel_apply(w->src->relabel, l, w->scratch);
}

static bool
same_labels(const struct pw_labels *a, const struct pw_labels *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (!pw_slice_eq(a->pair[i].name, b->pair[i].name) ||
            !pw_slice_eq(a->pair[i].value, b->pair[i].value)) {
            return false;
        }
    }
    return true;
}

/* The group with these labels, made when there is none yet. */
static int32_t
group_of(struct work *w, const struct pw_labels *l)
{
    uint64_t h = pw_labels_fingerprint(l);
    uint32_t i = (uint32_t)pw_hash_mix(w->src->profile->hash_key, h) & w->mask;
    struct pw_split *out = w->out;

    for (; w->final_slot[i] != 0; i = (i + 1) & w->mask) {
        uint32_t g = w->final_slot[i] - 1;

        if (w->final_hash[g] == h && same_labels(&out->group[g].labels, l)) {
            return (int32_t)g;
        }
    }
    w->final_hash[out->group_count] = h;
    out->group[out->group_count] = (struct pw_split_group){.labels = *l};
    w->final_slot[i] = ++out->group_count;
    return (int32_t)out->group_count - 1;
}

/* Group of one label set: that of an earlier set with the same promoted labels, else by relabelling. */
static enum pw_reason
place_set(struct work *w, uint32_t set_index)
{
    const struct pw_profile *p = w->src->profile;
    const struct pw_label_set *set = &p->label_set[set_index];
    struct pw_labels l = {0};
    uint32_t promoted;
    uint64_t h = hash_promoted(p, set, &promoted);
    uint32_t i = (uint32_t)h & w->mask;
    int rc;

    w->set_span[set_index] = promoted == set->pair_count ? 0 : take_span(w, set);
    for (; w->promoted_slot[i] != 0; i = (i + 1) & w->mask) {
        uint32_t other = w->promoted_slot[i] - 1;

        if (w->promoted_hash[other] == h && same_promoted(p, &p->label_set[other], set)) {
            w->set_group[set_index] = w->set_group[other];
            return PW_REASON_NONE;
        }
    }
    w->promoted_slot[i] = set_index + 1;
    w->promoted_hash[set_index] = h;
    rc = final_labels(w, set, promoted, &l);
    if (rc < 0) {
        return no_memory(w->err);
    }
    w->set_group[set_index] = rc == PW_RELABEL_DROPPED ? GROUP_DROPPED : group_of(w, &l);
    return PW_REASON_NONE;
}

static enum pw_reason
work_init(struct work *w)
{
    const struct pw_profile *p = w->src->profile;
    uint32_t n = p->label_set_count;
    uint32_t cap = 8;

    while (cap < 2 * n) {
        cap *= 2;
    }
    w->mask = cap - 1;
    w->set_group = pw_scratch_array(w->scratch, n, sizeof(*w->set_group));
    w->set_span = pw_scratch_array(w->scratch, n, sizeof(*w->set_span));
    w->promoted_slot = pw_scratch_array(w->scratch, cap, sizeof(*w->promoted_slot));
    w->final_slot = pw_scratch_array(w->scratch, cap, sizeof(*w->final_slot));
    w->promoted_hash = pw_scratch_array(w->scratch, n, sizeof(*w->promoted_hash));
    w->final_hash = pw_scratch_array(w->scratch, n, sizeof(*w->final_hash));
    w->out->group = pw_scratch_array(w->scratch, n, sizeof(*w->out->group));
    w->out->span = pw_scratch_array(w->scratch, n, sizeof(*w->out->span));
    if (w->set_group == NULL || w->set_span == NULL || w->promoted_slot == NULL ||
        w->final_slot == NULL || w->promoted_hash == NULL || w->final_hash == NULL ||
        w->out->group == NULL || w->out->span == NULL) {
        return no_memory(w->err);
    }
    pw_fiber_clear(w->scratch->fiber, w->promoted_slot, cap * sizeof(*w->promoted_slot));
    pw_fiber_clear(w->scratch->fiber, w->final_slot, cap * sizeof(*w->final_slot));
    return PW_REASON_NONE;
}

/* Deals the samples out to their groups: a counting sort that keeps their order. */
static enum pw_reason
deal_samples(struct work *w)
{
    const struct pw_profile *p = w->src->profile;
    uint32_t *sample = pw_scratch_array(w->scratch, p->sample_count, sizeof(*sample));
    uint32_t *span = w->spans ? pw_scratch_array(w->scratch, p->sample_count, sizeof(*span)) : NULL;
    uint32_t at = 0;

    if (sample == NULL || (w->spans && span == NULL)) {
        return no_memory(w->err);
    }
    for (uint32_t i = 0; i < p->sample_count; i++) {
        int32_t g = w->set_group[pw_profile_label_set_of(p, i)];

        PW_FIBER_PAUSE_EVERY(w->scratch->fiber, i, 4096);
        if (g >= 0) {
            w->out->group[g].sample_count++;
        } else {
            w->out->samples_dropped++;
        }
    }
    for (uint32_t g = 0; g < w->out->group_count; g++) {
        struct pw_split_group *group = &w->out->group[g];

        group->sample = sample + at;
        group->span = span == NULL ? NULL : span + at;
        at += group->sample_count;
        group->sample_count = 0;
    }
    for (uint32_t i = 0; i < p->sample_count; i++) {
        uint32_t set = pw_profile_label_set_of(p, i);
        struct pw_split_group *group;

        PW_FIBER_PAUSE_EVERY(w->scratch->fiber, i, 4096);
        if (w->set_group[set] < 0) {
            continue;
        }
        group = &w->out->group[w->set_group[set]];
        group->sample[group->sample_count] = i;
        if (span != NULL) {
            group->span[group->sample_count] = w->set_span[set];
        }
        group->sample_count++;
    }
    return PW_REASON_NONE;
}

enum pw_reason
pw_split(struct pw_split *out, const struct pw_split_source *src, struct pw_scratch *scratch,
         struct pw_text *err)
{
    struct work w = {.src = src, .scratch = scratch, .out = out, .err = err};
    enum pw_reason reason;

    *out = (struct pw_split){0};
    reason = work_init(&w);
    for (uint32_t i = 0; reason == PW_REASON_NONE && i < src->profile->label_set_count; i++) {
        reason = place_set(&w, i);
        PW_FIBER_PAUSE_EVERY(scratch->fiber, i, 8);
    }
    for (uint32_t g = 0; reason == PW_REASON_NONE && g < out->group_count; g++) {
        reason = pw_validate_labels(&out->group[g].labels, src->limits, scratch,
                                    &out->names_sanitized, err);
        PW_FIBER_PAUSE_EVERY(scratch->fiber, g, 8);
    }
    if (reason != PW_REASON_NONE) {
        return reason;
    }
    out->whole = src->profile->label_set_count == 1 && out->group_count == 1 && !w.spans;
    if (!out->whole) {
        return deal_samples(&w);
    }
    out->group[0].sample_count = src->profile->sample_count; /* the usual profile */
    return PW_REASON_NONE;
}
