#include "query/far.h"

#include "base/limits.h"
#include "query/select_block.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    KEY_BYTES_MAX = 10 + 9 + 2 * 5, /* of a key in a request */
    BODY_SPARE_BYTES = 1024,
};

/* --- What is asked ------------------------------------------------------------------------------ */

/* The matchers as one selector text; quoted, so that any name and value come through. */
static struct pw_slice
selector_text(struct pw_arena *a, const struct pw_selector *sel)
{
    static const char *const op[] = {[PW_MATCH_OP_EQ] = "=",
                                     [PW_MATCH_OP_NE] = "!=",
                                     [PW_MATCH_OP_RE] = "=~",
                                     [PW_MATCH_OP_NRE] = "!~"};
    size_t cap = 16;
    struct pw_text t;

    for (uint32_t i = 0; i < sel->count; i++) { /* a byte is at most \u00ff wide */
        cap += (sel->matcher[i].name.len + sel->matcher[i].value.len) * 10 + 16;
    }
    pw_text_fixed(&t, pw_arena_alloc(a, cap), cap);
    if (t.ptr == NULL) {
        return (struct pw_slice){0};
    }
    pw_text_char(&t, '{');
    for (uint32_t i = 0; i < sel->count; i++) {
        const struct pw_matcher *m = &sel->matcher[i];

        pw_text_str(&t, i > 0 ? "," : "");
        pw_text_go_quoted(&t, m->name);
        pw_text_str(&t, op[m->op]);
        pw_text_go_quoted(&t, m->value);
    }
    pw_text_char(&t, '}');
    return t.failed ? (struct pw_slice){0} : pw_slice(t.ptr, t.len);
}

static struct pw_slice
tenants_text(struct pw_call *c)
{
    size_t cap = 1;
    struct pw_text t;

    for (uint32_t i = 0; i < c->tenant_count; i++) {
        cap += c->tenant[i].len + 1;
    }
    pw_text_fixed(&t, pw_arena_alloc(c->arena, cap), cap);
    for (uint32_t i = 0; t.ptr != NULL && i < c->tenant_count; i++) {
        pw_text_str(&t, i > 0 ? "|" : "");
        pw_text_slice(&t, c->tenant[i]);
    }
    return pw_slice(t.ptr, t.len);
}

/* False: no memory. */
static bool
plan_request(struct pw_far *r)
{
    const struct pw_plan *p = &r->s->plan;

    r->req = (struct pw_far_request){
        .what = p->only_series ? PW_FAR_SERIES : PW_FAR_ROWS,
        .flags = (p->any_time ? PW_FAR_ANY_TIME : 0U) | (p->stacks ? PW_FAR_STACKS : 0U),
        .start_ms = p->range.start_ms,
        .end_ms = p->range.end_ms,
        .columns = p->columns & (PW_BLOCK_COL_TOTAL | PW_BLOCK_COL_UUID),
        .profile_type = p->profile_type,
        .selector = selector_text(r->s->call->arena, &p->selector),
        .profile_id = p->profile_id,
        .span = p->span,
        .trace = p->trace,
        .profile_id_count = p->profile_id_count,
        .span_count = p->span_count,
        .trace_count = p->trace_count,
    };
    return r->req.selector.ptr != NULL;
}

/* The request as bytes in the arena; ptr NULL: no memory. */
static struct pw_slice
body_of(struct pw_call *c, const struct pw_far_request *req)
{
    struct pw_slice body = {0};
    struct pw_text t;

    pw_text_init(&t, PW_QUERY_BODY_BYTES_MAX);
    if (pw_far_request_put(&t, req)) {
        body = pw_arena_copy(c->arena, pw_slice(t.ptr, t.len));
    }
    pw_text_fini(&t);
    return body;
}

/* --- Who failed --------------------------------------------------------------------------------- */

static bool
same_zone_before(const struct pw_far *r, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++) {
        if (r->peer[k].failed && strcmp(r->set->peer[k].zone, r->set->peer[i].zone) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether those that are left are enough; else the error. */
static int
judge(struct pw_far *r)
{
    uint32_t failed = 0, zones = 0;
    bool enough;

    for (uint32_t i = 0; i < r->set->count; i++) {
        if (r->peer[i].failed) {
            failed++;
            zones += same_zone_before(r, i) ? 0 : 1;
        }
    }
    enough = r->set->max_unavailable_zones > 0 ? zones <= r->set->max_unavailable_zones
                                               : failed <= r->set->max_errors;
    return enough ? 0
                  : pw_call_fail(r->s->call, PW_CONNECT_CODE_UNAVAILABLE,
                                 "%u of %u other appliances did not answer: %.200s", failed,
                                 r->set->count, r->why);
}

static void
fail_peer(struct pw_far *r, const struct pw_peer_ask *ask)
{
    r->peer[ask->peer].failed = true;
    snprintf(r->why, sizeof(r->why), "%.80s: %.160s", r->set->peer[ask->peer].addr,
             ask->rc == PW_EAGAIN && ask->why[0] == 0 ? "late" : ask->why);
}

/* The reply's parts, in the arena; a reply that is none is a failure of the peer. */
static int
read_reply(struct pw_far *r, struct pw_peer_ask *ask, enum pw_far_what what,
           struct pw_far_part **part, uint32_t *count)
{
    struct pw_call *c = r->s->call;
    struct pw_slice bytes = {0};
    int rc = ask->rc;

    *count = 0;
    if (rc == 0) {
        bytes = pw_arena_copy(c->arena, pw_slice(ask->reply, ask->reply_bytes));
        rc = bytes.ptr == NULL ? PW_ENOMEM : pw_far_answer_read(part, count, what, bytes, c->arena);
        if (rc == PW_EINVAL) {
            snprintf(ask->why, sizeof(ask->why), "an answer that is not one");
        }
    }
    free(ask->reply);
    ask->reply = NULL;
    if (rc == PW_ENOMEM) {
        return pw_call_no_memory(c);
    }
    if (rc != 0) {
        fail_peer(r, ask);
    }
    return 0;
}

/* Fails only when nobody waits for us any more. */
static int
ask_all(struct pw_far *r, struct pw_peer_ask *ask, uint32_t count, uint32_t max_errors)
{
    struct pw_call *c = r->s->call;
    const struct pw_peer_round round = {.set = r->set,
                                        .tenants = r->tenants,
                                        .ask = ask,
                                        .count = count,
                                        .max_errors = max_errors,
                                        .patience = c->req->patience};

    r->peers->ask(r->peers->ctx, c->t->peers, &round);
    return pw_call_stops(c) ? PW_EINVAL : 0;
}

bool
pw_far_single(const struct pw_call *c)
{
    const struct pw_peers *p = c->t->q->cfg.peers;

    return p != NULL && p->single != NULL && p->single(p->ctx);
}

static void
drop_replies(struct pw_peer_ask *ask, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(ask[i].reply);
        ask[i].reply = NULL;
    }
}

/* --- Views -------------------------------------------------------------------------------------- */

static int
add_view(struct pw_select *s, const struct pw_far_part *part, const bool *take)
{
    struct pw_select_view *v = pw_select_add_view(s);

    if (v == NULL) {
        return pw_call_no_memory(s->call);
    }
    pw_source_of_far(&v->src, part);
    v->take = take;
    v->series = pw_arena_alloc(s->call->arena, (size_t)part->series_count + 1);
    if (v->series == NULL) {
        return pw_call_no_memory(s->call);
    }
    memset(v->series, true, part->series_count); /* bool of 1 byte each */
    v->series_matched = part->series_count;
    s->far_views++;
    return 0;
}

/* --- The first question ------------------------------------------------------------------------- */

static int
keep_parts(struct pw_far *r, struct pw_far_peer *p)
{
    struct pw_arena *a = r->s->call->arena;

    p->take = pw_arena_zalloc(a, (size_t)p->part_count + 1, sizeof(*p->take));
    for (uint32_t i = 0; p->take != NULL && i < p->part_count; i++) {
        p->take[i] = pw_arena_zalloc(a, (size_t)p->part[i].row_count + 1, sizeof(bool));
        if (p->take[i] == NULL) {
            return pw_call_no_memory(r->s->call);
        }
    }
    p->answered = true;
    return p->take == NULL ? pw_call_no_memory(r->s->call) : 0;
}

static int
ask_what_there_is(struct pw_far *r)
{
    struct pw_call *c = r->s->call;
    uint32_t n = r->set->count;
    struct pw_peer_ask *ask = pw_arena_zalloc(c->arena, n, sizeof(*ask));
    struct pw_slice body = body_of(c, &r->req);
    int rc = 0;

    if (ask == NULL || body.ptr == NULL) {
        return pw_call_no_memory(c);
    }
    for (uint32_t i = 0; i < n; i++) {
        ask[i].peer = i;
        ask[i].body = body;
    }
    /* Zones: all are waited for, since which may fail depends on which others do. */
    rc = ask_all(r, ask, n, r->set->max_errors);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct pw_far_peer *p = &r->peer[i];

        rc = read_reply(r, &ask[i], r->req.what, &p->part, &p->part_count);
        rc = rc != 0 || p->failed ? rc : keep_parts(r, p);
    }
    drop_replies(ask, n);
    return rc != 0 ? rc : judge(r);
}

/* --- The second one: samples or sums of rows that count ------------------------------------------- */

struct asks {
    struct pw_peer_ask *ask;
    uint32_t count, cap;
};

/* As many requests for the keys as it takes. */
static int
split_keys(struct pw_far *r, uint32_t peer, struct pw_far_key *key, uint32_t count,
           struct asks *out)
{
    struct pw_call *c = r->s->call;
    size_t fixed = r->req.selector.len + r->req.profile_type.len + r->req.profile_id_count * 16ULL +
                   r->req.span_count * 8ULL + r->req.trace_count * 16ULL + BODY_SPARE_BYTES;
    uint32_t most = fixed + KEY_BYTES_MAX > PW_QUERY_BODY_BYTES_MAX
                        ? 0
                        : (uint32_t)((PW_QUERY_BODY_BYTES_MAX - fixed) / KEY_BYTES_MAX);

    if (most == 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_RESOURCE_EXHAUSTED,
                            "the query's selectors are too long to be sent to other appliances");
    }
    for (uint32_t at = 0; at < count; at += most) {
        struct pw_far_request req = r->req;
        void *list = out->ask;

        req.what = r->s->plan.samples_by_row ? PW_FAR_SAMPLES : PW_FAR_SUMS;
        req.columns = r->s->plan.columns;
        req.key = key + at;
        req.key_count = count - at < most ? count - at : most;
        if (!pw_arena_room(c->arena, &list, out->count, &out->cap, sizeof(*out->ask))) {
            return pw_call_no_memory(c);
        }
        out->ask = list;
        out->ask[out->count] = (struct pw_peer_ask){.peer = peer, .body = body_of(c, &req)};
        if (out->ask[out->count++].body.ptr == NULL) {
            return pw_call_no_memory(c);
        }
    }
    return 0;
}

/* Views from what was asked, unless somebody failed: then what counts has to be decided again. */
static int
ask_for_samples(struct pw_far *r, bool *again)
{
    struct pw_select *s = r->s;
    enum pw_far_what what = s->plan.samples_by_row ? PW_FAR_SAMPLES : PW_FAR_SUMS;
    uint32_t views_before = s->view_count;
    struct asks all = {0};
    int rc = 0;

    *again = false;
    for (uint32_t i = 0; i < r->set->count && rc == 0; i++) {
        uint32_t count;
        struct pw_far_key *key;

        if (!r->peer[i].answered || r->peer[i].failed || r->peer[i].taken == 0) {
            continue;
        }
        key = pw_far_keys(r, i, &count);
        rc = key == NULL ? pw_call_no_memory(s->call) : split_keys(r, i, key, count, &all);
    }
    if (rc != 0 || all.count == 0) {
        return rc;
    }
    rc = ask_all(r, all.ask, all.count, 0);
    for (uint32_t i = 0; i < all.count && rc == 0; i++) {
        struct pw_far_part *part;
        uint32_t parts;

        rc = read_reply(r, &all.ask[i], what, &part, &parts);
        *again |= r->peer[all.ask[i].peer].failed;
        for (uint32_t k = 0; k < parts && rc == 0 && !*again; k++) {
            rc = add_view(s, &part[k], NULL);
        }
    }
    drop_replies(all.ask, all.count);
    if (*again) {
        s->view_count = views_before;
        s->far_views = 0;
    }
    return rc != 0 ? rc : judge(r);
}

/* --- One replica: the second question without the first ------------------------------------------- */

static int
views_of_all(struct pw_far *r, struct pw_peer_ask *ask, enum pw_far_what what)
{
    int rc = 0;

    for (uint32_t i = 0; i < r->set->count && rc == 0; i++) {
        struct pw_far_part *part;
        uint32_t parts;

        rc = read_reply(r, &ask[i], what, &part, &parts);
        for (uint32_t k = 0; k < parts && rc == 0; k++) {
            rc = add_view(r->s, &part[k], NULL);
        }
    }
    return rc;
}

/* *all: everybody answered, and that was it. Else it is as if nobody had been asked: somebody is ill, or has copies. */
static int
ask_for_all(struct pw_far *r, bool *all)
{
    struct pw_call *c = r->s->call;
    struct pw_far_request req = r->req;
    uint32_t views_before = r->s->view_count;
    struct pw_peer_ask *ask = pw_arena_zalloc(c->arena, r->set->count, sizeof(*ask));
    struct pw_slice body;
    int rc;

    req.what = r->s->plan.samples_by_row ? PW_FAR_SAMPLES : PW_FAR_SUMS;
    req.flags |= PW_FAR_ALL;
    req.columns = r->s->plan.columns;
    body = body_of(c, &req);
    if (ask == NULL || body.ptr == NULL) {
        return pw_call_no_memory(c);
    }
    for (uint32_t i = 0; i < r->set->count; i++) {
        ask[i].peer = i;
        ask[i].body = body;
    }
    rc = ask_all(r, ask, r->set->count, 0);
    r->s->far_first = views_before;
    rc = rc != 0 ? rc : views_of_all(r, ask, req.what);
    drop_replies(ask, r->set->count);
    *all = rc == 0;
    for (uint32_t i = 0; i < r->set->count; i++) {
        *all &= !r->peer[i].failed;
        r->peer[i].failed = false;
    }
    if (!*all) {
        r->s->view_count = views_before;
        r->s->far_views = 0;
    }
    return rc;
}

/* --- Open --------------------------------------------------------------------------------------- */

static int
add_parts(struct pw_far *r)
{
    bool series = r->s->plan.only_series;

    for (uint32_t i = 0; i < r->set->count; i++) {
        struct pw_far_peer *p = &r->peer[i];

        if (!p->answered || p->failed || (!series && p->taken == 0)) {
            continue;
        }
        for (uint32_t k = 0; k < p->part_count; k++) {
            if (add_view(r->s, &p->part[k], series ? NULL : p->take[k]) != 0) {
                return PW_EINVAL;
            }
        }
    }
    return 0;
}

/* 0 with r->set NULL: nobody is to be asked. */
static int
find_peers(struct pw_far *r, struct pw_call *c)
{
    struct pw_text why;
    char buf[256];
    int rc;

    r->peers = c->t->q->cfg.peers;
    if (r->peers == NULL || c->of_peer) {
        return 0;
    }
    r->set = pw_arena_alloc(c->arena, sizeof(*r->set));
    r->tenants = tenants_text(c);
    if (r->set == NULL || r->tenants.ptr == NULL) {
        return pw_call_no_memory(c);
    }
    pw_text_fixed(&why, buf, sizeof(buf));
    rc = r->peers->set(r->peers->ctx, r->set, &why);
    if (rc != 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_UNAVAILABLE, "%.*s", (int)why.len, buf);
    }
    r->peer = pw_arena_zalloc(c->arena, (size_t)r->set->count + 1, sizeof(*r->peer));
    if (r->peer == NULL) {
        return pw_call_no_memory(c);
    }
    if (r->set->count == 0) {
        r->set = NULL;
    }
    return 0;
}

int
pw_far_open(struct pw_select *s)
{
    struct pw_far r = {.s = s};
    bool again = true;

    if (find_peers(&r, s->call) != 0) {
        return PW_EINVAL;
    }
    if (r.set == NULL) {
        return 0;
    }
    if (!plan_request(&r)) {
        return pw_call_no_memory(s->call);
    }
    if ((s->plan.stacks || s->plan.samples_by_row) && pw_far_single(s->call)) {
        bool all = false;

        if (ask_for_all(&r, &all) != 0) {
            return PW_EINVAL;
        }
        if (all) {
            return 0;
        }
    }
    if (ask_what_there_is(&r) != 0) {
        return PW_EINVAL;
    }
    s->far_first = s->view_count;
    if (s->plan.only_series) {
        return add_parts(&r);
    }
    while (again) { /* each turn but the last has one more that failed */
        again = false;
        if (pw_far_take(&r) != 0) {
            return PW_EINVAL;
        }
        if (!s->plan.stacks && !s->plan.samples_by_row) {
            return add_parts(&r);
        }
        if (ask_for_samples(&r, &again) != 0) {
            return PW_EINVAL;
        }
    }
    return 0;
}

int
pw_far_times(struct pw_call *c, int64_t *min_ns, int64_t *max_ns, bool *any)
{
    struct pw_select s = {.call = c};
    struct pw_far r = {.s = &s, .req = {.what = PW_FAR_TIMES, .selector = PW_SLICE_LIT("{}")}};

    if (find_peers(&r, c) != 0) {
        return PW_EINVAL;
    }
    if (r.set == NULL) {
        return 0;
    }
    if (ask_what_there_is(&r) != 0) {
        return PW_EINVAL;
    }
    for (uint32_t i = 0; i < r.set->count; i++) {
        for (uint32_t k = 0; k < r.peer[i].part_count; k++) {
            for (uint32_t n = 0; n < r.peer[i].part[k].row_count; n++) {
                int64_t time = r.peer[i].part[k].row[n].time_ns;

                *min_ns = !*any || time < *min_ns ? time : *min_ns;
                *max_ns = !*any || time > *max_ns ? time : *max_ns;
                *any = true;
            }
        }
    }
    return 0;
}
