#include "node/successor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/span.h"
#include "node/net/service.h"

#define WORD_WANTS_STATE 'w'
#define WORD_GIVEN 'g'
#define WORD_SERVES 's'

struct successor {
	unsigned magic;
	pid_t pid;
	bool dead; /* and waited for */
	int fd;    /* the old process's end of the pair */
};

#define SUCCESSOR_MAGIC 0x5ccce550

/* ---- what it inherits ---- */

/* Sockets as they will be numbered in the new process: from SERVICE_FIRST_FD on. */
struct legacy {
	int fds[SERVICE_MOST_FDS];
	struct addr at[SERVICE_MOST_FDS];
	int n;
};

static bool is_listening(int fd, struct addr *at)
{
	socklen_t n = sizeof(int);
	int listening = 0;

	at->len = sizeof(at->in6);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) == 0 && listening &&
	       getsockname(fd, &at->sa, &at->len) == 0 && (at->sa.sa_family == AF_INET || at->sa.sa_family == AF_INET6);
}

static void find_sockets(struct legacy *l)
{
	DIR *all = opendir("/proc/self/fd");
	struct dirent *e;

	while (all && l->n < SERVICE_MOST_FDS && (e = readdir(all)) != NULL) {
		uint64_t fd;

		if (span_to_u64(span_str(e->d_name), &fd) == 0 && is_listening((int)fd, &l->at[l->n]))
			l->fds[l->n++] = (int)fd;
	}
	if (all)
		closedir(all);
}

static int copy_above(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, SERVICE_FIRST_FD + SERVICE_MOST_FDS + 1);
}

/* Copies, above the numbers that they are to have, so that none is overwritten while they are given these. A copy that cannot be had is
 * -1, and found missing by the new process. */
static void collect(struct legacy *l)
{
	find_sockets(l);
	for (int i = 0; i < l->n; i++)
		l->fds[i] = copy_above(l->fds[i]);
}

static void legacy_free(struct legacy *l)
{
	for (int i = 0; i < l->n; i++)
		if (l->fds[i] >= 0)
			close(l->fds[i]);
	free(l);
}

/* How many before this one listen on the same address: sockets of one address are alike, so this is as good as the loop's number. */
static int number_of(const struct legacy *l, int i)
{
	int n = 0;

	for (int k = 0; k < i; k++)
		n += addr_same(&l->at[k], &l->at[i]);
	return n;
}

static char *names_of(const struct legacy *l)
{
	size_t room = 32 + (size_t)l->n * SERVICE_NAME_BYTES;
	char *text = mem_alloc(room);
	struct buf b = buf_over(text, room - 1);

	buf_put(&b, SPAN("LISTEN_FDNAMES="));
	for (int i = 0; i < l->n; i++) {
		char name[SERVICE_NAME_BYTES];

		if (i)
			buf_putc(&b, ':');
		buf_put(&b, service_name(name, &l->at[i], number_of(l, i)));
	}
	CHECK_THAT(!b.full);
	text[b.n] = '\0';
	return text;
}

/* ---- its environment ---- */

static bool is_replaced(const char *variable)
{
	static const char predecessor[] = SERVICE_PREDECESSOR "=";
	static const char *const names[] = {
		"LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_PID=", predecessor};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

#define OWN_VARIABLES 4

/* The last OWN_VARIABLES are ours to free. LISTEN_PID cannot name a process that is not there yet: it names this one (service.h). */
static char **environment(const struct legacy *l)
{
	size_t n = 0, kept = 0;
	char **v, *pid = mem_alloc(64), *fds = mem_alloc(64), *predecessor = mem_alloc(64);

	while (environ[n])
		n++;
	v = mem_zalloc((n + OWN_VARIABLES + 1) * sizeof(*v));
	for (size_t i = 0; i < n; i++)
		if (!is_replaced(environ[i]))
			v[kept++] = environ[i];
	snprintf(pid, 64, "LISTEN_PID=%d", (int)getpid());
	snprintf(fds, 64, "LISTEN_FDS=%d", l->n);
	snprintf(predecessor, 64, SERVICE_PREDECESSOR "=%d", (int)getpid());
	v[kept++] = pid;
	v[kept++] = fds;
	v[kept++] = predecessor;
	v[kept] = names_of(l);
	return v;
}

static void environment_free(char **v)
{
	size_t n = 0;

	while (v[n])
		n++;
	for (size_t i = n - OWN_VARIABLES; i < n; i++)
		free(v[i]);
	free(v);
}

/* ---- the old process ---- */

/* The other end of the pair comes right behind the sockets. */
static int spawn(struct successor *s, char *const argv[], const struct legacy *l, int end)
{
	char **env = environment(l);
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int err;

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawn_file_actions_init(&files);
	for (int i = 0; i < l->n; i++)
		if (l->fds[i] >= 0)
			posix_spawn_file_actions_adddup2(&files, l->fds[i], SERVICE_FIRST_FD + i);
	posix_spawn_file_actions_adddup2(&files, end, SERVICE_FIRST_FD + l->n);
	err = posix_spawnp(&s->pid, argv[0], &files, &attr, argv, env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	environment_free(env);
	return err;
}

struct successor *successor_start(char *const argv[], char *why, size_t why_bytes)
{
	struct successor *s = NEW(struct successor);
	struct legacy *l = NEW(struct legacy);
	int pair[2], end, err;

	*s = (struct successor){.magic = SUCCESSOR_MAGIC, .fd = -1};
	collect(l);
	err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? errno : 0;
	if (!err) {
		end = copy_above(pair[1]);
		s->fd = pair[0];
		err = end < 0 ? errno : spawn(s, argv, l, end);
		close(pair[1]);
		if (end >= 0)
			close(end);
	}
	legacy_free(l);
	if (!err)
		return s;
	snprintf(why, why_bytes, "cannot start %s: %s", argv[0], strerror(err));
	if (s->fd >= 0)
		close(s->fd);
	free(s);
	return NULL;
}

pid_t successor_pid(const struct successor *s)
{
	CHECK(s, SUCCESSOR_MAGIC);
	return s->pid;
}

/* 0: nothing yet; -1: nobody is there any more. */
static int hear(int fd, dur_ms wait)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char word;

	if (poll(&p, 1, (int)wait) <= 0)
		return 0;
	return recv(fd, &word, 1, 0) == 1 ? word : -1;
}

enum successor_word successor_hear(struct successor *s, dur_ms wait)
{
	CHECK(s, SUCCESSOR_MAGIC);
	switch (hear(s->fd, wait)) {
	case 0:
		return SUCCESSOR_QUIET;
	case WORD_WANTS_STATE:
		return SUCCESSOR_WANTS_STATE;
	case WORD_SERVES:
		return SUCCESSOR_SERVES;
	default:
		waitpid(s->pid, NULL, 0);
		s->dead = true;
		return SUCCESSOR_DEAD;
	}
}

static void say(int fd, char word)
{
	(void)send(fd, &word, 1, MSG_NOSIGNAL); /* that nobody hears it shows when we listen */
}

void successor_give(struct successor *s)
{
	CHECK(s, SUCCESSOR_MAGIC);
	say(s->fd, WORD_GIVEN);
}

void successor_kill(struct successor **sp)
{
	if (!*sp)
		return;
	CHECK(*sp, SUCCESSOR_MAGIC);
	if (!(*sp)->dead) {
		kill((*sp)->pid, SIGKILL);
		waitpid((*sp)->pid, NULL, 0);
	}
	successor_free(sp);
}

void successor_free(struct successor **sp)
{
	struct successor *s = *sp;

	if (!s)
		return;
	CHECK(s, SUCCESSOR_MAGIC);
	*sp = NULL;
	close(s->fd);
	s->magic = 0;
	free(s);
}

/* ---- the new process ---- */

static int predecessor_fd(void)
{
	uint64_t n;

	if (!getenv(SERVICE_PREDECESSOR) || span_to_u64(span_str(getenv("LISTEN_FDS")), &n) < 0 || n > SERVICE_MOST_FDS)
		return -1;
	return SERVICE_FIRST_FD + (int)n;
}

int predecessor_ask(void)
{
	int fd = predecessor_fd();

	if (fd < 0)
		return 0;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	say(fd, WORD_WANTS_STATE);
	return hear(fd, PREDECESSOR_PATIENCE) == WORD_GIVEN ? 0 : -1;
}

void predecessor_tell(void)
{
	int fd = predecessor_fd();

	if (fd < 0)
		return;
	say(fd, WORD_SERVES);
	close(fd);
	unsetenv(SERVICE_PREDECESSOR);
}
