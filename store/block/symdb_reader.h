/* store/block/symdb_reader.h - reads symbols: symbols.symdb (format 3, storage.md 1.5) and the directory
 * form of stock v1 (format 2, 1.6).
 *
 * Purpose  the partitions there are, and one partition decoded.
 * Owner    borrows the bytes of the files until close. Symbols belong to whoever loaded them.
 * Context  query and storage threads; allocates.
 * Units    ids of the partition.
 * Errors   PW_EINVAL, PW_ENOTSUP, PW_ENOMEM and a line naming file and offset. Every reference between
 *          symbols is checked when they are loaded.
 * Limits   one chunk of stacks a partition.
 */
#ifndef PW_STORE_SYMDB_READER_H
#define PW_STORE_SYMDB_READER_H

#include "store/block/block_reader.h"
#include "store/block/parquet_reader.h"
#include "store/block/stack_tree.h"
#include "store/block/symdb_format.h"

struct pw_symdb_place {
    uint64_t offset;
    uint32_t size, crc, count, block_items;
};

struct pw_symdb_partition {
    uint64_t id;
    struct pw_symdb_place stacks;                 /* count: nodes; a partition without: 0 */
    struct pw_symdb_place table[PW_SYMDB_TABLES]; /* format 3 */
    const uint8_t *range[PW_SYMDB_TABLES];        /* format 2: ranges of 12 bytes in the index */
    uint32_t ranges[PW_SYMDB_TABLES];
};

struct pw_symdb {
    uint32_t version;
    bool skip_checksums_fortest;
    const struct pw_block_files *files; /* NULL: all bytes are there */
    struct pw_slice index;              /* index.symdb, or that part of symbols.symdb */
    struct pw_slice data;               /* stacktraces.symdb, or symbols.symdb */
    const char *index_name, *data_name;
    struct pw_symdb_partition *partition;
    uint32_t partitions;
    struct pw_parquet_file file[PW_SYMDB_TABLES]; /* format 2 */
    uint32_t files_open;
};

struct pw_symdb_location {
    uint64_t address;
    uint32_t mapping, line_first, line_count;
    uint32_t pad;
};

struct pw_symdb_symbols {
    struct pw_block_symbols pub; /* must stay first */
    struct pw_stack_node *node;
    struct pw_symdb_location *location;
    struct pw_block_line *line;
    uint32_t line_count, line_cap;
    struct pw_block_function *function;
    struct pw_block_mapping *mapping;
    struct pw_slice *string;
    struct pw_symdb_symbols *next; /* the block's list of those in use */
    uint32_t users;
};

/* Both set all of *d but skip_checksums_fortest and files. Format 3. */
PW_MUST_USE int pw_symdb_open_file(struct pw_symdb *d, struct pw_slice symbols,
                                   struct pw_block_error *err);
struct pw_symdb_files { /* format 2 */
    struct pw_slice index, stacktraces;
    struct pw_slice table[PW_SYMDB_TABLES]; /* parquet */
};
PW_MUST_USE int pw_symdb_open_directory(struct pw_symdb *d, const struct pw_symdb_files *files,
                                        struct pw_block_error *err);
void pw_symdb_close(struct pw_symdb *d);

PW_MUST_USE int pw_symdb_load(const struct pw_symdb *d, uint64_t partition,
                              struct pw_symdb_symbols **s, struct pw_block_error *err);
void pw_symdb_free(struct pw_symdb_symbols *s);

/* --- symdb_tables.c, symdb_parquet.c: for symdb_reader.c -------------------------------------------- */

PW_MUST_USE int pw_symdb_load_tables(const struct pw_symdb *d, const struct pw_symdb_partition *p,
                                     struct pw_symdb_symbols *s, struct pw_block_error *err);
PW_MUST_USE int pw_symdb_load_parquet(const struct pw_symdb *d, const struct pw_symdb_partition *p,
                                      struct pw_symdb_symbols *s, struct pw_block_error *err);
/* Room for n more lines. */
PW_MUST_USE int pw_symdb_lines_reserve(struct pw_symdb_symbols *s, uint64_t n);
PW_PRINTF(5, 6)
int pw_symdb_error(struct pw_block_error *err, const char *file, int rc, uint64_t offset,
                   const char *fmt, ...);

#endif
