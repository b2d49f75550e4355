/* query/routes.h - which path is answered by whom.
 *
 * Purpose  the one table of RPC methods and GET paths (contract read-path.md 1).
 * Owner    constants.
 * Context  look-up: hot (pure); handlers: cold.
 * Units    -
 * Errors   handlers return 0, or PW_EINVAL with the error in the call.
 * Limits   -
 */
#ifndef PW_QUERY_ROUTES_H
#define PW_QUERY_ROUTES_H

#include "query/call.h"

struct pw_rpc {
    const char *path;
    const char *type;                          /* the request's type in error texts */
    const ProtobufCMessageDescriptor *request; /* NULL: the body does not matter */
    int (*handle)(struct pw_call *c, const ProtobufCMessage *req);
};

struct pw_get {
    const char *path;
    bool wants_tenant;
    int (*handle)(struct pw_call *c, struct pw_query_reply *rep);
};

/* NULL when the path is not one of them. */
const struct pw_rpc *pw_routes_rpc(struct pw_slice path);
const struct pw_get *pw_routes_get(struct pw_slice path);

/* Small answers, misc.c. */
/* Oldest and newest time of this appliance's profiles of all tenants of the call. */
void pw_misc_times(const struct pw_call *c, int64_t *min_ns, int64_t *max_ns, bool *any);
int pw_misc_profile_stats(struct pw_call *c, const ProtobufCMessage *req);
int pw_misc_analyze_query(struct pw_call *c, const ProtobufCMessage *req);
int pw_misc_flush(struct pw_call *c, const ProtobufCMessage *req);
int pw_misc_version(struct pw_call *c, const ProtobufCMessage *req);
int pw_misc_feature_flags(struct pw_call *c, const ProtobufCMessage *req);
int pw_misc_github_app(struct pw_call *c, const ProtobufCMessage *req);
int pw_misc_vcs(struct pw_call *c, const ProtobufCMessage *req);
int pw_misc_buildinfo(struct pw_call *c, struct pw_query_reply *rep);

/* The page, page.c. */
int pw_page_index(struct pw_call *c, struct pw_query_reply *rep);
int pw_page_script(struct pw_call *c, struct pw_query_reply *rep);
int pw_page_style(struct pw_call *c, struct pw_query_reply *rep);
int pw_page_icon(struct pw_call *c, struct pw_query_reply *rep);
int pw_page_redirect(struct pw_call *c, struct pw_query_reply *rep);

#endif
