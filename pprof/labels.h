/* pprof/labels.h - a label set: sorted name/value pairs, its text and its fingerprint.
 *
 * Purpose  what identifies a series, on the write path (validate, relabel, token) and in the head.
 * Owner    the caller owns the array and the bytes the slices point to.
 * Context  hot; nothing allocates.
 * Units    labels; bytes are not assumed to be UTF-8.
 * Errors   set returns PW_ENOSPC when the array is full.
 * Limits   cap given by the caller, PW_LABELS_MAX (base/limits.h) on the write path.
 */
#ifndef PW_PPROF_LABELS_H
#define PW_PPROF_LABELS_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"

struct pw_label_pair {
    struct pw_slice name;
    struct pw_slice value;
};

struct pw_labels {
    struct pw_label_pair *pair;
    uint32_t count;
    uint32_t cap;
};

/* Byte-wise by name; stable, so that duplicates keep the order they came in. */
void pw_labels_sort(struct pw_labels *l);
/* Value of the first label of that name; ptr == NULL when absent. */
struct pw_slice pw_labels_get(const struct pw_labels *l, struct pw_slice name);
/* Replaces the first label of that name, or appends; the set is no longer sorted after an append. */
PW_MUST_USE int pw_labels_set(struct pw_labels *l, struct pw_slice name, struct pw_slice value);
/* Removes every label of that name. */
void pw_labels_del(struct pw_labels *l, struct pw_slice name);
/* Order of two sets, pair by pair, name before value; a prefix comes first (storage.md 0.2). */
int pw_label_pairs_cmp(const struct pw_label_pair *a, uint32_t a_count,
                       const struct pw_label_pair *b, uint32_t b_count);
/* LS(labels) of contract write-path.md: {a="1", b="2"}, Go-quoted values, in current order. */
void pw_labels_text(const struct pw_labels *l, struct pw_text *t);
/* XXH64 over name 0xff value 0xff ... in current order (write-path.md 5.1). Bit-equal to the outside
 * world, so not keyed. */
uint64_t pw_labels_fingerprint(const struct pw_labels *l);

#endif
