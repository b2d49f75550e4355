/* distributor/ingest.h - the query string of /ingest, its time grammar, and which format a body is.
 *
 * Purpose  contract write-path.md 1.3: parameters, defaults, format decision.
 * Owner    decoded values lie in the caller's scratch.
 * Context  hot.
 * Units    times in ns since the epoch.
 * Errors   parse: PW_EINVAL with the client text, PW_ENOMEM when scratch is exhausted.
 * Limits   PW_LABELS_MAX labels in `name`.
 */
#ifndef PW_DISTRIBUTOR_INGEST_H
#define PW_DISTRIBUTOR_INGEST_H

#include "base/scratch.h"
#include "distributor/name.h"

enum pw_ingest_format {
    PW_INGEST_FOLDED,
    PW_INGEST_TRIE,
    PW_INGEST_TREE,
    PW_INGEST_LINES,
    PW_INGEST_JFR,
    PW_INGEST_PPROF,
    PW_INGEST_SPEEDSCOPE,
    PW_INGEST_PPROF_FORM, /* multipart/form-data */
};

struct pw_ingest_params {
    struct pw_name name;
    int64_t from_ns;
    uint32_t sample_rate;
    struct pw_slice spy_name;
    enum pw_ingest_format format;
};

/* query as sent; content_type may be empty. */
PW_MUST_USE int pw_ingest_params_parse(struct pw_ingest_params *p, struct pw_slice query,
                                       struct pw_slice content_type, int64_t now_ns,
                                       struct pw_scratch *scratch, struct pw_text *err);

/* First value of a query parameter, percent-decoded ('+' is a space) into scratch; ptr == NULL when
 * absent. A pair with a broken escape or a semicolon does not exist, as in Go's url.ParseQuery. */
struct pw_slice pw_ingest_query_get(struct pw_slice query, const char *key,
                                    struct pw_scratch *scratch);

/* The time grammar; never fails. now_ns stands for "now". */
int64_t pw_ingest_time(struct pw_slice s, int64_t now_ns);

enum pw_ingest_format pw_ingest_format(struct pw_slice format, struct pw_slice content_type);

#endif
