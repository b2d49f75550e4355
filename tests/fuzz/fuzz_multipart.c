/* tests/fuzz/fuzz_multipart.c - multipart bodies.
 *
 * Up to the first LF: the Content-Type; the rest is the body. Properties: parts lie in the body, one
 * behind the other; no part's data holds a whole delimiter line; the reader always ends.
 */
#include "distributor/multipart.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *lf = size == 0 ? NULL : memchr(data, '\n', size);
    size_t head = lf == NULL ? size : (size_t)(lf - data);
    size_t len = lf == NULL ? 0 : size - head - 1;
    uint8_t *body = malloc(len == 0 ? 1 : len);
    const uint8_t *after = body;
    struct pw_multipart m;
    struct pw_multipart_part part;
    char text[512];
    struct pw_text err;

    if (len != 0) {
        memcpy(body, lf + 1, len);
    }
    if (pw_multipart_init(&m, pw_slice(data, head), pw_slice(body, len), NULL) == 0) {
        size_t parts = 0;
        int rc;

        do {
            char delim[PW_MULTIPART_BOUNDARY_MAX + 8];
            int n = snprintf(delim, sizeof(delim), "\r\n--%.*s\r\n", (int)(m.delim_len - 4),
                             (const char *)m.delim + 4);

            pw_text_fixed(&err, text, sizeof(text));
            rc = pw_multipart_next(&m, &part, &err);
            CHECK(rc == 0 || rc == 1 || rc == PW_EINVAL);
            CHECK((rc == PW_EINVAL) == (err.len != 0));
            if (rc == 1) {
                CHECK(part.data.ptr >= after && part.data.ptr + part.data.len <= body + len);
                after = part.data.ptr + part.data.len;
                CHECK(part.data.len == 0 || n <= 0 || strlen(delim) != (size_t)n ||
                      memmem(part.data.ptr, part.data.len, delim, (size_t)n) == NULL);
                CHECK(part.name.len <= PW_MULTIPART_NAME_MAX);
            }
            parts++;
        } while (rc == 1 && parts <= len + 1);
        CHECK(parts <= len + 1);
    }
    free(body);
    return 0;
}
