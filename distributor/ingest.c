#include "distributor/ingest.h"

#include "base/limits.h"

#include <time.h>

enum { SAMPLE_RATE_DEFAULT = 100, DIGITS_MAX = 19 };

static int
hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Percent-decodes s into out (at least s.len bytes); bytes written, or -1 for a broken escape. */
static int64_t
unescape(struct pw_slice s, uint8_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '+') {
            out[n++] = ' ';
        } else if (s.ptr[i] != '%') {
            out[n++] = s.ptr[i];
        } else {
            int hi = -1;
            int lo = -1;

            if (s.len - i >= 3) {
                hi = hex_digit(s.ptr[i + 1]);
                lo = hex_digit(s.ptr[i + 2]);
            }
            if (hi < 0 || lo < 0) {
                return -1;
            }
            out[n++] = (uint8_t)(hi << 4 | lo);
            i += 2;
        }
    }
    return (int64_t)n;
}

/* Decodes in scratch; ptr == NULL when broken or no room. What needs no decoding is borrowed. */
static struct pw_slice
decode(struct pw_slice s, struct pw_scratch *scratch)
{
    uint8_t *out;
    int64_t n;

    if (s.len == 0) {
        return PW_SLICE_LIT("");
    }
    if (memchr(s.ptr, '%', s.len) == NULL && memchr(s.ptr, '+', s.len) == NULL) {
        return s;
    }
    out = pw_scratch_alloc(scratch, s.len);
    n = out == NULL ? -1 : unescape(s, out);
    return n < 0 ? (struct pw_slice){0} : pw_slice(out, (size_t)n);
}

struct pw_slice
pw_ingest_query_get(struct pw_slice query, const char *key, struct pw_scratch *scratch)
{
    while (query.len != 0) { /* one pair a turn */
        const uint8_t *amp = memchr(query.ptr, '&', query.len);
        size_t n = amp == NULL ? query.len : (size_t)(amp - query.ptr);
        struct pw_slice pair = pw_slice(query.ptr, n);
        const uint8_t *eq = n == 0 ? NULL : memchr(pair.ptr, '=', n);
        struct pw_slice k = eq == NULL ? pair : pw_slice(pair.ptr, (size_t)(eq - pair.ptr));
        struct pw_slice v = eq == NULL ? PW_SLICE_LIT("") : pw_slice(eq + 1, n - k.len - 1);
        size_t mark = scratch->used;

        query = amp == NULL ? (struct pw_slice){0} : pw_slice(amp + 1, query.len - n - 1);
        if (n == 0 || memchr(pair.ptr, ';', n) != NULL) {
            continue;
        }
        k = decode(k, scratch);
        if (k.ptr != NULL && pw_slice_eq_str(k, key)) {
            v = decode(v, scratch);
            if (v.ptr != NULL) {
                return v;
            }
        }
        pw_scratch_rewind(scratch, mark);
    }
    return (struct pw_slice){0};
}

static bool
all_digits(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return false;
        }
    }
    return n != 0;
}

static uint64_t
digits(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        v = v > (UINT64_MAX - 9) / 10 ? UINT64_MAX / 2 : v * 10 + (uint64_t)(p[i] - '0');
    }
    return v;
}

/* What int64 nanoseconds cannot hold (from the year 2262 on) is the end of time, not a wrap. */
static int64_t
saturating_ns(uint64_t v, int64_t unit_ns)
{
    return v > (uint64_t)(INT64_MAX / unit_ns) ? INT64_MAX : (int64_t)v * unit_ns;
}

/* YYYYMMDD as that UTC midnight, when it is a date after 1900. */
static bool
parse_date(const uint8_t *p, int64_t *ns)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t y = digits(p, 4);
    uint64_t m = digits(p + 4, 2);
    uint64_t d = digits(p + 6, 2);
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    struct tm tm = {0};

    if (y <= 1900 || m < 1 || m > 12 || d < 1 ||
        d > days[m - 1] + (uint64_t)(m == 2 && leap ? 1 : 0)) {
        return false;
    }
    tm.tm_year = (int)y - 1900;
    tm.tm_mon = (int)m - 1;
    tm.tm_mday = (int)d;
    *ns = y < 1970 ? (int64_t)timegm(&tm) * 1000000000 /* a year after 1900 fits */
                   : saturating_ns((uint64_t)timegm(&tm), 1000000000);
    return true;
}

static int64_t
absolute_time(const uint8_t *p, size_t n)
{
    int64_t ns;

    if (n == 8 && parse_date(p, &ns)) {
        return ns;
    }
    switch (n) {
    case 13:
        return saturating_ns(digits(p, n), 1000000);
    case 16:
        return saturating_ns(digits(p, n), 1000);
    case 19:
        return saturating_ns(digits(p, n), 1);
    default:
        return saturating_ns(digits(p, n), 1000000000);
    }
}

/* By prefix; `mon` and `M` before `m`. */
static int64_t
unit_seconds(const uint8_t *p, size_t n)
{
    if (n == 0) {
        return 0;
    }
    if (p[0] == 'M' || (n >= 3 && memcmp(p, "mon", 3) == 0)) {
        return 2592000;
    }
    switch (p[0]) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return 604800;
    case 'y':
        return 31536000;
    default:
        return 0;
    }
}

/* A sequence of number and unit, such as 1h30min. */
static int64_t
offset_seconds(const uint8_t *p, size_t n)
{
    int64_t sum = 0;
    size_t i = 0;

    while (i < n) { /* at least one byte a turn */
        size_t from = i;
        uint64_t v;
        size_t unit;

        while (i < n && p[i] >= '0' && p[i] <= '9') {
            i++;
        }
        v = digits(p + from, i - from);
        unit = i;
        while (i < n && !(p[i] >= '0' && p[i] <= '9')) {
            i++;
        }
        if (v < (1ULL << 31) && sum < (1LL << 40)) {
            sum += (int64_t)v * unit_seconds(p + unit, i - unit);
        }
    }
    return sum;
}

int64_t
pw_ingest_time(struct pw_slice s, int64_t now_ns)
{
    uint8_t buf[64];
    size_t n = 0;
    int64_t sec;

    for (size_t i = 0; i < s.len && n < sizeof(buf); i++) {
        if (memchr("_, \t\n\r\v\f", s.ptr[i], 8) == NULL) {
            buf[n++] = s.ptr[i];
        }
    }
    if (n == 0) {
        return now_ns;
    }
    if (all_digits(buf, n)) {
        return absolute_time(buf, n);
    }
    for (size_t i = 0; i < n; i++) {
        if (buf[i] == '+' || buf[i] == '-') {
            sec = offset_seconds(buf + i + 1, n - i - 1);
            if (sec > INT64_MAX / 1000000000 / 4) {
                sec = INT64_MAX / 1000000000 / 4;
            }
            return buf[i] == '+' ? now_ns + sec * 1000000000 : now_ns - sec * 1000000000;
        }
    }
    return now_ns;
}

static bool
contains(struct pw_slice s, const char *needle)
{
    return s.len != 0 && memmem(s.ptr, s.len, needle, strlen(needle)) != NULL;
}

enum pw_ingest_format
pw_ingest_format(struct pw_slice format, struct pw_slice content_type)
{
    if (pw_slice_eq_str(format, "trie") ||
        pw_slice_eq_str(content_type, "binary/octet-stream+trie")) {
        return PW_INGEST_TRIE;
    }
    if (pw_slice_eq_str(format, "tree") ||
        pw_slice_eq_str(content_type, "binary/octet-stream+tree")) {
        return PW_INGEST_TREE;
    }
    if (pw_slice_eq_str(format, "lines")) {
        return PW_INGEST_LINES;
    }
    if (pw_slice_eq_str(format, "jfr")) {
        return PW_INGEST_JFR;
    }
    if (pw_slice_eq_str(format, "pprof")) {
        return PW_INGEST_PPROF;
    }
    if (pw_slice_eq_str(format, "speedscope")) {
        return PW_INGEST_SPEEDSCOPE;
    }
    if (contains(content_type, "multipart/form-data")) {
        return PW_INGEST_PPROF_FORM;
    }
    return PW_INGEST_FOLDED;
}

static uint32_t
parse_sample_rate(struct pw_slice s)
{
    uint64_t v;

    if (s.len > 0 && s.ptr[0] == '+') {
        s = pw_slice(s.ptr + 1, s.len - 1);
    }
    if (s.len > DIGITS_MAX || !all_digits(s.ptr, s.len)) {
        return SAMPLE_RATE_DEFAULT;
    }
    v = digits(s.ptr, s.len);
    return (uint32_t)v; /* stock keeps the low 32 bits (speedscope row of 1.3.4) */
}

int
pw_ingest_params_parse(struct pw_ingest_params *p, struct pw_slice query,
                       struct pw_slice content_type, int64_t now_ns, struct pw_scratch *scratch,
                       struct pw_text *err)
{
    struct pw_label_pair *pair = pw_scratch_array(scratch, PW_LABELS_MAX, sizeof(*pair));
    struct pw_slice v;
    int rc;

    if (pair == NULL) {
        return PW_ENOMEM;
    }
    p->name.labels = (struct pw_labels){.pair = pair, .cap = PW_LABELS_MAX};
    v = pw_ingest_query_get(query, "name", scratch);
    rc = pw_name_parse(&p->name, v.ptr == NULL ? PW_SLICE_LIT("") : v, err);
    if (rc == PW_ENOSPC) {
        pw_text_printf(err, "name: more than %d labels", PW_LABELS_MAX);
        return PW_EINVAL;
    }
    if (rc != 0) {
        return rc;
    }
    v = pw_ingest_query_get(query, "from", scratch);
    p->from_ns = v.len == 0 ? now_ns : pw_ingest_time(v, now_ns);
    p->sample_rate = parse_sample_rate(pw_ingest_query_get(query, "sampleRate", scratch));
    v = pw_ingest_query_get(query, "spyName", scratch);
    p->spy_name = v.len == 0 ? PW_SLICE_LIT("unknown") : v;
    p->format = pw_ingest_format(pw_ingest_query_get(query, "format", scratch), content_type);
    return 0;
}
