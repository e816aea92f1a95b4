#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "node/net/udp.h"
#include "tests/unit/net/ground.h"

struct post_office {
	struct ground g;
	struct addr at[2];
	struct udp *u[2];
	unsigned wanted, n;
	char last[UDP_MAX_BYTES + 1];
	size_t last_bytes;
	struct addr from;
	mono_us received;
	bool answers;
};

/* An address with a UDP port that nobody uses. */
static struct addr free_port(const char *ip)
{
	struct addr a = ground_addr(ip, 0);

	close(ground_bind(SOCK_DGRAM, &a));
	return a;
}

static void on_datagram(void *cookie, const struct addr *from, struct span datagram, mono_us received)
{
	struct post_office *p = cookie;

	assert_true(datagram.n <= UDP_MAX_BYTES);
	memcpy(p->last, datagram.p, datagram.n);
	p->last[datagram.n] = '\0';
	p->last_bytes = datagram.n;
	p->from = *from;
	p->received = received;
	if (++p->n == p->wanted)
		loop_stop(p->g.loop);
	if (p->answers)
		udp_send(p->u[1], from, datagram);
}

static void open_at(struct post_office *p, const char *ip)
{
	char err[300] = "";

	for (int i = 0; i < 2; i++) {
		p->at[i] = free_port(ip);
		p->u[i] = udp_open(p->g.loop, &p->at[i], on_datagram, p, err, sizeof(err));
		assert_string_equal(err, "");
		assert_non_null(p->u[i]);
	}
}

static int setup(void **state)
{
	struct post_office *p = calloc(1, sizeof(*p));

	ground_init(&p->g);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct post_office *p = *state;

	udp_close(&p->u[0]);
	udp_close(&p->u[1]);
	udp_close(&p->u[1]); /* harmless */
	ground_fini(&p->g);
	free(p);
	return 0;
}

static void expect(struct post_office *p, unsigned n)
{
	p->n = 0;
	p->wanted = n;
	ground_run(&p->g);
	assert_int_equal(p->n, n);
}

/* More than fit one system call, all in one turn. */
static void many_go_in_one_turn(void **state)
{
	static const char *const ips[] = {"127.0.0.1", "::1"};
	struct post_office *p = *state;

	for (int family = 0; family < 2; family++) {
		open_at(p, ips[family]);
		for (unsigned i = 0; i < 100; i++) {
			char text[32];

			snprintf(text, sizeof(text), "datagram %u", i);
			udp_send(p->u[0], &p->at[1], span_str(text));
		}
		expect(p, 100);
		assert_string_equal(p->last, "datagram 99");
		assert_true(addr_same(&p->from, &p->at[0]));
		assert_true(p->received <= loop_now(p->g.loop));
		assert_true(p->received > loop_now(p->g.loop) - GROUND_LIMIT_MS * 1000);
		udp_close(&p->u[0]);
		udp_close(&p->u[1]);
	}
}

/* The loop does not run: what has come is read all the same, and once. */
static void what_has_come_can_be_read_at_once(void **state)
{
	struct post_office *p = *state;

	open_at(p, "127.0.0.1");
	udp_receive(p->u[1]);
	assert_int_equal(p->n, 0);
	udp_send(p->u[0], &p->at[1], SPAN("one"));
	udp_send(p->u[0], &p->at[1], SPAN("two"));
	udp_flush(p->u[0]);
	udp_receive(p->u[1]);
	assert_int_equal(p->n, 2);
	assert_string_equal(p->last, "two");
	udp_receive(p->u[1]);
	assert_int_equal(p->n, 2);
}

static void an_answer_from_inside(void **state)
{
	struct post_office *p = *state;
	char big[UDP_MAX_BYTES];

	memset(big, 'x', sizeof(big));
	open_at(p, "127.0.0.1");
	udp_send(p->u[0], &p->at[1], span_of(big, sizeof(big)));
	p->answers = true;
	expect(p, 2);
	assert_true(addr_same(&p->from, &p->at[1]));
	assert_int_equal(p->last_bytes, UDP_MAX_BYTES);
}

/* Those that cannot go are lost, and nothing else is. */
static void what_cannot_go_is_lost_alone(void **state)
{
	struct post_office *p = *state;
	struct addr v6 = ground_addr("::1", 9), closed = free_port("127.0.0.1"),
		    broadcast = ground_addr("255.255.255.255", 9);

	open_at(p, "127.0.0.1");
	for (int i = 0; i < 3; i++) {
		udp_send(p->u[0], &v6, SPAN("another family"));
		udp_send(p->u[0], &closed, SPAN("nobody there"));
		udp_send(p->u[0], &broadcast, SPAN("forbidden"));
		udp_send(p->u[0], &p->at[1], SPAN("arrives"));
	}
	expect(p, 3);
	assert_string_equal(p->last, "arrives");
	udp_send(p->u[0], &p->at[1], SPAN("and again"));
	udp_flush(p->u[0]);
	udp_flush(p->u[0]);
	expect(p, 1);
}

/* The descriptor that is bound to this address. */
static int bound_fd(const struct addr *at)
{
	for (int fd = 0; fd < 1024; fd++) {
		struct addr a = {.len = sizeof(a.in6)};

		if (getsockname(fd, &a.sa, &a.len) == 0 && addr_same(&a, at))
			return fd;
	}
	fail();
	return -1;
}

/* What waited in the socket has the time when it came, not when it was read; and what is too long is nothing. */
static void the_kernel_says_when(void **state)
{
	struct post_office *p = *state;
	struct addr a = ground_addr("127.0.0.1", 0);
	int fd = ground_bind(SOCK_DGRAM, &a);
	char big[UDP_MAX_BYTES + 1] = "too long";
	struct pollfd arrival = {.events = POLLIN};
	mono_us came_by;

	open_at(p, "127.0.0.1");
	arrival.fd = bound_fd(&p->at[0]);
	assert_int_equal(sendto(fd, "early", 5, 0, &p->at[0].sa, p->at[0].len), 5);
	assert_int_equal(poll(&arrival, 1, GROUND_LIMIT_MS), 1);
	came_by = loop_now(p->g.loop);
	assert_int_equal(sendto(fd, big, sizeof(big), 0, &p->at[0].sa, p->at[0].len), sizeof(big));
	while (loop_now(p->g.loop) < came_by + 20000)
		; /* the loop is busy */
	expect(p, 1);
	assert_string_equal(p->last, "early");
	assert_true(p->received <= came_by + 10000); /* not when it was read; two clocks are read one after the other */
	close(fd);
}

/* Far more than the socket's memory holds, while nobody reads. */
static void what_the_kernel_drops_is_counted(void **state)
{
	struct post_office *p = *state;
	struct addr a = ground_addr("127.0.0.1", 0);
	int fd = ground_bind(SOCK_DGRAM, &a);
	uint64_t sent = 0, dropped;
	unsigned before;

	fcntl(fd, F_SETFL, 0);
	open_at(p, "127.0.0.1");
	assert_int_equal(udp_dropped(p->u[0]), 0);
	for (; sent < 60000; sent++)
		assert_int_equal(sendto(fd, "x", 1, 0, &p->at[0].sa, p->at[0].len), 1);
	p->n = 0;
	p->wanted = 0;
	do { /* reads what is there */
		before = p->n;
		ground_run_for(&p->g, 10);
	} while (p->n > before);
	assert_true(p->n > 100);
	assert_int_equal(sendto(fd, "x", 1, 0, &p->at[0].sa, p->at[0].len), 1);
	p->wanted = p->n + 1;
	ground_run(&p->g);
	dropped = udp_dropped(p->u[0]);
	assert_true(dropped > 0);
	assert_int_equal(dropped + p->n, sent + 1);
	close(fd);
}

static void a_taken_port_is_named(void **state)
{
	struct post_office *p = *state;
	struct addr elsewhere = ground_addr("192.0.2.1", 7000);
	char err[300] = "", pid[32];

	open_at(p, "127.0.0.1");
	assert_null(udp_open(p->g.loop, &p->at[0], on_datagram, p, err, sizeof(err)));
	assert_non_null(strstr(err, "the UDP port is taken by "));
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	assert_non_null(strstr(err, pid));
	assert_null(udp_open(p->g.loop, &elsewhere, on_datagram, p, err, sizeof(err)));
	assert_non_null(strstr(err, "does not have that address"));
}

/* What was collected when the socket closes is not sent, and nothing comes afterwards. */
static void closing_forgets(void **state)
{
	struct post_office *p = *state;

	open_at(p, "127.0.0.1");
	udp_send(p->u[0], &p->at[1], SPAN("never"));
	udp_close(&p->u[0]);
	ground_run_for(&p->g, 5);
	assert_int_equal(p->n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_go_in_one_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(what_has_come_can_be_read_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_from_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_go_is_lost_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(the_kernel_says_when, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_kernel_drops_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_taken_port_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_forgets, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
