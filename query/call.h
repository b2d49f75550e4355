/* query/call.h - one request being answered: what every handler gets, and how it fails.
 *
 * Purpose  context of a handler (tenants, limits, codec, memory) and the error it may set, as the
 *          Connect protocol words it (contract read-path.md 5).
 * Owner    one query thread, for one request.
 * Context  cold.
 * Units    times in ms.
 * Errors   pw_call_fail records the first error and returns PW_EINVAL, so that a handler can
 *          `return pw_call_fail(...)`.
 * Limits   PW_CALL_TENANTS_MAX; PW_QUERY_MEMORY_BYTES_MAX of arena.
 */
#ifndef PW_QUERY_CALL_H
#define PW_QUERY_CALL_H

#include "base/text.h"
#include "query/api.h"
#include "query/arena.h"
#include "query/codec.h"
#include "query/selector.h"

struct libdeflate_compressor;
struct libdeflate_decompressor;
struct pw_settings;

enum {
    PW_CALL_TENANTS_MAX = 64,
    PW_CALL_ERR_BYTES_MAX = 16 << 10,
};
#define PW_QUERY_MEMORY_BYTES_MAX ((size_t)4 << 30)

enum pw_connect_code {
    PW_CONNECT_CODE_OK = 0,
    PW_CONNECT_CODE_CANCELED,
    PW_CONNECT_CODE_UNKNOWN,
    PW_CONNECT_CODE_INVALID_ARGUMENT,
    PW_CONNECT_CODE_DEADLINE_EXCEEDED,
    PW_CONNECT_CODE_NOT_FOUND,
    PW_CONNECT_CODE_ALREADY_EXISTS,
    PW_CONNECT_CODE_RESOURCE_EXHAUSTED,
    PW_CONNECT_CODE_UNIMPLEMENTED,
    PW_CONNECT_CODE_INTERNAL,
    PW_CONNECT_CODE_UNAVAILABLE,
    PW_CONNECT_CODE_UNAUTHENTICATED,
};

struct pw_query {
    struct pw_query_cfg cfg;
    struct pw_settings *settings;
};

struct pw_query_thread {
    struct pw_query *q;
    struct pw_arena arena;
    struct pw_regex_cache regex;
    struct libdeflate_compressor *deflate;
    struct libdeflate_decompressor *inflate;
    void *peers; /* what cfg.peers keeps for this thread */
};

/* What a call has to give back when it ends: an open block cursor, symbols of a partition, a block in
 * use. The last one held is given back first. */
struct pw_call_held {
    struct pw_call_held *next;
    const struct pw_block *block;
    const struct pw_block_symbols *symbols;
    const struct pw_block *used;
    struct pw_block_cursor *rows;
};

struct pw_call {
    struct pw_query_thread *t;
    struct pw_arena *arena; /* of the thread; reset after the answer */
    const struct pw_query_request *req;
    struct pw_slice tenant[PW_CALL_TENANTS_MAX]; /* sorted, distinct */
    uint32_t tenant_count;
    struct pw_query_limits limits;
    const struct pw_catalog_view *sources; /* one generation for the whole request */
    struct pw_call_held *held;
    bool of_peer;    /* another appliance asks: it asks the others itself */
    bool is_json;    /* codec of the request, and so of the answer */
    bool utf8_names; /* the client takes label names that are not [a-zA-Z_][a-zA-Z0-9_]* */
    struct pw_text out;
    enum pw_connect_code code;
    struct pw_text err;
};

const char *pw_connect_code_name(enum pw_connect_code code);
uint16_t pw_connect_code_status(enum pw_connect_code code);

int pw_call_fail(struct pw_call *c, enum pw_connect_code code, const char *fmt, ...)
    PW_PRINTF(3, 4);
/* The one answer to exhausted memory, which the arena's is too once the call stops. */
int pw_call_no_memory(struct pw_call *c);
/* True: nobody waits for the answer any more, and that is the error now. Asked before each piece of work. */
bool pw_call_stops(struct pw_call *c);
/* A new entry of c->held; NULL: no memory. */
struct pw_call_held *pw_call_hold(struct pw_call *c);
/* Gives back what the entry holds now. */
void pw_call_let_go(struct pw_call_held *h);
/* A block that cannot be read: the answer is an error that names it. */
int pw_call_block_failed(struct pw_call *c, const struct pw_block *b,
                         const struct pw_block_error *err);
/* Encodes msg as the answer. 0. */
int pw_call_answer(struct pw_call *c, const ProtobufCMessage *msg);
/* Value of a request header, ptr == NULL when absent. */
struct pw_slice pw_call_header(const struct pw_query_request *req, const char *name);

#endif
