/* Contract write-path.md 3.4, and the keyed hashes of content by which the head knows what it has.
 *
 * Order of work: strings are hashed, then what refers to them (mappings, functions, locations),
 * then the samples. Unreferenced symbols simply stay where they are (step 4). Stacks are compared
 * by the 64-bit keyed hash of their content, so equal stacks under different location ids merge
 * too, which step 3 of the reference would leave to a later merge; sums do not change by it. */
#include "pprof/profile.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdlib.h>

/* id -> index for one symbol table. Dense ids (id == index + 1) need no table; sparse ones get open
 * addressing under a keyed hash, so that hostile ids cannot pile up in one place. */
struct id_map {
    uint32_t count; /* dense: ids 1 ... count */
    uint32_t *slot; /* index + 1, 0 empty; NULL when dense */
    uint64_t *id;
    uint64_t mask;
    uint64_t key;
};

enum { NOT_FOUND = UINT32_MAX };

static uint64_t
table_size(uint64_t n)
{
    uint64_t size = 16;

    while (size < 2 * n) { /* at most 33 turns */
        size *= 2;
    }
    return size;
}

static uint32_t *
zeroed_slots(struct pw_scratch *s, uint64_t size)
{
    uint32_t *slot = pw_scratch_array(s, size, sizeof(*slot));

    if (slot != NULL) {
        pw_fiber_clear(s->fiber, slot, size * sizeof(*slot));
    }
    return slot;
}

static bool
id_map_init(struct id_map *m, struct pw_profile *p, uint32_t count, bool dense)
{
    *m = (struct id_map){.count = count, .key = p->hash_key};
    if (dense) {
        return true;
    }
    m->mask = table_size(count) - 1;
    m->slot = zeroed_slots(p->scratch, m->mask + 1);
    m->id = pw_scratch_array(p->scratch, m->mask + 1, sizeof(*m->id));
    return m->slot != NULL && m->id != NULL;
}

/* Duplicate ids: the last one wins. */
static void
id_map_put(struct id_map *m, uint64_t id, uint32_t index)
{
    uint64_t i = pw_hash_mix(m->key, id) & m->mask;

    while (m->slot[i] != 0 && m->id[i] != id) { /* the table is at most half full */
        i = (i + 1) & m->mask;
    }
    m->slot[i] = index + 1;
    m->id[i] = id;
}

static uint32_t
id_map_get(const struct id_map *m, uint64_t id)
{
    uint64_t i;

    if (m->slot == NULL) {
        return id - 1 < m->count ? (uint32_t)(id - 1) : (uint32_t)NOT_FOUND;
    }
    for (i = pw_hash_mix(m->key, id) & m->mask; m->slot[i] != 0; i = (i + 1) & m->mask) {
        if (m->id[i] == id) {
            return m->slot[i] - 1;
        }
    }
    return NOT_FOUND;
}

static void
hash_strings(struct pw_profile *p)
{
    pw_text_words all = {0};

    for (uint32_t i = p->string_hashed; i < p->string_count; i++) {
        struct pw_slice s = p->string_table[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        p->string_hash[i] = pw_text_hash(&p->text_key, s, s.len, &all, p->scratch->fiber);
    }
    p->string_hashed = p->string_count;
}

static inline void
clamp_ref(const struct pw_profile *p, int64_t *ref)
{
    if ((uint64_t)*ref >= p->string_count) {
        *ref = 0;
    }
}

static inline void
clamp_ref32(const struct pw_profile *p, int32_t *ref)
{
    if ((uint32_t)*ref >= p->string_count) {
        *ref = 0;
    }
}

/* Step 5, strings: string 0 is "", references outside the table are 0. */
static void
clamp_refs(struct pw_profile *p)
{
    if (p->string_count == 0) {
        (void)pw_profile_add_string(p, pw_slice("", 0));
    } else if (p->string_table[0].len != 0) {
        p->string_table[0] = pw_slice("", 0);
        p->string_loose_count++;
        p->string_hashed = 0;
    }
    for (uint32_t i = 0; i < p->sample_type_count; i++) {
        clamp_ref(p, &p->sample_type[i].type_ref);
        clamp_ref(p, &p->sample_type[i].unit_ref);
    }
    clamp_ref(p, &p->period_type.type_ref);
    clamp_ref(p, &p->period_type.unit_ref);
    clamp_ref(p, &p->default_sample_type_ref);
    for (uint32_t i = 0; p->max_function_ref >= p->string_count && i < p->function_count; i++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        clamp_ref32(p, &p->function[i].name_ref);
        clamp_ref32(p, &p->function[i].system_name_ref);
        clamp_ref32(p, &p->function[i].filename_ref);
    }
    for (uint32_t i = 0; p->max_mapping_ref >= p->string_count && i < p->mapping_count; i++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        clamp_ref(p, &p->mapping[i].filename_ref);
        clamp_ref(p, &p->mapping[i].build_id_ref);
    }
}

static void
hash_mapping(struct pw_profile *p, struct pw_mapping *m)
{
    uint64_t flags = (uint64_t)m->has_functions | (uint64_t)m->has_filenames << 1 |
                     (uint64_t)m->has_line_numbers << 2 | (uint64_t)m->has_inline_frames << 3;
    uint64_t h = pw_hash_mix(p->hash_key, m->memory_start);

    h = pw_hash_mix(h, m->memory_limit);
    h = pw_hash_mix(h, m->file_offset);
    h = pw_hash_mix(h, p->string_hash[m->filename_ref]);
    h = pw_hash_mix(h, p->string_hash[m->build_id_ref]);
    m->hash = pw_hash_mix(h, flags);
}

/* Step 6 for mappings, their hashes, and their ids. */
static bool
prepare_mappings(struct pw_profile *p, struct id_map *ids)
{
    if (!id_map_init(ids, p, p->mapping_count, p->dense_mappings)) {
        return false;
    }
    for (uint32_t i = 0; i < p->mapping_count; i++) {
        struct pw_mapping *m = &p->mapping[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (m->has_functions) {
            m->memory_start = m->memory_limit = m->file_offset = 0;
        }
        hash_mapping(p, m);
        if (ids->slot != NULL) {
            id_map_put(ids, m->id, i);
        }
    }
    return true;
}

/* The stub of step 5 for locations without a mapping; appended once. */
static uint32_t
stub_mapping(struct pw_profile *p, uint32_t *stub)
{
    if (*stub == NOT_FOUND) {
        *stub = p->mapping_count++; /* parse left room for one more */
        p->mapping[*stub] = (struct pw_mapping){0};
        hash_mapping(p, &p->mapping[*stub]);
    }
    return *stub;
}

static bool
prepare_functions(struct pw_profile *p, struct id_map *ids)
{
    const uint64_t *sh = p->string_hash;

    if (!id_map_init(ids, p, p->function_count, p->dense_functions)) {
        return false;
    }
    for (uint32_t i = 0; i < p->function_count; i++) {
        struct pw_function *f = &p->function[i];
        uint64_t name = pw_hash_mix(sh[f->name_ref], sh[f->system_name_ref]);
        uint64_t place = pw_hash_mix(sh[f->filename_ref], (uint64_t)f->start_line);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (ids->slot != NULL) {
            id_map_put(ids, f->id, i);
        }
        f->hash = pw_hash_mix(name, place); /* where its id was */
    }
    return true;
}

/* Resolves the functions of a location's lines; false when one is unknown. */
static bool
resolve_lines(struct pw_profile *p, const struct id_map *functions, struct pw_location *l)
{
    struct pw_line *line = p->line + l->line_first;
    uint64_t h = l->hash;

    for (uint32_t i = 0; i < l->line_count; i++) {
        uint32_t f = id_map_get(functions, line[i].function_id);

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (f == NOT_FOUND) {
            return false;
        }
        line[i].function_id = f;
        h = pw_hash_mix(h, pw_hash_mix(p->function[f].hash, (uint64_t)line[i].line));
    }
    l->hash = h;
    return true;
}

/* Steps 5 and 6 for one location. */
static bool
resolve_location(struct pw_profile *p, const struct id_map *mappings,
                 const struct id_map *functions, struct pw_location *l, uint32_t *stub)
{
    uint32_t m;

    if (l->line_count == 0 && l->address == 0) {
        return false;
    }
    m = l->mapping_id == 0 ? stub_mapping(p, stub) : id_map_get(mappings, l->mapping_id);
    if (m == NOT_FOUND) {
        return false;
    }
    l->mapping_id = m;
    if (p->mapping[m].has_functions) {
        l->address = 0;
    }
    l->hash = pw_hash_mix(p->mapping[m].hash ^ l->line_count,
                          l->address * 2 + l->is_folded + (l->address >> 63));
    return resolve_lines(p, functions, l);
}

/* For the widths of a record's columns. */
static void
record_bits(struct pw_profile *p)
{
    uint64_t number = 0, address = 0;

    for (uint32_t i = 0; i < p->function_count; i++) {
        number |= (uint64_t)p->function[i].start_line;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    for (uint32_t i = 0; i < p->line_count; i++) {
        number |= (uint64_t)p->line[i].line;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    for (uint32_t i = 0; i < p->location_count; i++) {
        address |= p->location[i].address;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    p->number_bits = number;
    p->address_bits = address;
}

static bool
prepare_locations(struct pw_profile *p, const struct id_map *mappings,
                  const struct id_map *functions, struct id_map *ids, bool *any_dropped)
{
    uint32_t stub = NOT_FOUND;

    if (!id_map_init(ids, p, p->location_count, p->dense_locations)) {
        return false;
    }
    for (uint32_t i = 0; i < p->location_count; i++) {
        struct pw_location *l = &p->location[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (ids->slot != NULL) {
            id_map_put(ids, l->id, i);
        }
        if (PW_UNLIKELY(!resolve_location(p, mappings, functions, l, &stub))) {
            l->dropped = 1;
            *any_dropped = true;
            l->mapping_id = p->mapping_count == 0 ? stub_mapping(p, &stub) : 0;
            l->line_count = 0;
        }
    }
    record_bits(p);
    return true;
}

/* Steps 2 and 5: what makes a sample worth keeping before its stack is looked at. */
static bool
values_count(const struct pw_profile *p, const struct pw_sample *s, int64_t *bits)
{
    const int64_t *v = p->value + s->value_first;
    int64_t all = 0;

    if (s->value_count != p->sample_type_count) {
        return false;
    }
    for (uint32_t i = 0; i < s->value_count; i++) {
        all |= v[i]; /* negative as soon as one is */
    }
    *bits = all;
    return all > 0;
}

enum { STACK_BLOCK = 128, IDS_PER_LOOK = 128 << 10 };

/* One constant per position of a block: what makes order count. They need not be secret, as the
 * location hashes they meet are keyed. */
static const uint64_t position_key[STACK_BLOCK] = {
    0x6EDD3A249018775AU, 0x8687B18D8CE14C8BU, 0x1ED40C227DAB7AD2U, 0x3FE6E7BE9BA05717U,
    0xCB674D999253F6B7U, 0x2D38DE7C3BEC5519U, 0x57B39E4DBDA513BDU, 0xBAFCABA920F0AC5CU,
    0x06082C084826F652U, 0xA93F99F2E8A4987EU, 0xE2C532CF9756A036U, 0x70DB71C4A6D5169EU,
    0xB51D8B61EA81606DU, 0x7F5364EB98D00BA6U, 0x0B0084F7DE574F6DU, 0x88B065E74DD5A9ECU,
    0x373020538DCCEAB0U, 0x187E81AC2C112E79U, 0x2D4CC06B3A1290FCU, 0x6ACC5FA209AE3AD4U,
    0x4285A3E8267133EEU, 0x374CC47EE0D33D02U, 0x4E9AC62AA1B018A7U, 0x40EB60ED801CF357U,
    0x1DBA58587DC7ABBEU, 0xB4D343A84B68F1C7U, 0x4DF03E1122D5189BU, 0xF78A2B517D521EAFU,
    0x189C32BF71C61315U, 0x9C3572D8D8A33341U, 0x9F81D902837A0C10U, 0xE0C18E67EA435E55U,
    0xADE2C9DBCBFA5CD5U, 0xF7525481775FDCC1U, 0x353E81CE74592C37U, 0x999753EA56FCA68DU,
    0xADA11E9451FC914BU, 0xA5C7BAC6A99BD634U, 0x72CE2B9581BA40BBU, 0x87E15DC4738BE540U,
    0x3DDF5687B4AE07D4U, 0xBBA06C4CBB847EA7U, 0x3E2B585DF625E510U, 0x9C0109457924D5D6U,
    0xFBC17BFF601F4696U, 0x62BFC05AC8E65212U, 0x7F31F3257B05DEE5U, 0xF3660C08C2C0CF0EU,
    0xCEB56D9160EFFB82U, 0x57C0BF6C0B9DBE79U, 0xD700D83F57C8DED0U, 0x029D22E1FC83B786U,
    0x30F3B4FF76760431U, 0xFE662778B674D90DU, 0x108AEA221324C266U, 0x07286E92584E9CB7U,
    0x7BAFA7FC3425BEC4U, 0x636FEB0CE7E56D53U, 0xC84B039CBAE0E87BU, 0x88CEA9FEE945A791U,
    0xD056C66C37316C00U, 0xDAA0E46BB15779CEU, 0xC42416DDA1204208U, 0xAA880385D606563EU,
    0x86C074ECDEAA3171U, 0x4032FE3BFEE1CA68U, 0x0C7450763C375D47U, 0xBD1C8831BE873BABU,
    0xAE160FD5F6DDF0B8U, 0x3741F3AE8D7FD0C6U, 0x8D1AF78861E2412CU, 0x9B43380AF1DE1D00U,
    0x9EC92E15CFDC20F3U, 0xD6F0E60C2D36CAA1U, 0x78FA89D52BBEDFC5U, 0x74612510418466B5U,
    0x3A27CCEB7BF464DDU, 0xF530D78640C58B8CU, 0x5ED2FCE29C476BC9U, 0x704B041330CC9684U,
    0x1317E2C8D419F8D7U, 0x36BFB6B9D2A829DEU, 0x95E40570F7D5068DU, 0x2E28CC720318FB77U,
    0x131DAD12B0149B4CU, 0xDF91E44A7EE9D805U, 0xB134AA70FF0EC4A8U, 0xCB1BB61960448E56U,
    0x7C43230EC5B1A4ABU, 0xC8344C9FAF79FA81U, 0x04C711FE703B43BFU, 0x204C1BFD485A61C2U,
    0xC98B708C43C12B59U, 0x973F83DEB892E89AU, 0xFD5E42C14E93334FU, 0x626E45B403D1BB54U,
    0x0924FAAF8B4B122CU, 0xBBCA868E543329ECU, 0x9B1EB53B188B2FC3U, 0x13D13CBC6AE890C7U,
    0x29BC2B8EB78D1E7EU, 0x57A05468390CD117U, 0x247200A8C4A83609U, 0xA120DACEBFCAD4D1U,
    0x69B83A102FEBAB13U, 0x905309318752412BU, 0x782C95C7648D2A49U, 0x1C8795618832DA04U,
    0xF35E760730C175EDU, 0x0622D292805230F5U, 0x2214E09C45CBEE01U, 0x00B736912E66C897U,
    0xF582753AE90C2D8AU, 0x3F4C73E75680035EU, 0x71369E319AEA401EU, 0x7B8D7D8036A1B1EEU,
    0x32F6DD7927009BF7U, 0x265525E74B94AEFAU, 0x2B846A85B742DB00U, 0x190FE42EE82396A7U,
    0x636A617B53C74DBDU, 0x18AB4FD0304F150BU, 0x936B2A3CA268AE93U, 0xABFD080C480C892DU,
    0x3AAF33BC5363F3EEU, 0x08264EB27694487FU, 0x2A052B0728ED59CCU, 0x3F9FE29E66590CC1U};

/* The hash of a stack: sums of products of pairs, which do not wait for one another as a chain of
 * mixes would; a chain only from block to block. Written once for both widths of ids. The compiler is
 * kept from seeing the keys, or it makes each an immediate, unrolls, and runs out of registers. */
#define DEFINE_STACK_HASH(name, id_type)                                                           \
    static uint64_t name(struct pw_fiber *fiber, uint64_t h, const uint64_t *loc_hash,             \
                         const id_type *id, size_t n)                                              \
    {                                                                                              \
        const uint64_t *key = position_key;                                                        \
        uint64_t odd;                                                                              \
                                                                                                   \
        __asm__("" : "+r"(key));                                                                   \
        h = pw_hash_mix(h, n);                                                                     \
        while (n > 0) {                                                                            \
            size_t block = n < STACK_BLOCK ? n : STACK_BLOCK;                                      \
            uint64_t sum = 0;                                                                      \
                                                                                                   \
            for (size_t i = 0; i + 1 < block; i += 2) {                                            \
                sum += pw_fold64(loc_hash[id[i]] ^ key[i], loc_hash[id[i + 1]] ^ key[i + 1]);      \
            }                                                                                      \
            odd = loc_hash[id[block - 1]] & (0 - (block & 1));                                     \
            sum += pw_fold64(odd ^ key[0], key[STACK_BLOCK - 1]);                                  \
            h = pw_hash_mix(h, sum);                                                               \
            id += block;                                                                           \
            n -= block;                                                                            \
            PW_FIBER_PAUSE_EVERY(fiber, n / STACK_BLOCK, 64);                                      \
        }                                                                                          \
        return h;                                                                                  \
    }

DEFINE_STACK_HASH(stack_hash_narrow, uint16_t)
DEFINE_STACK_HASH(stack_hash_wide, uint64_t)

static uint64_t
stack_hash(const struct pw_profile *p, const uint64_t *loc_hash, const struct pw_sample *s)
{
    return p->loc_ids_wide != NULL ? stack_hash_wide(p->scratch->fiber, p->hash_key, loc_hash,
                                                     p->loc_ids_wide + s->loc_first, s->loc_count)
                                   : stack_hash_narrow(p->scratch->fiber, p->hash_key, loc_hash,
                                                       p->loc_ids + s->loc_first, s->loc_count);
}

/* The hashes side by side: what the loop over stacks touches then fits the first-level cache. */
static const uint64_t *
location_hashes(const struct pw_profile *p)
{
    uint64_t *h = pw_scratch_array(p->scratch, p->location_count, sizeof(*h));

    for (uint32_t i = 0; h != NULL && i < p->location_count; i++) {
        h[i] = p->location[i].hash;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    return h;
}

/* Every id of every stack is known and its location is kept: nothing to look up or to remove. */
static bool
stacks_are_plain(const struct pw_profile *p, bool any_dropped)
{
    uint16_t max = 0;

    if (any_dropped || !p->dense_locations || p->loc_ids_wide != NULL) {
        return false;
    }
    for (uint32_t i = 0; i < p->loc_ids_count;) {
        uint32_t end =
            p->loc_ids_count - i < IDS_PER_LOOK ? p->loc_ids_count : i + (uint32_t)IDS_PER_LOOK;

        for (; i < end; i++) {
            max = p->loc_ids[i] > max ? p->loc_ids[i] : max;
        }
        pw_fiber_pause(p->scratch->fiber);
    }
    return p->loc_ids_count == 0 || max < p->location_count;
}

/* An index may need more bits than the ids did, when ids are sparse. */
static bool
widen_ids(struct pw_profile *p)
{
    if (p->loc_ids_wide != NULL || p->location_count <= UINT16_MAX) {
        return true;
    }
    p->loc_ids_wide = pw_scratch_array(p->scratch, p->loc_ids_count, sizeof(*p->loc_ids_wide));
    for (uint32_t i = 0; p->loc_ids_wide != NULL && i < p->loc_ids_count; i++) {
        p->loc_ids_wide[i] = p->loc_ids[i] == UINT16_MAX ? 0 : p->loc_ids[i] + 1U;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 16384);
    }
    return p->loc_ids_wide != NULL;
}

/* Ids to indices; false when one is unknown or its location was removed. */
static bool
resolve_stack(struct pw_profile *p, const struct id_map *locations, const struct pw_sample *s)
{
    for (uint32_t i = s->loc_first; i < s->loc_first + s->loc_count; i++) {
        /* 65535 stands for id 0 here, which 65536 is as unknown as: narrow ids end below. */
        uint64_t id = p->loc_ids_wide != NULL ? p->loc_ids_wide[i] : p->loc_ids[i] + 1ULL;
        uint32_t l = p->loc_ids_wide == NULL && id > UINT16_MAX ? (uint32_t)NOT_FOUND
                                                                : id_map_get(locations, id);

        if (l == NOT_FOUND || p->location[l].dropped) {
            return false;
        }
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        if (p->loc_ids_wide != NULL) {
            p->loc_ids_wide[i] = l;
        } else {
            p->loc_ids[i] = (uint16_t)l;
        }
    }
    return true;
}

struct sample_tables {
    uint32_t *stack_slot;  /* index + 1 into p->stack */
    uint32_t *stack_first; /* by stack: the first sample that has it */
    uint32_t *merge_slot;  /* index + 1 into p->sample of the others, by stack and label set */
    uint64_t *raw_hash;    /* label refs as sent, and the set they make: slot by slot */
    uint32_t *raw_set;     /* index + 1 into p->label_set */
    uint32_t *set_slot;    /* index + 1 into p->label_set */
    uint64_t *set_hash;
    uint64_t mask;
    uint64_t stack_mask; /* at most a quarter full: every sample looks here */
    uint32_t pair_count;
    bool empty_set_used;
    size_t mark; /* of the scratch: tables behind it are dead when the samples are done */
};

static uint32_t
varint_bytes(uint32_t v)
{
    uint32_t n = 1;

    for (; v >= 0x80; v >>= 7) {
        n++;
    }
    return n;
}

static bool
sample_tables_init(struct pw_profile *p, struct sample_tables *t)
{
    struct pw_scratch *s = p->scratch;
    uint32_t labels = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        labels += p->sample[i].label_count;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    t->mask = table_size(p->sample_count) - 1;
    t->stack_mask = 2 * t->mask + 1;
    p->label_set =
        pw_scratch_array(s, labels == 0 ? 1 : p->sample_count + 1, sizeof(*p->label_set));
    p->label_set_pair = pw_scratch_array(s, labels, sizeof(*p->label_set_pair));
    p->stack = pw_scratch_array(s, p->sample_count, sizeof(*p->stack));
    t->mark = s->used;
    t->stack_slot = zeroed_slots(s, t->stack_mask + 1);
    t->stack_first = pw_scratch_array(s, p->sample_count, sizeof(*t->stack_first));
    t->merge_slot = zeroed_slots(s, t->mask + 1);
    if (labels != 0) {
        t->raw_hash = pw_scratch_array(s, t->mask + 1, sizeof(*t->raw_hash));
        t->raw_set = zeroed_slots(s, t->mask + 1);
        t->set_slot = zeroed_slots(s, t->mask + 1);
        t->set_hash = pw_scratch_array(s, p->sample_count + 1, sizeof(*t->set_hash));
    }
    return t->stack_slot && t->stack_first && t->merge_slot && p->label_set && p->stack &&
           p->label_set_pair &&
           (labels == 0 || (t->raw_hash && t->raw_set && t->set_slot && t->set_hash));
}

static int
pair_cmp(const struct pw_profile *p, struct pw_label_set_pair a, struct pw_label_set_pair b)
{
    int c = pw_slice_cmp(p->string_table[a.key], p->string_table[b.key]);

    return c != 0 ? c : pw_slice_cmp(p->string_table[a.str], p->string_table[b.str]);
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

/* The set of n pairs in no order at the end of label_set_pair: sorted, then an earlier equal one or a
 * new one. Sets are equal when the keyed hashes of their texts are. */
static uint32_t
intern_set(struct pw_profile *p, struct sample_tables *t, uint32_t n)
{
    struct pw_label_set_pair *pair = p->label_set_pair + t->pair_count;
    uint64_t h = p->hash_key, i;
    uint32_t set;

    for (uint32_t j = 1; j < n; j++) {
        insert_pair(p, pair, j, pair[j]);
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, j, 64);
    }
    for (uint32_t j = 0; j < n; j++) {
        h = pw_hash_mix(h, pw_hash_mix(p->string_hash[pair[j].key], p->string_hash[pair[j].str]));
    }
    for (i = h & t->mask; t->set_slot[i] != 0; i = (i + 1) & t->mask) {
        set = t->set_slot[i] - 1;
        if (t->set_hash[set] == h && p->label_set[set].pair_count == n) {
            return set;
        }
    }
    set = p->label_set_count++;
    t->set_slot[i] = set + 1;
    t->set_hash[set] = h;
    p->label_set[set] = (struct pw_label_set){.pair_first = t->pair_count, .pair_count = n};
    t->pair_count += n;
    return set;
}

/* Step 1, then the set of what is left. Most samples repeat the labels of another one reference by
 * reference: those are known by that and never sorted. */
static uint32_t
resolve_label_set(struct pw_profile *p, struct sample_tables *t, const struct pw_sample *s)
{
    const struct pw_sample_label *l = p->sample_label + s->label_first;
    uint64_t h = p->hash_key, i;
    uint32_t n = 0;

    for (uint32_t j = 0; j < s->label_count; j++) {
        uint64_t key = (uint64_t)l[j].key_ref, str = (uint64_t)l[j].str_ref;

        if (str - 1 < p->string_count - 1U && key < p->string_count &&
            p->string_table[str].len != 0) {
            p->label_set_pair[t->pair_count + n++] =
                (struct pw_label_set_pair){.key = (uint32_t)key, .str = (uint32_t)str};
            h = pw_hash_mix(h, key << 32 | str);
        }
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, j, 1024);
    }
    if (n == 0) {
        return 0;
    }
    for (i = h & t->mask; t->raw_set[i] != 0; i = (i + 1) & t->mask) {
        if (t->raw_hash[i] == h) {
            return t->raw_set[i] - 1;
        }
    }
    t->raw_hash[i] = h;
    t->raw_set[i] = intern_set(p, t, n) + 1;
    return t->raw_set[i] - 1;
}

static void
add_values(struct pw_profile *p, const struct pw_sample *to, const struct pw_sample *from)
{
    uint64_t *sum = (uint64_t *)(p->value + to->value_first);

    for (uint32_t v = 0; v < from->value_count; v++) {
        sum[v] += (uint64_t)p->value[from->value_first + v]; /* wraps, as the reference does */
        p->value_bits |= sum[v];
    }
}

/* The stack of s: a known one, or a new one whose first sample will be at index n. */
static bool
intern_stack(struct pw_profile *p, struct sample_tables *t, struct pw_sample *s, uint64_t hash,
             uint32_t n)
{
    uint64_t i = hash & t->stack_mask;

    for (; t->stack_slot[i] != 0; i = (i + 1) & t->stack_mask) {
        s->stack = t->stack_slot[i] - 1;
        if (p->stack[s->stack].hash == hash) {
            return false;
        }
    }
    s->stack = p->stack_count++;
    t->stack_slot[i] = s->stack + 1;
    t->stack_first[s->stack] = n;
    p->stack[s->stack] = (struct pw_stack){.hash = hash,
                                           .loc_first = s->loc_first,
                                           .loc_count = s->loc_count,
                                           .ids_off = s->ids_off,
                                           .ids_len = s->ids_len};
    return true;
}

/* Step 3 for a stack seen before: adds s to the sample with the same labels, if there is one;
 * otherwise it will be at index n. */
static bool
merge_sample(struct pw_profile *p, struct sample_tables *t, const struct pw_sample *s, uint32_t n)
{
    const struct pw_sample *o = &p->sample[t->stack_first[s->stack]];
    uint64_t i = pw_hash_mix(p->stack[s->stack].hash, s->label_set) & t->mask;

    if (o->label_set == s->label_set) {
        add_values(p, o, s);
        return true;
    }
    for (; t->merge_slot[i] != 0; i = (i + 1) & t->mask) {
        o = &p->sample[t->merge_slot[i] - 1];
        if (o->stack == s->stack && o->label_set == s->label_set) {
            add_values(p, o, s);
            return true;
        }
    }
    t->merge_slot[i] = n + 1;
    return false;
}

/* The empty set keeps place 0 while samples are read; when none has it, it goes. */
static void
drop_empty_set(struct pw_profile *p, const struct sample_tables *t)
{
    if (t->empty_set_used || p->label_set_count == 0) {
        return;
    }
    p->label_set++;
    p->label_set_count--;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        p->sample[i].label_set--;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
}

static bool
prepare_samples(struct pw_profile *p, const struct id_map *locations, bool any_dropped)
{
    struct sample_tables t = {0};
    const uint64_t *loc_hash;
    uint64_t all_bits = 0;
    bool plain;
    uint32_t n = 0;

    if (!widen_ids(p) || !sample_tables_init(p, &t) || (loc_hash = location_hashes(p)) == NULL) {
        return false;
    }
    plain = stacks_are_plain(p, any_dropped);
    p->id_bytes = varint_bytes(p->location_count);
    p->label_set[0] = (struct pw_label_set){0};
    p->label_set_count = 1;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        struct pw_sample *s = &p->sample[i];
        uint64_t hash;
        int64_t bits;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 128);
        if (!values_count(p, s, &bits) || (!plain && !resolve_stack(p, locations, s))) {
            continue;
        }
        hash = stack_hash(p, loc_hash, s);
        s->ids_len = plain ? s->ids_len : 0; /* else ids are not what their index says */
        all_bits |= (uint64_t)bits;
        s->label_set = s->label_count == 0 ? 0 : resolve_label_set(p, &t, s);
        t.empty_set_used |= s->label_set == 0;
        if (intern_stack(p, &t, s, hash, n) || !merge_sample(p, &t, s, n)) {
            if (n != i) {
                p->sample[n] = *s;
            }
            n++;
        }
    }
    p->sample_count = n;
    p->value_bits |= all_bits; /* and sums */
    for (uint32_t i = 0; i < p->stack_count; i++) {
        p->stack_wire_bytes += pw_profile_stack_wire(p, &p->stack[i]);
        p->depth_bits |= p->stack[i].loc_count;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    drop_empty_set(p, &t);
    pw_scratch_rewind(p->scratch, t.mark);
    return true;
}

int
pw_profile_normalize(struct pw_profile *p)
{
    struct id_map mappings, functions, locations;
    bool any_dropped = false;

    clamp_refs(p);
    hash_strings(p);
    if (!prepare_mappings(p, &mappings) || !prepare_functions(p, &functions) ||
        !prepare_locations(p, &mappings, &functions, &locations, &any_dropped) ||
        !prepare_samples(p, &locations, any_dropped)) {
        return PW_ENOMEM;
    }
    return 0;
}
