#include "node/admin/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/admin/control_words.h"
#include "node/admin/ledger.h"
#include "node/admin/objects.h"
#include "node/admin/peersjson.h"
#include "node/admin/scrub.h"
#include "node/admin/statsjson.h"
#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/stream_plain.h"
#include "node/record/recent.h"

#define TALK_MS (10 * DUR_SECOND) /* for the request */

struct talk {
	LIST_ENTRY(talk) entry;
	struct control *control;
	struct stream *stream;
	struct timer deadline;
	struct control_reply *reply; /* that an action has, and not answered yet */
	bool begun;                  /* ok was said: what is wrong from here on cannot be */
	size_t n;
	char line[CONTROL_WORDS_LINE_MAX];
};

struct control_reply {
	unsigned magic;
	struct talk *talk; /* NULL: who asked has left, or has been told that it takes too long */
};

#define CONTROL_REPLY_MAGIC 0xc0147402

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

/* ---- answers ---- */

static void talk_end(struct talk *t, enum stream_end how)
{
	if (t->reply)
		t->reply->talk = NULL;
	LIST_REMOVE(t, entry);
	stream_close(&t->stream, how);
	timer_fini(&t->deadline);
	free(t);
}

static void say_error(struct talk *t, const char *why)
{
	char text[CONTROL_WORDS_ANSWER_MAX];
	struct buf b = buf_over(text, sizeof(text));

	if (t->begun) {
		talk_end(t, STREAM_CUT);
		return;
	}
	control_words_error(&b, span_str(why));
	stream_push(t->stream, buf_span(&b));
	talk_end(t, STREAM_CLEAN);
}

static void say_ok(struct talk *t)
{
	char line[8];
	struct buf ok = buf_over(line, sizeof(line));

	if (t->begun)
		return;
	control_words_ok(&ok);
	stream_push(t->stream, buf_span(&ok));
	t->begun = true;
}

static void say_text(struct talk *t, struct span text)
{
	say_ok(t);
	stream_push(t->stream, text);
	if (text.n && text.p[text.n - 1] != '\n')
		stream_push(t->stream, SPAN("\n"));
	talk_end(t, STREAM_CLEAN);
}

static struct talk *reply_end(struct control_reply *r)
{
	struct talk *t = r->talk;

	CHECK(r, CONTROL_REPLY_MAGIC);
	if (t)
		t->reply = NULL;
	r->magic = 0;
	free(r);
	return t;
}

void control_answer(struct control_reply *r, struct span text)
{
	struct talk *t = reply_end(r);

	if (!t)
		return;
	if (text.n <= CONTROL_MOST_BYTES)
		say_text(t, text);
	else
		say_error(t, "the answer is too large");
}

enum control_piece control_piece(struct control_reply *r, struct span text)
{
	struct talk *t = r->talk;

	CHECK(r, CONTROL_REPLY_MAGIC);
	if (!t)
		return CONTROL_PIECE_LEFT;
	if (stream_blocked(t->stream))
		return CONTROL_PIECE_LATER;
	say_ok(t);
	if (!stream_push(t->stream, text)) {
		talk_end(t, STREAM_CUT);
		return CONTROL_PIECE_LEFT;
	}
	timer_set_in(&t->deadline, CONTROL_PATIENCE);
	return CONTROL_PIECE_TAKEN;
}

void control_fail(struct control_reply *r, const char *why)
{
	struct talk *t = reply_end(r);

	if (t)
		say_error(t, why);
}

/* ---- requests ---- */

static void do_stats(struct talk *t, const struct control_request *r)
{
	char *text = mem_alloc(STATSJSON_MAX);
	struct buf b = buf_over(text, STATSJSON_MAX);

	(void)r;
	t->control->actions->stats(t->control->cookie, &b);
	say_text(t, buf_span(&b));
	free(text);
}

static void say_since(struct talk *t, wall_ms since)
{
	char *text = mem_alloc(LEDGER_MAX);
	struct buf b = buf_over(text, LEDGER_MAX);

	if (t->control->actions->since(t->control->cookie, since, &b))
		say_text(t, buf_span(&b));
	else
		say_error(t, "that time is still to come");
	free(text);
}

static void do_since(struct talk *t, const struct control_request *r)
{
	uint64_t since;

	if (!t->control->actions->since)
		say_error(t, "this node keeps no ledger");
	else if (span_to_u64(r->arg, &since) < 0 || since > INT64_MAX)
		say_error(t, "since takes milliseconds since 1970");
	else
		say_since(t, (wall_ms)since);
}

static void do_objects(struct talk *t, const struct control_request *r)
{
	char *text = mem_alloc(OBJECTS_JSON_MAX);
	struct buf b = buf_over(text, OBJECTS_JSON_MAX);

	(void)r;
	t->control->actions->objects(t->control->cookie, &b);
	say_text(t, buf_span(&b));
	free(text);
}

static void do_peers(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;
	char *text = mem_alloc(PEERSJSON_MOST);
	struct buf b = buf_over(text, PEERSJSON_MOST);

	(void)r;
	if (actions->peers && actions->peers(t->control->cookie, &b))
		say_text(t, buf_span(&b));
	else
		say_error(t, "this node is in no cluster");
	free(text);
}

static const struct {
	enum purgerec_kind kind;
	bool whole_cluster;
} purges[CONTROL_VERB_COUNT] = {
#define KIND(base, soft) ((enum purgerec_kind)((base) | (soft)))
#define PURGES(ID, soft, whole)                                                                                        \
	[CONTROL_##ID##PURGE] = {KIND(PURGEREC_URL, soft), whole},                                                     \
	[CONTROL_##ID##PURGE_PREFIX] = {KIND(PURGEREC_PREFIX, soft), whole},                                           \
	[CONTROL_##ID##PURGE_HOST] = {KIND(PURGEREC_HOST, soft), whole},                                               \
	[CONTROL_##ID##PURGE_CLASS] = {KIND(PURGEREC_CLASS, soft), whole},                                             \
	[CONTROL_##ID##PURGE_DIGEST] = {KIND(PURGEREC_DIGEST, soft), whole},                                           \
	[CONTROL_##ID##PURGE_ALL] = {KIND(PURGEREC_ALL, soft), whole},
	PURGES(, 0, false)                         /* */
	PURGES(SOFT_, PURGEREC_SOFT, false)        /* */
	PURGES(CLUSTER_, 0, true)                  /* */
	PURGES(CLUSTER_SOFT_, PURGEREC_SOFT, true) /* */
		[CONTROL_DENY] = {PURGEREC_DENY, false},
	[CONTROL_ALLOW] = {PURGEREC_ALLOW, false},
	[CONTROL_CLUSTER_DENY] = {PURGEREC_DENY, true},
	[CONTROL_CLUSTER_ALLOW] = {PURGEREC_ALLOW, true},
#undef PURGES
#undef KIND
};

static void do_purge(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;
	const char *why = "";
	long n = actions->purge(t->control->cookie, purges[r->verb].kind, r->arg, purges[r->verb].whole_cluster, &why);
	char text[CONTROL_WORDS_ANSWER_MAX];
	struct buf b = buf_over(text, sizeof(text));

	if (n < 0) {
		say_error(t, why);
		return;
	}
	control_words_purged(&b, (uint64_t)n);
	stream_push(t->stream, buf_span(&b));
	talk_end(t, STREAM_CLEAN);
}

static struct control_reply *reply_new(struct talk *t)
{
	t->reply = NEW(struct control_reply);
	t->reply->magic = CONTROL_REPLY_MAGIC;
	t->reply->talk = t;
	timer_set_in(&t->deadline, CONTROL_PATIENCE);
	return t->reply;
}

/* An action that answers when it can; NULL: there is none, for this reason. */
static void park(struct talk *t, void (*action)(void *cookie, struct control_reply *), const char *why_not)
{
	if (action)
		action(t->control->cookie, reply_new(t));
	else
		say_error(t, why_not);
}

static void do_matrix(struct talk *t, const struct control_request *r)
{
	(void)r;
	park(t, t->control->actions->matrix, "this node is in no cluster");
}

static void do_offline(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;
	char text[CONTROL_WORDS_ANSWER_MAX];
	struct buf b = buf_over(text, sizeof(text));

	if (actions->offline && actions->offline(t->control->cookie, r->arg, &b))
		say_text(t, buf_span(&b));
	else
		say_error(t, "offline takes on, off, config or show");
}

static void do_explain(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;

	if (actions->explain)
		actions->explain(t->control->cookie, r->arg, reply_new(t));
	else
		say_error(t, "this node cannot explain anything");
}

static void do_recent(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;
	char *text = mem_alloc(RECENT_MAX);
	struct buf b = buf_over(text, RECENT_MAX);

	(void)r;
	if (actions->recent) {
		actions->recent(t->control->cookie, &b);
		say_text(t, buf_span(&b));
	} else {
		say_error(t, "this node keeps no failures");
	}
	free(text);
}

static void do_upgrade(struct talk *t, const struct control_request *r)
{
	(void)r;
	park(t, t->control->actions->upgrade, "this process cannot be succeeded");
}

static void do_reload(struct talk *t, const struct control_request *r)
{
	(void)r;
	park(t, t->control->actions->reload, "this process cannot be reloaded");
}

static void do_rotate(struct talk *t, const struct control_request *r)
{
	(void)r;
	park(t, t->control->actions->rotate, "this process has no log");
}

static void do_refresh(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;

	if (actions->refresh)
		actions->refresh(t->control->cookie, r->arg, reply_new(t));
	else
		say_error(t, "this node fetches nothing");
}

static const enum purgerec_kind lists[CONTROL_VERB_COUNT] = {
	[CONTROL_LIST_PREFIX] = PURGEREC_PREFIX,
	[CONTROL_LIST_HOST] = PURGEREC_HOST,
	[CONTROL_LIST_CLASS] = PURGEREC_CLASS,
	[CONTROL_LIST_ALL] = PURGEREC_ALL,
};

static void do_list(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;

	if (actions->list)
		actions->list(t->control->cookie, lists[r->verb], r->arg, reply_new(t));
	else
		say_error(t, "this node lists nothing");
}

/* From here on the connection is its own. */
static void do_import(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;
	struct stream *s;

	if (!actions->import) {
		say_error(t, "this node takes nothing in");
		return;
	}
	s = t->stream;
	t->stream = NULL;
	stream_set_handler(s, NULL, NULL);
	stream_want(s, 0);
	actions->import(t->control->cookie, r->arg, &s);
	talk_end(t, STREAM_CLEAN);
}

static void do_scrub(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;
	const char *why = "this node has no tier on disk";
	char text[SCRUB_JSON_BYTES];
	struct buf b = buf_over(text, sizeof(text));

	if (actions->scrub && actions->scrub(t->control->cookie, r->arg, &b, &why))
		say_text(t, buf_span(&b));
	else
		say_error(t, why);
}

static void do_denied(struct talk *t, const struct control_request *r)
{
	const struct control_actions *actions = t->control->actions;
	struct span json;

	(void)r;
	if (!actions->denied) {
		say_error(t, "this node has no deny-list");
		return;
	}
	json = actions->denied(t->control->cookie);
	say_text(t, json);
	free((char *)(uintptr_t)json.p);
}

/* Each ends the talk, or has made a reply that will. NULL: a purge. */
static void (*const doers[CONTROL_VERB_COUNT])(struct talk *, const struct control_request *) = {
	[CONTROL_STATS] = do_stats,      [CONTROL_PEERS] = do_peers,     [CONTROL_MATRIX] = do_matrix,
	[CONTROL_EXPLAIN] = do_explain,  [CONTROL_OFFLINE] = do_offline, [CONTROL_DENIED] = do_denied,
	[CONTROL_UPGRADE] = do_upgrade,  [CONTROL_OBJECTS] = do_objects, [CONTROL_REFRESH] = do_refresh,
	[CONTROL_SCRUB] = do_scrub,      [CONTROL_RECENT] = do_recent,   [CONTROL_RELOAD] = do_reload,
	[CONTROL_ROTATE] = do_rotate,    [CONTROL_SINCE] = do_since,     [CONTROL_IMPORT] = do_import,
	[CONTROL_LIST_PREFIX] = do_list, [CONTROL_LIST_HOST] = do_list,  [CONTROL_LIST_CLASS] = do_list,
	[CONTROL_LIST_ALL] = do_list,
};

/* ---- connections ---- */

static void on_deadline(void *arg)
{
	struct talk *t = arg;

	if (t->reply)
		say_error(t, "the answer takes too long");
	else
		talk_end(t, STREAM_CUT);
}

/* The request is there, and what comes behind it is a mistake, or the end: of our reader, who may have ended its side alone. */
static void on_waiting(struct talk *t)
{
	ssize_t n = stream_read(t->stream, t->line, sizeof(t->line));

	if (n == STREAM_AGAIN)
		return;
	if (n == STREAM_FAILED)
		talk_end(t, STREAM_CUT);
	else if (n > 0)
		say_error(t, "only one request is taken per connection");
	else
		stream_want(t->stream, 0);
}

static void on_talk_ready(void *cookie, unsigned events)
{
	struct talk *t = cookie;
	struct control_request request;
	const char *why = NULL;
	ssize_t n;

	(void)events;
	if (t->reply) {
		on_waiting(t);
		return;
	}
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
			(doers[request.verb] ? doers[request.verb] : do_purge)(t, &request);
			return;
		case CONTROL_WORDS_BAD:
			say_error(t, why);
			return;
		case CONTROL_WORDS_MORE:
			break;
		}
		if (t->n == sizeof(t->line)) {
			say_error(t, "the line is too long");
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
