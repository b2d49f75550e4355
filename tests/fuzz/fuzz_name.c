/* tests/fuzz/fuzz_name.c - the query string of /ingest with its name and time grammars.
 *
 * Input: a query string. Properties: whatever `name` is accepted, printed from what was parsed it
 * parses to the same again; no time is out of int64; nothing reads beyond the input.
 */
#include "distributor/ingest.h"

#include "base/limits.h"

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

enum { SIZE_MAX_IN = 8192 };

static void
print_and_parse(const struct pw_name *n)
{
    struct pw_label_pair pair[PW_LABELS_MAX];
    struct pw_name again = {.labels = {.pair = pair, .cap = PW_LABELS_MAX}};
    struct pw_text t;
    struct pw_text err;
    char buf[256];

    pw_text_init(&t, 1 << 20);
    /* __name__ may have put anything in the place of the application name */
    pw_text_str(&t, "x{__name__=");
    pw_text_slice(&t, n->app);
    for (uint32_t i = 0; i < n->labels.count; i++) {
        pw_text_char(&t, ',');
        pw_text_slice(&t, n->labels.pair[i].name);
        pw_text_char(&t, '=');
        pw_text_slice(&t, n->labels.pair[i].value);
    }
    pw_text_char(&t, '}');
    CHECK(!t.failed);
    pw_text_fixed(&err, buf, sizeof(buf));
    CHECK(pw_name_parse(&again, pw_slice(t.ptr, t.len), &err) == 0);
    CHECK(pw_slice_eq(again.app, n->app));
    CHECK(again.labels.count == n->labels.count);
    for (uint32_t i = 0; i < n->labels.count; i++) {
        CHECK(pw_slice_eq(again.labels.pair[i].name, n->labels.pair[i].name));
        CHECK(pw_slice_eq(again.labels.pair[i].value, n->labels.pair[i].value));
    }
    pw_text_fini(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;
    struct pw_scratch s;
    struct pw_ingest_params p;
    struct pw_text err;
    char buf[2 * SIZE_MAX_IN];
    int rc;

    if (size > SIZE_MAX_IN) {
        return 0;
    }
    copy = malloc(size == 0 ? 1 : size);
    if (size != 0) {
        memcpy(copy, data, size);
    }
    CHECK(pw_scratch_init_ctl(&s, 1 << 20) == 0);
    pw_text_fixed(&err, buf, sizeof(buf));
    rc = pw_ingest_params_parse(&p, pw_slice(copy, size), PW_SLICE_LIT(""), 1700000000000000000, &s,
                                &err);
    CHECK((rc == 0) == (err.len == 0));
    if (rc == 0) {
        print_and_parse(&p.name);
    }
    (void)pw_ingest_time(pw_slice(copy, size), INT64_MAX / 2);
    pw_scratch_fini_ctl(&s);
    free(copy);
    return 0;
}
