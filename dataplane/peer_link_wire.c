#include "dataplane/peer_link_wire.h"

void
pw_link_header_put(uint8_t *p, const struct pw_link_header *h)
{
    p[0] = h->version;
    p[1] = h->type;
    p[2] = h->flags;
    p[3] = 0;
    pw_store_be32(p + 4, h->session);
    pw_link_store64(p + 8, h->number);
}

void
pw_link_header_get(const uint8_t *p, struct pw_link_header *h)
{
    *h = (struct pw_link_header){.version = p[0],
                                 .type = p[1],
                                 .flags = p[2],
                                 .session = pw_load_be32(p + 4),
                                 .number = pw_link_load64(p + 8)};
}

size_t
pw_link_ack_encode(uint8_t *p, const struct pw_link_frame *f)
{
    p[0] = PW_LINK_FRAME_ACK;
    p[1] = (uint8_t)f->words;
    pw_link_store64(p + 2, f->largest);
    pw_store_be32(p + 10, f->delay_us);
    pw_link_store64(p + 14, f->credit);
    for (uint32_t i = 0; i < f->words; i++) {
        pw_link_store64(p + 22 + (size_t)i * 8, f->word[i]);
    }
    return 22 + (size_t)f->words * 8;
}

static int
ack_get(const uint8_t *p, size_t len, struct pw_link_frame *f)
{
    if (len < 22 || p[1] > PW_LINK_ACK_WORDS_MAX || len < 22 + (size_t)p[1] * 8) {
        return PW_PARSE_BAD;
    }
    f->words = p[1];
    f->largest = pw_link_load64(p + 2);
    f->delay_us = pw_load_be32(p + 10);
    f->credit = pw_link_load64(p + 14);
    for (uint32_t i = 0; i < f->words; i++) {
        f->word[i] = pw_link_load64(p + 22 + (size_t)i * 8);
    }
    return 22 + (int)f->words * 8;
}

size_t
pw_link_fragment_head_put(uint8_t *p, const struct pw_link_frame *f)
{
    p[0] = PW_LINK_FRAME_FRAGMENT;
    pw_store_be16(p + 1, f->slot);
    pw_store_be32(p + 3, f->turn);
    pw_store_be32(p + 7, f->total);
    pw_store_be16(p + 11, f->index);
    return PW_LINK_FRAGMENT_HEAD_BYTES;
}

static int
fragment_get(const uint8_t *p, size_t len, uint16_t fragment_bytes, struct pw_link_frame *f)
{
    if (len < PW_LINK_FRAGMENT_HEAD_BYTES) {
        return PW_PARSE_BAD;
    }
    f->slot = pw_load_be16(p + 1);
    f->turn = pw_load_be32(p + 3);
    f->total = pw_load_be32(p + 7);
    f->index = pw_load_be16(p + 11);
    if (f->slot >= PW_LINK_CALLS_MAX || f->turn == 0 || f->total == 0 ||
        f->total > PW_LINK_MESSAGE_BYTES_MAX ||
        f->index >= pw_link_fragments(f->total, fragment_bytes)) {
        return PW_PARSE_BAD;
    }
    uint32_t n = pw_link_fragment_len(f->total, fragment_bytes, f->index);

    if (n > len - PW_LINK_FRAGMENT_HEAD_BYTES) {
        return PW_PARSE_BAD;
    }
    f->bytes = pw_slice(p + PW_LINK_FRAGMENT_HEAD_BYTES, n);
    return PW_LINK_FRAGMENT_HEAD_BYTES + (int)n;
}

size_t
pw_link_reply_put(uint8_t *p, const struct pw_link_frame *f)
{
    p[0] = PW_LINK_FRAME_REPLY;
    pw_store_be16(p + 1, f->slot);
    pw_store_be32(p + 3, f->turn);
    pw_store_be16(p + 7, f->status);
    pw_store_be16(p + 9, (uint16_t)f->bytes.len);
    if (f->bytes.len > 0) {
        memcpy(p + PW_LINK_REPLY_HEAD_BYTES, f->bytes.ptr, f->bytes.len);
    }
    return PW_LINK_REPLY_HEAD_BYTES + f->bytes.len;
}

static int
reply_get(const uint8_t *p, size_t len, struct pw_link_frame *f)
{
    if (len < PW_LINK_REPLY_HEAD_BYTES) {
        return PW_PARSE_BAD;
    }
    uint16_t n = pw_load_be16(p + 9);

    f->slot = pw_load_be16(p + 1);
    f->turn = pw_load_be32(p + 3);
    f->status = pw_load_be16(p + 7);
    if (f->slot >= PW_LINK_CALLS_MAX || n > PW_LINK_TEXT_BYTES_MAX ||
        n > len - PW_LINK_REPLY_HEAD_BYTES) {
        return PW_PARSE_BAD;
    }
    f->bytes = pw_slice(p + PW_LINK_REPLY_HEAD_BYTES, n);
    return PW_LINK_REPLY_HEAD_BYTES + n;
}

size_t
pw_link_cancel_put(uint8_t *p, const struct pw_link_frame *f)
{
    p[0] = PW_LINK_FRAME_CANCEL;
    pw_store_be16(p + 1, f->slot);
    pw_store_be32(p + 3, f->turn);
    pw_store_be32(p + 7, f->total);
    return PW_LINK_CANCEL_BYTES;
}

static int
cancel_get(const uint8_t *p, size_t len, struct pw_link_frame *f)
{
    if (len < PW_LINK_CANCEL_BYTES) {
        return PW_PARSE_BAD;
    }
    f->slot = pw_load_be16(p + 1);
    f->turn = pw_load_be32(p + 3);
    f->total = pw_load_be32(p + 7);
    return f->slot >= PW_LINK_CALLS_MAX || f->turn == 0 || f->total == 0 ||
                   f->total > PW_LINK_MESSAGE_BYTES_MAX
               ? PW_PARSE_BAD
               : PW_LINK_CANCEL_BYTES;
}

int
pw_link_frame_get(const uint8_t *p, size_t len, uint16_t fragment_bytes, struct pw_link_frame *f)
{
    if (len == 0) {
        return PW_PARSE_BAD;
    }
    f->type = (enum pw_link_frame_type)p[0];
    switch (p[0]) {
    case PW_LINK_FRAME_PING:
    case PW_LINK_FRAME_BYE:
        return 1;
    case PW_LINK_FRAME_ACK:
        return ack_get(p, len, f);
    case PW_LINK_FRAME_FRAGMENT:
        return fragment_get(p, len, fragment_bytes, f);
    case PW_LINK_FRAME_REPLY:
        return reply_get(p, len, f);
    case PW_LINK_FRAME_CANCEL:
        return cancel_get(p, len, f);
    default:
        return PW_PARSE_BAD;
    }
}

size_t
pw_link_hello_put(uint8_t *p, const struct pw_link_hello *h)
{
    pw_store_be32(p, h->session);
    memcpy(p + 4, h->nonce, 32);
    pw_store_be16(p + 36, h->packet_bytes);
    p[38] = (uint8_t)h->from.len;
    p[39] = (uint8_t)h->to.len;
    memcpy(p + 40, h->from.ptr, h->from.len);
    memcpy(p + 40 + h->from.len, h->to.ptr, h->to.len);
    return 40 + h->from.len + h->to.len;
}

int
pw_link_hello_get(const uint8_t *p, size_t len, struct pw_link_hello *h)
{
    if (len < 40 || len < 40U + p[38] + p[39] || p[38] == 0 || p[39] == 0 ||
        p[38] > PW_LINK_ID_BYTES_MAX || p[39] > PW_LINK_ID_BYTES_MAX) {
        return PW_PARSE_BAD;
    }
    h->session = pw_load_be32(p);
    memcpy(h->nonce, p + 4, 32);
    h->packet_bytes = pw_load_be16(p + 36);
    h->from = pw_slice(p + 40, p[38]);
    h->to = pw_slice(p + 40 + p[38], p[39]);
    return h->packet_bytes < PW_LINK_PACKET_BYTES_MIN ||
                   memchr(p + 40, 0, (size_t)p[38] + p[39]) != NULL
               ? PW_PARSE_BAD
               : 0;
}

size_t
pw_link_welcome_put(uint8_t *p, const struct pw_link_welcome *h)
{
    pw_store_be32(p, h->session);
    memcpy(p + 4, h->client_nonce, 32);
    memcpy(p + 36, h->server_nonce, 32);
    pw_store_be16(p + 68, h->packet_bytes);
    pw_link_store64(p + 70, h->credit);
    return 78;
}

int
pw_link_welcome_get(const uint8_t *p, size_t len, struct pw_link_welcome *h)
{
    if (len != 78) {
        return PW_PARSE_BAD;
    }
    h->session = pw_load_be32(p);
    memcpy(h->client_nonce, p + 4, 32);
    memcpy(h->server_nonce, p + 36, 32);
    h->packet_bytes = pw_load_be16(p + 68);
    h->credit = pw_link_load64(p + 70);
    return h->packet_bytes < PW_LINK_PACKET_BYTES_MIN ? PW_PARSE_BAD : 0;
}
