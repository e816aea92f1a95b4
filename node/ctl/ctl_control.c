#include "node/ctl/ctl_control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"

/* For one read or write. */
#define PATIENCE_S 10      /* the daemon answers from memory */
#define LONG_PATIENCE_S 65 /* a little more than the daemon's own (control.h) */

struct limits {
	int patience_s;
	size_t most; /* bytes of an answer */
};

static const struct limits usual = {PATIENCE_S, (size_t)64 << 20};
static const struct limits long_ones = {LONG_PATIENCE_S, (size_t)1 << 30}; /* a list has no limit of its own */

/* A Unix address holds 107 bytes; a longer path is reached through its folder's descriptor. */
static int connect_to(int fd, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *slash = strrchr(path, '/');
	char *folder;
	int dir, n, failed, saved;

	if (strlen(path) < sizeof(addr.sun_path)) {
		memcpy(addr.sun_path, path, strlen(path) + 1);
		return connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	}
	if (!slash) {
		errno = ENAMETOOLONG;
		return -1;
	}
	folder = ctl_text("%.*s/", (int)(slash - path), path);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(folder);
	if (dir < 0)
		return -1;
	n = snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d%s", dir, slash);
	errno = ENAMETOOLONG;
	failed = n < (int)sizeof(addr.sun_path) ? connect(fd, (struct sockaddr *)&addr, sizeof(addr)) : -1;
	saved = errno;
	close(dir);
	errno = saved;
	return failed;
}

static int open_socket(const char *path, int patience_s)
{
	struct timeval patience = {.tv_sec = patience_s};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect_to(fd, path) == 0)
		return fd;
	close(fd);
	return -1;
}

static int send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -1;
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* To the end of the connection; NUL-ended. NULL with errno. */
static char *read_all(int fd, size_t most, size_t *n)
{
	size_t cap = 16384;
	char *p = mem_alloc(cap);

	for (*n = 0;;) {
		ssize_t got = read(fd, p + *n, cap - *n - 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		*n += (size_t)got;
		p[*n] = '\0';
		if (got == 0)
			return p;
		if (cap - *n < 2 && cap >= most) {
			errno = EFBIG;
			break;
		}
		if (cap - *n < 2)
			p = mem_realloc(p, cap *= 2);
	}
	free(p);
	return NULL;
}

long ctl_control_pid(const char *path)
{
	int fd = open_socket(path, PATIENCE_S);
	struct ucred who = {0};
	socklen_t n = sizeof(who);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		who.pid = 0;
	close(fd);
	return who.pid;
}

static int nobody(const char *path)
{
	if (errno == EFBIG) {
		ctl_say("the daemon's answer is too large: ask for less");
		return CTL_FAILED;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		ctl_say("the daemon at %s does not answer", path);
	else if (errno == EACCES)
		ctl_say("no permission to talk to the daemon at %s: be its user, or root", path);
	else
		ctl_say("no daemon answers at %s (%s): is pmcached running? -c or --state say where", path,
			strerror(errno));
	return CTL_NO_DAEMON;
}

/* All of an answer taken apart. */
static int read_answer(const char *path, const char *answer, size_t n, char **payload)
{
	if (strncmp(answer, "ok\n", 3) == 0) {
		*payload = mem_alloc(n - 2);
		memcpy(*payload, answer + 3, n - 2); /* with the NUL */
		return CTL_OK;
	}
	if (strncmp(answer, "error ", 6) == 0)
		*payload = ctl_text("%.*s", (int)strcspn(answer + 6, "\n"), answer + 6);
	else
		*payload = ctl_text("the daemon at %s gave an answer that is not understood", path);
	return CTL_FAILED;
}

/* As ctl_control_try; errno is of the last call when nobody answers. */
static int ask(const char *path, const char *request, const struct limits *limits, char **payload)
{
	int fd = open_socket(path, limits->patience_s), saved, code;
	char *line, *answer;
	size_t n = 0;
	bool sent;

	*payload = NULL;
	if (fd < 0)
		return CTL_NO_DAEMON;
	line = ctl_text("%s\n", request);
	sent = send_all(fd, line, strlen(line)) == 0;
	free(line);
	answer = sent ? read_all(fd, limits->most, &n) : NULL;
	saved = errno;
	close(fd);
	errno = saved;
	if (!answer)
		return CTL_NO_DAEMON;
	code = read_answer(path, answer, n, payload);
	free(answer);
	return code;
}

static int ask_and_say(const char *path, const char *request, const struct limits *limits, char **payload)
{
	int code = ask(path, request, limits, payload);

	if (code == CTL_NO_DAEMON)
		return nobody(path);
	if (code == CTL_FAILED) {
		ctl_say("%s", *payload);
		free(*payload);
		*payload = NULL;
	}
	return code;
}

int ctl_control_ask(const char *path, const char *request, char **payload)
{
	return ask_and_say(path, request, &usual, payload);
}

int ctl_control_ask_long(const char *path, const char *request, char **payload)
{
	return ask_and_say(path, request, &long_ones, payload);
}

int ctl_control_try(const char *path, const char *request, char **payload)
{
	return ask(path, request, &usual, payload);
}

/* ---- bringing ---- */

#define PIECE_BYTES ((size_t)128 * 1024)
#define ASKED_BYTES ((size_t)64 * 1024)

/* The daemon's first words: a request (true: it wants the object), or the answer, which is left in the socket. */
static bool is_wanted(int fd)
{
	static const char end[] = "\r\n\r\n";
	char first[4], c;
	size_t got = 0, n = 0;

	if (recv(fd, first, sizeof(first), MSG_PEEK | MSG_WAITALL) != (ssize_t)sizeof(first) ||
	    memcmp(first, "GET ", sizeof(first)) != 0)
		return false;
	while (got < sizeof(end) - 1 && n++ < ASKED_BYTES && read(fd, &c, 1) == 1)
		got = c == end[got] ? got + 1 : c == end[0];
	return got == sizeof(end) - 1;
}

/* 0; -1: the daemon does not take it (any more), which its answer explains; -2: the file cannot be read. */
static int send_piece(int fd, const struct ctl_bringing *what)
{
	char *piece = mem_alloc(PIECE_BYTES);
	uint64_t done = 0;
	int result = send_all(fd, what->head.p, what->head.n);

	while (result == 0 && done < what->bytes) {
		uint64_t left = what->bytes - done;
		ssize_t n = pread(what->fd, piece, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES,
				  (off_t)(what->at + done));

		if (n < 0 && errno == EINTR)
			continue;
		result = n <= 0 ? -2 : send_all(fd, piece, (size_t)n);
		done += n > 0 ? (uint64_t)n : 0;
	}
	free(piece);
	return result;
}

int ctl_control_bring(const char *path, const struct ctl_bringing *what, char **payload)
{
	int fd = open_socket(path, LONG_PATIENCE_S), code = CTL_NO_DAEMON;
	char *line = ctl_text("import %s\n", what->url), *answer = NULL;
	size_t n;
	bool sent;

	*payload = NULL;
	sent = fd >= 0 && send_all(fd, line, strlen(line)) == 0;
	free(line);
	if (sent && is_wanted(fd) && send_piece(fd, what) == -2) {
		*payload =
			ctl_text("the archive cannot be read: %s", errno ? strerror(errno) : "it has become shorter");
		code = CTL_FAILED;
	} else if (sent) {
		answer = read_all(fd, usual.most, &n);
	}
	if (answer)
		code = read_answer(path, answer, n, payload);
	if (fd >= 0)
		close(fd);
	free(answer);
	return code;
}
