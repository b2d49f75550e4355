#include "pprof/profile_tables.h"

#include "base/check.h"

enum {
    SPARE = 64,
    STRINGS_SPARE = 8, /* a build id, an empty string; more make the table grow */
    CLASS_BYTES_MIN = 64 << 10,
    STEP_BYTES = 8 << 10, /* of wire between checkpoints */
    BIG_BYTES_MIN = 5,    /* a varint of more than 31 bits */
};

/* Varints in a packed field, as many as end in it. */
static size_t
packed_count(struct pw_fiber *fiber, struct pw_slice s)
{
    size_t n = 0;

    for (size_t at = 0; at < s.len;) {
        size_t end = s.len - at < STEP_BYTES ? s.len : at + STEP_BYTES;

        for (; at < end; at++) {
            n += s.ptr[at] < 0x80;
        }
        if (at < s.len) {
            pw_fiber_pause(fiber);
        }
    }
    return n;
}

static void
count_sample(struct pw_walk_counts *c, struct pw_fiber *fiber, struct pw_slice bytes)
{
    struct pw_wire r;
    struct pw_wire_field f;

    pw_walk_wire_init(&r, bytes, fiber);
    c->sample++;
    for (uint32_t i = 0; pw_wire_next(&r, &f) == 1; i++) {
        PW_FIBER_PAUSE_EVERY(fiber, i, 1024);
        if (f.number == 2) {
            c->value += f.type == PW_WIRE_LEN ? packed_count(fiber, f.bytes) : 1;
        }
        c->label += f.number == 3;
    }
}

static void
count_location(struct pw_walk_counts *c, struct pw_fiber *fiber, struct pw_slice bytes)
{
    struct pw_wire r;
    struct pw_wire_field f;

    pw_walk_wire_init(&r, bytes, fiber);
    c->location++;
    for (uint32_t i = 0; pw_wire_next(&r, &f) == 1; i++) {
        PW_FIBER_PAUSE_EVERY(fiber, i, 1024);
        c->line += f.number == 4;
    }
}

/* Stops quietly at the first fault: the second walk meets the same one and names it. */
void
pw_walk_count(struct pw_walk_counts *c, struct pw_fiber *fiber, struct pw_slice bytes)
{
    struct pw_wire r;
    struct pw_wire_field f;

    pw_walk_wire_init(&r, bytes, fiber);
    for (uint32_t i = 0; pw_wire_next(&r, &f) == 1; i++) {
        PW_FIBER_PAUSE_EVERY(fiber, i, 512);
        if (f.type != PW_WIRE_LEN) {
            continue;
        }
        switch (f.number) {
        case 2:
            count_sample(c, fiber, f.bytes);
            break;
        case 3:
            c->mapping++;
            break;
        case 4:
            count_location(c, fiber, f.bytes);
            break;
        case 5:
            c->function++;
            break;
        case 6:
            c->string++;
            break;
        default:
            break;
        }
    }
}

/* Everything that is left of the scratch, to be cut by keep(); *cap entries, at most `most`. */
static void *
open_end(const struct pw_scratch *s, size_t size, size_t most, size_t *cap)
{
    *cap = pw_scratch_left(s) / size;
    *cap = *cap < most ? *cap : most;
    return s->base + s->used;
}

static bool
keep(struct pw_scratch *s, size_t n, size_t size)
{
    return pw_scratch_array(s, n, size) != NULL;
}

/* The two tables of samples that grow: values as wide as they may get, behind them ids of their own. Of these
 * there are no more bytes than in the wire, so nobody looks again whether there is room. */
static bool
open_samples(struct pw_walk *w)
{
    struct pw_profile *p = w->p;
    const struct pw_scratch *s = p->scratch;
    size_t values = pw_align_up(w->cap.value * sizeof(uint64_t), 16);

    p->value = s->base + s->used;
    p->value_bytes = sizeof(uint32_t);
    p->own_ids = s->base + s->used + values;
    return values <= pw_scratch_left(s) &&
           p->bytes.len + PW_PROFILE_IDS_SLACK <= pw_scratch_left(s) - values;
}

void
pw_walk_widen_values(struct pw_profile *p, size_t n, struct pw_fiber *fiber)
{
    const uint32_t *narrow = p->value;
    uint64_t *wide = p->value;

    while (n-- > 0) { /* from the end: in the same place */
        wide[n] = narrow[n];
        PW_FIBER_PAUSE_EVERY(fiber, n, 16384);
    }
    p->value_bytes = sizeof(uint64_t);
}

static void
move_down(struct pw_fiber *fiber, uint8_t *to, const uint8_t *from, size_t n)
{
    enum { BLOCK = 64 << 10 };

    for (size_t i = 0; i < n; i += BLOCK) {
        memmove(to + i, from + i, n - i < BLOCK ? n - i : (size_t)BLOCK);
        pw_fiber_pause(fiber);
    }
}

bool
pw_walk_keep_samples(struct pw_walk *w)
{
    struct pw_profile *p = w->p;
    struct pw_scratch *s = p->scratch;
    size_t values = pw_profile_values_match(p) ? (size_t)p->sample_count * p->sample_type_count : 0;
    uint8_t *own = NULL;
    bool ok = keep(s, values, p->value_bytes);

    if (p->own_ids_len != 0) {
        own = pw_scratch_alloc(s, p->own_ids_len + PW_PROFILE_IDS_SLACK);
        ok = ok && own != NULL;
    }
    if (ok && own != NULL) {
        move_down(s->fiber, own, p->own_ids, p->own_ids_len);
        p->own_ids = own;
    }
    return ok;
}

/* Makes s end `bytes` earlier; *far is what lies there. */
static bool
cut_far(struct pw_scratch *s, size_t bytes, struct pw_scratch *far)
{
    if (bytes > pw_scratch_left(s)) {
        return false;
    }
    *far = *s;
    s->cap = (s->cap - bytes) & ~(size_t)15;
    far->used = s->cap;
    return true;
}

/* A table of its own length for what is staged; NULL: no room. */
static void *
place(struct pw_scratch *s, const void *staged, size_t used, size_t cap, size_t size)
{
    void *own = pw_scratch_array(s, cap, size);

    if (own != NULL && used != 0) {
        pw_fiber_copy(s->fiber, own, staged, used * size);
    }
    return own;
}

bool
pw_walk_place_big(struct pw_walk *w)
{
    struct pw_profile *p = w->p;

    p->big = place(p->scratch, p->big, p->big_count, p->big_count, sizeof(*p->big));
    return p->big != NULL;
}

bool
pw_walk_alloc(struct pw_walk *w)
{
    const struct pw_walk_counts *c = &w->cap;
    struct pw_profile *p = w->p;
    struct pw_scratch *s = p->scratch, far;

    w->cap.big = p->bytes.len / BIG_BYTES_MIN + 1;
    if (!cut_far(s, c->big * sizeof(*p->big) + 16, &far)) {
        return false;
    }
    p->big = pw_scratch_array(&far, c->big, sizeof(*p->big));
    p->string_cap = (uint32_t)c->string + STRINGS_SPARE;
    p->stack = pw_scratch_array(s, c->sample, sizeof(*p->stack));
    p->sample_label = pw_scratch_array(s, c->label, sizeof(*p->sample_label));
    p->mapping = pw_scratch_array(s, c->mapping + 1, sizeof(*p->mapping)); /* one may be added */
    p->location = pw_scratch_array(s, c->location + 1, sizeof(*p->location));
    p->location_id = pw_scratch_array(s, c->location, sizeof(*p->location_id));
    p->line = pw_scratch_array(s, c->line, sizeof(*p->line));
    p->function = pw_scratch_array(s, c->function, sizeof(*p->function));
    p->string = pw_scratch_array(s, p->string_cap, sizeof(*p->string));
    return p->big && p->stack && p->sample_label && p->mapping && p->location && p->location_id &&
           p->line && p->function && p->string && open_samples(w);
}

static bool
alloc_lists(struct pw_walk_lists *l, struct pw_scratch *s, const struct pw_walk_counts *c)
{
    size_t n[PW_LISTS] = {0, c->sample, c->location, c->function};

    for (int i = 0; i < PW_LISTS; i++) {
        l->first[i] = l->next[i] = pw_scratch_array(s, n[i], sizeof(uint32_t));
        if (l->first[i] == NULL) {
            return false;
        }
        l->end[i] = l->first[i] + n[i];
    }
    return true;
}

bool
pw_walk_far_lists(struct pw_walk *w, struct pw_walk_lists *l)
{
    const struct pw_walk_counts *c = &w->cap;
    struct pw_scratch far;
    size_t bytes = (c->sample + c->location + c->function) * sizeof(uint32_t);

    w->staged_bytes = bytes;
    return cut_far(w->p->scratch, bytes + 4 * 16 /* alignment */, &far) && alloc_lists(l, &far, c);
}

bool
pw_walk_stage(struct pw_walk *w, struct pw_walk_lists *l)
{
    struct pw_profile *p = w->p;
    struct pw_scratch far;
    size_t n = CLASS_BYTES_MIN, bytes;
    struct pw_walk_counts *c = &w->cap;

    while (n < p->bytes.len) { /* at most a few turns: staged bodies are bounded */
        n *= 2;
    }
    *c = (struct pw_walk_counts){.sample = n / 16,
                                 .label = n / 12,
                                 .mapping = n / 128 + SPARE,
                                 .location = n / 10,
                                 .function = n / 10,
                                 .string = n / 8,
                                 .big = n / 16};
    bytes = c->big * sizeof(*p->big) + c->label * sizeof(*p->sample_label) +
            c->mapping * sizeof(*p->mapping) +
            (c->sample + c->location + c->function) * sizeof(uint32_t) + 16 * 16 /* alignment */;
    if (!cut_far(p->scratch, bytes, &far)) {
        return pw_walk_full(w);
    }
    p->string = open_end(p->scratch, sizeof(*p->string), c->string, &c->string);
    p->mapping = pw_scratch_array(&far, c->mapping, sizeof(*p->mapping));
    p->big = pw_scratch_array(&far, c->big, sizeof(*p->big));
    p->sample_label = pw_scratch_array(&far, c->label, sizeof(*p->sample_label));
    return (p->string && p->mapping && p->big && p->sample_label && alloc_lists(l, &far, c)) ||
           pw_walk_full(w);
}

bool
pw_walk_place_symbols(struct pw_walk *w, const struct pw_walk_lists *l)
{
    struct pw_profile *p = w->p;
    struct pw_scratch *s = p->scratch;
    struct pw_walk_counts *c = &w->cap;

    w->staged_bytes = p->mapping_count * sizeof(*p->mapping);
    for (int i = 0; i < PW_LISTS; i++) {
        w->staged_bytes += (size_t)(l->next[i] - l->first[i]) * sizeof(*l->next[i]);
    }
    p->string_cap = p->string_count + STRINGS_SPARE;
    if (!keep(s, p->string_cap, sizeof(*p->string))) {
        return pw_walk_full(w);
    }
    p->mapping =
        place(s, p->mapping, p->mapping_count, p->mapping_count + 1ULL, sizeof(*p->mapping));
    c->function = (size_t)(l->next[PW_LIST_FUNCTION] - l->first[PW_LIST_FUNCTION]);
    c->location = (size_t)(l->next[PW_LIST_LOCATION] - l->first[PW_LIST_LOCATION]);
    p->function = pw_scratch_array(s, c->function, sizeof(*p->function));
    p->location = pw_scratch_array(s, c->location + 1, sizeof(*p->location));
    p->location_id = pw_scratch_array(s, c->location, sizeof(*p->location_id));
    p->line = open_end(s, sizeof(*p->line), p->bytes.len, &c->line);
    return (p->mapping && p->function && p->location && p->location_id) || pw_walk_full(w);
}

bool
pw_walk_place_samples(struct pw_walk *w, const struct pw_walk_lists *l)
{
    struct pw_profile *p = w->p;
    struct pw_scratch *s = p->scratch;
    struct pw_walk_counts *c = &w->cap;

    w->staged_bytes += p->big_count * sizeof(*p->big);
    if (!keep(s, p->line_count, sizeof(*p->line)) || !pw_walk_place_big(w)) {
        return pw_walk_full(w);
    }
    c->sample = (size_t)(l->next[PW_LIST_SAMPLE] - l->first[PW_LIST_SAMPLE]);
    c->value = c->sample * p->sample_type_count;
    p->stack = pw_scratch_array(s, c->sample, sizeof(*p->stack));
    return (p->stack && open_samples(w)) || pw_walk_full(w);
}

bool
pw_walk_place_rest(struct pw_walk *w)
{
    struct pw_profile *p = w->p;
    struct pw_scratch *s = p->scratch;

    if (!pw_walk_keep_samples(w)) {
        return pw_walk_full(w);
    }
    p->sample_label =
        place(s, p->sample_label, w->label_count, w->label_count, sizeof(*p->sample_label));
    pw_scratch_note(s, w->staged_bytes + w->label_count * sizeof(*p->sample_label));
    return p->sample_label != NULL || pw_walk_full(w);
}
