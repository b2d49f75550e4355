#include "app/bucket.h"

#include "app/parts.h"
#include "app/shipping.h"
#include "base/log.h"
#include "ingester/catalog.h"

#include <stdio.h>
#include <unistd.h>

enum { RETENTION_AGE_MS = 4 * 3600 * 1000 }; /* contract storage.md 2.5 */

static struct pw_objstore_cfg
bucket_cfg(const struct pw_config *c)
{
    return (struct pw_objstore_cfg){
        .backend = (enum pw_objstore_backend)c->storage_backend,
        .prefix = c->storage_prefix,
        .filesystem_dir = c->storage_filesystem_dir,
        .s3 = {.endpoint = c->storage_s3_endpoint,
               .bucket = c->storage_s3_bucket,
               .region = c->storage_s3_region,
               .access_key_id = c->storage_s3_access_key_id,
               .secret_access_key = c->storage_s3_secret_access_key,
               .ca_path = c->storage_s3_ca_path,
               .lookup = (enum pw_s3_lookup)c->storage_s3_lookup,
               .insecure = c->storage_s3_insecure},
    };
}

/* Queries that read the block go on with it; later ones do not find it. */
static void
forget_block(void *ctx, const char *tenant, const struct pw_ulid *ulid)
{
    struct pw_app *app = ctx;
    int rc = pw_catalog_remove_block(app->catalog, tenant, ulid);

    if (rc != 0 && rc != PW_ENOENT) {
        pw_log(PW_LOG_WARN, "pw.app",
               "msg=\"a block that goes is still listed\" tenant=%s error=\"%s\"", tenant,
               pw_err_text(rc));
    }
}

int
pw_bucket_start_ctl(struct pw_app *app, struct pw_text *why)
{
    const struct pw_config *c = app->cfg;
    struct pw_shipping_cfg cfg = {
        .bucket = bucket_cfg(c),
        .retention = {.data_path = c->data_path,
                      .min_age_ms = c->retention_disable ? 0 : RETENTION_AGE_MS,
                      .min_free_bytes = c->retention_min_free_gb << 30,
                      .min_free_fraction = c->retention_min_free_share,
                      .forget = forget_block,
                      .ctx = app},
        .data_path = c->data_path,
        .hostname = app->hostname,
        .plan = &app->nic.plan,
    };

    if (cfg.bucket.backend == PW_OBJSTORE_NONE) {
        return 0;
    }
    return pw_shipping_start_ctl(&app->shipping, &cfg, why);
}

void
pw_bucket_stop_ctl(struct pw_app *app)
{
    pw_shipping_stop_ctl(app->shipping);
    app->shipping = NULL;
}
