#include "base/trace.h"

#include "base/check.h"
#include "tests/support/cmocka_pw.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a process says whose thread has bound the trace (or none) and breaks an invariant; false when it does not
 * end by SIGABRT. */
static bool
broken_invariant_says(const struct pw_trace *t, char *said, size_t cap)
{
    int end[2], status;
    size_t len = 0;
    ssize_t n;

    assert_int_equal(pipe(end), 0);
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka's handler would go on with the next test */
        (void)dup2(end[1], STDERR_FILENO);
        (void)close(end[0]);
        pw_trace_bind_thread(t);
        PW_INVARIANT(cap == 0);
        _exit(0);
    }
    (void)close(end[1]);
    while (len + 1 < cap && (n = read(end[0], said + len, cap - 1 - len)) > 0) {
        len += (size_t)n;
    }
    said[len] = 0;
    (void)close(end[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void
test_invariant__broken__says_where_and_the_events_of_its_thread(void **state)
{
    static struct pw_trace t;
    char said[4096];

    (void)state;
    pw_trace(&t, 77, "ESTABLISHED", 5, 3);
    pw_trace(&t, 78, "CLOSE_WAIT", 5, 4);
    assert_true(broken_invariant_says(&t, said, sizeof(said)));
    assert_non_null(strstr(said, "level=fatal msg=\"broken invariant\" at="));
    assert_non_null(strstr(said, "cond=\"cap == 0\""));
    assert_non_null(strstr(said, "\ntrace n=0 tsc=77 kind=ESTABLISHED a=5 b=3\n"
                                 "trace n=1 tsc=78 kind=CLOSE_WAIT a=5 b=4\n"));
}

static void
test_invariant__no_trace_bound__says_where_alone(void **state)
{
    char said[4096];

    (void)state;
    assert_true(broken_invariant_says(NULL, said, sizeof(said)));
    assert_non_null(strstr(said, "level=fatal"));
    assert_null(strstr(said, "trace n="));
}

static void
test_dump__more_than_it_holds__the_last_ones_oldest_first(void **state)
{
    static struct pw_trace t;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    assert_non_null(out);
    for (uint64_t i = 0; i < PW_TRACE_EVENTS + 3; i++) {
        pw_trace(&t, i, "event", i, 0);
    }
    pw_trace_dump(&t, out);
    (void)fclose(out);
    assert_memory_equal(text, "trace n=3 tsc=3 ", 16);
    assert_null(strstr(text, "tsc=2 "));
    assert_non_null(strstr(text, "trace n=1026 tsc=1026 "));
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariant__broken__says_where_and_the_events_of_its_thread),
        cmocka_unit_test(test_invariant__no_trace_bound__says_where_alone),
        cmocka_unit_test(test_dump__more_than_it_holds__the_last_ones_oldest_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
