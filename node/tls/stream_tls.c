#include "node/tls/stream_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/tls/certs.h"
#include "node/tls/lean.h"
#include "node/tls/mint.h"
#include "node/tls/seal.h"
#include "node/tls/stream_tls_internal.h"
#include "node/tls/tlsctx.h"
#include "node/tls/trust.h"

#define RECORD_BYTES SEAL_PLAIN_MAX
/* The cheapest first, be it ours to choose or to propose. */
#define CIPHERS_TLS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* How libssl speaks to a BIO that is to seal in its place, as the kernel might: no header that is installed names these. */
enum { BIO_TAKE_KEY = 72, BIO_HAS_KEY = 73, BIO_NEXT_TYPE = 74 };

/* What a stream between nodes has more. */
struct tls_node {
	struct nodetls *tls;   /* shared */
	bool proxy;            /* server side: pmc-proxy/1 may be agreed to */
	bool known;            /* the handshake has ended well: name and door are set */
	bool no_door;          /* it has not, for want of a door */
	enum node_door door;   /* asked for, then agreed */
	struct node_name name; /* of the other end */
	char why[160];         /* its certificate was refused */
};

struct tls {
	struct stream stream;
	struct stream *below;
	SSL *ssl;
	struct tlsctx *ctx;    /* NULL between nodes */
	struct tls_node *node; /* NULL unless between nodes */
	struct leaf *leaf;     /* server side */
	struct seal *seal;     /* of what we send; NULL while and where OpenSSL does it */
	uint8_t next_type;     /* of the record that OpenSSL writes next, if it is none of application data */
	char *first;           /* bytes read before us, until OpenSSL has them */
	size_t first_at, first_n;
	unsigned wanted;
	bool handshaking;
	bool below_ended;
	bool send_failed; /* what the peer said before may still be read, as below */
	bool drained;     /* nothing more to read until the stream below is ready */
	bool resumed;
	stream_tls_on_done_f *on_done;
	struct deferred handshake_job, read_job, write_job;
	const char *rejected;
	char *origin; /* client side: name of the kept session */
	char *detail;
};

static struct tls *tls_of(struct stream *s)
{
	return (struct tls *)s;
}

/* ---- the BIO ---- */

static bool send_sealed(struct tls *t, uint8_t type, struct span plain)
{
	char aside[SEAL_PLAIN_MAX + SEAL_OVERHEAD];
	char *room = stream_room(t->below, plain.n + SEAL_OVERHEAD);
	size_t n = seal_record(t->seal, type, plain, room ? room : aside);

	if (n == 0)
		return false;
	return room ? stream_filled(t->below, n) : stream_push(t->below, span_of(aside, n));
}

/* What comes through OpenSSL: a ticket, an alert, or data with which it has to send one. */
static bool send_for_openssl(struct tls *t, struct span plain)
{
	uint8_t type = t->next_type ? t->next_type : SSL3_RT_APPLICATION_DATA;
	bool sent = send_sealed(t, type, plain);

	t->next_type = 0;
	/* The last record of this key: the next is known to OpenSSL alone, which goes on with it (RFC 8446 §4.6.3). */
	if (type == SSL3_RT_HANDSHAKE && plain.p[0] == SSL3_MT_KEY_UPDATE)
		seal_free(&t->seal);
	return sent;
}

static int bio_write(BIO *bio, const char *bytes, int n)
{
	struct tls *t = BIO_get_data(bio);
	struct span s = span_of(bytes, (size_t)n);

	BIO_clear_retry_flags(bio);
	return (t->seal ? send_for_openssl(t, s) : stream_push(t->below, s)) ? n : -1;
}

static int read_first(struct tls *t, char *to, size_t room)
{
	size_t left = t->first_n - t->first_at, n = room < left ? room : left;

	memcpy(to, t->first + t->first_at, n);
	t->first_at += n;
	if (t->first_at == t->first_n) {
		free(t->first);
		t->first = NULL;
	}
	return (int)n;
}

static int bio_read(BIO *bio, char *to, int room)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (room <= 0)
		return 0;
	if (t->first)
		return read_first(t, to, (size_t)room);
	n = stream_read(t->below, to, (size_t)room);
	if (n == STREAM_AGAIN) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (n == 0)
		t->below_ended = true;
	return n < 0 ? -1 : (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct tls *t = BIO_get_data(bio);

	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_TAKE_KEY:
		if (num && !t->seal) /* num: to send, not to receive */
			t->seal = seal_new(ptr);
		return num && t->seal;
	case BIO_HAS_KEY:
		return t->seal != NULL;
	case BIO_NEXT_TYPE:
		t->next_type = (uint8_t)num;
		return 0;
	case BIO_CTRL_EOF:
		return t->below_ended;
	default:
		return 0;
	}
}

BIO_METHOD *stream_tls__bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

	CHECK_THAT(m != NULL);
	BIO_meth_set_write(m, bio_write);
	BIO_meth_set_read(m, bio_read);
	BIO_meth_set_ctrl(m, bio_ctrl);
	return m;
}

/* ---- callbacks of the SSL_CTX ---- */

int stream_tls__on_certificate(SSL *ssl, void *arg)
{
	struct tls *t = SSL_get_app_data(ssl);

	(void)arg;
	return SSL_use_certificate(ssl, leaf_cert(t->leaf)) == 1 && SSL_use_PrivateKey(ssl, leaf_pkey(t->leaf)) == 1 &&
	       SSL_set1_chain(ssl, leaf_chain(t->leaf)) == 1;
}

int stream_tls__on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *t = SSL_get_app_data(ssl);

	if (!t->origin)
		return 0;
	tlsctx_keep_session(t->ctx, span_str(t->origin), session);
	return 1;
}

SSL_CTX *stream_tls__context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(lean_context(), NULL, method);

	CHECK_THAT(ctx != NULL && SSL_CTX_set_ciphersuites(ctx, CIPHERS_TLS13) == 1);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_ENABLE_KTLS);
	return ctx;
}

/* ---- the same between nodes ---- */

/* As ALPN has them, each behind its length. */
static struct span door_of(enum node_door door)
{
	return door == NODE_DOOR_PROXY ? SPAN("\x0bpmc-proxy/1") : SPAN("\x0apmc-peer/1");
}

/* Called for each certificate of the chain, the node's own last, and for the first fault. */
int stream_tls__on_node_verify(int ok, X509_STORE_CTX *x)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get0_cert(x);
	const char *ours = nodetls_self(t->node->tls)->cluster;
	struct node_name name;
	bool named = cert && nodecert_read(cert, &name) == 0;

	if (!ok) {
		snprintf(t->node->why, sizeof(t->node->why), "certificate of %s: %s", named ? name.node : "no node",
			 X509_verify_cert_error_string(X509_STORE_CTX_get_error(x)));
		return 0;
	}
	if (X509_STORE_CTX_get_error_depth(x) > 0 || (named && strcmp(name.cluster, ours) == 0))
		return 1;
	if (named)
		snprintf(t->node->why, sizeof(t->node->why), "certificate of %s is for cluster %s", name.node,
			 name.cluster);
	else
		snprintf(t->node->why, sizeof(t->node->why), "its certificate names no node");
	X509_STORE_CTX_set_error(x, X509_V_ERR_CERT_REJECTED);
	return 0;
}

/* A link for which no door is open is refused before it stands (no_application_protocol). */
int stream_tls__on_node_door(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
			     unsigned in_n, void *arg)
{
	const struct tls *t = SSL_get_app_data(ssl);
	enum node_door last = t->node->proxy ? NODE_DOOR_PROXY : NODE_DOOR_PEER;

	(void)arg;
	for (enum node_door door = NODE_DOOR_PEER; door <= last; door++) {
		struct span ours = door_of(door);

		if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_n, (const unsigned char *)ours.p,
					  (unsigned)ours.n, in, in_n) == OPENSSL_NPN_NEGOTIATED)
			return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Tickets come behind the handshake, when it is known who gives them. */
int stream_tls__on_node_session(SSL *ssl, SSL_SESSION *session)
{
	const struct tls *t = SSL_get_app_data(ssl);

	if (t->node->known)
		nodetls_keep_session(t->node->tls, span_str(t->node->name.node), session);
	return 0;
}

/* ---- failures ---- */

static void set_detail(struct tls *t, const char *text)
{
	free(t->detail);
	t->detail = span_dup(span_str(text));
}

static const char *alert_of(unsigned long err)
{
	if (ERR_GET_LIB(err) != ERR_LIB_SSL)
		return NULL;
	switch (ERR_GET_REASON(err)) {
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		return "unknown ca";
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
		return "bad certificate";
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
		return "certificate unknown";
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
		return "unsupported certificate";
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
		return "certificate expired";
	default:
		return NULL;
	}
}

/* Said by us or by the other side. */
static bool is_no_door(unsigned long err)
{
	return ERR_GET_LIB(err) == ERR_LIB_SSL && (ERR_GET_REASON(err) == SSL_R_NO_APPLICATION_PROTOCOL ||
						   ERR_GET_REASON(err) == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
}

static enum reason reason_of_error(struct tls *t, unsigned long err)
{
	long verdict = SSL_get_verify_result(t->ssl);

	if (t->node && verdict != X509_V_OK) {
		set_detail(t, t->node->why[0] ? t->node->why : X509_verify_cert_error_string(verdict));
		return verdict == X509_V_ERR_CERT_REJECTED ? REASON_CERT_WRONG_NAME
							   : trust_reason(verdict, SSL_get0_peer_certificate(t->ssl));
	}
	if (t->origin && verdict != X509_V_OK) {
		set_detail(t, X509_verify_cert_error_string(verdict));
		return trust_reason(verdict, SSL_get0_peer_certificate(t->ssl));
	}
	if (ERR_GET_LIB(err) == ERR_LIB_SSL) {
		switch (ERR_GET_REASON(err)) {
		case SSL_R_UNSUPPORTED_PROTOCOL:
		case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
			return REASON_TLS_OLD;
		case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
			return REASON_TLS_WANTS_CERT;
		case SSL_R_UNEXPECTED_EOF_WHILE_READING:
			return t->handshaking ? REASON_TLS_CLOSED : REASON_UPSTREAM_CUT;
		case SSL_R_EE_KEY_TOO_SMALL:
		case SSL_R_CA_KEY_TOO_SMALL:
		case SSL_R_CA_MD_TOO_WEAK:
		case SSL_R_DH_KEY_TOO_SMALL:
			return REASON_CERT_WEAK;
		default:
			break;
		}
	}
	return t->handshaking ? REASON_TLS_FAILED : REASON_UPSTREAM_RESET;
}

/* Turns OpenSSL's error queue into our reason; the stream is dead from here on. */
static void fail(struct tls *t, int ssl_error)
{
	unsigned long err = ERR_peek_last_error();
	char text[160];

	if (t->stream.why) {
		ERR_clear_error();
		return;
	}
	t->rejected = alert_of(err);
	if (t->node)
		t->node->no_door = is_no_door(err);
	if (err) {
		ERR_error_string_n(err, text, sizeof(text));
		set_detail(t, ERR_reason_error_string(err) ? ERR_reason_error_string(err) : text);
	}
	if (ssl_error == SSL_ERROR_SYSCALL && !err)
		t->stream.why = t->below_ended || !t->below->why
					? (t->handshaking ? REASON_TLS_CLOSED : REASON_UPSTREAM_CUT)
					: (t->handshaking ? REASON_TLS_CLOSED : t->below->why);
	else
		t->stream.why = reason_of_error(t, err);
	ERR_clear_error();
}

/* ---- reading and writing ---- */

static void below_want(struct tls *t)
{
	unsigned events = 0;

	if (t->handshaking || (t->wanted & STREAM_READ))
		events |= STREAM_READ;
	if (!t->handshaking && (t->wanted & STREAM_WRITE) && stream_blocked(t->below))
		events |= STREAM_WRITE;
	stream_want(t->below, events);
}

/* The peer may have said why it takes no more before it went: an early 413 is worth more than the broken pipe. */
static void fail_sending(struct tls *t, int ssl_error)
{
	fail(t, ssl_error);
	t->send_failed = t->below->why != REASON_NONE;
}

/* Nothing that OpenSSL has still to say must come before: it answers a request for a new key when it is next called to write. */
static bool may_pass_openssl(struct tls *t)
{
	return t->seal && !t->handshaking && SSL_get_key_update_type(t->ssl) == SSL_KEY_UPDATE_NONE;
}

/* At most RECORD_BYTES, all of which are taken. */
static bool send_record(struct tls *t, struct span record)
{
	size_t wrote;

	if (may_pass_openssl(t)) {
		if (send_sealed(t, SSL3_RT_APPLICATION_DATA, record))
			return true;
		fail_sending(t, SSL_ERROR_SYSCALL);
		return false;
	}
	if (SSL_write_ex(t->ssl, record.p, record.n, &wrote) != 1) {
		fail_sending(t, SSL_get_error(t->ssl, 0));
		return false;
	}
	CHECK_THAT(wrote == record.n); /* the stream below takes all that is pushed */
	return true;
}

static ssize_t tls_read(struct stream *s, void *to, size_t room)
{
	struct tls *t = tls_of(s);
	size_t n = 0;
	int error;

	if (s->why && !t->send_failed)
		return STREAM_FAILED;
	if (SSL_read_ex(t->ssl, to, room, &n) == 1)
		return (ssize_t)n;
	error = SSL_get_error(t->ssl, 0);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		t->drained = true;
		return STREAM_AGAIN;
	}
	if (error == SSL_ERROR_ZERO_RETURN && !s->why)
		return 0;
	t->send_failed = false;
	fail(t, error);
	return STREAM_FAILED;
}

/* The next record's worth of what is left: straight from a span that has enough, else gathered. Moves *i and *off on.
 *
 * In a large write a small span (a head) goes alone rather than with the beginning of the next: a chunk of a body is four records
 * exactly, and would otherwise be out of step with them, so that every fourth had to be copied together. */
static struct span next_record(struct tls *t, const struct span *v, int n, int *i, size_t *off, bool large)
{
	struct buf gathered = buf_over(loop_scratch(t->stream.loop), RECORD_BYTES);

	while (*i < n && *off == v[*i].n)
		(*i)++, *off = 0;
	if (*i == n)
		return SPAN_NONE;
	if (v[*i].n - *off >= RECORD_BYTES || *i == n - 1) {
		struct span record = span_upto(span_from(v[*i], *off), RECORD_BYTES);

		*off += record.n;
		return record;
	}
	while (*i < n && gathered.n < gathered.cap) {
		if (large && gathered.n && v[*i].n - *off >= RECORD_BYTES)
			break;
		struct span piece = span_upto(span_from(v[*i], *off), gathered.cap - gathered.n);

		buf_put(&gathered, piece);
		*off += piece.n;
		if (*off == v[*i].n)
			(*i)++, *off = 0;
	}
	return buf_span(&gathered);
}

static bool is_large(const struct span *v, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += v[i].n;
	return sum > 4 * RECORD_BYTES;
}

static ssize_t tls_write(struct stream *s, const struct span *v, int n)
{
	struct tls *t = tls_of(s);
	size_t taken = 0, off = 0;
	bool large = is_large(v, n);
	int i = 0;

	if (s->why)
		return STREAM_FAILED;
	while (taken < STREAM_TURN_BYTES && !stream_blocked(t->below)) {
		struct span record = next_record(t, v, n, &i, &off, large);

		if (!record.n)
			return (ssize_t)taken;
		if (!send_record(t, record))
			return STREAM_FAILED;
		taken += record.n;
	}
	return taken ? (ssize_t)taken : STREAM_AGAIN;
}

static bool tls_push(struct stream *s, struct span bytes)
{
	struct tls *t = tls_of(s);

	while (bytes.n) {
		struct span record = span_upto(bytes, RECORD_BYTES);

		if (s->why || !send_record(t, record))
			return false;
		bytes = span_from(bytes, record.n);
	}
	return true;
}

static bool tls_blocked(const struct stream *s)
{
	return stream_blocked(((const struct tls *)s)->below);
}

static void on_read_job(void *arg)
{
	struct tls *t = arg;

	if ((t->wanted & STREAM_READ) && t->stream.on_ready)
		t->stream.on_ready(t->stream.cookie, STREAM_READ);
}

static void on_write_job(void *arg)
{
	struct tls *t = arg;

	if (!(t->wanted & STREAM_WRITE))
		return;
	if (stream_blocked(t->below) && !t->below->why) {
		below_want(t);
		return;
	}
	if (t->stream.on_ready)
		t->stream.on_ready(t->stream.cookie, STREAM_WRITE);
}

static void tls_want(struct stream *s, unsigned events)
{
	struct tls *t = tls_of(s);

	t->wanted = events;
	if ((events & STREAM_READ) &&
	    ((s->why && !t->send_failed) || (!t->drained && (t->first || SSL_has_pending(t->ssl)))))
		loop_defer(s->loop, &t->read_job, on_read_job, t);
	if ((events & STREAM_WRITE) && !stream_blocked(t->below))
		loop_bulk(s->loop, &t->write_job, on_write_job, t);
	below_want(t);
}

/* ---- the end ---- */

static void tls_end_writing(struct stream *s)
{
	struct tls *t = tls_of(s);

	if (s->why)
		return;
	SSL_shutdown(t->ssl);
	ERR_clear_error();
	stream_end_writing(t->below);
}

static void tls_close(struct stream *s, enum stream_end end)
{
	struct tls *t = tls_of(s);

	if (end == STREAM_CLEAN && !s->why && !t->handshaking)
		SSL_shutdown(t->ssl);
	/* Without this, freeing a connection that the peer has not closed would spoil its session for resumption. */
	SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	ERR_clear_error();
	loop_defer_cancel(s->loop, &t->handshake_job);
	loop_defer_cancel(s->loop, &t->read_job);
	loop_defer_cancel(s->loop, &t->write_job);
	SSL_free(t->ssl);
	seal_free(&t->seal);
	leaf_unref(&t->leaf);
	if (t->node)
		nodetls_unref(&t->node->tls);
	free(t->node);
	stream_close(&t->below, end);
	free(t->first);
	free(t->origin);
	free(t->detail);
	s->magic = 0;
	free(t);
}

static const struct addr *tls_peer(const struct stream *s)
{
	return stream_peer(((const struct tls *)s)->below);
}

/* ---- the handshake ---- */

static void refuse(struct tls *t, enum reason why, const char *text)
{
	set_detail(t, text);
	t->stream.why = why;
}

static bool agreed_to(const struct tls *t, enum node_door door)
{
	const unsigned char *name;
	unsigned n;
	struct span wanted = span_from(door_of(door), 1);

	SSL_get0_alpn_selected(t->ssl, &name, &n);
	return span_eq(span_of((const char *)name, n), wanted);
}

/* The handshake between nodes is over. What is in doubt still: after a resumption no certificate was looked at, though the one of the
 * session may have expired since; and a client may have asked for no door at all. */
static void admit(struct tls *t)
{
	struct tls_node *node = t->node;
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	bool proxy = agreed_to(t, NODE_DOOR_PROXY);

	if (!cert || nodecert_read(cert, &node->name) < 0 ||
	    strcmp(node->name.cluster, nodetls_self(node->tls)->cluster) != 0) {
		refuse(t, REASON_CERT_WRONG_NAME, "it has shown no certificate of a node");
		return;
	}
	if (loop_wall(t->stream.loop) >= certs_wall(X509_get0_notAfter(cert))) {
		snprintf(node->why, sizeof(node->why), "certificate of %s: certificate has expired", node->name.node);
		refuse(t, REASON_CERT_EXPIRED, node->why);
		return;
	}
	if (SSL_is_server(t->ssl) ? !proxy && !agreed_to(t, NODE_DOOR_PEER) : !agreed_to(t, node->door)) {
		node->no_door = true;
		refuse(t, REASON_TLS_FAILED, "no door was agreed (ALPN pmc-peer/1, pmc-proxy/1)");
		return;
	}
	node->door = proxy ? NODE_DOOR_PROXY : NODE_DOOR_PEER;
	node->known = true;
}

static void handshake(struct tls *t)
{
	int result = t->stream.why ? 1 : SSL_do_handshake(t->ssl), error;

	if (result != 1) {
		error = SSL_get_error(t->ssl, result);
		if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
			below_want(t);
			return;
		}
		fail(t, error);
	}
	t->handshaking = false;
	if (t->node && !t->stream.why)
		admit(t);
	t->resumed = !t->stream.why && SSL_session_reused(t->ssl);
	below_want(t);
	t->on_done(t->stream.cookie, &t->stream, t->stream.why); /* t may be gone now */
}

static void on_handshake_job(void *arg)
{
	handshake(arg);
}

static void on_below_ready(void *cookie, unsigned events)
{
	struct tls *t = cookie;

	CHECK(&t->stream, STREAM_MAGIC);
	t->drained = false;
	if (t->handshaking) {
		handshake(t);
		return;
	}
	events &= t->wanted;
	if (events && t->stream.on_ready)
		t->stream.on_ready(t->stream.cookie, events);
}

static const struct stream_ops tls_ops = {
	.name = "tls",
	.read = tls_read,
	.write = tls_write,
	.push = tls_push,
	.blocked = tls_blocked,
	.want = tls_want,
	.end_writing = tls_end_writing,
	.close = tls_close,
	.peer = tls_peer,
};

static struct tls *tls_new(struct stream **below, BIO_METHOD *method, SSL_CTX *ssl_ctx, stream_tls_on_done_f *on_done,
			   void *cookie)
{
	struct tls *t = NEW(struct tls);
	BIO *bio = BIO_new(method);

	t->stream = (struct stream){.magic = STREAM_MAGIC, .ops = &tls_ops, .loop = (*below)->loop, .cookie = cookie};
	t->below = *below;
	*below = NULL;
	t->handshaking = true;
	t->on_done = on_done;
	t->ssl = SSL_new(ssl_ctx);
	CHECK_THAT(t->ssl != NULL && bio != NULL);
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_app_data(t->ssl, t);
	stream_set_handler(t->below, on_below_ready, t);
	/* The first step is deferred: nothing calls back from inside a start. */
	loop_defer(t->stream.loop, &t->handshake_job, on_handshake_job, t);
	return t;
}

struct stream *stream_tls_accept(struct stream **below, struct tlsctx *ctx, struct leaf *leaf, struct span first,
				 stream_tls_on_done_f *on_done, void *cookie)
{
	struct tls *t = tls_new(below, tlsctx_bio(ctx), tlsctx_server(ctx), on_done, cookie);

	t->ctx = ctx;
	t->leaf = leaf_ref(leaf);
	if (first.n) {
		t->first = mem_alloc(first.n);
		memcpy(t->first, first.p, first.n);
		t->first_n = first.n;
	}
	SSL_set_session_id_context(t->ssl, leaf_context(leaf), MINT_CONTEXT_BYTES);
	SSL_set_accept_state(t->ssl);
	return &t->stream;
}

struct stream *stream_tls_connect(struct stream **below, struct tlsctx *ctx, struct span host, bool is_ip,
				  struct span origin, stream_tls_on_done_f *on_done, void *cookie)
{
	struct tls *t = tls_new(below, tlsctx_bio(ctx), tlsctx_client(ctx), on_done, cookie);
	SSL_SESSION *session = tlsctx_session(ctx, origin);
	char *name = span_dup(host);

	t->ctx = ctx;
	t->origin = span_dup(origin);
	if (trust_configure(t->ssl, name, is_ip) < 0)
		t->stream.why = REASON_BAD_HOST;
	if (!is_ip)
		SSL_set_tlsext_host_name(t->ssl, name);
	if (session)
		SSL_set_session(t->ssl, session);
	free(name);
	SSL_set_connect_state(t->ssl);
	return &t->stream;
}

static struct tls *node_new(struct stream **below, struct nodetls *tls, SSL_CTX *ssl_ctx, stream_tls_on_done_f *on_done,
			    void *cookie)
{
	struct tls *t = tls_new(below, nodetls_bio(tls), ssl_ctx, on_done, cookie);

	t->node = NEW(struct tls_node);
	t->node->tls = nodetls_ref(tls);
	/* Certificates are looked at by the node's clock, like everything else. */
	X509_VERIFY_PARAM_set_time(SSL_get0_param(t->ssl), (time_t)(loop_wall(t->stream.loop) / DUR_SECOND));
	return t;
}

struct stream *stream_tls_accept_node(struct stream **below, struct nodetls *tls, bool proxy,
				      stream_tls_on_done_f *on_done, void *cookie)
{
	struct tls *t = node_new(below, tls, nodetls_server(tls), on_done, cookie);

	t->node->proxy = proxy;
	SSL_set_accept_state(t->ssl);
	return &t->stream;
}

struct stream *stream_tls_connect_node(struct stream **below, struct nodetls *tls, enum node_door door,
				       struct span node, stream_tls_on_done_f *on_done, void *cookie)
{
	struct tls *t = node_new(below, tls, nodetls_client(tls), on_done, cookie);
	struct span name = door_of(door);
	SSL_SESSION *session = nodetls_session(tls, node);

	t->node->door = door;
	CHECK_THAT(SSL_set_alpn_protos(t->ssl, (const unsigned char *)name.p, (unsigned)name.n) == 0);
	if (session)
		SSL_set_session(t->ssl, session);
	SSL_SESSION_free(session);
	SSL_set_connect_state(t->ssl);
	return &t->stream;
}

/* ---- questions ---- */

int stream_tls_node(const struct stream *s, struct node_name *out)
{
	const struct tls *t = (const struct tls *)s;

	if (s->ops != &tls_ops || !t->node || !t->node->known)
		return -1;
	*out = t->node->name;
	return 0;
}

enum node_door stream_tls_door(const struct stream *s)
{
	const struct tls *t = (const struct tls *)s;

	CHECK_THAT(s->ops == &tls_ops && t->node && t->node->known);
	return t->node->door;
}

bool stream_tls_no_door(const struct stream *s)
{
	const struct tls *t = (const struct tls *)s;

	return t->node && t->node->no_door;
}

bool stream_tls_resumed(const struct stream *s)
{
	return ((const struct tls *)s)->resumed;
}

const char *stream_tls_rejected(const struct stream *s)
{
	return ((const struct tls *)s)->rejected;
}

const char *stream_tls_detail(const struct stream *s)
{
	const struct tls *t = (const struct tls *)s;

	return t->detail ? t->detail : "";
}

struct origin_cert *stream_tls_origin_cert(const struct stream *s)
{
	const struct tls *t = (const struct tls *)s;
	X509 *cert = SSL_get0_peer_certificate(t->ssl);

	return cert ? trust_describe(cert) : NULL;
}
