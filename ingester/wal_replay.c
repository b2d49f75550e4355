/* Replay, a segment at a time, and beside it the next is read and scanned:
 *
 *     read      the whole file; pieces that the disk does not give become zeros
 *     scan      frames whose sequence was not seen yet, in order; gaps and damage are named
 *     decode    threads take one frame after the other and unpack it
 *     deliver   in the order of the frames, by whichever thread is free: one series after the other to its core */
#include "ingester/wal_replay_priv.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

static const char module[] = "pw.ingester.wal";

enum { READ_PIECE = 1 << 16, PROGRESS_S = 1 };

/* --- Read --------------------------------------------------------------------------------------- */

static int
read_bytes(struct pw_wal_replay *r, int fd, uint64_t size)
{
    const struct pw_fs *fs = r->d->cfg.fs;
    struct pw_wal_file *f = r->reading;
    int64_t n;

    if (size >= f->cap) {
        free(f->bytes);
        f->cap = pw_align_up(size + 1, PW_FS_BLOCK_BYTES);
        f->bytes = aligned_alloc(PW_FS_BLOCK_BYTES, f->cap);
        if (f->bytes == NULL) {
            f->cap = 0;
            return PW_ENOMEM;
        }
    }
    f->len = size;
    n = pw_fs_read_all_cold(fs, fd, f->bytes, size, 0);
    if (n >= 0) {
        f->len = (size_t)n;
        return 0;
    }
    for (uint64_t at = 0; at < size; at += READ_PIECE) { /* the pieces that can be had */
        size_t want = size - at < READ_PIECE ? (size_t)(size - at) : READ_PIECE;

        n = pw_fs_read_all_cold(fs, fd, f->bytes + at, want, at);
        if (n != (int64_t)want) {
            memset(f->bytes + at, 0, want);
            r->st->read_errors++;
            f->pieces_lost = true;
            pw_log(PW_LOG_ERROR, module,
                   "msg=\"the disk does not give a piece of a segment\" segment=%s offset=%llu "
                   "err=\"%s\"",
                   f->text, (unsigned long long)at, pw_err_text(n < 0 ? (int)n : PW_EIO));
        }
    }
    return 0;
}

static int
load(struct pw_wal_replay *r, const struct pw_wal_name *name)
{
    const struct pw_fs *fs = r->d->cfg.fs;
    struct pw_wal_file *f = r->reading;
    char path[PW_FS_PATH_MAX];
    int rc = 0;

    f->name = *name;
    f->len = 0;
    f->frames = 0;
    f->pieces_lost = false;
    pw_wal_name_write(name, f->text);
    pw_wal_path(r->d, f->text, path);
    int fd = fs->open(fs->ctx, path, PW_FS_READ);
    int64_t size = fd < 0 ? fd : fs->size(fs->ctx, fd);

    if (size > 0) {
        rc = read_bytes(r, fd, (uint64_t)size);
    } else if (size < 0) {
        r->st->read_errors++;
        pw_log(PW_LOG_ERROR, module, "msg=\"cannot open a segment\" segment=%s err=\"%s\"", f->text,
               pw_err_text((int)size));
    }
    if (fd >= 0) {
        fs->close(fs->ctx, fd);
    }
    return rc;
}

/* --- Scan --------------------------------------------------------------------------------------- */

static void
miss(struct pw_wal_replay *r, uint64_t from, uint64_t to)
{
    from = from < r->released ? r->released : from;
    if (from >= to) {
        return;
    }
    r->st->missing += to - from;
    pw_log(PW_LOG_ERROR, module,
           "msg=\"records are missing\" generation=%u core=%u before_or_in=%s first=%llu last=%llu",
           r->reading->name.generation, r->reading->name.core, r->reading->text,
           (unsigned long long)from + 1, (unsigned long long)to);
}

static int
keep(struct pw_wal_replay *r, const struct pw_wal_frame *frame, bool first)
{
    struct pw_wal_file *f = r->reading;

    if (frame->sequence <= r->seen || frame->sequence >= r->next_first) {
        r->st->twice++;
        return 0;
    }
    if (frame->sequence > r->seen + 1 && (!first || !f->has_header)) {
        miss(r, r->seen, frame->sequence - 1);
    }
    r->seen = frame->sequence;
    if (f->frames == f->frames_cap) {
        uint32_t cap = f->frames_cap == 0 ? 1024 : 2 * f->frames_cap;
        struct pw_wal_frame *p = realloc(f->frame, cap * sizeof(*p));

        if (p == NULL) {
            return PW_ENOMEM;
        }
        f->frame = p;
        f->frames_cap = cap;
    }
    f->frame[f->frames++] = *frame;
    return 0;
}

static int
read_header(struct pw_wal_replay *r, struct pw_text *why)
{
    struct pw_wal_file *f = r->reading;
    int rc = pw_wal_segment_read(pw_slice(f->bytes, f->len), &f->header);

    f->has_header = rc == 0;
    if (rc == PW_ENOTSUP || (rc == 0 && f->header.record_version != PW_RECORD_VERSION)) {
        pw_text_printf(why,
                       "%s/%s was written by another version of pyrowire: start that one and flush "
                       "its heads, or move the file away",
                       r->d->path, f->text);
        return PW_ENOTSUP;
    }
    if (rc != 0) {
        r->st->headers_lost++;
        pw_log(PW_LOG_ERROR, module, "msg=\"a segment without an intact header\" segment=%s",
               f->text);
    } else if (f->header.stored_before > r->seen) {
        miss(r, r->seen, f->header.stored_before);
        r->seen = f->header.stored_before;
    }
    return 0;
}

static bool
all_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int
scan(struct pw_wal_replay *r, struct pw_text *why)
{
    struct pw_wal_file *f = r->reading;
    struct pw_wal_scan s;
    bool first = true;
    int rc;

    if (!f->pieces_lost &&
        all_zero(f->bytes, f->len)) { /* allocated and never begun: nobody misses it */
        char path[PW_FS_PATH_MAX];

        pw_wal_path(r->d, f->text, path);
        (void)r->d->cfg.fs->unlink(r->d->cfg.fs->ctx, path);
        return 0;
    }
    rc = pw_wal_segment_read(pw_slice(f->bytes, f->len), &f->header);
    if (rc == 0 && f->header.index != f->name.index) {
        return 0; /* named to be written over, and never begun: what it was before was let go */
    }
    r->st->segments++;
    r->st->bytes += f->len;
    rc = read_header(r, why);
    if (rc != 0) {
        return rc;
    }
    pw_wal_scan_init(&s, pw_slice(f->bytes, f->len), f->has_header ? &f->header : NULL);
    s.beyond = r->seen > r->released ? r->seen : r->released;
    while (rc == 0) { /* ends with the segment */
        switch (pw_wal_scan_next(&s)) {
        case PW_WAL_RECORD:
            rc = keep(r, &s.frame, first);
            first = false;
            continue;
        case PW_WAL_DAMAGED:
            first = false; /* what is missing before the next record was lost here */
            r->st->damaged++;
            pw_log(PW_LOG_ERROR, module,
                   "msg=\"damage in a segment, skipped\" segment=%s from=%llu to=%llu", f->text,
                   (unsigned long long)s.from, (unsigned long long)s.to);
            continue;
        case PW_WAL_TORN:
            r->st->torn++;
            pw_log(PW_LOG_WARN, module,
                   "msg=\"a segment ends in a record that was cut off\" segment=%s at=%llu",
                   f->text, (unsigned long long)s.from);
            return 0;
        case PW_WAL_END:
            return 0;
        }
    }
    return rc;
}

/* --- All of it ---------------------------------------------------------------------------------- */

static void
progress(struct pw_wal_replay *r, uint32_t done)
{
    int64_t now_ns = pw_mono_ns();

    atomic_store_explicit(&r->d->replayed_files, done, memory_order_relaxed);
    if (now_ns - r->said_ns >= PROGRESS_S * 1000000000LL) {
        r->said_ns = now_ns;
        pw_log(PW_LOG_INFO, module, "msg=\"replaying\" files=%u of=%u records=%llu", done,
               r->d->old_count, (unsigned long long)r->st->records);
    }
}

/* All of that generation is in blocks: its files are about to go, some are gone perhaps. */
static bool
let_go(const struct pw_wal_dir *d, const struct pw_wal_name *log)
{
    for (uint32_t i = 0; i < d->mark_count; i++) {
        if (log->generation < d->mark[i].generation && d->mark[i].cores == 1) {
            return true;
        }
    }
    return false;
}

/* Up to where a log was let go. */
static uint64_t
released_of(const struct pw_wal_dir *d, const struct pw_wal_name *log)
{
    for (uint32_t i = 0; i < d->mark_count; i++) {
        if (d->mark[i].generation == log->generation && d->mark[i].core == log->core) {
            return d->mark[i].sequence;
        }
    }
    return 0;
}

/* The sequence that the segment behind old[i] of its log begins with. What old[i] has from there on is of a commit that
 * failed there and was tried again: of that, some may have been lost with the power and some not, and one that was taken
 * here would hide those before it, which are intact in the next. */
static uint64_t
next_first(const struct pw_wal_dir *d, uint32_t i)
{
    const struct pw_wal_name *at = &d->old[i];
    struct pw_wal_segment seg;

    for (uint32_t k = i + 1;
         k < d->old_count && d->old[k].generation == at->generation && d->old[k].core == at->core;
         k++) {
        int rc = pw_wal_dir_header(d, &d->old[k], &seg);

        if (rc != PW_ENOENT) { /* that one was never begun */
            return rc == 0 ? seg.first_sequence : UINT64_MAX;
        }
    }
    return UINT64_MAX;
}

/* The next segment that is there, into r->reading: 1; 0 at the end; or an error. */
static int
read_next(struct pw_wal_replay *r)
{
    const struct pw_wal_dir *d = r->d;

    while (r->names < d->old_count) {
        const struct pw_wal_name *name = &d->old[r->names];
        bool first =
            r->names == 0 || name->generation != name[-1].generation || name->core != name[-1].core;

        r->names++;
        if (first) {
            r->seen = 0;
            r->released = released_of(d, name);
        }
        if (!let_go(d, name)) {
            r->next_first = next_first(d, r->names - 1);
            int rc = load(r, name);

            rc = rc == 0 && r->reading->len != 0 ? scan(r, r->why) : rc;
            return rc != 0 ? rc : 1;
        }
    }
    return 0;
}

static void *
read_main(void *arg)
{
    struct pw_wal_replay *r = arg;

    r->ahead = read_next(r);
    return NULL;
}

/* The segment that was read, beside it the next is. What comes of that. */
static int
decode_and_read(struct pw_wal_replay *r, struct pw_wal_decoder *dec)
{
    struct pw_wal_file *f = r->reading;
    pthread_t reader;
    bool beside;
    int rc;

    r->decoding = f;
    r->reading = f == &r->file[0] ? &r->file[1] : &r->file[0];
    beside = pthread_create(&reader, NULL, read_main, r) == 0;
    rc = pw_wal_decode_all(r, dec);
    if (beside) {
        pthread_join(reader, NULL);
    } else {
        read_main(r);
    }
    return rc != 0 ? rc : r->ahead;
}

static int
replay_files(struct pw_wal_replay *r, struct pw_wal_decoder *dec)
{
    int more;

    r->reading = &r->file[0];
    more = read_next(r);
    while (more > 0) { /* a segment a turn */
        uint32_t done = r->names;

        more = decode_and_read(r, dec);
        progress(r, done);
    }
    for (int i = 0; i < 2; i++) {
        free(r->file[i].bytes);
        free(r->file[i].frame);
    }
    return more;
}

static void
report(const struct pw_wal_replay_stats *st, int64_t began_ns)
{
    bool bad = st->missing + st->damaged + st->read_errors + st->malformed + st->key_lost != 0;

    pw_log(
        bad ? PW_LOG_WARN : PW_LOG_INFO, module,
        "msg=\"replayed\" segments=%llu bytes=%llu records=%llu raw=%llu covered=%llu twice=%llu "
        "missing=%llu damaged=%llu torn=%llu read_errors=%llu malformed=%llu key_lost=%llu "
        "seconds=%.3f",
        (unsigned long long)st->segments, (unsigned long long)st->bytes,
        (unsigned long long)st->records, (unsigned long long)st->raw_records,
        (unsigned long long)st->covered, (unsigned long long)st->twice,
        (unsigned long long)st->missing, (unsigned long long)st->damaged,
        (unsigned long long)st->torn, (unsigned long long)st->read_errors,
        (unsigned long long)st->malformed, (unsigned long long)st->key_lost,
        (double)(pw_mono_ns() - began_ns) / 1e9);
}

void
pw_wal_replay_progress(const struct pw_wal_dir *d, struct pw_wal_replay_progress *p)
{
    *p = (struct pw_wal_replay_progress){
        .files = atomic_load_explicit(&d->replayed_files, memory_order_relaxed),
        .files_all = d->old_count,
        .records = atomic_load_explicit(&d->replayed_records, memory_order_relaxed),
    };
}

int
pw_wal_replay_cold(struct pw_wal_dir *dir, const struct pw_wal_sink *sink,
                   struct pw_wal_replay_stats *st, struct pw_text *why)
{
    int64_t began_ns = pw_mono_ns();
    struct pw_wal_replay r = {.d = dir, .sink = sink, .st = st, .why = why, .said_ns = began_ns};
    struct pw_wal_decoder dec[PW_WAL_REPLAY_THREADS_MAX];
    int rc;

    PW_INVARIANT(sink->threads >= 1 && sink->threads <= PW_WAL_REPLAY_THREADS_MAX);
    *st = (struct pw_wal_replay_stats){0};
    pthread_mutex_init(&r.mutex, NULL);
    pthread_cond_init(&r.moved, NULL);
    rc = pw_wal_decoders_make(&r, dec);
    rc = rc != 0 ? rc : replay_files(&r, dec);
    pw_wal_decoders_free(&r, dec);
    pthread_mutex_destroy(&r.mutex);
    pthread_cond_destroy(&r.moved);
    if (rc == 0 && dir->old_count != 0) {
        report(st, began_ns);
    } else if (rc != 0 && why->len == 0) {
        pw_text_printf(why, "cannot replay %s: %s", dir->path,
                       rc == PW_ENOMEM
                           ? "a record is larger than a head may be, or memory is short: raise "
                             "-ingester.head.max-bytes"
                       : rc == PW_EAGAIN ? "told to stop; the next start begins again"
                                         : pw_err_text(rc));
    }
    return rc;
}
