#include "distributor/push.h"

#include "base/limits.h"

int
pw_push_build_alloc(struct pw_push_build *b, struct pw_push *out)
{
    if (b->series > PW_PUSH_SERIES_MAX || b->samples > PW_PUSH_SERIES_MAX) {
        pw_text_printf(b->err, "more than %d series or profiles", PW_PUSH_SERIES_MAX);
        return PW_EINVAL;
    }
    *out = (struct pw_push){
        .series = pw_scratch_array(b->scratch, b->series, sizeof(*out->series)),
        .series_count = b->series,
        .sample_count = b->samples,
    };
    b->label = pw_scratch_array(b->scratch, b->labels, sizeof(*b->label));
    b->sample = pw_scratch_array(b->scratch, b->samples, sizeof(*b->sample));
    b->piece = pw_scratch_array(b->scratch, b->pieces, sizeof(*b->piece));
    if (out->series == NULL || b->label == NULL || b->sample == NULL || b->piece == NULL) {
        return PW_ENOMEM;
    }
    b->out = out;
    b->series = b->labels = b->samples = b->pieces = 0;
    return 0;
}
