/* tlsctx: one SSL_CTX each way, per loop; tickets, ALPN, resumption.
 *
 * Towards clients every name shares one SSL_CTX: the leaf is set per connection in the certificate callback (an SSL_CTX per
 * name would cost 100 µs and 13 KB each), and the session-id context is that of the leaf, so that no ticket crosses
 * names. Ticket keys are the same on all loops, so that a client may resume on any.
 *
 * Towards origins, sessions are kept by origin and TLS policy and offered at the next connection.
 *
 * Belongs to its loop's thread. */
#ifndef NODE_TLS_TLSCTX_H
#define NODE_TLS_TLSCTX_H

#include <stddef.h>
#include <stdint.h>

#include "node/base/span.h"

struct tlsctx;
struct ssl_ctx_st;
struct ssl_session_st;
struct bio_method_st;
struct x509_store_st;

#define TLSCTX_TICKET_KEY_BYTES 80

/* Shares the roots (trust_new). Aborts when OpenSSL cannot make a context. */
struct tlsctx *tlsctx_new(struct x509_store_st *roots);
void tlsctx_free(struct tlsctx *);

/* Random bytes, the same for all loops; anew twice a day. Tickets under older keys are not taken any more. */
void tlsctx_set_ticket_keys(struct tlsctx *, const uint8_t keys[TLSCTX_TICKET_KEY_BYTES]);

/* After a reload of the roots: connections made from now on use these, and sessions made under the old ones are forgotten. */
void tlsctx_set_roots(struct tlsctx *, struct x509_store_st *roots);

/* For stream_tls.c */
struct ssl_ctx_st *tlsctx_server(struct tlsctx *);
struct ssl_ctx_st *tlsctx_client(struct tlsctx *);
struct bio_method_st *tlsctx_bio(struct tlsctx *);
/* The session last kept for this origin ("host:port" and what else the link depends on); borrowed; NULL: none. */
struct ssl_session_st *tlsctx_session(struct tlsctx *, struct span origin);
/* Takes the session (sessions.h). */
void tlsctx_keep_session(struct tlsctx *, struct span origin, struct ssl_session_st *);

#endif
