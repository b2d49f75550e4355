/* The polling core's side of a log: nothing here waits, allocates or calls the kernel, but for one
 * futex wake when the writer sleeps. */
#include "ingester/wal_priv.h"

#include "base/check.h"
#include "ingester/wal_form.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static void
bump(_Atomic uint64_t *c)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* The durable form: as it was pushed where that is there and fits (copied, it is the smallest), else
 * the record itself. */
int
pw_wal_reserve(struct pw_wal *w, const struct pw_record *rec, bool borrow)
{
    int state = atomic_load_explicit(&w->state, memory_order_relaxed);
    size_t max = pw_lane_record_bytes_max(w->lane) - sizeof(struct pw_wal_entry);
    size_t raw = pw_wal_form_raw_bytes(rec);
    struct pw_wal_entry *e;

    PW_INVARIANT(w->reserved == 0);
    if (state != 0) {
        bump(state == PW_ENOSPC ? &w->refused_full : &w->refused_error);
        return state;
    }
    raw = raw > max ? 0 : raw;
    borrow = borrow && raw == 0;
    if (raw == 0 && !borrow && rec->bytes > max) {
        return PW_EMSGSIZE;
    }
    size_t bytes = sizeof(*e) + (borrow ? 0 : raw != 0 ? raw : rec->bytes);

    e = pw_lane_reserve(w->lane, (uint32_t)bytes);
    if (e == NULL) {
        return PW_EAGAIN;
    }
    *e = (struct pw_wal_entry){
        .sequence = atomic_load_explicit(&w->sequence, memory_order_relaxed) + 1,
        .borrowed = borrow ? rec : NULL,
        .bytes = raw != 0 ? (uint32_t)raw : rec->bytes,
        .type = raw != 0 ? PW_WAL_TYPE_RAW : PW_WAL_TYPE_RECORD,
    };
    if (raw != 0) {
        pw_wal_form_raw(rec, (uint8_t *)(e + 1));
    } else if (!borrow) {
        memcpy(e + 1, rec, rec->bytes);
    }
    w->reserved = bytes;
    w->reserved_raw = raw != 0;
    w->waits = w->dir->cfg.sync == PW_WAL_SYNC_GROUP || borrow;
    w->hastens = w->dir->cfg.sync == PW_WAL_SYNC_NONE && borrow;
    return 0;
}

uint64_t
pw_wal_commit(struct pw_wal *w)
{
    uint64_t sequence = atomic_load_explicit(&w->sequence, memory_order_relaxed) + 1;

    PW_INVARIANT(w->reserved != 0);
    pw_lane_commit(w->lane, PW_WAL_TYPE_RECORD, (uint32_t)w->reserved);
    w->lingering += w->reserved;
    w->urgent |= w->hastens;
    w->reserved = 0;
    if (w->reserved_raw) {
        bump(&w->raw_records);
    }
    atomic_store_explicit(&w->sequence, sequence, memory_order_relaxed);
    return sequence;
}

void
pw_wal_cancel(struct pw_wal *w)
{
    PW_INVARIANT(w->reserved != 0);
    pw_lane_cancel(w->lane);
    w->reserved = 0;
}

void
pw_wal_hasten(struct pw_wal *w)
{
    w->urgent |= !atomic_load_explicit(&w->gathers, memory_order_relaxed);
}

void
pw_wal_flush(struct pw_wal *w)
{
    pw_lane_flush(w->lane);
    if (w->urgent || w->lingering > w->dir->cfg.buffer_bytes / 4) {
        w->lingering = 0;
        w->urgent = false;
        atomic_store_explicit(&w->hurry, true, memory_order_relaxed);
    }
    /* The writer says that it sleeps and then looks into the lane once more; we fill the lane and then
     * look whether it sleeps. With a full fence in each, one of the two sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t sleeping = atomic_load_explicit(&w->sleeping, memory_order_relaxed);

    if (sleeping == PW_WAL_ASLEEP ||
        (sleeping == PW_WAL_LINGERS && atomic_load_explicit(&w->hurry, memory_order_relaxed))) {
        atomic_store_explicit(&w->sleeping, PW_WAL_AWAKE, memory_order_relaxed);
        syscall(SYS_futex, &w->sleeping, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

bool
pw_wal_waits(const struct pw_wal *w)
{
    return w->waits;
}

bool
pw_wal_settled(struct pw_wal *w, struct pw_wal_settled *s)
{
    struct pw_lane_record rec;

    if (pw_lane_pop_burst(w->settled, &rec, 1) == 0) {
        return false;
    }
    memcpy(s, rec.data, sizeof(*s));
    pw_lane_release(w->settled, 1);
    return true;
}

void
pw_wal_mark(const struct pw_wal *w, struct pw_wal_mark *mark)
{
    *mark = (struct pw_wal_mark){
        .generation = w->dir->generation,
        .cores = w->dir->cfg.cores,
        .core = w->core,
        .sequence = atomic_load_explicit(&w->sequence, memory_order_relaxed),
    };
}
