/* certs: what ca, mint, trust and the nodes' certificates all need of X.509. Nothing here keeps state. */
#ifndef NODE_TLS_CERTS_H
#define NODE_TLS_CERTS_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "node/base/clock.h"
#include "node/base/span.h"

/* Room for a sentence about what is wrong, where, and what to do. */
#define CERTS_WHY_BYTES 512

#define CERTS_NO_TIME INT64_MIN

/* CERTS_NO_TIME when it is not a time. */
wall_ms certs_wall(const ASN1_TIME *);

/* Something has this name, be it a dangling link. */
bool certs_exists(const char *path);

/* All certificates of a PEM file, in order; what is not a certificate is passed over, what is a broken one is an error. NULL: `why` says what is wrong. The
 * caller owns them (sk_X509_pop_free). Blocks on the disk. */
STACK_OF(X509) * certs_read(const char *path, char *why, size_t why_bytes);

/* A whole file of at most `max` bytes, owned by the caller, a NUL behind it. NULL: `why` says what is wrong. With
 * `secret`, a file that others than its owner may touch is refused. Blocks on the disk. */
char *certs_slurp(const char *path, size_t max, bool secret, size_t *n, char *why, size_t why_bytes);

/* A whole new file: written to a temporary name beside it (O_EXCL, 0600), brought to the disk, renamed. Without `overwrite`
 * a file that is there stays, and that is a failure. 0 or -1. Blocks on the disk. */
int certs_write(const char *path, const void *bytes, size_t n, mode_t mode, bool overwrite, char *why,
		size_t why_bytes);

/* SHA-256 of the whole certificate (what people compare). */
void certs_fingerprint(const X509 *, uint8_t out[32]);

/* The first reason of OpenSSL's error queue in words; the queue is empty afterwards, as SSL_get_error wants it. */
const char *certs_error(void);

/* --- PEM files of one thing each. Block on the disk. --- */

/* A private key without a pass phrase, in a file that its owner alone may touch; owned by the caller. NULL: `why` says what is wrong. */
EVP_PKEY *certs_read_key(const char *path, char *why, size_t why_bytes);
/* As PKCS#8, 0600. 0 or -1. */
int certs_write_key(const char *path, EVP_PKEY *, bool overwrite, char *why, size_t why_bytes);
/* 0644. 0 or -1. */
int certs_write_cert(const char *path, X509 *, bool overwrite, char *why, size_t why_bytes);

/* --- Parts of a certificate that is being made. What goes in is ours: a failure is want of memory, or our bug, and aborts. --- */

#define CERTS_CN_MAX 64 /* ub-common-name */

void certs_put_serial(X509 *); /* random */
void certs_put_dates(X509 *, wall_ms not_before, wall_ms not_after);
/* Cut to CERTS_CN_MAX bytes. False: it is not UTF-8. */
bool certs_put_common_name(X509_NAME *, struct span cn);
X509_EXTENSION *certs_make_ext(int nid,
			       const char *value); /* in OpenSSL's words: "critical,CA:FALSE"; owned by the caller */
void certs_put_ext(X509 *, int nid, const char *value);
void certs_put_ski(X509 *);     /* subject key id; the key must be in */
void certs_put_own_aki(X509 *); /* authority key id of one that is issued by itself */
X509_EXTENSION *
certs_aki_of(X509 *); /* … of what this one issues, owned by the caller; NULL when it has no subject key id */

/* CA:TRUE and keyCertSign. */
bool certs_may_sign(X509 *);

#endif
