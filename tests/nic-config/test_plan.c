/* nic-config/plan.c: machines as rows of a table. */
#include "tests/support/cmocka_pw.h"

#include "nic-config/plan.h"

#define ANY PW_PLAN_NODE_ANY

struct machine {
    const char *what;
    uint32_t cpus;     /* numbered from 0 */
    uint32_t per_node; /* CPUs of a node; 0: one node */
    uint16_t nic_node;
    uint32_t nic_queues;
    uint32_t workers_wanted, ingesters_wanted;
    int err;
    const char *lcores;  /* EAL's value */
    const char *workers; /* lcore of each, as digits */
    const char *ingesters;
    uint32_t background;
};

static const struct machine machines[] = {
    /* one CPU: the control thread and both roles share it */
    {"one cpu", 1, 0, ANY, 1, 0, 0, 0, "0@0,1@0", "1", "1", 1},
    /* two: both pollers on the second, kernel and control on the first */
    {"two cpus", 2, 0, ANY, 8, 0, 0, 0, "0@0,1@1", "1", "1", 1},
    {"two cpus, no nic", 2, 0, ANY, 0, 0, 0, 0, "0@0,1@1", "", "1", 1},
    {"two cpus, two ingesters", 2, 0, ANY, 1, 0, 2, 0, "0@0,1@1", "1", "11", 1},
    /* three: apart */
    {"three cpus", 3, 0, ANY, 8, 0, 0, 0, "0@0,1@1,2@2", "1", "2", 1},
    {"four cpus", 4, 0, ANY, 8, 0, 0, 0, "0@0,1@1,2@2,3@3", "12", "3", 1},
    /* one queue needs one worker and one ingester; the rest is for queries */
    {"four cpus, one queue", 4, 0, ANY, 1, 0, 0, 0, "0@0,1@1,2@2", "1", "2", 2},
    {"eight cpus", 8, 0, ANY, 8, 0, 0, 0, "0@0,1@1,2@2,3@3,4@4,5@5,6@6,7@7", "12345", "67", 1},
    {"eight cpus, two queues", 8, 0, ANY, 2, 0, 0, 0, "0@0,1@1,2@2,3@3", "12", "3", 5},
    {"wishes", 8, 0, ANY, 8, 3, 3, 0, "0@0,1@1,2@2,3@3,4@4,5@5,6@6", "123", "456", 2},
    /* every polling CPU receives: the ingesters join the workers */
    {"all workers", 4, 0, ANY, 8, 3, 0, 0, "0@0,1@1,2@2,3@3", "123", "123", 1},
    {"more ingesters than cpus", 3, 0, ANY, 1, 1, 4, 0, "0@0,1@1,2@2", "1", "2222", 1},
    /* NIC on the second node: workers go there first */
    {"second node", 8, 4, 1, 2, 0, 0, 0, "0@0,1@4,2@5,3@6", "12", "3", 5},
    {"second node, full", 6, 3, 1, 8, 0, 0, 0, "0@0,1@3,2@4,3@5,4@1,5@2", "1234", "5", 1},
    {"nothing", 0, 0, ANY, 1, 0, 0, PW_EINVAL, "", "", "", 0},
    {"more workers than cpus", 2, 0, ANY, 8, 2, 0, PW_ERANGE, "", "", "", 0},
    {"more workers than queues", 8, 0, ANY, 1, 2, 0, PW_ERANGE, "", "", "", 0},
    {"too many ingesters", 8, 0, ANY, 1, 1, PW_INGESTERS_MAX + 1, PW_ERANGE, "", "", "", 0},
};

static void
digits(const uint8_t *lcore, uint32_t n, char *buf)
{
    for (uint32_t i = 0; i < n; i++) {
        buf[i] = (char)('0' + lcore[i]);
    }
    buf[n] = 0;
}

static void
test_plan_make__machines__roles_as_tabled(void **state)
{
    for (size_t i = 0; i < PW_ARRAY_LEN(machines); i++) {
        const struct machine *m = &machines[i];
        struct pw_plan_cpu cpus[16];
        struct pw_plan_input in = {.cpus = cpus,
                                   .cpu_count = m->cpus,
                                   .nic_node = m->nic_node,
                                   .nic_queues = m->nic_queues,
                                   .workers_wanted = m->workers_wanted,
                                   .ingesters_wanted = m->ingesters_wanted};
        struct pw_plan plan;
        char text[256], roles[PW_WORKERS_MAX + PW_INGESTERS_MAX];

        for (uint32_t c = 0; c < m->cpus; c++) {
            cpus[c] = (struct pw_plan_cpu){
                .cpu = (uint16_t)c, .node = (uint16_t)(m->per_node == 0 ? 0 : c / m->per_node)};
        }
        print_message("%s\n", m->what);
        assert_int_equal(pw_plan_make(&in, &plan), m->err);
        if (m->err != 0) {
            continue;
        }
        assert_int_equal(pw_plan_lcores_text(&plan, text, sizeof(text)), 0);
        assert_string_equal(text, m->lcores);
        digits(plan.worker_lcore, plan.workers, roles);
        assert_string_equal(roles, m->workers);
        digits(plan.ingester_lcore, plan.ingesters, roles);
        assert_string_equal(roles, m->ingesters);
        assert_int_equal(plan.background_count, m->background);
    }
}

/* Whatever the machine, each role has an existing lcore and no CPU is polled twice. */
static void
test_plan_make__every_small_machine__no_cpu_polled_twice(void **state)
{
    for (uint32_t n = 1; n <= 64; n++) {
        for (uint32_t q = 0; q <= 64; q++) {
            struct pw_plan_cpu cpus[64];
            struct pw_plan_input in = {
                .cpus = cpus, .cpu_count = n, .nic_node = 1, .nic_queues = q};
            uint64_t seen = 0;
            struct pw_plan plan;

            for (uint32_t c = 0; c < n; c++) {
                cpus[c] = (struct pw_plan_cpu){.cpu = (uint16_t)c, .node = (uint16_t)(c & 1)};
            }
            assert_int_equal(pw_plan_make(&in, &plan), 0);
            for (uint32_t l = 0; l < plan.lcores; l++) {
                uint64_t bit = UINT64_C(1) << plan.lcore[l].cpu;

                assert_true((seen & bit) == 0);
                seen |= bit;
            }
            assert_true(n == 1 || (seen & 1) == 0); /* the control thread's own */
            assert_true(plan.ingesters >= 1);
            assert_int_equal(plan.workers == 0, q == 0);
            for (uint32_t w = 0; w < plan.workers; w++) {
                assert_in_range(plan.worker_lcore[w], 1, plan.lcores);
            }
            for (uint32_t g = 0; g < plan.ingesters; g++) {
                assert_in_range(plan.ingester_lcore[g], 1, plan.lcores);
            }
        }
    }
}

static void
test_plan_lcores_text__buffer_too_small__enospc(void **state)
{
    struct pw_plan plan = {.lcores = 2, .lcore = {{.cpu = 1}, {.cpu = 2}}};
    char buf[11];

    assert_int_equal(pw_plan_lcores_text(&plan, buf, sizeof(buf)), PW_ENOSPC);
    assert_int_equal(pw_plan_lcores_text(&plan, buf, 2), PW_ENOSPC);
}

static void
test_plan_cpus_ctl__this_machine__at_least_one(void **state)
{
    struct pw_plan_cpu cpus[PW_PLAN_CPUS_MAX];

    assert_true(pw_plan_cpus_ctl(cpus, PW_PLAN_CPUS_MAX) >= 1);
    assert_int_equal(pw_plan_cpus_ctl(cpus, 1), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_make__machines__roles_as_tabled),
        cmocka_unit_test(test_plan_make__every_small_machine__no_cpu_polled_twice),
        cmocka_unit_test(test_plan_lcores_text__buffer_too_small__enospc),
        cmocka_unit_test(test_plan_cpus_ctl__this_machine__at_least_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
