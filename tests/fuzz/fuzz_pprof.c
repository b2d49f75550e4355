/* Properties: what protobuf-c reads we read, and to the same tables and the same canonical size; what
 * we accept it accepts, but for what is named below. Whatever passes
 * validation becomes a record whose indices hold and whose totals are those of the samples, and one that says the
 * same when it is finished where the profile lies. No byte
 * outside the input is read: it is parsed at the end of its own allocation (ASan watches). */
#include "base/check.h"
#include "pprof/profile.h"
#include "pprof/record.h"
#include "pprof/wire.h"
#include "tests/pprof/oracle.h"
#include "tests/pprof/record_same.h"

#include <stdio.h>
#include <stdlib.h>

enum { SCRATCH = 256 << 20, INPUT_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct shape {
    bool group;            /* some message holds one */
    bool long_tag;         /* of more than 5 bytes; the reference cuts it, protobuf-c refuses */
    bool padded_tag;       /* longer than needed; kept in unknown fields, by protobuf-c cut down */
    uint32_t period_types; /* protobuf-c 1.4 does not merge them */
};

/* Messages nest three deep; a group is looked for in every length-delimited field, known or not. */
static void
look(struct pw_slice s, struct shape *shape)
{
    struct pw_wire r[4];
    struct pw_wire_field f;
    int depth = 0;

    pw_wire_init(&r[0], s);
    while (depth >= 0) { /* every turn takes a field or goes up */
        uint64_t tag;
        int n = pw_wire_varint(r[depth].p, r[depth].end, &tag);

        shape->long_tag |= n > 5;
        shape->padded_tag |= n > 1 && r[depth].p[n - 1] == 0;
        if (pw_wire_next(&r[depth], &f) != 1) {
            depth--;
            continue;
        }
        shape->group |= f.type == 3;
        shape->period_types += depth == 0 && f.number == 11;
        if (f.type == PW_WIRE_LEN && depth < 3) {
            pw_wire_init(&r[++depth], f.bytes);
        }
    }
}

static void
build(struct pw_profile *p)
{
    struct pw_labels none = {0};
    struct pw_record_group g = {.labels = &none, .sample_count = p->sample_count};
    struct pw_record_source src = {.profile = p, .group = &g, .group_count = 1};
    uint32_t *all = malloc((p->sample_count + 1) * sizeof(*all));
    size_t cap = pw_record_bytes_max(&src);
    void *out = aligned_alloc(16, cap);
    int64_t n;

    for (uint32_t i = 0; i < p->sample_count; i++) {
        all[i] = i;
    }
    g.sample = all;
    n = pw_record_build(&src, out, cap);
    PW_INVARIANT(n > 0);
    PW_INVARIANT(pw_record_check(out, (size_t)n) == 0);
    for (uint32_t t = 0; t < p->sample_type_count; t++) {
        const struct pw_record *r = out;
        const struct pw_record_series *s = PW_RECORD_AT(r, struct pw_record_series, r->series_off);
        uint64_t in_record = 0, in_profile = 0;

        for (uint32_t i = 0; i < s->samples_count; i++) {
            in_record += (uint64_t)pw_record_value(r, s, i, t);
        }
        for (uint32_t i = 0; i < p->sample_count; i++) {
            in_profile += (uint64_t)pw_profile_value(p, (size_t)i * p->sample_type_count + t);
        }
        PW_INVARIANT(in_record == in_profile);
    }
    free(all);
    free(out);
}

/* The same bytes once more, where their record will be, with as much room as `room` says. */
static void
finish(struct pw_scratch *scratch, const struct pw_profile_limits *lim, struct pw_slice raw,
       size_t room)
{
    static const uint8_t body_bytes[24] = {0x1F, 0x8B};
    const struct pw_slice body = pw_slice(body_bytes, sizeof(body_bytes));
    size_t least = pw_record_place_bytes(body.len, 0) + raw.len - 2048; /* less its spare room */
    struct pw_record_place at;
    struct record_whole whole;
    struct pw_profile p;
    struct pw_profile_finding f = {0};

    scratch->used = 0;
    PW_INVARIANT(record_place_parse(&at, least + room, 0xEE, body, raw, scratch, &p));
    if (pw_profile_validate(&p, lim, 1, &f) == PW_PROFILE_FINE) {
        pw_profile_fix_go(&p);
        PW_INVARIANT(pw_profile_stitch_go(&p) == 0);
    }
    PW_INVARIANT(pw_profile_normalize(&p) == 0);
    record_whole_init(&whole, &p, pw_slice(pw_record_place_body(&at), body.len));

    size_t cap = pw_record_bytes_max(&whole.src);
    struct pw_record *copied = aligned_alloc(16, cap);

    PW_INVARIANT(p.label_set_count != 1 || pw_record_build(&whole.src, copied, cap) > 0);
    if (p.sample_count != 0 && p.label_set_count == 1) {
        const struct pw_record *r = (const struct pw_record *)(const void *)at.base;
        int64_t n = pw_record_finish(&whole.src, &at);
        const char *what;

        PW_INVARIANT(n == PW_ENOSPC || (n > 0 && pw_record_check(r, (size_t)n) == 0));
        what = n > 0 ? record_difference(r, copied) : NULL;
        if (what != NULL) {
            fprintf(stderr, "in place and copied differ: %s\n", what);
            abort();
        }
    }
    free(copied);
    free(at.base);
}

static void
compare(const struct pw_profile *p, const Google__V1__Profile *o, const struct shape *shape)
{
    const char *what = oracle_difference(p, o);

    if (what != NULL) {
        fprintf(stderr, "differs: %s\n", what);
        abort();
    }
    if (shape->period_types < 2 && !shape->padded_tag &&
        p->encoded_bytes != google__v1__profile__get_packed_size(o)) {
        fprintf(stderr, "encoded %zu, oracle %zu\n", (size_t)p->encoded_bytes,
                google__v1__profile__get_packed_size(o));
        abort();
    }
}

/* protobuf-c takes a boolean of any wire type, field number 0, and varints of any length; the number of
 * sample types is our own limit. */
static bool
only_ours_to_refuse(const Google__V1__Profile *o, const char *err)
{
    return o->n_sample_type > PW_PROFILE_TYPES_MAX || strstr(err, "illegal tag") != NULL ||
           strcmp(err, "proto: integer overflow") == 0 ||
           (strncmp(err, "proto: wrong wireType", 21) == 0 &&
            (strstr(err, "field Has") != NULL || strstr(err, "field IsFolded") != NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pw_scratch scratch;
    struct pw_profile p;
    struct pw_profile_limits lim = {.symbol_value_bytes_max = 100, .stacktrace_depth_max = 64};
    struct pw_profile_finding f = {0};
    struct shape shape = {0};
    Google__V1__Profile *o;
    uint8_t *copy;
    const char *err = NULL;
    int rc;

    if (size > INPUT_MAX || (scratch.base == NULL && pw_scratch_init_ctl(&scratch, SCRATCH) != 0)) {
        return 0;
    }
    copy = malloc(size); /* freshly sized, so that its end is guarded */
    if (size != 0) {
        memcpy(copy, data, size);
    }
    scratch.used = 0;
    rc = pw_profile_parse(&p, &scratch, 7, pw_slice(copy, size), &err);
    o = google__v1__profile__unpack(NULL, size, copy);
    look(pw_slice(copy, size), &shape);
    PW_INVARIANT(rc == 0 || (rc == PW_EINVAL && err != NULL));
    if (o != NULL && rc != 0 && !only_ours_to_refuse(o, err)) {
        fprintf(stderr, "protobuf-c accepts, we do not: %s\n", err);
        abort();
    }
    if (o == NULL && rc == 0 && !shape.group && !shape.long_tag) {
        fprintf(stderr, "we accept, protobuf-c does not\n");
        abort();
    }
    if (rc == 0 && o != NULL) {
        compare(&p, o, &shape);
    }
    if (rc == 0) {
        if (pw_profile_validate(&p, &lim, 1, &f) == PW_PROFILE_FINE) {
            pw_profile_fix_go(&p);
            PW_INVARIANT(pw_profile_stitch_go(&p) == 0);
        }
        (void)pw_profile_language(&p);
        PW_INVARIANT(pw_profile_normalize(&p) == 0); /* also of what validation refused */
        build(&p);
        finish(&scratch, &lim, pw_slice(copy, size), size % 4 == 0 ? size % 1031 : 4096 + size / 4);
    }
    if (o != NULL) {
        google__v1__profile__free_unpacked(o, NULL);
    }
    free(copy);
    return 0;
}
