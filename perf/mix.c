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

static void
add_file(struct mix *m, const char *folder, const char *name, uint8_t *raw)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    char path[4096];
    size_t len = 0;
    struct pw_slice gz;
    uint8_t *own;

    snprintf(path, sizeof(path), "%.3000s/%.255s", folder, name);
    gz = read_file(path);
    if (libdeflate_gzip_decompress(d, gz.ptr, gz.len, raw, RAW_MAX, &len) == LIBDEFLATE_SUCCESS &&
        (own = malloc(len + 1)) != NULL) {
        memcpy(own, raw, len);
        snprintf(m->name[m->count], sizeof(m->name[0]), "%.63s", name);
        m->gz[m->count] = gz;
        m->raw[m->count++] = pw_slice(own, len);
    }
    libdeflate_free_decompressor(d);
}

void
mix_load(struct mix *m, const char *folder)
{
    const char *root = getenv("PW_SOURCE_ROOT");
    uint8_t *raw = malloc(RAW_MAX);
    struct dirent **list = NULL;
    char path[4096];
    int n;

    if (folder == NULL) {
        snprintf(path, sizeof(path), "%s/perf/corpus", root != NULL ? root : ".");
        folder = path;
    }
    *m = (struct mix){0};
    n = scandir(folder, &list, is_gz, alphasort);
    for (int i = 0; i < n; i++) {
        if (m->count < MIX_FILES_MAX) {
            add_file(m, folder, list[i]->d_name, raw);
        }
        free(list[i]);
    }
    free(list);
    free(raw);
    if (m->count == 0) {
        fprintf(stderr, "bench: no profiles in %s (set PW_SOURCE_ROOT)\n", folder);
        exit(77);
    }
}
