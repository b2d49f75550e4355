/* From a sealed head to local blocks: every step, what a crash between two of them leaves and how the
 * next start takes it, and what the log hears. Blocks are written by store/block and opened by name only:
 * reading them is tested in tests/query. */
#include "ingester/flush.h"

#include "tests/support/cmocka_pw.h"
#include "tests/support/record_build.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY = 9, RECORD_CAP = 1 << 20, HEAD_BYTES = 64 << 20, MARK_SEQUENCE = 77 };
#define HOUR_NS   3600000000000LL
#define START_NS  (490000LL * HOUR_NS) /* a window begins */
#define SECOND_NS 1000000000LL

struct fixture {
    char path[64];
    struct pw_catalog *catalog;
    struct pw_flush *flush;
    struct pw_flush_disk disk;
    struct pw_fs fs; /* the operating system's, but for what a test breaks */
    struct pw_flush_store store;
    void *buf;
    struct rb_profile profile;
    struct pw_now now;
    int opened, closed;
    int write_fails; /* so many block writes fail */
    int rename_left; /* renames that still work; -1: all */
    bool open_fails, safe;
    uint32_t released, covered;
    struct pw_wal_mark mark;
    char covered_tenant[8][16];
    uint32_t cores;
};

static struct fixture *fx; /* of the running test: the tables' contexts are not all ours */

/* --- The broken disk -------------------------------------------------------------------------------- */

static int
some_rename(void *ctx, const char *from, const char *to)
{
    if (fx->rename_left == 0) {
        return PW_EIO;
    }
    fx->rename_left -= fx->rename_left > 0 ? 1 : 0;
    return pw_fs_os()->rename(ctx, from, to);
}

static int
some_write(const struct pw_block_writer_cfg *cfg, const struct pw_block_source *src,
           struct pw_block_info *info, struct pw_block_error *err)
{
    if (fx->write_fails > 0) {
        fx->write_fails--;
        snprintf(err->text, sizeof(err->text), "the disk is full");
        return PW_ENOSPC;
    }
    return pw_block_write(cfg, src, info, err);
}

static int
name_open(struct pw_block **b, const char *dir, const struct pw_block_files *files,
          struct pw_block_error *err)
{
    struct stat st;

    assert_null(files);
    if (fx->open_fails || stat(dir, &st) != 0) {
        snprintf(err->text, sizeof(err->text), "%s", dir);
        return PW_EIO;
    }
    *b = (struct pw_block *)strdup(dir);
    fx->opened++;
    return 0;
}

static void
name_close(struct pw_block *b)
{
    free(b);
    fx->closed++;
}

static bool
is_safe(void *ctx, const char *tenant, const struct pw_ulid *ulid)
{
    (void)ulid;
    assert_ptr_equal(ctx, fx);
    assert_true(tenant[0] == 't');
    return fx->safe;
}

static int
release(void *ctx, uint32_t core, const struct pw_wal_mark *mark)
{
    assert_ptr_equal(ctx, fx);
    assert_true(core < fx->cores);
    fx->released++;
    fx->mark = *mark;
    return 0;
}

static int
covered(void *ctx, const struct pw_wal_mark *mark, struct pw_slice tenant)
{
    assert_ptr_equal(ctx, fx);
    assert_true(fx->covered < 8);
    fx->mark = *mark;
    memcpy(fx->covered_tenant[fx->covered++], tenant.ptr, tenant.len);
    return 0;
}

static void
mark_of(const void *wal, struct pw_wal_mark *mark)
{
    (void)wal;
    *mark = (struct pw_wal_mark){.generation = 3, .cores = 2, .core = 1, .sequence = MARK_SEQUENCE};
}

static void
mark_of_replay(const void *at, struct pw_wal_mark *mark)
{
    *mark = *(const struct pw_wal_mark *)at;
}

/* --- The fixture ------------------------------------------------------------------------------------- */

/* A process starts. */
static void
begin(struct fixture *f)
{
    char bytes[256];
    struct pw_text why;
    struct pw_flush_cfg cfg = {
        .catalog = NULL,
        .cores = f->cores,
        .head = {.bytes_max = HEAD_BYTES, .hash_key = KEY, .tenants_max = 8},
        .window_ns = HOUR_NS,
        .data_path = f->path,
        .hostname = "h",
        .disk = &f->disk,
        .is_safe = is_safe,
        .release = release,
        .ctx = f,
    };

    pw_text_fixed(&why, bytes, sizeof(bytes));
    assert_int_equal(pw_catalog_create_ctl(&f->catalog), 0);
    cfg.catalog = f->catalog;
    assert_int_equal(pw_flush_create_ctl(&f->flush, &cfg, &why), 0);
    for (uint32_t i = 0; i < f->cores; i++) {
        pw_head_set_log_ctl(pw_flush_heads(f->flush, i), NULL, mark_of);
    }
    assert_int_equal(pw_flush_recover_ctl(f->flush, covered, f, &why), 0);
    (void)pw_flush_turn(f->flush, f->now); /* the window of START_NS has begun */
}

/* It ends, at whatever point it is. */
static void
end(struct fixture *f)
{
    pw_flush_stop_ctl(f->flush);
    pw_flush_destroy_ctl(f->flush);
    pw_catalog_destroy_ctl(f->catalog);
    assert_int_equal(f->opened, f->closed);
}

static void
setup(struct fixture *f, uint32_t cores)
{
    *f = (struct fixture){.path = "/tmp/pw_flush_XXXXXX", .cores = cores, .rename_left = -1};
    fx = f;
    assert_non_null(mkdtemp(f->path));
    f->fs = *pw_fs_os();
    f->fs.rename = some_rename;
    f->store.write = some_write;
    f->disk = (struct pw_flush_disk){
        .fs = &f->fs, .store = &f->store, .open = name_open, .close = name_close};
    f->safe = true;
    f->now = (struct pw_now){.wall_ns = START_NS + 600 * SECOND_NS};
    f->buf = aligned_alloc(64, RECORD_CAP);
    f->profile = (struct rb_profile){
        .tenant = "t", .types_count = 2, .series_count = 1, .time_nanos = START_NS};
    f->profile.series[0].sample_count = 1;
    f->profile.series[0].sample[0] = (struct rb_sample){.stack = 1, .value = {1, 2}};
    begin(f);
}

static void
teardown(struct fixture *f)
{
    char cmd[128];

    end(f);
    free(f->buf);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", f->path);
    assert_int_equal(system(cmd), 0);
}

static void
push(struct fixture *f, uint32_t core, const char *tenant, int64_t time_ns)
{
    struct pw_head_append_info info;

    f->profile.tenant = tenant;
    f->profile.time_nanos = time_ns;
    assert_int_equal(pw_head_append(pw_head_set_turn(pw_flush_heads(f->flush, core)),
                                    rb_build(&f->profile, KEY, 1, f->buf, RECORD_CAP), f->now, 0,
                                    &info),
                     0);
}

/* Both clocks go on. */
static struct pw_now
later(struct fixture *f, int64_t ns)
{
    f->now.wall_ns += ns;
    f->now.mono_ns += ns;
    return f->now;
}

/* The window ends; every core notices; the blocks are written. */
static void
cut_and_write(struct fixture *f)
{
    (void)pw_flush_turn(f->flush, later(f, HOUR_NS));
    for (uint32_t i = 0; i < f->cores; i++) {
        (void)pw_head_set_turn(pw_flush_heads(f->flush, i));
    }
    (void)pw_flush_turn(f->flush, f->now);
}

/* Entries of <path>/<sub>: all, or those with that prefix. */
static int
entries(const struct fixture *f, const char *sub, const char *with)
{
    char path[256];
    int n = 0;

    snprintf(path, sizeof(path), "%s/%s", f->path, sub);
    DIR *d = opendir(path);
    const struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        n += e->d_name[0] != '.' && strncmp(e->d_name, with, strlen(with)) == 0 ? 1 : 0;
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

static uint64_t
rows_in_heads(const struct fixture *f, uint32_t *heads)
{
    const struct pw_catalog_view *v = pw_catalog_acquire(f->catalog);
    uint64_t rows = 0;

    *heads = v->heads_count;
    for (uint32_t i = 0; i < v->heads_count; i++) {
        struct pw_head_stats st;

        pw_head_stats(v->head[i], &st);
        rows += st.rows;
    }
    pw_catalog_release(f->catalog, v);
    return rows;
}

static uint32_t
blocks_listed(const struct fixture *f, const char *tenant)
{
    const struct pw_catalog_view *v = pw_catalog_acquire(f->catalog);
    uint32_t n = 0;

    for (uint32_t i = 0; i < v->blocks_count; i++) {
        n += strcmp(v->block[i]->tenant, tenant) == 0 ? 1 : 0;
    }
    pw_catalog_release(f->catalog, v);
    return n;
}

/* --- Tests ------------------------------------------------------------------------------------------- */

static void
test_turn__window_ends__head_becomes_a_block_a_tenant(void **state)
{
    struct fixture f;
    struct pw_flush_stats st;
    uint32_t heads;

    (void)state;
    setup(&f, 2);
    push(&f, 0, "t", START_NS);
    push(&f, 0, "t2", START_NS + SECOND_NS);
    push(&f, 1, "t", START_NS + SECOND_NS);
    assert_int_equal(rows_in_heads(&f, &heads), 6);
    assert_int_equal(heads, 4);                          /* each core's active one and a spare */
    f.now.wall_ns = START_NS + HOUR_NS + 30 * SECOND_NS; /* over, but late profiles may come */
    (void)pw_flush_turn(f.flush, f.now);
    (void)pw_head_set_turn(pw_flush_heads(f.flush, 0));
    (void)pw_flush_turn(f.flush, f.now);
    assert_int_equal(rows_in_heads(&f, &heads), 6);
    cut_and_write(&f);
    assert_int_equal(rows_in_heads(&f, &heads), 0);
    assert_int_equal(heads, 4);
    assert_int_equal(blocks_listed(&f, "t"), 2);
    assert_int_equal(blocks_listed(&f, "t2"), 1);
    assert_int_equal(entries(&f, "t/local", ""), 2);
    assert_int_equal(entries(&f, "t2/local", ""), 1);
    assert_int_equal(entries(&f, "t/head", ""), 0);
    assert_int_equal(entries(&f, "", "~flush"), 0);
    pw_flush_stats(f.flush, &st);
    assert_int_equal(st.heads, 2);
    assert_int_equal(st.blocks, 3);
    assert_int_equal(st.rows, 6);
    assert_int_equal(st.failures, 0);
    assert_int_equal(f.released, 2);
    assert_int_equal(f.mark.sequence, MARK_SEQUENCE);
    teardown(&f);
}

static void
test_turn__rows_of_three_windows__three_blocks(void **state)
{
    struct fixture f;
    struct pw_flush_stats st;

    (void)state;
    setup(&f, 1);
    push(&f, 0, "t", START_NS + 5);
    push(&f, 0, "t", START_NS - 1);
    push(&f, 0, "t", START_NS + HOUR_NS);
    push(&f, 0, "t", START_NS + HOUR_NS - 1);
    push(&f, 0, "t", START_NS - HOUR_NS);
    cut_and_write(&f);
    pw_flush_stats(f.flush, &st);
    assert_int_equal(st.blocks, 3);
    assert_int_equal(st.rows, 10);
    assert_int_equal(blocks_listed(&f, "t"), 3);
    teardown(&f);
}

static void
test_turn__nothing_came__no_block(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 1);
    cut_and_write(&f);
    cut_and_write(&f);
    assert_int_equal(entries(&f, "", ""), 0);
    teardown(&f);
}

static void
test_turn__block_cannot_be_written__head_stays_readable_and_is_tried_again(void **state)
{
    struct fixture f;
    struct pw_flush_stats st;
    uint32_t heads;

    (void)state;
    setup(&f, 1);
    push(&f, 0, "t", START_NS);
    push(&f, 0, "t",
         START_NS + HOUR_NS); /* a second block, so that one is written and taken back */
    push(&f, 0, "t2", START_NS);
    f.write_fails = 1;
    cut_and_write(&f);
    assert_int_equal(rows_in_heads(&f, &heads), 6);
    assert_int_equal(heads, 3);
    assert_int_equal(entries(&f, "t/head", ""), 0);
    assert_int_equal(f.released, 0);
    pw_flush_stats(f.flush, &st);
    assert_int_equal(st.failures, 1);
    assert_int_equal(st.sealed_waiting, 1);
    assert_false(pw_flush_turn(f.flush, f.now)); /* not at once */
    (void)pw_flush_turn(f.flush, later(&f, 10 * SECOND_NS));
    assert_int_equal(rows_in_heads(&f, &heads), 0);
    assert_int_equal(blocks_listed(&f, "t"), 2);
    assert_int_equal(entries(&f, "t/local", ""), 2);
    assert_int_equal(f.released, 1);
    teardown(&f);
}

/* A clock that was wrong is set right: waits are as long as they were to be, no longer and no shorter. */
static void
clock_is_set_by(int64_t ns)
{
    struct fixture f;
    uint32_t heads;

    setup(&f, 1);
    push(&f, 0, "t", START_NS);
    f.write_fails = 1;
    f.safe = false;
    cut_and_write(&f);
    f.now.wall_ns += ns;
    (void)pw_flush_turn(f.flush, later(&f, SECOND_NS / 10));
    assert_int_equal(rows_in_heads(&f, &heads), 2);
    (void)pw_flush_turn(f.flush, later(&f, SECOND_NS));
    assert_int_equal(rows_in_heads(&f, &heads), 0);
    assert_int_equal(blocks_listed(&f, "t"), 1);
    f.safe = true;
    f.now.wall_ns += ns;
    (void)pw_flush_turn(f.flush, later(&f, SECOND_NS / 10));
    assert_int_equal(f.released, 0);
    (void)pw_flush_turn(f.flush, later(&f, SECOND_NS));
    assert_int_equal(f.released, 1);
    teardown(&f);
}

static void
test_turn__clock_is_set__waits_are_as_long_as_before(void **state)
{
    (void)state;
    clock_is_set_by(-HOUR_NS);
    clock_is_set_by(HOUR_NS);
}

static void
test_turn__block_cannot_be_opened__head_stays_listed_until_it_can(void **state)
{
    struct fixture f;
    uint32_t heads;

    (void)state;
    setup(&f, 1);
    push(&f, 0, "t", START_NS);
    f.open_fails = true;
    cut_and_write(&f);
    assert_int_equal(rows_in_heads(&f, &heads), 2);
    assert_int_equal(blocks_listed(&f, "t"), 0);
    assert_int_equal(entries(&f, "t/local", ""), 1);
    f.open_fails = false;
    (void)pw_flush_turn(f.flush, later(&f, 10 * SECOND_NS));
    assert_int_equal(rows_in_heads(&f, &heads), 0);
    assert_int_equal(blocks_listed(&f, "t"), 1);
    teardown(&f);
}

static void
test_recover__stopped_before_the_journal__staged_blocks_are_gone(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 1);
    push(&f, 0, "t", START_NS);
    push(&f, 0, "t2", START_NS);
    f.rename_left = 1; /* the first block's; then the machine stops */
    cut_and_write(&f);
    end(&f);
    f.rename_left = -1;
    begin(&f);
    assert_int_equal(f.covered, 0);
    assert_int_equal(entries(&f, "t/head", ""), 0);
    assert_int_equal(entries(&f, "t2/head", ""), 0);
    assert_int_equal(entries(&f, "t/local", "") + entries(&f, "t2/local", ""), 0);
    assert_int_equal(entries(&f, "", "~flush"), 0);
    teardown(&f);
}

/* Nothing else ever looks for what the block writer had begun: it would fill the disk, crash by crash. */
static void
test_recover__stopped_while_a_block_was_written__its_temporary_directory_is_gone(void **state)
{
    struct fixture f;
    char path[256], file[300];
    FILE *out;

    (void)state;
    setup(&f, 1);
    push(&f, 0, "t", START_NS);
    cut_and_write(&f);
    end(&f);
    snprintf(path, sizeof(path), "%s/t/head/01M7Y4E0ZV38PEK1S4XW69XWXW.tmp", f.path);
    snprintf(file, sizeof(file), "%s/profiles.parquet", path);
    assert_int_equal(mkdir(path, 0700), 0);
    out = fopen(file, "w");
    assert_non_null(out);
    fclose(out);
    begin(&f);
    assert_int_equal(entries(&f, "t/head", ""), 0);
    assert_int_equal(blocks_listed(&f, "t"), 1);
    teardown(&f);
}

/* Whatever rename the machine stopped after, once the journal is there the blocks are. */
static void
stop_after(int renames)
{
    struct fixture f;

    setup(&f, 1);
    push(&f, 0, "t", START_NS);
    push(&f, 0, "t2", START_NS);
    f.rename_left = renames;
    cut_and_write(&f);
    assert_int_equal(f.released, 0);
    assert_int_equal(entries(&f, "", "~flush"), 1);
    end(&f);
    f.rename_left = -1;
    begin(&f);
    assert_int_equal(f.covered, 2);
    assert_string_equal(f.covered_tenant[0], "t");
    assert_string_equal(f.covered_tenant[1], "t2");
    assert_int_equal(f.mark.generation, 3);
    assert_int_equal(f.mark.core, 1);
    assert_int_equal(f.mark.sequence, MARK_SEQUENCE);
    assert_int_equal(blocks_listed(&f, "t"), 1);
    assert_int_equal(blocks_listed(&f, "t2"), 1);
    assert_int_equal(entries(&f, "t/head", "") + entries(&f, "t2/head", ""), 0);
    /* No core had anything to replay: the journal has done its work. */
    (void)pw_flush_turn(f.flush, later(&f, 2 * SECOND_NS));
    assert_int_equal(entries(&f, "", "~flush"), 1); /* that is not known before replay is over */
    pw_flush_replayed_ctl(f.flush, (const bool[PW_INGESTERS_MAX]){false});
    (void)pw_flush_turn(f.flush, later(&f, 2 * SECOND_NS));
    assert_int_equal(entries(&f, "", "~flush"), 0);
    teardown(&f);
}

static void
test_recover__stopped_after_the_journal__blocks_are_moved_and_the_log_hears(void **state)
{
    (void)state;
    stop_after(3); /* two blocks staged, the journal */
    stop_after(4); /* one block moved */
}

static void
test_recover__replayed_records_still_in_a_head__journal_stays_until_they_are_blocks(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 1);
    push(&f, 0, "t", START_NS);
    f.rename_left = 2;
    cut_and_write(&f);
    end(&f);
    f.rename_left = -1;
    begin(&f);
    push(&f, 0, "t", START_NS); /* the log's replay */
    pw_flush_replayed_ctl(f.flush, (const bool[PW_INGESTERS_MAX]){true});
    (void)pw_flush_turn(f.flush, later(&f, 2 * SECOND_NS));
    assert_int_equal(entries(&f, "", "~flush"), 1);
    cut_and_write(&f);
    (void)pw_flush_turn(f.flush, later(&f, 2 * SECOND_NS));
    assert_int_equal(f.released, 1);
    assert_int_equal(entries(&f, "", "~flush"), 0);
    teardown(&f);
}

static void
test_release__head_cut_during_replay__its_journal_goes_with_the_next_head(void **state)
{
    struct fixture f;
    struct pw_wal_mark at = {.generation = 2, .cores = 1, .replay = 1, .sequence = 77};

    (void)state;
    setup(&f, 1);
    pw_head_set_log_ctl(pw_flush_heads(f.flush, 0), &at, mark_of_replay);
    push(&f, 0, "t", START_NS);
    cut_and_write(&f);
    pw_flush_replayed_ctl(f.flush, (const bool[PW_INGESTERS_MAX]){true});
    pw_head_set_log_ctl(pw_flush_heads(f.flush, 0), NULL, mark_of);
    (void)pw_flush_turn(f.flush, later(&f, 2 * SECOND_NS));
    assert_int_equal(blocks_listed(&f, "t"), 1);
    assert_int_equal(f.released, 0);
    assert_int_equal(entries(&f, "", "~flush"), 1);
    end(&f);
    f.covered = 0;
    begin(&f); /* a crash: the next process hears of it */
    assert_int_equal(f.covered, 1);
    assert_int_equal(f.mark.replay, 1);
    assert_int_equal(f.mark.sequence, 77);
    pw_head_set_log_ctl(pw_flush_heads(f.flush, 0), &at, mark_of_replay);
    push(&f, 0, "t", START_NS);
    cut_and_write(&f);
    pw_flush_replayed_ctl(f.flush, (const bool[PW_INGESTERS_MAX]){true});
    pw_head_set_log_ctl(pw_flush_heads(f.flush, 0), NULL, mark_of);
    push(&f, 0, "t", START_NS);
    cut_and_write(&f);
    (void)pw_flush_turn(f.flush, later(&f, 2 * SECOND_NS));
    assert_int_equal(f.released, 1); /* one mark of this process stands for all of it */
    assert_int_equal(f.mark.replay, 0);
    assert_int_equal(entries(&f, "", "~flush"), 0);
    teardown(&f);
}

static void
test_recover__broken_or_half_written_journals__removed(void **state)
{
    static const char *const text[] = {
        "",
        "pyrowire flush 1\n",
        "pyrowire flush 1\nend\n",
        "pyrowire flush 1\nblock 01M7Y4E0ZV38PEK1S4XW69XWXW t\n",
        "pyrowire flush 1\nblock 01M7Y4E0ZV38PEK1S4XW69XWXW ../t\nend\n",
        "pyrowire flush 1\nblock 01M7Y4E0ZV38PEK1S4XW69XWXW t\nend\nend\n",
        "pyrowire flush 1\nlog 1 x\nblock 01M7Y4E0ZV38PEK1S4XW69XWXW t\nend\n",
        "pyrowire flush 2\nblock 01M7Y4E0ZV38PEK1S4XW69XWXW t\nend\n",
    };

    (void)state;
    for (size_t i = 0; i < PW_ARRAY_LEN(text); i++) {
        struct fixture f;
        char path[256];
        FILE *out;

        setup(&f, 1);
        end(&f);
        snprintf(path, sizeof(path), "%s/~flush-01M7Y4E0ZV38PEK1S4XW69XWXW%s", f.path,
                 i == 0 ? ".tmp" : "");
        out = fopen(path, "w");
        assert_non_null(out);
        fputs(text[i], out);
        fclose(out);
        begin(&f);
        assert_int_equal(f.covered, 0);
        assert_int_equal(entries(&f, "", "~flush"), 0);
        teardown(&f);
    }
}

static void
test_release__blocks_not_safe_yet__log_is_kept_and_let_go_in_order(void **state)
{
    struct fixture f;
    struct pw_flush_stats st;

    (void)state;
    setup(&f, 1);
    f.safe = false;
    push(&f, 0, "t", START_NS);
    cut_and_write(&f);
    push(&f, 0, "t", START_NS + HOUR_NS);
    cut_and_write(&f);
    pw_flush_stats(f.flush, &st);
    assert_int_equal(st.unreleased, 2);
    assert_int_equal(f.released, 0);
    assert_int_equal(entries(&f, "", "~flush"), 2);
    assert_int_equal(blocks_listed(&f, "t"), 2); /* readable all the same */
    f.safe = true;
    (void)pw_flush_turn(f.flush, later(&f, 2 * SECOND_NS));
    assert_int_equal(f.released, 2);
    assert_int_equal(entries(&f, "", "~flush"), 0);
    teardown(&f);
}

/* --- With the thread ---------------------------------------------------------------------------------- */

struct poller {
    struct pw_head_set *set;
    pthread_t thread;
    _Atomic bool stop;
};

static void *
poll_set(void *arg)
{
    struct poller *p = arg;

    while (!atomic_load(&p->stop)) {
        (void)pw_head_set_turn(p->set);
        usleep(100);
    }
    return NULL;
}

static void
start_polling(struct poller *p)
{
    atomic_store(&p->stop, false);
    assert_int_equal(pthread_create(&p->thread, NULL, poll_set, p), 0);
}

static void
stop_polling(struct poller *p)
{
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
}

static void
test_now__ingester_polls__blocks_are_there_when_it_returns(void **state)
{
    struct fixture f;
    struct poller p;
    uint32_t heads;

    (void)state;
    setup(&f, 1);
    push(&f, 0, "t", START_NS);
    p = (struct poller){.set = pw_flush_heads(f.flush, 0)};
    assert_int_equal(pw_flush_start_ctl(f.flush), 0);
    start_polling(&p);
    assert_int_equal(pw_flush_now(f.flush, 5000), 0);
    assert_int_equal(rows_in_heads(&f, &heads), 0);
    assert_int_equal(blocks_listed(&f, "t"), 1);
    assert_int_equal(pw_flush_now(f.flush, 5000), 0); /* nothing to do is fine */
    stop_polling(&p);
    push(&f, 0, "t", START_NS);
    f.write_fails = 1;
    start_polling(&p);
    assert_int_equal(pw_flush_now(f.flush, 5000), PW_ENOSPC);
    assert_int_equal(pw_flush_now(f.flush, 5000), 0);
    assert_int_equal(blocks_listed(&f, "t"), 2);
    stop_polling(&p);
    push(&f, 0, "t", START_NS);
    assert_int_equal(pw_flush_now(f.flush, 50), PW_ETIMEDOUT); /* nobody polls */
    teardown(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turn__window_ends__head_becomes_a_block_a_tenant),
        cmocka_unit_test(test_turn__rows_of_three_windows__three_blocks),
        cmocka_unit_test(test_turn__nothing_came__no_block),
        cmocka_unit_test(
            test_turn__block_cannot_be_written__head_stays_readable_and_is_tried_again),
        cmocka_unit_test(test_turn__clock_is_set__waits_are_as_long_as_before),
        cmocka_unit_test(test_turn__block_cannot_be_opened__head_stays_listed_until_it_can),
        cmocka_unit_test(test_recover__stopped_before_the_journal__staged_blocks_are_gone),
        cmocka_unit_test(
            test_recover__stopped_while_a_block_was_written__its_temporary_directory_is_gone),
        cmocka_unit_test(
            test_recover__stopped_after_the_journal__blocks_are_moved_and_the_log_hears),
        cmocka_unit_test(
            test_recover__replayed_records_still_in_a_head__journal_stays_until_they_are_blocks),
        cmocka_unit_test(test_release__head_cut_during_replay__its_journal_goes_with_the_next_head),
        cmocka_unit_test(test_recover__broken_or_half_written_journals__removed),
        cmocka_unit_test(test_release__blocks_not_safe_yet__log_is_kept_and_let_go_in_order),
        cmocka_unit_test(test_now__ingester_polls__blocks_are_there_when_it_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
