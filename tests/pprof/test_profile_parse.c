/* What the walk makes of wires that no encoder we know writes, against protobuf-c, and its faults. */
#include "pprof/wire.h"
#include "tests/pprof/build.h"
#include "tests/pprof/corpus.h"
#include "tests/pprof/fixture.h"
#include "tests/pprof/oracle.h"

#include <sys/mman.h>

static void
put_raw(struct fixture *fx, const char *bytes, size_t n)
{
    pw_text_put(&fx->wire, bytes, n);
}

/* Tables and canonical size as protobuf-c sees the same bytes. */
static void
equals_oracle(struct fixture *fx)
{
    Google__V1__Profile *o = google__v1__profile__unpack(NULL, fx->wire.len, fx->wire.ptr);
    const char *what;

    assert_non_null(o);
    assert_int_equal(fixture_parse(fx), 0);
    what = oracle_difference(&fx->p, o);
    if (what != NULL) {
        fail_msg("differs: %s", what);
    }
    assert_int_equal(fx->p.encoded_bytes, google__v1__profile__get_packed_size(o));
    google__v1__profile__free_unpacked(o, NULL);
}

#define RAW(s)                                                                                     \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static void
test_profile_parse__odd_shapes__equal_protobuf_c(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } rows[] = {
        RAW("\x12\x06\x0a\x02\x01\x02\x08\x03"),         /* ids packed, then single */
        RAW("\x12\x08\x08\x03\x0a\x02\x01\x02\x08\x04"), /* and mixed */
        RAW("\x12\x04\x0a\x00\x12\x00"),                 /* empty lists */
        RAW("\x12\x06\x0a\x01\x01\x0a\x01\x02"),         /* two packed fields */
        RAW("\x12\x05\x0a\x03\x81\x80\x00"),             /* an id longer than needed */
        RAW("\x12\x04\x0a\x02\x00\x01"),                 /* id 0 */
        RAW("\x12\x0c\x0a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* 64-bit id */
        RAW("\x12\x06\x0a\x04\x01\x80\x80\x04\x12\x04\x0a\x02\x02\x03"), /* 65536 after a narrow */
        RAW("\x12\x04\x08\x80\x80\x04"),                                 /* 65536 single */
        RAW("\x12\x05\x12\x03\x00\x80\x00"), /* values 0, and 0 in two bytes */
        RAW("\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* -1 */
        RAW("\x12\x08\x1a\x06\x08\x01\x10\x02\x18\x00"), /* label with a zero written out */
        RAW("\x12\x08\x1a\x06\x10\x02\x08\x01\x20\x03"), /* label out of order */
        RAW("\x12\x06\x1a\x04\x08\x01\x08\x02"),         /* the last one wins */
        RAW("\x12\x06\x1a\x02\x08\x01\x10\x63"), /* label, then a value like its next field */
        RAW("\x12\x05\x42\x03"
            "abc"),                                      /* unknown field in a sample */
        RAW("\x22\x04\x22\x02\x08\x01"),                 /* location without an id */
        RAW("\x22\x08\x08\x01\x22\x00\x18\x05\x10\x01"), /* empty line, fields out of order */
        RAW("\x22\x04\x08\x01\x28\x02"),                 /* is_folded as 2 is true */
        RAW("\x22\x04\x08\x01\x28\x00"),                 /* is_folded false written out */
        RAW("\x22\x06\x08\x01\x10\x01\x10\x02"),         /* mapping twice */
        RAW("\x22\x0d\x08\x01\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* kernel address */
        RAW("\x22\x0a\x08\x01\x22\x06\x08\x01\x10\x02\x18\x03"),     /* unknown field in a line */
        RAW("\x2a\x06\x08\x01\x28\x02\x10\x03"),                     /* function out of order */
        RAW("\x2a\x04\x08\x01\x10\x00"),                             /* name 0 written out */
        RAW("\x2a\x0b\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* start_line -1 */
        RAW("\x2a\x06\x08\x01\xa2\x06\x01\x61"), /* unknown field of two-byte tag */
        RAW("\x1a\x06\x08\x01\x38\x07\x40\x00"), /* booleans */
        RAW("\x32\x80\x00"),                     /* empty string, long length */
        RAW("\x32\x83\x80\x00"
            "abc"),                              /* length in three bytes */
        RAW("\x2a\x82\x00\x08\x01"),             /* the same for a function */
        RAW("\x5a\x00"),                         /* period_type empty but there */
        RAW("\x48\x05\x48\x00\x60\x07\x60\x08"), /* scalars: the last one wins */
        RAW("\x6a\x03\x01\x80\x00\x68\x05"),     /* comments packed and single */
        RAW("\x6a\x00"),                         /* no comments */
        RAW("\x9a\x06\x02zz\x99\x06"
            "12345678"),                 /* unknown fields */
        RAW("\x38\x01\x40\x02\x70\x03"), /* drop, keep, default type */
    };

    struct fixture *fx = *state;

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        /* At the end of the bytes, where the slow readers work, and with room behind for the fast. */
        for (int room = 0; room < 2; room++) {
            fx->wire.len = 0;
            put_raw(fx, rows[i].bytes, rows[i].n);
            for (int j = 0; j < 200 * room; j++) {
                build_string(&fx->wire, "");
            }
            equals_oracle(fx);
        }
    }
}

/* protobuf-c refuses groups; the reference keeps an unknown one as it came. */
static void
test_profile_parse__unknown_group__kept(void **state)
{
    struct fixture *fx = *state;

    put_raw(fx, "\xa3\x06\x08\x80\x00\xa4\x06", 7);
    assert_int_equal(fixture_parse(fx), 0);
    assert_int_equal(fx->p.encoded_bytes, 7);
}

/* protobuf-c 1.4 forgets the fields of the first one here; the wire format asks for a merge. */
static void
test_profile_parse__period_type_twice__merges(void **state)
{
    struct fixture *fx = *state;

    put_raw(fx, "\x5a\x02\x08\x01\x5a\x02\x10\x02", 8);
    assert_int_equal(fixture_parse(fx), 0);
    assert_true(fx->p.period_type.type_ref == 1);
    assert_true(fx->p.period_type.unit_ref == 2);
    assert_int_equal(fx->p.encoded_bytes, 6);
}

static void
test_profile_parse__faults__stock_texts(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *err;
    } rows[] = {
        {"garbage-garbage", 15, "proto: wrong wireType = 7 for field Period"},
        {"\x08\x01", 2, "proto: wrong wireType = 0 for field SampleType"},
        {"\x10\x01", 2, "proto: wrong wireType = 0 for field Sample"},
        {"\x18\x01", 2, "proto: wrong wireType = 0 for field Mapping"},
        {"\x20\x01", 2, "proto: wrong wireType = 0 for field Location"},
        {"\x28\x01", 2, "proto: wrong wireType = 0 for field Function"},
        {"\x30\x01", 2, "proto: wrong wireType = 0 for field StringTable"},
        {"\x3a\x00", 2, "proto: wrong wireType = 2 for field DropFrames"},
        {"\x4d"
         "1234",
         5, "proto: wrong wireType = 5 for field TimeNanos"},
        {"\x51"
         "12345678",
         9, "proto: wrong wireType = 1 for field DurationNanos"},
        {"\x58\x01", 2, "proto: wrong wireType = 0 for field PeriodType"},
        {"\x6d"
         "1234",
         5, "proto: wrong wireType = 5 for field Comment"},
        {"\x72\x00", 2, "proto: wrong wireType = 2 for field DefaultSampleType"},
        {"\x12\x05\x0d"
         "1234",
         7, "proto: wrong wireType = 5 for field LocationId"},
        {"\x12\x02\x18\x01", 4, "proto: wrong wireType = 0 for field Label"},
        {"\x12\x04\x1a\x02\x0a\x00", 6, "proto: wrong wireType = 2 for field Key"},
        {"\x1a\x02\x0a\x00", 4, "proto: wrong wireType = 2 for field Id"},
        {"\x22\x02\x20\x00", 4, "proto: wrong wireType = 0 for field Line"},
        {"\x22\x04\x22\x02\x0a\x00", 6, "proto: wrong wireType = 2 for field FunctionId"},
        {"\x2a\x02\x12\x00", 4, "proto: wrong wireType = 2 for field Name"},
        {"\x0a\x02\x0a\x00", 4, "proto: wrong wireType = 2 for field Type"},
        {"\x12\x02\x0a\x05", 4, "unexpected EOF"},
        {"\x12\x03\x0a\x01\x80", 5, "unexpected EOF"},
        {"\x12\x05", 2, "unexpected EOF"},
        {"\x00\x00", 2, "proto: Profile: illegal tag 0 (wire type 0)"},
        {"\x22\x02\x02\x00", 4, "proto: Location: illegal tag 0 (wire type 2)"},
        {"\x0c", 1, "proto: Profile: wiretype end group for non-group"},
        {"\x2a\x01\x0c", 3, "proto: Function: wiretype end group for non-group"},
        {"\x22\x01\x7e\x2a\x01\x7f", 6, "proto: illegal wireType 6"}, /* the first fault is named */
        {"\x2a\x01\x7f\x22\x01\x7e", 6, "proto: illegal wireType 7"},
    };
    struct fixture *fx = *state;

    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        fx->wire.len = 0;
        put_raw(fx, rows[i].bytes, rows[i].n);
        assert_int_equal(fixture_parse(fx), PW_EINVAL);
        assert_string_equal(fx->err, rows[i].err);
    }
}

/* A body dense enough to outgrow the guess is counted and read again. */
static void
test_profile_parse__denser_than_guessed__read_whole(void **state)
{
    struct fixture *fx = *state;

    for (int i = 0; i < 20000; i++) {
        put_raw(fx, "\x12\x00\x2a\x00\x22\x00\x32\x00\x1a\x00", 10);
    }
    equals_oracle(fx);
    assert_int_equal(fx->p.sample_count, 20000);
}

static void
test_profile_parse__scratch_too_small__enomem(void **state)
{
    struct fixture *fx = *state;
    size_t cap = fx->scratch.cap;

    build_usual(&fx->wire);
    for (fx->scratch.cap = 0; fx->scratch.cap < 200000; fx->scratch.cap += 4096) {
        int rc = fixture_parse(fx);

        assert_true(rc == 0 || rc == PW_ENOMEM);
        assert_null(fx->err);
    }
    fx->scratch.cap = cap;
    assert_int_equal(fixture_parse(fx), 0);
}

struct page_test {
    uint8_t *map;
    size_t cap;
    struct fixture *fx;
};

static void
parse_at_page_end(void *arg, const char *name, struct pw_slice raw)
{
    struct page_test *pt = arg;
    struct pw_profile p;
    const char *err;

    /* Whole, then cut at every byte of the last 300: nothing may look past the end. */
    for (size_t cut = 0; cut < 300 && cut < raw.len; cut++) {
        uint8_t *at = pt->map + pt->cap - (raw.len - cut);

        memcpy(at, raw.ptr, raw.len - cut);
        pt->fx->scratch.used = 0;
        if (pw_profile_parse(&p, &pt->fx->scratch, 1, pw_slice(at, raw.len - cut), &err) == 0) {
            assert_true(cut == 0 || p.encoded_bytes == raw.len - cut);
        }
    }
}

static void
test_profile_parse__golden_files_against_unmapped_page__no_fault(void **state)
{
    struct page_test pt = {.cap = 1 << 20, .fx = *state};
    char folder[4096];
    const char *root = getenv("PW_SOURCE_ROOT");

    pt.map = mmap(NULL, pt.cap + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pt.map != MAP_FAILED);
    assert_int_equal(mprotect(pt.map + pt.cap, 4096, PROT_NONE), 0);
    snprintf(folder, sizeof(folder), "%s/tests/golden/pprof", root != NULL ? root : ".");
    assert_true(corpus_each(folder, parse_at_page_end, &pt) >= 6);
    munmap(pt.map, pt.cap + 4096);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_profile_parse__odd_shapes__equal_protobuf_c),
        fixture_test(test_profile_parse__unknown_group__kept),
        fixture_test(test_profile_parse__period_type_twice__merges),
        fixture_test(test_profile_parse__faults__stock_texts),
        fixture_test(test_profile_parse__denser_than_guessed__read_whole),
        fixture_test(test_profile_parse__scratch_too_small__enomem),
        fixture_test(test_profile_parse__golden_files_against_unmapped_page__no_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
