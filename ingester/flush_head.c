/* One sealed head on its way to disk, a step at a time. Every step may fail and be taken again. */
#include "ingester/flush_priv.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

static const char module[] = "pw.ingester.flush";

enum {
    RETRY_MIN_MS = 200,
    RETRY_SHIFT_MAX = 7,
    ROW_GROUP_SHARE = 32, /* of the head: the writer has three times a row group in memory */
    ROW_GROUP_BYTES_MIN = 1 << 20,
};

static void
count(_Atomic uint64_t *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static int
failed(struct pw_flush *f, struct pw_flush_core *c, int rc, const char *why)
{
    char quoted[512];
    uint32_t shift = c->failures < RETRY_SHIFT_MAX ? c->failures : RETRY_SHIFT_MAX;
    int64_t delay_ms = (int64_t)RETRY_MIN_MS << shift;

    c->failures++;
    c->retry_ns = f->mono_ns + delay_ms * 1000000;
    count(&f->failures, 1);
    pw_log(PW_LOG_ERROR, module,
           "msg=\"cannot write a head, it stays in memory\" core=%u retry_ms=%lld err=%s", c->index,
           (long long)delay_ms, pw_log_quote(quoted, sizeof(quoted), pw_slice_str(why)));
    return rc;
}

/* --- Staging -------------------------------------------------------------------------------------- */

/* A small head is written with small row groups, so that writing takes its part of memory and not more. */
static size_t
row_group_bytes(const struct pw_head *h)
{
    uint64_t n = pw_head_bytes(h) / ROW_GROUP_SHARE;

    return n < ROW_GROUP_BYTES_MIN        ? ROW_GROUP_BYTES_MIN
           : n > PW_BLOCK_ROW_GROUP_BYTES ? PW_BLOCK_ROW_GROUP_BYTES
                                          : (size_t)n;
}

static int
stage_tenant(struct pw_flush *f, struct pw_flush_core *c, struct pw_slice tenant,
             struct pw_block_error *err)
{
    char path[PW_FS_PATH_MAX];
    struct pw_flush_blocks_cfg cfg = {
        .store = f->disk.store,
        .writer = {.dir = path,
                   .hostname = f->hostname,
                   .fs = f->disk.fs,
                   .row_group_bytes = row_group_bytes(c->sealed.head)},
        .window_ns = f->cfg.window_ns,
        .created_ns = pw_head_created_ns(c->sealed.head),
    };
    struct pw_flush_blocks out = {0};
    struct pw_head_view v;
    struct pw_text why;
    int rc;

    if (!pw_head_view_open(c->sealed.head, tenant, &v)) {
        return 0;
    }
    pw_text_fixed(&why, err->text, sizeof(err->text) - 1);
    memset(err->text, 0, sizeof(err->text));
    rc = pw_journal_stage_dir(&f->dir, tenant, path, &why);
    rc = rc != 0 ? rc : pw_flush_blocks_write(&cfg, &v, &out, err);
    for (uint32_t i = 0; i < out.count; i++) { /* also after an error: to be undone */
        int added = pw_journal_add(&c->journal, tenant, &out.ulid[i]);

        rc = rc != 0 ? rc : added;
    }
    if (rc == 0) {
        count(&f->blocks, out.count);
        count(&f->rows, out.rows);
        count(&f->bytes, out.bytes);
        if (out.memory_peak > atomic_load_explicit(&f->memory_peak, memory_order_relaxed)) {
            atomic_store_explicit(&f->memory_peak, out.memory_peak, memory_order_relaxed);
        }
    }
    pw_flush_blocks_fini(&out);
    return rc;
}

static int
stage(struct pw_flush *f, struct pw_flush_core *c)
{
    struct pw_block_error err = {.text = ""};
    struct pw_slice tenant;
    struct pw_text why;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && pw_head_tenant_at(c->sealed.head, i, &tenant); i++) {
        rc = stage_tenant(f, c, tenant, &err);
    }
    c->journal.has_mark = c->sealed.has_mark;
    c->journal.mark = c->sealed.mark;
    if (rc == 0) {
        memset(err.text, 0, sizeof(err.text));
        pw_text_fixed(&why, err.text, sizeof(err.text) - 1);
        rc = pw_journal_write(&f->dir, &c->journal, &why);
    }
    if (rc != 0) {
        pw_journal_undo(&f->dir, &c->journal);
        pw_journal_fini(&c->journal);
        return failed(f, c, rc, err.text);
    }
    c->step = PW_FLUSH_MOVE;
    return 0;
}

static int
move(struct pw_flush *f, struct pw_flush_core *c)
{
    char bytes[512] = "";
    struct pw_text why;
    int rc;

    pw_text_fixed(&why, bytes, sizeof(bytes) - 1);
    rc = pw_journal_move(&f->dir, &c->journal, &why);
    if (rc != 0) {
        return failed(f, c, rc, bytes);
    }
    c->step = PW_FLUSH_LIST;
    return 0;
}

/* --- Listing -------------------------------------------------------------------------------------- */

int
pw_flush_head_open(struct pw_flush *f, const char *tenant, const struct pw_ulid *ulid,
                   struct pw_catalog_block *out, struct pw_block_error *err)
{
    char path[PW_FS_PATH_MAX], name[PW_ULID_CHARS + 1];
    int n, rc;

    pw_ulid_print(ulid, name);
    *out = (struct pw_catalog_block){.ulid = *ulid, .close = f->disk.close};
    snprintf(out->tenant, sizeof(out->tenant), "%s", tenant);
    n = snprintf(path, sizeof(path), "%s/%s/local/%s", f->data_path, tenant, name);
    rc = n >= (int)sizeof(path) ? PW_EMSGSIZE : f->disk.open(&out->block, path, NULL, err);
    if (n >= (int)sizeof(path)) {
        snprintf(err->text, sizeof(err->text), "path too long");
    }
    return rc;
}

static int
list_blocks(struct pw_flush *f, struct pw_flush_core *c, struct pw_catalog_block *block,
            struct pw_block_error *err)
{
    const struct pw_head *gone = c->sealed.head;
    struct pw_catalog_edit e = {.remove_head = &gone, .remove_heads = 1, .add_block = block};
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < c->journal.count; i++) {
        rc = pw_flush_head_open(f, c->journal.block[i].tenant, &c->journal.block[i].ulid, &block[i],
                                err);
        e.add_blocks += rc == 0 ? 1 : 0;
    }
    if (rc == 0) {
        rc = pw_catalog_edit(f->cfg.catalog, &e);
        snprintf(err->text, sizeof(err->text), "catalog: %s", pw_err_text(rc));
    }
    for (uint32_t i = 0; rc != 0 && i < e.add_blocks; i++) {
        f->disk.close(block[i].block);
    }
    return rc;
}

static int
list(struct pw_flush *f, struct pw_flush_core *c)
{
    struct pw_catalog_block *block = calloc(c->journal.count, sizeof(*block));
    struct pw_flush_commit *commit = calloc(1, sizeof(*commit));
    struct pw_block_error err = {.text = "out of memory"};
    int rc = block == NULL || commit == NULL ? PW_ENOMEM : list_blocks(f, c, block, &err);

    free(block);
    if (rc != 0) {
        free(commit);
        return failed(f, c, rc, err.text);
    }
    pw_head_set_retire(c->set, c->sealed.head);
    commit->journal = c->journal;
    if (c->last != NULL) {
        c->last->next = commit;
    } else {
        c->first = commit;
    }
    c->last = commit;
    count(&f->heads, 1);
    count(&f->unreleased, 1);
    atomic_fetch_sub_explicit(&f->waiting, 1, memory_order_relaxed);
    c->journal = (struct pw_journal){0};
    c->sealed = (struct pw_head_sealed){0};
    c->failures = 0;
    c->step = PW_FLUSH_NONE;
    if (f->cfg.wrote != NULL) {
        f->cfg.wrote(f->cfg.ctx);
    }
    return 0;
}

bool
pw_flush_head_step(struct pw_flush *f, struct pw_flush_core *c, int *rc)
{
    int64_t begin = pw_mono_ns();

    *rc = 0;
    switch (c->step) {
    case PW_FLUSH_NONE:
        if (!pw_head_set_take_sealed(c->set, &c->sealed)) {
            return false;
        }
        count(&f->waiting, 1);
        c->retry_ns = 0;
        c->step = PW_FLUSH_STAGE;
        return true;
    case PW_FLUSH_STAGE:
    case PW_FLUSH_MOVE:
    case PW_FLUSH_LIST:
        break;
    }
    if (f->mono_ns < c->retry_ns) {
        *rc = PW_EAGAIN;
        return false;
    }
    *rc = c->step == PW_FLUSH_STAGE  ? stage(f, c)
          : c->step == PW_FLUSH_MOVE ? move(f, c)
                                     : list(f, c);
    count(&f->write_ns, (uint64_t)(pw_mono_ns() - begin));
    return true;
}

/* --- Letting go ----------------------------------------------------------------------------------- */

static bool
is_safe(struct pw_flush *f, const struct pw_journal *j)
{
    for (uint32_t i = 0; f->cfg.is_safe != NULL && i < j->count; i++) {
        if (!f->cfg.is_safe(f->cfg.ctx, j->block[i].tenant, &j->block[i].ulid)) {
            return false;
        }
    }
    return true;
}

static bool
release(struct pw_flush *f, struct pw_flush_core *c, const struct pw_journal *j)
{
    char bytes[512] = "", quoted[512];
    struct pw_text why;
    int rc = 0;

    pw_text_fixed(&why, bytes, sizeof(bytes) - 1);
    if (f->cfg.release != NULL && j->has_mark) {
        rc = f->cfg.release(f->cfg.ctx, c->index, &j->mark);
        if (rc != 0) {
            pw_text_printf(&why, "the log: %s", pw_err_text(rc));
        }
    }
    rc = rc != 0 ? rc : pw_journal_remove(&f->dir, j, &why);
    if (rc != 0) {
        count(&f->failures, 1);
        pw_log(PW_LOG_ERROR, module, "msg=\"cannot let go of a head's log\" core=%u err=%s",
               c->index, pw_log_quote(quoted, sizeof(quoted), pw_slice_str(bytes)));
    }
    return rc == 0;
}

/* The oldest commit, which was released. */
static void
drop_first(struct pw_flush *f, struct pw_flush_core *c)
{
    struct pw_flush_commit *gone = c->first;

    c->first = gone->next;
    c->last = c->first == NULL ? NULL : c->last;
    pw_journal_fini(&gone->journal);
    free(gone);
    atomic_fetch_sub_explicit(&f->unreleased, 1, memory_order_relaxed);
}

/* Of a head cut during replay: its journal is needed while the logs that it came from are there, which is
 * until a mark of this process stands for all of them. */
static bool
is_replayed(const struct pw_flush_commit *commit)
{
    return commit->journal.has_mark && commit->journal.mark.replay != 0;
}

void
pw_flush_head_release(struct pw_flush *f, struct pw_flush_core *c)
{
    struct pw_flush_commit *commit = c->first;

    /* In the order of the log: a mark stands for everything before it. */
    while (commit != NULL && is_safe(f, &commit->journal)) {
        struct pw_flush_commit *next = commit->next;

        if (!is_replayed(commit)) {
            if (!release(f, c, &commit->journal)) {
                return;
            }
            c->released = true;
            while (c->first != commit) { /* those of replay, before it */
                char bytes[512] = "";
                struct pw_text why;

                pw_text_fixed(&why, bytes, sizeof(bytes) - 1);
                (void)!pw_journal_remove(&f->dir, &c->first->journal,
                                         &why); /* else at the next start */
                drop_first(f, c);
            }
            drop_first(f, c);
        }
        commit = next;
    }
}
