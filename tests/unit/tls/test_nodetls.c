#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "node/net/stream_plain.h"
#include "node/tls/nodetls.h"
#include "node/tls/stream_tls.h"
#include "tests/unit/net/ground.h"
#include "tests/unit/tls/certs_make.h"
#include "tests/unit/tls/nodes.h"

/* The machine's clock, the date moved. */
struct moved_clock {
	struct clock clock;
	dur_ms by;
};

static mono_us same_mono(const struct clock *c)
{
	(void)c;
	return clock_mono(&clock_system);
}

static wall_ms moved_wall(const struct clock *c)
{
	return clock_wall(&clock_system) + ((const struct moved_clock *)c)->by;
}

/* One end of a connection. */
struct end {
	struct place *p;
	struct stream *s;
	bool done;
	enum reason why;
	struct node_name who;
	char detail[200];
	char in[64];
	size_t in_n;
};

struct place {
	struct ground g;
	struct moved_clock clock;
	const char *folder;
	struct nodes c, other; /* two CAs */
	struct nodetls *edge, *parent;
	struct end server, client;
	int waiting; /* for so many ends */
	char why[NODECERT_WHY_BYTES];
};

/* Made once: certificates are brought to the disk, which takes its time. */
struct cluster {
	char *folder;
	struct nodes c, other;
};

static int make_all(void **state)
{
	struct cluster *f = calloc(1, sizeof(*f));

	f->folder = make_folder();
	f->c = nodes_make(f->folder);
	f->other = nodes_make_ca(f->folder, "other", f->c.now);
	*state = f;
	return 0;
}

static int remove_all(void **state)
{
	struct cluster *f = *state;

	make_folder_remove(f->folder);
	free(f);
	return 0;
}

static void place_init(struct place *p, const struct cluster *f)
{
	memset(p, 0, sizeof(*p));
	p->clock.clock = (struct clock){.mono = same_mono, .wall = moved_wall};
	p->g.loop = loop_new(0, &p->clock.clock);
	timer_init(&p->g.limit, p->g.loop, ground_on_limit, &p->g);
	p->server.p = p->client.p = p;
	if (!f)
		return;
	p->folder = f->folder;
	p->c = f->c;
	p->other = f->other;
	p->edge = nodes_tls(&p->c, "edge1");
	p->parent = nodes_tls(&p->c, "parent1");
}

static void close_ends(struct place *p)
{
	stream_close(&p->server.s, STREAM_CUT);
	stream_close(&p->client.s, STREAM_CUT);
	p->server = p->client = (struct end){.p = p};
	p->waiting = 0;
}

static void place_fini(struct place *p)
{
	close_ends(p);
	nodetls_unref(&p->edge);
	nodetls_unref(&p->parent);
	ground_fini(&p->g);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	place_init(p, *state);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	place_fini(p);
	assert_int_equal(ERR_peek_error(), 0);
	free(p);
	return 0;
}

/* ---- connections ---- */

static void on_done(void *cookie, struct stream *s, enum reason why)
{
	struct end *e = cookie;

	assert_ptr_equal(e->s, s);
	assert_false(e->done);
	e->done = true;
	e->why = why;
	snprintf(e->detail, sizeof(e->detail), "%s", stream_tls_detail(s));
	assert_int_equal(stream_tls_node(s, &e->who), why ? -1 : 0);
	if (why) /* so that the other side hears of it */
		stream_close(&e->s, STREAM_CLEAN);
	if (--e->p->waiting == 0)
		loop_stop(e->p->g.loop);
}

static struct stream *plain(struct place *p, int fd)
{
	struct addr a = ground_addr("127.0.0.1", 1);

	return stream_plain_new(p->g.loop, fd, &a);
}

static void accept_on(struct place *p, int fd, struct nodetls *tls, bool proxy)
{
	struct stream *below = plain(p, fd);

	p->server.s = stream_tls_accept_node(&below, tls, proxy, on_done, &p->server);
	assert_null(below);
	assert_false(p->server.done);
	p->waiting++;
}

static void connect_on(struct place *p, int fd, struct nodetls *tls, enum node_door door, const char *node)
{
	struct stream *below = plain(p, fd);

	p->client.s = stream_tls_connect_node(&below, tls, door, span_str(node), on_done, &p->client);
	assert_null(below);
	assert_false(p->client.done);
	p->waiting++;
}

static void shake(struct place *p, struct nodetls *server, bool proxy, struct nodetls *client, enum node_door door)
{
	int fd[2];

	close_ends(p);
	ground_pair(fd);
	accept_on(p, fd[1], server, proxy);
	connect_on(p, fd[0], client, door, nodetls_self(server)->node);
	ground_run(&p->g);
}

static void on_bytes(void *cookie, unsigned events)
{
	struct end *e = cookie;
	ssize_t n = stream_read(e->s, e->in + e->in_n, sizeof(e->in) - 1 - e->in_n);

	(void)events;
	if (n > 0)
		e->in_n += (size_t)n;
	if (n != STREAM_AGAIN)
		loop_stop(e->p->g.loop);
}

static void on_push(void *arg)
{
	struct end *e = arg;

	assert_true(stream_push(e->s, SPAN("hello")));
}

/* A few bytes go over, from a handler, behind which the loop sends them; they carry the server's ticket with them. */
static void expect_bytes(struct place *p, struct end *from, struct end *to)
{
	to->in_n = 0;
	memset(to->in, 0, sizeof(to->in));
	loop_post(p->g.loop, on_push, from);
	stream_set_handler(to->s, on_bytes, to);
	stream_want(to->s, STREAM_READ);
	ground_run(&p->g);
	stream_want(to->s, 0);
	assert_string_equal(to->in, "hello");
}

static void expect_names(struct place *p)
{
	assert_int_equal(p->server.why, REASON_NONE);
	assert_int_equal(p->client.why, REASON_NONE);
	assert_string_equal(p->server.who.node, "edge1");
	assert_int_equal(p->server.who.role, NODE_EDGE);
	assert_string_equal(p->client.who.node, "parent1");
	assert_int_equal(p->client.who.role, NODE_PARENT);
	assert_string_equal(p->client.who.cluster, NODES_CLUSTER);
}

/* ---- a peer with OpenSSL's own means, on a thread ---- */

struct raw {
	bool server;
	const char *cert, *key; /* NULL: none */
	const char *alpn;       /* with lengths; NULL: none */
	int version;            /* at most */
	int fd;
	pthread_t thread;
	bool shook;    /* the handshake ended well, as seen from here */
	bool got_byte; /* and something came behind it */
	int error;     /* what was wrong in the end */
};

static int raw_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
		       unsigned in_n, void *arg)
{
	const struct raw *r = arg;

	(void)ssl;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_n, (const unsigned char *)r->alpn,
				     (unsigned)strlen(r->alpn), in, in_n) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_NOACK;
}

static void *raw_main(void *arg)
{
	struct raw *r = arg;
	SSL_CTX *ctx = SSL_CTX_new(r->server ? TLS_server_method() : TLS_client_method());
	SSL *ssl;
	char byte;

	if (r->version)
		SSL_CTX_set_max_proto_version(ctx, r->version);
	if (r->cert && (SSL_CTX_use_certificate_file(ctx, r->cert, SSL_FILETYPE_PEM) != 1 ||
			SSL_CTX_use_PrivateKey_file(ctx, r->key, SSL_FILETYPE_PEM) != 1))
		abort();
	if (r->alpn && r->server)
		SSL_CTX_set_alpn_select_cb(ctx, raw_on_alpn, r);
	ssl = SSL_new(ctx);
	if (r->alpn && !r->server)
		SSL_set_alpn_protos(ssl, (const unsigned char *)r->alpn, (unsigned)strlen(r->alpn));
	SSL_set_fd(ssl, r->fd);
	r->shook = (r->server ? SSL_accept(ssl) : SSL_connect(ssl)) == 1;
	r->got_byte = r->shook && SSL_read(ssl, &byte, 1) == 1;
	r->error = ERR_GET_REASON(ERR_peek_last_error());
	ERR_clear_error();
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(r->fd);
	return NULL;
}

static void raw_start(struct raw *r, int fd)
{
	r->fd = fd;
	fcntl(fd, F_SETFL, 0);
	assert_int_equal(pthread_create(&r->thread, NULL, raw_main, r), 0);
}

/* Our server against this client; both have ended when it returns. */
static void serve_raw(struct place *p, struct raw *r)
{
	int fd[2];

	close_ends(p);
	ground_pair(fd);
	raw_start(r, fd[0]);
	accept_on(p, fd[1], p->parent, false);
	ground_run(&p->g);
	stream_close(&p->server.s, STREAM_CLEAN);
	ground_run_for(&p->g, 20);
	pthread_join(r->thread, NULL);
}

static void ask_raw(struct place *p, struct raw *r)
{
	int fd[2];

	close_ends(p);
	ground_pair(fd);
	raw_start(r, fd[1]);
	connect_on(p, fd[0], p->edge, NODE_DOOR_PEER, "parent1");
	ground_run(&p->g);
	stream_close(&p->client.s, STREAM_CLEAN);
	ground_run_for(&p->g, 20);
	pthread_join(r->thread, NULL);
}

/* ---- loading ---- */

static void expect_no(struct place *p, const char *cert, const char *key, const char *ca, const char *cluster,
		      wall_ms now, const char *says)
{
	struct nodetls *t = nodetls_new(cert, key, ca, cluster, now, p->why, sizeof(p->why));

	if (t || !strstr(p->why, says))
		fail_msg("\"%s\" instead of \"%s\"", p->why, says);
}

static void test_load(void **state)
{
	struct place *p = *state;
	struct node_files edge = nodes_files(&p->c, "edge1"), parent = nodes_files(&p->c, "parent1"), f;
	wall_ms now = p->c.now;
	char none[512], day[32], says[700];
	struct tm tm;
	time_t end;

	assert_string_equal(nodetls_self(p->edge)->node, "edge1");
	assert_true(nodetls_not_after(p->edge) > now + 29 * DUR_DAY);
	snprintf(none, sizeof(none), "%s/none", p->folder);
	expect_no(p, none, edge.key, p->c.ca, "test", now, "cannot be read");
	expect_no(p, edge.cert, none, p->c.ca, "test", now, "cannot be read");
	expect_no(p, edge.cert, edge.key, none, "test", now, "cannot be read");
	expect_no(p, edge.cert, parent.key, p->c.ca, "test", now, "cluster.key: ");
	expect_no(p, edge.cert, edge.key, p->c.ca, "prod", now, "is for cluster test, and cluster.name is prod");
	expect_no(p, edge.cert, edge.key, p->other.ca, "test", now, "is not a node's certificate by the CA in");
	expect_no(p, edge.cert, edge.key, parent.cert, "test", now, "is no CA");
	expect_no(p, p->c.ca, p->c.ca_key, p->c.ca, "test", now, "names no node");
	expect_no(p, edge.cert, edge.key, p->c.ca, "test", now - 2 * DUR_DAY, "is the clock of this machine right");

	end = (time_t)(nodetls_not_after(p->edge) / DUR_SECOND);
	gmtime_r(&end, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	snprintf(says, sizeof(says), "cluster.cert: %s has expired on %s: issue a new one (pmcachectl cluster issue)",
		 edge.cert, day);
	expect_no(p, edge.cert, edge.key, p->c.ca, "test", now + 31 * DUR_DAY, says);

	f = nodes_issue(&p->c, "loose", "test", NODE_EDGE, "loose", 9, now);
	assert_int_equal(chmod(f.key, 0644), 0);
	expect_no(p, f.cert, f.key, p->c.ca, "test", now, "chmod 600");
}

/* While one CA follows the other, its file holds both. */
static void test_two_cas(void **state)
{
	struct place *p = *state;
	struct nodes both = p->c;
	struct nodetls *old_one, *new_one;
	char command[2000];

	nodes_issue(&p->other, "new", "test", NODE_EDGE, "new", 9, p->c.now);
	snprintf(both.ca, sizeof(both.ca), "%s/both", p->folder);
	snprintf(command, sizeof(command), "cat '%s' '%s' > '%s'", p->c.ca, p->other.ca, both.ca);
	assert_int_equal(system(command), 0);
	old_one = nodes_tls(&both, "parent1");
	new_one = nodes_tls(&both, "new");
	shake(p, old_one, false, new_one, NODE_DOOR_PEER);
	assert_int_equal(p->server.why, REASON_NONE);
	assert_int_equal(p->client.why, REASON_NONE);
	assert_string_equal(p->server.who.node, "new");
	nodetls_unref(&old_one);
	nodetls_unref(&new_one);
	assert_null(new_one);
	nodetls_unref(&new_one);
}

/* ---- handshakes ---- */

static void test_shake(void **state)
{
	struct place *p = *state;
	struct node_name who;
	struct stream *below;
	int fd[2];

	shake(p, p->parent, false, p->edge, NODE_DOOR_PEER);
	expect_names(p);
	assert_false(stream_tls_resumed(p->server.s));
	assert_int_equal(stream_tls_door(p->server.s), NODE_DOOR_PEER);
	expect_bytes(p, &p->server, &p->client);
	expect_bytes(p, &p->client, &p->server);

	ground_pair(fd);
	close(fd[0]);
	below = plain(p, fd[1]);
	assert_int_equal(stream_tls_node(below, &who), -1);
	stream_close(&below, STREAM_CUT);
}

static void test_doors(void **state)
{
	struct place *p = *state;

	shake(p, p->parent, true, p->edge, NODE_DOOR_PROXY);
	expect_names(p);
	assert_int_equal(stream_tls_door(p->server.s), NODE_DOOR_PROXY);
	assert_int_equal(stream_tls_door(p->client.s), NODE_DOOR_PROXY);

	shake(p, p->parent, true, p->edge, NODE_DOOR_PEER);
	expect_names(p);
	assert_int_equal(stream_tls_door(p->server.s), NODE_DOOR_PEER);
	assert_int_equal(stream_tls_door(p->client.s), NODE_DOOR_PEER);
}

static void test_closed_door(void **state)
{
	struct place *p = *state;
	struct raw none = {0}, strange = {.alpn = "\x08http/1.1"}, both = {.alpn = "\x0bpmc-proxy/1\x0apmc-peer/1"};
	struct node_files f = nodes_files(&p->c, "edge1");
	int fd[2];

	close_ends(p);
	ground_pair(fd);
	accept_on(p, fd[1], p->parent, false);
	connect_on(p, fd[0], p->edge, NODE_DOOR_PROXY, "parent1");
	ground_run(&p->g);
	assert_int_equal(p->server.why, REASON_TLS_FAILED);
	assert_int_equal(p->client.why, REASON_TLS_FAILED);

	none.cert = strange.cert = both.cert = f.cert;
	none.key = strange.key = both.key = f.key;
	serve_raw(p, &none);
	assert_int_equal(p->server.why, REASON_TLS_FAILED);
	assert_string_equal(p->server.detail, "no door was agreed (ALPN pmc-peer/1, pmc-proxy/1)");
	assert_false(none.got_byte);
	serve_raw(p, &strange);
	assert_int_equal(p->server.why, REASON_TLS_FAILED);
	assert_false(strange.shook);
	assert_int_equal(strange.error, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
	serve_raw(p, &both);
	assert_int_equal(p->server.why, REASON_NONE);
}

/* A server that knows nothing of doors. */
static void test_no_doors(void **state)
{
	struct place *p = *state;
	struct node_files f = nodes_files(&p->c, "parent1");
	struct raw silent = {.server = true, .cert = f.cert, .key = f.key};

	ask_raw(p, &silent);
	assert_int_equal(p->client.why, REASON_TLS_FAILED);
	assert_string_equal(p->client.detail, "no door was agreed (ALPN pmc-peer/1, pmc-proxy/1)");
}

static void test_raw_clients(void **state)
{
	struct place *p = *state;
	struct node_files good = nodes_files(&p->c, "edge1");
	struct node_files stranger = nodes_issue(&p->other, "stranger", "test", NODE_EDGE, "stranger", 30, p->c.now);
	struct node_files prod = nodes_issue(&p->c, "prod", "prod", NODE_EDGE, "edge1", 30, p->c.now);
	struct node_files old =
		nodes_issue(&p->c, "old", "test", NODE_EDGE, "old", 1, p->c.now - (dur_ms)(DUR_DAY / 2));
	struct {
		const char *what;
		struct node_files *f;
		int version;
		dur_ms later;
		enum reason why;
		const char *detail;
		int error;
	} t[] = {
		{"good", &good, 0, 0, REASON_NONE, "", 0},
		{"no certificate", NULL, 0, 0, REASON_TLS_FAILED, "peer did not return a certificate",
		 SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED},
		{"other CA", &stranger, 0, 0, REASON_CERT_UNKNOWN_CA,
		 "certificate of stranger: unable to get local issuer certificate", SSL_R_TLSV1_ALERT_UNKNOWN_CA},
		{"other cluster", &prod, 0, 0, REASON_CERT_WRONG_NAME, "certificate of edge1 is for cluster prod",
		 SSL_R_SSLV3_ALERT_BAD_CERTIFICATE},
		{"no node", NULL, 0, 0, REASON_CERT_WRONG_NAME, "its certificate names no node",
		 SSL_R_SSLV3_ALERT_BAD_CERTIFICATE},
		{"expired", &old, 0, DUR_DAY, REASON_CERT_EXPIRED, "certificate of old: certificate has expired",
		 SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED},
		{"TLS 1.2", &good, TLS1_2_VERSION, 0, REASON_TLS_OLD, "unsupported protocol",
		 SSL_R_TLSV1_ALERT_PROTOCOL_VERSION},
	};
	struct made ca, m;
	struct node_files web;
	FILE *file;

	/* Of our CA, but a web server's. */
	file = fopen(p->c.ca, "r");
	ca.cert = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	file = fopen(p->c.ca_key, "r");
	ca.pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	m = make_cert((struct make){.cn = "edge1", .san = "DNS:edge1"}, &ca, p->c.now);
	web = nodes_files(&p->c, "web");
	make_pem(web.cert, &m.cert, 1);
	make_key_file(web.key, m.pkey, 0600);
	t[4].f = &web;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct raw r = {.alpn = "\x0apmc-peer/1", .version = t[i].version};

		if (t[i].f) {
			r.cert = t[i].f->cert;
			r.key = t[i].f->key;
		}
		p->clock.by = t[i].later;
		serve_raw(p, &r);
		p->clock.by = 0;
		if (p->server.why != t[i].why || strcmp(p->server.detail, t[i].detail) != 0 || r.got_byte ||
		    r.error != t[i].error)
			fail_msg("%s: %s (%s), and the client got %d", t[i].what, reason_word(p->server.why),
				 p->server.detail, r.error);
	}
	made_free(&m);
	made_free(&ca);
}

static void put_purpose(struct made *m, const struct made *ca, const char *purpose, const char *path)
{
	char key[600];

	make_ext(m->cert, ca->cert, NID_ext_key_usage, purpose);
	assert_true(X509_sign(m->cert, ca->pkey, EVP_sha256()) > 0);
	make_pem(path, &m->cert, 1);
	snprintf(key, sizeof(key), "%s.key", path);
	make_key_file(key, m->pkey, 0600);
}

static void test_raw_servers(void **state)
{
	struct place *p = *state;
	struct node_files stranger = nodes_issue(&p->other, "stranger", "test", NODE_PARENT, "parent1", 30, p->c.now);
	struct node_files prod = nodes_issue(&p->c, "prod", "prod", NODE_PARENT, "parent1", 30, p->c.now);
	struct node_files good = nodes_files(&p->c, "parent1");
	struct raw other_ca = {.server = true, .cert = stranger.cert, .key = stranger.key};
	struct raw other_cluster = {.server = true, .cert = prod.cert, .key = prod.key};
	struct raw old_tls = {.server = true, .cert = good.cert, .key = good.key, .version = TLS1_2_VERSION};

	other_ca.alpn = other_cluster.alpn = old_tls.alpn = "\x0apmc-peer/1";
	ask_raw(p, &other_ca);
	assert_int_equal(p->client.why, REASON_CERT_UNKNOWN_CA);
	assert_false(other_ca.shook);
	ask_raw(p, &other_cluster);
	assert_int_equal(p->client.why, REASON_CERT_WRONG_NAME);
	assert_string_equal(p->client.detail, "certificate of parent1 is for cluster prod");
	assert_false(other_cluster.shook);
	ask_raw(p, &old_tls);
	assert_int_equal(p->client.why, REASON_TLS_OLD);
}

/* A certificate for one side of TLS is not good for the other. */
static void test_purposes(void **state)
{
	struct place *p = *state;
	struct make how = {.cn = "x", .san = "URI:pmcache://test/edge/x"};
	FILE *file = fopen(p->c.ca, "r"), *key_file = fopen(p->c.ca_key, "r");
	struct made ca = {PEM_read_PrivateKey(key_file, NULL, NULL, NULL), PEM_read_X509(file, NULL, NULL, NULL)};
	struct made s = make_cert(how, &ca, p->c.now), c = make_cert(how, &ca, p->c.now);
	char as_server[600], as_client[600], server_key[620], client_key[620];
	struct raw bad_client = {.cert = as_server, .key = server_key, .alpn = "\x0apmc-peer/1"};
	struct raw good_client = {.cert = as_client, .key = client_key, .alpn = "\x0apmc-peer/1"};
	struct raw bad_server = {.server = true, .cert = as_client, .key = client_key, .alpn = "\x0apmc-peer/1"};
	struct raw good_server = {.server = true, .cert = as_server, .key = server_key, .alpn = "\x0apmc-peer/1"};

	fclose(file);
	fclose(key_file);
	snprintf(as_server, sizeof(as_server), "%s/as_server", p->folder);
	snprintf(as_client, sizeof(as_client), "%s/as_client", p->folder);
	snprintf(server_key, sizeof(server_key), "%s.key", as_server);
	snprintf(client_key, sizeof(client_key), "%s.key", as_client);
	put_purpose(&s, &ca, "serverAuth", as_server);
	put_purpose(&c, &ca, "clientAuth", as_client);
	serve_raw(p, &bad_client);
	assert_int_equal(p->server.why, REASON_CERT_BAD);
	serve_raw(p, &good_client);
	assert_int_equal(p->server.why, REASON_NONE);
	ask_raw(p, &bad_server);
	assert_int_equal(p->client.why, REASON_CERT_BAD);
	ask_raw(p, &good_server);
	assert_int_equal(p->client.why, REASON_NONE);
	expect_no(p, as_server, server_key, p->c.ca, "test", p->c.now, "is not a node's certificate");
	expect_no(p, as_client, client_key, p->c.ca, "test", p->c.now, "is not a node's certificate");
	made_free(&s);
	made_free(&c);
	made_free(&ca);
}

/* The side that dials hears of its refusal in the first read only; then it can say why. */
static void test_client_hears(void **state)
{
	struct place *p = *state;
	struct nodetls *old;

	nodes_issue(&p->c, "old", "test", NODE_EDGE, "old", 1, p->c.now - 10 * DUR_HOUR);
	old = nodes_tls_at(&p->c, "old", "test", p->c.now);
	p->clock.by = DUR_DAY;
	shake(p, p->parent, false, old, NODE_DOOR_PEER);
	assert_int_equal(p->server.why, REASON_CERT_EXPIRED);
	assert_int_equal(p->client.why, REASON_NONE);
	stream_set_handler(p->client.s, on_bytes, &p->client);
	stream_want(p->client.s, STREAM_READ);
	ground_run(&p->g);
	assert_int_equal(p->client.in_n, 0);
	assert_string_equal(stream_tls_rejected(p->client.s), "certificate expired");
	nodetls_unref(&old);
}

/* ---- resumption ---- */

static void test_resumed(void **state)
{
	struct place *p = *state;
	struct nodetls *again;

	for (int i = 0; i < 4; i++) {
		shake(p, p->parent, true, p->edge, i % 2 ? NODE_DOOR_PROXY : NODE_DOOR_PEER);
		expect_names(p);
		assert_int_equal(stream_tls_resumed(p->client.s), i > 0);
		assert_int_equal(stream_tls_resumed(p->server.s), i > 0);
		assert_int_equal(stream_tls_door(p->server.s), i % 2 ? NODE_DOOR_PROXY : NODE_DOOR_PEER);
		assert_int_equal(stream_tls_door(p->client.s), i % 2 ? NODE_DOOR_PROXY : NODE_DOOR_PEER);
		expect_bytes(p, &p->server, &p->client);
	}
	/* A door that has been shut meanwhile stays shut. */
	close_ends(p);
	shake(p, p->parent, false, p->edge, NODE_DOOR_PROXY);
	assert_int_equal(p->server.why, REASON_TLS_FAILED);
	assert_int_equal(p->client.why, REASON_TLS_FAILED);
	/* Tickets of a nodetls are worth nothing to the next, which asks for the certificate. */
	again = nodes_tls(&p->c, "parent1");
	shake(p, again, false, p->edge, NODE_DOOR_PEER);
	expect_names(p);
	assert_false(stream_tls_resumed(p->client.s));
	nodetls_unref(&again);
}

/* Two nodes at one address: the session of the one is not the other's. */
static void test_resumed_elsewhere(void **state)
{
	struct place *p = *state;
	struct nodetls *edge2 = nodes_tls(&p->c, "edge2");
	int fd[2];

	shake(p, p->parent, false, p->edge, NODE_DOOR_PEER);
	expect_bytes(p, &p->server, &p->client);
	close_ends(p);
	ground_pair(fd);
	accept_on(p, fd[1], edge2, false);
	connect_on(p, fd[0], p->edge, NODE_DOOR_PEER, "parent1");
	ground_run(&p->g);
	assert_int_equal(p->client.why, REASON_NONE);
	assert_false(stream_tls_resumed(p->client.s));
	assert_string_equal(p->client.who.node, "edge2");
	nodetls_unref(&edge2);
}

/* A session does not outlive the certificate that it was made with, on either side. */
static void test_resumed_expired(void **state)
{
	struct place *p = *state;
	struct nodetls *brief;

	nodes_issue(&p->c, "brief", "test", NODE_EDGE, "edge1", 1, p->c.now);
	brief = nodes_tls_at(&p->c, "brief", "test", p->c.now);
	shake(p, p->parent, false, brief, NODE_DOOR_PEER);
	expect_names(p);
	expect_bytes(p, &p->server, &p->client);
	p->clock.by = 2 * DUR_DAY;
	shake(p, p->parent, false, brief, NODE_DOOR_PEER);
	assert_int_equal(p->server.why, REASON_CERT_EXPIRED);
	assert_string_equal(p->server.detail, "certificate of edge1: certificate has expired");
	p->clock.by = 0;

	shake(p, brief, false, p->parent, NODE_DOOR_PEER);
	assert_int_equal(p->client.why, REASON_NONE);
	expect_bytes(p, &p->server, &p->client);
	p->clock.by = 2 * DUR_DAY;
	shake(p, brief, false, p->parent, NODE_DOOR_PEER);
	assert_int_equal(p->client.why, REASON_CERT_EXPIRED);
	nodetls_unref(&brief);
}

/* ---- endings ---- */

/* Closed at whatever moment: no callback, nothing left (the address sanitizer looks). */
static void test_closed(void **state)
{
	struct place *p = *state;
	bool done = false;
	int turns = 0;

	for (; !done; turns++) {
		int fd[2];

		ground_pair(fd);
		accept_on(p, fd[1], p->parent, false);
		connect_on(p, fd[0], p->edge, NODE_DOOR_PEER, "parent1");
		p->waiting = 1 << 20; /* nobody stops the loop but we */
		for (int i = 0; i < turns; i++) {
			loop_post(p->g.loop, ground_on_stop, p->g.loop);
			ground_run(&p->g);
		}
		done = p->server.done && p->client.done;
		close_ends(p);
		for (int i = 0; i < 3; i++) {
			loop_post(p->g.loop, ground_on_stop, p->g.loop);
			ground_run(&p->g);
		}
		assert_true(turns < 1000);
	}
	assert_true(turns > 2);
}

/* The nodetls goes while a link is there. */
static void test_outlived(void **state)
{
	struct place *p = *state;

	shake(p, p->parent, false, p->edge, NODE_DOOR_PEER);
	nodetls_unref(&p->parent);
	nodetls_unref(&p->edge);
	expect_names(p);
	expect_bytes(p, &p->server, &p->client);
	expect_bytes(p, &p->client, &p->server);
}

/* ---- several threads, one nodetls ---- */

struct lane_job {
	struct nodetls *server, *client;
	int resumed, bad;
};

static void *lane_main(void *arg)
{
	struct lane_job *j = arg;
	struct place *p = calloc(1, sizeof(*p));

	place_init(p, NULL);
	for (int i = 0; i < 25; i++) {
		shake(p, j->server, false, j->client, NODE_DOOR_PEER);
		if (p->server.why || p->client.why || strcmp(p->server.who.node, "edge1") != 0 ||
		    strcmp(p->client.who.node, "parent1") != 0) {
			j->bad++;
			continue;
		}
		j->resumed += stream_tls_resumed(p->client.s);
		expect_bytes(p, &p->server, &p->client);
	}
	place_fini(p);
	free(p);
	return NULL;
}

static void test_threads(void **state)
{
	struct place *p = *state;
	struct lane_job jobs[4] = {{.bad = 0}};
	pthread_t threads[4];

	for (int i = 0; i < 4; i++) {
		jobs[i] = (struct lane_job){.server = nodetls_ref(p->parent), .client = nodetls_ref(p->edge)};
		assert_int_equal(pthread_create(&threads[i], NULL, lane_main, &jobs[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		nodetls_unref(&jobs[i].server);
		nodetls_unref(&jobs[i].client);
		assert_int_equal(jobs[i].bad, 0);
		assert_true(jobs[i].resumed >= 24);
	}
}

/* What the other side said before it went is read, although nothing can be sent to it any more. */
static void test_last_words(void **state)
{
	struct place *p = *state;
	static const char lots[256 * 1024];
	struct span all = span_of(lots, sizeof(lots));
	char to[16];
	ssize_t n;

	shake(p, p->parent, false, p->edge, NODE_DOOR_PEER);
	expect_bytes(p, &p->server, &p->client); /* the ticket is behind us */
	loop_post(p->g.loop, on_push, &p->server);
	ground_run_for(&p->g, 1);
	stream_close(&p->server.s, STREAM_CUT);
	do
		n = stream_write(p->client.s, &all, 1);
	while (n > 0);
	assert_int_equal(n, STREAM_FAILED);
	assert_int_equal(stream_why(p->client.s), REASON_UPSTREAM_RESET);
	assert_int_equal(stream_write(p->client.s, &all, 1), STREAM_FAILED);
	assert_int_equal(stream_read(p->client.s, to, sizeof(to)), 5);
	assert_memory_equal(to, "hello", 5);
	assert_int_equal(stream_read(p->client.s, to, sizeof(to)), STREAM_FAILED);
	assert_int_equal(stream_read(p->client.s, to, sizeof(to)), STREAM_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_load),
		T(test_two_cas),
		T(test_shake),
		T(test_doors),
		T(test_closed_door),
		T(test_no_doors),
		T(test_raw_clients),
		T(test_raw_servers),
		T(test_purposes),
		T(test_client_hears),
		T(test_resumed),
		T(test_resumed_elsewhere),
		T(test_resumed_expired),
		T(test_closed),
		T(test_outlived),
		T(test_last_words),
		T(test_threads),
#undef T
	};

	signal(SIGPIPE, SIG_IGN); /* OpenSSL's own sockets */
	return cmocka_run_group_tests(tests, make_all, remove_all);
}
