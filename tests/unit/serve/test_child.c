/* The door for other nodes, whose parent this one is: what they may, what they are told, and what clients cannot have by using their words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "node/net/stream_plain.h"
#include "node/tls/nodecert.h"
#include "tests/stress/engine.h"
#include "tests/stress/wire.h"

#define BODY "0123456789abcdef"
#define WAIT_SECONDS 20

struct place {
	struct engine engine;
	struct fetch_cluster cluster;
	struct origin origin;
	struct accesslog *log;
	char log_path[64];
	_Atomic unsigned asked;   /* requests that the origin has got */
	_Atomic unsigned strange; /* of these, with a Pmc- field */
	_Atomic bool released;    /* /slow… may be answered */
};

/* ---- the origin ---- */

static bool answer(void *cookie, struct wire *w, struct wire_request *r)
{
	struct place *p = cookie;
	struct span path = r->head.target;

	atomic_fetch_add(&p->asked, 1);
	for (unsigned i = 0; i < r->head.fields.n; i++)
		if (hdr_is_internal(&r->head.fields.v[i]))
			atomic_fetch_add(&p->strange, 1);
	if (span_starts(path, SPAN("/slow")))
		while (!atomic_load(&p->released))
			engine_sleep_ms(1);
	return wire_say(w,
			"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nCache-Control: %s\r\nPmc-Status: HIT\r\n"
			"Pmc-Evil: 1\r\n\r\n%s",
			sizeof(BODY) - 1, span_starts(path, SPAN("/own")) ? "private" : "max-age=3600", BODY);
}

/* ---- one node ---- */

struct join_cluster {
	struct place *place;
	struct server *server;
};

static void on_join(void *arg)
{
	struct join_cluster *j = arg;

	j->server->fetcher.cluster = &j->place->cluster;
	j->server->accesslog = j->place->log;
	j->server->cluster_port = 8083;
}

static int set_up(void **state)
{
	struct place *p = NEW(struct place);
	struct policy *policy = engine_policy();
	struct accesslog_settings settings = {.path = p->log_path, .format = ACCESSLOG_SQUID};
	struct join_cluster j = {.place = p};
	char why[200];
	int fd;

	snprintf(p->log_path, sizeof(p->log_path), "/tmp/pmcache-child-XXXXXX");
	fd = mkstemp(p->log_path);
	assert_true(fd >= 0);
	close(fd);
	p->log = accesslog_open(&settings, why, sizeof(why));
	assert_non_null(p->log);
	for (size_t i = 0; i < policy->access.connect_ports.n; i++) {
		policy->access.connect_ports.v[i].from = 1;
		policy->access.connect_ports.v[i].to = 65535;
	}
	p->cluster = (struct fetch_cluster){.name = "lab",
					    .node = "parent1",
					    .is_parent = true,
					    .parents = parent_set_new(1),
					    .fellows = parent_set_new(2)};
	engine_start(&p->engine, policy, 1, 0, 1);
	j.server = &p->engine.lanes[0].server;
	lane_do(&p->engine.lanes[0].lane, on_join, &j);
	origin_start(&p->origin, answer, p);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	atomic_store(&p->released, true);
	assert_true(engine_is_quiet(&p->engine, WAIT_SECONDS * 1000));
	assert_true(engine_flights_end(&p->engine, WAIT_SECONDS * 1000));
	assert_int_equal(engine_stop(&p->engine), 0);
	origin_stop(&p->origin);
	parent_set_free(p->cluster.parents);
	parent_set_free(p->cluster.fellows);
	unlink(p->log_path);
	free(p);
	return 0;
}

/* ---- those who ask ---- */

struct arrival {
	struct server *server;
	int fd;
	const char *ip;
	const char *node; /* NULL: a client */
};

static void on_arrival(void *arg)
{
	struct arrival *a = arg;
	struct node_name who = {.cluster = "lab", .role = NODE_EDGE};
	struct addr peer;
	struct stream *s;

	assert_int_equal(addr_parse_ip(span_str(a->ip), 9, &peer), 0);
	if (!a->node) {
		client_accept(a->server, CLIENT_DOOR_PROXY, a->fd, &peer);
		return;
	}
	snprintf(who.node, sizeof(who.node), "%s", a->node);
	s = stream_plain_new(a->server->loop, a->fd, &peer);
	client_take(a->server, CLIENT_DOOR_CHILD, &s, &who);
	assert_null(s);
}

static void arrive(struct place *p, const char *ip, const char *node, struct wire *out)
{
	struct timeval limit = {.tv_sec = WAIT_SECONDS};
	struct arrival a = {.server = &p->engine.lanes[0].server, .ip = ip, .node = node};
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(fcntl(fd[1], F_SETFL, fcntl(fd[1], F_GETFL) | O_NONBLOCK), 0);
	a.fd = fd[1];
	lane_do(&p->engine.lanes[0].lane, on_arrival, &a);
	wire_open(out, fd[0]);
}

static void ask(struct place *p, struct wire *w, const char *method, const char *path, const char *fields)
{
	assert_true(wire_say(w, "%s http://127.0.0.1:%u%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", method,
			     p->origin.port, path, p->origin.port, fields));
}

static const char *value_of(const struct wire_response *r, const char *name, char room[256])
{
	const struct hdr *f = hdr_find(&r->head.fields, span_str(name));

	if (!f)
		return "";
	snprintf(room, 256, "%.*s", SPAN_ARG(f->value));
	return room;
}

static void take_body(struct wire *w, const struct wire_response *r)
{
	struct wire_body b = {.kind = r->head.body, .left = r->head.length};
	struct span piece;

	while (wire_body(w, &b, &piece, 65536))
		;
	assert_true(b.whole);
}

/* The whole answer; its head. */
static void hear(struct wire *w, enum http1_method to, int status, struct wire_response *r)
{
	assert_true(wire_response(w, to, r));
	assert_int_equal(r->head.status, status);
	take_body(w, r);
}

static bool has_internal(const struct wire_response *r)
{
	for (unsigned i = 0; i < r->head.fields.n; i++)
		if (hdr_is_internal(&r->head.fields.v[i]))
			return true;
	return false;
}

/* ---- what a child is told ---- */

static void test_sources(void **state)
{
	static const struct {
		const char *method, *path, *source;
	} rows[] = {
		{"GET", "/a.tgz", "MISS"},   {"GET", "/a.tgz", "HIT"}, {"HEAD", "/a.tgz", "HIT"},
		{"POST", "/search", "PASS"}, {"GET", "/own", "MISS"},  {"GET", "/own", "PASS"},
	};
	struct place *p = *state;
	struct wire_response r;
	struct wire w;
	char room[256];

	arrive(p, "192.0.2.7", "edge1", &w); /* not in access.clients */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask(p, &w, rows[i].method, rows[i].path, "Pmc-Hop: lab 1 edge1\r\nPmc-Home: parent2\r\n");
		hear(&w, http1_method(span_str(rows[i].method)), 200, &r);
		assert_string_equal(value_of(&r, "Pmc-Status", room), rows[i].source);
		assert_in_range(atoi(value_of(&r, "Pmc-Load", room)), 0, 255);
		assert_string_not_equal(value_of(&r, "Pmc-Load", room), "");
		assert_string_equal(value_of(&r, "Pmc-Error", room), "");
		assert_string_equal(value_of(&r, "Pmc-Evil", room), "");
		assert_non_null(strstr(value_of(&r, "X-Cache-Lookup", room), ":8083"));
	}
	assert_int_equal(atomic_load(&p->strange), 0);
	wire_close(&w);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *method, *fields;
		int status;
		const char *error;
	} rows[] = {
		{"GET", "Pmc-Hop: lab 2 edge1 parent1\r\n", 508, "loop"},
		{"GET", "Pmc-Hop: lab 4 a b c d\r\n", 508, "loop"},
		{"GET", "Pmc-Hop: den 1 edge1\r\n", 508, "loop"},
		{"PURGE", "", 403, "denied-method"},
		{"GET", "Pmc-Only: 1\r\n", 504, "only-if-cached"},
		{"HEAD", "Pmc-Only: 1\r\n", 504, "only-if-cached"},
		{"POST", "Pmc-Only: 1\r\nContent-Length: 0\r\n", 504, "only-if-cached"},
		{"GET", "Pmc-Only: 1\r\nRange: bytes=-5\r\n", 504, "only-if-cached"},
		{"GET", "Cache-Control: only-if-cached\r\n", 504, "only-if-cached"},
	};
	struct place *p = *state;
	struct wire_response r;
	char room[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire w;

		arrive(p, "127.0.0.1", "edge1", &w); /* from where clients may PURGE */
		ask(p, &w, rows[i].method, "/none.tgz", rows[i].fields);
		hear(&w, http1_method(span_str(rows[i].method)), rows[i].status, &r);
		assert_string_equal(value_of(&r, "Pmc-Error", room), rows[i].error);
		assert_string_equal(value_of(&r, "Pmc-Status", room), "");
		wire_close(&w);
	}
	assert_int_equal(atomic_load(&p->asked), 0);
}

/* An origin that cannot be reached is its fault, and told as such. */
static void test_origin_fault(void **state)
{
	struct place *p = *state;
	struct wire_response r;
	struct wire w;
	char room[256];

	arrive(p, "127.0.0.1", "edge1", &w);
	assert_true(wire_say(&w, "GET http://127.0.0.1:1025/x HTTP/1.1\r\nHost: 127.0.0.1:1025\r\n\r\n"));
	hear(&w, METHOD_GET, 502, &r);
	assert_string_equal(value_of(&r, "Pmc-Error", room), "connect-refused");
	wire_close(&w);
}

/* A hedge finds what is stored, and what is on its way, and starts nothing. */
static void test_only(void **state)
{
	struct place *p = *state;
	struct wire first, hedge;
	struct wire_response r;
	char room[256];

	arrive(p, "127.0.0.1", NULL, &first);
	arrive(p, "127.0.0.1", "edge1", &hedge);
	ask(p, &first, "GET", "/a.tgz", "");
	hear(&first, METHOD_GET, 200, &r);
	ask(p, &hedge, "GET", "/a.tgz", "Pmc-Only: 1\r\n");
	hear(&hedge, METHOD_GET, 200, &r);
	assert_string_equal(value_of(&r, "Pmc-Status", room), "HIT");
	ask(p, &first, "GET", "/slow.tgz", "");
	while (atomic_load(&p->asked) < 2)
		engine_sleep_ms(1);
	ask(p, &hedge, "GET", "/slow.tgz", "Pmc-Only: 1\r\n");
	for (int i = 0; i < 2; i++) { /* at once, and each second */
		assert_true(wire_response(&hedge, METHOD_GET, &r));
		assert_int_equal(r.head.status, 102);
		if (i == 0)
			atomic_fetch_add(&p->engine.clock.by_ms, DUR_SECOND);
	}
	atomic_store(&p->released, true);
	hear(&first, METHOD_GET, 200, &r);
	assert_false(has_internal(&r));
	hear(&hedge, METHOD_GET, 200, &r);
	assert_memory_equal(value_of(&r, "X-Cache", room), "HIT", 3);
	assert_int_equal(atomic_load(&p->asked), 2);
	wire_close(&first);
	wire_close(&hedge);
}

/* What is stale: a hedge does not have it validated. */
static void test_only_of_what_is_stale(void **state)
{
	struct place *p = *state;
	struct wire_response r;
	struct wire w;
	char room[256];

	arrive(p, "127.0.0.1", "edge1", &w);
	ask(p, &w, "GET", "/index", "");
	hear(&w, METHOD_GET, 200, &r);
	atomic_fetch_add(&p->engine.clock.by_ms, 80 * DUR_MINUTE);
	wire_close(&w); /* it has timed out */
	arrive(p, "127.0.0.1", "edge1", &w);
	ask(p, &w, "GET", "/index", "Pmc-Only: 1\r\n");
	hear(&w, METHOD_GET, 504, &r);
	assert_string_equal(value_of(&r, "Pmc-Error", room), "only-if-cached");
	assert_int_equal(atomic_load(&p->asked), 1);
	wire_close(&w);
}

/* ---- CONNECT ---- */

static void test_connect(void **state)
{
	struct place *p = *state;
	struct wire_response r;
	struct wire w;
	char room[256];

	arrive(p, "192.0.2.7", "edge1", &w);
	assert_true(wire_say(&w, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nPmc-Hop: lab 1 edge1\r\n\r\n",
			     p->origin.port, p->origin.port));
	assert_true(wire_response(&w, METHOD_CONNECT, &r));
	assert_int_equal(r.head.status, 200);
	assert_true(wire_say(&w, "GET /inside HTTP/1.1\r\nHost: x\r\n\r\n"));
	hear(&w, METHOD_GET, 200, &r);
	assert_string_equal(value_of(&r, "Pmc-Evil", room), "1"); /* blindly */
	wire_close(&w);
	arrive(p, "192.0.2.7", "edge1", &w);
	assert_true(wire_say(&w,
			     "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nPmc-Hop: lab 1 parent1\r\n\r\n",
			     p->origin.port, p->origin.port));
	hear(&w, METHOD_CONNECT, 508, &r);
	assert_string_equal(value_of(&r, "Pmc-Error", room), "loop");
	wire_close(&w);
}

/* ---- clients, and the log ---- */

static void test_words_of_nodes_from_clients(void **state)
{
	static const char *const fields[] = {
		"Pmc-Hop: lab 1 parent1\r\n",
		"Pmc-Hop: lab 9 x\r\n",
		"Pmc-Only: 1\r\n",
		"Pmc-Home: parent2\r\n",
		"Pmc-Status: HIT\r\nPMC-Load: 255\r\npmc-x: y\r\n",
	};
	struct place *p = *state;
	struct wire_response r;
	struct wire w;

	arrive(p, "127.0.0.1", NULL, &w);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		char path[32];

		snprintf(path, sizeof(path), "/%zu.tgz", i);
		for (unsigned again = 0; again < 2; again++) {
			ask(p, &w, "GET", path, fields[i]);
			hear(&w, METHOD_GET, 200, &r);
			assert_false(has_internal(&r));
		}
		assert_int_equal(atomic_load(&p->asked), i + 1);
	}
	assert_int_equal(atomic_load(&p->strange), 0);
	wire_close(&w);
	arrive(p, "192.0.2.7", NULL, &w); /* and access.clients is asked of them */
	ask(p, &w, "GET", "/a.tgz", "Pmc-Hop: lab 1 edge1\r\n");
	hear(&w, METHOD_GET, 403, &r);
	assert_false(has_internal(&r));
	wire_close(&w);
}

static void test_log(void **state)
{
	struct place *p = *state;
	struct wire_response r;
	struct wire w;
	char text[8192];
	size_t n;
	FILE *f;

	arrive(p, "192.0.2.7", "edge1", &w);
	ask(p, &w, "GET", "/a.tgz", "");
	hear(&w, METHOD_GET, 200, &r);
	assert_true(wire_say(&w, "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\n", p->origin.port));
	assert_true(wire_response(&w, METHOD_CONNECT, &r));
	wire_close(&w);
	arrive(p, "127.0.0.1", NULL, &w);
	ask(p, &w, "GET", "/a.tgz", "");
	hear(&w, METHOD_GET, 200, &r);
	wire_close(&w);
	assert_true(engine_is_quiet(&p->engine, WAIT_SECONDS * 1000));
	accesslog_close(&p->log);
	p->engine.lanes[0].server.accesslog = p->engine.accesslog; /* nobody is there */
	f = fopen(p->log_path, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	assert_non_null(strstr(text, " 192.0.2.7 TCP_MISS/200 "));
	assert_non_null(strstr(text, "/a.tgz edge1 HIER_DIRECT/127.0.0.1 "));
	assert_non_null(strstr(text, " 192.0.2.7 TCP_TUNNEL/200 "));
	assert_non_null(strstr(strstr(text, " CONNECT "), " edge1 HIER_DIRECT/127.0.0.1 "));
	assert_non_null(strstr(text, "/a.tgz - HIER_NONE/- "));
}

static int close_log(void **state)
{
	struct place *p = *state;
	struct accesslog *log = p->log;
	int rc = tear_down(state);

	accesslog_close(&log);
	return rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sources, set_up, close_log),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, close_log),
		cmocka_unit_test_setup_teardown(test_origin_fault, set_up, close_log),
		cmocka_unit_test_setup_teardown(test_only, set_up, close_log),
		cmocka_unit_test_setup_teardown(test_only_of_what_is_stale, set_up, close_log),
		cmocka_unit_test_setup_teardown(test_connect, set_up, close_log),
		cmocka_unit_test_setup_teardown(test_words_of_nodes_from_clients, set_up, close_log),
		cmocka_unit_test_setup_teardown(test_log, set_up, close_log),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
