/* query/params.h - the parameters of a URL's query.
 *
 * Purpose  `a=b&c=d` with percent and plus decoded.
 * Owner    decoded values live in the query's arena.
 * Context  cold.
 * Units    bytes.
 * Errors   a broken escape is taken as it stands.
 * Limits   PW_PARAMS_MAX; further ones are ignored.
 */
#ifndef PW_QUERY_PARAMS_H
#define PW_QUERY_PARAMS_H

#include "query/arena.h"

enum { PW_PARAMS_MAX = 64 };

struct pw_params {
    struct pw_slice name[PW_PARAMS_MAX], value[PW_PARAMS_MAX];
    uint32_t count;
};

/* False: no memory. */
bool pw_params_parse(struct pw_params *p, struct pw_slice query, struct pw_arena *a);
/* The first of that name; ptr == NULL when absent. Values end with a NUL behind them. */
struct pw_slice pw_params_get(const struct pw_params *p, const char *name);

#endif
