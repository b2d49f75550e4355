#include "base/check.h"

#include "base/trace.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void
pw_check_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "level=fatal msg=\"broken invariant\" at=%s:%d cond=\"%s\"\n", file, line, cond);
    pw_trace_dump_thread(stderr);
    fflush(stderr);
    abort();
}
