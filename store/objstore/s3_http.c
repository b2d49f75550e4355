#include "store/objstore/s3_http.h"

#include "base/clock.h"
#include "store/objstore/backend.h"
#include "store/objstore/s3_xml.h"
#include "store/objstore/sigv4.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    CONNECT_TIMEOUT_MS = 10000,
    STALL_SECONDS = 30, /* less than a byte a second for so long ends an attempt */
    URL_MAX = 8 * PW_OBJECT_KEY_MAX,
    ERROR_BODY_MAX = 16 * 1024,
    POLL_MS_MAX = 1000,
    HEADERS_SIGNED_MAX = 4,
    SERVICE_REGION_MAX = 64,
};

struct pw_s3_http {
    const struct pw_s3_cfg *cfg;
    const atomic_bool *stop;
    uint32_t patience_ms;
    CURLM *multi;
    char region[SERVICE_REGION_MAX];
    char base_url[512]; /* scheme and host, with the bucket when path style */
    char host[320];     /* the Host header, as it is signed */
    char path[320];     /* "" or "/bucket" */
    uint64_t jitter;    /* xorshift state */
    _Atomic uint64_t retries;
};

/* One attempt under way. */
struct transfer {
    struct pw_s3_request *req;
    CURL *easy;
    struct curl_slist *headers;
    struct pw_slice unsent;
    struct pw_text error_body;
    size_t reply_start; /* of req->reply->len, to undo a failed attempt */
    bool reply_too_long;
    char error[CURL_ERROR_SIZE];
};

/* auto: AWS has every bucket as a host name, others seldom do; a dot in the bucket's name would not
 * match a wildcard certificate. */
static bool
virtual_hosted(const struct pw_s3_cfg *cfg)
{
    static const char aws[] = ".amazonaws.com";
    size_t len = strcspn(cfg->endpoint, ":");

    switch (cfg->lookup) {
    case PW_S3_LOOKUP_PATH:
        return false;
    case PW_S3_LOOKUP_VIRTUAL:
        return true;
    case PW_S3_LOOKUP_AUTO:
    default:
        return len >= sizeof(aws) - 1 &&
               strncmp(cfg->endpoint + len - (sizeof(aws) - 1), aws, sizeof(aws) - 1) == 0 &&
               (cfg->insecure || strchr(cfg->bucket, '.') == NULL);
    }
}

int
pw_s3_http_open(struct pw_s3_http **out, const struct pw_s3_cfg *cfg, const atomic_bool *stop,
                uint32_t patience_ms, struct pw_objstore_why *why)
{
    struct pw_s3_http *http = calloc(1, sizeof(*http));

    if (http == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(http);
        return pw_objstore_fail(why, PW_ENOMEM, "out of memory");
    }
    *http = (struct pw_s3_http){
        .cfg = cfg, .stop = stop, .patience_ms = patience_ms, .multi = curl_multi_init()};
    http->jitter = (uint64_t)pw_mono_ms() * 0x9E3779B97F4A7C15U ^ (uintptr_t)http;
    if (virtual_hosted(cfg)) {
        snprintf(http->host, sizeof(http->host), "%s.%s", cfg->bucket, cfg->endpoint);
    } else {
        snprintf(http->host, sizeof(http->host), "%s", cfg->endpoint);
        snprintf(http->path, sizeof(http->path), "/%s", cfg->bucket);
    }
    snprintf(http->base_url, sizeof(http->base_url), "%s://%s", cfg->insecure ? "http" : "https",
             http->host);
    pw_s3_http_set_region(http, cfg->region);
    if (http->multi == NULL) {
        pw_s3_http_close(http);
        return pw_objstore_fail(why, PW_ENOMEM, "out of memory");
    }
    *out = http;
    return 0;
}

void
pw_s3_http_close(struct pw_s3_http *http)
{
    if (http == NULL) {
        return;
    }
    curl_multi_cleanup(http->multi);
    curl_global_cleanup();
    free(http);
}

void
pw_s3_http_set_region(struct pw_s3_http *http, const char *region)
{
    snprintf(http->region, sizeof(http->region), "%s", region);
}

uint64_t
pw_s3_http_retries(const struct pw_s3_http *http)
{
    return atomic_load_explicit(&http->retries, memory_order_relaxed);
}

/* ---- callbacks of libcurl --------------------------------------------------------------------- */

static size_t
on_body(char *data, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    struct pw_s3_request *req = t->req;
    long status = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300 || req->reply == NULL) {
        pw_text_put(&t->error_body, data, n); /* cut at its limit: only its beginning is read */
        return n;
    }
    pw_text_put(req->reply, data, n);
    t->reply_too_long = req->reply->failed;
    return req->reply->failed ? 0 : n;
}

static size_t
on_send(char *to, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    size_t len = t->unsent.len < size * n ? t->unsent.len : size * n;

    if (len > 0) {
        memcpy(to, t->unsent.ptr, len);
        t->unsent = pw_slice(t->unsent.ptr + len, t->unsent.len - len);
    }
    return len;
}

/* libcurl rewinds when a kept connection turns out to be closed. */
static int
on_seek(void *user, curl_off_t offset, int origin)
{
    struct transfer *t = user;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->req->body.len) {
        return CURL_SEEKFUNC_FAIL;
    }
    t->unsent = pw_slice(t->req->body.ptr + offset, t->req->body.len - (size_t)offset);
    return CURL_SEEKFUNC_OK;
}

static size_t
on_header(char *line, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    static const char name[] = "etag:";
    size_t from = sizeof(name) - 1, to = n;

    if (n > from && pw_slice_caseeq_str(pw_slice(line, from), name)) {
        while (from < to && line[from] == ' ') {
            from++;
        }
        while (to > from && (line[to - 1] == '\r' || line[to - 1] == '\n')) {
            to--;
        }
        snprintf(t->req->etag, sizeof(t->req->etag), "%.*s", (int)(to - from), line + from);
    }
    return n;
}

/* ---- one attempt ------------------------------------------------------------------------------ */

static void
add_header(struct transfer *t, const char *name, const char *value)
{
    char line[2048];
    struct curl_slist *longer;

    snprintf(line, sizeof(line), "%.63s: %.1900s", name, value);
    longer = curl_slist_append(t->headers, line);
    t->headers = longer != NULL ? longer : t->headers;
}

/* Signs the request as of now. Only what every request has is signed: Range and Content-Type may be. */
static int
sign(const struct pw_s3_http *http, struct transfer *t, const char *path)
{
    const struct pw_s3_request *req = t->req;
    char hash[PW_SHA256_HEX + 1], date[PW_SIGV4_DATE_LEN + 1], auth_buf[1024];
    time_t now = time(NULL);
    struct pw_text auth;
    struct tm tm;

    strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    if (pw_sha256_hex(req->body, hash) != 0) {
        return PW_EINVAL;
    }
    const struct pw_sigv4_header header[] = {
        {"host", http->host},
        {"x-amz-content-sha256", hash},
        {"x-amz-date", date},
    };
    pw_text_fixed(&auth, auth_buf, sizeof(auth_buf) - 1);
    int rc = pw_sigv4_authorization(
        &(struct pw_sigv4_key){.access_key_id = http->cfg->access_key_id,
                               .secret_access_key = http->cfg->secret_access_key,
                               .region = http->region,
                               .service = "s3"},
        &(struct pw_sigv4_request){.method = req->method,
                                   .path = path,
                                   .query = req->query,
                                   .header = header,
                                   .header_count = PW_ARRAY_LEN(header),
                                   .payload_sha256 = hash,
                                   .date = date},
        &auth);
    if (rc != 0) {
        return rc;
    }
    auth_buf[auth.len] = 0;
    add_header(t, "Host", http->host);
    add_header(t, "x-amz-content-sha256", hash);
    add_header(t, "x-amz-date", date);
    add_header(t, "Authorization", auth_buf);
    return 0;
}

static void
set_method(struct transfer *t)
{
    const struct pw_s3_request *req = t->req;
    bool sends = strcmp(req->method, "PUT") == 0 || strcmp(req->method, "POST") == 0;

    if (strcmp(req->method, "HEAD") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    } else if (sends) {
        curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, req->method);
        curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)req->body.len);
        curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
        curl_easy_setopt(t->easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(t->easy, CURLOPT_SEEKDATA, t);
        add_header(t, "Content-Type", "application/octet-stream");
        add_header(t, "Expect",
                   ""); /* a body of ours is refused for reasons that Expect cannot tell */
    } else {
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, req->method);
    }
    if (req->range_len == UINT64_MAX) {
        char range[64];

        snprintf(range, sizeof(range), "%ju-", (uintmax_t)req->range_from);
        curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
    } else if (req->range_len > 0) {
        char range[64];

        snprintf(range, sizeof(range), "%ju-%ju", (uintmax_t)req->range_from,
                 (uintmax_t)(req->range_from + req->range_len - 1));
        curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
    }
}

static void
set_transport(const struct pw_s3_http *http, struct transfer *t, const char *url)
{
    curl_easy_setopt(t->easy, CURLOPT_URL, url);
    curl_easy_setopt(t->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, http->cfg->insecure ? "http" : "https");
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_FILETIME, 1L);
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    if (http->cfg->ca_path != NULL && http->cfg->ca_path[0] != 0) {
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, http->cfg->ca_path);
    }
}

static void
transfer_free(struct pw_s3_http *http, struct transfer *t)
{
    if (t->easy != NULL) {
        curl_multi_remove_handle(http->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    pw_text_fini(&t->error_body);
    t->req->transfer = NULL;
    free(t);
}

static int
begin(struct pw_s3_http *http, struct pw_s3_request *req, struct pw_objstore_why *why)
{
    uint8_t path_buf[URL_MAX], url_buf[URL_MAX + 1024];
    struct pw_text path, url;
    struct transfer *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        return pw_objstore_fail(why, PW_ENOMEM, "out of memory");
    }
    *t = (struct transfer){.req = req, .easy = curl_easy_init(), .unsent = req->body};
    req->transfer = t;
    req->attempts++;
    t->reply_start = req->reply != NULL ? req->reply->len : 0;
    pw_text_init(&t->error_body, ERROR_BODY_MAX);
    pw_text_fixed(&path, path_buf, sizeof(path_buf));
    pw_text_str(&path, http->path);
    if (http->path[0] == 0 || req->key[0] != 0) {
        pw_text_char(&path, '/');
    }
    pw_sigv4_encode(&path, pw_slice_str(req->key), true);
    pw_text_char(&path, 0);
    pw_text_fixed(&url, url_buf, sizeof(url_buf));
    pw_text_printf(&url, "%s%s%s%s%c", http->base_url, (char *)path_buf,
                   req->query[0] != 0 ? "?" : "", req->query, 0);
    if (t->easy == NULL || path.failed || url.failed || sign(http, t, (char *)path_buf) != 0) {
        transfer_free(http, t);
        return pw_objstore_fail(why, PW_ENOMEM, "bucket \"%s\": %.200s: no room for the request",
                                http->cfg->bucket, req->key);
    }
    set_transport(http, t, (char *)url_buf);
    set_method(t);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    curl_multi_add_handle(http->multi, t->easy);
    return 0;
}

/* ---- its end ---------------------------------------------------------------------------------- */

/* What one status means, and whether another attempt may mend it. */
static int
judge_status(long status, const struct pw_s3_error *e, bool *again)
{
    *again = status >= 500 || status == 429 || status == 408 ||
             strcmp(e->code, "RequestTimeout") == 0 || strcmp(e->code, "SlowDown") == 0;
    if (status >= 200 && status < 300) {
        return 0;
    }
    switch (status) {
    case 404:
        return PW_ENOENT;
    case 401:
    case 403:
        return PW_EPERM;
    case 416:
        return PW_ERANGE;
    default:
        return status == 400 && !*again ? PW_EINVAL : PW_EIO;
    }
}

static int
fail_status(const struct pw_s3_http *http, const struct pw_s3_request *req, int rc,
            const struct pw_s3_error *e, struct pw_objstore_why *why)
{
    char in_region[SERVICE_REGION_MAX + 40] = "";

    if (e->region[0] != 0) {
        snprintf(in_region, sizeof(in_region), "; the bucket's region is %s", e->region);
    }
    return pw_objstore_fail(
        why, rc, "bucket \"%s\" at %s: %s %.200s: status %ld%s%s%s%.200s%s", http->cfg->bucket,
        http->cfg->endpoint, req->method, req->key[0] != 0 ? req->key : "(the bucket)", req->status,
        e->code[0] != 0 ? " " : "", e->code, e->message[0] != 0 ? ": " : "", e->message, in_region);
}

static bool
curl_may_pass(CURLcode code)
{
    switch ((int)code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_WRITE_ERROR:
        return false;
    default:
        return true;
    }
}

/* Reads what came of the attempt into req; sets *again when it is worth another one. */
static void
conclude(struct pw_s3_http *http, struct transfer *t, CURLcode code, bool *again,
         struct pw_objstore_why *why)
{
    struct pw_s3_request *req = t->req;
    curl_off_t size = -1, mtime = -1;
    struct pw_s3_error e = {0};

    *again = false;
    if (t->reply_too_long) {
        req->rc = pw_objstore_fail(why, PW_EMSGSIZE, "bucket \"%s\": %.200s: more than %zu bytes",
                                   http->cfg->bucket, req->key, req->reply->limit);
        return;
    }
    if (code != CURLE_OK) {
        *again = curl_may_pass(code);
        req->rc = pw_objstore_fail(why, code == CURLE_OPERATION_TIMEDOUT ? PW_ETIMEDOUT : PW_EIO,
                                   "bucket \"%s\" at %s: %s %.200s: %s", http->cfg->bucket,
                                   http->cfg->endpoint, req->method,
                                   req->key[0] != 0 ? req->key : "(the bucket)",
                                   t->error[0] != 0 ? t->error : curl_easy_strerror(code));
        return;
    }
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &req->status);
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    curl_easy_getinfo(t->easy, CURLINFO_FILETIME_T, &mtime);
    req->size = size > 0 ? (uint64_t)size : 0;
    if (mtime < 0 || __builtin_mul_overflow((int64_t)mtime, INT64_C(1000000000), &req->mtime_ns)) {
        req->mtime_ns = 0;
    }
    pw_s3_xml_error(pw_slice(t->error_body.ptr, t->error_body.len), &e);
    req->rc = judge_status(req->status, &e, again);
    if (req->rc == 0 && req->range_from > 0 && req->status != 206) {
        req->rc = PW_EPROTO; /* the whole object where a range was asked for */
    }
    snprintf(req->region, sizeof(req->region), "%s", e.region);
    if (req->rc != 0) {
        fail_status(http, req, req->rc, &e, why);
    }
}

/* Full jitter: anything up to the exponential bound, so that clients that failed together do not come
 * back together. */
static int64_t
backoff_ms(struct pw_s3_http *http, uint32_t attempts)
{
    int64_t bound = PW_S3_BACKOFF_FIRST_MS;

    for (uint32_t i = 1; i < attempts && bound < PW_S3_BACKOFF_MAX_MS; i++) {
        bound *= 2;
    }
    bound = bound < PW_S3_BACKOFF_MAX_MS ? bound : PW_S3_BACKOFF_MAX_MS;
    http->jitter ^= http->jitter << 13;
    http->jitter ^= http->jitter >> 7;
    http->jitter ^= http->jitter << 17;
    return 1 + (int64_t)(http->jitter % (uint64_t)bound);
}

/* The state of one pw_s3_http_run. */
struct run {
    struct pw_s3_request *req;
    uint32_t n, done, running;
    int rc;
};

/* Whether all attempts are to end now. */
static bool
is_over(const struct pw_s3_http *http, int64_t began_ms, struct pw_objstore_why *why)
{
    if (http->stop != NULL && atomic_load_explicit(http->stop, memory_order_relaxed)) {
        pw_objstore_fail(why, PW_ETIMEDOUT, "bucket \"%s\": given up, stopping", http->cfg->bucket);
        return true;
    }
    if (http->patience_ms != 0 && pw_mono_ms() - began_ms >= http->patience_ms) {
        pw_objstore_fail(why, PW_ETIMEDOUT, "bucket \"%s\" at %s: no answer within %u ms",
                         http->cfg->bucket, http->cfg->endpoint, http->patience_ms);
        return true;
    }
    return false;
}

static void
finish_transfer(struct pw_s3_http *http, struct run *run, struct transfer *t, CURLcode code,
                struct pw_objstore_why *why)
{
    struct pw_s3_request *req = t->req;
    struct pw_objstore_why this_why = {""};
    bool again;

    conclude(http, t, code, &again, &this_why);
    if (req->rc != 0 && req->reply != NULL) {
        req->reply->len = t->reply_start;
    }
    transfer_free(http, t);
    run->running--;
    if (req->rc != 0 && again && req->attempts < PW_S3_ATTEMPTS_MAX && run->rc == 0) {
        req->not_before_ms = pw_mono_ms() + backoff_ms(http, req->attempts);
        atomic_fetch_add_explicit(&http->retries, 1, memory_order_relaxed);
        return;
    }
    run->done++;
    req->not_before_ms = INT64_MAX;
    if (req->rc != 0 && run->rc == 0) {
        run->rc = req->rc;
        *why = this_why;
    }
}

/* Begins what may be begun; returns the milliseconds until the next one may. */
static int
begin_due(struct pw_s3_http *http, struct run *run, struct pw_objstore_why *why)
{
    int64_t now = pw_mono_ms(), wait = POLL_MS_MAX;

    for (uint32_t i = 0; i < run->n && run->rc == 0; i++) {
        struct pw_s3_request *req = &run->req[i];

        if (req->transfer != NULL || req->not_before_ms == INT64_MAX) {
            continue;
        }
        if (req->not_before_ms > now) {
            wait = req->not_before_ms - now < wait ? req->not_before_ms - now : wait;
        } else if (run->running < PW_S3_PARALLEL_MAX) {
            run->rc = begin(http, req, why);
            run->running += run->rc == 0;
        }
    }
    return (int)wait;
}

int
pw_s3_http_run(struct pw_s3_http *http, struct pw_s3_request *req, uint32_t n,
               struct pw_objstore_why *why)
{
    struct run run = {.req = req, .n = n};
    int64_t began_ms = pw_mono_ms();

    while (run.done < n && (run.rc == 0 || run.running > 0)) {
        int wait = begin_due(http, &run, why), left = 0;
        CURLMsg *msg;

        curl_multi_perform(http->multi, &left);
        while ((msg = curl_multi_info_read(http->multi, &left)) != NULL) {
            char *owner = NULL;

            curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &owner);
            finish_transfer(http, &run, (struct transfer *)(void *)owner, msg->data.result, why);
            wait = 0;
        }
        if (run.done < n && is_over(http, began_ms, why)) {
            run.rc = PW_ETIMEDOUT;
            break;
        }
        if (run.done < n && wait > 0) {
            curl_multi_poll(http->multi, NULL, 0, wait, NULL);
        }
    }
    for (uint32_t i = 0; i < n; i++) { /* left over only when it was over */
        if (req[i].transfer != NULL) {
            transfer_free(http, req[i].transfer);
        }
    }
    return run.rc;
}
