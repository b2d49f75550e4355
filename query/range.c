#include "query/range.h"

#include "base/check.h"

#include <time.h>

enum { MS_PER_S = 1000, MS_PER_MIN = 60 * MS_PER_S, MS_PER_H = 60 * MS_PER_MIN };
static const int64_t ms_per_day = 24LL * MS_PER_H;

/* --- Durations as text ---------------------------------------------------------------------- */

void
pw_range_go_duration(struct pw_text *t, int64_t ms)
{
    int64_t h = ms / MS_PER_H, m = ms / MS_PER_MIN % 60, rest = ms % MS_PER_MIN;

    if (ms < MS_PER_S) { /* "0s", "250ms" */
        pw_text_printf(t, ms == 0 ? "0s" : "%lldms", (long long)ms);
        return;
    }
    if (h > 0) {
        pw_text_printf(t, "%lldh", (long long)h);
    }
    if (h > 0 || m > 0) {
        pw_text_printf(t, "%lldm", (long long)m);
    }
    pw_text_i64(t, rest / MS_PER_S);
    if (rest % MS_PER_S != 0) {
        int64_t frac = rest % MS_PER_S;
        int digits = 3;

        while (frac % 10 == 0) {
            frac /= 10;
            digits--;
        }
        pw_text_printf(t, ".%0*lld", digits, (long long)frac);
    }
    pw_text_char(t, 's');
}

void
pw_range_model_duration(struct pw_text *t, int64_t ms)
{
    const struct {
        const char *unit;
        int64_t ms;
        bool exact; /* used only when nothing smaller is left */
    } units[] = {
        {"y", 365 * ms_per_day, true},
        {"w", 7 * ms_per_day, true},
        {"d", ms_per_day, false},
        {"h", MS_PER_H, false},
        {"m", MS_PER_MIN, false},
        {"s", MS_PER_S, false},
        {"ms", 1, false},
    };

    if (ms == 0) {
        pw_text_str(t, "0s");
        return;
    }
    for (size_t i = 0; i < PW_ARRAY_LEN(units); i++) {
        int64_t n = ms / units[i].ms;

        if (n > 0 && !(units[i].exact && ms % units[i].ms != 0)) {
            pw_text_printf(t, "%lld%s", (long long)n, units[i].unit);
            ms -= n * units[i].ms;
        }
    }
}

/* --- Range ---------------------------------------------------------------------------------- */

static int
fail_length(struct pw_call *c, int64_t actual_ms, int64_t limit_ms)
{
    struct pw_text t;
    char buf[160];

    pw_text_fixed(&t, buf, sizeof(buf));
    pw_text_str(&t, "the query time range exceeds the limit (max_query_length, actual: ");
    pw_range_go_duration(&t, actual_ms);
    pw_text_str(&t, ", limit: ");
    pw_range_model_duration(&t, limit_ms);
    pw_text_char(&t, ')');
    return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "%.*s", (int)t.len, buf);
}

int
pw_range_check(struct pw_call *c, int64_t start_ms, int64_t end_ms, struct pw_range *out)
{
    *out = (struct pw_range){.start_ms = start_ms, .end_ms = end_ms};
    if (start_ms == 0 || end_ms == 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "missing time range in the query");
    }
    if (start_ms > end_ms) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                            "query start time is after end time");
    }
    if (c->limits.max_query_lookback_ms > 0) {
        int64_t oldest = c->req->now_ms - c->limits.max_query_lookback_ms;

        if (end_ms < oldest) {
            out->empty = true;
            return 0;
        }
        if (start_ms < oldest) {
            out->start_ms = oldest;
        }
    }
    if (c->limits.max_query_length_ms > 0 &&
        (uint64_t)end_ms - (uint64_t)out->start_ms > (uint64_t)c->limits.max_query_length_ms) {
        return fail_length(c, end_ms - out->start_ms, c->limits.max_query_length_ms);
    }
    return 0;
}

/* --- Profile type --------------------------------------------------------------------------- */

int
pw_range_profile_type(struct pw_call *c, struct pw_slice id, struct pw_slice *type)
{
    uint32_t parts = 1;
    size_t five = id.len;

    for (size_t i = 0; i < id.len; i++) {
        if (id.ptr[i] == ':') {
            parts++;
            five = parts == 6 ? i : five;
        }
    }
    if (parts != 5 && parts != 6) {
        struct pw_text t;
        char buf[256];

        pw_text_fixed(&t, buf, sizeof(buf));
        pw_text_go_quoted(&t, pw_slice(id.ptr, id.len > 100 ? 100 : id.len));
        return pw_call_fail(
            c, PW_CONNECT_CODE_INVALID_ARGUMENT,
            "profile-type selection must be of the form "
            "<name>:<sample-type>:<sample-unit>:<period-type>:<period-unit>(:delta), "
            "got(%u): %.*s",
            parts, (int)t.len, buf);
    }
    *type = pw_slice(id.ptr, five);
    return 0;
}

struct pw_slice
pw_range_type_part(struct pw_slice type, uint32_t i)
{
    size_t from = 0;

    for (size_t at = 0; at <= type.len; at++) {
        if (at == type.len || type.ptr[at] == ':') {
            if (i == 0) {
                return pw_slice(type.ptr + from, at - from);
            }
            i--;
            from = at + 1;
        }
    }
    return (struct pw_slice){0};
}

/* --- HTTP times ----------------------------------------------------------------------------- */

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* YYYYMMDD that names a real day: its start in UTC. */
static bool
day_of(const char *s, int64_t *ms)
{
    struct tm tm = {0}, back;
    int v[8];
    time_t t;

    for (int i = 0; i < 8; i++) {
        v[i] = s[i] - '0';
    }
    tm.tm_year = v[0] * 1000 + v[1] * 100 + v[2] * 10 + v[3] - 1900;
    tm.tm_mon = v[4] * 10 + v[5] - 1;
    tm.tm_mday = v[6] * 10 + v[7];
    back = tm;
    t = timegm(&back);
    if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday || back.tm_year != tm.tm_year) {
        return false; /* 20261399 was normalised to another day */
    }
    *ms = (int64_t)t * MS_PER_S;
    return true;
}

static int64_t
digits_to_ms(const char *s, size_t n)
{
    int64_t x = 0, ms;

    if (n == 8 && day_of(s, &ms)) {
        return ms;
    }
    for (size_t i = 0; i < n; i++) {
        if (x > (INT64_MAX - 9) / 10) {
            return INT64_MAX / MS_PER_S;
        }
        x = x * 10 + (s[i] - '0');
    }
    switch (n) {
    case 13:
        return x;
    case 16:
        return x / 1000;
    case 19:
        return x / 1000000;
    default:
        return x > INT64_MAX / MS_PER_S ? INT64_MAX / MS_PER_S : x * MS_PER_S;
    }
}

static int64_t
unit_ms(const char *s, size_t n)
{
    static const struct {
        const char *prefix;
        int64_t ms;
    } units[] = {
        {"s", MS_PER_S},
        {"mon", 30 * 24LL * MS_PER_H},
        {"M", 30 * 24LL * MS_PER_H},
        {"min", MS_PER_MIN},
        {"m", MS_PER_MIN},
        {"h", MS_PER_H},
        {"d", 24LL * MS_PER_H},
        {"w", 7 * 24LL * MS_PER_H},
        {"y", 365 * 24LL * MS_PER_H},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(units); i++) {
        size_t k = strlen(units[i].prefix);

        if (n >= k && memcmp(s, units[i].prefix, k) == 0) {
            return units[i].ms;
        }
    }
    return 0;
}

/* "-1h+30m": the sum. An unknown unit counts nothing. */
static int64_t
offsets(const char *s, size_t n)
{
    int64_t sum = 0;
    size_t i = 0;

    while (i < n) {
        int64_t sign = s[i] == '-' ? -1 : 1, x = 0, ms;
        size_t unit;

        i += s[i] == '-' || s[i] == '+' ? 1 : 0;
        while (i < n && is_digit((uint8_t)s[i]) && x < INT32_MAX) {
            x = x * 10 + (s[i++] - '0');
        }
        unit = i;
        while (i < n && s[i] != '-' && s[i] != '+' && !is_digit((uint8_t)s[i])) {
            i++;
        }
        ms = unit_ms(s + unit, i - unit);
        sum += sign * x * ms;
        if (i == unit && ms == 0 && i < n && is_digit((uint8_t)s[i])) {
            break; /* a number longer than any time */
        }
    }
    return sum;
}

int64_t
pw_range_attime(struct pw_slice in, int64_t now_ms)
{
    char s[128];
    size_t n = 0, digits = 0, at = 0;

    for (size_t i = 0; i < in.len && n < sizeof(s); i++) {
        uint8_t c = in.ptr[i];

        if (c != ' ' && c != '_' && c != ',') {
            s[n++] = (char)c;
            digits += is_digit(c) ? 1 : 0;
        }
    }
    if (n > 0 && digits == n) {
        return digits_to_ms(s, n);
    }
    while (at < n && s[at] != '-' && s[at] != '+') {
        at++; /* whatever stands before the first offset means now */
    }
    return now_ms + offsets(s + at, n - at);
}
