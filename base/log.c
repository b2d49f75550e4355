#include "base/log.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Set once by the control thread before others start; relaxed because a late reader only logs one
 * line more or less. */
static _Atomic int log_level = PW_LOG_INFO;

static const char *const level_name[] = {"debug", "info", "warn", "error"};

void
pw_log_set_level_ctl(enum pw_log_level level)
{
    atomic_store_explicit(&log_level, level, memory_order_relaxed);
}

bool
pw_log_on(enum pw_log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

static void
log_line(enum pw_log_level level, const char *module, uint64_t suppressed, const char *fmt,
         va_list ap)
{
    char line[PW_LOG_LINE_MAX];
    struct timespec ts;
    struct tm tm;
    size_t n;
    int m;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    n = strftime(line, sizeof(line), "ts=%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03ldZ level=%s module=%s ",
                          ts.tv_nsec / 1000000, level_name[level], module);
    m = vsnprintf(line + n, sizeof(line) - n - 32, fmt, ap);
    n = m < 0 ? n : n + (size_t)m < sizeof(line) - 32 ? n + (size_t)m : sizeof(line) - 33;
    if (suppressed != 0) {
        n += (size_t)snprintf(line + n, sizeof(line) - n - 1, " suppressed=%lu", suppressed);
    }
    line[n++] = '\n';
    /* One write per line keeps lines of several threads whole. */
    if (write(STDERR_FILENO, line, n) < 0) {
        return;
    }
}

void
pw_log(enum pw_log_level level, const char *module, const char *fmt, ...)
{
    va_list ap;

    if (!pw_log_on(level)) {
        return;
    }
    va_start(ap, fmt);
    log_line(level, module, 0, fmt, ap);
    va_end(ap);
}

bool
pw_log_limited(struct pw_log_limit *l, enum pw_log_level level, const char *module, const char *fmt,
               ...)
{
    struct timespec ts;
    int64_t now_ms;
    int64_t full_ms = (int64_t)l->every_ms * l->burst;
    va_list ap;

    if (!pw_log_on(level)) {
        return false;
    }
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    now_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    l->allowance_ms += l->last_ms == 0 ? full_ms : now_ms - l->last_ms;
    l->last_ms = now_ms;
    l->allowance_ms = l->allowance_ms > full_ms ? full_ms : l->allowance_ms;
    if (l->allowance_ms < (int64_t)l->every_ms) {
        l->suppressed++;
        return false;
    }
    l->allowance_ms -= l->every_ms;
    va_start(ap, fmt);
    log_line(level, module, l->suppressed, fmt, ap);
    va_end(ap);
    l->suppressed = 0;
    return true;
}

const char *
pw_log_quote(char *buf, size_t cap, struct pw_slice s)
{
    struct pw_text t;
    bool plain = s.len > 0;

    for (size_t i = 0; i < s.len && plain; i++) {
        plain = s.ptr[i] > ' ' && s.ptr[i] < 0x7F && s.ptr[i] != '"' && s.ptr[i] != '=' &&
                s.ptr[i] != '\\';
    }
    pw_text_fixed(&t, buf, cap - 1);
    if (plain) {
        pw_text_put(&t, s.ptr, s.len < cap - 1 ? s.len : cap - 1);
    } else {
        pw_text_go_quoted(&t, s);
    }
    if (t.failed && t.len > 0) {
        t.ptr[t.len - 1] = plain ? t.ptr[t.len - 1] : '"';
    }
    buf[t.len] = 0;
    return buf;
}
