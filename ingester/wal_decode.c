/* Frames of one segment become records again: threads unpack them side by side, and each gives its own to
 * the cores in the order of the frames. */
#include "ingester/wal_replay_priv.h"

#include "base/log.h"
#include "ingester/wal_form.h"
#include "ring/token.h"

#include <stdlib.h>

static const char module[] = "pw.ingester.wal";

enum { LABELS_TEXT_BYTES = 64 << 10 };

/* --- Decode ------------------------------------------------------------------------------------- */

static const struct pw_record *
decode(struct pw_wal_decoder *dec, const struct pw_wal_frame *frame)
{
    struct pw_wal_replay *r = dec->r;
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
token_of(struct pw_wal_decoder *dec, const struct pw_record *rec, const struct pw_record_series *s)
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
place(struct pw_wal_decoder *dec, const struct pw_record *rec, uint64_t sequence)
{
    const struct pw_wal_replay *r = dec->r;
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
        bool covered = pw_wal_covered(r->d, &r->decoding->name, sequence,
                                      pw_record_slice(rec, rec->tenant), token);

        dec->core[i] = covered ? COVERED : (uint8_t)pw_token_core(token, r->d->cfg.cores);
    }
    return 0;
}

/* --- Deliver ------------------------------------------------------------------------------------ */

/* The series of one core: the record's own table is shortened to them, and put back. */
static int
append_part(struct pw_wal_decoder *dec, struct pw_record *rec, struct pw_wal_mark *at, uint32_t all)
{
    struct pw_wal_replay *r = dec->r;
    struct pw_record_series *s =
        (struct pw_record_series *)(void *)((uint8_t *)rec + rec->series_off);
    uint32_t n = 0;
    int rc;

    for (uint32_t i = 0; i < all; i++) {
        if (dec->core[i] == at->core) {
            s[n++] = dec->series[i];
        }
    }
    if (n == 0) {
        return 0;
    }
    rec->series_count = n;
    rc = r->sink->append(r->sink->ctx, at, rec);
    r->st->held[at->core] = true;
    return rc;
}

static int
deliver(struct pw_wal_decoder *dec, const struct pw_wal_frame *frame, const struct pw_record *rec)
{
    struct pw_wal_replay *r = dec->r;
    uint32_t all = rec->series_count;
    struct pw_wal_mark at = {.generation = r->decoding->name.generation,
                             .cores = r->d->cfg.cores,
                             .replay = 1 + r->decoding->name.core,
                             .sequence = frame->sequence};
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
    for (; at.core < r->d->cfg.cores && rc == 0; at.core++) {
        /* The memory is this thread's. */
        rc = append_part(dec, (struct pw_record *)(uintptr_t)rec, &at, all);
    }
    r->st->records++;
    atomic_store_explicit(&r->d->replayed_records, r->st->records, memory_order_relaxed);
    r->st->raw_records += frame->type == PW_WAL_TYPE_RAW;
    return rc;
}

static void
malformed(struct pw_wal_replay *r, const struct pw_wal_frame *frame)
{
    r->st->malformed++;
    pw_log(PW_LOG_ERROR, module,
           "msg=\"an intact frame without a record\" segment=%s sequence=%llu", r->decoding->text,
           (unsigned long long)frame->sequence);
}

/* Takes the next frame; false at the end. */
static bool
take_frame(struct pw_wal_replay *r, uint32_t *i)
{
    bool more;

    pthread_mutex_lock(&r->mutex);
    if (r->sink->stop != NULL && atomic_load_explicit(r->sink->stop, memory_order_relaxed)) {
        r->rc = r->rc == 0 ? PW_EAGAIN : r->rc;
        pthread_cond_broadcast(&r->moved);
    }
    *i = r->next;
    more = r->rc == 0 && r->next < r->decoding->frames;
    r->next += more;
    pthread_mutex_unlock(&r->mutex);
    return more;
}

static void *
decoder_main(void *arg)
{
    struct pw_wal_decoder *dec = arg;
    struct pw_wal_replay *r = dec->r;
    uint32_t i;

    if (r->sink->thread_begins != NULL) {
        r->sink->thread_begins(r->sink->ctx);
    }
    while (take_frame(r, &i)) { /* one frame a turn */
        const struct pw_wal_frame *frame = &r->decoding->frame[i];
        bool lost = frame->type == PW_WAL_TYPE_RECORD && r->decoding->has_header &&
                    r->decoding->header.hash_key != r->d->hash_key;
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

int
pw_wal_decode_all(struct pw_wal_replay *r, struct pw_wal_decoder *dec)
{
    pthread_t thread[PW_WAL_REPLAY_THREADS_MAX];
    uint32_t n = 1;

    r->next = r->turn = 0;
    r->rc = 0;
    for (; n < r->sink->threads && n < r->decoding->frames; n++) {
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

int
pw_wal_decoders_make(struct pw_wal_replay *r, struct pw_wal_decoder *dec)
{
    bool ok = true;

    for (uint32_t i = 0; i < r->sink->threads; i++) {
        dec[i] = (struct pw_wal_decoder){.r = r};
        dec[i].text = malloc(LABELS_TEXT_BYTES);
        dec[i].pair = malloc(2 * PW_LABELS_MAX * sizeof(*dec[i].pair));
        ok = ok && dec[i].text != NULL && dec[i].pair != NULL;
    }
    return ok ? 0 : PW_ENOMEM;
}

void
pw_wal_decoders_free(struct pw_wal_replay *r, struct pw_wal_decoder *dec)
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
