#include "store/objstore/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

enum { SHA256_BYTES = 32, CANONICAL_MAX = 16 * 1024, SIGNED_NAMES_MAX = 512 };

static void
hex_of(const uint8_t *bytes, size_t n, char *hex)
{
    for (size_t i = 0; i < n; i++) {
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
}

int
pw_sha256_hex(struct pw_slice data, char *hex)
{
    uint8_t digest[SHA256_BYTES];

    if (EVP_Digest(data.ptr, data.len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return PW_EINVAL;
    }
    hex_of(digest, sizeof(digest), hex);
    return 0;
}

void
pw_sigv4_encode(struct pw_text *out, struct pw_slice raw, bool keep_slash)
{
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t c = raw.ptr[i];
        uint8_t lower = pw_ascii_lower(c);
        bool plain = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.' || c == '~' || (c == '/' && keep_slash);

        if (plain) {
            pw_text_char(out, (char)c);
        } else {
            pw_text_printf(out, "%%%02X", c);
        }
    }
}

static bool
hmac(const void *key, size_t key_len, struct pw_slice data, uint8_t *mac)
{
    return HMAC(EVP_sha256(), key, (int)key_len, data.ptr, data.len, mac, NULL) != NULL;
}

/* The key of a day, a region and a service: an HMAC over each in turn. */
static bool
derive_key(const struct pw_sigv4_key *key, const char *date, uint8_t *mac)
{
    char secret[4 + 256];
    int n = snprintf(secret, sizeof(secret), "AWS4%s", key->secret_access_key);

    return n > 0 && (size_t)n < sizeof(secret) && hmac(secret, (size_t)n, pw_slice(date, 8), mac) &&
           hmac(mac, SHA256_BYTES, pw_slice_str(key->region), mac) &&
           hmac(mac, SHA256_BYTES, pw_slice_str(key->service), mac) &&
           hmac(mac, SHA256_BYTES, PW_SLICE_LIT("aws4_request"), mac);
}

static void
put_canonical_request(const struct pw_sigv4_request *req, struct pw_slice signed_names,
                      struct pw_text *t)
{
    pw_text_printf(t, "%s\n%s\n%s\n", req->method, req->path, req->query);
    for (uint32_t i = 0; i < req->header_count; i++) {
        pw_text_printf(t, "%s:%s\n", req->header[i].name, req->header[i].value);
    }
    pw_text_char(t, '\n');
    pw_text_slice(t, signed_names);
    pw_text_printf(t, "\n%s", req->payload_sha256);
}

int
pw_sigv4_authorization(const struct pw_sigv4_key *key, const struct pw_sigv4_request *req,
                       struct pw_text *out)
{
    uint8_t canonical_buf[CANONICAL_MAX], names_buf[SIGNED_NAMES_MAX], mac[SHA256_BYTES];
    char hash[PW_SHA256_HEX + 1], signature[PW_SHA256_HEX + 1], scope[256];
    struct pw_text canonical, names, to_sign;

    pw_text_fixed(&names, names_buf, sizeof(names_buf));
    for (uint32_t i = 0; i < req->header_count; i++) {
        pw_text_printf(&names, "%s%s", i == 0 ? "" : ";", req->header[i].name);
    }
    pw_text_fixed(&canonical, canonical_buf, sizeof(canonical_buf));
    put_canonical_request(req, pw_slice(names.ptr, names.len), &canonical);
    if (names.failed || canonical.failed) {
        return PW_ENOSPC;
    }
    if (pw_sha256_hex(pw_slice(canonical.ptr, canonical.len), hash) != 0) {
        return PW_EINVAL;
    }
    snprintf(scope, sizeof(scope), "%.8s/%s/%s/aws4_request", req->date, key->region, key->service);
    pw_text_fixed(&to_sign, canonical_buf, sizeof(canonical_buf)); /* its hash is taken */
    pw_text_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n%s\n%s", req->date, scope, hash);
    if (!derive_key(key, req->date, mac) ||
        !hmac(mac, sizeof(mac), pw_slice(to_sign.ptr, to_sign.len), mac)) {
        return PW_EINVAL;
    }
    hex_of(mac, sizeof(mac), signature);
    pw_text_printf(out, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=", key->access_key_id,
                   scope);
    pw_text_put(out, names.ptr, names.len);
    pw_text_printf(out, ", Signature=%s", signature);
    return out->failed ? PW_ENOSPC : 0;
}
