/* dataplane/peer_link_aead.h - AES-128-GCM of a peer link, whoever computes it.
 *
 * Purpose  one door to DPDK's cryptodev (hot path), libcrypto (tests without EAL, machines without the
 *          driver) and to no cipher at all (-link.insecure).
 * Owner    one link; keys belong to whom they were given.
 * Context  create, key, drop: cold, once a session. seal, open: hot, no allocation.
 * Units    bytes.
 * Errors   key: NULL. open: false when the tag does not fit, the bytes are then garbage.
 * Limits   keys_max at creation. A key either seals or opens.
 */
#ifndef PW_DATAPLANE_PEER_LINK_AEAD_H
#define PW_DATAPLANE_PEER_LINK_AEAD_H

#include "base/err.h"
#include "base/types.h"

enum {
    PW_LINK_KEY_BYTES = 16,
    PW_LINK_NONCE_BYTES = 12,
    PW_LINK_TAG_BYTES = 16,
    PW_LINK_AAD_BYTES = 16, /* always: cryptodev fixes it with the key */
};

struct pw_link_aead {
    const char *name;
    void *ctx;
    void *(*key)(void *ctx, const uint8_t key[PW_LINK_KEY_BYTES], bool seals);
    void (*drop)(void *ctx, void *key); /* NULL is no key */
    /* bytes[0..len) in place; the tag goes to or is behind them. */
    void (*seal)(void *ctx, void *key, const uint8_t nonce[PW_LINK_NONCE_BYTES],
                 struct pw_slice aad, uint8_t *bytes, size_t len);
    bool (*open)(void *ctx, void *key, const uint8_t nonce[PW_LINK_NONCE_BYTES],
                 struct pw_slice aad, uint8_t *bytes, size_t len);
    void (*destroy)(void *ctx); /* after every key was dropped */
};

/* The driver crypto_aesni_gcm, synchronous (EAL runs). PW_ENOTSUP: DPDK has no such driver here. */
PW_MUST_USE int pw_link_aead_cryptodev_ctl(struct pw_link_aead *a, uint32_t keys_max);
PW_MUST_USE int pw_link_aead_libcrypto_ctl(struct pw_link_aead *a, uint32_t keys_max);
/* No cipher; the tag is a CRC-32C of everything and twelve zeros. Authenticates nothing. */
void pw_link_aead_plain_ctl(struct pw_link_aead *a);

#endif
