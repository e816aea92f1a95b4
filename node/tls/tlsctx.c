#include "node/tls/tlsctx.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/tls/sessions.h"
#include "node/tls/stream_tls_internal.h"

#define CIPHERS_TLS12                                                                                                  \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"                     \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

struct tlsctx {
	unsigned magic;
	SSL_CTX *server, *client;
	BIO_METHOD *bio;
	struct sessions sessions;
};

#define TLSCTX_MAGIC 0x715c7e02

/* http/1.1 when the client offers it. To one that offers only others the extension is left unanswered: refusing it
 * (no_application_protocol) would shut out clients that would have spoken HTTP/1.1 anyway. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n,
		   void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_n, ours, sizeof(ours) - 1, in, in_n) ==
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_NOACK;
}

static SSL_CTX *context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = stream_tls__context(method);

	CHECK_THAT(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
	return ctx;
}

static SSL_CTX *server_context(void)
{
	SSL_CTX *ctx = context(TLS_server_method());

	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN); /* the leaf brings its chain; nothing is to be searched */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets only */
	SSL_CTX_set_num_tickets(ctx, 1);                         /* a second one costs 11 µs and nobody uses it */
	SSL_CTX_set_timeout(ctx, 24 * 3600);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	SSL_CTX_set_cert_cb(ctx, stream_tls__on_certificate, NULL);
	CHECK_THAT(SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12) == 1);
	return ctx;
}

static SSL_CTX *client_context(void)
{
	SSL_CTX *ctx = context(TLS_client_method());

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, stream_tls__on_session);
	return ctx;
}

struct tlsctx *tlsctx_new(X509_STORE *roots)
{
	struct tlsctx *t = NEW(struct tlsctx);

	t->magic = TLSCTX_MAGIC;
	t->server = server_context();
	t->client = client_context();
	t->bio = stream_tls__bio_method();
	sessions_init(&t->sessions);
	tlsctx_set_roots(t, roots);
	return t;
}

void tlsctx_free(struct tlsctx *t)
{
	if (!t)
		return;
	CHECK(t, TLSCTX_MAGIC);
	sessions_fini(&t->sessions);
	SSL_CTX_free(t->server);
	SSL_CTX_free(t->client);
	BIO_meth_free(t->bio);
	t->magic = 0;
	free(t);
}

void tlsctx_set_ticket_keys(struct tlsctx *t, const uint8_t keys[TLSCTX_TICKET_KEY_BYTES])
{
	unsigned char copy[TLSCTX_TICKET_KEY_BYTES];

	memcpy(copy, keys, sizeof(copy));
	CHECK_THAT(SSL_CTX_set_tlsext_ticket_keys(t->server, copy, sizeof(copy)) == 1);
}

void tlsctx_set_roots(struct tlsctx *t, X509_STORE *roots)
{
	sessions_clear(&t->sessions);
	SSL_CTX_set1_cert_store(t->client, roots);
}

SSL_CTX *tlsctx_server(struct tlsctx *t)
{
	return t->server;
}

SSL_CTX *tlsctx_client(struct tlsctx *t)
{
	return t->client;
}

BIO_METHOD *tlsctx_bio(struct tlsctx *t)
{
	return t->bio;
}

SSL_SESSION *tlsctx_session(struct tlsctx *t, struct span origin)
{
	return sessions_find(&t->sessions, origin);
}

void tlsctx_keep_session(struct tlsctx *t, struct span origin, SSL_SESSION *session)
{
	sessions_keep(&t->sessions, origin, session);
}
