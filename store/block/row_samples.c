#include "store/block/row_samples.h"

#include <stdlib.h>

static int
reserve(struct pw_row_samples *s, uint32_t n)
{
    if (n <= s->cap) {
        return 0;
    }
    n = n < 1024 ? 1024 : n;
    free(s->in);
    free(s->stack);
    free(s->value);
    free(s->span);
    free(s->key);
    s->cap = 0;
    s->in = malloc(n * sizeof(*s->in));
    s->stack = malloc(n * sizeof(*s->stack));
    s->value = malloc(n * sizeof(*s->value));
    s->span = malloc(n * sizeof(*s->span));
    s->key = malloc(n * sizeof(*s->key) * 2); /* the sort's other half */
    if (s->in == NULL || s->stack == NULL || s->value == NULL || s->span == NULL ||
        s->key == NULL) {
        return PW_ENOMEM;
    }
    s->cap = n;
    return 0;
}

int
pw_row_samples_read(struct pw_row_samples *s, const struct pw_block_source *src,
                    const struct pw_block_in_row *row)
{
    uint32_t n = 0, k = 0;

    if (row->samples_count > PW_BLOCK_ROW_SAMPLES_MAX) {
        return PW_EMSGSIZE;
    }
    if (reserve(s, row->samples_count) != 0) {
        return PW_ENOMEM;
    }
    while (n < row->samples_count) {
        uint32_t got = src->samples(src->ctx, row, n, s->in + n, row->samples_count - n);

        if (got == 0) {
            break;
        }
        n += got;
    }
    s->has_span = false;
    for (uint32_t i = 0; i < n; i++) {
        if (s->in[i].value != 0) {
            s->has_span = s->has_span || s->in[i].span != 0;
            s->in[k++] = s->in[i];
        }
    }
    s->n = k;
    return 0;
}

/* Bytes of the keys from the lowest on, as far as any key has them; stable, so equal stacks keep their
 * order. */
static uint64_t *
sort_keys(uint64_t *key, uint64_t *other, uint32_t n, uint32_t max)
{
    for (uint32_t shift = 32; shift < 64 && max >> (shift - 32) != 0; shift += 8) {
        uint32_t at[257] = {0};
        uint64_t *t;

        for (uint32_t i = 0; i < n; i++) {
            at[(key[i] >> shift & 0xFF) + 1]++;
        }
        for (uint32_t b = 0; b < 256; b++) {
            at[b + 1] += at[b];
        }
        for (uint32_t i = 0; i < n; i++) {
            other[at[key[i] >> shift & 0xFF]++] = key[i];
        }
        t = key;
        key = other;
        other = t;
    }
    return key;
}

static uint64_t *
insert_keys(uint64_t *key, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        uint64_t k = key[i];
        uint32_t j = i;

        for (; j > 0 && key[j - 1] > k; j--) {
            key[j] = key[j - 1];
        }
        key[j] = k;
    }
    return key;
}

void
pw_row_samples_order(struct pw_row_samples *s, const struct pw_block_source *src,
                     const struct pw_row_partition *p)
{
    enum { INSERT_MAX = 32 };
    uint64_t *key = s->key;
    uint32_t max = 0;
    bool ordered = true;

    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t id = p->node[pw_id_set_rank(&p->stacks, s->in[i].stack)];

        key[i] = (uint64_t)id << 32 | i;
        ordered = ordered && id >= max;
        max = id > max ? id : max;
    }
    if (!ordered) {
        key = s->n <= INSERT_MAX ? insert_keys(key, s->n)
                                 : sort_keys(key, s->key + s->cap, s->n, max);
    }
    for (uint32_t i = 0; i < s->n; i++) {
        const struct pw_block_in_sample *in = &s->in[(uint32_t)key[i]];

        s->stack[i] = (uint32_t)(key[i] >> 32);
        s->value[i] = in->value;
        if (s->has_span) {
            s->span[i] = (struct pw_block_span){0};
            if (in->span != 0) {
                src->span(src->ctx, in->span, &s->span[i]);
            }
        }
    }
}

void
pw_row_samples_fini(struct pw_row_samples *s)
{
    free(s->in);
    free(s->stack);
    free(s->value);
    free(s->span);
    free(s->key);
    *s = (struct pw_row_samples){0};
}

size_t
pw_row_samples_memory(const struct pw_row_samples *s)
{
    return s->cap * (sizeof(*s->in) + sizeof(*s->stack) + sizeof(*s->value) + sizeof(*s->span) +
                     2 * sizeof(*s->key));
}
