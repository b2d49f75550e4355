/* base/file.h - the file layer as a table: what storage threads may ask of a disk.
 *
 * Purpose  the log and the blocks are written through this table, so that a test can hand in a disk
 *          that tears writes, runs full, returns errors or forgets what was not synced
 *          (tests/support/fault_fs.h). pw_fs_os() is the operating system's.
 * Owner    the table is constant; a file descriptor belongs to whoever opened it.
 * Context  cold: storage threads and the control thread at start. Every call may block.
 * Units    bytes, offsets from the start of the file. Paths are NUL-terminated.
 * Errors   0 or a count, or a negative errno (base/err.h names the usual ones); never partial
 *          success but for write and read, whose count may be short. A quota that is used up (EDQUOT) is
 *          PW_ENOSPC.
 * Limits   PW_FS_PATH_MAX.
 */
#ifndef PW_BASE_FILE_H
#define PW_BASE_FILE_H

#include "base/err.h"
#include "base/types.h"

enum { PW_FS_PATH_MAX = 1024, PW_FS_BLOCK_BYTES = 4096 };

enum pw_fs_open {
    PW_FS_READ,
    PW_FS_CREATE,        /* must not exist; for writing; mode 0600 */
    PW_FS_CREATE_DIRECT, /* the same past the page cache where the file system can: buffers, lengths
                            and offsets are then multiples of PW_FS_BLOCK_BYTES */
    PW_FS_REUSE_DIRECT,  /* past the page cache, too, and must exist: its bytes stay until they are written over */
    PW_FS_LOCK,          /* created when missing, locked for this process until closed: PW_EBUSY */
};

typedef void (*pw_fs_name_fn)(void *arg, const char *name);

struct pw_fs {
    void *ctx;
    int (*open)(void *ctx, const char *path, enum pw_fs_open how); /* a descriptor */
    int (*close)(void *ctx, int fd);
    int64_t (*write)(void *ctx, int fd, const void *buf, size_t n, uint64_t off);
    int (*sync)(void *ctx, int fd); /* the data of the file, and of its size what reading needs */
    /* All of it written, then synced; 0, or why not (then nothing is known about what is there). */
    int (*write_sync)(void *ctx, int fd, const void *buf, size_t n, uint64_t off);
    int64_t (*read)(void *ctx, int fd, void *buf, size_t n, uint64_t off); /* 0: end of the file */
    int64_t (*size)(void *ctx, int fd);
    int (*allocate)(void *ctx, int fd, uint64_t bytes); /* room for that much; it reads as zeros */
    int (*truncate)(void *ctx, int fd, uint64_t bytes);
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*unlink)(void *ctx, const char *path);
    int (*rmdir)(void *ctx, const char *path); /* an empty directory */
    int (*mkdir)(void *ctx, const char *path); /* 0 also when it is there; parents must be; 0700 */
    int (*sync_dir)(void *ctx, const char *path); /* names created, renamed and unlinked in it */
    int (*list)(void *ctx, const char *path, pw_fs_name_fn each, void *arg); /* unordered */
    int64_t (*free_bytes)(void *ctx, const char *path);
};

const struct pw_fs *pw_fs_os(void);

/* Makes path and every missing parent; the names that were made are synced. */
PW_MUST_USE int pw_fs_mkdirs_cold(const struct pw_fs *fs, const char *path);
/* Reads n bytes at off unless the file ends before; repeats short reads. Bytes read. */
PW_MUST_USE int64_t pw_fs_read_all_cold(const struct pw_fs *fs, int fd, void *buf, size_t n,
                                        uint64_t off);
/* Writes all of it; repeats short writes. A write that takes nothing is PW_EIO. */
PW_MUST_USE int pw_fs_write_all_cold(const struct pw_fs *fs, int fd, const void *buf, size_t n,
                                     uint64_t off);
/* path holds these bytes from now on, by way of <path>.tmp, which is synced and renamed: whoever looks, after a
 * crash too, finds the old file or the new one, whole. Which of them a crash leaves is open until the caller has
 * synced the directory. After an error it is the old one. */
PW_MUST_USE int pw_fs_replace_cold(const struct pw_fs *fs, const char *path, struct pw_slice bytes);

#endif
