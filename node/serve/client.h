/* client: an accepted connection, from its first byte to its last.
 *
 * It finds out what is spoken (plain HTTP, TLS to the proxy, a CONNECT and TLS within: each layer is a stream upon the one
 * below), parses one request after the other, and hands each to request.h; pipelined ones wait in its buffer. Belongs to its
 * loop's thread. */
#ifndef NODE_SERVE_CLIENT_H
#define NODE_SERVE_CLIENT_H

#include "node/net/stream.h"
#include "node/serve/contact.h"
#include "node/serve/server.h"
#include "proto/chunked.h"
#include "proto/hello.h"
#include "proto/proxyauth.h"
#include "proto/url.h"

enum client_door {
	CLIENT_DOOR_PROXY, /* plain proxy: CONNECT is a blind tunnel */
	CLIENT_DOOR_BUMP,
	CLIENT_DOOR_CHILD, /* where other nodes ask this one as their parent: as PROXY, but for those with a certificate of the cluster */
};

struct node_name;
struct request;
struct relay;

/* The CONNECT around the requests that come now. */
struct client_tunnel {
	struct url url;        /* scheme, host, port that they are for; spans into `text` */
	struct span dial_host; /* whom to dial: as CONNECT said */
	mono_us began;
	char peer[ADDR_TEXT_BYTES]; /* of a blind tunnel, once connected: an address, or the name of a parent */
	bool through_parent;
	char job[PROXYAUTH_USER_BYTES]; /* who its CONNECT says to be: job_n bytes */
	size_t job_n;
	char text[2 * (URL_MAX_HOST + 1)];
};

enum client_state {
	CLIENT_FIRST_BYTES, /* HTTP or TLS? */
	CLIENT_HANDSHAKE,
	CLIENT_READING, /* a request head */
	CLIENT_ANSWERING,
	CLIENT_RELAYING, /* bytes pass blindly */
};

struct client {
	unsigned magic;
	TAILQ_ENTRY(client) entry;
	struct server *server;
	struct stream *stream;
	enum client_door door;
	struct node_name *child; /* who it is, at CLIENT_DOOR_CHILD alone; NULL: no node */
	enum client_state state;
	struct addr local;
	char peer[ADDR_TEXT_BYTES];
	struct client_tunnel *tunnel; /* NULL: requests come in absolute-form */
	bool tunnelled;               /* CONNECT has been answered 200: first bytes decide what is inside */
	bool ended;                   /* the client has closed its side */
	bool served;                  /* has got an answer in what is spoken now: may be closed between two requests */
	struct hello_scan hello;
	char hello_name[HELLO_MAX_NAME + 1]; /* SNI of the innermost ClientHello */
	char *in;                            /* read, not yet used: in_at .. in_n */
	size_t in_at, in_n, in_room, scanned;
	struct timer deadline;
	struct deferred job;
	struct request *request;
	struct relay *relay;
	struct contact_wait contact; /* a first contact that is waited for (certificate: origin) */
	struct dial *dial;           /* tunnel.c: on its way for a CONNECT, as is the next */
	struct parent_tunnel *by_parent;
};

#define CLIENT_MAGIC 0xc11e4701

/* Takes the fd. */
void client_accept(struct server *, enum client_door, int fd, const struct addr *peer);
/* Takes the stream of a node that has shown its certificate: `who` (copied). Its requests come in absolute-form; access.clients is not
 * asked; answers tell what parent_link.h says. */
void client_take(struct server *, enum client_door, struct stream **, const struct node_name *who);

/* The request has been answered; the next one may come, or the connection ends. */
void client_answered(struct client *, bool keep_alive);
/* The node drains: a connection between two requests ends, one that has not brought its first gets a little time for it. c may be
 * gone afterwards. */
void client_drain(struct client *);
/* Ends the connection; c is gone afterwards. */
void client_close(struct client *, enum stream_end);

/* ---- for request.c, tunnel.c and upload.c ---- */

static inline struct span client_unread(const struct client *c)
{
	return span_of(c->in + c->in_at, c->in_n - c->in_at);
}

enum client_read { CLIENT_READ_SOME, CLIENT_READ_NOTHING, CLIENT_READ_END, CLIENT_READ_FAILED };

/* Reads once, behind what is in the buffer; at most `most` bytes are kept unread. */
enum client_read client_read_more(struct client *, size_t most);
/* Bytes of the buffer have been used. */
void client_used(struct client *, size_t n);
/* May it ask here at all, with the request in server->parsed? By access.clients; a child by the way that its request has come. */
enum reason client_admitted(const struct client *);
/* For the access log: the name of a child; else what the CONNECT around it, or the request in `h`, gives as the proxy's user; or
 * empty. `h` may be NULL; `room` is where a name may be put. */
struct span client_user(const struct client *, const struct hdrs *h, char room[PROXYAUTH_USER_BYTES]);
/* What to be woken for while a request is answered: request_ready is called. */
void client_want(struct client *, unsigned events);
/* The deadline of what the client has to do next. */
void client_expect_within(struct client *, dur_ms);

/* The CONNECT has been answered with 200; what comes is for c->tunnel. */
void client_enter_tunnel(struct client *);
/* From now on bytes pass between the client and the stream, which is taken; `to_client` (copied) goes first. */
void client_begin_relay(struct client *, struct stream *, struct span to_client);

#endif
