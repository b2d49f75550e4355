/* tests/pprof/corpus.h - real pprofs for tests: unpacked files of a folder, and the oracle's totals.
 *
 * Purpose  one way to find tests/golden/pprof and, where it exists, shared/data/pprof.
 * Owner    the caller frees what read gives.
 * Context  tests only.
 */
#ifndef PW_TESTS_PPROF_CORPUS_H
#define PW_TESTS_PPROF_CORPUS_H

#include "base/types.h"

#include <profile.pb-c.h>
#include <stdio.h>

/* Calls fn for every *.pb.gz of the folder, unpacked. Gives the number of files, -1 if no folder. */
typedef void corpus_fn(void *arg, const char *name, struct pw_slice raw);
int corpus_each(const char *folder, corpus_fn *fn, void *arg);

/* The folder of shared data: $PW_SHARED or ../shared beside the source, then data/pprof; NULL when
 * missing. Static buffer. */
const char *corpus_shared_folder(void);

/* Sums per sample type as the contract's normalisation leaves them, computed on protobuf-c's view. */
void corpus_oracle_totals(const Google__V1__Profile *o, int64_t *total);

#endif
