/* The server's half: fragments until they are a request, and its answer. */
#include "dataplane/peer_link_priv.h"

#include <stdlib.h>
#include <sys/mman.h>

int
pw_link_arena_init_ctl(struct pw_link_arena *a, uint64_t bytes)
{
    a->blocks = (uint32_t)((bytes + PW_LINK_BLOCK_BYTES - 1) / PW_LINK_BLOCK_BYTES);
    a->free = a->blocks;
    a->hint = 0;
    a->used = calloc(a->blocks, 1);
    a->base = mmap(NULL, (size_t)a->blocks * PW_LINK_BLOCK_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a->base == MAP_FAILED) {
        a->base = NULL;
    }
    return a->used == NULL || a->base == NULL ? PW_ENOMEM : 0;
}

void
pw_link_arena_fini_ctl(struct pw_link_arena *a)
{
    if (a->base != NULL) {
        munmap(a->base, (size_t)a->blocks * PW_LINK_BLOCK_BYTES);
    }
    free(a->used);
}

/* n blocks in a row, the first fit from where blocks were given back last, which caches still hold; UINT32_MAX: none. */
static uint32_t
arena_get(struct pw_link_arena *a, uint32_t n)
{
    uint32_t run = 0;

    if (n > a->free) {
        return UINT32_MAX;
    }
    for (uint32_t looked = 0, at = a->hint; looked < a->blocks + n; looked++, at++) {
        if (at == a->blocks) { /* a run does not go around */
            at = 0;
            run = 0;
        }
        run = a->used[at] != 0 ? 0 : run + 1;
        if (run == n) {
            memset(a->used + at + 1 - n, 1, n);
            a->free -= n;
            a->hint = at;
            return at + 1 - n;
        }
    }
    return UINT32_MAX;
}

static void
arena_put(struct pw_link_arena *a, uint32_t at, uint32_t n)
{
    memset(a->used + at, 0, n);
    a->free += n;
    a->hint = n > 0 ? at : a->hint;
}

static uint32_t
bitmap_bytes(uint32_t fragments)
{
    return (uint32_t)pw_align_up((fragments + 7) / 8, 64);
}

static void
partial_drop(struct pw_link *l, struct pw_link_session *s, struct pw_link_slot *r)
{
    if (r->state == PW_LINK_SLOT_PARTIAL) {
        arena_put(&l->arena, r->block, r->blocks);
        s->credit_max += r->total;
    }
    r->state = PW_LINK_SLOT_IDLE;
}

void
pw_link_requests_drop(struct pw_link *l, struct pw_link_session *s)
{
    for (uint32_t i = 0; i < PW_LINK_CALLS_MAX; i++) {
        partial_drop(l, s, &s->slot[i]);
    }
}

/* The slot's next request begins. The one before is over: its client said so by taking the slot again. */
static int
slot_begin(struct pw_link *l, struct pw_link_session *s, struct pw_link_slot *r,
           const struct pw_link_frame *f)
{
    uint32_t fragments = pw_link_fragments(f->total, s->fragment_bytes);
    uint32_t bytes = bitmap_bytes(fragments) + f->total;
    uint32_t blocks = fragments == 1 ? 0 : (bytes + PW_LINK_BLOCK_BYTES - 1) / PW_LINK_BLOCK_BYTES;
    uint32_t block = 0;

    partial_drop(l, s, r);
    if (s->credit_used + f->total > s->credit_max) {
        pw_link_dropped(l, PW_LINK_DROP_CREDIT);
        return PW_EPROTO;
    }
    if (blocks > 0) {
        block = arena_get(&l->arena, blocks);
        if (block == UINT32_MAX) {
            pw_link_dropped(l, PW_LINK_DROP_MEMORY);
            return PW_ENOMEM;
        }
        memset(l->arena.base + (size_t)block * PW_LINK_BLOCK_BYTES, 0, bitmap_bytes(fragments));
    }
    s->credit_used += f->total;
    r->turn = f->turn;
    r->state = PW_LINK_SLOT_PARTIAL;
    r->total = f->total;
    r->fragments = fragments;
    r->missing = fragments;
    r->block = block;
    r->blocks = blocks;
    return 0;
}

static void
ask(struct pw_link *l, struct pw_link_session *s, struct pw_link_slot *r, uint16_t slot,
    struct pw_slice bytes)
{
    struct pw_link_from from = {.session = s->local_id, .turn = r->turn, .slot = slot};
    uint32_t block = r->block;
    uint32_t blocks = r->blocks;

    r->state = PW_LINK_SLOT_ASKED;
    s->credit_max += r->total;
    l->stat[PW_LINK_STAT_REQUESTS]++;
    l->app.on_request(l->app.ctx, from, bytes);
    arena_put(&l->arena, block, blocks);
}

/* True: the fragment is new. */
static bool
fragment_take(struct pw_link *l, struct pw_link_session *s, struct pw_link_slot *r,
              const struct pw_link_frame *f)
{
    uint8_t *bitmap = l->arena.base + (size_t)r->block * PW_LINK_BLOCK_BYTES;
    uint8_t bit = (uint8_t)(1U << (f->index % 8));

    if ((bitmap[f->index / 8] & bit) != 0) {
        return false;
    }
    bitmap[f->index / 8] |= bit;
    memcpy(bitmap + bitmap_bytes(r->fragments) + (size_t)f->index * s->fragment_bytes, f->bytes.ptr,
           f->bytes.len);
    r->missing--;
    return true;
}

/* One item a slot waits at most, whatever its turn: what a peer makes us queue has a bound. */
static void
answer_put(struct pw_link *l, struct pw_link_session *s, struct pw_link_slot *r, uint16_t slot)
{
    if (!r->todo) {
        r->todo = pw_link_todo(
            l, s, (struct pw_link_item){.kind = PW_LINK_ITEM_REPLY, .slot = slot, .turn = r->turn});
        PW_INVARIANT(r->todo); /* room for one a slot is kept: PW_LINK_TODO_FRESH */
    }
}

/* All of it was here before: the answer, if there is one, may have been lost. */
static void
answer_again(struct pw_link *l, struct pw_link_session *s, struct pw_link_slot *r, uint16_t slot)
{
    l->stat[PW_LINK_STAT_FRAGMENTS_DUP]++;
    if (r->state == PW_LINK_SLOT_REPLIED) {
        answer_put(l, s, r, slot);
    }
}

int
pw_link_fragment_input(struct pw_link *l, struct pw_link_session *s, const struct pw_link_frame *f)
{
    struct pw_link_slot *r = &s->slot[f->slot];

    if (f->turn < r->turn) {
        l->stat[PW_LINK_STAT_FRAGMENTS_DUP]++;
        return 0;
    }
    if (f->turn > r->turn) {
        int rc = slot_begin(l, s, r, f);

        if (rc != 0) {
            return rc;
        }
    }
    if (r->state != PW_LINK_SLOT_PARTIAL) {
        answer_again(l, s, r, f->slot);
        return 0;
    }
    if (f->total != r->total) {
        return PW_EPROTO;
    }
    if (r->fragments == 1) {
        ask(l, s, r, f->slot, f->bytes);
    } else if (!fragment_take(l, s, r, f)) {
        l->stat[PW_LINK_STAT_FRAGMENTS_DUP]++;
    } else if (r->missing == 0) {
        ask(l, s, r, f->slot,
            pw_slice(l->arena.base + (size_t)r->block * PW_LINK_BLOCK_BYTES +
                         bitmap_bytes(r->fragments),
                     r->total));
    }
    return 0;
}

int
pw_link_cancel_input(struct pw_link *l, struct pw_link_session *s, const struct pw_link_frame *f)
{
    struct pw_link_slot *r = &s->slot[f->slot];

    if (f->turn < r->turn) {
        return 0;
    }
    if (f->turn == r->turn) {
        partial_drop(l, s, r); /* what the application has is its own */
        return 0;
    }
    partial_drop(l, s, r);
    if (s->credit_used + f->total > s->credit_max) {
        pw_link_dropped(l, PW_LINK_DROP_CREDIT);
        return PW_EPROTO;
    }
    /* Not a fragment of it ever came. */
    s->credit_used += f->total;
    s->credit_max += f->total;
    r->turn = f->turn;
    return 0;
}

static struct pw_link_slot *
slot_of(struct pw_link *l, struct pw_link_from from, struct pw_link_session **s)
{
    *s = pw_link_find(l, from.session);
    if (*s == NULL || (*s)->client || (*s)->state != PW_LINK_STATE_UP ||
        from.slot >= PW_LINK_CALLS_MAX) {
        return NULL;
    }
    return &(*s)->slot[from.slot];
}

int
pw_link_reply(struct pw_link *l, struct pw_link_from from, uint16_t status, struct pw_slice text)
{
    struct pw_link_session *s;
    struct pw_link_slot *r = slot_of(l, from, &s);
    size_t n = text.len < PW_LINK_TEXT_BYTES_MAX ? text.len : PW_LINK_TEXT_BYTES_MAX;

    if (r == NULL || r->turn != from.turn || r->state != PW_LINK_SLOT_ASKED) {
        return PW_ENOENT;
    }
    r->state = PW_LINK_SLOT_REPLIED;
    r->status = status;
    r->text_len = (uint16_t)n;
    if (n > 0) {
        memcpy(r->text, text.ptr, n);
    }
    l->stat[PW_LINK_STAT_REPLIES]++;
    answer_put(l, s, r, from.slot);
    return 0;
}

const char *
pw_link_from_id(const struct pw_link *l, struct pw_link_from from)
{
    struct pw_link_session *s = pw_link_find((struct pw_link *)(uintptr_t)l, from.session);

    return s == NULL || s->client ? "" : s->id;
}
