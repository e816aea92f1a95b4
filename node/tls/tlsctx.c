#include "node/tls/tlsctx.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <sys/queue.h>

#include "node/base/check.h"
#include "node/base/checksum.h"
#include "node/base/map.h"
#include "node/base/mem.h"
#include "node/tls/stream_tls_internal.h"

#define MOST_SESSIONS 4096
#define CIPHERS_TLS12                                                                                                  \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"                     \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

struct kept_session {
	struct map_node node;
	TAILQ_ENTRY(kept_session) entry; /* oldest first */
	SSL_SESSION *session;
	size_t n;
	char origin[];
};

struct tlsctx {
	unsigned magic;
	SSL_CTX *server, *client;
	BIO_METHOD *bio;
	struct map sessions;
	TAILQ_HEAD(, kept_session) oldest;
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
	SSL_CTX *ctx = SSL_CTX_new(method);

	CHECK_THAT(ctx != NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
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
	TAILQ_INIT(&t->oldest);
	tlsctx_set_roots(t, roots);
	return t;
}

static void drop(struct tlsctx *t, struct kept_session *k)
{
	map_remove(&t->sessions, &k->node);
	TAILQ_REMOVE(&t->oldest, k, entry);
	SSL_SESSION_free(k->session);
	free(k);
}

void tlsctx_free(struct tlsctx *t)
{
	struct kept_session *k;

	if (!t)
		return;
	CHECK(t, TLSCTX_MAGIC);
	while ((k = TAILQ_FIRST(&t->oldest)) != NULL)
		drop(t, k);
	map_fini(&t->sessions);
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
	while (!TAILQ_EMPTY(&t->oldest))
		drop(t, TAILQ_FIRST(&t->oldest));
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

static struct kept_session *kept_of(struct map_node *node)
{
	return (struct kept_session *)(void *)((char *)node - offsetof(struct kept_session, node));
}

static bool is_origin(const struct map_node *node, const void *wanted)
{
	const struct kept_session *k = (const void *)((const char *)node - offsetof(struct kept_session, node));

	return span_eq(span_of(k->origin, k->n), *(const struct span *)wanted);
}

static struct kept_session *find(struct tlsctx *t, struct span origin)
{
	struct map_node *node = map_find(&t->sessions, checksum_of(origin), is_origin, &origin);

	return node ? kept_of(node) : NULL;
}

SSL_SESSION *tlsctx_session(struct tlsctx *t, struct span origin)
{
	struct kept_session *k = find(t, origin);

	return k ? k->session : NULL;
}

void tlsctx_forget_session(struct tlsctx *t, struct span origin)
{
	struct kept_session *k = find(t, origin);

	if (k)
		drop(t, k);
}

void tlsctx_keep_session(struct tlsctx *t, struct span origin, SSL_SESSION *session)
{
	struct kept_session *k;

	tlsctx_forget_session(t, origin);
	if (t->sessions.n >= MOST_SESSIONS)
		drop(t, TAILQ_FIRST(&t->oldest));
	k = mem_alloc(sizeof(*k) + origin.n);
	k->session = session;
	k->n = origin.n;
	memcpy(k->origin, origin.p, origin.n);
	map_insert(&t->sessions, &k->node, checksum_of(origin));
	TAILQ_INSERT_TAIL(&t->oldest, k, entry);
}
