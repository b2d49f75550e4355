/* pprof/profile.h - a pushed profile as tables: read, judged, normalised, all in scratch memory.
 *
 * Purpose  one zero-copy pass over the wire bytes (contract write-path.md 8), then the checks of 3.3
 *          and the normalisation of 3.4. Strings stay where they are; tables go to scratch.
 * Owner    the caller's scratch and the unpacked bytes must outlive the struct; nothing to free.
 * Context  hot: no allocation, no system call, no recursion.
 * Units    string references are uint32_t indices into string; after pw_profile_parse every
 *          wire index is kept in the *_ref fields as sent (int64), so that validation can judge it;
 *          pw_profile_normalize turns them into safe indices.
 * Errors   parse: PW_EINVAL with a text as stock words it; validate: a reason; normalise: none but
 *          PW_ENOMEM (scratch exhausted: the profile is larger than this core takes).
 * Limits   PW_PROFILE_* (base/limits.h), struct pw_profile_limits.
 */
#ifndef PW_PPROF_PROFILE_H
#define PW_PPROF_PROFILE_H

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/scratch.h"
#include "base/text.h"
#include "base/types.h"
#include "pprof/text_hash.h"

#include <assert.h>

struct pw_value_type {
    int64_t type_ref;
    int64_t unit_ref;
};

/* References that are many are kept in 32 bits: what does not fit is as wrong as the largest one. */
static inline int32_t
pw_profile_ref(int64_t wire)
{
    return wire < 0 ? -1 : wire > INT32_MAX ? INT32_MAX : (int32_t)wire;
}

struct pw_string { /* of string_table; its text: pw_profile_text */
    uint64_t hash; /* keyed; after normalise of all */
    uint32_t off;  /* in the wire; or, with PW_STRING_LOOSE in len, which of loose_string */
    uint32_t len;
};

#define PW_STRING_LOOSE 0x80000000U

struct pw_sample_label { /* profile.proto Label; nobody asks for its number. By sample, as sent */
    uint32_t sample;
    int32_t key_ref;
    int32_t str_ref;
};

/* Location ids, leaf first, where pw_profile_ids finds them: minimal varints in one piece. After normalise each is
 * an index into location + 1. */
struct pw_stack {
    uint32_t loc_count;
    uint32_t ids_off, ids_len;
};

struct pw_sample_key { /* what tells normalised samples apart */
    union {
        uint32_t label_first; /* while normalising: into sample_label */
        uint32_t label_set;   /* into label_set */
    };
    union {
        uint32_t label_count;
        uint32_t stack; /* into stack */
    };
};

struct pw_mapping {
    uint64_t id, memory_start, memory_limit, file_offset;
    int64_t filename_ref, build_id_ref;
    bool has_functions, has_filenames, has_line_numbers, has_inline_frames;
    uint64_t hash; /* after normalise: keyed hash of content */
};

/* Numbers that are many have 32 bits, of which those above PW_PROFILE_BIG say where in `big` the whole of it is:
 * pw_profile_number. Hardly any has to. */
#define PW_PROFILE_BIG 0x80000000U

struct pw_line {
    uint32_t function; /* number: its id; after normalise index into function */
    uint32_t line;     /* number */
};

struct pw_location {
    uint32_t mapping; /* number: its id; after normalise index into mapping */
    uint32_t address; /* number */
    uint32_t
        line_first : 30; /* into line: bodies end at PW_PROFILE_BYTES_MAX; up to that of the next */
    uint32_t is_folded : 1;
    uint32_t dropped : 1; /* after normalise: samples that used it were removed */
};

struct pw_function {
    union {
        uint64_t id;
        uint64_t hash; /* after normalise: keyed hash of content */
    };
    int32_t name_ref, system_name_ref, filename_ref;
    uint32_t start_line; /* number */
};

static_assert(PW_PROFILE_BYTES_MAX < 1U << 30, "first lines and references to strings fit");
static_assert(sizeof(struct pw_location) == 12 && sizeof(struct pw_function) == 24, "");
/* The walk fills the three with one store. */
static_assert(offsetof(struct pw_function, filename_ref) == 16, "references lie together");

/* One distinct set of string labels of samples: pairs sorted by (key, str) text, str never empty. */
struct pw_label_set {
    uint32_t pair_first; /* into label_set_pairs */
    uint32_t pair_count;
};

struct pw_label_set_pair {
    uint32_t key; /* string index */
    uint32_t str; /* string index */
};

struct pw_profile {
    struct pw_slice bytes; /* the unpacked profile, as it came */
    struct pw_scratch *scratch;
    uint64_t hash_key;

    struct pw_value_type sample_type[PW_PROFILE_TYPES_MAX];
    uint32_t sample_type_count;
    struct pw_string *string;
    uint32_t string_count, string_cap;
    struct pw_slice *loose_string; /* those that do not lie in the wire */
    uint32_t loose_string_count, loose_string_cap;
    uint32_t sample_count; /* normalise shrinks it */
    /* Of each sample sample_type_count values, 4 bytes wide while none is negative or needs more, else 8:
     * pw_profile_value. None that can be read when a sample has more or fewer of them. */
    void *value;
    uint32_t value_bytes;
    /* Of each sample; after normalise the distinct ones, which samples of different label sets can share. */
    struct pw_stack *stack;
    uint8_t *own_ids; /* location ids that do not lie in the wire as they should */
    size_t own_ids_len;
    struct pw_sample_label *sample_label;
    struct pw_mapping *mapping;
    uint32_t mapping_count;
    uint64_t *location_id;        /* after normalise: keyed hash of content */
    struct pw_location *location; /* and one behind the last, for its first line */
    uint32_t location_count;
    struct pw_line *line;
    uint32_t line_count;
    struct pw_function *function;
    uint32_t function_count;
    uint64_t *big; /* numbers that have more than 31 bits */
    uint32_t big_count;
    /* After normalise. */
    uint64_t *stack_hash; /* keyed, of the content of its locations in order, and of their number */
    uint32_t stack_count;
    struct pw_sample_key *sample_key; /* NULL: none has labels, the i-th alone has the i-th stack */
    struct pw_label_set *label_set;   /* [0] is the empty set when any sample has it */
    uint32_t label_set_count;
    struct pw_label_set_pair *label_set_pair;

    int64_t time_nanos, duration_nanos, period;
    struct pw_value_type period_type;
    bool has_period_type;
    int64_t default_sample_type_ref;

    uint64_t encoded_bytes; /* size of the canonical re-encoding (write-path.md 3.2 step 3) */

    /* What the walk saw, so that the usual profile needs no second look. */
    struct pw_slice
        string_stretch;        /* the wire from the first string to the last, when it holds hardly
                                       anything else; empty otherwise */
    size_t string_loose_bytes; /* of strings that are not there with their length before them */
    uint32_t string_loose_count;
    struct pw_text_key text_key;
    uint32_t string_hashed;        /* the first so many strings have their hash */
    uint32_t wide_first, wide_end; /* among those, where the ones that are not ASCII lie */
    uint64_t max_function_ref, max_mapping_ref; /* as unsigned: negative is huge */
    uint64_t max_label_ref;                     /* the same of keys and units of labels ... */
    int64_t max_label_str;                      /* ... of whose strings negative ones may be */
    uint32_t depth_max, labels_max;             /* of samples */
    uint32_t values_least, values_max;          /* of samples */
    uint32_t sample_label_count;                /* of all samples */
    bool dense_functions, dense_mappings, dense_locations; /* id == index + 1 throughout */
    bool zero_location_id, zero_function_id;

    /* What normalise saw, for the widths of a record: all bits that are set in any of them. */
    uint64_t number_bits;    /* lines in files */
    uint64_t address_bits;   /* of locations */
    uint64_t value_bits;     /* of samples, merged */
    uint32_t depth_bits;     /* of stacks */
    size_t stack_wire_bytes; /* what all stacks take as varints */
};

static inline uint64_t
pw_profile_number(const struct pw_profile *p, uint32_t n)
{
    return PW_LIKELY(n < PW_PROFILE_BIG) ? n : p->big[n - PW_PROFILE_BIG];
}

static inline uint32_t
pw_profile_line_count(const struct pw_location *l)
{
    return l[1].line_first - l->line_first;
}

enum { PW_PROFILE_IDS_SLACK = 64 }; /* bytes behind own_ids */

/* The location ids of s: ids_len bytes. Those of its own have offsets behind the wire's. */
static inline const uint8_t *
pw_profile_ids(const struct pw_profile *p, const struct pw_stack *s)
{
    return PW_LIKELY(s->ids_off < p->bytes.len) ? p->bytes.ptr + s->ids_off
                                                : p->own_ids + (s->ids_off - p->bytes.len);
}

/* Whether PW_PROFILE_IDS_SLACK bytes behind them may be read. */
static inline bool
pw_profile_ids_roomy(const struct pw_profile *p, const struct pw_stack *s)
{
    return s->ids_off >= p->bytes.len ||
           (size_t)s->ids_off + s->ids_len + PW_PROFILE_IDS_SLACK <= p->bytes.len;
}

/* Whether every sample has as many values as there are types. */
static inline bool
pw_profile_values_match(const struct pw_profile *p)
{
    return p->sample_count == 0 ||
           (p->values_least == p->sample_type_count && p->values_max == p->sample_type_count);
}

/* Entry i of the values: sample by sample, type by type. */
static inline int64_t
pw_profile_value(const struct pw_profile *p, size_t i)
{
    return p->value_bytes == sizeof(uint32_t) ? ((const uint32_t *)p->value)[i]
                                              : ((const int64_t *)p->value)[i];
}

/* Reads the wire. Borrows bytes for the life of *p. 0; PW_EINVAL with *err_text set to static or
 * scratch text ("proto: wrong wireType = 7 for field Period", "unexpected EOF", ...); PW_ENOMEM.
 * encoded_bytes is computed here. hash_key: the process-wide secret of the interning tables. */
PW_MUST_USE int pw_profile_parse(struct pw_profile *p, struct pw_scratch *scratch,
                                 uint64_t hash_key, struct pw_slice bytes, const char **err_text);

/* Appends a string (borrowed; must outlive p) and gives its index, or UINT32_MAX when scratch
 * is exhausted. */
uint32_t pw_profile_add_string(struct pw_profile *p, struct pw_slice s);
/* Another text for string i. false: no room, it stays as it was. */
PW_MUST_USE bool pw_profile_set_string(struct pw_profile *p, uint32_t i, struct pw_slice s);

/* The reasons of write-path.md 3.3 in its order; texts and names are in distributor/reason.def. */
enum pw_profile_reason {
    PW_PROFILE_FINE = 0,
    PW_PROFILE_EMPTY,               /* row 1 */
    PW_PROFILE_NOT_IN_WINDOW,       /* row 2 */
    PW_PROFILE_SIZE_LIMIT,          /* row 3 */
    PW_PROFILE_SAMPLES_LIMIT,       /* row 4 */
    PW_PROFILE_SAMPLE_LABELS_LIMIT, /* row 5 */
    PW_PROFILE_MALFORMED,           /* rows 7-13: text says which */
};

struct pw_profile_limits { /* 0 disables a limit */
    uint64_t size_bytes_max;
    uint32_t samples_max;
    uint32_t sample_labels_max;
    uint32_t stacktrace_depth_max;
    uint32_t symbol_value_bytes_max;
    int64_t reject_older_than_ms;
    int64_t reject_newer_than_ms;
};

struct pw_profile_finding {
    uint64_t actual, limit; /* rows 3-5 */
    const char *text;       /* rows 1 and 7-13: the whole text, static or in p's scratch */
};

/* The checks of 3.3 in order, with its silent repairs (time_nanos <= 0 becomes now_ns, stacks cut to
 * the root-most frames, symbol values cut to their last bytes). Changes *p; f is set on refusal. */
PW_MUST_USE enum pw_profile_reason pw_profile_validate(struct pw_profile *p,
                                                       const struct pw_profile_limits *lim,
                                                       int64_t now_ns,
                                                       struct pw_profile_finding *f);

/* write-path.md 3.4, plus hashes and label sets; unreferenced symbols simply stay unused.
 * Afterwards: samples have location indices, every *_ref is a valid string index, samples are merged
 * (equal stack and label set), sample_count may be 0. 0 or PW_ENOMEM. */
PW_MUST_USE int pw_profile_normalize(struct pw_profile *p);

/* Language of 3.5 from the strings alone (the label rule is the caller's): "go", "java", ..., "unknown". */
const char *pw_profile_language(const struct pw_profile *p);
/* 3.5 (a): strips [go.shape....] groups from strings. Call before normalise. */
void pw_profile_fix_go(struct pw_profile *p);
/* 3.5 (b): gives stacks that the Go runtime cut their missing root frames, from other stacks of the
 * profile. After validate, before normalise. 0, also when there is nothing to do, which a look at the
 * depths settles for most profiles; PW_ENOMEM: the stacks are as they came. */
int pw_profile_stitch_go(struct pw_profile *p);

/* After normalise: the stack and the label set of a sample. */
static inline uint32_t
pw_profile_stack_of(const struct pw_profile *p, uint32_t sample)
{
    return p->sample_key == NULL ? sample : p->sample_key[sample].stack;
}

static inline uint32_t
pw_profile_label_set_of(const struct pw_profile *p, uint32_t sample)
{
    return p->sample_key == NULL ? 0 : p->sample_key[sample].label_set;
}

static inline struct pw_slice
pw_profile_text(const struct pw_profile *p, uint32_t i)
{
    const struct pw_string *s = &p->string[i];

    return PW_LIKELY(s->len < PW_STRING_LOOSE) ? pw_slice(p->bytes.ptr + s->off, s->len)
                                               : p->loose_string[s->off];
}

/* String by index; nothing when there is none. */
static inline struct pw_slice
pw_profile_string(const struct pw_profile *p, int64_t ref)
{
    return ref >= 0 && ref < (int64_t)p->string_count ? pw_profile_text(p, (uint32_t)ref)
                                                      : (struct pw_slice){0};
}

#endif
