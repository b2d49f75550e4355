#include "app/shipping.h"

#include "app/gateway.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "nic-config/plan.h"
#include "store/shipper.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct pw_shipping {
    struct pw_shipping_cfg cfg;
    struct pw_objstore *bucket; /* the thread's, but for its statistics */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop, poked; /* below mutex */
    atomic_bool give_up;
    _Atomic uint64_t uploaded, failed, bytes, deleted;
    _Atomic bool disk_high;
};

static void
ship(struct pw_shipping *s)
{
    struct pw_objstore_why why = {""};
    struct pw_ship_stats st = {0};
    int rc = pw_ship_all(s->bucket, s->cfg.data_path, s->cfg.hostname, &st, &why);

    atomic_fetch_add_explicit(&s->uploaded, st.uploaded, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->failed, st.failed, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->bytes, st.bytes, memory_order_relaxed);
    if (rc != 0) {
        pw_log(PW_LOG_WARN, "pw.app.shipping",
               "msg=\"not everything is in the bucket\" failed=%ju error=\"%s\"",
               (uintmax_t)st.failed, why.text);
    }
}

static void
retain(struct pw_shipping *s)
{
    struct pw_retention_result r;

    int rc = pw_retention_run(&s->cfg.retention, pw_wall_ns() / 1000000, &r);

    atomic_fetch_add_explicit(&s->deleted, r.deleted, memory_order_relaxed);
    atomic_store_explicit(&s->disk_high, r.disk_high, memory_order_relaxed);
    if (rc != 0) {
        pw_log(PW_LOG_WARN, "pw.app.shipping", "msg=\"retention\" path=%s error=\"%s\"",
               s->cfg.data_path, pw_err_text(rc));
    }
}

static void
look(struct pw_shipping *s)
{
    struct pw_objstore_why why = {""};
    int rc = pw_gateway_sync(s->cfg.gateway, s->bucket, &why);

    if (rc != 0) {
        pw_log(PW_LOG_WARN, "pw.app.shipping", "msg=\"the bucket cannot be listed\" error=\"%s\"",
               why.text[0] != 0 ? why.text : pw_err_text(rc));
    }
}

/* --- The thread --------------------------------------------------------------------------------------- */

enum task { TASK_SHIP, TASK_RETAIN, TASK_LOOK, TASKS };

struct turn {
    int64_t due_ms[TASKS]; /* of CLOCK_MONOTONIC */
};

/* Waits until one of them is due. False when it is time to end. */
static bool
wait_turn(struct pw_shipping *s, struct turn *t)
{
    int64_t first = t->due_ms[0];
    struct timespec until;
    bool stop;

    for (int i = 1; i < TASKS; i++) {
        first = t->due_ms[i] < first ? t->due_ms[i] : first;
    }
    until = (struct timespec){.tv_sec = first / 1000, .tv_nsec = first % 1000 * 1000000};
    pthread_mutex_lock(&s->mutex);
    while (!s->stop && !s->poked &&
           pthread_cond_timedwait(&s->wake, &s->mutex, &until) != ETIMEDOUT) {
    }
    if (s->poked) {
        t->due_ms[TASK_SHIP] = 0;
    }
    s->poked = false;
    stop = s->stop;
    pthread_mutex_unlock(&s->mutex);
    return !stop;
}

static void
take_turn(struct pw_shipping *s, struct turn *t)
{
    if (pw_mono_ms() >= t->due_ms[TASK_SHIP]) {
        ship(s);
        t->due_ms[TASK_SHIP] = pw_mono_ms() + PW_SHIPPING_PERIOD_MS;
    }
    if (pw_mono_ms() >= t->due_ms[TASK_RETAIN]) {
        retain(s);
        t->due_ms[TASK_RETAIN] = pw_mono_ms() + s->cfg.retention_period_ms;
    }
    if (pw_mono_ms() >= t->due_ms[TASK_LOOK]) {
        look(s);
        t->due_ms[TASK_LOOK] = pw_mono_ms() + s->cfg.sync_period_ms;
    }
}

static void *
shipping_thread(void *arg)
{
    struct pw_shipping *s = arg;
    struct turn t = {.due_ms = {[TASK_RETAIN] = s->cfg.retain ? 0 : INT64_MAX,
                                [TASK_LOOK] = pw_mono_ms() + s->cfg.sync_period_ms}};

    if (pw_plan_background_ctl(s->cfg.plan) != 0) {
        pw_log(PW_LOG_WARN, "pw.app.shipping", "msg=\"stays on the control thread's CPU\"");
    }
    do {
        take_turn(s, &t);
    } while (wait_turn(s, &t));
    ship(s);
    return NULL;
}

static int
open_bucket(struct pw_shipping *s, struct pw_text *why)
{
    struct pw_objstore_why reason = {""};
    int rc = pw_objstore_open(&s->bucket, &s->cfg.bucket, &reason);

    if (rc == 0) {
        rc = pw_objstore_check(s->bucket, &reason);
    }
    if (rc != 0) {
        pw_text_str(why, reason.text);
    }
    return rc;
}

/* Before queries are answered. */
static int
first_look(struct pw_shipping *s, struct pw_text *why)
{
    struct pw_objstore_why reason = {""};
    int rc = pw_gateway_sync(s->cfg.gateway, s->bucket, &reason);

    if (rc != 0) {
        pw_text_str(why, reason.text);
    }
    return rc;
}

static int
start_thread(struct pw_shipping *s)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&s->thread, NULL, shipping_thread, s);

    if (rc == 0) {
        pthread_setname_np(s->thread, "pw-shipping");
    }
    return -rc;
}

int
pw_shipping_start_ctl(struct pw_shipping **out, const struct pw_shipping_cfg *cfg,
                      struct pw_text *why)
{
    struct pw_shipping *s = calloc(1, sizeof(*s));
    int rc;

    if (s == NULL) {
        return PW_ENOMEM;
    }
    s->cfg = *cfg;
    s->cfg.bucket.stop = &s->give_up;
    rc = open_bucket(s, why);
    rc = rc != 0 ? rc : first_look(s, why);
    rc = rc != 0 ? rc : start_thread(s);
    if (rc != 0) {
        pw_objstore_close(s->bucket);
        free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void
pw_shipping_poke(struct pw_shipping *s)
{
    pthread_mutex_lock(&s->mutex);
    s->poked = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

void
pw_shipping_stop_ctl(struct pw_shipping *s)
{
    struct timespec until;

    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PW_SHIPPING_STOP_MS / 1000;
    if (pthread_clockjoin_np(s->thread, NULL, CLOCK_MONOTONIC, &until) != 0) {
        pw_log(PW_LOG_WARN, "pw.app.shipping",
               "msg=\"stopping before everything is in the bucket; the next start goes on\"");
        atomic_store_explicit(&s->give_up, true, memory_order_relaxed);
        pthread_join(s->thread, NULL);
    }
    pw_objstore_close(s->bucket);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

void
pw_shipping_metrics(const struct pw_shipping *s, struct pw_text *t)
{
    struct pw_objstore_stats st;

    pw_objstore_stats(s->bucket, &st);
    pw_metric_u64(t, "pyrowire_shipper_uploads_total", "counter", "Blocks uploaded.",
                  atomic_load_explicit(&s->uploaded, memory_order_relaxed));
    pw_metric_u64(t, "pyrowire_shipper_upload_failures_total", "counter",
                  "Uploads of blocks that failed.",
                  atomic_load_explicit(&s->failed, memory_order_relaxed));
    pw_metric_u64(t, "pyrowire_shipper_uploaded_bytes_total", "counter",
                  "Bytes of the blocks uploaded.",
                  atomic_load_explicit(&s->bytes, memory_order_relaxed));
    pw_metric_u64(t, "pyrowire_retention_deleted_total", "counter", "Local blocks deleted.",
                  atomic_load_explicit(&s->deleted, memory_order_relaxed));
    pw_metric_u64(t, "pyrowire_objstore_retries_total", "counter",
                  "Requests to object storage tried again.", st.retries);
    pw_metric_u64(t, "pyrowire_disk_high", "gauge",
                  "Whether the data directory's disk is nearly full.",
                  atomic_load_explicit(&s->disk_high, memory_order_relaxed));
    pw_metric_family(t, "objstore_bucket_operations_total", "counter",
                     "Operations on object storage.");
    for (int op = 0; op < PW_OBJSTORE_OPS; op++) {
        pw_text_printf(t, "objstore_bucket_operations_total{operation=\"%s\"} %ju\n",
                       pw_objstore_op_name((enum pw_objstore_op)op), (uintmax_t)st.done[op]);
    }
    pw_metric_family(t, "objstore_bucket_operation_failures_total", "counter",
                     "Those that failed.");
    for (int op = 0; op < PW_OBJSTORE_OPS; op++) {
        pw_text_printf(t, "objstore_bucket_operation_failures_total{operation=\"%s\"} %ju\n",
                       pw_objstore_op_name((enum pw_objstore_op)op), (uintmax_t)st.failed[op]);
    }
}
