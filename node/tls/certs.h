/* certs: what ca, mint and trust all need of X.509. Nothing here keeps state. */
#ifndef NODE_TLS_CERTS_H
#define NODE_TLS_CERTS_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "node/base/clock.h"

/* Room for a sentence about what is wrong, where, and what to do. */
#define CERTS_WHY_BYTES 512

#define CERTS_NO_TIME INT64_MIN

/* CERTS_NO_TIME when it is not a time. */
wall_ms certs_wall(const ASN1_TIME *);

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

#endif
