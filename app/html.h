/* app/html.h - text that strangers chose, on a page.
 *
 * Purpose  names of members and instances come from the gossip: nothing in them is markup.
 * Owner    pure function.
 * Context  control and query threads.
 * Units    -
 * Errors   as base/text.h: the limit is the text's.
 * Limits   -
 */
#ifndef PW_APP_HTML_H
#define PW_APP_HTML_H

#include "base/text.h"

/* A header line: such a page runs nothing, loads nothing, and no other page may hold it (CSP 3). */
#define PW_HTML_POLICY                                                                             \
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; " \
    "frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\n"

/* s with & < > " ' as references, so that it may stand between tags and in a quoted attribute. */
void pw_html_text(struct pw_text *t, const char *s);

#endif
