/* trust: which upstream certificates we believe, why not, and what they said.
 *
 * The policy: TLS 1.2 or newer; keys and signatures of at least 112 bits (RSA 2048, no SHA-1, no MD5); the host's name in
 * a subjectAltName, never in the common name; a wildcard is a whole first label and stands for one label of a name of three
 * labels or more (RFC 9525 §6.3); an address needs an iPAddress entry. A server that forgets its intermediate is of an
 * unknown issuer: nothing is fetched to repair that. */
#ifndef NODE_TLS_TRUST_H
#define NODE_TLS_TRUST_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "node/base/reason.h"
#include "node/tls/names.h"

#define TRUST_SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define TRUST_WHY_BYTES 512

/* The roots: the system's, and those of `ca_file` besides ("system" or NULL: none besides). SSL_CERT_FILE and the like are
 * ignored, since on our hosts they name a bundle with our own CA. NULL: ca_file is no good, `why` says so. On success
 * `why` is empty, or holds a warning (the system has no roots). Shared by all loops; one reference, owned by the caller
 * (X509_STORE_free). Blocks on the disk. */
X509_STORE *trust_new(const char *ca_file, char *why, size_t why_bytes);
/* The same with another file for the system's roots. */
X509_STORE *trust_new_over(const char *system_bundle, const char *ca_file, char *why, size_t why_bytes);

/* Makes this client connection verify its peer by the policy above. `host` as names_host gives it. Does not set SNI. -1 when
 * the host is no good for OpenSSL. */
int trust_configure(SSL *, const char *host, bool is_ip);

/* SSL_get_verify_result in our words; `cert` (may be NULL) is the peer's own certificate. REASON_NONE for X509_V_OK. */
enum reason trust_reason(long verify_result, X509 *cert);

/* What a certificate says, for the mint to mimic. Owned by the caller (names_origin_unref). Never NULL; names that are no
 * host names are left out. */
struct origin_cert *trust_describe(X509 *cert);

#endif
