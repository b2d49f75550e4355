/* A profile kept as it was pushed gives the record again; a damaged one gives none, or another. */
#include "base/limits.h"
#include "base/scratch.h"
#include "ingester/wal_form.h"
#include "perf/mix.h"
#include "pprof/inflate.h"
#include "pprof/record_text.h"
#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum {
    KEY = 77,
    DEPTH_MAX = 24,
    SYMBOL_MAX = 60,
    SCRATCH = 256 << 20,
    RECORD_CAP = 8 << 20,
    TEXT_MAX = 64 << 20
};

struct made {
    struct pw_scratch scratch;
    struct pw_inflater *inflater;
    uint8_t *with, *without; /* records, with the body and without */
    uint8_t *payload;
};

/* What the distributor does with one profile, as far as it shapes a record. */
static void
make(struct made *m, struct pw_slice gz, bool go)
{
    struct pw_label_pair pair[] = {{PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
                                   {PW_SLICE_LIT("empty"), PW_SLICE_LIT("")},
                                   {PW_SLICE_LIT("service_name"), PW_SLICE_LIT("shop")}};
    struct pw_labels labels = {.pair = pair, .count = 3, .cap = 3};
    struct pw_profile_limits lim = {.stacktrace_depth_max = DEPTH_MAX,
                                    .symbol_value_bytes_max = SYMBOL_MAX};
    struct pw_profile_finding found;
    struct pw_profile *p;
    struct pw_record_raw raw = {.piece = &gz,
                                .piece_count = 1,
                                .bytes = gz.len,
                                .depth_max = DEPTH_MAX,
                                .symbol_max = SYMBOL_MAX,
                                .go = go};
    struct pw_record_group group = {.labels = &labels, .uuid = {1, 2, 3}};
    struct pw_record_source src = {
        .tenant = PW_SLICE_LIT("tenant"), .group = &group, .group_count = 1};
    const char *text;
    size_t n;

    pw_scratch_rewind(&m->scratch, 0);
    p = pw_scratch_alloc(&m->scratch, sizeof(*p));
    uint8_t *out = pw_scratch_alloc(&m->scratch, 16 << 20);

    assert_int_equal(pw_inflate(m->inflater, &gz, 1, out, 16 << 20, &n), PW_INFLATE_OK);
    assert_int_equal(pw_profile_parse(p, &m->scratch, KEY, pw_slice(out, n), &text), 0);
    p->time_nanos = 0; /* stamped by the check, as for a client without a clock */
    assert_int_equal(pw_profile_validate(p, &lim, 1700000000000000000, &found), PW_PROFILE_FINE);
    if (go) {
        pw_profile_fix_go(p);
        pw_profile_stitch_go(p);
    }
    assert_int_equal(pw_profile_normalize(p), 0);
    uint32_t *sample = pw_scratch_array(&m->scratch, p->sample_count, sizeof(*sample));

    for (uint32_t i = 0; i < p->sample_count; i++) {
        sample[i] = i;
    }
    group.sample = sample;
    group.sample_count = p->sample_count;
    src.profile = p;
    assert_true(pw_record_bytes_max(&src) <= RECORD_CAP);
    assert_true(pw_record_build(&src, m->without, RECORD_CAP) > 0);
    src.raw = &raw;
    assert_true(pw_record_bytes_max(&src) <= RECORD_CAP);
    assert_true(pw_record_build(&src, m->with, RECORD_CAP) > 0);
}

/* The same header, so the same layout; the same hashes and text. Between the sections lies anything. */
static void
expect_same(const struct pw_record *a, const struct pw_record *b)
{
    const struct pw_record_series *sa = PW_RECORD_AT(a, struct pw_record_series, a->series_off);
    const struct pw_record_series *sb = PW_RECORD_AT(b, struct pw_record_series, b->series_off);
    struct pw_text ta;
    struct pw_text tb;

    assert_memory_equal(a, b, sizeof(*a));
    assert_memory_equal(sa, sb, sizeof(*sa));
    assert_memory_equal(PW_RECORD_AT(a, uint64_t, a->stack_hashes_off),
                        PW_RECORD_AT(b, uint64_t, b->stack_hashes_off), a->stacks_count * 8ULL);
    assert_memory_equal(PW_RECORD_AT(a, uint64_t, a->location_hashes_off),
                        PW_RECORD_AT(b, uint64_t, b->location_hashes_off),
                        a->locations_count * 8ULL);
    pw_text_init(&ta, TEXT_MAX);
    pw_text_init(&tb, TEXT_MAX);
    pw_record_text_cold(a, &ta);
    pw_record_text_cold(b, &tb);
    assert_false(ta.failed);
    assert_true(ta.len > 100 && ta.len == tb.len);
    assert_memory_equal(ta.ptr, tb.ptr, ta.len);
    pw_text_fini(&ta);
    pw_text_fini(&tb);
}

static void
test_rebuild__the_mix__the_same_record(void **state)
{
    struct made m = {.with = aligned_alloc(64, RECORD_CAP),
                     .without = aligned_alloc(64, RECORD_CAP),
                     .payload = malloc(RECORD_CAP)};
    struct pw_wal_rebuilder *r;
    static struct mix mix;
    uint64_t seed = 5;

    assert_int_equal(pw_scratch_init_ctl(&m.scratch, SCRATCH), 0);
    assert_int_equal(pw_inflater_init_ctl(&m.inflater), 0);
    assert_int_equal(pw_wal_rebuilder_create_cold(&r, KEY), 0);
    mix_load(&mix, getenv("PW_MIX"));
    assert_true(mix.count >= 20);
    for (uint32_t i = 0; i < 2 * mix.count; i++) {
        make(&m, mix.gz[i / 2], i % 2 == 0);
        const struct pw_record *with = (const void *)m.with;
        const struct pw_record *without = (const void *)m.without;
        size_t n = pw_wal_form_raw_bytes(with);

        assert_int_equal(pw_wal_form_raw_bytes(without), 0);
        assert_true(n > mix.gz[i / 2].len && n < mix.gz[i / 2].len + 512);
        assert_int_equal(pw_record_check(with, with->bytes), 0);
        pw_wal_form_raw(with, m.payload);
        const struct pw_record *got = pw_wal_rebuild(r, pw_slice(m.payload, n));

        assert_non_null(got);
        assert_int_equal(got->bytes, without->bytes);
        expect_same(got, without);
        for (size_t cut = 0; cut < n; cut += 1 + n / 50) {
            assert_null(pw_wal_rebuild(r, pw_slice(m.payload, cut)));
        }
        for (uint32_t k = 0; k < 50; k++) { /* anything but a crash */
            seed = seed * 6364136223846793005U + 1;
            m.payload[(seed >> 33) % n] ^= (uint8_t)(seed >> 20);
            (void)pw_wal_rebuild(r, pw_slice(m.payload, n));
        }
    }
    pw_wal_rebuilder_destroy_cold(r);
    pw_inflater_fini_ctl(m.inflater);
    pw_scratch_fini_ctl(&m.scratch);
    free(m.with);
    free(m.without);
    free(m.payload);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rebuild__the_mix__the_same_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
