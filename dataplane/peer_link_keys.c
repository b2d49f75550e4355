/* Keys (peer_link.md, "Keys"): HKDF-SHA256 (RFC 5869) of the shared secret, by libcrypto, at handshakes and
 * at the turn of an epoch alone. */
#include "dataplane/peer_link_priv.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

enum { KEY_AND_IV_BYTES = PW_LINK_KEY_BYTES + PW_LINK_NONCE_BYTES };

static int
hkdf(const struct pw_link *l, struct pw_slice salt, struct pw_slice secret, const char *info,
     uint8_t *dst, size_t n)
{
    EVP_KDF_CTX *c = EVP_KDF_CTX_new(l->kdf);
    OSSL_PARAM p[5];
    size_t i = 0;
    int ok = 0;

    if (c != NULL) {
        p[i++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                                  (char *)(uintptr_t) "SHA256", 0);
        p[i++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
                                                   (void *)(uintptr_t)secret.ptr, secret.len);
        p[i++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info,
                                                   strlen(info));
        if (salt.len > 0) {
            p[i++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
                                                       (void *)(uintptr_t)salt.ptr, salt.len);
        }
        p[i] = OSSL_PARAM_construct_end();
        ok = EVP_KDF_derive(c, dst, n, p);
    }
    EVP_KDF_CTX_free(c);
    return ok == 1 ? 0 : PW_ENOMEM;
}

/* Key and nonce mask of an epoch; the secret becomes the next epoch's. */
static int
epoch_keys(struct pw_link *l, uint8_t secret[PW_LINK_SECRET_BYTES], bool seals,
           struct pw_link_key *out)
{
    const struct pw_slice now = pw_slice(secret, PW_LINK_SECRET_BYTES);
    uint8_t bytes[KEY_AND_IV_BYTES];
    uint8_t next[PW_LINK_SECRET_BYTES];
    int rc = hkdf(l, pw_slice(NULL, 0), now, "pyrowire link 1 key", bytes, sizeof(bytes));

    rc = rc != 0 ? rc : hkdf(l, pw_slice(NULL, 0), now, "pyrowire link 1 next", next, sizeof(next));
    if (rc == 0) {
        void *key = l->aead.key(l->aead.ctx, bytes, seals);

        rc = key == NULL ? PW_ENOMEM : 0;
        if (rc == 0) {
            l->aead.drop(l->aead.ctx, out->key);
            out->key = key;
            memcpy(out->iv, bytes + PW_LINK_KEY_BYTES, PW_LINK_NONCE_BYTES);
            memcpy(secret, next, sizeof(next));
        }
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    OPENSSL_cleanse(next, sizeof(next));
    return rc;
}

int
pw_link_keys_init_ctl(struct pw_link *l, struct pw_slice secret)
{
    uint8_t key[PW_LINK_KEY_BYTES];
    int rc;

    l->kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    if (l->kdf == NULL) {
        return PW_ENOTSUP;
    }
    rc = hkdf(l, pw_slice(NULL, 0), secret, "pyrowire link 1 root", l->root, sizeof(l->root));
    rc = rc != 0 ? rc
                 : hkdf(l, pw_slice(NULL, 0), pw_slice(l->root, sizeof(l->root)),
                        "pyrowire link 1 hello", key, sizeof(key));
    if (rc == 0) {
        l->hello_seal = l->aead.key(l->aead.ctx, key, true);
        l->hello_open = l->aead.key(l->aead.ctx, key, false);
        rc = l->hello_seal == NULL || l->hello_open == NULL ? PW_ENOMEM : 0;
    }
    OPENSSL_cleanse(key, sizeof(key));
    return rc;
}

void
pw_link_keys_fini_ctl(struct pw_link *l)
{
    l->aead.drop(l->aead.ctx, l->hello_seal);
    l->aead.drop(l->aead.ctx, l->hello_open);
    EVP_KDF_free(l->kdf);
    OPENSSL_cleanse(l->root, sizeof(l->root));
}

int
pw_link_keys_session(struct pw_link *l, struct pw_link_session *s)
{
    const struct pw_slice root = pw_slice(l->root, sizeof(l->root));
    const char *tx = s->client ? "pyrowire link 1 client" : "pyrowire link 1 server";
    const char *rx = s->client ? "pyrowire link 1 server" : "pyrowire link 1 client";
    uint8_t nonces[2 * PW_LINK_SECRET_BYTES];
    int rc;

    memcpy(nonces, s->client_nonce, PW_LINK_SECRET_BYTES);
    memcpy(nonces + PW_LINK_SECRET_BYTES, s->server_nonce, PW_LINK_SECRET_BYTES);
    s->tx.epoch = 0;
    s->rx.epoch = 0;
    rc = hkdf(l, pw_slice(nonces, sizeof(nonces)), root, tx, s->tx.next_secret,
              PW_LINK_SECRET_BYTES);
    rc = rc != 0 ? rc
                 : hkdf(l, pw_slice(nonces, sizeof(nonces)), root, rx, s->rx.next_secret,
                        PW_LINK_SECRET_BYTES);
    rc = rc != 0 ? rc : epoch_keys(l, s->tx.next_secret, true, &s->tx.key);
    /* The next epoch's too, so that no packet that is not authentic makes us derive anything. */
    rc = rc != 0 ? rc : epoch_keys(l, s->rx.next_secret, false, &s->rx.slot[0]);
    rc = rc != 0 ? rc : epoch_keys(l, s->rx.next_secret, false, &s->rx.slot[1]);
    if (rc != 0) {
        pw_link_keys_drop(l, s);
    }
    return rc;
}

int
pw_link_keys_next_tx(struct pw_link *l, struct pw_link_session *s)
{
    int rc = epoch_keys(l, s->tx.next_secret, true, &s->tx.key);

    if (rc == 0) {
        s->tx.epoch++;
        l->stat[PW_LINK_STAT_EPOCHS]++;
    }
    return rc;
}

int
pw_link_keys_next_rx(struct pw_link *l, struct pw_link_session *s)
{
    int rc = epoch_keys(l, s->rx.next_secret, false, &s->rx.slot[(s->rx.epoch + 2) % 3]);

    s->rx.epoch += rc == 0 ? 1 : 0;
    return rc;
}

void
pw_link_keys_drop(struct pw_link *l, struct pw_link_session *s)
{
    l->aead.drop(l->aead.ctx, s->tx.key.key);
    for (uint32_t i = 0; i < 3; i++) {
        l->aead.drop(l->aead.ctx, s->rx.slot[i].key);
    }
    OPENSSL_cleanse(&s->tx, sizeof(s->tx));
    OPENSSL_cleanse(&s->rx, sizeof(s->rx));
}

/* By whole words: a word put together from parts in memory would wait until all that was written before it is out. */
void
pw_link_nonce(const struct pw_link_key *k, uint64_t pn, uint8_t nonce[PW_LINK_NONCE_BYTES])
{
    uint64_t low;

    static_assert(PW_LINK_NONCE_BYTES == 12, "the layout below");
    memcpy(nonce, k->iv, 4);
    memcpy(&low, k->iv + 4, 8);
    low ^= __builtin_bswap64(pn);
    memcpy(nonce + 4, &low, 8);
}
