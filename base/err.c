#include "base/err.h"

#include <string.h>

const char *
pw_err_text(int err)
{
    return err == PW_OK ? "ok" : strerrordesc_np(-err) ? strerrordesc_np(-err) : "unknown error";
}
