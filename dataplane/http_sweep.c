/* dataplane/http_sweep.c - deadlines, draining and the ready list: what happens without input.
 *
 * No timer per connection: deadlines lie in one dense array of which every poll looks at the share
 * that is due, so that all of it is seen once in PW_HTTP_SWEEP_MS. Setting one is a single store.
 */
#include "dataplane/http_conn_priv.h"

static void
deadline_passed(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;

    if (reply_pending(c) && pw_http_reader_moves(c)) {
        return;
    } else if (reply_pending(c)) {
        srv->stats.drops[PW_HTTP_DROP_SEND_TIMEOUT]++;
        c->doomed = true;
    } else if (c->state == CONN_LINGER && pw_http_linger_on(c)) {
        return;
    } else if (c->state == CONN_LINGER) {
        srv->stats.drops[PW_HTTP_DROP_LINGER_TIMEOUT]++;
        c->doomed = true;
    } else if (c->state == CONN_HEAD && !c->head_started) {
        srv->stats.drops[PW_HTTP_DROP_IDLE_TIMEOUT]++;
        pw_http_conn_finish(c);
    } else if (c->state == CONN_HEAD) {
        c->keep_alive = false;
        c->head_method = false;
        c->version_1_0 = false;
        pw_http_refuse(c, PW_HTTP_DROP_HEAD_TIMEOUT);
    } else if (c->state == CONN_BODY && c->owed) {
        pw_http_refuse(c, PW_HTTP_DROP_BODY_TIMEOUT);
    } else if (c->state == CONN_BODY) {
        srv->stats.drops[PW_HTTP_DROP_BODY_TIMEOUT]++; /* answered already, only being dropped */
        pw_http_conn_finish(c);
    }
    pw_http_conn_run(c);
}

/* While bodies wait for buffers, those set aside for one that hardly moves are taken back. Only a reset
 * does that: a window that was offered cannot be withdrawn. */
static void
end_if_slow(struct pw_http_conn *c)
{
    struct pw_http_server *srv = c->srv;

    if (c->state == CONN_BODY && c->owed && c->starved_tsc == 0 && c->reserved_upto != 0) {
        srv->stats.drops[PW_HTTP_DROP_BODY_SLOW]++;
        c->doomed = true;
        pw_http_conn_run(c);
    }
}

static uint32_t
sweep_deadlines(struct pw_http_server *srv, uint32_t from, uint32_t to)
{
    /* A body's deadline is body_tsc behind its last progress. */
    uint64_t slow = srv->now_tsc < srv->short_until_tsc && srv->slow_tsc < srv->body_tsc
                        ? srv->now_tsc + srv->body_tsc - srv->slow_tsc
                        : 0;
    uint32_t work = 0;

    for (uint32_t i = from; i < to; i++) {
        if (srv->deadline[i] <= slow && srv->deadline[i] > srv->now_tsc) {
            end_if_slow(pw_pool_at(&srv->conns, i));
        } else if (srv->deadline[i] <= srv->now_tsc) {
            srv->deadline[i] = UINT64_MAX;
            deadline_passed(pw_pool_at(&srv->conns, i));
            work++;
        }
    }
    return work;
}

/* Up to which index this sweep should have come by now. */
static uint32_t
sweep_due(struct pw_http_server *srv)
{
    uint64_t since = srv->now_tsc - srv->sweep_start_tsc;

    if (since >= srv->sweep_tsc) {
        return srv->deadline_used;
    }
    return (uint32_t)((unsigned __int128)srv->deadline_used * since / srv->sweep_tsc);
}

static uint32_t
close_idle(struct pw_http_server *srv)
{
    uint32_t work = 0;

    for (uint32_t i = 0; i < srv->deadline_used; i++) {
        struct pw_http_conn *c = pw_pool_at(&srv->conns, i);

        if (c->state == CONN_HEAD && !c->head_started && c->in.first == NULL) {
            pw_http_conn_finish(c);
            pw_http_conn_run(c);
            work++;
        }
    }
    return work;
}

static uint32_t
run_ready(struct pw_http_server *srv)
{
    const struct pw_http_conn *last = srv->ready_last; /* who comes meanwhile waits for a turn */
    const struct pw_http_conn *c = NULL;
    uint64_t bodies_until = srv->stats.bytes_of_bodies + BODY_BYTES_PER_POLL;
    uint32_t work = 0;

    for (; c != last && work < RUNS_PER_POLL && srv->stats.bytes_of_bodies < bodies_until; work++) {
        struct pw_http_conn *first = srv->ready;

        srv->ready = first->next_ready;
        srv->ready_last = srv->ready == NULL ? NULL : srv->ready_last;
        first->ready = false;
        first->next_ready = NULL;
        pw_http_conn_run(first);
        c = first;
    }
    return work;
}

uint32_t
pw_http_server_poll(void *ctx, uint64_t now_tsc)
{
    struct pw_http_server *srv = ctx;
    uint32_t work = 0;
    uint32_t due;

    srv->now_tsc = now_tsc;
    pw_http_starved_wake(srv);
    if (srv->ready != NULL) {
        work += run_ready(srv);
    }
    if (!srv->drained && atomic_load_explicit(&srv->draining, memory_order_relaxed)) {
        srv->drained = true;
        work += close_idle(srv);
    }
    due = sweep_due(srv);
    if (due > srv->sweep_next) {
        work += sweep_deadlines(srv, srv->sweep_next, due);
        srv->sweep_next = due;
    }
    if (now_tsc - srv->sweep_start_tsc >= srv->sweep_tsc) {
        srv->sweep_start_tsc = now_tsc;
        srv->sweep_next = 0;
    }
    return work;
}

uint32_t
pw_http_server_rest_us(void *ctx)
{
    const struct pw_http_server *srv = ctx;

    if (srv->ready != NULL) {
        return 0;
    }
    if (srv->starved != NULL) {
        return STARVED_REST_US;
    }
    return pw_http_server_open(srv) > 0 ? PW_HTTP_SWEEP_MS * 1000 / 4 : UINT32_MAX;
}
