/* Every real pprof we have, through parse, validate, normalise and record, against protobuf-c. */
#include "pprof/profile.h"
#include "pprof/record.h"
#include "tests/pprof/corpus.h"
#include "tests/pprof/oracle.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

/* What a real profile may take: perf/bench_memory has the figures of the mix, 3 times and once. */
enum {
    SCRATCH_BYTES = 512 << 20,
    TABLES_PER_10_BYTES = 55,
    TABLES_SPARE = 4096,
    RECORD_PER_10_BYTES = 12,
    RECORD_SPARE = 2048,
};

struct fixture {
    struct pw_scratch scratch;
    uint8_t *record;
    size_t record_cap;
};

static void
check_record(struct fixture *fx, const struct pw_profile *p, const int64_t *want)
{
    struct pw_label_pair pair[] = {{PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")}};
    struct pw_labels labels = {.pair = pair, .count = 1, .cap = 1};
    struct pw_record_group group = {.labels = &labels, .sample_count = p->sample_count};
    struct pw_record_source src = {
        .profile = p, .tenant = PW_SLICE_LIT("anonymous"), .group = &group, .group_count = 1};
    uint32_t *sample = malloc((p->sample_count + 1) * sizeof(*sample));
    const struct pw_record *r = (const struct pw_record *)(const void *)fx->record;
    const struct pw_record_series *s;
    int64_t n;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        sample[i] = i;
    }
    group.sample = sample;
    assert_true(pw_record_bytes_max(&src) <= fx->record_cap);
    n = pw_record_build(&src, fx->record, pw_record_bytes_max(&src));
    assert_true(n > 0);
    assert_true((size_t)n <= p->bytes.len * RECORD_PER_10_BYTES / 10 + RECORD_SPARE);
    assert_int_equal(pw_record_check(fx->record, (size_t)n), 0);
    s = PW_RECORD_AT(r, struct pw_record_series, r->series_off);
    for (uint32_t t = 0; t < r->types_count; t++) {
        int64_t total = 0;

        for (uint32_t i = 0; i < s->samples_count; i++) {
            total += pw_record_value(r, s, i, t);
        }
        assert_int_equal(total, want[t]);
    }
    free(sample);
}

static void
check_file(void *arg, const char *name, struct pw_slice raw)
{
    struct fixture *fx = arg;
    struct pw_profile p;
    struct pw_profile_limits lim = {0};
    struct pw_profile_finding f = {0};
    Google__V1__Profile *o = google__v1__profile__unpack(NULL, raw.len, raw.ptr);
    int64_t want[PW_PROFILE_TYPES_MAX], total;
    const char *err = NULL;

    fx->scratch.used = fx->scratch.peak = 0;
    assert_non_null(o);
    assert_int_equal(pw_profile_parse(&p, &fx->scratch, 42, raw, &err), 0);
    assert_null(oracle_difference(&p, o));
    assert_int_equal(p.encoded_bytes, google__v1__profile__get_packed_size(o));
    assert_int_equal(pw_profile_validate(&p, &lim, p.time_nanos, &f), PW_PROFILE_FINE);
    assert_int_equal(pw_profile_normalize(&p), 0);
    corpus_oracle_totals(o, want);
    for (uint32_t t = 0; t < p.sample_type_count; t++) {
        total = 0;
        for (uint32_t i = 0; i < p.sample_count; i++) {
            total += pw_profile_value(&p, (size_t)i * p.sample_type_count + t);
        }
        assert_int_equal(total, want[t]);
    }
    check_record(fx, &p, want);
    assert_true(fx->scratch.peak <= raw.len * TABLES_PER_10_BYTES / 10 + TABLES_SPARE);
    print_message("%s: %u samples, %u stacks, %zu KiB scratch\n", name, p.sample_count,
                  p.stack_count, fx->scratch.peak >> 10);
    google__v1__profile__free_unpacked(o, NULL);
}

static void
run_folder(const char *folder, int at_least)
{
    struct fixture fx = {.record_cap = 64 << 20};

    assert_int_equal(pw_scratch_init_ctl(&fx.scratch, SCRATCH_BYTES), 0);
    fx.record = aligned_alloc(64, fx.record_cap);
    assert_true(corpus_each(folder, check_file, &fx) >= at_least);
    free(fx.record);
    pw_scratch_fini_ctl(&fx.scratch);
}

static void
test_profile__golden_files__equal_protobuf_c(void **state)
{
    char folder[4096];
    const char *root = getenv("PW_SOURCE_ROOT");

    snprintf(folder, sizeof(folder), "%s/tests/golden/pprof", root != NULL ? root : ".");
    run_folder(folder, 6);
}

static void
test_profile__shared_files__equal_protobuf_c(void **state)
{
    const char *folder = corpus_shared_folder();

    if (folder == NULL) {
        print_message("skipped: no shared/data/pprof beside the source (set PW_SHARED)\n");
        skip();
    }
    run_folder(folder, 43);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profile__golden_files__equal_protobuf_c),
        cmocka_unit_test(test_profile__shared_files__equal_protobuf_c),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
