/* What an S3 server, or somebody in its place, answers: no crash, and keys that a listing hands out are
 * never empty; a listing that is accepted is accepted again with the same keys; no document has two roots. */
#include "store/objstore/s3_xml.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t keys, hash;
};

static int
add(void *arg, const char *key, const struct pw_object_info *info)
{
    struct sum *s = arg;

    PW_INVARIANT(key[0] != 0 && strlen(key) < PW_S3_FIELD_MAX);
    s->keys++;
    for (const char *p = key; *p != 0; p++) {
        s->hash = s->hash * 31 + (uint8_t)*p;
    }
    s->hash += info->size;
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pw_slice xml = pw_slice(data, size);
    struct sum a = {0}, b = {0};
    struct pw_s3_list_page page;
    struct pw_s3_error e;
    char text[PW_S3_FIELD_MAX];

    int rc = pw_s3_xml_list(xml, add, &a, &page);
    PW_INVARIANT(rc == 0 || rc == PW_EPROTO);
    PW_INVARIANT(pw_s3_xml_list(xml, add, &b, &page) == rc);
    PW_INVARIANT(a.keys == b.keys && a.hash == b.hash);
    pw_s3_xml_error(xml, &e);
    PW_INVARIANT(strlen(e.code) < sizeof(e.code) && strlen(e.message) < sizeof(e.message));
    int done = pw_s3_xml_is(xml, "CompleteMultipartUploadResult");
    PW_INVARIANT(done == 0 || done == PW_EPROTO);
    PW_INVARIANT(done != 0 ||
                 (rc == PW_EPROTO && e.code[0] == 0)); /* a success is no listing and no error */
    rc = pw_s3_xml_text(xml, "UploadId", text, sizeof(text));
    PW_INVARIANT(rc == 0 || rc == PW_EPROTO);
    return 0;
}
