#include "store/block/dictionary_column.h"

#include "base/hash.h"

#include <stdlib.h>

enum { PAGE_BYTES_MAX = 1 << 30, SLOTS_MIN = 1024 };

void
pw_dictionary_column_init(struct pw_dictionary_column *d, uint32_t width)
{
    *d = (struct pw_dictionary_column){.width = width};
    pw_text_init(&d->index, PAGE_BYTES_MAX);
    pw_text_init(&d->def, PAGE_BYTES_MAX);
}

void
pw_dictionary_column_fini(struct pw_dictionary_column *d)
{
    free(d->slot);
    pw_text_fini(&d->index);
    pw_text_fini(&d->def);
}

void
pw_dictionary_column_page_begin(struct pw_dictionary_column *d)
{
    d->index.len = d->def.len = 0;
    d->nulls = 0;
    d->min.len = d->max.len = 0;
    pw_rle_begin(&d->def_rle, &d->def, 2);
}

/* The slot of value: the one that has it, or the empty one where it belongs. */
static uint32_t *
find(struct pw_dictionary_column *d, const struct pw_text *values, const uint8_t *value)
{
    uint64_t h = pw_xxh64(value, d->width);

    for (uint64_t i = h;; i++) { /* bound: half of the slots are empty */
        uint32_t *s = &d->slot[i & (d->slot_count - 1)];

        if (*s == 0 || memcmp(values->ptr + (size_t)(*s - 1) * d->width, value, d->width) == 0) {
            return s;
        }
    }
}

static bool
grow(struct pw_dictionary_column *d, const struct pw_text *values, uint32_t count)
{
    uint32_t slots = d->slot_count == 0 ? SLOTS_MIN : d->slot_count * 2;
    uint32_t *slot = calloc(slots, sizeof(*slot));

    if (slot == NULL) {
        return false;
    }
    free(d->slot);
    d->slot = slot;
    d->slot_count = slots;
    for (uint32_t i = 0; i < count; i++) {
        *find(d, values, values->ptr + (size_t)i * d->width) = i + 1;
    }
    return true;
}

int
pw_dictionary_column_put(struct pw_dictionary_column *d, struct pw_parquet_chunk *c,
                         const uint8_t *value)
{
    uint32_t *slot;
    uint32_t index;

    if (c->dictionary_count >= d->slot_count / 2 && !grow(d, &c->dictionary, c->dictionary_count)) {
        return PW_ENOMEM;
    }
    slot = find(d, &c->dictionary, value);
    if (*slot == 0) {
        pw_text_put(&c->dictionary, value, d->width);
        if (c->dictionary.failed) {
            return PW_ENOMEM;
        }
        *slot = ++c->dictionary_count;
    }
    index = *slot - 1;
    pw_text_put(&d->index, &index, sizeof(index));
    if (d->width == PW_PARQUET_FLBA_BYTES) {
        pw_parquet_bound_flba(value, 1, &d->min, &d->max);
    } else {
        int64_t v;

        memcpy(&v, value, sizeof(v));
        pw_parquet_bound_ints(c->spec, &v, 1, &d->min, &d->max);
    }
    pw_rle_put(&d->def_rle, 2, 1);
    return 0;
}

void
pw_dictionary_column_null(struct pw_dictionary_column *d, uint64_t n)
{
    pw_rle_put(&d->def_rle, 1, n);
    d->nulls += n;
}

void
pw_dictionary_column_page_end(struct pw_dictionary_column *d, const struct pw_parquet_chunk *c,
                              struct pw_text *values, struct pw_parquet_page_in *page)
{
    const uint32_t *index = (const void *)d->index.ptr;
    size_t n = d->index.len / sizeof(*index);

    pw_rle_end(&d->def_rle);
    page->def = pw_slice(d->def.ptr, d->def.len);
    page->nulls = d->nulls;
    page->min = d->min;
    page->max = d->max;
    values->len = 0;
    if (n != 0) {
        uint32_t width = pw_bit_width(c->dictionary_count - 1);
        struct pw_rle r;

        width = width == 0 ? 1 : width;
        pw_text_char(values, (char)width);
        pw_rle_begin(&r, values, width);
        for (size_t i = 0; i < n; i++) {
            pw_rle_put(&r, index[i], 1);
        }
        pw_rle_end(&r);
    }
}

void
pw_dictionary_column_forget(struct pw_dictionary_column *d)
{
    if (d->slot != NULL) {
        memset(d->slot, 0, d->slot_count * sizeof(*d->slot));
    }
}

bool
pw_dictionary_column_failed(const struct pw_dictionary_column *d)
{
    return d->index.failed || d->def.failed;
}

size_t
pw_dictionary_column_memory(const struct pw_dictionary_column *d)
{
    return d->index.cap + d->def.cap + (size_t)d->slot_count * sizeof(*d->slot);
}
