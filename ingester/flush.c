#include "ingester/flush.h"

#include "base/check.h"
#include "base/log.h"
#include "base/metric.h"
#include "ingester/flush_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char module[] = "pw.ingester.flush";

#define NS_PER_S 1000000000LL

enum {
    IDLE_TURN_MS = 250, /* of a thread that nobody asks: a new window, a catalog to reap */
    TURN_MS = 20,       /* while a head waits for its blocks, or a core for its spare */
    BUSY_TURN_MS = 1,   /* while it waits for an ingester core to cut */
    SAFE_LOOK_MS = 1000,
    GRACE_SHARE = 12, /* a window is closed this part of it after its end: profiles come late */
    GRACE_MAX_S = 60,
};

/* --- Create and destroy --------------------------------------------------------------------------- */

static int
store_write(const struct pw_block_writer_cfg *cfg, const struct pw_block_source *src,
            struct pw_block_info *info, struct pw_block_error *err)
{
    return pw_block_write(cfg, src, info, err);
}

/* What it has is looked at once, so that a broken one is known here and not by a query; from then on it may be cooled
 * (pw_catalog_cool). */
static int
open_checked(struct pw_block **b, const char *dir, const struct pw_block_files *files,
           struct pw_block_error *err)
{
    int rc = pw_block_open_later(b, dir, files, err);

    if (rc != 0) {
        return rc;
    }
    rc = pw_block_use(*b, err);
    if (rc == 0) {
        pw_block_unuse(*b);
    } else {
        pw_block_close(*b);
    }
    return rc;
}

static struct pw_flush_disk
real_disk(void)
{
    static const struct pw_flush_store store = {.write = store_write};

    return (struct pw_flush_disk){
        .fs = pw_fs_os(),
        .store = &store,
        .open = open_checked,
        .close = pw_block_close,
    };
}

static int
new_head(struct pw_flush *f, struct pw_head **out)
{
    int rc = pw_head_create_ctl(out, &f->cfg.head);

    if (rc != 0) {
        return rc;
    }
    rc =
        pw_catalog_edit(f->cfg.catalog, &(struct pw_catalog_edit){.add_head = out, .add_heads = 1});
    if (rc != 0) {
        pw_head_destroy_ctl(*out);
    }
    return rc;
}

static int
new_core(struct pw_flush *f, uint32_t i)
{
    struct pw_head_set_cfg cfg = {.bytes_max = f->cfg.head.bytes_max,
                                  .cut_bytes = f->cfg.cut_bytes};
    int rc = new_head(f, &cfg.first);

    f->core[i].index = i;
    rc = rc != 0 ? rc : pw_head_set_create_ctl(&f->core[i].set, &cfg);
    if (rc == 0) {
        pw_head_set_bell_ctl(f->core[i].set, &f->bell);
    }
    return rc;
}

static int64_t
window_before(const struct pw_flush *f, int64_t wall_ns)
{
    int64_t grace = f->cfg.window_ns / GRACE_SHARE;

    grace = grace < GRACE_MAX_S * NS_PER_S ? grace : GRACE_MAX_S * NS_PER_S;
    return (wall_ns - grace) / f->cfg.window_ns;
}

int
pw_flush_create_ctl(struct pw_flush **out, const struct pw_flush_cfg *cfg, struct pw_text *why)
{
    struct pw_flush *f = calloc(1, sizeof(*f));
    pthread_condattr_t attr;
    int rc = 0;

    if (f == NULL || cfg->cores == 0 || cfg->cores > PW_INGESTERS_MAX || cfg->window_ns <= 0) {
        free(f);
        return f == NULL ? PW_ENOMEM : PW_EINVAL;
    }
    f->cfg = *cfg;
    f->disk = cfg->disk != NULL ? *cfg->disk : real_disk();
    f->data_path = strdup(cfg->data_path);
    f->hostname = cfg->hostname == NULL ? NULL : strdup(cfg->hostname);
    f->dir = (struct pw_journal_dir){.data_path = f->data_path, .fs = f->disk.fs};
    pthread_mutex_init(&f->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->done, &attr);
    pthread_condattr_destroy(&attr);
    rc = pw_bell_init_ctl(&f->bell);
    if (f->data_path == NULL || (cfg->hostname != NULL && f->hostname == NULL)) {
        rc = PW_ENOMEM;
    }
    for (; rc == 0 && f->cores < cfg->cores; f->cores++) {
        rc = new_core(f, f->cores);
    }
    if (rc != 0) {
        pw_text_str(why, "cannot map ");
        pw_text_size_iec(why, cfg->head.bytes_max);
        pw_flush_destroy_ctl(f);
        return rc;
    }
    f->window = window_before(f, pw_wall_ns());
    *out = f;
    return 0;
}

void
pw_flush_destroy_ctl(struct pw_flush *f)
{
    if (f == NULL) {
        return;
    }
    for (uint32_t i = 0; i < f->cores; i++) {
        struct pw_flush_core *c = &f->core[i];

        while (c->first != NULL) {
            struct pw_flush_commit *next = c->first->next;

            pw_journal_fini(&c->first->journal);
            free(c->first);
            c->first = next;
        }
        pw_journal_fini(&c->journal);
        pw_head_set_destroy_ctl(c->set);
    }
    for (uint32_t i = 0; i < f->recovered_count; i++) {
        pw_journal_fini(&f->recovered[i]);
    }
    free(f->recovered);
    pw_bell_fini_ctl(&f->bell);
    pthread_cond_destroy(&f->done);
    pthread_mutex_destroy(&f->mutex);
    free(f->data_path);
    free(f->hostname);
    free(f);
}

struct pw_head_set *
pw_flush_heads(struct pw_flush *f, uint32_t core)
{
    return f->core[core].set;
}

/* --- Recovery ------------------------------------------------------------------------------------- */

struct opening {
    struct pw_flush *f;
    const char *tenant;
    struct pw_catalog_block *block;
    uint32_t count, cap;
};

static int
open_local(void *ctx, const struct pw_ulid *ulid)
{
    struct opening *o = ctx;
    struct pw_block_error err;
    char name[PW_ULID_CHARS + 1], quoted[512];

    if (o->count == o->cap) {
        uint32_t cap = o->cap * 2 + 16;
        struct pw_catalog_block *grown = realloc(o->block, cap * sizeof(*grown));

        if (grown == NULL) {
            return PW_ENOMEM;
        }
        o->block = grown;
        o->cap = cap;
    }
    if (pw_flush_head_open(o->f, o->tenant, ulid, &o->block[o->count], &err) == 0) {
        if (o->count >= PW_CATALOG_WARM_MAX / 2) {
            (void)pw_block_cool(o->block[o->count].block);
        }
        o->count++;
        return 0;
    }
    pw_ulid_print(ulid, name);
    pw_log(PW_LOG_ERROR, module,
           "msg=\"cannot open a block, it is left out\" tenant=%s block=%s err=%s", o->tenant, name,
           pw_log_quote(quoted, sizeof(quoted), pw_slice_str(err.text)));
    return 0;
}

static int
open_tenant(void *ctx, const char *tenant)
{
    struct opening *o = ctx;
    char path[PW_FS_PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s/local", o->f->data_path, tenant);

    o->tenant = tenant;
    return n >= (int)sizeof(path) ? PW_EMSGSIZE : pw_journal_ulids(&o->f->dir, path, open_local, o);
}

static int
open_all(struct pw_flush *f)
{
    struct opening o = {.f = f};
    int rc = pw_journal_tenants(&f->dir, open_tenant, &o);

    if (rc == 0) {
        rc = pw_catalog_edit(
            f->cfg.catalog, &(struct pw_catalog_edit){.add_block = o.block, .add_blocks = o.count});
    }
    for (uint32_t i = 0; rc != 0 && i < o.count; i++) {
        f->disk.close(o.block[i].block);
    }
    free(o.block);
    if (rc == 0 && o.count > 0) {
        pw_log(PW_LOG_INFO, module, "msg=\"local blocks opened\" blocks=%u", o.count);
    }
    return rc;
}

int
pw_flush_recover_ctl(struct pw_flush *f, pw_flush_covered_fn covered, void *ctx,
                     struct pw_text *why)
{
    int rc = pw_journal_recover(&f->dir, &f->recovered, &f->recovered_count, why);

    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < f->recovered_count; i++) {
        const struct pw_journal *j = &f->recovered[i];

        pw_log(PW_LOG_INFO, module,
               "msg=\"a flush was completed that a stop had cut off\" blocks=%u", j->count);
        for (uint32_t k = 0; rc == 0 && covered != NULL && j->has_mark && k < j->count; k++) {
            rc = covered(ctx, &j->mark, pw_slice_str(j->block[k].tenant));
        }
    }
    rc = rc != 0 ? rc : open_all(f);
    if (rc != 0) {
        pw_text_printf(why, "%s: %s", f->data_path, pw_err_text(rc));
    }
    return rc;
}

/* --- A turn --------------------------------------------------------------------------------------- */

static void
give_spares(struct pw_flush *f)
{
    for (uint32_t i = 0; i < f->cores; i++) {
        struct pw_head *h;

        if (pw_head_set_wants_spare(f->core[i].set) && new_head(f, &h) == 0) {
            pw_head_set_give_spare(f->core[i].set, h);
        }
    }
}

static void
cut_all(struct pw_flush *f)
{
    for (uint32_t i = 0; i < f->cores; i++) {
        f->core[i].ticket = pw_head_set_cut(f->core[i].set);
    }
}

/* Begins to serve what was asked for since. */
static void
take_request(struct pw_flush *f)
{
    uint64_t asked;

    pthread_mutex_lock(&f->mutex);
    asked = f->asked;
    pthread_mutex_unlock(&f->mutex);
    if (f->serving == 0 && asked != f->finished) {
        f->serving = asked;
        f->error = 0;
        for (uint32_t i = 0; i < f->cores; i++) {
            f->core[i].retry_ns = 0; /* somebody waits: now */
        }
        cut_all(f);
    }
}

static bool
all_cut(const struct pw_flush *f)
{
    for (uint32_t i = 0; i < f->cores; i++) {
        if (!pw_head_set_cut_done(f->core[i].set, f->core[i].ticket)) {
            return false;
        }
    }
    return true;
}

/* cut: all heads were, before the sealed ones were last looked for. */
static void
finish_request(struct pw_flush *f, bool cut)
{
    for (uint32_t i = 0; f->error == 0 && i < f->cores; i++) {
        if (!cut || f->core[i].step != PW_FLUSH_NONE) {
            return;
        }
    }
    pthread_mutex_lock(&f->mutex);
    f->finished = f->serving;
    f->result = f->error;
    pthread_cond_broadcast(&f->done);
    pthread_mutex_unlock(&f->mutex);
    f->serving = 0;
}

/* Journals of the process before go when nothing of it is left in its logs. */
static void
forget_recovered(struct pw_flush *f)
{
    char bytes[512] = "";
    struct pw_text why;

    if (!atomic_load_explicit(&f->watched, memory_order_acquire)) {
        return;
    }
    for (uint32_t i = 0; i < f->cores; i++) {
        if (f->replayed[i] && !f->core[i].released) {
            return;
        }
    }
    pw_text_fixed(&why, bytes, sizeof(bytes) - 1);
    while (f->recovered_count > 0) {
        struct pw_journal *j = &f->recovered[f->recovered_count - 1];

        if (pw_journal_remove(&f->dir, j, &why) != 0) {
            return;
        }
        pw_journal_fini(j);
        f->recovered_count--;
    }
}

static bool
write_heads(struct pw_flush *f)
{
    bool worked = false;

    for (uint32_t i = 0; i < f->cores; i++) {
        bool more = true;

        while (more) { /* a step of a head a turn */
            int rc;

            more = pw_flush_head_step(f, &f->core[i], &rc);
            worked |= more;
            if (rc != 0) {
                f->error = rc == PW_EAGAIN ? f->error : rc;
                break;
            }
            give_spares(f);
        }
    }
    return worked;
}

bool
pw_flush_turn(struct pw_flush *f, struct pw_now now)
{
    int64_t window = window_before(f, now.wall_ns);
    bool worked, cut;

    f->mono_ns = now.mono_ns;
    give_spares(f);
    take_request(f);
    if (window != f->window) {
        f->window = window;
        cut_all(f);
    }
    cut = all_cut(f);
    if (!cut && f->cfg.wake != NULL) {
        f->cfg.wake(f->cfg.ctx);
    }
    worked = write_heads(f);
    if (worked || now.mono_ns - f->safe_look_ns >= SAFE_LOOK_MS * 1000000LL) {
        f->safe_look_ns = now.mono_ns;
        for (uint32_t i = 0; i < f->cores; i++) {
            pw_flush_head_release(f, &f->core[i]);
        }
        forget_recovered(f);
        (void)pw_catalog_cool(f->cfg.catalog, PW_CATALOG_WARM_MAX);
    }
    if (f->serving != 0) {
        finish_request(f, cut);
    }
    (void)pw_catalog_reap(f->cfg.catalog);
    return worked;
}

/* --- The thread ----------------------------------------------------------------------------------- */

static struct timespec
deadline(uint32_t ms)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += ms / 1000;
    ts.tv_nsec += (long)(ms % 1000) * 1000000;
    if (ts.tv_nsec >= NS_PER_S) {
        ts.tv_sec++;
        ts.tv_nsec -= NS_PER_S;
    }
    return ts;
}

/* How long the thread may rest; asked after it said that it will. */
static uint32_t
rest_ms(struct pw_flush *f)
{
    uint32_t ms = f->serving != 0 ? BUSY_TURN_MS : IDLE_TURN_MS;

    for (uint32_t i = 0; i < f->cores && ms > TURN_MS; i++) {
        const struct pw_flush_core *c = &f->core[i];

        if (c->step != PW_FLUSH_NONE || pw_head_set_wants_spare(c->set) ||
            pw_head_set_has_sealed(c->set) || !pw_head_set_cut_done(c->set, c->ticket)) {
            ms = TURN_MS;
        }
    }
    pthread_mutex_lock(&f->mutex);
    if (f->stop || (f->serving == 0 && f->asked != f->finished)) {
        ms = 0;
    }
    pthread_mutex_unlock(&f->mutex);
    return ms;
}

static void *
run(void *arg)
{
    struct pw_flush *f = arg;
    bool stop = false;

    if (f->cfg.thread_init != NULL) {
        f->cfg.thread_init(f->cfg.ctx);
    }
    while (!stop) {
        pw_flush_turn(f, pw_now_read());
        pw_bell_listen(&f->bell);
        pw_bell_wait(&f->bell, rest_ms(f));
        pthread_mutex_lock(&f->mutex);
        stop = f->stop;
        pthread_mutex_unlock(&f->mutex);
    }
    return NULL;
}

int
pw_flush_start_ctl(struct pw_flush *f)
{
    int rc;

    give_spares(f);
    rc = pthread_create(&f->thread, NULL, run, f);
    f->started = rc == 0;
    if (f->started) {
        pthread_setname_np(f->thread, "pw-flush");
    }
    return -rc;
}

void
pw_flush_replayed_ctl(struct pw_flush *f, const bool *replayed)
{
    memcpy(f->replayed, replayed, f->cores * sizeof(*replayed));
    atomic_store_explicit(&f->watched, true, memory_order_release);
}

int
pw_flush_now(struct pw_flush *f, uint32_t timeout_ms)
{
    const struct timespec until = deadline(timeout_ms);
    uint64_t ticket;
    int rc = 0;

    pthread_mutex_lock(&f->mutex);
    ticket = ++f->asked;
    pw_bell_ring(&f->bell);
    while (f->finished < ticket && rc == 0) {
        rc = pthread_cond_timedwait(&f->done, &f->mutex, &until);
    }
    rc = f->finished < ticket ? PW_ETIMEDOUT : f->result;
    pthread_mutex_unlock(&f->mutex);
    return rc;
}

void
pw_flush_stop_ctl(struct pw_flush *f)
{
    if (f == NULL || !f->started) {
        return;
    }
    pthread_mutex_lock(&f->mutex);
    f->stop = true;
    pthread_mutex_unlock(&f->mutex);
    pw_bell_ring(&f->bell);
    pthread_join(f->thread, NULL);
    f->started = false;
}

/* --- Metrics -------------------------------------------------------------------------------------- */

static uint64_t
get(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

void
pw_flush_stats(const struct pw_flush *f, struct pw_flush_stats *st)
{
    *st = (struct pw_flush_stats){
        .heads = get(&f->heads),
        .blocks = get(&f->blocks),
        .rows = get(&f->rows),
        .bytes = get(&f->bytes),
        .failures = get(&f->failures),
        .write_ns = get(&f->write_ns),
        .sealed_waiting = get(&f->waiting),
        .unreleased = get(&f->unreleased),
        .memory_peak = get(&f->memory_peak),
    };
    for (uint32_t i = 0; i < f->cores; i++) {
        st->cut_waits += get(&f->core[i].set->cut_waits);
    }
}

void
pw_flush_metrics(const struct pw_flush *f, struct pw_text *t)
{
    struct pw_flush_stats st;

    pw_flush_stats(f, &st);
    pw_metric_f64(t, "pyrowire_flush_heads_total", "counter", "Heads written as blocks.",
                  (double)st.heads);
    pw_metric_f64(t, "pyrowire_flush_blocks_total", "counter", "Blocks written.",
                  (double)st.blocks);
    pw_metric_f64(t, "pyrowire_flush_rows_total", "counter", "Profiles (rows) in those blocks.",
                  (double)st.rows);
    pw_metric_f64(t, "pyrowire_flush_bytes_total", "counter", "Bytes of those blocks.",
                  (double)st.bytes);
    pw_metric_f64(t, "pyrowire_flush_failures_total", "counter",
                  "Steps of writing a head that failed and are tried again.", (double)st.failures);
    pw_metric_f64(t, "pyrowire_flush_seconds_total", "counter", "Time spent writing heads.",
                  (double)st.write_ns / NS_PER_S);
    pw_metric_f64(t, "pyrowire_flush_waiting_heads", "gauge",
                  "Heads cut and not readable as blocks yet.", (double)st.sealed_waiting);
    pw_metric_f64(t, "pyrowire_flush_unsafe_heads", "gauge",
                  "Heads whose blocks are readable but not yet safe: their log is kept.",
                  (double)st.unreleased);
    pw_metric_f64(t, "pyrowire_flush_memory_peak_bytes", "gauge",
                  "Most memory that writing one block took.", (double)st.memory_peak);
    pw_metric_f64(t, "pyrowire_head_cut_waits_total", "counter",
                  "Turns of ingester cores in which a cut was due and no fresh head was there.",
                  (double)st.cut_waits);
}
