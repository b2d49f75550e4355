#include "store/block/id_set.h"

#include <stdlib.h>

int
pw_id_set_init(struct pw_id_set *s, uint32_t universe)
{
    uint32_t words = universe / 64 + 1;

    *s = (struct pw_id_set){
        .word = calloc(words, sizeof(*s->word)),
        .rank = calloc(words, sizeof(*s->rank)),
        .words = words,
    };
    if (s->word == NULL || s->rank == NULL) {
        pw_id_set_fini(s);
        return PW_ENOMEM;
    }
    return 0;
}

void
pw_id_set_fini(struct pw_id_set *s)
{
    free(s->word);
    free(s->rank);
    free(s->id);
    *s = (struct pw_id_set){0};
}

void
pw_id_set_clear(struct pw_id_set *s)
{
    memset(s->word, 0, s->words * sizeof(*s->word));
    s->count = 0;
}

void
pw_id_set_freeze(struct pw_id_set *s)
{
    s->count = 0;
    for (uint32_t i = 0; i < s->words; i++) {
        s->rank[i] = s->count;
        s->count += (uint32_t)__builtin_popcountll(s->word[i]);
    }
}

uint32_t
pw_id_set_next(const struct pw_id_set *s, uint64_t from)
{
    for (uint64_t i = from / 64; i < s->words; i++) {
        uint64_t w = s->word[i];

        if (i == from / 64) {
            w &= UINT64_MAX << (from % 64);
        }
        if (w != 0) {
            return (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(w);
        }
    }
    return UINT32_MAX;
}

static int
copy_sparse(struct pw_id_set *copy, const struct pw_id_set *s)
{
    uint32_t n = 0;

    copy->id = malloc((s->count + 1UL) * sizeof(*copy->id));
    if (copy->id == NULL) {
        return PW_ENOMEM;
    }
    for (uint32_t id = pw_id_set_next(s, 0); id != UINT32_MAX; id = pw_id_set_next(s, id + 1ULL)) {
        copy->id[n++] = id;
    }
    return 0;
}

int
pw_id_set_copy(struct pw_id_set *copy, const struct pw_id_set *s)
{
    uint32_t first = 0, end = s->words;
    size_t dense;

    while (end > 0 && s->word[end - 1] == 0) {
        end--;
    }
    while (first < end && s->word[first] == 0) {
        first++;
    }
    *copy = (struct pw_id_set){.first_word = first, .words = end - first, .count = s->count};
    dense = copy->words * (sizeof(*s->word) + sizeof(*s->rank));
    if (s->count == 0 || s->count * sizeof(*s->id) < dense) {
        return copy_sparse(copy, s);
    }
    copy->word = malloc(copy->words * sizeof(*copy->word));
    copy->rank = malloc(copy->words * sizeof(*copy->rank));
    if (copy->word == NULL || copy->rank == NULL) {
        pw_id_set_fini(copy);
        return PW_ENOMEM;
    }
    memcpy(copy->word, s->word + first, copy->words * sizeof(*copy->word));
    memcpy(copy->rank, s->rank + first, copy->words * sizeof(*copy->rank));
    return 0;
}

uint32_t
pw_id_set_rank_sparse(const struct pw_id_set *s, uint32_t id)
{
    uint32_t lo = 0, hi = s->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (s->id[mid] < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

size_t
pw_id_set_memory(const struct pw_id_set *s)
{
    return (s->word == NULL ? 0 : s->words * (sizeof(*s->word) + sizeof(*s->rank))) +
           (s->id == NULL ? 0 : s->count * sizeof(*s->id));
}
