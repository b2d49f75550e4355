/* Property: stitching gives what the rules written down a second time give (tests/pprof/stitch_case.c),
 * so no more than they allow, and nothing but roots is added. ASan watches the copies.
 *
 * Input: a byte for the sample type and the width of ids, then stacks: a byte for the depth, and pairs
 * of bytes that build it: either n times one id or n ids of what an earlier stack had at some place. */
#include "base/check.h"
#include "tests/pprof/stitch_case.h"

enum { STACKS_MAX = 48, DEPTH_MAX = 96, SCRATCH = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
add_stack(struct stitch_case *c, const uint8_t *data, size_t size)
{
    uint64_t ids[DEPTH_MAX];
    uint32_t depth = data[0] % (DEPTH_MAX + 1), n = 0;
    size_t used = 1;

    while (n < depth) {
        uint8_t what = used < size ? data[used] : 0, which = used + 1 < size ? data[used + 1] : 1;
        uint32_t times = 1 + what % 64;

        used += 2;
        for (uint32_t i = 0; i < times && n < depth; i++) {
            uint32_t from = which % 64U * 8 + i; /* of all frames so far, in steps of eight */

            ids[n++] = what < 128 || c->ids_count == 0
                           ? 1 + which % 16U
                           : c->came[(c->ids_count - 1) - from % c->ids_count];
        }
    }
    stitch_case_add(c, ids, n);
    return used;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const type[] = {"cpu", "inuse_space", "alloc_objects", "wall"};
    static struct stitch_case c;
    size_t at = 1;

    if (c.scratch.base == NULL) {
        stitch_case_init(&c, SCRATCH);
    }
    if (size == 0) {
        return 0;
    }
    stitch_case_begin(&c, type[data[0] % 4], (data[0] & 4) != 0);
    while (at < size && c.p.sample_count < STACKS_MAX) {
        at += add_stack(&c, data + at, size - at);
    }
    PW_INVARIANT(pw_profile_stitch_go(&c.p) == 0);
    PW_INVARIANT(stitch_case_holds(&c));
    return 0;
}
