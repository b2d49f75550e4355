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

/* s with & < > " ' as references, so that it may stand between tags and in a quoted attribute. */
void pw_html_text(struct pw_text *t, const char *s);

#endif
