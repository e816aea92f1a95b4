/* hello: the TLS ClientHello, read without TLS (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301).
 *
 * Tells, before a byte is answered, whether a client speaks TLS at all, which name it wants (SNI) and which protocols
 * it offers (ALPN). Incremental: the caller keeps all bytes that came and calls again when there are more; a
 * ClientHello may span several TLS records (the first with at least four bytes of it) and is refused above 64 KiB.
 * Nothing is consumed: the same bytes go to OpenSSL afterwards. */
#ifndef PROTO_HELLO_H
#define PROTO_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/span.h"

#define HELLO_MAX_BYTES 65536 /* of the message, and of the records that carry it */
#define HELLO_MAX_NAME 253
#define HELLO_MAX_ALPN 256

enum hello_result {
	HELLO_MORE,
	HELLO_DONE,
	HELLO_NOT_TLS, /* the first byte is not that of a TLS handshake record */
	HELLO_BAD,     /* begins like TLS, but is no well-formed ClientHello */
};

/* Where the last call stopped. Zeroed at the start. */
struct hello_scan {
	size_t record_at; /* the first record that is not whole yet */
	size_t have;      /* bytes of the message in the records before */
	size_t want;      /* of the message with its header; 0 while unknown */
};

struct hello {
	size_t name_bytes;         /* 0: no SNI (or an address, which RFC 6066 forbids there and we ignore) */
	char name[HELLO_MAX_NAME]; /* lower case, valid as url_is_host has it, no dot at the end */
	bool has_alpn, alpn_http11, alpn_h2;
	size_t alpn_bytes;            /* 0 when the list is longer than fits */
	uint8_t alpn[HELLO_MAX_ALPN]; /* the list as on the wire: length byte, name, … */
	bool tls13;                   /* offers TLS 1.3 (supported_versions) */
};

/* `in` is everything from the first byte of the connection (or of the tunnel) on. *out is set on HELLO_DONE only. Not
 * to be called again after any result but HELLO_MORE. */
enum hello_result hello_parse(struct span in, struct hello_scan *, struct hello *out);

static inline struct span hello_name(const struct hello *h)
{
	return span_of(h->name, h->name_bytes);
}

#endif
