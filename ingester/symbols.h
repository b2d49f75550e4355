/* ingester/symbols.h - a tenant's strings, functions, mappings, locations and stacks, each kept once.
 *
 * Purpose  turn the stacks of a record into ids. A stack that was seen before costs one look-up of its
 *          hash; only for unseen stacks are locations, functions and strings looked at, each once a
 *          record.
 * Owner    the writer of the head. Readers use the tables below published counts, never the indexes.
 * Context  hot; look-ups are done in phases over the whole record, prefetched.
 * Units    ids.
 * Errors   PW_ENOMEM: region or scratch exhausted; what was interned so far stays, complete and unused.
 * Limits   2^32 - 64 of each kind; strings below 64 MiB.
 */
#ifndef PW_INGESTER_SYMBOLS_H
#define PW_INGESTER_SYMBOLS_H

#include "base/scratch.h"
#include "ingester/chunks.h"
#include "ingester/head.h"
#include "ingester/htab.h"

/* What all tenants of a head allocate from. */
struct pw_head_mem {
    struct pw_region region;
    struct pw_htab_pool htab;
    struct pw_scratch scratch; /* of one append */
    uint64_t hash_key;
};

/* Offset in the region and length in one word, so that a string's entry is 8 bytes. */
enum { PW_SYM_STRING_LEN_BITS = 26 };
static_assert(PW_HEAD_BYTES_MAX <= 1ULL << (64 - PW_SYM_STRING_LEN_BITS), "offsets fit");

struct pw_sym_location {
    uint64_t address;
    uint32_t mapping;
    uint32_t line_count;
    uint32_t lines_ref8;
    uint32_t is_folded;
};

struct pw_sym_stack {
    uint32_t locs_ref8;
    uint32_t depth;
};

struct pw_symbols {
    struct pw_chunks string;   /* uint64_t: offset << LEN_BITS | len */
    struct pw_chunks function; /* struct pw_head_function */
    struct pw_chunks mapping;  /* struct pw_head_mapping */
    struct pw_chunks location; /* struct pw_sym_location */
    struct pw_chunks stack;    /* struct pw_sym_stack */
    struct pw_chunks span;     /* struct pw_record_span_id; not deduplicated */
    /* the writer's */
    struct pw_htab string_ix, function_ix, mapping_ix, location_ix, stack_ix;
};

/* Fills stack_id[rec->stacks_count]. Scratch of mem is used and not given back. */
PW_MUST_USE int pw_symbols_intern(struct pw_symbols *s, struct pw_head_mem *mem,
                                  const struct pw_record *rec, uint32_t *stack_id);
/* All symbols together, to count what a refused record left behind. */
uint64_t pw_symbols_count(const struct pw_symbols *s);

static inline struct pw_slice
pw_symbols_string(const struct pw_symbols *s, const uint8_t *base, uint32_t id)
{
    uint64_t packed = *PW_CHUNKS_AT(&s->string, const uint64_t, id);

    return pw_slice(base + (packed >> PW_SYM_STRING_LEN_BITS),
                    packed & ((1ULL << PW_SYM_STRING_LEN_BITS) - 1));
}

#endif
