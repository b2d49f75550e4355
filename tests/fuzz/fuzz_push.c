/* tests/fuzz/fuzz_push.c - the push envelope, from protobuf in pieces and from JSON.
 *
 * The first byte is the piece size (0: JSON), the rest is the body. Properties:
 * - protobuf: in pieces = whole: same verdict, same text, same labels, same profile bytes;
 * - JSON: what we accept, jansson accepts.
 */
#include "distributor/push.h"

#include <jansson.h>
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

enum { SCRATCH = 16 << 20, BODY_MAX = 1 << 16, TEXT_MAX = 4096 };

struct outcome {
    int rc;
    char text[TEXT_MAX];
    struct pw_text err;
    struct pw_text all; /* everything that was read, as one text */
};

static void
describe(const struct pw_push *p, struct pw_text *t)
{
    for (uint32_t i = 0; i < p->series_count; i++) {
        const struct pw_push_series *s = &p->series[i];

        pw_text_str(t, "series\n");
        for (uint32_t k = 0; k < s->label_count; k++) {
            pw_text_go_quoted(t, s->label[k].name);
            pw_text_go_quoted(t, s->label[k].value);
        }
        for (uint32_t k = 0; k < s->sample_count; k++) {
            size_t bytes = 0;

            pw_text_go_quoted(t, s->sample[k].id);
            for (uint32_t q = 0; q < s->sample[k].piece_count; q++) {
                CHECK(s->sample[k].piece[q].len != 0);
                bytes += s->sample[k].piece[q].len;
                pw_text_slice(t, s->sample[k].piece[q]);
            }
            CHECK(bytes == s->sample[k].bytes);
        }
    }
}

static void
run_proto(const uint8_t *body, size_t len, size_t piece, struct outcome *o)
{
    size_t count = len == 0 ? 0 : (len + piece - 1) / piece;
    struct pw_slice *pieces = malloc((count + 1) * sizeof(*pieces));
    struct pw_scratch s;
    struct pw_push p;

    for (size_t i = 0; i < count; i++) { /* each piece in a block of its very size */
        size_t n = len - i * piece < piece ? len - i * piece : piece;
        uint8_t *copy = malloc(n);

        memcpy(copy, body + i * piece, n);
        pieces[i] = pw_slice(copy, n);
    }
    CHECK(pw_scratch_init_ctl(&s, SCRATCH) == 0);
    pw_text_fixed(&o->err, o->text, sizeof(o->text));
    pw_text_init(&o->all, 64 << 20);
    o->rc = pw_push_parse_proto(&p, pieces, (uint32_t)count, &s, &o->err);
    if (o->rc == 0) {
        describe(&p, &o->all);
    }
    CHECK((o->rc == 0) == (o->err.len == 0) || o->rc == PW_ENOMEM);
    pw_scratch_fini_ctl(&s);
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)pieces[i].ptr);
    }
    free(pieces);
}

static void
same(const struct outcome *a, const struct outcome *b)
{
    if (a->rc == PW_ENOMEM || b->rc == PW_ENOMEM) {
        return; /* small pieces need more memory */
    }
    CHECK(a->rc == b->rc);
    CHECK(a->err.len == b->err.len && memcmp(a->text, b->text, a->err.len) == 0);
    CHECK(a->all.len == b->all.len);
    CHECK(a->all.len == 0 || memcmp(a->all.ptr, b->all.ptr, a->all.len) == 0);
}

static void
run_json(const uint8_t *body, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    char text[TEXT_MAX];
    struct pw_scratch s;
    struct pw_push p;
    struct pw_text err;
    int rc;

    memcpy(copy, body, len);
    CHECK(pw_scratch_init_ctl(&s, SCRATCH) == 0);
    pw_text_fixed(&err, text, sizeof(text));
    rc = pw_push_parse_json(&p, pw_slice(copy, len), &s, &err);
    CHECK((rc == 0) == (err.len == 0) || rc == PW_ENOMEM);
    if (rc == 0) {
        json_error_t je;
        json_t *j =
            json_loadb((const char *)copy, len, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &je);
        /* Three things jansson judges that we do not: the size of numbers, \u escapes of strings that
         * are skipped, and a NUL in the name of a member, for which its keys have no room. */
        bool known = j == NULL &&
                     (strstr(je.text, "overflow") != NULL || strstr(je.text, "Unicode") != NULL ||
                      strstr(je.text, "invalid escape") != NULL ||
                      strstr(je.text, "NUL byte in object key") != NULL);

        CHECK(j != NULL || known);
        json_decref(j);
    }
    pw_scratch_fini_ctl(&s);
    free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole;
    static struct outcome pieces;

    if (size < 1 || size > BODY_MAX) {
        return 0;
    }
    if (data[0] == 0) {
        run_json(data + 1, size - 1);
        return 0;
    }
    run_proto(data + 1, size - 1, BODY_MAX, &whole);
    run_proto(data + 1, size - 1, data[0], &pieces);
    same(&whole, &pieces);
    pw_text_fini(&whole.all);
    pw_text_fini(&pieces.all);
    return 0;
}
