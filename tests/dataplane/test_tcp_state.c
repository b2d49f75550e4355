#include "dataplane/tcp_state.h"

#include "tests/support/cmocka_pw.h"

/* RFC 9293 figure 5 drawn again, by hand: a row per state, a column per state it may go to, in the
 * order of the enum. */
static const char *const figure[PW_TCP_STATES] = {
    /*                  C S E 1 2 W G L T */
    [PW_TCP_CLOSED] = "  . x . . . . . . .",      [PW_TCP_SYN_RECEIVED] = "  x . x . . . . . .",
    [PW_TCP_ESTABLISHED] = "  x . . x . x . . .", [PW_TCP_FIN_WAIT_1] = "  x . . . x . x . .",
    [PW_TCP_FIN_WAIT_2] = "  x . . . . . . . x",  [PW_TCP_CLOSE_WAIT] = "  x . . . . . . x .",
    [PW_TCP_CLOSING] = "  x . . . . . . . x",     [PW_TCP_LAST_ACK] = "  x . . . . . . . .",
    [PW_TCP_TIME_WAIT] = "  x . . . . . . . .",
};

static void
test_tcp_edge_ok__all_pairs__as_the_figure(void **state)
{
    for (uint32_t from = 0; from < PW_TCP_STATES; from++) {
        for (uint32_t to = 0; to < PW_TCP_STATES; to++) {
            assert_int_equal(pw_tcp_edge_ok((enum pw_tcp_state)from, (enum pw_tcp_state)to),
                             figure[from][2 + 2 * to] == 'x');
        }
    }
}

static void
test_tcp_state_name__all__distinct(void **state)
{
    for (uint32_t a = 0; a <= PW_TCP_STATES; a++) {
        for (uint32_t b = 0; b < a; b++) {
            assert_string_not_equal(pw_tcp_state_name((enum pw_tcp_state)a),
                                    pw_tcp_state_name((enum pw_tcp_state)b));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_edge_ok__all_pairs__as_the_figure),
        cmocka_unit_test(test_tcp_state_name__all__distinct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
