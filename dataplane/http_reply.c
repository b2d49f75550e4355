/* dataplane/http_reply.c - writing replies: status line, fields, body, and what the stream would not
 * take at once.
 *
 * A reply's own bytes are built once in srv->reply and offered to the stream. Only when the stream
 * is short do they move to a buffer of the connection; a taken body is never copied here.
 */
#include "dataplane/http_conn_priv.h"

struct status_line {
    uint16_t status;
    const char *text;
};

static const char *
reason_phrase(uint16_t status)
{
    static const struct status_line known[] = {
        {200, "OK"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Request Entity Too Large"},
        {414, "Request URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "status code 499"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < PW_ARRAY_LEN(known); i++) {
        if (known[i].status == status) {
            return known[i].text;
        }
    }
    return "";
}

/* ---- Date, RFC 9110 5.6.7 ---------------------------------------------------------------- */

static uint8_t *
put_digits(uint8_t *p, uint32_t v, uint32_t digits)
{
    for (uint32_t i = digits; i > 0; i--) {
        p[i - 1] = (uint8_t)('0' + v % 10);
        v /= 10;
    }
    return p + digits;
}

/* Day, month and year of the proleptic Gregorian calendar; years run from March so that the leap day
 * comes last. Not gmtime_r: that one takes a lock. */
static void
format_date(char *out, int64_t unix_s)
{
    static const char day_name[7][5] = {"Thu,", "Fri,", "Sat,", "Sun,", "Mon,", "Tue,", "Wed,"};
    static const char month_name[12][4] = {"Mar", "Apr", "May", "Jun", "Jul", "Aug",
                                           "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"};
    uint64_t s = unix_s > 0 ? (uint64_t)unix_s : 0;
    uint64_t days = s / 86400;
    uint32_t sod = (uint32_t)(s % 86400);
    uint64_t z = days + 719468; /* days since 0000-03-01 */
    uint64_t era = z / 146097;
    uint64_t doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint64_t month = (5 * doy + 2) / 153; /* 0 is March */
    uint64_t year = era * 400 + yoe + (month >= 10 ? 1 : 0);
    uint8_t *p = (uint8_t *)out;

    memcpy(p, day_name[days % 7], 4);
    p[4] = ' ';
    p = put_digits(p + 5, (uint32_t)(doy - (153 * month + 2) / 5 + 1), 2);
    *p++ = ' ';
    memcpy(p, month_name[month], 3);
    p[3] = ' ';
    p = put_digits(p + 4, (uint32_t)year, 4);
    *p++ = ' ';
    p = put_digits(p, sod / 3600, 2);
    *p++ = ':';
    p = put_digits(p, sod / 60 % 60, 2);
    *p++ = ':';
    p = put_digits(p, sod % 60, 2);
    memcpy(p, " GMT", 4);
}

static void
refresh_date(struct pw_http_server *srv)
{
    if (srv->now_tsc >= srv->date_until_tsc) {
        int64_t ns = srv->wall_ns();
        uint64_t into = (uint64_t)(ns % 1000000000);

        format_date(srv->date, ns / 1000000000);
        srv->date_until_tsc = srv->now_tsc + (uint64_t)((unsigned __int128)(1000000000 - into) *
                                                        srv->second_tsc / 1000000000);
    }
}

/* ---- The reply head ---------------------------------------------------------------------- */

/* Room is checked once by reply_head_fits. */
static uint8_t *
put(uint8_t *p, const void *data, size_t n)
{
    if (n != 0) {
        memcpy(p, data, n);
    }
    return p + n;
}

#define PUT_LIT(p, lit) put((p), (lit), sizeof(lit) - 1)

static uint8_t *
put_u64(uint8_t *p, uint64_t v)
{
    uint8_t digits[20];
    size_t n = 0;

    do {
        digits[sizeof(digits) - ++n] = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    return put(p, digits + sizeof(digits) - n, n);
}

/* Everything but what the application adds is below this. */
enum { FIXED_FIELDS_BYTES_MAX = 320 };

static bool
has_no_body(uint16_t status)
{
    return status == 204 || status == 304;
}

static uint8_t *
put_reply_head(struct pw_http_conn *c, uint8_t *p, const struct pw_http_reply *rep)
{
    struct pw_http_server *srv = c->srv;

    if (rep->status == 200) {
        p = PUT_LIT(p, "HTTP/1.1 200 OK\r\n");
    } else {
        const char *phrase = reason_phrase(rep->status);

        p = PUT_LIT(p, "HTTP/1.1 ");
        p = put_digits(p, rep->status, 3);
        *p++ = ' ';
        p = put(p, phrase, strlen(phrase));
        p = PUT_LIT(p, "\r\n");
    }
    if (rep->content_type != NULL) {
        p = PUT_LIT(p, "Content-Type: ");
        p = put(p, rep->content_type, strlen(rep->content_type));
        p = PUT_LIT(p, "\r\n");
    }
    p = put(p, rep->headers.ptr, rep->headers.len);
    p = PUT_LIT(p, "Date: ");
    p = put(p, srv->date, DATE_BYTES);
    p = PUT_LIT(p, "\r\n");
    if (!has_no_body(rep->status)) {
        p = PUT_LIT(p, "Content-Length: ");
        p = put_u64(p, rep->body.len);
        p = PUT_LIT(p, "\r\n");
    }
    if (c->close) {
        p = PUT_LIT(p, "Connection: close\r\n");
    } else if (c->version_1_0) {
        p = PUT_LIT(p, "Connection: keep-alive\r\n");
    }
    return PUT_LIT(p, "\r\n");
}

/* ---- Offering bytes to the stream -------------------------------------------------------- */

void
pw_http_give_free(struct pw_http_conn *c)
{
    if (c->body_free != NULL) {
        void (*body_free)(void *) = c->body_free;

        c->body_free = NULL;
        c->give = pw_slice(NULL, 0);
        body_free(c->body_arg);
    }
}

static void
give_advance(struct pw_http_conn *c, size_t n)
{
    PW_INVARIANT(n <= c->give.len);
    c->give = pw_slice(n == 0 ? c->give.ptr : c->give.ptr + n, c->give.len - n);
    if (c->give.len == 0) {
        pw_http_give_free(c);
    }
}

/* Keeps n bytes for later. False (and doomed) when no buffer is left. */
static bool
keep_rest(struct pw_http_conn *c, const uint8_t *data, size_t n)
{
    if (c->out == NULL) {
        c->out = pw_pool_get(&c->srv->reply_bufs);
        c->out_len = 0;
        c->out_sent = 0;
        if (c->out == NULL) {
            c->srv->stats.drops[PW_HTTP_DROP_NO_REPLY_BUFFER]++;
            c->doomed = true;
            return false;
        }
    }
    PW_INVARIANT(n <= (size_t)REPLY_BUF_BYTES - c->out_len);
    memcpy(c->out + c->out_len, data, n);
    c->out_len += (uint32_t)n;
    return true;
}

uint64_t
pw_http_unacked(struct pw_http_conn *c)
{
    return c->stream->ops->unacked == NULL ? 0 : c->stream->ops->unacked(c->stream);
}

static void
reader_deadline(struct pw_http_conn *c)
{
    c->unacked = pw_http_unacked(c);
    set_deadline(c, c->srv->send_tsc);
}

/* The stream takes more only once half of its buffer is free: a slow reader is measured by what it acknowledged. */
bool
pw_http_reader_moves(struct pw_http_conn *c)
{
    uint64_t left = pw_http_unacked(c);
    uint64_t step =
        c->unacked < PW_HTTP_SEND_STEP_BYTES ? c->unacked : (uint64_t)PW_HTTP_SEND_STEP_BYTES;

    if (step == 0 || left + step > c->unacked) {
        return false;
    }
    reader_deadline(c);
    return true;
}

void
pw_http_send_rest(struct pw_http_conn *c)
{
    struct pw_slice iov[2];
    uint32_t n = 0;
    size_t own = c->out == NULL ? 0 : c->out_len - c->out_sent;
    size_t taken;

    if (own != 0) {
        iov[n++] = pw_slice(c->out + c->out_sent, own);
    }
    if (c->give.len != 0) {
        iov[n++] = c->give;
    }
    taken = n == 0 ? 0 : c->stream->ops->send(c->stream, iov, n);
    c->srv->stats.bytes_sent += taken;
    if (taken != 0) {
        reader_deadline(c);
    }
    size_t own_taken = taken < own ? taken : own;

    c->out_sent += (uint32_t)own_taken;
    if (c->out != NULL && c->out_sent == c->out_len) {
        pw_pool_put(&c->srv->reply_bufs, c->out);
        c->out = NULL;
    }
    give_advance(c, taken - own_taken);
}

/* Sends own (kept when the stream is short), then c->give. */
static void
send_reply(struct pw_http_conn *c, const uint8_t *own, size_t own_len)
{
    struct pw_slice iov[2] = {pw_slice(own, own_len), c->give};
    size_t taken = 0;
    size_t own_taken;

    if (c->out == NULL) { /* otherwise the interim response still waits: keep the order */
        taken = c->stream->ops->send(c->stream, iov, c->give.len != 0 ? 2 : 1);
        c->srv->stats.bytes_sent += taken;
    }
    own_taken = taken < own_len ? taken : own_len;
    if (own_taken < own_len && !keep_rest(c, own + own_taken, own_len - own_taken)) {
        pw_http_give_free(c);
        return;
    }
    give_advance(c, taken - own_taken);
    if (reply_pending(c)) {
        reader_deadline(c);
    }
}

/* RFC 9110 10.1.1. Sent even when body bytes are here already: stock does, and it makes the answer
 * independent of timing. */
void
pw_http_send_continue(struct pw_http_conn *c)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";

    static_assert(sizeof(interim) <= INTERIM_BYTES_MAX, "room for it in a reply buffer");
    send_reply(c, (const uint8_t *)interim, sizeof(interim) - 1);
}

/* ---- The door ---------------------------------------------------------------------------- */

/* RFC 9112 9.6. An early answer leaves a body behind: short ones are read and dropped, for others
 * (or where the client may never send it, having asked first) the connection ends. */
static bool
must_close(const struct pw_http_conn *c, const struct pw_http_reply *rep)
{
    bool body_left = c->state == CONN_BODY && (c->chunked_body || c->body_left != 0);

    return c->close || rep->close || !c->keep_alive ||
           (body_left &&
            (c->chunked_body || c->expect_continue || c->body_left > PW_HTTP_DISCARD_BYTES_MAX)) ||
           atomic_load_explicit(&c->srv->draining, memory_order_relaxed);
}

static void
write_reply(struct pw_http_conn *c, const struct pw_http_reply *rep)
{
    struct pw_http_server *srv = c->srv;
    bool drop_body = c->head_method || has_no_body(rep->status) || rep->body.len == 0;
    size_t type_len = rep->content_type == NULL ? 0 : strlen(rep->content_type);
    uint8_t *p;

    PW_INVARIANT(rep->status >= 200 && rep->status <= 599);
    PW_INVARIANT(rep->headers.len + type_len + FIXED_FIELDS_BYTES_MAX <= PW_HTTP_REPLY_HEAD_MAX);
    PW_INVARIANT(rep->body_free != NULL || drop_body || rep->body.len <= PW_HTTP_REPLY_COPY_MAX);
    refresh_date(srv);
    c->close = must_close(c, rep);
    srv->stats.replies[rep->status / 100]++;
    p = put_reply_head(c, srv->reply, rep);
    if (rep->body_free != NULL) {
        c->body_free = rep->body_free;
        c->body_arg = rep->body_arg;
        c->give = drop_body ? pw_slice(NULL, 0) : rep->body;
    } else if (!drop_body) {
        p = put(p, rep->body.ptr, rep->body.len);
    }
    send_reply(c, srv->reply, (size_t)(p - srv->reply));
}

int
pw_http_reply(struct pw_http_server *srv, uint64_t conn, const struct pw_http_reply *rep)
{
    struct pw_http_conn *c = conn_of_handle(srv, conn);

    if (c == NULL) {
        if (rep->body_free != NULL) {
            rep->body_free(rep->body_arg);
        }
        return PW_ENOENT;
    }
    PW_INVARIANT(c->owed); /* exactly one reply per request */
    c->owed = false;
    write_reply(c, rep);
    if (c->held) {
        pw_http_release_request(c);
    }
    if (c->state == CONN_APP) {
        c->state = CONN_SEND;
    } else {
        c->discard = true; /* before the whole body was here */
    }
    if (!c->running) {
        /* srv->head and srv->body are borrowed by a callback. And pipelined requests wait for the
         * next poll, or all answers of a turn would bring a request each before the NIC is polled. */
        if (srv->in_callback || (c->state == CONN_SEND && c->in.first != NULL)) {
            pw_http_ready_push(c);
        } else {
            pw_http_conn_run(c);
        }
    }
    return 0;
}

void
pw_http_refuse(struct pw_http_conn *c, enum pw_http_drop drop)
{
    const struct pw_http_drop_info *info = pw_http_drop_info(drop);

    c->srv->stats.drops[drop]++;
    pw_http_abandon(c);
    if (info->status == 0) {
        c->doomed = true;
        return;
    }
    c->close = true;
    write_reply(c, &(struct pw_http_reply){
                       .status = info->status,
                       .content_type = "text/plain; charset=utf-8",
                       .body = pw_slice_str(info->text),
                   });
    c->state = CONN_SEND;
}
