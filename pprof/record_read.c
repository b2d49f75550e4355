#include "pprof/packed.h"
#include "pprof/record.h"

enum { PACKED_MAX = 1024, PACKED_LOCATIONS_MAX = (1 << 14) - 1 };

static_assert((int)PW_RECORD_LOCS_SLACK >= (int)PW_PACKED_SLACK, "the reader may look that far");

void
pw_record_stack_locs(const struct pw_record *r, uint32_t i, uint32_t *out)
{
    const uint32_t *at = PW_RECORD_AT(r, uint32_t, r->stack_locs_off);
    const uint8_t *p = (const uint8_t *)r + r->locs_off + at[i];
    uint32_t bytes = at[i + 1] - at[i], depth = pw_record_stack_depth(r, i);
    uint16_t narrow[PACKED_MAX + PW_PACKED_SLACK], max;

    if (r->locations_count <= PACKED_LOCATIONS_MAX && bytes <= PACKED_MAX &&
        pw_packed_u14_minus1(p, bytes, narrow, &max) == depth) {
        for (uint32_t d = 0; d < depth; d++) {
            out[d] = narrow[d];
        }
        return;
    }
    for (uint32_t d = 0; d < depth; d++) {
        out[d] = pw_record_varint(&p) - 1;
    }
}
