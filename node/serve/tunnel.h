/* tunnel: CONNECT, and what is inside: bump, splice, or refuse.
 *
 * A CONNECT to be passed on blindly is answered when the origin has been reached, or 502. One to be bumped is answered 200 at
 * once; then the first byte tells what comes: a ClientHello (its SNI chooses the leaf), plain HTTP, or something else, which
 * is passed on blindly where bump.others allows. The same code looks at the first byte of a connection: TLS to the proxy is
 * a handshake under a leaf for the proxy's own name, with proxy requests inside. */
#ifndef NODE_SERVE_TUNNEL_H
#define NODE_SERVE_TUNNEL_H

#include "node/serve/client.h"

/* A CONNECT request, in client->server->parsed. */
void tunnel_connect(struct client *);

enum tunnel_step {
	TUNNEL_MORE,  /* needs more of the first bytes */
	TUNNEL_MOVED, /* the client is in another state, or gone */
};

/* At least one byte is in the buffer of a client that is in CLIENT_FIRST_BYTES. */
enum tunnel_step tunnel_first_bytes(struct client *);

/* Client, port and host of a CONNECT, against the access rules. */
enum reason tunnel_access(struct client *, const struct url *);
/* One line for a blind tunnel that has ended, or that could not be made. */
void tunnel_log(struct client *, enum reason why, uint64_t bytes);

/* The bytes of a blind tunnel have passed: log. */
void tunnel_relayed(struct client *, uint64_t down, uint64_t up);

/* client.c: the handshake is done, requests come from this stream. */
void client_upgraded(struct client *, struct stream *);

#endif
