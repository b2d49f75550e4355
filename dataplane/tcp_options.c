#include "dataplane/tcp_options.h"

enum {
    KIND_END = 0,
    KIND_NOP = 1,
    KIND_MSS = 2,
    KIND_WSCALE = 3,
    KIND_SACK_OK = 4,
    KIND_SACK = 5,
    KIND_TS = 8,
};
enum { LEN_MSS = 4, LEN_WSCALE = 3, LEN_SACK_OK = 2, LEN_TS = 10, SACK_BLOCK_BYTES = 8 };

/* One option of `len` bytes, kind and length included. False when the length is wrong for the kind.
 */
static bool
take_option(const uint8_t *p, uint32_t len, struct pw_tcp_options *o)
{
    switch (p[0]) {
    case KIND_MSS:
        if (len != LEN_MSS) {
            return false;
        }
        o->mss = pw_load_be16(p + 2);
        return true;
    case KIND_WSCALE:
        if (len != LEN_WSCALE) {
            return false;
        }
        /* RFC 7323 2.3: a larger shift is read as 14. */
        o->wscale = p[2] > PW_TCP_WSCALE_MAX ? PW_TCP_WSCALE_MAX : p[2];
        o->has_wscale = true;
        return true;
    case KIND_SACK_OK: /* RFC 2018 2 */
        if (len != LEN_SACK_OK) {
            return false;
        }
        o->sack_ok = true;
        return true;
    case KIND_SACK: /* RFC 2018 3 */
        if (len < 2 + SACK_BLOCK_BYTES || (len - 2) % SACK_BLOCK_BYTES != 0) {
            return false;
        }
        o->sack = p + 2;
        o->sack_count = (uint8_t)((len - 2) / SACK_BLOCK_BYTES);
        return true;
    case KIND_TS:
        if (len != LEN_TS) {
            return false;
        }
        o->ts_val = pw_load_be32(p + 2);
        o->ts_ecr = pw_load_be32(p + 6);
        o->has_ts = true;
        return true;
    default:
        return true; /* RFC 9293 3.1: unknown options are skipped by their length */
    }
}

int
pw_tcp_options_parse(const uint8_t *p, uint32_t len, struct pw_tcp_options *o)
{
    *o = (struct pw_tcp_options){0};
    if (len == PW_TCP_OPT_TS_BYTES && pw_load_be32(p) == 0x0101080AU) {
        o->ts_val = pw_load_be32(p + 4);
        o->ts_ecr = pw_load_be32(p + 8);
        o->has_ts = true;
        return (int)len;
    }
    uint32_t i = 0;

    while (i < len) { /* bound: 40 bytes */
        if (p[i] == KIND_END) {
            break;
        }
        if (p[i] == KIND_NOP) {
            i++;
            continue;
        }
        if (len - i < 2 || p[i + 1] < 2 || p[i + 1] > len - i) {
            return PW_PARSE_BAD;
        }
        if (!take_option(p + i, p[i + 1], o)) {
            return PW_PARSE_BAD;
        }
        i += p[i + 1];
    }
    return (int)len;
}

uint32_t
pw_tcp_options_put_syn(uint8_t *dst, const struct pw_tcp_options *o)
{
    uint32_t n = 4;

    dst[0] = KIND_MSS;
    dst[1] = LEN_MSS;
    pw_store_be16(dst + 2, o->mss);
    if (o->has_ts) {
        n += pw_tcp_options_put_ts(dst + n, o->ts_val, o->ts_ecr);
    }
    if (o->has_wscale) {
        dst[n] = KIND_NOP;
        dst[n + 1] = KIND_WSCALE;
        dst[n + 2] = LEN_WSCALE;
        dst[n + 3] = o->wscale;
        n += 4;
    }
    if (o->sack_ok) {
        pw_store_be32(dst + n, 0x01010000U | KIND_SACK_OK << 8 | LEN_SACK_OK);
        n += 4;
    }
    return n;
}

uint32_t
pw_tcp_options_put_sack(uint8_t *dst, const struct pw_tcp_range *r, uint32_t count)
{
    dst[0] = KIND_NOP;
    dst[1] = KIND_NOP;
    dst[2] = KIND_SACK;
    dst[3] = (uint8_t)(2 + count * SACK_BLOCK_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        pw_store_be32(dst + 4 + i * SACK_BLOCK_BYTES, r[i].left);
        pw_store_be32(dst + 8 + i * SACK_BLOCK_BYTES, r[i].right);
    }
    return 4 + count * SACK_BLOCK_BYTES;
}

struct pw_tcp_range
pw_tcp_options_sack_at(const struct pw_tcp_options *o, uint32_t i)
{
    PW_DCHECK(i < o->sack_count);
    return (struct pw_tcp_range){.left = pw_load_be32(o->sack + (size_t)i * SACK_BLOCK_BYTES),
                                 .right = pw_load_be32(o->sack + (size_t)i * SACK_BLOCK_BYTES + 4)};
}
