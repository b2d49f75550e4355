#include "base/check.h"
#include "base/crc32c.h"
#include "dataplane/peer_link_aead.h"

#include <openssl/evp.h>
#include <stdlib.h>

/* A context with its key schedule; each packet sets the nonce alone, which allocates nothing. */
static void *
libcrypto_key(void *ctx, const uint8_t key[PW_LINK_KEY_BYTES], bool seals)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

    (void)ctx;
    if (c != NULL && EVP_CipherInit_ex(c, EVP_aes_128_gcm(), NULL, key, NULL, seals ? 1 : 0) != 1) {
        EVP_CIPHER_CTX_free(c);
        c = NULL;
    }
    return c;
}

static void
libcrypto_drop(void *ctx, void *key)
{
    (void)ctx;
    EVP_CIPHER_CTX_free(key);
}

static void
libcrypto_seal(void *ctx, void *key, const uint8_t nonce[PW_LINK_NONCE_BYTES], struct pw_slice aad,
               uint8_t *bytes, size_t len)
{
    int n;
    bool ok = EVP_EncryptInit_ex(key, NULL, NULL, NULL, nonce) == 1 &&
              EVP_EncryptUpdate(key, NULL, &n, aad.ptr, (int)aad.len) == 1 &&
              EVP_EncryptUpdate(key, bytes, &n, bytes, (int)len) == 1 &&
              EVP_EncryptFinal_ex(key, bytes + n, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(key, EVP_CTRL_AEAD_GET_TAG, PW_LINK_TAG_BYTES, bytes + len) == 1;

    (void)ctx;
    PW_INVARIANT(ok); /* GCM in memory has no way to fail */
}

static bool
libcrypto_open(void *ctx, void *key, const uint8_t nonce[PW_LINK_NONCE_BYTES], struct pw_slice aad,
               uint8_t *bytes, size_t len)
{
    int n;

    (void)ctx;
    return EVP_DecryptInit_ex(key, NULL, NULL, NULL, nonce) == 1 &&
           EVP_DecryptUpdate(key, NULL, &n, aad.ptr, (int)aad.len) == 1 &&
           EVP_DecryptUpdate(key, bytes, &n, bytes, (int)len) == 1 &&
           EVP_CIPHER_CTX_ctrl(key, EVP_CTRL_AEAD_SET_TAG, PW_LINK_TAG_BYTES, bytes + len) == 1 &&
           EVP_DecryptFinal_ex(key, bytes + n, &n) == 1;
}

static void
nothing_destroy(void *ctx)
{
    (void)ctx;
}

int
pw_link_aead_libcrypto_ctl(struct pw_link_aead *a, uint32_t keys_max)
{
    (void)keys_max;
    *a = (struct pw_link_aead){.name = "libcrypto",
                               .key = libcrypto_key,
                               .drop = libcrypto_drop,
                               .seal = libcrypto_seal,
                               .open = libcrypto_open,
                               .destroy = nothing_destroy};
    return 0;
}

static void *
plain_key(void *ctx, const uint8_t key[PW_LINK_KEY_BYTES], bool seals)
{
    static const char no_key[] = "plain";

    (void)ctx;
    (void)key;
    (void)seals;
    return (void *)(uintptr_t)no_key;
}

static void
plain_drop(void *ctx, void *key)
{
    (void)ctx;
    (void)key;
}

static uint32_t
plain_sum(struct pw_slice aad, const uint8_t *bytes, size_t len)
{
    return pw_crc32c(pw_crc32c(0, aad.ptr, aad.len), bytes, len);
}

static void
plain_seal(void *ctx, void *key, const uint8_t nonce[PW_LINK_NONCE_BYTES], struct pw_slice aad,
           uint8_t *bytes, size_t len)
{
    (void)ctx;
    (void)key;
    (void)nonce;
    memset(bytes + len, 0, PW_LINK_TAG_BYTES);
    pw_store_be32(bytes + len, plain_sum(aad, bytes, len));
}

static bool
plain_open(void *ctx, void *key, const uint8_t nonce[PW_LINK_NONCE_BYTES], struct pw_slice aad,
           uint8_t *bytes, size_t len)
{
    static const uint8_t zeros[PW_LINK_TAG_BYTES - 4];

    (void)ctx;
    (void)key;
    (void)nonce;
    return pw_load_be32(bytes + len) == plain_sum(aad, bytes, len) &&
           memcmp(bytes + len + 4, zeros, sizeof(zeros)) == 0;
}

void
pw_link_aead_plain_ctl(struct pw_link_aead *a)
{
    *a = (struct pw_link_aead){.name = "none",
                               .key = plain_key,
                               .drop = plain_drop,
                               .seal = plain_seal,
                               .open = plain_open,
                               .destroy = nothing_destroy};
}
