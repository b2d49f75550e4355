/* tests/pprof/fixture.h - scratch memory and a text to build a profile in, fresh for each test. */
#ifndef PW_TESTS_PPROF_FIXTURE_H
#define PW_TESTS_PPROF_FIXTURE_H

#include "base/text.h"
#include "pprof/profile.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum { FIXTURE_SCRATCH = 64 << 20, FIXTURE_KEY = 4711 };

struct fixture {
    struct pw_scratch scratch;
    struct pw_text wire;
    struct pw_profile p;
    const char *err;
};

static inline int
fixture_setup(void **state)
{
    struct fixture *fx = calloc(1, sizeof(*fx));

    pw_text_init(&fx->wire, 32 << 20);
    *state = fx;
    return pw_scratch_init_ctl(&fx->scratch, FIXTURE_SCRATCH);
}

static inline int
fixture_teardown(void **state)
{
    struct fixture *fx = *state;

    pw_scratch_fini_ctl(&fx->scratch);
    pw_text_fini(&fx->wire);
    free(fx);
    return 0;
}

static inline int
fixture_parse(struct fixture *fx)
{
    fx->scratch.used = 0;
    fx->err = NULL;
    return pw_profile_parse(&fx->p, &fx->scratch, FIXTURE_KEY,
                            pw_slice(fx->wire.ptr, fx->wire.len), &fx->err);
}

static inline enum pw_profile_reason
fixture_validate(struct fixture *fx, struct pw_profile_finding *f)
{
    struct pw_profile_limits none = {0};

    return pw_profile_validate(&fx->p, &none, 1, f);
}

/* Parse, validate without limits, normalise: all fine. */
static inline void
fixture_ready(struct fixture *fx)
{
    struct pw_profile_finding f = {0};

    assert_int_equal(fixture_parse(fx), 0);
    assert_int_equal(fixture_validate(fx, &f), PW_PROFILE_FINE);
    assert_int_equal(pw_profile_normalize(&fx->p), 0);
}

#define fixture_test(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

#endif
