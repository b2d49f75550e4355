/* Properties: whatever one connection brings, we are alive in our own eyes, limits hold, and everything said
 * because of it is a packet that another member reads to its last message. The first byte is of the input
 * alone: 0 takes the rest as a connection, else as a message, which is wrapped into one. */
#include "ring/memberlist.h"

#include "base/check.h"
#include "base/log.h"

#include <stdlib.h>

enum { WALL_S = 1700000000, STEPS = 12, STEP_MS = 2500 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pw_ml_wire_cfg wire = {.compression = PW_ML_COMPRESSION_LZW};

/* What another member would read of it. */
static void
check_message(void *ctx, struct pw_slice m)
{
    struct pw_ml_msg msg;

    (void)ctx;
    PW_INVARIANT(m.len > 0);
    if (m.ptr[0] == PW_ML_USER) {
        return;
    }
    PW_INVARIANT(m.ptr[0] <= PW_ML_DEAD || m.ptr[0] == PW_ML_NACK);
    PW_INVARIANT(pw_ml_msg_read((enum pw_ml_type)m.ptr[0], pw_slice(m.ptr + 1, m.len - 1), &msg) ==
                 (int64_t)m.len - 1);
}

static void
on_send(void *ctx, const struct pw_ml_addr *to, struct pw_slice bytes)
{
    struct pw_ml_packet p;
    struct pw_text plain;

    (void)ctx;
    PW_INVARIANT(to->ip_len != 0 && to->port != 0);
    pw_text_init(&plain, PW_ML_DECODED_BYTES_MAX);
    PW_INVARIANT(pw_ml_packet_read(&wire, bytes, &plain, &p) == 0 && !p.md5_differs);
    if (p.message.ptr[0] == PW_ML_COMPOUND) {
        PW_INVARIANT(pw_ml_compound_read(pw_slice(p.message.ptr + 1, p.message.len - 1),
                                         check_message, NULL) == 0);
    } else {
        check_message(NULL, p.message);
    }
    pw_text_fini(&plain);
}

static int
on_dial(void *ctx, const struct pw_ml_addr *to, struct pw_ml_conn *conn)
{
    (void)ctx;
    (void)to;
    (void)conn;
    return PW_EAGAIN;
}

static void
check(const struct pw_memberlist *ml, const struct pw_kv *kv)
{
    bool self = false;

    PW_INVARIANT(pw_memberlist_nodes(ml) <= PW_ML_NODES_MAX);
    PW_INVARIANT(pw_kv_count(kv) <= PW_KV_KEYS_MAX);
    for (uint32_t i = 0; i < pw_memberlist_nodes(ml); i++) {
        struct pw_ml_node_info n = pw_memberlist_node(ml, i);

        self = self || (n.self && n.state == PW_ML_STATE_ALIVE);
    }
    PW_INVARIANT(self);
}

static void
feed(struct pw_memberlist *ml, struct pw_slice bytes, struct pw_ml_now now)
{
    struct pw_ml_conn *c = pw_ml_conn_accept(ml);

    PW_INVARIANT(c != NULL);
    if (pw_ml_conn_input(c, bytes, now) == PW_ML_CONN_MORE) {
        (void)pw_ml_conn_eof(c, now);
    }
    pw_ml_conn_free(c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t ip[4] = {127, 0, 0, 1};
    const struct pw_memberlist_io io = {.send = on_send, .dial = on_dial};
    const struct pw_kv_cfg kv_cfg = {.left_timeout_s = 300, .obsolete_timeout_s = 30};
    const struct pw_memberlist_cfg cfg = {.name = "me",
                                          .addr = pw_ml_addr_ip4(ip, 7946),
                                          .label = "",
                                          .compression = PW_ML_COMPRESSION_LZW,
                                          .gossip_interval_ms = 200,
                                          .push_pull_interval_ms = 30000,
                                          .gossip_to_dead_ms = 30000,
                                          .gossip_nodes = 3,
                                          .retransmit_factor = 4,
                                          .seed = size};
    struct pw_ml_now now = {.mono_ms = 1000, .wall_s = WALL_S};
    struct pw_memberlist *ml;
    struct pw_text wrapped;
    struct pw_kv *kv;

    if (size < 2 || size > 65536) {
        return 0;
    }
    pw_log_set_level_ctl(PW_LOG_ERROR);
    PW_INVARIANT(pw_kv_create_ctl(&kv, &kv_cfg) == 0);
    PW_INVARIANT(pw_memberlist_create_ctl(&ml, &cfg, &io, kv, now) == 0);
    pw_text_init(&wrapped, 1 << 20);
    if (data[0] == 0) {
        feed(ml, pw_slice(data + 1, size - 1), now);
    } else {
        pw_ml_packet_write(&wire, "127.0.0.1:7947", data[0] & 1, pw_slice(data + 1, size - 1),
                           &wrapped);
        feed(ml, pw_slice(wrapped.ptr, wrapped.len), now);
    }
    check(ml, kv);
    for (int i = 0; i < STEPS; i++) {
        now.mono_ms += STEP_MS;
        now.wall_s += STEP_MS / 1000;
        (void)pw_memberlist_step(ml, now);
    }
    check(ml, kv);
    pw_memberlist_destroy_ctl(ml);
    pw_kv_destroy_ctl(kv);
    pw_text_fini(&wrapped);
    return 0;
}
