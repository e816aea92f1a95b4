#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "node/link/dial.h"
#include "node/net/dns.h"
#include "node/tls/names.h"
#include "node/tls/tlsctx.h"
#include "node/tls/trust.h"
#include "tests/unit/net/fake_dns.h"
#include "tests/unit/tls/certs_make.h"

static const struct fake_name names[] = {
	{.name = "registry.test", .v4 = {"127.0.0.1"}, .ttl = 60},
	{.name = "two.test", .v4 = {"127.0.0.1"}, .v6 = {"::1"}, .ttl = 60},
	{.name = "six.test", .v6 = {"::1"}, .ttl = 60},
	{.name = "many.test", .v4 = {"127.0.0.2", "127.0.0.3", "127.0.0.1"}, .ttl = 60},
	{.name = "silent.test", .code_v4 = FAKE_SILENT, .code_v6 = FAKE_SILENT},
	{.name = "broken.test", .code_v4 = FAKE_SERVFAIL, .code_v6 = FAKE_SERVFAIL},
	{.code_v4 = FAKE_NXDOMAIN, .code_v6 = FAKE_NXDOMAIN},
};

/* ---- an origin, or a proxy with an origin behind it, on a thread of its own ---- */

enum how { SPEAK, STALL, SHUT, DRIP };

struct origin {
	pthread_t thread;
	int fd;
	struct addr at;
	enum how how;
	SSL_CTX *tls;               /* NULL: plain */
	const char *connect_answer; /* not NULL: a proxy's */
	char head[2048];            /* what it was asked */
};

static void read_head(struct origin *o, int fd)
{
	size_t n = 0;

	while (n < sizeof(o->head) - 1 && read(fd, o->head + n, 1) == 1) {
		n++;
		if (n >= 4 && memcmp(o->head + n - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	o->head[n] = '\0';
}

static void read_to_end(int fd)
{
	char sink[1024];

	while (read(fd, sink, sizeof(sink)) > 0)
		;
}

/* A record that never gets whole. */
static void drip(int fd)
{
	static const char head[] = {0x16, 3, 3, 0x30, 0, 2, 0, 0x2f};
	struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

	for (size_t i = 0; send(fd, i < sizeof(head) ? head + i : "x", 1, MSG_NOSIGNAL) == 1; i++)
		nanosleep(&pause, NULL);
}

static void speak_tls(struct origin *o, int fd)
{
	SSL *ssl = SSL_new(o->tls);

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1 && SSL_write(ssl, "hi", 2) == 2)
		read_to_end(fd);
	ERR_clear_error();
	SSL_free(ssl);
}

static void serve(struct origin *o, int fd)
{
	if (o->connect_answer) {
		read_head(o, fd);
		if (write(fd, o->connect_answer, strlen(o->connect_answer)) < 0)
			return;
	}
	switch (o->how) {
	case SPEAK:
		if (o->tls)
			speak_tls(o, fd);
		else
			read_to_end(fd);
		break;
	case STALL:
		read_to_end(fd);
		break;
	case DRIP:
		drip(fd);
		break;
	case SHUT:
		break;
	}
}

static void *origin_main(void *arg)
{
	struct origin *o = arg;
	int fd;

	while ((fd = accept(o->fd, NULL, NULL)) >= 0) {
		serve(o, fd);
		close(fd);
	}
	return NULL;
}

static void origin_start(struct origin *o)
{
	o->at = ground_addr("127.0.0.1", 0);
	o->fd = ground_listen(&o->at);
	fcntl(o->fd, F_SETFL, 0);
	assert_int_equal(0, pthread_create(&o->thread, NULL, origin_main, o));
}

static void origin_end(struct origin *o)
{
	shutdown(o->fd, SHUT_RDWR);
	pthread_join(o->thread, NULL);
	close(o->fd);
	SSL_CTX_free(o->tls);
}

static SSL_CTX *tls_of(const struct made *m)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"x", 1);
	assert_int_equal(1, SSL_CTX_use_certificate(ctx, m->cert));
	assert_int_equal(1, SSL_CTX_use_PrivateKey(ctx, m->pkey));
	return ctx;
}

/* ---- what all tests stand on ---- */

struct result {
	bool done;
	struct stream *s;
	struct dial_report report;
	size_t sans;
	char read[64];
	size_t n;
};

struct place {
	struct ground g;
	struct fake_dns fake;
	struct dns *dns;
	struct tlsctx *tls;
	struct dialer *dialer;
	struct policy *policy;
	struct sockaddr_storage own_v[1];
	struct access_own own;
	struct made root, leaf;
	char *folder;
	struct result r;
	size_t want; /* bytes */
};

static wall_ms now(void)
{
	return clock_wall(&clock_system);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char at[ADDR_TEXT_BYTES], path[600], why[TRUST_WHY_BYTES];
	X509_STORE *roots;

	ground_init(&p->g);
	p->dns = dns_new(p->g.loop);
	assert_int_equal(0, dns_set_servers_csv(p->dns, fake_dns_init(&p->fake, &p->g, names, at)));
	p->folder = make_folder();
	snprintf(path, sizeof(path), "%s/roots", p->folder);
	p->root = make_cert((struct make){.cn = "root", .is_ca = true, .pathlen = -1}, NULL, now());
	p->leaf = make_cert((struct make){.cn = "x", .san = "DNS:registry.test,DNS:two.test,IP:127.0.0.1"}, &p->root,
			    now());
	make_pem(path, &p->root.cert, 1);
	roots = trust_new_over(path, NULL, why, sizeof(why));
	assert_non_null(roots);
	p->tls = tlsctx_new(roots);
	X509_STORE_free(roots);
	p->own.v = p->own_v;
	p->dialer = dialer_new(p->g.loop, p->dns, p->tls, &p->own);
	p->policy = policy_new();
	p->policy->access.deny_loopback = false;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	dialer_free(p->dialer);
	dns_free(p->dns);
	tlsctx_free(p->tls);
	policy_unref(&p->policy);
	assert_null(p->policy);
	fake_dns_fini(&p->fake);
	ground_fini(&p->g);
	made_free(&p->root);
	made_free(&p->leaf);
	make_folder_remove(p->folder);
	free(p);
	return 0;
}

static void on_done(void *cookie, struct stream *s, const struct dial_report *report)
{
	struct place *p = cookie;

	assert_false(p->r.done);
	assert_true((s == NULL) == (report->why != REASON_NONE));
	p->r.done = true;
	p->r.s = s;
	p->r.report = *report;
	p->r.sans = report->cert ? report->cert->n_sans : 0;
	loop_stop(p->g.loop);
}

static struct dial *start(struct place *p, const char *host, uint16_t port, bool https, const char *tls_host)
{
	struct dial_target t = {.host = span_str(host), .port = port, .https = https, .tls_host = span_str(tls_host)};
	struct dial *d;

	p->r = (struct result){0};
	d = dial_start(p->dialer, &t, p->policy, on_done, p);
	assert_false(p->r.done); /* never from inside the start */
	return d;
}

static enum reason run(struct place *p, const char *host, uint16_t port, bool https)
{
	start(p, host, port, https, NULL);
	ground_run(&p->g);
	assert_true(p->r.done);
	return p->r.report.why;
}

static void on_bytes(void *cookie, unsigned events)
{
	struct place *p = cookie;
	ssize_t n = stream_read(p->r.s, p->r.read + p->r.n, sizeof(p->r.read) - 1 - p->r.n);

	(void)events;
	if (n > 0)
		p->r.n += (size_t)n;
	if (n == 0 || n == STREAM_FAILED || p->r.n >= p->want)
		loop_stop(p->g.loop);
}

/* Reads this text from the stream that was dialled, and closes it. */
static void expect_bytes(struct place *p, const char *text)
{
	p->want = strlen(text);
	stream_set_handler(p->r.s, on_bytes, p);
	stream_want(p->r.s, STREAM_READ);
	ground_run(&p->g);
	assert_string_equal(text, p->r.read);
	stream_close(&p->r.s, STREAM_CUT);
}

static void expect_ip(struct place *p, const char *text)
{
	char ip[ADDR_TEXT_BYTES];

	assert_string_equal(text, addr_format_ip(&p->r.report.addr, ip));
}

/* A listener whose queue is full: the kernel lets new connections hang. */
struct hole {
	int fd, filler[8];
};

static struct hole hole_open(struct addr *at)
{
	struct hole h = {.fd = ground_bind(SOCK_STREAM, at)};

	assert_int_equal(0, listen(h.fd, 0));
	for (int i = 0; i < 8; i++) {
		h.filler[i] = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(h.filler[i], &at->sa, at->len);
	}
	return h;
}

static void hole_close(struct hole *h)
{
	for (int i = 0; i < 8; i++)
		close(h->filler[i]);
	close(h->fd);
}

/* ---- plain ---- */

static void test_plain(void **state)
{
	struct place *p = *state;
	struct origin o = {0};

	origin_start(&o);
	assert_int_equal(REASON_NONE, run(p, "registry.test", addr_port(&o.at), false));
	expect_ip(p, "127.0.0.1");
	assert_int_equal(addr_port(&o.at), addr_port(&p->r.report.addr));
	assert_null(p->r.report.cert);
	stream_close(&p->r.s, STREAM_CLEAN);
	assert_int_equal(REASON_NONE, run(p, "127.0.0.1", addr_port(&o.at), false));
	stream_close(&p->r.s, STREAM_CLEAN);
	ground_run_for(&p->g, 20);
	origin_end(&o);
}

static void test_no_name(void **state)
{
	struct place *p = *state;

	assert_int_equal(REASON_DNS_NO_NAME, run(p, "none.test", 80, false));
	assert_string_equal("none.test", p->r.report.detail);
	assert_int_equal(0, p->r.report.addr.len);
	assert_int_equal(REASON_DNS_FAILED, run(p, "broken.test", 80, false));
	dns_set_deadline(p->dns, 50);
	assert_int_equal(REASON_DNS_TIMEOUT, run(p, "silent.test", 80, false));
}

static void test_refused(void **state)
{
	struct place *p = *state;
	struct addr closed = ground_closed_port("127.0.0.1");
	char detail[100];

	assert_int_equal(REASON_CONNECT_REFUSED, run(p, "registry.test", addr_port(&closed), true));
	snprintf(detail, sizeof(detail), "registry.test: 127.0.0.1:%u: Connection refused", addr_port(&closed));
	assert_string_equal(detail, p->r.report.detail);
}

static void test_connect_fails(void **state)
{
	struct place *p = *state;

	p->policy->access.deny_multicast = false;
	assert_int_equal(REASON_CONNECT_FAILED,
			 run(p, "255.255.255.255", 80, false)); /* EACCES or ENETUNREACH at once */
}

static void test_connect_timeout(void **state)
{
	struct place *p = *state;
	struct addr at = ground_addr("127.0.0.1", 0);
	struct hole hole = hole_open(&at);
	mono_us start_at = loop_now(p->g.loop);

	p->policy->upstream.connect_timeout = 150;
	assert_int_equal(REASON_CONNECT_TIMEOUT, run(p, "registry.test", addr_port(&at), false));
	expect_ip(p, "127.0.0.1");
	assert_true(loop_now(p->g.loop) - start_at >= 150 * 1000);
	hole_close(&hole);
}

/* ---- the race ---- */

/* IPv6 first; when it fails, IPv4 at once. */
static void test_falls_back(void **state)
{
	struct place *p = *state;
	struct addr v4 = ground_addr("127.0.0.1", 0);
	int fd = ground_listen(&v4);
	mono_us start_at = loop_now(p->g.loop);

	assert_int_equal(REASON_NONE, run(p, "two.test", addr_port(&v4), false));
	expect_ip(p, "127.0.0.1");
	assert_true(loop_now(p->g.loop) - start_at < 240 * 1000);
	stream_close(&p->r.s, STREAM_CUT);
	close(fd);
}

static void test_prefers_v6(void **state)
{
	struct place *p = *state;
	struct addr v6 = ground_addr("::1", 0), v4;
	int fd6 = ground_listen(&v6), fd4;

	v4 = ground_addr("127.0.0.1", addr_port(&v6));
	fd4 = ground_listen(&v4);
	assert_int_equal(REASON_NONE, run(p, "two.test", addr_port(&v6), false));
	expect_ip(p, "::1");
	stream_close(&p->r.s, STREAM_CUT);
	close(fd6);
	close(fd4);
}

/* IPv6 hangs: IPv4 joins the race after 250 ms and wins. */
static void test_races(void **state)
{
	struct place *p = *state;
	struct addr v6 = ground_addr("::1", 0), v4;
	struct hole hole = hole_open(&v6);
	mono_us start_at = loop_now(p->g.loop);
	int fd4;

	v4 = ground_addr("127.0.0.1", addr_port(&v6));
	fd4 = ground_listen(&v4);
	assert_int_equal(REASON_NONE, run(p, "two.test", addr_port(&v6), false));
	expect_ip(p, "127.0.0.1");
	assert_true(loop_now(p->g.loop) - start_at >= 250 * 1000);
	stream_close(&p->r.s, STREAM_CUT);
	close(fd4);
	hole_close(&hole);
}

/* ---- what must not be dialled ---- */

static void test_denied(void **state)
{
	struct place *p = *state;
	struct addr at = ground_addr("127.0.0.1", 0);
	int fd = ground_listen(&at);

	p->policy->access.deny_loopback = true;
	assert_int_equal(REASON_DENIED_ADDRESS, run(p, "registry.test", addr_port(&at), false));
	assert_int_equal(REASON_DENIED_ADDRESS, run(p, "two.test", addr_port(&at), false));
	assert_int_equal(REASON_DENIED_ADDRESS, run(p, "127.0.0.1", addr_port(&at), false));
	assert_int_equal(REASON_DENIED_ADDRESS, run(p, "::ffff:127.0.0.1", addr_port(&at), false));
	assert_int_equal(REASON_DENIED_ADDRESS, run(p, "localhost", addr_port(&at), false));
	close(fd);
}

/* Only some of the addresses are denied: the others are dialled. */
static void test_some_denied(void **state)
{
	struct place *p = *state;
	struct addr at = ground_addr("127.0.0.1", 0), denied;
	int fd = ground_listen(&at), trap;

	denied = ground_addr("127.0.0.2", addr_port(&at));
	trap = ground_listen(&denied);
	memcpy(&p->own_v[0], &denied.sa, denied.len);
	p->own.n = 1;
	assert_int_equal(REASON_NONE, run(p, "many.test", addr_port(&at), false));
	expect_ip(p, "127.0.0.1");
	stream_close(&p->r.s, STREAM_CUT);
	assert_int_equal(-1, accept(trap, NULL, NULL));
	assert_int_equal(EAGAIN, errno);
	close(fd);
	close(trap);
}

/* ---- TLS ---- */

static void test_tls(void **state)
{
	struct place *p = *state;
	struct origin o = {.tls = tls_of(&p->leaf)};

	origin_start(&o);
	assert_int_equal(REASON_NONE, run(p, "Registry.test", addr_port(&o.at), true));
	assert_int_equal(3, p->r.sans);
	assert_false(p->r.report.resumed);
	expect_bytes(p, "hi");
	/* With the ticket of the first, which has no certificate to tell of. */
	assert_int_equal(REASON_NONE, run(p, "registry.test", addr_port(&o.at), true));
	assert_true(p->r.report.resumed);
	assert_null(p->r.report.cert);
	expect_bytes(p, "hi");
	/* An address in the certificate. */
	assert_int_equal(REASON_NONE, run(p, "127.0.0.1", addr_port(&o.at), true));
	assert_false(p->r.report.resumed);
	expect_bytes(p, "hi");
	origin_end(&o);
}

/* CONNECT said an address, the ClientHello a name. */
static void test_tls_host(void **state)
{
	struct place *p = *state;
	struct origin o = {.tls = tls_of(&p->leaf)};

	origin_start(&o);
	start(p, "127.0.0.1", addr_port(&o.at), true, "registry.test");
	ground_run(&p->g);
	assert_int_equal(REASON_NONE, p->r.report.why);
	expect_bytes(p, "hi");
	start(p, "127.0.0.1", addr_port(&o.at), true, "other.test");
	ground_run(&p->g);
	assert_int_equal(REASON_CERT_WRONG_NAME, p->r.report.why);
	start(p, "127.0.0.1", addr_port(&o.at), true, "no name");
	ground_run(&p->g);
	assert_int_equal(REASON_BAD_HOST, p->r.report.why);
	origin_end(&o);
}

static void test_bad_certificates(void **state)
{
	struct place *p = *state;
	const struct {
		struct make how;
		bool by_root;
		enum reason why;
	} t[] = {
		{{.san = "DNS:registry.test", .from = -20 * DUR_DAY, .to = -10 * DUR_DAY}, true, REASON_CERT_EXPIRED},
		{{.san = "DNS:registry.test", .from = 10 * DUR_DAY, .to = 20 * DUR_DAY}, true, REASON_CERT_NOT_YET},
		{{.san = "DNS:other.test"}, true, REASON_CERT_WRONG_NAME},
		{{.cn = "registry.test", .san = "DNS:registry.test"}, false, REASON_CERT_SELF_SIGNED},
		{{.san = "DNS:registry.test", .rsa_bits = 1024}, true, REASON_CERT_WEAK},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct made m = make_cert(t[i].how, t[i].by_root ? &p->root : NULL, now());
		struct origin o = {.tls = tls_of(&m)};
		char where[80];

		origin_start(&o);
		if (run(p, "registry.test", addr_port(&o.at), true) != t[i].why)
			fail_msg("%s instead of %s", reason_word(p->r.report.why), reason_word(t[i].why));
		snprintf(where, sizeof(where), "registry.test: 127.0.0.1:%u: ", addr_port(&o.at));
		assert_memory_equal(where, p->r.report.detail, strlen(where));
		if (t[i].why == REASON_CERT_EXPIRED)
			assert_string_equal("certificate has expired", p->r.report.detail + strlen(where));
		assert_null(p->r.report.cert);
		origin_end(&o);
		made_free(&m);
	}
}

/* Stalled, dripped, or cut: one deadline for all of the handshake, or the end at once. */
static void test_bad_handshakes(void **state)
{
	static const struct {
		enum how how;
		enum reason why;
	} t[] = {{STALL, REASON_TLS_TIMEOUT}, {DRIP, REASON_TLS_TIMEOUT}, {SHUT, REASON_TLS_CLOSED}};
	struct place *p = *state;

	p->policy->upstream.tls_timeout = 200;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct origin o = {.how = t[i].how};
		mono_us start_at = loop_now(p->g.loop);

		origin_start(&o);
		if (run(p, "registry.test", addr_port(&o.at), true) != t[i].why)
			fail_msg("%d: %s", t[i].how, reason_word(p->r.report.why));
		assert_true(loop_now(p->g.loop) - start_at < 2000 * 1000);
		origin_end(&o);
	}
}

static void test_old_tls(void **state)
{
	struct place *p = *state;
	struct origin o = {.tls = tls_of(&p->leaf)};

	SSL_CTX_set_min_proto_version(o.tls, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(o.tls, TLS1_1_VERSION);
	origin_start(&o);
	assert_int_equal(REASON_TLS_OLD, run(p, "registry.test", addr_port(&o.at), true));
	origin_end(&o);
}

/* ---- through a proxy ---- */

static void use_proxy(struct place *p, const char *host, uint16_t port)
{
	free(p->policy->upstream.proxy_host);
	p->policy->upstream.proxy_host = span_dup(span_str(host));
	p->policy->upstream.proxy_port = port;
}

static void test_proxy(void **state)
{
	struct place *p = *state;
	struct origin o = {.tls = tls_of(&p->leaf), .connect_answer = "HTTP/1.1 200 go\r\nX-A: b\r\n\r\n"};

	p->policy->access.deny_loopback = true; /* does not concern the proxy */
	p->policy->upstream.proxy_credentials = span_dup(SPAN("user:pass?"));
	origin_start(&o);
	use_proxy(p, "two.test", addr_port(&o.at));
	assert_int_equal(REASON_NONE, run(p, "registry.test", 8443, true));
	assert_string_equal("CONNECT registry.test:8443 HTTP/1.1\r\nHost: registry.test:8443\r\n"
			    "Proxy-Authorization: Basic dXNlcjpwYXNzPw==\r\n\r\n",
			    o.head);
	expect_ip(p, "127.0.0.1");
	expect_bytes(p, "hi");
	origin_end(&o);
}

/* What comes right behind the proxy's answer is the origin's, and is not lost. */
static void test_proxy_early_bytes(void **state)
{
	struct place *p = *state;
	struct origin o = {.connect_answer =
				   "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.0 200 OK\r\n\r\nSSH-2.0-hello\r\n\r\n"};

	origin_start(&o);
	use_proxy(p, "registry.test", addr_port(&o.at));
	assert_int_equal(REASON_NONE, run(p, "::1", 22, false));
	assert_memory_equal("CONNECT [::1]:22 HTTP/1.1\r\n", o.head, 27);
	assert_null(strstr(o.head, "Proxy-Authorization"));
	expect_bytes(p, "SSH-2.0-hello\r\n\r\n");
	origin_end(&o);
}

static void test_proxy_refuses(void **state)
{
	static const struct {
		const char *answer, *detail;
		enum how how;
		enum reason why;
	} t[] = {
		{"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
		 "it answered 407 Proxy Authentication Required", SHUT, REASON_PROXY_REFUSED},
		{"HTTP/1.1 302 Found\r\n\r\n", "it answered 302 Found", SHUT, REASON_PROXY_REFUSED},
		{"SSH-2.0-hello\r\n\r\n", "the ", SHUT, REASON_PROXY_REFUSED},
		{"HTTP/1.1 200 OK\n\n", "", SHUT, REASON_PROXY_REFUSED},
		{"HTTP/1.1 200", "it closed the connection", SHUT, REASON_PROXY_REFUSED},
		{"", "it closed the connection", SHUT, REASON_PROXY_REFUSED},
		{"", "", STALL, REASON_CONNECT_TIMEOUT},
	};
	struct place *p = *state;

	p->policy->upstream.connect_timeout = 200;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct origin o = {.connect_answer = t[i].answer, .how = t[i].how};

		origin_start(&o);
		use_proxy(p, "registry.test", addr_port(&o.at));
		if (run(p, "far.test", 443, true) != t[i].why || !strstr(p->r.report.detail, t[i].detail))
			fail_msg("%s: %s: %s", t[i].answer, reason_word(p->r.report.why), p->r.report.detail);
		assert_non_null(strstr(p->r.report.detail, "upstream.proxy registry.test for far.test: 127.0.0.1:"));
		origin_end(&o);
	}
}

/* A host that would write lines of its own into the CONNECT. */
static void test_proxy_injection(void **state)
{
	struct place *p = *state;
	struct origin o = {.connect_answer = ""};

	origin_start(&o);
	use_proxy(p, "registry.test", addr_port(&o.at));
	assert_int_equal(REASON_BAD_HOST, run(p, "far.test:1 HTTP/1.1\r\nA: b\r\n", 443, true));
	origin_end(&o);
	assert_string_equal("", o.head);
}

static void test_no_proxy(void **state)
{
	struct place *p = *state;
	struct addr at = ground_addr("127.0.0.1", 0), closed = ground_closed_port("127.0.0.1");
	int fd = ground_listen(&at);

	use_proxy(p, "registry.test", addr_port(&closed));
	p->policy->upstream.no_proxy.v = mem_zalloc(sizeof(char *));
	p->policy->upstream.no_proxy.v[p->policy->upstream.no_proxy.n++] = span_dup(SPAN("*.near.test"));
	assert_int_equal(REASON_CONNECT_REFUSED, run(p, "registry.test", addr_port(&at), false));
	free(p->policy->upstream.no_proxy.v[0]);
	p->policy->upstream.no_proxy.v[0] = span_dup(SPAN("registry.test"));
	assert_int_equal(REASON_NONE, run(p, "registry.test", addr_port(&at), false));
	stream_close(&p->r.s, STREAM_CUT);
	close(fd);
}

/* ---- cancelling ---- */

/* At whatever moment: no callback, nothing left (the address sanitizer looks). */
static void test_cancelled(void **state)
{
	static const int after_ms[] = {0, 1, 2, 5, 30};
	struct place *p = *state;
	struct origin o[] = {{.how = STALL}, {.how = DRIP}, {.how = STALL, .connect_answer = ""}};
	struct addr at = ground_addr("127.0.0.1", 0);
	struct hole hole = hole_open(&at);

	for (size_t i = 0; i < 3; i++)
		origin_start(&o[i]);
	for (size_t k = 0; k < 5; k++) {
		struct dial *d[5];

		d[0] = start(p, "silent.test", 80, false, NULL);
		d[1] = start(p, "two.test", addr_port(&at), false, NULL);
		d[2] = start(p, "registry.test", addr_port(&o[0].at), true, NULL);
		d[3] = start(p, "registry.test", addr_port(&o[1].at), true, NULL);
		use_proxy(p, "127.0.0.1", addr_port(&o[2].at));
		d[4] = start(p, "registry.test", 443, true, NULL);
		free(p->policy->upstream.proxy_host);
		p->policy->upstream.proxy_host = NULL;
		if (after_ms[k])
			ground_run_for(&p->g, after_ms[k]);
		for (size_t i = 0; i < 5; i++) {
			dial_cancel(&d[i]);
			assert_null(d[i]);
			dial_cancel(&d[i]);
		}
	}
	ground_run_for(&p->g, 30);
	assert_false(p->r.done);
	for (size_t i = 0; i < 3; i++)
		origin_end(&o[i]);
	hole_close(&hole);
}

static void test_origin_text(void **state)
{
	static const struct {
		struct dial_target t;
		const char *text;
	} t[] = {
		{{.host = {"Registry.test.", 14}, .port = 80}, "http registry.test 80"},
		{{.host = {"registry.test", 13}, .port = 443, .https = true}, "https registry.test 443 registry.test"},
		{{.host = {"0:0::1", 6}, .port = 8443, .https = true, .tls_host = {"A.test", 6}},
		 "https ::1 8443 a.test"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char text[600];
		struct buf b = buf_over(text, sizeof(text));

		dial_origin(&t[i].t, &b);
		assert_int_equal(strlen(t[i].text), b.n);
		assert_memory_equal(t[i].text, text, b.n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_plain),
		T(test_no_name),
		T(test_refused),
		T(test_connect_fails),
		T(test_connect_timeout),
		T(test_falls_back),
		T(test_prefers_v6),
		T(test_races),
		T(test_denied),
		T(test_some_denied),
		T(test_tls),
		T(test_tls_host),
		T(test_bad_certificates),
		T(test_bad_handshakes),
		T(test_old_tls),
		T(test_proxy),
		T(test_proxy_early_bytes),
		T(test_proxy_refuses),
		T(test_proxy_injection),
		T(test_no_proxy),
		T(test_cancelled),
#undef T
		cmocka_unit_test(test_origin_text),
	};

	signal(SIGPIPE, SIG_IGN); /* OpenSSL's own sockets, on the origin's side */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
