/* query/selector.h - label selectors: Prometheus' metric-selector grammar, and matching.
 *
 * Purpose  `name{a="b", c=~"d.*", "utf8.name"!="e"}` to matchers (contract read-path.md 2.1), with
 *          the error texts clients know; the same for the query of /pyroscope/render.
 * Owner    matchers live in the query's arena; compiled expressions in the thread's cache, valid
 *          until pw_regex_cache_trim.
 * Context  cold.
 * Units    positions in errors are line:column in bytes, from 1.
 * Errors   PW_EINVAL with the text in err; PW_ENOMEM.
 * Limits   PW_SELECTOR_MATCHERS_MAX.
 */
#ifndef PW_QUERY_SELECTOR_H
#define PW_QUERY_SELECTOR_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"
#include "ingester/head.h"
#include "query/arena.h"
#include "query/regex_cache.h"

enum { PW_SELECTOR_MATCHERS_MAX = 256 };

enum pw_match_op {
    PW_MATCH_OP_EQ,  /* =  */
    PW_MATCH_OP_NE,  /* != */
    PW_MATCH_OP_RE,  /* =~ */
    PW_MATCH_OP_NRE, /* !~ */
};

struct pw_matcher {
    enum pw_match_op op;
    struct pw_slice name;
    struct pw_slice value;
    const struct pw_regex *regex; /* for =~ and !~ */
};

struct pw_selector {
    struct pw_matcher *matcher; /* all must hold */
    uint32_t count;
};

/* Adds the matchers of text to *sel (several texts are ANDed by calling again). */
PW_MUST_USE int pw_selector_parse(struct pw_selector *sel, struct pw_slice text, struct pw_arena *a,
                                  struct pw_regex_cache *cache, struct pw_text *err);

/* Labels sorted by name. A missing label is the empty string. */
bool pw_selector_matches(const struct pw_selector *sel, const struct pw_regex_cache *cache,
                         const struct pw_label_pair *label, uint32_t label_count);
/* Value of a label, or an empty slice with ptr == NULL. */
struct pw_slice pw_selector_label(const struct pw_label_pair *label, uint32_t label_count,
                                  struct pw_slice name);

#endif
