/* distributor/relabel_rule.h - the compiled form of relabelling rules; private to relabel_*.c.
 *
 * Purpose  what relabel_compile.c writes and relabel.c reads.
 * Owner    immutable once compiled.
 * Context  -
 * Units    -
 * Errors   -
 * Limits   PW_RELABEL_RULES_MAX.
 */
#ifndef PW_DISTRIBUTOR_RELABEL_RULE_H
#define PW_DISTRIBUTOR_RELABEL_RULE_H

#include "base/regex.h"
#include "distributor/relabel.h"

/* Most rules of practice are a literal or a literal followed by (.*): those never meet a regex
 * engine. The rest goes to base/regex. */
enum pw_relabel_match {
    PW_RELABEL_MATCH_ANY,     /* "(.*)" or ".*" */
    PW_RELABEL_MATCH_LITERAL, /* no metacharacters */
    PW_RELABEL_MATCH_PREFIX,  /* literal, then (.*) or .* */
    PW_RELABEL_MATCH_REGEX,
};

struct pw_relabel_compiled {
    enum pw_relabel_action action;
    enum pw_relabel_match match;
    bool
        captures_rest; /* PW_RELABEL_MATCH_ANY, PW_RELABEL_MATCH_PREFIX: $1 is what follows the literal */
    struct pw_slice literal;
    struct pw_regex *regex;
    struct pw_slice source[PW_RELABEL_SOURCES_MAX];
    uint32_t source_count;
    struct pw_slice separator;
    struct pw_slice target;
    struct pw_slice replacement;
    uint64_t modulus;
};

struct pw_relabel_config {
    uint32_t count;
    struct pw_relabel_compiled rule[];
};

#endif
