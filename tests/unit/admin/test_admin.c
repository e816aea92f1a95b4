#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "node/admin/admin.h"
#include "node/admin/metricstext.h"
#include "node/admin/peersjson.h"
#include "node/tls/ca.h"
#include "tests/unit/lanes.h"
#include "tests/unit/net/ground.h"
#include "tests/unit/tls/certs_make.h"

#define NOW INT64_C(1795441498122) /* 2026-11-23T13:44:58 */
#define HOST "Host: localhost\r\n"
#define ANSWERS_BYTES ((size_t)16 * 1024 * 1024)

/* An admin port on a loop with a clock of its own; the tests are its clients, on their own thread. */
struct world {
	struct clock_fake clock;
	struct lane lane;
	struct admin *admin;
	struct addr at[2];
	size_t n_at;
	char *folder, ca_path[600], why[600];
	size_t metrics_bytes; /* how long the page is */
	bool in_cluster;
	struct timer kick;
	dur_ms pass;
	char *got; /* ANSWERS_BYTES */
	size_t n;
};

static void put_stats(void *cookie, struct buf *b)
{
	(void)cookie;
	buf_put_str(b, "{\"node\":\"edge1\"}\n");
}

static void put_metrics(void *cookie, struct buf *b)
{
	struct world *w = cookie;

	for (size_t i = 0; i < w->metrics_bytes; i++)
		buf_putc(b, 'm');
}

static const char *node_name(void *cookie)
{
	(void)cookie;
	return "edge1";
}

static bool put_peers(void *cookie, struct buf *b)
{
	struct world *w = cookie;

	if (!w->in_cluster)
		return false;
	buf_put(b, SPAN("{\"node\":\"edge1\",\"peers\":["));
	while (b->n < PEERSJSON_LEAST - 100)
		buf_put(b, SPAN("{},"));
	buf_put(b, SPAN("{}]}\n"));
	assert_false(b->full);
	return true;
}

static char *matrix(void *cookie, size_t *bytes)
{
	static const char text[] = "{\"age_s\":null,\"nodes\":[]}\n";
	const struct world *w = cookie;

	*bytes = sizeof(text) - 1;
	return w->in_cluster ? strdup(text) : NULL;
}

static void tell_page(void *cookie, struct page_facts *out)
{
	(void)cookie;
	assert_false(out->parent);
	out->parent = true;
}

static void put_history(void *cookie, struct buf *b)
{
	(void)cookie;
	assert_int_equal(HISTORY_MAX, b->cap);
	buf_put_str(b, "{\"interval_s\":60,\"columns\":[],\"rows\":[]}\n");
}

static void put_recent(void *cookie, struct buf *b)
{
	(void)cookie;
	buf_put_str(b, "{\"urls\":false,\"lines\":[]}\n");
}

static void put_objects(void *cookie, struct buf *b)
{
	(void)cookie;
	buf_put_str(b, "{\"urls\":false,\"as_of\":null}\n");
}

static const struct admin_actions actions = {
	.objects = put_objects,
	.recent = put_recent,
	.stats = put_stats,
	.metrics = put_metrics,
	.peers = put_peers,
	.matrix = matrix,
	.page = tell_page,
	.history = put_history,
	.node = node_name,
};

static void open_admin(void *arg)
{
	struct world *w = arg;
	struct admin_ca *ca = admin_ca_read(w->ca_path, w->why, sizeof(w->why));

	assert_non_null(ca);
	w->admin = admin_open(w->lane.loop, w->at, w->n_at, ca, &actions, w, w->why, sizeof(w->why));
}

static void drain_admin(void *arg)
{
	admin_drain(((struct world *)arg)->admin);
}

static void close_admin(void *arg)
{
	admin_close(&((struct world *)arg)->admin);
}

static void on_kick(void *arg)
{
	(void)arg;
}

static void pass_time(void *arg)
{
	struct world *w = arg;

	clock_fake_pass(&w->clock, w->pass);
	timer_set(&w->kick, 1); /* long ago: the kernel, which does not know of our clock, wakes the loop at once */
}

static void pass(struct world *w, dur_ms time)
{
	w->pass = time;
	lane_do(&w->lane, pass_time, w);
	lane_settle(&w->lane);
}

static void end_kick(void *arg)
{
	timer_fini(&((struct world *)arg)->kick);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct ca_settings ca = {.cert_path = w->ca_path, .common_name = "test CA"};
	char key[620];

	w->folder = make_folder();
	snprintf(w->ca_path, sizeof(w->ca_path), "%s/ca.crt", w->folder);
	snprintf(key, sizeof(key), "%s/ca.key", w->folder);
	ca.key_path = key;
	assert_int_equal(0, ca_create(&ca, NOW, w->why, sizeof(w->why)));
	w->got = malloc(ANSWERS_BYTES);
	w->metrics_bytes = 100;
	clock_fake_init(&w->clock, NOW);
	lane_start(&w->lane, 0, &w->clock.clock, 0, 0);
	timer_init(&w->kick, w->lane.loop, on_kick, w);
	w->at[0] = ground_closed_port("127.0.0.1");
	w->n_at = 1;
	*state = w;
	return 0;
}

static int set_up_open(void **state)
{
	struct world *w;

	set_up(state);
	w = *state;
	lane_do(&w->lane, open_admin, w);
	if (!w->admin)
		fail_msg("%s", w->why);
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	lane_do(&w->lane, close_admin, w);
	pass(w, DUR_HOUR); /* what still waits for a peer to close */
	lane_do(&w->lane, end_kick, w);
	lane_stop(&w->lane);
	make_folder_remove(w->folder);
	free(w->got);
	free(w);
	return 0;
}

/* ---- a client ---- */

static int dial(struct world *w, int i, int receive_bytes)
{
	int fd = socket(w->at[i].sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = GROUND_LIMIT_MS / 1000};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (receive_bytes)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
	assert_int_equal(0, connect(fd, &w->at[i].sa, w->at[i].len));
	return fd;
}

static void say(int fd, const char *bytes, size_t n)
{
	assert_int_equal(n, send(fd, bytes, n, MSG_NOSIGNAL));
}

static void say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* To the end, which must be one in order unless `cut`; into w->got, with a NUL behind. Closes. */
static void hear(struct world *w, int fd, bool cut)
{
	ssize_t n;

	w->n = 0;
	while ((n = recv(fd, w->got + w->n, ANSWERS_BYTES - 1 - w->n, 0)) > 0)
		w->n += (size_t)n;
	w->got[w->n] = '\0';
	assert_int_equal(cut ? -1 : 0, n);
	if (cut)
		assert_int_equal(ECONNRESET, errno);
	close(fd);
}

/* Says it, ends its side, hears the answers. */
static const char *ask(struct world *w, const char *text)
{
	int fd = dial(w, 0, 0);

	say_text(fd, text);
	shutdown(fd, SHUT_WR);
	hear(w, fd, false);
	return w->got;
}

static const char *get(struct world *w, const char *path)
{
	char text[512];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", path);
	return ask(w, text);
}

static int status_of(const char *answer)
{
	int status = 0;

	assert_int_equal(1, sscanf(answer, "HTTP/1.1 %d ", &status));
	return status;
}

static const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static void assert_has(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("no '%s' in: %.600s", what, text);
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

/* ---- pages ---- */

static void pages(void **state)
{
	static const struct {
		const char *target;
		int status;
		const char *type, *body;
	} cases[] = {
		{"/healthz", 200, "text/plain; charset=utf-8", "ok\n"},
		{"/healthz?x=y", 200, "text/plain; charset=utf-8", "ok\n"},
		{"/readyz", 200, "text/plain; charset=utf-8", "ready\n"},
		{"/stats.json", 200, "application/json", "{\"node\":\"edge1\"}\n"},
		{"/metrics", 200, METRICSTEXT_TYPE, "mmmm"},
		{"http://localhost:8082/healthz", 200, "text/plain; charset=utf-8", "ok\n"},
		{"/ca.crt", 200, "application/pem-certificate-chain", "-----BEGIN CERTIFICATE-----\n"},
		{"/ca.crt?format=pem", 200, "application/pem-certificate-chain", "-----BEGIN CERTIFICATE-----\n"},
		{"/ca.crt?x&format=pem&", 200, "application/pem-certificate-chain", "-----BEGIN CERTIFICATE-----\n"},
		{"/ca.crt?format=der", 200, "application/pkix-cert", "\x30\x82"},
		{"/ca.crt?format=p12", 200, "application/pkcs12", "\x30\x82"},
		{"/ca.crt?format=", 400, "text/plain; charset=utf-8", "format is one of"},
		{"/ca.crt?format=key", 400, "text/plain; charset=utf-8", "format is one of"},
		{"/", 200, "text/html; charset=utf-8", "<!doctype html>\n"},
		{"/?x", 200, "text/html; charset=utf-8", "<!doctype html>\n"},
		{"/page.json", 200, "application/json", "{\"state\":\"ready\",\"role\":\"parent\","},
		{"/history.json", 200, "application/json", "{\"interval_s\":60,"},
		{"/recent.json", 200, "application/json", "{\"urls\":false,"},
		{"/objects.json", 200, "application/json", "{\"urls\":false,\"as_of\":null}"},
		{"/nowhere", 404, "text/plain; charset=utf-8", "no such page; there are: / /healthz /readyz "},
		{"/healthz/", 404, "text/plain; charset=utf-8", "no such page"},
		{"/HEALTHZ", 404, "text/plain; charset=utf-8", "no such page"},
		{"/ca.key", 404, "text/plain; charset=utf-8", "no such page"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *answer = get(*state, cases[i].target);
		struct world *w = *state;
		char type[128], length[64];

		snprintf(type, sizeof(type), "\r\nContent-Type: %s\r\n", cases[i].type);
		snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n",
			 w->n - (size_t)(body_of(answer) - answer));
		if (status_of(answer) != cases[i].status)
			fail_msg("%s: %.300s", cases[i].target, answer);
		assert_has(answer, type);
		assert_has(answer, length);
		assert_has(answer, "\r\nDate: Mon, 23 Nov 2026 13:44:58 GMT\r\n");
		assert_has(answer, "\r\nCache-Control: no-store\r\n");
		assert_has(answer, "\r\nX-Content-Type-Options: nosniff\r\n");
		assert_has(answer, "\r\nX-Frame-Options: DENY\r\n");
		assert_has(answer, "\r\nCross-Origin-Resource-Policy: same-origin\r\n");
		assert_has(answer, "\r\nContent-Security-Policy: default-src 'none'; ");
		assert_memory_equal(body_of(answer), cases[i].body, strlen(cases[i].body));
	}
}

static void peers_of_a_node_in_a_cluster_alone(void **state)
{
	struct world *w = *state;

	assert_int_equal(404, status_of(get(w, "/peers.json")));
	assert_string_equal("this node is in no cluster\n", body_of(w->got));
	w->in_cluster = true;
	assert_int_equal(200, status_of(get(w, "/peers.json")));
	assert_has(w->got, "\r\nContent-Type: application/json\r\n");
	assert_memory_equal("{\"node\":\"edge1\",", body_of(w->got), 16);
	assert_memory_equal("{}]}\n", w->got + w->n - 5, 5);
	assert_int_equal(200, status_of(ask(w, "HEAD /peers.json HTTP/1.1\r\n" HOST "\r\n")));
	assert_string_equal("", body_of(w->got));
}

static void the_matrix_of_a_node_in_a_cluster_alone(void **state)
{
	struct world *w = *state;

	assert_int_equal(404, status_of(get(w, "/matrix.json")));
	w->in_cluster = true;
	assert_int_equal(200, status_of(get(w, "/matrix.json")));
	assert_has(w->got, "\r\nContent-Type: application/json\r\n");
	assert_string_equal("{\"age_s\":null,\"nodes\":[]}\n", body_of(w->got));
}

static char *file_of(const struct world *w)
{
	FILE *f = fopen(w->ca_path, "r");
	char *pem = calloc(1, 65536);

	assert_non_null(f);
	assert_true(fread(pem, 1, 65535, f) > 0);
	fclose(f);
	return pem;
}

static void set_other_ca(void *arg)
{
	struct world *w = arg;

	admin_set_ca(w->admin, admin_ca_read(w->ca_path, w->why, sizeof(w->why)));
}

static void the_certificate_is_the_one_that_was_read_last(void **state)
{
	struct world *w = *state;
	char key[620], *first = file_of(w), *second;
	struct ca_settings other = {
		.cert_path = w->ca_path, .key_path = key, .common_name = "other CA", .overwrite = true};

	snprintf(key, sizeof(key), "%s/ca.key", w->folder);
	assert_int_equal(0, ca_create(&other, NOW, w->why, sizeof(w->why)));
	second = file_of(w);
	assert_string_not_equal(first, second);
	assert_string_equal(body_of(get(w, "/ca.crt")), first);
	lane_do(&w->lane, set_other_ca, w);
	unlink(w->ca_path);
	assert_string_equal(body_of(get(w, "/ca.crt")), second);
	free(first);
	free(second);
}

static void head_is_get_without_the_body(void **state)
{
	static const char *const paths[] = {"/healthz", "/metrics", "/ca.crt", "/nowhere"};

	for (size_t i = 0; i < 4; i++) {
		struct world *w = *state;
		char text[128], *whole = strdup(get(w, paths[i]));
		size_t head = (size_t)(body_of(whole) - whole);

		snprintf(text, sizeof(text), "HEAD %s HTTP/1.1\r\n" HOST "\r\n", paths[i]);
		assert_memory_equal(ask(w, text), whole, head);
		assert_int_equal(head, w->n);
		free(whole);
	}
}

static void a_drain_shows_in_readyz_alone(void **state)
{
	struct world *w = *state;

	lane_do(&w->lane, drain_admin, w);
	assert_int_equal(503, status_of(get(w, "/readyz")));
	assert_string_equal("draining\n", body_of(w->got));
	assert_int_equal(200, status_of(get(w, "/healthz")));
	assert_int_equal(200, status_of(get(w, "/metrics")));
}

/* ---- who may ask, and what ---- */

static void it_reads_only(void **state)
{
	static const char *const requests[] = {
		"POST /metrics HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
		"PUT /metrics HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"DELETE /ca.crt HTTP/1.1\r\n" HOST "\r\n",
		"PURGE http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
		"TRACE / HTTP/1.1\r\n" HOST "\r\n",
		"CONNECT localhost:443 HTTP/1.1\r\n" HOST "\r\n",
		"get /metrics HTTP/1.1\r\n" HOST "\r\n",
	};

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		assert_int_equal(405, status_of(ask(*state, requests[i])));
		assert_has(((struct world *)*state)->got, "\r\nAllow: GET, HEAD\r\n");
		assert_int_equal(1, count(((struct world *)*state)->got, "HTTP/1.1 "));
	}
}

static void only_names_of_the_node_may_be_asked_for(void **state)
{
	static const struct {
		const char *host;
		int status;
	} cases[] = {
		{"127.0.0.1:8082", 200},
		{"127.0.0.1", 200},
		{"10.1.2.3:8082", 200},
		{"[::1]:8082", 200},
		{"[2001:db8::1]", 200},
		{"localhost", 200},
		{"LocalHost:8082", 200},
		{"localhost.:8082", 200},
		{"edge1:8082", 200},
		{"EDGE1", 200},
		{"edge1.", 200},
		{"edge2", 421},
		{"attacker.test", 421},
		{"attacker.test:8082", 421},
		{"edge1.attacker.test", 421},
		{"localhost.attacker.test", 421},
		{"127.0.0.1.attacker.test", 421},
		{"edge", 421},
		{"127.0.0.1@attacker.test", 400},
		{"", 400},
		{"a b", 400},
		{"localhost:x", 400},
		{"[::1", 400},
		{"127.0.0.1, localhost", 400},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text), "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host);
		if (status_of(ask(*state, text)) != cases[i].status)
			fail_msg("Host: %s: %.300s", cases[i].host, ((struct world *)*state)->got);
	}
}

static void the_machines_own_name_may_be_asked_for(void **state)
{
	char name[256] = "", text[512];

	assert_int_equal(0, gethostname(name, sizeof(name) - 1));
	snprintf(text, sizeof(text), "GET /healthz HTTP/1.1\r\nHost: %s:8082\r\n\r\n", name);
	assert_int_equal(200, status_of(ask(*state, text)));
}

static void the_host_of_an_absolute_target_counts(void **state)
{
	assert_int_equal(421, status_of(ask(*state, "GET http://attacker.test/metrics HTTP/1.1\r\n" HOST "\r\n")));
	assert_int_equal(200, status_of(ask(*state, "GET http://edge1/metrics HTTP/1.1\r\nHost: edge1\r\n\r\n")));
}

static void host_is_there_once(void **state)
{
	assert_int_equal(400, status_of(ask(*state, "GET /healthz HTTP/1.1\r\n\r\n")));
	assert_int_equal(400, status_of(ask(*state, "GET /healthz HTTP/1.1\r\n" HOST HOST "\r\n")));
	assert_int_equal(200, status_of(ask(*state, "GET /healthz HTTP/1.0\r\n\r\n")));
}

static void what_is_malformed_is_told_and_ends_the_connection(void **state)
{
	static const struct {
		const char *bytes;
		int status;
	} cases[] = {
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
		{"GET /\r\n\r\n", 400},
		{"GET  / HTTP/1.1\r\n\r\n", 400},
		{"GET / HTTP/2.0\r\n\r\n", 505},
		{"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400},
		{"GET / HTTP/1.1\nHost: localhost\n\n", 400},
		{"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		{"GET *x HTTP/1.1\r\n" HOST "\r\n", 400},
		{"GET ftp://localhost/ HTTP/1.1\r\n" HOST "\r\n", 400},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world *w = *state;
		int fd = dial(w, 0, 0);

		say_text(fd, cases[i].bytes);
		say_text(fd, "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
		shutdown(fd, SHUT_WR);
		hear(w, fd, false);
		if (status_of(w->got) != cases[i].status)
			fail_msg("case %zu: %.300s", i, w->got);
		if (i < 8) {
			assert_has(w->got, "\r\nConnection: close\r\n");
			assert_int_equal(1, count(w->got, "\r\nContent-Type: "));
		}
	}
}

static void a_head_has_a_limit(void **state)
{
	struct world *w = *state;
	char *text = calloc(1, 20000);
	int n;

	n = sprintf(text, "GET /healthz HTTP/1.1\r\n" HOST "X: ");
	memset(text + n, 'x', 7000);
	strcat(text, "\r\n\r\n");
	assert_int_equal(200, status_of(ask(w, text)));
	memset(text + n, 'x', 12000);
	assert_int_equal(431, status_of(ask(w, text)));
	n = sprintf(text, "GET /");
	memset(text + n, 'x', 12000);
	assert_int_equal(414, status_of(ask(w, text)));
	free(text);
}

/* ---- connections ---- */

static void pipelined_requests_are_answered_in_order_and_however_they_are_cut(void **state)
{
	static const char text[] = "GET /healthz HTTP/1.1\r\n" HOST "\r\nHEAD /metrics HTTP/1.1\r\n" HOST "\r\n"
				   "\r\nGET /readyz HTTP/1.1\r\n" HOST "\r\nGET /nowhere HTTP/1.1\r\n" HOST "\r\n"
				   "GET /stats.json HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"
				   "GET /never HTTP/1.1\r\n" HOST "\r\n";
	struct world *w = *state;

	for (size_t piece = 1; piece < sizeof(text) + 100; piece += 50) {
		int fd = dial(w, 0, 0);
		const char *at = NULL;

		for (size_t i = 0; i < sizeof(text) - 1; i += piece)
			send(fd, text + i, sizeof(text) - 1 - i < piece ? sizeof(text) - 1 - i : piece, MSG_NOSIGNAL);
		hear(w, fd, false);
		assert_int_equal(5, count(w->got, "HTTP/1.1 "));
		assert_non_null(at = strstr(w->got, "ok\n"));
		assert_non_null(at = strstr(at, "Content-Length: 100\r\n"));
		assert_non_null(at = strstr(at, "ready\n"));
		assert_non_null(at = strstr(at, "no such page"));
		assert_non_null(at = strstr(at, "\r\nConnection: close\r\n"));
		assert_non_null(strstr(at, "{\"node\""));
	}
}

static void http_1_0_ends_unless_asked_to_stay(void **state)
{
	struct world *w = *state;
	int fd = dial(w, 0, 0);

	say_text(fd, "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /readyz HTTP/1.0\r\n\r\n");
	hear(w, fd, false);
	assert_int_equal(2, count(w->got, "HTTP/1.1 200"));
	assert_int_equal(1, count(w->got, "\r\nConnection: keep-alive\r\n"));
	assert_int_equal(1, count(w->got, "\r\nConnection: close\r\n"));
}

static void a_body_is_not_read_and_nothing_behind_it(void **state)
{
	struct world *w = *state;

	ask(w, "GET /healthz HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	       "GET /readyz HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(1, count(w->got, "\r\nContent-Type: "));
	assert_has(w->got, "\r\nConnection: close\r\n");
	ask(w, "GET /healthz HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\nGET /readyz HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(2, count(w->got, "HTTP/1.1 200"));
}

/* Reads one answer whose body ends in this. */
static void hear_answer(struct world *w, int fd, const char *end)
{
	w->n = 0;
	do {
		ssize_t n = recv(fd, w->got + w->n, ANSWERS_BYTES - 1 - w->n, 0);

		assert_true(n > 0);
		w->n += (size_t)n;
		w->got[w->n] = '\0';
	} while (!strstr(w->got, end));
}

static void a_silent_connection_is_closed(void **state)
{
	struct world *w = *state;
	int fresh = dial(w, 0, 0), used = dial(w, 0, 0);

	say_text(used, "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
	hear_answer(w, used, "ok\n");
	lane_settle(&w->lane);
	pass(w, 11 * DUR_SECOND);
	hear(w, fresh, false);
	assert_int_equal(0, w->n);
	say_text(used, "GET /readyz HTTP/1.1\r\n" HOST "\r\n");
	hear_answer(w, used, "ready\n");
	lane_settle(&w->lane);
	pass(w, 2 * DUR_MINUTE + 1);
	hear(w, used, false);
	assert_int_equal(0, w->n);
}

static void a_head_that_does_not_end_is_408(void **state)
{
	struct world *w = *state;
	int fd = dial(w, 0, 0);

	say_text(fd, "GET /healthz HTTP/1.1\r\n" HOST "\r\nGET /heal");
	hear_answer(w, fd, "ok\n");
	lane_settle(&w->lane);
	pass(w, 5 * DUR_SECOND);
	say_text(fd, "thz HTTP/1.1\r\n"); /* a little now and then does not help */
	lane_settle(&w->lane);
	pass(w, 6 * DUR_SECOND);
	hear(w, fd, false);
	assert_int_equal(408, status_of(w->got));
}

/* Many requests at once, nothing read: more than all socket buffers hold. */
static int ask_much(struct world *w, unsigned n)
{
	int fd = dial(w, 0, 4096);

	w->metrics_bytes = METRICSTEXT_NODE_MAX * 2;
	for (unsigned i = 0; i < n; i++)
		say_text(fd, "GET /metrics HTTP/1.1\r\n" HOST "\r\n");
	shutdown(fd, SHUT_WR);
	for (unsigned i = 0; i < 2 * n; i++)
		lane_settle(&w->lane); /* one answer a turn */
	return fd;
}

static void a_slow_reader_gets_all_in_time(void **state)
{
	struct world *w = *state;
	int fd = ask_much(w, 400);

	assert_int_equal(200, status_of(get(w, "/healthz"))); /* others do not wait for it */
	pass(w, 15 * DUR_SECOND);
	hear(w, fd, false);
	assert_int_equal(400, count(w->got, "HTTP/1.1 200"));
}

static void a_reader_that_stands_still_is_cut(void **state)
{
	struct world *w = *state;
	int fd = ask_much(w, 400);

	pass(w, 21 * DUR_SECOND);
	hear(w, fd, true);
	assert_true(count(w->got, "HTTP/1.1 200") < 400);
}

static void when_all_places_are_taken_the_longest_silent_makes_room(void **state)
{
	struct world *w = *state;
	int fd[65];

	for (int i = 0; i < 64; i++) {
		fd[i] = dial(w, 0, 0);
		say_text(fd[i], "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
		hear_answer(w, fd[i], "ok\n");
	}
	say_text(fd[0], "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
	hear_answer(w, fd[0], "ok\n");
	fd[64] = dial(w, 0, 0);
	say_text(fd[64], "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
	hear_answer(w, fd[64], "ok\n");
	hear(w, fd[1], true);
	for (int i = 0; i < 65; i++) {
		if (i == 1)
			continue;
		shutdown(fd[i], SHUT_WR);
		hear(w, fd[i], false);
	}
}

static void closing_ends_all_at_once(void **state)
{
	struct world *w = *state;
	int idle = dial(w, 0, 0), busy = dial(w, 0, 0), fd;

	say_text(busy, "GET /healthz HTTP/1.1\r\n" HOST "\r\n");
	hear_answer(w, busy, "ok\n");
	say_text(busy, "GET /heal");
	lane_settle(&w->lane);
	lane_do(&w->lane, close_admin, w);
	assert_null(w->admin);
	hear(w, idle, true);
	hear(w, busy, true);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(-1, connect(fd, &w->at[0].sa, w->at[0].len));
	close(fd);
}

/* ---- the start ---- */

static void several_addresses(void **state)
{
	struct world *w = *state;
	int fd;

	w->at[1] = ground_closed_port("::1");
	w->n_at = 2;
	lane_do(&w->lane, open_admin, w);
	assert_non_null(w->admin);
	for (int i = 0; i < 2; i++) {
		fd = dial(w, i, 0);
		say_text(fd, "GET /healthz HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
		hear(w, fd, false);
		assert_int_equal(200, status_of(w->got));
	}
}

static void a_taken_address_is_told_and_nothing_stays_open(void **state)
{
	struct world *w = *state;
	char port[16];
	int holder, fd;

	w->at[1] = ground_addr("127.0.0.1", 0);
	holder = ground_listen(&w->at[1]);
	w->n_at = 2;
	snprintf(port, sizeof(port), ":%u", addr_port(&w->at[1]));
	lane_do(&w->lane, open_admin, w);
	assert_null(w->admin);
	assert_has(w->why, port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(-1, connect(fd, &w->at[0].sa, w->at[0].len));
	close(fd);
	close(holder);
}

static void a_certificate_that_is_not_there_is_named(void **state)
{
	struct world *w = *state;

	unlink(w->ca_path);
	assert_null(admin_ca_read(w->ca_path, w->why, sizeof(w->why)));
	assert_has(w->why, "ca.crt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(peers_of_a_node_in_a_cluster_alone, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(the_matrix_of_a_node_in_a_cluster_alone, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(the_certificate_is_the_one_that_was_read_last, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(head_is_get_without_the_body, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(a_drain_shows_in_readyz_alone, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(it_reads_only, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(only_names_of_the_node_may_be_asked_for, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(the_machines_own_name_may_be_asked_for, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(the_host_of_an_absolute_target_counts, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(host_is_there_once, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(what_is_malformed_is_told_and_ends_the_connection, set_up_open,
						tear_down),
		cmocka_unit_test_setup_teardown(a_head_has_a_limit, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(pipelined_requests_are_answered_in_order_and_however_they_are_cut,
						set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(http_1_0_ends_unless_asked_to_stay, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(a_body_is_not_read_and_nothing_behind_it, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(a_silent_connection_is_closed, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(a_head_that_does_not_end_is_408, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(a_slow_reader_gets_all_in_time, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(a_reader_that_stands_still_is_cut, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(when_all_places_are_taken_the_longest_silent_makes_room, set_up_open,
						tear_down),
		cmocka_unit_test_setup_teardown(closing_ends_all_at_once, set_up_open, tear_down),
		cmocka_unit_test_setup_teardown(several_addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_taken_address_is_told_and_nothing_stays_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_certificate_that_is_not_there_is_named, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
