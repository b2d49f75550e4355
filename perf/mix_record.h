/* perf/mix_record.h - the mix as records, the way the distributor hands them to an ingester.
 *
 * Purpose  benches of what lies behind the lane begin with the same pushes: push i is file i of the mix,
 *          in turn, from pod i of MIX_PODS, of MIX_SERVICES services.
 * Owner    records are malloc'ed, for the life of the process.
 * Context  perf only.
 * Units    -
 * Errors   ends the program with a line that says why.
 * Limits   a file unpacks to at most 16 MiB.
 */
#ifndef PW_PERF_MIX_RECORD_H
#define PW_PERF_MIX_RECORD_H

#include "perf/mix.h"
#include "pprof/record.h"

enum { MIX_PODS = 250, MIX_SERVICES = 20 };
#define MIX_HASH_KEY 42U

/* Fills out with the records of the first pushes, at most `most` and whole rounds of the mix; gives how
 * many. The tenant has 8 bytes, so that a bench can write another over it. */
uint32_t mix_records(const struct mix *m, uint32_t most, struct pw_record **out);
/* With the body they were made from in them, for a log. */
uint32_t mix_records_pushed(const struct mix *m, uint32_t most, struct pw_record **out);

#endif
