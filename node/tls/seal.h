/* seal: records of TLS 1.3, sealed by us with the key that OpenSSL has agreed on (RFC 8446 §5.2, §5.3).
 *
 * Why not by OpenSSL: it copies what is to be sent into a buffer of its own and seals it there, and the record is copied once more
 * to where the socket sends from. A large hit is little else than copying and AES, so two copies of three are worth saving. OpenSSL
 * offers to hand over its key when the kernel is to seal (SSL_OP_ENABLE_KTLS); stream_tls takes that offer in the kernel's place.
 * Handshake, alerts and tickets stay OpenSSL's; all its records of this key pass through one seal, so that no nonce comes twice.
 *
 * One per connection and direction, for one thread. */
#ifndef NODE_TLS_SEAL_H
#define NODE_TLS_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "node/base/span.h"

#define SEAL_PLAIN_MAX ((size_t)16384)
/* A header of 5 bytes, the type hidden behind the plain text, a tag of 16. */
#define SEAL_OVERHEAD ((size_t)22)

struct seal;

/* From the kernel's struct tls_crypto_info (linux/tls.h), as OpenSSL hands it over. NULL when it is not of TLS 1.3 or of a cipher
 * that we do not know: OpenSSL then seals as ever. The caller owns it. */
struct seal *seal_new(const void *crypto_info);
/* Wipes the key, clears *s; NULL inside is harmless. */
void seal_free(struct seal **s);

/* Seals at most SEAL_PLAIN_MAX bytes as one record of that content type into to, which has SEAL_OVERHEAD bytes more room and may not
 * overlap plain. The record's length, or 0 when the cipher failed or the numbers of its records have run out: nothing may be sent
 * any more. */
size_t seal_record(struct seal *, uint8_t type, struct span plain, char *to);

#endif
