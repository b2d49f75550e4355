#include "store/block/block_out.h"

#include "base/crc32c.h"

#include <stdio.h>

void
pw_block_error_file(struct pw_block_error *err, const char *path, const char *what, int rc)
{
    snprintf(err->text, sizeof(err->text), "%.*s: %s: %s", PW_BLOCK_ERROR_BYTES * 2 / 3, path, what,
             pw_err_text(rc));
}

static void
fail(struct pw_block_out *o, int rc, const char *what)
{
    if (o->rc == 0) {
        o->rc = rc;
        o->what = what;
    }
}

void
pw_block_out_create(struct pw_block_out *o, const struct pw_fs *fs, const char *dir,
                    const char *name)
{
    int n;

    o->fs = fs;
    o->offset = o->written = 0;
    o->fd = -1;
    o->rc = 0;
    o->what = "";
    o->crc = 0;
    o->used = 0;
    n = snprintf(o->path, sizeof(o->path), "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof(o->path)) {
        fail(o, PW_EMSGSIZE, "path");
        return;
    }
    o->fd = fs->open(fs->ctx, o->path, PW_FS_CREATE);
    if (o->fd < 0) {
        fail(o, o->fd, "create");
    }
}

/* p goes where the file ends now, in pieces: a kernel that does not preempt itself keeps the CPU for all of one
 * write (10 ms were seen for some MiB, whose pages have to be found first), and the log's writer and the NIC's
 * kernel half wait for it. */
static void
write_all(struct pw_block_out *o, const uint8_t *p, size_t len)
{
    while (o->rc == 0 && len > 0) {
        size_t n = len < PW_BLOCK_OUT_PIECE ? len : PW_BLOCK_OUT_PIECE;
        int rc = pw_fs_write_all_cold(o->fs, o->fd, p, n, o->written);

        o->written += n;
        p += n;
        len -= n;
        if (rc != 0) {
            fail(o, rc, "write");
        }
    }
}

static void
flush(struct pw_block_out *o)
{
    write_all(o, o->buffer, o->used);
    o->used = 0;
}

void
pw_block_out_put(struct pw_block_out *o, const void *data, size_t len)
{
    if (o->rc != 0 || len == 0) {
        return;
    }
    o->crc = pw_crc32c(o->crc, data, len);
    o->offset += len;
    if (len > sizeof(o->buffer) - o->used) {
        flush(o);
    }
    if (len >= sizeof(o->buffer)) {
        write_all(o, data, len);
        return;
    }
    memcpy(o->buffer + o->used, data, len);
    o->used += len;
}

void
pw_block_out_align(struct pw_block_out *o, uint32_t pow2)
{
    static const uint8_t zero[16];

    while (o->rc == 0 && o->offset % pow2 != 0) {
        size_t n = pow2 - (size_t)(o->offset % pow2);

        pw_block_out_put(o, zero, n < sizeof(zero) ? n : sizeof(zero));
    }
}

void
pw_block_out_abandon(struct pw_block_out *o)
{
    if (o->fd >= 0) {
        (void)o->fs->close(o->fs->ctx, o->fd);
        o->fd = -1;
    }
}

int
pw_block_out_finish(struct pw_block_out *o, struct pw_block_error *err)
{
    int rc;

    if (o->rc == 0) {
        flush(o);
    }
    if (o->rc == 0 && (rc = o->fs->sync(o->fs->ctx, o->fd)) != 0) {
        fail(o, rc, "sync");
    }
    if (o->fd >= 0) {
        rc = o->fs->close(o->fs->ctx, o->fd);
        o->fd = -1;
        if (rc != 0) {
            fail(o, rc, "close");
        }
    }
    if (o->rc != 0) {
        pw_block_error_file(err, o->path, o->what, o->rc);
    }
    return o->rc;
}
