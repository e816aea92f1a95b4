/* stream_tls: TLS as a stream over another stream, in either role.
 *
 * Records are made straight from the caller's bytes, 16 KiB at a time, in the place from which the stream below sends them together
 * (seal.h, stream_room). Small spans are gathered into one record. The stream below may itself be TLS.
 *
 * A stream_tls begins with a handshake; on_done comes once, never from inside the starting call, with the stream ready for use
 * or a reason. Deadlines are the caller's: stream_close ends a handshake at any time, without a callback. */
#ifndef NODE_TLS_STREAM_TLS_H
#define NODE_TLS_STREAM_TLS_H

#include "node/net/stream.h"
#include "node/tls/nodetls.h"

struct tlsctx;
struct leaf;
struct origin_cert;

/* REASON_NONE: ready. Else it has failed and has to be closed. `s` is the started stream. */
typedef void stream_tls_on_done_f(void *cookie, struct stream *s, enum reason why);

/* Server side. Takes the stream below; shares the leaf; `first` are bytes already read from below (the ClientHello) and are
 * copied. */
struct stream *stream_tls_accept(struct stream **below, struct tlsctx *, struct leaf *leaf, struct span first,
				 stream_tls_on_done_f *, void *cookie);

/* Client side. Takes the stream below. `host` without brackets is what the certificate must be valid for; it is sent as SNI unless
 * it is an address. `origin` names what sessions are kept under. Both are copied. */
struct stream *stream_tls_connect(struct stream **below, struct tlsctx *, struct span host, bool is_ip,
				  struct span origin, stream_tls_on_done_f *, void *cookie);

/* Between nodes (nodetls.h), server side. Takes the stream below, shares the nodetls. With `proxy` the door pmc-proxy/1 is open, too. */
struct stream *stream_tls_accept_node(struct stream **below, struct nodetls *, bool proxy, stream_tls_on_done_f *,
				      void *cookie);
/* Client side. `node` is whom the caller means to reach: sessions are looked up under it, nothing more; who it is tells
 * stream_tls_node. */
struct stream *stream_tls_connect_node(struct stream **below, struct nodetls *, enum node_door, struct span node,
				       stream_tls_on_done_f *, void *cookie);
/* Who is at the other end, after the handshake, resumed or not: a node of our cluster with a certificate that has not expired. -1: the
 * stream is none between nodes, or its handshake has not ended well. */
int stream_tls_node(const struct stream *, struct node_name *out);
/* What has been agreed; only when stream_tls_node gives 0. */
enum node_door stream_tls_door(const struct stream *);
/* The handshake failed because the other side does not open the door that was asked for. */
bool stream_tls_no_door(const struct stream *);

bool stream_tls_resumed(const struct stream *);
/* The handshake failed because the client said that it does not trust the certificate: the alert in OpenSSL's words
 * ("unknown ca"); NULL when it did not. */
const char *stream_tls_rejected(const struct stream *);
/* More about a failed handshake in words for the log and for error texts ("certificate has expired"); never NULL. */
const char *stream_tls_detail(const struct stream *);
/* Client side: what the origin's certificate says, for mimicry. One reference for the caller (names_origin_unref); NULL when there is none.
 * After a resumption it is that of the session. */
struct origin_cert *stream_tls_origin_cert(const struct stream *);

#endif
