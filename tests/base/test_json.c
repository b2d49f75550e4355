#include "base/json.h"

#include "tests/support/cmocka_pw.h"

static void
test_json__nested__commas_in_place(void **state)
{
    struct pw_text t;
    struct pw_json j;
    const char *want = "{\"a\":[1,\"2\",{\"b\":null}],\"c\":[],\"d\":{},\"e\":0.1,\"f\":\"Zg==\"}";

    pw_text_init(&t, 1000);
    pw_json_init(&j, &t);
    pw_json_object(&j);
    pw_json_key(&j, "a");
    pw_json_array(&j);
    pw_json_i64(&j, 1);
    pw_json_i64_string(&j, 2);
    pw_json_object(&j);
    pw_json_key(&j, "b");
    pw_json_null(&j);
    pw_json_object_end(&j);
    pw_json_array_end(&j);
    pw_json_key(&j, "c");
    pw_json_array(&j);
    pw_json_array_end(&j);
    pw_json_key(&j, "d");
    pw_json_object(&j);
    pw_json_object_end(&j);
    pw_json_key(&j, "e");
    pw_json_double(&j, 0.1);
    pw_json_key(&j, "f");
    pw_json_base64(&j, PW_SLICE_LIT("f"));
    pw_json_object_end(&j);
    assert_int_equal(t.len, strlen(want));
    assert_memory_equal(t.ptr, want, t.len);
    pw_text_fini(&t);
}

static void
test_base64_decode__rows(void **state)
{
    static const struct {
        const char *in;
        int rc;
        const char *out;
    } rows[] = {
        {"", 0, ""},          {"Zg==", 0, "f"},       {"Zg", 0, "f"},
        {"Zm8=", 0, "fo"},    {"Zm9v", 0, "foo"},     {"-_-_", 0, "\xfb\xff\xbf"},
        {"Z", PW_EINVAL, ""}, {"Zg=", PW_EINVAL, ""}, {"Z*==", PW_EINVAL, ""},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        uint8_t out[16];
        size_t n = 0;
        int rc = pw_base64_decode(pw_slice_str(rows[i].in), out, sizeof(out), &n);

        assert_int_equal(rc, rows[i].rc);
        assert_int_equal(n, strlen(rows[i].out));
        assert_memory_equal(out, rows[i].out, n);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__nested__commas_in_place),
        cmocka_unit_test(test_base64_decode__rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
