#include "store/objstore/s3_xml.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>

struct found {
    char log[512];
    int stop_at;
    int calls;
};

static int
note(void *arg, const char *key, const struct pw_object_info *info)
{
    struct found *f = arg;
    size_t n = strlen(f->log);

    snprintf(f->log + n, sizeof(f->log) - n, "%s=%ju@%jd ", key, (uintmax_t)info->size,
             (intmax_t)(info->mtime_ns / 1000000000));
    return ++f->calls == f->stop_at ? 7 : 0;
}

static const char page_xml[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
    "<Prefix>a%2F</Prefix><IsTruncated>true</IsTruncated>"
    "<NextContinuationToken>1ueGc&amp;/x=</NextContinuationToken>"
    "<Contents><Key>a%2Fx+y%25</Key><LastModified>2026-11-21T02:10:00.000Z</LastModified>"
    "<ETag>&quot;e&quot;</ETag><Size>5232</Size><Owner><ID>z</ID></Owner></Contents>"
    "<CommonPrefixes><Prefix>a%2Fdir%2F</Prefix></CommonPrefixes>"
    "<EncodingType>url</EncodingType></ListBucketResult>";

static void
test_list__page_with_encoded_keys__decodes_them_and_gives_the_token(void **state)
{
    struct found f = {.stop_at = -1};
    struct pw_s3_list_page page;

    assert_int_equal(pw_s3_xml_list(pw_slice_str(page_xml), note, &f, &page), 0);
    assert_string_equal(f.log, "a/x y%=5232@1795227000 a/dir/=0@0 ");
    assert_true(page.is_truncated);
    assert_string_equal(page.next_token, "1ueGc&/x=");
}

static void
test_list__callback_stops__returns_its_value(void **state)
{
    struct found f = {.stop_at = 1};
    struct pw_s3_list_page page;

    assert_int_equal(pw_s3_xml_list(pw_slice_str(page_xml), note, &f, &page), 7);
    assert_int_equal(f.calls, 1);
}

static void
test_list__cut_at_every_byte__is_refused(void **state)
{
    for (size_t n = 0; n < sizeof(page_xml) - 1; n++) {
        struct found f = {.stop_at = -1};
        struct pw_s3_list_page page;

        assert_int_equal(pw_s3_xml_list(pw_slice(page_xml, n), note, &f, &page), PW_EPROTO);
    }
}

static void
test_list__what_is_no_listing__is_refused(void **state)
{
    static const char *const bad[] = {
        "<Error><Code>NoSuchBucket</Code></Error>",
        "<ListBucketResult><Contents></Contents></ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%0</Key></Contents>"
        "</ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%00b</Key></Contents>"
        "</ListBucketResult>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a></"
        "a>"
        "</a></a></a></a></a></a></a></a>",
        "<this-element-has-a-name-which-is-longer-than-any-of-the-s3-api/>",
        "<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>"
        "<ListBucketResult><Contents></Contents>&b;</ListBucketResult>",
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(bad); i++) {
        struct found f = {.stop_at = -1};
        struct pw_s3_list_page page;

        assert_int_equal(pw_s3_xml_list(pw_slice_str(bad[i]), note, &f, &page), PW_EPROTO);
        assert_int_equal(f.calls, 0);
    }
}

static void
test_error__s3_error__is_read(void **state)
{
    struct pw_s3_error e;

    pw_s3_xml_error(PW_SLICE_LIT("<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong"
                                 "</Message><Region>eu-west-1</Region></Error>"),
                    &e);
    assert_string_equal(e.code, "AuthorizationHeaderMalformed");
    assert_string_equal(e.message, "wrong");
    assert_string_equal(e.region, "eu-west-1");
}

static void
test_error__html_of_a_proxy__is_empty(void **state)
{
    struct pw_s3_error e;

    pw_s3_xml_error(PW_SLICE_LIT("<html><body>502 Bad Gateway<hr></body></html>"), &e);
    assert_string_equal(e.code, "");
}

static void
test_is__only_a_whole_document_of_that_root(void **state)
{
    static const char done[] =
        "<?xml version=\"1.0\"?>\n  <CompleteMultipartUploadResult xmlns=\"x\">"
        "<ETag>e</ETag></CompleteMultipartUploadResult>";
    const char *root = "CompleteMultipartUploadResult";

    (void)state;
    assert_int_equal(pw_s3_xml_is(pw_slice_str(done), root), 0);
    for (size_t n = 0; n < sizeof(done) - 1; n++) {
        assert_int_equal(pw_s3_xml_is(pw_slice(done, n), root), PW_EPROTO);
    }
    assert_int_equal(
        pw_s3_xml_is(PW_SLICE_LIT("<html><CompleteMultipartUploadResult/></html>"), root),
        PW_EPROTO);
    assert_int_equal(pw_s3_xml_is(PW_SLICE_LIT("<Error/>"), root), PW_EPROTO);
}

static void
test_text__root_or_child__is_found(void **state)
{
    char out[16];

    assert_int_equal(pw_s3_xml_text(PW_SLICE_LIT("<LocationConstraint>eu</LocationConstraint>"),
                                    "LocationConstraint", out, sizeof(out)),
                     0);
    assert_string_equal(out, "eu");
    assert_int_equal(pw_s3_xml_text(PW_SLICE_LIT("<R><UploadId>0123456789abcdefgh</UploadId></R>"),
                                    "UploadId", out, sizeof(out)),
                     0);
    assert_string_equal(out, "0123456789abcde");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list__page_with_encoded_keys__decodes_them_and_gives_the_token),
        cmocka_unit_test(test_list__callback_stops__returns_its_value),
        cmocka_unit_test(test_list__cut_at_every_byte__is_refused),
        cmocka_unit_test(test_list__what_is_no_listing__is_refused),
        cmocka_unit_test(test_error__s3_error__is_read),
        cmocka_unit_test(test_error__html_of_a_proxy__is_empty),
        cmocka_unit_test(test_is__only_a_whole_document_of_that_root),
        cmocka_unit_test(test_text__root_or_child__is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
