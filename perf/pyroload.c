/* perf/pyroload - an open-loop load generator for any Pyroscope-compatible address.
 *
 * pyroload -addr HOST:PORT [-rate R] [-connections C] [-duration S] ... ; pyroload -help.
 * Prints name=value lines. Exit code: 0 all answered 2xx, 1 some were not, 2 could not run. */
#include "perf/pyroload_run.h"

#include <libdeflate.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct options {
    const char *addr, *corpus, *get, *tenant, *arrivals;
    double rate, duration, warmup, timeout;
    double connections, idle, pods, services, variants, count, cpu, fifo, seed;
    double unpack, spin, allow_errors, help;
};

enum option_type { TEXT, NUMBER, SWITCH };

static const struct option_row {
    const char *name;
    enum option_type type;
    size_t offset;
    double min, max;
    const char *help;
} option_table[] = {
#define ROW(name, type, field, min, max, help)                                                     \
    {                                                                                              \
        name, type, offsetof(struct options, field), min, max, help                                \
    }
    ROW("addr", TEXT, addr, 0, 0, "HOST:PORT or [IPV6]:PORT of the server (needed)"),
    ROW("corpus", TEXT, corpus, 0, 0, "folder of *.pb.gz (default perf/corpus)"),
    ROW("rate", NUMBER, rate, 0, 1e7,
        "requests per second; 0 = closed loop, as fast as it goes (0)"),
    ROW("arrivals", TEXT, arrivals, 0, 0, "poisson or uniform (poisson)"),
    ROW("connections", NUMBER, connections, 1, PYROLOAD_CONNECTIONS_MAX,
        "keep-alive connections (8)"),
    ROW("idle", NUMBER, idle, 0, PYROLOAD_CONNECTIONS_MAX,
        "connections beside them that say nothing (0)"),
    ROW("duration", NUMBER, duration, 0.01, 86400, "seconds that count (10)"),
    ROW("warmup", NUMBER, warmup, 0, 3600, "seconds before them (0)"),
    ROW("count", NUMBER, count, 1, 1e12, "exactly this many requests instead of a duration"),
    ROW("timeout", NUMBER, timeout, 0.01, 3600, "seconds for one answer (30)"),
    ROW("pods", NUMBER, pods, 1, 1e6, "label sets (250)"),
    ROW("services", NUMBER, services, 1, 1e6, "services the pods belong to (20)"),
    ROW("variants", NUMBER, variants, 1, 1e6, "prepared requests (corpus files x pods)"),
    ROW("get", TEXT, get, 0, 0, "GET this path instead of pushing"),
    ROW("tenant", TEXT, tenant, 0, 0, "X-Scope-OrgID"),
    ROW("cpu", NUMBER, cpu, 0, 1023, "run on this CPU"),
    ROW("fifo", NUMBER, fifo, 0, 99,
        "real-time priority while it sends, as on a machine of its own; 0 = none (0)"),
    ROW("seed", NUMBER, seed, 0, 1e15, "of arrivals and ids (1)"),
    ROW("unpack", SWITCH, unpack, 0, 1,
        "send nothing: time libdeflate on the profiles of the prepared bodies"),
    ROW("spin", SWITCH, spin, 0, 1, "never sleep: exact send times for one busy CPU"),
    ROW("allow-errors", SWITCH, allow_errors, 0, 1, "exit 0 whatever was answered"),
    ROW("help", SWITCH, help, 0, 1, "this page"),
#undef ROW
};

static volatile sig_atomic_t stop_requested;

static void
on_signal(int sig)
{
    (void)sig;
    stop_requested = 1;
}

/* --- Options ---------------------------------------------------------------------------------- */

static const struct option_row *
find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(option_table); i++) {
        if (strlen(option_table[i].name) == len && memcmp(option_table[i].name, name, len) == 0) {
            return &option_table[i];
        }
    }
    return NULL;
}

static bool
set_option(struct options *o, const struct option_row *row, const char *value)
{
    void *field = (uint8_t *)o + row->offset;
    char *end;
    double v;

    if (row->type == TEXT) {
        *(const char **)field = value;
        return true;
    }
    v = strtod(value, &end);
    if (end == value || *end != 0 || !(v >= row->min && v <= row->max)) {
        fprintf(stderr, "pyroload: invalid value \"%s\" for -%s: must be a number from %g to %g\n",
                value, row->name, row->min, row->max);
        return false;
    }
    *(double *)field = v;
    return true;
}

static bool
parse_options(struct options *o, int argc, char **argv)
{
    *o = (struct options){.arrivals = "poisson",
                          .duration = 10,
                          .timeout = 30,
                          .connections = 8,
                          .pods = 250,
                          .services = 20,
                          .cpu = -1,
                          .seed = 1};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i] + strspn(argv[i], "-");
        size_t len = strcspn(name, "=");
        const struct option_row *row = find_option(name, len);
        const char *value = name[len] == '=' ? name + len + 1 : NULL;

        if (argv[i][0] != '-' || row == NULL) {
            fprintf(stderr, "pyroload: unknown option %s (see -help)\n", argv[i]);
            return false;
        }
        if (value == NULL && row->type == SWITCH) {
            value = "1";
        } else if (value == NULL && i + 1 < argc) {
            value = argv[++i];
        }
        if (value == NULL) {
            fprintf(stderr, "pyroload: -%s needs a value\n", row->name);
            return false;
        }
        if (!set_option(o, row, value)) {
            return false;
        }
    }
    if (o->help == 0 && o->addr == NULL) {
        fprintf(stderr, "pyroload: -addr HOST:PORT is needed (see -help)\n");
        return false;
    }
    if (strcmp(o->arrivals, "poisson") != 0 && strcmp(o->arrivals, "uniform") != 0) {
        fprintf(stderr,
                "pyroload: invalid value \"%s\" for -arrivals: must be poisson or uniform\n",
                o->arrivals);
        return false;
    }
    return true;
}

static void
print_help(void)
{
    printf("Usage: pyroload -addr HOST:PORT [options]\n");
    for (size_t i = 0; i < PW_ARRAY_LEN(option_table); i++) {
        printf("  -%-13s %s\n", option_table[i].name, option_table[i].help);
    }
}

/* "127.0.0.1:4040", "[::1]:4040", "name:4040". */
static bool
resolve(const char *text, struct pyroload_cfg *cfg)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    char host[256];
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    int rc;

    if (len == 0 || len >= sizeof(host)) {
        fprintf(stderr, "pyroload: invalid value \"%s\" for -addr: must be HOST:PORT\n", text);
        return false;
    }
    if (text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    memcpy(host, text, len);
    host[len] = 0;
    rc = getaddrinfo(host, colon + 1, &hints, &list);
    if (rc != 0) {
        fprintf(stderr, "pyroload: %s: %s\n", text, gai_strerror(rc));
        return false;
    }
    memcpy(&cfg->addr, list->ai_addr, list->ai_addrlen);
    cfg->addr_len = list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

/* --- Report ----------------------------------------------------------------------------------- */

static void
print_u64(const char *name, uint64_t v)
{
    printf("%s=%llu\n", name, (unsigned long long)v);
}

static void
print_us(const char *name, uint64_t ns)
{
    printf("%s=%.1f\n", name, (double)ns / 1e3);
}

static uint64_t
errors_of(const struct pyroload_result *r)
{
    return r->sent - r->ok + r->unsent;
}

static void
print_errors(const struct pyroload_result *r)
{
    print_u64("errors", errors_of(r));
    for (uint32_t i = 0; i < PYROLOAD_STATUS_MAX; i++) {
        if (r->status[i] > 0 && (i < 200 || i > 299)) {
            printf("errors_http_%u=%llu\n", i, (unsigned long long)r->status[i]);
        }
    }
    const struct {
        const char *name;
        uint64_t v;
    } row[] = {
        {"errors_connection", r->errors_connection},
        {"errors_timeout", r->errors_timeout},
        {"errors_protocol", r->errors_protocol},
        {"unsent", r->unsent},
        {"unanswered", r->unanswered},
        {"reconnects", r->reconnects},
        {"connect_failures", r->connect_failures},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(row); i++) {
        if (row[i].v > 0) {
            print_u64(row[i].name, row[i].v);
        }
    }
    if (r->error[0] != 0) {
        fprintf(stderr, "pyroload: first error: %s\n", r->error);
    }
}

static void
print_result(const struct options *o, const struct pyroload_set *set,
             const struct pyroload_result *r)
{
    double elapsed_s = (double)r->elapsed_ns / 1e9;
    double per_s = elapsed_s > 0 ? (double)r->ok / elapsed_s : 0;

    print_u64("sent", r->sent);
    print_u64("ok", r->ok);
    print_errors(r);
    printf("elapsed_s=%.3f\n", elapsed_s);
    printf("%s=%.1f\n", o->get != NULL ? "gets_per_s" : "pushes_per_s", per_s);
    print_us("p50_us", pw_hist_quantile(&r->latency, 0.50));
    print_us("p90_us", pw_hist_quantile(&r->latency, 0.90));
    print_us("p99_us", pw_hist_quantile(&r->latency, 0.99));
    print_us("p999_us", pw_hist_quantile(&r->latency, 0.999));
    print_us("max_us", r->latency.max);
    print_u64("stalls", r->stalls);
    print_us("mean_us", r->latency.count == 0 ? 0 : r->latency.sum / r->latency.count);
    if (o->rate > 0) {
        print_us("issue_p99_us", pw_hist_quantile(&r->issue, 0.99));
    }
    print_u64("body_bytes_mean", set->count == 0 ? 0 : set->body_bytes / set->count);
    print_u64("sent_bytes", r->sent_bytes);
}

/* --- Unpack: the yardstick of the ratios ------------------------------------------------------ */

enum { UNPACK_OUT_BYTES = 16 << 20, UNPACK_ROUNDS = 15 };

/* One pass over all bodies; bytes out, so that nothing is optimised away. 0: a body does not unpack. */
static uint64_t
unpack_all(const struct pyroload_set *set, struct libdeflate_decompressor *d, uint8_t *out)
{
    static const uint8_t magic[] = {0x1F, 0x8B, 0x08};
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        const struct pyroload_request *q = &set->request[i];
        const uint8_t *body = q->bytes + q->len - q->body_len;
        const uint8_t *gz = memmem(body, q->body_len, magic, sizeof(magic));
        size_t n, used;

        if (gz == NULL || libdeflate_gzip_decompress_ex(d, gz, (size_t)(body + q->body_len - gz),
                                                        out, UNPACK_OUT_BYTES, &used, &n) != 0) {
            return 0;
        }
        bytes += n;
    }
    return bytes;
}

static int
unpack(const struct pyroload_set *set)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    uint8_t *out = malloc(UNPACK_OUT_BYTES);
    double best_us = 1e18;
    uint64_t bytes = 0;

    for (int round = 0; d != NULL && out != NULL && round < UNPACK_ROUNDS; round++) {
        struct timespec a, b;
        double us;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        bytes = unpack_all(set, d, out);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        us = ((double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3) /
             set->count;
        best_us = us < best_us ? us : best_us;
    }
    if (d == NULL || out == NULL || bytes == 0) {
        fprintf(stderr, "pyroload: a prepared body does not unpack\n");
        return 2;
    }
    printf("unpack_us=%.2f\nunpack_bytes_mean=%llu\n", best_us,
           (unsigned long long)(bytes / set->count));
    print_u64("body_bytes_mean", set->body_bytes / set->count);
    libdeflate_free_decompressor(d);
    free(out);
    return 0;
}

/* --- Main ------------------------------------------------------------------------------------- */

static bool
make_set(const struct options *o, struct pyroload_set *set)
{
    static struct mix mix;
    struct timespec now;

    if (o->get != NULL) {
        return pyroload_set_get(set, o->addr, o->get, o->tenant) == 0;
    }
    mix_load(&mix, o->corpus);
    clock_gettime(CLOCK_REALTIME, &now);
    return pyroload_set_push(set, &(struct pyroload_body_cfg){
                                      .mix = &mix,
                                      .host = o->addr,
                                      .tenant = o->tenant,
                                      .pods = (uint32_t)o->pods,
                                      .services = (uint32_t)o->services,
                                      .variants = (uint32_t)o->variants,
                                      .now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
                                      .seed = (uint64_t)o->seed,
                                  }) == 0;
}

static void
prepare_process(const struct options *o)
{
    struct rlimit files;
    struct sigaction act = {.sa_handler = on_signal};

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    if (o->cpu >= 0) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET((size_t)o->cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) != 0) {
            fprintf(stderr, "pyroload: cannot run on CPU %g: %s\n", o->cpu, strerror(errno));
            exit(2);
        }
    }
}

/* Not before: preparing the requests would hold the CPU for seconds. */
static bool
go_real_time(const struct options *o)
{
    const struct sched_param p = {.sched_priority = (int)o->fifo};

    if (o->fifo != 0 && sched_setscheduler(0, SCHED_FIFO, &p) != 0) {
        fprintf(stderr, "pyroload: no real-time priority: %s\n", strerror(errno));
        return false;
    }
    return true;
}

int
main(int argc, char **argv)
{
    static struct pyroload_result result;
    struct options o;
    struct pyroload_set set;
    struct pyroload_cfg cfg = {.stop = &stop_requested};
    bool ok;

    if (!parse_options(&o, argc, argv)) {
        return 2;
    }
    if (o.help != 0) {
        print_help();
        return 0;
    }
    prepare_process(&o);
    if (!resolve(o.addr, &cfg) || !make_set(&o, &set)) {
        return 2;
    }
    if (o.unpack != 0) {
        int rc = unpack(&set);

        pyroload_set_free(&set);
        return rc;
    }
    pyroload_set_pack(&set);
    cfg.set = &set;
    cfg.rate = o.rate;
    cfg.poisson = strcmp(o.arrivals, "poisson") == 0;
    cfg.connections = (uint32_t)o.connections;
    cfg.idle_connections = (uint32_t)o.idle;
    cfg.warmup_ns = (uint64_t)(o.warmup * 1e9);
    cfg.duration_ns = (uint64_t)(o.duration * 1e9);
    cfg.count = (uint64_t)o.count;
    cfg.timeout_ns = (uint64_t)(o.timeout * 1e9);
    cfg.seed = (uint64_t)o.seed;
    cfg.spin = o.spin != 0;
    if (!go_real_time(&o) || pyroload_run(&cfg, &result) != 0) {
        pyroload_set_free(&set);
        return 2;
    }
    print_result(&o, &set, &result);
    ok = errors_of(&result) == 0 && result.sent > 0;
    pyroload_set_free(&set);
    return ok || o.allow_errors != 0 ? 0 : 1;
}
