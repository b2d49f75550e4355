/* app/tls.h - keys, certificates and rules of TLS, read from files once.
 *
 * Purpose  what every connection in TLS of one purpose shares (app/conduit.h), by options that mean what stock's
 *          of the same names do: one set of them for both ends, who is dialed is verified and who dials is not.
 * Owner    whoever opened it; close it when no conduit of it is left.
 * Context  cold.
 * Units    -
 * Errors   PW_EINVAL with a text that names flag and file; PW_ENOMEM.
 * Limits   TLS_NAMES_BYTES of a list of cipher suites.
 */
#ifndef PW_APP_TLS_H
#define PW_APP_TLS_H

#include "base/err.h"
#include "base/text.h"

struct pw_tls;
struct ssl_st; /* OpenSSL's SSL */

/* Texts are borrowed for the call; "" is not given. */
struct pw_tls_cfg {
    const char *flags; /* what the names of the flags begin with, "memberlist.tls-" */
    const char *cert_path, *key_path;
    const char *ca_path;     /* else what this host trusts */
    const char *server_name; /* in the certificates of who is dialed; else the address dialed */
    bool insecure_skip_verify;
    const char *cipher_suites; /* IANA names by commas, for TLS up to 1.2; else OpenSSL's choice */
    const char *min_version;   /* VersionTLS10 to VersionTLS13; else 1.2 */
};

PW_MUST_USE int pw_tls_open_ctl(struct pw_tls **tls, const struct pw_tls_cfg *cfg,
                                struct pw_text *why);
void pw_tls_close_ctl(struct pw_tls *tls);

/* What one connection needs, without a socket yet; NULL: no memory. For app/conduit.c. */
struct ssl_st *pw_tls_accept(const struct pw_tls *tls);
/* address: text of the IP address that is dialed. */
struct ssl_st *pw_tls_dial(const struct pw_tls *tls, const char *address);

#endif
