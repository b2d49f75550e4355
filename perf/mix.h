/* perf/mix.h - the corpus of the main job: the files of perf/corpus, packed and unpacked.
 *
 * Purpose  every bench and the load generator speak of the same bodies.
 * Owner    mix_load allocates for the life of the process.
 * Context  perf only.
 * Units    bytes.
 * Errors   mix_load exits with 77 and a reason when the folder cannot be read.
 * Limits   MIX_FILES_MAX.
 */
#ifndef PW_PERF_MIX_H
#define PW_PERF_MIX_H

#include "base/types.h"

enum { MIX_FILES_MAX = 64 };

struct mix {
    uint32_t count;
    char name[MIX_FILES_MAX][64];
    struct pw_slice gz[MIX_FILES_MAX];
    struct pw_slice raw[MIX_FILES_MAX];
};

/* Calls fn for every *.pb.gz of the folder that unpacks, in name order; both slices are lent for the
 * call. Gives the number of files, -1: no such folder. Tests use it, too. */
typedef void mix_fn(void *arg, const char *name, struct pw_slice gz, struct pw_slice raw);
int mix_each(const char *folder, mix_fn *fn, void *arg);

/* Reads *.pb.gz of folder in name order; NULL: perf/corpus under $PW_SOURCE_ROOT or the current
 * directory. */
void mix_load(struct mix *m, const char *folder);

#endif
