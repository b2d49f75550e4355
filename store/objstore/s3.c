/* The bucket behind an S3 endpoint (contract storage.md 6): PUT, multipart above one part, ranged GET,
 * HEAD, ListObjectsV2, DELETE. */
#include "store/objstore/backend.h"
#include "store/objstore/s3_http.h"
#include "store/objstore/s3_xml.h"
#include "store/objstore/sigv4.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    S3_PART_BYTES = 16 << 20,
    S3_PARTS_MAX = 10000, /* of the S3 API */
    S3_PAGE_BYTES_MAX = 8 << 20,
    S3_QUERY_MAX = 2 * PW_S3_FIELD_MAX,
};

struct s3 {
    struct pw_s3_cfg cfg;
    struct pw_s3_http *http;
    bool region_known;
};

/* Requests are signed for a region; a server that was not told which is asked once. AWS answers this
 * one for any region, others refuse it and name the right one. */
static int
ensure_region(struct s3 *s3, struct pw_objstore_why *why)
{
    struct pw_s3_request req = {.method = "GET", .key = "", .query = "location="};
    struct pw_text reply;
    char region[64];
    int rc;

    if (s3->region_known) {
        return 0;
    }
    pw_s3_http_set_region(s3->http, "us-east-1");
    pw_text_init(&reply, S3_PAGE_BYTES_MAX);
    req.reply = &reply;
    rc = pw_s3_http_run(s3->http, &req, 1, why);
    if (rc == PW_EINVAL && req.region[0] != 0) {
        snprintf(region, sizeof(region), "%s", req.region);
        rc = 0;
    } else if (rc == 0 && pw_s3_xml_text(pw_slice(reply.ptr, reply.len), "LocationConstraint",
                                         region, sizeof(region)) != 0) {
        rc = pw_objstore_fail(why, PW_EPROTO,
                              "bucket \"%s\" at %s: the answer to GetBucketLocation is not S3's",
                              s3->cfg.bucket, s3->cfg.endpoint);
    }
    if (rc == 0) {
        pw_s3_http_set_region(s3->http, region[0] != 0 ? region : "us-east-1");
        s3->region_known = true;
    }
    pw_text_fini(&reply);
    return rc;
}

static int
run_one(struct s3 *s3, struct pw_s3_request *req, struct pw_objstore_why *why)
{
    int rc = ensure_region(s3, why);

    return rc != 0 ? rc : pw_s3_http_run(s3->http, req, 1, why);
}

/* ---- multipart -------------------------------------------------------------------------------- */

struct multipart {
    struct pw_s3_request *part;
    char (*query)[S3_QUERY_MAX];
    uint32_t parts;
    char id[PW_S3_FIELD_MAX];         /* as the server said it */
    char id_encoded[PW_S3_FIELD_MAX]; /* in a query */
};

static int
multipart_begin(struct s3 *s3, const char *key, struct multipart *m, struct pw_objstore_why *why)
{
    struct pw_text reply, encoded;
    int rc;

    pw_text_init(&reply, S3_PAGE_BYTES_MAX);
    rc = run_one(
        s3,
        &(struct pw_s3_request){.method = "POST", .key = key, .query = "uploads=", .reply = &reply},
        why);
    if (rc == 0 &&
        (pw_s3_xml_text(pw_slice(reply.ptr, reply.len), "UploadId", m->id, sizeof(m->id)) != 0 ||
         m->id[0] == 0)) {
        rc = pw_objstore_fail(why, PW_EPROTO, "bucket \"%s\": %s: no upload id was given",
                              s3->cfg.bucket, key);
    }
    pw_text_fini(&reply);
    pw_text_fixed(&encoded, m->id_encoded, sizeof(m->id_encoded));
    pw_sigv4_encode(&encoded, pw_slice_str(m->id), false);
    pw_text_char(&encoded, 0);
    if (rc == 0 && encoded.failed) {
        rc = pw_objstore_fail(why, PW_EPROTO, "bucket \"%s\": %s: upload id is too long",
                              s3->cfg.bucket, key);
    }
    return rc;
}

static int
multipart_send(struct s3 *s3, const char *key, struct pw_slice body, struct multipart *m,
               struct pw_objstore_why *why)
{
    for (uint32_t i = 0; i < m->parts; i++) {
        size_t from = (size_t)i * S3_PART_BYTES;
        size_t len = body.len - from < S3_PART_BYTES ? body.len - from : S3_PART_BYTES;

        snprintf(m->query[i], S3_QUERY_MAX, "partNumber=%u&uploadId=%s", i + 1, m->id_encoded);
        m->part[i] = (struct pw_s3_request){.method = "PUT",
                                            .key = key,
                                            .query = m->query[i],
                                            .body = pw_slice(body.ptr + from, len)};
    }
    return pw_s3_http_run(s3->http, m->part, m->parts, why);
}

/* The API says 200 before it has put the parts together, blanks while it does, and then what came of it: an Error, or, when
 * it or something between us dies meanwhile, nothing. Only its own result says that the object is there. */
static int
multipart_judge(const struct s3 *s3, const char *key, struct pw_slice reply,
                struct pw_objstore_why *why)
{
    struct pw_s3_error e;

    while (reply.len > 0 && strchr(" \t\r\n", reply.ptr[0]) != NULL) {
        reply = pw_slice(reply.ptr + 1, reply.len - 1);
    }
    pw_s3_xml_error(reply, &e);
    if (e.code[0] != 0) {
        return pw_objstore_fail(why, PW_EIO, "bucket \"%s\": %s: %s: %s", s3->cfg.bucket, key,
                                e.code, e.message);
    }
    return pw_s3_xml_is(reply, "CompleteMultipartUploadResult") == 0
               ? 0
               : pw_objstore_fail(
                     why, PW_EPROTO,
                     "bucket \"%s\": %s: the answer does not say that the parts were put "
                     "together",
                     s3->cfg.bucket, key);
}

static int
multipart_end(struct s3 *s3, const char *key, struct multipart *m, struct pw_objstore_why *why)
{
    char query[S3_QUERY_MAX];
    struct pw_text body, reply;
    int rc;

    pw_text_init(&body, S3_PAGE_BYTES_MAX);
    pw_text_init(&reply, S3_PAGE_BYTES_MAX);
    pw_text_str(&body, "<CompleteMultipartUpload>");
    for (uint32_t i = 0; i < m->parts; i++) {
        pw_text_printf(&body, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", i + 1,
                       m->part[i].etag);
    }
    pw_text_str(&body, "</CompleteMultipartUpload>");
    snprintf(query, sizeof(query), "uploadId=%s", m->id_encoded);
    rc = run_one(s3,
                 &(struct pw_s3_request){.method = "POST",
                                         .key = key,
                                         .query = query,
                                         .body = pw_slice(body.ptr, body.len),
                                         .reply = &reply},
                 why);
    rc = rc != 0 ? rc : multipart_judge(s3, key, pw_slice(reply.ptr, reply.len), why);
    pw_text_fini(&body);
    pw_text_fini(&reply);
    return rc;
}

/* Parts of an upload that is not ended cost its owner money until they are taken back. */
static void
multipart_abort(struct s3 *s3, const char *key, const struct multipart *m)
{
    struct pw_objstore_why ignored;
    char query[S3_QUERY_MAX];

    snprintf(query, sizeof(query), "uploadId=%s", m->id_encoded);
    /* It failed already, and the bucket's own lifecycle rule is the second net. */
    (void)!run_one(s3, &(struct pw_s3_request){.method = "DELETE", .key = key, .query = query},
                   &ignored);
}

static int
put_multipart(struct s3 *s3, const char *key, struct pw_slice body, struct pw_objstore_why *why)
{
    struct multipart *m = calloc(1, sizeof(*m));
    int rc = PW_ENOMEM;

    if (m != NULL) {
        m->parts = (uint32_t)((body.len + S3_PART_BYTES - 1) / S3_PART_BYTES);
        m->part = calloc(m->parts, sizeof(*m->part));
        m->query = calloc(m->parts, sizeof(*m->query));
    }
    if (m == NULL || m->part == NULL || m->query == NULL) {
        pw_objstore_fail(why, rc, "out of memory");
    } else if ((rc = multipart_begin(s3, key, m, why)) == 0) {
        rc = multipart_send(s3, key, body, m, why);
        if (rc == 0) {
            rc = multipart_end(s3, key, m, why);
        }
        if (rc != 0) {
            multipart_abort(s3, key, m);
        }
    }
    if (m != NULL) {
        free(m->part);
        free(m->query);
    }
    free(m);
    return rc;
}

/* ---- the table -------------------------------------------------------------------------------- */

static int
s3_put(void *ctx, const char *key, struct pw_slice body, struct pw_objstore_why *why)
{
    struct s3 *s3 = ctx;

    if (body.len > (size_t)S3_PART_BYTES * S3_PARTS_MAX) {
        return pw_objstore_fail(why, PW_EMSGSIZE, "bucket \"%s\": %s: %zu bytes are too many",
                                s3->cfg.bucket, key, body.len);
    }
    if (body.len > S3_PART_BYTES) {
        return put_multipart(s3, key, body, why);
    }
    return run_one(
        s3, &(struct pw_s3_request){.method = "PUT", .key = key, .query = "", .body = body}, why);
}

static int
s3_get(void *ctx, const char *key, uint64_t from, uint64_t len, struct pw_text *out,
       struct pw_objstore_why *why)
{
    struct pw_s3_request req = {.method = "GET",
                                .key = key,
                                .query = "",
                                .reply = out,
                                .range_from = from,
                                .range_len = from == 0 && len == UINT64_MAX ? 0 : len};

    return len == 0 ? 0 : run_one(ctx, &req, why);
}

static int
s3_stat(void *ctx, const char *key, struct pw_object_info *info, struct pw_objstore_why *why)
{
    struct pw_s3_request req = {.method = "HEAD", .key = key, .query = ""};
    int rc = run_one(ctx, &req, why);

    *info = (struct pw_object_info){.size = req.size, .mtime_ns = req.mtime_ns};
    return rc;
}

/* One page of ListObjectsV2 from `token` ("" the first); parameters sorted as the signature wants. */
static int
list_page(struct s3 *s3, const char *dir, bool deep, const char *token, uint32_t max_keys,
          struct pw_text *reply, struct pw_objstore_why *why)
{
    char query[S3_QUERY_MAX * 2];
    struct pw_text t;

    pw_text_fixed(&t, query, sizeof(query));
    if (token[0] != 0) {
        pw_text_str(&t, "continuation-token=");
        pw_sigv4_encode(&t, pw_slice_str(token), false);
        pw_text_char(&t, '&');
    }
    pw_text_printf(&t, "%sencoding-type=url&list-type=2", deep ? "" : "delimiter=%2F&");
    if (max_keys > 0) {
        pw_text_printf(&t, "&max-keys=%u", max_keys);
    }
    pw_text_str(&t, "&prefix=");
    pw_sigv4_encode(&t, pw_slice_str(dir), false);
    pw_text_char(&t, 0);
    if (t.failed) {
        return pw_objstore_fail(why, PW_EPROTO, "bucket \"%s\": continuation token is too long",
                                s3->cfg.bucket);
    }
    return run_one(
        s3, &(struct pw_s3_request){.method = "GET", .key = "", .query = query, .reply = reply},
        why);
}

/* Tokens of a listing that goes round in a circle come again, however long it is (Brent's: one is kept, for twice as many
 * pages each time). */
struct tokens {
    char kept[PW_S3_FIELD_MAX]; /* "" none */
    uint64_t pages, keep_at;
};

/* False: nothing leads on from here. */
static bool
token_leads_on(struct tokens *t, const char *next)
{
    if (next[0] == 0 || strcmp(next, t->kept) == 0) {
        return false;
    }
    if (++t->pages >= t->keep_at) {
        t->keep_at = 2 * t->pages;
        snprintf(t->kept, sizeof(t->kept), "%s", next);
    }
    return true;
}

static int
s3_list(void *ctx, const char *dir, bool deep, pw_objstore_found_fn *found, void *arg,
        struct pw_objstore_why *why)
{
    struct pw_s3_list_page page = {.is_truncated = true};
    struct tokens tokens = {.pages = 0};
    struct s3 *s3 = ctx;
    int rc = 0;

    while (rc == 0 && page.is_truncated) {
        char token[PW_S3_FIELD_MAX];
        struct pw_text reply;

        snprintf(token, sizeof(token), "%s", page.next_token);
        pw_text_init(&reply, S3_PAGE_BYTES_MAX);
        rc = list_page(s3, dir, deep, token, 0, &reply, why);
        if (rc == 0) {
            rc = pw_s3_xml_list(pw_slice(reply.ptr, reply.len), found, arg, &page);
            if (rc == PW_EPROTO ||
                (rc == 0 && page.is_truncated && !token_leads_on(&tokens, page.next_token))) {
                rc = pw_objstore_fail(why, PW_EPROTO,
                                      "bucket \"%s\" at %s: the listing of \"%.200s\" is not S3's",
                                      s3->cfg.bucket, s3->cfg.endpoint, dir);
            }
        }
        pw_text_fini(&reply);
    }
    return rc;
}

static int
s3_remove(void *ctx, const char *key, struct pw_objstore_why *why)
{
    int rc =
        run_one(ctx, &(struct pw_s3_request){.method = "DELETE", .key = key, .query = ""}, why);

    return rc == PW_ENOENT ? 0 : rc;
}

static int
ignore_found(void *arg, const char *key, const struct pw_object_info *info)
{
    return 0;
}

static int
s3_check(void *ctx, struct pw_objstore_why *why)
{
    struct pw_s3_list_page page;
    struct pw_text reply;
    struct s3 *s3 = ctx;
    int rc;

    pw_text_init(&reply, S3_PAGE_BYTES_MAX);
    rc = list_page(s3, "", false, "", 1, &reply, why);
    if (rc == 0 && pw_s3_xml_list(pw_slice(reply.ptr, reply.len), ignore_found, NULL, &page) != 0) {
        rc = pw_objstore_fail(why, PW_EPROTO, "bucket \"%s\": what answers at %s is no S3 server",
                              s3->cfg.bucket, s3->cfg.endpoint);
    }
    pw_text_fini(&reply);
    return rc;
}

static uint64_t
s3_retries(const void *ctx)
{
    return pw_s3_http_retries(((const struct s3 *)ctx)->http);
}

static void
s3_close(void *ctx)
{
    struct s3 *s3 = ctx;

    pw_s3_http_close(s3->http);
    free(s3);
}

int
pw_objstore_s3_open(void **ctx, const struct pw_objstore_ops **ops,
                    const struct pw_objstore_cfg *cfg, struct pw_objstore_why *why)
{
    static const struct pw_objstore_ops s3_ops = {
        .check = s3_check,
        .put = s3_put,
        .get = s3_get,
        .stat = s3_stat,
        .list = s3_list,
        .remove = s3_remove,
        .retries = s3_retries,
        .close = s3_close,
    };
    struct s3 *s3;
    int rc;

    if (cfg->s3.endpoint[0] == 0 || cfg->s3.bucket[0] == 0) {
        return pw_objstore_fail(
            why, PW_EINVAL,
            "s3 needs -storage.s3.endpoint (host[:port]) and -storage.s3.bucket-name");
    }
    if (strstr(cfg->s3.endpoint, "//") != NULL) {
        return pw_objstore_fail(why, PW_EINVAL,
                                "-storage.s3.endpoint=%s: host[:port] without a scheme; "
                                "-storage.s3.insecure chooses http",
                                cfg->s3.endpoint);
    }
    s3 = calloc(1, sizeof(*s3));
    if (s3 == NULL) {
        return pw_objstore_fail(why, PW_ENOMEM, "out of memory");
    }
    s3->cfg = cfg->s3;
    s3->region_known = cfg->s3.region[0] != 0;
    rc = pw_s3_http_open(&s3->http, &s3->cfg, cfg->stop, cfg->patience_ms, why);
    if (rc != 0) {
        free(s3);
        return rc;
    }
    *ctx = s3;
    *ops = &s3_ops;
    return 0;
}
