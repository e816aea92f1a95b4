/* ca: the signing CA of the bump. The only module that sees the signing key: it takes names and a public key and gives
 * back a certificate, so that it can move to a process of its own.
 *
 * Files are PEM. The certificate file may be a chain: the signing certificate first, then those that issued it; with an
 * intermediate per edge, clients trust the organisation's root only. The key file must belong to its owner alone.
 *
 * Functions with `why` return NULL or -1 on failure and leave a sentence there: what, where, what to do. They read and
 * write files, hence belong to the start, to the control program, or to a worker; ca_sign and the getters do not block. */
#ifndef NODE_TLS_CA_H
#define NODE_TLS_CA_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/reason.h"
#include "node/base/span.h"

#define CA_WHY_BYTES 512
#define CA_LIFE_DAYS 3650
#define CA_P12_PASSWORD "changeit" /* what Java expects of a trust store; the store holds nothing secret */

struct ca;

struct ca_settings {
	const char *cert_path, *key_path;
	const char *common_name; /* NULL: "pmcache CA <host name>"; cut to 64 bytes */
	int life_days;           /* 0: CA_LIFE_DAYS */
	/* Name constraints (RFC 5280 §4.2.1.10), critical: the CA is good for these domains and the names below them, and for
	 * no address at all. None: no constraints. */
	const char *const *permit_dns;
	size_t n_permit_dns;
	bool overwrite; /* replace files that are there */
};

/* Makes key and certificate: P-256, path length 0, 0600 and 0644. 0 or -1. Existing files stay unless `overwrite`. */
int ca_create(const struct ca_settings *, wall_ms now, char *why, size_t why_bytes);

/* Checks that the key fits, that it is a CA and within its dates, and that nobody else may read the key. On success `why` is
 * empty, or holds a warning (less than 30 days left). One reference, owned by the caller. */
struct ca *ca_open(const char *cert_path, const char *key_path, wall_ms now, char *why, size_t why_bytes);
struct ca *ca_ref(struct ca *);
void ca_unref(struct ca **); /* clears it; the last one frees. Any thread. */

/* Everything below, up to ca_chain: any thread. */

/* The name (as names_san gives it) is within the CA's name constraints. */
bool ca_permits(const struct ca *, const char *san);

struct ca_ask {
	EVP_PKEY *pkey;          /* the leaf's key; only its public half is used */
	const char *const *sans; /* as names_san gives them; at least one */
	size_t n_sans;
	struct span subject; /* DER of a whole subject; SPAN_NONE or not DER: CN = first name, cut to 64 bytes */
	wall_ms not_before; /* may be before the CA's own, where a certificate is mimicked: no client compares the two */
	wall_ms not_after;  /* clamped to the CA's own */
};

/* A server certificate, own random serial, owned by the caller (X509_free). NULL only when OpenSSL refuses. */
X509 *ca_sign(const struct ca *, const struct ca_ask *);

/* The same certificates, in the same order; then it is the same key, too. */
bool ca_same(const struct ca *, const struct ca *);

const uint8_t *ca_fingerprint(const struct ca *); /* SHA-256 of the signing certificate, 32 bytes */
wall_ms ca_not_before(const struct ca *);
wall_ms ca_not_after(const struct ca *); /* the earliest end in the chain */

/* What a server sends behind a leaf: the chain without a self-signed root; may be empty. Borrowed. */
STACK_OF(X509) * ca_chain(const struct ca *);

/* --- What is public. These take the certificate's path, so that anybody may use them who cannot read the key. --- */

struct ca_about {
	char subject[256];  /* "CN=pmcache CA host" */
	char permits[1024]; /* "example.com example.org", empty without constraints; cut when longer */
	uint8_t fingerprint[32];
	wall_ms not_before, not_after;
	bool is_root; /* self-signed */
};

int ca_describe(const char *cert_path, struct ca_about *, char *why, size_t why_bytes);

enum ca_format { CA_PEM, CA_DER, CA_P12 };

/* The certificate that clients are to trust: the last of the file (the root, when there is a chain). CA_P12 is a Java trust
 * store with it as a trusted entry. Bytes are owned by the caller (free). NULL on failure. */
uint8_t *ca_export(const char *cert_path, enum ca_format, size_t *n, char *why, size_t why_bytes);

/* System roots and our CA in one PEM file, for clients whose CA setting replaces the system's store. 0 or -1. Written to a
 * temporary name and renamed, 0644. */
int ca_bundle(const char *system_bundle, const char *cert_path, const char *out_path, char *why, size_t why_bytes);

/* Any PEM bundle as a Java trust store (PKCS#12, CA_P12_PASSWORD, all entries trusted). 0 or -1. */
int ca_truststore(const char *bundle_path, const char *out_path, char *why, size_t why_bytes);

#endif
