/* Contract write-path.md 3.4: which samples count, their stacks as indices, and the hashes of these. */
#include "pprof/packed.h"
#include "pprof/profile_ids.h"
#include "pprof/wire.h"

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

/* What turns one stack after another into indices and these into a hash. */
struct stacks {
    const struct pw_id_map *locations;
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
    x->wide =
        pw_scratch_array(p->scratch, (size_t)p->depth_max + PW_PACKED_SLACK, sizeof(*x->wide));
    return x->wide != NULL;
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
        ids += p->stack[i].loc_count;
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
    }
    bytes = ids * varint_bytes(p->location_count) + PW_PROFILE_IDS_SLACK;
    x->own = x->to = p->bytes.len + bytes > UINT32_MAX ? NULL : pw_scratch_alloc(p->scratch, bytes);
    return x->own != NULL;
}

/* Lists of one and two bytes an id, which are their indices plus one. 0 when it is not such a list, -1 when
 * a location is unknown or was removed. */
static inline int
narrow_stack(const struct pw_profile *p, const struct stacks *x, const struct pw_stack *s,
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
    *hash = stack_hash_narrow(p->scratch->fiber, p->hash_key, p->location_id, x->narrow, (size_t)n);
    return 1;
}

/* The same for any list; false when a location is unknown or was removed. */
static bool
wide_stack(const struct pw_profile *p, const struct stacks *x, const struct pw_stack *s,
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
    *hash = stack_hash_wide(p->scratch->fiber, p->hash_key, p->location_id, x->wide, s->loc_count);
    return true;
}

static void
write_own(const struct pw_profile *p, struct stacks *x, struct pw_stack *s)
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
hash_stack(const struct pw_profile *p, const struct stacks *x, const struct pw_stack *s,
           uint64_t *hash)
{
    int rc = narrow_stack(p, x, s, hash);

    return PW_LIKELY(rc > 0) || (rc == 0 && wide_stack(p, x, s, hash));
}

/* Steps 2 and 5: what makes a sample worth keeping before its stack is looked at. */
static inline __attribute__((always_inline)) bool
values_count(const struct pw_profile *p, uint32_t value_bytes, uint32_t sample, uint64_t *bits)
{
    uint32_t types = p->sample_type_count;
    size_t at = (size_t)sample * types;
    int64_t all = 0;

    for (size_t i = at; i < at + types; i++) {
        all |= value_bytes == sizeof(uint32_t) ? ((const uint32_t *)p->value)[i]
                                               : ((const int64_t *)p->value)[i];
        __asm__("" : "+r"(all)); /* there are a few: no vectors */
    }
    *bits = (uint64_t)all;
    return all > 0; /* negative as soon as one is */
}

/* The labels of a sample, behind those of samples before it. */
static struct pw_sample_key
labels_of(const struct pw_profile *p, uint32_t sample, uint32_t *at)
{
    const struct pw_sample_label *l = p->sample_label;
    uint32_t n = p->sample_label_count, first;

    for (; *at < n && l[*at].sample < sample; (*at)++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, *at, 4096);
    }
    for (first = *at; *at < n && l[*at].sample == sample; (*at)++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, *at, 4096);
    }
    return (struct pw_sample_key){.label_first = first, .label_count = *at - first};
}

static inline void
keep(struct pw_profile *p, uint32_t to, uint32_t from)
{
    if (to != from) {
        size_t bytes = p->value_bytes * (size_t)p->sample_type_count;

        p->stack[to] = p->stack[from];
        memcpy((uint8_t *)p->value + to * bytes, (const uint8_t *)p->value + from * bytes, bytes);
    }
}

static inline __attribute__((always_inline)) void
hash_samples(struct pw_profile *p, struct stacks *x, uint32_t value_bytes)
{
    uint64_t all_bits = 0, hash, bits;
    uint32_t n = 0, label = 0;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        struct pw_stack *s = &p->stack[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 128);
        if (!values_count(p, value_bytes, i, &bits) || !hash_stack(p, x, s, &hash)) {
            continue;
        }
        if (PW_UNLIKELY(x->own != NULL)) {
            write_own(p, x, s);
        }
        all_bits |= bits;
        p->stack_hash[n] = hash;
        keep(p, n, i);
        if (p->sample_key != NULL) {
            p->sample_key[n] = labels_of(p, i, &label);
        }
        n++;
    }
    p->sample_count = n;
    p->value_bits = all_bits;
}

bool
pw_profile_keep_samples(struct pw_profile *p, const struct pw_id_map *locations, bool any_dropped)
{
    struct pw_scratch *scratch = p->scratch;
    struct stacks x = {.locations = locations, .any_dropped = any_dropped};
    size_t mark;

    if (!pw_profile_values_match(p)) { /* nobody normalises it in earnest */
        p->sample_count = 0;
    }
    p->stack_hash = pw_scratch_array(scratch, p->sample_count, sizeof(*p->stack_hash));
    p->sample_key = p->sample_label_count == 0
                        ? NULL
                        : pw_scratch_array(scratch, p->sample_count, sizeof(*p->sample_key));
    mark = scratch->used;
    if (p->stack_hash == NULL || (p->sample_label_count != 0 && p->sample_key == NULL) ||
        (locations->id != NULL && !own_lists_init(p, &x)) || !stacks_init(p, &x)) {
        return false;
    }
    if (p->value_bytes == sizeof(uint32_t)) {
        hash_samples(p, &x, sizeof(uint32_t));
    } else {
        hash_samples(p, &x, sizeof(uint64_t));
    }
    if (x.own != NULL) {
        p->own_ids = x.own;
        p->own_ids_len = (size_t)(x.to - x.own);
        mark += pw_align_up(p->own_ids_len + PW_PROFILE_IDS_SLACK, 16);
    }
    pw_scratch_rewind(scratch, mark); /* but for lists written anew */
    return true;
}
