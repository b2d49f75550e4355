/* What one profile in flight takes, stage by stage: bytes that are there only because of it, from its first
 * byte to its completion. The profile goes the way it goes in the distributor: body in pieces, joined and unpacked
 * in bulk memory, tables in the core's scratch, the record finished around what was unpacked
 * (pprof/record_place.h); then, as `copied`, the way of those that cannot: unpacked into scratch, record elsewhere.
 *
 *     body      as it came, in packets; in place only while it is unpacked, else until its records are sent
 *     place     bulk memory: the body joined, the unpacked bytes, room for what the record has beside; in pages
 *     joined    copied: the body in one piece, only while it is unpacked
 *     unpacked, tables, record
 *
 * Reserved is what the scratch had handed out at the high-water mark of the stage; touched is what was written, in 64-byte
 * lines, found by a pattern that lay there before. Figures are sums over all files of the mix over the sum of
 * their unpacked bytes; the bar of issue 4 is body + 1.2. Bodies of megabytes are the largest file of the mix
 * repeated: every table grows, no id is dense. */
#include "distributor/bulk.h"
#include "perf/bench.h"
#include "perf/mix.h"
#include "pprof/profile.h"
#include "pprof/record_place.h"
#include "pprof/wire.h"

#include <stdio.h>
#include <stdlib.h>

enum { SCRATCH_BYTES = 512 << 20, RECORD_BYTES = 64 << 20, SAMPLES_MAX = 1 << 20, LINE = 64 };
enum { PATTERN = 0xA5 };

enum stage { PARSE, NORMALIZE, RECORD, STAGES };

struct sizes {
    double body, unpacked, record;
    double place; /* 0: copied */
    double placed;
    double beside;                            /* records that could not be finished in place */
    double waiting;                           /* records, in the pages that they hold */
    double reserved[STAGES], touched[STAGES]; /* of the scratch, unpacked bytes left out */
};

struct state {
    struct pw_scratch scratch;
    uint8_t *record;
    uint8_t *place;
    uint32_t *all;
};

static void
die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static double
touched(const struct pw_scratch *s, size_t from)
{
    static uint8_t clean[LINE];
    size_t lines = 0;

    memset(clean, PATTERN, sizeof(clean));
    for (size_t at = from; at < s->cap; at += LINE) {
        lines += memcmp(s->base + at, clean, LINE) != 0;
    }
    return (double)(lines * LINE);
}

/* The record of the whole profile: in place when there is one and the profile goes to one series, as
 * distributor/route.c has it. *in_place says which way it went. */
static size_t
build(const struct state *s, const struct pw_profile *p, struct pw_slice body,
      const struct pw_record_place *at, bool *in_place)
{
    static struct pw_label_pair pair[] = {
        {PW_SLICE_LIT("__name__"), PW_SLICE_LIT("process_cpu")},
        {PW_SLICE_LIT("pod"), PW_SLICE_LIT("checkout-5d8f7c9b4-x2x7p")},
        {PW_SLICE_LIT("service_name"), PW_SLICE_LIT("checkout")},
    };
    bool whole = p->label_set_count == 1;
    struct pw_labels labels = {.pair = pair, .count = 3, .cap = 3};
    struct pw_record_raw raw = {.piece = &body, .piece_count = 1, .bytes = body.len};
    struct pw_record_group group = {
        .labels = &labels, .sample = whole ? NULL : s->all, .sample_count = p->sample_count};
    struct pw_record_source src = {.raw = whole ? &raw : NULL,
                                   .profile = p,
                                   .tenant = PW_SLICE_LIT("anonymous"),
                                   .group = &group,
                                   .group_count = 1};
    int64_t n = at == NULL ? PW_ENOSPC : pw_record_finish(&src, at);

    *in_place = n > 0;
    n = n > 0 ? n : pw_record_build(&src, s->record, RECORD_BYTES);
    if (n <= 0) {
        die("no record");
    }
    return (size_t)n;
}

static double
pages(size_t bytes)
{
    return (double)pw_align_up(bytes, PW_BULK_PAGE_BYTES);
}

static void
note(struct state *s, struct sizes *z, enum stage stage, size_t from)
{
    z->reserved[stage] += (double)(s->scratch.peak - from);
    z->touched[stage] += touched(&s->scratch, from);
}

/* Where the profile is unpacked to, and its body beside it when there is a place for its record. */
static struct pw_slice
put(struct state *s, struct sizes *z, struct pw_slice raw, struct pw_slice body,
    struct pw_record_place *at)
{
    uint8_t *to;

    if (at == NULL) {
        to = pw_scratch_alloc(&s->scratch, raw.len);
    } else {
        *at = (struct pw_record_place){.base = s->place,
                                       .cap = pw_record_place_bytes(body.len, raw.len),
                                       .body_bytes = body.len};
        z->place += pages(at->cap);
        memcpy(pw_record_place_body(at), body.ptr, body.len);
        to = pw_record_place_unpacked(at);
    }
    memcpy(to, raw.ptr, raw.len);
    return pw_slice(to, raw.len);
}

static void
one(struct state *s, struct sizes *z, struct pw_slice raw, struct pw_slice body, bool place)
{
    struct pw_profile_limits none = {0};
    struct pw_profile_finding f = {0};
    struct pw_record_place at;
    struct pw_profile p;
    const char *err = NULL;
    struct pw_slice own;
    bool in_place;
    size_t from, n;

    memset(s->scratch.base, PATTERN, s->scratch.cap);
    s->scratch.used = s->scratch.peak = 0;
    own = put(s, z, raw, body, place ? &at : NULL);
    from = pw_align_up(s->scratch.used, LINE);
    if (pw_profile_parse(&p, &s->scratch, 42, own, &err) != 0) {
        die("not parsed");
    }
    note(s, z, PARSE, from);
    s->scratch.peak = s->scratch.used;
    if (pw_profile_validate(&p, &none, 1, &f) != PW_PROFILE_FINE || pw_profile_normalize(&p) != 0) {
        die("not normalised");
    }
    note(s, z, NORMALIZE, from);
    s->scratch.peak = s->scratch.used;
    n = build(s, &p, place ? pw_slice(pw_record_place_body(&at), body.len) : body,
              place ? &at : NULL, &in_place);
    note(s, z, RECORD, from);
    z->record += (double)n;
    z->beside += in_place ? 0 : (double)n;
    z->waiting += in_place ? pages(n) : (double)n;
    z->placed += in_place;
    z->unpacked += (double)raw.len;
    z->body += (double)body.len;
}

static void
print(const char *prefix, const char *name, double v)
{
    printf("%s_%s=%.2f\n", prefix, name, v);
}

static void
print_sizes(const char *prefix, const struct sizes *z, double files)
{
    bool place = z->place != 0;
    double u = z->unpacked, held = place ? z->place : z->body + u, worst = held + z->body;

    print(prefix, "unpacked_bytes", u / files);
    print(prefix, "body_ratio", z->body / u);
    print(prefix, "unpack_ratio", worst / u); /* in packets and joined, both ways */
    for (int stage = 0; stage < STAGES; stage++) {
        static const char *const name[STAGES] = {"parse", "normalize", "record"};
        double r = held + z->reserved[stage] + (stage == RECORD ? z->beside : 0);
        char line[64];

        snprintf(line, sizeof(line), "%s_tables_reserved_ratio", name[stage]);
        print(prefix, line, z->reserved[stage] / u);
        snprintf(line, sizeof(line), "%s_tables_touched_ratio", name[stage]);
        print(prefix, line, z->touched[stage] / u);
        snprintf(line, sizeof(line), "%s_together_ratio", name[stage]);
        print(prefix, line, r / u);
        worst = r > worst ? r : worst;
    }
    if (place) {
        print(prefix, "place_ratio", z->place / u);
        print(prefix, "records_in_place", z->placed);
    }
    print(prefix, "record_bytes", z->record / files);
    print(prefix, "record_ratio", z->record / u);
    print(prefix, "waiting_ratio", z->waiting / u);
    print(prefix, "waiting_less_body_ratio", (z->waiting - z->body) / u);
    print(prefix, "peak_ratio", worst / u);
    print(prefix, "peak_less_body_ratio", (worst - z->body) / u);
}

/* The largest profile of the mix again and again; its sample types and scalars once. */
static struct pw_slice
repeated(const struct mix *m, size_t bytes)
{
    struct pw_slice most = m->raw[0];
    uint8_t *p;
    size_t n;

    for (uint32_t i = 0; i < m->count; i++) {
        most = m->raw[i].len > most.len ? m->raw[i] : most;
    }
    p = malloc(bytes);
    if (p == NULL) {
        die("no memory");
    }
    memcpy(p, most.ptr, most.len);
    for (n = most.len; n + most.len <= bytes;) {
        struct pw_wire r;
        struct pw_wire_field f;

        pw_wire_init(&r, most);
        for (const uint8_t *at = r.p; pw_wire_next(&r, &f) == 1; at = r.p) {
            if (f.number >= 2 && f.number <= 6) {
                memcpy(p + n, at, (size_t)(r.p - at));
                n += (size_t)(r.p - at);
            }
        }
    }
    return pw_slice(p, n);
}

int
main(int argc, char **argv)
{
    static struct mix mix;
    struct state s = {.record = aligned_alloc(64, RECORD_BYTES),
                      .place = aligned_alloc(64, RECORD_BYTES),
                      .all = malloc(SAMPLES_MAX * sizeof(uint32_t))};
    struct sizes z = {0};

    mix_load(&mix, argc > 1 ? argv[1] : NULL);
    if (pw_scratch_init_ctl(&s.scratch, SCRATCH_BYTES) != 0 || s.record == NULL ||
        s.place == NULL || s.all == NULL) {
        return 1;
    }
    for (uint32_t i = 0; i < SAMPLES_MAX; i++) {
        s.all[i] = i;
    }
    for (int place = 1; place >= 0; place--) {
        z = (struct sizes){0};
        s.scratch.cap = 64 << 20; /* what is looked through */
        for (uint32_t i = 0; i < mix.count; i++) {
            one(&s, &z, mix.raw[i], mix.gz[i], place != 0);
        }
        print_sizes(place != 0 ? "mix" : "mix_copied", &z, mix.count);
        s.scratch.cap = SCRATCH_BYTES;
        for (uint32_t mib = 4; mib <= 8; mib += 4) {
            struct pw_slice raw = repeated(&mix, (size_t)mib << 20);
            char name[32];

            z = (struct sizes){0};
            one(&s, &z, raw, (struct pw_slice){0}, place != 0);
            snprintf(name, sizeof(name), "mib%u%s", mib, place != 0 ? "" : "_copied");
            print_sizes(name, &z, 1);
            free((void *)(uintptr_t)raw.ptr);
        }
    }
    return 0;
}
