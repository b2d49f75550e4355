/* store/block/block_priv.h - what an open block is, for block_reader.c and block_rows.c.
 *
 * Purpose  shared by the files behind block_reader.h.
 * Owner    the block; constant after open but for the list of symbols in use, under its lock.
 * Context  query and storage threads.
 * Units    -
 * Errors   -
 * Limits   -
 */
#ifndef PW_STORE_BLOCK_PRIV_H
#define PW_STORE_BLOCK_PRIV_H

#include "store/block/block_reader.h"
#include "store/block/parquet_reader.h"
#include "store/block/symdb_reader.h"
#include "store/block/tsdb_reader.h"

#include <pthread.h>

enum pw_block_file_id {
    PW_BLOCK_FILE_INDEX,
    PW_BLOCK_FILE_PROFILES,
    PW_BLOCK_FILE_SYMBOLS, /* symbols.symdb, or index.symdb and the five behind it */
    PW_BLOCK_FILE_STACKTRACES,
    PW_BLOCK_FILE_TABLES,
    PW_BLOCK_FILES = PW_BLOCK_FILE_TABLES + PW_SYMDB_TABLES,
};

struct pw_block {
    char *dir;
    const struct pw_block_files *files; /* NULL: mapped */
    struct pw_block_meta meta;
    struct pw_slice file[PW_BLOCK_FILES];
    bool has_file[PW_BLOCK_FILES];
    struct pw_tsdb tsdb;
    struct pw_parquet_file profiles;
    struct pw_symdb symdb;

    pthread_mutex_t opening; /* of what stands open below; held while the rest is opened */
    bool later, ready;       /* opened for later; the rest is open too */
    uint32_t users;

    pthread_mutex_t lock;
    struct pw_symdb_symbols *symbols; /* in use */
    uint32_t cursors;                 /* over rows */
};

#endif
