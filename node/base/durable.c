#include "node/base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

bool durable_write(int fd, struct span s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = span_from(s, (size_t)n);
	}
	return true;
}

bool durable_sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? span_dup(span_of(path, (size_t)(slash - path) + 1)) : span_dup(SPAN("."));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	free(folder);
	return good;
}
