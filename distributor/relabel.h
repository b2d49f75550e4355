/* distributor/relabel.h - ingestion relabelling: Prometheus relabel_config rules, compiled once.
 *
 * Purpose  the default rules of contract write-path.md 4 and the tenant's own, applied to the labels
 *          of one series.
 * Owner    a config is immutable once compiled and shared by all workers.
 * Context  compile, release: cold. apply: hot; no allocation but what RE2 does for a rule whose
 *          regex is neither literal nor literal followed by (.*) nor one hyperscan takes.
 * Units    labels.
 * Errors   compile: text of the first bad rule. apply: PW_ENOMEM when scratch is exhausted,
 *          PW_ENOSPC when labels has no room.
 * Limits   PW_RELABEL_RULES_MAX, PW_RELABEL_SOURCES_MAX.
 */
#ifndef PW_DISTRIBUTOR_RELABEL_H
#define PW_DISTRIBUTOR_RELABEL_H

#include "base/err.h"
#include "base/scratch.h"
#include "base/types.h"
#include "pprof/labels.h"

enum { PW_RELABEL_RULES_MAX = 256, PW_RELABEL_SOURCES_MAX = 16 };

enum pw_relabel_action {
    PW_RELABEL_REPLACE,
    PW_RELABEL_KEEP,
    PW_RELABEL_DROP,
    PW_RELABEL_KEEPEQUAL,
    PW_RELABEL_DROPEQUAL,
    PW_RELABEL_HASHMOD,
    PW_RELABEL_LABELMAP,
    PW_RELABEL_LABELDROP,
    PW_RELABEL_LABELKEEP,
    PW_RELABEL_LOWERCASE,
    PW_RELABEL_UPPERCASE,
};

/* One rule as configured; NULL means the default of Prometheus (";", "(.*)", "$1", replace). */
struct pw_relabel_rule {
    const char *source_labels[PW_RELABEL_SOURCES_MAX];
    uint32_t source_count;
    const char *separator;
    const char *regex;
    uint64_t modulus;
    const char *target_label;
    const char *replacement;
    enum pw_relabel_action action;
};

/* ingestion_relabeling_default_rules_position */
enum pw_relabel_position { PW_RELABEL_FIRST, PW_RELABEL_LAST, PW_RELABEL_DISABLED };

struct pw_relabel_config;

/* Gives *out (strings are copied). 0; PW_EINVAL with err_text; PW_ENOMEM. */
PW_MUST_USE int pw_relabel_compile_cold(const struct pw_relabel_rule *rules, uint32_t count,
                                        enum pw_relabel_position position,
                                        struct pw_relabel_config **out, char *err_text,
                                        size_t err_cap);
/* Frees c unless it is `shared` (the defaults' config in a tenant's copy) or NULL. */
void pw_relabel_release_cold(struct pw_relabel_config *c, const struct pw_relabel_config *shared);
/* "replace", "keep", ...; PW_EINVAL for no such action. */
PW_MUST_USE int pw_relabel_action_parse(const char *name, enum pw_relabel_action *action);

enum pw_relabel_verdict { PW_RELABEL_KEPT = 1, PW_RELABEL_DROPPED = 2 };

/* Applies all rules to l, whose array must have room; new bytes go to scratch. l is sorted on return
 * and holds no label with an empty value. Gives enum pw_relabel_verdict or a negative enum pw_err. */
PW_MUST_USE int pw_relabel_apply(const struct pw_relabel_config *c, struct pw_labels *l,
                                 struct pw_scratch *scratch);

#endif
