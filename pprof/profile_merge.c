/* Contract write-path.md 3.4, the samples: which of them count, their stacks and label sets as indices, and
 * equal ones added up. */
#include "pprof/packed.h"
#include "pprof/profile_ids.h"
#include "pprof/wire.h"

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
        all |= v[i];             /* negative as soon as one is */
        __asm__("" : "+r"(all)); /* there are a few: no vectors */
    }
    *bits = all;
    return all > 0;
}

enum { STACK_BLOCK = 128, NARROW_BYTES_MAX = 16 << 10 /* without a checkpoint */ };

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
DEFINE_STACK_HASH(stack_hash_wide, uint32_t)

/* The hashes side by side: what the loop over stacks touches then fits the first-level cache. */
static const uint64_t *
location_hashes(const struct pw_profile *p)
{
    uint64_t *h = pw_scratch_array(p->scratch, p->location_count, sizeof(*h));
    const struct pw_location *l = p->location;
    uint32_t n = h == NULL ? 0 : p->location_count;

    for (uint32_t i = 0; i < n; i++) {
        h[i] = l[i].hash;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    return h;
}

/* What turns one stack after another into indices and these into a hash. */
struct stacks {
    const struct pw_id_map *locations;
    const uint64_t *loc_hash;
    bool any_dropped;
    union { /* room for the deepest */
        uint16_t *narrow;
        uint32_t *wide;
    };
    uint8_t *own,
        *to; /* ids are not what their index says: lists are written anew, the next one here */
};

static bool
stacks_init(struct pw_profile *p, struct stacks *x)
{
    x->loc_hash = location_hashes(p);
    x->wide =
        pw_scratch_array(p->scratch, (size_t)p->depth_max + PW_PACKED_SLACK, sizeof(*x->wide));
    return x->loc_hash != NULL && x->wide != NULL;
}

static uint32_t
varint_bytes(uint32_t v)
{
    uint32_t n = 1;

    for (; v >= 0x80; v >>= 7) {
        n++;
    }
    return n;
}

/* Room for lists written anew, at most as long as they can get; gives what is too much back after. */
static bool
own_lists_init(struct pw_profile *p, struct stacks *x)
{
    size_t ids = 0, bytes;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        ids += p->sample[i].loc_count;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    bytes = ids * varint_bytes(p->location_count) + PW_PROFILE_IDS_SLACK;
    x->own = x->to = p->bytes.len + bytes > UINT32_MAX ? NULL : pw_scratch_alloc(p->scratch, bytes);
    return x->own != NULL;
}

/* Lists of one and two bytes an id, which are their indices plus one. 0 when it is not such a list, -1 when
 * a location is unknown or was removed. */
static inline int
narrow_stack(const struct pw_profile *p, const struct stacks *x, const struct pw_sample *s,
             uint64_t *hash)
{
    uint16_t max;
    int64_t n;

    if (x->own != NULL || s->ids_len > NARROW_BYTES_MAX || !pw_profile_ids_roomy(p, s)) {
        return 0;
    }
    n = pw_packed_u14_minus1(pw_profile_ids(p, s), s->ids_len, x->narrow, &max);
    if (PW_UNLIKELY(n < 0)) {
        return 0;
    }
    if (PW_UNLIKELY(max >= p->location_count && n != 0)) {
        return -1;
    }
    for (int64_t i = 0; x->any_dropped && i < n; i++) {
        if (p->location[x->narrow[i]].dropped) {
            return -1;
        }
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, (size_t)i, 4096);
    }
    *hash = stack_hash_narrow(p->scratch->fiber, p->hash_key, x->loc_hash, x->narrow, (size_t)n);
    return 1;
}

/* The same for any list; false when a location is unknown or was removed. */
static bool
wide_stack(const struct pw_profile *p, const struct stacks *x, const struct pw_sample *s,
           uint64_t *hash)
{
    const uint8_t *at = pw_profile_ids(p, s), *end = at + s->ids_len;

    for (uint32_t i = 0; i < s->loc_count; i++) {
        uint64_t id = 0;
        uint32_t l;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        at += pw_wire_varint(at, end, &id); /* whole, or the walk would not have it */
        l = pw_id_map_get(x->locations, id);
        if (l == PW_ID_NOT_FOUND || p->location[l].dropped) {
            return false;
        }
        x->wide[i] = l;
    }
    *hash = stack_hash_wide(p->scratch->fiber, p->hash_key, x->loc_hash, x->wide, s->loc_count);
    return true;
}

static void
write_own(const struct pw_profile *p, struct stacks *x, struct pw_sample *s)
{
    uint8_t *to = x->to;

    for (uint32_t i = 0; i < s->loc_count; i++) {
        uint32_t id = x->wide[i] + 1;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        for (; id >= 0x80; id >>= 7) {
            *to++ = (uint8_t)(id | 0x80);
        }
        *to++ = (uint8_t)id;
    }
    s->ids_off = (uint32_t)(p->bytes.len + (size_t)(x->to - x->own));
    s->ids_len = (uint32_t)(to - x->to);
    x->to = to;
}

/* The hash of the stack of s; false when that counts for nothing. */
static inline bool
hash_stack(const struct pw_profile *p, const struct stacks *x, const struct pw_sample *s,
           uint64_t *hash)
{
    int rc = narrow_stack(p, x, s, hash);

    return PW_LIKELY(rc > 0) || (rc == 0 && wide_stack(p, x, s, hash));
}

struct sample_tables {
    uint32_t *stack_slot; /* index + 1 into p->stack_hash */
    uint32_t *merge_slot; /* index + 1 into p->sample of the others, by stack and label set */
    uint64_t *raw_hash;   /* label refs as sent, and the set they make: slot by slot */
    uint32_t *raw_set;    /* index + 1 into p->label_set */
    uint32_t *set_slot;   /* index + 1 into p->label_set */
    uint64_t *set_hash;
    uint64_t mask;
    uint64_t stack_mask; /* at most a quarter full: every sample looks here */
    uint32_t pair_count;
    bool empty_set_used;
};

/* What stays. */
static bool
merged_init(struct pw_profile *p)
{
    struct pw_scratch *s = p->scratch;
    uint32_t labels = p->sample_label_count;

    p->label_set =
        pw_scratch_array(s, labels == 0 ? 1 : p->sample_count + 1, sizeof(*p->label_set));
    p->label_set_pair = pw_scratch_array(s, labels, sizeof(*p->label_set_pair));
    p->stack_hash = pw_scratch_array(s, p->sample_count, sizeof(*p->stack_hash));
    p->stack_sample = pw_scratch_array(s, p->sample_count, sizeof(*p->stack_sample));
    return p->label_set && p->stack_hash && p->stack_sample && p->label_set_pair;
}

static bool
sample_tables_init(struct pw_profile *p, struct sample_tables *t)
{
    struct pw_scratch *s = p->scratch;
    uint32_t labels = p->sample_label_count;

    t->mask = pw_table_size(p->sample_count) - 1;
    t->stack_mask = 2 * t->mask + 1;
    t->stack_slot = pw_zeroed_slots(s, t->stack_mask + 1);
    if (labels != 0) {
        t->merge_slot = pw_zeroed_slots(s, t->mask + 1);
        t->raw_hash = pw_scratch_array(s, t->mask + 1, sizeof(*t->raw_hash));
        t->raw_set = pw_zeroed_slots(s, t->mask + 1);
        t->set_slot = pw_zeroed_slots(s, t->mask + 1);
        t->set_hash = pw_scratch_array(s, p->sample_count + 1, sizeof(*t->set_hash));
    }
    return t->stack_slot && (labels == 0 || (t->merge_slot && t->raw_hash && t->raw_set &&
                                             t->set_slot && t->set_hash));
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

/* Whether the stack of s, whose hash is that of sample n, is new: then n is its first sample. */
static inline bool
intern_stack(struct pw_profile *p, struct sample_tables *t, struct pw_sample *s, uint64_t hash,
             uint32_t n)
{
    uint64_t i = hash & t->stack_mask;

    for (; t->stack_slot[i] != 0; i = (i + 1) & t->stack_mask) {
        s->stack = t->stack_slot[i] - 1;
        if (p->stack_hash[s->stack] == hash) {
            return false;
        }
    }
    s->stack = p->stack_count++;
    t->stack_slot[i] = s->stack + 1;
    p->stack_hash[s->stack] = hash; /* at or before the hashes that are still to be read */
    p->stack_sample[s->stack] = n;
    p->stack_wire_bytes += s->ids_len;
    p->depth_bits |= s->loc_count;
    return true;
}

/* Step 3 for a stack seen before: adds s to the sample with the same labels, if there is one;
 * otherwise it will be at index n. */
static bool
merge_sample(struct pw_profile *p, struct sample_tables *t, const struct pw_sample *s, uint32_t n)
{
    const struct pw_sample *o = &p->sample[p->stack_sample[s->stack]];
    uint64_t i = pw_hash_mix(p->stack_hash[s->stack], s->label_set) & t->mask;

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
    if (t->empty_set_used) {
        return;
    }
    p->label_set++;
    p->label_set_count--;
    for (uint32_t i = 0; i < p->sample_count; i++) {
        p->sample[i].label_set--;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
}

/* The samples that are kept, one after another, and the hashes of their stacks at p->stack_hash. */
static void
hash_samples(struct pw_profile *p, struct stacks *x)
{
    uint64_t all_bits = 0, hash;
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        struct pw_sample *s = &p->sample[i];
        int64_t bits;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 128);
        if (!values_count(p, s, &bits) || !hash_stack(p, x, s, &hash)) {
            continue;
        }
        if (PW_UNLIKELY(x->own != NULL)) {
            write_own(p, x, s);
        }
        all_bits |= (uint64_t)bits;
        p->stack_hash[n] = hash;
        if (n != i) {
            p->sample[n] = *s;
        }
        n++;
    }
    p->sample_count = n;
    p->value_bits |= all_bits;
}

/* Of no sample with a label: as many are left as there are stacks. */
static void
merge_unlabelled(struct pw_profile *p, struct sample_tables *t)
{
    for (uint32_t i = 0; i < p->sample_count; i++) {
        struct pw_sample *s = &p->sample[i];
        uint32_t n = p->stack_count;

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 1024);
        s->label_set = 0;
        if (!intern_stack(p, t, s, p->stack_hash[i], n)) {
            add_values(p, &p->sample[s->stack], s);
        } else if (n != i) {
            p->sample[n] = *s;
        }
    }
    t->empty_set_used = p->sample_count != 0;
    p->sample_count = p->stack_count;
}

static void
merge_labelled(struct pw_profile *p, struct sample_tables *t)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        struct pw_sample *s = &p->sample[i];
        uint64_t hash = p->stack_hash[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 256);
        s->label_set = s->label_count == 0 ? 0 : resolve_label_set(p, t, s);
        t->empty_set_used |= s->label_set == 0;
        if (intern_stack(p, t, s, hash, n) || !merge_sample(p, t, s, n)) {
            if (n != i) {
                p->sample[n] = *s;
            }
            n++;
        }
    }
    p->sample_count = n;
}

/* Which samples are kept; what that takes is given back, but for lists written anew. */
static bool
keep_samples(struct pw_profile *p, const struct pw_id_map *locations, bool any_dropped)
{
    struct stacks x = {.locations = locations, .any_dropped = any_dropped};
    size_t mark = p->scratch->used;

    if ((locations->slot != NULL && !own_lists_init(p, &x)) || !stacks_init(p, &x)) {
        return false;
    }
    hash_samples(p, &x);
    if (x.own != NULL) {
        p->own_ids = x.own;
        p->own_ids_len = (size_t)(x.to - x.own);
        mark += pw_align_up(p->own_ids_len + PW_PROFILE_IDS_SLACK, 16);
    }
    pw_scratch_rewind(p->scratch, mark);
    return true;
}

bool
pw_profile_merge_samples(struct pw_profile *p, const struct pw_id_map *locations, bool any_dropped)
{
    struct sample_tables t = {0};
    size_t mark;

    if (!merged_init(p) || !keep_samples(p, locations, any_dropped)) {
        return false;
    }
    mark = p->scratch->used;
    if (!sample_tables_init(p, &t)) {
        return false;
    }
    p->label_set[0] = (struct pw_label_set){0};
    p->label_set_count = 1;
    if (p->sample_label_count == 0) {
        merge_unlabelled(p, &t);
    } else {
        merge_labelled(p, &t);
    }
    drop_empty_set(p, &t);
    pw_scratch_rewind(p->scratch, mark);
    return true;
}
