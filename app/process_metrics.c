#include "app/process_metrics.h"

#include "app/config_help.h"
#include "base/metric.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reads a small file of /proc; 0 bytes when it cannot. */
static size_t
slurp(const char *path, char *buf, size_t cap)
{
    FILE *f = fopen(path, "r");
    size_t n = 0;

    if (f != NULL) {
        n = fread(buf, 1, cap - 1, f);
        (void)fclose(f);
    }
    buf[n] = 0;
    return n;
}

/* Field `index` (1 = pid) of /proc/self/stat. The name in field 2 may hold blanks and parentheses:
 * count from the last ')'. */
static bool
stat_field(const char *stat, unsigned index, uint64_t *v)
{
    const char *p = strrchr(stat, ')');

    for (unsigned i = 2; p != NULL && i < index; i++) {
        p = strchr(p, ' ');
        p = p == NULL ? NULL : p + 1;
    }
    if (p == NULL) {
        return false;
    }
    *v = strtoull(p, NULL, 10);
    return true;
}

/* Seconds since the epoch at which the system started. */
static uint64_t
boot_time_s(void)
{
    char buf[16384];
    const char *p;

    (void)slurp("/proc/stat", buf, sizeof(buf));
    p = strstr(buf, "\nbtime ");
    return p == NULL ? 0 : strtoull(p + 7, NULL, 10);
}

static void
write_stat(struct pw_text *t)
{
    char stat[2048];
    uint64_t utime = 0;
    uint64_t stime = 0;
    uint64_t start = 0;
    uint64_t virtual_bytes = 0;
    uint64_t rss_pages = 0;
    uint64_t threads = 0;
    uint64_t boot_s = boot_time_s();
    double hz = (double)sysconf(_SC_CLK_TCK);

    /* proc(5): 14 utime, 15 stime, 20 num_threads, 22 starttime, 23 vsize, 24 rss. */
    if (slurp("/proc/self/stat", stat, sizeof(stat)) == 0 || !stat_field(stat, 14, &utime) ||
        !stat_field(stat, 15, &stime) || !stat_field(stat, 20, &threads) ||
        !stat_field(stat, 22, &start) || !stat_field(stat, 23, &virtual_bytes) ||
        !stat_field(stat, 24, &rss_pages)) {
        return;
    }
    pw_metric_family(t, "process_cpu_seconds_total", "counter",
                     "User and system CPU time spent, polling included.");
    pw_text_printf(t, "process_cpu_seconds_total %.2f\n", (double)(utime + stime) / hz);
    pw_metric_family(t, "process_resident_memory_bytes", "gauge", "Resident memory.");
    pw_text_printf(t, "process_resident_memory_bytes %" PRIu64 "\n",
                   rss_pages * (uint64_t)sysconf(_SC_PAGESIZE));
    pw_metric_family(t, "process_virtual_memory_bytes", "gauge", "Virtual memory.");
    pw_text_printf(t, "process_virtual_memory_bytes %" PRIu64 "\n", virtual_bytes);
    pw_metric_family(t, "process_threads", "gauge", "Threads.");
    pw_text_printf(t, "process_threads %" PRIu64 "\n", threads);
    if (boot_s != 0) {
        pw_metric_family(t, "process_start_time_seconds", "gauge", "Start time since the epoch.");
        pw_text_printf(t, "process_start_time_seconds %.2f\n", (double)boot_s + (double)start / hz);
    }
}

/* Hugetlb pages are not in the resident size, and they are most of the appliance's memory. */
static void
write_hugetlb(struct pw_text *t)
{
    char buf[8192];
    const char *p;

    (void)slurp("/proc/self/status", buf, sizeof(buf));
    p = strstr(buf, "\nHugetlbPages:");
    if (p == NULL) {
        return;
    }
    pw_metric_family(t, "pyrowire_process_hugetlb_bytes", "gauge",
                     "Memory in hugetlb pages, which process_resident_memory_bytes leaves out.");
    pw_text_printf(t, "pyrowire_process_hugetlb_bytes %llu\n",
                   strtoull(p + strlen("\nHugetlbPages:"), NULL, 10) * 1024);
}

static void
write_fds(struct pw_text *t)
{
    struct rlimit limit;
    DIR *d = opendir("/proc/self/fd");
    uint64_t n = 0;

    if (d != NULL) {
        while (readdir(d) != NULL) {
            n++;
        }
        (void)closedir(d);
        pw_metric_family(t, "process_open_fds", "gauge", "Open file descriptors.");
        /* Without ".", ".." and the descriptor of the directory itself. */
        pw_text_printf(t, "process_open_fds %" PRIu64 "\n", n < 3 ? 0 : n - 3);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        pw_metric_family(t, "process_max_fds", "gauge", "Limit of open file descriptors.");
        pw_text_printf(t, "process_max_fds %" PRIu64 "\n", (uint64_t)limit.rlim_cur);
    }
}

void
pw_process_metrics_cold(struct pw_text *t)
{
    const struct pw_build *b = pw_build_info();

    /* Stock's labels; goversion is empty since there is no Go here. */
    pw_metric_family(t, "pyroscope_build_info", "gauge",
                     "A metric with a constant '1' value labelled by what was built.");
    pw_text_str(t, "pyroscope_build_info{version=");
    pw_text_go_quoted(t, pw_slice_str(b->version));
    pw_text_str(t, ",revision=");
    pw_text_go_quoted(t, pw_slice_str(b->revision));
    pw_text_str(t, ",branch=");
    pw_text_go_quoted(t, pw_slice_str(b->branch));
    pw_text_str(t, ",goversion=\"\",goos=\"linux\",goarch=\"amd64\",tags=\"pyrowire\"} 1\n");
    write_stat(t);
    write_hugetlb(t);
    write_fds(t);
}
