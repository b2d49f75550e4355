#include "app/link.h"

#include "app/control.h"
#include "app/nic_options.h"
#include "app/parts.h"
#include "base/log.h"
#include "nic-config/neigh.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

static const char module[] = "pw.app.link";

enum {
    PORTS_MAX = PW_STEER_PORTS_MAX - 1, /* one is HTTP's */
    PEERS_MAX = 32,
    SESSIONS_MAX = 96,
    NEIGHBOUR_EVERY_US = 20000,
};

bool
pw_app_link_on(const struct pw_config *cfg)
{
    return cfg->link_insecure || cfg->link_secret_file[0] != 0;
}

uint16_t
pw_app_link_ports(uint32_t workers)
{
    return (uint16_t)(workers <= 1 ? 1 : PORTS_MAX);
}

/* --- Creation ----------------------------------------------------------------------------------- */

/* The secret is the file without the white space that editors put at its end. */
static int
read_secret(const char *path, uint8_t *dst, size_t room, size_t *len, struct pw_text *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, dst, room);
    int rc = n < 0 ? -errno : 0;

    if (fd >= 0) {
        close(fd);
    }
    while (n > 0 && (dst[n - 1] == '\n' || dst[n - 1] == '\r' || dst[n - 1] == ' ')) {
        n--;
    }
    if (rc == 0 && (n < PW_LINK_SECRET_BYTES_MIN || (size_t)n == room)) {
        rc = PW_EINVAL;
    }
    if (rc != 0) {
        pw_text_printf(why, "-link.secret-file: \"%s\" has to be a readable file of %d to %d bytes",
                       path, PW_LINK_SECRET_BYTES_MIN, PW_LINK_SECRET_BYTES_MAX);
    }
    *len = rc == 0 ? (size_t)n : 0;
    return rc;
}

/* The port that links go over. */
static const struct pw_nic *
port(const struct pw_app *app)
{
    return app->link_nic.has_port ? &app->link_nic : &app->nic;
}

static uint16_t
packet_bytes(const struct pw_app *app, uint32_t door)
{
    enum { HEADERS = 28, ROOM = 2048 - 14 };
    uint32_t mtu = door < app->workers ? port(app)->port.mtu : 1500;

    mtu = mtu < ROOM ? mtu : ROOM;
    return (uint16_t)(mtu - HEADERS);
}

int
pw_app_link_create_ctl(struct pw_app *app, uint32_t door, struct pw_text *why)
{
    const struct pw_config *c = app->cfg;
    uint8_t secret[PW_LINK_SECRET_BYTES_MAX + 1];
    size_t len = 0;
    int rc = 0;

    if (!pw_app_link_on(c)) {
        return 0;
    }
    if (!c->link_insecure) {
        rc = read_secret(c->link_secret_file, secret, sizeof(secret), &len, why);
    }
    if (rc == 0) {
        bool worker = door < app->workers;
        const struct pw_link_cfg cfg = {
            .app = pw_replicas_link_app(&app->door[door].replicas),
            .self_id = app->hostname,
            .secret = pw_slice(secret, len),
            .insecure = c->link_insecure,
            .packet_bytes = packet_bytes(app, door),
            .peers_max = PEERS_MAX,
            .sessions_max = SESSIONS_MAX,
            .rx_bytes = c->link_rx_buffer_bytes,
            .silence_ms = (uint32_t)c->link_silence_ms,
            .local_port = worker ? (uint16_t)c->link_port : 0,
            .local_ports = worker ? pw_app_link_ports(app->workers) : 1,
        };

        app->door[door].link = pw_link_create_ctl(&cfg, 0, &rc);
        if (rc != 0) {
            pw_text_printf(why, "link: %s", pw_err_text(rc));
        }
    }
    explicit_bzero(secret, sizeof(secret));
    return rc;
}

static struct pw_worker *
carrier(const struct pw_app *app, uint32_t d)
{
    return app->link_nic.has_port ? app->link_worker[d] : app->worker[d];
}

/* On the link's own port there is a worker too, for its neighbours and datagrams; it listens on no TCP port. */
static int
create_worker(struct pw_app *app, uint32_t d)
{
    struct pw_worker_cfg cfg = pw_nic_worker_cfg(&app->link_nic, d);
    int rc = 0;

    cfg.kind = "link";
    cfg.clock = app->clock;
    cfg.app = *pw_http_server_stream_app(app->door[d].http);
    cfg.tcp = (struct pw_tcp_cfg){.conns_max = 1, .snd_pool_bytes = 1 << 20};
    if (getrandom(cfg.secret, sizeof(cfg.secret), 0) != (ssize_t)sizeof(cfg.secret)) {
        return PW_EIO;
    }
    app->link_worker[d] = pw_worker_create_ctl(&cfg, pw_rdtsc(), &rc);
    return rc;
}

int
pw_app_link_bind_worker_ctl(struct pw_app *app, uint32_t d)
{
    struct pw_app_door *door = &app->door[d];
    int rc = app->link_nic.has_port ? create_worker(app, d) : 0;

    if (rc != 0 || door->link == NULL) {
        return rc;
    }
    return pw_worker_link_bind_ctl(&door->carrier, carrier(app, d), door->link,
                                   (uint16_t)app->cfg->link_port, pw_app_link_ports(app->workers));
}

int
pw_app_link_bind_control_ctl(struct pw_app *app, struct pw_text *why)
{
    struct pw_app_door *door = pw_app_control_door(app);
    struct pw_config_addr a;
    uint8_t ip[16] = {0};
    uint16_t udp = 0;
    int rc;

    if (door->link == NULL) {
        return 0;
    }
    app->link_ifindex = port(app)->has_xdp ? port(app)->xdp.dev.ifindex : 0;
    /* With a port the workers are asked, and this socket asks alone. */
    if (!app->nic.has_port) {
        udp = (uint16_t)app->cfg->link_port;
        if (pw_config_cidr(app->cfg->http_listen_address, &a) == 0) {
            ip[10] = ip[11] = a.family == 4 ? 0xFF : 0;
            memcpy(a.family == 4 ? ip + 12 : ip, a.addr, a.family == 4 ? 4 : 16);
        }
    }
    rc = pw_link_socket_create_ctl(&app->link_socket, door->link, ip, udp, &app->clock);
    if (rc != 0) {
        pw_text_printf(why, "link: UDP port %u: %s", udp, pw_err_text(rc));
    }
    return rc;
}

void
pw_app_link_destroy_ctl(struct pw_app *app)
{
    for (uint32_t d = 0; d < app->doors; d++) {
        pw_link_destroy_ctl(app->door[d].link);
    }
    pw_link_socket_destroy_ctl(&app->link_socket);
}

/* --- The control thread ------------------------------------------------------------------------- */

/* Where the kernel owns the address it alone may ask who has another: a worker that needs a neighbour is
 * answered from the kernel's table, and until it is there the kernel is made to look for it. */
static void
neighbours(struct pw_app *app, uint64_t now_us)
{
    if (app->link_ifindex == 0 || (!port(app)->kernel_owns_addr && !port(app)->kernel_owns_addr6) ||
        now_us - app->link_neighbours_us < NEIGHBOUR_EVERY_US) {
        return;
    }
    app->link_neighbours_us = now_us;
    for (uint32_t i = 0; i < app->workers; i++) {
        uint8_t mac[6];
        uint8_t ip[16];

        if (!pw_worker_wants_neighbour_ctl(carrier(app, i), ip)) {
            continue;
        }
        int rc = pw_neigh_lookup_ctl(app->link_ifindex, ip, mac);
        bool known = rc == 0;

        rc = known ? 0 : pw_neigh_probe_ctl(app->link_ifindex, ip);
        if (rc != 0) {
            pw_log(PW_LOG_DEBUG, module,
                   "msg=\"the kernel does not look for a neighbour\" err=\"%s\"", pw_err_text(rc));
        }
        /* Where it is not known yet the worker asks again when it has to send. */
        pw_worker_neighbour_ctl(carrier(app, i), known ? mac : NULL);
        pw_control_wake_loops(app);
    }
}

uint32_t
pw_app_link_poll(struct pw_app *app, uint64_t now_tsc)
{
    if (app->link_socket.fd < 0) {
        return 0;
    }
    neighbours(app, pw_link_socket_us(&app->link_socket, now_tsc));
    return pw_link_socket_poll(&app->link_socket, now_tsc);
}

uint32_t
pw_app_link_rest_us(const struct pw_app *app, uint64_t now_tsc)
{
    if (app->link_socket.fd < 0) {
        return UINT32_MAX;
    }
    uint32_t rest = pw_link_socket_rest_us(&app->link_socket, now_tsc);

    return app->link_ifindex != 0 && rest > NEIGHBOUR_EVERY_US ? NEIGHBOUR_EVERY_US : rest;
}

int
pw_app_link_fd(const struct pw_app *app)
{
    return app->link_socket.fd;
}

void
pw_app_link_leave_ctl(struct pw_app *app)
{
    struct pw_app_door *own = pw_app_control_door(app);

    for (uint32_t d = 0; d < app->workers; d++) {
        atomic_store_explicit(&app->door[d].carrier.leave, true, memory_order_relaxed);
    }
    pw_control_wake_loops(app);
    if (own->link != NULL) {
        pw_link_leave(own->link);
        (void)pw_link_socket_poll(&app->link_socket, pw_rdtsc());
    }
}

void
pw_app_link_metrics(struct pw_app *app, struct pw_text *out)
{
    struct pw_link *link[PW_WORKERS_MAX];
    uint32_t n = 0;

    for (uint32_t d = 0; d < app->doors; d++) {
        if (app->door[d].link != NULL) {
            link[n++] = app->door[d].link;
        }
    }
    pw_link_metrics(link, n, out);
}
