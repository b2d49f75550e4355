/* ingester/series_index.h - a tenant's series in one head.
 *
 * Purpose  one series per label set and sample type (contract write-path.md 4, "Stored label set").
 *          A record's label set is found by the bytes it carries (labels, types, period type: the
 *          signature), which gives the series of all its types at once; final labels and fingerprints
 *          are made only for a series that does not exist yet.
 * Owner    the writer of the head. Readers use `series` below the published count.
 * Context  hot; creating a series is rare.
 * Units    ids.
 * Errors   plan and create: PW_ENOMEM.
 * Limits   -
 */
#ifndef PW_INGESTER_SERIES_INDEX_H
#define PW_INGESTER_SERIES_INDEX_H

#include "ingester/activity.h"
#include "ingester/samples.h"

#include <stdalign.h>
#include <stdatomic.h>

#define PW_SERIES_NONE UINT32_MAX

struct pw_series {
    alignas(64) const struct pw_label_pair *label;
    uint64_t fingerprint;
    uint32_t label_count;
    /* R3 / A3: the row it names is completely written, and so are those before it. */
    _Atomic uint32_t last_row;
    _Atomic int64_t time_min_ns, time_max_ns;
    struct pw_activity_ref active; /* the writer's */
};
static_assert(sizeof(struct pw_series) == 64, "one line a series");

struct pw_series_group { /* a label set with its sample types, as records bring it */
    uint32_t signature_ref8;
    uint32_t signature_bytes;
    uint32_t ids_ref8; /* uint32_t[types_count]: series, or PW_SERIES_NONE until it has a row */
    uint32_t types_count;
};

struct pw_series_index {
    struct pw_chunks series; /* struct pw_series */
    /* the writer's */
    struct pw_chunks group; /* struct pw_series_group */
    struct pw_htab series_ix, group_ix;
    struct pw_activity_ref tenant; /* whose they are */
};

/* What one series of a record needs: found, or to be created. */
struct pw_series_plan {
    struct pw_slice signature; /* in scratch */
    uint64_t signature_hash, hash_key;
    uint32_t group;            /* id, or PW_SERIES_NONE */
    uint32_t *id;              /* [types_count]; NONE where missing or not needed */
    struct pw_labels *missing; /* [types_count], final labels in scratch; NULL: none is missing */
};

/* Looks up; changes nothing. stat says which types have rows. */
PW_MUST_USE int pw_series_plan(const struct pw_series_index *ix, struct pw_head_mem *mem,
                               uint64_t hash_key, const struct pw_record *rec,
                               const struct pw_record_series *rs,
                               const struct pw_samples_stat *stat, struct pw_series_plan *plan);
/* How many of the plan's series would become active that are not. */
uint64_t pw_series_newly_active(const struct pw_series_index *ix, const struct pw_activity *a,
                                const struct pw_samples_stat *stat, uint32_t types_count,
                                const struct pw_series_plan *plan);
/* Creates what is missing; afterwards plan->id is complete. PW_ENOMEM leaves series behind that no
 * row uses: take them back with pw_series_undo. */
PW_MUST_USE int pw_series_create(struct pw_series_index *ix, struct pw_head_mem *mem,
                                 const struct pw_samples_stat *stat, uint32_t types_count,
                                 struct pw_series_plan *plan);
/* Removes all series from id `count` on, and what the plans' groups know of them. */
void pw_series_undo(struct pw_series_index *ix, struct pw_head_mem *mem, uint32_t count,
                    const struct pw_series_plan *plan, uint32_t plans);
/* A row of this series was written. */
void pw_series_touch(struct pw_series_index *ix, struct pw_activity *a, uint32_t id);

#endif
