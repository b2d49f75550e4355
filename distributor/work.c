#include "base/hash.h"
#include "distributor/internal.h"

#include <arpa/inet.h>
#include <stdio.h>

bool
pw_work_init(struct pw_work *w, struct pw_desk *desk, const struct pw_http_request *req)
{
    void *err;
    void *text;

    *w = (struct pw_work){.d = desk->d,
                          .desk = desk,
                          .scratch = &desk->scratch,
                          .req = req,
                          .start_tsc = desk->start_tsc,
                          .now_ns = pw_wall_ns()};
    w->to.conn = req->conn;
    pw_scratch_rewind(w->scratch, desk->mark);
    err = pw_scratch_alloc(w->scratch, PW_ERROR_TEXT_MAX);
    text = pw_scratch_alloc(w->scratch, PW_ERROR_TEXT_MAX);
    if (err == NULL || text == NULL) {
        return false;
    }
    pw_text_fixed(&w->err, err, PW_ERROR_TEXT_MAX);
    pw_text_fixed(&w->failures.text, text, PW_ERROR_TEXT_MAX);
    return true;
}

int
pw_work_tenant(struct pw_work *w)
{
    const struct pw_overrides *o = atomic_load_explicit(w->d->cfg.overrides, memory_order_acquire);
    struct pw_slice value = pw_http_header(w->req, "X-Scope-OrgID");
    int rc = pw_tenant_from_header(w->d->cfg.multitenancy, value, &w->tenant, &w->err);

    if (rc == 0) {
        pw_desk_use_overrides(w->desk, o);
        w->limits = pw_overrides_get(o, w->tenant);
        w->stats = pw_metrics_tenant(&w->d->metrics, w->tenant);
    }
    return rc;
}

bool
pw_work_labels(struct pw_work *w, const struct pw_label_pair *pair, uint32_t count,
               struct pw_labels *out)
{
    out->cap = count + PW_LABELS_SLACK;
    out->count = count;
    out->pair = pw_scratch_array(w->scratch, out->cap, sizeof(*out->pair));
    if (out->pair == NULL) {
        return false;
    }
    if (count != 0) {
        pw_fiber_copy(w->scratch->fiber, out->pair, pair, count * sizeof(*pair));
    }
    return true;
}

/* w->err becomes part of the answer. */
void
pw_work_fail(struct pw_work *w, enum pw_reason reason, bool coded, uint32_t index)
{
    struct pw_failures *f = &w->failures;
    struct pw_slice text = pw_slice(w->err.ptr, w->err.len);

    if (coded && !f->coded) {
        f->coded = true;
        f->reason = reason;
        f->index = index;
        f->text.len = 0;
        f->text.failed = false;
        pw_text_slice(&f->text, text);
    } else if (!coded && !f->coded) {
        f->reason = f->count == 0 ? reason : f->reason;
        if (f->count != 0) {
            pw_text_str(&f->text, "; ");
        }
        pw_text_slice(&f->text, text);
    }
    f->count += coded ? 0 : 1;
    w->err.len = 0;
    w->err.failed = false;
}

static const char *
peer_text(const struct pw_peer_addr *peer, char *buf, size_t cap)
{
    char ip[INET6_ADDRSTRLEN];
    static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
    bool is_v4 = memcmp(peer->ip, v4, sizeof(v4)) == 0;

    if (inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? peer->ip + 12 : peer->ip, ip, sizeof(ip)) ==
        NULL) {
        ip[0] = 0;
    }
    snprintf(buf, cap, is_v4 ? "%s:%u" : "[%s]:%u", ip, peer->port);
    return buf;
}

void
pw_work_log(struct pw_work *w, enum pw_reason reason, const struct pw_labels *labels)
{
    uint8_t raw[512];
    char quoted_labels[640];
    char quoted_err[640];
    char quoted_tenant[256];
    char peer[INET6_ADDRSTRLEN + 8];
    struct pw_text t;

    if (!pw_log_on(PW_LOG_WARN)) {
        return;
    }
    pw_text_fixed(&t, raw, sizeof(raw));
    if (labels != NULL) {
        struct pw_labels first = *labels; /* more than fit the line */

        first.count = first.count < sizeof(raw) / 4 ? first.count : sizeof(raw) / 4;
        pw_labels_text(&first, &t);
    }
    (void)pw_log_limited(
        &w->d->log_limit, PW_LOG_WARN, "pw.distributor",
        "msg=\"profile refused\" tenant=%s reason=%s err=%s labels=%s peer=%s",
        pw_log_quote(quoted_tenant, sizeof(quoted_tenant), w->tenant), pw_reason_name(reason),
        pw_log_quote(quoted_err, sizeof(quoted_err), pw_slice(w->err.ptr, w->err.len)),
        pw_log_quote(quoted_labels, sizeof(quoted_labels), pw_slice(t.ptr, t.len)),
        peer_text(&w->req->peer, peer, sizeof(peer)));
}

static uint64_t
rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

/* xoshiro256** (Blackman, Vigna 2018). */
static uint64_t
next_random(uint64_t s[4])
{
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

void
pw_work_uuid(struct pw_distributor *d, uint8_t uuid[16])
{
    uint64_t r[2] = {next_random(d->random), next_random(d->random)};

    memcpy(uuid, r, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0F) | 0x40); /* RFC 9562 5.4: version 4 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3F) | 0x80); /* variant 10 */
}

/* Connect-Timeout-Ms was judged before; here it can only shorten ours. */
static uint64_t
deadline(const struct pw_work *w)
{
    uint64_t ms = PW_PUSH_TIMEOUT_MS;
    struct pw_slice v = pw_http_header(w->req, "Connect-Timeout-Ms");
    uint64_t asked = 0;

    for (size_t i = 0; i < v.len && i < 10; i++) {
        asked = asked * 10 + (uint64_t)(v.ptr[i] - '0');
    }
    if (v.len != 0 && asked < ms && w->to.kind != PW_ANSWER_INGEST_PPROF &&
        w->to.kind != PW_ANSWER_INGEST_FOLDED) {
        ms = asked;
    }
    return w->req->now_tsc + pw_clock_us_to_tsc(&w->d->cfg.clock, ms * 1000);
}

void
pw_work_finish(struct pw_work *w)
{
    struct pw_failures *f = &w->failures;
    struct pw_slice text = pw_slice(f->text.ptr, f->text.len);

    if (f->reason != PW_REASON_NONE && !f->coded && f->count > 1) {
        w->err.len = 0;
        pw_text_printf(&w->err, "%u errors: ", f->count);
        pw_text_slice(&w->err, text);
        text = pw_slice(w->err.ptr, w->err.len);
    }
    w->desk->slot = NULL; /* from here on it looks after itself */
    if (w->slot == NULL) {
        if (f->reason == PW_REASON_NONE) {
            pw_answer_ok(&w->d->fanout.answerer, &w->to);
        } else {
            pw_answer_failure(&w->d->fanout.answerer, &w->to, f->reason, f->index, text);
        }
        return;
    }
    if (f->reason != PW_REASON_NONE) {
        pw_fanout_fail(&w->d->fanout, w->slot, f->reason, f->index, text);
    }
    pw_fanout_close(&w->d->fanout, w->slot, deadline(w));
}
