/* distributor/pprof_form.h - what is particular to pprof over /ingest (write-path.md 1.3.2).
 *
 * Purpose  the multipart form, __name__ from the sample types, and the fix-ups before the common path.
 * Owner    slices point into the body or the caller's scratch.
 * Context  hot.
 * Units    -
 * Errors   PW_EINVAL with the parser's text (the caller adds the prefix), PW_ENOMEM.
 * Limits   PW_SAMPLE_TYPE_CONFIG_MAX entries.
 */
#ifndef PW_DISTRIBUTOR_PPROF_FORM_H
#define PW_DISTRIBUTOR_PPROF_FORM_H

#include "base/scratch.h"
#include "base/text.h"
#include "pprof/profile.h"

enum { PW_SAMPLE_TYPE_CONFIG_MAX = 64 };

struct pw_sample_type_config {
    bool given; /* a config was sent: the built-in renames do not apply */
    uint32_t count;
    struct pw_slice name[PW_SAMPLE_TYPE_CONFIG_MAX];
    struct pw_slice display_name[PW_SAMPLE_TYPE_CONFIG_MAX];
};

struct pw_pprof_form {
    struct pw_slice profile; /* empty: nothing to store */
    struct pw_sample_type_config config;
};

/* Reads a multipart body; text as it follows "parsing IngestInput-pprof failed ". */
PW_MUST_USE int pw_pprof_form_parse(struct pw_pprof_form *f, struct pw_slice content_type,
                                    struct pw_slice body, struct pw_scratch *scratch,
                                    struct pw_text *err);

/* __name__ of the series; borrowed from p or static. */
struct pw_slice pw_pprof_metric_name(const struct pw_profile *p,
                                     const struct pw_sample_type_config *c);

/* Fix-ups 1-3: time_nanos of 1970, scripting languages, dotnet. 0 or PW_ENOMEM. */
PW_MUST_USE int pw_pprof_fix(struct pw_profile *p, struct pw_slice spy_name, int64_t from_ns,
                             const struct pw_sample_type_config *c);
/* Whether they leave more than the time of such a profile changed. */
bool pw_pprof_fixes(struct pw_slice spy_name, const struct pw_sample_type_config *c);

#endif
