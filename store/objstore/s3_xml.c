#include "store/objstore/s3_xml.h"

#include <expat.h>
#include <stdlib.h>
#include <time.h>

enum { ELEMENT_NAME_MAX = 48 };

/* The walk of one document: where we are, and the text of the innermost element so far. */
struct walk {
    XML_Parser parser;
    char path[PW_S3_XML_DEPTH_MAX][ELEMENT_NAME_MAX];
    int depth;
    char text[PW_S3_FIELD_MAX];
    size_t text_len;
    int err;
    /* Called at the end of each element; path[depth - 1] is its name. */
    void (*leaf)(struct walk *w, void *arg);
    void *arg;
};

static void
stop(struct walk *w, int err)
{
    if (w->err == 0) {
        w->err = err;
        XML_StopParser(w->parser, XML_FALSE);
    }
}

static void XMLCALL
on_start(void *user, const XML_Char *name, const XML_Char **attr)
{
    struct walk *w = user;

    if (w->depth == PW_S3_XML_DEPTH_MAX || strlen(name) >= ELEMENT_NAME_MAX) {
        stop(w, PW_EPROTO);
        return;
    }
    memcpy(w->path[w->depth++], name, strlen(name) + 1);
    w->text_len = 0;
}

static void XMLCALL
on_text(void *user, const XML_Char *s, int len)
{
    struct walk *w = user;

    if ((size_t)len >= sizeof(w->text) - w->text_len) {
        stop(w, PW_EPROTO);
        return;
    }
    memcpy(w->text + w->text_len, s, (size_t)len);
    w->text_len += (size_t)len;
}

static void XMLCALL
on_end(void *user, const XML_Char *name)
{
    struct walk *w = user;

    if (w->err != 0) { /* expat ends an empty element even after its start stopped the walk */
        return;
    }
    w->text[w->text_len] = 0;
    w->leaf(w, w->arg);
    w->depth--;
    w->text_len = 0;
}

static int
walk_xml(struct pw_slice xml, void (*leaf)(struct walk *, void *), void *arg)
{
    struct walk *w = calloc(1, sizeof(*w));
    int rc;

    if (w == NULL) {
        return PW_ENOMEM;
    }
    *w = (struct walk){.leaf = leaf, .arg = arg, .parser = XML_ParserCreate(NULL)};
    if (w->parser == NULL) {
        free(w);
        return PW_ENOMEM;
    }
    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, on_start, on_end);
    XML_SetCharacterDataHandler(w->parser, on_text);
    rc = xml.len <= INT32_MAX && XML_Parse(w->parser, (const char *)xml.ptr, (int)xml.len,
                                           XML_TRUE) == XML_STATUS_OK
             ? 0
             : PW_EPROTO;
    if (w->err != 0) {
        rc = w->err;
    }
    XML_ParserFree(w->parser);
    free(w);
    return rc;
}

/* Whether the element that ends is root/.../name, given as the path from the root. */
static bool
at(const struct walk *w, const char *a, const char *b, const char *c)
{
    const char *want[] = {a, b, c};
    int depth = c != NULL ? 3 : b != NULL ? 2 : 1;

    if (w->depth != depth) {
        return false;
    }
    for (int i = 0; i < depth; i++) {
        if (strcmp(w->path[i], want[i]) != 0) {
            return false;
        }
    }
    return true;
}

static void
copy_text(const struct walk *w, char *out, size_t cap)
{
    size_t n = w->text_len < cap - 1 ? w->text_len : cap - 1;

    memcpy(out, w->text, n);
    out[n] = 0;
}

static int
hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Undoes encoding-type=url in place; a '+' is a space there. False for a cut escape or a NUL. */
static bool
url_decode(char *s)
{
    char *to = s;

    for (; *s != 0; s++, to++) {
        if (*s == '%') {
            int hi = hex_digit(s[1]), lo = hi < 0 ? -1 : hex_digit(s[2]);

            if (lo < 0 || (hi | lo) == 0) {
                return false;
            }
            *to = (char)(hi << 4 | lo);
            s += 2;
        } else {
            *to = *s == '+' ? ' ' : *s;
        }
    }
    *to = 0;
    return true;
}

/* "2026-11-21T02:10:00.000Z"; 0 for anything else, and for what nanoseconds cannot hold. */
static int64_t
time_of(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t ns;

    if (rest == NULL || (*rest != '.' && *rest != 'Z') ||
        __builtin_mul_overflow((int64_t)timegm(&tm), INT64_C(1000000000), &ns)) {
        return 0;
    }
    return ns;
}

struct list_walk {
    pw_objstore_found_fn *found;
    void *arg;
    struct pw_s3_list_page *page;
    char key[PW_S3_FIELD_MAX];
    struct pw_object_info info;
    bool url_encoded, is_list;
};

static void
list_found(struct walk *w, struct list_walk *l, const char *key, const struct pw_object_info *info)
{
    char decoded[PW_S3_FIELD_MAX];
    int rc;

    memcpy(decoded, key, strlen(key) + 1);
    if (decoded[0] == 0 || (l->url_encoded && !url_decode(decoded))) {
        stop(w, PW_EPROTO);
        return;
    }
    rc = l->found(l->arg, decoded, info);
    if (rc != 0) {
        stop(w, rc);
    }
}

static void
list_leaf(struct walk *w, void *arg)
{
    struct list_walk *l = arg;
    const char *root = "ListBucketResult";

    if (at(w, root, "EncodingType", NULL)) {
        l->url_encoded = strcmp(w->text, "url") == 0;
    } else if (at(w, root, "IsTruncated", NULL)) {
        l->page->is_truncated = strcmp(w->text, "true") == 0;
    } else if (at(w, root, "NextContinuationToken", NULL)) {
        copy_text(w, l->page->next_token, sizeof(l->page->next_token));
    } else if (at(w, root, "Contents", "Key")) {
        copy_text(w, l->key, sizeof(l->key));
    } else if (at(w, root, "Contents", "Size")) {
        l->info.size = strtoull(w->text, NULL, 10);
    } else if (at(w, root, "Contents", "LastModified")) {
        l->info.mtime_ns = time_of(w->text);
    } else if (at(w, root, "Contents", NULL)) {
        list_found(w, l, l->key, &l->info);
        l->key[0] = 0;
        l->info = (struct pw_object_info){0};
    } else if (at(w, root, "CommonPrefixes", "Prefix")) {
        list_found(w, l, w->text, &(struct pw_object_info){0});
    } else if (at(w, root, NULL, NULL)) {
        l->is_list = true;
    }
}

/* One page may name EncodingType after its keys, and then they cannot be decoded on the way: a first
 * walk only looks for it. */
static void
encoding_leaf(struct walk *w, void *arg)
{
    if (at(w, "ListBucketResult", "EncodingType", NULL)) {
        *(bool *)arg = strcmp(w->text, "url") == 0;
    }
}

int
pw_s3_xml_list(struct pw_slice xml, pw_objstore_found_fn *found, void *arg,
               struct pw_s3_list_page *page)
{
    struct list_walk *l = calloc(1, sizeof(*l));
    int rc;

    if (l == NULL) {
        return PW_ENOMEM;
    }
    *page = (struct pw_s3_list_page){0};
    *l = (struct list_walk){.found = found, .arg = arg, .page = page};
    rc = walk_xml(xml, encoding_leaf, &l->url_encoded);
    if (rc == 0) {
        rc = walk_xml(xml, list_leaf, l);
    }
    if (rc == 0 && !l->is_list) {
        rc = PW_EPROTO;
    }
    free(l);
    return rc;
}

static void
error_leaf(struct walk *w, void *arg)
{
    struct pw_s3_error *e = arg;

    if (at(w, "Error", "Code", NULL)) {
        copy_text(w, e->code, sizeof(e->code));
    } else if (at(w, "Error", "Message", NULL)) {
        copy_text(w, e->message, sizeof(e->message));
    } else if (at(w, "Error", "Region", NULL)) {
        copy_text(w, e->region, sizeof(e->region));
    }
}

void
pw_s3_xml_error(struct pw_slice xml, struct pw_s3_error *e)
{
    *e = (struct pw_s3_error){0};
    if (walk_xml(xml, error_leaf, e) != 0) {
        *e = (struct pw_s3_error){0};
    }
}

struct text_walk {
    const char *name;
    char *out;
    size_t cap;
};

static void
text_leaf(struct walk *w, void *arg)
{
    struct text_walk *t = arg;

    if (w->depth <= 2 && strcmp(w->path[w->depth - 1], t->name) == 0) {
        copy_text(w, t->out, t->cap);
    }
}

int
pw_s3_xml_text(struct pw_slice xml, const char *name, char *out, size_t cap)
{
    struct text_walk t = {.name = name, .out = out, .cap = cap};

    out[0] = 0;
    return walk_xml(xml, text_leaf, &t);
}

struct root_walk {
    const char *name;
    bool found;
};

static void
root_leaf(struct walk *w, void *arg)
{
    struct root_walk *r = arg;

    r->found |= at(w, r->name, NULL, NULL);
}

int
pw_s3_xml_is(struct pw_slice xml, const char *root)
{
    struct root_walk r = {.name = root};
    int rc = walk_xml(xml, root_leaf, &r);

    return rc != 0 ? rc : r.found ? 0 : PW_EPROTO;
}
