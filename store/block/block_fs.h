/* store/block/block_fs.h - the file calls a block writer makes, as a table.
 *
 * Purpose  faults can be put into every call (tests/store), and a file layer that loses what was not
 *          synced can stand in for the kernel's.
 * Owner    the table is constant; descriptors belong to whoever opened them.
 * Context  storage threads: every call may block.
 * Units    bytes.
 * Errors   negative enum pw_err. write may be short, as write(2).
 * Limits   -
 */
#ifndef PW_STORE_BLOCK_FS_H
#define PW_STORE_BLOCK_FS_H

#include "base/err.h"
#include "base/types.h"

struct pw_block_fs {
    void *ctx;
    int (*create)(void *ctx, const char *path); /* new, for writing; a descriptor */
    int64_t (*write)(void *ctx, int fd, const void *data, size_t len);
    int (*sync)(void *ctx, int fd);
    int (*close)(void *ctx, int fd);
    int (*make_dir)(void *ctx, const char *path);
    int (*sync_dir)(void *ctx, const char *path);
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*remove_file)(void *ctx, const char *path);
    int (*remove_dir)(void *ctx, const char *path); /* empty */
};

extern const struct pw_block_fs pw_block_fs_kernel;

#endif
