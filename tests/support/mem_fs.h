/* tests/support/mem_fs.h - a disk in memory that forgets, fails and fills up on demand.
 *
 * Purpose  the file layer (base/file.h) for crash and fault tests. Data of a file counts from its last
 *          completed sync on, a name from the last sync of its directory; pw_mem_fs_crash throws the
 *          rest away, or keeps a random part of it. A failed sync forgets, as Linux does, that the data
 *          was to be written: a later sync of the same file succeeds without it.
 * Owner    the test; one thread.
 * Context  tests.
 * Units    calls are counted from 0 over all operations that can fail.
 * Errors   as told.
 * Limits   MEM_FS_*.
 */
#ifndef PW_TESTS_MEM_FS_H
#define PW_TESTS_MEM_FS_H

#include "base/file.h"

enum mem_fs_fault {
    MEM_FS_NO_FAULT,
    MEM_FS_ERROR, /* the call fails with PW_EIO */
    MEM_FS_NOSPC, /* ... with PW_ENOSPC */
    MEM_FS_SHORT, /* write or read does half of it and says so; other calls: as ERROR */
    MEM_FS_TORN,  /* half is written, then PW_EIO; other calls: as ERROR */
};

struct mem_fs;

struct mem_fs *mem_fs_new(void);
void mem_fs_free(struct mem_fs *m);
const struct pw_fs *mem_fs_table(struct mem_fs *m);

/* Call number `at` (counted from now) and `times - 1` after it fail like that. */
void mem_fs_fail(struct mem_fs *m, enum mem_fs_fault fault, uint64_t at, uint64_t times);
/* Calls since mem_fs_fail or the beginning. */
uint64_t mem_fs_calls(const struct mem_fs *m);
/* Allocations and writes beyond that many bytes in all files get PW_ENOSPC; 0: no limit. */
void mem_fs_capacity(struct mem_fs *m, uint64_t bytes);
/* The power goes: what was not synced is gone, or a random part of it (seed not 0). All descriptors
 * are void. */
void mem_fs_crash(struct mem_fs *m, uint64_t seed);
/* The process dies, the machine does not: nothing is lost, all descriptors are void. */
void mem_fs_kill(struct mem_fs *m);
/* A file's bytes, to damage them; NULL: no such file. */
uint8_t *mem_fs_bytes(struct mem_fs *m, const char *path, uint64_t *len);
/* The i-th name, NULL behind the last. */
const char *mem_fs_name(struct mem_fs *m, uint32_t i);

#endif
