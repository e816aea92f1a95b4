#include <netinet/tcp.h>
#include <stdio.h>

#include "node/net/listener.h"
#include "tests/unit/net/ground.h"

struct place {
	struct ground g;
	struct listener *l;
	struct addr at;
	char why[200];
	int accepted;
};

static void on_accept(void *cookie, int fd, const struct addr *peer)
{
	struct place *p = cookie;

	(void)peer;
	p->accepted = fd;
	loop_stop(p->g.loop);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	ground_init(&p->g);
	p->at = ground_closed_port("127.0.0.1");
	p->accepted = -1;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	listener_close(&p->l);
	if (p->accepted >= 0)
		close(p->accepted);
	ground_fini(&p->g);
	free(p);
	return 0;
}

static void open_it(struct place *p)
{
	p->l = listener_open(p->g.loop, &p->at, on_accept, p, p->why, sizeof(p->why));
	assert_non_null(p->l);
}

static int connected(const struct place *p)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, &p->at.sa, p->at.len), 0);
	return fd;
}

static void accepts(void **state)
{
	struct place *p = *state;
	int fd;

	open_it(p);
	fd = connected(p);
	ground_run(&p->g);
	assert_true(p->accepted >= 0);
	assert_true(fcntl(p->accepted, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(p->accepted, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static void on_loopback_nothing_is_paced(void **state)
{
	struct place *p = *state;
	char name[16] = "";
	socklen_t n = sizeof(name);
	int fd;

	open_it(p);
	fd = connected(p);
	ground_run(&p->g);
	assert_int_equal(getsockopt(p->accepted, IPPROTO_TCP, TCP_CONGESTION, name, &n), 0);
	assert_string_equal(name, "reno");
	close(fd);
}

static void draining_takes_who_has_connected(void **state)
{
	struct place *p = *state;
	int fd;

	open_it(p);
	fd = connected(p);
	listener_drain(&p->l);
	assert_null(p->l);
	assert_true(p->accepted >= 0);
	close(fd);
}

static void says_who_has_the_port(void **state)
{
	struct place *p = *state;
	char pid[40];
	int other;

	p->at = ground_addr("127.0.0.1", 0);
	other = ground_listen(&p->at);
	assert_int_equal(listener_probe(&p->at, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "the port is taken by"));
	snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
	assert_non_null(strstr(p->why, pid));
	close(other);
	assert_int_equal(listener_probe(&p->at, p->why, sizeof(p->why)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(accepts, setup, teardown),
		cmocka_unit_test_setup_teardown(on_loopback_nothing_is_paced, setup, teardown),
		cmocka_unit_test_setup_teardown(draining_takes_who_has_connected, setup, teardown),
		cmocka_unit_test_setup_teardown(says_who_has_the_port, setup, teardown),
	};

	return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
