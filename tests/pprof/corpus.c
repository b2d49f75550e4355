#include "tests/pprof/corpus.h"

#include "perf/mix.h"

#include <stdlib.h>
#include <sys/stat.h>

struct each {
    corpus_fn *fn;
    void *arg;
};

static void
unpacked(void *arg, const char *name, struct pw_slice gz, struct pw_slice raw)
{
    const struct each *e = arg;

    e->fn(e->arg, name, raw);
}

int
corpus_each(const char *folder, corpus_fn *fn, void *arg)
{
    struct each e = {.fn = fn, .arg = arg};

    return mix_each(folder, unpacked, &e);
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
