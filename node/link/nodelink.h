/* nodelink: links between nodes of the cluster: TCP, mutual TLS 1.3, and the name in the certificate checked.
 *
 * Dialling goes through race.h, but asks neither access.deny_to nor upstream.proxy: whom to dial is the operator's word, not a
 * stranger's. In TLS 1.3 the side that dials is done first: that its own certificate was refused shows in the first read on a link
 * which seemed good. Belongs to its loop's thread. */
#ifndef NODE_LINK_NODELINK_H
#define NODE_LINK_NODELINK_H

#include "node/link/link.h"
#include "node/link/pool.h"
#include "node/tls/nodetls.h"

struct dns;
struct nodelink_dial;

enum nodelink_fault {
	NODELINK_OK,
	NODELINK_DIAL,       /* no TCP connection */
	NODELINK_TLS,        /* no handshake, or none in time, or a certificate that is not believed */
	NODELINK_WRONG_NODE, /* believed, but of another cluster, another node, or not a parent's */
	NODELINK_NO_DOOR,    /* it does not open the door asked for */
};

struct nodelink_target {
	struct span node; /* who it must be; copied */
	struct span host; /* name or address; copied */
	uint16_t port;
	enum node_door door;
	bool parent;                         /* its role must be parent */
	dur_ms connect_timeout, tls_timeout; /* 0: none */
};

#define NODELINK_ACCEPT_TIMEOUT (5 * DUR_SECOND)

/* `s` is the callback's to take; NULL: `fault` and `detail` (borrowed, one line) say why. */
typedef void nodelink_on_done_f(void *cookie, struct stream *s, enum nodelink_fault fault, const char *detail);

/* Shares the nodetls. Never calls back from inside. */
struct nodelink_dial *nodelink_dial(struct loop *, struct dns *, struct nodetls *, const struct nodelink_target *,
				    nodelink_on_done_f *, void *cookie);
/* In silence; clears *d; harmless on NULL inside. Not after on_done. */
void nodelink_cancel(struct nodelink_dial **d);

/* What a pool keeps such links under: "node:peer:edge2", "node:proxy:parent1". */
void nodelink_origin(const struct nodelink_target *, struct buf *out);

/* The side that accepts. */
struct nodelink_accept;

/* `s` is the callback's to take, and who and door are told; NULL: why not ("10.0.0.7:51234: …"). All are borrowed. */
typedef void nodelink_on_accepted_f(void *cookie, struct stream *s, const struct node_name *who, enum node_door door,
				    const char *why_not);

/* Takes the fd (non-blocking), shares the nodetls. `proxy`: may the door pmc-proxy/1 be agreed to? A handshake has
 * NODELINK_ACCEPT_TIMEOUT. Never calls back from inside. */
struct nodelink_accept *nodelink_accept(struct loop *, struct nodetls *, int fd, const struct addr *peer, bool proxy,
					nodelink_on_accepted_f *, void *cookie);
/* In silence; clears *a; harmless on NULL inside. Not after on_accepted. */
void nodelink_accept_cancel(struct nodelink_accept **a);

#endif
