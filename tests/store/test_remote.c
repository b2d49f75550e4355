/* A block read by ranges from a bucket (a directory) is the block that was written, whatever the cache does
 * meanwhile. */
#include "store/remote.h"

#include "tests/store/block_case.h"
#include "tests/store/block_read_all.h"
#include "tests/support/cmocka_pw.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCKS = 4, THREADS = 4, ROUNDS = 3 };

struct fixture {
    char root[64], dir[96];
    struct pw_objstore_cfg cfg;
    struct pw_ulid ulid[BLOCKS];
    struct block_sum want[BLOCKS];
    uint64_t bytes[BLOCKS];
    struct pw_remote *remote;
};

static void
write_block(struct fixture *f, uint32_t i)
{
    struct pw_block_writer_cfg cfg = {.dir = f->dir, .row_group_bytes = 1 << 20};
    const struct block_case_cfg make = {.seed = 100 + i,
                                        .services = 3,
                                        .series = 40,
                                        .rows = 6000,
                                        .stacks = 2000,
                                        .locations = 1500,
                                        .functions = 1000,
                                        .mappings = 5,
                                        .strings = 2000,
                                        .samples_max = 150,
                                        .depth_max = 30,
                                        .spans = 100};
    struct block_case *c = block_case_make(&make);
    char path[160], name[PW_ULID_CHARS + 1];
    struct pw_block_info info;
    struct pw_block_error err;
    struct pw_block *b;

    assert_int_equal(pw_ulid_make(&f->ulid[i], 1795227000000 + i), 0);
    cfg.ulid = f->ulid[i];
    assert_int_equal(pw_block_write(&cfg, &c->source, &info, &err), 0);
    f->bytes[i] = info.bytes_index + info.bytes_profiles + info.bytes_symbols;
    block_case_free(c);
    pw_ulid_print(&f->ulid[i], name);
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    assert_int_equal(pw_block_open(&b, path, NULL, &err), 0);
    assert_int_equal(block_read_all(b, UINT64_MAX, &f->want[i], &err), 0);
    pw_block_close(b);
}

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char cmd[128];

    snprintf(f->root, sizeof(f->root), "/tmp/pw_remote_XXXXXX");
    assert_non_null(mkdtemp(f->root));
    snprintf(f->dir, sizeof(f->dir), "%s/acme/phlaredb", f->root);
    snprintf(cmd, sizeof(cmd), "mkdir -p %s", f->dir);
    assert_int_equal(system(cmd), 0);
    f->cfg = (struct pw_objstore_cfg){
        .backend = PW_OBJSTORE_FILESYSTEM, .prefix = "", .filesystem_dir = f->root};
    for (uint32_t i = 0; i < BLOCKS; i++) {
        write_block(f, i);
    }
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    char cmd[128];

    snprintf(cmd, sizeof(cmd), "rm -rf %s", f->root);
    assert_int_equal(system(cmd), 0);
    free(f);
    return 0;
}

static struct pw_block *
open_block(struct fixture *f, uint32_t i)
{
    struct pw_block_error err = {""};
    struct pw_block *b;

    if (pw_remote_open(f->remote, "acme", &f->ulid[i], (struct pw_slice){0}, &b, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return b;
}

static struct pw_remote_stats
stats(const struct fixture *f)
{
    struct pw_remote_stats st;

    pw_remote_stats(f->remote, &st);
    return st;
}

static void
read_and_compare(const struct fixture *f, const struct pw_block *b, uint32_t i)
{
    struct pw_block_error err = {""};
    struct block_sum got;

    if (pw_block_use(b, &err) != 0 || block_read_all(b, UINT64_MAX, &got, &err) != 0) {
        fail_msg("%s", err.text);
    }
    pw_block_unuse(b);
    assert_memory_equal(&got, &f->want[i], sizeof(got));
}

static void
test_remote__everything_is_read__as_from_the_disk(void **state)
{
    struct fixture *f = *state;
    struct pw_block *b;

    assert_int_equal(pw_remote_create_ctl(&f->remote, &f->cfg, 64 << 20), 0);
    b = open_block(f, 0);
    assert_int_equal(stats(f).requests, 1); /* meta.json */
    assert_int_equal(stats(f).warm, 0);
    read_and_compare(f, b, 0);
    struct pw_remote_stats once = stats(f);
    assert_true(once.cached_bytes <= f->bytes[0]);
    read_and_compare(f, b, 0);
    assert_int_equal(stats(f).requests, once.requests); /* it was all there */
    pw_block_close(b);
    assert_int_equal(stats(f).cached_bytes, 0);
    assert_int_equal(stats(f).warm, 0);
    pw_remote_destroy_ctl(f->remote);
}

static void
test_remote__one_column_of_one_series__a_part_is_fetched(void **state)
{
    struct fixture *f = *state;
    struct pw_block_error err = {""};
    struct pw_block_cursor *c;
    struct pw_block_row row;
    const uint64_t series = 1;
    const struct pw_block_query q = {.series = &series,
                                     .min_time_ns = INT64_MIN,
                                     .max_time_ns = INT64_MAX,
                                     .columns = PW_BLOCK_COL_TOTAL};
    uint32_t rows = 0;
    struct pw_block *b;

    assert_int_equal(pw_remote_create_ctl(&f->remote, &f->cfg, 64 << 20), 0);
    b = open_block(f, 0);
    assert_int_equal(pw_block_use(b, &err), 0);
    assert_int_equal(pw_block_rows_open(&c, b, &q, &err), 0);
    while (pw_block_rows_next(c, &row, &err) > 0) {
        rows++;
    }
    pw_block_rows_close(c);
    pw_block_unuse(b);
    assert_true(rows > 0);
    print_message("          %u rows: %llu of %llu bytes in %llu requests\n", rows,
                  (unsigned long long)stats(f).bytes, (unsigned long long)f->bytes[0],
                  (unsigned long long)stats(f).requests);
    assert_true(stats(f).bytes < f->bytes[0] / 3);
    pw_block_close(b);
    pw_remote_destroy_ctl(f->remote);
}

struct reader {
    struct fixture *f;
    struct pw_block *const *block;
    uint32_t first;
    bool ok;
};

static void *
read_in_turns(void *arg)
{
    struct reader *r = arg;

    r->ok = true;
    for (uint32_t i = 0; i < BLOCKS * ROUNDS && r->ok; i++) {
        uint32_t k = (r->first + i) % BLOCKS;
        struct pw_block_error err = {""};
        struct block_sum got = {0};

        r->ok = pw_block_use(r->block[k], &err) == 0;
        if (r->ok) {
            r->ok = block_read_all(r->block[k], UINT64_MAX, &got, &err) == 0 &&
                    memcmp(&got, &r->f->want[k], sizeof(got)) == 0;
            pw_block_unuse(r->block[k]);
        }
        if (!r->ok) {
            print_message("block %u: %s\n", k, err.text);
        }
    }
    return NULL;
}

/* Room for less than one block: each that nobody reads goes, and is fetched again. */
static void
test_remote__small_cache_many_readers__every_answer_is_right(void **state)
{
    struct fixture *f = *state;
    struct pw_block *block[BLOCKS];
    struct reader reader[THREADS];
    pthread_t thread[THREADS];

    assert_int_equal(pw_remote_create_ctl(&f->remote, &f->cfg, 256 << 10), 0);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        block[i] = open_block(f, i);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        reader[i] = (struct reader){.f = f, .block = block, .first = i};
        assert_int_equal(pthread_create(&thread[i], NULL, read_in_turns, &reader[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        assert_true(reader[i].ok);
    }
    assert_true(stats(f).evicted > 0);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        pw_block_close(block[i]);
    }
    assert_int_equal(stats(f).cached_bytes, 0);
    pw_remote_destroy_ctl(f->remote);
}

static void
test_remote__object_short_or_gone__says_which(void **state)
{
    struct fixture *f = *state;
    struct pw_block_error err = {""};
    char path[256], name[PW_ULID_CHARS + 1], cmd[300];
    struct pw_block *b;

    assert_int_equal(pw_remote_create_ctl(&f->remote, &f->cfg, 64 << 20), 0);
    b = open_block(f, 1);
    pw_ulid_print(&f->ulid[1], name);
    snprintf(path, sizeof(path), "%s/%s/symbols.symdb", f->dir, name);
    snprintf(cmd, sizeof(cmd), "truncate -s -1000 %s", path);
    assert_int_equal(system(cmd), 0);
    assert_int_not_equal(pw_block_use(b, &err), 0);
    assert_non_null(strstr(err.text, "symbols.symdb"));
    assert_int_equal(remove(path), 0);
    assert_int_equal(pw_block_use(b, &err), PW_ENOENT);
    assert_non_null(strstr(err.text, "symbols.symdb"));
    pw_block_close(b);
    snprintf(cmd, sizeof(cmd), "rm -r %s/%s", f->dir, name);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(pw_remote_open(f->remote, "acme", &f->ulid[1], (struct pw_slice){0}, &b, &err),
                     PW_ENOENT);
    pw_remote_destroy_ctl(f->remote);
}

/* --- A bucket that does not answer ------------------------------------------------------------------ */

struct silent {
    struct pw_remote *remote;
    struct pw_ulid ulid;
    int rc;
};

static void *
open_main(void *arg)
{
    struct silent *s = arg;
    struct pw_block_error err = {""};
    struct pw_block *b;

    s->rc = pw_remote_open(s->remote, "acme", &s->ulid, (struct pw_slice){0}, &b, &err);
    return NULL;
}

/* It takes connections, and says nothing. */
static int
silent_bucket(struct pw_objstore_cfg *cfg, char endpoint[64])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    snprintf(endpoint, 64, "127.0.0.1:%u", ntohs(at.sin_port));
    *cfg = (struct pw_objstore_cfg){.backend = PW_OBJSTORE_S3,
                                    .prefix = "",
                                    .s3 = {.endpoint = endpoint,
                                           .bucket = "b",
                                           .region = "r",
                                           .access_key_id = "a",
                                           .secret_access_key = "s",
                                           .ca_path = "",
                                           .insecure = true}};
    return fd;
}

/* Without giving up the attempts would last minutes. */
static void
test_give_up__bucket_says_nothing__its_reader_comes_back(void **state)
{
    struct pw_objstore_cfg cfg;
    struct silent s = {.rc = 1};
    char endpoint[64];
    pthread_t reader;
    int fd = silent_bucket(&cfg, endpoint);

    (void)state;
    assert_int_equal(pw_remote_create_ctl(&s.remote, &cfg, 1 << 20), 0);
    assert_int_equal(pthread_create(&reader, NULL, open_main, &s), 0);
    int client = accept(fd, NULL, NULL); /* it waits for our answer */

    assert_true(client >= 0);
    pw_remote_give_up(s.remote);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_int_equal(s.rc, PW_ETIMEDOUT);
    close(client);
    close(fd);
    pw_remote_destroy_ctl(s.remote);
}

static void
test_open__bucket_says_nothing__one_waits_and_the_next_does_not_even_ask(void **state)
{
    struct pw_objstore_cfg cfg;
    struct silent s = {.rc = 1};
    struct pw_remote_stats st;
    char endpoint[64];
    int fd = silent_bucket(&cfg, endpoint);

    (void)state;
    cfg.patience_ms = 50;
    assert_int_equal(pw_remote_create_ctl(&s.remote, &cfg, 1 << 20), 0);
    open_main(&s);
    assert_int_equal(s.rc, PW_ETIMEDOUT);
    open_main(&s);
    assert_int_equal(s.rc, PW_ETIMEDOUT);
    pw_remote_stats(s.remote, &st);
    assert_int_equal(st.requests, 1);
    assert_int_equal(st.failures, 2);
    close(fd);
    pw_remote_destroy_ctl(s.remote);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remote__everything_is_read__as_from_the_disk),
        cmocka_unit_test(test_remote__one_column_of_one_series__a_part_is_fetched),
        cmocka_unit_test(test_remote__small_cache_many_readers__every_answer_is_right),
        cmocka_unit_test(test_remote__object_short_or_gone__says_which),
        cmocka_unit_test(test_give_up__bucket_says_nothing__its_reader_comes_back),
        cmocka_unit_test(test_open__bucket_says_nothing__one_waits_and_the_next_does_not_even_ask),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
