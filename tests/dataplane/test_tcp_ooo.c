/* The queue of text out of order against a model that knows every byte. */
#include "dataplane/tcp_seq.h"
#include "dataplane/worker_priv.h"
#include "tests/support/cmocka_pw.h"
#include "tests/support/fake_port.h"

#include <rte_mbuf.h>

#include <stdlib.h>

enum { SPACE = 40000, MBUFS = 2047 };

struct fix {
    struct pw_fake_port port;
    struct pw_worker *w;
    struct pw_tcb tcb;
    uint64_t rule;
    bool held[SPACE]; /* numbers from base on */
    uint32_t base;
};

static uint32_t
roll(struct fix *f, uint32_t below)
{
    f->rule ^= f->rule << 13;
    f->rule ^= f->rule >> 7;
    f->rule ^= f->rule << 17;
    return (uint32_t)(f->rule >> 32) % below;
}

static uint8_t
byte_at(uint32_t seq)
{
    return (uint8_t)(seq * 31 + (seq >> 8));
}

static void *
accept_none(void *ctx, struct pw_stream *s, uint64_t now_tsc)
{
    return NULL;
}

static int
setup(void **state)
{
    struct fix *f = calloc(1, sizeof(*f));

    pw_fake_port_init(&f->port, MBUFS);
    struct pw_worker_cfg cfg = pw_fake_worker_cfg(&f->port);

    cfg.app.accept = accept_none;
    f->w = pw_worker_create_ctl(&cfg, f->port.now_tsc, NULL);
    f->rule = 0x9E3779B97F4A7C15U;
    f->base = UINT32_MAX - SPACE / 2; /* numbers wrap in the middle */
    f->tcb = (struct pw_tcb){.rx_reserved = 64 << 20, .flags = PW_TCB_SACK, .rcv_nxt = f->base};
    *state = f;
    return f->w == NULL;
}

static int
teardown(void **state)
{
    struct fix *f = *state;

    pw_tcp_ooo_clear(f->w, &f->tcb);
    pw_worker_destroy_ctl(f->w);
    uint32_t held = pw_fake_port_fini(&f->port);

    free(f);
    return held != 0;
}

/* True: the queue took it. */
static bool
put(struct fix *f, uint32_t off, uint32_t len)
{
    uint8_t text[2000];

    for (uint32_t i = 0; i < len; i++) {
        text[i] = byte_at(f->base + off + i);
    }
    struct pw_segment seg = {
        .m = pw_fake_frame(&f->port, text, len), .seq = f->base + off, .len = len};

    (void)pw_tcp_ooo_put(f->w, &f->tcb, &seg);
    bool took = seg.m == NULL;

    rte_pktmbuf_free(seg.m);
    for (uint32_t i = 0; i < len && took; i++) {
        f->held[off + i] = true;
    }
    return took;
}

static uint32_t
runs_in_model(const struct fix *f)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < SPACE; i++) {
        n += f->held[i] && (i == 0 || !f->held[i - 1]);
    }
    return n;
}

/* Table and model say the same, and what is counted is what is held. */
static void
compare(struct fix *f)
{
    uint32_t count = f->tcb.ooo == NULL ? 0 : f->tcb.ooo->count;
    uint32_t buffers = 0;
    uint32_t cost = 0;

    assert_int_equal(count, runs_in_model(f));
    for (uint32_t r = 0; r < count; r++) {
        const struct pw_tcp_run *run = &f->tcb.ooo->run[r];
        uint32_t at = run->at.left;
        const struct rte_mbuf *last = NULL;

        for (const struct rte_mbuf *m = run->first; m != NULL; m = m->next) {
            for (uint32_t i = 0; i < m->data_len; i++, at++) {
                assert_int_equal(rte_pktmbuf_mtod(m, const uint8_t *)[i], byte_at(at));
                assert_true(f->held[at - f->base]);
            }
            buffers++;
            cost += m->buf_len;
            last = m;
        }
        assert_int_equal(at, run->at.right);
        assert_ptr_equal(last, run->last);
    }
    assert_int_equal(f->tcb.ooo_count, buffers);
    assert_int_equal(f->tcb.rx_held_ooo, cost);
}

/* Every block is a run of the model; the one around newest comes first when nothing was sent twice. */
static void
check_blocks(struct fix *f, uint32_t newest)
{
    struct pw_tcp_range r[PW_TCP_SACK_BLOCKS_MAX];
    bool repeated = pw_tcb_is(&f->tcb, PW_TCB_DSACK);
    uint32_t n = pw_tcp_sack_blocks(&f->tcb, r, PW_TCP_SACK_BLOCKS_MAX);
    uint32_t runs = runs_in_model(f) + repeated;

    assert_int_equal(n, runs < PW_TCP_SACK_BLOCKS_MAX ? runs : PW_TCP_SACK_BLOCKS_MAX);
    for (uint32_t i = repeated; i < n; i++) {
        uint32_t left = r[i].left - f->base;
        uint32_t right = r[i].right - f->base;

        assert_true(f->held[left] && f->held[right - 1] && !f->held[right]);
        assert_true(left == 0 || !f->held[left - 1]);
        for (uint32_t j = i + 1; j < n; j++) {
            assert_int_not_equal(r[i].left, r[j].left);
        }
    }
    if (n > repeated) {
        assert_true(pw_seq_in(f->base + newest, r[repeated].left, r[repeated].right));
    }
}

static void
take_all(struct fix *f)
{
    struct rte_mbuf *m;

    while ((m = pw_tcp_ooo_take(f->w, &f->tcb)) != NULL) {
        for (uint32_t i = 0; i < m->data_len; i++, f->tcb.rcv_nxt++) {
            assert_int_equal(rte_pktmbuf_mtod(m, const uint8_t *)[i], byte_at(f->tcb.rcv_nxt));
            assert_true(f->held[f->tcb.rcv_nxt - f->base]);
        }
        rte_pktmbuf_free_seg(m);
    }
    memset(f->held, 0, f->tcb.rcv_nxt - f->base);
}

static void
test_ooo__random_pieces__model_agrees(void **state)
{
    struct fix *f = *state;

    for (uint32_t round = 0; round < 300; round++) {
        uint32_t edge = 4 + roll(f, 40);
        uint32_t most = roll(f, 3) == 0 ? 1400 : 60;

        for (uint32_t n = 0; n < 60; n++) {
            uint32_t off = edge + roll(f, roll(f, 2) == 0 ? 400 : 20000);
            uint32_t len = 1 + roll(f, most);

            if (!put(f, off, len)) { /* all of it was there, or there is no room for a hole more */
                bool there = true;

                for (uint32_t i = 0; i < len; i++) {
                    there = there && f->held[off + i];
                }
                assert_true(there || f->tcb.ooo->count == PW_TCP_OOO_RUNS_MAX);
            }
            compare(f);
            if (f->held[off]) {
                check_blocks(f, off);
            }
        }
        /* In-order text up to somewhere inside: what it reaches comes out, the rest stays. */
        f->tcb.rcv_nxt = f->base + edge + roll(f, 15000);
        memset(f->held, 0, f->tcb.rcv_nxt - f->base);
        take_all(f);
        compare(f);
        pw_tcp_ooo_clear(f->w, &f->tcb);
        memset(f->held, 0, sizeof(f->held));
        compare(f);
        f->tcb.rcv_nxt = f->base;
    }
    assert_int_equal(pw_pool_used(&f->w->tcp.ooos), 0);
}

static void
test_ooo__a_hole_behind_every_byte__runs_are_bounded(void **state)
{
    struct fix *f = *state;
    uint32_t took = 0;

    for (uint32_t i = 0; i < 1000; i++) {
        took += put(f, 100 + (i * 7919 % 1000) * 2, 1);
    }
    assert_int_equal(took, PW_TCP_OOO_RUNS_MAX);
    compare(f);
    /* Full as it is, a run still grows at either end, and two still become one. */
    uint32_t left = f->tcb.ooo->run[3].at.left - f->base;

    assert_true(put(f, left + 1, 1));
    compare(f);
    if (!f->held[left - 1]) {
        assert_true(put(f, left - 1, 1));
        compare(f);
    }
}

static void
test_ooo__evicted__the_last_run_goes(void **state)
{
    struct fix *f = *state;

    assert_int_equal(pw_tcp_ooo_evict(f->w, &f->tcb), 0);
    assert_true(put(f, 100, 1400));
    assert_true(put(f, 5000, 1400));
    assert_true(put(f, 6400, 1400));
    assert_int_equal(pw_tcp_ooo_evict(f->w, &f->tcb), 2);
    memset(f->held + 5000, 0, 2800);
    compare(f);
    assert_int_equal(pw_tcp_ooo_evict(f->w, &f->tcb), 1);
    assert_null(f->tcb.ooo);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ooo__random_pieces__model_agrees, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ooo__a_hole_behind_every_byte__runs_are_bounded, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_ooo__evicted__the_last_run_goes, setup, teardown),
    };

    if (!pw_fake_eal_init()) {
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
