/* Replay, a segment at a time:
 *
 *     read      the whole file; pieces that the disk does not give become zeros
 *     scan      frames whose sequence was not seen yet, in order; gaps and damage are named
 *     decode    threads take one frame after the other and unpack it
 *     deliver   in the order of the frames, whoever has decoded: one series after the other to its core */
#include "ingester/wal_replay.h"

#include "base/check.h"
#include "base/log.h"
#include "ingester/wal_form.h"
#include "ingester/wal_priv.h"
#include "ring/token.h"

#include <stdlib.h>
#include <time.h>

static const char module[] = "pw.ingester.wal";

enum { READ_PIECE = 1 << 16, LABELS_TEXT_BYTES = 64 << 10, PROGRESS_S = 1 };

struct file { /* one segment in memory */
    struct pw_wal_name name;
    char text[PW_WAL_NAME_MAX];
    uint8_t *bytes;
    size_t len;
    struct pw_wal_segment header;
    bool has_header;
    bool pieces_lost;           /* the disk did not give all of it */
    struct pw_wal_frame *frame; /* to be replayed */
    uint32_t frames, frames_cap;
};

struct replay {
    struct pw_wal_dir *d;
    const struct pw_wal_sink *sink;
    struct pw_wal_replay_stats *st;
    struct file file;
    uint64_t seen;     /* the last sequence of the log at work */
    uint64_t released; /* of that log: what is missing up to there was let go */
    time_t said;

    /* Decoding threads, under mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    uint32_t next; /* frame to decode */
    uint32_t turn; /* frame to deliver */
    int rc;
};

struct decoder { /* one thread's */
    struct replay *r;
    struct pw_wal_rebuilder *rebuilder;
    uint8_t *buf;
    size_t cap;
    uint8_t *text;
    struct pw_label_pair *pair;
    uint8_t *core; /* of each series */
    struct pw_record_series *series;
    uint32_t series_cap;
};

/* --- Read --------------------------------------------------------------------------------------- */

static int
read_bytes(struct replay *r, int fd, uint64_t size)
{
    const struct pw_fs *fs = r->d->cfg.fs;
    struct file *f = &r->file;
    int64_t n;

    f->bytes = aligned_alloc(PW_FS_BLOCK_BYTES, pw_align_up(size + 1, PW_FS_BLOCK_BYTES));
    if (f->bytes == NULL) {
        return PW_ENOMEM;
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
load(struct replay *r, const struct pw_wal_name *name)
{
    const struct pw_fs *fs = r->d->cfg.fs;
    struct file *f = &r->file;
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
miss(struct replay *r, uint64_t from, uint64_t to)
{
    from = from < r->released ? r->released : from;
    if (from >= to) {
        return;
    }
    r->st->missing += to - from;
    pw_log(PW_LOG_ERROR, module,
           "msg=\"records are missing\" generation=%u core=%u before_or_in=%s first=%llu last=%llu",
           r->file.name.generation, r->file.name.core, r->file.text, (unsigned long long)from + 1,
           (unsigned long long)to);
}

static int
keep(struct replay *r, const struct pw_wal_frame *frame, bool first)
{
    struct file *f = &r->file;

    if (frame->sequence <= r->seen) {
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
read_header(struct replay *r, struct pw_text *why)
{
    struct file *f = &r->file;
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
scan(struct replay *r, struct pw_text *why)
{
    struct file *f = &r->file;
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
    r->st->segments++;
    r->st->bytes += f->len;
    rc = read_header(r, why);
    if (rc != 0) {
        return rc;
    }
    pw_wal_scan_init(&s, pw_slice(f->bytes, f->len), f->has_header ? &f->header : NULL);
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

/* --- Decode ------------------------------------------------------------------------------------- */

static const struct pw_record *
decode(struct decoder *dec, const struct pw_wal_frame *frame)
{
    struct replay *r = dec->r;
    int64_t bytes;

    if (frame->type == PW_WAL_TYPE_RAW) {
        return dec->rebuilder == NULL &&
                       pw_wal_rebuilder_create_cold(&dec->rebuilder, r->d->hash_key) != 0
                   ? NULL
                   : pw_wal_rebuild(dec->rebuilder, frame->payload);
    }
    bytes =
        frame->type == PW_WAL_TYPE_RECORD ? pw_wal_form_record_bytes(frame->payload) : PW_EINVAL;
    if (bytes < 0) {
        return NULL;
    }
    if ((size_t)bytes > dec->cap) {
        free(dec->buf);
        dec->cap = pw_align_up((size_t)bytes, PW_FS_BLOCK_BYTES);
        dec->buf = aligned_alloc(PW_FS_BLOCK_BYTES, dec->cap);
        if (dec->buf == NULL) {
            dec->cap = 0;
            return NULL;
        }
    }
    return pw_wal_form_unpack(frame->payload, dec->buf, (size_t)bytes) == 0
               ? (const struct pw_record *)(const void *)dec->buf
               : NULL;
}

/* The ring token of a series: of its final labels, since the ones that steered the push are not kept
 * (the two differ for the labels __delta__ and __order__ only). */
static uint32_t
token_of(struct decoder *dec, const struct pw_record *rec, const struct pw_record_series *s)
{
    const struct pw_record_label *l = PW_RECORD_AT(rec, struct pw_record_label, s->labels_off);
    struct pw_labels labels = {.pair = dec->pair};
    struct pw_text t;

    labels.count = s->labels_count < 2 * PW_LABELS_MAX ? s->labels_count : 2 * PW_LABELS_MAX;
    for (uint32_t i = 0; i < labels.count; i++) {
        dec->pair[i] = (struct pw_label_pair){.name = pw_record_slice(rec, l[i].name),
                                              .value = pw_record_slice(rec, l[i].value)};
    }
    pw_text_fixed(&t, dec->text, LABELS_TEXT_BYTES);
    pw_labels_text(&labels, &t);
    return pw_token(pw_record_slice(rec, rec->tenant), pw_slice(t.ptr, t.len));
}

enum { COVERED = UINT8_MAX };
static_assert(PW_INGESTERS_MAX < COVERED, "a core's number fits");

/* The core of each series, or COVERED. */
static int
place(struct decoder *dec, const struct pw_record *rec, uint64_t sequence)
{
    const struct replay *r = dec->r;
    const struct pw_record_series *s = PW_RECORD_AT(rec, struct pw_record_series, rec->series_off);

    if (rec->series_count > dec->series_cap) {
        free(dec->core);
        free(dec->series);
        dec->series_cap = rec->series_count;
        dec->core = malloc(dec->series_cap);
        dec->series = malloc(dec->series_cap * sizeof(*dec->series));
        if (dec->core == NULL || dec->series == NULL) {
            dec->series_cap = 0;
            return PW_ENOMEM;
        }
    }
    for (uint32_t i = 0; i < rec->series_count; i++) {
        uint32_t token = token_of(dec, rec, &s[i]);
        bool covered =
            pw_wal_covered(r->d, &r->file.name, sequence, pw_record_slice(rec, rec->tenant), token);

        dec->core[i] = covered ? COVERED : (uint8_t)pw_token_core(token, r->d->cfg.cores);
    }
    return 0;
}

/* --- Deliver ------------------------------------------------------------------------------------ */

/* The series of one core: the record's own table is shortened to them, and put back. */
static int
append_part(struct decoder *dec, struct pw_record *rec, uint32_t core, uint32_t all)
{
    struct replay *r = dec->r;
    struct pw_record_series *s =
        (struct pw_record_series *)(void *)((uint8_t *)rec + rec->series_off);
    uint32_t n = 0;
    int rc;

    for (uint32_t i = 0; i < all; i++) {
        if (dec->core[i] == core) {
            s[n++] = dec->series[i];
        }
    }
    if (n == 0) {
        return 0;
    }
    rec->series_count = n;
    rc = r->sink->append(r->sink->ctx, core, rec);
    r->st->held[core] = true;
    return rc;
}

static int
deliver(struct decoder *dec, const struct pw_wal_frame *frame, const struct pw_record *rec)
{
    struct replay *r = dec->r;
    uint32_t all = rec->series_count;
    uint32_t covered = 0;
    int rc = 0;

    for (uint32_t i = 0; i < all; i++) {
        covered += dec->core[i] == COVERED;
    }
    r->st->covered += covered;
    if (covered == all) {
        return 0;
    }
    memcpy(dec->series, (const uint8_t *)rec + rec->series_off, all * sizeof(*dec->series));
    for (uint32_t c = 0; c < r->d->cfg.cores && rc == 0; c++) {
        /* The memory is this thread's. */
        rc = append_part(dec, (struct pw_record *)(uintptr_t)rec, c, all);
    }
    r->st->records++;
    r->st->raw_records += frame->type == PW_WAL_TYPE_RAW;
    return rc;
}

static void
malformed(struct replay *r, const struct pw_wal_frame *frame)
{
    r->st->malformed++;
    pw_log(PW_LOG_ERROR, module,
           "msg=\"an intact frame without a record\" segment=%s sequence=%llu", r->file.text,
           (unsigned long long)frame->sequence);
}

/* Takes the next frame; false at the end. */
static bool
take_frame(struct replay *r, uint32_t *i)
{
    bool more;

    pthread_mutex_lock(&r->mutex);
    *i = r->next;
    more = r->rc == 0 && r->next < r->file.frames;
    r->next += more;
    pthread_mutex_unlock(&r->mutex);
    return more;
}

static void *
decoder_main(void *arg)
{
    struct decoder *dec = arg;
    struct replay *r = dec->r;
    uint32_t i;

    while (take_frame(r, &i)) { /* one frame a turn */
        const struct pw_wal_frame *frame = &r->file.frame[i];
        bool lost = frame->type == PW_WAL_TYPE_RECORD && r->file.has_header &&
                    r->file.header.hash_key != r->d->hash_key;
        const struct pw_record *rec = lost ? NULL : decode(dec, frame);
        int rc = rec == NULL ? 0 : place(dec, rec, frame->sequence);

        pthread_mutex_lock(&r->mutex);
        while (r->turn != i && r->rc == 0) {
            pthread_cond_wait(&r->moved, &r->mutex);
        }
        if (r->rc == 0 && rc == 0) {
            if (lost) {
                r->st->key_lost++;
            } else if (rec == NULL) {
                malformed(r, frame);
            } else {
                rc = deliver(dec, frame, rec);
            }
        }
        r->rc = r->rc == 0 ? rc : r->rc;
        r->turn++;
        pthread_cond_broadcast(&r->moved);
        pthread_mutex_unlock(&r->mutex);
    }
    return NULL;
}

static int
decode_all(struct replay *r, struct decoder *dec)
{
    pthread_t thread[PW_WAL_REPLAY_THREADS_MAX];
    uint32_t n = 1;

    r->next = r->turn = 0;
    r->rc = 0;
    for (; n < r->sink->threads && n < r->file.frames; n++) {
        if (pthread_create(&thread[n], NULL, decoder_main, &dec[n]) != 0) {
            break; /* fewer do */
        }
    }
    decoder_main(&dec[0]);
    for (uint32_t i = 1; i < n; i++) {
        pthread_join(thread[i], NULL);
    }
    return r->rc;
}

/* --- All of it ---------------------------------------------------------------------------------- */

static void
progress(struct replay *r, uint32_t done)
{
    time_t now = time(NULL);

    if (now - r->said >= PROGRESS_S) {
        r->said = now;
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

static int
replay_files(struct replay *r, struct decoder *dec, struct pw_text *why)
{
    int rc = 0;

    for (uint32_t i = 0; i < r->d->old_count && rc == 0; i++) {
        const struct pw_wal_name *name = &r->d->old[i];

        if (i == 0 || name->generation != name[-1].generation || name->core != name[-1].core) {
            r->seen = 0;
            r->released = released_of(r->d, name);
        }
        if (let_go(r->d, name)) {
            continue;
        }
        rc = load(r, name);
        if (rc == 0 && r->file.len != 0) {
            rc = scan(r, why);
        }
        rc = rc != 0 ? rc : decode_all(r, dec);
        free(r->file.bytes);
        r->file.bytes = NULL;
        progress(r, i + 1);
    }
    return rc;
}

static int
make_decoders(struct replay *r, struct decoder *dec)
{
    bool ok = true;

    for (uint32_t i = 0; i < r->sink->threads; i++) {
        dec[i] = (struct decoder){.r = r};
        dec[i].text = malloc(LABELS_TEXT_BYTES);
        dec[i].pair = malloc(2 * PW_LABELS_MAX * sizeof(*dec[i].pair));
        ok = ok && dec[i].text != NULL && dec[i].pair != NULL;
    }
    return ok ? 0 : PW_ENOMEM;
}

static void
free_decoders(struct replay *r, struct decoder *dec)
{
    for (uint32_t i = 0; i < r->sink->threads; i++) {
        pw_wal_rebuilder_destroy_cold(dec[i].rebuilder);
        free(dec[i].text);
        free(dec[i].pair);
        free(dec[i].buf);
        free(dec[i].core);
        free(dec[i].series);
    }
}

static void
report(const struct pw_wal_replay_stats *st, const struct timespec *from)
{
    struct timespec to;

    clock_gettime(CLOCK_MONOTONIC, &to);
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
        (double)(to.tv_sec - from->tv_sec) + (double)(to.tv_nsec - from->tv_nsec) / 1e9);
}

int
pw_wal_replay_cold(struct pw_wal_dir *dir, const struct pw_wal_sink *sink,
                   struct pw_wal_replay_stats *st, struct pw_text *why)
{
    struct replay r = {.d = dir, .sink = sink, .st = st, .said = time(NULL)};
    struct decoder dec[PW_WAL_REPLAY_THREADS_MAX];
    struct timespec from;
    int rc;

    PW_INVARIANT(sink->threads >= 1 && sink->threads <= PW_WAL_REPLAY_THREADS_MAX);
    *st = (struct pw_wal_replay_stats){0};
    clock_gettime(CLOCK_MONOTONIC, &from);
    pthread_mutex_init(&r.mutex, NULL);
    pthread_cond_init(&r.moved, NULL);
    rc = make_decoders(&r, dec);
    rc = rc != 0 ? rc : replay_files(&r, dec, why);
    free_decoders(&r, dec);
    free(r.file.frame);
    pthread_mutex_destroy(&r.mutex);
    pthread_cond_destroy(&r.moved);
    if (rc == 0 && dir->old_count != 0) {
        report(st, &from);
    } else if (rc != 0 && why->len == 0) {
        pw_text_printf(why, "cannot replay %s: %s", dir->path,
                       rc == PW_ENOMEM ? "the heads are too small for it, raise "
                                         "-ingester.head.max-bytes"
                                       : pw_err_text(rc));
    }
    return rc;
}
