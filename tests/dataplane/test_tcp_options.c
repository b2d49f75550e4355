#include "dataplane/tcp_options.h"

#include "tests/support/cmocka_pw.h"

#include <sys/mman.h>
#include <unistd.h>

/* Parses bytes that end where an unmapped page begins: an over-read faults. */
static int
parse_at_edge(const uint8_t *bytes, uint32_t len, struct pw_tcp_options *o)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(two != MAP_FAILED);
    assert_int_equal(mprotect(two + page, page, PROT_NONE), 0);
    memcpy(two + page - len, bytes, len);
    int rc = pw_tcp_options_parse(two + page - len, len, o);

    munmap(two, 2 * page);
    return rc;
}

struct row {
    const char *name;
    uint8_t bytes[40];
    uint32_t len;
    int want;
    struct pw_tcp_options o;
};

static const struct row rows[] = {
    {"none", {0}, 0, 0, {0}},
    {"end of list at once, garbage behind", {0, 2, 1, 1}, 4, 4, {0}},
    {"mss", {2, 4, 0x05, 0xB4}, 4, 4, {.mss = 1460}},
    {"mss of zero", {2, 4, 0, 0}, 4, 4, {.mss = 0}},
    {"wscale after nop", {1, 3, 3, 7}, 4, 4, {.wscale = 7, .has_wscale = true}},
    {"wscale above 14 is 14", {3, 3, 15, 0}, 4, 4, {.wscale = 14, .has_wscale = true}},
    {"timestamps as every kernel sends them",
     {1, 1, 8, 10, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF},
     12,
     12,
     {.ts_val = 1, .ts_ecr = 0xFFFFFFFF, .has_ts = true}},
    {"timestamps not aligned",
     {8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1},
     12,
     12,
     {.ts_val = 1, .ts_ecr = 2, .has_ts = true}},
    {"linux syn",
     {2, 4, 5, 0xB4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7},
     20,
     20,
     {.mss = 1460, .ts_val = 9, .has_ts = true, .wscale = 7, .has_wscale = true, .sack_ok = true}},
    {"sack permitted", {1, 1, 4, 2}, 4, 4, {.sack_ok = true}},
    {"sack permitted of three bytes", {4, 3, 0, 0}, 4, PW_PARSE_BAD, {0}},
    {"one sack block", {1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9}, 12, 12, {.sack_count = 1}},
    {"sack without a block", {1, 1, 5, 2}, 4, PW_PARSE_BAD, {0}},
    {"half a sack block", {5, 6, 0, 0, 0, 1, 1, 1}, 8, PW_PARSE_BAD, {0}},
    {"unknown kind is skipped", {254, 6, 2, 4, 0, 0, 2, 4, 1, 0}, 10, 10, {.mss = 256}},
    {"unknown kind of length two", {253, 2, 2, 4, 1, 0, 1, 1}, 8, 8, {.mss = 256}},
    {"length zero: would never end", {2, 0, 0, 0}, 4, PW_PARSE_BAD, {0}},
    {"length one", {200, 1, 0, 0}, 4, PW_PARSE_BAD, {0}},
    {"length beyond the header", {200, 5, 0, 0}, 4, PW_PARSE_BAD, {0}},
    {"kind without a length", {1, 1, 1, 200}, 4, PW_PARSE_BAD, {0}},
    {"mss of three bytes", {2, 3, 5, 0}, 4, PW_PARSE_BAD, {0}},
    {"mss of five bytes", {2, 5, 5, 0xB4, 1, 1, 1, 1}, 8, PW_PARSE_BAD, {0}},
    {"wscale of four bytes", {3, 4, 7, 7}, 4, PW_PARSE_BAD, {0}},
    {"timestamps of four bytes", {8, 4, 0, 0}, 4, PW_PARSE_BAD, {0}},
    {"timestamps cut", {1, 1, 8, 10, 0, 0, 0, 1}, 8, PW_PARSE_BAD, {0}},
};

static void
test_tcp_options_parse__rows__as_the_rfcs_say(void **state)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct pw_tcp_options o;
        int rc = parse_at_edge(r->bytes, r->len, &o);

        if (rc != r->want) {
            print_error("row: %s\n", r->name);
        }
        assert_int_equal(rc, r->want);
        if (rc >= 0) {
            assert_int_equal(o.mss, r->o.mss);
            assert_int_equal(o.has_wscale, r->o.has_wscale);
            assert_int_equal(o.wscale, r->o.wscale);
            assert_int_equal(o.has_ts, r->o.has_ts);
            assert_int_equal(o.ts_val, r->o.ts_val);
            assert_int_equal(o.ts_ecr, r->o.ts_ecr);
            assert_int_equal(o.sack_ok, r->o.sack_ok);
            assert_int_equal(o.sack_count, r->o.sack_count);
        }
    }
}

static void
test_tcp_options_put_syn__every_combination__parses_back(void **state)
{
    for (uint32_t mask = 0; mask < 4; mask++) {
        struct pw_tcp_options in = {.mss = 1460,
                                    .has_ts = (mask & 1) != 0,
                                    .ts_val = (mask & 1) * 0x01020304U,
                                    .ts_ecr = (mask & 1) * 0xA0B0C0D0U,
                                    .has_wscale = (mask & 2) != 0,
                                    .wscale = (uint8_t)((mask & 2) * 7 / 2)};
        struct pw_tcp_options out;
        uint8_t b[PW_TCP_OPT_SYN_BYTES_MAX];
        uint32_t n = pw_tcp_options_put_syn(b, &in);

        assert_int_equal(n % 4, 0);
        assert_true(n <= sizeof(b));
        assert_int_equal(parse_at_edge(b, n, &out), n);
        assert_memory_equal(&in, &out, sizeof(in));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_options_parse__rows__as_the_rfcs_say),
        cmocka_unit_test(test_tcp_options_put_syn__every_combination__parses_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
