/* The defaults of write-path.md 6, the table of overrides, and the tenant rules of section 2. */
#include "distributor/limits.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>

/* Only defaults' configs are NULL here; relabelling has tests of its own. */
static void
test_pw_overrides_get__known_and_unknown__own_or_defaults(void **state)
{
    struct pw_limits def;
    struct pw_overrides *o;
    char name[16];

    (void)state;
    pw_limits_defaults(&def);
    assert_true(def.ingestion_rate_mb == 4);
    assert_true(def.ingestion_burst_size_mb == 2);
    assert_int_equal(def.max_label_names_per_series, 30);
    assert_int_equal(def.max_profile_size_bytes, 4194304);
    o = pw_overrides_new_cold(&def);
    assert_non_null(o);
    for (uint32_t i = 0; i < 1000; i++) { /* several growths of the table */
        snprintf(name, sizeof(name), "tenant-%u", i);
        pw_overrides_tenant_cold(o, pw_slice_str(name))->max_label_name_length = i;
    }
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "tenant-%u", i);
        assert_int_equal(pw_overrides_get(o, pw_slice_str(name))->max_label_name_length, i);
        assert_ptr_equal(pw_overrides_tenant_cold(o, pw_slice_str(name)),
                         pw_overrides_get(o, pw_slice_str(name)));
    }
    assert_int_equal(pw_overrides_get(o, PW_SLICE_LIT("stranger"))->max_label_name_length, 1024);
    pw_overrides_free_cold(o);
}

struct tenant_case {
    const char *value;  /* NULL: no header */
    const char *tenant; /* NULL: refused with */
    const char *text;
};

static const struct tenant_case tenant_cases[] = {
    {NULL, NULL, "no org id"},
    {"", NULL, "no org id"},
    {"a", "a", ""},
    {"a|a", "a", ""},
    {"a|a|a", "a", ""},
    {"a|b", NULL, "multiple org IDs present"},
    {"x:product=k6", "x", ""},
    {"x:product=k6|x:other=|", NULL, "multiple org IDs present"},
    {"x:a|x:b", "x", ""},
    {"a b", NULL, "tenant ID 'a b' contains unsupported character ' '"},
    {"a/b", NULL, "tenant ID 'a/b' contains unsupported character '/'"},
    {"\xc3\xa9", NULL, "tenant ID '\xc3\xa9' contains unsupported character '\xc3\x83'"},
    {"!-_.*'()", "!-_.*'()", ""},
    {".", NULL, "tenant ID is '.' or '..'"},
    {"..", NULL, "tenant ID is '.' or '..'"},
    {"...", "...", ""},
};

static void
test_pw_tenant_from_header__table__as_written(void **state)
{
    char buf[512];

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(tenant_cases); i++) {
        const struct tenant_case *c = &tenant_cases[i];
        struct pw_slice value = c->value == NULL ? (struct pw_slice){0} : pw_slice_str(c->value);
        struct pw_slice tenant = {0};
        struct pw_text err;
        int rc;

        pw_text_fixed(&err, buf, sizeof(buf));
        rc = pw_tenant_from_header(true, value, &tenant, &err);
        assert_int_equal(rc, c->tenant == NULL ? PW_EPERM : 0);
        assert_int_equal(err.len, strlen(c->text));
        assert_memory_equal(buf, c->text, err.len);
        if (c->tenant != NULL) {
            assert_true(pw_slice_eq_str(tenant, c->tenant));
        }
        /* Off: whatever is sent, it is anonymous. */
        assert_int_equal(pw_tenant_from_header(false, value, &tenant, &err), 0);
        assert_true(pw_slice_eq_str(tenant, "anonymous"));
    }
}

static void
test_pw_tenant_from_header__length_150__last_that_fits(void **state)
{
    uint8_t name[151];
    struct pw_slice tenant;
    char buf[256];
    struct pw_text err;

    (void)state;
    memset(name, 'a', sizeof(name));
    pw_text_fixed(&err, buf, sizeof(buf));
    assert_int_equal(pw_tenant_from_header(true, pw_slice(name, 150), &tenant, &err), 0);
    assert_int_equal(pw_tenant_from_header(true, pw_slice(name, 151), &tenant, &err), PW_EPERM);
    assert_memory_equal(buf, "tenant ID is too long: max 150 characters", err.len);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_overrides_get__known_and_unknown__own_or_defaults),
        cmocka_unit_test(test_pw_tenant_from_header__table__as_written),
        cmocka_unit_test(test_pw_tenant_from_header__length_150__last_that_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
