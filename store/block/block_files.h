/* store/block/block_files.h - where the bytes of a block's files come from, when they are not simply there.
 *
 * Purpose  a block is read as if all of each file were in memory. For a block of object storage only the
 *          address space is, and the reader says which bytes it is about to look at.
 * Owner    the block borrows the struct until close; ctx is the implementer's.
 * Context  query and storage threads; calls may wait for the network. Thread-safe.
 * Units    bytes.
 * Errors   negative enum pw_err; need writes a line of text as well.
 * Limits   -
 */
#ifndef PW_STORE_BLOCK_FILES_H
#define PW_STORE_BLOCK_FILES_H

#include "store/block/block_types.h"

struct pw_block_files {
    void *ctx;
    /* 0 and the bytes of <block>/<rel_path>. Asked for once, when the file is first needed. */
    int (*get)(void *ctx, const char *rel_path, struct pw_slice *bytes);
    void (*release)(void *ctx, struct pw_slice bytes);
    /* NULL: what get gave is all there. Else: the bytes [from, from + len) of a file that get gave will
     * be read; when this returns 0 they can be, until release or rest. */
    int (*need)(void *ctx, struct pw_slice file, uint64_t from, uint64_t len,
                struct pw_block_error *err);
    /* NULL, or: nobody reads that file at the moment, what was needed of it may go. */
    void (*rest)(void *ctx, struct pw_slice file);
    /* NULL, or: the block is about to be closed: cool it no more. */
    void (*closing)(void *ctx);
    /* NULL, or: the block is closed; the last call. */
    void (*closed)(void *ctx);
    bool skip_checksums_fortest; /* so that a fuzzer gets at what is behind them */
};

static inline int
pw_block_need(const struct pw_block_files *files, struct pw_slice file, uint64_t from, uint64_t len,
              struct pw_block_error *err)
{
    return files == NULL || files->need == NULL ? 0 : files->need(files->ctx, file, from, len, err);
}

#endif
