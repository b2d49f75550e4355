#include "tests/distributor/push_gzip.h"

#include "base/check.h"
#include "pprof/wire.h"
#include "tests/distributor/harness.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>

enum { BYTES_A_FRAME = 90, DEPTH = 8, MESSAGE_MAX = 256 };

static void
put_sample(struct pw_text *out, uint32_t i, uint32_t frames)
{
    uint8_t buf[MESSAGE_MAX], ids_buf[MESSAGE_MAX], values_buf[16];
    struct pw_text m, ids, values;

    pw_text_fixed(&m, buf, sizeof(buf));
    pw_text_fixed(&ids, ids_buf, sizeof(ids_buf));
    pw_text_fixed(&values, values_buf, sizeof(values_buf));
    for (uint32_t d = 0; d < DEPTH; d++) {
        pw_wire_put_varint(&ids, 1 + (i * (2 * d + 1) + d) % frames);
    }
    pw_wire_put_varint(&values, 1 + i);
    pw_wire_put_bytes(&m, 1, pw_slice(ids.ptr, ids.len));
    pw_wire_put_bytes(&m, 2, pw_slice(values.ptr, values.len));
    pw_wire_put_bytes(out, 2, pw_slice(m.ptr, m.len));
}

static void
put_frame(struct pw_text *out, uint32_t i)
{
    uint8_t buf[MESSAGE_MAX], line_buf[MESSAGE_MAX];
    struct pw_text m, line;

    pw_text_fixed(&line, line_buf, sizeof(line_buf));
    pw_wire_put_tag_varint(&line, 1, i + 1);
    pw_wire_put_tag_varint(&line, 2, 10 + i);
    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, i + 1);
    pw_wire_put_tag_varint(&m, 3, 0x400000 + 16 * (uint64_t)i);
    pw_wire_put_bytes(&m, 4, pw_slice(line.ptr, line.len));
    pw_wire_put_bytes(out, 4, pw_slice(m.ptr, m.len));
    pw_text_fixed(&m, buf, sizeof(buf));
    pw_wire_put_tag_varint(&m, 1, i + 1);
    pw_wire_put_tag_varint(&m, 2, 4 + i);
    pw_wire_put_tag_varint(&m, 4, 3);
    pw_wire_put_bytes(out, 5, pw_slice(m.ptr, m.len));
}

static void
put_strings(struct pw_text *out, uint32_t frames)
{
    static const char *const first[] = {"", "samples", "count", "main.c"};

    for (uint32_t i = 0; i < PW_ARRAY_LEN(first); i++) {
        pw_wire_put_bytes(out, 6, pw_slice_str(first[i]));
    }
    for (uint32_t i = 0; i < frames; i++) {
        char name[64];

        snprintf(name, sizeof(name), "example.org/service/package.function_%u", i);
        pw_wire_put_bytes(out, 6, pw_slice_str(name));
    }
}

static void
put_member(struct pw_text *out, struct pw_slice raw)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    size_t most = libdeflate_gzip_compress_bound(c, raw.len), n;
    uint8_t *packed = malloc(most);

    n = libdeflate_gzip_compress(c, raw.ptr, raw.len, packed, most);
    PW_INVARIANT(n != 0);
    pw_text_put(out, packed, n);
    free(packed);
    libdeflate_free_compressor(c);
}

void
push_gzip_profile(struct pw_text *out, size_t bytes, uint32_t members)
{
    static const uint8_t type[] = {0x08, 1, 0x10, 2};
    uint32_t frames = (uint32_t)(bytes / BYTES_A_FRAME);
    struct pw_text profile;

    pw_text_init(&profile, 64 << 20);
    pw_wire_put_bytes(&profile, 1, pw_slice(type, sizeof(type)));
    for (uint32_t i = 0; i < frames; i++) {
        put_sample(&profile, i, frames);
    }
    for (uint32_t i = 0; i < frames; i++) {
        put_frame(&profile, i);
    }
    put_strings(&profile, frames);
    pw_wire_put_bytes(&profile, 11, pw_slice(type, sizeof(type)));
    pw_wire_put_tag_varint(&profile, 12, 10000000);
    pw_text_init(out, 64 << 20);
    for (uint32_t i = 0; i < members; i++) {
        size_t from = profile.len * i / members, to = profile.len * (i + 1) / members;

        put_member(out, pw_slice(profile.ptr + from, to - from));
    }
    pw_text_fini(&profile);
}

void
push_gzip_body(struct pw_text *out, const struct pw_text *member, uint32_t n)
{
    pw_text_init(out, 64 << 20);
    for (uint32_t i = 0; i < n; i++) {
        struct pw_text sample, series;
        char pod[32];

        pw_text_init(&sample, 64 << 20);
        pw_text_init(&series, 64 << 20);
        snprintf(pod, sizeof(pod), "pod-%u", i);
        pw_wire_put_bytes(&sample, 1, pw_slice(member[i].ptr, member[i].len));
        pw_t_put_label(&series, "__name__", "process_cpu");
        pw_t_put_label(&series, "service_name", "svc");
        pw_t_put_label(&series, "pod", pod);
        pw_wire_put_bytes(&series, 2, pw_slice(sample.ptr, sample.len));
        pw_wire_put_bytes(out, 1, pw_slice(series.ptr, series.len));
        pw_text_fini(&sample);
        pw_text_fini(&series);
    }
}
