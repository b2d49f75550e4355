/* query/settings.h - what front ends keep for themselves: name/value pairs per tenant.
 *
 * Purpose  settings.v1 Get, Set, Delete (contract read-path.md 1.3). In memory: they end with the
 *          process until there is object storage to keep them in.
 * Owner    struct pw_settings is shared by the query threads and has its own lock.
 * Context  cold; may block for the length of a copy.
 * Units    modified_at in ms.
 * Errors   PW_EEXIST: a newer value is stored already; PW_ENOSPC: the limits; PW_ENOMEM.
 * Limits   PW_SETTINGS_MAX pairs, PW_SETTINGS_VALUE_BYTES_MAX each, all tenants together.
 */
#ifndef PW_QUERY_SETTINGS_H
#define PW_QUERY_SETTINGS_H

#include "query/call.h"

enum {
    PW_SETTINGS_MAX = 1024,
    PW_SETTINGS_VALUE_BYTES_MAX = 64 << 10,
};

PW_MUST_USE int pw_settings_create_cold(struct pw_settings **s);
void pw_settings_destroy_cold(struct pw_settings *s);

/* RPC handlers. */
int pw_settings_get(struct pw_call *c, const ProtobufCMessage *req);
int pw_settings_set(struct pw_call *c, const ProtobufCMessage *req);
int pw_settings_delete(struct pw_call *c, const ProtobufCMessage *req);

#endif
