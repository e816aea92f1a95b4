/* What tlsctx.c, nodetls.c and stream_tls.c share: callbacks that an SSL_CTX is made with and a connection answers. */
#ifndef NODE_TLS_STREAM_TLS_INTERNAL_H
#define NODE_TLS_STREAM_TLS_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/ssl.h>

int stream_tls__on_certificate(SSL *, void *arg);
int stream_tls__on_session(SSL *, SSL_SESSION *);
/* The same between nodes: is the peer one of our cluster, which door is agreed to, and the session to be kept. */
int stream_tls__on_node_verify(int ok, X509_STORE_CTX *);
int stream_tls__on_node_door(SSL *, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
			     unsigned in_n, void *arg);
int stream_tls__on_node_session(SSL *, SSL_SESSION *);
/* A context with the suites of TLS 1.3 and the modes that every stream_tls relies on. */
SSL_CTX *stream_tls__context(const SSL_METHOD *);
/* A BIO that reads the bytes given in advance, then the stream below, and writes by stream_push. Owned by the caller. */
BIO_METHOD *stream_tls__bio_method(void);

#endif
