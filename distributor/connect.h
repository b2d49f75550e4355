/* distributor/connect.h - Connect error codes, reasons, and the two JSON error encoders.
 *
 * Purpose  one place that turns a reason into a code, a status and a body (write-path.md 1.1, 1.3).
 * Owner    pure functions.
 * Context  hot (error answers only).
 * Units    -
 * Errors   text overflow is sticky in the pw_text.
 * Limits   -
 */
#ifndef PW_DISTRIBUTOR_CONNECT_H
#define PW_DISTRIBUTOR_CONNECT_H

#include "base/text.h"
#include "base/types.h"

enum pw_code { /* gRPC numbers */
               PW_CODE_OK = 0,
               PW_CODE_CANCELED,
               PW_CODE_UNKNOWN,
               PW_CODE_INVALID_ARGUMENT,
               PW_CODE_DEADLINE_EXCEEDED,
               PW_CODE_NOT_FOUND,
               PW_CODE_ALREADY_EXISTS,
               PW_CODE_PERMISSION_DENIED,
               PW_CODE_RESOURCE_EXHAUSTED,
               PW_CODE_FAILED_PRECONDITION,
               PW_CODE_ABORTED,
               PW_CODE_OUT_OF_RANGE,
               PW_CODE_UNIMPLEMENTED,
               PW_CODE_INTERNAL,
               PW_CODE_UNAVAILABLE,
               PW_CODE_DATA_LOSS,
               PW_CODE_UNAUTHENTICATED,
               PW_CODES,
};

enum pw_reason {
    PW_REASON_NONE = 0,
#define X(sym, name, code) PW_REASON_##sym,
#include "distributor/reason.def"
#undef X
    PW_REASONS,
};

const char *pw_code_name(enum pw_code code);
uint16_t pw_code_status(enum pw_code code);
/* Encoder (a) of write-path.md 1.3 derives the code from the status. */
enum pw_code pw_code_of_status(uint16_t status);

const char *pw_reason_name(enum pw_reason reason);
enum pw_code pw_reason_code(enum pw_reason reason);

/* {"code":"...","message":"..."}, without newline: encoder (b). Encoder (a) adds the newline. */
void pw_connect_error(struct pw_text *t, enum pw_code code, struct pw_slice message);

#endif
