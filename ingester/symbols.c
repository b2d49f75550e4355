/* The phases of one record, each a loop over what the one before could not answer:
 *
 *     stacks --unseen--> locations --unseen--> functions, mappings --unseen--> strings
 *                                                                                |
 *     stacks <--add-- locations <--add-- functions, mappings <--add--------------+
 *
 * On the way down indices of the record are marked once (memo) and their slots prefetched; then they
 * are looked up. On the way up what is missing is added, children first, so that an entry is complete
 * before its own index can find it. In the steady state everything ends after the first phase. A
 * record carries no hashes of functions and strings: only those of locations never seen are asked
 * for, and made here. */
#include "ingester/symbols.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"

/* memo of a record's table: id, or one of these */
#define UNSEEN UINT32_MAX       /* nobody asked yet */
#define WANTED (UINT32_MAX - 1) /* asked for, not in the tenant's table */
#define HASHED (UINT32_MAX - 2) /* a string whose hash somebody needed */
#define NO_ID  UINT32_MAX

enum { PREFETCH_AHEAD = 16 }; /* perf/bench_head: 8 to 32 are within noise, 0 costs a third more */

struct table {      /* one kind of symbol of the record at hand */
    uint32_t *memo; /* [count] */
    uint32_t *want; /* indices not found, in the order asked */
    uint64_t *hash; /* [count] of strings and functions that were asked for */
    uint32_t want_count;
    uint32_t count;
};

struct work {
    struct pw_symbols *s;
    struct pw_head_mem *mem;
    const struct pw_record *rec;
    struct table string, function, mapping, location;
    uint32_t *stack_want;
    uint32_t stack_want_count;
    uint32_t *locs; /* of the unseen stacks, one after another */
};

static bool
table_init(struct table *t, struct pw_scratch *scratch, uint32_t count, bool hashed)
{
    t->memo = pw_scratch_array(scratch, count, sizeof(uint32_t));
    t->want = pw_scratch_array(scratch, count, sizeof(uint32_t));
    t->hash = hashed ? pw_scratch_array(scratch, count, sizeof(uint64_t)) : NULL;
    if (t->memo == NULL || t->want == NULL || (hashed && t->hash == NULL)) {
        return false;
    }
    memset(t->memo, 0xff, count * sizeof(uint32_t)); /* UNSEEN */
    t->count = count;
    t->want_count = 0;
    return true;
}

/* Marks index i as asked for. */
static void
table_ask(struct table *t, const struct pw_htab *ix, uint32_t i, uint64_t hash)
{
    if (t->memo[i] == UNSEEN) {
        t->memo[i] = WANTED;
        t->want[t->want_count++] = i;
        pw_htab_prefetch(ix, hash);
    }
}

static uint32_t
find_string(const struct pw_symbols *s, const uint8_t *base, struct pw_slice str, uint64_t hash)
{
    uint32_t probe = 0;

    for (;;) {
        uint32_t id = pw_htab_next(&s->string_ix, hash, (uint32_t)str.len, &probe);

        if (id == PW_HTAB_NONE || pw_slice_eq(pw_symbols_string(s, base, id), str)) {
            return id;
        }
    }
}

/* --- Way down ------------------------------------------------------------------------------- */

static void
find_stacks(struct work *w, uint32_t *stack_id)
{
    const struct pw_record *rec = w->rec;
    const struct pw_htab *ix = &w->s->stack_ix;
    uint32_t n = rec->stacks_count;

    for (uint32_t i = 0; i < n && i < PREFETCH_AHEAD; i++) {
        pw_htab_prefetch(ix, pw_record_stack_hash(rec, i));
    }
    for (uint32_t i = 0; i < n; i++) {
        if (i + PREFETCH_AHEAD < n) {
            pw_htab_prefetch(ix, pw_record_stack_hash(rec, i + PREFETCH_AHEAD));
        }
        stack_id[i] = pw_htab_find(ix, pw_record_stack_hash(rec, i), pw_record_stack_depth(rec, i));
        if (PW_UNLIKELY(stack_id[i] == PW_HTAB_NONE)) {
            w->stack_want[w->stack_want_count++] = i;
        }
    }
}

/* The lists of the unseen stacks; NULL: no scratch. */
static bool
read_locs(struct work *w)
{
    size_t n = 0, at = 0;

    for (uint32_t i = 0; i < w->stack_want_count; i++) {
        n += pw_record_stack_depth(w->rec, w->stack_want[i]);
    }
    w->locs = pw_scratch_array(&w->mem->scratch, n, sizeof(*w->locs));
    for (uint32_t i = 0; w->locs != NULL && i < w->stack_want_count; i++) {
        pw_record_stack_locs(w->rec, w->stack_want[i], w->locs + at);
        at += pw_record_stack_depth(w->rec, w->stack_want[i]);
    }
    return w->locs != NULL;
}

static void
find_locations(struct work *w)
{
    const struct pw_record *rec = w->rec;
    const struct pw_htab *ix = &w->s->location_ix;
    const uint32_t *loc = w->locs;
    struct table *t = &w->location;
    uint32_t missing = 0;

    for (uint32_t i = 0; i < w->stack_want_count; i++) {
        for (uint32_t d = pw_record_stack_depth(rec, w->stack_want[i]); d > 0; d--, loc++) {
            table_ask(t, ix, *loc, pw_record_location_hash(rec, *loc));
        }
    }
    for (uint32_t i = 0; i < t->want_count; i++) {
        uint32_t l = t->want[i];
        uint32_t id = pw_htab_find(ix, pw_record_location_hash(rec, l),
                                   pw_record_location(rec, l).line_count);

        if (id != PW_HTAB_NONE) {
            t->memo[l] = id;
        } else {
            t->want[missing++] = l;
        }
    }
    t->want_count = missing;
}

/* Of content; the same string of another record has the same. */
static uint64_t
string_hash(struct work *w, uint32_t i)
{
    struct table *t = &w->string;

    if (t->memo[i] == UNSEEN) {
        struct pw_slice text = pw_record_string(w->rec, i);

        t->memo[i] = HASHED;
        t->hash[i] = pw_hash_keyed(w->mem->hash_key, text.ptr, text.len);
    }
    return t->hash[i];
}

/* Marks function j as asked for, with its hash. */
static void
ask_function(struct work *w, uint32_t j)
{
    struct table *t = &w->function;
    struct pw_record_function f;
    uint64_t name, place;

    if (t->memo[j] != UNSEEN) {
        return;
    }
    f = pw_record_function(w->rec, j);
    name = pw_hash_mix(string_hash(w, f.name), string_hash(w, f.system_name));
    place = pw_hash_mix(string_hash(w, f.filename), (uint64_t)f.start_line);
    t->hash[j] = pw_hash_mix(name, place);
    table_ask(t, &w->s->function_ix, j, t->hash[j]);
}

static void
find_functions_and_mappings(struct work *w)
{
    const struct pw_record *rec = w->rec;
    const struct pw_record_mapping *map =
        PW_RECORD_AT(rec, struct pw_record_mapping, rec->mappings_off);
    struct table *f = &w->function, *m = &w->mapping;
    uint32_t missing = 0;

    for (uint32_t i = 0; i < w->location.want_count; i++) {
        struct pw_record_location l = pw_record_location(rec, w->location.want[i]);

        for (uint32_t k = 0; k < l.line_count; k++) {
            ask_function(w, pw_record_line(rec, l.line_first + k).function);
        }
        table_ask(m, &w->s->mapping_ix, l.mapping, map[l.mapping].hash);
    }
    for (uint32_t i = 0; i < f->want_count; i++) {
        uint32_t j = f->want[i];
        uint32_t id = pw_htab_find(&w->s->function_ix, f->hash[j],
                                   (uint32_t)pw_record_function(rec, j).start_line);

        if (id != PW_HTAB_NONE) {
            f->memo[j] = id;
        } else {
            f->want[missing++] = j;
        }
    }
    f->want_count = missing;
    missing = 0;
    for (uint32_t i = 0; i < m->want_count; i++) {
        uint32_t j = m->want[i];
        uint32_t id = pw_htab_find(&w->s->mapping_ix, map[j].hash, map[j].flags);

        if (id != PW_HTAB_NONE) {
            m->memo[j] = id;
        } else {
            m->want[missing++] = j;
        }
    }
    m->want_count = missing;
}

static void
ask_string(struct work *w, uint32_t i)
{
    struct table *t = &w->string;
    uint64_t hash = string_hash(w, i);

    if (t->memo[i] == HASHED) {
        t->memo[i] = WANTED;
        t->want[t->want_count++] = i;
        pw_htab_prefetch(&w->s->string_ix, hash);
    }
}

static void
find_strings(struct work *w)
{
    const struct pw_record *rec = w->rec;
    const struct pw_record_mapping *map =
        PW_RECORD_AT(rec, struct pw_record_mapping, rec->mappings_off);
    struct table *t = &w->string;
    uint32_t missing = 0;

    for (uint32_t i = 0; i < w->function.want_count; i++) {
        struct pw_record_function f = pw_record_function(rec, w->function.want[i]);

        ask_string(w, f.name);
        ask_string(w, f.system_name);
        ask_string(w, f.filename);
    }
    for (uint32_t i = 0; i < w->mapping.want_count; i++) {
        ask_string(w, map[w->mapping.want[i]].filename);
        ask_string(w, map[w->mapping.want[i]].build_id);
    }
    for (uint32_t i = 0; i < t->want_count; i++) {
        uint32_t j = t->want[i];
        uint32_t id = find_string(w->s, w->mem->region.base, pw_record_string(rec, j), t->hash[j]);

        if (id != PW_HTAB_NONE) {
            t->memo[j] = id;
        } else {
            t->want[missing++] = j;
        }
    }
    t->want_count = missing;
}

/* --- Way up: each looks again, because two entries of one record may be equal ------------------ */

/* Room for one more entry and its slot; then adding cannot fail half way. */
static bool
room_for_one(struct work *w, struct pw_chunks *c, struct pw_htab *ix, uint32_t elem_bytes,
             uint64_t hash)
{
    enum pw_region_kind kind = c == &w->s->stack ? PW_REGION_STACKS : PW_REGION_SYMBOLS;

    return pw_chunks_reserve(c, &w->mem->region, kind, elem_bytes, 1) &&
           pw_htab_reserve(ix, &w->mem->htab, &w->mem->region, hash);
}

static bool
add_strings(struct work *w)
{
    struct pw_symbols *s = w->s;
    struct pw_region *r = &w->mem->region;

    for (uint32_t i = 0; i < w->string.want_count; i++) {
        uint32_t j = w->string.want[i];
        struct pw_slice text = pw_record_string(w->rec, j);
        uint64_t hash = w->string.hash[j];
        uint32_t id = find_string(s, r->base, text, hash);

        if (id == PW_HTAB_NONE) {
            if (!room_for_one(w, &s->string, &s->string_ix, sizeof(uint64_t), hash)) {
                return false;
            }
            uint8_t *p = pw_region_alloc(r, PW_REGION_SYMBOLS, text.len, 1);

            if (p == NULL || text.len >> PW_SYM_STRING_LEN_BITS != 0) {
                return false;
            }
            if (text.len > 0) {
                memcpy(p, text.ptr, text.len);
            }
            id = s->string.count++;
            *PW_CHUNKS_AT(&s->string, uint64_t, id) =
                (uint64_t)(p - r->base) << PW_SYM_STRING_LEN_BITS | text.len;
            pw_htab_put(&s->string_ix, hash, (uint32_t)text.len, id);
        }
        w->string.memo[j] = id;
    }
    return true;
}

static bool
add_mappings(struct work *w)
{
    struct pw_symbols *s = w->s;
    const struct pw_record_mapping *map =
        PW_RECORD_AT(w->rec, struct pw_record_mapping, w->rec->mappings_off);

    for (uint32_t i = 0; i < w->mapping.want_count; i++) {
        uint32_t j = w->mapping.want[i];
        const struct pw_record_mapping *m = &map[j];
        uint32_t id = pw_htab_find(&s->mapping_ix, m->hash, m->flags);

        if (id == PW_HTAB_NONE) {
            if (!room_for_one(w, &s->mapping, &s->mapping_ix, sizeof(struct pw_head_mapping),
                              m->hash)) {
                return false;
            }
            id = s->mapping.count++;
            *PW_CHUNKS_AT(&s->mapping, struct pw_head_mapping, id) = (struct pw_head_mapping){
                .memory_start = m->memory_start,
                .memory_limit = m->memory_limit,
                .file_offset = m->file_offset,
                .filename = w->string.memo[m->filename],
                .build_id = w->string.memo[m->build_id],
                .flags = m->flags,
            };
            pw_htab_put(&s->mapping_ix, m->hash, m->flags, id);
        }
        w->mapping.memo[j] = id;
    }
    return true;
}

static bool
add_functions(struct work *w)
{
    struct pw_symbols *s = w->s;

    for (uint32_t i = 0; i < w->function.want_count; i++) {
        uint32_t j = w->function.want[i];
        struct pw_record_function f = pw_record_function(w->rec, j);
        uint64_t hash = w->function.hash[j];
        uint32_t id = pw_htab_find(&s->function_ix, hash, (uint32_t)f.start_line);

        if (id == PW_HTAB_NONE) {
            if (!room_for_one(w, &s->function, &s->function_ix, sizeof(struct pw_head_function),
                              hash)) {
                return false;
            }
            id = s->function.count++;
            *PW_CHUNKS_AT(&s->function, struct pw_head_function, id) = (struct pw_head_function){
                .name = w->string.memo[f.name],
                .system_name = w->string.memo[f.system_name],
                .filename = w->string.memo[f.filename],
                .start_line = f.start_line,
            };
            pw_htab_put(&s->function_ix, hash, (uint32_t)f.start_line, id);
        }
        w->function.memo[j] = id;
    }
    return true;
}

static uint32_t
add_location(struct work *w, const struct pw_record_location *l, uint64_t hash)
{
    struct pw_symbols *s = w->s;
    struct pw_region *r = &w->mem->region;

    if (!room_for_one(w, &s->location, &s->location_ix, sizeof(struct pw_sym_location), hash)) {
        return NO_ID;
    }
    struct pw_head_line *lines =
        pw_region_alloc(r, PW_REGION_SYMBOLS, (size_t)l->line_count * sizeof(*lines), 8);

    if (lines == NULL) {
        return NO_ID;
    }
    for (uint32_t k = 0; k < l->line_count; k++) {
        struct pw_record_line line = pw_record_line(w->rec, l->line_first + k);

        lines[k] =
            (struct pw_head_line){.function = w->function.memo[line.function], .line = line.line};
    }
    uint32_t id = s->location.count++;

    *PW_CHUNKS_AT(&s->location, struct pw_sym_location, id) = (struct pw_sym_location){
        .address = l->address,
        .mapping = w->mapping.memo[l->mapping],
        .line_count = l->line_count,
        .lines_ref8 = pw_region_ref8(r, lines),
        .is_folded = l->is_folded,
    };
    pw_htab_put(&s->location_ix, hash, l->line_count, id);
    return id;
}

static bool
add_locations(struct work *w)
{
    for (uint32_t i = 0; i < w->location.want_count; i++) {
        uint32_t j = w->location.want[i];
        struct pw_record_location l = pw_record_location(w->rec, j);
        uint64_t hash = pw_record_location_hash(w->rec, j);
        uint32_t id = pw_htab_find(&w->s->location_ix, hash, l.line_count);

        if (id == PW_HTAB_NONE) {
            id = add_location(w, &l, hash);
            if (id == NO_ID) {
                return false;
            }
        }
        w->location.memo[j] = id;
    }
    return true;
}

static uint32_t
add_stack(struct work *w, uint64_t hash, uint32_t depth, const uint32_t *loc)
{
    struct pw_symbols *s = w->s;
    struct pw_region *r = &w->mem->region;

    if (!room_for_one(w, &s->stack, &s->stack_ix, sizeof(struct pw_sym_stack), hash)) {
        return NO_ID;
    }
    uint32_t *locs = pw_region_alloc(r, PW_REGION_STACKS, (size_t)depth * sizeof(*locs), 8);

    if (locs == NULL) {
        return NO_ID;
    }
    for (uint32_t d = 0; d < depth; d++) {
        locs[d] = w->location.memo[loc[d]];
    }
    uint32_t id = s->stack.count++;

    *PW_CHUNKS_AT(&s->stack, struct pw_sym_stack, id) =
        (struct pw_sym_stack){.locs_ref8 = pw_region_ref8(r, locs), .depth = depth};
    pw_htab_put(&s->stack_ix, hash, depth, id);
    return id;
}

static bool
add_stacks(struct work *w, uint32_t *stack_id)
{
    const uint32_t *loc = w->locs;

    for (uint32_t i = 0; i < w->stack_want_count; i++) {
        uint32_t j = w->stack_want[i];
        uint64_t hash = pw_record_stack_hash(w->rec, j);
        uint32_t depth = pw_record_stack_depth(w->rec, j);
        uint32_t id = pw_htab_find(&w->s->stack_ix, hash, depth);

        if (id == PW_HTAB_NONE) {
            id = add_stack(w, hash, depth, loc);
            if (id == NO_ID) {
                return false;
            }
        }
        stack_id[j] = id;
        loc += depth;
    }
    return true;
}

static bool
intern_unseen(struct work *w, uint32_t *stack_id)
{
    const struct pw_record *rec = w->rec;
    struct pw_scratch *scratch = &w->mem->scratch;

    if (!table_init(&w->string, scratch, rec->strings_count, true) ||
        !table_init(&w->function, scratch, rec->functions_count, true) ||
        !table_init(&w->mapping, scratch, rec->mappings_count, false) ||
        !table_init(&w->location, scratch, rec->locations_count, false) || !read_locs(w)) {
        return false;
    }
    find_locations(w);
    find_functions_and_mappings(w);
    find_strings(w);
    return add_strings(w) && add_mappings(w) && add_functions(w) && add_locations(w) &&
           add_stacks(w, stack_id);
}

int
pw_symbols_intern(struct pw_symbols *s, struct pw_head_mem *mem, const struct pw_record *rec,
                  uint32_t *stack_id)
{
    struct work w = {.s = s, .mem = mem, .rec = rec};

    w.stack_want = pw_scratch_array(&mem->scratch, rec->stacks_count, sizeof(uint32_t));
    if (w.stack_want == NULL) {
        return PW_ENOMEM;
    }
    find_stacks(&w, stack_id);
    if (PW_LIKELY(w.stack_want_count == 0)) {
        return 0;
    }
    return intern_unseen(&w, stack_id) ? 0 : PW_ENOMEM;
}

uint64_t
pw_symbols_count(const struct pw_symbols *s)
{
    return (uint64_t)s->string.count + s->function.count + s->mapping.count + s->location.count +
           s->stack.count;
}
