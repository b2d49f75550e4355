/* The signatures of the examples in the S3 API reference, "Signature Calculations for the
 * Authorization Header". */
#include "store/objstore/sigv4.h"

#include "tests/support/cmocka_pw.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HOST         "examplebucket.s3.amazonaws.com"
#define DATE         "20130524T000000Z"

static const struct pw_sigv4_key key = {
    .access_key_id = "AKIAIOSFODNN7EXAMPLE",
    .secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    .region = "us-east-1",
    .service = "s3",
};

static void
assert_signature(const struct pw_sigv4_request *req, const char *want)
{
    char buf[1024];
    struct pw_text t;

    pw_text_fixed(&t, buf, sizeof(buf) - 1);
    assert_int_equal(pw_sigv4_authorization(&key, req, &t), 0);
    buf[t.len] = 0;
    const char *signature = strstr(buf, "Signature=");
    assert_non_null(signature);
    assert_string_equal(signature + strlen("Signature="), want);
}

static void
test_authorization__get_of_a_range__is_the_example_of_the_reference(void **state)
{
    const struct pw_sigv4_header header[] = {{"host", HOST},
                                             {"range", "bytes=0-9"},
                                             {"x-amz-content-sha256", EMPTY_SHA256},
                                             {"x-amz-date", DATE}};

    assert_signature(
        &(struct pw_sigv4_request){"GET", "/test.txt", "", header, 4, EMPTY_SHA256, DATE},
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void
test_authorization__put_with_a_dollar_in_the_key__is_the_example_of_the_reference(void **state)
{
    char hash[PW_SHA256_HEX + 1], path_buf[64];
    struct pw_text path;

    assert_int_equal(pw_sha256_hex(PW_SLICE_LIT("Welcome to Amazon S3."), hash), 0);
    assert_string_equal(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    pw_text_fixed(&path, path_buf, sizeof(path_buf));
    pw_sigv4_encode(&path, PW_SLICE_LIT("/test$file.text"), true);
    pw_text_char(&path, 0);
    const struct pw_sigv4_header header[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                             {"host", HOST},
                                             {"x-amz-content-sha256", hash},
                                             {"x-amz-date", DATE},
                                             {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};

    assert_signature(&(struct pw_sigv4_request){"PUT", path_buf, "", header, 5, hash, DATE},
                     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void
test_authorization__queries__are_the_examples_of_the_reference(void **state)
{
    const struct pw_sigv4_header header[] = {
        {"host", HOST}, {"x-amz-content-sha256", EMPTY_SHA256}, {"x-amz-date", DATE}};

    assert_signature(
        &(struct pw_sigv4_request){"GET", "/", "lifecycle=", header, 3, EMPTY_SHA256, DATE},
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    assert_signature(&(struct pw_sigv4_request){"GET", "/", "max-keys=2&prefix=J", header, 3,
                                                EMPTY_SHA256, DATE},
                     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void
test_authorization__no_room__is_an_error(void **state)
{
    const struct pw_sigv4_header header[] = {{"host", HOST}};
    char buf[40];
    struct pw_text t;

    pw_text_fixed(&t, buf, sizeof(buf));
    assert_int_equal(
        pw_sigv4_authorization(
            &key, &(struct pw_sigv4_request){"GET", "/", "", header, 1, EMPTY_SHA256, DATE}, &t),
        PW_ENOSPC);
}

static void
test_encode__every_byte__keeps_the_unreserved_alone(void **state)
{
    static const uint8_t raw[] = {'a', 'Z', '9', '-', '_', '.', '~', '/', ' ', '+', '%', 0xc3, 0};
    char buf[64];
    struct pw_text t;

    pw_text_fixed(&t, buf, sizeof(buf));
    pw_sigv4_encode(&t, pw_slice(raw, sizeof(raw)), false);
    pw_text_char(&t, 0);
    assert_string_equal(buf, "aZ9-_.~%2F%20%2B%25%C3%00");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authorization__get_of_a_range__is_the_example_of_the_reference),
        cmocka_unit_test(
            test_authorization__put_with_a_dollar_in_the_key__is_the_example_of_the_reference),
        cmocka_unit_test(test_authorization__queries__are_the_examples_of_the_reference),
        cmocka_unit_test(test_authorization__no_room__is_an_error),
        cmocka_unit_test(test_encode__every_byte__keeps_the_unreserved_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
