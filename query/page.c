#include "query/routes.h"

#include "query/envelope.h"
#include "query/ui_files.h"

static int
put(struct pw_call *c, struct pw_query_reply *rep, const char *content_type, struct pw_slice file)
{
    rep->content_type = content_type;
    /* The files change only with the binary, but a new binary has the same paths. */
    pw_envelope_header(rep, "Cache-Control: no-cache");
    pw_envelope_header(rep, "X-Content-Type-Options: nosniff");
    pw_text_slice(&c->out, file);
    return 0;
}

int
pw_page_index(struct pw_call *c, struct pw_query_reply *rep)
{
    /* Profiles name functions as their senders like: whatever they hold, the page loads and runs only
     * what came with the binary. */
    pw_envelope_header(rep, "Content-Security-Policy: default-src 'self'");
    return put(c, rep, "text/html; charset=utf-8", pw_ui_index_html());
}

int
pw_page_script(struct pw_call *c, struct pw_query_reply *rep)
{
    return put(c, rep, "text/javascript; charset=utf-8", pw_ui_app_js());
}

int
pw_page_style(struct pw_call *c, struct pw_query_reply *rep)
{
    return put(c, rep, "text/css; charset=utf-8", pw_ui_app_css());
}

int
pw_page_icon(struct pw_call *c, struct pw_query_reply *rep)
{
    return put(c, rep, "image/svg+xml", pw_ui_icon_svg());
}

int
pw_page_redirect(struct pw_call *c, struct pw_query_reply *rep)
{
    (void)c;
    rep->status = 302;
    pw_envelope_header(rep, "Location: /");
    return 0;
}
