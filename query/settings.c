#include "query/settings.h"

#include <front.pb-c.h>
#include <pthread.h>
#include <stdlib.h>

struct setting {
    struct setting *next; /* in order of first Set */
    struct pw_slice tenant, name, value;
    int64_t modified_at;
};

struct pw_settings {
    pthread_mutex_t lock;
    struct setting *list;
    uint32_t count;
};

int
pw_settings_create_cold(struct pw_settings **s)
{
    *s = calloc(1, sizeof(**s));
    if (*s == NULL) {
        return PW_ENOMEM;
    }
    pthread_mutex_init(&(*s)->lock, NULL);
    return 0;
}

void
pw_settings_destroy_cold(struct pw_settings *s)
{
    while (s != NULL && s->list != NULL) {
        struct setting *e = s->list;

        s->list = e->next;
        free(e);
    }
    if (s != NULL) {
        pthread_mutex_destroy(&s->lock);
    }
    free(s);
}

/* Where the setting is linked, or where it would be. Lock held. */
static struct setting **
find(struct pw_settings *s, struct pw_slice tenant, struct pw_slice name)
{
    struct setting **p = &s->list;

    while (*p != NULL && !(pw_slice_eq((*p)->tenant, tenant) && pw_slice_eq((*p)->name, name))) {
        p = &(*p)->next;
    }
    return p;
}

static struct pw_slice
put(uint8_t **at, struct pw_slice s)
{
    uint8_t *p = *at;

    if (s.len > 0) {
        memcpy(p, s.ptr, s.len);
    }
    *at += s.len;
    return pw_slice(p, s.len);
}

static int
store(struct pw_settings *s, const struct setting *v)
{
    struct setting **p = find(s, v->tenant, v->name);
    struct setting *old = *p, *e;
    uint8_t *at;

    if (old != NULL && old->modified_at > v->modified_at) {
        return PW_EEXIST;
    }
    if (v->name.len + v->value.len > PW_SETTINGS_VALUE_BYTES_MAX ||
        (old == NULL && s->count >= PW_SETTINGS_MAX)) {
        return PW_ENOSPC;
    }
    e = malloc(sizeof(*e) + v->tenant.len + v->name.len + v->value.len);
    if (e == NULL) {
        return PW_ENOMEM;
    }
    at = (uint8_t *)(e + 1);
    *e = (struct setting){.next = old == NULL ? NULL : old->next, .modified_at = v->modified_at};
    e->tenant = put(&at, v->tenant);
    e->name = put(&at, v->name);
    e->value = put(&at, v->value);
    *p = e;
    s->count += old == NULL ? 1 : 0;
    free(old);
    return 0;
}

/* The tenant whose settings are meant: of several, there is none. */
static int
one_tenant(struct pw_call *c)
{
    return c->tenant_count == 1 ? 0
                                : pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT,
                                               "expected 1 tenant, got %u", c->tenant_count);
}

int
pw_settings_get(struct pw_call *c, const ProtobufCMessage *req)
{
    struct pw_settings *s = c->t->q->settings;
    Front__V1__GetSettingsResponse res = FRONT__V1__GET_SETTINGS_RESPONSE__INIT;
    bool no_memory = false;

    (void)req;
    if (one_tenant(c) != 0) {
        return PW_EINVAL;
    }
    res.settings = pw_arena_zalloc(c->arena, PW_SETTINGS_MAX, sizeof(*res.settings));
    if (res.settings == NULL) {
        return pw_call_no_memory(c);
    }
    pthread_mutex_lock(&s->lock);
    for (const struct setting *e = s->list; e != NULL; e = e->next) {
        Front__V1__Setting *out;

        if (!pw_slice_eq(e->tenant, c->tenant[0])) {
            continue;
        }
        out = pw_arena_zalloc(c->arena, 1, sizeof(*out));
        if (out == NULL) {
            no_memory = true;
            break;
        }
        front__v1__setting__init(out);
        out->name = pw_codec_string(c->arena, e->name);
        out->value = pw_codec_string(c->arena, e->value);
        out->modifiedat = e->modified_at;
        res.settings[res.n_settings++] = out;
    }
    pthread_mutex_unlock(&s->lock);
    return no_memory ? pw_call_no_memory(c) : pw_call_answer(c, &res.base);
}

int
pw_settings_set(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Front__V1__SetSettingsRequest *req = (const Front__V1__SetSettingsRequest *)msg;
    struct pw_settings *s = c->t->q->settings;
    Front__V1__SetSettingsResponse res = FRONT__V1__SET_SETTINGS_RESPONSE__INIT;
    struct setting v;
    int rc;

    if (one_tenant(c) != 0) {
        return PW_EINVAL;
    }
    if (req->setting == NULL) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "no setting values provided");
    }
    if (req->setting->modifiedat <= 0) {
        req->setting->modifiedat = c->req->now_ms;
    }
    v = (struct setting){.tenant = c->tenant[0],
                         .name = pw_slice_str(req->setting->name),
                         .value = pw_slice_str(req->setting->value),
                         .modified_at = req->setting->modifiedat};
    pthread_mutex_lock(&s->lock);
    rc = store(s, &v);
    pthread_mutex_unlock(&s->lock);
    if (rc == PW_EEXIST) {
        return pw_call_fail(c, PW_CONNECT_CODE_ALREADY_EXISTS,
                            "failed to update %s: newer update already written",
                            req->setting->name);
    }
    if (rc != 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_RESOURCE_EXHAUSTED,
                            "settings are limited to %d pairs of %d bytes", PW_SETTINGS_MAX,
                            PW_SETTINGS_VALUE_BYTES_MAX);
    }
    res.setting = req->setting;
    return pw_call_answer(c, &res.base);
}

int
pw_settings_delete(struct pw_call *c, const ProtobufCMessage *msg)
{
    const Front__V1__DeleteSettingsRequest *req = (const Front__V1__DeleteSettingsRequest *)msg;
    struct pw_settings *s = c->t->q->settings;
    Front__V1__Empty res = FRONT__V1__EMPTY__INIT;
    struct setting **p, *e;

    if (one_tenant(c) != 0) {
        return PW_EINVAL;
    }
    if (req->name[0] == 0) {
        return pw_call_fail(c, PW_CONNECT_CODE_INVALID_ARGUMENT, "no setting name provided");
    }
    pthread_mutex_lock(&s->lock);
    p = find(s, c->tenant[0], pw_slice_str(req->name));
    e = *p;
    if (e != NULL) {
        *p = e->next;
        s->count--;
    }
    pthread_mutex_unlock(&s->lock);
    free(e);
    return pw_call_answer(c, &res.base);
}
