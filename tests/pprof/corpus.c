#include "tests/pprof/corpus.h"

#include <dirent.h>
#include <libdeflate.h>
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
corpus_each(const char *folder, corpus_fn *fn, void *arg)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    uint8_t *raw = malloc(RAW_MAX);
    struct dirent **list = NULL;
    int n = scandir(folder, &list, is_gz, alphasort);

    for (int i = 0; i < n; i++) {
        char path[4096];
        struct pw_slice gz;
        size_t len = 0;

        snprintf(path, sizeof(path), "%s/%s", folder, list[i]->d_name);
        gz = read_file(path);
        if (libdeflate_gzip_decompress(d, gz.ptr, gz.len, raw, RAW_MAX, &len) ==
            LIBDEFLATE_SUCCESS) {
            fn(arg, list[i]->d_name, pw_slice(raw, len));
        }
        free((void *)(uintptr_t)gz.ptr);
        free(list[i]);
    }
    free(list);
    free(raw);
    libdeflate_free_decompressor(d);
    return n;
}

const char *
corpus_shared_folder(void)
{
    static char path[4096];
    const char *env = getenv("PW_SHARED"), *source = getenv("PW_SOURCE_ROOT");
    struct stat st;

    if (env != NULL) {
        snprintf(path, sizeof(path), "%s/data/pprof", env);
    } else {
        snprintf(path, sizeof(path), "%s/../shared/data/pprof", source != NULL ? source : ".");
    }
    return stat(path, &st) == 0 ? path : NULL;
}

static bool
known_id(const Google__V1__Profile *o, uint64_t id)
{
    if (id - 1 < o->n_location && o->location[id - 1]->id == id) {
        return true;
    }
    for (size_t i = 0; i < o->n_location; i++) {
        if (o->location[i]->id == id) {
            return true;
        }
    }
    return false;
}

void
corpus_oracle_totals(const Google__V1__Profile *o, int64_t *total)
{
    for (size_t t = 0; t < o->n_sample_type; t++) {
        total[t] = 0;
    }
    for (size_t i = 0; i < o->n_sample; i++) {
        const Google__V1__Sample *s = o->sample[i];
        bool keep = s->n_value == o->n_sample_type, any = false;

        for (size_t t = 0; keep && t < s->n_value; t++) {
            keep = s->value[t] >= 0;
            any |= s->value[t] != 0;
        }
        for (size_t l = 0; keep && any && l < s->n_location_id; l++) {
            keep = known_id(o, s->location_id[l]);
        }
        for (size_t t = 0; keep && any && t < s->n_value; t++) {
            total[t] += s->value[t];
        }
    }
}
