/* base/log.h - logfmt lines on stderr, one event a line.
 *
 * Purpose  ts=... level=info module=pw.app msg="..." key=value ...
 * Owner    process wide level, set once at start.
 * Context  cold. A polling core may log at most one line per rejected request and goes through
 *          struct pw_log_limit; never per packet.
 * Units    -
 * Errors   a line longer than PW_LOG_LINE_MAX is cut.
 * Limits   PW_LOG_LINE_MAX.
 */
#ifndef PW_BASE_LOG_H
#define PW_BASE_LOG_H

#include "base/err.h"
#include "base/types.h"

enum pw_log_level { PW_LOG_DEBUG, PW_LOG_INFO, PW_LOG_WARN, PW_LOG_ERROR };

enum { PW_LOG_LINE_MAX = 2048 };

/* At most `burst` lines at once and one per `every_ms` afterwards; what was left out is said by the
 * next line that passes (suppressed=N). Zero-initialise, set the two limits. */
struct pw_log_limit {
    uint32_t every_ms;
    uint32_t burst;
    int64_t allowance_ms;
    int64_t last_ms;
    uint64_t suppressed;
};

void pw_log_set_level_ctl(enum pw_log_level level);
bool pw_log_on(enum pw_log_level level);
/* fmt yields `msg="..." key=value ...`; quote values that can hold spaces with %s of pw_log_quote. */
void pw_log(enum pw_log_level level, const char *module, const char *fmt, ...) PW_PRINTF(3, 4);
/* The same behind a limit; returns false when the line was left out. */
bool pw_log_limited(struct pw_log_limit *l, enum pw_log_level level, const char *module,
                    const char *fmt, ...) PW_PRINTF(4, 5);
/* logfmt value of s in buf (quoted and escaped when it needs to be, cut to fit); returns buf. */
const char *pw_log_quote(char *buf, size_t cap, struct pw_slice s);

#endif
