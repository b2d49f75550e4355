/* Profiles that are unpacked where their record will be: what is stored is what a distributor without that memory
 * stores, whatever the body says of itself, and the memory comes back however the request ends. */
#include "tests/distributor/harness.h"

#include "distributor/internal.h"
#include "tests/distributor/push_gzip.h"
#include "tests/support/cmocka_pw.h"

#include <stdlib.h>

enum { SMALL = 6 << 10, USUAL = 40 << 10, BIG = 400 << 10 };
/* Of bulk memory: the low end takes any of them; or not one page; or not the big one, which the rest does. */
enum { WITH = 4 << 20, WITHOUT = 4 * PW_BULK_PAGE_BYTES, WITHOUT_BIG = 2 << 20 };

static const char *const header[] = {"Content-Type", "application/proto", NULL};

static struct pw_t_request
request(const struct pw_text *body, size_t piece)
{
    return (struct pw_t_request){.path = "/push.v1.PusherService/Push",
                                 .header = header,
                                 .body = body->ptr,
                                 .body_len = body->len,
                                 .piece = piece};
}

static uint64_t
placed(const struct pw_t *t)
{
    return t->d->metrics.records_placed;
}

/* The same request to one with room and to one without: status and what is stored are the same. How many records
 * were finished in place. */
static uint64_t
compare(const struct pw_text *body, uint16_t status, size_t without_bytes)
{
    struct pw_t with, without;
    uint64_t n = 0;
    uint32_t bodies;

    for (size_t piece = 0; piece <= 1448; piece += 724) {
        struct pw_t_request r = request(body, piece);

        pw_t_up(&without, &(struct pw_t_cfg){.bulk_bytes = without_bytes});
        pw_t_call(&without, &r);
        assert_int_equal(without.reply.status, status);
        assert_int_equal(placed(&without), 0);

        struct pw_t_reply reply = without.reply;

        reply.body = malloc(reply.body_len + 1);
        memcpy(reply.body, without.reply.body, reply.body_len);

        char *stored = without.stored == NULL ? NULL : strndup(without.stored, without.stored_len);

        pw_t_down(&without);
        pw_t_up(&with, &(struct pw_t_cfg){.bulk_bytes = WITH});
        bodies = pw_t_bodies_done(77);
        pw_t_call(&with, &r);
        bodies = pw_t_bodies_done(77) - bodies;
        assert_int_equal(with.reply.status, status);
        assert_int_equal(with.reply.body_len, reply.body_len);
        assert_memory_equal(with.reply.body, reply.body, reply.body_len);
        assert_int_equal(stored == NULL, with.stored == NULL);
        if (stored != NULL) {
            assert_string_equal(with.stored, stored);
        }
        assert_int_equal(with.d->fanout.bulk.pages_used, 0);
        n = placed(&with);
        assert_int_equal(bodies, n == 1); /* of one profile: nobody needs it any more */
        free(reply.body);
        free(stored);
        pw_t_down(&with);
    }
    return n;
}

static void
test_push__one_gzip_profile__finished_in_place_and_stored_the_same(void **state)
{
    static const size_t bytes[] = {SMALL, USUAL, BIG}, without[] = {WITHOUT, WITHOUT, WITHOUT_BIG};

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(bytes); i++) {
        struct pw_text member, body;

        push_gzip_profile(&member, bytes[i], 1);
        push_gzip_body(&body, &member, 1);
        assert_int_equal(compare(&body, 200, without[i]), 1);
        pw_text_fini(&member);
        pw_text_fini(&body);
    }
}

static void
test_push__several_profiles__each_in_place(void **state)
{
    struct pw_text member[3], body;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        push_gzip_profile(&member[i], USUAL + 1000 * i, 1);
    }
    push_gzip_body(&body, member, 3);
    assert_int_equal(compare(&body, 200, WITHOUT), 3);
    for (uint32_t i = 0; i < 3; i++) {
        pw_text_fini(&member[i]);
    }
    pw_text_fini(&body);
}

/* The last four bytes of a member are what it says it unpacks to, the four before them its checksum (RFC 1952 2.3.1). */
static void
test_push__a_body_that_lies__answered_as_without_that_memory(void **state)
{
    static const struct {
        uint32_t from_end;
        uint8_t with[4];
    } lie[] = {
        {4, {0, 0, 0, 0}},       {4, {1, 0, 0, 0}},
        {4, {0xFF, 0xFF, 0, 0}}, {4, {0xFF, 0xFF, 0xFF, 0xFF}},
        {8, {1, 2, 3, 4}},
    };

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(lie); i++) {
        struct pw_text member, body;

        push_gzip_profile(&member, USUAL, 1);
        memcpy(member.ptr + member.len - lie[i].from_end, lie[i].with, 4);
        push_gzip_body(&body, &member, 1);
        assert_int_equal(compare(&body, 400, WITHOUT), 0);
        pw_text_fini(&member);
        pw_text_fini(&body);
    }
}

/* The promise of the last one is less than what comes out of all. */
static void
test_push__members_in_a_row__unpacked_elsewhere_and_stored_the_same(void **state)
{
    struct pw_text member, body;

    (void)state;
    push_gzip_profile(&member, BIG, 3);
    push_gzip_body(&body, &member, 1);
    assert_int_equal(compare(&body, 200, WITHOUT_BIG), 0);
    pw_text_fini(&member);
    pw_text_fini(&body);
}

static void
test_push__cut_short_anywhere__answered_as_without_that_memory(void **state)
{
    struct pw_text member, cut, body;

    (void)state;
    push_gzip_profile(&member, SMALL, 1);
    for (size_t n = 1; n < member.len; n += member.len / 16) {
        pw_text_init(&cut, 64 << 20);
        pw_text_put(&cut, member.ptr, n);
        push_gzip_body(&body, &cut, 1);
        assert_int_equal(compare(&body, 400, WITHOUT), 0);
        pw_text_fini(&cut);
        pw_text_fini(&body);
    }
    pw_text_fini(&member);
}

/* Ingesters that do not come round: first the low end is used up, then lanes are, and only then somebody is refused. */
static void
test_push__memory_for_it_used_up__lanes_take_the_rest(void **state)
{
    struct pw_t_reply reply[PW_T_CONNS_MAX] = {0};
    struct pw_text member, body;
    struct pw_t t;
    uint32_t n = 0, copied = 0;

    (void)state;
    push_gzip_profile(&member, SMALL, 1);
    push_gzip_body(&body, &member, 1);
    pw_t_up(&t, &(struct pw_t_cfg){.bulk_bytes = 1 << 20, .slots_max = 200});

    struct pw_t_request r = request(&body, 0);

    for (uint32_t i = 0; i < 100; i++, n++) {
        reply[i].body = malloc(PW_T_REPLY_MAX + 1);
        pw_t_send_on(&t, i, &r, &reply[i]);
        assert_int_equal(reply[i].count, 0); /* nobody is refused */
        copied += n + 1 - copied > placed(&t);
    }
    assert_true(placed(&t) > 5 && copied > 5);
    assert_true(t.d->fanout.bulk.pages_low_used <= t.d->fanout.bulk.pages_low);
    for (uint32_t i = 0; i < n; i++) {
        pw_t_settle(&t);
    }
    assert_int_equal(t.records, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(reply[i].status, 200);
        free(reply[i].body);
    }
    assert_int_equal(t.d->fanout.bulk.pages_used, 0);
    pw_t_down(&t);
    pw_text_fini(&member);
    pw_text_fini(&body);
}

/* Dropped after one slice, after two, ... until the work is done within as many. */
static void
test_pw_distributor_abandoned__at_every_checkpoint__memory_is_back(void **state)
{
    struct pw_t_reply reply = {.body = malloc(PW_T_REPLY_MAX + 1)};
    struct pw_text member, body;
    uint32_t slices = 1, held = 0;
    struct pw_t t;

    (void)state;
    push_gzip_profile(&member, 3 * BIG, 1);
    push_gzip_body(&body, &member, 1);
    pw_t_up(&t, &(struct pw_t_cfg){.slice_us = 1, .bulk_bytes = 4 * WITH});

    struct pw_t_request r = request(&body, 1400);

    for (bool done = false; !done; slices++) {
        pw_t_send_on(&t, 0, &r, &reply);
        for (uint32_t i = 1; i < slices && pw_t_holds(0); i++) {
            (void)pw_distributor_poll(t.d, t.now_tsc);
        }
        done = !pw_t_holds(0);
        held += t.d->fanout.bulk.pages_used != 0;
        if (!done) {
            pw_t_hang_up(&t, 0);
            assert_int_equal(t.d->fanout.bulk.pages_used, 0);
        }
        pw_t_settle(&t);
        t.now_tsc += 10000000000; /* the rate limit forgets */
    }
    assert_int_equal(t.d->fanout.bulk.pages_used, 0);
    assert_int_equal(pw_distributor_in_flight(t.d), 0);
    assert_int_equal(reply.status, 200);
    assert_int_equal(placed(&t), 1);
    print_message("%u slices, %u of them held it\n", slices, held);
    assert_true(slices > 20 && held > 20);
    pw_t_down(&t);
    pw_text_fini(&member);
    pw_text_fini(&body);
    free(reply.body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push__one_gzip_profile__finished_in_place_and_stored_the_same),
        cmocka_unit_test(test_push__several_profiles__each_in_place),
        cmocka_unit_test(test_push__a_body_that_lies__answered_as_without_that_memory),
        cmocka_unit_test(test_push__members_in_a_row__unpacked_elsewhere_and_stored_the_same),
        cmocka_unit_test(test_push__cut_short_anywhere__answered_as_without_that_memory),
        cmocka_unit_test(test_push__memory_for_it_used_up__lanes_take_the_rest),
        cmocka_unit_test(test_pw_distributor_abandoned__at_every_checkpoint__memory_is_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
