/* Which request is worked on when. Every request starts on a free desk, in the callback that brought it, and an
 * ordinary one ends there: its slice is longer than it needs. One that does not is parked, and goes on
 * by a slice a poll unless a shorter one waits, which then has another desk; an ordinary one that is old goes
 * before others begin. What comes while the turn's time is spent, or while others are at work or wait, waits in lines by size (waiting.h); of large bodies few are at work at
 * a time. No address may park so many that others find no desk. */
#include "base/check.h"
#include "distributor/internal.h"

static uint64_t
clock_now(const struct pw_distributor *d)
{
    return pw_fiber_now(&d->desks.desk[0].fiber);
}

/* --- Start and stop --------------------------------------------------------------------------- */

static int
desk_init(struct pw_distributor *d, struct pw_desk *k)
{
    int rc = pw_fiber_init_ctl(&k->fiber);

    k->d = d;
    k->placed = PW_BULK_NONE;
    k->fiber.clock = d->cfg.work_clock;
    k->fiber.clock_arg = d->cfg.work_clock_arg;
    rc = rc != 0 ? rc : pw_scratch_init_ctl(&k->scratch, d->cfg.scratch_bytes);
    rc = rc != 0 ? rc : pw_inflater_init_ctl(&k->inflater);
    if (rc == 0) {
        pw_scratch_small_pages_ctl(&k->scratch, PW_DESK_SCRATCH_KEEP);
        k->scratch.fiber = &k->fiber;
        pw_inflater_set_fiber_ctl(k->inflater, &k->fiber);
    }
    return rc;
}

static uint64_t
tsc_of(const struct pw_distributor *d, uint32_t us)
{
    return pw_clock_us_to_tsc(&d->cfg.clock, us);
}

int
pw_desks_init_ctl(struct pw_distributor *d)
{
    struct pw_desks *all = &d->desks;
    int rc = pw_waiting_init_ctl(&all->waiting, tsc_of(d, PW_WAITING_OLD_US));

    for (uint32_t i = 0; i < PW_DESKS && rc == 0; i++) {
        rc = desk_init(d, &all->desk[i]);
    }
    all->slice_tsc = tsc_of(d, d->cfg.slice_us);
    all->busy_tsc = tsc_of(d, d->cfg.busy_us != 0 ? d->cfg.busy_us : d->cfg.slice_us);
    all->turn_tsc = tsc_of(d, d->cfg.turn_us != 0 ? d->cfg.turn_us : d->cfg.slice_us);
    all->overdue_tsc = all->slice_tsc * PW_WORK_OVERDUE_SLICES;
    all->old_tsc = tsc_of(d, PW_WORK_OLD_US);
    all->old_spent_tsc = tsc_of(d, PW_WORK_OLD_SPENT_US);
    return rc;
}

void
pw_desks_fini_ctl(struct pw_distributor *d)
{
    for (uint32_t i = 0; i < PW_DESKS; i++) {
        struct pw_desk *k = &d->desks.desk[i];

        pw_fiber_fini_ctl(&k->fiber);
        pw_scratch_fini_ctl(&k->scratch);
        pw_inflater_fini_ctl(k->inflater);
    }
    pw_waiting_fini_ctl(&d->desks.waiting);
}

/* --- At work ------------------------------------------------------------------------------------ */

/* A desk for a request of that kind, or NULL: it has to wait. */
static struct pw_desk *
take_desk(struct pw_distributor *d, uint64_t address, bool large)
{
    uint32_t same = 0, larges = 0;
    bool same_large = false;
    struct pw_desk *free_one = NULL;

    if (d->desks.parked == 0) {
        return &d->desks.desk[0]; /* always the same one: its memory is warm */
    }
    for (uint32_t i = PW_DESKS; i > 0; i--) {
        struct pw_desk *k = &d->desks.desk[i - 1];

        if (!k->busy) {
            free_one = k;
            continue;
        }
        same += k->address == address;
        larges += k->large;
        same_large |= k->large && k->address == address;
    }
    if (same >= PW_DESKS_PER_ADDRESS || (large && (larges >= PW_DESKS_LARGE || same_large))) {
        return NULL;
    }
    return free_one;
}

static void
work_main(void *arg)
{
    struct pw_desk *k = arg;

    pw_distributor_work(k);
    pw_scratch_rewind(&k->scratch, 0);
}

/* What the work took stays for the next: pages that are given back and needed again cost more than the work. */
static void
note_memory(struct pw_desk *k)
{
    struct pw_desks *all = &k->d->desks;
    size_t peak = k->scratch.peak;

    k->scratch.peak = 0;
    all->scratch_peak = peak > all->scratch_peak ? peak : all->scratch_peak;
    if (peak > PW_DESK_SCRATCH_KEEP) {
        all->swollen += k->touched == 0 ? 1 : 0;
        k->touched = peak > k->touched ? peak : k->touched;
        k->touched_tsc = k->start_tsc;
    }
}

/* One piece of the memory of a desk that has not needed it for long; how many. */
static uint32_t
give_back(struct pw_distributor *d, uint64_t now_tsc)
{
    struct pw_desks *all = &d->desks;
    uint64_t keep_tsc = pw_clock_us_to_tsc(&d->cfg.clock, (uint64_t)PW_DESK_KEEP_MS * 1000);

    for (uint32_t i = 0; all->swollen != 0 && i < PW_DESKS; i++) {
        struct pw_desk *k = &all->desk[i];

        if (k->busy || k->touched == 0 || now_tsc < k->touched_tsc + keep_tsc) {
            continue;
        }
        k->touched = pw_scratch_trim(&k->scratch, PW_DESK_SCRATCH_KEEP, k->touched);
        if (k->touched == PW_DESK_SCRATCH_KEEP) {
            k->touched = 0;
            all->swollen--;
        }
        return 1;
    }
    return 0;
}

static void
clear(struct pw_desk *k)
{
    struct pw_desks *all = &k->d->desks;

    note_memory(k);
    pw_place_drop(k);
    atomic_store_explicit(&k->overrides, NULL, memory_order_release);
    all->parked -= k->parked ? 1 : 0;
    k->busy = k->parked = k->large = false;
    k->slot = NULL;
    all->stuck = false;
}

/* One slice of work; true when it is done. It is short where few wait: then somebody shorter may come, and go before.
 * Where many wait the core is behind, and another desk's memory is cold. */
static bool
work_on(struct pw_desk *k)
{
    struct pw_desks *all = &k->d->desks;
    bool busy = pw_waiting_count(&all->waiting) > PW_WORK_BUSY;
    uint64_t slice = busy ? all->busy_tsc : all->slice_tsc;
    uint64_t from = clock_now(k->d);
    bool done = pw_fiber_run(&k->fiber, all->slice_tsc == 0 ? UINT64_MAX : from + slice);
    uint64_t took = clock_now(k->d) - from;

    all->slices_total++;
    all->spent_tsc += took;
    k->spent_tsc += took;
    if (!done) {
        return false;
    }
    if (k->parked) {
        pw_http_release(k->d->cfg.http, k->req.conn);
    }
    clear(k);
    return true;
}

static void
park(struct pw_desk *k)
{
    struct pw_desks *all = &k->d->desks;

    k->parked = true;
    all->parked_tsc = all->parked++ == 0 ? clock_now(k->d) : all->parked_tsc;
    all->parked_total++;
}

/* The request with its arrays in the desk's own memory; false: no room. */
static bool
copy_request(struct pw_desk *k, const struct pw_http_request *req)
{
    struct pw_slice *piece;

    pw_scratch_rewind(&k->scratch, 0);
    piece = pw_scratch_array(&k->scratch, req->body_count, sizeof(*piece));
    if (piece == NULL || req->headers_count > PW_HTTP_HEADERS_MAX) {
        return false;
    }
    k->mark = k->scratch.used;
    k->req = *req;
    memcpy(k->header, req->headers, req->headers_count * sizeof(*k->header));
    k->req.headers = k->header;
    if (req->body_count != 0) {
        memcpy(piece, req->body, req->body_count * sizeof(*piece));
    }
    k->req.body = piece;
    return true;
}

/* What the work on a body takes, roughly: right enough to say which of two is the shorter. */
static uint64_t
guess(const struct pw_distributor *d, uint64_t body_bytes)
{
    return pw_clock_us_to_tsc(&d->cfg.clock, PW_WORK_US_LEAST + body_bytes / PW_WORK_BYTES_A_US);
}

/* Begins work on a free desk. True when it is done, false when it was parked. */
static bool
begin(struct pw_desk *k, const struct pw_http_request *req, const struct pw_waiting *w, bool large)
{
    struct pw_clock *clock = &k->d->cfg.clock;

    if (!copy_request(k, req)) {
        pw_distributor_refuse(k->d, req, PW_REASON_CORE_MEMORY,
                              "request needs more memory than this core has");
        return true;
    }
    k->req.now_tsc = w->since_tsc;
    k->address = w->address;
    k->start_tsc = req->now_tsc;
    k->expires_tsc = w->since_tsc + pw_clock_us_to_tsc(clock, (uint64_t)PW_PUSH_TIMEOUT_MS * 1000);
    k->large = large;
    k->spent_tsc = 0;
    k->guess_tsc = guess(k->d, req->body_bytes);
    k->busy = true;
    pw_fiber_start(&k->fiber, work_main, k);
    if (work_on(k)) {
        return true;
    }
    park(k);
    return false;
}

/* --- Who is next -------------------------------------------------------------------------------- */

/* What is left of it. Who took longer than his body said is as far from the end as from the beginning, for all that is
 * known. */
static uint64_t
left(const struct pw_desk *k)
{
    return k->spent_tsc < k->guess_tsc ? k->guess_tsc - k->spent_tsc : k->spent_tsc;
}

/* Of those parked the one with the least left, or NULL. */
static struct pw_desk *
shortest_parked(struct pw_desks *all)
{
    struct pw_desk *best = NULL;

    for (uint32_t i = 0; all->parked != 0 && i < PW_DESKS; i++) {
        struct pw_desk *k = &all->desk[i];

        if (k->parked && (best == NULL || left(k) < left(best))) {
            best = k;
        }
    }
    return best;
}

/* Whether work of that length may begin in this turn: nothing is sent before the turn is over, so what was done in it
 * waits for what begins. */
static bool
fits_turn(const struct pw_desks *all, uint64_t guess_tsc)
{
    return all->slice_tsc == 0 || all->spent_tsc == 0 ||
           all->spent_tsc + guess_tsc <= all->turn_tsc;
}

void
pw_desks_request(struct pw_distributor *d, const struct pw_http_request *req)
{
    struct pw_desks *all = &d->desks;
    struct pw_waiting w = {.conn = req->conn,
                           .address = pw_peer_network(&req->peer),
                           .since_tsc = req->now_tsc,
                           .bytes = req->body_bytes};
    bool large = req->body_bytes > PW_LARGE_BODY_BYTES;
    bool first = pw_waiting_count(&all->waiting) == 0 ? all->parked == 0 : all->stuck;
    bool now = first && fits_turn(all, guess(d, w.bytes));
    struct pw_desk *k = now ? take_desk(d, w.address, large) : NULL;

    if (k != NULL) {
        if (!begin(k, req, &w, large)) {
            pw_http_hold(d->cfg.http, req->conn);
        }
    } else if (pw_waiting_put(&all->waiting, &w)) {
        all->stuck = false;
        pw_http_hold(d->cfg.http, req->conn);
    } else {
        pw_distributor_refuse(d, req, PW_REASON_BUSY, "too many requests wait, retry");
    }
}

/* --- Every turn --------------------------------------------------------------------------------- */

/* Forgets the work and what it holds; the request is still owed an answer. */
static void
drop(struct pw_desk *k)
{
    pw_fiber_drop(&k->fiber);
    if (k->slot != NULL) {
        pw_fanout_abandon(&k->d->fanout, k->slot);
    }
    clear(k);
}

static void
expire(struct pw_desk *k)
{
    struct pw_http_request req = k->req;

    drop(k);
    k->d->desks.expired_total++;
    pw_distributor_refuse(k->d, &req, PW_REASON_DEADLINE, "context deadline exceeded");
}

/* Of those parked the ordinary one that came first, if that is long ago, or NULL. Where the core has little time to spare
 * there is always somebody shorter, and then the longest of the ordinary ones are the slowest answers. */
static struct pw_desk *
old_parked(struct pw_desks *all, uint64_t now_tsc)
{
    uint64_t since = now_tsc < all->old_tsc ? 0 : now_tsc - all->old_tsc;
    struct pw_desk *best = NULL;

    for (uint32_t i = 0; all->parked != 0 && i < PW_DESKS; i++) {
        struct pw_desk *k = &all->desk[i];

        if (k->parked && !k->large && k->spent_tsc < all->old_spent_tsc && k->req.now_tsc < since) {
            since = k->req.now_tsc;
            best = k;
        }
    }
    return best;
}

/* The next of the parked ones. */
static struct pw_desk *
next_parked(struct pw_desks *all)
{
    for (uint32_t i = 0; i < PW_DESKS; i++) {
        struct pw_desk *k = &all->desk[all->next++ % PW_DESKS];

        if (k->parked) {
            return k;
        }
    }
    PW_UNREACHABLE("none is parked");
}

static void
go_on(struct pw_distributor *d, struct pw_desk *k, uint64_t now_tsc)
{
    if (now_tsc >= k->expires_tsc) {
        expire(k);
    } else {
        (void)work_on(k);
    }
    d->desks.parked_tsc = clock_now(d);
}

enum begun { BEGUN, NOT_NOW, NO_DESK };

/* The first of a line that may have a desk begins, if it is shorter than what is parked. */
static enum begun
begin_of_line(struct pw_distributor *d, uint32_t line, const struct pw_desk *parked,
              uint64_t now_tsc)
{
    enum { TRIES = 16 }; /* further back nobody is looked at in this turn */
    struct pw_desks *all = &d->desks;
    bool large = line == PW_WAITING_LARGE;

    for (uint32_t i = 0; i < TRIES && all->waiting.line[line].count != 0; i++) {
        uint64_t needs = guess(d, pw_waiting_first(&all->waiting, line)->bytes);

        if (!fits_turn(all, needs) || (parked != NULL && left(parked) <= needs)) {
            return NOT_NOW;
        }
        struct pw_waiting w = pw_waiting_take(&all->waiting, line);
        struct pw_desk *k = take_desk(d, w.address, large);
        struct pw_http_request req;

        if (k == NULL) {
            pw_waiting_put_back(&all->waiting, line, &w);
            continue;
        }
        if (pw_http_held(d->cfg.http, w.conn, &req) != 0) {
            continue; /* its connection is gone */
        }
        req.now_tsc = now_tsc;
        if (begin(k, &req, &w, large)) {
            pw_http_release(d->cfg.http, w.conn);
        }
        return BEGUN;
    }
    return NO_DESK;
}

/* One of those that wait begins. False when none may. */
static bool
begin_waiting(struct pw_distributor *d, const struct pw_desk *parked, uint64_t now_tsc)
{
    struct pw_waiting_lines *l = &d->desks.waiting;
    uint32_t skip = 0;
    bool stuck = true;

    for (uint32_t line; (line = pw_waiting_next(l, now_tsc, skip)) != PW_WAITING_LINES;) {
        enum begun b = begin_of_line(d, line, parked, now_tsc);

        if (b == BEGUN) {
            return true;
        }
        stuck &= b == NO_DESK;
        skip |= 1U << line;
    }
    d->desks.stuck = stuck;
    return false;
}

/* One piece of work, the shortest there is; false when none may be done in this turn. */
static bool
work_once(struct pw_distributor *d, uint64_t now_tsc)
{
    struct pw_desks *all = &d->desks;
    struct pw_desk *parked = shortest_parked(all);

    if (parked != NULL && clock_now(d) - all->parked_tsc >= all->overdue_tsc) {
        go_on(d, next_parked(all), now_tsc);
        return true;
    }
    struct pw_desk *old = old_parked(all, now_tsc);

    if (old != NULL) {
        if (all->spent_tsc != 0) {
            return false; /* first in the next turn: answers leave between */
        }
        go_on(d, old, now_tsc);
        return true;
    }
    if (pw_waiting_count(&all->waiting) != 0 && begin_waiting(d, parked, now_tsc)) {
        return true;
    }
    if (parked != NULL && all->spent_tsc == 0) {
        go_on(d, parked, now_tsc);
        return true;
    }
    return false;
}

uint32_t
pw_desks_poll(struct pw_distributor *d, uint64_t now_tsc)
{
    struct pw_desks *all = &d->desks;
    uint32_t work = 0;

    if (pw_desks_pending(d) == 0) {
        all->spent_tsc = 0;
        return give_back(d, now_tsc);
    }
    /* Each piece takes of the turn's time, or ends one of the requests, of which there are finitely many. */
    while (work_once(d, now_tsc)) {
        work++;
    }
    all->spent_tsc = 0;
    return work;
}

void
pw_desks_abandoned(struct pw_distributor *d, uint64_t conn)
{
    for (uint32_t i = 0; d->desks.parked != 0 && i < PW_DESKS; i++) {
        struct pw_desk *k = &d->desks.desk[i];

        if (k->parked && k->req.conn == conn) {
            drop(k);
            d->desks.abandoned_total++;
        }
    }
}

uint32_t
pw_desks_pending(const struct pw_distributor *d)
{
    return d->desks.parked + pw_waiting_count(&d->desks.waiting);
}
