/* libdeflate against ISA-L on the bodies of perf/corpus: whole, and in the pieces of TCP segments. What
 * pprof/inflate.c chooses follows from these figures: joining pieces costs little against what
 * libdeflate is faster by. Microseconds per body over all files; also for the smallest and the largest
 * quarter of them. */
#include "perf/bench.h"
#include "perf/mix.h"
#include "pprof/inflate.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>

enum { OUT_BYTES = 16 << 20, SEGMENT = 1448, PIECES_MAX = 4096 };

struct state {
    struct mix mix;
    uint32_t first, end; /* files of this run */
    struct libdeflate_decompressor *whole;
    struct pw_inflater *inf;
    struct inflate_state stream;
    uint8_t *out;
    bool pieces;
};

static uint32_t
cut(const struct state *s, struct pw_slice body, struct pw_slice *piece)
{
    size_t step = s->pieces ? SEGMENT : body.len;
    uint32_t n = 0;

    for (size_t at = 0; at < body.len; at += step) {
        piece[n++] = pw_slice(body.ptr + at, body.len - at < step ? body.len - at : step);
    }
    return n;
}

static void
must(bool ok)
{
    if (!ok) {
        fprintf(stderr, "bench: a body was refused\n");
        exit(1);
    }
}

static void
run_libdeflate(void *arg)
{
    struct state *s = arg;

    for (uint32_t i = s->first; i < s->end; i++) {
        size_t n;

        must(libdeflate_gzip_decompress(s->whole, s->mix.gz[i].ptr, s->mix.gz[i].len, s->out,
                                        OUT_BYTES, &n) == LIBDEFLATE_SUCCESS);
    }
}

static void
run_ours(void *arg)
{
    struct state *s = arg;
    struct pw_slice piece[PIECES_MAX];

    for (uint32_t i = s->first; i < s->end; i++) {
        size_t n;

        must(pw_inflate(s->inf, piece, cut(s, s->mix.gz[i], piece), s->out, OUT_BYTES, &n) ==
             PW_INFLATE_OK);
    }
}

static void
run_isal(void *arg)
{
    struct state *s = arg;
    struct pw_slice piece[PIECES_MAX];

    for (uint32_t i = s->first; i < s->end; i++) {
        uint32_t n = cut(s, s->mix.gz[i], piece);

        isal_inflate_init(&s->stream);
        s->stream.crc_flag = ISAL_GZIP;
        s->stream.next_out = s->out;
        s->stream.avail_out = OUT_BYTES;
        for (uint32_t j = 0; j < n; j++) {
            s->stream.next_in = (uint8_t *)(uintptr_t)piece[j].ptr;
            s->stream.avail_in = (uint32_t)piece[j].len;
            must(isal_inflate(&s->stream) == ISAL_DECOMP_OK);
        }
        must(s->stream.block_state == ISAL_BLOCK_FINISH);
    }
}

static void
one(struct state *s, const char *what, const char *name, bench_fn *fn, bool pieces)
{
    char line[96];

    s->pieces = pieces;
    snprintf(line, sizeof(line), "%s_%s%s_us", name, pieces ? "pieces_" : "", what);
    bench_print(line, bench_run(NULL, fn, s, s->end - s->first).ns_min / 1000);
}

static void
all(struct state *s, const char *what, uint32_t first, uint32_t end)
{
    size_t bytes = 0;
    char line[64];

    s->first = first;
    s->end = end;
    for (uint32_t i = first; i < end; i++) {
        bytes += s->mix.gz[i].len / (end - first);
    }
    snprintf(line, sizeof(line), "gzip_%s_bytes", what);
    bench_print(line, (double)bytes);
    one(s, what, "libdeflate", run_libdeflate, false);
    one(s, what, "ours", run_ours, false);
    one(s, what, "ours", run_ours, true);
    one(s, what, "isal", run_isal, false);
    one(s, what, "isal", run_isal, true);
}

/* By size of the packed body, smallest first: at most 64 files. */
static void
sort_by_size(struct mix *m)
{
    for (uint32_t i = 1; i < m->count; i++) {
        for (uint32_t j = i; j > 0 && m->gz[j].len < m->gz[j - 1].len; j--) {
            struct pw_slice gz = m->gz[j];

            m->gz[j] = m->gz[j - 1];
            m->gz[j - 1] = gz;
        }
    }
}

int
main(int argc, char **argv)
{
    static struct state s;

    bench_begin();
    mix_load(&s.mix, argc > 1 ? argv[1] : NULL);
    sort_by_size(&s.mix);
    s.whole = libdeflate_alloc_decompressor();
    s.out = malloc(OUT_BYTES);
    if (pw_inflater_init_ctl(&s.inf) != 0 || s.out == NULL) {
        return 1;
    }
    all(&s, "mix", 0, s.mix.count);
    all(&s, "small", 0, (s.mix.count + 3) / 4);
    all(&s, "large", s.mix.count - (s.mix.count + 3) / 4, s.mix.count);
    return 0;
}
