/* store/block/meta.h - meta.json: what a block is and which files it has (storage.md 1.2).
 *
 * Purpose  write it for a new block, read it of any v1 block.
 * Owner    a read meta owns its strings until fini.
 * Context  storage and query threads; allocates.
 * Units    times in ms (in the file: seconds with up to three decimals); sizes in bytes.
 * Errors   PW_EINVAL and a line of text.
 * Limits   PW_BLOCK_META_*.
 */
#ifndef PW_STORE_BLOCK_META_H
#define PW_STORE_BLOCK_META_H

#include "base/text.h"
#include "store/block/block_types.h"
#include "store/block/ulid.h"

enum {
    PW_BLOCK_META_BYTES_MAX = 16 << 20, /* compacted blocks list all their sources */
    PW_BLOCK_META_FILES_MAX = 64,
    PW_BLOCK_META_LABELS_MAX = 64,
    PW_BLOCK_META_SOURCES_MAX = 65536,
    PW_BLOCK_PATH_BYTES_MAX = 128, /* relPath; only [A-Za-z0-9_.-] and single inner slashes */
};

struct pw_block_file {
    char rel_path[PW_BLOCK_PATH_BYTES_MAX];
    uint64_t size_bytes;
    bool has_size;
    uint64_t row_groups, rows; /* parquet; 0 else */
    uint64_t series;           /* tsdb; 0 else */
};

struct pw_block_meta {
    struct pw_ulid ulid;
    int64_t min_time_ms, max_time_ms; /* inclusive */
    uint64_t samples, series, profiles;
    struct pw_block_file file[PW_BLOCK_META_FILES_MAX]; /* sorted by rel_path */
    uint32_t file_count;
    uint32_t version;
    uint32_t level;
    uint32_t source_count;
    struct pw_ulid *source; /* level 1 ancestors */
    struct pw_label_pair label[PW_BLOCK_META_LABELS_MAX];
    uint32_t label_count;
    uint32_t text_bytes;
    char *text;      /* what label points to */
    char origin[32]; /* JSON "source": "ingester", "compactor" */
};

/* Tab-indented JSON. Borrows everything. */
void pw_block_meta_print(const struct pw_block_meta *m, struct pw_text *t);
/* Clears *m first; call fini when 0 was returned. */
PW_MUST_USE int pw_block_meta_parse(struct pw_block_meta *m, struct pw_slice json,
                                    struct pw_block_error *err);
void pw_block_meta_fini(struct pw_block_meta *m);
/* The file of that base name, or NULL. */
const struct pw_block_file *pw_block_meta_file(const struct pw_block_meta *m,
                                               const char *base_name);

#endif
