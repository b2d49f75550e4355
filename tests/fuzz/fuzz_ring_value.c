/* Properties: a value that is accepted is written and read again to the same ring and the same bytes;
 * merged into a ring it is there (but for seconds that never were), no token has two owners, and merged
 * again it changes nothing. The first byte says where the rest is cut into two values. */
#include "ring/desc.h"

#include "base/check.h"

#include <stdlib.h>

enum { VALUE_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void
check_one_owner(const struct pw_ring_desc *d)
{
    size_t n = 0;
    uint32_t *all;

    for (uint32_t i = 0; i < d->count; i++) {
        n += d->instance[i].token_count;
    }
    all = malloc((n + 1) * sizeof(*all));
    PW_INVARIANT(all != NULL);
    n = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        for (uint32_t t = 0; t < d->instance[i].token_count; t++) {
            all[n++] = d->instance[i].token[t];
        }
    }
    qsort(all, n, sizeof(*all), by_value);
    for (size_t i = 1; i < n; i++) {
        PW_INVARIANT(all[i - 1] != all[i]);
    }
    free(all);
}

static bool
read_back(struct pw_ring_desc *d, struct pw_slice in)
{
    struct pw_ring_desc back;
    struct pw_text once, twice, why;
    bool ok;

    pw_text_init(&once, VALUE_MAX);
    pw_text_init(&twice, VALUE_MAX);
    pw_text_init(&why, 256);
    pw_ring_desc_init(&back);
    ok = pw_ring_desc_decode(d, in, &why) == 0;
    PW_INVARIANT(ok == (why.len == 0) && (ok || d->count == 0));
    if (ok) {
        pw_ring_desc_encode(d, &once);
        PW_INVARIANT(!once.failed);
        PW_INVARIANT(pw_ring_desc_decode(&back, pw_slice(once.ptr, once.len), NULL) == 0);
        PW_INVARIANT(pw_ring_desc_equal(d, &back));
        pw_ring_desc_encode(&back, &twice);
        PW_INVARIANT(once.len == twice.len &&
                     (once.len == 0 || memcmp(once.ptr, twice.ptr, once.len) == 0));
    }
    pw_ring_desc_fini(&back);
    pw_text_fini(&once);
    pw_text_fini(&twice);
    pw_text_fini(&why);
    return ok;
}

static void
merge_twice(struct pw_ring_desc *into, const struct pw_ring_desc *in)
{
    struct pw_ring_desc change;

    pw_ring_desc_init(&change);
    PW_INVARIANT(pw_ring_desc_merge(into, in, false, 0, &change) == 0);
    check_one_owner(into);
    for (uint32_t i = 0; i < in->count; i++) {
        const struct pw_instance *got = pw_ring_desc_find(into, in->instance[i].id);

        PW_INVARIANT(in->instance[i].timestamp <= 0 ||
                     (got != NULL && got->timestamp >= in->instance[i].timestamp));
    }
    PW_INVARIANT(pw_ring_desc_merge(into, in, false, 0, &change) == 0 && change.count == 0);
    pw_ring_desc_fini(&change);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pw_ring_desc into, a, b;
    size_t cut;

    if (size < 1 || size > 65536) {
        return 0;
    }
    cut = data[0] < size - 1 ? data[0] : size - 1;
    pw_ring_desc_init(&into);
    pw_ring_desc_init(&a);
    pw_ring_desc_init(&b);
    if (read_back(&a, pw_slice(data + 1, cut)) &&
        read_back(&b, pw_slice(data + 1 + cut, size - 1 - cut))) {
        merge_twice(&into, &a);
        merge_twice(&into, &b);
    }
    pw_ring_desc_fini(&into);
    pw_ring_desc_fini(&a);
    pw_ring_desc_fini(&b);
    return 0;
}
