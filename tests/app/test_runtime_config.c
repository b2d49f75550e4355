/* Limits per tenant: what a file gives, what it inherits, and what a bad one leaves in place. */
#include "tests/support/cmocka_pw.h"

#include "app/runtime_config.h"
#include "distributor/relabel.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct world {
    struct pw_config cfg;
    struct pw_runtime_config *rc;
    struct pw_overrides *o;
    struct pw_text err, page;
    char path[2][64];
    int64_t now_ms;
};

static void
write_file(const char *path, const char *content)
{
    /* As operators and config maps do: a new file renamed over the old one. */
    char tmp[80];
    FILE *f;

    (void)snprintf(tmp, sizeof(tmp), "%s.new", path);
    f = fopen(tmp, "wb");
    assert_non_null(f);
    (void)fputs(content, f);
    (void)fclose(f);
    assert_int_equal(rename(tmp, path), 0);
}

static const char *
text(struct pw_text *t)
{
    pw_text_char(t, 0);
    t->len--;
    return (const char *)t->ptr;
}

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    pw_text_init(&w->err, 1 << 16);
    pw_text_init(&w->page, 1 << 20);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(w->path[i], sizeof(w->path[i]), "/tmp/pw_test_rc_XXXXXX");
        int fd = mkstemp(w->path[i]);

        assert_true(fd >= 0);
        close(fd);
    }
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    pw_overrides_free_cold(w->o);
    pw_runtime_config_destroy_cold(w->rc);
    pw_config_fini(&w->cfg);
    pw_text_fini(&w->err);
    pw_text_fini(&w->page);
    unlink(w->path[0]);
    unlink(w->path[1]);
    free(w);
    return 0;
}

/* Starts with the first `files` files and one more flag. */
static int
start(struct world *w, uint32_t files, const char *flag)
{
    char arg[2][128];
    const char *argv[4] = {"pyrowire", flag};
    int argc = 2;
    struct pw_text out;

    for (uint32_t i = 0; i < files; i++) {
        (void)snprintf(arg[i], sizeof(arg[i]), "-runtime-config.file=%s", w->path[i]);
        argv[argc++] = arg[i];
    }
    pw_text_init(&out, 1024);
    assert_int_equal(pw_config_parse_cold(&w->cfg, argc, argv, &out, &w->err), 0);
    pw_text_fini(&out);
    return pw_runtime_config_create_cold(&w->rc, &w->cfg, &w->o, &w->err);
}

/* One period later; a new table replaces the old one. */
static bool
poll_changed(struct world *w)
{
    struct pw_overrides *o;

    w->now_ms += w->cfg.runtime_config_period_ms;
    o = pw_runtime_config_poll_cold(w->rc, w->now_ms);
    if (o == NULL) {
        return false;
    }
    pw_overrides_free_cold(w->o);
    w->o = o;
    return true;
}

static const struct pw_limits *
limits_of(struct world *w, const char *tenant)
{
    return pw_overrides_get(w->o, pw_slice_str(tenant));
}

static void
test_create__no_file__defaults_with_compiled_rules(void **state)
{
    struct world *w = *state;

    assert_int_equal(start(w, 0, "-validation.max-label-names-per-series=7"), 0);
    assert_int_equal(limits_of(w, "any")->max_label_names_per_series, 7);
    assert_non_null(limits_of(w, "any")->relabel);
    assert_false(pw_runtime_config_page(w->rc, false, &w->page));
    assert_false(poll_changed(w));
}

static void
test_create__tenant__starts_from_flags_not_built_in(void **state)
{
    struct world *w = *state;

    write_file(w->path[0], "overrides:\n"
                           "  tenant-a: {ingestion_rate_mb: 7, max_query_length: 48h}\n"
                           "  tenant-b:\n"
                           "    ingestion_limit:\n"
                           "      period_type: hour\n"
                           "      period_limit_mb: 128\n"
                           "      limit_reset_time: 1700000000\n"
                           "      limit_reached: true\n"
                           "  tenant-c:\n");
    assert_int_equal(start(w, 1, "-validation.max-label-names-per-series=7"), 0);
    assert_true(limits_of(w, "tenant-a")->ingestion_rate_mb == 7);
    assert_int_equal(limits_of(w, "tenant-a")->max_query_length_ms, 48LL * 3600000);
    assert_int_equal(limits_of(w, "tenant-a")->max_label_names_per_series, 7);
    assert_true(limits_of(w, "tenant-b")->ingestion_rate_mb == 4);
    assert_true(limits_of(w, "tenant-b")->ingestion_limit.set);
    assert_string_equal(limits_of(w, "tenant-b")->ingestion_limit.period_type, "hour");
    assert_true(limits_of(w, "tenant-b")->ingestion_limit.period_limit_mb == 128);
    assert_int_equal(limits_of(w, "tenant-b")->ingestion_limit.limit_reset_time_s, 1700000000);
    assert_true(limits_of(w, "tenant-b")->ingestion_limit.limit_reached);
    assert_false(limits_of(w, "tenant-a")->ingestion_limit.set);
    assert_true(limits_of(w, "tenant-z")->ingestion_rate_mb == 4);
    assert_true(pw_runtime_config_page(w->rc, true, &w->page));
    assert_string_equal(text(&w->page), "overrides:\n"
                                        "    \"tenant-a\":\n"
                                        "        ingestion_rate_mb: 7\n"
                                        "        max_query_length: 2d\n"
                                        "    \"tenant-b\":\n"
                                        "        ingestion_limit:\n"
                                        "            period_type: \"hour\"\n"
                                        "            period_limit_mb: 128\n"
                                        "            limit_reset_time: 1700000000\n"
                                        "            limit_reached: true\n");
}

static void
test_create__two_files__merged_left_to_right(void **state)
{
    struct world *w = *state;

    write_file(w->path[0], "overrides: {a: {ingestion_rate_mb: 7, ingestion_burst_size_mb: 8}}\n");
    write_file(w->path[1], "overrides: {a: {ingestion_rate_mb: 9}, b: {ingestion_rate_mb: 10}}\n");
    assert_int_equal(start(w, 2, "-log.level=error"), 0);
    assert_true(limits_of(w, "a")->ingestion_rate_mb == 9);
    assert_true(limits_of(w, "a")->ingestion_burst_size_mb == 8);
    assert_true(limits_of(w, "b")->ingestion_rate_mb == 10);
}

static void
test_create__relabel_rules__compiled_for_their_tenant(void **state)
{
    struct world *w = *state;
    struct pw_relabel_config *shared;

    write_file(w->path[0], "overrides:\n"
                           "  a:\n"
                           "    ingestion_relabeling_rules:\n"
                           "      - {source_labels: [namespace], regex: \"dev.*\", action: drop}\n"
                           "      - source_labels: [a, b]\n"
                           "        separator: \"-\"\n"
                           "        target_label: c\n"
                           "        replacement: $1\n"
                           "  b: {ingestion_relabeling_default_rules_position: disabled}\n"
                           "  c: {ingestion_rate_mb: 1}\n");
    assert_int_equal(start(w, 1, "-log.level=error"), 0);
    shared = limits_of(w, "nobody")->relabel;
    assert_non_null(shared);
    assert_non_null(limits_of(w, "a")->relabel);
    assert_ptr_not_equal(limits_of(w, "a")->relabel, shared);
    assert_ptr_not_equal(limits_of(w, "b")->relabel, shared);
    assert_ptr_equal(limits_of(w, "c")->relabel, shared);
    assert_true(pw_runtime_config_page(w->rc, true, &w->page));
    assert_non_null(strstr(
        text(&w->page),
        "ingestion_relabeling_rules: [{\"source_labels\":[\"namespace\"],\"regex\":\"dev.*\","
        "\"action\":\"drop\"},{\"source_labels\":[\"a\",\"b\"],\"separator\":\"-\","
        "\"target_label\":\"c\",\"replacement\":\"$1\",\"action\":\"replace\"}]\n"));
}

/* A rule that applies shows that what was compiled is what was written. */
static void
test_create__rules_by_flag__apply_to_every_tenant(void **state)
{
    struct world *w = *state;

    assert_int_equal(start(w, 0,
                           "-distributor.ingestion-relabeling-rules="
                           "[{\"source_labels\":[\"team\"],\"regex\":\"x\",\"action\":\"drop\"}]"),
                     0);

    struct pw_scratch s;

    assert_int_equal(pw_scratch_init_ctl(&s, 1 << 16), 0);
    for (int i = 0; i < 2; i++) {
        struct pw_label_pair room[8] = {{PW_SLICE_LIT("team"), PW_SLICE_LIT("x")}};
        struct pw_labels l = {.pair = room, .count = 1, .cap = 8};

        if (i == 1) {
            room[0].value = PW_SLICE_LIT("y");
        }
        assert_int_equal(pw_relabel_apply(limits_of(w, "any")->relabel, &l, &s),
                         i == 0 ? PW_RELABEL_DROPPED : PW_RELABEL_KEPT);
    }
    pw_scratch_fini_ctl(&s);
}

static void
test_create__bad_file__every_fault_with_its_line(void **state)
{
    static const struct {
        const char *yaml, *err;
    } row[] = {
        {"overrides:\n  a:\n    bogus: 1\n    ingestion_rate_mb: -1\n",
         "yaml: unmarshal errors:\n  line 3: field bogus not found in type validation.Limits\n"
         "  line 4: option limits.ingestion_rate_mb: invalid value `-1`: must be a number from 0 "
         "to "
         "1048576 (MiB/s)"},
        {"override: {}\n", "yaml: unmarshal errors:\n  line 1: field override not found in type "
                           "runtimeConfigValues"},
        {"overrides: []\n",
         "yaml: unmarshal errors:\n  line 1: overrides must map tenants to limits"},
        {"overrides: {a: {ingestion_relabeling_rules: [{regex: \"(\", target_label: x}]}}\n",
         "yaml: unmarshal errors:\n  line 1: relabel rules: "},
        {"overrides: {a: {ingestion_relabeling_rules: [{action: nope}]}}\n",
         "yaml: unmarshal errors:\n  line 1: relabel rule: unknown relabel action \"nope\""},
        {"overrides: {a: {distributor_usage_groups: {x: '{}'}}}\n",
         "yaml: unmarshal errors:\n  line 1: option limits.distributor_usage_groups: not yet in "
         "this "
         "build"},
        {"overrides: {a: {ingestion_limit: {limit_reached: perhaps}}}\n",
         "yaml: unmarshal errors:\n  line 1: option limits.ingestion_limit.limit_reached: must be "
         "true or false"},
        {"overrides: {a: {keep_stripped_profiles: true}}\n",
         "yaml: unmarshal errors:\n  line 1: option limits.keep_stripped_profiles: invalid value "
         "`true`: not yet in this build: only false is accepted"},
        {"a: b: c\n", "yaml: line 1: mapping values are not allowed in this context"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < PW_ARRAY_LEN(row); i++) {
        char want[512];

        write_file(w->path[0], row[i].yaml);
        assert_int_equal(start(w, 1, "-log.level=error"), PW_EINVAL);
        (void)snprintf(want, sizeof(want), "failed loading runtime config: %s: %s", w->path[0],
                       row[i].err);
        w->err.len = w->err.len < strlen(want) ? w->err.len : strlen(want);
        assert_string_equal(text(&w->err), want);
        assert_null(w->rc);
        assert_null(w->o);
        w->err.len = 0;
        pw_config_fini(&w->cfg);
    }
}

static void
test_poll__file_changes__new_table_after_one_period(void **state)
{
    struct world *w = *state;

    write_file(w->path[0], "overrides: {a: {ingestion_rate_mb: 7}}\n");
    assert_int_equal(start(w, 1, "-runtime-config.reload-period=10s"), 0);
    assert_false(poll_changed(w));
    write_file(w->path[0], "overrides: {a: {ingestion_rate_mb: 8}}\n");
    assert_null(pw_runtime_config_poll_cold(w->rc, w->now_ms + 9999));
    assert_true(poll_changed(w));
    assert_true(limits_of(w, "a")->ingestion_rate_mb == 8);
    assert_false(poll_changed(w));
    write_file(w->path[0], "");
    assert_true(poll_changed(w));
    assert_true(limits_of(w, "a")->ingestion_rate_mb == 4);
}

static void
test_poll__bad_file__old_limits_stay_until_it_is_good(void **state)
{
    struct world *w = *state;

    write_file(w->path[0], "overrides: {a: {ingestion_rate_mb: 7}}\n");
    assert_int_equal(start(w, 1, "-log.level=error"), 0);
    write_file(w->path[0], "overrides: {a: {ingestion_rate_mb: x}}\n");
    assert_false(poll_changed(w));
    assert_true(limits_of(w, "a")->ingestion_rate_mb == 7);
    pw_runtime_config_metrics(w->rc, &w->page);
    assert_non_null(
        strstr(text(&w->page), "\npyroscope_runtime_config_last_reload_successful 0\n"));
    assert_false(poll_changed(w)); /* and says so once, not every period */
    w->page.len = 0;
    pw_runtime_config_metrics(w->rc, &w->page);
    assert_non_null(
        strstr(text(&w->page), "\npyrowire_runtime_config_reloads_total{outcome=\"refused\"} 1\n"));
    unlink(w->path[0]);
    assert_false(poll_changed(w));
    assert_true(limits_of(w, "a")->ingestion_rate_mb == 7);
    write_file(w->path[0], "overrides: {a: {ingestion_rate_mb: 9}}\n");
    assert_true(poll_changed(w));
    assert_true(limits_of(w, "a")->ingestion_rate_mb == 9);
    w->page.len = 0;
    pw_runtime_config_metrics(w->rc, &w->page);
    assert_non_null(
        strstr(text(&w->page), "\npyroscope_runtime_config_last_reload_successful 1\n"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_create__no_file__defaults_with_compiled_rules),
        T(test_create__tenant__starts_from_flags_not_built_in),
        T(test_create__two_files__merged_left_to_right),
        T(test_create__relabel_rules__compiled_for_their_tenant),
        T(test_create__rules_by_flag__apply_to_every_tenant),
        T(test_create__bad_file__every_fault_with_its_line),
        T(test_poll__file_changes__new_table_after_one_period),
        T(test_poll__bad_file__old_limits_stay_until_it_is_good),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
