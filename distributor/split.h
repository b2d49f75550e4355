/* distributor/split.h - one pushed profile to the series it belongs to, by its sample labels.
 *
 * Purpose  contract write-path.md 4: string sample labels become series labels (span and trace ids
 *          stay on the samples), groups are relabelled, equal ones merged, all validated.
 * Owner    everything lies in the caller's scratch; slices point into the profile and its labels.
 * Context  hot; the usual profile (no sample labels) is one group of all samples.
 * Units    -
 * Errors   a reason with the client's text, for the whole profile.
 * Limits   one group per distinct label set at most.
 */
#ifndef PW_DISTRIBUTOR_SPLIT_H
#define PW_DISTRIBUTOR_SPLIT_H

#include "distributor/connect.h"
#include "distributor/limits.h"
#include "distributor/relabel.h"
#include "pprof/record.h"

struct pw_split_group {
    struct pw_labels labels; /* final, sorted; __delta__ and __order__ still in it */
    uint32_t *sample;        /* indices into profile->sample; NULL: all of them */
    uint32_t *span;          /* NULL when no sample of the profile has one */
    uint32_t sample_count;
    uint32_t pad;
};

struct pw_split {
    struct pw_split_group *group;
    uint32_t group_count; /* groups that are stored; 0: dropped by relabelling */
    uint32_t span_count;
    struct pw_record_span_id *span;
    uint32_t samples_dropped; /* by relabelling */
    uint64_t names_sanitized;
    bool whole; /* one group, and it has every sample, without spans */
};

struct pw_split_source {
    const struct pw_profile *profile; /* normalised */
    const struct pw_labels *labels;   /* of the series, sorted */
    const struct pw_limits *limits;
    const struct pw_relabel_config *relabel;
};

PW_MUST_USE enum pw_reason pw_split(struct pw_split *out, const struct pw_split_source *src,
                                    struct pw_scratch *scratch, struct pw_text *err);

#endif
