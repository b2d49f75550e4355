/* store/objstore/s3_xml.h - the XML answers of S3 that pyrowire reads.
 *
 * Purpose  ListBucketResult, Error, LocationConstraint, InitiateMultipartUploadResult,
 *          CompleteMultipartUploadResult; expat does the XML.
 * Owner    pure; strings of a result live in the caller's struct or only during the callback.
 * Context  storage and query threads.
 * Units    bytes; modification times in ns since 1970.
 * Errors   PW_EPROTO for what is no such document (hostile or cut), a callback's own value otherwise.
 * Limits   PW_S3_FIELD_MAX a text, PW_S3_XML_DEPTH_MAX levels; entities are refused by expat's own
 *          amplification limit.
 */
#ifndef PW_STORE_OBJSTORE_S3_XML_H
#define PW_STORE_OBJSTORE_S3_XML_H

#include "store/objstore/objstore.h"

enum { PW_S3_FIELD_MAX = 4 * PW_OBJECT_KEY_MAX, PW_S3_XML_DEPTH_MAX = 16 };

struct pw_s3_list_page {
    bool is_truncated;
    char next_token[PW_S3_FIELD_MAX]; /* "" none */
};

struct pw_s3_error {
    char code[64];
    char message[256];
    char region[64]; /* of AuthorizationHeaderMalformed */
};

/* Calls found for each object and common prefix of the page, in document order; keys are decoded when
 * the document says encoding-type=url. */
PW_MUST_USE int pw_s3_xml_list(struct pw_slice xml, pw_objstore_found_fn *found, void *arg,
                               struct pw_s3_list_page *page);
/* A document that is no S3 error leaves *e empty. */
void pw_s3_xml_error(struct pw_slice xml, struct pw_s3_error *e);
/* The text of element `name` below the root or of the root itself ("" when it is empty or missing). */
PW_MUST_USE int pw_s3_xml_text(struct pw_slice xml, const char *name, char *out, size_t cap);
/* PW_EPROTO: no whole document whose root is that element. */
PW_MUST_USE int pw_s3_xml_is(struct pw_slice xml, const char *root);

#endif
