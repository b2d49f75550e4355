#include "perf/mix.h"

#include <dirent.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { RAW_MAX = 64 << 20 };

static struct pw_slice
read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *p = NULL;
    size_t n = 0;

    if (f == NULL) {
        return (struct pw_slice){0};
    }
    if (fstat(fileno(f), &st) == 0 && (p = malloc((size_t)st.st_size + 1)) != NULL) {
        n = fread(p, 1, (size_t)st.st_size, f);
    }
    fclose(f);
    return pw_slice(p, n);
}

static int
is_gz(const struct dirent *d)
{
    size_t n = strlen(d->d_name);

    return n > 6 && strcmp(d->d_name + n - 6, ".pb.gz") == 0;
}

int
mix_each(const char *folder, mix_fn *fn, void *arg)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    uint8_t *raw = malloc(RAW_MAX);
    struct dirent **list = NULL;
    int n = scandir(folder, &list, is_gz, alphasort);

    for (int i = 0; i < n; i++) {
        char path[4096];
        struct pw_slice gz;
        size_t len = 0;

        snprintf(path, sizeof(path), "%.3000s/%.255s", folder, list[i]->d_name);
        gz = read_file(path);
        if (libdeflate_gzip_decompress(d, gz.ptr, gz.len, raw, RAW_MAX, &len) ==
            LIBDEFLATE_SUCCESS) {
            fn(arg, list[i]->d_name, gz, pw_slice(raw, len));
        }
        free((void *)(uintptr_t)gz.ptr);
        free(list[i]);
    }
    free(list);
    free(raw);
    libdeflate_free_decompressor(d);
    return n;
}

/* A copy for the life of the process. */
static struct pw_slice
keep(struct pw_slice s)
{
    uint8_t *own = malloc(s.len + 1);

    if (own == NULL) {
        abort();
    }
    memcpy(own, s.ptr, s.len);
    return pw_slice(own, s.len);
}

static void
add_file(void *arg, const char *name, struct pw_slice gz, struct pw_slice raw)
{
    struct mix *m = arg;

    if (m->count < MIX_FILES_MAX) {
        snprintf(m->name[m->count], sizeof(m->name[0]), "%.63s", name);
        m->gz[m->count] = keep(gz);
        m->raw[m->count++] = keep(raw);
    }
}

void
mix_load(struct mix *m, const char *folder)
{
    const char *root = getenv("PW_SOURCE_ROOT");
    char path[4096];

    if (folder == NULL) {
        snprintf(path, sizeof(path), "%s/perf/corpus", root != NULL ? root : ".");
        folder = path;
    }
    *m = (struct mix){0};
    (void)mix_each(folder, add_file, m);
    if (m->count == 0) {
        fprintf(stderr, "bench: no profiles in %s (set PW_SOURCE_ROOT)\n", folder);
        exit(77);
    }
}
