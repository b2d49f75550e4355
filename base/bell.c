#include "base/bell.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
pw_bell_init_ctl(struct pw_bell *b)
{
    atomic_init(&b->asleep, false);
    b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return b->fd < 0 ? -errno : 0;
}

void
pw_bell_fini_ctl(struct pw_bell *b)
{
    if (b->fd >= 0) {
        close(b->fd);
        b->fd = -1;
    }
}

void
pw_bell_awake(struct pw_bell *b, bool rang)
{
    uint64_t times;

    atomic_store_explicit(&b->asleep, false, memory_order_relaxed);
    if (rang) {
        (void)!read(b->fd, &times, sizeof(times)); /* nonblocking: only makes it unreadable */
    }
}

void
pw_bell_wait(struct pw_bell *b, uint32_t ms)
{
    struct pollfd fd = {.fd = b->fd, .events = POLLIN};

    pw_bell_awake(b, poll(&fd, 1, (int)ms) > 0);
}

void
pw_bell_wake(struct pw_bell *b)
{
    const uint64_t one = 1;

    (void)!write(b->fd, &one, sizeof(one)); /* fails only when it was rung 2^64 times */
}
