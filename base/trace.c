#include "base/trace.h"

#include <inttypes.h>
#include <stddef.h>

/* The one thread-local of the house: a failed check has no context to be handed. */
static _Thread_local const struct pw_trace *thread_trace;

void
pw_trace_dump(const struct pw_trace *t, FILE *out)
{
    uint64_t first = t->next > PW_TRACE_EVENTS ? t->next - PW_TRACE_EVENTS : 0;

    for (uint64_t i = first; i < t->next; i++) {
        const struct pw_trace_event *e = &t->event[i % PW_TRACE_EVENTS];

        fprintf(out, "trace n=%" PRIu64 " tsc=%" PRIu64 " kind=%s a=%" PRIu64 " b=%" PRIu64 "\n", i,
                e->tsc, e->kind, e->a, e->b);
    }
}

void
pw_trace_bind_thread(const struct pw_trace *t)
{
    thread_trace = t;
}

void
pw_trace_dump_thread(FILE *out)
{
    if (thread_trace != NULL) {
        pw_trace_dump(thread_trace, out);
    }
}
