/* server: what the connections of one loop share. Made by the composition root; belongs to its loop's thread. */
#ifndef NODE_SERVE_SERVER_H
#define NODE_SERVE_SERVER_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "node/fetch/flight.h"
#include "node/record/accesslog.h"
#include "node/record/recent.h"
#include "proto/http1_parse.h"

struct certwords;
struct client;
struct contacts;
struct mint;
struct tlsctx;

TAILQ_HEAD(clients, client);

struct server {
	struct loop *loop;
	struct fetcher fetcher;
	struct tlsctx *tls;
	struct mint *mint;
	struct accesslog *accesslog;
	struct log *log;
	struct recent *recent; /* NULL: what goes wrong is not kept */
	struct metrics *metrics;
	struct hosttally *hosts;  /* NULL: not counted by host */
	struct policy *policy;    /* in force for requests that begin now; one reference */
	struct span salt;         /* of keys */
	const uint8_t *secret;    /* 32 bytes, for credentials */
	atomic_uint *connections; /* of all loops together */
	_Atomic uint64_t *request_ids;
	struct addr admin;     /* of listen.admin, the first; len 0: none. Who asks for a page is led there */
	uint64_t boot;         /* random, of this process: tells it from others of the same name */
	uint16_t cluster_port; /* of listen.cluster, as X-Cache-Lookup tells it to children; 0: none */

	struct clients clients;
	struct contacts *contacts;
	struct certwords *certwords; /* for nodes whose parent this one is */
	bool draining;               /* no new requests; connections end with the answer they are at */
	struct http1_request parsed; /* the request head being looked at, during one call */
	char *room;                  /* DELIVER_ROOM_BYTES, to build heads in, during one call */
	struct timer probe;          /* how late is the loop? Only while somebody asks */
	mono_us probe_due;
	int64_t late_us; /* smoothed */
};

/* Borrows all that was filled in before. */
void server_init(struct server *);
/* Closes all connections at once. */
void server_fini(struct server *);

/* A reload: from now on. Shares the policy. */
void server_set_policy(struct server *, struct policy *);

/* How busy it is, 0 to 255 (Pmc-Load): the higher of its connections, of limits.connections, and of how late its loop is with what is
 * due, of 100 ms. */
int server_load(struct server *);

/* Stops serving new requests: idle connections are closed, busy ones when their answer is out. */
void server_drain(struct server *);

#endif
