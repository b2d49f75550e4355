/* Reads a page of /metrics from stdin; exit 1 with the first offending line unless it is valid. */
#include "tests/support/prom_check.h"

#include <stdio.h>

int
main(void)
{
    struct pw_text page;
    struct pw_text err;
    char buf[65536];
    size_t n;
    int rc;

    pw_text_init(&page, 256 << 20);
    pw_text_init(&err, 1 << 20);
    while ((n = fread(buf, 1, sizeof(buf), stdin)) > 0) {
        pw_text_put(&page, buf, n);
    }
    rc = page.failed || page.len == 0 ? PW_EINVAL : prom_check(pw_slice(page.ptr, page.len), &err);
    if (rc != 0) {
        fprintf(stderr, "%.*s\n", (int)err.len, err.ptr == NULL ? "" : (const char *)err.ptr);
    }
    pw_text_fini(&page);
    pw_text_fini(&err);
    return rc == 0 ? 0 : 1;
}
