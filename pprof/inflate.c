/* libdeflate wants the whole input and output in one piece and is the faster of the two; ISA-L
 * takes pieces and keeps state. perf/bench_inflate measures both on the same bodies. So: one piece
 * goes to libdeflate as it lies, several pieces are joined first while that copy is small against
 * unpacking, and only bodies above the join buffer stream through ISA-L. Failures are decoded a
 * second time by ISA-L, which can tell a stream that ends early from a broken one. */
#include "pprof/inflate.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>

enum { JOIN_BYTES_MAX = 4 << 20, GZIP_HEADER_BYTES = 10, SURE_BYTES_MIN = 1 << 20 };

struct pw_inflater {
    struct libdeflate_decompressor *whole;
    struct inflate_state stream;
    uint8_t *join;
};

int
pw_inflater_init_ctl(struct pw_inflater **inf)
{
    struct pw_inflater *x = calloc(1, sizeof(*x));

    if (x == NULL) {
        return PW_ENOMEM;
    }
    x->whole = libdeflate_alloc_decompressor();
    x->join = malloc(JOIN_BYTES_MAX); /* touched only as far as bodies reach */
    if (x->whole == NULL || x->join == NULL) {
        pw_inflater_fini_ctl(x);
        return PW_ENOMEM;
    }
    *inf = x;
    return 0;
}

void
pw_inflater_fini_ctl(struct pw_inflater *inf)
{
    if (inf == NULL) {
        return;
    }
    if (inf->whole != NULL) {
        libdeflate_free_decompressor(inf->whole);
    }
    free(inf->join);
    free(inf);
}

bool
pw_inflate_is_gzip(const struct pw_slice *in, uint32_t in_count)
{
    uint8_t head[2] = {0};
    uint32_t n = 0;

    for (uint32_t i = 0; i < in_count && n < 2; i++) {
        for (size_t j = 0; j < in[i].len && n < 2; j++) {
            head[n++] = in[i].ptr[j];
        }
    }
    return n == 2 && head[0] == 0x1F && head[1] == 0x8B;
}

/* Members one after another (RFC 1952 2.2), each bounded by what is left of out. */
static enum pw_inflate_result
inflate_whole(struct pw_inflater *inf, struct pw_slice in, uint8_t *out, size_t out_cap,
              size_t *out_len)
{
    size_t done = 0;

    while (done < in.len) { /* a member is at least 18 bytes */
        size_t used, made;
        enum libdeflate_result r =
            libdeflate_gzip_decompress_ex(inf->whole, in.ptr + done, in.len - done, out + *out_len,
                                          out_cap - *out_len, &used, &made);

        if (r == LIBDEFLATE_INSUFFICIENT_SPACE) {
            *out_len = out_cap;
            return PW_INFLATE_TOO_LARGE;
        }
        if (r != LIBDEFLATE_SUCCESS) {
            return PW_INFLATE_CORRUPT;
        }
        done += used;
        *out_len += made;
    }
    return PW_INFLATE_OK;
}

static enum pw_inflate_result
stream_result(int r)
{
    switch (r) {
    case ISAL_DECOMP_OK:
    case ISAL_END_INPUT:
        return PW_INFLATE_OK;
    case ISAL_INVALID_WRAPPER:
    case ISAL_UNSUPPORTED_METHOD:
        return PW_INFLATE_BAD_HEADER;
    case ISAL_INCORRECT_CHECKSUM:
        return PW_INFLATE_BAD_CHECKSUM;
    default:
        return PW_INFLATE_CORRUPT;
    }
}

/* One call of ISA-L. Writes into out while there is room, then into a byte of its own: anything
 * that lands there is over the limit. */
static enum pw_inflate_result
stream_step(struct inflate_state *s, uint8_t *out, size_t out_cap, size_t *out_len)
{
    uint8_t over[1];
    bool full = *out_len == out_cap;
    size_t room = full ? sizeof(over) : out_cap - *out_len;
    uint32_t avail = room > UINT32_MAX ? UINT32_MAX : (uint32_t)room;
    int r;

    s->next_out = full ? over : out + *out_len;
    s->avail_out = avail;
    r = isal_inflate(s);
    if (full && s->avail_out == 0) {
        return PW_INFLATE_TOO_LARGE;
    }
    if (!full) {
        *out_len += avail - s->avail_out;
    }
    return stream_result(r);
}

static void
stream_begin(struct inflate_state *s)
{
    isal_inflate_init(s);
    s->crc_flag = ISAL_GZIP;
}

static enum pw_inflate_result
inflate_stream(struct pw_inflater *inf, const struct pw_slice *in, uint32_t in_count, uint8_t *out,
               size_t out_cap, size_t *out_len)
{
    struct inflate_state *s = &inf->stream;
    bool fresh = false; /* between members */

    *out_len = 0;
    stream_begin(s);
    for (uint32_t i = 0; i < in_count; i++) {
        s->next_in = (uint8_t *)(uintptr_t)in[i].ptr; /* ISA-L does not write through it */
        s->avail_in = (uint32_t)in[i].len;
        for (;;) { /* every turn consumes input or makes output, else it ends */
            uint32_t in_before = s->avail_in;
            size_t out_before = *out_len;
            enum pw_inflate_result r;

            if (fresh && s->avail_in > 0) {
                uint8_t *next = s->next_in;

                stream_begin(s);
                s->next_in = next;
                s->avail_in = in_before;
                fresh = false;
            }
            if (fresh) {
                break;
            }
            r = stream_step(s, out, out_cap, out_len);
            if (r != PW_INFLATE_OK) {
                return r;
            }
            fresh = s->block_state == ISAL_BLOCK_FINISH;
            if (!fresh && s->avail_in == in_before && *out_len == out_before) {
                break;
            }
        }
    }
    return fresh ? PW_INFLATE_OK : PW_INFLATE_TRUNCATED;
}

static bool
join(struct pw_inflater *inf, const struct pw_slice *in, uint32_t in_count, struct pw_slice *all)
{
    size_t n = 0;

    for (uint32_t i = 0; i < in_count; i++) {
        if (in[i].len > JOIN_BYTES_MAX - n) {
            return false;
        }
        memcpy(inf->join + n, in[i].ptr, in[i].len);
        n += in[i].len;
    }
    *all = pw_slice(inf->join, n);
    return true;
}

enum pw_inflate_result
pw_inflate(struct pw_inflater *inf, const struct pw_slice *in, uint32_t in_count, uint8_t *out,
           size_t out_cap, size_t *out_len)
{
    struct pw_slice all = {0};
    size_t total = 0;
    enum pw_inflate_result r;

    *out_len = 0;
    for (uint32_t i = 0; i < in_count; i++) {
        total += in[i].len;
    }
    if (total < GZIP_HEADER_BYTES) {
        return PW_INFLATE_TRUNCATED;
    }
    if (!pw_inflate_is_gzip(in, in_count)) {
        return PW_INFLATE_BAD_HEADER;
    }
    if (in_count == 1) {
        all = in[0];
    } else if (total > JOIN_BYTES_MAX || !join(inf, in, in_count, &all)) {
        return inflate_stream(inf, in, in_count, out, out_cap, out_len);
    }
    r = inflate_whole(inf, all, out, out_cap, out_len);
    if (r == PW_INFLATE_TOO_LARGE && out_cap >= SURE_BYTES_MIN) {
        return r; /* no second time for a bomb: of a cut stream libdeflate makes a few KiB too much */
    }
    if (r != PW_INFLATE_OK) {
        /* libdeflate has one word for every fault, and reads zeros behind a cut, which can look like
         * too much output. If ISA-L finds no fault, it is libdeflate's stricter reading (reserved
         * header flags), which stays a refusal. */
        r = inflate_stream(inf, &all, 1, out, out_cap, out_len);
        return r == PW_INFLATE_OK ? PW_INFLATE_CORRUPT : r;
    }
    return PW_INFLATE_OK;
}

const char *
pw_inflate_text(enum pw_inflate_result r)
{
    switch (r) {
    case PW_INFLATE_OK:
        return "";
    case PW_INFLATE_TOO_LARGE:
        return "decompressed size exceeds the limit";
    case PW_INFLATE_BAD_HEADER:
        return "gzip: invalid header";
    case PW_INFLATE_TRUNCATED:
        return "unexpected EOF";
    case PW_INFLATE_CORRUPT:
        return "flate: corrupt input";
    case PW_INFLATE_BAD_CHECKSUM:
        return "gzip: invalid checksum";
    }
    return "";
}
