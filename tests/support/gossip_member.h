/* tests/support/gossip_member.h - members of a gossip with real sockets, threads and all, in one process.
 * Waits end when what is waited for is there; MEMBER_HANG_S is how long a hang is borne. */
#ifndef PW_TESTS_GOSSIP_MEMBER_H
#define PW_TESTS_GOSSIP_MEMBER_H

#include "app/gossip_priv.h"

enum { MEMBER_HANG_S = 25 };

struct member {
    struct pw_app app;
    struct pw_config cfg;
};

/* With options beside those that all have; NULL ends them. */
struct member *member_start(const char *name, const char *const *options);
/* NULL, with why: it does not start. */
struct member *member_try(const char *name, const char *const *options, struct pw_text *why);
void member_end(struct member *m);

uint16_t member_port(const struct member *m);
uint32_t member_count(struct member *m, enum pw_ml_state state);
bool member_has_instance(struct member *m, const char *id);
void member_add_instance(struct member *m, const char *id);

/* Polls until it is true; the test fails when it hangs. */
void member_wait(bool (*is)(void *ctx), void *ctx);
void member_wait_count(struct member *m, enum pw_ml_state state, uint32_t n);
void member_wait_joined(struct member *m);
void member_wait_instance(struct member *m, const char *id);

/* Three that were told of one another become one cluster and one store. */
void member_check_three(struct member *a, struct member *b, struct member *c);
/* Skips the test where the host has no ::1. */
void member_need_ip6(void);

/* A blocking socket connected to 127.0.0.1. */
int member_connect(uint16_t port);

#endif
