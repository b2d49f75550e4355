#include "ingester/wal_frame.h"

#include "base/crc32c.h"

#include <assert.h>

#define FRAME_MAGIC 0x4C415750U /* "PWAL" */

static const char segment_magic[8] = "pyrowal";

struct segment_bytes {
    char magic[8];
    uint32_t version;
    uint32_t crc; /* of everything, itself zero */
    uint32_t core, cores, index, salt;
    uint64_t first_sequence;
    uint64_t stored_before;
    uint64_t hash_key;
    int64_t created_ns;
    uint32_t record_version;
    uint32_t reused;
};
static_assert(sizeof(struct segment_bytes) == 72, "the header on disk");

struct frame_bytes {
    uint32_t magic;
    uint32_t length;
    uint64_t sequence;
    uint32_t type;
    uint32_t salt;
    uint32_t crc_payload;
    uint32_t crc_head;
};
static_assert(sizeof(struct frame_bytes) == PW_WAL_FRAME_BYTES, "the head on disk");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the log's byte order");

void
pw_wal_segment_write(const struct pw_wal_segment *seg, void *out)
{
    struct segment_bytes b = {
        .version = PW_WAL_VERSION,
        .core = seg->core,
        .cores = seg->cores,
        .index = seg->index,
        .salt = seg->salt,
        .first_sequence = seg->first_sequence,
        .stored_before = seg->stored_before,
        .hash_key = seg->hash_key,
        .created_ns = seg->created_ns,
        .record_version = seg->record_version,
        .reused = seg->reused,
    };

    memcpy(b.magic, segment_magic, sizeof(b.magic));
    b.crc = pw_crc32c(0, &b, sizeof(b));
    memset(out, 0, PW_WAL_HEADER_BYTES);
    memcpy(out, &b, sizeof(b));
}

int
pw_wal_segment_read(struct pw_slice bytes, struct pw_wal_segment *seg)
{
    struct segment_bytes b;
    uint32_t crc;

    if (bytes.len < PW_WAL_HEADER_BYTES) {
        return PW_EINVAL;
    }
    memcpy(&b, bytes.ptr, sizeof(b));
    crc = b.crc;
    b.crc = 0;
    if (memcmp(b.magic, segment_magic, sizeof(b.magic)) != 0 ||
        pw_crc32c(0, &b, sizeof(b)) != crc) {
        return PW_EINVAL;
    }
    if (b.version != PW_WAL_VERSION) {
        return PW_ENOTSUP;
    }
    *seg = (struct pw_wal_segment){
        .core = b.core,
        .cores = b.cores,
        .index = b.index,
        .salt = b.salt,
        .first_sequence = b.first_sequence,
        .stored_before = b.stored_before,
        .hash_key = b.hash_key,
        .record_version = b.record_version,
        .reused = b.reused,
        .created_ns = b.created_ns,
    };
    return 0;
}

void
pw_wal_frame_write(const struct pw_wal_frame *frame, void *out)
{
    struct frame_bytes b = {
        .magic = FRAME_MAGIC,
        .length = (uint32_t)frame->payload.len,
        .sequence = frame->sequence,
        .type = frame->type,
        .salt = frame->salt,
        .crc_payload = pw_crc32c(0, frame->payload.ptr, frame->payload.len),
    };

    b.crc_head = pw_crc32c(0, &b, offsetof(struct frame_bytes, crc_head));
    memcpy(out, &b, sizeof(b));
}

/* --- Scan --------------------------------------------------------------------------------------- */

void
pw_wal_scan_init(struct pw_wal_scan *s, struct pw_slice bytes, const struct pw_wal_segment *seg)
{
    *s = (struct pw_wal_scan){.bytes = bytes};
    s->at = bytes.len < PW_WAL_HEADER_BYTES ? bytes.len : PW_WAL_HEADER_BYTES;
    s->any_salt = seg == NULL;
    s->salt = seg == NULL ? 0 : seg->salt;
    s->reused = seg != NULL && seg->reused != 0;
}

/* The intact head of a record of this segment at `at`. */
static bool
head_at(const struct pw_wal_scan *s, size_t at, struct frame_bytes *b)
{
    size_t left = s->bytes.len - at;

    if (left < sizeof(*b)) {
        return false;
    }
    memcpy(b, s->bytes.ptr + at, sizeof(*b));
    return b->magic == FRAME_MAGIC && b->length <= left - sizeof(*b) &&
           (s->any_salt ? b->sequence > s->beyond : b->salt == s->salt) &&
           pw_crc32c(0, b, offsetof(struct frame_bytes, crc_head)) == b->crc_head;
}

/* An intact record at `at`. */
static bool
frame_at(const struct pw_wal_scan *s, size_t at, struct pw_wal_frame *f)
{
    struct frame_bytes b;

    if (!head_at(s, at, &b)) {
        return false;
    }
    *f = (struct pw_wal_frame){
        .sequence = b.sequence,
        .type = b.type,
        .salt = b.salt,
        .payload = pw_slice(s->bytes.ptr + at + sizeof(b), b.length),
    };
    return pw_crc32c(0, f->payload.ptr, f->payload.len) == b.crc_payload;
}

static bool
zeros(const uint8_t *p, size_t n)
{
    while (n > 0 && *p == 0) {
        p++;
        n--;
    }
    return n == 0;
}

/* Where the next intact record starts, at or behind `at`; the length of the segment when there is
 * none. Only the first bytes of a place decide before a checksum is taken, so zeros go by fast. */
static size_t
next_frame(const struct pw_wal_scan *s, size_t at)
{
    struct pw_wal_frame f;

    for (; at + PW_WAL_FRAME_BYTES <= s->bytes.len; at += PW_WAL_ALIGN) {
        uint32_t magic;

        memcpy(&magic, s->bytes.ptr + at, sizeof(magic));
        if (magic == FRAME_MAGIC && frame_at(s, at, &f)) {
            return at;
        }
    }
    return s->bytes.len;
}

static enum pw_wal_verdict
take(struct pw_wal_scan *s, size_t at)
{
    size_t end = at + PW_WAL_FRAME_BYTES + pw_align_up(s->frame.payload.len, PW_WAL_ALIGN);

    s->salt = s->frame.salt;
    s->any_salt = false;
    s->at = end < s->bytes.len ? end : s->bytes.len;
    return PW_WAL_RECORD;
}

enum pw_wal_verdict
pw_wal_scan_next(struct pw_wal_scan *s)
{
    struct frame_bytes head;
    size_t at = s->at;
    size_t next;

    if (frame_at(s, at, &s->frame)) {
        return take(s, at);
    }
    /* The end of a commit: padding to its block, the next one begins there. */
    next = pw_align_up(at, PW_FS_BLOCK_BYTES);
    next = next < s->bytes.len ? next : s->bytes.len;
    if (next > at && zeros(s->bytes.ptr + at, next - at) && frame_at(s, next, &s->frame)) {
        return take(s, next);
    }
    bool begun = s->reused && (head_at(s, at, &head) || head_at(s, next, &head));

    next = next_frame(s, at);
    s->from = at;
    s->to = next;
    s->at = next;
    if (next < s->bytes.len) {
        return PW_WAL_DAMAGED;
    }
    if (s->reused) { /* what it was before is not a tail */
        return begun ? PW_WAL_TORN : PW_WAL_END;
    }
    return zeros(s->bytes.ptr + at, s->bytes.len - at) ? PW_WAL_END : PW_WAL_TORN;
}
