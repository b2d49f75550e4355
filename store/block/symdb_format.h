/* store/block/symdb_format.h - sizes and numbers of symbols.symdb (storage.md 1.5) and of the directory
 * form that stock v1 writes (1.6). All integers are big-endian.
 *
 *     format 3: +-- partition 0 --------------------------------------+--- ... ---+-------+--------+
 *               | strings | mappings | functions | locations | stacks |           | index | footer |
 *               +---------+----------+-----------+-----------+--------+-----------+-------+--------+
 *     index:    header 16 | TOC entry 16 (size, offset) | partition headers | CRC
 *
 * Purpose  shared by writer and reader.
 * Owner    constants.
 * Context  any.
 * Units    bytes.
 * Errors   -
 * Limits   -
 */
#ifndef PW_STORE_SYMDB_FORMAT_H
#define PW_STORE_SYMDB_FORMAT_H

#include "base/types.h"

#define PW_SYMDB_MAGIC "sym1"

enum {
    PW_SYMDB_HEADER_BYTES = 16,
    PW_SYMDB_TOC_BYTES = 16,
    PW_SYMDB_FOOTER_BYTES = 24,
    PW_SYMDB_STACKS_BYTES = 64, /* header of a chunk of stacks */
    PW_SYMDB_TABLE_BYTES = 32,  /* header of a symbol table: 28 and padding */
    PW_SYMDB_RANGE_BYTES = 12,  /* format 2 */
    PW_SYMDB_BLOCK_ITEMS = 1024,
    PW_SYMDB_STACKS_GROUP_VARINT = 1, /* the one encoding of stacks */
};

/* Tables in the order of their headers, and what a block header of each takes. */
enum pw_symdb_table {
    PW_SYMDB_LOCATIONS,
    PW_SYMDB_MAPPINGS,
    PW_SYMDB_FUNCTIONS,
    PW_SYMDB_STRINGS,
    PW_SYMDB_TABLES,
};

struct pw_symdb_table_form {
    uint16_t block_header_bytes;
    uint16_t format;
    const char *name;
};

static const struct pw_symdb_table_form pw_symdb_form[PW_SYMDB_TABLES] = {
    [PW_SYMDB_LOCATIONS] = {28, 1, "locations"},
    [PW_SYMDB_MAPPINGS] = {32, 3, "mappings"},
    [PW_SYMDB_FUNCTIONS] = {24, 2, "functions"},
    [PW_SYMDB_STRINGS] = {12, 4, "strings"},
};

#endif
