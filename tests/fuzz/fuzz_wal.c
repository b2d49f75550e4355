/* Properties of what replay does with a segment's bytes: the scan ends, goes forward, and hands out only
 * what lies inside and matches its checksums; whatever a payload says, unpacking and rebuilding it give
 * a record that passes its check, or none. The first byte says what the rest is: a segment as it is, a
 * payload, or a payload that is framed before it is damaged again. */
#include "base/check.h"
#include "ingester/wal_form.h"
#include "ingester/wal_frame.h"

#include <stdlib.h>

enum { INPUT_MAX = 1 << 15, OUT_MAX = 1 << 22, SEGMENT_MAX = 1 << 18, SALT = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_payload(uint32_t type, struct pw_slice payload)
{
    static struct pw_wal_rebuilder *r;
    static uint8_t *out;
    const struct pw_record *rec;
    int64_t bytes;

    out = out != NULL ? out : aligned_alloc(64, OUT_MAX);
    if (r == NULL && pw_wal_rebuilder_create_cold(&r, 1) != 0) {
        return;
    }
    if (type % 2 == 0) {
        rec = pw_wal_rebuild(r, payload);
        PW_INVARIANT(rec == NULL || pw_record_check(rec, rec->bytes) == 0);
        return;
    }
    bytes = pw_wal_form_record_bytes(payload);
    if (bytes >= 0 && bytes <= OUT_MAX) {
        (void)!pw_wal_form_unpack(payload, out, (size_t)bytes);
    }
}

static void
try_segment(struct pw_slice bytes, const struct pw_wal_segment *seg)
{
    struct pw_wal_scan s;
    enum pw_wal_verdict v;
    size_t before = 0;

    pw_wal_scan_init(&s, bytes, seg);
    while ((v = pw_wal_scan_next(&s)) == PW_WAL_RECORD || v == PW_WAL_DAMAGED) {
        PW_INVARIANT(s.at > before && s.at <= bytes.len);
        before = s.at;
        if (v == PW_WAL_DAMAGED) {
            PW_INVARIANT(s.from < s.to && s.to < bytes.len);
            continue;
        }
        PW_INVARIANT(s.frame.payload.ptr >= bytes.ptr &&
                     s.frame.payload.ptr + s.frame.payload.len <= bytes.ptr + bytes.len);
        PW_INVARIANT(seg == NULL || s.frame.salt == seg->salt);
        try_payload(s.frame.type, s.frame.payload);
    }
    PW_INVARIANT(s.at == bytes.len);
}

/* Input: how far apart to cut it, where and how to damage. Each piece becomes a record; then a bit flips:
 * all others must be found. */
static void
try_framed(const uint8_t *data, size_t size)
{
    static uint8_t *seg;
    struct pw_wal_segment head = {.salt = SALT, .cores = 1};
    size_t at = PW_WAL_HEADER_BYTES, step, records = 0, found = 0;
    struct pw_wal_scan s;
    enum pw_wal_verdict v;

    if (size < 4) {
        return;
    }
    seg = seg != NULL ? seg : aligned_alloc(PW_FS_BLOCK_BYTES, SEGMENT_MAX);
    memset(seg, 0, SEGMENT_MAX);
    pw_wal_segment_write(&head, seg);
    step = 256 + (size_t)data[0] * 16;
    for (size_t i = 4; i < size; i += step, records++) {
        size_t n = size - i < step ? size - i : step;
        struct pw_wal_frame f = {.sequence = records + 1,
                                 .type = data[i],
                                 .salt = SALT,
                                 .payload = pw_slice(seg + at + PW_WAL_FRAME_BYTES, n)};

        memcpy(seg + at + PW_WAL_FRAME_BYTES, data + i, n);
        pw_wal_frame_write(&f, seg + at);
        at += pw_wal_frame_bytes(n);
    }
    size_t hit =
        PW_WAL_HEADER_BYTES + ((size_t)data[1] << 8 | data[2]) % (at - PW_WAL_HEADER_BYTES + 1);

    seg[hit] ^= data[3];
    pw_wal_scan_init(&s, pw_slice(seg, pw_align_up(at + 1, PW_FS_BLOCK_BYTES)), &head);
    while ((v = pw_wal_scan_next(&s)) == PW_WAL_RECORD || v == PW_WAL_DAMAGED) {
        found += v == PW_WAL_RECORD;
    }
    PW_INVARIANT(found + 1 >= records && found <= records);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    if (size < 2 || size > INPUT_MAX) {
        return 0;
    }
    switch (data[0] % 4) {
    case 0:
        copy = aligned_alloc(PW_FS_BLOCK_BYTES, pw_align_up(size, PW_FS_BLOCK_BYTES));
        memcpy(copy, data + 1, size - 1);
        {
            struct pw_wal_segment seg;
            bool has = pw_wal_segment_read(pw_slice(copy, size - 1), &seg) == 0;

            try_segment(pw_slice(copy, size - 1), has ? &seg : NULL);
        }
        free(copy);
        break;
    case 1:
        try_framed(data + 1, size - 1);
        break;
    default:
        try_payload(data[0], pw_slice(data + 1, size - 1));
    }
    return 0;
}
