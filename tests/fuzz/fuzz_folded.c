/* tests/fuzz/fuzz_folded.c - folded stacks to pprof.
 *
 * Property: what we encode, protobuf-c and our own reader decode: one sample a record, and the sum of
 * the values is the sum of the counts.
 */
#include "distributor/folded.h"
#include "pprof/profile.h"

#include <profile.pb-c.h>
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

enum { SCRATCH = 64 << 20, SIZE_MAX_IN = 1 << 18 };

/* The grammar again, the slow and obvious way. */
static void
count_records(const uint8_t *p, size_t n, uint64_t *records, uint64_t *sum)
{
    const uint8_t *end = p + n;

    *records = *sum = 0;
    while (p < end) {
        const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
        const uint8_t *stop = lf == NULL ? end : lf;
        const uint8_t *space;

        if (stop - p > PW_FOLDED_LINE_MAX) {
            return;
        }
        space = memrchr(p, ' ', (size_t)(stop - p - (stop > p && stop[-1] == '\r' ? 1 : 0)));
        if (space != NULL) {
            (*records)++;
            *sum += (uint64_t)strtoll((const char *)space + 1, NULL, 10);
        }
        p = lf == NULL ? end : lf + 1;
    }
}

static void
check_encoded(struct pw_slice enc, const uint8_t *data, size_t size, struct pw_scratch *s)
{
    Google__V1__Profile *m = google__v1__profile__unpack(NULL, enc.len, enc.ptr);
    struct pw_profile *p = pw_scratch_alloc(s, sizeof(*p));
    const char *text = NULL;
    uint64_t records;
    uint64_t want;
    uint64_t sum = 0;
    int rc;

    CHECK(m != NULL);
    count_records(data, size, &records, &want);
    CHECK(m->n_sample == records);
    for (size_t i = 0; i < m->n_sample; i++) {
        CHECK(m->sample[i]->n_value == 1);
        sum += (uint64_t)m->sample[i]->value[0];
    }
    CHECK(sum == want);
    google__v1__profile__free_unpacked(m, NULL);
    CHECK(p != NULL);
    rc = pw_profile_parse(p, s, 7, enc, &text);
    CHECK(rc == 0 || rc == PW_ENOMEM || rc == PW_EINVAL);
    CHECK(rc != 0 || p->sample_count == records);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pw_folded_type t;
    struct pw_scratch s;
    struct pw_slice enc;
    struct pw_text err;
    char buf[4096];
    uint8_t *copy;
    int rc;

    if (size > SIZE_MAX_IN) {
        return 0;
    }
    copy = malloc(size + 1);
    memcpy(copy, data, size);
    copy[size] = 0; /* for strtoll of the slow way */
    CHECK(pw_scratch_init_ctl(&s, SCRATCH) == 0);
    CHECK(pw_folded_type(&t, PW_SLICE_LIT("app.alloc_space"), 100) == 0);
    pw_text_fixed(&err, buf, sizeof(buf));
    rc = pw_folded_encode(&t, pw_slice(copy, size), 1, 7, &s, &enc, &err);
    CHECK(rc == 0 || rc == PW_EINVAL || rc == PW_ENOMEM);
    if (rc == 0) {
        check_encoded(enc, copy, size, &s);
    }
    pw_scratch_fini_ctl(&s);
    free(copy);
    return 0;
}
