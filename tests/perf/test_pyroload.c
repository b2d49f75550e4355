/* The parts of the load generator that decide whether its figures can be believed. */
#include "tests/support/cmocka_pw.h"

#include "perf/pyroload_body.h"
#include "perf/pyroload_pace.h"
#include "perf/pyroload_reply.h"

#include <libdeflate.h>
#include <profile.pb-c.h>
#include <push.pb-c.h>
#include <stdio.h>
#include <stdlib.h>

/* Feeds s in pieces of `piece` bytes; the total of bytes used, or PW_PARSE_*. */
static int64_t
feed(struct pyroload_reply *r, const char *s, size_t piece)
{
    size_t len = strlen(s);

    pyroload_reply_reset(r);
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        int64_t used = pyroload_reply_feed(r, pw_slice(s + at, n));

        if (used != PW_PARSE_MORE) {
            return used < 0 ? used : (int64_t)at + used;
        }
    }
    return PW_PARSE_MORE;
}

static void
test_reply_feed__answers__same_in_any_pieces(void **state)
{
    static const struct {
        const char *bytes;
        int64_t used; /* -3: all */
        uint16_t status;
        bool close;
    } row[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", -3, 200, false},
        {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", -3, 200, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloX", 43, 200, false},
        {"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", -3,
         429, true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", -3, 200, true},
        {"HTTP/1.1 204 No Content\r\n\r\n", -3, 204, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
         "chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n"
         "0\r\nTrailer: x\r\n\r\n",
         -3, 200, false},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", -3, 503,
         false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", PW_PARSE_MORE, 200, false},
        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", PW_PARSE_MORE, 200, true},
        {"HTTP/2 200\r\n\r\n", PW_PARSE_BAD, 0, false},
        {"SSH-2.0-x\r\n", PW_PARSE_BAD, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", PW_PARSE_BAD, 200, false},
        {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", PW_PARSE_BAD, 200, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", PW_PARSE_BAD, 200,
         false},
    };
    struct pyroload_reply r;

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(row); i++) {
        int64_t want = row[i].used == -3 ? (int64_t)strlen(row[i].bytes) : row[i].used;

        for (size_t piece = 1; piece <= strlen(row[i].bytes); piece++) {
            assert_int_equal(feed(&r, row[i].bytes, piece), want);
            assert_int_equal(r.status, row[i].status);
            assert_int_equal(r.close, row[i].close);
        }
    }
    assert_int_equal(feed(&r, "HTTP/1.1 200 OK\r\n\r\nuntil the end", 7), PW_PARSE_MORE);
    assert_true(pyroload_reply_eof(&r));
}

static void
test_stamp__time_nanos__replaced_or_added(void **state)
{
    /* period 12 = 1; time_nanos 9 of as many bytes, of fewer, and none. */
    static const uint8_t same[] = {0x60, 1,    0x48, 0x80, 0x80, 0x80, 0x80,
                                   0x80, 0x80, 0x80, 0x80, 0x01, 0x68, 3};
    static const uint8_t shorter[] = {0x48, 5, 0x60, 1};
    static const uint8_t none[] = {0x60, 1};
    static const uint8_t broken[] = {0x60, 1, 0x32, 9, 'x'};
    const int64_t now = 1795231280519402696;
    uint8_t out[64];
    Google__V1__Profile *p;
    size_t n;

    (void)state;
    n = pyroload_stamp(pw_slice(same, sizeof(same)), now, out);
    assert_int_equal(n, sizeof(same));
    p = google__v1__profile__unpack(NULL, n, out);
    assert_non_null(p);
    assert_int_equal(p->time_nanos, now);
    assert_int_equal(p->period, 1);
    google__v1__profile__free_unpacked(p, NULL);

    n = pyroload_stamp(pw_slice(shorter, sizeof(shorter)), now, out);
    assert_int_equal(n, sizeof(shorter) + 10);
    p = google__v1__profile__unpack(NULL, n, out);
    assert_non_null(p);
    assert_int_equal(p->time_nanos, now);
    google__v1__profile__free_unpacked(p, NULL);

    assert_int_equal(pyroload_stamp(pw_slice(none, sizeof(none)), now, out), sizeof(none) + 10);
    assert_int_equal(pyroload_stamp(pw_slice(broken, sizeof(broken)), now, out), 0);
}

/* Value of a label; fails when it is not there once. */
static const char *
label(const Push__V1__RawProfileSeries *s, const char *name)
{
    const char *found = NULL;

    for (size_t i = 0; i < s->n_labels; i++) {
        if (strcmp(s->labels[i]->name, name) == 0) {
            assert_null(found);
            found = s->labels[i]->value;
        }
    }
    assert_non_null(found);
    return found;
}

static void
load_corpus(struct mix *m)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/perf/corpus", PW_SOURCE_ROOT);
    mix_load(m, path);
}

static void
test_set_push__the_mix__envelopes_that_protobuf_c_reads(void **state)
{
    static struct mix m;
    struct pyroload_set set;
    struct libdeflate_decompressor *gz = libdeflate_alloc_decompressor();
    uint8_t *raw = malloc(16 << 20);
    int64_t last = 0;
    const int64_t now = 1795231280519402696;

    (void)state;
    assert_non_null(raw);
    load_corpus(&m);
    assert_int_equal(m.count, 20);
    assert_int_equal(
        pyroload_set_push(
            &set,
            &(struct pyroload_body_cfg){
                .mix = &m, .host = "h:1", .tenant = "t", .pods = 3, .services = 2, .now_ns = now}),
        0);
    assert_int_equal(set.count, 60);
    pyroload_set_pack(&set); /* the same requests, elsewhere */
    assert_non_null(set.region);
    for (uint32_t i = 0; i < set.count; i++) {
        const struct pyroload_request *q = &set.request[i];
        Push__V1__PushRequest *p =
            push__v1__push_request__unpack(NULL, q->body_len, q->bytes + q->len - q->body_len);
        Google__V1__Profile *profile;
        size_t n;

        assert_non_null(p);
        assert_int_equal(p->n_series, 1);
        assert_int_equal(p->series[0]->n_samples, 1);
        assert_int_equal(p->series[0]->n_labels, 6);
        assert_string_equal(label(p->series[0], "service_name"),
                            i / 20 == 1 ? "service-01" : "service-00");
        assert_string_equal(label(p->series[0], "__delta__"), "false");
        assert_string_equal(label(p->series[0], "__name__"), pyroload_profile_name(m.raw[i % 20]));

        ProtobufCBinaryData body = p->series[0]->samples[0]->raw_profile;

        assert_int_equal(libdeflate_gzip_decompress(gz, body.data, body.len, raw, 16 << 20, &n),
                         LIBDEFLATE_SUCCESS);
        profile = google__v1__profile__unpack(NULL, n, raw);
        assert_non_null(profile);
        assert_true(profile->time_nanos > last && profile->time_nanos <= now);
        last = profile->time_nanos;
        google__v1__profile__free_unpacked(profile, NULL);
        push__v1__push_request__free_unpacked(p, NULL);
        assert_non_null(strstr((const char *)q->bytes, "\r\nX-Scope-OrgID: t\r\n"));
    }
    assert_int_equal(last, now);
    pyroload_set_free(&set);
    libdeflate_free_decompressor(gz);
    free(raw);
}

static void
test_profile_name__corpus__by_sample_types(void **state)
{
    static struct mix m;
    static const struct {
        const char *file, *name;
    } row[] = {
        {"gotest-json-cpu.pb.gz", "process_cpu"},
        {"gotest-json-mem.pb.gz", "memory"},
        {"jvm-catalog-wall.pb.gz", "wall"},
        {"jvm-catalog-alloc.pb.gz", "memory"},
        {"sdk-nodejs-0.4-003-cpu.pb.gz", "process_cpu"},
    };
    uint32_t found = 0;

    (void)state;
    load_corpus(&m);
    for (uint32_t i = 0; i < m.count; i++) {
        for (size_t k = 0; k < PW_ARRAY_LEN(row); k++) {
            if (strcmp(m.name[i], row[k].file) == 0) {
                assert_string_equal(pyroload_profile_name(m.raw[i]), row[k].name);
                found++;
            }
        }
    }
    assert_int_equal(found, PW_ARRAY_LEN(row));
}

static void
test_pace__poisson_and_uniform__mean_rate_and_spread(void **state)
{
    enum { N = 100000 };
    struct pyroload_pace p;
    double longest = 0;
    uint64_t before;

    (void)state;
    pyroload_pace_init(&p, 1000, false, 1, 5);
    for (int i = 1; i < N; i++) {
        pyroload_pace_step(&p);
    }
    assert_in_range(p.next_ns, 5 + 99999900000ULL, 5 + 100000100000ULL);

    pyroload_pace_init(&p, 1000, true, 1, 0);
    before = p.next_ns;
    for (int i = 1; i < N; i++) {
        pyroload_pace_step(&p);
        longest = (double)(p.next_ns - before) > longest ? (double)(p.next_ns - before) : longest;
        before = p.next_ns;
    }
    assert_in_range(p.next_ns, 99000000000ULL, 101000000000ULL); /* 3 sigma is 0.95 % */
    assert_true(longest >
                8e6); /* the longest of 1e5 exponential gaps is near ln(1e5) = 11.5 means */

    pyroload_pace_init(&p, 0, true, 1, 0);
    assert_true(p.next_ns == UINT64_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply_feed__answers__same_in_any_pieces),
        cmocka_unit_test(test_stamp__time_nanos__replaced_or_added),
        cmocka_unit_test(test_set_push__the_mix__envelopes_that_protobuf_c_reads),
        cmocka_unit_test(test_profile_name__corpus__by_sample_types),
        cmocka_unit_test(test_pace__poisson_and_uniform__mean_rate_and_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
