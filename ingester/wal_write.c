/* The writer: takes what lies in the lane, writes it with one write and one sync, says so. */
#include "ingester/wal_priv.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "ingester/wal_form.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char module[] = "pw.ingester.wal";

enum { SLEEP_NS = 100000000, SETTLED_WAIT_NS = 100000, TIMER_SLACK_NS = 1000 };

struct batch { /* entries that are to be one commit */
    const struct pw_lane_record *rec;
    uint32_t count;
    uint64_t last; /* sequence */
};

static void
add(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Of this thread. */
static uint64_t
cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The most that the entry takes in a segment. */
static size_t
bytes_max(const struct pw_wal_entry *e)
{
    return pw_wal_frame_bytes(e->type == PW_WAL_TYPE_RECORD ? pw_wal_form_bytes_max(e->bytes)
                                                            : e->bytes);
}

/* The first count entries that fit PW_WAL_BATCH_BYTES, at least one. */
static size_t
trim(struct batch *b)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < b->count; i++) {
        const struct pw_wal_entry *e = b->rec[i].data;
        size_t n = bytes_max(e);

        if (i != 0 && bytes + n > PW_WAL_BATCH_BYTES) {
            b->count = i;
            break;
        }
        bytes += n;
        b->last = e->sequence;
    }
    return bytes;
}

static int
grow(struct pw_wal *w, size_t bytes)
{
    size_t cap = pw_align_up(bytes, PW_FS_BLOCK_BYTES);
    uint8_t *p;

    if (cap <= w->batch_cap) {
        return 0;
    }
    p = aligned_alloc(PW_FS_BLOCK_BYTES, cap);
    if (p == NULL) {
        return PW_ENOMEM;
    }
    free(w->batch);
    w->batch = p;
    w->batch_cap = cap;
    return 0;
}

static size_t
put_entry(struct pw_wal *w, const struct pw_wal_entry *e, size_t at)
{
    uint8_t *head = w->batch + at;
    uint8_t *payload = head + PW_WAL_FRAME_BYTES;
    const void *src = e->borrowed != NULL ? e->borrowed : e + 1;
    size_t len = e->bytes;

    if (e->type == PW_WAL_TYPE_RECORD) {
        len = pw_wal_form_record(pw_slice(src, len), payload, pw_wal_form_bytes_max(len));
    } else {
        memcpy(payload, src, len);
    }
    struct pw_wal_frame f = {
        .sequence = e->sequence,
        .type = e->type,
        .salt = w->salt,
        .payload = pw_slice(payload, len),
    };

    pw_wal_frame_write(&f, head);
    memset(payload + len, 0, pw_align_up(len, PW_WAL_ALIGN) - len);
    return at + pw_wal_frame_bytes(len);
}

/* The segment's header, when nothing of it was written yet, and the records; padded to blocks. */
static size_t
fill(struct pw_wal *w, const struct batch *b)
{
    size_t at = 0;

    if (w->at == 0) {
        const struct pw_wal_entry *first = b->rec[0].data;
        struct pw_wal_segment seg = {
            .core = w->core,
            .cores = w->dir->cfg.cores,
            .index = w->segment.index,
            .salt = w->salt,
            .first_sequence = first->sequence,
            .stored_before = w->stored,
            .hash_key = w->dir->hash_key,
            .record_version = PW_RECORD_VERSION,
            .reused = w->segment.reused,
            .created_ns = pw_wall_ns(),
        };

        pw_wal_segment_write(&seg, w->batch);
        at = PW_WAL_HEADER_BYTES;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        at = put_entry(w, b->rec[i].data, at);
    }
    size_t end = pw_align_up(at, PW_FS_BLOCK_BYTES);

    memset(w->batch + at, 0, end - at);
    return end;
}

static void
abandon(struct pw_wal *w, int rc)
{
    pw_log(PW_LOG_ERROR, module,
           "msg=\"writing failed, the segment is abandoned\" generation=%u core=%u segment=%u "
           "offset=%llu err=\"%s\"",
           w->dir->generation, w->core, w->segment.index, (unsigned long long)w->at,
           pw_err_text(rc));
    add(&w->abandoned, 1);
    w->segment.spoiled = true;
    pw_wal_segment_end(w);
}

/* One try: into the segment at work, or into a new one. */
static int
try_write(struct pw_wal *w, const struct batch *b, size_t most)
{
    const struct pw_fs *fs = w->dir->cfg.fs;
    size_t n;
    int rc;

    if (w->segment.fd >= 0 && w->at != 0 &&
        w->at + pw_align_up(most, PW_FS_BLOCK_BYTES) > w->segment.bytes) {
        pw_wal_segment_end(w);
    }
    if (w->segment.fd < 0) {
        rc = pw_wal_segment_begin(w, pw_align_up(most, PW_FS_BLOCK_BYTES) + PW_WAL_HEADER_BYTES);
        if (rc != 0) {
            return rc;
        }
    }
    n = fill(w, b);
    rc = w->dir->cfg.sync == PW_WAL_SYNC_GROUP
             ? fs->write_sync(fs->ctx, w->segment.fd, w->batch, n, w->at)
             : pw_fs_write_all_cold(fs, w->segment.fd, w->batch, n, w->at);
    if (rc != 0) {
        /* Some of these records may be there: the segment counts as holding them, so that it is
         * kept as long as they are. */
        w->taken = b->last;
        abandon(w, rc);
        return rc;
    }
    w->at += n;
    w->taken = b->last;
    w->stored = b->last;
    add(&w->bytes, n);
    return 0;
}

static void
settle(struct pw_wal *w, uint64_t through, int status)
{
    const struct timespec ts = {.tv_nsec = SETTLED_WAIT_NS};
    struct pw_wal_settled *s;
    struct pw_bell *bell;

    atomic_store_explicit(&w->through, through, memory_order_relaxed);
    while ((s = pw_lane_reserve(w->settled, sizeof(*s))) == NULL) {
        if (atomic_load_explicit(&w->stop, memory_order_relaxed)) {
            return; /* the polling core has stopped: nobody is answered any more */
        }
        nanosleep(&ts, NULL);
    }
    *s = (struct pw_wal_settled){.through = through, .status = status};
    pw_lane_commit(w->settled, 1, sizeof(*s));
    pw_lane_flush(w->settled);
    if ((bell = atomic_load_explicit(&w->bell, memory_order_acquire)) != NULL) {
        pw_bell_ring(bell);
    }
}

static void
set_state(struct pw_wal *w, int state)
{
    int before = atomic_load_explicit(&w->state, memory_order_relaxed);

    if (state != before) {
        pw_log(state == 0 ? PW_LOG_INFO : PW_LOG_ERROR, module, "msg=\"%s\" generation=%u core=%u",
               state == 0           ? "the log takes records again"
               : state == PW_ENOSPC ? "no room on the disk of the log: pushes are refused"
                                    : "the disk of the log fails: pushes are refused",
               w->dir->generation, w->core);
        atomic_store_explicit(&w->state, state, memory_order_relaxed);
    }
}

static uint32_t
commit(struct pw_wal *w, struct batch *b)
{
    size_t most = trim(b);
    int rc = grow(w, most + PW_WAL_HEADER_BYTES);

    for (int i = 0; rc == 0 && i < PW_WAL_TRIES; i++) {
        rc = try_write(w, b, most);
        if (rc == 0) {
            break;
        }
        rc = i + 1 < PW_WAL_TRIES ? 0 : rc;
    }
    add(&w->commits, rc == 0);
    add(&w->records, rc == 0 ? b->count : 0);
    add(&w->failed_commits, rc != 0);
    if (rc != 0) {
        rc = rc == PW_ENOSPC ? PW_ENOSPC : PW_EIO;
        set_state(w, rc);
        w->probe_ns = pw_mono_ns();
    }
    settle(w, b->last, rc);
    pw_lane_release(w->lane, b->count);
    w->rec_first += b->count;
    return b->count;
}

/* Whether a segment can be had again. */
static void
probe(struct pw_wal *w)
{
    int64_t now = pw_mono_ns();

    if (w->dir->cfg.threads && now - w->probe_ns < PW_WAL_PROBE_MS * 1000000LL) {
        return;
    }
    w->probe_ns = now;
    if (w->segment.fd >= 0 || pw_wal_segment_begin(w, w->dir->cfg.segment_bytes) == 0) {
        set_state(w, 0);
    }
}

static uint32_t
step(struct pw_wal *w)
{
    if (atomic_load_explicit(&w->state, memory_order_relaxed) != 0) {
        probe(w);
    }
    if (w->rec_first == w->rec_count) {
        w->rec_first = 0;
        w->rec_count = pw_lane_pop_burst(w->lane, w->rec, PW_WAL_BATCH_RECORDS);
    }
    struct batch b = {.rec = &w->rec[w->rec_first], .count = w->rec_count - w->rec_first};

    return b.count == 0 ? 0 : commit(w, &b);
}

uint32_t
pw_wal_step_cold(struct pw_wal *w)
{
    uint32_t n = step(w);

    (void)pw_wal_housekeep(w);
    pw_wal_dir_housekeep(w->dir);
    return n;
}

/* Until the polling core wakes us; now and then to see whether the disk does better. */
static void
sleep_on_lane(struct pw_wal *w)
{
    const struct timespec ts = {.tv_nsec = SLEEP_NS};

    atomic_store_explicit(&w->sleeping, PW_WAL_ASLEEP, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* see pw_wal_flush */
    if (pw_lane_used(w->lane) == 0 && !atomic_load_explicit(&w->stop, memory_order_relaxed)) {
        syscall(SYS_futex, &w->sleeping, FUTEX_WAIT_PRIVATE, PW_WAL_ASLEEP, &ts, NULL, 0);
    }
    atomic_store_explicit(&w->sleeping, PW_WAL_AWAKE, memory_order_relaxed);
}

/* Until then, unless somebody is in a hurry: what comes meanwhile is written with one call. Waking us for each record
 * would cost the polling core a system call, and the disk's interrupt may be its too. */
static void
linger(struct pw_wal *w, int64_t until_ns)
{
    const struct timespec ts = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};

    atomic_store_explicit(&w->sleeping, PW_WAL_LINGERS, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* see pw_wal_flush */
    if (!atomic_load_explicit(&w->hurry, memory_order_relaxed) &&
        !atomic_load_explicit(&w->stop, memory_order_relaxed)) {
        syscall(SYS_futex, &w->sleeping, FUTEX_WAIT_BITSET_PRIVATE, PW_WAL_LINGERS, &ts, NULL,
                FUTEX_BITSET_MATCH_ANY);
    }
    atomic_store_explicit(&w->sleeping, PW_WAL_AWAKE, memory_order_relaxed);
}

/* When the next commit is to begin, after one of n records that began then. */
static int64_t
next_commit_ns(struct pw_wal *w, int64_t began_ns, uint32_t n)
{
    const struct pw_wal_dir *d = w->dir;

    if (d->cfg.sync == PW_WAL_SYNC_NONE) {
        return pw_mono_ns() + PW_WAL_LINGER_MS * 1000000LL;
    }
    pw_wal_pace_look(&w->pace, began_ns, pw_rdtsc(), d->idle_tsc,
                     atomic_load_explicit(&d->idle_count, memory_order_acquire));
    atomic_store_explicit(&w->gathers, pw_wal_pace_gathers(&w->pace), memory_order_relaxed);
    return began_ns + 1000LL * pw_wal_pace_us(&w->pace, n);
}

/* Everything that is to be acknowledged waits for this thread, and what it does is short: it goes before others that
 * want its CPU, and its timer is not rounded up. */
static void
hurry_up(const struct pw_wal *w)
{
    const struct sched_param sp = {.sched_priority = (int)w->dir->cfg.realtime_priority};
    int rc;

    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS); /* without it gathering takes 50 us longer */
    if (sp.sched_priority == 0) {
        return;
    }
    rc = pthread_setschedparam(pthread_self(), SCHED_FIFO, &sp);
    if (rc != 0) {
        pw_log(PW_LOG_INFO, module,
               "msg=\"the log's writer has no real-time priority\" core=%u err=\"%s\"", w->core,
               pw_err_text(-rc));
    }
}

void *
pw_wal_writer_main(void *arg)
{
    struct pw_wal *w = arg;
    uint32_t n;

    if (w->dir->cfg.thread_begins != NULL) {
        w->dir->cfg.thread_begins(w->dir->cfg.ctx);
    }
    hurry_up(w);
    do { /* until stopped and empty */
        /* Before the lane is looked at: what was put there in a hurry after that look is not forgotten. */
        (void)atomic_exchange_explicit(&w->hurry, false, memory_order_seq_cst);
        int64_t began_ns = pw_mono_ns();

        n = step(w);
        if (n == 0) {
            sleep_on_lane(w);
            continue;
        }
        atomic_store_explicit(&w->cpu_ns, cpu_ns(), memory_order_relaxed);
        int64_t next_ns = next_commit_ns(w, began_ns, n);

        if (w->rec_first == w->rec_count &&
            next_ns != began_ns) { /* else there is a commit's worth already */
            linger(w, next_ns);
        }
    } while (n != 0 || !atomic_load_explicit(&w->stop, memory_order_relaxed));
    return NULL;
}
