/* libdeflate wants the whole input and output in one piece and is the faster of the two; ISA-L
 * takes pieces and keeps state. perf/bench_inflate measures both on the same bodies. So: one piece
 * goes to libdeflate as it lies, several pieces are joined first while that copy is small against
 * unpacking, and only bodies above the join buffer stream through ISA-L. Failures are decoded a
 * second time by ISA-L, which can tell a stream that ends early from a broken one. On a fiber, what says
 * that it is long streams as well: libdeflate cannot stop half way. */
#include "pprof/inflate.h"

#include "base/fiber.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>

enum {
    JOIN_BYTES_MAX = 4 << 20,
    GZIP_HEADER_BYTES = 10,
    SURE_BYTES_MIN = 1 << 20,
    /* On a fiber: in one go below these, 0.3 ms as a rule; else in steps of these. A deflate block can do much
     * work with little input, so input is dealt out in smaller ones. */
    AT_ONCE_IN_MAX = 96 << 10,
    AT_ONCE_OUT_MAX = 320 << 10,
    STEP_IN_BYTES = 4 << 10,
    STEP_OUT_BYTES = 32 << 10,
};

struct pw_inflater {
    struct libdeflate_decompressor *whole;
    struct inflate_state stream;
    uint8_t *join;
    struct pw_fiber *fiber; /* NULL: straight */
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

void
pw_inflater_set_fiber_ctl(struct pw_inflater *inf, struct pw_fiber *fiber)
{
    inf->fiber = fiber;
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
stream_step(struct inflate_state *s, uint8_t *out, size_t out_cap, size_t *out_len, size_t most)
{
    uint8_t over[1];
    bool full = *out_len == out_cap;
    size_t room = full ? sizeof(over) : out_cap - *out_len;
    uint32_t avail = (uint32_t)(room > most ? most : room);
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

/* As many steps as it takes to use up s->avail_in, at most `most` bytes of output each. *fresh: between
 * members. */
static enum pw_inflate_result
stream_piece(struct pw_inflater *inf, uint8_t *out, size_t out_cap, size_t *out_len, bool *fresh)
{
    struct inflate_state *s = &inf->stream;
    size_t most = inf->fiber == NULL ? UINT32_MAX : (size_t)STEP_OUT_BYTES;

    for (;;) { /* every turn consumes input or makes output, else it ends */
        uint32_t in_before = s->avail_in;
        size_t out_before = *out_len;
        enum pw_inflate_result r;

        if (*fresh && s->avail_in > 0) {
            uint8_t *next = s->next_in;

            stream_begin(s);
            s->next_in = next;
            s->avail_in = in_before;
            *fresh = false;
        }
        if (*fresh) {
            return PW_INFLATE_OK;
        }
        r = stream_step(s, out, out_cap, out_len, most);
        if (r != PW_INFLATE_OK) {
            return r;
        }
        *fresh = s->block_state == ISAL_BLOCK_FINISH;
        if (!*fresh && s->avail_in == in_before && *out_len == out_before) {
            return PW_INFLATE_OK;
        }
        pw_fiber_pause(inf->fiber);
    }
}

static enum pw_inflate_result
inflate_stream(struct pw_inflater *inf, const struct pw_slice *in, uint32_t in_count, uint8_t *out,
               size_t out_cap, size_t *out_len)
{
    struct inflate_state *s = &inf->stream;
    size_t most = inf->fiber == NULL ? SIZE_MAX : (size_t)STEP_IN_BYTES;
    bool fresh = false;

    *out_len = 0;
    stream_begin(s);
    for (uint32_t i = 0; i < in_count; i++) {
        for (size_t at = 0; at < in[i].len;) {
            size_t n = in[i].len - at < most ? in[i].len - at : most;
            enum pw_inflate_result r;

            s->next_in = (uint8_t *)(uintptr_t)in[i].ptr + at; /* ISA-L does not write through it */
            s->avail_in = (uint32_t)n;
            r = stream_piece(inf, out, out_cap, out_len, &fresh);
            if (r != PW_INFLATE_OK) {
                return r;
            }
            at += n;
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

uint32_t
pw_inflate_promised(const struct pw_slice *in, uint32_t in_count)
{
    uint32_t v = 0, n = 0;

    for (uint32_t i = in_count; i > 0 && n < 4; i--) {
        for (size_t k = in [i - 1].len; k > 0 && n < 4; k--, n++) {
            v = v << 8 | in[i - 1].ptr[k - 1];
        }
    }
    return v;
}

/* How much output may be asked of libdeflate in one call; 0: none, it has to stream. */
static size_t
at_once(const struct pw_inflater *inf, const struct pw_slice *in, uint32_t in_count, size_t total,
        size_t out_cap)
{
    if (inf->fiber == NULL) {
        return in_count == 1 || total <= JOIN_BYTES_MAX ? out_cap : 0;
    }
    if (total > AT_ONCE_IN_MAX || pw_inflate_promised(in, in_count) > AT_ONCE_OUT_MAX) {
        return 0;
    }
    return out_cap < AT_ONCE_OUT_MAX ? out_cap : AT_ONCE_OUT_MAX;
}

enum pw_inflate_result
pw_inflate(struct pw_inflater *inf, const struct pw_slice *in, uint32_t in_count, uint8_t *out,
           size_t out_cap, size_t *out_len)
{
    struct pw_slice all = {0};
    size_t total = 0, once;
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
    once = at_once(inf, in, in_count, total, out_cap);
    if (in_count == 1) {
        all = in[0];
    } else if (once != 0 && !join(inf, in, in_count, &all)) {
        once = 0;
    }
    if (once == 0 && out_cap != 0) {
        return inflate_stream(inf, in, in_count, out, out_cap, out_len);
    }
    pw_fiber_pause(inf->fiber);
    r = inflate_whole(inf, all, out, once, out_len);
    if (r == PW_INFLATE_TOO_LARGE && once < out_cap) { /* the promise was not kept */
        return inflate_stream(inf, &all, 1, out, out_cap, out_len);
    }
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
