/* dial: a connection to an origin: resolve, race the addresses, perhaps through upstream.proxy, then TLS.
 *
 * Addresses are tried as race.h has it. Each address is checked against access.deny_to at the moment it is dialled, so that a name
 * cannot be made to point inside between a check and its use. Each step has its deadline, the handshake one for all of it. Belongs to
 * its loop's thread. */
#ifndef NODE_LINK_DIAL_H
#define NODE_LINK_DIAL_H

#include "node/base/log.h"
#include "node/net/addr.h"
#include "node/net/stream.h"
#include "node/policy/access.h"
#include "node/policy/policy.h"

struct dialer;
struct dial;
struct dns;
struct tlsctx;
struct origin_cert;

/* Borrows all of them. `own` are this node's listeners, which are never dialled. */
struct dialer *dialer_new(struct loop *, struct dns *, struct tlsctx *, const struct access_own *own);
void dialer_free(struct dialer *);

#define DIAL_DETAIL_BYTES 200

struct dial_target {
	struct span host; /* name or address, without brackets; copied */
	uint16_t port;
	bool https; /* TLS; the certificate must be valid for `tls_host` */
	/* What the certificate must be valid for, and SNI; empty: host. Differs when a client CONNECTs to an address but names a host
	 * in its ClientHello. */
	struct span tls_host;
	bool wants_cert; /* also after a resumption */
};

struct dial_report {
	enum reason why; /* REASON_NONE: connected */
	char detail
		[DIAL_DETAIL_BYTES]; /* more in words: "registry.test: 127.0.0.1:443: certificate has expired"; may be empty */
	struct addr addr;            /* the one connected, or tried last; len 0: none */
	struct origin_cert
		*cert; /* borrowed during the callback, or NULL (plain, failed; resumed, unless it is wanted) */
	bool resumed;  /* the TLS session */
};

/* `s` is the callback's to take; NULL when report->why says why not. Never from inside dial_start. */
typedef void dial_on_done_f(void *cookie, struct stream *s, const struct dial_report *report);

/* Shares the policy until done. */
struct dial *dial_start(struct dialer *, const struct dial_target *, struct policy *, dial_on_done_f *, void *cookie);
/* In silence; clears *d; NULL inside is harmless. Must not be called after on_done. */
void dial_cancel(struct dial **d);

/* What a link to this target may be used for again, as text (pool.h): scheme, host, port, tls_host. Written to out. */
void dial_origin(const struct dial_target *, struct buf *out);

#endif
