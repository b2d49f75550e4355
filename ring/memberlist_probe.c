/* Failure detection: one member a probe interval is pinged, first directly, then through others
 * (contract ring.md 4.6). */
#include "ring/memberlist_internal.h"

void
ml_add_health(struct pw_memberlist *ml, int32_t delta)
{
    int32_t h = (int32_t)ml->health + delta;

    ml->health = (uint32_t)(h < 0 ? 0 : (h > ML_HEALTH_MAX ? ML_HEALTH_MAX : h));
}

static void
send_message(struct pw_memberlist *ml, enum pw_ml_type type, const struct pw_ml_msg *m,
             const struct pw_ml_addr *to)
{
    struct pw_text t;

    pw_text_init(&t, PW_ML_PART_BYTES_MAX);
    pw_ml_msg_write(type, m, &t);
    if (!t.failed) {
        ml_send(ml, to, pw_slice(t.ptr, t.len));
    }
    pw_text_fini(&t);
}

static struct pw_ml_msg
new_ping(struct pw_memberlist *ml, struct pw_slice target)
{
    return (struct pw_ml_msg){
        .seq = ++ml->seq, .node = target, .source = ml->self->addr, .source_node = ml_own_name(ml)};
}

/* --- Asked by others ---------------------------------------------------------------------------- */

static const struct pw_ml_addr *
reply_address(const struct pw_ml_msg *m, const struct pw_ml_addr *from)
{
    return m->source.ip_len != 0 && m->source.port != 0 ? &m->source : from;
}

void
ml_take_ping(struct pw_memberlist *ml, const struct pw_ml_msg *m, const struct pw_ml_addr *from)
{
    const struct pw_ml_msg ack = {.seq = m->seq};

    /* For somebody who had our address before us: silence. */
    if (m->node.len > 0 && !pw_slice_eq(m->node, ml_own_name(ml))) {
        return;
    }
    send_message(ml, PW_ML_ACK, &ack, reply_address(m, from));
}

void
ml_take_indirect_ping(struct pw_memberlist *ml, const struct pw_ml_msg *m,
                      const struct pw_ml_addr *from)
{
    struct pw_ml_msg ping = new_ping(ml, m->node);

    if (ml->relays == PW_ML_RELAYS_MAX || m->addr.ip_len == 0 || m->addr.port == 0) {
        return;
    }
    ml->stats.indirect_pings++;
    ml->relay[ml->relays++] = (struct ml_relay){
        .seq = ping.seq,
        .their_seq = m->seq,
        .reply_to = *reply_address(m, from),
        .nack = m->nack,
        .nack_ms = ml->now.mono_ms + ml->cfg.probe_timeout_ms,
        .end_ms = ml->now.mono_ms + ml->cfg.probe_interval_ms,
    };
    send_message(ml, PW_ML_PING, &ping, &m->addr);
}

static void
take_relayed_ack(struct pw_memberlist *ml, uint32_t seq)
{
    for (uint32_t i = 0; i < ml->relays; i++) {
        if (ml->relay[i].seq == seq) {
            const struct pw_ml_msg ack = {.seq = ml->relay[i].their_seq};
            const struct pw_ml_addr to = ml->relay[i].reply_to;

            ml->relay[i] = ml->relay[--ml->relays];
            send_message(ml, PW_ML_ACK, &ack, &to);
            return;
        }
    }
}

static int64_t
step_relays(struct pw_memberlist *ml)
{
    int64_t next = INT64_MAX;

    for (uint32_t i = ml->relays; i > 0; i--) {
        struct ml_relay *r = &ml->relay[i - 1];
        int64_t due;

        if (r->nack && r->nack_ms <= ml->now.mono_ms) {
            const struct pw_ml_msg nack = {.seq = r->their_seq};

            r->nack = false;
            send_message(ml, PW_ML_NACK, &nack, &r->reply_to);
        }
        if (r->end_ms <= ml->now.mono_ms) {
            *r = ml->relay[--ml->relays];
            continue;
        }
        due = r->nack ? r->nack_ms : r->end_ms;
        next = due < next ? due : next;
    }
    return next;
}

/* --- Our own probe ------------------------------------------------------------------------------ */

void
ml_take_ack(struct pw_memberlist *ml, const struct pw_ml_msg *m)
{
    if (ml->probe.active && m->seq == ml->probe.seq) {
        ml->probe.active = false;
        ml_add_health(ml, -1);
        return;
    }
    take_relayed_ack(ml, m->seq);
}

void
ml_take_nack(struct pw_memberlist *ml, const struct pw_ml_msg *m)
{
    if (ml->probe.active && m->seq == ml->probe.seq) {
        ml->probe.nacks++;
    }
}

static void
shuffle(struct pw_memberlist *ml)
{
    for (uint32_t i = ml->nodes; i > 1; i--) {
        uint32_t at = ml_below(ml, i);
        struct ml_node *n = ml->node[i - 1];

        ml->node[i - 1] = ml->node[at];
        ml->node[at] = n;
    }
}

/* Round robin; after each round the dead are forgotten and the order is another. */
static struct ml_node *
next_target(struct pw_memberlist *ml)
{
    for (uint32_t tried = 0; tried <= ml->nodes; tried++) {
        struct ml_node *n;

        if (ml->probe_at >= ml->nodes) {
            ml_forget_dead(ml);
            shuffle(ml);
            ml->probe_at = 0;
        }
        n = ml->node[ml->probe_at++];
        if (n != ml->self && (n->state == PW_ML_STATE_ALIVE || n->state == PW_ML_STATE_SUSPECT)) {
            return n;
        }
    }
    return NULL;
}

/* One we suspect is told so with the ping, so that it can say otherwise. */
static void
ping_suspect(struct pw_memberlist *ml, const struct ml_node *n, const struct pw_ml_msg *ping)
{
    const struct pw_ml_msg suspect = {
        .node = pw_slice_str(n->name), .from = ml_own_name(ml), .incarnation = n->incarnation};
    struct pw_text a, b;

    pw_text_init(&a, PW_ML_PART_BYTES_MAX);
    pw_text_init(&b, PW_ML_PART_BYTES_MAX);
    pw_ml_msg_write(PW_ML_PING, ping, &a);
    pw_ml_msg_write(PW_ML_SUSPECT, &suspect, &b);
    if (!a.failed && !b.failed) {
        const struct pw_slice part[2] = {pw_slice(a.ptr, a.len), pw_slice(b.ptr, b.len)};

        ml_send_compound(ml, &n->addr, false, part, 2);
    }
    pw_text_fini(&a);
    pw_text_fini(&b);
}

static void
begin_probe(struct pw_memberlist *ml)
{
    struct ml_node *n = next_target(ml);
    struct pw_ml_msg ping;

    if (n == NULL) {
        return;
    }
    ping = new_ping(ml, pw_slice_str(n->name));
    ml->stats.probes++;
    ml->probe = (struct ml_probe){
        .active = true,
        .seq = ping.seq,
        .direct_until_ms = ml->now.mono_ms + ml->cfg.probe_timeout_ms * (ml->health + 1),
        .until_ms = ml->now.mono_ms + ml->cfg.probe_interval_ms * (ml->health + 1),
    };
    memcpy(ml->probe.name, n->name, sizeof(n->name));
    if (n->state == PW_ML_STATE_ALIVE) {
        send_message(ml, PW_ML_PING, &ping, &n->addr);
    } else {
        ping_suspect(ml, n, &ping);
    }
}

static bool
can_help(const struct pw_memberlist *ml, const struct ml_node *n)
{
    return n != ml->self && n->state == PW_ML_STATE_ALIVE && strcmp(n->name, ml->probe.name) != 0;
}

static void
ask_others(struct pw_memberlist *ml, const struct ml_node *target)
{
    uint32_t index[ML_INDIRECT];
    uint32_t n = ml_pick(ml, can_help, index, ML_INDIRECT);

    ml->probe.indirect = true;
    for (uint32_t i = 0; i < n; i++) {
        const struct ml_node *helper = ml->node[index[i]];
        const struct pw_ml_msg m = {.seq = ml->probe.seq,
                                    .node = pw_slice_str(target->name),
                                    .addr = target->addr,
                                    .nack = helper->vsn[VSN_PMAX] >= ML_PMAX_NACK,
                                    .source = ml->self->addr,
                                    .source_node = ml_own_name(ml)};

        ml->probe.nacks_expected += m.nack;
        ml->stats.indirect_pings++;
        send_message(ml, PW_ML_INDIRECT_PING, &m, &helper->addr);
    }
}

/* Nacks say that those asked hear us well: only missing ones tell of ourselves. */
static void
probe_failed(struct pw_memberlist *ml, const struct ml_node *target)
{
    const struct pw_ml_msg m = {.node = pw_slice_str(target->name),
                                .from = ml_own_name(ml),
                                .incarnation = target->incarnation};
    uint32_t expected = ml->probe.nacks_expected, got = ml->probe.nacks;

    ml->stats.probes_failed++;
    ml->probe.active = false;
    if (expected == 0) {
        ml_add_health(ml, 1);
    } else if (got < expected) {
        ml_add_health(ml, (int32_t)(expected - got));
    }
    ml_suspect(ml, &m);
}

static int64_t
step_active(struct pw_memberlist *ml)
{
    struct ml_node *target = ml_find(ml, pw_slice_str(ml->probe.name));

    if (target == NULL) {
        ml->probe.active = false;
    } else if (ml->probe.until_ms <= ml->now.mono_ms) {
        probe_failed(ml, target);
    } else if (!ml->probe.indirect && ml->probe.direct_until_ms <= ml->now.mono_ms) {
        ask_others(ml, target);
    }
    if (!ml->probe.active) {
        return INT64_MAX;
    }
    return ml->probe.indirect ? ml->probe.until_ms : ml->probe.direct_until_ms;
}

int64_t
ml_step_probe(struct pw_memberlist *ml)
{
    int64_t next = step_relays(ml), active = INT64_MAX;

    if (ml->probe.active) {
        active = step_active(ml);
    }
    if (ml->next_probe_ms <= ml->now.mono_ms) {
        ml->next_probe_ms = ml->now.mono_ms + ml->cfg.probe_interval_ms;
        if (!ml->probe.active && !ml->leaving) {
            begin_probe(ml);
            active = ml->probe.active ? ml->probe.direct_until_ms : INT64_MAX;
        }
    }
    next = active < next ? active : next;
    return ml->next_probe_ms < next ? ml->next_probe_ms : next;
}
