#include "node/ctl/ctl_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"

#define PIECE_BYTES ((size_t)256 * 1024)

static bool failed(const char *path, int err)
{
	ctl_say("%s: %s", path, strerror(err));
	return false;
}

static int make_nameless(void)
{
	const char *folder = getenv("TMPDIR");
	char *name = ctl_text("%s/pmcachectl-XXXXXX", folder && *folder ? folder : "/var/tmp");
	int fd = mkostemp(name, O_CLOEXEC);

	if (fd >= 0)
		unlink(name);
	free(name);
	return fd;
}

static bool is_stdio(const char *path)
{
	return strcmp(path, "-") == 0;
}

bool ctl_spool_create(struct ctl_spool *s, const char *path)
{
	mode_t mask;

	*s = (struct ctl_spool){.path = is_stdio(path) ? "standard output" : path};
	if (is_stdio(path)) {
		if (fcntl(STDOUT_FILENO, F_GETFD) < 0) /* closed: the file would take its number */
			return failed(s->path, errno);
		s->fd = make_nameless();
		return s->fd >= 0 || failed("a temporary file", errno);
	}
	s->beside = ctl_text("%s.XXXXXX", path);
	s->fd = mkostemp(s->beside, O_CLOEXEC);
	if (s->fd < 0) {
		free(s->beside);
		return failed(path, errno);
	}
	mask = umask(0);
	umask(mask);
	fchmod(s->fd, 0666 & ~mask);
	return true;
}

/* From its beginning to its end, or what can be had. 0, or errno. */
static int copy(int from, int to)
{
	char *piece = mem_alloc(PIECE_BYTES);
	int err = 0;
	ssize_t n;

	while (!err && (n = read(from, piece, PIECE_BYTES)) != 0) {
		if (n < 0)
			err = errno == EINTR ? 0 : errno;
		for (ssize_t at = 0; !err && at < n;) {
			ssize_t written = write(to, piece + at, (size_t)(n - at));

			if (written < 0 && errno != EINTR)
				err = errno;
			at += written > 0 ? written : 0;
		}
	}
	free(piece);
	return err;
}

/* A reader that has left is an error like others: without this it would be the end, without a word. */
static int give_out(int from)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	int err;

	sigaction(SIGPIPE, &ignore, &before);
	err = lseek(from, 0, SEEK_SET) < 0 ? errno : copy(from, STDOUT_FILENO);
	sigaction(SIGPIPE, &before, NULL);
	return err;
}

bool ctl_spool_publish(struct ctl_spool *s)
{
	int err = 0;

	if (!s->beside)
		err = give_out(s->fd);
	else if (fsync(s->fd) < 0 || rename(s->beside, s->path) < 0)
		err = errno;
	if (!err && s->beside) {
		free(s->beside);
		s->beside = NULL;
	}
	ctl_spool_drop(s);
	return !err || failed(s->path, err);
}

void ctl_spool_drop(struct ctl_spool *s)
{
	close(s->fd);
	if (s->beside)
		unlink(s->beside);
	free(s->beside);
	s->beside = NULL;
}

bool ctl_spool_open(struct ctl_spool *s, const char *path)
{
	struct stat st;
	int from = is_stdio(path) ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), err;

	*s = (struct ctl_spool){.fd = from, .path = is_stdio(path) ? "standard input" : path};
	if (from < 0 || fstat(from, &st) < 0)
		return failed(s->path, errno);
	if (S_ISREG(st.st_mode) && !is_stdio(path))
		return true;
	s->fd = make_nameless();
	err = s->fd < 0 ? errno : copy(from, s->fd);
	if (!err)
		return true;
	if (s->fd >= 0)
		close(s->fd);
	return failed(s->path, err);
}
