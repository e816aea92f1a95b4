#include "node/net/stream_loan.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

struct stream_lent {
	struct stream base;
	struct stream *below;
	struct stream_loan *loan; /* NULL: the lender has gone */
};

static struct stream_lent *lent_of(struct stream *s)
{
	return (struct stream_lent *)s;
}

/* The last thing in the turn: who is told may close it. */
static void on_ready(void *cookie, unsigned events)
{
	struct stream_lent *l = cookie;

	if (l->base.on_ready)
		l->base.on_ready(l->base.cookie, events);
}

static ssize_t lent_read(struct stream *s, void *to, size_t room)
{
	ssize_t n = stream_read(lent_of(s)->below, to, room);

	s->why = stream_why(lent_of(s)->below);
	return n;
}

static ssize_t lent_write(struct stream *s, const struct span *v, int n)
{
	ssize_t written = stream_write(lent_of(s)->below, v, n);

	s->why = stream_why(lent_of(s)->below);
	return written;
}

static bool lent_push(struct stream *s, struct span bytes)
{
	bool good = stream_push(lent_of(s)->below, bytes);

	s->why = stream_why(lent_of(s)->below);
	return good;
}

static bool lent_blocked(const struct stream *s)
{
	return stream_blocked(((const struct stream_lent *)s)->below);
}

static void lent_want(struct stream *s, unsigned events)
{
	stream_want(lent_of(s)->below, events);
}

/* The lender still has something to say. */
static void lent_end_writing(struct stream *s)
{
	(void)s;
}

static void lent_close(struct stream *s, enum stream_end how)
{
	struct stream_lent *l = lent_of(s);

	stream_set_handler(l->below, NULL, NULL);
	stream_want(l->below, 0);
	if (l->loan) {
		l->loan->stream = l->below;
		l->loan->lent = NULL;
	} else {
		stream_close(&l->below, how);
	}
	l->base.magic = 0;
	free(l);
}

static const struct addr *lent_peer(const struct stream *s)
{
	return stream_peer(((const struct stream_lent *)s)->below);
}

static const struct stream_ops lent_ops = {
	.name = "lent",
	.read = lent_read,
	.write = lent_write,
	.push = lent_push,
	.blocked = lent_blocked,
	.want = lent_want,
	.end_writing = lent_end_writing,
	.close = lent_close,
	.peer = lent_peer,
};

struct stream *stream_lend(struct stream_loan *loan)
{
	struct stream_lent *l = NEW(struct stream_lent);

	CHECK_THAT(loan->stream && !loan->lent);
	l->base.magic = STREAM_MAGIC;
	l->base.ops = &lent_ops;
	l->base.loop = loan->stream->loop;
	l->below = loan->stream;
	l->loan = loan;
	loan->stream = NULL;
	loan->lent = l;
	stream_set_handler(l->below, on_ready, l);
	return &l->base;
}

void stream_loan_end(struct stream_loan *loan, enum stream_end how)
{
	if (loan->lent)
		loan->lent->loan = NULL;
	loan->lent = NULL;
	stream_close(&loan->stream, how);
}
