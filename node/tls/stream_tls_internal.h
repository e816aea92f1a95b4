/* What tlsctx.c and stream_tls.c share: callbacks that an SSL_CTX is made with and a connection answers. */
#ifndef NODE_TLS_STREAM_TLS_INTERNAL_H
#define NODE_TLS_STREAM_TLS_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/ssl.h>

int stream_tls__on_certificate(SSL *, void *arg);
int stream_tls__on_session(SSL *, SSL_SESSION *);
/* A BIO that reads the bytes given in advance, then the stream below, and writes by stream_push. Owned by the caller. */
BIO_METHOD *stream_tls__bio_method(void);

#endif
