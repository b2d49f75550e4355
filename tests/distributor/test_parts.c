/* The small parts: token bucket, bulk pool, push envelopes (protobuf in pieces, JSON), folded. */
#include "distributor/bulk.h"
#include "distributor/folded.h"
#include "distributor/json_read.h"
#include "distributor/push.h"
#include "distributor/rate.h"
#include "pprof/wire.h"

#include "tests/support/cmocka_pw.h"

#include <profile.pb-c.h>
#include <push.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

#define SEC 1000000000ULL

static void
test_pw_rate_take__burst_then_rate__as_a_token_bucket(void **state)
{
    struct pw_rate_table *t;
    struct pw_rate_ask ask = {.tenant_hash = 7, .rate_bytes_per_s = 1000, .burst_bytes = 500};

    (void)state;
    assert_int_equal(pw_rate_create_ctl(&t), 0);
    ask.now_ns = 100 * SEC;
    ask.bytes = 501; /* more than the burst never passes */
    assert_false(pw_rate_take(t, &ask));
    ask.bytes = 300;
    assert_true(pw_rate_take(t, &ask));
    assert_false(pw_rate_take(t, &ask)); /* 200 left; a refusal takes nothing */
    ask.bytes = 200;
    assert_true(pw_rate_take(t, &ask));
    ask.bytes = 1;
    assert_false(pw_rate_take(t, &ask));
    ask.now_ns += SEC / 10; /* 100 bytes came back */
    ask.bytes = 101;
    assert_false(pw_rate_take(t, &ask));
    ask.bytes = 100;
    assert_true(pw_rate_take(t, &ask));
    ask.now_ns += 1000 * SEC; /* no more than the burst gathers */
    ask.bytes = 500;
    assert_true(pw_rate_take(t, &ask));
    ask.bytes = 1;
    assert_false(pw_rate_take(t, &ask));
    ask.tenant_hash = 7 + PW_RATE_TENANTS_MAX; /* same slot, another tenant */
    assert_true(pw_rate_take(t, &ask));
    ask.rate_bytes_per_s = 0;
    assert_false(pw_rate_take(t, &ask));
    pw_rate_destroy_ctl(t);
}

static void
test_pw_rate_sharers__none_or_some__is_at_least_one(void **state)
{
    struct pw_rate_table *t;

    assert_int_equal(pw_rate_create_ctl(&t), 0);
    assert_int_equal(pw_rate_sharers(t), 1);
    pw_rate_set_sharers(t, 3);
    assert_int_equal(pw_rate_sharers(t), 3);
    pw_rate_set_sharers(t, 0);
    assert_int_equal(pw_rate_sharers(t), 1);
    pw_rate_destroy_ctl(t);
}

static void
test_pw_rate_take__many_small__average_is_the_rate(void **state)
{
    struct pw_rate_table *t;
    struct pw_rate_ask ask = {
        .tenant_hash = 9, .rate_bytes_per_s = 4 << 20, .burst_bytes = 2 << 20, .bytes = 1000};
    uint64_t passed = 0;

    (void)state;
    assert_int_equal(pw_rate_create_ctl(&t), 0);
    for (ask.now_ns = SEC; ask.now_ns < 11 * SEC; ask.now_ns += 100000) { /* 10 MB/s asked */
        passed += pw_rate_take(t, &ask) ? ask.bytes : 0;
    }
    /* ten seconds of the rate, and the burst that was there at first */
    assert_in_range(passed, (10 << 22) + (2 << 20) - 10000, (10 << 22) + (2 << 20) + 10000);
    pw_rate_destroy_ctl(t);
}

static void
test_pw_bulk__fill_free_and_fill_again__level_restored(void **state)
{
    struct pw_bulk b;
    uint32_t h[16];

    (void)state;
    assert_int_equal(pw_bulk_init_ctl(&b, 16 * PW_BULK_PAGE_BYTES), 0);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 16; i++) {
            h[i] = pw_bulk_alloc(&b, 1);
            assert_int_not_equal(h[i], PW_BULK_NONE);
            memset(pw_bulk_at(&b, h[i]), (int)i, PW_BULK_PAGE_BYTES);
        }
        assert_int_equal(pw_bulk_alloc(&b, 1), PW_BULK_NONE);
        for (uint32_t i = 0; i < 16; i++) {
            assert_int_equal(((uint8_t *)pw_bulk_at(&b, h[i]))[PW_BULK_PAGE_BYTES - 1], i);
            pw_bulk_free(&b, h[(i * 7) % 16]);
        }
        assert_int_equal(b.pages_used, 0);
    }
    assert_int_equal(pw_bulk_alloc(&b, 16 * PW_BULK_PAGE_BYTES + 1), PW_BULK_NONE);
    h[0] = pw_bulk_alloc(&b, 16 * PW_BULK_PAGE_BYTES);
    assert_int_equal(h[0], 0);
    pw_bulk_trim(&b, h[0], PW_BULK_PAGE_BYTES + 1); /* two pages stay */
    assert_int_equal(b.pages_used, 2);
    h[1] = pw_bulk_alloc(&b, 14 * PW_BULK_PAGE_BYTES);
    assert_int_equal(h[1], 2);
    pw_bulk_free(&b, h[0]);
    pw_bulk_free(&b, h[1]);
    assert_int_equal(b.pages_used, 0);
    assert_int_equal(b.pages_used_peak, 16);
    pw_bulk_fini_ctl(&b);
}

static void
test_pw_bulk_alloc_low__low_end_full__others_still_find_room(void **state)
{
    enum { PAGES = 10 * PW_BULK_LOW_SHARE, LOW = 10 };
    struct pw_bulk b;
    uint32_t h[LOW], other;

    (void)state;
    assert_int_equal(pw_bulk_init_ctl(&b, (size_t)PAGES * PW_BULK_PAGE_BYTES), 0);
    assert_int_equal(pw_bulk_alloc_low(&b, LOW * PW_BULK_PAGE_BYTES + 1), PW_BULK_NONE);
    for (uint32_t i = 0; i < LOW; i++) {
        h[i] = pw_bulk_alloc_low(&b, PW_BULK_PAGE_BYTES);
        assert_int_equal(h[i], i);
        assert_int_equal(b.pages_low_used, i + 1);
    }
    assert_int_equal(pw_bulk_alloc_low(&b, 1), PW_BULK_NONE);
    pw_bulk_free(&b, h[3]);
    pw_bulk_free(&b, h[5]);
    assert_int_equal(pw_bulk_alloc_low(&b, 2 * PW_BULK_PAGE_BYTES),
                     PW_BULK_NONE); /* not in a row */
    pw_bulk_free(&b, h[4]);
    other = pw_bulk_alloc(&b, 4 * PW_BULK_PAGE_BYTES);
    assert_int_equal(other, LOW); /* the first run of so many */
    assert_int_equal(b.pages_low_used, LOW - 3);
    assert_int_equal(pw_bulk_alloc_low(&b, 3 * PW_BULK_PAGE_BYTES), 3);
    assert_int_equal(b.pages_low_used, LOW);
    pw_bulk_trim(&b, 3, 1);
    assert_int_equal(b.pages_low_used, LOW - 2);
    assert_int_equal(b.pages_used, LOW - 2 + 4);
    pw_bulk_fini_ctl(&b);
}

/* --- push envelopes: ours against protobuf-c --- */

static size_t
pack_push(uint8_t *out)
{
    Types__V1__LabelPair a = TYPES__V1__LABEL_PAIR__INIT;
    Types__V1__LabelPair b = TYPES__V1__LABEL_PAIR__INIT;
    Types__V1__LabelPair *labels[] = {&a, &b};
    Push__V1__RawSample s1 = PUSH__V1__RAW_SAMPLE__INIT;
    Push__V1__RawSample s2 = PUSH__V1__RAW_SAMPLE__INIT;
    Push__V1__RawSample *samples[] = {&s1, &s2};
    Push__V1__RawProfileSeries r = PUSH__V1__RAW_PROFILE_SERIES__INIT;
    Push__V1__RawProfileSeries empty = PUSH__V1__RAW_PROFILE_SERIES__INIT;
    Push__V1__RawProfileSeries *series[] = {&r, &empty};
    Push__V1__PushRequest req = PUSH__V1__PUSH_REQUEST__INIT;
    static uint8_t raw[300];

    memset(raw, 'r', sizeof(raw));
    a.name = "__name__";
    a.value = "process_cpu";
    b.name = "long";
    b.value = "a value that is long enough to straddle any piece of the body";
    s1.raw_profile.data = raw;
    s1.raw_profile.len = sizeof(raw);
    s1.id = "id-1";
    r.labels = labels;
    r.n_labels = 2;
    r.samples = samples;
    r.n_samples = 2;
    req.series = series;
    req.n_series = 2;
    return push__v1__push_request__pack(&req, out);
}

static void
test_pw_push_parse_proto__any_piece_size__same_as_whole(void **state)
{
    uint8_t buf[1024];
    size_t n = pack_push(buf);
    struct pw_scratch s;

    (void)state;
    assert_int_equal(pw_scratch_init_ctl(&s, 1 << 20), 0);
    for (size_t piece = 1; piece <= n; piece++) {
        struct pw_slice body[1024];
        uint32_t count = 0;
        struct pw_push p;
        char text[128];
        struct pw_text err;
        size_t raw = 0;

        for (size_t at = 0; at < n; at += piece) {
            body[count++] = pw_slice(buf + at, n - at < piece ? n - at : piece);
            body[count++] = pw_slice(buf, 0); /* empty pieces are nothing special */
        }
        pw_text_fixed(&err, text, sizeof(text));
        assert_int_equal(pw_push_parse_proto(&p, body, count, &s, &err), 0);
        assert_int_equal(p.series_count, 2);
        assert_int_equal(p.sample_count, 2);
        assert_int_equal(p.series[1].label_count + p.series[1].sample_count, 0);
        assert_int_equal(p.series[0].label_count, 2);
        assert_true(pw_slice_eq_str(p.series[0].label[0].value, "process_cpu"));
        assert_true(
            pw_slice_eq_str(p.series[0].label[1].value,
                            "a value that is long enough to straddle any piece of the body"));
        assert_true(pw_slice_eq_str(p.series[0].sample[0].id, "id-1"));
        assert_int_equal(p.series[0].sample[0].bytes, 300);
        for (uint32_t i = 0; i < p.series[0].sample[0].piece_count; i++) {
            struct pw_slice x = p.series[0].sample[0].piece[i];

            assert_true(x.len != 0 && x.ptr[0] == 'r' && x.ptr[x.len - 1] == 'r');
            raw += x.len;
        }
        assert_int_equal(raw, 300);
        assert_int_equal(p.series[0].sample[1].bytes, 0);
        pw_scratch_rewind(&s, 0);
    }
    pw_scratch_fini_ctl(&s);
}

/* Every proper prefix either ends cleanly between fields or is refused; never a wild read. */
static void
test_pw_push_parse_proto__cut_anywhere__refused_or_shorter(void **state)
{
    uint8_t buf[1024];
    size_t n = pack_push(buf);
    struct pw_scratch s;
    uint32_t refused = 0;

    (void)state;
    assert_int_equal(pw_scratch_init_ctl(&s, 1 << 20), 0);
    for (size_t len = 0; len < n; len++) {
        uint8_t *copy = malloc(len == 0 ? 1 : len);
        struct pw_slice body = pw_slice(copy, len);
        struct pw_push p;
        char text[128];
        struct pw_text err;

        memcpy(copy, buf, len);
        pw_text_fixed(&err, text, sizeof(text));
        if (pw_push_parse_proto(&p, &body, 1, &s, &err) != 0) {
            refused++;
            assert_true(err.len != 0);
        }
        free(copy);
        pw_scratch_rewind(&s, 0);
    }
    assert_int_equal(refused, n - 2); /* cut at 0 and behind the first series it is a message */
    pw_scratch_fini_ctl(&s);
}

struct bytes_case {
    const char *bytes;
    size_t len;
    const char *text; /* NULL: fine */
};

static void
test_pw_push_parse_proto__odd_wire__as_go(void **state)
{
#define B(s) s, sizeof(s) - 1
    static const struct bytes_case rows[] = {
        {B(""), NULL},
        {B("\x0a\x00"), NULL},                 /* one empty series */
        {B("\x10\x05\x0a\x00"), NULL},         /* unknown varint */
        {B("\x1b\x08\x01\x1b\x1c\x1c"), NULL}, /* unknown groups, nested */
        {B("\x08\x05"), "proto: wrong wireType = 0 for field Series"},
        {B("\x0a\x02\x08\x01"), "proto: wrong wireType = 0 for field Labels"},
        {B("\x0a\x02\x18\x01"), "proto: wrong wireType = 0 for field Annotations"},
        {B("\x0c"), "proto: wiretype end group for non-group"},
        {B("\x0f"), "proto: illegal wireType"},
        {B("\x02\x00"), "proto: illegal tag"},
        {B("\xff\xff\xff"), "unexpected EOF"},
        {B("\x0a\x05\x0a"), "unexpected EOF"},
        {B("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "unexpected EOF"}, /* length 2^64-1 */
        {B("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "proto: integer overflow"},
        {B("\x1b"), "unexpected EOF"},
    };
    struct pw_scratch s;

    (void)state;
    assert_int_equal(pw_scratch_init_ctl(&s, 1 << 20), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_slice body = pw_slice(rows[i].bytes, rows[i].len);
        struct pw_push p;
        char text[128];
        struct pw_text err;
        int rc;

        pw_text_fixed(&err, text, sizeof(text));
        rc = pw_push_parse_proto(&p, &body, 1, &s, &err);
        pw_text_char(&err, 0);
        assert_int_equal(rc, rows[i].text == NULL ? 0 : PW_EINVAL);
        assert_string_equal(text, rows[i].text == NULL ? "" : rows[i].text);
    }
    pw_scratch_fini_ctl(&s);
}

struct json_case {
    const char *json;
    int32_t series;    /* -1: refused */
    const char *label; /* value of the first label */
    const char *raw;
};

static void
test_pw_push_parse_json__table__as_proto3_json(void **state)
{
    static const struct json_case rows[] = {
        {"{}", 0, NULL, NULL},
        {" { \"foo\" : [ 1 , {\"a\":[[],{}]} , \"x\" ] } ", 0, NULL, NULL},
        {"{\"series\":null}", 0, NULL, NULL},
        {"{\"series\":[]}", 0, NULL, NULL},
        {"{\"series\":[{},{}]}", 2, NULL, NULL},
        {"{\"series\":[{\"labels\":[{\"name\":\"a\",\"value\":\"b\"}],\"samples\":[{\"rawProfile\":"
         "\"aGVsbG8=\",\"ID\":\"x\"}]}]}",
         1, "b", "hello"},
        {"{\"series\":[{\"samples\":[{\"raw_profile\":\"aGVsbG8\"}],\"labels\":[{\"value\":\"b\"}]}"
         "]}",
         1, "b", "hello"}, /* no padding, the field's own name */
        {"{\"series\":[{\"labels\":[{\"value\":\"\\u00e9\\ud83d\\ude00\\n\\/\"}]}]}", 1,
         "\xc3\xa9\xf0\x9f\x98\x80\n/", NULL},
        {"{\"series\":[{\"labels\":[{\"value\":null}]}]}", 1, "", NULL},
        {"{\"series\":[{\"annotations\":[{\"key\":1}]}]}", 1, NULL, NULL},
        {"", -1, NULL, NULL},
        {"[]", -1, NULL, NULL},
        {"{\"series\":{}}", -1, NULL, NULL},
        {"{\"series\":[1]}", -1, NULL, NULL},
        {"{\"series\":[{\"labels\":[{\"value\":1}]}]}", -1, NULL, NULL},
        {"{\"series\":[{\"samples\":[{\"rawProfile\":\"!\"}]}]}", -1, NULL, NULL},
        {"{\"series\":[],\"series\":[]}", -1, NULL, NULL},
        {"{\"a\":1,}", -1, NULL, NULL},
        {"{\"a\":01}", -1, NULL, NULL},
        {"{\"a\":\"\\x\"} ", -1, NULL, NULL},
        {"{\"a\":\"\\u12\"}", 0, NULL, NULL}, /* what is skipped is not decoded */
        {"{\"series\":[{\"labels\":[{\"value\":\"\\ud800\"}]}]}", -1, NULL, NULL},
        {"{\"series\":[{\"labels\":[{\"value\":\"\xff\"}]}]}", -1, NULL, NULL},
        {"{} x", -1, NULL, NULL},
        {"{\"a\":\"", -1, NULL, NULL},
        {"{\"a\":\"\\", -1, NULL, NULL},
        {"{\"a\":tru", -1, NULL, NULL},
    };
    struct pw_scratch s;

    (void)state;
    assert_int_equal(pw_scratch_init_ctl(&s, 1 << 20), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        struct pw_push p;
        char text[256];
        struct pw_text err;
        int rc;

        pw_text_fixed(&err, text, sizeof(text));
        rc = pw_push_parse_json(&p, pw_slice_str(rows[i].json), &s, &err);
        if ((rc == 0) != (rows[i].series >= 0)) {
            fail_msg("row %zu: %s: %d %.*s", i, rows[i].json, rc, (int)err.len, text);
        }
        if (rc == 0) {
            assert_int_equal(p.series_count, rows[i].series);
            if (rows[i].label != NULL) {
                assert_true(pw_slice_eq_str(p.series[0].label[0].value, rows[i].label));
            }
            if (rows[i].raw != NULL) {
                assert_int_equal(p.series[0].sample[0].piece_count, 1);
                assert_true(pw_slice_eq_str(p.series[0].sample[0].piece[0], rows[i].raw));
            }
        } else {
            assert_true(err.len != 0);
        }
        pw_scratch_rewind(&s, 0);
    }
    pw_scratch_fini_ctl(&s);
}

static void
test_pw_json_read_skip__deep_nesting__refused_not_recursed(void **state)
{
    char json[1000];
    struct pw_json_read j;

    (void)state;
    memset(json, '[', sizeof(json));
    pw_json_read_init(&j, pw_slice(json, sizeof(json)), NULL);
    assert_false(pw_json_read_skip(&j));
    assert_string_equal(j.err, "exceeded max recursion depth");
}

/* --- folded --- */

static void
test_pw_folded_type__suffixes_and_rate__as_contract(void **state)
{
    static const struct {
        const char *app;
        uint32_t rate;
        const char *metric, *type, *unit, *base;
        uint64_t period;
    } rows[] = {
        {"app", 100, "process_cpu", "cpu", "nanoseconds", "app", 10000000},
        {"app.cpu", 0, "process_cpu", "samples", "count", "app", 0},
        {"a.b.itimer", 1000000000, "process_cpu", "cpu", "nanoseconds", "a.b", 1},
        {"app.wall", 3, "wall", "wall", "nanoseconds", "app", 333333333},
        {"app.inuse_space", 100, "memory", "inuse_space", "bytes", "app", 0},
        {"app.goroutines", 100, "goroutine", "goroutines", "count", "app", 0},
        {"app.lock_duration", 100, "block", "delay", "nanoseconds", "app", 0},
        {"app.live", 100, "memory", "live", "count", "app", 0},
        {".cpu", 100, "process_cpu", "cpu", "nanoseconds", "", 10000000},
    };
    struct pw_folded_type t;

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        assert_int_equal(pw_folded_type(&t, pw_slice_str(rows[i].app), rows[i].rate), 0);
        assert_string_equal(t.metric, rows[i].metric);
        assert_true(pw_slice_eq_str(t.type, rows[i].type));
        assert_string_equal(t.unit, rows[i].unit);
        assert_true(pw_slice_eq_str(t.app, rows[i].base));
        assert_int_equal(t.period, rows[i].period);
    }
    assert_int_equal(pw_folded_type(&t, PW_SLICE_LIT("app.foo"), 100), PW_EINVAL);
    assert_true(pw_slice_eq_str(t.suffix, "foo"));
}

/* What we encode, protobuf-c decodes to the same stacks: "root;...;leaf value" lines. */
static void
folded_roundtrip(const char *body, const char *want)
{
    struct pw_folded_type t;
    struct pw_scratch s;
    struct pw_slice enc;
    struct pw_text err;
    struct pw_text got;
    char err_buf[256];
    Google__V1__Profile *p;

    assert_int_equal(pw_scratch_init_ctl(&s, 16 << 20), 0);
    assert_int_equal(pw_folded_type(&t, PW_SLICE_LIT("app"), 1000000000), 0); /* period 1 */
    pw_text_fixed(&err, err_buf, sizeof(err_buf));
    assert_int_equal(pw_folded_encode(&t, pw_slice_str(body), 12345, 7, &s, &enc, &err), 0);
    p = google__v1__profile__unpack(NULL, enc.len, enc.ptr);
    assert_non_null(p);
    assert_int_equal(p->time_nanos, 12345);
    assert_int_equal(p->n_mapping, 1);
    pw_text_init(&got, 1 << 20);
    for (size_t i = 0; i < p->n_sample; i++) {
        for (size_t k = p->sample[i]->n_location_id; k > 0; k--) {
            Google__V1__Location *l = p->location[p->sample[i]->location_id[k - 1] - 1];
            Google__V1__Function *f = p->function[l->line[0]->function_id - 1];

            pw_text_put(&got, p->string_table[f->name].data, p->string_table[f->name].len);
            pw_text_char(&got, k == 1 ? ' ' : ';');
        }
        pw_text_i64(&got, p->sample[i]->value[0]);
        pw_text_char(&got, '\n');
    }
    pw_text_char(&got, 0);
    assert_string_equal((char *)got.ptr, want);
    pw_text_fini(&got);
    google__v1__profile__free_unpacked(p, NULL);
    pw_scratch_fini_ctl(&s);
}

static void
test_pw_folded_encode__lines__as_protobuf_reads_them(void **state)
{
    (void)state;
    folded_roundtrip("", "");
    folded_roundtrip("main;foo 3\nmain;bar 4\n", "main;foo 3\nmain;bar 4\n");
    folded_roundtrip("a;b c;d 1\r\nnospace\n;x 2\n 5\na;a;a +7", "a;b c;d 1\n;x 2\n 5\na;a;a 7\n");
    folded_roundtrip("a -1", "a -1\n");
}

static void
test_pw_folded_encode__long_line__ends_the_input(void **state)
{
    char *body = malloc(200000);
    int n = snprintf(body, 200000, "a 1\n%0*d 2\nb 3\n", PW_FOLDED_LINE_MAX, 0);

    (void)state;
    assert_true(n > PW_FOLDED_LINE_MAX);
    folded_roundtrip(body, "a 1\n");
    free(body);
}

static void
test_pw_folded_encode__bad_counts__text_of_atoi(void **state)
{
    static const struct {
        const char *body, *text;
    } rows[] = {
        {"a x", "strconv.Atoi: parsing \"x\": invalid syntax"},
        {"a 1\nb ", "strconv.Atoi: parsing \"\": invalid syntax"},
        {"a 1.5", "strconv.Atoi: parsing \"1.5\": invalid syntax"},
        {"a -", "strconv.Atoi: parsing \"-\": invalid syntax"},
        {"a 9223372036854775808",
         "strconv.Atoi: parsing \"9223372036854775808\": value out of range"},
        {"a \x01\xff", "strconv.Atoi: parsing \"\\x01\\xff\": invalid syntax"},
    };
    struct pw_folded_type t;
    struct pw_scratch s;
    struct pw_slice enc;

    (void)state;
    assert_int_equal(pw_scratch_init_ctl(&s, 16 << 20), 0);
    assert_int_equal(pw_folded_type(&t, PW_SLICE_LIT("app"), 100), 0);
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        char buf[256];
        struct pw_text err;

        pw_text_fixed(&err, buf, sizeof(buf));
        assert_int_equal(pw_folded_encode(&t, pw_slice_str(rows[i].body), 0, 7, &s, &enc, &err),
                         PW_EINVAL);
        pw_text_char(&err, 0);
        assert_string_equal(buf, rows[i].text);
    }
    pw_scratch_fini_ctl(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_rate_take__burst_then_rate__as_a_token_bucket),
        cmocka_unit_test(test_pw_rate_sharers__none_or_some__is_at_least_one),
        cmocka_unit_test(test_pw_rate_take__many_small__average_is_the_rate),
        cmocka_unit_test(test_pw_bulk__fill_free_and_fill_again__level_restored),
        cmocka_unit_test(test_pw_bulk_alloc_low__low_end_full__others_still_find_room),
        cmocka_unit_test(test_pw_push_parse_proto__any_piece_size__same_as_whole),
        cmocka_unit_test(test_pw_push_parse_proto__cut_anywhere__refused_or_shorter),
        cmocka_unit_test(test_pw_push_parse_proto__odd_wire__as_go),
        cmocka_unit_test(test_pw_push_parse_json__table__as_proto3_json),
        cmocka_unit_test(test_pw_json_read_skip__deep_nesting__refused_not_recursed),
        cmocka_unit_test(test_pw_folded_type__suffixes_and_rate__as_contract),
        cmocka_unit_test(test_pw_folded_encode__lines__as_protobuf_reads_them),
        cmocka_unit_test(test_pw_folded_encode__long_line__ends_the_input),
        cmocka_unit_test(test_pw_folded_encode__bad_counts__text_of_atoi),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
