/* Work on a fiber that gives way at every checkpoint: the same result as straight work, and checkpoints
 * wherever a hostile profile lets work pile up. */
#include "pprof/profile.h"
#include "pprof/record.h"
#include "tests/pprof/corpus.h"
#include "tests/pprof/hostile.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum { SCRATCH_BYTES = 1 << 30, HOSTILE_BYTES = 2 << 20, BYTES_PER_CHECKPOINT = 128 << 10 };

struct work {
    struct pw_fiber fiber;
    struct pw_scratch scratch;
    struct pw_slice raw;
    int parsed;
    const char *err;
    enum pw_profile_reason reason;
    uint64_t digest; /* of what it came to */
};

static uint64_t
mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * 0x9E3779B97F4A7C15U + (h >> 29);
}

static uint64_t
digest(const struct pw_profile *p)
{
    uint64_t h = mix(p->sample_count, p->encoded_bytes);

    for (uint32_t i = 0; i < p->sample_count; i++) {
        h = mix(h, pw_profile_stack_of(p, i));
        h = mix(h, pw_profile_label_set_of(p, i));
        for (uint32_t v = 0; v < p->sample_type_count; v++) {
            h = mix(h, (uint64_t)pw_profile_value(p, (size_t)i * p->sample_type_count + v));
        }
    }
    for (uint32_t i = 0; i < p->stack_count; i++) {
        h = mix(h, p->stack_hash[i]);
    }
    for (uint32_t i = 0; i < p->string_count; i++) {
        h = mix(h, p->string[i].hash);
    }
    for (uint32_t i = 0; i < p->location_count; i++) {
        h = mix(h, p->location_id[i]);
    }
    for (uint32_t i = 0; i < p->function_count; i++) {
        h = mix(h, p->function[i].hash);
    }
    return h;
}

/* Of the bytes of the record that all samples make. */
static uint64_t
record_digest(const struct pw_profile *p)
{
    struct pw_label_pair pair[] = {{PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")}};
    struct pw_labels labels = {.pair = pair, .count = 1, .cap = 1};
    struct pw_record_group group = {.labels = &labels, .sample_count = p->sample_count};
    struct pw_record_source src = {
        .profile = p, .tenant = PW_SLICE_LIT("anonymous"), .group = &group, .group_count = 1};
    uint32_t *all = malloc((p->sample_count + 1) * sizeof(*all));
    size_t cap = pw_record_bytes_max(&src);
    uint8_t *out = aligned_alloc(64, pw_align_up(cap, 64));
    uint64_t h = 0;
    int64_t n;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        all[i] = i;
    }
    group.sample = all;
    memset(out, 0, cap); /* gaps between sections stay as they are */
    n = pw_record_build(&src, out, cap);
    for (int64_t i = 0; i < n; i++) {
        h = mix(h, out[i]);
    }
    free(all);
    free(out);
    return mix(h, (uint64_t)n);
}

static void
do_profile(void *arg)
{
    struct work *w = arg;
    struct pw_profile_limits lim = {.symbol_value_bytes_max = 65535, .stacktrace_depth_max = 1000};
    struct pw_profile_finding f = {0};
    struct pw_profile p;

    w->scratch.used = 0;
    w->err = NULL;
    w->parsed = pw_profile_parse(&p, &w->scratch, 42, w->raw, &w->err);
    w->digest = 0;
    if (w->parsed != 0) {
        return;
    }
    w->reason = pw_profile_validate(&p, &lim, 1, &f);
    if (w->reason == PW_PROFILE_FINE) {
        (void)pw_profile_language(&p);
        pw_profile_fix_go(&p);
        w->parsed = pw_profile_stitch_go(&p);
    }
    if (w->parsed == 0) {
        w->parsed = pw_profile_normalize(&p);
    }
    w->digest = digest(&p);
    if (w->parsed == 0) {
        w->digest = mix(w->digest, record_digest(&p));
    }
}

/* Straight, then in pieces. Gives the number of checkpoints. */
static uint64_t
both_ways(struct work *w, const char *name, struct pw_slice raw)
{
    struct work straight;
    uint64_t before = w->fiber.switches;

    w->raw = raw;
    w->scratch.fiber = NULL;
    do_profile(w);
    straight = *w;
    w->scratch.fiber = &w->fiber;
    pw_fiber_start(&w->fiber, do_profile, w);
    while (!pw_fiber_run(&w->fiber, 0)) {
    }
    if (w->parsed != straight.parsed || w->reason != straight.reason ||
        w->digest != straight.digest) {
        fail_msg("%s: not the same in pieces", name);
    }
    return w->fiber.switches - before;
}

static int
up(void **state)
{
    struct work *w = calloc(1, sizeof(*w));

    *state = w;
    return pw_fiber_init_ctl(&w->fiber) != 0 ||
           pw_scratch_init_ctl(&w->scratch, SCRATCH_BYTES) != 0;
}

static int
down(void **state)
{
    struct work *w = *state;

    pw_fiber_fini_ctl(&w->fiber);
    pw_scratch_fini_ctl(&w->scratch);
    free(w);
    return 0;
}

static void
check_file(void *arg, const char *name, struct pw_slice raw)
{
    assert_true(both_ways(arg, name, raw) > 0);
}

static void
test_profile__golden_files_in_pieces__same_as_straight(void **state)
{
    char folder[4096];
    const char *root = getenv("PW_SOURCE_ROOT");

    snprintf(folder, sizeof(folder), "%s/tests/golden/pprof", root != NULL ? root : ".");
    assert_true(corpus_each(folder, check_file, *state) >= 6);
}

static void
test_profile__hostile_in_pieces__same_as_straight_and_many_checkpoints(void **state)
{
    struct work *w = *state;
    struct pw_text t;

    pw_text_init(&t, 2 * HOSTILE_BYTES);
    for (uint32_t i = 0; i < HOSTILE_SHAPES; i++) {
        const char *name = hostile_profile(&t, i, HOSTILE_BYTES);
        uint64_t n;

        assert_false(t.failed);
        n = both_ways(w, name, pw_slice(t.ptr, t.len));
        print_message("%-32s %6llu checkpoints, %s\n", name, (unsigned long long)n,
                      w->err != NULL ? w->err : "read");
        assert_true(n >= t.len / BYTES_PER_CHECKPOINT);
    }
    pw_text_fini(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_profile__golden_files_in_pieces__same_as_straight, up,
                                        down),
        cmocka_unit_test_setup_teardown(
            test_profile__hostile_in_pieces__same_as_straight_and_many_checkpoints, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
