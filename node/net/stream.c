#include "node/net/stream.h"

#include "node/base/check.h"

void stream_set_handler(struct stream *s, stream_on_ready_f *on_ready, void *cookie)
{
	CHECK(s, STREAM_MAGIC);
	s->on_ready = on_ready;
	s->cookie = cookie;
}

ssize_t stream_read(struct stream *s, void *to, size_t room)
{
	CHECK(s, STREAM_MAGIC);
	return s->ops->read(s, to, room);
}

ssize_t stream_write(struct stream *s, const struct span *v, int n)
{
	CHECK(s, STREAM_MAGIC);
	return s->ops->write(s, v, n);
}

bool stream_push(struct stream *s, struct span bytes)
{
	CHECK(s, STREAM_MAGIC);
	return s->ops->push(s, bytes);
}

char *stream_room(struct stream *s, size_t n)
{
	CHECK(s, STREAM_MAGIC);
	CHECK_THAT(n <= STREAM_ROOM_MAX);
	return s->ops->room ? s->ops->room(s, n) : NULL;
}

bool stream_filled(struct stream *s, size_t n)
{
	CHECK(s, STREAM_MAGIC);
	return s->ops->filled(s, n);
}

bool stream_blocked(const struct stream *s)
{
	CHECK(s, STREAM_MAGIC);
	return s->ops->blocked(s);
}

void stream_want(struct stream *s, unsigned events)
{
	CHECK(s, STREAM_MAGIC);
	s->ops->want(s, events);
}

void stream_end_writing(struct stream *s)
{
	CHECK(s, STREAM_MAGIC);
	s->ops->end_writing(s);
}

const struct addr *stream_peer(const struct stream *s)
{
	CHECK(s, STREAM_MAGIC);
	return s->ops->peer(s);
}

enum reason stream_why(const struct stream *s)
{
	return s->why;
}

void stream_close(struct stream **sp, enum stream_end end)
{
	struct stream *s = *sp;

	if (!s)
		return;
	CHECK(s, STREAM_MAGIC);
	*sp = NULL;
	s->on_ready = NULL;
	s->cookie = NULL;
	s->ops->close(s, end);
}
