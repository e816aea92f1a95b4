#include "node/tls/nodetls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/tls/certs.h"
#include "node/tls/sessions.h"
#include "node/tls/stream_tls_internal.h"

#define TICKET_SECONDS 3600
#define SECURITY_LEVEL 2 /* 112 bits */

struct nodetls {
	unsigned magic;
	unsigned refs; /* atomic */
	/* Not changed after nodetls_new. */
	SSL_CTX *server, *client;
	BIO_METHOD *bio;
	struct node_name self;
	wall_ms not_after;
	/* Under the lock. Copies, since connections of several loops write to theirs. */
	pthread_mutex_t lock;
	struct sessions sessions;
};

#define NODETLS_MAGIC 0x40de7150

/* What the files hold. */
struct files {
	const char *cert_path, *key_path, *ca_path;
	X509 *cert;
	EVP_PKEY *pkey;
	STACK_OF(X509) * cas;
};

static void files_free(struct files *f)
{
	X509_free(f->cert);
	EVP_PKEY_free(f->pkey);
	sk_X509_pop_free(f->cas, X509_free);
}

static int files_read(struct files *f, char *why, size_t why_bytes)
{
	STACK_OF(X509) *certs = certs_read(f->cert_path, why, why_bytes);

	if (!certs)
		return -1;
	f->cert = sk_X509_shift(certs);
	sk_X509_pop_free(certs, X509_free);
	f->pkey = certs_read_key(f->key_path, why, why_bytes);
	if (!f->pkey)
		return -1;
	f->cas = certs_read(f->ca_path, why, why_bytes);
	return f->cas ? 0 : -1;
}

static X509_STORE *store_of(const struct files *f)
{
	X509_STORE *store = X509_STORE_new();

	CHECK_THAT(store);
	for (int i = 0; i < sk_X509_num(f->cas); i++)
		CHECK_THAT(X509_STORE_add_cert(store, sk_X509_value(f->cas, i)) == 1);
	/* Each of the file is believed, be it its own issuer or not; whoever issued it is not. */
	X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT | X509_V_FLAG_PARTIAL_CHAIN);
	return store;
}

/* X509_V_OK or what is wrong. */
static int verify(X509_STORE *store, X509 *cert, int purpose, wall_ms now)
{
	X509_STORE_CTX *x = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	int error;

	CHECK_THAT(x && X509_STORE_CTX_init(x, store, cert, NULL) == 1);
	param = X509_STORE_CTX_get0_param(x);
	CHECK_THAT(X509_VERIFY_PARAM_set_purpose(param, purpose) == 1);
	X509_VERIFY_PARAM_set_time(param, (time_t)(now / DUR_SECOND));
	error = X509_verify_cert(x) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(x);
	X509_STORE_CTX_free(x);
	return error;
}

static int check_issuer(const struct files *f, wall_ms now, char *why, size_t why_bytes)
{
	X509_STORE *store;
	int error = X509_V_OK;

	for (int i = 0; i < sk_X509_num(f->cas); i++) {
		if (certs_may_sign(sk_X509_value(f->cas, i)))
			continue;
		snprintf(why, why_bytes,
			 "cluster.ca: certificate %d of %s is no CA: copy the file that pmcachectl cluster init has "
			 "made",
			 i + 1, f->ca_path);
		return -1;
	}
	store = store_of(f);
	error = verify(store, f->cert, X509_PURPOSE_SSL_SERVER, now);
	if (error == X509_V_OK)
		error = verify(store, f->cert, X509_PURPOSE_SSL_CLIENT, now);
	X509_STORE_free(store);
	if (error == X509_V_OK)
		return 0;
	snprintf(why, why_bytes,
		 "cluster.cert: %s is not a node's certificate by the CA in %s (%s): issue it with that CA (pmcachectl "
		 "cluster issue)",
		 f->cert_path, f->ca_path, X509_verify_cert_error_string(error));
	return -1;
}

static void put_day(wall_ms t, char day[16])
{
	time_t seconds = (time_t)(t / DUR_SECOND);
	struct tm tm = {.tm_mday = 1};

	gmtime_r(&seconds, &tm);
	strftime(day, 16, "%Y-%m-%d", &tm);
}

static int check_dates(const struct nodetls *t, const struct files *f, wall_ms now, char *why, size_t why_bytes)
{
	wall_ms from = certs_wall(X509_get0_notBefore(f->cert));
	char day[16];

	if (from == CERTS_NO_TIME || t->not_after == CERTS_NO_TIME) {
		snprintf(why, why_bytes, "cluster.cert: %s has a damaged date", f->cert_path);
		return -1;
	}
	put_day(now < from ? from : t->not_after, day);
	if (now < from) {
		snprintf(why, why_bytes, "cluster.cert: %s is not valid before %s; is the clock of this machine right?",
			 f->cert_path, day);
		return -1;
	}
	if (now >= t->not_after) {
		snprintf(why, why_bytes,
			 "cluster.cert: %s has expired on %s: issue a new one (pmcachectl cluster issue)", f->cert_path,
			 day);
		return -1;
	}
	return 0;
}

static int check(struct nodetls *t, const struct files *f, const char *cluster, wall_ms now, char *why,
		 size_t why_bytes)
{
	if (X509_check_private_key(f->cert, f->pkey) != 1) {
		snprintf(why, why_bytes,
			 "cluster.key: %s is not the key of %s; give the two files that were issued together",
			 f->key_path, f->cert_path);
		return -1;
	}
	if (nodecert_read(f->cert, &t->self) < 0) {
		snprintf(why, why_bytes,
			 "cluster.cert: %s names no node (one URI pmcache://CLUSTER/ROLE/NODE): issue it with "
			 "pmcachectl cluster issue",
			 f->cert_path);
		return -1;
	}
	if (strcmp(t->self.cluster, cluster) != 0) {
		snprintf(why, why_bytes, "cluster.cert: %s is for cluster %s, and cluster.name is %.64s", f->cert_path,
			 t->self.cluster, cluster);
		return -1;
	}
	t->not_after = certs_wall(X509_get0_notAfter(f->cert));
	return check_dates(t, f, now, why, why_bytes) < 0 ? -1 : check_issuer(f, now, why, why_bytes);
}

static SSL_CTX *context(const SSL_METHOD *method, const struct files *f)
{
	SSL_CTX *ctx = stream_tls__context(method);

	CHECK_THAT(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
		   SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1);
	SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_cert_store(ctx, store_of(f));
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, stream_tls__on_node_verify);
	SSL_CTX_set_timeout(ctx, TICKET_SECONDS);
	return ctx;
}

static SSL_CTX *server_context(const struct files *f)
{
	static const unsigned char sessions_of[] = "pmcache node";
	SSL_CTX *ctx = context(TLS_server_method(), f);

	CHECK_THAT(SSL_CTX_set_session_id_context(ctx, sessions_of, sizeof(sessions_of) - 1) == 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets only; their keys die with the context */
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_recv_max_early_data(ctx, 0);
	SSL_CTX_set_alpn_select_cb(ctx, stream_tls__on_node_door, NULL);
	return ctx;
}

static SSL_CTX *client_context(const struct files *f)
{
	SSL_CTX *ctx = context(TLS_client_method(), f);

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, stream_tls__on_node_session);
	return ctx;
}

/* False: OpenSSL finds the key too weak. */
static bool use(SSL_CTX *ctx, const struct files *f)
{
	return SSL_CTX_use_certificate(ctx, f->cert) == 1 && SSL_CTX_use_PrivateKey(ctx, f->pkey) == 1;
}

static int prepare(struct nodetls *t, const struct files *f, char *why, size_t why_bytes)
{
	t->server = server_context(f);
	t->client = client_context(f);
	t->bio = stream_tls__bio_method();
	if (use(t->server, f) && use(t->client, f))
		return 0;
	snprintf(why, why_bytes, "cluster.cert: %s cannot be used (%s): issue a new one (pmcachectl cluster issue)",
		 f->cert_path, certs_error());
	return -1;
}

struct nodetls *nodetls_new(const char *cert_path, const char *key_path, const char *ca_path, const char *cluster,
			    wall_ms now, char *why, size_t why_bytes)
{
	struct files f = {.cert_path = cert_path, .key_path = key_path, .ca_path = ca_path};
	struct nodetls *t = NEW(struct nodetls);

	why[0] = '\0';
	t->magic = NODETLS_MAGIC;
	t->refs = 1;
	pthread_mutex_init(&t->lock, NULL);
	sessions_init(&t->sessions);
	if (files_read(&f, why, why_bytes) < 0 || check(t, &f, cluster, now, why, why_bytes) < 0 ||
	    prepare(t, &f, why, why_bytes) < 0)
		nodetls_unref(&t);
	files_free(&f);
	ERR_clear_error();
	return t;
}

struct nodetls *nodetls_ref(struct nodetls *t)
{
	CHECK(t, NODETLS_MAGIC);
	__atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
	return t;
}

void nodetls_unref(struct nodetls **p)
{
	struct nodetls *t = *p;

	*p = NULL;
	if (!t)
		return;
	CHECK(t, NODETLS_MAGIC);
	if (__atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	sessions_fini(&t->sessions);
	pthread_mutex_destroy(&t->lock);
	SSL_CTX_free(t->server);
	SSL_CTX_free(t->client);
	if (t->bio)
		BIO_meth_free(t->bio);
	t->magic = 0;
	free(t);
}

const struct node_name *nodetls_self(const struct nodetls *t)
{
	return &t->self;
}

wall_ms nodetls_not_after(const struct nodetls *t)
{
	return t->not_after;
}

const char *nodetls_door_word(enum node_door door)
{
	return door == NODE_DOOR_PROXY ? "proxy" : "peer";
}

SSL_CTX *nodetls_server(struct nodetls *t)
{
	return t->server;
}

SSL_CTX *nodetls_client(struct nodetls *t)
{
	return t->client;
}

BIO_METHOD *nodetls_bio(struct nodetls *t)
{
	return t->bio;
}

SSL_SESSION *nodetls_session(struct nodetls *t, struct span node)
{
	SSL_SESSION *kept, *copy;

	pthread_mutex_lock(&t->lock);
	kept = sessions_find(&t->sessions, node);
	copy = kept ? SSL_SESSION_dup(kept) : NULL;
	pthread_mutex_unlock(&t->lock);
	return copy;
}

void nodetls_keep_session(struct nodetls *t, struct span node, SSL_SESSION *session)
{
	SSL_SESSION *copy = SSL_SESSION_dup(session);

	if (!copy)
		return;
	pthread_mutex_lock(&t->lock);
	sessions_keep(&t->sessions, node, copy);
	pthread_mutex_unlock(&t->lock);
}
