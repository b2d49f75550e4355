/* The synchronous call of cryptodev (22.11 calls it CPU crypto, and still experimental): no queue, no
 * operation objects, no mbufs; a burst of one costs what the cipher costs. */
#define ALLOW_EXPERIMENTAL_API
#include "base/check.h"
#include "dataplane/peer_link_aead.h"

#include <rte_cryptodev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_mempool.h>

#include <stdio.h>
#include <stdlib.h>

static const char driver[] = "crypto_aesni_gcm";

struct cryptodev {
    uint8_t dev;
    struct rte_mempool *sessions;
};

/* The process's one device of the driver, started; links share it, since synchronous calls use no queue. */
static int
device_ctl(uint8_t *dev)
{
    int id = rte_cryptodev_get_dev_id(driver);

    if (id < 0) {
        if (rte_eal_hotplug_add("vdev", driver, "max_nb_queue_pairs=1") != 0) {
            return PW_ENOTSUP;
        }
        id = rte_cryptodev_get_dev_id(driver);
    }
    if (id < 0) {
        return PW_ENOTSUP;
    }
    struct rte_cryptodev_info info;
    struct rte_cryptodev_config conf = {.socket_id = (int)rte_socket_id(), .nb_queue_pairs = 1};

    rte_cryptodev_info_get((uint8_t)id, &info);
    if ((info.feature_flags & RTE_CRYPTODEV_FF_SYM_CPU_CRYPTO) == 0) {
        return PW_ENOTSUP;
    }
    *dev = (uint8_t)id;
    return rte_cryptodev_configure((uint8_t)id, &conf) == 0 ? 0 : PW_ENOTSUP;
}

static void *
cryptodev_key(void *ctx, const uint8_t key[PW_LINK_KEY_BYTES], bool seals)
{
    struct cryptodev *c = ctx;
    struct rte_crypto_sym_xform xform = {
        .type = RTE_CRYPTO_SYM_XFORM_AEAD,
        .aead = {.op = seals ? RTE_CRYPTO_AEAD_OP_ENCRYPT : RTE_CRYPTO_AEAD_OP_DECRYPT,
                 .algo = RTE_CRYPTO_AEAD_AES_GCM,
                 .key = {.data = key, .length = PW_LINK_KEY_BYTES},
                 .iv = {.offset = 0, .length = PW_LINK_NONCE_BYTES},
                 .digest_length = PW_LINK_TAG_BYTES,
                 .aad_length = PW_LINK_AAD_BYTES}};

    return rte_cryptodev_sym_session_create(c->dev, &xform, c->sessions);
}

static void
cryptodev_drop(void *ctx, void *key)
{
    struct cryptodev *c = ctx;

    if (key != NULL) {
        (void)rte_cryptodev_sym_session_free(c->dev, key);
    }
}

static bool
process(const struct cryptodev *c, void *key, const uint8_t *nonce, struct pw_slice aad,
        uint8_t *bytes, size_t len)
{
    struct rte_crypto_vec data = {.base = bytes, .len = (uint32_t)len};
    struct rte_crypto_sgl sgl = {.vec = &data, .num = 1};
    struct rte_crypto_va_iova_ptr iv = {.va = (void *)(uintptr_t)nonce};
    struct rte_crypto_va_iova_ptr digest = {.va = bytes + len};
    struct rte_crypto_va_iova_ptr add = {.va = (void *)(uintptr_t)aad.ptr};
    int32_t status = -1;
    struct rte_crypto_sym_vec vec = {
        .num = 1, .src_sgl = &sgl, .iv = &iv, .digest = &digest, .aad = &add, .status = &status};

    return rte_cryptodev_sym_cpu_crypto_process(c->dev, key, (union rte_crypto_sym_ofs){.raw = 0},
                                                &vec) == 1 &&
           status == 0;
}

static void
cryptodev_seal(void *ctx, void *key, const uint8_t nonce[PW_LINK_NONCE_BYTES], struct pw_slice aad,
               uint8_t *bytes, size_t len)
{
    bool ok = process(ctx, key, nonce, aad, bytes, len);

    PW_INVARIANT(ok); /* GCM in memory has no way to fail */
}

static bool
cryptodev_open(void *ctx, void *key, const uint8_t nonce[PW_LINK_NONCE_BYTES], struct pw_slice aad,
               uint8_t *bytes, size_t len)
{
    return process(ctx, key, nonce, aad, bytes, len);
}

static void
cryptodev_destroy(void *ctx)
{
    struct cryptodev *c = ctx;

    rte_mempool_free(c->sessions);
    free(c);
}

int
pw_link_aead_cryptodev_ctl(struct pw_link_aead *a, uint32_t keys_max)
{
    struct cryptodev *c = calloc(1, sizeof(*c));
    char name[RTE_MEMPOOL_NAMESIZE];
    int rc = c == NULL ? PW_ENOMEM : device_ctl(&c->dev);

    if (rc == 0) {
        snprintf(name, sizeof(name), "pw_link_%p", (void *)c);
        c->sessions = rte_cryptodev_sym_session_pool_create(
            name, keys_max, rte_cryptodev_sym_get_private_session_size(c->dev), 0, 0,
            (int)rte_socket_id());
        rc = c->sessions == NULL ? PW_ENOMEM : 0;
    }
    if (rc != 0) {
        free(c);
        return rc;
    }
    *a = (struct pw_link_aead){.name = driver,
                               .ctx = c,
                               .key = cryptodev_key,
                               .drop = cryptodev_drop,
                               .seal = cryptodev_seal,
                               .open = cryptodev_open,
                               .destroy = cryptodev_destroy};
    return 0;
}
