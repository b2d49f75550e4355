#include "app/prefault.h"

#include "base/log.h"
#include "ingester/catalog.h"
#include "nic-config/plan.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct pw_prefault {
    struct pw_catalog *catalog;
    size_t ahead;
    const struct pw_plan *plan;
    _Atomic bool stop;
    pthread_t thread;
};

static void *
prefault_thread(void *arg)
{
    struct pw_prefault *p = arg;
    const struct timespec period = {.tv_nsec = PW_PREFAULT_PERIOD_MS * 1000000L};

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
        nanosleep(&period, NULL);
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
    int rc = pthread_create(&p->thread, NULL, prefault_thread, p);

    if (rc != 0) {
        free(p);
        return -rc;
    }
    pthread_setname_np(p->thread, "pw-prefault");
    *out = p;
    return 0;
}

void
pw_prefault_stop_ctl(struct pw_prefault *p)
{
    atomic_store_explicit(&p->stop, true, memory_order_relaxed);
    pthread_join(p->thread, NULL);
    free(p);
}
