#include "query/regex_cache.h"

#include <stdlib.h>

struct pw_regex_cache_entry {
    struct pw_regex_cache_entry *next;
    struct pw_regex *regex;
    size_t len;
    uint8_t pattern[];
};

int
pw_regex_cache_init_cold(struct pw_regex_cache *c)
{
    *c = (struct pw_regex_cache){.scratch = pw_regex_scratch_new_cold()};
    return c->scratch == NULL ? PW_ENOMEM : 0;
}

static void
free_entries(struct pw_regex_cache_entry *e)
{
    while (e != NULL) {
        struct pw_regex_cache_entry *next = e->next;

        pw_regex_free_cold(e->regex);
        free(e);
        e = next;
    }
}

void
pw_regex_cache_fini_cold(struct pw_regex_cache *c)
{
    free_entries(c->entry);
    pw_regex_scratch_free_cold(c->scratch);
    *c = (struct pw_regex_cache){0};
}

void
pw_regex_cache_trim(struct pw_regex_cache *c)
{
    struct pw_regex_cache_entry **e = &c->entry;

    for (uint32_t i = 0; i < PW_REGEX_CACHE_MAX && *e != NULL; i++) {
        e = &(*e)->next;
    }
    free_entries(*e);
    *e = NULL;
}

int
pw_regex_cache_get(struct pw_regex_cache *c, struct pw_slice pattern, const struct pw_regex **out,
                   char *err_text, size_t err_cap)
{
    struct pw_regex_cache_entry *e;
    int rc;

    for (struct pw_regex_cache_entry **p = &c->entry; *p != NULL; p = &(*p)->next) {
        e = *p;
        if (pw_slice_eq(pw_slice(e->pattern, e->len), pattern)) {
            *p = e->next;
            e->next = c->entry;
            c->entry = e;
            *out = e->regex;
            return 0;
        }
    }
    e = malloc(sizeof(*e) + pattern.len);
    if (e == NULL) {
        return PW_ENOMEM;
    }
    rc = pw_regex_compile_cold(pattern, &e->regex, err_text, err_cap);
    if (rc == 0) {
        rc = pw_regex_scratch_fit_cold(c->scratch, e->regex);
        if (rc != 0) {
            pw_regex_free_cold(e->regex);
        }
    }
    if (rc != 0) {
        free(e);
        return rc;
    }
    e->len = pattern.len;
    if (pattern.len > 0) {
        memcpy(e->pattern, pattern.ptr, pattern.len);
    }
    e->next = c->entry;
    c->entry = e;
    *out = e->regex;
    return 0;
}
