/* Framing: what is written is found, and of a segment that was cut or damaged everything else is. */
#include "ingester/wal_frame.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/record_build.h"

#include <stdlib.h>

enum { RECORDS = 24, SEGMENT = 1 << 17, SALT = 77 };

struct segment {
    uint8_t *bytes;
    size_t used;
    size_t start[RECORDS], end[RECORDS]; /* of each record, with its padding to 16 */
    uint32_t count;
};

static const struct pw_wal_segment header = {
    .core = 2, .cores = 3, .index = 9, .salt = SALT, .first_sequence = 100, .hash_key = 5};

/* Record i has sequence 100 + i and a payload that only the seed and i tell; every third closes a
 * commit. */
static void
build(struct segment *s, uint64_t seed)
{
    *s = (struct segment){.bytes = aligned_alloc(PW_FS_BLOCK_BYTES, SEGMENT)};
    memset(s->bytes, 0, SEGMENT);
    pw_wal_segment_write(&header, s->bytes);
    s->used = PW_WAL_HEADER_BYTES;
    for (; s->count < RECORDS; s->count++) {
        uint8_t *at = s->bytes + s->used;
        size_t len = rb_random(&seed) % 3000;

        for (size_t i = 0; i < len; i++) {
            at[PW_WAL_FRAME_BYTES + i] = (uint8_t)rb_random(&seed);
        }
        struct pw_wal_frame f = {.sequence = 100 + s->count,
                                 .type = PW_WAL_TYPE_RAW,
                                 .salt = SALT,
                                 .payload = pw_slice(at + PW_WAL_FRAME_BYTES, len)};

        pw_wal_frame_write(&f, at);
        s->start[s->count] = s->used;
        s->used += pw_wal_frame_bytes(len);
        s->end[s->count] = s->used;
        if (s->count % 3 == 2) {
            s->used = pw_align_up(s->used, PW_FS_BLOCK_BYTES);
        }
    }
}

/* Scans len bytes; hit[i] says whether record i came. Returns the last verdict. */
static enum pw_wal_verdict
scan(const uint8_t *bytes, size_t len, bool hit[RECORDS], uint32_t *damaged)
{
    struct pw_wal_scan s;
    enum pw_wal_verdict v;
    uint64_t before = 0;

    memset(hit, 0, RECORDS);
    *damaged = 0;
    pw_wal_scan_init(&s, pw_slice(bytes, len), &header);
    while ((v = pw_wal_scan_next(&s)) == PW_WAL_RECORD || v == PW_WAL_DAMAGED) {
        if (v == PW_WAL_DAMAGED) {
            assert_true(s.from < s.to && s.to < len);
            (*damaged)++;
            continue;
        }
        assert_true(s.frame.sequence > before && s.frame.sequence < 100 + RECORDS);
        before = s.frame.sequence;
        hit[s.frame.sequence - 100] = true;
    }
    return v;
}

static void
test_segment__written__read_back(void **state)
{
    uint8_t block[PW_WAL_HEADER_BYTES];
    struct pw_wal_segment got;

    pw_wal_segment_write(&header, block);
    assert_int_equal(pw_wal_segment_read(pw_slice(block, sizeof(block)), &got), 0);
    assert_memory_equal(&got, &header, sizeof(got));
    for (size_t i = 0; i < 72; i++) {
        block[i] ^= 4;
        assert_int_equal(pw_wal_segment_read(pw_slice(block, sizeof(block)), &got), PW_EINVAL);
        block[i] ^= 4;
    }
    assert_int_equal(pw_wal_segment_read(pw_slice(block, 100), &got), PW_EINVAL);
}

static void
test_scan__whole__every_record_with_its_payload(void **state)
{
    struct segment s;
    bool hit[RECORDS];
    uint32_t damaged;

    build(&s, 1);
    assert_int_equal(scan(s.bytes, SEGMENT, hit, &damaged), PW_WAL_END);
    assert_int_equal(damaged, 0);
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_true(hit[i]);
    }
    free(s.bytes);
}

/* The file ends there, or the blocks behind were never written. */
static void
test_scan__torn_at_every_byte__all_before_and_nothing_else(void **state)
{
    struct segment s;
    bool hit[RECORDS];
    uint32_t damaged;

    build(&s, 2);
    uint8_t *cut = aligned_alloc(PW_FS_BLOCK_BYTES, SEGMENT);

    for (int kind = 0; kind < 2; kind++) {
        memcpy(cut, s.bytes, SEGMENT);
        for (size_t at = s.used; at >= PW_WAL_HEADER_BYTES; at -= kind == 0 ? 1 : 7) {
            enum pw_wal_verdict v;

            if (kind == 1) {
                memset(cut + at, 0, SEGMENT - at);
            }
            v = scan(cut, kind == 0 ? at : SEGMENT, hit, &damaged);
            assert_true(v == PW_WAL_END || v == PW_WAL_TORN);
            assert_int_equal(damaged, 0);
            for (uint32_t i = 0; i < RECORDS; i++) {
                bool padding_only = s.end[i] > at && s.end[i] - at < PW_WAL_ALIGN;

                assert_true(hit[i] == (s.end[i] <= at) || padding_only);
            }
        }
    }
    free(cut);
    free(s.bytes);
}

static void
test_scan__a_flipped_bit__only_that_record_is_missing(void **state)
{
    struct segment s;
    bool hit[RECORDS];
    uint32_t damaged;
    uint64_t seed = 3;

    build(&s, 3);
    for (int round = 0; round < 3000; round++) {
        size_t at = PW_WAL_HEADER_BYTES + rb_random(&seed) % (s.used - PW_WAL_HEADER_BYTES);
        uint8_t bit = (uint8_t)(1 << rb_random(&seed) % 8);
        enum pw_wal_verdict v;

        s.bytes[at] ^= bit;
        v = scan(s.bytes, SEGMENT, hit, &damaged);
        for (uint32_t i = 0; i < RECORDS; i++) {
            bool inside = at >= s.start[i] && at < s.end[i];
            bool in_padding = inside && s.end[i] - at < PW_WAL_ALIGN;

            assert_true(hit[i] == !inside || in_padding);
            if (inside && !hit[i]) {
                assert_int_equal(v, i + 1 == RECORDS ? PW_WAL_TORN : PW_WAL_END);
                assert_int_equal(damaged, i + 1 != RECORDS);
            }
        }
        s.bytes[at] ^= bit;
    }
    free(s.bytes);
}

static void
test_scan__of_another_segment__not_taken(void **state)
{
    struct segment s;
    struct pw_wal_segment other = header;
    struct pw_wal_scan sc;

    build(&s, 4);
    other.salt = SALT + 1;
    pw_wal_scan_init(&sc, pw_slice(s.bytes, SEGMENT), &other);
    assert_int_equal(pw_wal_scan_next(&sc), PW_WAL_TORN);
    /* Without a header the first salt found is the segment's. */
    memset(s.bytes, 0, PW_WAL_HEADER_BYTES);
    pw_wal_scan_init(&sc, pw_slice(s.bytes, SEGMENT), NULL);
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_int_equal(pw_wal_scan_next(&sc), PW_WAL_RECORD);
        assert_int_equal(sc.frame.sequence, 100 + i);
    }
    assert_int_equal(pw_wal_scan_next(&sc), PW_WAL_END);
    free(s.bytes);
}

/* The file was a segment before: its records behind ours are neither taken nor a tail; ours that is cut off is one. */
static void
test_scan__in_a_reused_file__nothing_of_before(void **state)
{
    struct segment s;
    struct pw_wal_segment now = header;
    struct pw_wal_scan sc;
    struct pw_wal_frame f = {.sequence = 500, .type = PW_WAL_TYPE_RECORD, .salt = SALT + 1};
    uint8_t payload[64] = {1, 2, 3};

    (void)state;
    build(&s, 4);
    now.salt = SALT + 1;
    now.reused = 1;
    f.payload = pw_slice(payload, sizeof(payload));
    pw_wal_segment_write(&now, s.bytes);
    assert_int_equal(pw_wal_segment_read(pw_slice(s.bytes, SEGMENT), &now), 0);
    assert_int_equal(now.reused, 1);
    pw_wal_scan_init(&sc, pw_slice(s.bytes, SEGMENT), &now);
    assert_int_equal(pw_wal_scan_next(&sc), PW_WAL_END);

    uint8_t *at = s.bytes + PW_WAL_HEADER_BYTES;

    memset(at, 0, PW_FS_BLOCK_BYTES); /* one commit, over the first of before */
    memcpy(at + PW_WAL_FRAME_BYTES, payload, sizeof(payload));
    pw_wal_frame_write(&f, at);
    pw_wal_scan_init(&sc, pw_slice(s.bytes, SEGMENT), &now);
    assert_int_equal(pw_wal_scan_next(&sc), PW_WAL_RECORD);
    assert_int_equal(sc.frame.sequence, 500);
    assert_int_equal(pw_wal_scan_next(&sc), PW_WAL_END);

    pw_wal_scan_init(&sc, pw_slice(s.bytes, SEGMENT), NULL); /* the header is lost */
    sc.beyond = 499;
    assert_int_equal(pw_wal_scan_next(&sc), PW_WAL_RECORD);
    assert_int_equal(sc.frame.sequence, 500);

    at[PW_WAL_FRAME_BYTES] ^= 1;
    pw_wal_scan_init(&sc, pw_slice(s.bytes, SEGMENT), &now);
    assert_int_equal(pw_wal_scan_next(&sc), PW_WAL_TORN);
    free(s.bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segment__written__read_back),
        cmocka_unit_test(test_scan__whole__every_record_with_its_payload),
        cmocka_unit_test(test_scan__torn_at_every_byte__all_before_and_nothing_else),
        cmocka_unit_test(test_scan__a_flipped_bit__only_that_record_is_missing),
        cmocka_unit_test(test_scan__of_another_segment__not_taken),
        cmocka_unit_test(test_scan__in_a_reused_file__nothing_of_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
