/* store/objstore/objstore.h - a bucket: put, get a range, stat, list, delete.
 *
 * Purpose  one door to object storage; the backends are fs.c (a shared directory) and s3.c.
 * Owner    a handle is one thread's at a time. Only pw_objstore_stats may be called from another thread
 *          meanwhile.
 * Context  blocking: storage and query threads, never a polling core.
 * Units    bytes; modification times in ns since 1970.
 * Errors   0 or: PW_ENOENT no such object; PW_EPERM credentials or rights; PW_EIO the storage failed
 *          after all attempts; PW_ETIMEDOUT it did not answer; PW_EINVAL a bad key or configuration;
 *          PW_ERANGE a range outside of the object; PW_EMSGSIZE more than the caller allowed;
 *          PW_ENOSPC the disk is full. `why` then holds one line for people that names the bucket.
 * Limits   PW_OBJECT_KEY_MAX; keys are relative paths without empty, "." or ".." segments
 *          (contract storage.md 6).
 */
#ifndef PW_STORE_OBJSTORE_OBJSTORE_H
#define PW_STORE_OBJSTORE_OBJSTORE_H

#include "base/err.h"
#include "base/text.h"
#include "base/types.h"

#include <stdatomic.h>

enum { PW_OBJECT_KEY_MAX = 1024, PW_OBJSTORE_WHY_MAX = 512 };

enum pw_objstore_backend { PW_OBJSTORE_NONE, PW_OBJSTORE_FILESYSTEM, PW_OBJSTORE_S3 };
enum pw_s3_lookup { PW_S3_LOOKUP_AUTO, PW_S3_LOOKUP_PATH, PW_S3_LOOKUP_VIRTUAL };

struct pw_s3_cfg {
    const char *endpoint; /* host[:port], no scheme */
    const char *bucket;
    const char *region; /* "": asked of the server once */
    const char *access_key_id;
    const char *secret_access_key;
    const char *ca_path; /* PEM file of authorities; "": the system's */
    enum pw_s3_lookup lookup;
    bool insecure; /* http instead of https */
};

struct pw_objstore_cfg { /* strings are borrowed for the life of the handle */
    enum pw_objstore_backend backend;
    const char *prefix; /* prepended to every key; "" none */
    const char *filesystem_dir;
    struct pw_s3_cfg s3;
    const atomic_bool *stop; /* NULL, or true: give up between attempts with PW_ETIMEDOUT */
    uint32_t
        patience_ms; /* for one operation with all its attempts, then PW_ETIMEDOUT; 0: as long as those take */
};

struct pw_object_info {
    uint64_t size;
    int64_t mtime_ns;
};

/* What a listing finds. A key that ends in '/' is a common prefix ("directory"), then info is zero.
 * Returns 0 to go on; anything else ends the listing, which returns it. */
typedef int pw_objstore_found_fn(void *arg, const char *key, const struct pw_object_info *info);

/* The reason of the last failure, one line, always terminated. */
struct pw_objstore_why {
    char text[PW_OBJSTORE_WHY_MAX];
};

enum pw_objstore_op {
    PW_OBJSTORE_OP_PUT,
    PW_OBJSTORE_OP_GET,
    PW_OBJSTORE_OP_STAT,
    PW_OBJSTORE_OP_LIST,
    PW_OBJSTORE_OP_DELETE,
    PW_OBJSTORE_OPS,
};

struct pw_objstore_stats {
    uint64_t done[PW_OBJSTORE_OPS];
    uint64_t failed[PW_OBJSTORE_OPS]; /* PW_ENOENT does not count */
    uint64_t retries;
    uint64_t bytes_put, bytes_got;
};

struct pw_objstore;

PW_MUST_USE int pw_objstore_open(struct pw_objstore **s, const struct pw_objstore_cfg *cfg,
                                 struct pw_objstore_why *why);
/* Another handle of the same bucket, for another thread; to be closed before the first, whose statistics then
 * have what it did. */
PW_MUST_USE int pw_objstore_open_twin(struct pw_objstore **twin, struct pw_objstore *s,
                                      struct pw_objstore_why *why);
void pw_objstore_close(struct pw_objstore *s);

/* One listing, at start: wrong credentials, a missing bucket or an unreachable endpoint show here. */
PW_MUST_USE int pw_objstore_check(struct pw_objstore *s, struct pw_objstore_why *why);

/* All or nothing: readers never see a part of it. */
PW_MUST_USE int pw_objstore_put(struct pw_objstore *s, const char *key, struct pw_slice body,
                                struct pw_objstore_why *why);
/* The file must not change meanwhile (it is mapped). */
PW_MUST_USE int pw_objstore_put_file(struct pw_objstore *s, const char *key, const char *path,
                                     struct pw_objstore_why *why);
/* Appends the bytes [from, from + len) to `out`, fewer at the end of the object; len UINT64_MAX: all
 * that follows. PW_ERANGE when `from` is not inside of it, PW_EMSGSIZE when out's limit is passed. */
PW_MUST_USE int pw_objstore_get(struct pw_objstore *s, const char *key, uint64_t from, uint64_t len,
                                struct pw_text *out, struct pw_objstore_why *why);
PW_MUST_USE int pw_objstore_stat(struct pw_objstore *s, const char *key,
                                 struct pw_object_info *info, struct pw_objstore_why *why);
/* Keys below the directory `dir` ("" or ending in '/'), ascending. deep: every object, else one level
 * with common prefixes. A directory that does not exist is empty. */
PW_MUST_USE int pw_objstore_list(struct pw_objstore *s, const char *dir, bool deep,
                                 pw_objstore_found_fn *found, void *arg,
                                 struct pw_objstore_why *why);
/* An object that is not there is deleted already: 0. */
PW_MUST_USE int pw_objstore_delete(struct pw_objstore *s, const char *key,
                                   struct pw_objstore_why *why);

void pw_objstore_stats(const struct pw_objstore *s, struct pw_objstore_stats *st);
const char *pw_objstore_op_name(enum pw_objstore_op op);

#endif
