/* Property: what is accepted of a question or an answer between appliances is written again to bytes that are
 * accepted and written to the same bytes; every id of an answer is one of its tables'. The first byte says which of
 * the two it is, and of what kind. */
#include "query/far_wire.h"

#include "base/check.h"

enum { BYTES_MAX = 1 << 20, ARENA_MAX = 256 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
request(struct pw_slice in, struct pw_text *out, struct pw_arena *a)
{
    struct pw_far_request r;

    if (pw_far_request_read(&r, in, a) != 0) {
        return false;
    }
    PW_INVARIANT(pw_far_request_put(out, &r));
    return true;
}

static void
check_part(const struct pw_far_part *p)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < p->row_count; i++) {
        PW_INVARIANT(p->row[i].series < p->series_count);
        PW_INVARIANT(p->row[i].first + p->row[i].samples <= p->sample_count);
    }
    for (uint32_t i = 0; i < p->stack_count; i++) {
        PW_INVARIANT(p->stack[i] <= p->stack[i + 1] && p->stack[i + 1] <= p->loc_count);
    }
    for (uint32_t i = 0; i < p->loc_count; i++) {
        const struct pw_head_location *l = &p->location[p->loc[i]];

        PW_INVARIANT(p->loc[i] < p->location_count);
        PW_INVARIANT(l->mapping == UINT32_MAX || l->mapping < p->mapping_count);
        for (uint32_t k = 0; k < l->line_count; k++) {
            sum += p->string[p->function[l->line[k].function].name].len;
        }
    }
    PW_INVARIANT(sum < UINT64_MAX);
}

static bool
answer(enum pw_far_what what, struct pw_slice in, struct pw_text *out, struct pw_arena *a)
{
    struct pw_far_part *part;
    uint32_t count;

    if (pw_far_answer_read(&part, &count, what, in, a) != 0) {
        return false;
    }
    pw_far_answer_begin(out, what);
    for (uint32_t i = 0; i < count; i++) {
        check_part(&part[i]);
        pw_far_part_put(out, what, &part[i]);
    }
    PW_INVARIANT(!out->failed);
    return true;
}

static bool
once(uint8_t kind, struct pw_slice in, struct pw_text *out, struct pw_arena *a)
{
    enum pw_far_what what = (enum pw_far_what)(kind % 8);

    if (what == 0) {
        return request(in, out, a);
    }
    return what <= PW_FAR_TIMES && answer(what, in, out, a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pw_arena arena;
    struct pw_text first, second;

    if (size == 0 || size > BYTES_MAX) {
        return 0;
    }
    pw_arena_init(&arena, ARENA_MAX);
    pw_text_init(&first, BYTES_MAX * 4);
    pw_text_init(&second, BYTES_MAX * 4);
    if (once(data[0], pw_slice(data + 1, size - 1), &first, &arena)) {
        PW_INVARIANT(once(data[0], pw_slice(first.ptr, first.len), &second, &arena));
        PW_INVARIANT(pw_slice_eq(pw_slice(first.ptr, first.len), pw_slice(second.ptr, second.len)));
    }
    pw_text_fini(&first);
    pw_text_fini(&second);
    pw_arena_reset(&arena);
    return 0;
}
