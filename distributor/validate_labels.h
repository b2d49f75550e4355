/* distributor/validate_labels.h - the label rules of one series, last check before it is stored.
 *
 * Purpose  contract write-path.md 3.6, in its order and words.
 * Owner    l belongs to the caller; sanitising may change it, new names go to scratch.
 * Context  hot; nothing is formatted for a good set.
 * Units    bytes.
 * Errors   a reason, with the client's text in err.
 * Limits   those of struct pw_limits.
 */
#ifndef PW_DISTRIBUTOR_VALIDATE_LABELS_H
#define PW_DISTRIBUTOR_VALIDATE_LABELS_H

#include "base/scratch.h"
#include "distributor/connect.h"
#include "distributor/limits.h"
#include "pprof/labels.h"

/* l is sorted by name and holds no empty values. *sanitized counts names that were changed. */
PW_MUST_USE enum pw_reason pw_validate_labels(struct pw_labels *l, const struct pw_limits *lim,
                                              struct pw_scratch *scratch, uint64_t *sanitized,
                                              struct pw_text *err);

#endif
