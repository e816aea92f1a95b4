/* names: what hosts may be called, and what an origin's certificate said about itself, in memory and as a line of text.
 *
 * Nothing here knows TLS: it is text and dates. Names come from strangers (CONNECT, SNI, subjectAltName) and go through
 * names_host before anything else sees them.
 *
 * A `struct origin_cert` is what must be known of an origin's certificate to mint a leaf that looks like it. It is shared:
 * counted references, unchanged once it has been handed to a second holder, any thread. */
#ifndef NODE_TLS_NAMES_H
#define NODE_TLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/span.h"

#define NAMES_HOST_MAX 253       /* RFC 1035 §2.3.4, as text without the last dot */
#define NAMES_SANS_MAX 128       /* of one origin; more are left out */
#define NAMES_SANS_BYTES 4096    /* of one origin, all together; more are left out */
#define NAMES_SUBJECT_BYTES 1024 /* a longer subject is left out */
#define NAMES_LINE_MAX 8192      /* longer lines are not ours */

enum name_kind { NAME_BAD, NAME_DNS, NAME_IP };

/* Host as it stands in CONNECT or SNI → lower case without a last dot, or an address in its usual short form (an IPv6 one
 * may stand in brackets). Labels of 1 to 63 letters, digits, '-' and '_'; a name whose last label is a number is no name
 * (RFC 3696 §2) and NAME_BAD unless it is an IPv4 address. */
enum name_kind names_host(struct span in, char out[NAMES_HOST_MAX + 1]);

/* The same, but "*." may stand before a name of two labels or more (RFC 9525 §6.3). */
enum name_kind names_san(struct span in, char out[NAMES_HOST_MAX + 1]);

/* `san` (as names_san gives it) is good for `host` (as names_host gives it). A wildcard stands for exactly one label. */
bool names_covers(const char *san, const char *host);

struct origin_cert {
	unsigned magic;
	unsigned refs; /* atomic */
	wall_ms not_before, not_after;
	uint8_t spki_sha256[32]; /* of the public key: tells one certificate from another */
	uint8_t *subject;        /* DER of the whole subject; NULL: none, or too long */
	size_t subject_bytes;
	char **sans; /* as names_san gives them */
	size_t n_sans, sans_bytes;
};

#define ORIGIN_CERT_MAGIC 0x0c1e27f1

/* Zeroed, one reference, owned by the caller. */
struct origin_cert *names_origin_new(void);
/* False: not a name, or no room (see the limits above). Only while nobody else holds it. */
bool names_origin_add_san(struct origin_cert *, struct span san);
bool names_origin_set_subject(struct origin_cert *, const void *der, size_t n);
struct origin_cert *names_origin_ref(struct origin_cert *);
void names_origin_unref(struct origin_cert **); /* clears it; NULL inside is harmless */
/* The same certificate, as far as it can be told: key, dates and number of names. */
bool names_origin_same(const struct origin_cert *, const struct origin_cert *);

/* One line, without its end:
 *     host TAB san,san,… TAB subject (base64 of DER) TAB notBefore TAB notAfter (seconds since 1970) TAB key (hex SHA-256)
 * A field may be empty where the certificate had none. Format writes nothing but sets b->full when there is no room. */
void names_format(struct buf *, const char *host, const struct origin_cert *);
/* Strict: NULL unless all is as names_format writes it. The caller owns the reference. */
struct origin_cert *names_parse(struct span line, char host[NAMES_HOST_MAX + 1]);

#endif
