#include "distributor/internal.h"

enum { GZIP_HEADER_BYTES = 10 };

static void
copy_pieces(struct pw_fiber *fiber, uint8_t *to, const struct pw_slice *piece, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (piece[i].len != 0) {
            pw_fiber_copy(fiber, to, piece[i].ptr, piece[i].len);
            to += piece[i].len;
        }
        PW_FIBER_PAUSE_EVERY(fiber, i, 32);
    }
}

bool
pw_contiguous(struct pw_scratch *s, const struct pw_slice *piece, uint32_t count,
              struct pw_slice *out)
{
    size_t bytes = 0;
    uint8_t *buf;

    if (count <= 1) {
        *out = count == 0 ? PW_SLICE_LIT("") : piece[0];
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        bytes += piece[i].len;
        PW_FIBER_PAUSE_EVERY(s->fiber, i, 4096);
    }
    buf = pw_scratch_alloc(s, bytes);
    if (buf == NULL) {
        return false;
    }
    *out = pw_slice(buf, bytes);
    copy_pieces(s->fiber, buf, piece, count);
    return true;
}

static enum pw_reason
no_memory(struct pw_work *w)
{
    pw_text_str(&w->err, "profile needs more memory than this core has");
    return PW_REASON_CORE_MEMORY;
}

/* /ingest words it differently; see its callers. */
static enum pw_reason
too_large(struct pw_work *w)
{
    uint64_t max = w->limits->max_profile_size_bytes;

    if (w->to.kind == PW_ANSWER_INGEST_PPROF) {
        pw_text_printf(&w->err, "decompressed size exceeds maximum allowed size of %llu bytes",
                       (unsigned long long)max);
    } else {
        pw_text_str(&w->err, "uncompressed profile payload size exceeds limit of ");
        pw_text_size_si(&w->err, max);
    }
    pw_metrics_discard(w->stats, PW_REASON_PROFILE_SIZE_LIMIT, 1, max);
    return PW_REASON_PROFILE_SIZE_LIMIT;
}

/* Unpacks to the end of the scratch and keeps what was written. */
static enum pw_inflate_result
unpack(struct pw_work *w, const struct pw_slice *piece, uint32_t count, size_t cap,
       struct pw_slice *out)
{
    struct pw_scratch *s = w->scratch;
    uint8_t *to = s->base + s->used;
    size_t len;
    enum pw_inflate_result rc = pw_inflate(w->desk->inflater, piece, count, to, cap, &len);

    if (rc == PW_INFLATE_OK) {
        *out = pw_slice(pw_scratch_alloc(s, len), len);
    }
    pw_scratch_note(s, len);
    return rc;
}

static enum pw_reason
undecodable(struct pw_work *w, enum pw_inflate_result rc)
{
    pw_text_str(&w->err, "copy to buffer: ");
    pw_text_str(&w->err, pw_inflate_text(rc));
    return PW_REASON_UNDECODABLE;
}

enum pw_reason
pw_decode(struct pw_work *w, const struct pw_slice *piece, uint32_t piece_count, size_t bytes,
          struct pw_decoded *out)
{
    uint64_t max = w->limits->max_profile_size_bytes;
    size_t left = pw_scratch_left(w->scratch) & ~(size_t)15;
    size_t cap = max == 0 || left < max ? left : (size_t)max;
    enum pw_inflate_result rc;

    *out = (struct pw_decoded){0};
    if (bytes < GZIP_HEADER_BYTES) {
        pw_text_str(&w->err, bytes == 0 ? "gzip reset: EOF" : "gzip reset: unexpected EOF");
        return PW_REASON_UNDECODABLE;
    }
    if (pw_inflate_is_gzip(piece, piece_count)) {
        rc = unpack(w, piece, piece_count, cap, &out->bytes);
        if (rc == PW_INFLATE_OK) {
            out->raw = piece;
            out->raw_count = piece_count;
            return PW_REASON_NONE;
        }
        if (rc == PW_INFLATE_TOO_LARGE) {
            out->coded = true;
            return cap == max ? too_large(w) : no_memory(w);
        }
        if (rc != PW_INFLATE_BAD_HEADER) {
            return undecodable(w, rc);
        }
    }
    if (max != 0 && bytes > max) {
        out->coded = true;
        return too_large(w);
    }
    return pw_contiguous(w->scratch, piece, piece_count, &out->bytes) ? PW_REASON_NONE
                                                                      : no_memory(w);
}

void
pw_place_drop(struct pw_desk *desk)
{
    if (desk->placed != PW_BULK_NONE) {
        pw_bulk_free(&desk->d->fanout.bulk, desk->placed);
        desk->placed = PW_BULK_NONE;
    }
}

/* Memory for the record of a body that keeps its promise, and the body in it. */
static bool
place_body(struct pw_work *w, const struct pw_slice *piece, uint32_t count, size_t bytes)
{
    struct pw_desk *desk = w->desk;
    struct pw_bulk *bulk = &w->d->fanout.bulk;
    uint32_t promised = pw_inflate_promised(piece, count);
    uint64_t max = w->limits->max_profile_size_bytes;
    size_t cap = pw_record_place_bytes(bytes, promised);

    if (promised == 0 || promised > PW_PROFILE_BYTES_MAX || (max != 0 && promised > max)) {
        return false;
    }
    PW_INVARIANT(desk->placed == PW_BULK_NONE);
    desk->placed = pw_bulk_alloc_low(bulk, cap);
    if (desk->placed == PW_BULK_NONE) {
        return false;
    }
    desk->place = (struct pw_record_place){
        .base = pw_bulk_at(bulk, desk->placed), .cap = cap, .body_bytes = bytes};
    desk->body = pw_slice(pw_record_place_body(&desk->place), bytes);
    copy_pieces(w->scratch->fiber, pw_record_place_body(&desk->place), piece, count);
    return true;
}

enum pw_reason
pw_decode_placed(struct pw_work *w, const struct pw_slice *piece, uint32_t piece_count,
                 size_t bytes, struct pw_decoded *out)
{
    struct pw_desk *desk = w->desk;
    uint64_t max = w->limits->max_profile_size_bytes;
    enum pw_inflate_result rc;
    uint8_t *to;
    size_t cap, len;

    if (bytes < GZIP_HEADER_BYTES || !pw_inflate_is_gzip(piece, piece_count) ||
        !place_body(w, piece, piece_count, bytes)) {
        return pw_decode(w, piece, piece_count, bytes, out);
    }
    to = pw_record_place_unpacked(&desk->place);
    cap = pw_record_place_room(&desk->place);
    rc = pw_inflate(desk->inflater, &desk->body, 1, to, max == 0 || cap < max ? cap : max, &len);
    *out = (struct pw_decoded){.bytes = pw_slice(to, len), .raw = &desk->body, .raw_count = 1};
    if (rc == PW_INFLATE_OK) {
        return PW_REASON_NONE;
    }
    pw_place_drop(desk);
    if (rc == PW_INFLATE_TOO_LARGE || rc == PW_INFLATE_BAD_HEADER) { /* it lied, or is none */
        return pw_decode(w, piece, piece_count, bytes, out);
    }
    out->raw = NULL;
    return undecodable(w, rc);
}
