#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>

#include "node/link/nodelink.h"
#include "node/net/dns.h"
#include "node/tls/stream_tls.h"
#include "tests/unit/net/fake_dns.h"
#include "tests/unit/tls/certs_make.h"
#include "tests/unit/tls/nodes.h"

static const struct fake_name names[] = {
	{.name = "edge2.test", .v4 = {"127.0.0.1"}, .ttl = 60},
	{.name = "two.test", .v4 = {"127.0.0.1"}, .v6 = {"::1"}, .ttl = 60},
	{.name = "silent.test", .code_v4 = FAKE_SILENT, .code_v6 = FAKE_SILENT},
	{.code_v4 = FAKE_NXDOMAIN, .code_v6 = FAKE_NXDOMAIN},
};

/* The machine's clock, moved. */
struct moved_clock {
	struct clock clock;
	dur_ms by;
};

static mono_us moved_mono(const struct clock *c)
{
	return clock_mono(&clock_system) + ((const struct moved_clock *)c)->by * 1000;
}

static wall_ms moved_wall(const struct clock *c)
{
	return clock_wall(&clock_system) + ((const struct moved_clock *)c)->by;
}

struct place {
	struct ground g;
	struct moved_clock clock;
	struct fake_dns fake;
	struct dns *dns;
	struct nodes c, other;
	struct nodetls *edge, *edge2, *parent; /* edge dials */

	/* the side that accepts */
	struct addr at;
	int listener;
	struct fdwatch *watch;
	struct nodetls *serves; /* NULL: connections are taken, and nothing is said on them */
	bool proxy, shut;
	int silent; /* -1: none */
	struct nodelink_accept *accept;
	bool accepted;
	struct stream *theirs;
	struct node_name who;
	enum node_door door;
	char why_not[500];

	/* the side that dials */
	struct nodelink_target target;
	bool dialled;
	struct stream *ours;
	enum nodelink_fault fault;
	char detail[500];

	int waiting;
};

static void one_less(struct place *p)
{
	if (--p->waiting == 0)
		loop_stop(p->g.loop);
}

static void on_accepted(void *cookie, struct stream *s, const struct node_name *who, enum node_door door,
			const char *why_not)
{
	struct place *p = cookie;

	assert_false(p->accepted);
	assert_true((s == NULL) == (who == NULL));
	p->accepted = true;
	p->accept = NULL;
	p->theirs = s;
	p->door = door;
	if (who)
		p->who = *who;
	snprintf(p->why_not, sizeof(p->why_not), "%s", why_not);
	one_less(p);
}

static void on_connection(void *cookie, unsigned events)
{
	struct place *p = cookie;
	struct addr from = {.len = sizeof(from.in6)};
	int fd = accept4(p->listener, &from.sa, &from.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	assert_true(fd >= 0);
	if (p->shut) {
		close(fd);
		return;
	}
	if (!p->serves) {
		p->silent = fd;
		return;
	}
	p->accept = nodelink_accept(p->g.loop, p->serves, fd, &from, p->proxy, on_accepted, p);
	assert_false(p->accepted);
}

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

static int setup(void **state)
{
	const struct cluster *f = *state;
	struct place *p = calloc(1, sizeof(*p));
	char servers[ADDR_TEXT_BYTES];

	p->clock.clock = (struct clock){.mono = moved_mono, .wall = moved_wall};
	p->g.loop = loop_new(0, &p->clock.clock);
	timer_init(&p->g.limit, p->g.loop, ground_on_limit, &p->g);
	p->dns = dns_new(p->g.loop);
	assert_int_equal(0, dns_set_servers_csv(p->dns, fake_dns_init(&p->fake, &p->g, names, servers)));
	p->c = f->c;
	p->other = f->other;
	p->edge = nodes_tls(&p->c, "edge1");
	p->edge2 = nodes_tls(&p->c, "edge2");
	p->parent = nodes_tls(&p->c, "parent1");
	p->at = ground_addr("127.0.0.1", 0);
	p->listener = ground_listen(&p->at);
	p->watch = fdwatch_new(p->g.loop, p->listener, on_connection, p);
	fdwatch_want(p->watch, FD_READ);
	p->silent = -1;
	p->serves = p->edge2;
	p->target = (struct nodelink_target){.node = SPAN("edge2"),
					     .host = SPAN("edge2.test"),
					     .port = addr_port(&p->at),
					     .connect_timeout = 5 * DUR_SECOND,
					     .tls_timeout = 5 * DUR_SECOND};
	*state = p;
	return 0;
}

static void clear(struct place *p)
{
	nodelink_accept_cancel(&p->accept);
	stream_close(&p->theirs, STREAM_CUT);
	stream_close(&p->ours, STREAM_CUT);
	if (p->silent >= 0)
		close(p->silent);
	p->silent = -1;
	p->accepted = p->dialled = false;
	p->waiting = 0;
	memset(&p->who, 0, sizeof(p->who));
}

static int teardown(void **state)
{
	struct place *p = *state;

	clear(p);
	fdwatch_free(p->watch);
	close(p->listener);
	nodetls_unref(&p->edge);
	nodetls_unref(&p->edge2);
	nodetls_unref(&p->parent);
	dns_free(p->dns);
	fake_dns_fini(&p->fake);
	ground_fini(&p->g);
	assert_int_equal(ERR_peek_error(), 0);
	free(p);
	return 0;
}

static void on_dialled(void *cookie, struct stream *s, enum nodelink_fault fault, const char *detail)
{
	struct place *p = cookie;

	assert_false(p->dialled);
	assert_true((s == NULL) == (fault != NODELINK_OK));
	p->dialled = true;
	p->ours = s;
	p->fault = fault;
	snprintf(p->detail, sizeof(p->detail), "%s", detail);
	one_less(p);
}

static struct nodelink_dial *start(struct place *p)
{
	struct nodelink_dial *d = nodelink_dial(p->g.loop, p->dns, p->edge, &p->target, on_dialled, p);

	assert_false(p->dialled);
	return d;
}

/* Both sides to their ends, or with `alone` the one that dials. */
static void run(struct place *p, bool alone)
{
	clear(p);
	p->waiting = alone ? 1 : 2;
	start(p);
	ground_run(&p->g);
	assert_true(p->dialled);
}

static void expect(struct place *p, enum nodelink_fault fault, const char *detail, int line)
{
	char text[600], at[ADDR_TEXT_BYTES];

	/* "@" stands for the address. */
	if (strchr(detail, '@'))
		snprintf(text, sizeof(text), "%.*s%s%s", (int)strcspn(detail, "@"), detail, addr_format(&p->at, at),
			 strchr(detail, '@') + 1);
	else
		snprintf(text, sizeof(text), "%s", detail);
	if (p->fault != fault || strcmp(text, p->detail) != 0)
		fail_msg("line %d: %d (%s)", line, p->fault, p->detail);
}

#define EXPECT(fault, detail) expect(p, fault, detail, __LINE__)

static void test_good(void **state)
{
	struct place *p = *state;

	run(p, false);
	EXPECT(NODELINK_OK, "");
	assert_string_equal(p->who.node, "edge1");
	assert_int_equal(p->who.role, NODE_EDGE);
	assert_int_equal(p->door, NODE_DOOR_PEER);
	assert_string_equal(p->why_not, "");
	assert_int_equal(addr_port(stream_peer(p->ours)), addr_port(&p->at));

	p->serves = p->parent;
	p->proxy = true;
	p->target.node = SPAN("parent1");
	p->target.parent = true;
	p->target.door = NODE_DOOR_PROXY;
	p->target.host = SPAN("127.0.0.1");
	run(p, false);
	EXPECT(NODELINK_OK, "");
	assert_int_equal(p->door, NODE_DOOR_PROXY);
	assert_int_equal(stream_tls_door(p->ours), NODE_DOOR_PROXY);
}

/* IPv6 is refused, IPv4 comes at once: the race is dial's. */
static void test_races(void **state)
{
	struct place *p = *state;

	p->target.host = SPAN("two.test");
	run(p, false);
	EXPECT(NODELINK_OK, "");
}

static void test_no_connection(void **state)
{
	struct place *p = *state;
	struct addr closed = ground_closed_port("127.0.0.1");
	char text[200];

	p->target.port = addr_port(&closed);
	run(p, true);
	snprintf(text, sizeof(text), "edge2 at 127.0.0.1:%u: Connection refused", p->target.port);
	EXPECT(NODELINK_DIAL, text);
	p->target.host = SPAN("none.test");
	p->target.port = 8083;
	run(p, true);
	EXPECT(NODELINK_DIAL, "edge2 at none.test:8083: the host name does not exist");
	dns_set_deadline(p->dns, 30);
	p->target.host = SPAN("silent.test");
	run(p, true);
	EXPECT(NODELINK_DIAL, "edge2 at silent.test:8083: the name server did not answer in time");
}

static void test_wrong_node(void **state)
{
	struct place *p = *state;
	struct nodetls *edge3 = nodes_tls(&p->c, "edge3"), *prod;

	p->serves = edge3;
	run(p, false);
	EXPECT(NODELINK_WRONG_NODE, "edge2 at @ showed a certificate for edge3");

	/* The right name, and yet no parent. */
	p->serves = p->edge2;
	p->target.parent = true;
	run(p, false);
	EXPECT(NODELINK_WRONG_NODE, "edge2 at @ showed a certificate for role edge, not parent");
	p->target.parent = false;

	nodes_issue(&p->c, "prod", "prod", NODE_EDGE, "edge2", 30, p->c.now);
	prod = nodes_tls_at(&p->c, "prod", "prod", p->c.now);
	p->serves = prod;
	run(p, false);
	EXPECT(NODELINK_WRONG_NODE, "edge2 at @: certificate of edge2 is for cluster prod");
	assert_null(p->theirs);
	assert_non_null(strstr(p->why_not, "127.0.0.1:"));
	nodetls_unref(&edge3);
	nodetls_unref(&prod);
}

static void test_other_ca(void **state)
{
	struct place *p = *state;
	struct nodetls *stranger;

	nodes_issue(&p->other, "stranger", "test", NODE_EDGE, "edge2", 30, p->c.now);
	stranger = nodes_tls(&p->other, "stranger");
	p->serves = stranger;
	run(p, false);
	EXPECT(NODELINK_TLS, "edge2 at @: certificate of edge2: unable to get local issuer certificate");
	assert_null(p->theirs);
	nodetls_unref(&stranger);
}

static void test_no_door(void **state)
{
	struct place *p = *state;

	p->target.door = NODE_DOOR_PROXY;
	run(p, false);
	EXPECT(NODELINK_NO_DOOR, "edge2 at @ does not open pmc-proxy/1");
	assert_null(p->theirs);
	assert_non_null(strstr(p->why_not, "no application protocol"));
}

/* A refused client goes, and its link with it; who serves knows why. */
static void test_refused_client(void **state)
{
	struct place *p = *state;

	nodetls_unref(&p->edge);
	nodes_issue(&p->c, "old", "test", NODE_EDGE, "edge1", 1, p->c.now - 10 * DUR_HOUR);
	p->edge = nodes_tls_at(&p->c, "old", "test", p->c.now);
	p->clock.by = DUR_DAY;
	run(p, false);
	assert_null(p->theirs);
	assert_non_null(strstr(p->why_not, ": certificate of edge1: certificate has expired"));
}

static bool has_session(struct place *p)
{
	SSL_SESSION *session = nodetls_session(p->edge, SPAN("edge2"));

	SSL_SESSION_free(session);
	return session != NULL;
}

static void test_resumed(void **state)
{
	struct place *p = *state;

	for (int i = 0; i < 3; i++) {
		run(p, false);
		EXPECT(NODELINK_OK, "");
		assert_int_equal(stream_tls_resumed(p->ours), i > 0);
		assert_string_equal(p->who.node, "edge1");
		stream_want(p->ours, STREAM_READ);
		for (int n = 0; n < 1000 && !has_session(p); n++) { /* the ticket is taken by whoever reads */
			ground_run_for(&p->g, 1);
			assert_int_equal(stream_read(p->ours, (char[8]){0}, 8), STREAM_AGAIN);
		}
	}
}

/* ---- time ---- */

static void on_later(void *arg)
{
	struct place *p = arg;

	p->clock.by += NODELINK_ACCEPT_TIMEOUT;
}

static void test_tls_timeout(void **state)
{
	struct place *p = *state;

	p->serves = NULL;
	p->target.tls_timeout = 50;
	run(p, true);
	EXPECT(NODELINK_TLS, "edge2 at @: the TLS handshake did not end in time");
}

static void test_connect_timeout(void **state)
{
	struct place *p = *state;
	struct addr at = ground_addr("127.0.0.1", 0);
	int fd = ground_bind(SOCK_STREAM, &at), filler[4];
	char text[200];

	assert_int_equal(0, listen(fd, 0));
	for (int i = 0; i < 4; i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(filler[i], &at.sa, at.len);
	}
	p->target.port = addr_port(&at);
	p->target.connect_timeout = 50;
	run(p, true);
	snprintf(text, sizeof(text), "edge2 at 127.0.0.1:%u: the host did not take the connection in time",
		 p->target.port);
	EXPECT(NODELINK_DIAL, text);
	for (int i = 0; i < 4; i++)
		close(filler[i]);
	close(fd);
}

/* Who connects and says nothing, or rubbish. */
static void test_bad_clients(void **state)
{
	struct place *p = *state;
	int fd[2];

	for (int i = 0; i < 3; i++) {
		struct addr peer = ground_addr("192.0.2.7", 5);
		struct timer t;

		clear(p);
		ground_pair(fd);
		p->waiting = 1;
		timer_init(&t, p->g.loop, on_later, p);
		p->accept = nodelink_accept(p->g.loop, p->edge2, fd[1], &peer, false, on_accepted, p);
		if (i == 0)
			timer_set_in(&t, 5);
		else if (i == 1)
			assert_int_equal(send(fd[0], "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
		else
			shutdown(fd[0], SHUT_WR);
		ground_run(&p->g);
		timer_fini(&t);
		assert_null(p->theirs);
		assert_string_equal(p->why_not, i == 0   ? "192.0.2.7:5: the TLS handshake did not end in time"
						: i == 1 ? "192.0.2.7:5: http request"
							 : "192.0.2.7:5: unexpected eof while reading");
		close(fd[0]);
	}
}

/* ---- cancelling ---- */

/* At whatever moment: no callback, nothing left (the address sanitizer looks). */
static void test_cancelled(void **state)
{
	struct place *p = *state;
	bool over = false;
	int turns = 0;

	for (; !over; turns++) {
		struct nodelink_dial *d;

		clear(p);
		p->waiting = 1 << 20; /* nobody stops the loop but we */
		d = start(p);
		for (int i = 0; i < turns; i++) {
			loop_post(p->g.loop, ground_on_stop, p->g.loop);
			ground_run(&p->g);
		}
		over = p->dialled && p->accepted;
		if (p->dialled)
			d = NULL;
		nodelink_cancel(&d);
		assert_null(d);
		nodelink_cancel(&d);
		nodelink_accept_cancel(&p->accept);
		p->dialled = p->accepted = p->shut = true; /* a callback would find that */
		ground_run_for(&p->g, 1);
		p->dialled = p->accepted = p->shut = false;
		assert_true(turns < 1000);
	}
	assert_true(turns > 3);
}

static void test_origin(void **state)
{
	struct nodelink_target peer = {.node = SPAN("edge2"), .door = NODE_DOOR_PEER};
	struct nodelink_target proxy = {.node = SPAN("parent1"), .door = NODE_DOOR_PROXY};
	char text[100];
	struct buf b = buf_over(text, sizeof(text));

	(void)state;
	nodelink_origin(&peer, &b);
	assert_true(span_eq(buf_span(&b), SPAN("node:peer:edge2")));
	b.n = 0;
	nodelink_origin(&proxy, &b);
	assert_true(span_eq(buf_span(&b), SPAN("node:proxy:parent1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_good),
		T(test_races),
		T(test_no_connection),
		T(test_wrong_node),
		T(test_other_ca),
		T(test_no_door),
		T(test_refused_client),
		T(test_resumed),
		T(test_tls_timeout),
		T(test_connect_timeout),
		T(test_bad_clients),
		T(test_cancelled),
#undef T
		cmocka_unit_test(test_origin),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_all, remove_all);
}
