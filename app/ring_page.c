#include "app/ring_page.h"

#include "app/html.h"
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

/* --- Numbers and words ------------------------------------------------------------------------- */

void
pw_ring_page_ownership(const struct pw_ring_view *v, double *share)
{
    for (uint32_t i = 0; i < v->instance_count; i++) {
        share[i] = 0;
    }
    /* Keys from the token before up to this one are this one's (ring.md 2.1); a lone token's are all. */
    for (uint32_t t = 0; t < v->token_count; t++) {
        uint32_t before = v->token[t == 0 ? v->token_count - 1 : t - 1].token;
        uint32_t keys = v->token[t].token - before;

        share[v->token[t].instance] += (v->token_count == 1 ? 0x1p32 : keys) / 0x1p32;
    }
}

static bool
is_stale(const struct pw_ring_page *p, const struct pw_instance *in)
{
    return p->now_ms / 1000 - in->timestamp > p->heartbeat_timeout_s;
}

static const char *
state_name(const struct pw_ring_page *p, const struct pw_instance *in)
{
    return is_stale(p, in) ? "UNHEALTHY" : pw_instance_state_name(in->state);
}

static const char *
state_words(const struct pw_ring_page *p, const struct pw_instance *in)
{
    static const char *const words[] = {
        [PW_INSTANCE_ACTIVE] = "takes writes, answers queries",
        [PW_INSTANCE_LEAVING] = "shutting down: answers queries, takes no writes",
        [PW_INSTANCE_PENDING] = "starting: has no tokens yet",
        [PW_INSTANCE_JOINING] = "starting: makes sure its tokens are its own",
        [PW_INSTANCE_LEFT] = "gone",
    };

    return is_stale(p, in) ? "silent for too long: nothing is sent to it" : words[in->state];
}

/* RFC 3339 in UTC; a time that was never set as Go writes one. */
static void
put_time(struct pw_text *t, int64_t seconds)
{
    time_t at = seconds;
    struct tm tm;

    if (seconds == 0 || gmtime_r(&at, &tm) == NULL || tm.tm_year > 8099 || tm.tm_year < -1899) {
        pw_text_str(t, "0001-01-01T00:00:00Z");
        return;
    }
    pw_text_printf(t, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* --- JSON -------------------------------------------------------------------------------------- */

static void
json_time(struct pw_json *j, const char *key, int64_t seconds)
{
    char bytes[40];
    struct pw_text t;

    pw_text_fixed(&t, bytes, sizeof(bytes));
    put_time(&t, seconds);
    pw_json_key(j, key);
    pw_json_str(j, pw_slice(t.ptr, t.len));
}

/* To the millisecond, as far as there is one. */
static void
json_now(struct pw_json *j, int64_t now_ms)
{
    char bytes[48];
    struct pw_text t;

    pw_text_fixed(&t, bytes, sizeof(bytes));
    put_time(&t, now_ms / 1000);
    if (now_ms % 1000 != 0) {
        t.len--;
        pw_text_printf(&t, ".%03dZ", (int)(now_ms % 1000));
    }
    pw_json_key(j, "now");
    pw_json_str(j, pw_slice(t.ptr, t.len));
}

static void
json_text(struct pw_json *j, const char *key, const char *value)
{
    pw_json_key(j, key);
    pw_json_cstr(j, value);
}

static void
json_instance(struct pw_json *j, const struct pw_ring_page *p, const struct pw_instance *in)
{
    pw_json_object(j);
    json_text(j, "id", in->id);
    json_text(j, "state", state_name(p, in));
    json_text(j, "address", in->addr);
    json_time(j, "timestamp", in->timestamp);
    json_time(j, "registered_timestamp", in->registered);
    pw_json_key(j, "read_only");
    pw_json_bool(j, in->read_only);
    json_time(j, "read_only_updated_timestamp", in->read_only_updated);
    json_text(j, "zone", in->zone);
    pw_json_key(j, "tokens");
    pw_json_array(j);
    for (uint32_t i = 0; i < in->token_count; i++) {
        pw_json_i64(j, in->token[i]);
    }
    pw_json_array_end(j);
    pw_json_object_end(j);
}

void
pw_ring_page_json(const struct pw_ring_page *p, struct pw_text *t)
{
    const struct pw_ring_view *v = p->s == NULL ? NULL : p->s->view;
    struct pw_json j;

    pw_json_init(&j, t);
    pw_json_object(&j);
    pw_json_key(&j, "shards");
    if (v == NULL || v->instance_count == 0) {
        pw_json_null(&j);
    } else {
        pw_json_array(&j);
        for (uint32_t i = 0; i < v->instance_count; i++) {
            json_instance(&j, p, &v->instance[i]);
        }
        pw_json_array_end(&j);
    }
    json_now(&j, p->now_ms);
    pw_json_object_end(&j);
}

/* --- HTML -------------------------------------------------------------------------------------- */

static void
put_cell(struct pw_text *t, const char *s)
{
    pw_text_str(t, "<td>");
    pw_html_text(t, s);
    pw_text_str(t, "</td>");
}

static void
put_age(struct pw_text *t, int64_t now_s, int64_t at)
{
    int64_t s = now_s - at;

    if (at == 0) {
        pw_text_str(t, "never");
    } else if (s < 0) {
        pw_text_printf(t, "%" PRId64 " s ahead of our clock", -s);
    } else if (s < 120) {
        pw_text_printf(t, "%" PRId64 " s ago", s);
    } else if (s < 7200) {
        pw_text_printf(t, "%" PRId64 " min ago", s / 60);
    } else {
        pw_text_printf(t, "%" PRId64 " h ago", s / 3600);
    }
}

static void
put_moment(struct pw_text *t, int64_t now_s, int64_t at)
{
    pw_text_str(t, "<td title=\"");
    put_time(t, at);
    pw_text_str(t, "\">");
    put_age(t, now_s, at);
    pw_text_str(t, "</td>");
}

static const char *
state_class(const struct pw_ring_page *p, const struct pw_instance *in)
{
    if (is_stale(p, in)) {
        return "bad";
    }
    return in->state == PW_INSTANCE_ACTIVE ? "good" : "between";
}

static void
put_link(struct pw_text *t, const struct pw_ring_link *link)
{
    if (link->addr == NULL) {
        pw_text_str(t, "<td class=quiet>none announced</td>");
    } else {
        put_cell(t, link->addr);
    }
}

static void
put_forget(struct pw_text *t, const struct pw_instance *in)
{
    pw_text_str(t, "<td><form method=post><button name=forget value=\"");
    pw_html_text(t, in->id);
    pw_text_str(t,
                "\" title=\"Takes this member out of the ring. One that lives comes back with its "
                "next heartbeat.\">Forget</button></form></td>");
}

static void
put_row(struct pw_text *t, const struct pw_ring_page *p, uint32_t i, double share)
{
    const struct pw_instance *in = &p->s->view->instance[i];
    int64_t now_s = p->now_ms / 1000;

    pw_text_str(t, i == p->s->self ? "<tr class=self>" : "<tr>");
    pw_text_str(t, "<td>");
    pw_html_text(t, in->id);
    pw_text_str(t, i == p->s->self ? " <span class=tag>this one</span></td>" : "</td>");
    pw_text_printf(t, "<td><b class=%s>%s</b><br><small>%s</small></td>", state_class(p, in),
                   state_name(p, in), state_words(p, in));
    put_cell(t, in->addr);
    if (p->links) {
        put_link(t, &p->s->link[i]);
    }
    put_cell(t, in->zone);
    put_moment(t, now_s, in->timestamp);
    put_moment(t, now_s, in->registered);
    pw_text_str(t, in->read_only ? "<td>yes, " : "<td>no");
    if (in->read_only) {
        put_age(t, now_s, in->read_only_updated);
    }
    pw_text_printf(t, "</td><td class=n>%u</td><td class=n>%.1f %%</td>", in->token_count,
                   100 * share);
    put_forget(t, in);
    pw_text_str(t, "</tr>\n");
    if (p->tokens) {
        pw_text_str(t, "<tr><td class=tokens colspan=11>");
        for (uint32_t k = 0; k < in->token_count; k++) {
            pw_text_printf(t, "%s%u", k > 0 ? " " : "", in->token[k]);
        }
        pw_text_str(t, in->token_count == 0 ? "no tokens</td></tr>\n" : "</td></tr>\n");
    }
}

static const char style[] =
    "<style>body{font:15px/1.45 system-ui,sans-serif;margin:2em;color:#1c2430;background:#fff}"
    "h1{font-size:1.4em;margin:0 0 .2em}table{border-collapse:collapse;margin:1em 0}"
    "th,td{text-align:left;vertical-align:top;white-space:nowrap;padding:.45em "
    ".8em;border-bottom:1px solid #d9dee6}"
    "th{font-size:.85em;color:#5a6675;font-weight:600}tr.self{background:#f3f7fd}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}small,.quiet{color:#5a6675}"
    ".tag{font-size:.75em;background:#dbe7fa;border-radius:3px;padding:.1em .4em}"
    ".good{color:#1a7f37}.between{color:#9a6700}.bad{color:#c62828}"
    ".tokens{white-space:normal;font:12px/1.5 "
    "ui-monospace,monospace;word-break:break-word;color:#5a6675}"
    "form{margin:0}button{font:inherit;padding:.15em .7em}</style>\n";

static void
put_head(struct pw_text *t, const struct pw_ring_page *p)
{
    pw_text_str(t, "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>");
    pw_html_text(t, p->title);
    pw_text_str(t, "</title>\n");
    pw_text_str(t, style);
    pw_text_str(t, "</head><body>\n<h1>");
    pw_html_text(t, p->title);
    pw_text_str(t, "</h1>\n<small>as of ");
    put_time(t, p->now_ms / 1000);
    pw_text_str(t, " &middot; <a href=\"?format=json\">JSON</a> &middot; ");
    pw_text_str(t, p->tokens ? "<a href=\"?\">without tokens</a></small>\n"
                             : "<a href=\"?tokens=true\">with tokens</a></small>\n");
}

static void
put_summary(struct pw_text *t, const struct pw_ring_page *p)
{
    const struct pw_ring_view *v = p->s->view;
    uint32_t active = 0;

    for (uint32_t i = 0; i < v->instance_count; i++) {
        active += v->instance[i].state == PW_INSTANCE_ACTIVE && !is_stale(p, &v->instance[i]);
    }
    pw_text_printf(t, "<p><b>%u of %u</b> members are active and heard of.", active,
                   v->instance_count);
    if (p->links) {
        pw_text_printf(t, " Every profile is written to %u%s.", v->cfg.replication_factor,
                       v->cfg.zone_awareness ? ", in different zones" : "");
    }
    pw_text_printf(t, " A member is silent after %" PRId64 " s without a heartbeat.</p>\n",
                   p->heartbeat_timeout_s);
}

static void
put_table(struct pw_text *t, const struct pw_ring_page *p)
{
    const struct pw_ring_view *v = p->s->view;
    double *share = calloc(v->instance_count + 1, sizeof(*share));

    if (share == NULL) {
        t->failed = true;
        return;
    }
    pw_ring_page_ownership(v, share);
    pw_text_printf(
        t,
        "<table><thead><tr><th>Member<th>State<th>Address%s<th>Zone<th>Heartbeat"
        "<th>Registered<th>Read-only<th class=n>Tokens<th class=n>Owns<th></tr></thead>\n"
        "<tbody>\n",
        p->links ? "<th>Link" : "");
    for (uint32_t i = 0; i < v->instance_count; i++) {
        put_row(t, p, i, share[i]);
    }
    pw_text_str(t, "</tbody></table>\n");
    free(share);
}

void
pw_ring_page_html(const struct pw_ring_page *p, struct pw_text *t)
{
    put_head(t, p);
    if (p->s == NULL || p->s->view->instance_count == 0) {
        pw_text_str(t, "<p>Nobody is in this ring.</p>\n");
    } else {
        put_summary(t, p);
        put_table(t, p);
    }
    pw_text_str(t, "</body></html>\n");
}
