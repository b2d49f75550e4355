/* Who is alive, suspect, dead or gone, and by which rule that changes (contract ring.md 4.6). */
#include "base/check.h"
#include "base/log.h"
#include "ring/memberlist_internal.h"

#include <math.h>
#include <stdlib.h>

static const char module[] = "pw.ring.memberlist";

/* [pmin, pmax, pcur, dmin, dmax, dcur] as stock has them. */
static const uint8_t own_vsn[PW_ML_VSN_BYTES] = {1, 5, 2, 0, 0, 0};

static const char *
state_name(enum pw_ml_state s)
{
    static const char *const name[] = {"alive", "suspect", "dead", "left"};

    return name[s];
}

struct ml_node *
ml_find(const struct pw_memberlist *ml, struct pw_slice name)
{
    for (uint32_t i = 0; i < ml->nodes; i++) {
        if (pw_slice_eq_str(name, ml->node[i]->name)) {
            return ml->node[i];
        }
    }
    return NULL;
}

struct pw_slice
ml_own_name(const struct pw_memberlist *ml)
{
    return pw_slice_str(ml->self->name);
}

void
ml_describe(const struct ml_node *n, struct pw_ml_msg *m)
{
    *m = (struct pw_ml_msg){.node = pw_slice_str(n->name),
                            .addr = n->addr,
                            .incarnation = n->incarnation,
                            .state = (uint32_t)n->state,
                            .meta = pw_slice(n->meta, n->meta_len),
                            .vsn = pw_slice(n->vsn, sizeof(n->vsn))};
}

static void
set_state(struct pw_memberlist *ml, struct ml_node *n, enum pw_ml_state state)
{
    char quoted[PW_ML_NAME_MAX + 8], addr[PW_ML_ADDR_TEXT];

    if (state != PW_ML_STATE_SUSPECT) {
        free(n->suspicion);
        n->suspicion = NULL;
    }
    if (n->known && n->state == state) {
        return;
    }
    pw_ml_addr_text(&n->addr, addr);
    pw_log(PW_LOG_INFO, module, "msg=\"member changed\" member=%s addr=%s from=%s to=%s",
           pw_log_quote(quoted, sizeof(quoted), pw_slice_str(n->name)), addr, state_name(n->state),
           state_name(state));
    n->state = state;
    n->changed_ms = ml->now.mono_ms;
}

void
ml_free_node(struct ml_node *n)
{
    free(n->suspicion);
    free(n);
}

/* --- Telling others ----------------------------------------------------------------------------- */

static void
broadcast(struct pw_memberlist *ml, enum pw_ml_type type, const struct pw_ml_msg *m,
          const char *subject)
{
    struct pw_text t;

    pw_text_init(&t, PW_ML_PART_BYTES_MAX);
    pw_ml_msg_write(type, m, &t);
    if (!t.failed) {
        ml->stats.queue_dropped +=
            ml_queue_put(&ml->members, pw_slice(t.ptr, t.len), subject, (struct pw_slice){0});
    }
    pw_text_fini(&t);
}

static void
broadcast_alive(struct pw_memberlist *ml, const struct ml_node *n)
{
    struct pw_ml_msg m;

    ml_describe(n, &m);
    broadcast(ml, PW_ML_ALIVE, &m, n->name);
}

/* Somebody holds us for dead, or for what we were before: we are newer than that. */
static void
refute(struct pw_memberlist *ml, uint32_t accused)
{
    uint32_t mine = ml->self->incarnation;

    ml->self->incarnation = (accused > mine ? accused : mine) + 1;
    ml->stats.refuted++;
    ml_add_health(ml, 1);
    broadcast_alive(ml, ml->self);
}

/* --- Alive -------------------------------------------------------------------------------------- */

static bool
can_be(const struct pw_ml_msg *m)
{
    return m->node.len > 0 && m->node.len <= PW_ML_NAME_MAX &&
           memchr(m->node.ptr, 0, m->node.len) == NULL && m->addr.ip_len != 0 &&
           m->vsn.len == PW_ML_VSN_BYTES && m->vsn.ptr[VSN_PMIN] <= m->vsn.ptr[VSN_PMAX];
}

static struct ml_node *
add_node(struct pw_memberlist *ml, const struct pw_ml_msg *m)
{
    struct ml_node *n = ml->nodes < PW_ML_NODES_MAX ? calloc(1, sizeof(*n)) : NULL;
    uint32_t at;

    if (n == NULL) {
        return NULL;
    }
    memcpy(n->name, m->node.ptr, m->node.len);
    n->state = PW_ML_STATE_DEAD; /* until what is said of it is taken */
    n->addr = m->addr;
    n->changed_ms = ml->now.mono_ms;
    /* Anywhere, so that not all probe a new member at once. */
    at = ml_below(ml, ml->nodes + 1);
    ml->node[ml->nodes++] = ml->node[at];
    ml->node[at] = n;
    return n;
}

static void
take_description(struct ml_node *n, const struct pw_ml_msg *m)
{
    n->incarnation = m->incarnation;
    n->addr = m->addr;
    n->meta_len = (uint32_t)m->meta.len;
    if (m->meta.len > 0) {
        memcpy(n->meta, m->meta.ptr, m->meta.len);
    }
    memcpy(n->vsn, m->vsn.ptr, PW_ML_VSN_BYTES);
}

/* A name may come back at another address when its member has left, or is dead for long enough. */
static bool
may_move(const struct pw_memberlist *ml, const struct ml_node *n)
{
    return n->state == PW_ML_STATE_LEFT ||
           (n->state == PW_ML_STATE_DEAD && ml->cfg.dead_reclaim_ms > 0 &&
            ml->now.mono_ms - n->changed_ms > ml->cfg.dead_reclaim_ms);
}

static bool
same_description(const struct ml_node *n, const struct pw_ml_msg *m)
{
    return pw_slice_eq(m->meta, pw_slice(n->meta, n->meta_len)) &&
           pw_slice_eq(m->vsn, pw_slice(n->vsn, sizeof(n->vsn)));
}

static void
alive_self(struct pw_memberlist *ml, const struct pw_ml_msg *m)
{
    if (ml->leaving || m->incarnation < ml->self->incarnation ||
        (m->incarnation == ml->self->incarnation && same_description(ml->self, m))) {
        return;
    }
    refute(ml, m->incarnation);
}

void
ml_alive(struct pw_memberlist *ml, const struct pw_ml_msg *m)
{
    struct ml_node *n = ml_find(ml, m->node);
    bool fresh = n == NULL, moves = false;

    if (!can_be(m)) {
        ml->stats.nodes_refused++;
        return;
    }
    if (fresh && (n = add_node(ml, m)) == NULL) {
        ml->stats.nodes_refused++;
        return;
    }
    if (!pw_ml_addr_equal(&n->addr, &m->addr)) {
        moves = n != ml->self && may_move(ml, n);
        if (!moves) {
            ml->stats.conflicts++;
            return;
        }
    }
    if (n == ml->self) {
        alive_self(ml, m);
        return;
    }
    if (!fresh && !moves && m->incarnation <= n->incarnation) {
        return;
    }
    take_description(n, m);
    set_state(ml, n, PW_ML_STATE_ALIVE);
    broadcast_alive(ml, n);
}

int
ml_add_self(struct pw_memberlist *ml)
{
    const struct pw_ml_msg me = {.node = pw_slice_str(ml->cfg.name),
                                 .addr = ml->cfg.addr,
                                 .incarnation = 1,
                                 .vsn = pw_slice(own_vsn, sizeof(own_vsn))};

    if (!can_be(&me)) {
        return PW_EINVAL;
    }
    ml->self = add_node(ml, &me);
    if (ml->self == NULL) {
        return PW_ENOMEM;
    }
    take_description(ml->self, &me);
    ml->self->state = PW_ML_STATE_ALIVE;
    ml->self->known = true;
    broadcast_alive(ml, ml->self);
    return 0;
}

/* --- Suspect ------------------------------------------------------------------------------------ */

static int64_t
suspicion_until(const struct ml_suspicion *s)
{
    double span = (double)(s->max_ms - s->min_ms);
    double part;

    if (s->wanted == 0) {
        return s->since_ms + s->min_ms;
    }
    part = log((double)s->confirmed + 1) / log((double)s->wanted + 1);
    return s->since_ms + s->max_ms - (int64_t)(part < 1 ? part * span : span);
}

static void
copy_name(char to[PW_ML_NAME_MAX + 1], struct pw_slice name)
{
    size_t n = name.len < PW_ML_NAME_MAX ? name.len : PW_ML_NAME_MAX;

    if (n > 0) {
        memcpy(to, name.ptr, n);
    }
    to[n] = 0;
}

/* True when from is one more who suspects it, and that counts. */
static bool
confirm(struct ml_suspicion *s, struct pw_slice from)
{
    if (s->confirmed >= s->wanted) {
        return false;
    }
    for (uint32_t i = 0; i <= s->confirmed; i++) {
        if (pw_slice_eq_str(from, s->from[i])) {
            return false;
        }
    }
    copy_name(s->from[++s->confirmed], from);
    return true;
}

static struct ml_suspicion *
new_suspicion(const struct pw_memberlist *ml, struct pw_slice from)
{
    struct ml_suspicion *s = calloc(1, sizeof(*s));
    double scale = log10((double)ml->nodes);

    if (s == NULL) {
        return NULL;
    }
    s->since_ms = ml->now.mono_ms;
    s->min_ms =
        (int64_t)(ML_SUSPICION_MULT * (scale > 1 ? scale : 1) * (double)ml->cfg.probe_interval_ms);
    s->max_ms = ML_SUSPICION_MAX_MULT * s->min_ms;
    s->wanted = ml->nodes >= ML_CONFIRMERS_MAX + 2 ? ML_CONFIRMERS_MAX : 0;
    copy_name(s->from[0], from);
    return s;
}

void
ml_suspect(struct pw_memberlist *ml, const struct pw_ml_msg *m)
{
    struct ml_node *n = ml_find(ml, m->node);

    if (n == NULL || m->incarnation < n->incarnation) {
        return;
    }
    if (n->suspicion != NULL) {
        if (confirm(n->suspicion, m->from)) {
            broadcast(ml, PW_ML_SUSPECT, m, n->name);
        }
        return;
    }
    if (n->state != PW_ML_STATE_ALIVE) {
        return;
    }
    if (n == ml->self) {
        if (!ml->leaving) {
            refute(ml, m->incarnation);
        }
        return;
    }
    n->suspicion = new_suspicion(ml, m->from);
    if (n->suspicion == NULL) {
        return; /* the next probe tries again */
    }
    n->incarnation = m->incarnation;
    broadcast(ml, PW_ML_SUSPECT, m, n->name);
    set_state(ml, n, PW_ML_STATE_SUSPECT);
}

int64_t
ml_expire_suspicions(struct pw_memberlist *ml)
{
    int64_t next = INT64_MAX;

    for (uint32_t i = 0; i < ml->nodes; i++) {
        struct ml_node *n = ml->node[i];
        int64_t until = n->suspicion == NULL ? INT64_MAX : suspicion_until(n->suspicion);

        if (until <= ml->now.mono_ms) {
            const struct pw_ml_msg dead = {.node = pw_slice_str(n->name),
                                           .from = ml_own_name(ml),
                                           .incarnation = n->incarnation};

            ml_dead(ml, &dead);
        } else if (until < next) {
            next = until;
        }
    }
    return next;
}

/* --- Dead --------------------------------------------------------------------------------------- */

void
ml_dead(struct pw_memberlist *ml, const struct pw_ml_msg *m)
{
    struct ml_node *n = ml_find(ml, m->node);

    if (n == NULL || m->incarnation < n->incarnation || n->state == PW_ML_STATE_DEAD ||
        n->state == PW_ML_STATE_LEFT) {
        return;
    }
    if (n == ml->self && !ml->leaving) {
        refute(ml, m->incarnation);
        return;
    }
    broadcast(ml, PW_ML_DEAD, m, n->name);
    n->incarnation = m->incarnation;
    set_state(ml, n, pw_slice_eq(m->from, m->node) ? PW_ML_STATE_LEFT : PW_ML_STATE_DEAD);
}

void
ml_forget_dead(struct pw_memberlist *ml)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < ml->nodes; i++) {
        struct ml_node *n = ml->node[i];
        bool gone = n->state == PW_ML_STATE_DEAD || n->state == PW_ML_STATE_LEFT;

        if (gone && n != ml->self && ml->now.mono_ms - n->changed_ms > ml->cfg.gossip_to_dead_ms) {
            ml_free_node(n);
        } else {
            ml->node[kept++] = n;
        }
    }
    ml->nodes = kept;
    ml->probe_at = ml->probe_at < kept ? ml->probe_at : 0;
}

uint32_t
ml_pick(struct pw_memberlist *ml, bool (*fit)(const struct pw_memberlist *, const struct ml_node *),
        uint32_t *index, uint32_t want)
{
    uint32_t candidate[PW_ML_NODES_MAX];
    uint32_t count = 0, taken = 0;

    for (uint32_t i = 0; i < ml->nodes; i++) {
        if (fit(ml, ml->node[i])) {
            candidate[count++] = i;
        }
    }
    for (; taken < want && count > 0; taken++) {
        uint32_t at = ml_below(ml, count);

        index[taken] = candidate[at];
        candidate[at] = candidate[--count];
    }
    return taken;
}
