/* peer_door: where other nodes come by TCP for what this node has itself.
 *
 * It includes nothing of fetch/ or serve/, so it cannot forward: a request here ends in this node's cache or in a refusal.
 *
 *     /.pmc/v1/object/<key>      GET, HEAD: peer_link.h. A growing object is sent as it grows; one whose head is awaited is waited for;
 *                                 HEAD waits for the whole, whose digest it tells. What only the disk has is sent from there
 *     /.pmc/v1/members           GET: the member list, one per line; the asker is put on it (Pmc-Address: its cluster port)
 *     /.pmc/v1/purges?since=N    GET: the purge log (peer_purge.h) from an hour before N on; 410 when N is before its beginning.
 *                                Pmc-More: 1 when there is more: ?after=N then, N being the last serial so far
 *     /.pmc/v1/peers             GET: this node's figures of its peers, JSON (for the matrix)
 *     /.pmc/v1/cert?host=&port=&sni=   GET, parents: what an origin's certificate says, msgpack
 *     /.pmc/v1/health            GET: 204
 *
 * Objects are for edges and parents, the rest also for an administrator. What has a body or another method gets 405, a target in
 * absolute form 403, and the connection ends. Only what is anonymous, immutable, 200 and kept leaves.
 *
 * HTTP/1.1 with keep-alive, one request at a time. Heads of 16 KiB; 512 connections at the most; deadlines for heads, idleness and
 * readers that stop. One per loop; belongs to its loop's thread. */
#ifndef PEER_PEER_DOOR_H
#define PEER_PEER_DOOR_H

#include "node/base/log.h"
#include "node/cache/index.h"
#include "node/tls/nodecert.h"
#include "peer/peer_desk.h"
#include "peer/peer_streams.h"

struct peer_door;
struct peer_purge;
struct peer_door_reply; /* one answer that is still owed */
struct stream;

/* What the node says of itself: called on the door's loop; each answers by peer_door_reply, at once or later, on that loop. NULL: 404. */
struct peer_door_pages {
	void (*members)(void *cookie, struct peer_door_reply *, const struct node_name *who, const struct addr *from,
			struct span address);
	void (*peers)(void *cookie, struct peer_door_reply *);
	void (*cert)(void *cookie, struct peer_door_reply *, struct span host, uint16_t port, struct span sni);
};

struct peer_door_settings {
	struct loop *loop;
	struct index *index;
	struct disk *disk; /* NULL: none */
	struct peer_streams *streams;
	struct peer_purge *purge; /* NULL: no purge log */
	struct peer_desk *desk;   /* figures */
	uint32_t self;            /* this node's id */
	struct log *log;
	const struct peer_door_pages *pages;
	void *cookie;
};

struct peer_door *peer_door_new(const struct peer_door_settings *);
/* Closes all; harmless on NULL. */
void peer_door_free(struct peer_door *);
/* No new requests: 503, connections end. */
void peer_door_drain(struct peer_door *);

/* Takes the stream of a node that has shown who it is. */
void peer_door_take(struct peer_door *, struct stream **, const struct node_name *who);

/* Where the answer is to be given. */
struct loop *peer_door_loop(const struct peer_door_reply *);
/* The answer to one of `pages`: copied; `reply` is gone afterwards. When the asker has left meanwhile, nothing happens. */
void peer_door_answer(struct peer_door_reply *, int status, struct span type, struct span body);

#endif
