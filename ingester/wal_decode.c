/* Frames of one segment become records again: threads unpack them side by side into slots, and whichever is
 * free gives those whose turn has come to the cores, in the order of the frames. Nobody waits for another
 * while there is a frame to unpack and room to keep it. */
#include "ingester/wal_replay_priv.h"

#include "base/log.h"
#include "ingester/wal_form.h"
#include "ring/token.h"

#include <stdlib.h>

static const char module[] = "pw.ingester.wal";

enum {
    LABELS_TEXT_BYTES = 64 << 10,
    SLOT_KEEP_BYTES = 1 << 20,
};

/* --- Decode ------------------------------------------------------------------------------------- */

/* So many bytes of the slot. */
static uint8_t *
room(struct pw_wal_slot *slot, size_t bytes)
{
    if (bytes > slot->cap) {
        free(slot->buf);
        slot->cap = pw_align_up(bytes, PW_FS_BLOCK_BYTES);
        slot->buf = aligned_alloc(PW_FS_BLOCK_BYTES, slot->cap);
        slot->cap = slot->buf == NULL ? 0 : slot->cap;
    }
    return slot->buf;
}

static int
decode_raw(struct pw_wal_decoder *dec, const struct pw_wal_frame *frame, struct pw_wal_slot *slot)
{
    const struct pw_record *rec;

    if (dec->rebuilder == NULL &&
        pw_wal_rebuilder_create_cold(&dec->rebuilder, dec->r->d->hash_key) != 0) {
        return PW_ENOMEM;
    }
    rec = pw_wal_rebuild(dec->rebuilder, frame->payload);
    if (rec == NULL) {
        return PW_EINVAL;
    }
    if (room(slot, rec->bytes) == NULL) {
        return PW_ENOMEM;
    }
    memcpy(slot->buf, rec, rec->bytes);
    slot->bytes = rec->bytes;
    return 0;
}

/* 0; PW_EINVAL: no record; PW_ENOMEM. */
static int
decode(struct pw_wal_decoder *dec, const struct pw_wal_frame *frame, struct pw_wal_slot *slot)
{
    int64_t bytes;

    if (frame->type == PW_WAL_TYPE_RAW) {
        return decode_raw(dec, frame, slot);
    }
    bytes =
        frame->type == PW_WAL_TYPE_RECORD ? pw_wal_form_record_bytes(frame->payload) : PW_EINVAL;
    if (bytes < 0) {
        return PW_EINVAL;
    }
    if (room(slot, (size_t)bytes) == NULL) {
        return PW_ENOMEM;
    }
    slot->bytes = (size_t)bytes;
    return pw_wal_form_unpack(frame->payload, slot->buf, slot->bytes) == 0 ? 0 : PW_EINVAL;
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
place(struct pw_wal_decoder *dec, struct pw_wal_slot *slot, uint64_t sequence)
{
    const struct pw_wal_replay *r = dec->r;
    const struct pw_record *rec = slot->rec;
    const struct pw_record_series *s = PW_RECORD_AT(rec, struct pw_record_series, rec->series_off);

    if (rec->series_count > slot->series_cap) {
        free(slot->core);
        free(slot->series);
        slot->series_cap = rec->series_count;
        slot->core = malloc(slot->series_cap);
        slot->series = malloc(slot->series_cap * sizeof(*slot->series));
        if (slot->core == NULL || slot->series == NULL) {
            slot->series_cap = 0;
            return PW_ENOMEM;
        }
    }
    for (uint32_t i = 0; i < rec->series_count; i++) {
        uint32_t token = token_of(dec, rec, &s[i]);
        bool covered = pw_wal_covered(r->d, &r->decoding->name, sequence,
                                      pw_record_slice(rec, rec->tenant), token);

        slot->core[i] = covered ? COVERED : (uint8_t)pw_token_core(token, r->d->cfg.cores);
    }
    return 0;
}

/* Frame i of the segment into its slot, which is this thread's. */
static void
fill(struct pw_wal_decoder *dec, struct pw_wal_slot *slot, uint32_t i)
{
    const struct pw_wal_file *f = dec->r->decoding;
    const struct pw_wal_frame *frame = &f->frame[i];
    int rc;

    slot->rec = NULL;
    slot->bytes = 0;
    slot->rc = 0;
    slot->lost = frame->type == PW_WAL_TYPE_RECORD && f->has_header &&
                 f->header.hash_key != dec->r->d->hash_key;
    if (slot->lost) {
        return;
    }
    rc = decode(dec, frame, slot);
    if (rc == 0) {
        slot->rec = (const struct pw_record *)(const void *)slot->buf;
        slot->rc = place(dec, slot, frame->sequence);
    } else {
        slot->bytes = 0;
        slot->rc = rc == PW_ENOMEM ? rc : 0;
    }
}

/* --- Deliver ------------------------------------------------------------------------------------ */

/* The series of one core: the record's own table is shortened to them, and put back. */
static int
append_part(struct pw_wal_replay *r, struct pw_wal_slot *slot, struct pw_wal_mark *at, uint32_t all)
{
    /* The memory is the slot's. */
    struct pw_record *rec = (struct pw_record *)(void *)slot->buf;
    struct pw_record_series *s =
        (struct pw_record_series *)(void *)((uint8_t *)rec + rec->series_off);
    uint32_t n = 0;
    int rc;

    for (uint32_t i = 0; i < all; i++) {
        if (slot->core[i] == at->core) {
            s[n++] = slot->series[i];
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
append_all(struct pw_wal_replay *r, struct pw_wal_slot *slot, const struct pw_wal_frame *frame)
{
    const struct pw_record *rec = slot->rec;
    uint32_t all = rec->series_count;
    struct pw_wal_mark at = {.generation = r->decoding->name.generation,
                             .cores = r->d->cfg.cores,
                             .replay = 1 + r->decoding->name.core,
                             .sequence = frame->sequence};
    uint32_t covered = 0;
    int rc = 0;

    for (uint32_t i = 0; i < all; i++) {
        covered += slot->core[i] == COVERED;
    }
    r->st->covered += covered;
    if (covered == all) {
        return 0;
    }
    memcpy(slot->series, (const uint8_t *)rec + rec->series_off, all * sizeof(*slot->series));
    for (; at.core < r->d->cfg.cores && rc == 0; at.core++) {
        rc = append_part(r, slot, &at, all);
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

/* What came of the frame whose turn it is. */
static int
deliver(struct pw_wal_replay *r, struct pw_wal_slot *slot, const struct pw_wal_frame *frame)
{
    if (slot->rc != 0) {
        return slot->rc;
    }
    if (slot->rec != NULL) {
        return append_all(r, slot, frame);
    }
    if (slot->lost) {
        r->st->key_lost++;
    } else {
        malformed(r, frame);
    }
    return 0;
}

/* A record much larger than usual gives its room back. */
static void
trim(struct pw_wal_slot *slot)
{
    if (slot->cap > SLOT_KEEP_BYTES) {
        free(slot->buf);
        slot->buf = NULL;
        slot->cap = 0;
    }
}

/* --- Who does what ------------------------------------------------------------------------------ */

static struct pw_wal_slot *
slot_of(struct pw_wal_replay *r, uint32_t i)
{
    return &r->slot[i % PW_WAL_REPLAY_SLOTS];
}

/* With the mutex: the frame whose turn it is, if it is there and nobody else is at it. */
static bool
deliver_next(struct pw_wal_replay *r)
{
    struct pw_wal_slot *slot = slot_of(r, r->turn);
    uint32_t i = r->turn;
    int rc;

    if (r->delivering || i == r->decoding->frames || !slot->ready) {
        return false;
    }
    r->delivering = true;
    pthread_mutex_unlock(&r->mutex);
    rc = deliver(r, slot, &r->decoding->frame[i]);
    pthread_mutex_lock(&r->mutex);
    r->held_bytes -= slot->bytes;
    trim(slot);
    slot->ready = false;
    r->turn++;
    r->delivering = false;
    r->rc = r->rc == 0 ? rc : r->rc;
    return true;
}

/* With the mutex: the next frame, if it may be decoded ahead of its turn. */
static bool
decode_next(struct pw_wal_decoder *dec)
{
    struct pw_wal_replay *r = dec->r;
    struct pw_wal_slot *slot = slot_of(r, r->next);
    uint32_t i = r->next;

    if (i == r->decoding->frames || i - r->turn == PW_WAL_REPLAY_SLOTS ||
        (r->held_bytes > PW_WAL_REPLAY_AHEAD_BYTES && i != r->turn)) {
        return false;
    }
    r->next++;
    pthread_mutex_unlock(&r->mutex);
    fill(dec, slot, i);
    pthread_mutex_lock(&r->mutex);
    r->held_bytes += slot->bytes;
    slot->ready = true;
    return true;
}

static void *
decoder_main(void *arg)
{
    struct pw_wal_decoder *dec = arg;
    struct pw_wal_replay *r = dec->r;

    if (r->sink->thread_begins != NULL) {
        r->sink->thread_begins(r->sink->ctx);
    }
    pthread_mutex_lock(&r->mutex);
    while (r->rc == 0 && r->turn != r->decoding->frames) {
        if (r->sink->stop != NULL && atomic_load_explicit(r->sink->stop, memory_order_relaxed)) {
            r->rc = PW_EAGAIN;
        } else if (!deliver_next(r) && !decode_next(dec)) {
            r->waiting++;
            pthread_cond_wait(&r->moved, &r->mutex);
            r->waiting--;
            continue;
        }
        if (r->waiting != 0) {
            pthread_cond_signal(&r->moved); /* there may be work for one more than this thread */
        }
    }
    pthread_cond_broadcast(&r->moved);
    pthread_mutex_unlock(&r->mutex);
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
    }
    for (uint32_t i = 0; i < PW_WAL_REPLAY_SLOTS; i++) {
        free(r->slot[i].buf);
        free(r->slot[i].core);
        free(r->slot[i].series);
    }
}
