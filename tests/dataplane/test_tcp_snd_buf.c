#include "dataplane/tcp_tcb.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum { STREAM = 1 << 20, CHUNKS = 40 };

static uint8_t
byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

/* Random puts, sends, acknowledgements and rewinds against offsets into one long stream. */
static void
test_snd_buf__random_use__bytes_in_place_and_chunks_back(void **state)
{
    static uint8_t src[STREAM];
    static uint8_t got[65536];
    struct pw_pool pool;
    struct pw_snd_buf b = {0};
    uint64_t una = 0;
    uint64_t nxt = 0;
    uint64_t end = 0;

    assert_int_equal(pw_pool_init_ctl(&pool, CHUNKS, sizeof(struct pw_snd_chunk)), 0);
    for (uint64_t i = 0; i < STREAM; i++) {
        src[i] = byte_at(i);
    }
    srandom(2);
    while (una < STREAM) {
        uint32_t what = (uint32_t)random() % 8;

        if (what < 3) {
            size_t n = (size_t)random() % 5000;

            n = n < STREAM - end ? n : STREAM - end;
            end += pw_snd_put(&pool, &b, pw_slice(src + end, n), 1U << 30);
        } else if (what < 6 && nxt < end) {
            uint32_t n = 1 + (uint32_t)random() % 3000;

            n = n < end - nxt ? n : (uint32_t)(end - nxt);
            pw_snd_copy(&b, got, n);
            assert_memory_equal(got, src + nxt, n);
            nxt += n;
        } else if (what < 7 && nxt > una) {
            uint32_t n = (uint32_t)((uint64_t)random() % (nxt - una + 1));

            pw_snd_ack(&pool, &b, n);
            una += n;
        } else if (what == 7 && random() % 8 == 0) {
            pw_snd_rewind(&b); /* a timeout */
            nxt = una;
            if (end > una && random() % 2 == 0) { /* then an ACK of what had been sent before it */
                uint32_t n = (uint32_t)((uint64_t)random() % (end - una + 1));

                pw_snd_ack(&pool, &b, n);
                una += n;
                nxt = una;
                pw_snd_rewind(&b);
            }
        }
        assert_int_equal(b.bytes, end - una);
        assert_true(pw_pool_used(&pool) <= b.bytes / PW_SND_CHUNK_BYTES + 2);
    }
    assert_int_equal(pw_pool_used(&pool), 0);
    pw_pool_fini_ctl(&pool);
}

static void
test_snd_put__pool_empty__short_count_and_nothing_lost(void **state)
{
    static uint8_t src[3 * PW_SND_CHUNK_BYTES];
    struct pw_pool pool;
    struct pw_snd_buf b = {0};

    assert_int_equal(pw_pool_init_ctl(&pool, 2, sizeof(struct pw_snd_chunk)), 0);
    assert_int_equal(pw_snd_put(&pool, &b, pw_slice(src, sizeof(src)), SIZE_MAX),
                     2 * PW_SND_CHUNK_BYTES);
    assert_int_equal(pw_snd_put(&pool, &b, pw_slice(src, 1), SIZE_MAX), 0);
    pw_snd_clear(&pool, &b);
    assert_int_equal(pw_pool_used(&pool), 0);
    pw_pool_fini_ctl(&pool);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snd_buf__random_use__bytes_in_place_and_chunks_back),
        cmocka_unit_test(test_snd_put__pool_empty__short_count_and_nothing_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
