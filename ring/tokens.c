#include "ring/tokens.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 32 + 12 * PW_RING_TOKENS_MAX };

/* splitmix64: uniform, and the same from the same seed. */
static uint64_t
next(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9E3779B97F4A7C15U);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static int
by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void
sort_unique(struct pw_tokens *t)
{
    uint32_t kept = 0;

    qsort(t->token, t->count, sizeof(t->token[0]), by_value);
    for (uint32_t i = 0; i < t->count; i++) {
        if (kept == 0 || t->token[kept - 1] != t->token[i]) {
            t->token[kept++] = t->token[i];
        }
    }
    t->count = kept;
}

static bool
has(const uint32_t *token, uint32_t count, uint32_t value)
{
    return count > 0 && bsearch(&value, token, count, sizeof(*token), by_value) != NULL;
}

static bool
is_taken(const struct pw_ring_desc *taken, uint32_t value)
{
    for (uint32_t i = 0; taken != NULL && i < taken->count; i++) {
        if (has(taken->instance[i].token, taken->instance[i].token_count, value)) {
            return true;
        }
    }
    return false;
}

void
pw_tokens_fill(struct pw_tokens *t, uint32_t want, const struct pw_ring_desc *taken, uint64_t *seed)
{
    want = want < PW_RING_TOKENS_MAX ? want : PW_RING_TOKENS_MAX;
    while (t->count < want) {
        uint32_t missing = want - t->count, kept = t->count;

        for (uint32_t i = 0; i < missing; i++) {
            uint32_t value = (uint32_t)(next(seed) >> 32);

            if (!has(t->token, kept, value) && !is_taken(taken, value)) {
                t->token[t->count++] = value;
            }
        }
        sort_unique(t);
    }
}

void
pw_tokens_trim(struct pw_tokens *t, uint32_t want, uint64_t *seed)
{
    while (t->count > want) {
        uint32_t i = (uint32_t)(next(seed) % t->count);

        t->count--;
        memmove(&t->token[i], &t->token[i + 1], (t->count - i) * sizeof(t->token[0]));
    }
}

void
pw_tokens_set(struct pw_tokens *t, const uint32_t *token, uint32_t count)
{
    t->count = count < PW_RING_TOKENS_MAX ? count : PW_RING_TOKENS_MAX;
    if (t->count > 0) {
        memcpy(t->token, token, t->count * sizeof(*token));
    }
    sort_unique(t);
}

bool
pw_tokens_equal(const struct pw_tokens *t, const uint32_t *token, uint32_t count)
{
    return t->count == count &&
           (count == 0 || memcmp(t->token, token, count * sizeof(*token)) == 0);
}

/* --- The file --------------------------------------------------------------------------------- */

static int
read_json(struct pw_tokens *t, const void *bytes, size_t len)
{
    json_t *root = json_loadb(bytes, len, 0, NULL);
    json_t *list = json_object_get(root, "tokens");
    size_t n = json_array_size(list);
    int rc = json_is_array(list) && n <= PW_RING_TOKENS_MAX ? 0 : PW_EPROTO;

    t->count = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        const json_t *v = json_array_get(list, i);
        json_int_t value = json_integer_value(v);

        if (!json_is_integer(v) || value < 0 || value > UINT32_MAX) {
            rc = PW_EPROTO;
        } else {
            t->token[t->count++] = (uint32_t)value;
        }
    }
    json_decref(root);
    sort_unique(t);
    return rc;
}

int
pw_tokens_load_cold(struct pw_tokens *t, const struct pw_fs *fs, const char *path)
{
    char *bytes = malloc(FILE_BYTES_MAX);
    int fd = bytes == NULL ? PW_ENOMEM : fs->open(fs->ctx, path, PW_FS_READ);
    int64_t n;
    int rc;

    t->count = 0;
    if (fd < 0) {
        free(bytes);
        return fd;
    }
    n = pw_fs_read_all_cold(fs, fd, bytes, FILE_BYTES_MAX, 0);
    (void)fs->close(fs->ctx, fd);
    rc = n < 0 ? (int)n : n == FILE_BYTES_MAX ? PW_EPROTO : read_json(t, bytes, (size_t)n);
    if (rc != 0) {
        t->count = 0;
    }
    free(bytes);
    return rc;
}

static void
write_json(const struct pw_tokens *t, struct pw_text *out)
{
    pw_text_str(out, "{\"tokens\":[");
    for (uint32_t i = 0; i < t->count; i++) {
        pw_text_str(out, i > 0 ? "," : "");
        pw_text_u64(out, t->token[i]);
    }
    pw_text_str(out, "]}");
}

static int
write_beside(const struct pw_fs *fs, const char *beside, const struct pw_text *json)
{
    int fd, rc;

    (void)fs->unlink(fs->ctx, beside); /* of a start that was cut short */
    fd = fs->open(fs->ctx, beside, PW_FS_CREATE);
    if (fd < 0) {
        return fd;
    }
    rc = fs->write_sync(fs->ctx, fd, json->ptr, json->len, 0);
    (void)fs->close(fs->ctx, fd);
    return rc;
}

/* The folder a path lies in. */
static void
folder_of(const char *path, char *folder, size_t cap)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        snprintf(folder, cap, ".");
    } else {
        snprintf(folder, cap, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    }
}

int
pw_tokens_store_cold(const struct pw_tokens *t, const struct pw_fs *fs, const char *path)
{
    char beside[PW_FS_PATH_MAX], folder[PW_FS_PATH_MAX];
    struct pw_text json;
    int rc;

    if (snprintf(beside, sizeof(beside), "%s.tmp", path) >= (int)sizeof(beside)) {
        return PW_EMSGSIZE;
    }
    pw_text_init(&json, FILE_BYTES_MAX);
    write_json(t, &json);
    rc = json.failed ? PW_ENOMEM : write_beside(fs, beside, &json);
    pw_text_fini(&json);
    rc = rc != 0 ? rc : fs->rename(fs->ctx, beside, path);
    if (rc != 0) {
        return rc;
    }
    folder_of(path, folder, sizeof(folder));
    return fs->sync_dir(fs->ctx, folder);
}
