/* app/link.h - the doors' peer links: options, secret, carriers.
 *
 * Purpose  every door has a link when -link.secret-file or -link.insecure is set: I/O workers over their queue, the
 *          control thread over a kernel socket, which also takes requests where there is no port.
 * Owner    the main thread creates and destroys; a link belongs to its door's thread in between.
 * Context  cold but for poll and rest_us, which the control thread calls every turn.
 * Units    -
 * Errors   a negative pw_err, a sentence in *why.
 * Limits   base/limits.h.
 *
 * Order: create each door's link, then its distributor, then bind the carriers; destroy links after the polling
 * threads returned.
 */
#ifndef PW_APP_LINK_H
#define PW_APP_LINK_H

#include "base/err.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

struct pw_app;
struct pw_config;

bool pw_app_link_on(const struct pw_config *cfg);
/* UDP ports in a row from -link.port that this many workers receive on. */
uint16_t pw_app_link_ports(uint32_t workers);

/* door->link; nothing when links are off. */
PW_MUST_USE int pw_app_link_create_ctl(struct pw_app *app, uint32_t door, struct pw_text *why);
/* Worker d carries the link of door d. */
PW_MUST_USE int pw_app_link_bind_worker_ctl(struct pw_app *app, uint32_t d);
/* The control thread's socket. */
PW_MUST_USE int pw_app_link_bind_control_ctl(struct pw_app *app, struct pw_text *why);
void pw_app_link_destroy_ctl(struct pw_app *app);

/* Control thread: the socket, and neighbours that workers want. */
uint32_t pw_app_link_poll(struct pw_app *app, uint64_t now_tsc);
uint32_t pw_app_link_rest_us(const struct pw_app *app, uint64_t now_tsc);
/* Readable when poll has something to take in; -1: there is no socket. */
int pw_app_link_fd(const struct pw_app *app);
/* Peers hear that we go; each door's thread says so in its next turn. */
void pw_app_link_leave_ctl(struct pw_app *app);

void pw_app_link_metrics(struct pw_app *app, struct pw_text *out);

#endif
