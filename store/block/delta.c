#include "store/block/delta.h"

#include "base/check.h"

enum {
    BLOCK = 128,
    MINIBLOCKS = 4,
    MINI = BLOCK / MINIBLOCKS,
    BLOCK_MAX = 1 << 20, /* of what is read */
    PACK = 32,           /* values unpacked at a time: 4 bytes a bit of width */
    PACK_BYTES_MAX = PACK * 64 / 8,
    GROUPS_MAX = 63, /* bit-packed groups under a header of one byte */
};

/* --- DELTA_BINARY_PACKED: writing ---------------------------------------------------------------- */

/* 32 values of w bits, lowest bits first, into 4 * w bytes. */
static void
pack32(uint8_t *out, const uint64_t *v, uint32_t w)
{
    uint64_t acc = 0;
    uint32_t have = 0; /* bits of acc, fewer than 64 */

    for (uint32_t i = 0; i < PACK; i++) {
        acc |= v[i] << have;
        have += w;
        if (have >= 64) {
            memcpy(out, &acc, sizeof(acc));
            out += sizeof(acc);
            have -= 64;
            acc = have == 0 ? 0 : v[i] >> (w - have);
        }
    }
    /* 32 values of an odd width end in the middle of a word. */
    memcpy(out, &acc, have / 8);
}

/* Differences of up to a block of values, relative to the smallest, and that one. */
static int64_t
block_deltas(const int64_t *v, size_t n, uint32_t bits, uint64_t *delta)
{
    int64_t min = INT64_MAX;

    for (size_t i = 0; i < n; i++) {
        int64_t d = (int64_t)((uint64_t)v[i + 1] - (uint64_t)v[i]);

        if (bits == 32) {
            d = (int32_t)(uint32_t)(uint64_t)d;
        }
        delta[i] = (uint64_t)d;
        if (d < min) {
            min = d;
        }
    }
    for (size_t i = 0; i < n; i++) {
        delta[i] -= (uint64_t)min;
    }
    for (size_t i = n; i < BLOCK; i++) {
        delta[i] = 0;
    }
    return min;
}

static void
put_block(struct pw_text *t, const int64_t *v, size_t n, uint32_t bits)
{
    uint64_t delta[BLOCK];
    int64_t min = block_deltas(v, n, bits, delta);
    uint32_t width[MINIBLOCKS];
    uint8_t *w;

    pw_put_uvarint(t, pw_zigzag(min));
    w = pw_text_grow(t, MINIBLOCKS);
    for (uint32_t m = 0; m < MINIBLOCKS; m++) {
        uint64_t all = 0;

        for (uint32_t i = 0; i < MINI; i++) {
            all |= delta[m * MINI + i];
        }
        width[m] = pw_bit_width(all);
        if (w != NULL) {
            w[m] = (uint8_t)width[m];
        }
    }
    /* A miniblock without a value is left out; the last one with any is padded (with zeros). */
    for (uint32_t m = 0; m * MINI < n; m++) {
        uint8_t *p = pw_text_grow(t, (size_t)width[m] * MINI / 8);

        if (p != NULL && width[m] != 0) {
            pack32(p, delta + m * MINI, width[m]);
        }
    }
}

void
pw_delta_encode(struct pw_text *t, const int64_t *v, size_t n, uint32_t bits)
{
    pw_put_uvarint(t, BLOCK);
    pw_put_uvarint(t, MINIBLOCKS);
    pw_put_uvarint(t, n);
    pw_put_uvarint(t,
                   n == 0 ? 0 : pw_zigzag(bits == 32 ? (int32_t)(uint32_t)(uint64_t)v[0] : v[0]));
    for (size_t i = 0; i + 1 < n; i += BLOCK) {
        size_t left = n - 1 - i;

        put_block(t, v + i, left < BLOCK ? left : BLOCK, bits);
    }
}

/* --- DELTA_BINARY_PACKED: reading ---------------------------------------------------------------- */

/* 32 values of w bits from 4 * w bytes. */
static void
unpack32(const uint8_t *in, uint32_t w, uint64_t *v)
{
    uint8_t buf[PACK_BYTES_MAX + 16];
    uint64_t mask = w == 64 ? UINT64_MAX : (1ULL << w) - 1;

    memcpy(buf, in, (size_t)w * PACK / 8);
    memset(buf + (size_t)w * PACK / 8, 0, 16);
    for (uint32_t i = 0; i < PACK; i++) {
        uint32_t bit = i * w;
        uint64_t lo;

        memcpy(&lo, buf + bit / 8, sizeof(lo));
        lo >>= bit % 8;
        if (bit % 8 + w > 64) {
            lo |= (uint64_t)buf[bit / 8 + 8] << (64 - bit % 8);
        }
        v[i] = lo & mask;
    }
}

struct delta_geometry {
    uint64_t block, miniblocks, mini;
};

static bool
read_header(struct pw_bytes *in, struct delta_geometry *g, uint64_t *count, int64_t *first)
{
    g->block = pw_bytes_uvarint(in);
    g->miniblocks = pw_bytes_uvarint(in);
    *count = pw_bytes_uvarint(in);
    *first = pw_unzigzag(pw_bytes_uvarint(in));
    if (in->bad || g->block == 0 || g->block % BLOCK != 0 || g->block > BLOCK_MAX ||
        g->miniblocks == 0 || g->miniblocks > g->block / PACK || g->block % g->miniblocks != 0) {
        return false;
    }
    g->mini = g->block / g->miniblocks;
    return g->mini % PACK == 0;
}

/* One miniblock: up to n of its values. value: the one before. */
static bool
read_mini(struct pw_bytes *in, const struct delta_geometry *g, uint32_t width, int64_t min,
          int64_t *value, int64_t *out, size_t n, uint32_t bits)
{
    for (uint64_t i = 0; i < g->mini; i += PACK) {
        const uint8_t *p = pw_bytes_take(in, (uint64_t)width * PACK / 8);
        uint64_t delta[PACK];
        uint64_t v = (uint64_t)*value;

        if (p == NULL) {
            return false;
        }
        if (i >= n) {
            continue;
        }
        unpack32(p, width, delta);
        for (uint32_t k = 0; k < PACK && i + k < n; k++) {
            v += delta[k] + (uint64_t)min;
            if (bits == 32) {
                v = (uint64_t)(int64_t)(int32_t)(uint32_t)v;
            }
            out[i + k] = (int64_t)v;
        }
        *value = (int64_t)v;
    }
    return true;
}

int
pw_delta_decode(struct pw_bytes *in, uint32_t bits, int64_t *out, size_t n)
{
    struct delta_geometry g;
    uint64_t count;
    int64_t value;

    if (!read_header(in, &g, &count, &value) || count != n) {
        return PW_EINVAL;
    }
    if (n == 0) {
        return 0;
    }
    out[0] = value;
    for (size_t done = 1; done < n;) {
        int64_t min = pw_unzigzag(pw_bytes_uvarint(in));
        const uint8_t *width = pw_bytes_take(in, g.miniblocks);

        if (width == NULL) {
            return PW_EINVAL;
        }
        for (uint64_t m = 0; m < g.miniblocks && done < n; m++) {
            size_t take = n - done < g.mini ? n - done : (size_t)g.mini;

            if (width[m] > 64 ||
                !read_mini(in, &g, width[m], min, &value, out + done, take, bits)) {
                return PW_EINVAL;
            }
            done += take;
        }
    }
    return 0;
}

/* --- RLE / bit-packing hybrid: writing ----------------------------------------------------------- */

void
pw_rle_begin(struct pw_rle *r, struct pw_text *t, uint32_t width)
{
    *r = (struct pw_rle){.t = t, .width = width, .header_at = SIZE_MAX};
}

static void
put_group(struct pw_rle *r)
{
    uint64_t acc = 0;
    uint32_t have = 0;

    if (r->header_at == SIZE_MAX || r->header_groups == GROUPS_MAX) {
        r->header_at = r->t->len;
        r->header_groups = 0;
        pw_text_char(r->t, 0);
    }
    for (uint32_t i = 0; i < 8; i++) {
        acc |= (uint64_t)r->group[i] << have;
        for (have += r->width; have >= 8; have -= 8, acc >>= 8) {
            pw_text_char(r->t, (char)acc);
        }
    }
    r->header_groups++;
    if (!r->t->failed) {
        r->t->ptr[r->header_at] = (uint8_t)(r->header_groups << 1 | 1);
    }
    r->group_count = 0;
}

static void
put_run(struct pw_rle *r)
{
    pw_put_uvarint(r->t, r->run << 1);
    pw_put_le(r->t, r->run_value, (r->width + 7) / 8);
    r->header_at = SIZE_MAX;
}

/* The open run becomes a run, or joins a bit-packed group when it is short or a group is unfinished. */
static void
close_run(struct pw_rle *r)
{
    while (r->run != 0 && (r->group_count != 0 || r->run < 8)) {
        r->group[r->group_count++] = r->run_value;
        r->run--;
        if (r->group_count == 8) {
            put_group(r);
        }
    }
    if (r->run != 0) {
        put_run(r);
        r->run = 0;
    }
}

void
pw_rle_put(struct pw_rle *r, uint32_t value, uint64_t count)
{
    if (count == 0) {
        return;
    }
    if (value != r->run_value) {
        close_run(r);
    }
    r->run_value = value;
    r->run += count;
}

void
pw_rle_end(struct pw_rle *r)
{
    close_run(r);
    if (r->group_count != 0) {
        while (r->group_count < 8) {
            r->group[r->group_count++] = 0;
        }
        put_group(r);
    }
}

/* --- RLE / bit-packing hybrid: reading ----------------------------------------------------------- */

/* Hands out runs: a repeated value, or up to 8 single ones at a time. */
struct rle_reader {
    struct pw_bytes *in;
    uint32_t width;
    uint64_t run;    /* left of a repeated run */
    uint64_t groups; /* left of a bit-packed run */
    uint32_t run_value;
    uint32_t group[8];
};

/* How many values follow (0: broken): run of them equal, or 8 in group. */
static uint64_t
rle_next(struct rle_reader *r, bool *repeated)
{
    if (r->groups == 0) {
        uint64_t header = pw_bytes_uvarint(r->in);

        if ((header & 1) == 0) {
            const uint8_t *p = pw_bytes_take(r->in, (r->width + 7) / 8);

            r->run_value = 0;
            for (uint32_t i = 0; p != NULL && i < (r->width + 7) / 8; i++) {
                r->run_value |= (uint32_t)p[i] << (8 * i);
            }
            *repeated = true;
            return p == NULL || (r->width < 32 && r->run_value >> r->width != 0) ? 0 : header >> 1;
        }
        r->groups = header >> 1;
        if (r->groups == 0) {
            return 0;
        }
    }
    const uint8_t *p = pw_bytes_take(r->in, r->width);
    uint64_t acc = 0;
    uint32_t have = 0;

    if (p == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < 8; i++) {
        for (; have < r->width; have += 8) {
            acc |= (uint64_t)*p++ << have;
        }
        r->group[i] = (uint32_t)(acc & ((1ULL << r->width) - 1));
        acc >>= r->width;
        have -= r->width;
    }
    r->groups--;
    *repeated = false;
    return 8;
}

int
pw_rle_decode(struct pw_bytes *in, uint32_t width, uint32_t *out, size_t n)
{
    struct rle_reader r = {.in = in, .width = width};

    PW_DCHECK(width <= 32);
    if (width == 0) {
        memset(out, 0, n * sizeof(*out));
        return 0;
    }
    for (size_t i = 0; i < n;) {
        bool repeated = false;
        uint64_t k = rle_next(&r, &repeated);

        if (k == 0) {
            return PW_EINVAL;
        }
        for (; k != 0 && i < n; k--, i++) {
            out[i] = repeated ? r.run_value : r.group[8 - k];
        }
    }
    return 0;
}

int
pw_rle_decode_u8(struct pw_bytes *in, uint32_t width, uint8_t *out, size_t n)
{
    struct rle_reader r = {.in = in, .width = width};

    PW_DCHECK(width <= 8);
    if (width == 0) {
        memset(out, 0, n);
        return 0;
    }
    for (size_t i = 0; i < n;) {
        bool repeated = false;
        uint64_t k = rle_next(&r, &repeated);

        if (k == 0) {
            return PW_EINVAL;
        }
        if (repeated) {
            size_t take = k < n - i ? (size_t)k : n - i;

            memset(out + i, (int)r.run_value, take);
            i += take;
            continue;
        }
        for (uint32_t g = 0; g < 8 && i < n; g++, i++) {
            out[i] = (uint8_t)r.group[g];
        }
    }
    return 0;
}
