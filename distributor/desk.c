/* Which request is worked on when. Every request starts on a free desk, in the callback that brought it, and an
 * ordinary one ends there: its slice is longer than it needs. One that does not is parked, and goes on
 * by a slice a poll while others come and go on other desks. What may wait does so in two rings: requests
 * that come while the turn's time is spent or all desks are taken, and large bodies, of which few are at
 * work at a time. No address may park so many that others find no desk. */
#include "base/check.h"
#include "distributor/internal.h"

static uint64_t
clock_now(const struct pw_distributor *d)
{
    return pw_fiber_now(&d->desks.desk[0].fiber);
}

/* --- Start and stop --------------------------------------------------------------------------- */

static int
ring_init(struct pw_waiting_ring *r, uint32_t cap)
{
    r->cap = cap;
    r->entry = calloc(cap, sizeof(*r->entry));
    return r->entry == NULL ? PW_ENOMEM : 0;
}

static int
desk_init(struct pw_distributor *d, struct pw_desk *k)
{
    int rc = pw_fiber_init_ctl(&k->fiber);

    k->d = d;
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
    int rc = ring_init(&all->small, PW_WAITING_SMALL_MAX);

    rc = rc != 0 ? rc : ring_init(&all->large, PW_WAITING_LARGE_MAX);
    for (uint32_t i = 0; i < PW_DESKS && rc == 0; i++) {
        rc = desk_init(d, &all->desk[i]);
    }
    all->slice_tsc = tsc_of(d, d->cfg.slice_us);
    all->first_tsc = tsc_of(d, d->cfg.first_us != 0 ? d->cfg.first_us : d->cfg.slice_us);
    all->turn_tsc = tsc_of(d, d->cfg.turn_us != 0 ? d->cfg.turn_us : d->cfg.slice_us);
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
    free(d->desks.small.entry);
    free(d->desks.large.entry);
}

/* --- Waiting ---------------------------------------------------------------------------------- */

static bool
ring_put(struct pw_waiting_ring *r, const struct pw_waiting *w)
{
    if (r->count == r->cap) {
        return false;
    }
    r->entry[(r->first + r->count++) & (r->cap - 1)] = *w;
    r->count_peak = r->count > r->count_peak ? r->count : r->count_peak;
    return true;
}

static struct pw_waiting
ring_take(struct pw_waiting_ring *r)
{
    struct pw_waiting w = r->entry[r->first];

    r->first = (r->first + 1) & (r->cap - 1);
    r->count--;
    return w;
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
    atomic_store_explicit(&k->overrides, NULL, memory_order_release);
    all->parked -= k->parked ? 1 : 0;
    k->busy = k->parked = k->large = false;
    k->slot = NULL;
    all->stuck = false;
}

/* One slice of work; true when it is done. */
static bool
work_on(struct pw_desk *k, uint64_t now, uint64_t slice)
{
    struct pw_desks *all = &k->d->desks;

    all->slices_total++;
    if (!pw_fiber_run(&k->fiber, all->slice_tsc == 0 ? UINT64_MAX : now + slice)) {
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
    all->parked++;
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

/* Begins work on a free desk. True when it is done, false when it was parked. */
static bool
begin(struct pw_desk *k, const struct pw_http_request *req, const struct pw_waiting *w, bool large)
{
    uint64_t now = clock_now(k->d);
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
    k->busy = true;
    pw_fiber_start(&k->fiber, work_main, k);
    if (work_on(k, now, k->d->desks.first_tsc)) {
        return true;
    }
    park(k);
    return false;
}

/* Whether another request may begin in this turn. What lasts is begun one a turn, because nothing is sent before the
 * turn is over: the answers of two would leave with the second. */
static bool
turn_left(const struct pw_desks *all)
{
    return all->slice_tsc == 0 || all->spent_tsc < all->turn_tsc;
}

void
pw_desks_request(struct pw_distributor *d, const struct pw_http_request *req)
{
    struct pw_desks *all = &d->desks;
    struct pw_waiting w = {
        .conn = req->conn, .address = pw_peer_network(&req->peer), .since_tsc = req->now_tsc};
    bool large = req->body_bytes > PW_LARGE_BODY_BYTES;
    bool first = all->small.count + all->large.count == 0 || all->stuck;
    struct pw_desk *k = first && turn_left(all) ? take_desk(d, w.address, large) : NULL;

    if (k != NULL) {
        uint64_t from = clock_now(d);

        if (!begin(k, req, &w, large)) {
            pw_http_hold(d->cfg.http, req->conn);
        }
        all->spent_tsc += clock_now(d) - from;
    } else if (ring_put(large ? &all->large : &all->small, &w)) {
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
go_on(struct pw_distributor *d, uint64_t now_tsc, uint64_t now)
{
    struct pw_desk *k = next_parked(&d->desks);

    if (now_tsc >= k->expires_tsc) {
        expire(k);
    } else {
        (void)work_on(k, now, d->desks.slice_tsc);
    }
}

/* The first of the ring that may have a desk begins. False when there is none. */
static bool
begin_waiting(struct pw_distributor *d, struct pw_waiting_ring *r, bool large, uint64_t now_tsc)
{
    enum { TRIES = 16 }; /* further back nobody is looked at in this turn */

    for (uint32_t i = 0; i < TRIES && r->count > 0; i++) {
        struct pw_waiting w = ring_take(r);
        struct pw_desk *k = take_desk(d, w.address, large);
        struct pw_http_request req;

        if (k == NULL) {
            (void)ring_put(r, &w); /* the place it came from is free */
            continue;
        }
        if (pw_http_held(d->cfg.http, w.conn, &req) != 0) {
            continue; /* its connection is gone */
        }
        req.now_tsc = now_tsc;
        if (begin(k, &req, &w, large)) {
            pw_http_release(d->cfg.http, w.conn);
        }
        return true;
    }
    return false;
}

uint32_t
pw_desks_poll(struct pw_distributor *d, uint64_t now_tsc)
{
    struct pw_desks *all = &d->desks;
    uint32_t work = 0;
    bool more = true;

    if (all->parked == 0 && all->small.count + all->large.count == 0) {
        all->spent_tsc = 0;
        return give_back(d, now_tsc);
    }
    if (all->parked != 0) {
        go_on(d, now_tsc, clock_now(d));
        work++;
    }
    /* Each turn of it begins one, of which there are finitely many. */
    while (more && all->small.count + all->large.count != 0 && turn_left(all)) {
        uint64_t from = clock_now(d);

        more = begin_waiting(d, &all->small, false, now_tsc) ||
               begin_waiting(d, &all->large, true, now_tsc);
        all->stuck = !more;
        all->spent_tsc += clock_now(d) - from;
        work += more ? 1 : 0;
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
    return d->desks.parked + d->desks.small.count + d->desks.large.count;
}
