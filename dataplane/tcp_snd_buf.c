/* A chain of chunks from the worker's pool, first unacknowledged byte at head->start. An idle
 * connection has none. The cursor is where snd_nxt points, so that sending does not walk the chain.
 */
#include "dataplane/tcp_tcb.h"

static struct pw_snd_chunk *
chunk_add(struct pw_pool *chunks, struct pw_snd_buf *b)
{
    struct pw_snd_chunk *c = pw_pool_get(chunks);

    if (c == NULL) {
        return NULL;
    }
    c->next = NULL;
    c->start = 0;
    c->end = 0;
    if (b->tail == NULL) {
        b->head = c;
    } else {
        b->tail->next = c;
    }
    b->tail = c;
    return c;
}

size_t
pw_snd_put(struct pw_pool *chunks, struct pw_snd_buf *b, struct pw_slice s, size_t max)
{
    size_t want = s.len < max ? s.len : max;
    size_t done = 0;

    while (done < want) { /* bound: snd_buf_bytes_max / PW_SND_CHUNK_BYTES + 1 */
        struct pw_snd_chunk *c = b->tail;

        if (c == NULL || c->end == PW_SND_CHUNK_BYTES) {
            c = chunk_add(chunks, b);
            if (c == NULL) {
                break;
            }
        }
        size_t room = PW_SND_CHUNK_BYTES - (size_t)c->end;
        size_t n = want - done < room ? want - done : room;

        if (b->cursor == NULL) { /* everything before was sent: the cursor stood here */
            b->cursor = c;
            b->cursor_off = c->end;
        }
        memcpy(c->data + c->end, s.ptr + done, n);
        c->end = (uint16_t)(c->end + n);
        done += n;
    }
    b->bytes += (uint32_t)done;
    return done;
}

void
pw_snd_copy(struct pw_snd_buf *b, uint8_t *dst, uint32_t n)
{
    while (n > 0) {
        struct pw_snd_chunk *c = b->cursor;

        PW_INVARIANT(c != NULL);
        uint32_t left = c->end - b->cursor_off;
        uint32_t part = n < left ? n : left;

        memcpy(dst, c->data + b->cursor_off, part);
        dst += part;
        n -= part;
        b->cursor_off += part;
        if (b->cursor_off == c->end) {
            b->cursor = c->next;
            b->cursor_off = c->next == NULL ? 0 : c->next->start;
        }
    }
}

void
pw_snd_ack(struct pw_pool *chunks, struct pw_snd_buf *b, uint32_t n)
{
    PW_INVARIANT(n <= b->bytes);
    b->bytes -= n;
    while (n > 0) {
        struct pw_snd_chunk *c = b->head;
        uint32_t left = (uint32_t)c->end - c->start;
        uint32_t part = n < left ? n : left;

        n -= part;
        c->start = (uint16_t)(c->start + part);
        if (c == b->cursor && b->cursor_off < c->start) {
            b->cursor_off = c->start; /* acknowledged beyond snd_nxt, which had gone back */
        }
        if (c->start < c->end) {
            break;
        }
        if (b->cursor == c) {
            b->cursor = c->next;
            b->cursor_off = 0;
        }
        b->head = c->next;
        b->tail = b->head == NULL ? NULL : b->tail;
        pw_pool_put(chunks, c);
    }
}

void
pw_snd_seek(struct pw_snd_buf *b, uint32_t n)
{
    pw_snd_rewind(b);
    while (n > 0 && b->cursor != NULL) { /* bound: snd_buf_bytes_max / PW_SND_CHUNK_BYTES + 1 */
        uint32_t left = b->cursor->end - b->cursor_off;
        uint32_t part = n < left ? n : left;

        n -= part;
        b->cursor_off += part;
        if (part == left) {
            b->cursor = b->cursor->next;
            b->cursor_off = b->cursor == NULL ? 0 : b->cursor->start;
        }
    }
}

void
pw_snd_rewind(struct pw_snd_buf *b)
{
    b->cursor = b->head;
    b->cursor_off = b->head == NULL ? 0 : b->head->start;
}

void
pw_snd_clear(struct pw_pool *chunks, struct pw_snd_buf *b)
{
    while (b->head != NULL) {
        struct pw_snd_chunk *next = b->head->next;

        pw_pool_put(chunks, b->head);
        b->head = next;
    }
    *b = (struct pw_snd_buf){0};
}
