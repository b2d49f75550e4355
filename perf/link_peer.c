/* One end of a peer link on a port of its own, for figures over veth (perf/link.sh) and for tests/dataplane/link_veth.sh.
 *
 *   link_peer EAL-ARGUMENTS -- ADDRESS/PREFIX serve
 *   link_peer EAL-ARGUMENTS -- ADDRESS/PREFIX call PEER N BYTES OUTSTANDING
 *   link_peer EAL-ARGUMENTS -- ADDRESS/PREFIX store FORM                profiles of the mix (perf/link_mix.h)
 *   link_peer EAL-ARGUMENTS -- ADDRESS/PREFIX mix PEER N FORM OUTSTANDING
 *   link_peer EAL-ARGUMENTS -- ADDRESS/PREFIX echo                      raw frames, sent back
 *   link_peer EAL-ARGUMENTS -- ADDRESS/PREFIX ping N BYTES              raw frames, one at a time
 *
 * LINK_SECRET in the environment is the secret; without it the ends are insecure. LINK_DROP drops so many of 10,000
 * frames each way. serve checks that each request is the pattern of its number and comes once, and ends on SIGTERM. call
 * exits 0 when every request was answered once. Both print their counters as name=value lines. */
#include "dataplane/loop.h"
#include "dataplane/worker.h"
#include "dataplane/worker_link.h"
#include "perf/link_mix.h"
#include "tests/support/real_port.h"

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    QUEUE = 2048,
    PORT = 4041,
    CALLS_MAX = 4000000,
    SEEN_BYTES = CALLS_MAX / 8,
    RAW_TYPE = 0x88B5, /* IEEE 802: for experiments */
    UP_WAIT_S = 20,
};

struct end {
    struct pw_link *link;
    struct pw_worker *worker;
    struct pw_worker_link carrier;
    struct pw_clock clock;
    int peer;
    bool up;
    uint32_t n;
    uint32_t bytes;
    uint32_t outstanding;
    uint32_t begun;
    uint32_t done;
    uint32_t failed;
    uint64_t begin_tsc; /* of the process, then of the first call */
    uint64_t end_tsc;
    uint64_t busy_tsc; /* before the first call */
    uint64_t driver_tsc;
    uint64_t *at;         /* when call i began, then how long it took */
    struct link_mix *mix; /* NULL: patterns */
    uint64_t mix_bytes;
    uint8_t *message;
    uint8_t *heads; /* four bytes a call */
    uint32_t bad;
    uint8_t seen[SEEN_BYTES];
    uint64_t rx_bursts; /* that were not empty */
    uint64_t rx_empty;
    uint64_t tx_bursts;
    uint64_t tx_refused; /* of them, in part */
    struct pw_lossy_port lossy;
};

static struct pw_loop loop; /* for the signal handler, the only way it can be told */

static void
on_signal(int sig)
{
    (void)sig;
    pw_loop_stop_ctl(&loop);
}

/* --- A port that counts its calls ---------------------------------------------------------------- */

static uint16_t
counted_rx(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    struct end *e = ctx;
    uint16_t got = rte_eth_rx_burst(0, 0, m, n);

    e->rx_bursts += got > 0 ? 1 : 0;
    e->rx_empty += got == 0 ? 1 : 0;
    return got;
}

static uint16_t
counted_tx(void *ctx, struct rte_mbuf **m, uint16_t n)
{
    struct end *e = ctx;
    uint16_t took = rte_eth_tx_burst(0, 0, m, n);

    e->tx_bursts++;
    e->tx_refused += took < n ? 1 : 0;
    return took;
}

/* --- Requests ----------------------------------------------------------------------------------- */

/* A request is its number and then bytes that follow from where they are: cheap to check. */
static void
on_request(void *ctx, struct pw_link_from from, struct pw_slice bytes)
{
    struct end *e = ctx;
    uint32_t number = bytes.len < 4 ? UINT32_MAX : pw_load_be32(bytes.ptr);
    if (e->mix != NULL) {
        bool ok = link_mix_take(e->mix, bytes);

        e->bad += ok ? 0 : 1;
        e->done += ok ? 1 : 0;
        (void)pw_link_reply(e->link, from, ok ? 200 : 400, pw_slice(NULL, 0));
        return;
    }
    bool again = number < CALLS_MAX && (e->seen[number / 8] >> (number % 8) & 1) != 0;

    if (number >= CALLS_MAX || again || bytes.len > PW_LINK_MESSAGE_BYTES_MAX ||
        (bytes.len > 4 && memcmp(bytes.ptr + 4, e->message + 4, bytes.len - 4) != 0)) {
        e->bad++;
    } else {
        e->seen[number / 8] |= (uint8_t)(1U << (number % 8));
        e->done++;
    }
    (void)pw_link_reply(e->link, from, 200, pw_slice(NULL, 0));
}

static void
on_done(void *ctx, uint64_t cookie, int status, struct pw_slice text)
{
    struct end *e = ctx;

    (void)text;
    e->failed += status != 200 ? 1 : 0;
    e->done++;
    e->end_tsc = pw_rdtsc();
    e->at[cookie] = e->end_tsc - e->at[cookie];
    if (e->done == e->n) {
        pw_loop_stop_ctl(&loop);
    }
}

static void
on_peer(void *ctx, uint32_t peer, bool up)
{
    struct end *e = ctx;

    (void)peer;
    e->up = up;
}

/* Poller of `call`: keeps `outstanding` requests in flight. Their bytes differ in the number alone, so each has its
 * own first part and all share the second. */
static uint32_t
caller(void *ctx, uint64_t now_tsc)
{
    struct end *e = ctx;
    uint32_t work = 0;

    (void)now_tsc;
    if (!e->up) {
        if (pw_rdtsc() - e->begin_tsc > UP_WAIT_S * e->clock.tsc_hz && e->begun == 0) {
            pw_loop_stop_ctl(&loop);
        }
        return 0;
    }
    if (e->begun == 0) {
        e->begin_tsc = pw_rdtsc();
        e->busy_tsc = pw_loop_busy_tsc(&loop);
        e->driver_tsc = *pw_worker_driver_tsc(e->worker);
    }
    while (e->begun < e->n && e->begun - e->done < e->outstanding) {
        uint8_t *h = e->heads + (size_t)e->begun * 4;
        struct pw_slice parts[2] = {{h, 4}, {e->message + 4, e->bytes - 4}};
        uint32_t count = e->bytes > 4 ? 2 : 1;

        pw_store_be32(h, e->begun);
        e->at[e->begun] = pw_rdtsc();
        if (e->mix != NULL) {
            parts[0] = link_mix_give(e->mix, e->begun);
            count = 1;
        }
        if (pw_link_call(e->link, (uint32_t)e->peer, parts, count, e->begun) != 0) {
            break;
        }
        e->mix_bytes += e->mix != NULL ? parts[0].len : 0;
        e->begun++;
        work++;
    }
    return work;
}

/* --- Raw frames --------------------------------------------------------------------------------- */

static void
raw_echo(void)
{
    struct rte_mbuf *m[32];

    while (!atomic_load_explicit(&loop.stop, memory_order_relaxed)) {
        uint16_t n = rte_eth_rx_burst(0, 0, m, 32);

        for (uint16_t i = 0; i < n; i++) {
            uint8_t *p = rte_pktmbuf_mtod(m[i], uint8_t *);
            uint8_t mac[6];

            if (pw_load_be16(p + 12) != RAW_TYPE) {
                rte_pktmbuf_free(m[i]);
                continue;
            }
            memcpy(mac, p + 6, 6);
            memcpy(p + 6, p, 6);
            memcpy(p, mac, 6);
            p[6] &= 0xFE; /* it may have come to everybody */
            while (rte_eth_tx_burst(0, 0, &m[i], 1) == 0) {
            }
        }
    }
}

static bool
raw_ping_one(struct rte_mempool *pool, uint32_t bytes, const uint8_t mac[6], uint64_t limit_tsc)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    struct rte_mbuf *r[32];
    uint64_t begin = pw_rdtsc();
    uint8_t *p = m == NULL ? NULL : (uint8_t *)rte_pktmbuf_append(m, (uint16_t)bytes);

    if (p == NULL) {
        return false;
    }
    memset(p, 0xFF, 6);
    memcpy(p + 6, mac, 6);
    pw_store_be16(p + 12, RAW_TYPE);
    while (rte_eth_tx_burst(0, 0, &m, 1) == 0) {
    }
    for (bool got = false; !got;) {
        uint16_t n = rte_eth_rx_burst(0, 0, r, 32);

        for (uint16_t i = 0; i < n; i++) {
            got |= pw_load_be16(rte_pktmbuf_mtod_offset(r[i], uint8_t *, 12)) == RAW_TYPE;
            rte_pktmbuf_free(r[i]);
        }
        (void)rte_eth_tx_burst(0, 0, &m, 0); /* the driver frees what was sent */
        if (!got && pw_rdtsc() - begin > limit_tsc) {
            return false;
        }
    }
    return true;
}

/* --- Figures ------------------------------------------------------------------------------------ */

static int
by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void
print_times(const struct end *e, uint64_t *tsc, uint32_t n)
{
    if (n == 0) {
        return;
    }
    qsort(tsc, n, sizeof(tsc[0]), by_value);
    printf("p50_us=%.1f\np99_us=%.1f\n", (double)tsc[n / 2] * 1e6 / (double)e->clock.tsc_hz,
           (double)tsc[(uint64_t)n * 99 / 100] * 1e6 / (double)e->clock.tsc_hz);
}

static void
print_end(struct end *e, bool calls)
{
    double s = (double)(e->end_tsc - e->begin_tsc) / (double)e->clock.tsc_hz;
    static const char *const names[] = {
        "packets_in",    "packets_out",   "lost",     "lost_not", "timeouts", "acks_out",
        "fragments_out", "fragments_dup", "requests", "memory",   "auth",     "replay"};

    if (calls && e->done > 0) {
        printf("calls=%u\nfailed=%u\nseconds=%.4f\ncalls_per_s=%.0f\nmb_per_s=%.1f\n", e->done,
               e->failed, s, e->done / s, (double)e->done * e->bytes / s / 1e6);
        print_times(e, e->at, e->n);
    } else {
        printf("served=%u\nbad=%u\n", e->done, e->bad);
    }
    if (calls && e->mix != NULL && e->done > 0) {
        printf("bytes_per_call=%.0f\n", (double)e->mix_bytes / e->done);
    }
    if (e->done > 0) {
        printf("busy_cycles_per_call=%.0f\ndriver_cycles_per_call=%.0f\n",
               (double)(pw_loop_busy_tsc(&loop) - e->busy_tsc) / e->done,
               (double)(*pw_worker_driver_tsc(e->worker) - e->driver_tsc) / e->done);
    }
    printf("rx_bursts=%" PRIu64 "\nrx_empty=%" PRIu64 "\ntx_bursts=%" PRIu64 "\ntx_refused=%" PRIu64
           "\n",
           e->rx_bursts, e->rx_empty, e->tx_bursts, e->tx_refused);
    for (uint32_t i = 0; i < PW_ARRAY_LEN(names); i++) {
        printf("%s=%" PRIu64 "\n", names[i], pw_link_stat(e->link, names[i]));
    }
    printf("tsc_mhz=%" PRIu64 "\n", e->clock.tsc_hz / 1000000);
}

/* --- Set-up ------------------------------------------------------------------------------------- */

static void *
accept_nobody(void *ctx, struct pw_stream *s, uint64_t now_tsc)
{
    (void)ctx;
    (void)s;
    (void)now_tsc;
    return NULL;
}

static bool
worker_start(struct end *e, struct rte_mempool *pool, char *address)
{
    static struct pw_port_io io = {.rx_burst = counted_rx, .tx_burst = counted_tx};
    struct pw_worker_cfg cfg = {.clock = e->clock, .io = &io};
    const char *drop = getenv("LINK_DROP");

    if (!pw_real_port_worker_cfg(&cfg, pool, address)) {
        return false;
    }
    io.ctx = e;
    if (drop != NULL) {
        e->lossy = (struct pw_lossy_port){.per_10000 = (uint32_t)atoi(drop),
                                          .state = 88172645463325252ULL};
        io = pw_lossy_port_io(&e->lossy);
    }
    cfg.app = (struct pw_stream_app){.ctx = e, .accept = accept_nobody};
    e->worker = pw_worker_create_ctl(&cfg, pw_rdtsc(), NULL);
    return e->worker != NULL;
}

static bool
link_start(struct end *e, const char *id)
{
    const char *secret = getenv("LINK_SECRET");
    const struct pw_link_cfg cfg = {
        .app = {.ctx = e, .on_done = on_done, .on_request = on_request, .on_peer = on_peer},
        .self_id = id,
        .secret = secret == NULL ? pw_slice(NULL, 0) : pw_slice_str(secret),
        .insecure = secret == NULL};

    e->link = pw_link_create_ctl(&cfg, 0, NULL);
    return e->link != NULL &&
           pw_worker_link_bind_ctl(&e->carrier, e->worker, e->link, PORT, 1) == 0;
}

static bool
call_start(struct end *e, char **argv)
{
    bool mix = e->mix != NULL;
    struct pw_link_addr to = {.ip = {[10] = 0xFF, [11] = 0xFF}, .port = PORT};

    e->n = (uint32_t)atoi(argv[1]);
    e->bytes = mix ? 4 : (uint32_t)atoi(argv[2]);
    e->outstanding = (uint32_t)atoi(argv[3]);
    if (inet_pton(AF_INET, argv[0], to.ip + 12) != 1 || e->n == 0 || e->n > CALLS_MAX ||
        e->bytes < 4 || e->bytes > PW_LINK_MESSAGE_BYTES_MAX || e->outstanding > 4096 ||
        (mix && e->outstanding > link_mix_files(e->mix))) {
        return false;
    }
    e->at = calloc(e->n, sizeof(uint64_t));
    e->heads = calloc(e->n, 4);
    e->peer = pw_link_open(e->link, argv[0], &to);
    return e->at != NULL && e->heads != NULL && e->peer >= 0;
}

static int
link_run(struct end *e, char *address, struct rte_mempool *pool, char **call)
{
    e->message = malloc(PW_LINK_MESSAGE_BYTES_MAX);
    if (e->message == NULL || !worker_start(e, pool, address) || !link_start(e, address) ||
        (call != NULL && !call_start(e, call))) {
        fprintf(stderr, "no worker, or wrong arguments\n");
        return 1;
    }
    for (uint32_t i = 0; i < PW_LINK_MESSAGE_BYTES_MAX; i++) {
        e->message[i] = (uint8_t)(i * 7 + i / 256 * 13);
    }
    pw_loop_init_ctl(&loop, 0, &e->clock, PW_LOOP_IDLE_SPIN);
    if (pw_loop_add_ctl(
            &loop, (struct pw_poller){.name = "rx", .poll = pw_worker_poll_rx, .ctx = e->worker}) !=
            0 ||
        (call != NULL &&
         pw_loop_add_ctl(&loop, (struct pw_poller){.name = "caller", .poll = caller, .ctx = e}) !=
             0) ||
        pw_loop_add_ctl(&loop, (struct pw_poller){.name = "timers",
                                                  .poll = pw_worker_poll_timers,
                                                  .ctx = e->worker}) != 0 ||
        pw_loop_add_driver_ctl(&loop, pw_worker_driver_tsc(e->worker)) != 0) {
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    e->begin_tsc = pw_rdtsc();
    pw_loop_run(&loop);
    print_end(e, call != NULL);
    if (call != NULL && e->mix != NULL) {
        printf("unpack_us=%.2f\n", link_mix_unpack_us(e->mix));
    }
    return call != NULL ? e->done != e->n || e->failed != 0 : e->bad != 0;
}

static int
ping_run(struct end *e, struct rte_mempool *pool, uint32_t n, uint32_t bytes)
{
    uint64_t *tsc = calloc(n, sizeof(tsc[0]));
    struct rte_ether_addr mac;
    uint32_t got = 0;

    if (tsc == NULL || rte_eth_macaddr_get(0, &mac) != 0) {
        return 1;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t begin = pw_rdtsc();

        if (raw_ping_one(pool, bytes, mac.addr_bytes, e->clock.tsc_hz)) {
            tsc[got++] = pw_rdtsc() - begin;
        }
    }
    printf("frames=%u\nlost=%u\n", got, n - got);
    print_times(e, tsc, got);
    free(tsc);
    return got == 0;
}

int
main(int argc, char **argv)
{
    static struct end e;
    int eal = rte_eal_init(argc, argv);
    struct rte_mempool *pool;

    if (eal < 0 || argc - eal < 3) {
        return 2;
    }
    argv += eal;
    argc -= eal;
    pw_clock_init_ctl(&e.clock);
    pool = pw_real_port_start("peer", QUEUE);
    if (pool == NULL) {
        return 2;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    if (strcmp(argv[2], "echo") == 0) {
        printf("ready\n");
        fflush(stdout);
        raw_echo();
        return 0;
    }
    if (strcmp(argv[2], "ping") == 0 && argc == 5) {
        return ping_run(&e, pool, (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
    }
    if (strcmp(argv[2], "serve") == 0) {
        return link_run(&e, argv[1], pool, NULL);
    }
    if (strcmp(argv[2], "store") == 0 && argc == 4) {
        e.mix = link_mix_load(argv[3]);
        return e.mix == NULL ? 2 : link_run(&e, argv[1], pool, NULL);
    }
    if (strcmp(argv[2], "mix") == 0 && argc == 7) {
        e.mix = link_mix_load(argv[5]);
        return e.mix == NULL ? 2 : link_run(&e, argv[1], pool, argv + 3);
    }
    return strcmp(argv[2], "call") == 0 && argc == 7 ? link_run(&e, argv[1], pool, argv + 3) : 2;
}
