/* What the control socket leaves to other threads: the socket's loop on one thread, the log on its own, and the test's is the main one,
 * which takes the signals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "node/admin/errands.h"
#include "tests/unit/lanes.h"
#include "tests/unit/net/ground.h"
#include "tests/unit/tls/certs_make.h"

#define ANSWER_BYTES 70000

struct world {
	struct lane lane;
	struct control *control;
	struct errands *errands;
	struct accesslog *log;
	char *folder, socket[600], file[600], why[300], got[ANSWER_BYTES];
};

static void reload(void *cookie, struct control_reply *r)
{
	errands_reload(((struct world *)cookie)->errands, r);
}

static void rotate(void *cookie, struct control_reply *r)
{
	struct world *w = cookie;

	errands_rotate(w->errands, w->log, w->file, r);
}

static void upgrade(void *cookie, struct control_reply *r)
{
	errands_upgrade(((struct world *)cookie)->errands, r);
}

static const struct control_actions actions = {.reload = reload, .rotate = rotate, .upgrade = upgrade};

static void do_open(void *arg)
{
	struct world *w = arg;

	w->errands = errands_new(w->lane.loop);
	w->control = control_open(w->lane.loop, w->socket, &actions, w, w->why, sizeof(w->why));
}

static void do_fail(void *arg)
{
	errands_fail(((struct world *)arg)->errands, "the node stops");
}

static void do_close(void *arg)
{
	control_close(&((struct world *)arg)->control);
}

static void open_log(struct world *w, const char *path)
{
	struct accesslog_settings settings = {.path = path, .keep = 1};

	w->log = accesslog_open(&settings, w->why, sizeof(w->why));
	assert_non_null(w->log);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->folder = make_folder();
	snprintf(w->socket, sizeof(w->socket), "%s/control.sock", w->folder);
	snprintf(w->file, sizeof(w->file), "%s/access.log", w->folder);
	open_log(w, w->file);
	lane_start(&w->lane, 0, &clock_system, 0, 0);
	lane_do(&w->lane, do_open, w);
	assert_non_null(w->control);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	lane_do(&w->lane, do_fail, w);
	lane_do(&w->lane, do_close, w);
	lane_stop(&w->lane);
	accesslog_close(&w->log);
	errands_free(w->errands);
	make_folder_remove(w->folder);
	free(w);
	return 0;
}

static int say(struct world *w, const char *text)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = GROUND_LIMIT_MS / 1000};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(w->socket) < sizeof(un.sun_path));
	strcpy(un.sun_path, w->socket);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(0, connect(fd, (struct sockaddr *)&un, sizeof(un)));
	assert_int_equal(strlen(text), send(fd, text, strlen(text), MSG_NOSIGNAL));
	return fd;
}

static const char *hear(struct world *w, int fd)
{
	size_t all = 0;
	ssize_t n;

	while ((n = recv(fd, w->got + all, ANSWER_BYTES - 1 - all, 0)) > 0)
		all += (size_t)n;
	w->got[all] = '\0';
	close(fd);
	return w->got;
}

static bool is_silent(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) < 0;
}

/* The request has been taken: its signal is there. */
static void await_signal(int which)
{
	const struct timespec limit = {.tv_sec = GROUND_LIMIT_MS / 1000};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, which);
	assert_int_equal(which, sigtimedwait(&set, NULL, &limit));
}

static int ask_reload(struct world *w)
{
	int fd = say(w, "reload\n");

	await_signal(SIGHUP);
	return fd;
}

static void end_reload(struct world *w, bool in_force, const char *faults, const char *waiting)
{
	struct errands_reloaded result = {.in_force = in_force};

	snprintf(result.faults, sizeof(result.faults), "%s", faults);
	snprintf(result.waiting, sizeof(result.waiting), "%s", waiting);
	errands_reload_ended(w->errands, &result);
}

static void what_a_reload_says(void **state)
{
	static const struct {
		bool in_force;
		const char *faults, *waiting, *answer;
	} rows[] = {
		{true, "", "", "ok\n{\"in_force\":true,\"faults\":[],\"waits_for_restart\":[]}\n"},
		{true, "", "loops", "ok\n{\"in_force\":true,\"faults\":[],\"waits_for_restart\":[\"loops\"]}\n"},
		{true, "", "listen.proxy, loops",
		 "ok\n{\"in_force\":true,\"faults\":[],\"waits_for_restart\":[\"listen.proxy\",\"loops\"]}\n"},
		{true, "a warning", "", "ok\n{\"in_force\":true,\"faults\":[],\"waits_for_restart\":[]}\n"},
		{false, "a.yaml:1: \"x\"\nb\n", "",
		 "ok\n{\"in_force\":false,\"faults\":[\"a.yaml:1: \\\"x\\\"\",\"b\"],\"waits_for_restart\":[]}\n"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = ask_reload(w);

		errands_reload_begins(w->errands);
		end_reload(w, rows[i].in_force, rows[i].faults, rows[i].waiting);
		assert_string_equal(hear(w, fd), rows[i].answer);
	}
}

static void faults_of_any_length(void **state)
{
	static char faults[ERRANDS_FAULTS_BYTES];
	struct world *w = *state;
	int fd = ask_reload(w);

	memset(faults, '\1', sizeof(faults) - 1);
	errands_reload_begins(w->errands);
	end_reload(w, false, faults, "");
	assert_int_equal(strlen(hear(w, fd)),
			 strlen("ok\n{\"in_force\":false,\"faults\":[\"\"],\"waits_for_restart\":[]}\n") +
				 6 * (sizeof(faults) - 1));
}

static void who_asks_while_it_is_read_is_told_of_the_next(void **state)
{
	struct world *w = *state;
	int first = ask_reload(w), second = ask_reload(w), late;

	errands_reload_begins(w->errands);
	late = ask_reload(w);
	end_reload(w, true, "", "loops");
	assert_non_null(strstr(hear(w, first), "loops"));
	assert_non_null(strstr(hear(w, second), "loops"));
	lane_settle(&w->lane);
	assert_true(is_silent(late));
	errands_reload_begins(w->errands);
	end_reload(w, false, "no", "");
	assert_non_null(strstr(hear(w, late), "[\"no\"]"));
}

static void a_reload_that_nobody_asked_for_here(void **state)
{
	struct world *w = *state;

	errands_reload_begins(w->errands);
	end_reload(w, true, "", "");
	lane_settle(&w->lane);
}

static void who_waits_when_it_ends(void **state)
{
	struct world *w = *state;
	int fd = ask_reload(w);

	lane_do(&w->lane, do_fail, w);
	assert_string_equal(hear(w, fd), "error the node stops\n");
	errands_reload_begins(w->errands);
	end_reload(w, true, "", "");
	lane_settle(&w->lane);
}

static void a_rotation(void **state)
{
	struct world *w = *state;
	char old[700], answer[1400];
	struct stat at;

	snprintf(old, sizeof(old), "%s.0", w->file);
	snprintf(answer, sizeof(answer), "ok\n{\"file\":\"%s\"}\n", w->file);
	assert_string_equal(hear(w, say(w, "rotate\n")), answer);
	assert_int_equal(stat(old, &at), 0);
	assert_int_equal(unlink(old), 0);
	assert_int_equal(mkdir(old, 0700), 0);
	snprintf(answer, sizeof(answer), "error rotating %s: Is a directory\n", w->file);
	assert_string_equal(hear(w, say(w, "rotate\n")), answer);
	assert_int_equal(rmdir(old), 0);
}

static void no_log_to_rotate(void **state)
{
	struct world *w = *state;

	accesslog_close(&w->log);
	open_log(w, NULL);
	assert_string_equal(hear(w, say(w, "rotate\n")), "error this node writes no access log\n");
}

static int ask_upgrade(struct world *w)
{
	int fd = say(w, "upgrade\n");

	await_signal(SIGUSR2);
	return fd;
}

static void do_upgraded(void *arg)
{
	errands_upgraded(((struct world *)arg)->errands);
}

static void an_upgrade(void **state)
{
	struct world *w = *state;
	int fd = ask_upgrade(w), other = ask_reload(w);

	assert_string_equal(hear(w, say(w, "upgrade\n")), "error another upgrade is under way\n");
	assert_true(is_silent(fd));
	lane_do(&w->lane, do_upgraded, w);
	assert_string_equal(hear(w, fd), "ok\n{}\n");
	assert_true(is_silent(other));
	close(other);
	lane_do(&w->lane, do_upgraded, w); /* that nobody has asked for here */
}

static void an_upgrade_that_fails(void **state)
{
	struct world *w = *state;
	int fd = ask_upgrade(w);

	errands_upgrade_failed(w->errands, "no successor has come up");
	assert_string_equal(hear(w, fd), "error no successor has come up\n");
	errands_upgrade_failed(w->errands, "nobody asked here");
	lane_settle(&w->lane);
	fd = ask_upgrade(w); /* it may be asked for again */
	lane_do(&w->lane, do_upgraded, w);
	assert_string_equal(hear(w, fd), "ok\n{}\n");
}

static void an_upgrade_when_the_node_stops(void **state)
{
	struct world *w = *state;
	int fd = ask_upgrade(w);

	lane_do(&w->lane, do_fail, w);
	assert_string_equal(hear(w, fd), "error the node stops\n");
	errands_upgrade_failed(w->errands, "too late");
	lane_settle(&w->lane);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(what_a_reload_says),
		T(faults_of_any_length),
		T(who_asks_while_it_is_read_is_told_of_the_next),
		T(a_reload_that_nobody_asked_for_here),
		T(who_waits_when_it_ends),
		T(a_rotation),
		T(no_log_to_rotate),
		T(an_upgrade),
		T(an_upgrade_that_fails),
		T(an_upgrade_when_the_node_stops),
	};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return cmocka_run_group_tests_name("errands", tests, NULL, NULL);
}
