/* store/block/profile_schema.h - the one schema of profiles.parquet (storage.md 1.4.1).
 *
 * Purpose  elements of the schema, and the leaves with their levels.
 * Owner    constants.
 * Context  any.
 * Units    -
 * Errors   -
 * Limits   -
 */
#ifndef PW_STORE_PROFILE_SCHEMA_H
#define PW_STORE_PROFILE_SCHEMA_H

#include "store/block/parquet_format.h"

enum pw_profile_leaf {
    PW_PROFILE_ID,
    PW_PROFILE_SERIES_INDEX,
    PW_PROFILE_PARTITION,
    PW_PROFILE_TOTAL,
    PW_PROFILE_STACK,
    PW_PROFILE_VALUE,
    PW_PROFILE_LABEL_KEY,
    PW_PROFILE_LABEL_STR,
    PW_PROFILE_LABEL_NUM,
    PW_PROFILE_LABEL_UNIT,
    PW_PROFILE_SPAN,
    PW_PROFILE_TRACE,
    PW_PROFILE_DROP_FRAMES,
    PW_PROFILE_KEEP_FRAMES,
    PW_PROFILE_TIME,
    PW_PROFILE_DURATION,
    PW_PROFILE_PERIOD,
    PW_PROFILE_COMMENTS,
    PW_PROFILE_DEFAULT_TYPE,
    PW_PROFILE_ANNOTATION_KEY,
    PW_PROFILE_ANNOTATION_VALUE,
    PW_PROFILE_LEAVES,
};

enum { PW_PROFILE_ELEMENTS = 33 };

struct pw_profile_leaf_spec {
    const char *path; /* dotted, without the root */
    const struct pw_parquet_element *element;
    uint8_t max_rep, max_def;
    uint8_t order; /* enum pw_parquet_order */
};

extern const struct pw_parquet_element pw_profile_schema[PW_PROFILE_ELEMENTS];
extern const struct pw_profile_leaf_spec pw_profile_leaf[PW_PROFILE_LEAVES];

#endif
