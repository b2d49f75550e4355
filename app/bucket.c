#include "app/bucket.h"

#include "app/gateway.h"
#include "app/parts.h"
#include "app/shipping.h"
#include "base/text.h"

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

/* Queries that read the local block go on with it; later ones read it in the bucket. */
static int
forget_block(void *ctx, const char *tenant, const struct pw_ulid *ulid)
{
    struct pw_app *app = ctx;

    return pw_gateway_take_over(app->gateway, tenant, ulid);
}

int
pw_bucket_start_ctl(struct pw_app *app, struct pw_text *why)
{
    const struct pw_config *c = app->cfg;
    struct pw_shipping_cfg cfg = {
        .bucket = bucket_cfg(c),
        .retention = {.data_path = c->data_path,
                      .min_age_ms = c->retention_min_age_ms,
                      .min_free_bytes = c->retention_min_free_gb << 30,
                      .min_free_fraction = c->retention_min_free_share,
                      .forget = forget_block,
                      .ctx = app},
        .retain = !c->retention_disable,
        .retention_period_ms = c->retention_period_ms,
        .sync_period_ms = c->bucket_sync_interval_ms,
        .data_path = c->data_path,
        .hostname = app->hostname,
        .plan = &app->nic.plan,
    };

    int rc;

    if (cfg.bucket.backend == PW_OBJSTORE_NONE || app->flush == NULL) {
        return 0;
    }
    rc = pw_gateway_create_ctl(&app->gateway, app->catalog, &cfg.bucket, c->bucket_cache_bytes);
    cfg.gateway = app->gateway;
    rc = rc != 0 ? rc : pw_shipping_start_ctl(&app->shipping, &cfg, why);
    if (rc != 0 && cfg.bucket.backend == PW_OBJSTORE_FILESYSTEM) {
        pw_text_printf(why, " (-storage.filesystem.dir=%s)", c->storage_filesystem_dir);
    }
    return rc;
}

void
pw_bucket_give_up_ctl(struct pw_app *app)
{
    pw_gateway_give_up_ctl(app->gateway);
}

void
pw_bucket_stop_ctl(struct pw_app *app)
{
    pw_shipping_stop_ctl(app->shipping);
    app->shipping = NULL;
}
