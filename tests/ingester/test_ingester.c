/* The poller: every record taken is answered once, a full reverse lane makes it wait, nothing is lost. */
#include "ingester/ingester.h"

#include "base/limits.h"
#include "ring/lane_msg.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/record_build.h"

#include <stdlib.h>

enum { KEY = 1, WORKERS = 3, RECORD_CAP = 1 << 20 };

struct fixture {
    struct pw_head *head;
    struct pw_head_set *heads;
    struct pw_catalog *catalog;
    struct pw_ingester *ing;
    struct pw_lane *in[WORKERS], *out[WORKERS];
    struct rb_profile profile;
    void *buf;
    uint64_t series_limit;
};

static uint64_t
limit_of_t(void *ctx, struct pw_slice tenant)
{
    assert_true(pw_slice_eq_str(tenant, "t"));
    return *(const uint64_t *)ctx;
}

static void
setup(struct fixture *f, size_t head_bytes, uint64_t series_limit)
{
    struct pw_head_cfg hc = {.bytes_max = head_bytes,
                             .hash_key = KEY,
                             .tenants_max = 4,
                             .series_idle_ns = 600LL * 1000000000};
    struct pw_ingester_cfg ic = {.lanes_count = WORKERS,
                                 .in = f->in,
                                 .out = f->out,
                                 .series_limit = limit_of_t,
                                 .series_limit_ctx = &f->series_limit};

    memset(f, 0, sizeof(*f));
    f->series_limit = series_limit;
    assert_int_equal(pw_head_create_ctl(&f->head, &hc), 0);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pw_lane_create_ctl(&f->in[i], 4 << 20, 0), 0);
        assert_int_equal(pw_lane_create_ctl(&f->out[i], PW_LANE_BYTES_MIN, 0), 0);
    }
    assert_int_equal(pw_catalog_create_ctl(&f->catalog), 0);
    assert_int_equal(pw_catalog_edit(f->catalog, &(struct pw_catalog_edit){.add_head = &f->head,
                                                                           .add_heads = 1}),
                     0);
    assert_int_equal(
        pw_head_set_create_ctl(
            &f->heads, &(struct pw_head_set_cfg){.first = f->head, .bytes_max = head_bytes}),
        0);
    ic.heads = f->heads;
    assert_int_equal(pw_ingester_create_ctl(&f->ing, &ic), 0);
    f->buf = aligned_alloc(64, RECORD_CAP);
    f->profile = (struct rb_profile){.tenant = "t", .types_count = 1, .series_count = 1};
    f->profile.series[0].sample_count = 1;
    f->profile.series[0].sample[0] = (struct rb_sample){.stack = 1, .value = {1}};
}

static void
teardown(struct fixture *f)
{
    pw_ingester_destroy_ctl(f->ing);
    pw_head_set_destroy_ctl(f->heads);
    pw_catalog_destroy_ctl(f->catalog);
    for (int i = 0; i < WORKERS; i++) {
        pw_lane_destroy_ctl(f->in[i]);
        pw_lane_destroy_ctl(f->out[i]);
    }
    free(f->buf);
}

/* Sends the fixture's profile on lane w; bulk: as a handle. False when the lane is full. */
static bool
send(struct fixture *f, int w, uint64_t slot, bool bulk)
{
    const struct pw_record *rec = rb_build(&f->profile, KEY, slot + 1, f->buf, RECORD_CAP);
    uint32_t bytes = (uint32_t)sizeof(struct pw_lane_push) + (bulk ? 0 : rec->bytes);
    struct pw_lane_push *p = pw_lane_reserve(f->in[w], bytes);

    if (p == NULL) {
        return false;
    }
    *p = (struct pw_lane_push){.slot = slot};
    if (bulk) {
        p->bulk = rec;
        p->bulk_bytes = rec->bytes;
    } else {
        memcpy(p + 1, rec, rec->bytes);
    }
    pw_lane_commit(f->in[w], PW_LANE_TYPE_PUSH, bytes);
    pw_lane_flush(f->in[w]);
    return true;
}

static struct pw_lane_done
expect_done(struct fixture *f, int w, uint64_t slot, int status)
{
    struct pw_lane_record rec;
    struct pw_lane_done done;

    assert_int_equal(pw_lane_pop_burst(f->out[w], &rec, 1), 1);
    assert_int_equal(rec.type, PW_LANE_TYPE_DONE);
    assert_int_equal(rec.bytes, sizeof(done));
    memcpy(&done, rec.data, sizeof(done));
    pw_lane_release(f->out[w], 1);
    assert_int_equal(done.slot, slot);
    assert_int_equal(done.status, status);
    return done;
}

static uint64_t
rows(const struct fixture *f)
{
    struct pw_head_stats st;

    pw_head_stats(f->head, &st);
    return st.rows;
}

static void
test_poll__inline_and_bulk__answered_on_their_lane(void **state)
{
    struct fixture f;

    setup(&f, 64 << 20, 0);
    assert_int_equal(pw_ingester_poll(f.ing, 0), 0);
    assert_true(send(&f, 0, 11, false));
    assert_int_equal(pw_ingester_poll(f.ing, 0), 1);
    assert_true(send(&f, 2, 22, true));
    assert_int_equal(pw_ingester_poll(f.ing, 0), 1);
    expect_done(&f, 0, 11, 0);
    expect_done(&f, 2, 22, 0);
    assert_int_equal(pw_lane_used(f.out[1]), 0);
    assert_int_equal(pw_lane_used(f.in[0]) + pw_lane_used(f.in[2]), 0);
    assert_int_equal(rows(&f), 2);
    teardown(&f);
}

static void
test_poll__reverse_lane_full__takes_nothing_until_room(void **state)
{
    struct fixture f;
    struct pw_lane_record rec[PW_BURST_MAX];
    uint64_t sent = 0, answered = 0;

    setup(&f, 256 << 20, 0);
    for (int turn = 0; turn < 2000; turn++) {
        sent += send(&f, 1, sent, false);
        (void)!pw_ingester_poll(f.ing, 0);
    }
    /* 48 bytes an answer: the lane is full of them, the rest waits in front. */
    assert_true(rows(&f) == PW_LANE_BYTES_MIN / 48);
    assert_true(sent > rows(&f));
    assert_int_equal(pw_ingester_poll(f.ing, 0), 0);
    assert_true(send(&f, 0, 7, false)); /* the other workers are not held up */
    assert_int_equal(pw_ingester_poll(f.ing, 0), 1);
    expect_done(&f, 0, 7, 0);
    while (answered < sent) {
        uint32_t n = pw_lane_pop_burst(f.out[1], rec, 5);

        assert_true(n > 0);
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(((const struct pw_lane_done *)rec[i].data)->slot, answered++);
        }
        pw_lane_release(f.out[1], n);
        (void)!pw_ingester_poll(f.ing, 0);
    }
    assert_true(rows(&f) == sent + 1);
    assert_int_equal(pw_lane_used(f.in[1]), 0);
    teardown(&f);
}

static void
test_poll__not_a_push__answered_malformed(void **state)
{
    struct fixture f;
    struct pw_ingester_stats st;

    setup(&f, 64 << 20, 0);
    for (uint32_t bad = 0; bad < 4; bad++) {
        struct pw_record *rec =
            (struct pw_record *)(uintptr_t)rb_build(&f.profile, KEY, 1, f.buf, RECORD_CAP);
        uint32_t bytes = (uint32_t)sizeof(struct pw_lane_push) + rec->bytes;
        struct pw_lane_push *p = pw_lane_reserve(f.in[0], bytes);

        rec->version = bad == 0 ? PW_RECORD_VERSION + 1 : PW_RECORD_VERSION;
        rec->bytes += bad == 1 ? 16 : 0;
        *p = (struct pw_lane_push){.slot = 5 + bad};
        memcpy(p + 1, rec, bytes - sizeof(*p));
        pw_lane_commit(f.in[0], bad == 2 ? 99 : PW_LANE_TYPE_PUSH, bad == 3 ? 40 : bytes);
        pw_lane_flush(f.in[0]);
        assert_int_equal(pw_ingester_poll(f.ing, 0), 1);
        expect_done(&f, 0, 5 + bad, PW_EINVAL);
    }
    pw_ingester_stats(f.ing, &st);
    assert_int_equal(st.malformed, 4);
    assert_int_equal(st.records, 0);
    assert_int_equal(rows(&f), 0);
    teardown(&f);
}

static void
test_poll__limits__named_in_the_answer_and_counted(void **state)
{
    struct fixture f;
    struct pw_ingester_stats st;
    struct pw_text text;
    uint64_t slot = 0;
    int status = 0;

    setup(&f, PW_HEAD_BYTES_MIN, 2);
    for (uint32_t i = 0; i < 3; i++) {
        f.profile.series[0].label_set = i;
        assert_true(send(&f, 0, i, false));
        assert_int_equal(pw_ingester_poll(f.ing, 0), 1);
        struct pw_lane_done done = expect_done(&f, 0, i, i < 2 ? 0 : PW_ERANGE);

        assert_int_equal(done.actual, i < 2 ? 0 : 2);
        assert_int_equal(done.limit, i < 2 ? 0 : 2);
    }
    f.profile.series[0].label_set = 0;
    while (status == 0) { /* each takes at least a row: ends */
        struct pw_lane_record rec;

        assert_true(send(&f, 0, slot++, false));
        assert_int_equal(pw_ingester_poll(f.ing, 0), 1);
        assert_int_equal(pw_lane_pop_burst(f.out[0], &rec, 1), 1);
        status = ((const struct pw_lane_done *)rec.data)->status;
        pw_lane_release(f.out[0], 1);
    }
    assert_int_equal(status, PW_EBUSY);
    pw_ingester_stats(f.ing, &st);
    assert_int_equal(st.refused_series_limit, 1);
    assert_int_equal(st.refused_tenant_share, 1);
    assert_int_equal(st.records, rows(&f));
    pw_text_init(&text, 1 << 16);
    const struct pw_catalog_view *heads = pw_catalog_acquire(f.catalog);

    pw_ingester_metrics(&f.ing, 1, heads, &text);
    pw_catalog_release(f.catalog, heads);
    pw_text_char(&text, 0);
    assert_false(text.failed);
    assert_non_null(
        strstr((char *)text.ptr, "pyrowire_ingester_refused_total{reason=\"tenant_share\"} 1\n"));
    assert_non_null(strstr((char *)text.ptr, "pyroscope_head_size_bytes{type=\"samples\"} "));
    assert_non_null(strstr((char *)text.ptr, "pyrowire_head_limit_bytes 1048576\n"));
    pw_text_fini(&text);
    teardown(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_poll__inline_and_bulk__answered_on_their_lane),
        cmocka_unit_test(test_poll__reverse_lane_full__takes_nothing_until_room),
        cmocka_unit_test(test_poll__not_a_push__answered_malformed),
        cmocka_unit_test(test_poll__limits__named_in_the_answer_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
