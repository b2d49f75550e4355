/* store/block/dictionary_column.h - a column of ids that repeat, while its page is open (RLE_DICTIONARY).
 *
 * Purpose  values of 8 or 16 bytes to indices into the chunk's dictionary, nulls between them, and both as a page.
 * Owner    the table writer; the dictionary itself is the chunk's and lasts for one row group.
 * Context  storage threads; allocates.
 * Units    bytes; values and nulls as levels.
 * Errors   put: PW_ENOMEM; else those of pw_text (sticky), told by failed.
 * Limits   a page below 1 GiB.
 */
#ifndef PW_STORE_DICTIONARY_COLUMN_H
#define PW_STORE_DICTIONARY_COLUMN_H

#include "store/block/delta.h"
#include "store/block/parquet_chunk.h"

struct pw_dictionary_column {
    uint32_t width; /* of a value */
    uint32_t slot_count;
    uint32_t *slot;       /* of values by their hash: index + 1, 0 empty */
    struct pw_text index; /* uint32_t of the open page */
    struct pw_text def;   /* levels of the open page */
    struct pw_rle def_rle;
    uint64_t nulls;
    struct pw_parquet_bound min, max;
};

void pw_dictionary_column_init(struct pw_dictionary_column *d, uint32_t width);
void pw_dictionary_column_fini(struct pw_dictionary_column *d);

void pw_dictionary_column_page_begin(struct pw_dictionary_column *d);
/* The bytes of one value. */
PW_MUST_USE int pw_dictionary_column_put(struct pw_dictionary_column *d, struct pw_parquet_chunk *c,
                                         const uint8_t *value);
/* n values that are not there. */
void pw_dictionary_column_null(struct pw_dictionary_column *d, uint64_t n);
/* *values becomes the page's; of *page definition levels, nulls and bounds, borrowed until the next page begins. */
void pw_dictionary_column_page_end(struct pw_dictionary_column *d, const struct pw_parquet_chunk *c,
                                   struct pw_text *values, struct pw_parquet_page_in *page);

/* The chunk's dictionary was reset: nothing is known any more. */
void pw_dictionary_column_forget(struct pw_dictionary_column *d);
bool pw_dictionary_column_failed(const struct pw_dictionary_column *d);
size_t pw_dictionary_column_memory(const struct pw_dictionary_column *d);

#endif
