#include "pprof/record_place.h"

#include "base/check.h"
#include "pprof/record_write.h"

/* Beside what is unpacked: tables that find no dead wire, and labels. */
enum { ROOM_SHARE = 5, ROOM_BYTES = 2 << 10, LIST_BLOCK = PW_PROFILE_IDS_SLACK };

static_assert(sizeof(struct pw_record) % PW_RECORD_SECTION_ALIGN == 0, "the body begins a section");

struct lists { /* of locations, in the wire */
    size_t first, end;
    size_t slip; /* how far the first may move down before one would run into the next */
};

struct layout { /* offsets from the first unpacked byte */
    size_t lists, lists_end;
    size_t gap_end;
    size_t tail;
};

size_t
pw_record_place_bytes(size_t body_bytes, size_t unpacked)
{
    return pw_align_up(sizeof(struct pw_record) + body_bytes, PW_RECORD_ALIGN) + unpacked +
           unpacked / ROOM_SHARE + ROOM_BYTES;
}

static inline bool
in_wire(const struct pw_profile *p, const struct pw_stack *s)
{
    return s->ids_off < p->bytes.len;
}

/* False: they are not in order, or longer than the wire they come from. */
static bool
find_lists(const struct pw_profile *p, struct lists *l)
{
    size_t to = 0;

    *l = (struct lists){.first = p->bytes.len, .slip = p->bytes.len};
    for (uint32_t i = 0; i < p->sample_count; i++) {
        const struct pw_stack *s = &p->stack[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        if (PW_LIKELY(in_wire(p, s) && s->ids_len != 0)) {
            if (s->ids_off < l->end || s->ids_off < to) {
                return false;
            }
            l->slip = s->ids_off - to < l->slip ? s->ids_off - to : l->slip;
            l->first = s->ids_off < l->first ? s->ids_off : l->first;
            l->end = (size_t)s->ids_off + s->ids_len;
        }
        to += s->ids_len;
    }
    return to == p->stack_wire_bytes;
}

/* False: the wire is not in an order that leaves a place for everything. */
static bool
lay_out(const struct pw_profile *p, struct layout *l)
{
    size_t strings = (size_t)(p->string_stretch.ptr - p->bytes.ptr);
    size_t strings_end = strings + p->string_stretch.len;
    struct lists lists;

    if (!find_lists(p, &lists)) {
        return false;
    }
    if (lists.end <= strings) {
        *l = (struct layout){.lists = 0, .gap_end = strings, .tail = strings_end};
    } else {
        *l = (struct layout){.lists = pw_align_up(strings_end, PW_RECORD_SECTION_ALIGN),
                             .gap_end = p->bytes.len,
                             .tail = p->bytes.len};
        if (lists.first < l->lists) {
            return false;
        }
    }
    l->lists_end = l->lists + p->stack_wire_bytes;
    return l->lists <= lists.slip && l->lists_end <= l->gap_end;
}

/* One list further down, or to the others. Whole blocks where what they spill over falls on wire that nobody needs: the
 * list's own, at most. */
static inline void
move_list(const struct pw_profile *p, const struct pw_stack *s, uint8_t *to)
{
    const uint8_t *from = pw_profile_ids(p, s);
    uint8_t block[LIST_BLOCK];

    if (PW_UNLIKELY(!in_wire(p, s) || from - to < LIST_BLOCK || !pw_profile_ids_roomy(p, s))) {
        memmove(to, from, s->ids_len);
        return;
    }
    for (uint32_t i = 0; i < s->ids_len; i += LIST_BLOCK) { /* mostly one turn */
        memcpy(block, from + i, sizeof(block));
        memcpy(to + i, block, sizeof(block));
    }
}

/* All lists one behind the other; their end. */
static uint8_t *
close_up(const struct pw_profile *p, uint8_t *to)
{
    for (uint32_t i = 0; i < p->sample_count; i++) {
        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 256);
        move_list(p, &p->stack[i], to);
        to += p->stack[i].ids_len;
    }
    return to;
}

/* Each sample has a stack of its own, in order. */
static void
fill_stacks(struct pw_record_writer *w)
{
    const struct pw_profile *p = w->src->profile;
    uint32_t at = 0;

    pw_fiber_copy(p->scratch->fiber, w->at.stack_hashes, p->stack_hash,
                  p->stack_count * sizeof(*p->stack_hash));
    for (uint32_t i = 0; i < p->stack_count; i++) {
        const struct pw_stack *s = &p->stack[i];

        PW_FIBER_PAUSE_EVERY(p->scratch->fiber, i, 4096);
        w->at.stack_locs[i] = at;
        pw_record_put_uint(w->at.stack_depths, w->rec->stack_bytes, i, s->loc_count);
        at += s->ids_len;
    }
    w->at.stack_locs[p->stack_count] = at;
    PW_INVARIANT(at == w->rec->locs_bytes);
}

static bool
is_placed(const struct pw_record_source *src, const struct pw_record_place *at)
{
    const struct pw_profile *p = src->profile;

    return src->raw != NULL && src->raw->piece_count == 1 &&
           src->raw->piece->ptr == pw_record_place_body(at) &&
           p->bytes.ptr == pw_record_place_unpacked(at) && p->string_stretch.len != 0 &&
           src->span_count == 0 && pw_record_is_straight(src);
}

/* Of labels, types, the tenant and loose strings: they go to the tail. */
static size_t
texts_bytes(const struct pw_record_source *src)
{
    const struct pw_labels *l = src->group->labels;
    size_t n = pw_record_texts_bytes_max(src);

    for (uint32_t i = 0; i < l->count; i++) {
        n += l->pair[i].name.len + l->pair[i].value.len;
    }
    return n;
}

/* Places for the tables. What is placed later, when there is no way back, has room then: texts in the tail, the
 * series in what is left of the gap or in the tail. */
static bool
take(struct pw_record_writer *w, const struct layout *l, size_t unpacked)
{
    uint32_t stack_bytes = pw_record_widths_of(w->src->profile).stack;
    size_t texts = texts_bytes(w->src) + PW_RECORD_LOCS_SLACK + PW_RECORD_ALIGN;
    size_t series = pw_record_series_bytes_max(w->src, stack_bytes) + PW_RECORD_SECTION_ALIGN;
    bool ok;

    w->used = unpacked + l->tail;
    if (w->used > w->cap || texts > w->cap - w->used || w->cap > UINT32_MAX) {
        return false;
    }
    w->gap = unpacked + l->lists_end;
    w->gap_end = unpacked + l->gap_end;
    w->cap -= texts;
    ok = pw_record_take_tables(w);
    ok = ok && (series <= w->gap_end - w->gap || series <= w->cap - w->used);
    w->cap += texts;
    return ok;
}

static void
tell_raw(struct pw_record_writer *w)
{
    const struct pw_record_raw *raw = w->src->raw;
    struct pw_record *r = w->rec;

    r->raw_off = sizeof(*r);
    r->raw_bytes = (uint32_t)raw->bytes;
    r->raw_depth_max = raw->depth_max;
    r->raw_symbol_max = raw->symbol_max;
    r->raw_go = raw->go;
}

int64_t
pw_record_finish(const struct pw_record_source *src, const struct pw_record_place *at)
{
    const struct pw_profile *p = src->profile;
    size_t unpacked = (size_t)(pw_record_place_unpacked(at) - at->base), bytes;
    struct pw_record_writer w = {.src = src,
                                 .rec = (struct pw_record *)(void *)at->base,
                                 .base = at->base,
                                 .cap = at->cap & ~(size_t)(PW_RECORD_ALIGN - 1),
                                 .straight = true};
    struct layout l;
    bool ok;

    if (!is_placed(src, at) || !lay_out(p, &l)) {
        return PW_ENOSPC;
    }
    pw_record_head(&w);
    memset(pw_record_place_body(at) + at->body_bytes, 0,
           unpacked - sizeof(*w.rec) - at->body_bytes);
    w.rec->stacks_count = p->stack_count;
    if (!take(&w, &l, unpacked)) {
        return PW_ENOSPC;
    }
    w.rec->locs_off = (uint32_t)(unpacked + l.lists);
    w.rec->locs_bytes =
        (uint32_t)(close_up(p, at->base + w.rec->locs_off) - (at->base + w.rec->locs_off));
    fill_stacks(&w);
    ok = pw_record_fill_tables(&w, (size_t)(p->string_stretch.ptr - at->base)) &&
         pw_record_write_series(&w);
    PW_INVARIANT(ok); /* take() saw to it */
    if (w.used < w.rec->locs_off + (size_t)w.rec->locs_bytes + PW_RECORD_LOCS_SLACK) {
        memset(w.base + w.used, 0, PW_RECORD_LOCS_SLACK);
        w.used += PW_RECORD_LOCS_SLACK;
    }
    tell_raw(&w);
    bytes = pw_align_up(w.used, PW_RECORD_ALIGN);
    memset(w.base + w.used, 0, bytes - w.used);
    w.rec->bytes = (uint32_t)bytes;
    return (int64_t)bytes;
}
