/* The bytes of the gossip: what contract ring.md 4.9 annotates is written as it stands there, and read;
 * what is broken is refused. */
#include "ring/memberlist_msg.h"
#include "ring/memberlist_packet.h"

#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum { LIMIT = 1 << 20 };

#define LIT(s) ((struct pw_slice){(const uint8_t *)(s), sizeof(s) - 1})

static const uint8_t loopback[4] = {127, 0, 0, 1};
#define IP16 "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01"
#define VSN  "\x01\x05\x02\0\0\0"

static void
check_text(const struct pw_text *t, struct pw_slice expected)
{
    assert_false(t->failed);
    assert_int_equal(t->len, expected.len);
    assert_memory_equal(t->ptr, expected.ptr, expected.len);
}

/* --- As the contract shows them ------------------------------------------------------------------- */

static void
test_write__join_request__bytes_of_the_contract(void **state)
{
    const struct pw_ml_wire_cfg cfg = {.label = LIT("lab1")};
    const struct pw_ml_msg header = {.join = true, .nodes = 1};
    const struct pw_ml_msg node = {.node = LIT("dist-0-d26f29e8"),
                                   .addr = pw_ml_addr_ip4(loopback, 17947),
                                   .incarnation = 1,
                                   .meta = LIT("\x01\x01\x06zone-a"),
                                   .vsn = LIT(VSN)};
    struct pw_text t;

    pw_text_init(&t, LIMIT);
    pw_text_char(&t, PW_ML_CONNECTION_STREAM);
    pw_ml_label_write(&cfg, &t);
    pw_ml_msg_write(PW_ML_PUSH_PULL, &header, &t);
    pw_ml_msg_write(PW_ML_NODE_STATE, &node, &t);
    check_text(&t, LIT("\x02\xf4\x04lab1\x06\x83\xa4Join\xc3\xa5Nodes\x01\xacUserStateLen\0"
                       "\x87\xa4"
                       "Addr\xb0" IP16 "\xabIncarnation\x01\xa4Meta\xa9\x01\x01\x06zone-a"
                       "\xa4Name\xaf"
                       "dist-0-d26f29e8\xa4Port\xcd\x46\x1b\xa5State\0\xa3Vsn\xa6" VSN));
    pw_text_fini(&t);
}

static void
test_packet_write__ping__bytes_of_the_contract(void **state)
{
    const struct pw_ml_wire_cfg cfg = {.compression = PW_ML_COMPRESSION_LZW};
    const struct pw_ml_msg ping = {.seq = 1,
                                   .node = LIT("ing-0"),
                                   .source = pw_ml_addr_ip4(loopback, 17947),
                                   .source_node = LIT("dist-0")};
    struct pw_text m, t;

    pw_text_init(&m, LIMIT);
    pw_text_init(&t, LIMIT);
    pw_ml_msg_write(PW_ML_PING, &ping, &m);
    pw_ml_packet_write(&cfg, "127.0.0.1:17947", false, pw_slice(m.ptr, m.len), &t);
    check_text(&t, LIT("\x01\x0f"
                       "127.0.0.1:17947\0\x85\xa4Node\xa5ing-0\xa5SeqNo\x01\xaaSourceAddr\xb0" IP16
                       "\xaaSourceNode\xa6"
                       "dist-0\xaaSourcePort\xcd\x46\x1b"
                       "\x37\x4e\x36\xee\x2e\x2a\xc3\x8e\xef\xfb\x2a\x48\x3f\xde\x78\xa9"));
    pw_text_fini(&m);
    pw_text_fini(&t);
}

static void
test_packet_write__ack__bytes_of_the_contract(void **state)
{
    static const struct pw_ml_wire_cfg cfg;
    const struct pw_ml_msg ack = {.seq = 1};
    struct pw_text m, t;

    pw_text_init(&m, LIMIT);
    pw_text_init(&t, LIMIT);
    pw_ml_msg_write(PW_ML_ACK, &ack, &m);
    pw_ml_packet_write(&cfg, "127.0.0.1:17946", false, pw_slice(m.ptr, m.len), &t);
    assert_int_equal(t.len, 2 + 15 + m.len + 16);
    check_text(&m, LIT("\x02\x82\xa7Payload\xc0\xa5SeqNo\x01"));
    assert_memory_equal(t.ptr + 2 + 15 + m.len, "\x54\x60\xf4\xdb", 4);
    pw_text_fini(&m);
    pw_text_fini(&t);
}

static void
test_packet_write__leave__bytes_of_the_contract(void **state)
{
    static const struct pw_ml_wire_cfg cfg;
    const struct pw_ml_msg dead = {.from = LIT("ing-1"), .incarnation = 1, .node = LIT("ing-1")};
    struct pw_text m, t;

    pw_text_init(&m, LIMIT);
    pw_text_init(&t, LIMIT);
    pw_ml_msg_write(PW_ML_DEAD, &dead, &m);
    pw_ml_packet_write(&cfg, "127.0.0.1:17948", true, pw_slice(m.ptr, m.len), &t);
    t.len -= 16;
    check_text(&t, LIT("\x01\x0f"
                       "127.0.0.1:17948\x0c\x62\xae\x9d\x98\x05\x83\xa4"
                       "From\xa5ing-1\xab"
                       "Incarnation\x01\xa4Node\xa5ing-1"));
    pw_text_fini(&m);
    pw_text_fini(&t);
}

/* --- Forms of values ------------------------------------------------------------------------------ */

static void
test_write__int_is_signed_uint_is_not(void **state)
{
    const struct pw_ml_msg header = {.nodes = 200, .user_bytes = 40000};
    const struct pw_ml_msg nack = {.seq = 200};
    struct pw_text t;

    pw_text_init(&t, LIMIT);
    pw_ml_msg_write(PW_ML_PUSH_PULL, &header, &t);
    pw_ml_msg_write(PW_ML_NACK, &nack, &t);
    check_text(&t, LIT("\x06\x83\xa4Join\xc2\xa5Nodes\xd1\0\xc8\xacUserStateLen\xd2\0\0\x9c\x40"
                       "\x0b\x81\xa5SeqNo\xcc\xc8"));
    pw_text_fini(&t);
}

/* Newer raw forms, any order, keys nobody knows with whatever is in them. */
static void
test_read__liberal_forms__taken(void **state)
{
    static const char in[] = "\x85\xd9\x04Port\xd1\x46\x1b\xa5Other\x92\x81\xa1x\xcb"
                             "12345678\xc7\x02\x05zz\xa4"
                             "Addr\xc4\x04\x7f\0\0\x01\xa4Node\xd9\x01n\xabIncarnation\xcf\0\0\0"
                             "\0\0\0\0\x07";
    struct pw_ml_msg m;

    assert_int_equal(pw_ml_msg_read(PW_ML_ALIVE, LIT(in), &m), sizeof(in) - 1);
    assert_int_equal(m.addr.port, 17947);
    assert_int_equal(m.addr.ip_len, 4);
    assert_int_equal(m.incarnation, 7);
    assert_true(pw_slice_eq_str(m.node, "n"));
    assert_int_equal(m.meta.len, 0);
}

/* Go writes its ints in signed forms; who writes them unsigned (ring.md 4.3) is read as well. */
static void
test_read__ints_in_signed_and_unsigned_forms__the_same(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } in[] = {
        {"\x83\xa4Join\xc2\xa5Nodes\xd1\0\xc8\xacUserStateLen\xd2\0\0\x9c\x40",
         sizeof("\x83\xa4Join\xc2\xa5Nodes\xd1\0\xc8\xacUserStateLen\xd2\0\0\x9c\x40") - 1},
        {"\x83\xa4Join\xc2\xa5Nodes\xcc\xc8\xacUserStateLen\xcd\x9c\x40",
         sizeof("\x83\xa4Join\xc2\xa5Nodes\xcc\xc8\xacUserStateLen\xcd\x9c\x40") - 1},
        {"\x83\xa4Join\xc2\xa5Nodes\xd3\0\0\0\0\0\0\0\xc8\xacUserStateLen\xce\0\0\x9c\x40",
         sizeof("\x83\xa4Join\xc2\xa5Nodes\xd3\0\0\0\0\0\0\0\xc8\xacUserStateLen\xce\0\0\x9c\x40") -
             1},
    };
    struct pw_ml_msg m;

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(in); i++) {
        assert_int_equal(pw_ml_msg_read(PW_ML_PUSH_PULL, pw_slice(in[i].bytes, in[i].len), &m),
                         in[i].len);
        assert_int_equal(m.nodes, 200);
        assert_int_equal(m.user_bytes, 40000);
    }
}

static void
test_read__cut_anywhere__more(void **state)
{
    const struct pw_ml_msg node = {.node = LIT("a-name-that-is-longer-than-thirty-two-bytes"),
                                   .addr = pw_ml_addr_ip4(loopback, 17947),
                                   .incarnation = 70000,
                                   .vsn = LIT(VSN)};
    struct pw_ml_msg m;
    struct pw_text t;

    pw_text_init(&t, LIMIT);
    pw_ml_msg_write(PW_ML_NODE_STATE, &node, &t);
    for (size_t n = 0; n < t.len; n++) {
        uint8_t *copy = malloc(n + 1); /* so that a sanitizer sees a read behind it */

        assert_non_null(copy);
        memcpy(copy, t.ptr, n);
        assert_int_equal(pw_ml_msg_read(PW_ML_NODE_STATE, pw_slice(copy, n), &m), PW_PARSE_MORE);
        free(copy);
    }
    assert_int_equal(pw_ml_msg_read(PW_ML_NODE_STATE, pw_slice(t.ptr, t.len), &m), t.len);
    pw_text_fini(&t);
}

static void
test_read__not_what_the_field_is__bad(void **state)
{
    static const struct pw_slice bad[] = {
        {(const uint8_t *)"\xa1x", 2},                           /* no map */
        {(const uint8_t *)"\xc1", 1},                            /* no type at all */
        {(const uint8_t *)"\x81\x01\x01", 3},                    /* a key that is a number */
        {(const uint8_t *)"\x81\xa5SeqNo\xa1x", 9},              /* a number that is text */
        {(const uint8_t *)"\x81\xa5SeqNo\xd0\x80", 9},           /* negative */
        {(const uint8_t *)"\x81\xa4Node\x01", 7},                /* text that is a number */
        {(const uint8_t *)"\x81\xaaSourceAddr\xa1x", 14},        /* an address of one byte */
        {(const uint8_t *)"\x81\xaaSourcePort\xce\0\1\0\0", 17}, /* no port */
    };
    struct pw_ml_msg m;

    for (size_t i = 0; i < PW_ARRAY_LEN(bad); i++) {
        assert_int_equal(pw_ml_msg_read(PW_ML_PING, bad[i], &m), PW_PARSE_BAD);
    }
}

static void
test_addr__both_forms_of_one_address__equal(void **state)
{
    struct pw_ml_addr a = pw_ml_addr_ip4(loopback, 1),
                      b = {.ip = {127, 0, 0, 1}, .ip_len = 4, .port = 1};
    char text[PW_ML_ADDR_TEXT];

    assert_true(pw_ml_addr_equal(&a, &b));
    b.port = 2;
    assert_false(pw_ml_addr_equal(&a, &b));
    pw_ml_addr_text(&b, text);
    assert_string_equal(text, "127.0.0.1:2");
}

/* --- Packets -------------------------------------------------------------------------------------- */

static int
read_back(const struct pw_ml_wire_cfg *cfg, const struct pw_text *t, struct pw_slice message)
{
    struct pw_ml_packet p;
    struct pw_text plain;
    int rc;

    pw_text_init(&plain, PW_ML_DECODED_BYTES_MAX);
    rc = pw_ml_packet_read(cfg, pw_slice(t->ptr, t->len), &plain, &p);
    if (rc == 0) {
        assert_true(pw_slice_eq(p.message, message));
        assert_true(pw_slice_eq_str(p.from, "127.0.0.1:1"));
        assert_false(p.md5_differs);
    }
    pw_text_fini(&plain);
    return rc;
}

static void
test_packet__every_layer__read_back(void **state)
{
    uint8_t message[3000];

    for (size_t i = 0; i < sizeof(message); i++) {
        message[i] = (uint8_t)("gossip"[i % 6]);
    }
    for (uint32_t i = 0; i < 12; i++) {
        const struct pw_ml_wire_cfg cfg = {.label = i & 1 ? LIT("lab1") : LIT(""),
                                           .compression = (enum pw_ml_compression)(i / 4)};
        const struct pw_ml_wire_cfg other = {.label = LIT("other")};
        const struct pw_ml_wire_cfg any = {.label = LIT("other"), .label_unchecked = true};
        struct pw_text t;

        pw_text_init(&t, LIMIT);
        pw_ml_packet_write(&cfg, "127.0.0.1:1", i & 2, pw_slice(message, sizeof(message)), &t);
        assert_int_equal(read_back(&cfg, &t, pw_slice(message, sizeof(message))), 0);
        assert_int_equal(read_back(&any, &t, pw_slice(message, sizeof(message))), 0);
        assert_int_equal(read_back(&other, &t, pw_slice(message, sizeof(message))), PW_EPERM);
        assert_true((t.len < 300) == (cfg.compression != PW_ML_COMPRESSION_NONE));
        pw_text_fini(&t);
    }
}

static void
test_packet_read__md5_differs__taken_and_said(void **state)
{
    static const struct pw_ml_wire_cfg cfg;
    struct pw_ml_packet p;
    struct pw_text t, plain;

    pw_text_init(&t, LIMIT);
    pw_text_init(&plain, LIMIT);
    pw_ml_packet_write(&cfg, "127.0.0.1:1", false, LIT("\x0b\x81\xa5SeqNo\x01"), &t);
    t.ptr[t.len - 1] ^= 1;
    assert_int_equal(pw_ml_packet_read(&cfg, pw_slice(t.ptr, t.len), &plain, &p), 0);
    assert_true(p.md5_differs);
    assert_int_equal(p.message.len, 9);
    pw_text_fini(&t);
    pw_text_fini(&plain);
}

static void
test_packet_read__crc_differs_or_cut__refused(void **state)
{
    static const struct pw_ml_wire_cfg cfg;
    struct pw_ml_packet p;
    struct pw_text t, plain;

    pw_text_init(&t, LIMIT);
    pw_text_init(&plain, LIMIT);
    pw_ml_packet_write(&cfg, "127.0.0.1:1", true, LIT("\x0b\x81\xa5SeqNo\x01"), &t);
    assert_int_equal(pw_ml_packet_read(&cfg, pw_slice(t.ptr, t.len), &plain, &p), 0);
    t.ptr[2 + 11 + 6] ^= 1;
    assert_int_equal(pw_ml_packet_read(&cfg, pw_slice(t.ptr, t.len), &plain, &p), PW_EPROTO);
    for (size_t n = 0; n < 2 + 11 + 16; n++) {
        assert_int_equal(pw_ml_packet_read(&cfg, pw_slice(t.ptr, n), &plain, &p), PW_EPROTO);
    }
    pw_text_fini(&t);
    pw_text_fini(&plain);
}

static void
count_part(void *ctx, struct pw_slice part)
{
    uint32_t *n = ctx;

    *n += 1;
}

static void
test_compound_read__parts_and_lies(void **state)
{
    uint32_t n = 0;

    assert_int_equal(pw_ml_compound_read(LIT("\x02\0\x01\0\x02xyz"), count_part, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(pw_ml_compound_read(LIT("\x02\0\x01\0\x03xyz"), count_part, &n), PW_EPROTO);
    assert_int_equal(pw_ml_compound_read(LIT("\xff\0\x01"), count_part, &n), PW_EPROTO);
    assert_int_equal(pw_ml_compound_read(LIT(""), count_part, &n), PW_EPROTO);
}

static void
test_crc32__check_value_of_the_polynomial(void **state)
{
    assert_int_equal(pw_ml_crc32(LIT("123456789")), 0xCBF43926);
}

static void
test_addr_read__both_families__written_as_read(void **state)
{
    static const char *const bad[] = {"", "1.2.3", "1.2.3.4:5", "[::1]", "host", "1::2::3"};
    char text[PW_ML_ADDR_TEXT];
    struct pw_ml_addr a, b;

    (void)state;
    assert_int_equal(pw_ml_addr_read("10.0.0.7", 7946, &a), 0);
    assert_int_equal(a.ip_len, 16); /* as stock sends it, ring.md 4.3 */
    pw_ml_addr_text(&a, text);
    assert_string_equal(text, "10.0.0.7:7946");
    assert_int_equal(pw_ml_addr_read("fd00::7", 7946, &b), 0);
    pw_ml_addr_text(&b, text);
    assert_string_equal(text, "[fd00::7]:7946");
    assert_false(pw_ml_addr_equal(&a, &b));
    assert_int_equal(pw_ml_addr_read("::ffff:10.0.0.7", 7946, &b), 0);
    assert_true(pw_ml_addr_equal(&a, &b));
    for (size_t i = 0; i < PW_ARRAY_LEN(bad); i++) {
        assert_int_equal(pw_ml_addr_read(bad[i], 1, &a), PW_EINVAL);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write__join_request__bytes_of_the_contract),
        cmocka_unit_test(test_packet_write__ping__bytes_of_the_contract),
        cmocka_unit_test(test_packet_write__ack__bytes_of_the_contract),
        cmocka_unit_test(test_packet_write__leave__bytes_of_the_contract),
        cmocka_unit_test(test_write__int_is_signed_uint_is_not),
        cmocka_unit_test(test_read__ints_in_signed_and_unsigned_forms__the_same),
        cmocka_unit_test(test_addr_read__both_families__written_as_read),
        cmocka_unit_test(test_read__liberal_forms__taken),
        cmocka_unit_test(test_read__cut_anywhere__more),
        cmocka_unit_test(test_read__not_what_the_field_is__bad),
        cmocka_unit_test(test_addr__both_forms_of_one_address__equal),
        cmocka_unit_test(test_packet__every_layer__read_back),
        cmocka_unit_test(test_packet_read__md5_differs__taken_and_said),
        cmocka_unit_test(test_packet_read__crc_differs_or_cut__refused),
        cmocka_unit_test(test_compound_read__parts_and_lies),
        cmocka_unit_test(test_crc32__check_value_of_the_polynomial),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
