/* The ring's value on the wire: bytes as stock writes them, what a reader must forgive, what it refuses. */
#include "ring/desc.h"

#include "tests/support/cmocka_pw.h"

#include <stdio.h>

static const uint32_t four[] = {7, 300, 70000, 4294967295U};
static const struct pw_ring_version versions[] = {{1, 2}, {9, 0}};

/* Fields in the order and form of ring.md 4.9: addr, timestamp, packed tokens, registered, id. */
static const uint8_t one_active[] = {
    0x0a, 0x3a, 0x0a, 0x05, 'i',  'n',  'g',  '-',  '0',  0x12, 0x31, /* entry */
    0x0a, 0x0f, '1',  '2',  '7',  '.',  '0',  '.',  '0',  '.',  '1',  ':',  '1',
    '4',  '1',  '4',  '0',  0x10, 0x84, 0x9d, 0xd8, 0x86, 0x06,                   /* heartbeat */
    0x32, 0x0b, 0x07, 0xac, 0x02, 0xf0, 0xa2, 0x04, 0xff, 0xff, 0xff, 0xff, 0x0f, /* tokens */
    0x40, 0x80, 0x9d, 0xd8, 0x86, 0x06, 0x4a, 0x05, 'i',  'n',  'g',  '-',  '0',
};

static struct pw_instance
sample(const char *id)
{
    return (struct pw_instance){.id = id,
                                .addr = "127.0.0.1:14140",
                                .zone = "",
                                .timestamp = 1624641156,
                                .registered = 1624641152,
                                .token = four,
                                .token_count = 4};
}

static void
decode_ok(struct pw_ring_desc *d, const void *bytes, size_t n)
{
    struct pw_text why;

    pw_text_init(&why, 256);
    assert_int_equal(pw_ring_desc_decode(d, pw_slice(bytes, n), &why), 0);
    assert_int_equal(why.len, 0);
    pw_text_fini(&why);
}

static void
decode_refused(const void *bytes, size_t n, int err)
{
    struct pw_ring_desc d;
    struct pw_text why;

    pw_text_init(&why, 256);
    pw_ring_desc_init(&d);
    assert_int_equal(pw_ring_desc_decode(&d, pw_slice(bytes, n), &why), err);
    assert_int_equal(d.count, 0);
    assert_true(why.len > 0);
    pw_text_fini(&why);
}

static void
test_encode__one_active_instance__has_the_bytes_of_stock(void **state)
{
    const struct pw_instance in = sample("ing-0");
    struct pw_ring_desc d;
    struct pw_text t;

    pw_ring_desc_init(&d);
    pw_text_init(&t, 4096);
    assert_int_equal(pw_ring_desc_put(&d, &in), 0);
    pw_ring_desc_encode(&d, &t);
    assert_false(t.failed);
    assert_int_equal(t.len, sizeof(one_active));
    assert_memory_equal(t.ptr, one_active, sizeof(one_active));
    pw_text_fini(&t);
    pw_ring_desc_fini(&d);
}

static void
test_decode__what_encode_wrote_with_every_field__is_equal(void **state)
{
    struct pw_instance in = sample("b");
    struct pw_ring_desc d, back;
    struct pw_text t;

    in.zone = "zone-a";
    in.state = PW_INSTANCE_JOINING;
    in.read_only = true;
    in.read_only_updated = 1800000000;
    in.version = versions;
    in.version_count = 2;
    pw_ring_desc_init(&d);
    pw_ring_desc_init(&back);
    pw_text_init(&t, 4096);
    assert_int_equal(pw_ring_desc_put(&d, &in), 0);
    in.id = "a";
    in.token_count = 0;
    in.timestamp = -1;
    assert_int_equal(pw_ring_desc_put(&d, &in), 0);
    assert_string_equal(d.instance[0].id, "a");
    pw_ring_desc_encode(&d, &t);
    decode_ok(&back, t.ptr, t.len);
    assert_true(pw_ring_desc_equal(&d, &back));
    assert_int_equal(back.instance[1].version[1].component, 9);
    back.instance[1].read_only = false;
    assert_false(pw_ring_desc_equal(&d, &back));
    pw_text_fini(&t);
    pw_ring_desc_fini(&d);
    pw_ring_desc_fini(&back);
}

/* Old writers omit the id; protobuf lets a list be unpacked, fields come in any order and twice. */
static void
test_decode__other_forms_of_the_same__are_forgiven(void **state)
{
    static const uint8_t forms[] = {
        0x0a, 0x16, 0x12, 0x11,             /* value before key */
        0x30, 0x09, 0x30, 0x05, 0x30, 0x09, /* tokens one by one, unordered, twice */
        0x20, 0x01, 0x2a, 0x00,             /* reserved 4 and 5 */
        0x18, 0x03, 0x18, 0x02,             /* the state twice: the last counts */
        0xa0, 0x06,                         /* field 100, a varint */
        0x07, 0x0a, 0x01, 'x',
    };
    struct pw_ring_desc d;

    pw_ring_desc_init(&d);
    decode_ok(&d, forms, sizeof(forms));
    assert_int_equal(d.count, 1);
    assert_string_equal(d.instance[0].id, "x");
    assert_int_equal(d.instance[0].state, PW_INSTANCE_PENDING);
    assert_int_equal(d.instance[0].token_count, 2);
    assert_int_equal(d.instance[0].token[0], 5);
    assert_int_equal(d.instance[0].token[1], 9);
    pw_ring_desc_fini(&d);
}

static void
test_decode__nothing__is_an_empty_ring(void **state)
{
    struct pw_ring_desc d;

    pw_ring_desc_init(&d);
    decode_ok(&d, "", 0);
    assert_int_equal(d.count, 0);
}

static void
test_decode__cut_or_of_wrong_type_or_with_nul__is_refused(void **state)
{
    static const uint8_t varint_entry[] = {0x08, 0x01};
    static const uint8_t nul_in_key[] = {0x0a, 0x04, 0x0a, 0x02, 'a', 0};
    static const uint8_t text_state[] = {0x0a, 0x05, 0x12, 0x03, 0x1a, 0x01, 'x'};
    static const uint8_t cut_token[] = {0x0a, 0x05, 0x12, 0x03, 0x32, 0x01, 0x80};

    for (size_t n = 1; n < sizeof(one_active); n++) {
        decode_refused(one_active, n, PW_EPROTO);
    }
    decode_refused(varint_entry, sizeof(varint_entry), PW_EPROTO);
    decode_refused(nul_in_key, sizeof(nul_in_key), PW_EPROTO);
    decode_refused(text_state, sizeof(text_state), PW_EPROTO);
    decode_refused(cut_token, sizeof(cut_token), PW_EPROTO);
}

static void
test_decode__state_of_a_later_version__leaves_the_instance_out(void **state)
{
    static const uint8_t two[] = {
        0x0a, 0x07, 0x0a, 0x01, 'a', 0x12, 0x02, 0x18, 0x05, /* state 5 */
        0x0a, 0x07, 0x0a, 0x01, 'b', 0x12, 0x02, 0x18, 0x01,
    };
    struct pw_ring_desc d;

    pw_ring_desc_init(&d);
    decode_ok(&d, two, sizeof(two));
    assert_int_equal(d.count, 1);
    assert_string_equal(d.instance[0].id, "b");
    pw_ring_desc_fini(&d);
}

static void
test_decode__left_instance_with_tokens__has_none(void **state)
{
    static const uint8_t left[] = {0x0a, 0x0a, 0x0a, 0x01, 'a',  0x12,
                                   0x05, 0x18, 0x04, 0x32, 0x01, 0x07};
    struct pw_ring_desc d;

    pw_ring_desc_init(&d);
    decode_ok(&d, left, sizeof(left));
    assert_int_equal(d.instance[0].state, PW_INSTANCE_LEFT);
    assert_int_equal(d.instance[0].token_count, 0);
    pw_ring_desc_fini(&d);
}

static void
test_put__over_a_limit__is_refused_and_changes_nothing(void **state)
{
    static uint32_t many[PW_RING_TOKENS_MAX + 1];
    char name[PW_RING_NAME_MAX + 2], id[16];
    struct pw_instance in = sample("a");
    struct pw_ring_desc d;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    pw_ring_desc_init(&d);
    in.token = many;
    in.token_count = PW_RING_TOKENS_MAX + 1;
    assert_int_equal(pw_ring_desc_put(&d, &in), PW_EMSGSIZE);
    in.token_count = 0;
    in.zone = name;
    assert_int_equal(pw_ring_desc_put(&d, &in), PW_EMSGSIZE);
    in.zone = "";
    for (int i = 0; i < PW_RING_INSTANCES_MAX; i++) {
        snprintf(id, sizeof(id), "%d", i);
        in.id = id;
        assert_int_equal(pw_ring_desc_put(&d, &in), 0);
    }
    in.id = "one more";
    assert_int_equal(pw_ring_desc_put(&d, &in), PW_EMSGSIZE);
    assert_int_equal(d.count, PW_RING_INSTANCES_MAX);
    in.id = "7";
    assert_int_equal(pw_ring_desc_put(&d, &in), 0);
    pw_ring_desc_remove(&d, "7");
    assert_null(pw_ring_desc_find(&d, "7"));
    assert_non_null(pw_ring_desc_find(&d, "8"));
    assert_int_equal(d.count, PW_RING_INSTANCES_MAX - 1);
    pw_ring_desc_fini(&d);
}

static void
test_put__an_instance_of_the_desc_itself__is_replaced_safely(void **state)
{
    const struct pw_instance in = sample("a");
    struct pw_ring_desc d;

    pw_ring_desc_init(&d);
    assert_int_equal(pw_ring_desc_put(&d, &in), 0);
    assert_int_equal(pw_ring_desc_put(&d, &d.instance[0]), 0);
    assert_int_equal(d.count, 1);
    assert_int_equal(d.instance[0].token[3], 4294967295U);
    pw_ring_desc_fini(&d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode__one_active_instance__has_the_bytes_of_stock),
        cmocka_unit_test(test_decode__what_encode_wrote_with_every_field__is_equal),
        cmocka_unit_test(test_decode__other_forms_of_the_same__are_forgiven),
        cmocka_unit_test(test_decode__nothing__is_an_empty_ring),
        cmocka_unit_test(test_decode__cut_or_of_wrong_type_or_with_nul__is_refused),
        cmocka_unit_test(test_decode__state_of_a_later_version__leaves_the_instance_out),
        cmocka_unit_test(test_decode__left_instance_with_tokens__has_none),
        cmocka_unit_test(test_put__over_a_limit__is_refused_and_changes_nothing),
        cmocka_unit_test(test_put__an_instance_of_the_desc_itself__is_replaced_safely),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
