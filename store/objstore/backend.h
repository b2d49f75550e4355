/* store/objstore/backend.h - what a backend provides; included by objstore.c and the backends alone.
 *
 * Purpose  the table behind objstore.h. Keys arrive checked, with the configured prefix.
 * Owner    ctx is the backend's, freed by close.
 * Context  as objstore.h.
 * Units    as objstore.h.
 * Errors   as objstore.h; a backend fills `why`.
 * Limits   -
 */
#ifndef PW_STORE_OBJSTORE_BACKEND_H
#define PW_STORE_OBJSTORE_BACKEND_H

#include "store/objstore/objstore.h"

struct pw_objstore_ops {
    int (*check)(void *ctx, struct pw_objstore_why *why);
    int (*put)(void *ctx, const char *key, struct pw_slice body, struct pw_objstore_why *why);
    int (*get)(void *ctx, const char *key, uint64_t from, uint64_t len, struct pw_text *out,
               struct pw_objstore_why *why);
    int (*stat)(void *ctx, const char *key, struct pw_object_info *info,
                struct pw_objstore_why *why);
    int (*list)(void *ctx, const char *dir, bool deep, pw_objstore_found_fn *found, void *arg,
                struct pw_objstore_why *why);
    int (*remove)(void *ctx, const char *key, struct pw_objstore_why *why);
    uint64_t (*retries)(const void *ctx);
    void (*close)(void *ctx);
};

PW_MUST_USE int pw_objstore_fs_open(void **ctx, const struct pw_objstore_ops **ops,
                                    const struct pw_objstore_cfg *cfg, struct pw_objstore_why *why);
PW_MUST_USE int pw_objstore_s3_open(void **ctx, const struct pw_objstore_ops **ops,
                                    const struct pw_objstore_cfg *cfg, struct pw_objstore_why *why);

/* Writes the reason and returns err. */
int pw_objstore_fail(struct pw_objstore_why *why, int err, const char *fmt, ...) PW_PRINTF(3, 4);

#endif
