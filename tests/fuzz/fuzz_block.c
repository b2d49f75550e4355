/* Properties: no file of a block makes the reader fall over, whatever is in it; a block that opens reads
 * the same a second time; an error has a text.
 *
 * Input: u8 form | per file u24 length and bytes. form bit 0: directory form of symbols (files meta,
 * index.tsdb, profiles, index.symdb, stacktraces, locations, mappings, functions, strings), else meta,
 * index.tsdb, profiles, symbols. Bit 1: checksums are not looked at, so that what is behind them is
 * reached. */
#include "base/check.h"
#include "store/block/bytes.h"
#include "tests/store/block_read_all.h"

#include <stdlib.h>

enum { INPUT_MAX = 1 << 20, FILES_MAX = 9, ROWS_MAX = 2000 };

static const char *const names3[] = {"meta.json", "index.tsdb", "profiles.parquet",
                                     "symbols.symdb"};
static const char *const names2[] = {
    "meta.json",        "index.tsdb",        "profiles.parquet",
    "index.symdb",      "stacktraces.symdb", "locations.parquet",
    "mappings.parquet", "functions.parquet", "strings.parquet",
};

struct input {
    const char *const *name;
    struct pw_slice file[FILES_MAX];
    uint32_t files;
    bool skip_checksums;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
get(void *ctx, const char *rel_path, struct pw_slice *bytes)
{
    const struct input *in = ctx;
    const char *slash = strrchr(rel_path, '/');
    const char *base = slash == NULL ? rel_path : slash + 1;

    for (uint32_t i = 0; i < in->files; i++) {
        if (strcmp(in->name[i], base) == 0) {
            *bytes = in->file[i];
            return 0;
        }
    }
    return PW_ENOENT;
}

static void
release(void *ctx, struct pw_slice bytes)
{
}

/* meta.json of the corpus has no sizes, so files of any length fit it. */
static bool
split(struct input *in, uint8_t *data, size_t size)
{
    struct pw_bytes r = pw_bytes(pw_slice(data, size));
    uint8_t form = pw_bytes_u8(&r);
    uint32_t n = (form & 1) != 0 ? PW_ARRAY_LEN(names2) : PW_ARRAY_LEN(names3);

    in->skip_checksums = (form & 2) != 0;
    in->name = (form & 1) != 0 ? names2 : names3;
    for (in->files = 0; in->files < n; in->files++) {
        const uint8_t *len = pw_bytes_take(&r, 3);
        size_t bytes = len == NULL ? 0 : (size_t)len[0] << 16 | (size_t)len[1] << 8 | len[2];
        const uint8_t *p = pw_bytes_take(&r, bytes);

        if (p == NULL) {
            return false;
        }
        in->file[in->files] = pw_slice(p, bytes);
    }
    return true;
}

static int
read_once(const struct input *in, struct block_sum *sum)
{
    struct pw_block_files files = {.ctx = (void *)(uintptr_t)in,
                                   .get = get,
                                   .release = release,
                                   .skip_checksums_fortest = in->skip_checksums};
    struct pw_block_error err = {{0}};
    struct pw_block *b;
    int rc = pw_block_open(&b, "01M7Y1GEPHRX9AZS6AWW3AARP5", &files, &err);

    if (rc == 0) {
        rc = block_read_all(b, ROWS_MAX, sum, &err);
        pw_block_close(b);
    }
    PW_INVARIANT(rc == 0 || rc == PW_ENOMEM || err.text[0] != 0);
    return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct block_sum one, two;
    struct input in;
    uint8_t *copy;

    if (size == 0 || size > INPUT_MAX) {
        return 0;
    }
    copy = malloc(size);
    PW_INVARIANT(copy != NULL);
    memcpy(copy, data, size);
    if (split(&in, copy, size)) {
        if (read_once(&in, &one) == 0) {
            PW_INVARIANT(read_once(&in, &two) == 0);
            PW_INVARIANT(memcmp(&one, &two, sizeof(one)) == 0);
        }
    }
    free(copy);
    return 0;
}
