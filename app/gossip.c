#include "app/gossip.h"

#include "app/parts.h"
#include "ring/kv.h"

int
pw_gossip_open_ctl(struct pw_app *app, struct pw_text *why)
{
    const struct pw_kv_cfg cfg = {
        .left_timeout_s = app->cfg->memberlist.left_timeout_ms / 1000,
        .obsolete_timeout_s = app->cfg->memberlist.obsolete_timeout_ms / 1000,
    };

    pthread_mutex_init(&app->kv_mutex, NULL);
    return pw_kv_create_ctl(&app->kv, &cfg);
}

void
pw_gossip_close_ctl(struct pw_app *app)
{
    pw_kv_destroy_ctl(app->kv);
    app->kv = NULL;
}
