#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/dns_internal.h"

#define LOOK_EVERY (1 * DUR_SECOND)
#define FILE_MOST_BYTES (16 * 1024 * 1024)

static char *slurp(int fd, size_t most, size_t *n)
{
	size_t room = 0;
	char *text = NULL;

	*n = 0;
	for (;;) {
		ssize_t got;

		if (*n == room) {
			room = room ? 2 * room : 16 * 1024;
			text = mem_realloc(text, room);
		}
		got = read(fd, text + *n, room - *n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got > 0 && *n + (size_t)got <= most) {
			*n += (size_t)got;
			continue;
		}
		if (got == 0)
			return text;
		if (got > 0)
			errno = EFBIG;
		free(text);
		return NULL;
	}
}

static struct hosts *read_hosts(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct hosts *h = NULL;
	char *text;
	size_t n;

	if (fd < 0)
		return NULL;
	text = slurp(fd, FILE_MOST_BYTES, &n);
	err = errno;
	close(fd);
	if (text)
		h = hosts_parse(span_of(text, n));
	free(text);
	errno = err;
	return h;
}

static bool has_changed(struct dns_watched *w)
{
	struct stat now = {0};
	bool changed;

	if (!w->path || stat(w->path, &now) < 0)
		return false; /* not there: perhaps about to be replaced */
	changed = now.st_ino != w->was.st_ino || now.st_dev != w->was.st_dev || now.st_size != w->was.st_size ||
		  now.st_mtim.tv_sec != w->was.st_mtim.tv_sec || now.st_mtim.tv_nsec != w->was.st_mtim.tv_nsec;
	w->was = now;
	return changed;
}

static void use_hosts(struct hosts **place, struct hosts *h)
{
	if (!h)
		return;
	hosts_free(*place);
	*place = h;
}

void dns__look_at_files(struct dns *dns)
{
	mono_us now = loop_now(dns->loop);
	ares_channel channel;

	if (now < dns->look_next)
		return;
	dns->look_next = mono_after(now, LOOK_EVERY);
	if (has_changed(&dns->own_file))
		use_hosts(&dns->own, read_hosts(dns->own_file.path));
	if (has_changed(&dns->system_file))
		use_hosts(&dns->system, read_hosts(dns->system_file.path));
	if (!dns->servers && (has_changed(&dns->resolv_file) || !dns->channel)) {
		channel = dns__channel_new(dns);
		if (channel)
			dns__use_channel(dns, channel);
	}
}

int dns_set_hosts_file(struct dns *dns, const char *path)
{
	struct hosts *h = path ? read_hosts(path) : hosts_parse(SPAN_NONE);
	char *copy;

	CHECK(dns, DNS_MAGIC);
	if (!h)
		return -1;
	use_hosts(&dns->own, h);
	copy = path ? span_dup(span_str(path)) : NULL;
	free(dns->own_file.path);
	dns->own_file = (struct dns_watched){.path = copy};
	return 0;
}

void dns__files_init(struct dns *dns)
{
	dns->system_file.path = span_dup(SPAN("/etc/hosts"));
	dns->resolv_file.path = span_dup(SPAN("/etc/resolv.conf"));
}

void dns__files_fini(struct dns *dns)
{
	hosts_free(dns->own);
	hosts_free(dns->system);
	free(dns->own_file.path);
	free(dns->system_file.path);
	free(dns->resolv_file.path);
}
