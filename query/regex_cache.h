/* query/regex_cache.h - regular expressions of one query thread, compiled once.
 *
 * Purpose  a dashboard asks the same selectors again and again; compiling is most of such a query.
 * Owner    the thread; an expression is valid until pw_regex_cache_trim.
 * Context  cold.
 * Units    -
 * Errors   of pw_regex_compile_cold, with its text; PW_ENOMEM.
 * Limits   PW_REGEX_BYTES_MAX a pattern; PW_REGEX_CACHE_MAX expressions from query to query.
 */
#ifndef PW_QUERY_REGEX_CACHE_H
#define PW_QUERY_REGEX_CACHE_H

#include "base/err.h"
#include "base/regex.h"
#include "base/types.h"

enum { PW_REGEX_CACHE_MAX = 64 };

/* Compiled expressions of one query thread, most recently used first. */
struct pw_regex_cache {
    struct pw_regex_cache_entry *entry; /* linked list */
    struct pw_regex_scratch *scratch;
};

PW_MUST_USE int pw_regex_cache_init_cold(struct pw_regex_cache *c);
void pw_regex_cache_fini_cold(struct pw_regex_cache *c);
/* Between queries: forgets all but the last PW_REGEX_CACHE_MAX expressions. */
void pw_regex_cache_trim(struct pw_regex_cache *c);
PW_MUST_USE int pw_regex_cache_get(struct pw_regex_cache *c, struct pw_slice pattern,
                                   const struct pw_regex **out, char *err_text, size_t err_cap);

#endif
