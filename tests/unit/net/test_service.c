#include <errno.h>
#include <stdio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "node/net/listener.h"
#include "node/net/service.h"
#include "tests/unit/net/ground.h"

/* A service manager: hears what it is told. Its variables are this process's; inherited descriptors are tried in a child, whose numbers
 * 3, 4, … nobody else uses. */
struct manager {
	int fd;
	char said[1024];
	int got_fd;
};

static int start_manager(void **state)
{
	struct manager *m = calloc(1, sizeof(*m));
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char name[80];

	snprintf(name, sizeof(name), "@pmcache-test-%ld", (long)getpid());
	memcpy(un.sun_path, name, strlen(name));
	un.sun_path[0] = '\0';
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	m->got_fd = -1;
	assert_int_equal(0, bind(m->fd, (struct sockaddr *)&un,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))));
	setenv("NOTIFY_SOCKET", name, 1);
	*state = m;
	return 0;
}

static int end_manager(void **state)
{
	static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC",  "WATCHDOG_PID",
					    "LISTEN_FDS",    "LISTEN_FDNAMES", "LISTEN_PID"};
	struct manager *m = *state;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	close(m->fd);
	if (m->got_fd >= 0)
		close(m->got_fd);
	free(m);
	return 0;
}

/* The next thing said; "" when nothing was. */
static const char *heard(struct manager *m)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec io = {.iov_base = m->said, .iov_len = sizeof(m->said) - 1};
	struct msghdr msg = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(m->fd, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	m->said[n < 0 ? 0 : n] = '\0';
	if (c && c->cmsg_type == SCM_RIGHTS) {
		if (m->got_fd >= 0)
			close(m->got_fd);
		memcpy(&m->got_fd, CMSG_DATA(c), sizeof(int));
	}
	return m->said;
}

static void tells_what_happens(void **state)
{
	struct manager *m = *state;

	service_ready("serving");
	assert_string_equal(heard(m), "READY=1\nSTATUS=serving\n");
	service_reloading(&clock_system);
	assert_non_null(strstr(heard(m), "RELOADING=1\nMONOTONIC_USEC="));
	service_stopping("draining");
	assert_string_equal(heard(m), "STOPPING=1\nSTATUS=draining\n");
	service_alive();
	assert_string_equal(heard(m), "WATCHDOG=1\n");
}

static void is_silent_without_a_manager(void **state)
{
	static const char *const wrong[] = {"", "@", "relative", "/no/such/socket"};
	struct manager *m = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		setenv("NOTIFY_SOCKET", wrong[i], 1);
		service_ready("serving");
	}
	unsetenv("NOTIFY_SOCKET");
	service_ready("serving");
	assert_string_equal(heard(m), "");
}

static void knows_the_watchdog(void **state)
{
	char pid[24];
	static const struct {
		const char *us;
		dur_ms wanted;
	} cases[] = {{"30000000", 15000}, {"1000", 1}, {"0", 0}, {"soon", 0}, {"99999999999999999", 0}};

	(void)state;
	assert_int_equal(0, service_watchdog_interval());
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setenv("WATCHDOG_USEC", cases[i].us, 1);
		assert_int_equal(cases[i].wanted, service_watchdog_interval());
	}
	setenv("WATCHDOG_USEC", "2000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(0, service_watchdog_interval());
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(1000, service_watchdog_interval());
}

/* ---- sockets ---- */

/* What `fn` does is done in a child with these sockets as 3, 4, …; the child's asserts end it with 1. */
static void as_child(const int *fds, int n, const char *names, void (*fn)(const struct addr *), const struct addr *at)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char text[24];
		int high[8];

		for (int i = 0; i < n; i++)
			high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
		for (int i = 0; i < n; i++)
			dup2(high[i], 3 + i);
		snprintf(text, sizeof(text), "%ld", (long)getpid());
		setenv("LISTEN_PID", text, 1);
		snprintf(text, sizeof(text), "%d", n);
		setenv("LISTEN_FDS", text, 1);
		setenv("LISTEN_FDNAMES", names, 1);
		fn(at);
		_exit(0);
	}
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_true(WIFEXITED(status));
	assert_int_equal(0, WEXITSTATUS(status));
}

#define WANT(x)                                                                                                        \
	do {                                                                                                           \
		if (!(x)) {                                                                                            \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x);                                \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

/* A listening socket, and the names of it: '@' of the pattern becomes the name that a listener would give, without the loop. */
static struct addr named(const char *ip, char *names, const char *pattern, int *fd)
{
	struct addr at = ground_addr(ip, 0);
	char where[ADDR_TEXT_BYTES];

	*fd = ground_listen(&at);
	addr_format(&at, where);
	for (char *c = where; *c; c++)
		if (*c == ':')
			*c = '_';
	for (*names = '\0'; *pattern; pattern++) {
		char one[2] = {*pattern, '\0'};

		strcat(names, *pattern == '@' ? "pmcached@" : one);
		strcat(names, *pattern == '@' ? where : "");
	}
	return at;
}

static void takes_its_own(const struct addr *at)
{
	struct addr other = *at;

	addr_set_port(&other, 1);
	WANT(service_has_socket(at));
	WANT(!service_has_socket(&other));
	WANT(service_take_socket(&other, 0) == -1);
	WANT(service_share_socket(at) == -1); /* nobody has taken one yet */
	WANT(service_take_socket(at, 7) == -1);
	WANT(service_take_socket(at, 0) == 4);
	WANT(fcntl(4, F_GETFD) & FD_CLOEXEC);
	WANT(fcntl(4, F_GETFL) & O_NONBLOCK);
	WANT(service_take_socket(at, 0) == -1);
	WANT(service_take_socket(at, 1) == 3);
	WANT(service_drop_untaken() == 0);
}

static void a_loop_takes_the_socket_with_its_name(void **state)
{
	struct manager *m = *state;
	char names[300];
	int fds[2];
	struct addr at = named("127.0.0.1", names, "@#1:@#0", &fds[0]);

	fds[1] = dup(fds[0]);
	fcntl(fds[0], F_SETFL, 0);
	as_child(fds, 2, names, takes_its_own, &at);
	assert_string_equal(heard(m), "");
	close(fds[0]);
	close(fds[1]);
}

static void shares_that_of_a_socket_unit(const struct addr *at)
{
	int copy;

	WANT(service_take_socket(at, 2) == 3);
	WANT(service_take_socket(at, 3) == -1);
	copy = service_share_socket(at);
	WANT(copy > 3 && fcntl(copy, F_GETFD) & FD_CLOEXEC);
	WANT(service_drop_untaken() == 0);
}

static void loops_share_the_socket_of_a_socket_unit(void **state)
{
	char names[300];
	int fd;
	struct addr at = named("::1", names, "pmcached.socket", &fd);

	(void)state;
	as_child(&fd, 1, names, shares_that_of_a_socket_unit, &at);
	close(fd);
}

static void drops_what_is_left(const struct addr *at)
{
	struct addr other = *at;

	addr_set_port(&other, 1);
	WANT(service_take_socket(at, 0) == 3);
	service_drop_others(&other, 1); /* taken: stays */
	WANT(service_has_socket(at));
	WANT(service_drop_untaken() == 1);
	WANT(fcntl(3, F_GETFD) >= 0);
	WANT(fcntl(4, F_GETFD) < 0 && fcntl(5, F_GETFD) < 0);
}

static void what_nobody_takes_is_dropped(void **state)
{
	struct manager *m = *state;
	char names[300], wanted[400];
	int fds[3];
	struct addr at = named("127.0.0.1", names, "@#0:@#1:pmcached.socket", &fds[0]);

	fds[1] = dup(fds[0]);
	fds[2] = dup(fds[0]);
	as_child(fds, 3, names, drops_what_is_left, &at);
	names[strlen(names) - strlen(":pmcached.socket")] = '\0';
	snprintf(wanted, sizeof(wanted), "FDSTOREREMOVE=1\nFDNAME=%s\n", strchr(names, ':') + 1);
	assert_string_equal(heard(m), wanted);
	assert_string_equal(heard(m), "");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void drops_other_addresses(const struct addr *at)
{
	struct addr other = *at;

	addr_set_port(&other, 1);
	service_drop_others(&other, 1);
	WANT(!service_has_socket(at));
	WANT(fcntl(3, F_GETFD) < 0);
}

static void an_address_that_is_gone_is_dropped(void **state)
{
	struct manager *m = *state;
	char names[300], wanted[400];
	int fd;
	struct addr at = named("127.0.0.1", names, "@#0", &fd);

	as_child(&fd, 1, names, drops_other_addresses, &at);
	snprintf(wanted, sizeof(wanted), "FDSTOREREMOVE=1\nFDNAME=%s\n", names);
	assert_string_equal(heard(m), wanted);
	close(fd);
}

static void ignores_what_is_not_for_it(void **state)
{
	struct addr at = ground_addr("127.0.0.1", 0);
	int fd = ground_listen(&at);

	(void)state;
	setenv("LISTEN_FDS", "1000", 1);
	setenv("LISTEN_PID", "1", 1);
	assert_false(service_has_socket(&at));
	assert_int_equal(-1, service_take_socket(&at, 0));
	assert_int_equal(0, service_drop_untaken());
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
}

/* ---- the listener ---- */

struct visit {
	struct loop *loop;
	unsigned n;
};

static void on_accept(void *cookie, int fd, const struct addr *peer)
{
	struct visit *v = cookie;

	(void)peer;
	v->n++;
	close(fd);
	loop_stop(v->loop);
}

static int caller_of(const struct addr *at)
{
	int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(0, connect(fd, &at->sa, at->len));
	return fd;
}

static void a_new_listener_gives_its_socket_to_the_manager(void **state)
{
	struct manager *m = *state;
	struct ground g;
	struct visit v = {0};
	char err[300] = "", wanted[200];
	struct addr at = ground_closed_port("127.0.0.1");
	struct listener *l;
	int caller;

	ground_init(&g);
	v.loop = g.loop;
	l = listener_open(g.loop, &at, on_accept, &v, err, sizeof(err));
	assert_non_null(l);
	snprintf(wanted, sizeof(wanted), "FDSTORE=1\nFDNAME=pmcached@127.0.0.1_%u#0\n", addr_port(&at));
	assert_string_equal(heard(m), wanted);
	listener_close(&l);
	caller = caller_of(&at); /* the manager's copy keeps the port open */
	assert_true(m->got_fd >= 0);
	close(caller);
	ground_fini(&g);
}

static void who_has_waited_is_accepted(const struct addr *at)
{
	struct ground g;
	struct visit v = {0};
	char err[300] = "";
	struct listener *l;

	ground_init(&g);
	v.loop = g.loop;
	WANT(listener_probe(at, err, sizeof(err)) == 0);
	l = listener_open(g.loop, at, on_accept, &v, err, sizeof(err));
	WANT(l != NULL);
	loop_run(g.loop);
	WANT(v.n == 1);
	listener_close(&l);
	ground_fini(&g);
}

static void the_next_process_accepts_who_has_waited(void **state)
{
	struct manager *m = *state;
	char names[300];
	int fd, caller;
	struct addr at = named("127.0.0.1", names, "@#0", &fd);

	caller = caller_of(&at);
	as_child(&fd, 1, names, who_has_waited_is_accepted, &at);
	assert_string_equal(heard(m), ""); /* it has it already */
	close(caller);
	close(fd);
}

static void a_drained_listener_accepts_who_has_connected(void **state)
{
	struct ground g;
	struct visit v = {0};
	char err[300] = "";
	struct addr at = ground_closed_port("127.0.0.1");
	struct listener *l;
	int callers[3];

	(void)state;
	ground_init(&g);
	v.loop = g.loop;
	l = listener_open(g.loop, &at, on_accept, &v, err, sizeof(err));
	assert_non_null(l);
	for (int i = 0; i < 3; i++)
		callers[i] = caller_of(&at);
	listener_drain(&l);
	assert_null(l);
	assert_int_equal(3, v.n);
	listener_drain(&l);
	for (int i = 0; i < 3; i++)
		close(callers[i]);
	ground_fini(&g);
}

#define WITH_MANAGER(test) cmocka_unit_test_setup_teardown(test, start_manager, end_manager)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MANAGER(tells_what_happens),
		WITH_MANAGER(is_silent_without_a_manager),
		WITH_MANAGER(knows_the_watchdog),
		WITH_MANAGER(a_loop_takes_the_socket_with_its_name),
		WITH_MANAGER(loops_share_the_socket_of_a_socket_unit),
		WITH_MANAGER(what_nobody_takes_is_dropped),
		WITH_MANAGER(an_address_that_is_gone_is_dropped),
		WITH_MANAGER(ignores_what_is_not_for_it),
		WITH_MANAGER(a_new_listener_gives_its_socket_to_the_manager),
		WITH_MANAGER(the_next_process_accepts_who_has_waited),
		WITH_MANAGER(a_drained_listener_accepts_who_has_connected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
