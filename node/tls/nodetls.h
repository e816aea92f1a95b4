/* nodetls: TLS between nodes: 1.3 only, a certificate of the cluster CA on both sides, no early data.
 *
 * Which of two doors a link is for is agreed by ALPN, so that the side that accepts knows before the first byte of HTTP:
 *
 *     pmc-peer/1    what the node has itself: objects, members, purges, figures; nothing can be forwarded on it
 *     pmc-proxy/1   requests to be answered as a parent does; offered by parents alone
 *
 * Peers are not checked by host name but by the name in their certificate (nodecert.h): a certificate of another cluster ends the
 * handshake. Sessions are resumed for an hour, on the loop's clock not beyond the certificate's end, and who the peer is comes from the
 * session then. One for all loops: contexts are shared and nothing in them changes after they are made, the sessions to be offered
 * again have a lock; a new certificate (SIGHUP, or the files have changed) makes a new nodetls with other ticket keys and no
 * sessions, and links made under the old one live on. */
#ifndef NODE_TLS_NODETLS_H
#define NODE_TLS_NODETLS_H

#include "node/tls/nodecert.h"

struct nodetls;
struct ssl_ctx_st;
struct ssl_session_st;
struct bio_method_st;

enum node_door { NODE_DOOR_PEER, NODE_DOOR_PROXY };

/* Reads the three files and checks that they fit each other, that the certificate names a node of `cluster` and has not expired. The CA's
 * file may hold several, for the time in which one follows the other. NULL with a sentence in why ("cluster.cert: … has expired on …").
 * One reference for the caller. Blocks on the disk. */
struct nodetls *nodetls_new(const char *cert_path, const char *key_path, const char *ca_path, const char *cluster,
			    wall_ms now, char *why, size_t why_bytes);
struct nodetls *nodetls_ref(struct nodetls *); /* any thread */
void nodetls_unref(struct nodetls **);         /* clears it */

const struct node_name *nodetls_self(const struct nodetls *);
wall_ms nodetls_not_after(const struct nodetls *);

const char *nodetls_door_word(enum node_door); /* "peer" */

/* For stream_tls.c: the contexts of either side, and what their connections read and write with. */
struct ssl_ctx_st *nodetls_server(struct nodetls *);
struct ssl_ctx_st *nodetls_client(struct nodetls *);
struct bio_method_st *nodetls_bio(struct nodetls *);
/* A copy of the session last kept for this node, owned by the caller; NULL: none. Any thread, as the next. */
struct ssl_session_st *nodetls_session(struct nodetls *, struct span node);
/* Keeps a copy. */
void nodetls_keep_session(struct nodetls *, struct span node, struct ssl_session_st *);

#endif
