/* /memberlist, and what /metrics says of the gossip. */
#include "app/gossip_priv.h"
#include "app/html.h"
#include "base/json.h"
#include "base/metric.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_BYTES_MAX = 128 << 20 };

static int
by_name(const void *a, const void *b)
{
    const struct pw_ml_node_info *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* The members as they are shown; free() it. NULL: none, or no memory. */
static struct pw_ml_node_info *
sorted_members(const struct pw_gossip *g, uint32_t *count)
{
    uint32_t n = g == NULL ? 0 : pw_memberlist_nodes(g->ml);
    struct pw_ml_node_info *list = n == 0 ? NULL : calloc(n, sizeof(*list));

    *count = list == NULL ? 0 : n;
    for (uint32_t i = 0; i < *count; i++) {
        list[i] = pw_memberlist_node(g->ml, i);
    }
    if (*count > 0) {
        qsort(list, *count, sizeof(*list), by_name);
    }
    return list;
}

static const char *
state_name(enum pw_ml_state s)
{
    static const char *const name[] = {"alive", "suspect", "dead", "left"};

    return name[s];
}

/* --- Metrics -------------------------------------------------------------------------------------- */

static void
counters(const struct pw_memberlist *ml, struct pw_text *t)
{
    const struct pw_memberlist_stats *s = pw_memberlist_stats(ml);

#define COUNTER(name, help)                                                                        \
    pw_metric_u64(t, "pyrowire_memberlist_" #name "_total", "counter", help, s->name);
    PW_MEMBERLIST_COUNTERS(COUNTER)
#undef COUNTER
}

static void
members(const struct pw_memberlist *ml, struct pw_text *t)
{
    static const enum pw_ml_state state[] = {PW_ML_STATE_ALIVE, PW_ML_STATE_SUSPECT,
                                             PW_ML_STATE_DEAD, PW_ML_STATE_LEFT};

    pw_metric_family(t, "pyrowire_memberlist_members", "gauge", "Members of the cluster by state.");
    for (uint32_t i = 0; i < PW_ARRAY_LEN(state); i++) {
        pw_text_printf(t, "pyrowire_memberlist_members{state=\"%s\"} %u\n", state_name(state[i]),
                       pw_memberlist_count(ml, state[i]));
    }
    pw_metric_u64(t, "pyrowire_memberlist_health_score", "gauge",
                  "0: we hear the others well; up to 7: we are slow ourselves.",
                  pw_memberlist_health(ml));
    pw_metric_u64(t, "pyrowire_memberlist_queued_messages", "gauge",
                  "Messages waiting to be told to others.", pw_memberlist_queued(ml));
}

static void
store(const struct pw_kv *kv, struct pw_text *t)
{
    const struct pw_kv_stats *s = pw_kv_stats(kv);

    pw_metric_u64(t, "pyrowire_kv_keys", "gauge", "Keys of the gossiped store.", pw_kv_count(kv));
    pw_metric_u64(t, "pyrowire_kv_cas_total", "counter", "Edits of our own.", s->cas);
    pw_metric_u64(t, "pyrowire_kv_cas_failed_total", "counter",
                  "Edits that changed nothing for others.", s->cas_failed);
    pw_metric_u64(t, "pyrowire_kv_pairs_total", "counter", "Pairs of others.", s->pairs);
    pw_metric_u64(t, "pyrowire_kv_pairs_changed_total", "counter", "Of these, with news.",
                  s->pairs_changed);
    pw_metric_u64(t, "pyrowire_kv_pairs_broken_total", "counter", "Of these, unreadable.",
                  s->pairs_broken);
    pw_metric_u64(t, "pyrowire_kv_pairs_too_large_total", "counter", "Of these, over a limit.",
                  s->pairs_too_large);
    pw_metric_u64(t, "pyrowire_kv_pairs_unknown_codec_total", "counter",
                  "Of these, in a codec that is no ring's: left out.", s->pairs_unknown_codec);
}

static void
handshakes(const struct pw_gossip *g, struct pw_text *t)
{
    static const char failed[] = "pyrowire_memberlist_tls_handshakes_failed_total";

    pw_metric_u64(t, "pyrowire_memberlist_tls_handshakes_total", "counter",
                  "Handshakes of TLS with other members, completed.", g->handshakes);
    pw_metric_family(t, failed, "counter", "Of TLS, not completed, by what was wrong.");
    for (uint32_t i = 0; i < PW_CONDUIT_FAULT_COUNT; i++) {
        pw_text_printf(t, "%s{reason=\"%s\"} %llu\n", failed, pw_conduit_fault_name(i),
                       (unsigned long long)g->handshakes_failed[i]);
    }
}

void
pw_gossip_metrics(struct pw_app *app, struct pw_text *t)
{
    struct pw_gossip *g = app->gossip;

    pthread_mutex_lock(&app->kv_mutex);
    store(app->kv, t);
    if (g != NULL) {
        members(g->ml, t);
        counters(g->ml, t);
    }
    pthread_mutex_unlock(&app->kv_mutex);
    if (g != NULL) {
        pw_metric_u64(t, "pyrowire_memberlist_packets_dropped_total", "counter",
                      "Packets whose turn to be written did not come.", g->packets_dropped);
        pw_metric_u64(t, "pyrowire_memberlist_connections_failed_total", "counter",
                      "Connections to others that did not come about.", g->sockets_failed);
        pw_metric_u64(t, "pyrowire_memberlist_connections_timed_out_total", "counter",
                      "Connections cut at their deadline.", g->timeouts);
        if (g->tls != NULL) {
            handshakes(g, t);
        }
    }
}

/* --- The page ------------------------------------------------------------------------------------- */

/* As Go writes it; its zero time when there is none. */
static void
json_time(struct pw_json *j, int64_t ms)
{
    char text[48] = "0001-01-01T00:00:00Z";
    time_t s = ms / 1000;
    struct tm tm;

    if (ms != 0 && gmtime_r(&s, &tm) != NULL) {
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    }
    pw_json_cstr(j, text);
}

static void
json_member(const struct pw_ml_node_info *n, struct pw_json *j)
{
    static const char *const version[] = {"PMin", "PMax", "PCur", "DMin", "DMax", "DCur"};
    char addr[PW_ML_ADDR_TEXT];
    char *colon;

    pw_ml_addr_text(&n->addr, addr);
    colon = strrchr(addr, ':');
    *colon = 0;
    pw_json_object(j);
    pw_json_key(j, "Name");
    pw_json_cstr(j, n->name);
    pw_json_key(j, "Addr");
    pw_json_cstr(j, addr);
    pw_json_key(j, "Port");
    pw_json_i64(j, n->addr.port);
    pw_json_key(j, "Meta");
    if (n->meta.len > 0) {
        pw_json_base64(j, n->meta);
    } else {
        pw_json_null(j);
    }
    pw_json_key(j, "State");
    pw_json_i64(j, (int64_t)n->state);
    for (uint32_t i = 0; i < PW_ARRAY_LEN(version); i++) {
        pw_json_key(j, version[i]);
        pw_json_i64(j, n->vsn[i]);
    }
    pw_json_key(j, "StateText");
    pw_json_cstr(j, state_name(n->state));
    pw_json_key(j, "Incarnation");
    pw_json_i64(j, n->incarnation);
    pw_json_key(j, "Self");
    pw_json_bool(j, n->self);
    pw_json_object_end(j);
}

static void
json_store(const struct pw_kv *kv, struct pw_json *j)
{
    pw_json_key(j, "Store");
    pw_json_object(j);
    for (uint32_t i = 0; i < pw_kv_count(kv); i++) {
        struct pw_kv_entry e = pw_kv_entry(kv, i);

        pw_json_key_slice(j, pw_slice_str(e.key));
        pw_json_object(j);
        pw_json_key(j, "Version");
        pw_json_i64(j, (int64_t)e.version);
        pw_json_key(j, "CodecID");
        pw_json_cstr(j, "ringDesc");
        pw_json_key(j, "Deleted");
        pw_json_bool(j, e.deleted);
        pw_json_key(j, "UpdateTime");
        json_time(j, e.update_time_ms);
        pw_json_key(j, "Instances");
        pw_json_object(j);
        for (uint32_t n = 0; n < e.desc->count; n++) {
            const struct pw_instance *in = &e.desc->instance[n];

            pw_json_key_slice(j, pw_slice_str(in->id));
            pw_json_cstr(j, pw_instance_state_name(in->state));
        }
        pw_json_object_end(j);
        pw_json_object_end(j);
    }
    pw_json_object_end(j);
}

/* Bytes of each value as it is sent. */
static void
json_sizes(const struct pw_kv *kv, struct pw_json *j)
{
    uint64_t total = 0;

    pw_json_key(j, "StoreSizes");
    pw_json_object(j);
    for (uint32_t i = 0; i < pw_kv_count(kv); i++) {
        const struct pw_kv_entry e = pw_kv_entry(kv, i);
        struct pw_kv_pair p = {0};
        struct pw_text pair;

        pw_text_init(&pair, PW_KV_VALUE_BYTES_MAX);
        pw_kv_put_pair(&pair, &(struct pw_kv_change){.key = e.key, .desc = e.desc});
        (void)!pw_kv_read_pair(pw_slice(pair.ptr, pair.len), &p);
        pw_json_key_slice(j, pw_slice_str(e.key));
        pw_json_i64(j, (int64_t)p.value.len);
        total += p.value.len;
        pw_text_fini(&pair);
    }
    pw_json_object_end(j);
    pw_json_key(j, "TotalStoreSize");
    pw_json_i64(j, (int64_t)total);
}

static void
json_message(const struct pw_history_entry *e, struct pw_json *j)
{
    struct pw_slice ids = e->ids;
    struct pw_kv_pair p = {0};

    (void)!pw_kv_read_pair(e->pair, &p); /* it was one when it was taken */
    pw_json_object(j);
    pw_json_key(j, "ID");
    pw_json_i64(j, (int64_t)e->id);
    pw_json_key(j, "Time");
    json_time(j, e->time_s * 1000);
    pw_json_key(j, "Size");
    pw_json_i64(j, (int64_t)e->pair.len);
    pw_json_key(j, "Pair");
    pw_json_object(j);
    pw_json_key(j, "key");
    pw_json_str(j, p.key);
    pw_json_key(j, "value");
    pw_json_base64(j, p.value);
    pw_json_key(j, "codec");
    pw_json_str(j, p.codec);
    pw_json_object_end(j);
    pw_json_key(j, "Version");
    pw_json_i64(j, (int64_t)e->version);
    pw_json_key(j, "Changes");
    if (ids.len == 0) {
        pw_json_null(j);
    } else {
        pw_json_array(j);
        for (size_t at = 0, n; at < ids.len; at += n + 1) {
            n = strnlen((const char *)ids.ptr + at, ids.len - at);
            pw_json_str(j, pw_slice(ids.ptr + at, n));
        }
        pw_json_array_end(j);
    }
    pw_json_object_end(j);
}

static void
json_history(const struct pw_history *h, const char *name, struct pw_json *j)
{
    const struct pw_history_entry *e = pw_history_next(h, NULL);

    pw_json_key(j, name);
    if (e == NULL) {
        pw_json_null(j);
        return;
    }
    pw_json_array(j);
    for (; e != NULL; e = pw_history_next(h, e)) {
        json_message(e, j);
    }
    pw_json_array_end(j);
}

static void
page_json(const struct pw_gossip *g, struct pw_kv *kv, struct pw_text *t)
{
    uint32_t count;
    struct pw_ml_node_info *member = sorted_members(g, &count);
    struct pw_json j;

    pw_json_init(&j, t);
    pw_json_object(&j);
    pw_json_key(&j, "Now");
    json_time(&j, pw_wall_ns() / 1000000);
    pw_json_key(&j, "Enabled");
    pw_json_bool(&j, g != NULL);
    pw_json_key(&j, "HealthScore");
    pw_json_i64(&j, g == NULL ? 0 : pw_memberlist_health(g->ml));
    pw_json_key(&j, "SortedMembers");
    pw_json_array(&j);
    for (uint32_t i = 0; i < count; i++) {
        json_member(&member[i], &j);
    }
    free(member);
    pw_json_array_end(&j);
    json_store(kv, &j);
    json_sizes(kv, &j);
    pw_json_key(&j, "MessageHistoryBufferBytes");
    pw_json_i64(&j, pw_kv_history_sent(kv)->bytes_max);
    json_history(pw_kv_history_sent(kv), "SentMessages", &j);
    json_history(pw_kv_history_received(kv), "ReceivedMessages", &j);
    if (g != NULL) { /* not there, and so said */
        pw_json_key(&j, "ZoneAwareRouting");
        pw_json_object(&j);
        pw_json_key(&j, "Enabled");
        pw_json_bool(&j, g->cfg->unused.zone_aware);
        pw_json_key(&j, "Zone");
        pw_json_cstr(&j, g->cfg->unused.zone);
        pw_json_key(&j, "Role");
        pw_json_cstr(&j, g->cfg->unused.zone_role == 0 ? "member" : "bridge");
        pw_json_object_end(&j);
    }
    pw_json_object_end(&j);
}

static void
html_members(const struct pw_gossip *g, struct pw_text *t)
{
    uint32_t count;
    struct pw_ml_node_info *member = sorted_members(g, &count);

    pw_text_printf(t,
                   "<h2>Members</h2><p>Health score %u (0 is best).</p><table><tr><th>Name</th>"
                   "<th>Address</th><th>State</th><th>Incarnation</th></tr>",
                   pw_memberlist_health(g->ml));
    for (uint32_t i = 0; i < count; i++) {
        struct pw_ml_node_info n = member[i];
        char addr[PW_ML_ADDR_TEXT];

        pw_ml_addr_text(&n.addr, addr);
        pw_text_str(t, "<tr><td>");
        pw_html_text(t, n.name);
        pw_text_printf(t, "%s</td><td>%s</td><td>%s</td><td>%u</td></tr>\n",
                       n.self ? " (this)" : "", addr, state_name(n.state), n.incarnation);
    }
    free(member);
    pw_text_str(t, "</table>");
}

static void
html_history(const struct pw_history *h, const char *title, struct pw_text *t)
{
    if (h->bytes_max == 0) {
        return;
    }
    pw_text_printf(t,
                   "<h2>%s</h2><table><tr><th>No.</th><th>Seconds</th><th>Key</th><th>Bytes</th>"
                   "<th>Version</th><th>Changed</th></tr>",
                   title);
    for (const struct pw_history_entry *e = pw_history_next(h, NULL); e != NULL;
         e = pw_history_next(h, e)) {
        char key[PW_KV_KEY_MAX + 1] = "";
        struct pw_kv_pair p;

        if (pw_kv_read_pair(e->pair, &p) == 0) {
            memcpy(key, p.key.ptr, p.key.len);
        }
        pw_text_printf(t, "<tr><td>%llu</td><td>%lld</td><td>", (unsigned long long)e->id,
                       (long long)e->time_s);
        pw_html_text(t, key);
        pw_text_printf(t, "</td><td>%zu</td><td>%llu</td><td>", e->pair.len,
                       (unsigned long long)e->version);
        for (size_t at = 0; at < e->ids.len; at += strlen((const char *)e->ids.ptr + at) + 1) {
            pw_text_str(t, at > 0 ? ", " : "");
            pw_html_text(t, (const char *)e->ids.ptr + at);
        }
        pw_text_str(t, "</td></tr>\n");
    }
    pw_text_str(t, "</table>");
}

static void
page_html(const struct pw_gossip *g, struct pw_kv *kv, struct pw_text *t)
{
    pw_text_str(
        t, "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>Memberlist</title><style>"
           "body{font-family:sans-serif}td,th{text-align:left;padding:2px 12px 2px 0}"
           "</style></head><body><h1>Memberlist</h1>");
    if (g == NULL) {
        pw_text_str(t, "<p>No gossip: this process is alone.</p>");
    } else {
        html_members(g, t);
    }
    pw_text_str(t, "<h2>Store</h2><table><tr><th>Key</th><th>Changes</th><th>Instances</th></tr>");
    for (uint32_t i = 0; i < pw_kv_count(kv); i++) {
        struct pw_kv_entry e = pw_kv_entry(kv, i);

        pw_text_str(t, "<tr><td>");
        pw_html_text(t, e.key);
        pw_text_printf(t, "%s</td><td>%llu</td><td>", e.deleted ? " (deleted)" : "",
                       (unsigned long long)e.version);
        for (uint32_t n = 0; n < e.desc->count; n++) {
            pw_text_str(t, n > 0 ? ", " : "");
            pw_html_text(t, e.desc->instance[n].id);
            pw_text_printf(t, " %s", pw_instance_state_name(e.desc->instance[n].state));
        }
        pw_text_str(t, "</td></tr>\n");
    }
    pw_text_str(t, "</table>");
    html_history(pw_kv_history_sent(kv), "Messages sent", t);
    html_history(pw_kv_history_received(kv), "Messages received", t);
    pw_text_str(t, "</body></html>\n");
}

static bool
has_word(struct pw_slice query, const char *word)
{
    return query.len > 0 && memmem(query.ptr, query.len, word, strlen(word)) != NULL;
}

static bool
wants_json(const struct pw_query_request *req)
{
    if (has_word(req->query, "format=json")) {
        return true;
    }
    for (uint32_t i = 0; i < req->headers_count; i++) {
        struct pw_slice v = req->headers[i].value;

        if (pw_slice_caseeq_str(req->headers[i].name, "accept")) {
            return v.len > 0 && memmem(v.ptr, v.len, "application/json", 16) != NULL;
        }
    }
    return false;
}

bool
pw_gossip_page_owns_path(struct pw_slice path)
{
    return pw_slice_eq_str(path, "/memberlist");
}

void
pw_gossip_page_execute_cold(struct pw_app *app, const struct pw_query_request *req,
                            struct pw_query_reply *rep)
{
    struct pw_text t;

    *rep = (struct pw_query_reply){.status = 405};
    if (req->method != PW_HTTP_METHOD_GET && req->method != PW_HTTP_METHOD_HEAD) {
        (void)snprintf(rep->headers, sizeof(rep->headers), "Allow: GET\r\n");
        return;
    }
    pw_text_init(&t, PAGE_BYTES_MAX);
    rep->status = 200;
    pthread_mutex_lock(&app->kv_mutex);
    if (has_word(req->query, "deleteMessages=true")) {
        pw_history_clear(pw_kv_history_sent(app->kv));
        pw_history_clear(pw_kv_history_received(app->kv));
    }
    if (wants_json(req)) {
        rep->content_type = "application/json";
        page_json(app->gossip, app->kv, &t);
    } else {
        rep->content_type = "text/html; charset=utf-8";
        (void)snprintf(rep->headers, sizeof(rep->headers), PW_HTML_POLICY);
        page_html(app->gossip, app->kv, &t);
    }
    pthread_mutex_unlock(&app->kv_mutex);
    rep->body = pw_text_steal(&t, &rep->body_bytes);
    if (rep->body == NULL) {
        *rep = (struct pw_query_reply){.status = 500};
    }
    pw_text_fini(&t);
}
