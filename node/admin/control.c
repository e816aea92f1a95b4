#include "node/admin/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/admin/control_words.h"
#include "node/admin/statsjson.h"
#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/stream_plain.h"

#define ANSWER_BYTES ((size_t)64 * 1024)
#define TALK_MS (10 * DUR_SECOND)

struct talk {
	LIST_ENTRY(talk) entry;
	struct control *control;
	struct stream *stream;
	struct timer deadline;
	size_t n;
	char line[CONTROL_WORDS_LINE_MAX];
};

struct control {
	unsigned magic;
	struct loop *loop;
	int fd;
	char *path;
	struct fdwatch *watch;
	const struct control_actions *actions;
	void *cookie;
	LIST_HEAD(, talk) talks;
};

#define CONTROL_MAGIC 0xc0147401

static void talk_end(struct talk *t, enum stream_end how)
{
	LIST_REMOVE(t, entry);
	stream_close(&t->stream, how);
	timer_fini(&t->deadline);
	free(t);
}

static void on_deadline(void *arg)
{
	talk_end(arg, STREAM_CUT);
}

static void act(struct talk *t, const struct control_request *r, struct buf *out)
{
	struct control *c = t->control;
	const char *why = "";
	long n;

	switch (r->verb) {
	case CONTROL_STATS:
		control_words_ok(out);
		c->actions->stats(c->cookie, out);
		return;
	case CONTROL_PURGE:
		n = c->actions->purge(c->cookie, r->arg, &why);
		if (n < 0)
			control_words_error(out, span_str(why));
		else
			control_words_purged(out, (uint64_t)n);
		return;
	case CONTROL_VERB_COUNT:
		break;
	}
	control_words_error(out, SPAN("unknown command"));
}

/* Without a request, `bad` says what is wrong with what came. */
static void answer(struct talk *t, const struct control_request *r, const char *bad)
{
	char *text = mem_alloc(ANSWER_BYTES);
	struct buf out = buf_over(text, ANSWER_BYTES);

	if (r)
		act(t, r, &out);
	else
		control_words_error(&out, span_str(bad));
	stream_push(t->stream, buf_span(&out));
	free(text);
	talk_end(t, STREAM_CLEAN);
}

static void on_talk_ready(void *cookie, unsigned events)
{
	struct talk *t = cookie;
	struct control_request request;
	const char *why = NULL;
	ssize_t n;

	(void)events;
	for (;;) {
		n = stream_read(t->stream, t->line + t->n, sizeof(t->line) - t->n);
		if (n == STREAM_AGAIN)
			return;
		if (n <= 0) {
			talk_end(t, STREAM_CUT);
			return;
		}
		t->n += (size_t)n;
		switch (control_words_parse(span_of(t->line, t->n), &request, &why)) {
		case CONTROL_WORDS_DONE:
			answer(t, &request, NULL);
			return;
		case CONTROL_WORDS_BAD:
			answer(t, NULL, why);
			return;
		case CONTROL_WORDS_MORE:
			break;
		}
		if (t->n == sizeof(t->line)) {
			answer(t, NULL, "the line is too long");
			return;
		}
	}
}

static void on_accept(void *cookie, unsigned events)
{
	struct control *c = cookie;
	struct addr nobody = {0};
	struct talk *t;
	int fd;

	(void)events;
	CHECK(c, CONTROL_MAGIC);
	fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	t = NEW(struct talk);
	t->control = c;
	t->stream = stream_plain_new(c->loop, fd, &nobody);
	LIST_INSERT_HEAD(&c->talks, t, entry);
	timer_init(&t->deadline, c->loop, on_deadline, t);
	timer_set_in(&t->deadline, TALK_MS);
	stream_set_handler(t->stream, on_talk_ready, t);
	stream_want(t->stream, STREAM_READ);
}

static int bind_socket(const char *path, char *err, size_t cap)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	mode_t mask;
	int fd, bound;

	if (n >= sizeof(un.sun_path)) {
		snprintf(err, cap,
			 "the path of the control socket is too long for a Unix socket (%zu bytes at most): %s",
			 sizeof(un.sun_path) - 1, path);
		return -1;
	}
	memcpy(un.sun_path, path, n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	unlink(path); /* the state folder's lock says that its owner is dead */
	mask = umask(0177);
	bound = bind(fd, (struct sockaddr *)&un, sizeof(un));
	umask(mask);
	if (fd < 0 || bound < 0 || listen(fd, 16) < 0) {
		snprintf(err, cap, "cannot make the control socket %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

struct control *control_open(struct loop *loop, const char *path, const struct control_actions *actions, void *cookie,
			     char *err, size_t cap)
{
	int fd = bind_socket(path, err, cap);
	struct control *c;

	if (fd < 0)
		return NULL;
	c = NEW(struct control);
	c->magic = CONTROL_MAGIC;
	c->loop = loop;
	c->fd = fd;
	c->path = span_dup(span_str(path));
	c->actions = actions;
	c->cookie = cookie;
	LIST_INIT(&c->talks);
	c->watch = fdwatch_new(loop, fd, on_accept, c);
	fdwatch_want(c->watch, FD_READ);
	return c;
}

void control_close(struct control **cp)
{
	struct control *c = *cp;
	struct talk *t, *next;

	if (!c)
		return;
	CHECK(c, CONTROL_MAGIC);
	*cp = NULL;
	for (t = LIST_FIRST(&c->talks); t; t = next) {
		next = LIST_NEXT(t, entry);
		talk_end(t, STREAM_CUT);
	}
	fdwatch_free(c->watch);
	close(c->fd);
	unlink(c->path);
	free(c->path);
	c->magic = 0;
	free(c);
}
