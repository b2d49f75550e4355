#include "pprof/labels.h"

#include "base/hash.h"

/* The streaming state is only declared whole under this name; it lives on the stack here. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

/* Insertion sort while small, which label sets are; larger ones by bottom-up merging would need
 * memory, so a binary search finds the place and the tail moves in one memmove. */
void
pw_labels_sort(struct pw_labels *l)
{
    for (uint32_t i = 1; i < l->count; i++) {
        struct pw_label_pair x = l->pair[i];
        uint32_t lo = 0, hi = i;

        if (pw_slice_cmp(l->pair[i - 1].name, x.name) <= 0) {
            continue;
        }
        while (lo < hi) { /* first place whose name is greater: equal names keep their order */
            uint32_t mid = lo + (hi - lo) / 2;

            if (pw_slice_cmp(l->pair[mid].name, x.name) <= 0) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        memmove(&l->pair[lo + 1], &l->pair[lo], (i - lo) * sizeof(x));
        l->pair[lo] = x;
    }
}

static struct pw_label_pair *
find(const struct pw_labels *l, struct pw_slice name)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (pw_slice_eq(l->pair[i].name, name)) {
            return &l->pair[i];
        }
    }
    return NULL;
}

struct pw_slice
pw_labels_get(const struct pw_labels *l, struct pw_slice name)
{
    const struct pw_label_pair *x = find(l, name);

    if (x == NULL) {
        return (struct pw_slice){0};
    }
    /* Present but empty is not absent: ptr says which. */
    return x->value.ptr != NULL ? x->value : pw_slice("", 0);
}

int
pw_labels_set(struct pw_labels *l, struct pw_slice name, struct pw_slice value)
{
    struct pw_label_pair *x = find(l, name);

    if (x == NULL) {
        if (l->count == l->cap) {
            return PW_ENOSPC;
        }
        x = &l->pair[l->count++];
        x->name = name;
    }
    x->value = value;
    return 0;
}

void
pw_labels_del(struct pw_labels *l, struct pw_slice name)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->count; i++) {
        if (!pw_slice_eq(l->pair[i].name, name)) {
            l->pair[n++] = l->pair[i];
        }
    }
    l->count = n;
}

int
pw_label_pairs_cmp(const struct pw_label_pair *a, uint32_t a_count, const struct pw_label_pair *b,
                   uint32_t b_count)
{
    uint32_t n = a_count < b_count ? a_count : b_count;

    for (uint32_t i = 0; i < n; i++) {
        int c = pw_slice_cmp(a[i].name, b[i].name);

        c = c != 0 ? c : pw_slice_cmp(a[i].value, b[i].value);
        if (c != 0) {
            return c;
        }
    }
    return (a_count > b_count) - (a_count < b_count);
}

void
pw_labels_text(const struct pw_labels *l, struct pw_text *t)
{
    pw_text_char(t, '{');
    for (uint32_t i = 0; i < l->count; i++) {
        if (i != 0) {
            pw_text_str(t, ", ");
        }
        pw_text_slice(t, l->pair[i].name);
        pw_text_char(t, '=');
        pw_text_go_quoted(t, l->pair[i].value);
    }
    pw_text_char(t, '}');
}

uint64_t
pw_labels_fingerprint(const struct pw_labels *l)
{
    static const uint8_t sep = 0xFF;
    enum { SMALL = 1024 };
    uint8_t buf[SMALL];
    size_t n = 0;
    XXH64_state_t st;

    for (uint32_t i = 0; i < l->count; i++) {
        n += l->pair[i].name.len + l->pair[i].value.len + 2;
    }
    if (n <= SMALL) { /* one call over contiguous bytes is several times the speed of streaming */
        n = 0;
        for (uint32_t i = 0; i < l->count; i++) {
            const struct pw_slice *part[2] = {&l->pair[i].name, &l->pair[i].value};

            for (uint32_t j = 0; j < 2; j++) {
                if (part[j]->len != 0) {
                    memcpy(buf + n, part[j]->ptr, part[j]->len);
                }
                n += part[j]->len;
                buf[n++] = sep;
            }
        }
        return pw_xxh64(buf, n);
    }
    XXH64_reset(&st, 0);
    for (uint32_t i = 0; i < l->count; i++) {
        XXH64_update(&st, l->pair[i].name.ptr, l->pair[i].name.len);
        XXH64_update(&st, &sep, 1);
        XXH64_update(&st, l->pair[i].value.ptr, l->pair[i].value.len);
        XXH64_update(&st, &sep, 1);
    }
    return XXH64_digest(&st);
}
