/* admin: the HTTP port from which the node's state is read: by monitoring, by load balancers, by people with a browser or curl.
 *
 *     /             the page for people (page.h); it lives on /page.json and the others that end in .json
 *     /healthz      200 "ok" whenever the loop turns; nothing is looked up for it
 *     /readyz       200 "ready", 503 "draining"
 *     /metrics      metricstext.h
 *     /stats.json   statsjson.h
 *     /history.json history.h: the last hour
 *     /recent.json  recent.h: what went wrong lately; URLs and clients only with admin.show_urls
 *     /objects.json objects.h; URLs only with admin.show_urls
 *     /peers.json   peersjson.h; 404 when the node is in no cluster
 *     /matrix.json  what all nodes see of each other, as it was found some seconds ago (cluster/overview.h); 404 as above
 *     /ca.crt       the certificate that clients are to trust; ?format=pem (also without), der or p12
 *
 * GET and HEAD only: all that changes something goes through the control socket (control.h). Any job of the host may read
 * here, hence no URL or client is shown unless admin.show_urls says so; names of origin hosts and of the cluster's nodes are. And a page in a browser may not: a request must name an IP address,
 * localhost, the node's name or the machine's, in Host, else it gets 421 (a name of the attacker's own that is made to lead
 * here, DNS rebinding, is none of these). HTTP/1.0 without Host is taken, as health checks send it.
 *
 * HTTP/1.1 with keep-alive and pipelining; deadlines for heads, idleness and slow readers; heads of 8 KiB and 64 connections
 * at the most: then the one that has been silent longest makes room. Belongs to its loop's thread. */
#ifndef NODE_ADMIN_ADMIN_H
#define NODE_ADMIN_ADMIN_H

#include "node/admin/history.h"
#include "node/admin/page.h"
#include "node/base/span.h"
#include "node/net/addr.h"
#include "node/net/loop.h"

struct admin;
struct admin_ca;

/* Where the pages come from; called on the loop's thread. */
struct admin_actions {
	void (*stats)(void *cookie, struct buf *json);
	void (*metrics)(void *cookie, struct buf *text);
	bool (*peers)(void *cookie, struct buf *json);      /* at least PEERSJSON_LEAST; false: in no cluster */
	char *(*matrix)(void *cookie, size_t *bytes);       /* to be freed by the caller; NULL: in no cluster */
	void (*page)(void *cookie, struct page_facts *out); /* zeroed before */
	void (*history)(void *cookie, struct buf *json);    /* HISTORY_MAX */
	void (*recent)(void *cookie, struct buf *json);     /* RECENT_MAX */
	void (*objects)(void *cookie, struct buf *json);    /* OBJECTS_JSON_MAX */
	const char *(*node)(void *cookie);                  /* the node's name as of now; borrowed for the call */
};

/* The CA's certificate in all its forms, for /ca.crt. Reads the file: not on a loop's thread while it serves. NULL with a
 * sentence in why. */
struct admin_ca *admin_ca_read(const char *path, char *why, size_t why_bytes);
void admin_ca_free(struct admin_ca *);

/* Listens on the n addresses. Borrows the actions; takes the CA, NULL: there is none, and /ca.crt is not found. NULL with a
 * sentence in why. */
struct admin *admin_open(struct loop *, const struct addr *at, size_t n, struct admin_ca *,
			 const struct admin_actions *, void *cookie, char *why, size_t why_bytes);
/* Takes the CA that is to be shown from now on. NULL for the admin: it is freed. */
void admin_set_ca(struct admin *, struct admin_ca *);
/* From now on /readyz says 503; all else goes on. Harmless on NULL. */
void admin_drain(struct admin *);
/* Ends listening and all connections at once. Harmless on NULL inside; clears *a. */
void admin_close(struct admin **a);

#endif
