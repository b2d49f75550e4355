#include "app/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TLS_NAMES_BYTES = 2048 };

struct pw_tls {
    SSL_CTX *ctx; /* for both ends */
    bool verify;
    char *server_name; /* "" none */
};

static const char *
reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    return text == NULL ? "unreadable" : text;
}

static int
refuse(const struct pw_tls_cfg *cfg, const char *flag, const char *value, const char *err,
       struct pw_text *why)
{
    pw_text_printf(why, "-%s%s %s: %s", cfg->flags, flag, value, err);
    return PW_EINVAL;
}

/* --- Versions and cipher suites ------------------------------------------------------------------- */

static int
set_version(SSL_CTX *ctx, const struct pw_tls_cfg *cfg, struct pw_text *why)
{
    static const struct {
        const char *name;
        int version;
    } known[] = {{"", TLS1_2_VERSION},
                 {"VersionTLS10", TLS1_VERSION},
                 {"VersionTLS11", TLS1_1_VERSION},
                 {"VersionTLS12", TLS1_2_VERSION},
                 {"VersionTLS13", TLS1_3_VERSION}};

    for (size_t i = 0; i < PW_ARRAY_LEN(known); i++) {
        if (strcmp(cfg->min_version, known[i].name) != 0) {
            continue;
        }
        if (known[i].version < TLS1_2_VERSION) { /* their MD5 and SHA-1 are below level 1 */
            SSL_CTX_set_security_level(ctx, 0);
        }
        return SSL_CTX_set_min_proto_version(ctx, known[i].version) == 1 ? 0 : PW_ENOMEM;
    }
    return refuse(cfg, "min-version", cfg->min_version,
                  "must be VersionTLS10, VersionTLS11, VersionTLS12 or VersionTLS13", why);
}

/* Adds one suite by OpenSSL's name. Those of TLS 1.3 are always there, as in stock. */
static int
add_suite(struct pw_text *list, const char *name, const struct pw_tls_cfg *cfg, struct pw_text *why)
{
    const char *own = OPENSSL_cipher_name(name);

    if (strcmp(own, "(NONE)") == 0) {
        return refuse(cfg, "cipher-suites", name, "no cipher suite that is known here", why);
    }
    if (strncmp(own, "TLS_", 4) != 0) {
        pw_text_printf(list, "%s%s", list->len > 0 ? ":" : "", own);
    }
    return 0;
}

static int
set_suites(SSL_CTX *ctx, const struct pw_tls_cfg *cfg, struct pw_text *why)
{
    char names[TLS_NAMES_BYTES], bytes[TLS_NAMES_BYTES];
    struct pw_text list;
    char *rest = names;
    int rc = 0;

    if (cfg->cipher_suites[0] == 0) {
        return 0;
    }
    if ((size_t)snprintf(names, sizeof(names), "%s", cfg->cipher_suites) >= sizeof(names)) {
        return refuse(cfg, "cipher-suites", "", "too long", why);
    }
    pw_text_fixed(&list, bytes, sizeof(bytes) - 1);
    for (char *name; rc == 0 && (name = strsep(&rest, ",")) != NULL;) {
        rc = add_suite(&list, name + strspn(name, " "), cfg, why);
    }
    if (rc != 0) {
        return rc;
    }
    bytes[list.len] = 0;
    if (list.len == 0) {
        return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 ? 0 : PW_ENOMEM;
    }
    if (list.failed || SSL_CTX_set_cipher_list(ctx, bytes) != 1) {
        return refuse(cfg, "cipher-suites", cfg->cipher_suites, reason(), why);
    }
    return 0;
}

/* --- Files ---------------------------------------------------------------------------------------- */

/* Nobody is there to be asked for a passphrase. */
static int
no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf, (void)size, (void)writing, (void)ctx;
    return 0;
}

/* Fails where the file cannot be read, with the text of errno. */
static int
can_read(const struct pw_tls_cfg *cfg, const char *flag, const char *path, struct pw_text *why)
{
    FILE *f = fopen(path, "re");

    if (f == NULL) {
        return refuse(cfg, flag, path, strerror(errno), why);
    }
    fclose(f);
    return 0;
}

static int
read_key(const struct pw_tls_cfg *cfg, EVP_PKEY **key, struct pw_text *why)
{
    FILE *f = fopen(cfg->key_path, "re");

    if (f == NULL) {
        return refuse(cfg, "key-path", cfg->key_path, strerror(errno), why);
    }
    *key = PEM_read_PrivateKey(f, NULL, no_passphrase, NULL);
    fclose(f);
    return *key != NULL ? 0 : refuse(cfg, "key-path", cfg->key_path, reason(), why);
}

static int
load_own(SSL_CTX *ctx, const struct pw_tls_cfg *cfg, struct pw_text *why)
{
    EVP_PKEY *key = NULL;
    int rc;

    if (cfg->cert_path[0] == 0 || cfg->key_path[0] == 0) {
        pw_text_printf(why, "-%s%s is needed: who dials us expects a certificate", cfg->flags,
                       cfg->cert_path[0] == 0 ? "cert-path" : "key-path");
        return PW_EINVAL;
    }
    rc = can_read(cfg, "cert-path", cfg->cert_path, why);
    if (rc == 0 && SSL_CTX_use_certificate_chain_file(ctx, cfg->cert_path) != 1) {
        rc = refuse(cfg, "cert-path", cfg->cert_path, reason(), why);
    }
    rc = rc != 0 ? rc : read_key(cfg, &key, why);
    if (rc == 0 && X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1) {
        rc = refuse(cfg, "key-path", cfg->key_path, "not the key of that certificate", why);
    }
    if (rc == 0 && SSL_CTX_use_PrivateKey(ctx, key) != 1) {
        rc = refuse(cfg, "key-path", cfg->key_path, reason(), why);
    }
    EVP_PKEY_free(key);
    return rc;
}

static int
load_trusted(SSL_CTX *ctx, const struct pw_tls_cfg *cfg, struct pw_text *why)
{
    int rc;

    if (cfg->ca_path[0] == 0) {
        return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : PW_ENOMEM;
    }
    rc = can_read(cfg, "ca-path", cfg->ca_path, why);
    if (rc == 0 && SSL_CTX_load_verify_file(ctx, cfg->ca_path) != 1) {
        rc = refuse(cfg, "ca-path", cfg->ca_path, reason(), why);
    }
    return rc;
}

/* --- Life ----------------------------------------------------------------------------------------- */

/* Each connection shakes hands anew: they are short, and a ticket that reaches who has closed already resets
 * the connection. */
static void
set_manners(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    /* Who is in the file is trusted, with no need of who signed that. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
}

int
pw_tls_open_ctl(struct pw_tls **tls, const struct pw_tls_cfg *cfg, struct pw_text *why)
{
    struct pw_tls *t = calloc(1, sizeof(*t));
    int rc;

    *tls = NULL;
    if (t == NULL || (t->server_name = strdup(cfg->server_name)) == NULL ||
        (t->ctx = SSL_CTX_new(TLS_method())) == NULL) {
        pw_tls_close_ctl(t);
        return PW_ENOMEM;
    }
    t->verify = !cfg->insecure_skip_verify;
    set_manners(t->ctx);
    rc = set_version(t->ctx, cfg, why);
    rc = rc != 0 ? rc : set_suites(t->ctx, cfg, why);
    rc = rc != 0 ? rc : load_own(t->ctx, cfg, why);
    rc = rc != 0 ? rc : load_trusted(t->ctx, cfg, why);
    ERR_clear_error();
    if (rc != 0) {
        pw_tls_close_ctl(t);
        return rc;
    }
    *tls = t;
    return 0;
}

void
pw_tls_close_ctl(struct pw_tls *t)
{
    if (t != NULL) {
        SSL_CTX_free(t->ctx);
        free(t->server_name);
        free(t);
    }
}

/* --- Connections ---------------------------------------------------------------------------------- */

SSL *
pw_tls_accept(const struct pw_tls *t)
{
    SSL *ssl = SSL_new(t->ctx);

    if (ssl != NULL) {
        SSL_set_accept_state(ssl);
    }
    return ssl;
}

/* RFC 6125: the name, or the address, must be one of the certificate's alternative names; its subject's common
 * name does not count. */
static bool
expect(SSL *ssl, const char *name)
{
    uint8_t ip[16];

    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    return SSL_set1_host(ssl, name) == 1;
}

static bool
is_name(const char *name)
{
    uint8_t ip[16];

    return name[0] != 0 && inet_pton(AF_INET, name, ip) != 1 && inet_pton(AF_INET6, name, ip) != 1;
}

SSL *
pw_tls_dial(const struct pw_tls *t, const char *address)
{
    const char *name = t->server_name[0] != 0 ? t->server_name : address;
    SSL *ssl = SSL_new(t->ctx);
    bool ok = ssl != NULL;

    if (ok) {
        SSL_set_connect_state(ssl);
        ok = !t->verify || expect(ssl, name);
    }
    ok = ok && (!is_name(name) || SSL_set_tlsext_host_name(ssl, name) == 1);
    if (!ok) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}
