/* The tables of a profile from its wire bytes (contract write-path.md 8).
 *
 * One walk. Tables must have their place before it begins: for bodies of ordinary size room is guessed
 * from the length (untouched scratch costs nothing), and a guess that does not hold, like a large
 * body, is counted exactly first. Scratch asked for is thus bounded by the body's own bytes. The
 * canonical size (3.2 step 3), what a proto3 encoder would write for the same content with unknown
 * fields as they came, falls out on the way. */
#include "pprof/profile.h"

#include "base/check.h"
#include "pprof/profile_fast.h"
#include "pprof/profile_walk.h"

enum { GUESS_BYTES_MAX = 1 << 20, SPARE = 64 };

/* Varints in a packed field, as many as end in it. */
static size_t
packed_count(struct pw_slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        n += s.ptr[i] < 0x80;
    }
    return n;
}

static void
count_sample(struct pw_walk_counts *c, struct pw_slice bytes)
{
    struct pw_wire r;
    struct pw_wire_field f;

    pw_wire_init(&r, bytes);
    c->sample++;
    while (pw_wire_next(&r, &f) == 1) {
        size_t n = f.type == PW_WIRE_LEN ? packed_count(f.bytes) : 1;

        c->loc += f.number == 1 ? n : 0;
        c->value += f.number == 2 ? n : 0;
        c->label += f.number == 3;
    }
}

static void
count_location(struct pw_walk_counts *c, struct pw_slice bytes)
{
    struct pw_wire r;
    struct pw_wire_field f;

    pw_wire_init(&r, bytes);
    c->location++;
    while (pw_wire_next(&r, &f) == 1) {
        c->line += f.number == 4;
    }
}

/* Stops quietly at the first fault: the second walk meets the same one and names it. */
static void
count_profile(struct pw_walk_counts *c, struct pw_slice bytes)
{
    struct pw_wire r;
    struct pw_wire_field f;

    pw_wire_init(&r, bytes);
    while (pw_wire_next(&r, &f) == 1) {
        if (f.type != PW_WIRE_LEN) {
            continue;
        }
        switch (f.number) {
        case 2:
            count_sample(c, f.bytes);
            break;
        case 3:
            c->mapping++;
            break;
        case 4:
            count_location(c, f.bytes);
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

/* Room that profiles of this length have been seen to stay far below: three times the densest of the
 * corpus in each table. */
static void
guess_profile(struct pw_walk_counts *c, size_t n)
{
    *c = (struct pw_walk_counts){.sample = n / 16 + SPARE,
                                 .loc = n,
                                 .value = n / 6 + SPARE,
                                 .label = n / 12 + SPARE,
                                 .mapping = n / 128 + SPARE,
                                 .location = n / 10 + SPARE,
                                 .line = n / 10 + SPARE,
                                 .function = n / 10 + SPARE,
                                 .string = n / 8 + SPARE};
}

static bool
alloc_tables(struct pw_profile *p, const struct pw_walk_counts *c)
{
    struct pw_scratch *s = p->scratch;

    p->string_cap = (uint32_t)c->string + PW_PROFILE_STRINGS_EXTRA;
    p->sample = pw_scratch_array(s, c->sample, sizeof(*p->sample));
    p->loc_ids = pw_scratch_array(s, c->loc + PW_PACKED_SLACK, sizeof(*p->loc_ids));
    p->value = pw_scratch_array(s, c->value, sizeof(*p->value));
    p->sample_label = pw_scratch_array(s, c->label, sizeof(*p->sample_label));
    p->mapping = pw_scratch_array(s, c->mapping + 1, sizeof(*p->mapping)); /* one may be added */
    p->location = pw_scratch_array(s, c->location, sizeof(*p->location));
    p->line = pw_scratch_array(s, c->line, sizeof(*p->line));
    p->function = pw_scratch_array(s, c->function, sizeof(*p->function));
    p->string_table = pw_scratch_array(s, p->string_cap, sizeof(*p->string_table));
    p->string_hash = pw_scratch_array(s, p->string_cap, sizeof(*p->string_hash));
    return p->sample && p->loc_ids && p->value && p->sample_label && p->mapping && p->location &&
           p->line && p->function && p->string_table && p->string_hash;
}

static bool
fast_string(struct pw_walk *w, struct pw_slice s)
{
    if (w->p->string_count >= w->cap.string) {
        return false;
    }
    pw_walk_put_string(w, s);
    return true;
}

/* Fields at *at while they are of the usual shape; leaves *at at the first that is not. Every fast
 * field but samples is as long as its canonical form. */
static void
walk_fast(struct pw_walk *w, const uint8_t **at, const uint8_t *end)
{
    struct pw_take t = {.p = *at};
    bool taken = true;

    /* No byte past the input is read: the last fields of it go the slow way. */
    while (taken && end - t.p > PW_FAST_SLACK) {
        struct pw_slice s;
        uint8_t tag = *t.p++;

        s.len = pw_take_len(&t);
        s.ptr = t.p;
        if (t.odd || s.len > (size_t)(end - t.p) - PW_FAST_SLACK / 2) {
            break;
        }
        switch (tag) {
        case 0x12:
            taken = pw_fast_sample(w, s, (uint64_t)(s.ptr + s.len - *at));
            break;
        case 0x22:
            taken = pw_fast_location(w, s);
            break;
        case 0x2A:
            taken = pw_fast_function(w, s);
            break;
        case 0x32:
            taken = fast_string(w, s);
            break;
        default:
            taken = false;
            break;
        }
        t.p = s.ptr + s.len;
        *at = taken ? t.p : *at;
    }
}

/* The reference decoder names the message in this text; the wire reader does not know it. */
static const char *
named(const char *err)
{
    return err != NULL && strcmp(err, "proto: wiretype end group for non-group") == 0
               ? "proto: Profile: wiretype end group for non-group"
               : err;
}

static bool
walk_profile(struct pw_walk *w)
{
    struct pw_wire r;
    struct pw_wire_field f;
    int rc = 1;

    pw_wire_init(&r, w->p->bytes);
    while (rc == 1) {
        const uint8_t *at;

        walk_fast(w, &r.p, r.end);
        at = r.p;
        rc = pw_wire_next(&r, &f);
        if (rc == 1 && !pw_walk_field(w, &f, (uint64_t)(r.p - at))) {
            return false;
        }
    }
    w->err = named(r.err);
    return rc == 0;
}

static int
attempt(struct pw_walk *w, struct pw_scratch *scratch, uint64_t hash_key, struct pw_slice bytes)
{
    struct pw_profile *p = w->p;

    memset(p, 0, sizeof(*p));
    p->bytes = bytes;
    p->scratch = scratch;
    p->hash_key = hash_key;
    pw_text_key_init(&p->text_key, hash_key);
    p->dense_functions = p->dense_mappings = p->dense_locations = true;
    if (!alloc_tables(p, &w->cap)) {
        w->full = true;
        return PW_ENOMEM;
    }
    if (!walk_profile(w)) {
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
    int rc = PW_ENOMEM;

    if (bytes.len > PW_PROFILE_BYTES_MAX) {
        return PW_ENOMEM;
    }
    if (bytes.len <= GUESS_BYTES_MAX) {
        guess_profile(&w.cap, bytes.len);
        rc = attempt(&w, scratch, hash_key, bytes);
    }
    if (bytes.len > GUESS_BYTES_MAX || w.full) {
        pw_scratch_rewind(scratch, mark);
        w = (struct pw_walk){.p = p};
        count_profile(&w.cap, bytes);
        rc = attempt(&w, scratch, hash_key, bytes);
        PW_INVARIANT(!w.full || rc == PW_ENOMEM);
    }
    *err_text = rc == PW_EINVAL ? w.err : NULL;
    return rc;
}

uint32_t
pw_profile_add_string(struct pw_profile *p, struct pw_slice s)
{
    if (p->string_count == p->string_cap) {
        return UINT32_MAX;
    }
    p->string_table[p->string_count] = s;
    return p->string_count++;
}

void
pw_profile_keep_types(struct pw_profile *p, const bool *keep)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        int64_t *v = p->value + p->sample[i].value_first;
        uint32_t kept = 0;

        for (uint32_t t = 0; t < p->sample[i].value_count && t < p->sample_type_count; t++) {
            if (keep[t]) {
                v[kept++] = v[t];
            }
        }
        p->sample[i].value_count = kept;
    }
    for (uint32_t t = 0; t < p->sample_type_count; t++) {
        if (keep[t]) {
            p->sample_type[n++] = p->sample_type[t];
        }
    }
    p->sample_type_count = n;
}
