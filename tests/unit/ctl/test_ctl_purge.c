/* purge, refresh, scrub, peers and explain as their users say them: what goes over the control socket, and the exit codes. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/ctl/ctl.h"

struct place {
	char dir[64], path[96], heard[300], said[4000];
	int listener;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	strcpy(p->dir, "/tmp/test_ctl_purge.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/control.sock", p->dir);
	strcpy(un.sun_path, p->path);
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(0, bind(p->listener, (struct sockaddr *)&un, sizeof(un)));
	assert_int_equal(0, listen(p->listener, 1));
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	close(p->listener);
	unlink(p->path);
	rmdir(p->dir);
	free(p);
	return 0;
}

/* In a child, whose output goes to the returned end of a pipe. */
static pid_t start(const struct place *p, ctl_command_f *command, const char *const *words, int *out)
{
	int pipes[2];
	pid_t child;

	assert_int_equal(0, pipe(pipes));
	fflush(stdout);
	child = fork();
	if (child == 0) {
		struct ctl c = {.state_opt = p->dir};
		struct ctl_args a = {.v = (char **)words};
		int code;

		while (words[a.n])
			a.n++;
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		close(pipes[0]);
		code = command(&c, &a);
		fflush(stdout);
		_exit(code);
	}
	close(pipes[1]);
	*out = pipes[0];
	return child;
}

static void serve(struct place *p, const char *answer)
{
	int fd = accept(p->listener, NULL, NULL);
	ssize_t n;

	if (fd < 0)
		return; /* it was not asked */
	fcntl(fd, F_SETFL, 0);
	n = read(fd, p->heard, sizeof(p->heard) - 1);
	p->heard[n > 0 ? n : 0] = '\0';
	assert_int_equal(strlen(answer), send(fd, answer, strlen(answer), MSG_NOSIGNAL));
	close(fd);
}

/* Until somebody connects or the child has ended, which closes its output. */
static int run(struct place *p, ctl_command_f *command, const char *const *words, const char *answer)
{
	int out, status;
	pid_t child = start(p, command, words, &out);
	size_t n = 0;
	ssize_t got;

	p->heard[0] = '\0';
	if (answer) {
		fcntl(p->listener, F_SETFL, 0);
		serve(p, answer);
		fcntl(p->listener, F_SETFL, O_NONBLOCK);
	}
	while ((got = read(out, p->said + n, sizeof(p->said) - 1 - n)) > 0)
		n += (size_t)got;
	p->said[n] = '\0';
	close(out);
	assert_int_equal(child, waitpid(child, &status, 0));
	if (!answer)
		serve(p, ""); /* must find nobody */
	return WEXITSTATUS(status);
}

#define WORDS(...)                                                                                                     \
	(const char *const[])                                                                                          \
	{                                                                                                              \
		__VA_ARGS__, NULL                                                                                      \
	}

static void purges(void **state)
{
	static const struct {
		const char *words[6];
		const char *request, *said;
	} rows[] = {
		{{"https://a.test/b"}, "purge https://a.test/b\n", "purged 2 stored responses\n"},
		{{"--prefix", "https://a.test/b/"}, "purge-prefix https://a.test/b/\n", "purged 2 stored responses\n"},
		{{"--host", "a.test"}, "purge-host a.test\n", "purged 2 stored responses\n"},
		{{"a.test:8443", "--host"}, "purge-host a.test:8443\n", "purged 2 stored responses\n"},
		{{"--all"}, "purge-all\n", "purged 2 stored responses\n"},
		{{"--cluster", "https://a.test/b"},
		 "cluster-purge https://a.test/b\n",
		 "purged 2 stored responses here; the other nodes are told\n"},
		{{"--cluster", "--prefix", "https://a.test/"},
		 "cluster-purge-prefix https://a.test/\n",
		 "purged 2 stored responses here; the other nodes are told\n"},
		{{"--host", "--cluster", "a.test"},
		 "cluster-purge-host a.test\n",
		 "purged 2 stored responses here; the other nodes are told\n"},
		{{"--all", "--cluster"},
		 "cluster-purge-all\n",
		 "purged 2 stored responses here; the other nodes are told\n"},
		{{"--json", "--all"}, "purge-all\n", "{\"purged\":2}\n"},
		{{"--class", "mutable"}, "purge-class mutable\n", "purged 2 stored responses\n"},
		{{"--digest", "sha256:ab"}, "purge-digest sha256:ab\n", "purged 2 stored responses\n"},
		{{"--soft", "https://a.test/b"}, "soft-purge https://a.test/b\n", "marked 2 stored responses stale\n"},
		{{"--host", "a.test", "--soft", "--cluster"},
		 "cluster-soft-purge-host a.test\n",
		 "marked 2 stored responses stale here; the other nodes are told\n"},
		{{"--digest", "ab", "--deny"}, "deny ab\n", "denied; purged 2 stored responses\n"},
		{{"--cluster", "--digest", "ab", "--deny"},
		 "cluster-deny ab\n",
		 "denied; purged 2 stored responses here; the other nodes are told\n"},
		{{"--digest", "ab", "--allow"}, "allow ab\n", "taken from the deny-list\n"},
	};
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(CTL_OK, run(p, ctl_purge, rows[i].words, "ok\n{\"purged\":2}\n"));
		assert_string_equal(rows[i].request, p->heard);
		assert_string_equal(rows[i].said, p->said);
	}
}

static void nothing_and_failure(void **state)
{
	struct place *p = *state;

	assert_int_equal(CTL_OK, run(p, ctl_purge, WORDS("--host", "a.test"), "ok\n{\"purged\":0}\n"));
	assert_string_equal("nothing is stored of this host\n", p->said);
	assert_int_equal(CTL_OK, run(p, ctl_purge, WORDS("--digest", "ab", "--allow"), "ok\n{\"purged\":0}\n"));
	assert_string_equal("it was not on the deny-list\n", p->said);
	assert_int_equal(CTL_FAILED,
			 run(p, ctl_purge, WORDS("--cluster", "--all"), "error this node is in no cluster\n"));
	assert_string_equal("pmcachectl: this node is in no cluster\n", p->said);
}

static void the_deny_list(void **state)
{
	struct place *p = *state;

	assert_int_equal(CTL_OK, run(p, ctl_purge, WORDS("--denied"), "ok\n{\"denied\":[],\"most\":10}\n"));
	assert_string_equal("denied\n", p->heard);
	assert_string_equal("nothing is denied\n", p->said);
	assert_int_equal(CTL_OK,
			 run(p, ctl_purge, WORDS("--denied"),
			     "ok\n{\"denied\":[{\"digest\":\"sha256:ab\",\"at\":\"2026-11-30T20:00:00.000Z\"}]}\n"));
	assert_string_equal("sha256:ab  since 2026-11-30T20:00:00.000Z\n", p->said);
	assert_int_equal(CTL_OK, run(p, ctl_purge, WORDS("--denied", "--json"), "ok\n{\"denied\":[]}\n"));
	assert_string_equal("{\"denied\":[]}\n", p->said);
	assert_int_equal(CTL_FAILED, run(p, ctl_purge, WORDS("--denied"), "ok\n{\"denied\n"));
}

static void misunderstood(void **state)
{
	static const struct {
		ctl_command_f *command;
		const char *words[6];
	} rows[] = {
		{ctl_purge, {"a.test"}},
		{ctl_purge, {"--cluster"}},
		{ctl_purge, {"--all", "https://a.test/"}},
		{ctl_purge, {"--prefix"}},
		{ctl_purge, {"--prefix", "a.test"}},
		{ctl_purge, {"--host", "https://a.test/"}},
		{ctl_purge, {"--host", "a b"}},
		{ctl_purge, {"--host", "--all"}},
		{ctl_purge, {"https://a.test/", "https://b.test/"}},
		{ctl_purge, {"--everything"}},
		{ctl_purge, {"--deny", "https://a.test/"}},
		{ctl_purge, {"--allow", "--all"}},
		{ctl_purge, {"--digest", "ab", "--deny", "--soft"}},
		{ctl_purge, {"--digest"}},
		{ctl_purge, {"--class"}},
		{ctl_purge, {"--denied", "ab"}},
		{ctl_purge, {"--denied", "--cluster"}},
		{ctl_refresh, {"--json"}},
		{ctl_refresh, {"a.test"}},
		{ctl_refresh, {"https://a.test/", "https://b.test/"}},
		{ctl_scrub, {"--rate"}},
		{ctl_scrub, {"--rate", "20XB"}},
		{ctl_scrub, {"--rate", "-1"}},
		{ctl_scrub, {"now"}},
		{ctl_peers, {"edge2"}},
		{ctl_peers, {"--metrics"}},
		{ctl_explain, {"--json"}},
		{ctl_explain, {"a.test"}},
		{ctl_explain, {"https://a.test/", "https://b.test/"}},
		{ctl_explain, {"https://a.test/\nstats"}},
		{ctl_offline, {"maybe"}},
		{ctl_offline, {"on", "off"}},
	};
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(CTL_USAGE, run(p, rows[i].command, rows[i].words, NULL));
		assert_string_equal("", p->heard);
		assert_memory_equal("pmcachectl: ", p->said, 12);
	}
}

static void looking(void **state)
{
	struct place *p = *state;

	assert_int_equal(CTL_OK, run(p, ctl_peers, WORDS("--json"), "ok\n{\"x\":1}\n"));
	assert_string_equal("peers\n", p->heard);
	assert_string_equal("{\"x\":1}\n", p->said);
	assert_int_equal(CTL_OK, run(p, ctl_peers, WORDS("--matrix", "--json"), "ok\n[]\n"));
	assert_string_equal("matrix\n", p->heard);
	assert_int_equal(CTL_FAILED, run(p, ctl_peers, (const char *const[]){NULL}, "ok\n{\"x\":1}\n"));
	assert_string_equal("pmcachectl: the daemon's answer is not understood\n", p->said);
	assert_int_equal(CTL_FAILED, run(p, ctl_peers, WORDS("--matrix"), "ok\n{\"nod\n"));
	assert_int_equal(CTL_OK, run(p, ctl_peers, (const char *const[]){NULL},
				     "ok\n{\"node\":\"edge1\",\"cluster\":\"c\",\"peers\":[],\"parents\":[]}\n"));
	assert_memory_equal("\nedge1 in c: 0 others", p->said, 21);
	assert_int_equal(
		CTL_OK,
		run(p, ctl_peers, WORDS("--wide"),
		    "ok\n{\"node\":\"edge1\",\"cluster\":\"c\",\"parents\":[],\"fellows\":[],\"peers\":[{\"name\":\"b\"}]}\n"));
	assert_non_null(strstr(p->said, "HEDGED  CANCELLED"));
	assert_int_equal(CTL_USAGE, run(p, ctl_peers, WORDS("--matrix", "--wide"), NULL));
	assert_int_equal(CTL_OK, run(p, ctl_explain, WORDS("https://a.test/b", "--json"), "ok\n{}\n"));
	assert_string_equal("explain https://a.test/b\n", p->heard);
	assert_int_equal(CTL_FAILED, run(p, ctl_explain, WORDS("https://a.test/b"), "ok\n{}\n"));
}

static void refreshes(void **state)
{
	static const struct {
		const char *answer, *said;
		int code;
	} rows[] = {
		{"{\"result\":\"unchanged\",\"digest\":\"sha256:a\"}", "unchanged: sha256:a\n", CTL_OK},
		{"{\"result\":\"changed\",\"digest\":\"sha256:b\",\"before\":\"sha256:a\"}",
		 "changed: sha256:b\n    was: sha256:a\n", CTL_OK},
		{"{\"result\":\"new\",\"digest\":\"sha256:a\"}", "fetched; nothing was stored before: sha256:a\n",
		 CTL_OK},
		{"{\"result\":\"kept\",\"status\":404,\"why\":\"odd\"}",
		 "what is stored stays (the answer is 404): odd\n", CTL_FAILED},
		{"{\"result\":\"failed\",\"why\":\"down\"}", "pmcachectl: not fetched, what is stored stays: down\n",
		 CTL_FAILED},
		{"{\"result", "pmcachectl: the daemon's answer is not understood\n", CTL_FAILED},
	};
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char answer[300];

		snprintf(answer, sizeof(answer), "ok\n%s\n", rows[i].answer);
		assert_int_equal(rows[i].code, run(p, ctl_refresh, WORDS("https://a.test/b"), answer));
		assert_string_equal("refresh https://a.test/b\n", p->heard);
		assert_string_equal(rows[i].said, p->said);
	}
}

#define SCRUBBED(state, damaged)                                                                                       \
	"ok\n{\"state\":\"" state "\",\"objects\":5,\"total\":6,\"bytes\":1500,\"damaged\":" damaged                   \
	",\"took_s\":3,\"next_s\":7200}\n"

static void scrubs(void **state)
{
	struct place *p = *state;

	assert_int_equal(CTL_OK, run(p, ctl_scrub, WORDS("--rate", "20MB"), SCRUBBED("done", "0")));
	assert_string_equal("scrub start=20971520\n", p->heard);
	assert_string_equal("done: 5 of 6 objects, 1.5 kB in 3 s, 0 damaged\n", p->said);
	assert_int_equal(CTL_FAILED, run(p, ctl_scrub, WORDS("--status"), SCRUBBED("done", "2")));
	assert_string_equal("scrub status\n", p->heard);
	assert_non_null(strstr(p->said, "2 damaged; what is damaged is in quarantine"));
	assert_int_equal(CTL_OK, run(p, ctl_scrub, WORDS("--stop"), SCRUBBED("stopped", "0")));
	assert_string_equal("scrub stop\n", p->heard);
	assert_int_equal(CTL_OK, run(p, ctl_scrub, WORDS("--status"), SCRUBBED("never", "0")));
	assert_string_equal("no scrub has run since the start\nthe next one in the background begins in 2 h\n",
			    p->said);
	assert_int_equal(CTL_OK, run(p, ctl_scrub, WORDS("--no-wait"), SCRUBBED("running", "0")));
	assert_string_equal("scrub start\n", p->heard);
	assert_int_equal(CTL_FAILED, run(p, ctl_scrub, WORDS("--stop"), "error no scrub runs\n"));
}

static void on_nudge(int signal)
{
	(void)signal;
}

/* Cuts its pauses short until it asks again. */
static void nudge(const struct place *p, pid_t child)
{
	struct pollfd door = {.fd = p->listener, .events = POLLIN};

	while (poll(&door, 1, 10) == 0)
		kill(child, SIGUSR1);
}

/* It is redrawn until the daemon is gone. */
static void watching(void **state)
{
	struct place *p = *state;
	const char *answer = "ok\n{\"node\":\"edge1\",\"cluster\":\"c\",\"peers\":[],\"parents\":[]}\n";
	const struct sigaction nudged = {.sa_handler = on_nudge, .sa_flags = SA_RESTART};
	int out, status;
	pid_t child;

	sigaction(SIGUSR1, &nudged, NULL);
	child = start(p, ctl_peers, WORDS("--watch"), &out);
	fcntl(p->listener, F_SETFL, 0);
	serve(p, answer);
	nudge(p, child);
	serve(p, answer);
	nudge(p, child);
	serve(p, "error gone\n");
	while (read(out, p->said, sizeof(p->said)) > 0)
		;
	close(out);
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_int_equal(CTL_FAILED, WEXITSTATUS(status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(purges),  T(nothing_and_failure), T(the_deny_list), T(misunderstood),
		T(looking), T(refreshes),           T(scrubs),        T(watching),
#undef T
	};

	return cmocka_run_group_tests_name("ctl_purge", tests, NULL, NULL);
}
