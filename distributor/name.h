/* distributor/name.h - the `name` parameter of /ingest: app{k=v,k2=v2}.
 *
 * Purpose  grammar of contract write-path.md 1.3.
 * Owner    pure; slices point into the input.
 * Context  hot.
 * Units    bytes.
 * Errors   PW_EINVAL with the client text (prefixed "name: "), PW_ENOSPC for more labels than cap.
 * Limits   PW_LABELS_MAX by the caller's array.
 */
#ifndef PW_DISTRIBUTOR_NAME_H
#define PW_DISTRIBUTOR_NAME_H

#include "pprof/labels.h"

struct pw_name {
    struct pw_slice app;     /* __name__=... in the braces overrides what stood before them */
    struct pw_labels labels; /* keys as sent, last one wins, in order of first appearance */
};

/* n->labels.pair and .cap are the caller's. */
PW_MUST_USE int pw_name_parse(struct pw_name *n, struct pw_slice s, struct pw_text *err);

#endif
