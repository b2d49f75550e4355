#include "perf/pyroload_body.h"

#include "base/text.h"

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    GZIP_LEVEL = 1,
    TIME_STEP_NS = 10000000,
    FIELD_SAMPLE_TYPE = 1, /* contract write-path.md 8 */
    FIELD_STRING_TABLE = 6,
    FIELD_TIME_NANOS = 9,
    STRINGS_MAX = 4096,
    TYPES_MAX = 16,
    HUGE_BYTES = 2 << 20,
};

#define TIME_SPAN_NS (1800LL * 1000000000)

/* --- The little protobuf that is needed ------------------------------------------------------ */

static size_t
put_varint(uint8_t *p, uint64_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7) {
        p[n++] = (uint8_t)(v | 0x80);
    }
    p[n++] = (uint8_t)v;
    return n;
}

/* Bytes taken, or 0. */
static size_t
get_varint(struct pw_slice s, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < s.len && i < 10; i++) {
        *v |= (uint64_t)(s.ptr[i] & 0x7f) << (7 * i);
        if (s.ptr[i] < 0x80) {
            return i + 1;
        }
    }
    return 0;
}

struct field {
    uint64_t number;
    uint32_t wire_type;
    uint64_t varint;
    struct pw_slice bytes;
    size_t value_at, end; /* offsets of the value, and behind it, in the slice that was walked */
};

/* The field at `at`; false when there is none or it is malformed. */
static bool
next_field(struct pw_slice s, size_t at, struct field *f)
{
    uint64_t key;
    size_t n;

    if (at >= s.len || (n = get_varint(pw_slice(s.ptr + at, s.len - at), &key)) == 0) {
        return false;
    }
    f->number = key >> 3;
    f->wire_type = (uint32_t)(key & 7);
    f->value_at = at + n;
    if (f->wire_type == 1 || f->wire_type == 5) {
        n = f->wire_type == 1 ? 8 : 4;
        f->end = f->value_at + n;
        return n <= s.len - f->value_at;
    }
    n = get_varint(pw_slice(s.ptr + f->value_at, s.len - f->value_at), &f->varint);
    f->end = f->value_at + n;
    if (n == 0 || (f->wire_type != 0 && f->wire_type != 2)) {
        return false;
    }
    if (f->wire_type == 2) {
        if (f->varint > s.len - f->end) {
            return false;
        }
        f->bytes = pw_slice(s.ptr + f->end, (size_t)f->varint);
        f->end += (size_t)f->varint;
    }
    return true;
}

size_t
pyroload_stamp(struct pw_slice raw, int64_t now_ns, uint8_t *out)
{
    uint8_t value[10];
    size_t value_len = put_varint(value, (uint64_t)now_ns);
    struct field f;
    size_t at = 0;
    size_t hit = 0;

    memcpy(out, raw.ptr, raw.len);
    for (; next_field(raw, at, &f); at = f.end) {
        if (f.number == FIELD_TIME_NANOS && f.wire_type == 0 && f.end - f.value_at == value_len) {
            hit = f.value_at;
        }
    }
    if (at != raw.len) {
        return 0;
    }
    if (hit != 0) {
        memcpy(out + hit, value, value_len);
        return raw.len;
    }
    out[at++] = FIELD_TIME_NANOS << 3;
    memcpy(out + at, value, value_len);
    return at + value_len;
}

const char *
pyroload_profile_name(struct pw_slice raw)
{
    static const struct {
        const char *type, *name;
    } rule[] = {
        {"cpu", "process_cpu"},      {"wall", "wall"},
        {"inuse_space", "memory"},   {"alloc_in_new_tlab_bytes", "memory"},
        {"alloc_space", "memory"},   {"delay", "mutex"},
        {"goroutine", "goroutines"},
    };
    static struct pw_slice string[STRINGS_MAX];
    uint64_t type[TYPES_MAX] = {0};
    uint32_t types = 0;
    uint32_t strings = 0;
    struct field f;

    for (size_t at = 0; next_field(raw, at, &f); at = f.end) {
        struct field t;

        if (f.number == FIELD_STRING_TABLE && f.wire_type == 2 && strings < STRINGS_MAX) {
            string[strings++] = f.bytes;
        } else if (f.number == FIELD_SAMPLE_TYPE && f.wire_type == 2 && types < TYPES_MAX &&
                   next_field(f.bytes, 0, &t) && t.number == 1) {
            type[types++] = t.varint;
        }
    }
    for (size_t r = 0; r < PW_ARRAY_LEN(rule); r++) {
        for (uint32_t i = 0; i < types; i++) {
            if (type[i] < strings && pw_slice_eq_str(string[type[i]], rule[r].type)) {
                return rule[r].name;
            }
        }
    }
    return "process_cpu";
}

/* --- One push -------------------------------------------------------------------------------- */

static void
put_bytes_field(struct pw_text *t, uint32_t number, struct pw_slice s)
{
    uint8_t head[16];
    size_t n = put_varint(head, number << 3 | 2);

    n += put_varint(head + n, s.len);
    pw_text_put(t, head, n);
    pw_text_slice(t, s);
}

static void
put_label(struct pw_text *series, const char *name, const char *value)
{
    uint8_t buf[256];
    struct pw_text pair;

    pw_text_fixed(&pair, buf, sizeof(buf));
    put_bytes_field(&pair, 1, pw_slice_str(name));
    put_bytes_field(&pair, 2, pw_slice_str(value));
    put_bytes_field(series, 1, pw_slice(pair.ptr, pair.len));
}

/* push.v1.RawProfileSeries, labels sorted by name as SDKs send them. */
static void
put_series(struct pw_text *series, const struct pyroload_body_cfg *cfg, uint32_t pod,
           const char *name, struct pw_slice gz, uint64_t id)
{
    static const char *const region[] = {"eu-west-1", "us-east-1", "ap-south-1"};
    char text[64];
    struct pw_text sample;

    put_label(series, "__delta__", "false");
    put_label(series, "__name__", name);
    put_label(series, "namespace", pod % 2 == 0 ? "shop" : "platform");
    (void)snprintf(text, sizeof(text), "service-%02u-%05x", pod % cfg->services, pod * 2654435U);
    put_label(series, "pod", text);
    put_label(series, "region", region[pod % PW_ARRAY_LEN(region)]);
    (void)snprintf(text, sizeof(text), "service-%02u", pod % cfg->services);
    put_label(series, "service_name", text);

    pw_text_init(&sample, gz.len + 128);
    put_bytes_field(&sample, 1, gz);
    (void)snprintf(text, sizeof(text), "%08x-%04x-4%03x-8%03x-%012llx", (uint32_t)(id >> 32),
                   (uint32_t)(id >> 16) & 0xffff, (uint32_t)id & 0xfff, pod & 0xfff,
                   (unsigned long long)(id & 0xffffffffffffULL));
    put_bytes_field(&sample, 2, pw_slice_str(text));
    put_bytes_field(series, 2, pw_slice(sample.ptr, sample.len));
    pw_text_fini(&sample);
}

static int
put_request(struct pyroload_request *r, const struct pyroload_body_cfg *cfg, struct pw_slice series)
{
    struct pw_text t;
    uint8_t head[16];
    size_t head_len = put_varint(head, 1 << 3 | 2);
    size_t len;

    head_len += put_varint(head + head_len, series.len);
    pw_text_init(&t, series.len + 2048);
    pw_text_printf(&t,
                   "POST /push.v1.PusherService/Push HTTP/1.1\r\n"
                   "Host: %s\r\n"
                   "User-Agent: pyroload\r\n"
                   "Accept-Encoding: gzip\r\n"
                   "Connect-Protocol-Version: 1\r\n"
                   "Content-Type: application/proto\r\n"
                   "Content-Length: %zu\r\n",
                   cfg->host, head_len + series.len);
    if (cfg->tenant != NULL) {
        pw_text_printf(&t, "X-Scope-OrgID: %s\r\n", cfg->tenant);
    }
    pw_text_str(&t, "\r\n");
    pw_text_put(&t, head, head_len);
    pw_text_slice(&t, series);
    r->body_len = (uint32_t)(head_len + series.len);
    r->bytes = pw_text_steal(&t, &len);
    r->len = (uint32_t)len;
    return r->bytes == NULL ? PW_ENOMEM : 0;
}

/* Buffers of the making of one request. */
struct maker {
    struct libdeflate_compressor *gzip;
    uint8_t *raw, *gz;
    size_t gz_cap;
};

static int
make_push(struct pyroload_request *r, const struct pyroload_body_cfg *cfg, struct maker *m,
          uint32_t v)
{
    const struct mix *mix = cfg->mix;
    uint32_t file = v % mix->count;
    uint32_t pod = v / mix->count % cfg->pods;
    /* Each its own, and all within the window in which servers take profiles (1 h). */
    int64_t step_ns =
        TIME_SPAN_NS / cfg->variants < TIME_STEP_NS ? TIME_SPAN_NS / cfg->variants : TIME_STEP_NS;
    int64_t time_ns = cfg->now_ns - (int64_t)(cfg->variants - 1 - v) * step_ns;
    size_t raw_len = pyroload_stamp(mix->raw[file], time_ns, m->raw);
    size_t gz_len = libdeflate_gzip_compress(m->gzip, m->raw, raw_len, m->gz, m->gz_cap);
    struct pw_text series;
    int rc;

    if (raw_len == 0 || gz_len == 0) {
        fprintf(stderr, "pyroload: %s is not a profile\n", mix->name[file]);
        return PW_EINVAL;
    }
    pw_text_init(&series, gz_len + 4096);
    put_series(&series, cfg, pod, pyroload_profile_name(mix->raw[file]), pw_slice(m->gz, gz_len),
               cfg->seed * 0x9E3779B97F4A7C15ULL + v);
    rc = put_request(r, cfg, pw_slice(series.ptr, series.len));
    pw_text_fini(&series);
    return rc;
}

static int
maker_init(struct maker *m, const struct mix *mix)
{
    size_t raw_max = 0;

    for (uint32_t i = 0; i < mix->count; i++) {
        raw_max = mix->raw[i].len > raw_max ? mix->raw[i].len : raw_max;
    }
    m->gzip = libdeflate_alloc_compressor(GZIP_LEVEL);
    m->raw = malloc(raw_max + 11);
    m->gz_cap = raw_max + raw_max / 8 + 1024;
    m->gz = malloc(m->gz_cap);
    return m->gzip == NULL || m->raw == NULL || m->gz == NULL ? PW_ENOMEM : 0;
}

static void
maker_fini(struct maker *m)
{
    if (m->gzip != NULL) {
        libdeflate_free_compressor(m->gzip);
    }
    free(m->raw);
    free(m->gz);
}

int
pyroload_set_push(struct pyroload_set *s, const struct pyroload_body_cfg *given)
{
    struct pyroload_body_cfg cfg = *given;
    struct maker m = {0};
    uint64_t bytes = 0;
    int rc = maker_init(&m, cfg.mix);

    if (cfg.variants == 0) {
        cfg.variants = cfg.mix->count * cfg.pods;
    }
    *s = (struct pyroload_set){.request = calloc(cfg.variants, sizeof(*s->request))};
    if (s->request == NULL) {
        rc = PW_ENOMEM;
    }
    for (uint32_t v = 0; rc == 0 && v < cfg.variants; v++) {
        rc = make_push(&s->request[v], &cfg, &m, v);
        s->count = v + 1;
        s->body_bytes += s->request[v].body_len;
        bytes += s->request[v].len;
        if (rc == 0 && bytes > PYROLOAD_BYTES_MAX) {
            fprintf(stderr, "pyroload: the prepared requests are larger than 2 GiB; give fewer "
                            "-pods or -variants\n");
            rc = PW_EMSGSIZE;
        }
    }
    maker_fini(&m);
    if (rc != 0) {
        pyroload_set_free(s);
    }
    return rc;
}

int
pyroload_set_get(struct pyroload_set *s, const char *host, const char *path, const char *tenant)
{
    struct pw_text t;
    size_t len;

    *s = (struct pyroload_set){.request = calloc(1, sizeof(*s->request))};
    if (s->request == NULL) {
        return PW_ENOMEM;
    }
    pw_text_init(&t, 16384);
    pw_text_printf(&t, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: pyroload\r\n", path, host);
    if (tenant != NULL) {
        pw_text_printf(&t, "X-Scope-OrgID: %s\r\n", tenant);
    }
    pw_text_str(&t, "\r\n");
    s->request[0].bytes = pw_text_steal(&t, &len);
    s->request[0].len = (uint32_t)len;
    s->count = 1;
    if (s->request[0].bytes == NULL) {
        pyroload_set_free(s);
        return PW_ENOMEM;
    }
    return 0;
}

void
pyroload_set_pack(struct pyroload_set *s)
{
    size_t bytes = 0, at = 0;

    for (uint32_t i = 0; i < s->count; i++) {
        bytes += s->request[i].len;
    }
    bytes =
        pw_align_up(bytes, HUGE_BYTES) + HUGE_BYTES; /* the kernel need not begin on a huge page */
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        return;
    }
    s->region = p;
    s->region_bytes = bytes;
    (void)madvise(p, bytes, MADV_HUGEPAGE);
    p = (uint8_t *)pw_align_up((uintptr_t)p, HUGE_BYTES); // NOLINT: within the region
    for (uint32_t i = 0; i < s->count; i++) {
        struct pyroload_request *r = &s->request[i];

        memcpy(p + at, r->bytes, r->len);
        free(r->bytes);
        r->bytes = p + at;
        at += r->len;
    }
}

void
pyroload_set_free(struct pyroload_set *s)
{
    for (uint32_t i = 0; i < s->count && s->region == NULL; i++) {
        free(s->request[i].bytes);
    }
    if (s->region != NULL) {
        munmap(s->region, s->region_bytes);
    }
    free(s->request);
    *s = (struct pyroload_set){0};
}
