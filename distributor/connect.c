#include "distributor/connect.h"

#include "base/check.h"

#include <assert.h>

struct code_row {
    const char *name;
    uint16_t status;
};

static const struct code_row codes[] = {
    [PW_CODE_OK] = {"ok", 200},
    [PW_CODE_CANCELED] = {"canceled", 499},
    [PW_CODE_UNKNOWN] = {"unknown", 500},
    [PW_CODE_INVALID_ARGUMENT] = {"invalid_argument", 400},
    [PW_CODE_DEADLINE_EXCEEDED] = {"deadline_exceeded", 504},
    [PW_CODE_NOT_FOUND] = {"not_found", 404},
    [PW_CODE_ALREADY_EXISTS] = {"already_exists", 409},
    [PW_CODE_PERMISSION_DENIED] = {"permission_denied", 403},
    [PW_CODE_RESOURCE_EXHAUSTED] = {"resource_exhausted", 429},
    [PW_CODE_FAILED_PRECONDITION] = {"failed_precondition", 400},
    [PW_CODE_ABORTED] = {"aborted", 409},
    [PW_CODE_OUT_OF_RANGE] = {"out_of_range", 400},
    [PW_CODE_UNIMPLEMENTED] = {"unimplemented", 501},
    [PW_CODE_INTERNAL] = {"internal", 500},
    [PW_CODE_UNAVAILABLE] = {"unavailable", 503},
    [PW_CODE_DATA_LOSS] = {"data_loss", 500},
    [PW_CODE_UNAUTHENTICATED] = {"unauthenticated", 401},
};
static_assert(PW_ARRAY_LEN(codes) == PW_CODES, "one row a code");

struct reason_row {
    const char *name;
    enum pw_code code;
};

static const struct reason_row reasons[] = {
    [PW_REASON_NONE] = {"", PW_CODE_OK},
#define X(sym, name, code) [PW_REASON_##sym] = {name, PW_CODE_##code},
#include "distributor/reason.def"
#undef X
};
static_assert(PW_ARRAY_LEN(reasons) == PW_REASONS, "one row a reason");

const char *
pw_code_name(enum pw_code code)
{
    PW_INVARIANT((uint32_t)code < PW_CODES);
    return codes[code].name;
}

uint16_t
pw_code_status(enum pw_code code)
{
    PW_INVARIANT((uint32_t)code < PW_CODES);
    return codes[code].status;
}

enum pw_code
pw_code_of_status(uint16_t status)
{
    switch (status) {
    case 400:
    case 413:
        return PW_CODE_INVALID_ARGUMENT;
    case 401:
        return PW_CODE_UNAUTHENTICATED;
    case 403:
        return PW_CODE_PERMISSION_DENIED;
    case 404:
    case 501: /* ours: stock has no 501 here */
        return PW_CODE_UNIMPLEMENTED;
    case 412:
        return PW_CODE_FAILED_PRECONDITION;
    case 429:
    case 431:
        return PW_CODE_RESOURCE_EXHAUSTED;
    case 499:
        return PW_CODE_CANCELED;
    case 502:
    case 503:
        return PW_CODE_UNAVAILABLE;
    case 504:
        return PW_CODE_DEADLINE_EXCEEDED;
    default:
        return PW_CODE_UNKNOWN;
    }
}

const char *
pw_reason_name(enum pw_reason reason)
{
    PW_INVARIANT((uint32_t)reason < PW_REASONS);
    return reasons[reason].name;
}

enum pw_code
pw_reason_code(enum pw_reason reason)
{
    PW_INVARIANT((uint32_t)reason < PW_REASONS);
    return reasons[reason].code;
}

void
pw_connect_error(struct pw_text *t, enum pw_code code, struct pw_slice message)
{
    pw_text_str(t, "{\"code\":\"");
    pw_text_str(t, pw_code_name(code));
    pw_text_str(t, "\",\"message\":");
    pw_text_json_string(t, message);
    pw_text_char(t, '}');
}
