#include "node/ctl/ctl_logfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"

#define READ_BYTES ((size_t)256 * 1024)
#define LINE_MOST ((size_t)4 * 1024 * 1024) /* what is longer is no line of ours */
#define POLL_MS 200

/* Bytes in, lines out; the beginning of a line is kept for later. */
struct cutter {
	char *p;
	size_t n, cap;
	ctl_logfiles_on_line_f *on_line;
	void *cookie;
};

static void cut(struct cutter *c)
{
	struct span rest = span_of(c->p, c->n);
	size_t at;

	while ((at = span_find(rest, '\n')) < rest.n) {
		c->on_line(c->cookie, span_upto(rest, at));
		rest = span_from(rest, at + 1);
	}
	if (rest.n > LINE_MOST)
		rest.n = 0;
	memmove(c->p, rest.p, rest.n);
	c->n = rest.n;
}

/* 1 something, 0 nothing more for now, -1 with errno. */
static int read_some(struct cutter *c, int fd)
{
	ssize_t got;

	if (c->cap - c->n < READ_BYTES)
		c->p = mem_realloc(c->p, c->cap = c->n + 2 * READ_BYTES);
	got = read(fd, c->p + c->n, READ_BYTES);
	if (got < 0 && errno == EINTR)
		return 1;
	if (got <= 0)
		return (int)got;
	c->n += (size_t)got;
	cut(c);
	return 1;
}

/* ---- one file ---- */

/* The reading end of `gzip -dc`, its child in *pid. */
static int open_compressed(const char *path, pid_t *pid)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	*pid = fork();
	if (*pid == 0) {
		if (dup2(ends[1], 1) >= 0)
			execlp("gzip", "gzip", "-dc", "--", path, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	return ends[0];
}

static int read_file(struct cutter *c, const char *path)
{
	bool compressed = span_ends(span_str(path), SPAN(".gz"));
	pid_t pid = 0;
	int fd = compressed ? open_compressed(path, &pid) : open(path, O_RDONLY | O_CLOEXEC), got = -1;

	if (fd >= 0) {
		while ((got = read_some(c, fd)) > 0)
			;
		close(fd);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return got;
}

/* ---- those that were rotated away ---- */

struct old {
	char *path;
	struct timespec changed;
};

static int by_time(const void *a, const void *b)
{
	const struct old *x = a, *y = b;

	if (x->changed.tv_sec != y->changed.tv_sec)
		return x->changed.tv_sec < y->changed.tv_sec ? -1 : 1;
	return (x->changed.tv_nsec > y->changed.tv_nsec) - (x->changed.tv_nsec < y->changed.tv_nsec);
}

/* ".0", ".12", ".3.gz", and with dateext "-20261123.gz" */
static bool is_rotated(const char *behind)
{
	size_t digits;

	if (*behind != '.' && *behind != '-')
		return false;
	digits = strspn(behind + 1, "0123456789");
	return digits && (behind[1 + digits] == '\0' || strcmp(behind + 1 + digits, ".gz") == 0);
}

static char *escaped(const char *path)
{
	char *out = mem_alloc(2 * strlen(path) + 3), *at = out;

	for (; *path; path++) {
		if (strchr("*?[]\\", *path))
			*at++ = '\\';
		*at++ = *path;
	}
	*at++ = '*';
	*at = '\0';
	return out;
}

static size_t find_old(const char *path, wall_ms since, struct old **out)
{
	char *pattern = escaped(path);
	glob_t found = {0};
	struct stat st;
	size_t n = 0;

	*out = NULL;
	if (glob(pattern, 0, NULL, &found) == 0) {
		*out = mem_zalloc((found.gl_pathc + 1) * sizeof(**out));
		for (size_t i = 0; i < found.gl_pathc; i++) {
			if (!is_rotated(found.gl_pathv[i] + strlen(path)) || stat(found.gl_pathv[i], &st) < 0)
				continue;
			if ((wall_ms)(st.st_mtim.tv_sec + 1) * 1000 < since)
				continue;
			(*out)[n++] = (struct old){ctl_text("%s", found.gl_pathv[i]), st.st_mtim};
		}
		globfree(&found);
	}
	free(pattern);
	if (n)
		qsort(*out, n, sizeof(**out), by_time);
	return n;
}

static int complain(const char *path)
{
	ctl_say("cannot read the access log %s: %s%s", path, strerror(errno),
		errno == EACCES ? "; it is for the daemon's user and root" : "");
	return CTL_FAILED;
}

/* A file without its line's end at the end is whole: what follows stands in another. */
static int read_old(struct cutter *c, const char *path, wall_ms since)
{
	struct old *old;
	size_t n = find_old(path, since, &old);
	int code = CTL_OK;

	for (size_t i = 0; i < n; i++) {
		if (code == CTL_OK && read_file(c, old[i].path) < 0 && errno != ENOENT)
			code = complain(old[i].path);
		c->n = 0;
		free(old[i].path);
	}
	free(old);
	return code;
}

int ctl_logfiles_read(const char *path, wall_ms since, ctl_logfiles_on_line_f *on_line, void *cookie)
{
	struct cutter c = {.on_line = on_line, .cookie = cookie};
	int code = read_old(&c, path, since);

	if (code == CTL_OK && read_file(&c, path) < 0)
		code = complain(path);
	free(c.p);
	return code;
}

/* ---- what is added ---- */

/* Is there another file under the path by now? */
static bool is_replaced(int fd, const char *path)
{
	struct stat ours, theirs;

	return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 &&
	       (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev);
}

static void begin_anew_if_cut(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && st.st_size < lseek(fd, 0, SEEK_CUR))
		lseek(fd, 0, SEEK_SET);
}

/* A pipe whose reader has gone says so at once, not with the next line. */
static bool rest_and_see_reader_leave(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, POLL_MS) > 0 && (out.revents & (POLLERR | POLLNVAL));
}

int ctl_logfiles_follow(const char *path, wall_ms since, ctl_logfiles_on_line_f *on_line,
			void (*on_pause)(void *cookie), void *cookie)
{
	struct cutter c = {.on_line = on_line, .cookie = cookie};
	int code = read_old(&c, path, since), fd, got;

	if (code != CTL_OK)
		return code;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return complain(path);
	for (;;) {
		bool replaced = is_replaced(fd, path); /* asked before the last look: nothing is added after it */

		while ((got = read_some(&c, fd)) > 0)
			;
		if (got < 0)
			return complain(path);
		on_pause(cookie);
		if (replaced) {
			int next = open(path, O_RDONLY | O_CLOEXEC);

			if (next >= 0) {
				close(fd);
				fd = next;
				c.n = 0;
				continue;
			}
		}
		begin_anew_if_cut(fd);
		if (rest_and_see_reader_leave()) {
			close(fd);
			free(c.p);
			return CTL_OK;
		}
	}
}
