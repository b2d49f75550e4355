/* base/json.h - streaming JSON writer, and base64 in.
 *
 * Purpose  large answers (flame graphs, series) go out without a tree in memory.
 * Owner    the caller owns the pw_text below.
 * Context  cold (query, control); with a fixed pw_text also fit for a polling core.
 * Units    -
 * Errors   those of pw_text (sticky `failed`). Unbalanced calls are a broken invariant.
 * Limits   PW_JSON_DEPTH_MAX.
 */
#ifndef PW_BASE_JSON_H
#define PW_BASE_JSON_H

#include "base/text.h"

enum { PW_JSON_DEPTH_MAX = 64 };

struct pw_json {
    struct pw_text *t;
    uint32_t depth;
    uint64_t has_items; /* bit d: the container at depth d has an element already */
    bool after_key;
};

void pw_json_init(struct pw_json *j, struct pw_text *t);
void pw_json_object(struct pw_json *j);
void pw_json_object_end(struct pw_json *j);
void pw_json_array(struct pw_json *j);
void pw_json_array_end(struct pw_json *j);
void pw_json_key(struct pw_json *j, const char *name); /* a literal that needs no escape */
void pw_json_key_slice(struct pw_json *j, struct pw_slice name);
void pw_json_str(struct pw_json *j, struct pw_slice s);
void pw_json_cstr(struct pw_json *j, const char *s);
void pw_json_i64(struct pw_json *j, int64_t v);        /* a JSON number */
void pw_json_i64_string(struct pw_json *j, int64_t v); /* "123": how proto3 JSON writes 64 bits */
void pw_json_u64_string(struct pw_json *j, uint64_t v);
void pw_json_double(struct pw_json *j, double v); /* shortest form that reads back equal */
void pw_json_bool(struct pw_json *j, bool v);
void pw_json_null(struct pw_json *j);
void pw_json_base64(struct pw_json *j, struct pw_slice s);

/* Decodes base64 (standard or URL alphabet, padding optional, as protobuf JSON accepts) into out
 * (cap >= in.len / 4 * 3 + 3). Returns 0 and *out_len, or -PW_EINVAL as PW_EINVAL. */
PW_MUST_USE int pw_base64_decode(struct pw_slice in, uint8_t *out, size_t cap, size_t *out_len);

#endif
