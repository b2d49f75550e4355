/* The order of starting and stopping, nothing else. What the parts are and how they are joined is in
 * app/wire.c. */
#include "app/config.h"
#include "app/wire.h"
#include "base/log.h"
#include "base/text.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAIN_TEXT_BYTES_MAX = 1 << 20 };

static void
print(FILE *to, const struct pw_text *t)
{
    fwrite(t->ptr, 1, t->len, to);
    if (t->len == 0 || t->ptr[t->len - 1] != '\n') {
        fputc('\n', to);
    }
}

/* SIGTERM and SIGINT are taken by the control thread from a descriptor; blocked before any thread
 * exists, so that every thread inherits the mask. */
static void
block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int
configure(int argc, char **argv, struct pw_config *cfg)
{
    struct pw_text out;
    struct pw_text err;
    int rc;

    pw_text_init(&out, MAIN_TEXT_BYTES_MAX);
    pw_text_init(&err, MAIN_TEXT_BYTES_MAX);
    rc = pw_config_parse_cold(cfg, argc, (const char *const *)argv, &out, &err);
    if (rc != 0) {
        print(stderr, &err);
    } else if (cfg->action == PW_CONFIG_ACTION_PRINT) {
        print(stdout, &out);
    }
    pw_text_fini(&out);
    pw_text_fini(&err);
    return rc;
}

/* This process once more, without hugepages: DPDK's environment starts once in a process, and those that were counted
 * for it went to another program meanwhile. Returns when that cannot be. */
static void
begin_anew(int argc, char **argv)
{
    static char off[] = "-nic.hugepages=off"; /* said last, it counts */
    char **anew = calloc((size_t)argc + 2, sizeof(*anew));

    if (anew != NULL) {
        memcpy(anew, argv, (size_t)argc * sizeof(*anew));
        anew[argc] = off;
        /* What of the hugepages was had already goes with the descriptors. */
        (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
        execv("/proc/self/exe", anew);
    }
    pw_log(PW_LOG_ERROR, "pw.app", "msg=\"cannot start anew without hugepages\" err=\"%s\"",
           pw_err_text(anew == NULL ? PW_ENOMEM : -errno));
    free(anew);
}

int
main(int argc, char **argv)
{
    static struct pw_config cfg;
    struct pw_app *app;
    int rc;

    if (configure(argc, argv, &cfg) != 0) {
        return EXIT_FAILURE;
    }
    if (cfg.action == PW_CONFIG_ACTION_PRINT) {
        return EXIT_SUCCESS;
    }
    block_signals();
    pw_log_set_level_ctl((enum pw_log_level)cfg.log_level);
    rc = pw_app_start(&app, &cfg);
    if (rc == PW_EAGAIN) {
        begin_anew(argc, argv);
    }
    if (rc != 0) {
        return EXIT_FAILURE; /* pw_app_start said why */
    }
    rc = pw_app_run(app); /* until SIGTERM or SIGINT, then drained */
    pw_app_stop(app);
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
