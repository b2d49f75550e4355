#include "app/prefault.h"

#include "base/bell.h"
#include "base/log.h"
#include "ingester/catalog.h"
#include "nic-config/plan.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct pw_prefault {
    struct pw_catalog *catalog;
    size_t ahead;
    const struct pw_plan *plan;
    _Atomic bool stop;
    struct pw_bell bell;
    pthread_t thread;
};

static void *
prefault_thread(void *arg)
{
    struct pw_prefault *p = arg;

    if (pw_plan_background_ctl(p->plan) != 0) {
        pw_log(PW_LOG_WARN, "pw.app.prefault", "msg=\"stays on the control thread's CPU\"");
    }
    while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
        const struct pw_catalog_view *view = pw_catalog_acquire(p->catalog);

        /* Those that were cut are touched already. */
        for (uint32_t i = 0; i < view->heads_count; i++) {
            (void)pw_head_prefault_cold(view->head[i], p->ahead);
        }
        pw_catalog_release(p->catalog, view);
        pw_bell_listen(&p->bell);
        pw_bell_wait(&p->bell, atomic_load_explicit(&p->stop, memory_order_relaxed)
                                   ? 0
                                   : PW_PREFAULT_PERIOD_MS);
    }
    return NULL;
}

int
pw_prefault_start_ctl(struct pw_prefault **out, struct pw_catalog *catalog, size_t ahead,
                      const struct pw_plan *plan)
{
    struct pw_prefault *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        return PW_ENOMEM;
    }
    *p = (struct pw_prefault){.catalog = catalog, .ahead = ahead, .plan = plan};
    int rc = pw_bell_init_ctl(&p->bell);

    rc = rc != 0 ? rc : -pthread_create(&p->thread, NULL, prefault_thread, p);
    if (rc != 0) {
        pw_bell_fini_ctl(&p->bell);
        free(p);
        return rc;
    }
    pthread_setname_np(p->thread, "pw-prefault");
    *out = p;
    return 0;
}

struct pw_bell *
pw_prefault_bell(struct pw_prefault *p)
{
    return &p->bell;
}

void
pw_prefault_stop_ctl(struct pw_prefault *p)
{
    atomic_store_explicit(&p->stop, true, memory_order_relaxed);
    pw_bell_ring(&p->bell);
    pthread_join(p->thread, NULL);
    pw_bell_fini_ctl(&p->bell);
    free(p);
}
