/* The option table through all its doors: flags, YAML, their order, the errors, the printed forms.
 */
#include "tests/support/cmocka_pw.h"

#include "app/config.h"
#include "app/config_help.h"
#include "app/option.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARGS_MAX = 16 };

struct run {
    struct pw_config cfg;
    struct pw_text out, err;
    int rc;
};

static void
run_init(struct run *r)
{
    pw_text_init(&r->out, 1 << 20);
    pw_text_init(&r->err, 1 << 20);
}

static void
run_fini(struct run *r)
{
    pw_text_fini(&r->out);
    pw_text_fini(&r->err);
}

/* args: NULL ended. */
static void
run_parse(struct run *r, const char *const *args)
{
    const char *argv[ARGS_MAX] = {"pyrowire"};
    int argc = 1;

    while (args[argc - 1] != NULL) {
        assert_in_range(argc, 1, ARGS_MAX - 1);
        argv[argc] = args[argc - 1];
        argc++;
    }
    r->out.len = 0;
    r->err.len = 0;
    r->rc = pw_config_parse_cold(&r->cfg, argc, argv, &r->out, &r->err);
}

#define PARSE(r, ...) run_parse(r, (const char *const[]){__VA_ARGS__, NULL})

static const char *
text(struct pw_text *t)
{
    size_t len = t->len;

    pw_text_char(t, 0);
    t->len = len;
    return t->ptr == NULL ? "" : (const char *)t->ptr;
}

/* A file that goes away with the test. */
struct temp {
    char path[64];
};

static void
temp_write(struct temp *f, const char *content)
{
    (void)snprintf(f->path, sizeof(f->path), "/tmp/pw_test_config_XXXXXX");
    int fd = mkstemp(f->path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
}

static void
test_parse__nothing_given__the_contract_s_defaults(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    run_parse(&r, (const char *const[]){NULL});
    assert_int_equal(r.rc, 0);
    assert_int_equal(r.cfg.action, PW_CONFIG_ACTION_RUN);
    assert_string_equal(r.cfg.http_listen_address, "127.0.0.1");
    assert_int_equal(r.cfg.http_listen_port, 4040);
    assert_int_equal(r.cfg.target.count, 1);
    assert_string_equal(r.cfg.target.item[0], "all");
    assert_false(r.cfg.multitenancy_enabled);
    assert_int_equal(r.cfg.runtime_config_period_ms, 10000);
    assert_int_equal(r.cfg.log_level, PW_LOG_INFO);
    assert_int_equal(r.cfg.ingester_head_max_bytes, 1ULL << 30);
    /* write-path.md 6 */
    assert_true(r.cfg.limits.ingestion_rate_mb == 4);
    assert_true(r.cfg.limits.ingestion_burst_size_mb == 2);
    assert_true(r.cfg.limits.ingestion_body_limit_mb == 256);
    assert_int_equal(r.cfg.limits.max_label_name_length, 1024);
    assert_int_equal(r.cfg.limits.max_label_value_length, 2048);
    assert_int_equal(r.cfg.limits.max_label_names_per_series, 30);
    assert_int_equal(r.cfg.limits.max_sessions_per_series, 0);
    assert_false(r.cfg.limits.enforce_labels_order);
    assert_true(r.cfg.limits.disable_label_sanitization);
    assert_int_equal(r.cfg.limits.max_profile_size_bytes, 4194304);
    assert_int_equal(r.cfg.limits.max_profile_stacktrace_samples, 16000);
    assert_int_equal(r.cfg.limits.max_profile_stacktrace_sample_labels, 100);
    assert_int_equal(r.cfg.limits.max_profile_stacktrace_depth, 1000);
    assert_int_equal(r.cfg.limits.max_profile_symbol_value_length, 65535);
    assert_int_equal(r.cfg.limits.reject_older_than_ms, 3600000);
    assert_int_equal(r.cfg.limits.reject_newer_than_ms, 600000);
    assert_int_equal(r.cfg.limits.max_local_series_per_tenant, 0);
    assert_int_equal(r.cfg.limits.max_global_series_per_tenant, 5000);
    /* read-path.md 3.9, operations.md 1.3 */
    assert_int_equal(r.cfg.limits.max_query_lookback_ms, 7LL * 86400000);
    assert_int_equal(r.cfg.limits.max_query_length_ms, 86400000);
    assert_int_equal(r.cfg.limits.max_flamegraph_nodes_default, 8192);
    assert_int_equal(r.cfg.limits.max_flamegraph_nodes_max, 1048576);
    run_fini(&r);
}

static void
test_parse__go_flag_forms__all_read(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    PARSE(&r, "-server.http-listen-port=1", "--server.http-listen-address", "::1",
          "-auth.multitenancy-enabled", "-validation.disable-label-sanitization=false",
          "--validation.reject-older-than=1d", "-distributor.ingestion-rate-limit-mb", "0.5",
          "-dataplane.idle=spin", "-ingester.head.max-bytes=64MiB");
    assert_string_equal(text(&r.err), "");
    assert_int_equal(r.rc, 0);
    assert_int_equal(r.cfg.http_listen_port, 1);
    assert_string_equal(r.cfg.http_listen_address, "::1");
    assert_true(r.cfg.multitenancy_enabled);
    assert_false(r.cfg.limits.disable_label_sanitization);
    assert_int_equal(r.cfg.limits.reject_older_than_ms, 86400000);
    assert_true(r.cfg.limits.ingestion_rate_mb == 0.5);
    assert_int_equal(r.cfg.dataplane_idle, PW_CONFIG_IDLE_SPIN);
    assert_int_equal(r.cfg.ingester_head_max_bytes, 64ULL << 20);
    run_fini(&r);
}

static void
test_parse__bad_flags__error_names_option_value_and_bounds(void **state)
{
    static const struct {
        const char *arg[2];
        const char *err;
    } row[] = {
        {{"-x"},
         "flag provided but not defined: -x\nRun with -help to get a list of available parameters"},
        {{"--server.port=1"},
         "flag provided but not defined: -server.port\n"
         "Run with -help to get a list of available parameters"},
        {{"-server.http-listen-port"},
         "flag needs an argument: -server.http-listen-port\n"
         "Run with -help to get a list of available parameters"},
        {{"-server.http-listen-port=65536"},
         "invalid value \"65536\" for flag -server.http-listen-port: must be a whole number from 0 "
         "to 65535 (port)"},
        {{"-server.http-listen-port=-1"},
         "invalid value \"-1\" for flag -server.http-listen-port: must be a whole number from 0 to "
         "65535 (port)"},
        {{"-server.http-listen-port", "0x10"},
         "invalid value \"0x10\" for flag -server.http-listen-port: must be a whole number from 0 "
         "to 65535 (port)"},
        {{"-server.http-listen-port", ""},
         "invalid value \"\" for flag -server.http-listen-port: must be a whole number from 0 to "
         "65535 (port)"},
        {{"-validation.max-label-names-per-series=18446744073709551616"},
         "invalid value \"18446744073709551616\" for flag -validation.max-label-names-per-series: "
         "must be a whole number from 0 to 256"},
        {{"-distributor.ingestion-rate-limit-mb=nan"},
         "invalid value \"nan\" for flag -distributor.ingestion-rate-limit-mb: must be a number "
         "from 0 to 1048576 (MiB/s)"},
        {{"-auth.multitenancy-enabled=maybe"},
         "invalid value \"maybe\" for flag -auth.multitenancy-enabled: must be true or false"},
        {{"-shutdown-delay=5"},
         "invalid value \"5\" for flag -shutdown-delay: must be a duration from 0s to 1h, in whole "
         "ms, such as 90s, 1h30m or 1d"},
        {{"-log.level=loud"},
         "invalid value \"loud\" for flag -log.level: must be one of debug|info|warn|error"},
        {{"-log.format=json"},
         "invalid value \"json\" for flag -log.format: not yet in this build: only logfmt is "
         "accepted"},
        {{"-distributor.aggregation-window=5s"},
         "invalid value \"5s\" for flag -distributor.aggregation-window: not yet in this build: "
         "only 0s is accepted"},
        {{"-nic.netdev=0123456789abcdef"},
         "invalid value \"0123456789abcdef\" for flag -nic.netdev: must be text of at most 15 "
         "bytes"},
        {{"-auth.multitenancy-enabled", "false"},
         "unexpected argument: false (flags are -name=value; booleans need =false)"},
        {{"---target"}, "bad flag syntax: ---target"},
        {{"-=x"}, "bad flag syntax: -=x"},
        {{"-target=compactor"},
         "failed running pyrowire: module compactor alone is not yet in this build: -target must "
         "be all, distributor or ingester"},
        {{"-target=querier"},
         "failed running pyrowire: module querier alone is not yet in this build: -target must "
         "name "
         "distributor or ingester beside it"},
        {{"-target=all,nonsense"},
         "failed running pyrowire: unrecognised module name: nonsense\n"
         "Run with -modules to get a list of targets"},
        {{"-target=distributor"},
         "failed running pyrowire: -target=distributor needs -link.secret-file: without links it "
         "cannot hand profiles to an ingester"},
        {{"-target=ingester,querier"},
         "failed running pyrowire: -target=ingester needs -link.secret-file: without links it "
         "cannot be handed profiles"},
        {{"-help=perhaps"}, "invalid value \"perhaps\" for flag -help: must be true or false"},
        {{"-server.http-listen-address=nowhere"},
         "invalid value \"nowhere\" for flag -server.http-listen-address: must be an IPv4 or IPv6 "
         "address, such as 127.0.0.1, or empty for all"},
        {{"-server.http-listen-address=127.0.0.1/8"},
         "invalid value \"127.0.0.1/8\" for flag -server.http-listen-address: must be an IPv4 or "
         "IPv6 address, such as 127.0.0.1, or empty for all"},
        {{"-target="}, "failed running pyrowire: -target names no module"},
        {{"-nic.netdev=e1", "-nic.device=0000:3b:00.0"},
         "invalid value \"e1\" for flag -nic.netdev: give -nic.device or -nic.netdev, not both"},
        {{"-nic.device=0000:3b:00.0"},
         "invalid value \"0000:3b:00.0\" for flag -nic.device: needs -nic.address, such as "
         "10.0.0.5/24, or -nic.address6"},
        {{"-nic.address6=fd00::5/64"},
         "invalid value \"fd00::5/64\" for flag -nic.address6: needs -nic.device or -nic.netdev"},
        {{"-nic.netdev=e1", "-nic.address6=10.0.0.5/24"},
         "invalid value \"10.0.0.5/24\" for flag -nic.address6: must be an IPv6 address, not "
         "link-local and no group, with its prefix length (1 to 128), such as 2001:db8::5/64"},
        {{"-nic.netdev=e1", "-nic.address6=fe80::5/64"},
         "invalid value \"fe80::5/64\" for flag -nic.address6: must be an IPv6 address, not "
         "link-local and no group, with its prefix length (1 to 128), such as 2001:db8::5/64"},
        {{"-nic.netdev=e1", "-nic.gateway6=fe80::1"},
         "invalid value \"fe80::1\" for flag -nic.gateway6: needs -nic.address6"},
        {{"-nic.address=10.0.0.5/24"},
         "invalid value \"10.0.0.5/24\" for flag -nic.address: needs -nic.device or -nic.netdev"},
        {{"-nic.netdev=e1", "-nic.address=10.0.0.5"},
         "invalid value \"10.0.0.5\" for flag -nic.address: must be an IPv4 address with its "
         "prefix "
         "length (1 to 32), such as 10.0.0.5/24"},
        {{"-nic.netdev=e1", "-nic.queues=2"},
         "invalid value \"2\" for flag -nic.queues: must be at most -dataplane.workers: each queue "
         "needs a poller"},
        {{"-nic.netdev=e1", "-server.http-listen-port=0"},
         "invalid value \"0\" for flag -server.http-listen-port: a NIC needs a port from 1 to "
         "65535"},
        {{"-config.file=/nonexistent/x.yaml"},
         "failed parsing config: open /nonexistent/x.yaml: No such file or directory"},
    };
    struct run r;

    (void)state;
    run_init(&r);
    for (size_t i = 0; i < PW_ARRAY_LEN(row); i++) {
        run_parse(&r, (const char *const[]){row[i].arg[0], row[i].arg[1], NULL});
        assert_string_equal(text(&r.err), row[i].err);
        assert_true(r.rc < 0);
    }
    run_fini(&r);
}

static void
test_parse__nic_options__gateway_must_lie_in_the_network(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    PARSE(&r, "-nic.device=0000:3b:00.0", "-nic.address=10.1.2.3/20", "-nic.gateway=10.1.15.1");
    assert_string_equal(text(&r.err), "");
    assert_int_equal(r.rc, 0);
    assert_true(pw_config_has_nic(&r.cfg));
    assert_true(r.cfg.nic_own_address);
    PARSE(&r, "-nic.netdev=e1", "-nic.address=10.1.2.3/20", "-nic.gateway=10.1.16.1");
    assert_string_equal(text(&r.err), "invalid value \"10.1.16.1\" for flag -nic.gateway: must lie "
                                      "in the network of -nic.address");
    PARSE(&r, "-nic.device=0000:3b:00.0", "-nic.address6=fd00::5/64", "-nic.gateway6=fe80::1");
    assert_string_equal(text(&r.err), ""); /* IPv6 alone, behind a link-local router */
    PARSE(&r, "-nic.netdev=e1", "-nic.address6=fd00::5/64", "-nic.gateway6=fd00:1::1");
    assert_string_equal(text(&r.err), "invalid value \"fd00:1::1\" for flag -nic.gateway6: must be "
                                      "link-local or lie in the network of -nic.address6");
    PARSE(&r, "-nic.netdev=e1");
    assert_int_equal(r.rc, 0); /* the kernel owns the address: nic-config reads it there */
    assert_false(r.cfg.nic_own_address);
    run_fini(&r);
}

static void
test_parse__link_port__second_to_the_nic_and_another(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    PARSE(&r, "-nic.netdev=e1", "-link.insecure=true");
    assert_int_equal(r.rc, 0);
    assert_false(pw_config_has_link_port(&r.cfg)); /* it shares the NIC */
    PARSE(&r, "-nic.netdev=e1", "-link.netdev=e2", "-link.insecure=true");
    assert_string_equal(text(&r.err), "");
    assert_int_equal(r.rc, 0);
    assert_true(pw_config_has_link_port(&r.cfg));
    PARSE(&r, "-link.netdev=e2", "-link.insecure=true");
    assert_string_equal(text(&r.err), "invalid value \"e2\" for flag -link.netdev: is a second "
                                      "port: needs -nic.device or -nic.netdev");
    PARSE(&r, "-nic.netdev=e1", "-link.netdev=e1", "-link.insecure=true");
    assert_string_equal(text(&r.err), "invalid value \"e1\" for flag -link.netdev: is the NIC's "
                                      "already: name another, or leave it out to share the NIC");
    PARSE(&r, "-nic.device=0000:3b:00.0", "-nic.address=10.0.0.5/24", "-link.device=3B:00.0",
          "-link.address=10.1.0.5/24", "-link.insecure=true");
    assert_string_equal(text(&r.err),
                        "invalid value \"3B:00.0\" for flag -link.device: is the NIC's "
                        "already: name another, or leave it out to share the NIC");
    PARSE(&r, "-nic.netdev=e1", "-link.netdev=e2");
    assert_string_equal(text(&r.err), "invalid value \"e2\" for flag -link.netdev: needs "
                                      "-link.secret-file: without it there are no links");
    PARSE(&r, "-nic.netdev=e1", "-link.device=3b:00.0", "-link.insecure=true");
    assert_string_equal(text(&r.err), "invalid value \"3b:00.0\" for flag -link.device: needs "
                                      "-link.address, such as 10.0.0.5/24, or -link.address6");
    PARSE(&r, "-nic.netdev=e1", "-link.device=3b:00.0", "-link.netdev=e2", "-link.insecure=true");
    assert_string_equal(text(&r.err), "invalid value \"e2\" for flag -link.netdev: give "
                                      "-link.device or -link.netdev, not both");
    PARSE(&r, "-nic.netdev=e1", "-link.address=10.1.0.5/24");
    assert_string_equal(text(&r.err), "invalid value \"10.1.0.5/24\" for flag -link.address: needs "
                                      "-link.device or -link.netdev");
    PARSE(&r, "-nic.netdev=e1", "-link.netdev=e2", "-link.address=10.1.0.5/24",
          "-link.gateway=10.2.0.1", "-link.insecure=true");
    assert_string_equal(text(&r.err), "invalid value \"10.2.0.1\" for flag -link.gateway: must lie "
                                      "in the network of -link.address");
    run_fini(&r);
}

static void
test_config_cidr__forms__read_or_refused(void **state)
{
    static const char *const bad[] = {
        "",           "10.0.0",  "10.0.0.1/",          "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/0x8",
        "fd00::/129", "host/24", "10.0.0.1/4294967320"};
    struct pw_config_addr a;

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(bad); i++) {
        assert_int_equal(pw_config_cidr(bad[i], &a), PW_EINVAL);
    }
    assert_int_equal(pw_config_cidr("10.0.0.5/24", &a), 0);
    assert_int_equal(a.family, 4);
    assert_int_equal(a.prefix_bits, 24);
    assert_memory_equal(a.addr, "\x0a\0\0\x05", 4);
    assert_int_equal(pw_config_cidr("fd00::5", &a), 0);
    assert_int_equal(a.family, 6);
    assert_int_equal(a.prefix_bits, 128);
}

static void
test_parse__yaml_then_flags__flags_win(void **state)
{
    struct temp f;
    struct run r;
    char arg[96];

    (void)state;
    run_init(&r);
    temp_write(&f, "# a comment\n"
                   "target: [all]\n"
                   "multitenancy_enabled: yes\n"
                   "server:\n"
                   "    http_listen_port: 4041\n"
                   "    http_listen_address: \"0.0.0.0\"\n"
                   "    log_level:\n"
                   "limits:\n"
                   "    ingestion_rate_mb: 7.25\n"
                   "    max_query_length: 48h\n"
                   "    reject_older_than: 1w\n"
                   "runtime_config:\n"
                   "    file: a.yaml,b.yaml\n");
    (void)snprintf(arg, sizeof(arg), "-config.file=%s", f.path);
    /* The file comes first wherever its flag stands. */
    PARSE(&r, "-server.http-listen-port=4042", "-runtime-config.file=c.yaml",
          "-runtime-config.file=d.yaml", arg);
    assert_string_equal(text(&r.err), "");
    assert_int_equal(r.rc, 0);
    assert_true(r.cfg.multitenancy_enabled);
    assert_int_equal(r.cfg.http_listen_port, 4042);
    assert_string_equal(r.cfg.http_listen_address, "0.0.0.0");
    assert_int_equal(r.cfg.log_level, PW_LOG_INFO);
    assert_true(r.cfg.limits.ingestion_rate_mb == 7.25);
    assert_int_equal(r.cfg.limits.max_query_length_ms, 48LL * 3600000);
    assert_int_equal(r.cfg.limits.reject_older_than_ms, 7LL * 86400000);
    assert_int_equal(r.cfg.runtime_config_file.count, 2);
    assert_string_equal(r.cfg.runtime_config_file.item[0], "c.yaml");
    assert_string_equal(r.cfg.runtime_config_file.item[1], "d.yaml");
    unlink(f.path);
    run_fini(&r);
}

static void
test_parse__bad_yaml__stock_s_text_and_the_line(void **state)
{
    static const struct {
        const char *yaml;
        const char *err; /* after "failed parsing config: <file>: " */
    } row[] = {
        {"server:\n    http_listen_port: 1\nbogus: 1\n",
         "yaml: unmarshal errors:\n  line 3: field bogus not found in type main.mainFlags"},
        {"limits:\n    bogus: 1\nserver:\n    x: {}\n",
         "yaml: unmarshal errors:\n  line 2: field bogus not found in type validation.Limits\n"
         "  line 4: field x not found in type server.Config"},
        {"server.http_listen_port: 1\n",
         "yaml: unmarshal errors:\n  line 1: field server.http_listen_port not found in type "
         "main.mainFlags"},
        {"limits: 3\n",
         "yaml: unmarshal errors:\n  line 1: cannot unmarshal a value that is no mapping into "
         "validation.Limits"},
        {"- all\n",
         "yaml: unmarshal errors:\n  line 1: cannot unmarshal a value that is no mapping into "
         "main.mainFlags"},
        {"server:\n    http_listen_port: 99999\n",
         "yaml: unmarshal errors:\n  line 2: option server.http_listen_port: invalid value "
         "`99999`: must be a whole number from 0 to 65535 (port)"},
        {"server:\n    http_listen_port: [1]\n", "yaml: unmarshal errors:\n  line 2: option "
                                                 "server.http_listen_port: must be a whole number "
                                                 "from 0 to 65535 (port)"},
        {"target: all\ntarget: all\n",
         "yaml: unmarshal errors:\n  line 2: field target already set in type main.mainFlags"},
        {"? [a]\n: 1\n",
         "yaml: unmarshal errors:\n  line 1: a key of main.mainFlags must be a short name"},
        {"target: [\n", "yaml: line 2: did not find expected node content"},
    };
    struct run r;

    (void)state;
    run_init(&r);
    for (size_t i = 0; i < PW_ARRAY_LEN(row); i++) {
        struct temp f;
        char want[512];

        temp_write(&f, row[i].yaml);
        PARSE(&r, "-config.file", f.path);
        unlink(f.path);
        (void)snprintf(want, sizeof(want), "failed parsing config: %s: %s", f.path, row[i].err);
        assert_string_equal(text(&r.err), want);
        assert_int_equal(r.rc, PW_EINVAL);
    }
    run_fini(&r);
}

static void
test_parse__empty_yaml__is_the_defaults(void **state)
{
    struct temp f;
    struct run r;

    (void)state;
    run_init(&r);
    temp_write(&f, "\n# nothing\n");
    PARSE(&r, "-config.file", f.path);
    assert_string_equal(text(&r.err), "");
    assert_int_equal(r.rc, 0);
    unlink(f.path);
    run_fini(&r);
}

static void
test_parse_duration__go_and_prometheus_forms__ms(void **state)
{
    static const struct {
        const char *text;
        int rc;
        int64_t ms;
        const char *printed;
    } row[] = {
        {"0", 0, 0, "0s"},
        {"0s", 0, 0, "0s"},
        {"1.5s", 0, 1500, "1s500ms"},
        {"1h30m", 0, 5400000, "1h30m"},
        {"90m", 0, 5400000, "1h30m"},
        {"1d", 0, 86400000, "1d"},
        {"36h", 0, 129600000, "36h"},
        {"7d", 0, 604800000, "1w"},
        {"1y", 0, 31536000000, "1y"},
        {"100ms", 0, 100, "100ms"},
        {"0.1s", 0, 100, "100ms"},
        {"1000us", 0, 1, "1ms"},
        {"-5s", 0, -5000, "-5s"},
        {"1us", PW_EINVAL, 0, NULL},
        {"", PW_EINVAL, 0, NULL},
        {"-", PW_EINVAL, 0, NULL},
        {"5", PW_EINVAL, 0, NULL},
        {"5x", PW_EINVAL, 0, NULL},
        {"1h 5m", PW_EINVAL, 0, NULL},
        {"s", PW_EINVAL, 0, NULL},
        {"1.2.3s", PW_EINVAL, 0, NULL},
        {"0x1s", PW_EINVAL, 0, NULL},
        {"99999999999999999999999999999999y", PW_ERANGE, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(row); i++) {
        int64_t ms = 0;
        struct pw_text t;

        assert_int_equal(pw_option_parse_duration(pw_slice_str(row[i].text), &ms), row[i].rc);
        if (row[i].rc != 0) {
            continue;
        }
        assert_int_equal(ms, row[i].ms);
        pw_text_init(&t, 64);
        pw_option_write_duration(&t, ms);
        assert_string_equal(text(&t), row[i].printed);
        pw_text_fini(&t);
    }
}

/* What /config prints is a file that -config.file reads back to the same values. */
static void
test_write_yaml__read_back__same(void **state)
{
    struct run r;
    struct pw_text again;
    struct temp f;

    (void)state;
    run_init(&r);
    PARSE(&r, "-server.http-listen-port=7", "-validation.reject-older-than=0",
          "-distributor.ingestion-burst-size-mb=2.125", "-runtime-config.file=a \"b\": c.yaml,d",
          "-log.level=warn", "-ingester.head.max-bytes=123456789");
    assert_string_equal(text(&r.err), "");
    pw_config_write_yaml(&r.cfg, PW_CONFIG_VIEW_ALL, &r.out);
    temp_write(&f, text(&r.out));

    struct run back;

    run_init(&back);
    PARSE(&back, "-config.file", f.path);
    assert_string_equal(text(&back.err), "");
    assert_int_equal(back.rc, 0);
    pw_text_init(&again, 1 << 20);
    pw_config_write_yaml(&back.cfg, PW_CONFIG_VIEW_ALL, &again);
    assert_string_equal(text(&again), text(&r.out));
    assert_int_equal(back.cfg.http_listen_port, 7);
    assert_int_equal(back.cfg.limits.reject_older_than_ms, 0);
    assert_string_equal(back.cfg.runtime_config_file.item[0], "a \"b\": c.yaml");
    unlink(f.path);
    pw_text_fini(&again);
    run_fini(&back);
    run_fini(&r);
}

static void
test_write_yaml__diff__only_what_differs(void **state)
{
    struct run r;

    (void)state;
    run_init(&r);
    PARSE(&r, "-server.http-listen-port=7", "-validation.reject-older-than=2d",
          "-server.http-listen-address=127.0.0.1");
    pw_config_write_yaml(&r.cfg, PW_CONFIG_VIEW_DIFF, &r.out);
    assert_string_equal(text(&r.out), "limits:\n    reject_older_than: 2d\n"
                                      "server:\n    http_listen_port: 7\n");
    r.out.len = 0;
    pw_config_defaults(&r.cfg);
    pw_config_write_yaml(&r.cfg, PW_CONFIG_VIEW_DIFF, &r.out);
    assert_string_equal(text(&r.out), "{}\n");
    run_fini(&r);
}

static void
test_parse__help_version_modules__printed_not_run(void **state)
{
    static const struct {
        const char *arg, *holds;
    } row[] = {
        {"-help", "  -server.http-listen-port port\n"},
        {"--help-all", "        YAML: limits.ingestion_rate_mb\n"},
        {"-version", "pyrowire, version "},
        {"-modules", "distributor *\n"},
        {"-version=true", "pyrowire, version "},
    };
    struct run r;

    (void)state;
    run_init(&r);
    for (size_t i = 0; i < PW_ARRAY_LEN(row); i++) {
        PARSE(&r, row[i].arg);
        assert_int_equal(r.rc, 0);
        assert_int_equal(r.cfg.action, PW_CONFIG_ACTION_PRINT);
        assert_non_null(strstr(text(&r.out), row[i].holds));
    }
    /* Every option has a group that -help-all shows. */
    size_t count;
    const struct pw_option *o = pw_option_table(&count);

    PARSE(&r, "-help-all");
    for (size_t i = 0; i < count; i++) {
        char line[128];

        (void)snprintf(line, sizeof(line), "\n  -%s", o[i].flag);
        assert_non_null(strstr(text(&r.out), line));
    }
    run_fini(&r);
}

static void
test_option_table__every_row__names_are_unique(void **state)
{
    size_t count;
    const struct pw_option *o = pw_option_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(pw_option_by_flag(pw_slice_str(o[i].flag)), &o[i]);
        if (o[i].yaml[0] != 0) {
            assert_ptr_equal(pw_option_by_yaml(pw_slice_str(o[i].yaml)), &o[i]);
        }
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(o[i].offset, o[k].offset);
        }
    }
}

/* distributor/limits.c has the same defaults in code, for whoever runs without a configuration. */
static void
test_option_table__limits__are_those_of_pw_limits_defaults(void **state)
{
    struct run r;
    struct pw_text table;

    (void)state;
    run_init(&r);
    pw_text_init(&table, 1 << 20);
    pw_config_defaults(&r.cfg);
    pw_config_write_yaml(&r.cfg, PW_CONFIG_VIEW_ALL, &table);
    pw_limits_defaults(&r.cfg.limits);
    pw_config_write_yaml(&r.cfg, PW_CONFIG_VIEW_ALL, &r.out);
    assert_string_equal(text(&r.out), text(&table));
    pw_text_fini(&table);
    run_fini(&r);
}

static void
test_options_md__file_in_the_repository__is_what_the_table_gives(void **state)
{
    struct pw_text want;
    char *have = calloc(1, 1 << 20);
    FILE *f = fopen(PW_SOURCE_ROOT "/app/options.md", "rb");

    (void)state;
    assert_non_null(have);
    assert_non_null(f);
    (void)fread(have, 1, (1 << 20) - 1, f);
    (void)fclose(f);
    pw_text_init(&want, 1 << 20);
    pw_config_write_options_md(&want);
    assert_string_equal(have, text(&want));
    pw_text_fini(&want);
    free(have);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse__nothing_given__the_contract_s_defaults),
        cmocka_unit_test(test_parse__go_flag_forms__all_read),
        cmocka_unit_test(test_parse__bad_flags__error_names_option_value_and_bounds),
        cmocka_unit_test(test_parse__nic_options__gateway_must_lie_in_the_network),
        cmocka_unit_test(test_parse__link_port__second_to_the_nic_and_another),
        cmocka_unit_test(test_config_cidr__forms__read_or_refused),
        cmocka_unit_test(test_parse__yaml_then_flags__flags_win),
        cmocka_unit_test(test_parse__bad_yaml__stock_s_text_and_the_line),
        cmocka_unit_test(test_parse__empty_yaml__is_the_defaults),
        cmocka_unit_test(test_parse_duration__go_and_prometheus_forms__ms),
        cmocka_unit_test(test_write_yaml__read_back__same),
        cmocka_unit_test(test_write_yaml__diff__only_what_differs),
        cmocka_unit_test(test_parse__help_version_modules__printed_not_run),
        cmocka_unit_test(test_option_table__every_row__names_are_unique),
        cmocka_unit_test(test_option_table__limits__are_those_of_pw_limits_defaults),
        cmocka_unit_test(test_options_md__file_in_the_repository__is_what_the_table_gives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
