#include "distributor/distributor.h"

#include <stdlib.h>

struct pw_distributor {
    struct pw_distributor_cfg cfg;
};

static const char *const owned_paths[] = {
    "/push.v1.PusherService/Push",
    "/ingest",
    "/pyroscope/ingest",
    "/v1development/profiles",
    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
};

int
pw_distributor_create_ctl(struct pw_distributor **d, const struct pw_distributor_cfg *cfg)
{
    struct pw_distributor *n = calloc(1, sizeof(*n));

    if (n == NULL) {
        return PW_ENOMEM;
    }
    n->cfg = *cfg;
    *d = n;
    return 0;
}

void
pw_distributor_destroy_ctl(struct pw_distributor *d)
{
    free(d);
}

void
pw_distributor_bind_http_ctl(struct pw_distributor *d, struct pw_http_server *http)
{
    d->cfg.http = http;
}

bool
pw_distributor_owns_path(struct pw_slice path)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(owned_paths); i++) {
        if (pw_slice_eq_str(path, owned_paths[i])) {
            return true;
        }
    }
    return false;
}

/* Until the routes land (next commits) every request is refused honestly. */
static void
refuse(struct pw_distributor *d, uint64_t conn)
{
    struct pw_http_reply rep = {
        .status = 501,
        .content_type = "application/json",
        .body = PW_SLICE_LIT("{\"code\":\"unimplemented\",\"message\":\"push is not built yet\"}"),
    };

    (void)pw_http_reply(d->cfg.http, conn, &rep);
}

void
pw_distributor_head(struct pw_distributor *d, const struct pw_http_request *req,
                    struct pw_http_verdict *v)
{
    refuse(d, req->conn);
    v->answered = true;
}

void
pw_distributor_request(struct pw_distributor *d, const struct pw_http_request *req)
{
    refuse(d, req->conn);
}

void
pw_distributor_body_too_large(struct pw_distributor *d, const struct pw_http_request *req,
                              uint64_t bytes_read)
{
    (void)bytes_read;
    refuse(d, req->conn);
}

void
pw_distributor_abandoned(struct pw_distributor *d, uint64_t conn)
{
    (void)d;
    (void)conn;
}

uint32_t
pw_distributor_poll(void *ctx, uint64_t now_tsc)
{
    (void)ctx;
    (void)now_tsc;
    return 0;
}

uint32_t
pw_distributor_in_flight(const struct pw_distributor *d)
{
    (void)d;
    return 0;
}

void
pw_distributor_metrics(struct pw_distributor *const *d, uint32_t n, struct pw_text *t)
{
    (void)d;
    (void)n;
    (void)t;
}
