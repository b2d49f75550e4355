/* The part of a tenant's series limit that falls to one core. */
#include "ingester/series_limit.h"

#include "tests/support/cmocka_pw.h"

static const struct row {
    const char *what;
    struct pw_series_limit_in in;
    uint64_t limit;
} rows[] = {
    {"no limits", {.ingesters = 3, .replication_factor = 3, .cores = 1}, 0},
    {"alone", {.global = 5000, .ingesters = 1, .replication_factor = 1, .cores = 1}, 5000},
    {"ring not known", {.global = 5000, .replication_factor = 3, .cores = 1}, 5000},
    {"three, one replica",
     {.global = 5000, .ingesters = 3, .replication_factor = 1, .cores = 1},
     1666},
    {"three of three", {.global = 5000, .ingesters = 3, .replication_factor = 3, .cores = 1}, 5000},
    {"ten of three", {.global = 5000, .ingesters = 10, .replication_factor = 3, .cores = 1}, 1500},
    {"less than one each", {.global = 2, .ingesters = 10, .replication_factor = 3, .cores = 1}, 1},
    {"the largest",
     {.global = 1 << 30, .ingesters = 1, .replication_factor = 100, .cores = 1},
     107374182400ULL},
    {"local alone", {.local = 70, .ingesters = 3, .replication_factor = 1, .cores = 1}, 70},
    {"local is less",
     {.local = 70, .global = 5000, .ingesters = 3, .replication_factor = 1, .cores = 1},
     70},
    {"global is less",
     {.local = 7000, .global = 5000, .ingesters = 3, .replication_factor = 1, .cores = 1},
     1666},
    {"in a shard",
     {.global = 5000, .shard_size = 4, .ingesters = 10, .replication_factor = 1, .cores = 1},
     1250},
    {"a shard larger than the ring",
     {.global = 5000, .shard_size = 40, .ingesters = 10, .replication_factor = 1, .cores = 1},
     500},
    {"four cores",
     {.global = 10000, .ingesters = 1, .replication_factor = 1, .cores = 4},
     2500 + 200 + 1},
    {"more cores than series",
     {.global = 3, .ingesters = 1, .replication_factor = 1, .cores = 8},
     3},
};

static void
test_pw_series_limit__table__as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(rows); i++) {
        uint64_t got = pw_series_limit(&rows[i].in);

        if (got != rows[i].limit) {
            fail_msg("%s: %llu, want %llu", rows[i].what, (unsigned long long)got,
                     (unsigned long long)rows[i].limit);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pw_series_limit__table__as_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
