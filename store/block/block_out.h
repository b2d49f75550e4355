/* store/block/block_out.h - a file being written from front to back, through a struct pw_fs.
 *
 * Purpose  buffer, count and checksum what goes into one file of a block.
 * Owner    the storage thread that writes the block.
 * Context  storage threads; blocks.
 * Units    bytes.
 * Errors   sticky: the first failed call is kept with its name; later writes do nothing; finish returns
 *          it. A file is on disk only when finish returned 0.
 * Limits   -
 */
#ifndef PW_STORE_BLOCK_OUT_H
#define PW_STORE_BLOCK_OUT_H

#include "base/file.h"
#include "store/block/block_types.h"

enum {
    PW_BLOCK_OUT_BUFFER = 64 << 10,
    PW_BLOCK_OUT_PIECE = 64 << 10, /* of one write */
    PW_BLOCK_OUT_PATH_MAX = PW_FS_PATH_MAX,
};

struct pw_block_out {
    const struct pw_fs *fs;
    char path[PW_BLOCK_OUT_PATH_MAX];
    uint64_t offset;  /* of the next byte */
    uint64_t written; /* without what is buffered */
    int fd;
    int rc;
    const char *what; /* the call that failed */
    uint32_t crc;     /* CRC-32C since the caller set it to 0 */
    size_t used;
    uint8_t buffer[PW_BLOCK_OUT_BUFFER];
};

void pw_block_out_create(struct pw_block_out *o, const struct pw_fs *fs, const char *dir,
                         const char *name);
void pw_block_out_put(struct pw_block_out *o, const void *data, size_t len);
/* Zeros up to the next multiple. */
void pw_block_out_align(struct pw_block_out *o, uint32_t pow2);
/* Writes what is buffered, syncs and closes; err says which call failed on which file, and where. */
PW_MUST_USE int pw_block_out_finish(struct pw_block_out *o, struct pw_block_error *err);
/* Closes without a sync; for when the block is given up. */
void pw_block_out_abandon(struct pw_block_out *o);

/* err->text = "path: what: error text" */
void pw_block_error_file(struct pw_block_error *err, const char *path, const char *what, int rc);

#endif
