/* store/block/parquet_format.h - the numbers of the parquet format (parquet.thrift) that we use.
 *
 * Purpose  enumerators, and a schema as a table.
 * Owner    constants.
 * Context  any.
 * Units    -
 * Errors   -
 * Limits   PW_PARQUET_*.
 */
#ifndef PW_STORE_PARQUET_FORMAT_H
#define PW_STORE_PARQUET_FORMAT_H

#include "base/types.h"

enum {
    PW_PARQUET_LEAVES_MAX = 64, /* of a file that is read; Profile has 21 */
    PW_PARQUET_DEPTH_MAX = 16,
    PW_PARQUET_FLBA_BYTES = 16, /* the only fixed length in use */
    PW_PARQUET_PAGE_VALUES_MAX = 1 << 24,
    PW_PARQUET_PAGE_BYTES_MAX = 1 << 28,
};

enum pw_parquet_type {
    PW_PARQUET_BOOLEAN = 0,
    PW_PARQUET_INT32 = 1,
    PW_PARQUET_INT64 = 2,
    PW_PARQUET_BYTE_ARRAY = 6,
    PW_PARQUET_FLBA = 7,
    PW_PARQUET_GROUP = -1, /* ours: not a leaf */
};

enum pw_parquet_repetition {
    PW_PARQUET_REQUIRED = 0,
    PW_PARQUET_OPTIONAL = 1,
    PW_PARQUET_REPEATED = 2,
};

enum pw_parquet_encoding {
    PW_PARQUET_PLAIN = 0,
    PW_PARQUET_PLAIN_DICTIONARY = 2,
    PW_PARQUET_RLE = 3,
    PW_PARQUET_DELTA_BINARY_PACKED = 5,
    PW_PARQUET_DELTA_LENGTH_BYTE_ARRAY = 6,
    PW_PARQUET_RLE_DICTIONARY = 8,
};

enum pw_parquet_codec {
    PW_PARQUET_UNCOMPRESSED = 0,
    PW_PARQUET_SNAPPY = 1,
    PW_PARQUET_GZIP = 2,
    PW_PARQUET_ZSTD = 6,
};

enum pw_parquet_page {
    PW_PARQUET_DATA_PAGE = 0,
    PW_PARQUET_DICTIONARY_PAGE = 2,
    PW_PARQUET_DATA_PAGE_V2 = 3,
};

/* Logical type together with its older converted type. */
enum pw_parquet_logical {
    PW_PARQUET_LOGICAL_NONE = 0,
    PW_PARQUET_LOGICAL_LIST,
    PW_PARQUET_LOGICAL_STRING,
    PW_PARQUET_LOGICAL_UUID,
    PW_PARQUET_LOGICAL_U32,
    PW_PARQUET_LOGICAL_U64,
    PW_PARQUET_LOGICAL_I64,
    PW_PARQUET_LOGICAL_TIME_NS, /* timestamp, UTC, nanoseconds */
};

/* How min and max of a column are compared (ColumnOrder TYPE_ORDER). */
enum pw_parquet_order {
    PW_PARQUET_ORDER_SIGNED,
    PW_PARQUET_ORDER_UNSIGNED,
    PW_PARQUET_ORDER_BYTES,
};

struct pw_parquet_element { /* a node of the schema, in depth-first order */
    const char *name;
    int8_t type; /* enum pw_parquet_type */
    uint8_t repetition;
    uint8_t children; /* of a group */
    uint8_t logical;
    uint8_t encoding; /* of a leaf, as we write it */
};

#endif
