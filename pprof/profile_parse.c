/* The tables of a profile from its wire bytes (contract write-path.md 8).
 *
 * First an outline: where each top-level field lies, four lists for the four tables that matter. Then
 * one loop per table. Go writes locations, functions and samples mixed; reading them as they come
 * costs a misprediction at every other field, 8 ns each here (bench_wire: parse 28 us in one loop, 23
 * in these). A fault found on the way is looked for again in the order of the wire, so that the
 * first one is the one named.
 *
 * Tables are exactly as long as they must be: profile_tables.c. The canonical size (3.2 step 3), what
 * a proto3 encoder would write for the same content with unknown fields as they came, falls out on
 * the way. */
#include "pprof/profile.h"

#include "base/check.h"
#include "pprof/profile_fast_sample.h"
#include "pprof/profile_fast_symbols.h"
#include "pprof/profile_tables.h"
#include "pprof/profile_walk.h"

enum {
    STAGED_BYTES_MAX = 1 << 20,
    STEP_BYTES = 8 << 10, /* of wire between checkpoints: 60 us of the worst kind */
};

static inline bool
list_put(struct pw_walk_lists *l, uint32_t name, uint32_t off)
{
    uint32_t *x = l->next[name];

    if (PW_UNLIKELY(x == l->end[name])) {
        return false;
    }
    *x = off;
    l->next[name] = x + 1;
    return true;
}

static const uint8_t list_of_tag[256] = {
    [0x12] = PW_LIST_SAMPLE,
    [0x22] = PW_LIST_LOCATION,
    [0x2A] = PW_LIST_FUNCTION,
    [0x32] = PW_LIST_STRING,
};

static inline bool
put_string(struct pw_walk *w, struct pw_slice s)
{
    if (PW_UNLIKELY(w->p->string_count == w->cap.string)) {
        return false;
    }
    pw_walk_put_string(w, s, NULL); /* below 16 KiB, by its length in two bytes */
    return true;
}

/* Takes fields from *at on, those that begin before stop, while their tag is one of the four and their length has one or two bytes
 * and needs them. Only the length decides where the next field begins, so this chain is kept short,
 * and which list a field goes to is no branch: locations and functions come mixed. */
static bool
outline_usual(struct pw_walk *w, struct pw_walk_lists *l, const uint8_t **at, const uint8_t *stop,
              const uint8_t *end)
{
    const uint8_t *base = w->p->bytes.ptr, *p = *at;
    bool room = true;

    while (p < stop) {
        uint32_t name = list_of_tag[p[0]], len = p[1], head = 2, size;

        if (len >= 0x80) {
            if (p[2] - 1U >= 0x7F) {
                break;
            }
            len = (len & 0x7F) | (uint32_t)p[2] << 7;
            head = 3;
        }
        size = head + len;
        if (name == PW_LIST_NONE || size > (size_t)(end - p)) {
            break;
        }
        room = name == PW_LIST_STRING ? put_string(w, pw_slice(p + head, len))
                                      : list_put(l, name, (uint32_t)(p - base) + 1);
        if (!room) {
            break;
        }
        p += size;
    }
    *at = p;
    return room;
}

/* Every top-level field: three to their lists, the others read at once. */
static bool
outline(struct pw_walk *w, struct pw_walk_lists *l)
{
    const uint8_t *base = w->p->bytes.ptr;
    struct pw_wire r;
    struct pw_wire_field f;
    int rc = 1;

    pw_walk_wire_init(&r, w->p->bytes, w->p->scratch->fiber);
    while (rc == 1) {
        size_t left = (size_t)(r.end - r.p);
        const uint8_t *stop = r.p + (left > STEP_BYTES ? STEP_BYTES : left < 4 ? 0 : left - 3);
        const uint8_t *at;
        uint32_t name;

        if (!outline_usual(w, l, &r.p, stop, r.end)) {
            return pw_walk_full(w);
        }
        pw_fiber_pause(r.fiber);
        if (r.p >= stop && left > STEP_BYTES) {
            continue;
        }
        at = r.p;
        rc = pw_wire_next(&r, &f);
        name = rc == 1 && f.type == PW_WIRE_LEN && f.number < 6 ? list_of_tag[f.number << 3 | 2]
                                                                : PW_LIST_NONE;
        if (name != PW_LIST_NONE) {
            uint64_t tag = 0;

            if (!list_put(l, name,
                          (uint32_t)(at - base) + (uint32_t)pw_wire_varint(at, r.end, &tag))) {
                return pw_walk_full(w);
            }
            /* A length in more bytes than it needs shrinks here; the rest of it where it is read. */
            w->shrink += (r.p - at) - (int64_t)pw_len_field_size(f.bytes.len);
        } else if (rc == 1 && !pw_walk_field(w, &f, (uint64_t)(r.p - at))) {
            return false;
        }
    }
    w->err = r.err;
    return rc == 0;
}

/* The content of an item, and whether the fast readers may look past its end. */
static inline struct pw_slice
item_bytes(const struct pw_walk *w, const uint32_t *x, bool *roomy)
{
    struct pw_slice all = w->p->bytes;
    const uint8_t *at = all.ptr + *x, *end = all.ptr + all.len;
    uint64_t len = at[0];

    if (PW_LIKELY(len < 0x80)) {
        at++;
    } else {
        at += pw_wire_varint(at, end, &len); /* whole: the outline has been here */
    }
    *roomy = len + PW_FAST_SLACK <= (size_t)(end - at);
    return pw_slice(at, len);
}

/* A checkpoint when the items have come to *stop. */
static inline void
step_pause(const struct pw_walk *w, const uint32_t *x, uint32_t *stop)
{
    if (PW_UNLIKELY(*x >= *stop)) {
        *stop = *x + STEP_BYTES;
        pw_fiber_pause(w->p->scratch->fiber);
    }
}

static bool
read_slowly(struct pw_walk *w, uint32_t number, struct pw_slice s)
{
    struct pw_wire_field f = {.number = number, .type = PW_WIRE_LEN, .bytes = s};

    return pw_walk_field(w, &f, pw_len_field_size(s.len));
}

/* One loop per table, so that each runs without a surprise but those inside its messages. They are
 * kept apart: one function for all of them runs out of registers. */
static __attribute__((noinline)) bool
read_samples(struct pw_walk *w, const struct pw_walk_lists *l)
{
    uint32_t stop = STEP_BYTES;

    for (const uint32_t *x = l->first[PW_LIST_SAMPLE]; x < l->next[PW_LIST_SAMPLE]; x++) {
        bool roomy;
        struct pw_slice s = item_bytes(w, x, &roomy);

        step_pause(w, x, &stop);
        if (!(roomy && pw_fast_sample(w, s)) && !read_slowly(w, 2, s)) {
            return false;
        }
    }
    return true;
}

static void
tell_locations(const struct pw_fast_locations *all, struct pw_profile *p)
{
    p->location_count = all->count;
    p->line_count = (uint32_t)(all->line - p->line);
    p->location[all->count].line_first = p->line_count & PW_LINE_FIRST_MAX;
    p->dense_locations &= all->dense;
    p->zero_location_id |= all->zero_id;
}

static __attribute__((noinline)) bool
read_locations(struct pw_walk *w, const struct pw_walk_lists *l)
{
    struct pw_profile *p = w->p;
    struct pw_fast_locations all = {.count = p->location_count,
                                    .line = p->line + p->line_count,
                                    .line_cap = p->line + w->cap.line,
                                    .dense = true};
    uint32_t stop = STEP_BYTES;

    for (const uint32_t *x = l->first[PW_LIST_LOCATION]; x < l->next[PW_LIST_LOCATION]; x++) {
        bool roomy;
        struct pw_slice s = item_bytes(w, x, &roomy);
        uint32_t big = p->big_count;

        step_pause(w, x, &stop);
        if (PW_LIKELY(roomy && all.count < w->cap.location &&
                      pw_fast_location(w, &all, p->line, &p->location[all.count], s))) {
            continue;
        }
        p->big_count = big;
        tell_locations(&all, p);
        if (!read_slowly(w, 4, s)) {
            return false;
        }
        all.count = p->location_count;
        all.line = p->line + p->line_count;
    }
    tell_locations(&all, p);
    return !w->full || pw_walk_full(w);
}

static __attribute__((noinline)) bool
read_functions(struct pw_walk *w, const struct pw_walk_lists *l)
{
    struct pw_profile *p = w->p;
    struct pw_fast_functions all = {.count = p->function_count, .dense = true};
    uint32_t stop = STEP_BYTES;

    for (const uint32_t *x = l->first[PW_LIST_FUNCTION]; x < l->next[PW_LIST_FUNCTION]; x++) {
        bool roomy;
        struct pw_slice s = item_bytes(w, x, &roomy);

        step_pause(w, x, &stop);
        if (PW_LIKELY(roomy && all.count < w->cap.function &&
                      pw_fast_function(w, &all, &p->function[all.count], s))) {
            continue;
        }
        pw_fast_functions_tell(&all, p);
        if (!read_slowly(w, 5, s)) {
            return false;
        }
        all.count = p->function_count;
    }
    pw_fast_functions_tell(&all, p);
    return !w->full || pw_walk_full(w);
}

/* Field by field in the order they came: what decides which of several faults is named. */
static bool
walk_in_order(struct pw_walk *w)
{
    struct pw_wire r;
    struct pw_wire_field f;
    int rc;

    pw_walk_wire_init(&r, w->p->bytes, w->p->scratch->fiber);
    for (const uint8_t *at = r.p; (rc = pw_wire_next(&r, &f)) != 0; at = r.p) {
        pw_fiber_pause(r.fiber);
        if (!pw_walk_type_fits(w, &f)) {
            return false;
        }
        if (rc < 0) {
            w->err = pw_walk_named(w, "Profile", r.err);
            return false;
        }
        if (!pw_walk_field(w, &f, (uint64_t)(r.p - at))) {
            return false;
        }
    }
    return true;
}

/* All tables have their place. */
static bool
walk_by_table(struct pw_walk *w)
{
    struct pw_walk_lists l;

    if (!pw_walk_far_lists(w, &l) || !pw_walk_alloc(w)) {
        return pw_walk_full(w);
    }
    if (!outline(w, &l) || !read_functions(w, &l) || !read_locations(w, &l) ||
        !read_samples(w, &l) || !pw_walk_keep_samples(w) || !pw_walk_place_big(w)) {
        return false;
    }
    pw_scratch_note(w->p->scratch, w->staged_bytes);
    return true;
}

/* Tables get their place one after another, each when it is known how long it is or that it grows
 * alone. */
static bool
walk_staged(struct pw_walk *w)
{
    struct pw_walk_lists l;

    return pw_walk_stage(w, &l) && outline(w, &l) && pw_walk_place_symbols(w, &l) &&
           read_functions(w, &l) && read_locations(w, &l) && pw_walk_place_samples(w, &l) &&
           read_samples(w, &l) && pw_walk_place_rest(w);
}

static bool
walk_fields(struct pw_walk *w)
{
    return pw_walk_alloc(w) ? walk_in_order(w) : pw_walk_full(w);
}

static int
attempt(struct pw_walk *w, struct pw_scratch *scratch, uint64_t hash_key, struct pw_slice bytes,
        bool (*walk)(struct pw_walk *))
{
    struct pw_profile *p = w->p;
    size_t cap = scratch->cap;
    bool ok;

    memset(p, 0, sizeof(*p));
    p->bytes = bytes;
    p->scratch = scratch;
    p->hash_key = hash_key;
    pw_text_key_init(&p->text_key, hash_key);
    p->dense_functions = p->dense_mappings = p->dense_locations = true;
    p->values_least = UINT32_MAX;
    ok = walk(w);
    scratch->cap = cap; /* less while tables lie at its end */
    if (!ok) {
        return w->err != NULL ? PW_EINVAL : PW_ENOMEM;
    }
    pw_walk_finish(w);
    return 0;
}

int
pw_profile_parse(struct pw_profile *p, struct pw_scratch *scratch, uint64_t hash_key,
                 struct pw_slice bytes, const char **err_text)
{
    struct pw_walk w = {.p = p};
    size_t mark = scratch->used;
    bool staged = bytes.len <= STAGED_BYTES_MAX;
    int rc = PW_ENOMEM;

    if (bytes.len > PW_PROFILE_BYTES_MAX) {
        return PW_ENOMEM;
    }
    if (staged) {
        rc = attempt(&w, scratch, hash_key, bytes, walk_staged);
    }
    if (!staged || w.full) {
        pw_scratch_rewind(scratch, mark);
        w = (struct pw_walk){.p = p};
        pw_walk_count(&w.cap, scratch->fiber, bytes);
        rc = attempt(&w, scratch, hash_key, bytes, walk_by_table);
    }
    if (rc == PW_EINVAL) {
        pw_scratch_rewind(scratch, mark);
        w = (struct pw_walk){.p = p};
        pw_walk_count(&w.cap, scratch->fiber, bytes);
        rc = attempt(&w, scratch, hash_key, bytes, walk_fields);
        PW_INVARIANT(rc != 0);
    }
    *err_text = rc == PW_EINVAL ? w.err : NULL;
    return rc;
}

/* Room for more entries: twice as much, elsewhere. NULL: there is none. */
static void *
grow(struct pw_scratch *s, const void *table, size_t size, uint32_t count, uint32_t *cap)
{
    uint32_t more = 2 * *cap + 16; /* below 2^28: each took bytes of a body or of scratch */
    void *to = pw_scratch_array(s, more, size);

    if (to != NULL && count != 0) {
        pw_fiber_copy(s->fiber, to, table, count * size);
    }
    *cap = to == NULL ? *cap : more;
    return to;
}

bool
pw_profile_set_string(struct pw_profile *p, uint32_t i, struct pw_slice s)
{
    struct pw_string *x = &p->string[i];
    uintptr_t at = (uintptr_t)s.ptr - (uintptr_t)p->bytes.ptr;

    if (s.len == 0 || (at <= p->bytes.len && s.len <= p->bytes.len - at)) {
        x->off = s.len == 0 ? 0 : (uint32_t)at;
        x->len = (uint32_t)s.len;
        return true;
    }
    if (x->len < PW_STRING_LOOSE) {
        if (p->loose_string_count == p->loose_string_cap) {
            struct pw_slice *more = grow(p->scratch, p->loose_string, sizeof(*more),
                                         p->loose_string_count, &p->loose_string_cap);

            if (more == NULL) {
                return false;
            }
            p->loose_string = more;
        }
        x->off = p->loose_string_count++;
        x->len = PW_STRING_LOOSE;
    }
    p->loose_string[x->off] = s;
    return true;
}

uint32_t
pw_profile_add_string(struct pw_profile *p, struct pw_slice s)
{
    if (p->string_count == p->string_cap) {
        struct pw_string *more =
            grow(p->scratch, p->string, sizeof(*more), p->string_count, &p->string_cap);

        if (more == NULL) {
            return UINT32_MAX;
        }
        p->string = more;
    }
    p->string[p->string_count] = (struct pw_string){0};
    if (!pw_profile_set_string(p, p->string_count, s)) {
        return UINT32_MAX;
    }
    p->string_loose_bytes += s.len;
    p->string_loose_count++;
    return p->string_count++;
}
