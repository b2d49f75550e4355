/* Opening, series and symbols; rows are in block_rows.c. */
#include "store/block/block_priv.h"

#include "base/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096 };

/* --- Files ---------------------------------------------------------------------------------------- */

static int
map_file(const char *path, struct pw_slice *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *p = NULL;
    int rc = 0;

    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) != 0) {
        rc = -errno;
    } else if (!S_ISREG(st.st_mode)) {
        rc = PW_EINVAL;
    } else if (st.st_size > 0) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        rc = p == MAP_FAILED ? -errno : 0;
    }
    close(fd);
    if (rc == 0) {
        *bytes = pw_slice(p, p == NULL ? 0 : (size_t)st.st_size);
    }
    return rc;
}

static int
get_bytes(const struct pw_block *b, const char *rel_path, struct pw_slice *bytes,
          struct pw_block_error *err)
{
    char path[PATH_BYTES_MAX];
    int rc;

    if (b->files != NULL) {
        rc = b->files->get(b->files->ctx, rel_path, bytes);
    } else {
        int n = snprintf(path, sizeof(path), "%s/%s", b->dir, rel_path);

        rc = n < 0 || (size_t)n >= sizeof(path) ? PW_EMSGSIZE : map_file(path, bytes);
    }
    if (rc != 0) {
        snprintf(err->text, sizeof(err->text), "%s: %s", rel_path, pw_err_text(rc));
    }
    return rc;
}

static void
release_bytes(const struct pw_block *b, struct pw_slice bytes)
{
    if (b->files != NULL) {
        b->files->release(b->files->ctx, bytes);
    } else if (bytes.len != 0) {
        munmap((void *)(uintptr_t)bytes.ptr, bytes.len);
    }
}

/* The file of that base name which meta.json lists, at the size it says there. */
static int
get_file(struct pw_block *b, enum pw_block_file_id id, const char *base_name,
         struct pw_block_error *err)
{
    const struct pw_block_file *f = pw_block_meta_file(&b->meta, base_name);
    int rc;

    if (f == NULL) {
        snprintf(err->text, sizeof(err->text), "meta.json: files has no %s", base_name);
        return PW_EINVAL;
    }
    rc = get_bytes(b, f->rel_path, &b->file[id], err);
    if (rc != 0) {
        return rc;
    }
    b->has_file[id] = true;
    if (f->has_size && f->size_bytes != b->file[id].len) {
        snprintf(err->text, sizeof(err->text), "%s: %zu bytes, meta.json says %llu", f->rel_path,
                 b->file[id].len, (unsigned long long)f->size_bytes);
        return PW_EINVAL;
    }
    return 0;
}

/* --- Opening -------------------------------------------------------------------------------------- */

static int
open_meta(struct pw_block *b, struct pw_block_error *err)
{
    const char *slash = strrchr(b->dir, '/');
    const char *name = slash == NULL ? b->dir : slash + 1;
    char ulid[PW_ULID_CHARS + 1];
    struct pw_slice bytes;
    int rc = get_bytes(b, "meta.json", &bytes, err);

    if (rc != 0) {
        return rc;
    }
    rc = pw_block_meta_parse(&b->meta, bytes, err);
    release_bytes(b, bytes);
    if (rc != 0) {
        return rc;
    }
    pw_ulid_print(&b->meta.ulid, ulid);
    if (strcmp(name, ulid) != 0) {
        snprintf(err->text, sizeof(err->text), "meta.json: ulid %s in directory %.64s", ulid, name);
        return PW_EINVAL;
    }
    if (b->meta.version != 3) {
        snprintf(err->text, sizeof(err->text), "meta.json: version %u is not read, only 3",
                 b->meta.version);
        return PW_ENOTSUP;
    }
    return 0;
}

static int
open_symbols(struct pw_block *b, struct pw_block_error *err)
{
    static const char *const table_names[PW_SYMDB_TABLES] = {
        [PW_SYMDB_LOCATIONS] = "locations.parquet",
        [PW_SYMDB_MAPPINGS] = "mappings.parquet",
        [PW_SYMDB_FUNCTIONS] = "functions.parquet",
        [PW_SYMDB_STRINGS] = "strings.parquet",
    };
    struct pw_symdb_files files;
    int rc;

    if (pw_block_meta_file(&b->meta, "symbols.symdb") != NULL) {
        rc = get_file(b, PW_BLOCK_FILE_SYMBOLS, "symbols.symdb", err);
        return rc != 0 ? rc : pw_symdb_open_file(&b->symdb, b->file[PW_BLOCK_FILE_SYMBOLS], err);
    }
    rc = get_file(b, PW_BLOCK_FILE_SYMBOLS, "index.symdb", err);
    rc = rc != 0 ? rc : get_file(b, PW_BLOCK_FILE_STACKTRACES, "stacktraces.symdb", err);
    for (uint32_t i = 0; i < PW_SYMDB_TABLES && rc == 0; i++) {
        rc = get_file(b, PW_BLOCK_FILE_TABLES + i, table_names[i], err);
        files.table[i] = b->file[PW_BLOCK_FILE_TABLES + i];
    }
    files.index = b->file[PW_BLOCK_FILE_SYMBOLS];
    files.stacktraces = b->file[PW_BLOCK_FILE_STACKTRACES];
    return rc != 0 ? rc : pw_symdb_open_directory(&b->symdb, &files, err);
}

static int
open_rest(struct pw_block *b, struct pw_block_error *err)
{
    int rc;

    b->profiles.files = b->symdb.files = b->files;
    if (b->files != NULL) {
        b->tsdb.skip_checksums_fortest = b->profiles.skip_checksums_fortest =
            b->symdb.skip_checksums_fortest = b->files->skip_checksums_fortest;
    }
    rc = get_file(b, PW_BLOCK_FILE_INDEX, "index.tsdb", err);

    rc = rc != 0 ? rc
                 : pw_block_need(b->files, b->file[PW_BLOCK_FILE_INDEX], 0,
                                 b->file[PW_BLOCK_FILE_INDEX].len, err);
    rc = rc != 0 ? rc : pw_tsdb_open(&b->tsdb, b->file[PW_BLOCK_FILE_INDEX], err);
    rc = rc != 0 ? rc : get_file(b, PW_BLOCK_FILE_PROFILES, "profiles.parquet", err);
    rc = rc != 0 ? rc
                 : pw_parquet_open(&b->profiles, b->file[PW_BLOCK_FILE_PROFILES],
                                   "profiles.parquet", err);
    return rc != 0 ? rc : open_symbols(b, err);
}

static void
close_rest(struct pw_block *b)
{
    PW_INVARIANT(b->symbols == NULL);
    pw_tsdb_close(&b->tsdb);
    pw_parquet_close(&b->profiles);
    pw_symdb_close(&b->symdb);
    for (uint32_t i = 0; i < PW_BLOCK_FILES; i++) {
        if (b->has_file[i]) {
            release_bytes(b, b->file[i]);
        }
        b->has_file[i] = false;
        b->file[i] = (struct pw_slice){0};
    }
}

static void
free_block(struct pw_block *b)
{
    pw_block_meta_fini(&b->meta);
    pthread_mutex_destroy(&b->opening);
    pthread_mutex_destroy(&b->lock);
    free(b->dir);
    free(b);
}

static int
open_block(struct pw_block **out, const char *dir, const struct pw_block_files *files, bool later,
           struct pw_block_error *err)
{
    struct pw_block *b = calloc(1, sizeof(*b));
    int rc;

    if (b == NULL || (b->dir = strdup(dir)) == NULL) {
        snprintf(err->text, sizeof(err->text), "out of memory");
        free(b);
        return PW_ENOMEM;
    }
    pthread_mutex_init(&b->opening, NULL);
    pthread_mutex_init(&b->lock, NULL);
    for (size_t n = strlen(b->dir); n > 1 && b->dir[n - 1] == '/'; n--) {
        b->dir[n - 1] = 0;
    }
    b->files = files;
    b->later = later;
    err->text[0] = 0;
    rc = open_meta(b, err);
    rc = rc != 0 || later ? rc : open_rest(b, err);
    if (rc != 0) {
        if (err->text[0] == 0) {
            snprintf(err->text, sizeof(err->text), "%s", pw_err_text(rc));
        }
        close_rest(b);
        free_block(b);
        return rc;
    }
    *out = b;
    return 0;
}

int
pw_block_open(struct pw_block **out, const char *dir, const struct pw_block_files *files,
              struct pw_block_error *err)
{
    return open_block(out, dir, files, false, err);
}

int
pw_block_open_later(struct pw_block **out, const char *dir, const struct pw_block_files *files,
                    struct pw_block_error *err)
{
    return open_block(out, dir, files, true, err);
}

void
pw_block_close(struct pw_block *b)
{
    const struct pw_block_files *files = b->files;

    PW_INVARIANT(b->users == 0);
    if (files != NULL && files->closing != NULL) {
        files->closing(files->ctx);
    }
    close_rest(b);
    free_block(b);
    if (files != NULL && files->closed != NULL) {
        files->closed(files->ctx);
    }
}

/* --- Use ------------------------------------------------------------------------------------------ */

static struct pw_block *
changeable(const struct pw_block *b) /* what changes does so under its lock */
{
    return (struct pw_block *)(uintptr_t)b;
}

int
pw_block_use(const struct pw_block *cb, struct pw_block_error *err)
{
    struct pw_block *b = changeable(cb);
    int rc = 0;

    if (!b->later) {
        return 0;
    }
    pthread_mutex_lock(&b->opening);
    if (!b->ready) {
        err->text[0] = 0;
        rc = open_rest(b, err);
        b->ready = rc == 0;
        if (rc != 0) {
            close_rest(b);
        }
    }
    b->users += rc == 0 ? 1 : 0;
    pthread_mutex_unlock(&b->opening);
    if (rc != 0 && err->text[0] == 0) {
        snprintf(err->text, sizeof(err->text), "%s", pw_err_text(rc));
    }
    return rc;
}

void
pw_block_unuse(const struct pw_block *cb)
{
    struct pw_block *b = changeable(cb);

    if (b->later) {
        pthread_mutex_lock(&b->opening);
        PW_INVARIANT(b->users > 0);
        b->users--;
        pthread_mutex_unlock(&b->opening);
    }
}

bool
pw_block_is_warm(const struct pw_block *cb)
{
    struct pw_block *b = changeable(cb);
    bool ready;

    if (!b->later || pthread_mutex_trylock(&b->opening) != 0) {
        return b->later; /* somebody is opening it */
    }
    ready = b->ready;
    pthread_mutex_unlock(&b->opening);
    return ready;
}

bool
pw_block_cool(struct pw_block *b)
{
    bool cooled;

    /* Somebody who opens it at this moment is a user. */
    if (!b->later || pthread_mutex_trylock(&b->opening) != 0) {
        return false;
    }
    cooled = b->ready && b->users == 0;
    if (cooled) {
        close_rest(b);
        b->ready = false;
    }
    pthread_mutex_unlock(&b->opening);
    return cooled;
}

const struct pw_block_meta *
pw_block_meta(const struct pw_block *b)
{
    return &b->meta;
}

void
pw_block_stats(const struct pw_block *b, struct pw_block_stats *st)
{
    *st = (struct pw_block_stats){
        .series = b->tsdb.series,
        .rows = b->profiles.rows,
        .row_groups = b->profiles.group_count,
        .heap_bytes =
            sizeof(*b) + pw_tsdb_memory(&b->tsdb) +
            (size_t)b->profiles.group_count * b->profiles.leaf_count * sizeof(*b->profiles.chunk) +
            b->symdb.partitions * sizeof(*b->symdb.partition),
    };
    for (uint32_t i = 0; i < PW_BLOCK_FILES; i++) {
        st->file_bytes += b->file[i].len;
    }
}

/* --- Series --------------------------------------------------------------------------------------- */

int
pw_block_series_at(const struct pw_block *b, uint32_t id, struct pw_block_series *out,
                   struct pw_block_error *err)
{
    PW_DCHECK(id < b->tsdb.series);
    return pw_tsdb_series(&b->tsdb, id, out, err);
}

bool
pw_block_label_name(const struct pw_block *b, uint32_t i, struct pw_slice *name, uint32_t *values)
{
    if (i >= b->tsdb.names) {
        return false;
    }
    *name = b->tsdb.name[i].name;
    *values = b->tsdb.name[i].count;
    return true;
}

bool
pw_block_label_value(const struct pw_block *b, uint32_t i, uint32_t v, struct pw_slice *value)
{
    if (i >= b->tsdb.names || v >= b->tsdb.name[i].count) {
        return false;
    }
    *value = pw_tsdb_value_text(&b->tsdb, b->tsdb.name[i].first + v);
    return true;
}

int
pw_block_postings(const struct pw_block *b, struct pw_slice name, struct pw_slice value,
                  uint32_t *out, uint32_t n, uint32_t *count, struct pw_block_error *err)
{
    return pw_tsdb_postings(&b->tsdb, name, value, out, n, count, err);
}

/* --- Symbols -------------------------------------------------------------------------------------- */

/* Under the lock: one more user of what is there already. */
static struct pw_symdb_symbols *
share(struct pw_block *b, uint64_t partition)
{
    struct pw_symdb_symbols *s = b->symbols;

    while (s != NULL && s->pub.partition != partition) {
        s = s->next;
    }
    if (s != NULL) {
        s->users++;
    }
    return s;
}

int
pw_block_symbols_open(const struct pw_block *cb, uint64_t partition,
                      const struct pw_block_symbols **out, struct pw_block_error *err)
{
    struct pw_block *b = changeable(cb);
    struct pw_symdb_symbols *s, *loaded;
    int rc;

    pthread_mutex_lock(&b->lock);
    s = share(b, partition);
    pthread_mutex_unlock(&b->lock);
    if (s == NULL) {
        rc = pw_symdb_load(&b->symdb, partition, &loaded, err);
        if (rc != 0) {
            return rc;
        }
        pthread_mutex_lock(&b->lock);
        s = share(b, partition); /* two threads may have loaded it: the first one's stays */
        if (s == NULL) {
            s = loaded;
            s->users = 1;
            s->next = b->symbols;
            b->symbols = s;
        }
        pthread_mutex_unlock(&b->lock);
        if (s != loaded) {
            pw_symdb_free(loaded);
        }
    }
    *out = &s->pub;
    return 0;
}

void
pw_block_symbols_close(const struct pw_block *cb, const struct pw_block_symbols *pub)
{
    struct pw_block *b = changeable(cb);
    struct pw_symdb_symbols *s = (struct pw_symdb_symbols *)(uintptr_t)pub, **at = &b->symbols;

    pthread_mutex_lock(&b->lock);
    if (--s->users != 0) {
        s = NULL;
    } else {
        while (*at != s) {
            at = &(*at)->next;
        }
        *at = s->next;
    }
    pthread_mutex_unlock(&b->lock);
    if (s != NULL) {
        pw_symdb_free(s);
    }
}

static const struct pw_symdb_symbols *
symbols_of(const struct pw_block_symbols *s)
{
    return (const struct pw_symdb_symbols *)(const void *)s;
}

uint32_t
pw_block_stack(const struct pw_block_symbols *pub, uint32_t stack, uint32_t *loc, uint32_t n)
{
    const struct pw_symdb_symbols *s = symbols_of(pub);
    uint32_t depth = 0;

    if (stack >= pub->stacks_count) {
        return 0;
    }
    /* Ends: a parent is below its node (pw_stack_tree_read), and node 0 has none. */
    for (; stack != 0; stack = (uint32_t)s->node[stack].parent) {
        if (depth < n) {
            loc[depth] = s->node[stack].location;
        }
        depth++;
    }
    return depth;
}

void
pw_block_location(const struct pw_block_symbols *pub, uint32_t id, struct pw_block_location *out)
{
    const struct pw_symdb_symbols *s = symbols_of(pub);
    const struct pw_symdb_location *l = &s->location[id];

    *out = (struct pw_block_location){
        .address = l->address,
        .mapping = l->mapping,
        .line_count = l->line_count,
        .line = l->line_count == 0 ? NULL : s->line + l->line_first,
    };
}

void
pw_block_function(const struct pw_block_symbols *pub, uint32_t id, struct pw_block_function *out)
{
    *out = symbols_of(pub)->function[id];
}

void
pw_block_mapping(const struct pw_block_symbols *pub, uint32_t id, struct pw_block_mapping *out)
{
    *out = symbols_of(pub)->mapping[id];
}

struct pw_slice
pw_block_string(const struct pw_block_symbols *pub, uint32_t id)
{
    return symbols_of(pub)->string[id];
}
