#include "node/statefolder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/span.h"

static int make_folders(char *path)
{
	for (char *at = path + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -1;
		*at = '/';
	}
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
}

int statefolder_open(const char *path, char *why, size_t why_bytes)
{
	char *copy = span_dup(span_str(path)), lock[4096];
	int made = make_folders(copy), fd;

	free(copy);
	if (made < 0) {
		snprintf(why, why_bytes, "cannot make the state folder %s: %s; choose another under state", path,
			 strerror(errno));
		return -1;
	}
	snprintf(lock, sizeof(lock), "%s/lock", path);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		snprintf(why, why_bytes, "cannot write in the state folder %s: %s", path, strerror(errno));
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		snprintf(why, why_bytes,
			 "another pmcached uses the state folder %s; stop it, or choose another under state", path);
		close(fd);
		return -1;
	}
	return fd;
}
