/* sign: Ed25519 signatures over purges, so that who may serve a cluster's objects cannot wipe them. The key is the administrator's: it
 * is on parents and with `pmcachectl`, never on edges. */
#ifndef NODE_TLS_SIGN_H
#define NODE_TLS_SIGN_H

#include <stdint.h>

#include "node/base/span.h"

#define SIGN_BYTES 64
#define SIGN_PUBLIC_BYTES 32

struct sign_key;

/* Makes a pair: the private key (PEM, 0600) and the public one (PEM). Neither file may be there. 0 or -1 with a sentence in why. Block on
 * the disk, as do the next two. */
int sign_make(const char *key_path, const char *public_path, char *why, size_t why_bytes);
/* NULL with a sentence in why. */
struct sign_key *sign_open(const char *key_path, char *why, size_t why_bytes);
int sign_read_public(const char *public_path, uint8_t out[SIGN_PUBLIC_BYTES], char *why, size_t why_bytes);
void sign_free(struct sign_key *); /* wiped; harmless on NULL */

void sign_public(const struct sign_key *, uint8_t out[SIGN_PUBLIC_BYTES]);
void sign_bytes(const struct sign_key *, struct span, uint8_t out[SIGN_BYTES]);
bool sign_fits(const uint8_t pub[SIGN_PUBLIC_BYTES], struct span, const uint8_t signature[SIGN_BYTES]);

#endif
