#include "node/link/pool.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/checksum.h"
#include "node/base/map.h"
#include "node/base/mem.h"

/* All idle links to one origin; gone when there are none. */
struct berth {
	struct map_node node;
	LIST_HEAD(, link) links; /* the one used last is first */
	char origin[];
};

struct pool {
	unsigned magic;
	struct loop *loop;
	size_t most, n;
	dur_ms idle;
	struct map berths;
	TAILQ_HEAD(, link) by_age; /* oldest first */
	struct timer sweep;
};

#define POOL_MAGIC 0x9001a4c3

struct link *link_new(struct stream **stream, const char *origin)
{
	struct link *l = NEW(struct link);

	l->magic = LINK_MAGIC;
	l->stream = *stream;
	*stream = NULL;
	l->origin = span_dup(span_str(origin));
	addr_format_ip(stream_peer(l->stream), l->peer);
	return l;
}

void link_close(struct link **lp, enum stream_end end)
{
	struct link *l = *lp;

	if (!l)
		return;
	CHECK(l, LINK_MAGIC);
	CHECK_THAT(!l->pool);
	*lp = NULL;
	stream_close(&l->stream, end);
	free(l->origin);
	l->magic = 0;
	free(l);
}

static struct berth *berth_of(struct map_node *node)
{
	return (struct berth *)(void *)((char *)node - offsetof(struct berth, node));
}

static bool is_origin(const struct map_node *node, const void *wanted)
{
	const struct berth *b = (const void *)((const char *)node - offsetof(struct berth, node));

	return strcmp(b->origin, wanted) == 0;
}

static struct berth *find_berth(const struct pool *p, const char *origin)
{
	struct map_node *node = map_find(&p->berths, checksum_of(span_str(origin)), is_origin, origin);

	return node ? berth_of(node) : NULL;
}

static struct berth *make_berth(struct pool *p, const char *origin)
{
	struct berth *b = find_berth(p, origin);
	size_t n = strlen(origin) + 1;

	if (b)
		return b;
	b = mem_zalloc(sizeof(*b) + n);
	memcpy(b->origin, origin, n);
	map_insert(&p->berths, &b->node, checksum_of(span_str(origin)));
	return b;
}

/* Out of the pool; the link is the caller's. */
static void unmoor(struct pool *p, struct link *l)
{
	struct berth *b = find_berth(p, l->origin);

	TAILQ_REMOVE(&p->by_age, l, by_age);
	LIST_REMOVE(l, of_origin);
	if (LIST_EMPTY(&b->links)) {
		map_remove(&p->berths, &b->node);
		free(b);
	}
	l->pool = NULL;
	p->n--;
}

static void discard(struct pool *p, struct link *l)
{
	unmoor(p, l);
	link_close(&l, STREAM_CLEAN);
}

static void on_idle_ready(void *cookie, unsigned events)
{
	struct link *l = cookie;
	char byte;

	(void)events;
	CHECK(l, LINK_MAGIC);
	if (stream_read(l->stream, &byte, 1) == STREAM_AGAIN)
		return; /* TLS had something for itself: a ticket */
	discard(l->pool, l);
}

static void sweep_next(struct pool *p)
{
	struct link *oldest = TAILQ_FIRST(&p->by_age);

	if (oldest)
		timer_set(&p->sweep, mono_after(oldest->idle_since, p->idle));
}

static void on_sweep(void *arg)
{
	struct pool *p = arg;
	mono_us now = loop_now(p->loop);
	struct link *l;

	CHECK(p, POOL_MAGIC);
	while ((l = TAILQ_FIRST(&p->by_age)) != NULL && mono_after(l->idle_since, p->idle) <= now)
		discard(p, l);
	sweep_next(p);
}

struct pool *pool_new(struct loop *loop, size_t most, dur_ms idle)
{
	struct pool *p = NEW(struct pool);

	p->magic = POOL_MAGIC;
	p->loop = loop;
	p->most = most;
	p->idle = idle;
	TAILQ_INIT(&p->by_age);
	timer_init(&p->sweep, loop, on_sweep, p);
	return p;
}

void pool_clear(struct pool *p)
{
	struct link *l;

	while ((l = TAILQ_FIRST(&p->by_age)) != NULL)
		discard(p, l);
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	CHECK(p, POOL_MAGIC);
	pool_clear(p);
	map_fini(&p->berths);
	timer_fini(&p->sweep);
	p->magic = 0;
	free(p);
}

struct link *pool_take(struct pool *p, const char *origin)
{
	struct berth *b;
	struct link *l;

	CHECK(p, POOL_MAGIC);
	b = find_berth(p, origin);
	l = b ? LIST_FIRST(&b->links) : NULL;
	if (!l)
		return NULL;
	unmoor(p, l);
	stream_set_handler(l->stream, NULL, NULL);
	return l;
}

void pool_give(struct pool *p, struct link **lp)
{
	struct link *l = *lp;
	struct berth *b;

	CHECK(l, LINK_MAGIC);
	*lp = NULL;
	if (p->most == 0) {
		link_close(&l, STREAM_CLEAN);
		return;
	}
	if (p->n >= p->most)
		discard(p, TAILQ_FIRST(&p->by_age));
	l->pool = p;
	l->idle_since = loop_now(p->loop);
	b = make_berth(p, l->origin);
	LIST_INSERT_HEAD(&b->links, l, of_origin);
	TAILQ_INSERT_TAIL(&p->by_age, l, by_age);
	p->n++;
	stream_set_handler(l->stream, on_idle_ready, l);
	stream_want(l->stream, STREAM_READ);
	if (p->n == 1)
		sweep_next(p);
}

size_t pool_idle(const struct pool *p)
{
	return p->n;
}
