/* Properties: the vector decoder of packed varints equals the one that goes byte by byte; walking a
 * message field by field uses up exactly its bytes, and written again its varints read the same. */
#include "base/check.h"
#include "base/text.h"
#include "pprof/packed.h"
#include "pprof/wire.h"

#include <stdlib.h>

enum { INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
packed(const uint8_t *data, size_t size)
{
    uint8_t *in = malloc(size + PW_PACKED_SLACK);
    uint16_t *fast = malloc((size + PW_PACKED_SLACK) * sizeof(*fast));
    uint16_t *slow = malloc((size + PW_PACKED_SLACK) * sizeof(*slow));
    uint16_t fast_max = 1, slow_max = 2;
    int64_t n;

    if (size != 0) {
        memcpy(in, data, size);
    }
    memset(in + size, (int)(size * 7), PW_PACKED_SLACK);
    n = pw_packed_u14_minus1(in, size, fast, &fast_max);
    PW_INVARIANT(n == pw_packed_u14_minus1_scalar(in, size, slow, &slow_max));
    PW_INVARIANT(n == pw_packed_u14_count(in, size));
    PW_INVARIANT(n <= 0 || memcmp(fast, slow, (size_t)n * sizeof(*fast)) == 0);
    PW_INVARIANT(n < 0 || (n == pw_packed_count(in, size) && fast_max == slow_max));
    free(in);
    free(fast);
    free(slow);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pw_wire r;
    struct pw_wire_field f;
    const uint8_t *at;
    int rc;

    if (size > INPUT_MAX) {
        return 0;
    }
    packed(data, size);
    pw_wire_init(&r, pw_slice(data, size));
    for (at = r.p; (rc = pw_wire_next(&r, &f)) == 1; at = r.p) {
        uint8_t buf[10];
        struct pw_text t;
        uint64_t v = 0;

        PW_INVARIANT(r.p > at && r.p <= r.end);
        PW_INVARIANT(f.number != 0);
        PW_INVARIANT(f.type != PW_WIRE_LEN || f.bytes.ptr + f.bytes.len == r.p);
        if (f.type == PW_WIRE_VARINT) {
            pw_text_fixed(&t, buf, sizeof(buf));
            pw_wire_put_varint(&t, f.varint);
            PW_INVARIANT(pw_wire_varint(buf, buf + t.len, &v) == (int)t.len && v == f.varint);
        }
    }
    PW_INVARIANT(rc == 0 ? r.p == r.end : r.err != NULL);
    return 0;
}
