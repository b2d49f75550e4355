/* store/block/block_writer.h - writes one v1 block (storage.md 0, 1, 7) of one tenant.
 *
 * Purpose  meta.json, index.tsdb, profiles.parquet and symbols.symdb in a directory named by the ULID,
 *          from a source that can be read more than once (an immutable view of a head).
 * Owner    the caller owns source and configuration; nothing is kept after the call.
 * Context  storage threads: allocates, blocks on the disk, takes seconds.
 * Units    ns, bytes.
 * Errors   a negative enum pw_err and one line of text. After an error no block of that ULID is visible:
 *          the files were in a temporary directory beside it, removed as far as the file layer lets us.
 *          A directory that carries the ULID's name is whole and synced, whenever the machine stopped.
 *          PW_EINVAL: the source has no row with a sample (there is no empty block).
 * Limits   memory: 4 bytes a row, 16 bytes a row of the largest series, 1.5 bits a stack and partition,
 *          20 bytes a node of the stack tree being written, 4 a stack and partition after that, 12 a
 *          series and label, and about three times row_group_bytes.
 */
#ifndef PW_STORE_BLOCK_WRITER_H
#define PW_STORE_BLOCK_WRITER_H

#include "base/file.h"
#include "store/block/block_types.h"
#include "store/block/ulid.h"

struct pw_block_in_series {
    const struct pw_label_pair *label; /* final labels in stored order (storage.md 0.2) */
    uint32_t label_count;
    uint64_t fingerprint; /* XXH64 of them */
    uint64_t partition;   /* symbol partition of its rows: pw_block_partition, or any value */
};

struct pw_block_in_row {
    int64_t time_ns;
    int64_t duration_ns; /* 0: none */
    int64_t period;      /* 0: none */
    uint8_t uuid[16];
    uint32_t series;        /* id */
    uint32_t samples_count; /* at most PW_BLOCK_ROW_SAMPLES_MAX; rows of none are left out */
    uint64_t samples_ref;   /* the source's own */
};

struct pw_block_in_sample {
    uint32_t stack;
    uint32_t span; /* 0: none; else what span() takes */
    int64_t value; /* 0 is dropped */
};

/* Reads must give the same every time. Ids are below their count. Series may share their labels (their
 * rows become one series), have no row (then they are left out), and come in any order, as may rows. */
struct pw_block_source {
    const void *ctx;
    uint64_t rows_count; /* below 2^32 - 1 */
    uint32_t series_count;
    uint32_t stacks_count, locations_count, functions_count, mappings_count, strings_count;

    /* out->label and what it points to: valid for the whole call */
    void (*series)(const void *ctx, uint32_t id, struct pw_block_in_series *out);
    /* The two fields of a row that order it; cheaper than row(). */
    void (*row_peek)(const void *ctx, uint64_t i, uint32_t *series, int64_t *time_ns);
    void (*row)(const void *ctx, uint64_t i, struct pw_block_in_row *out);
    /* Up to n samples from the first-th on; returns how many (0 only past the end). */
    uint32_t (*samples)(const void *ctx, const struct pw_block_in_row *row, uint32_t first,
                        struct pw_block_in_sample *out, uint32_t n);
    /* Location ids leaf first, valid for the whole call. */
    const uint32_t *(*stack)(const void *ctx, uint32_t id, uint32_t *depth);
    /* out->line: valid until the next location() */
    void (*location)(const void *ctx, uint32_t id, struct pw_block_location *out);
    void (*function)(const void *ctx, uint32_t id, struct pw_block_function *out);
    void (*mapping)(const void *ctx, uint32_t id, struct pw_block_mapping *out);
    struct pw_slice (*string)(const void *ctx, uint32_t id);
    void (*span)(const void *ctx, uint32_t id, struct pw_block_span *out);
};

enum pw_block_codec { PW_BLOCK_ZSTD = 0, PW_BLOCK_UNCOMPRESSED };

struct pw_block_writer_cfg {
    const char *dir; /* exists; the block becomes <dir>/<ULID>, its temporary <dir>/<ULID>.tmp */
    struct pw_ulid ulid;
    const char *hostname;   /* external label __hostname__; NULL: no label */
    const struct pw_fs *fs; /* NULL: pw_fs_os() */
    size_t row_group_bytes; /* encoded bytes that end a row group; 0: PW_BLOCK_ROW_GROUP_BYTES */
    enum pw_block_codec codec;
    /* Polled now and then; true gives the write up with PW_EAGAIN (shutdown). NULL: never. */
    bool (*stop)(void *ctx);
    void *stop_ctx;
};

enum {
    PW_BLOCK_ROW_GROUP_BYTES = 8 << 20,
    PW_BLOCK_ROW_GROUP_ROWS_MAX = 100000, /* storage.md 1.4.2 */
};

struct pw_block_info { /* what was written */
    struct pw_ulid ulid;
    int64_t min_time_ns, max_time_ns;
    uint64_t series, rows, samples, partitions, stacks;
    uint64_t bytes_meta, bytes_index, bytes_profiles, bytes_symbols;
    uint64_t memory_peak; /* bytes the writer had allocated at most */
};

PW_MUST_USE int pw_block_write(const struct pw_block_writer_cfg *cfg,
                               const struct pw_block_source *src, struct pw_block_info *info,
                               struct pw_block_error *err);

/* At start, before anything writes: removes what a crash left (<ULID>.tmp directories). Returns how many
 * were removed, or a negative enum pw_err. */
PW_MUST_USE int pw_block_remove_leftovers(const char *dir, const struct pw_fs *fs,
                                          struct pw_block_error *err);

/* The rule of storage.md 0.3 (v1): XXH64 of the base name of the profile's first mapping, else of
 * service_name, else of "unknown". Empty slices: not known. */
uint64_t pw_block_partition(struct pw_slice first_mapping_filename, struct pw_slice service_name);

#endif
