/* base/regex.h - label regular expressions with RE2 meaning, linear time always.
 *
 * Purpose  one compiled, fully anchored expression; matching by hyperscan where it can express it,
 *          by RE2 otherwise; captures (relabel replacements) by RE2.
 * Owner    compiled once off the polling cores, then immutable and shared; scratch is per thread.
 * Context  compile: cold (allocates, takes milliseconds). match: no allocation through hyperscan;
 *          RE2 may allocate its lazy automaton, so polling cores only use expressions for which
 *          pw_regex_is_hyperscan holds or accept the cost knowingly.
 * Units    subjects are bytes (labels need not be UTF-8).
 * Errors   compile writes Go's RE2 wording, e.g. missing closing ): `(`, into err_text.
 * Limits   PW_REGEX_BYTES_MAX; RE2 memory budget of 8 MiB an expression.
 */
#ifndef PW_BASE_REGEX_H
#define PW_BASE_REGEX_H

#include "base/err.h"
#include "base/types.h"

enum { PW_REGEX_BYTES_MAX = 4096, PW_REGEX_GROUPS_MAX = 16 };

struct pw_regex;
struct pw_regex_scratch;

/* Gives *out. 0, PW_EINVAL (err_text says why), PW_EMSGSIZE, PW_ENOMEM. */
PW_MUST_USE int pw_regex_compile_cold(struct pw_slice pattern, struct pw_regex **out,
                                      char *err_text, size_t err_cap);
void pw_regex_free_cold(struct pw_regex *re);
/* Scratch of one thread; grows to fit every expression passed to pw_regex_scratch_fit_cold. */
struct pw_regex_scratch *pw_regex_scratch_new_cold(void);
PW_MUST_USE int pw_regex_scratch_fit_cold(struct pw_regex_scratch *s, const struct pw_regex *re);
void pw_regex_scratch_free_cold(struct pw_regex_scratch *s);

bool pw_regex_is_hyperscan(const struct pw_regex *re);
/* True when the whole subject matches. */
bool pw_regex_match(const struct pw_regex *re, struct pw_regex_scratch *s, struct pw_slice subject);
/* Whole-subject match with captures: groups[0] is the match. Returns the number of groups set, 0
 * for no match. Unset groups are empty slices. Always RE2. */
uint32_t pw_regex_captures(const struct pw_regex *re, struct pw_slice subject,
                           struct pw_slice groups[PW_REGEX_GROUPS_MAX]);

#endif
