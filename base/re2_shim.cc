#include "base/re2_shim.h"

#include <cstdio>
#include <new>
#include <string>

#include <re2/re2.h>

struct pw_re2 {
    RE2 re;

    pw_re2(const re2::StringPiece &pattern, const RE2::Options &options) : re(pattern, options)
    {
    }
};

namespace
{

/* Go's words for what RE2 refused: clients compare them with what a Go server says. */
const char *
go_wording(RE2::ErrorCode code)
{
    switch (code) {
    case RE2::ErrorBadEscape:
        return "invalid escape sequence";
    case RE2::ErrorBadCharClass:
        return "invalid character class";
    case RE2::ErrorBadCharRange:
        return "invalid character class range";
    case RE2::ErrorMissingBracket:
        return "missing closing ]";
    case RE2::ErrorMissingParen:
        return "missing closing )";
    case RE2::ErrorUnexpectedParen:
        return "unexpected )";
    case RE2::ErrorTrailingBackslash:
        return "trailing backslash at end of expression";
    case RE2::ErrorRepeatArgument:
        return "missing argument to repetition operator";
    case RE2::ErrorRepeatSize:
        return "invalid repeat count";
    case RE2::ErrorRepeatOp:
        return "invalid nested repetition operator";
    case RE2::ErrorBadPerlOp:
        return "invalid or unsupported Perl syntax";
    case RE2::ErrorBadUTF8:
        return "invalid UTF-8";
    case RE2::ErrorBadNamedCapture:
        return "invalid named capture";
    case RE2::ErrorPatternTooLarge:
        return "expression too large";
    case RE2::NoError:
    case RE2::ErrorInternal:
        break;
    }
    return "internal error";
}

} // namespace

extern "C" struct pw_re2 *
pw_re2_new(const char *pattern, size_t len, size_t mem_bytes_max, char *err_text, size_t err_cap)
{
    RE2::Options options;

    options.set_log_errors(false);
    options.set_dot_nl(true);
    options.set_max_mem((int64_t)mem_bytes_max);
    if (err_cap > 0) {
        err_text[0] = 0;
    }
    try {
        pw_re2 *re = new pw_re2(re2::StringPiece(pattern, len), options);

        if (!re->re.ok()) {
            /* Go names the whole expression where RE2 names nothing. */
            snprintf(err_text, err_cap, "%s: `%s`", go_wording(re->re.error_code()),
                     re->re.error_arg().c_str());
            delete re;
            return nullptr;
        }
        return re;
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

extern "C" void
pw_re2_free(struct pw_re2 *re)
{
    delete re;
}

extern "C" int
pw_re2_program_size(const struct pw_re2 *re)
{
    return re->re.ProgramSize();
}

extern "C" int
pw_re2_groups(const struct pw_re2 *re)
{
    return re->re.NumberOfCapturingGroups() + 1;
}

extern "C" bool
pw_re2_match(const struct pw_re2 *re, const char *s, size_t len, struct pw_re2_group *group,
             int groups)
{
    enum { SUBMATCH_MAX = 32 };
    re2::StringPiece sub[SUBMATCH_MAX];

    if (groups > SUBMATCH_MAX) {
        groups = SUBMATCH_MAX;
    }
    if (!re->re.Match(re2::StringPiece(s, len), 0, len, RE2::ANCHOR_BOTH, sub, groups)) {
        return false;
    }
    for (int i = 0; i < groups; i++) {
        group[i].ptr = sub[i].data();
        group[i].len = sub[i].size();
    }
    return true;
}
