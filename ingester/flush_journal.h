/* ingester/flush_journal.h - the blocks of one sealed head become local blocks, all of them or none.
 *
 * Purpose  a head becomes several blocks: tenants, windows. They are staged in <data>/<tenant>/head; a
 *          journal, written in one step (temporary file, sync, rename, sync), names them and the mark of
 *          the log they make superfluous; then they move to <data>/<tenant>/local. A crash before the
 *          journal is there leaves staged blocks, which the next start removes (the log has their
 *          records); after it the next start moves what was not moved yet, and the log skips what the
 *          mark covers. So no record is lost, and none is both replayed and in a block.
 * Owner    the storage thread, or the control thread at start.
 * Context  cold: waits for the disk.
 * Units    -
 * Errors   negative enum pw_err; a line of text in why.
 * Limits   PW_JOURNAL_BYTES_MAX.
 *
 * <data>/~flush-<ULID>: no tenant is called so, '~' is not allowed in tenant ids. Lines of text:
 *
 *     pyrowire flush 1
 *     log <generation> <cores> <core> <sequence>     the mark; none without a log
 *     block <ULID> <tenant>
 *     end
 */
#ifndef PW_INGESTER_FLUSH_JOURNAL_H
#define PW_INGESTER_FLUSH_JOURNAL_H

#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "ingester/wal.h"
#include "store/block/ulid.h"

enum { PW_JOURNAL_BYTES_MAX = 16 << 20, PW_JOURNAL_NAME_MAX = 64 };

struct pw_journal_block {
    struct pw_ulid ulid;
    char tenant[PW_TENANT_BYTES_MAX + 1];
};

struct pw_journal {
    char name[PW_JOURNAL_NAME_MAX]; /* of the file; "" until it is written */
    bool has_mark;
    struct pw_wal_mark mark;
    struct pw_journal_block *block; /* malloc'ed */
    uint32_t count, cap;
};

struct pw_journal_dir { /* where all this is; borrowed */
    const char *data_path;
    const struct pw_fs *fs;
};

/* PW_ENOMEM. */
PW_MUST_USE int pw_journal_add(struct pw_journal *j, struct pw_slice tenant,
                               const struct pw_ulid *ulid);
void pw_journal_fini(struct pw_journal *j);

/* The tenant's staging directory, made when missing. */
PW_MUST_USE int pw_journal_stage_dir(const struct pw_journal_dir *d, struct pw_slice tenant,
                                     char path[PW_FS_PATH_MAX], struct pw_text *why);
/* Removes the staged blocks of a journal that was not written. */
void pw_journal_undo(const struct pw_journal_dir *d, const struct pw_journal *j);
/* Writes it: the point of no return. The journal has at least one block. */
PW_MUST_USE int pw_journal_write(const struct pw_journal_dir *d, struct pw_journal *j,
                                 struct pw_text *why);
/* Moves its blocks to `local` and syncs the names. Again is fine: what was moved is skipped. */
PW_MUST_USE int pw_journal_move(const struct pw_journal_dir *d, const struct pw_journal *j,
                                struct pw_text *why);
/* Its records are let go by the log (or there is none): removes it. */
PW_MUST_USE int pw_journal_remove(const struct pw_journal_dir *d, const struct pw_journal *j,
                                  struct pw_text *why);

/* At start: reads every journal (*list, malloc'ed; each to be fini'ed), moves their blocks, and removes
 * what else is staged. A journal that is not whole is reported and removed: it was never the truth. */
PW_MUST_USE int pw_journal_recover(const struct pw_journal_dir *d, struct pw_journal **list,
                                   uint32_t *count, struct pw_text *why);

/* Calls fn for every tenant of the data directory (it has a `local` or a `head`), and for every entry of
 * dir that is named by a ULID. The first result that is not 0 ends it. */
typedef int (*pw_journal_tenant_fn)(void *ctx, const char *tenant);
typedef int (*pw_journal_ulid_fn)(void *ctx, const struct pw_ulid *ulid);
PW_MUST_USE int pw_journal_tenants(const struct pw_journal_dir *d, pw_journal_tenant_fn fn,
                                   void *ctx);
PW_MUST_USE int pw_journal_ulids(const struct pw_journal_dir *d, const char *dir,
                                 pw_journal_ulid_fn fn, void *ctx);

#endif
