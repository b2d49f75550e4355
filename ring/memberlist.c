/* Life, timers and dispatch of the gossip, and how messages are put into packets. */
#include "ring/memberlist.h"

#include "base/check.h"
#include "ring/memberlist_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PROBE_INTERVAL_MS = 5000,
    PROBE_TIMEOUT_MS = 2000,
    EXPIRE_INTERVAL_MS = 1000,
    PUSH_PULL_SCALE_NODES = 32,
    PART_OVERHEAD = 2, /* a length in the compound */
    PACKET_OVERHEAD = 512,
};

/* --- Chance ------------------------------------------------------------------------------------- */

uint64_t
ml_random(struct pw_memberlist *ml)
{
    uint64_t z = (ml->random += 0x9E3779B97F4A7C15U);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

uint32_t
ml_below(struct pw_memberlist *ml, uint32_t n)
{
    return (uint32_t)(((ml_random(ml) >> 32) * n) >> 32);
}

/* --- Out ---------------------------------------------------------------------------------------- */

/* Messages on their way into one packet, and where each ends. */
struct packet {
    struct pw_memberlist *ml;
    const struct pw_ml_addr *to;
    bool crc;
    uint32_t parts;
    uint16_t part[PW_ML_PARTS_MAX];
    struct pw_text bytes;
};

static void
send_whole(struct pw_memberlist *ml, const struct pw_ml_addr *to, bool crc, struct pw_slice message)
{
    struct pw_text t;

    if (to->ip_len == 0 || to->port == 0) {
        return; /* who asked did not say where it is */
    }
    pw_text_init(&t, message.len + PACKET_OVERHEAD + sizeof(ml->label));
    pw_ml_packet_write(&ml->wire, ml->own_addr, crc, message, &t);
    if (!t.failed) {
        ml->stats.packets_out++;
        ml->stats.bytes_out += t.len;
        ml->io.send(ml->io.ctx, to, pw_slice(t.ptr, t.len));
    }
    pw_text_fini(&t);
}

static void
flush(struct packet *p)
{
    struct pw_slice all = pw_slice(p->bytes.ptr, p->bytes.len);
    struct pw_text t;

    if (p->parts == 1) {
        send_whole(p->ml, p->to, p->crc, all);
    } else if (p->parts > 1) {
        pw_text_init(&t, 2 + PART_OVERHEAD * PW_ML_PARTS_MAX + all.len);
        pw_text_char(&t, PW_ML_COMPOUND);
        pw_text_char(&t, (char)p->parts);
        for (uint32_t i = 0; i < p->parts; i++) {
            uint8_t len[2];

            pw_store_be16(len, p->part[i]);
            pw_text_put(&t, len, sizeof(len));
        }
        pw_text_slice(&t, all);
        if (!t.failed) {
            send_whole(p->ml, p->to, p->crc, pw_slice(t.ptr, t.len));
        }
        pw_text_fini(&t);
    }
    p->parts = 0;
    p->bytes.len = 0;
}

/* One too large for a compound goes alone. */
static void
add_part(void *ctx, struct pw_slice message)
{
    struct packet *p = ctx;

    if (message.len > PW_ML_PART_BYTES_MAX) {
        send_whole(p->ml, p->to, p->crc, message);
        return;
    }
    if (p->parts == PW_ML_PARTS_MAX) {
        flush(p);
    }
    pw_text_slice(&p->bytes, message);
    p->part[p->parts++] = (uint16_t)message.len;
}

uint32_t
ml_retransmit_limit(const struct pw_memberlist *ml)
{
    return ml->cfg.retransmit_factor * (uint32_t)ceil(log10((double)ml->nodes + 1));
}

/* part (may be none) first, then what waits: members' messages, our own changes, those of others. */
void
ml_send_compound(struct pw_memberlist *ml, const struct pw_ml_addr *to, bool crc,
                 const struct pw_slice *part, uint32_t parts)
{
    struct packet p = {.ml = ml, .to = to, .crc = crc};
    uint32_t limit = ml_retransmit_limit(ml);
    size_t budget = PW_ML_PACKET_BYTES_MAX;

    pw_text_init(&p.bytes, 2 * PW_ML_PACKET_BYTES_MAX);
    for (uint32_t i = 0; i < parts; i++) {
        budget -= part[i].len + PART_OVERHEAD;
        add_part(&p, part[i]);
    }
    ml_queue_take(&ml->members, limit, PART_OVERHEAD, &budget, add_part, &p);
    ml_queue_take(&ml->local, limit, PART_OVERHEAD, &budget, add_part, &p);
    ml_queue_take(&ml->forwarded, limit, PART_OVERHEAD, &budget, add_part, &p);
    flush(&p);
    pw_text_fini(&p.bytes);
}

void
ml_send(struct pw_memberlist *ml, const struct pw_ml_addr *to, struct pw_slice message)
{
    ml_send_compound(ml, to, false, &message, 1);
}

/* --- In ----------------------------------------------------------------------------------------- */

struct part_ctx {
    struct pw_memberlist *ml;
    const struct pw_ml_addr *from;
};

static void
take_user(struct pw_memberlist *ml, struct pw_slice pair)
{
    ml->stats.user_in++;
    /* The store counts what is wrong with it. */
    (void)!pw_kv_merge_pair(ml->kv, pair, ml->now.wall_s);
}

static void
take_map(struct pw_memberlist *ml, enum pw_ml_type type, const struct pw_ml_msg *m,
         const struct pw_ml_addr *from)
{
    switch (type) {
    case PW_ML_PING:
        ml_take_ping(ml, m, from);
        break;
    case PW_ML_INDIRECT_PING:
        ml_take_indirect_ping(ml, m, from);
        break;
    case PW_ML_ACK:
        ml_take_ack(ml, m);
        break;
    case PW_ML_NACK:
        ml_take_nack(ml, m);
        break;
    case PW_ML_SUSPECT:
        ml_suspect(ml, m);
        break;
    case PW_ML_ALIVE:
        ml_alive(ml, m);
        break;
    case PW_ML_DEAD:
        ml_dead(ml, m);
        break;
    case PW_ML_PUSH_PULL:
    case PW_ML_COMPOUND:
    case PW_ML_USER:
    case PW_ML_COMPRESS:
    case PW_ML_CRC:
    case PW_ML_ERR:
    case PW_ML_NODE_STATE:
    case PW_ML_USER_STREAM:
    case PW_ML_LABEL:
        PW_UNREACHABLE("not a message of a packet");
    }
}

static bool
is_packet_map(uint8_t type)
{
    return type <= PW_ML_DEAD || type == PW_ML_NACK;
}

/* A message that is not a compound. */
static void
take_single(struct pw_memberlist *ml, struct pw_slice message, const struct pw_ml_addr *from)
{
    struct pw_slice body;
    struct pw_ml_msg m;

    ml->stats.messages_in++;
    if (message.len == 0) {
        ml->stats.messages_broken++;
        return;
    }
    body = pw_slice(message.ptr + 1, message.len - 1);
    if (message.ptr[0] == PW_ML_USER) {
        take_user(ml, body);
    } else if (!is_packet_map(message.ptr[0])) {
        ml->stats.messages_unknown++;
    } else if (pw_ml_msg_read((enum pw_ml_type)message.ptr[0], body, &m) < 0) {
        ml->stats.messages_broken++;
    } else {
        take_map(ml, (enum pw_ml_type)message.ptr[0], &m, from);
    }
}

static void
take_part(void *ctx, struct pw_slice part)
{
    const struct part_ctx *c = ctx;

    take_single(c->ml, part, c->from); /* a compound within a compound is unknown */
}

void
ml_take_message(struct pw_memberlist *ml, struct pw_slice message, const struct pw_ml_addr *from)
{
    struct part_ctx c = {.ml = ml, .from = from};

    if (message.len > 0 && message.ptr[0] == PW_ML_COMPOUND) {
        if (pw_ml_compound_read(pw_slice(message.ptr + 1, message.len - 1), take_part, &c) != 0) {
            ml->stats.messages_broken++;
        }
        return;
    }
    take_single(ml, message, from);
}

/* --- Changes of the store ----------------------------------------------------------------------- */

/* Under the store's lock, which is ours. */
static void
on_change(void *ctx, const struct pw_kv_change *change)
{
    struct pw_memberlist *ml = ctx;
    struct ml_queue *q = change->local ? &ml->local : &ml->forwarded;
    struct pw_text message, ids;

    pw_text_init(&message, PW_ML_PACKET_BYTES_MAX - PART_OVERHEAD);
    pw_text_init(&ids, PW_ML_PACKET_BYTES_MAX);
    pw_text_char(&message, PW_ML_USER);
    pw_kv_put_pair(&message, change);
    for (uint32_t i = 0; i < change->desc->count; i++) {
        pw_text_put(&ids, change->desc->instance[i].id, strlen(change->desc->instance[i].id) + 1);
    }
    if (message.failed || ids.failed) {
        ml->stats.queue_dropped++; /* the next push/pull has it */
    } else {
        *(change->local ? &ml->stats.user_local : &ml->stats.user_forwarded) += 1;
        ml->stats.queue_dropped +=
            ml_queue_put(q, pw_slice(message.ptr, message.len), change->key,
                         pw_slice(ids.ptr != NULL ? ids.ptr : (const uint8_t *)"", ids.len));
    }
    pw_text_fini(&message);
    pw_text_fini(&ids);
}

/* --- Timers ------------------------------------------------------------------------------------- */

static bool
hears_gossip(const struct pw_memberlist *ml, const struct ml_node *n)
{
    switch (n->state) {
    case PW_ML_STATE_ALIVE:
    case PW_ML_STATE_SUSPECT:
        return n != ml->self;
    case PW_ML_STATE_DEAD:
        return ml->now.mono_ms - n->changed_ms < ml->cfg.gossip_to_dead_ms;
    case PW_ML_STATE_LEFT:
        return false;
    }
    PW_UNREACHABLE("state of a member");
}

static void
gossip(struct pw_memberlist *ml)
{
    uint32_t index[PW_ML_NODES_MAX];
    uint32_t n = ml_pick(ml, hears_gossip, index, ml->cfg.gossip_nodes);

    for (uint32_t i = 0; i < n && pw_memberlist_queued(ml) > 0; i++) {
        const struct ml_node *to = ml->node[index[i]];

        ml_send_compound(ml, &to->addr, to->vsn[VSN_PMAX] >= ML_PMAX_CRC, NULL, 0);
    }
}

static bool
can_push_pull(const struct pw_memberlist *ml, const struct ml_node *n)
{
    return n != ml->self && n->state == PW_ML_STATE_ALIVE;
}

/* Rarer in large clusters, where everybody does it. */
static int64_t
push_pull_interval(const struct pw_memberlist *ml)
{
    if (ml->nodes <= PUSH_PULL_SCALE_NODES) {
        return ml->cfg.push_pull_interval_ms;
    }
    return ml->cfg.push_pull_interval_ms *
           ((int64_t)ceil(log2((double)ml->nodes) - log2(PUSH_PULL_SCALE_NODES)) + 1);
}

static void
push_pull(struct pw_memberlist *ml)
{
    uint32_t index;

    if (!ml->leaving && ml_pick(ml, can_push_pull, &index, 1) == 1) {
        ml_push_pull(ml, &ml->node[index]->addr);
    }
}

int64_t
pw_memberlist_step(struct pw_memberlist *ml, struct pw_ml_now now)
{
    int64_t next, probe;

    ml->now = now;
    next = ml_expire_suspicions(ml);
    probe = ml_step_probe(ml);
    next = probe < next ? probe : next;
    if (ml->next_push_pull_ms <= now.mono_ms) {
        push_pull(ml);
        ml->next_push_pull_ms = now.mono_ms + push_pull_interval(ml);
    }
    if (ml->next_gossip_ms <= now.mono_ms) {
        gossip(ml);
        ml->next_gossip_ms = now.mono_ms + ml->cfg.gossip_interval_ms;
    }
    if (ml->next_expire_ms <= now.mono_ms) {
        pw_kv_expire(ml->kv, now.wall_s);
        ml_forget_dead(ml);
        ml->next_expire_ms = now.mono_ms + EXPIRE_INTERVAL_MS;
    }
    next = ml->next_push_pull_ms < next ? ml->next_push_pull_ms : next;
    next = ml->next_gossip_ms < next ? ml->next_gossip_ms : next;
    return ml->next_expire_ms < next ? ml->next_expire_ms : next;
}

/* --- Life --------------------------------------------------------------------------------------- */

static bool
valid(const struct pw_memberlist_cfg *cfg)
{
    return cfg->gossip_interval_ms > 0 && cfg->push_pull_interval_ms > 0 && cfg->gossip_nodes > 0 &&
           cfg->gossip_nodes <= PW_ML_NODES_MAX && cfg->retransmit_factor > 0 &&
           cfg->addr.ip_len != 0 && strlen(cfg->label) < sizeof(((struct pw_memberlist *)0)->label);
}

static void
configure(struct pw_memberlist *ml, const struct pw_memberlist_cfg *cfg, struct pw_ml_now now)
{
    ml->cfg = *cfg;
    ml->now = now;
    ml->random = cfg->seed;
    if (cfg->probe_interval_ms == 0) {
        ml->cfg.probe_interval_ms = PROBE_INTERVAL_MS;
        ml->cfg.probe_timeout_ms = PROBE_TIMEOUT_MS;
    }
    snprintf(ml->label, sizeof(ml->label), "%s", cfg->label);
    pw_ml_addr_text(&cfg->addr, ml->own_addr);
    ml->wire = (struct pw_ml_wire_cfg){.label = pw_slice_str(ml->label),
                                       .label_unchecked = cfg->label_unchecked,
                                       .compression = cfg->compression};
    ml->next_probe_ms = now.mono_ms + ml->cfg.probe_interval_ms;
    ml->next_gossip_ms = now.mono_ms + cfg->gossip_interval_ms;
    ml->next_push_pull_ms =
        now.mono_ms + (int64_t)(ml_random(ml) % (uint64_t)cfg->push_pull_interval_ms);
    ml->next_expire_ms = now.mono_ms + EXPIRE_INTERVAL_MS;
    ml_queue_init(&ml->members);
    ml_queue_init(&ml->local);
    ml_queue_init(&ml->forwarded);
}

int
pw_memberlist_create_ctl(struct pw_memberlist **out, const struct pw_memberlist_cfg *cfg,
                         const struct pw_memberlist_io *io, struct pw_kv *kv, struct pw_ml_now now)
{
    struct pw_memberlist *ml;
    int rc;

    if (!valid(cfg)) {
        return PW_EINVAL;
    }
    ml = calloc(1, sizeof(*ml));
    if (ml == NULL) {
        return PW_ENOMEM;
    }
    configure(ml, cfg, now);
    ml->io = *io;
    ml->kv = kv;
    rc = ml_add_self(ml);
    if (rc != 0) {
        pw_memberlist_destroy_ctl(ml);
        return rc;
    }
    ml->cfg.name = ml->self->name;
    ml->cfg.label = ml->label;
    pw_kv_tell(kv, on_change, ml);
    *out = ml;
    return 0;
}

void
pw_memberlist_destroy_ctl(struct pw_memberlist *ml)
{
    if (ml == NULL) {
        return;
    }
    PW_INVARIANT(ml->connections == 0);
    pw_kv_tell(ml->kv, NULL, NULL);
    for (uint32_t i = 0; i < ml->nodes; i++) {
        ml_free_node(ml->node[i]);
    }
    ml_queue_fini(&ml->members);
    ml_queue_fini(&ml->local);
    ml_queue_fini(&ml->forwarded);
    free(ml);
}

void
pw_memberlist_leave(struct pw_memberlist *ml, struct pw_ml_now now)
{
    const struct pw_ml_msg m = {
        .node = ml_own_name(ml), .from = ml_own_name(ml), .incarnation = ml->self->incarnation};

    ml->now = now;
    ml->leaving = true;
    ml->probe.active = false;
    ml_dead(ml, &m);
}

static bool
anybody(const struct pw_memberlist *ml)
{
    for (uint32_t i = 0; i < ml->nodes; i++) {
        if (ml->node[i] != ml->self && ml->node[i]->state == PW_ML_STATE_ALIVE) {
            return true;
        }
    }
    return false;
}

bool
pw_memberlist_idle(const struct pw_memberlist *ml)
{
    return (ml->members.count == 0 && ml->local.count == 0) || !anybody(ml);
}

/* --- For pages ---------------------------------------------------------------------------------- */

uint32_t
pw_memberlist_count(const struct pw_memberlist *ml, enum pw_ml_state state)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ml->nodes; i++) {
        n += ml->node[i]->state == state;
    }
    return n;
}

uint32_t
pw_memberlist_nodes(const struct pw_memberlist *ml)
{
    return ml->nodes;
}

struct pw_ml_node_info
pw_memberlist_node(const struct pw_memberlist *ml, uint32_t i)
{
    const struct ml_node *n = ml->node[i];

    return (struct pw_ml_node_info){.name = n->name,
                                    .addr = n->addr,
                                    .state = n->state,
                                    .incarnation = n->incarnation,
                                    .changed_ms = n->changed_ms,
                                    .meta = pw_slice(n->meta, n->meta_len),
                                    .vsn = n->vsn,
                                    .self = n == ml->self};
}

uint32_t
pw_memberlist_health(const struct pw_memberlist *ml)
{
    return ml->health;
}

uint32_t
pw_memberlist_queued(const struct pw_memberlist *ml)
{
    return ml->members.count + ml->local.count + ml->forwarded.count;
}

const struct pw_memberlist_stats *
pw_memberlist_stats(const struct pw_memberlist *ml)
{
    return &ml->stats;
}
