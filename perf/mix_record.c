#include "perf/mix_record.h"

#include "pprof/inflate.h"
#include "pprof/profile.h"

#include <stdio.h>
#include <stdlib.h>

enum { SCRATCH_BYTES = 256 << 20, OUT_BYTES = 16 << 20, SAMPLES_MAX = 1 << 20 };

struct work {
    struct pw_inflater *inf;
    struct pw_scratch scratch;
    uint8_t *out;
    uint32_t *all; /* every sample of a profile: 0, 1, 2 ... */
};

static void
die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static struct pw_record *
build(const struct work *w, const struct pw_profile *p, uint32_t push, const struct pw_slice *gz)
{
    char pod[64], service[64];
    uint32_t n = push % MIX_PODS;

    snprintf(service, sizeof(service), "service-%02u", n % MIX_SERVICES);
    snprintf(pod, sizeof(pod), "service-%02u-5d8f7c9b4-x%04u", n % MIX_SERVICES, n);
    struct pw_label_pair pair[] = {
        {PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
        {PW_SLICE_LIT("namespace"), PW_SLICE_LIT("default")},
        {PW_SLICE_LIT("pod"), pw_slice_str(pod)},
        {PW_SLICE_LIT("service_name"), pw_slice_str(service)},
    };
    struct pw_labels labels = {.pair = pair, .count = 4, .cap = 4};
    struct pw_record_group group = {
        .labels = &labels, .sample = w->all, .sample_count = p->sample_count};
    const struct pw_record_raw raw = {.piece = gz,
                                      .piece_count = 1,
                                      .depth_max = 1000,
                                      .symbol_max = 65535,
                                      .bytes = gz == NULL ? 0 : gz->len};
    struct pw_record_source src = {.raw = gz == NULL ? NULL : &raw,
                                   .profile = p,
                                   .tenant = PW_SLICE_LIT("00000000"),
                                   .group = &group,
                                   .group_count = 1};
    size_t cap = pw_record_bytes_max(&src);
    struct pw_record *rec = aligned_alloc(64, pw_align_up(cap, 64));

    if (rec == NULL || pw_record_build(&src, rec, cap) <= 0) {
        die("record refused");
    }
    return rec;
}

static uint32_t
records(const struct mix *m, uint32_t most, struct pw_record **out, bool pushed)
{
    struct work w = {.out = malloc(OUT_BYTES), .all = malloc(SAMPLES_MAX * sizeof(*w.all))};
    uint32_t n = most / m->count * m->count;

    if (pw_inflater_init_ctl(&w.inf) != 0 || w.out == NULL || w.all == NULL ||
        pw_scratch_init_ctl(&w.scratch, SCRATCH_BYTES) != 0) {
        die("out of memory");
    }
    for (uint32_t i = 0; i < SAMPLES_MAX; i++) {
        w.all[i] = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct pw_profile p;
        const char *err = NULL;
        size_t bytes = 0;

        w.scratch.used = 0;
        if (pw_inflate(w.inf, &m->gz[i % m->count], 1, w.out, OUT_BYTES, &bytes) != PW_INFLATE_OK ||
            pw_profile_parse(&p, &w.scratch, MIX_HASH_KEY, pw_slice(w.out, bytes), &err) != 0 ||
            pw_profile_normalize(&p) != 0) {
            die(m->name[i % m->count]);
        }
        out[i] = build(&w, &p, i, pushed ? &m->gz[i % m->count] : NULL);
    }
    pw_inflater_fini_ctl(w.inf);
    pw_scratch_fini_ctl(&w.scratch);
    free(w.out);
    free(w.all);
    return n;
}

uint32_t
mix_records(const struct mix *m, uint32_t most, struct pw_record **out)
{
    return records(m, most, out, false);
}

uint32_t
mix_records_pushed(const struct mix *m, uint32_t most, struct pw_record **out)
{
    return records(m, most, out, true);
}
