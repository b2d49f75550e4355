/* The ring's pages: stock's JSON, and HTML that no member's name can break. */
#include "app/ring_page.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t NOW = 1800000000;
static const uint32_t quarter[] = {0x40000000}, rest[] = {0x80000000, 0};

static void
put(struct pw_ring_desc *d, const char *id, enum pw_instance_state state, int64_t age,
    const uint32_t *token, uint32_t tokens)
{
    const struct pw_instance in = {.id = id,
                                   .addr = "10.0.0.1:4040",
                                   .zone = "zone-a",
                                   .state = state,
                                   .timestamp = NOW - age,
                                   .registered = NOW - 7300,
                                   .read_only = age == 3,
                                   .read_only_updated = age == 3 ? NOW - 200 : 0,
                                   .token = token,
                                   .token_count = tokens};

    assert_int_equal(pw_ring_desc_put(d, &in), 0);
}

static struct pw_ring_snapshot *
snapshot(const struct pw_ring_desc *d, const struct pw_ring_desc *links)
{
    const struct pw_ring_snapshot_cfg cfg = {
        .ring = {.replication_factor = 3, .heartbeat_timeout = 60}, .self = "a"};
    struct pw_ring_snapshot *s;

    assert_int_equal(pw_ring_snapshot_make_ctl(&s, &cfg, d, links), 0);
    return s;
}

static char *
html(const struct pw_ring_page *p)
{
    struct pw_text t;
    size_t len;
    char *s;

    pw_text_init(&t, 1 << 20);
    pw_ring_page_html(p, &t);
    s = (char *)pw_text_steal(&t, &len);
    assert_non_null(s);
    return s;
}

static void
assert_json(const struct pw_ring_page *p, const char *want)
{
    struct pw_text t;
    size_t len;
    char *s;

    pw_text_init(&t, 1 << 20);
    pw_ring_page_json(p, &t);
    s = (char *)pw_text_steal(&t, &len);
    assert_string_equal(s, want);
    free(s);
}

static void
test_json__members_in_every_condition__has_the_form_of_stock(void **state)
{
    struct pw_ring_desc d = {0};
    struct pw_ring_page p = {.heartbeat_timeout_s = 60, .now_ms = NOW * 1000 + 999};

    put(&d, "a", PW_INSTANCE_ACTIVE, 3, rest, 2);
    put(&d, "b", PW_INSTANCE_LEAVING, 61, NULL, 0);
    p.s = snapshot(&d, NULL);
    assert_json(
        &p,
        "{\"shards\":[{\"id\":\"a\",\"state\":\"ACTIVE\",\"address\":\"10.0.0.1:4040\","
        "\"timestamp\":\"2027-01-15T07:59:57Z\",\"registered_timestamp\":\"2027-01-15T05:58:20Z\","
        "\"read_only\":true,\"read_only_updated_timestamp\":\"2027-01-15T07:56:40Z\","
        "\"zone\":\"zone-a\",\"tokens\":[0,2147483648]},"
        "{\"id\":\"b\",\"state\":\"UNHEALTHY\",\"address\":\"10.0.0.1:4040\","
        "\"timestamp\":\"2027-01-15T07:58:59Z\",\"registered_timestamp\":\"2027-01-15T05:58:20Z\","
        "\"read_only\":false,\"read_only_updated_timestamp\":\"0001-01-01T00:00:00Z\","
        "\"zone\":\"zone-a\",\"tokens\":[]}],\"now\":\"2027-01-15T08:00:00.999Z\"}");
    pw_ring_snapshot_free_ctl((struct pw_ring_snapshot *)(uintptr_t)p.s);
    pw_ring_desc_fini(&d);
}

static void
test_json__nobody__has_null_for_shards(void **state)
{
    const struct pw_ring_page p = {.now_ms = NOW * 1000};

    assert_json(&p, "{\"shards\":null,\"now\":\"2027-01-15T08:00:00Z\"}");
}

static void
test_html__name_with_markup__is_escaped_everywhere(void **state)
{
    struct pw_ring_desc d = {0};
    struct pw_ring_page p = {
        .title = "Ring", .heartbeat_timeout_s = 60, .now_ms = NOW * 1000, .tokens = true};
    char *s;

    put(&d, "<script>\"'&", PW_INSTANCE_ACTIVE, 3, quarter, 1);
    p.s = snapshot(&d, NULL);
    s = html(&p);
    assert_null(strstr(s, "<script>"));
    assert_non_null(strstr(s, "value=\"&lt;script&gt;&#34;&#39;&amp;\""));
    assert_non_null(strstr(s, ">1073741824</td>"));
    free(s);
    pw_ring_snapshot_free_ctl((struct pw_ring_snapshot *)(uintptr_t)p.s);
    pw_ring_desc_fini(&d);
}

/* With PW_RING_PAGE_OUT the page is written there too, for a look with a browser. */
static void
test_html__several_members__says_each_ones_condition(void **state)
{
    struct pw_ring_desc d = {0}, links = {0};
    struct pw_ring_page p = {
        .title = "Ingester ring", .heartbeat_timeout_s = 60, .now_ms = NOW * 1000, .links = true};
    const char *out = getenv("PW_RING_PAGE_OUT");
    char *s;

    put(&d, "a", PW_INSTANCE_ACTIVE, 3, quarter, 1);
    put(&d, "b", PW_INSTANCE_LEAVING, 10, rest, 2);
    put(&d, "c", PW_INSTANCE_JOINING, 90, NULL, 0);
    put(&d, "d", PW_INSTANCE_PENDING, -4, NULL, 0);
    put(&links, "a", PW_INSTANCE_ACTIVE, 1, NULL, 0);
    p.s = snapshot(&d, &links);
    s = html(&p);
    assert_non_null(strstr(s, "<b>1 of 4</b> members are active"));
    assert_non_null(strstr(s, "this one"));
    assert_non_null(strstr(s, "UNHEALTHY</b><br><small>silent for too long"));
    assert_non_null(strstr(s, "LEAVING</b><br><small>shutting down: answers queries"));
    assert_non_null(strstr(s, "4 s ahead of our clock"));
    assert_non_null(strstr(s, "25.0 %"));
    assert_non_null(strstr(s, "75.0 %"));
    assert_non_null(strstr(s, "none announced"));
    if (out != NULL) {
        FILE *f = fopen(out, "w");

        assert_non_null(f);
        fputs(s, f);
        fclose(f);
    }
    free(s);
    pw_ring_snapshot_free_ctl((struct pw_ring_snapshot *)(uintptr_t)p.s);
    pw_ring_desc_fini(&d);
    pw_ring_desc_fini(&links);
}

static void
test_ownership__one_token__owns_all(void **state)
{
    struct pw_ring_desc d = {0};
    struct pw_ring_snapshot *s;
    double share[2];

    put(&d, "a", PW_INSTANCE_ACTIVE, 3, quarter, 1);
    put(&d, "b", PW_INSTANCE_ACTIVE, 3, NULL, 0);
    s = snapshot(&d, NULL);
    pw_ring_page_ownership(s->view, share);
    assert_true(share[0] == 1.0 && share[1] == 0.0);
    pw_ring_snapshot_free_ctl(s);
    pw_ring_desc_fini(&d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__members_in_every_condition__has_the_form_of_stock),
        cmocka_unit_test(test_json__nobody__has_null_for_shards),
        cmocka_unit_test(test_html__name_with_markup__is_escaped_everywhere),
        cmocka_unit_test(test_html__several_members__says_each_ones_condition),
        cmocka_unit_test(test_ownership__one_token__owns_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
