/* base/re2_shim.h - the few RE2 calls base/regex.c needs, in C.
 *
 * Purpose  RE2 is C++; this is the only place that knows.
 * Owner    private to base/regex.c.
 * Context  cold; matching may allocate inside RE2.
 * Units    bytes.
 * Errors   new returns NULL and writes Go's wording of the error, or "" when memory ran out.
 * Limits   mem_bytes_max for one expression and its automata.
 */
#ifndef PW_BASE_RE2_SHIM_H
#define PW_BASE_RE2_SHIM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pw_re2;

struct pw_re2_group {
    const char *ptr; /* NULL when the group took no part */
    size_t len;
};

struct pw_re2 *pw_re2_new(const char *pattern, size_t len, size_t mem_bytes_max, char *err_text,
                          size_t err_cap);
void pw_re2_free(struct pw_re2 *re);
/* Instructions of the compiled program: a measure of how complicated the expression is. */
int pw_re2_program_size(const struct pw_re2 *re);
int pw_re2_groups(const struct pw_re2 *re);
bool pw_re2_match(const struct pw_re2 *re, const char *s, size_t len, struct pw_re2_group *group,
                  int groups);

#ifdef __cplusplus
}
#endif

#endif
