/* Captured traffic of stock's members (../shared/data/memberlist; not part of this repository): every byte is
 * understood, what is deterministic is written by us as it was captured, and a member of ours that hears
 * all of it ends with the cluster that was there. */
#include "ring/memberlist.h"

#include "base/log.h"
#include "tests/support/cmocka_pw.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 512,
    STREAM_BYTES_MAX = 1 << 20,
    ETHERNET_BYTES = 14,
    SKIP = 77,
    TCP_SYN = 2,
    TCP_ACK = 16,
};

/* One TCP connection: what each side sent, in order. */
struct connection {
    uint16_t client_port, server_port;
    uint32_t client_iss, server_iss;
    bool has_server;
    int64_t at_s;
    struct pw_text client, server;
};

struct trace {
    uint8_t *file;
    size_t len;
    struct connection *c;
    uint32_t count;
};

/* What was seen in a trace, so that no check passes because there was nothing to check. */
struct seen {
    uint32_t packets, streams, messages, users, nodes, lzw, snappy, identical;
};

static char folder[1024];

/* --- pcap ------------------------------------------------------------------------------------------- */

static uint32_t
le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void
read_file(struct trace *t, const char *name)
{
    char path[1200];
    FILE *f;
    long len;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    len = ftell(f);
    assert_true(len > 24);
    t->len = (size_t)len;
    t->file = malloc(t->len);
    assert_non_null(t->file);
    rewind(f);
    assert_int_equal(fread(t->file, 1, t->len, f), t->len);
    fclose(f);
    assert_int_equal(le32(t->file), 0xA1B2C3D4);
}

/* The newest with these ports; *from_client says which way. */
static struct connection *
find(struct trace *t, uint16_t from, uint16_t to, bool *from_client)
{
    for (uint32_t i = t->count; i > 0; i--) {
        struct connection *c = &t->c[i - 1];

        *from_client = c->client_port == from && c->server_port == to;
        if (*from_client || (c->client_port == to && c->server_port == from)) {
            return c;
        }
    }
    return NULL;
}

static void
open_connection(struct trace *t, uint16_t from, uint16_t to, uint32_t seq, int64_t at_s)
{
    struct connection *c = &t->c[t->count++];

    assert_true(t->count <= CONNECTIONS_MAX);
    *c = (struct connection){
        .client_port = from, .server_port = to, .client_iss = seq, .at_s = at_s};
    pw_text_init(&c->client, STREAM_BYTES_MAX);
    pw_text_init(&c->server, STREAM_BYTES_MAX);
}

/* Loopback loses nothing: segments come in order, a repeated one is left out. */
static void
take_segment(struct trace *t, const uint8_t *tcp, size_t len, int64_t at_s)
{
    uint16_t from = pw_load_be16(tcp), to = pw_load_be16(tcp + 2);
    uint32_t seq = pw_load_be32(tcp + 4);
    size_t head = (size_t)(tcp[12] >> 4) * 4;
    struct connection *c;
    struct pw_text *side;
    bool from_client;

    if ((tcp[13] & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
        open_connection(t, from, to, seq, at_s);
        return;
    }
    c = find(t, from, to, &from_client);
    if (c == NULL) {
        return;
    }
    if (!from_client && !c->has_server) {
        c->has_server = true;
        c->server_iss = seq;
    }
    side = from_client ? &c->client : &c->server;
    if (len > head && seq - (from_client ? c->client_iss : c->server_iss) - 1 == side->len) {
        pw_text_put(side, tcp + head, len - head);
    }
}

static void
load(struct trace *t, const char *name)
{
    *t = (struct trace){.c = calloc(CONNECTIONS_MAX, sizeof(struct connection))};
    assert_non_null(t->c);
    read_file(t, name);
    for (size_t at = 24; at + 16 <= t->len;) {
        int64_t at_s = le32(t->file + at);
        size_t n = le32(t->file + at + 8);
        const uint8_t *ip = t->file + at + 16 + ETHERNET_BYTES;
        size_t head = (size_t)(ip[0] & 15) * 4;

        assert_true(n > ETHERNET_BYTES + 40 - 1 && n <= t->len - at - 16);
        take_segment(t, ip + head, pw_load_be16(ip + 2) - head, at_s);
        at += 16 + n;
    }
}

static void
unload(struct trace *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        pw_text_fini(&t->c[i].client);
        pw_text_fini(&t->c[i].server);
    }
    free(t->c);
    free(t->file);
}

/* --- Every byte again ------------------------------------------------------------------------------- */

static void
check_map(enum pw_ml_type type, struct pw_slice whole, size_t head)
{
    struct pw_ml_msg m;
    struct pw_text t;

    pw_text_init(&t, whole.len + 1);
    assert_int_equal(pw_ml_msg_read(type, pw_slice(whole.ptr + head, whole.len - head), &m),
                     whole.len - head);
    pw_ml_msg_write(type, &m, &t);
    assert_int_equal(t.len, whole.len);
    assert_memory_equal(t.ptr, whole.ptr, whole.len);
    pw_text_fini(&t);
}

static void
check_message(void *ctx, struct pw_slice m)
{
    struct seen *seen = ctx;

    assert_true(m.len > 1);
    seen->messages++;
    if (m.ptr[0] == PW_ML_USER) {
        seen->users++;
        return;
    }
    check_map((enum pw_ml_type)m.ptr[0], m, 1);
}

static void
check_packet(const struct pw_ml_wire_cfg *cfg, const struct pw_text *c, struct seen *seen)
{
    struct pw_slice whole = pw_slice(c->ptr, c->len), body;
    struct pw_ml_packet p;
    struct pw_text plain, again;
    char from[64];
    size_t head;
    bool crc, packed;

    pw_text_init(&plain, PW_ML_DECODED_BYTES_MAX);
    pw_text_init(&again, STREAM_BYTES_MAX);
    assert_int_equal(pw_ml_packet_read(cfg, whole, &plain, &p), 0);
    assert_false(p.md5_differs);
    seen->packets++;
    if (p.message.ptr[0] == PW_ML_COMPOUND) {
        assert_int_equal(pw_ml_compound_read(pw_slice(p.message.ptr + 1, p.message.len - 1),
                                             check_message, seen),
                         0);
    } else {
        check_message(seen, p.message);
    }
    head = 2 + p.from.len + (cfg->label.len > 0 ? 2 + cfg->label.len : 0);
    body = pw_slice(whole.ptr + head, whole.len - head);
    crc = body.ptr[0] == PW_ML_CRC;
    packed = body.ptr[crc ? 5 : 0] == PW_ML_COMPRESS;
    seen->lzw += packed && cfg->compression == PW_ML_COMPRESSION_LZW;
    seen->snappy += packed && cfg->compression == PW_ML_COMPRESSION_SNAPPY;
    /* Snappy leaves its writers freedom; all else is told from the message alone. */
    if (cfg->compression != PW_ML_COMPRESSION_SNAPPY) {
        snprintf(from, sizeof(from), "%.*s", (int)p.from.len, (const char *)p.from.ptr);
        pw_ml_packet_write(cfg, from, crc, p.message, &again);
        assert_int_equal(again.len, whole.len);
        assert_memory_equal(again.ptr, whole.ptr, whole.len);
        seen->identical++;
    }
    pw_text_fini(&plain);
    pw_text_fini(&again);
}

static void
check_state(struct pw_slice in, struct seen *seen)
{
    struct pw_ml_msg header, node;
    struct pw_text again;
    const uint8_t *p = in.ptr + 1;
    int64_t used = pw_ml_msg_read(PW_ML_PUSH_PULL, pw_slice(p, in.len - 1), &header);

    pw_text_init(&again, STREAM_BYTES_MAX);
    assert_int_equal(in.ptr[0], PW_ML_PUSH_PULL);
    assert_true(used > 0);
    pw_ml_msg_write(PW_ML_PUSH_PULL, &header, &again);
    p += used;
    for (uint32_t i = 0; i < header.nodes; i++) {
        used = pw_ml_msg_read(PW_ML_NODE_STATE, pw_slice(p, (size_t)(in.ptr + in.len - p)), &node);
        assert_true(used > 0);
        pw_ml_msg_write(PW_ML_NODE_STATE, &node, &again);
        p += used;
        seen->nodes++;
    }
    assert_int_equal(in.ptr + in.len - p, header.user_bytes);
    assert_memory_equal(again.ptr, in.ptr, again.len);
    assert_int_equal(again.len + header.user_bytes, in.len);
    pw_text_fini(&again);
}

static void
check_stream_side(const struct pw_ml_wire_cfg *cfg, struct pw_slice in, struct seen *seen)
{
    struct pw_text plain, again;

    seen->streams++;
    pw_text_init(&plain, PW_ML_DECODED_BYTES_MAX);
    pw_text_init(&again, STREAM_BYTES_MAX);
    if (in.ptr[0] == PW_ML_COMPRESS) {
        assert_int_equal(pw_ml_decompress(pw_slice(in.ptr + 1, in.len - 1), &plain), 0);
        check_state(pw_slice(plain.ptr, plain.len), seen);
        seen->snappy += cfg->compression == PW_ML_COMPRESSION_SNAPPY;
        seen->lzw += cfg->compression == PW_ML_COMPRESSION_LZW;
    } else {
        check_state(in, seen);
        pw_text_slice(&plain, in);
    }
    if (cfg->compression != PW_ML_COMPRESSION_SNAPPY) {
        pw_ml_compress(cfg, pw_slice(plain.ptr, plain.len), &again);
        assert_int_equal(again.len, in.len);
        assert_memory_equal(again.ptr, in.ptr, in.len);
        seen->identical++;
    }
    pw_text_fini(&plain);
    pw_text_fini(&again);
}

static void
check_connection(const struct pw_ml_wire_cfg *cfg, const struct connection *c, struct seen *seen)
{
    int label;

    if (c->client.len == 0) {
        return; /* to a member that is gone: refused */
    }
    if (c->client.ptr[0] == PW_ML_CONNECTION_PACKET) {
        check_packet(cfg, &c->client, seen);
        return;
    }
    assert_int_equal(c->client.ptr[0], PW_ML_CONNECTION_STREAM);
    label = pw_ml_label_read(cfg, pw_slice(c->client.ptr + 1, c->client.len - 1));
    assert_true(label >= 0);
    check_stream_side(cfg, pw_slice(c->client.ptr + 1 + label, c->client.len - 1 - (size_t)label),
                      seen);
    if (c->server.len > 0) {
        check_stream_side(cfg, pw_slice(c->server.ptr, c->server.len), seen);
    }
}

static struct seen
check_trace(const char *name, const struct pw_ml_wire_cfg *cfg)
{
    struct seen seen = {0};
    struct trace t;

    load(&t, name);
    for (uint32_t i = 0; i < t.count; i++) {
        check_connection(cfg, &t.c[i], &seen);
    }
    unload(&t);
    print_message("%s: %u packets, %u states with %u members, %u messages (%u changes of rings), "
                  "%u lzw, %u snappy; %u written by us byte for byte\n",
                  name, seen.packets, seen.streams, seen.nodes, seen.messages, seen.users, seen.lzw,
                  seen.snappy, seen.identical);
    return seen;
}

static void
test_trace__label_zone__every_byte(void **state)
{
    const struct pw_ml_wire_cfg cfg = {.label = PW_SLICE_LIT("lab1")};
    struct seen seen = check_trace("cluster2-label-nocompress-zone.pcap", &cfg);

    assert_true(seen.packets > 30 && seen.streams == 4 && seen.users > 20);
    assert_int_equal(seen.identical, seen.packets + seen.streams);
}

static void
test_trace__lzw__every_byte(void **state)
{
    const struct pw_ml_wire_cfg cfg = {.compression = PW_ML_COMPRESSION_LZW};
    struct seen seen = check_trace("cluster3-lzw.pcap", &cfg);

    assert_true(seen.packets > 150 && seen.streams > 15 && seen.lzw > 5);
    assert_int_equal(seen.identical, seen.packets + seen.streams);
}

static void
test_trace__snappy__understood(void **state)
{
    const struct pw_ml_wire_cfg cfg = {.compression = PW_ML_COMPRESSION_SNAPPY};
    struct seen seen = check_trace("cluster2-snappy.pcap", &cfg);

    assert_int_equal(seen.snappy, 17);
}

/* --- Heard by one of ours --------------------------------------------------------------------------- */

static void
on_send(void *ctx, const struct pw_ml_addr *to, struct pw_slice bytes)
{
}

static int
on_dial(void *ctx, const struct pw_ml_addr *to, struct pw_ml_conn *conn)
{
    return PW_EAGAIN;
}

static void
hear(struct pw_memberlist *ml, struct pw_slice bytes, struct pw_ml_now now)
{
    struct pw_ml_conn *c = pw_ml_conn_accept(ml);

    assert_non_null(c);
    if (pw_ml_conn_input(c, bytes, now) == PW_ML_CONN_MORE) {
        (void)pw_ml_conn_eof(c, now);
    }
    pw_ml_conn_free(c);
}

static const char *
state_in(const struct pw_kv *kv, const char *key, const char *id)
{
    const struct pw_ring_desc *d = pw_kv_get(kv, key);
    const struct pw_instance *in = d == NULL ? NULL : pw_ring_desc_find(d, id);

    return in == NULL ? "none" : pw_instance_state_name(in->state);
}

static int
member_state(const struct pw_memberlist *ml, const char *name)
{
    for (uint32_t i = 0; i < pw_memberlist_nodes(ml); i++) {
        struct pw_ml_node_info n = pw_memberlist_node(ml, i);

        if (strcmp(n.name, name) == 0) {
            return (int)n.state;
        }
    }
    return -1;
}

static void
test_trace__lzw__heard_by_one_of_ours__same_cluster(void **state)
{
    static const uint8_t ip[4] = {127, 0, 0, 9};
    const struct pw_memberlist_io io = {.send = on_send, .dial = on_dial};
    const struct pw_kv_cfg kv_cfg = {.left_timeout_s = 300, .obsolete_timeout_s = 30};
    const struct pw_memberlist_cfg cfg = {.name = "listener",
                                          .addr = pw_ml_addr_ip4(ip, 7946),
                                          .label = "",
                                          .gossip_interval_ms = 200,
                                          .push_pull_interval_ms = 30000,
                                          .gossip_to_dead_ms = 30000,
                                          .gossip_nodes = 3,
                                          .retransmit_factor = 4};
    struct pw_ml_now now = {0};
    const struct pw_memberlist_stats *s;
    struct pw_memberlist *ml;
    struct pw_kv *kv;
    struct trace t;

    pw_log_set_level_ctl(PW_LOG_ERROR);
    load(&t, "cluster3-lzw.pcap");
    assert_int_equal(pw_kv_create_ctl(&kv, &kv_cfg), 0);
    assert_int_equal(pw_memberlist_create_ctl(&ml, &cfg, &io, kv, now), 0);
    for (uint32_t i = 0; i < t.count; i++) {
        now = (struct pw_ml_now){.wall_s = t.c[i].at_s};
        hear(ml, pw_slice(t.c[i].client.ptr, t.c[i].client.len), now);
    }
    s = pw_memberlist_stats(ml);
    assert_int_equal(s->packets_broken + s->messages_broken + s->messages_unknown +
                         s->push_pull_broken + s->packets_md5_differs,
                     0);
    assert_int_equal(pw_kv_stats(kv)->pairs_broken, 0);
    assert_int_equal(member_state(ml, "ing-0"), PW_ML_STATE_ALIVE);
    assert_int_equal(member_state(ml, "dist-0"), PW_ML_STATE_ALIVE);
    assert_int_equal(member_state(ml, "ing-1"), PW_ML_STATE_LEFT);
    assert_int_equal(member_state(ml, "ing-2"), PW_ML_STATE_DEAD);
    assert_string_equal(state_in(kv, "collectors/ring", "ing-0"), "ACTIVE");
    assert_string_equal(state_in(kv, "collectors/ring", "ing-1"), "LEFT");
    assert_string_equal(state_in(kv, "collectors/ring", "ing-2"),
                        "ACTIVE"); /* killed: nobody took it out */
    assert_string_equal(state_in(kv, "collectors/distributor", "dist-0"), "ACTIVE");
    pw_memberlist_destroy_ctl(ml);
    pw_kv_destroy_ctl(kv);
    unload(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace__label_zone__every_byte),
        cmocka_unit_test(test_trace__lzw__every_byte),
        cmocka_unit_test(test_trace__snappy__understood),
        cmocka_unit_test(test_trace__lzw__heard_by_one_of_ours__same_cluster),
    };
    const char *shared = getenv("PW_SHARED");

    snprintf(folder, sizeof(folder), "%s/data/memberlist",
             shared != NULL && shared[0] != 0 ? shared : "../shared");
    if (access(folder, R_OK) != 0) {
        printf("skipped: no captures in %s (PW_SHARED)\n", folder);
        return SKIP;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
