#include "app/html.h"

void
pw_html_text(struct pw_text *t, const char *s)
{
    for (; *s != 0; s++) {
        switch (*s) {
        case '&':
            pw_text_str(t, "&amp;");
            break;
        case '<':
            pw_text_str(t, "&lt;");
            break;
        case '>':
            pw_text_str(t, "&gt;");
            break;
        case '"':
            pw_text_str(t, "&#34;");
            break;
        case '\'':
            pw_text_str(t, "&#39;");
            break;
        default:
            pw_text_char(t, *s);
            break;
        }
    }
}
