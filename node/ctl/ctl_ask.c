#include "node/ctl/ctl_ask.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "node/base/span.h"
#include "node/ctl/ctl.h"

static int connect_one(const struct addrinfo *ai, int patience_s)
{
	struct timeval patience = {.tv_sec = patience_s};
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol), saved;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int connect_to(const char *host, const char *port, int patience_s, struct ctl_answer *out)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all, *ai;
	struct span name = span_str(host);
	char *bare;
	int fd = -1, failed;

	if (name.n > 2 && name.p[0] == '[')
		name = span_of(name.p + 1, name.n - 2);
	bare = span_dup(name);
	failed = getaddrinfo(bare, port, &hints, &all);
	free(bare);
	if (failed) {
		out->end = CTL_ASK_FAILED;
		snprintf(out->why, sizeof(out->why), "%s", gai_strerror(failed));
		return -1;
	}
	for (ai = all; ai && fd < 0; ai = ai->ai_next)
		fd = connect_one(ai, patience_s);
	if (fd < 0) {
		out->end = errno == ECONNREFUSED ? CTL_ASK_REFUSED : CTL_ASK_FAILED;
		snprintf(out->why, sizeof(out->why), "%s", strerror(errno));
	}
	freeaddrinfo(all);
	return fd;
}

static void read_answer(int fd, struct ctl_answer *out)
{
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(out->text) - 1) {
		got = read(fd, out->text + n, sizeof(out->text) - 1 - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	out->text[n] = '\0';
}

static void find_error(struct ctl_answer *out)
{
	struct span rest = span_of(out->text, (size_t)(out->body - out->text)), line;
	struct span name = SPAN("X-Pmcache-Error: ");

	while (span_cut(&rest, '\n', &line)) {
		struct span value = span_from(line, name.n);

		if (span_starts_icase(line, name))
			snprintf(out->error, sizeof(out->error), "%.*s",
				 SPAN_ARG(span_upto(value, span_find(value, '\r'))));
	}
}

static void understand(struct ctl_answer *out)
{
	char *end = strstr(out->text, "\r\n\r\n");

	out->end = CTL_ASK_SILENT;
	if (strncmp(out->text, "HTTP/1.", 7) != 0 || strlen(out->text) < 12 || !end)
		return;
	out->end = CTL_ASK_ANSWERED;
	out->status = (int)strtol(out->text + 9, NULL, 10);
	out->body = end + 4;
	find_error(out);
}

void ctl_ask(const char *host, const char *port, const char *method, const char *url, const char *authority,
	     int patience_s, struct ctl_answer *out)
{
	char *request;
	int fd;

	memset(out, 0, sizeof(*out));
	out->body = out->text;
	fd = connect_to(host, port, patience_s, out);
	if (fd < 0)
		return;
	request = ctl_text("%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: pmcachectl\r\nConnection: close\r\n\r\n", method,
			   url, authority);
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request))
		read_answer(fd, out);
	free(request);
	close(fd);
	understand(out);
}
