#include "query/params.h"

static int
hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = pw_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct pw_slice
decode(struct pw_arena *a, struct pw_slice in)
{
    uint8_t *out = pw_arena_alloc(a, in.len + 1);
    size_t n = 0;

    if (out == NULL) {
        return (struct pw_slice){0};
    }
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];

        if (c == '%' && in.len - i > 2 && hex(in.ptr[i + 1]) >= 0 && hex(in.ptr[i + 2]) >= 0) {
            c = (uint8_t)(hex(in.ptr[i + 1]) << 4 | hex(in.ptr[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = 0;
    return pw_slice(out, n);
}

bool
pw_params_parse(struct pw_params *p, struct pw_slice query, struct pw_arena *a)
{
    *p = (struct pw_params){0};
    while (query.len > 0 && p->count < PW_PARAMS_MAX) {
        const uint8_t *amp = memchr(query.ptr, '&', query.len);
        size_t n = amp == NULL ? query.len : (size_t)(amp - query.ptr);
        const uint8_t *eq = memchr(query.ptr, '=', n);
        size_t name = eq == NULL ? n : (size_t)(eq - query.ptr);
        struct pw_slice value =
            eq == NULL ? pw_slice(query.ptr + n, 0) : pw_slice(eq + 1, n - name - 1);

        p->name[p->count] = decode(a, pw_slice(query.ptr, name));
        p->value[p->count] = decode(a, value);
        if (p->name[p->count].ptr == NULL || p->value[p->count].ptr == NULL) {
            return false;
        }
        p->count += name > 0 ? 1 : 0;
        query = amp == NULL ? (struct pw_slice){0} : pw_slice(amp + 1, query.len - n - 1);
    }
    return true;
}

struct pw_slice
pw_params_get(const struct pw_params *p, const char *name)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (pw_slice_eq_str(p->name[i], name)) {
            return p->value[i];
        }
    }
    return (struct pw_slice){0};
}
