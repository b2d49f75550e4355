/* distributor/json_read.h - a strict pull reader of JSON text (RFC 8259) in one piece of memory.
 *
 * Purpose  push bodies in JSON and sample_type_config, without a tree and without allocation.
 * Owner    pure; strings come back as the bytes between the quotes, unescaped on demand.
 * Context  hot enough: one pass, no recursion.
 * Units    bytes.
 * Errors   every call returns false after the first error; j->err says why, in words that follow
 *          "proto: " or stand alone.
 * Limits   PW_JSON_READ_DEPTH_MAX levels.
 */
#ifndef PW_DISTRIBUTOR_JSON_READ_H
#define PW_DISTRIBUTOR_JSON_READ_H

#include "base/scratch.h"
#include "base/types.h"

enum { PW_JSON_READ_DEPTH_MAX = 64 };

struct pw_json_read {
    const uint8_t *p;
    const uint8_t *end;
    const uint8_t *start;
    const char *err;
    struct pw_fiber *fiber; /* for checkpoints in long text; NULL: none */
};

struct pw_json_string {
    struct pw_slice raw; /* between the quotes */
    bool escaped;
};

void pw_json_read_init(struct pw_json_read *j, struct pw_slice s, struct pw_fiber *fiber);
/* First byte of the next value, 0 at the end; white space is skipped. */
uint8_t pw_json_read_peek(struct pw_json_read *j);
/* Consumes c (one of { } [ ] : ,) after white space. */
bool pw_json_read_char(struct pw_json_read *j, char c);
bool pw_json_read_string(struct pw_json_read *j, struct pw_json_string *s);
bool pw_json_read_null(struct pw_json_read *j);
/* Skips one value of any kind, checking its syntax. */
bool pw_json_read_skip(struct pw_json_read *j);
/* Nothing but white space is left. */
bool pw_json_read_end(struct pw_json_read *j);
/* After a value inside a container: true when a comma follows (consumed), false at `close`
 * (consumed) or on error. */
bool pw_json_read_more(struct pw_json_read *j, char close);

/* The string's value; copied into scratch when it holds escapes. False: bad escape or no room. */
bool pw_json_unescape(struct pw_json_read *j, struct pw_json_string s, struct pw_scratch *scratch,
                      struct pw_slice *out);

#endif
