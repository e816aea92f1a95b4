#include "node/net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/rng.h"

struct post {
	STAILQ_ENTRY(post) entry;
	loop_fn *fn;
	void *arg;
	mono_us due; /* 0 unless posts are delayed */
};

STAILQ_HEAD(posts, post);
TAILQ_HEAD(deferreds, deferred);

struct loop {
	unsigned magic;
	int id;
	const struct clock *clock;
	struct event_base *base;
	bool stopping;

	/* any thread, under posts_lock */
	pthread_mutex_t posts_lock;
	struct posts posts;
	bool woken; /* the eventfd has been written since the posts were last taken */
	int wake_fd;

	/* own thread */
	struct event wake, tick;
	struct posts taken;           /* posts on their way, in order */
	struct deferreds deferred[3]; /* by `when` */
	struct heap timers;
	mono_us tick_at;
	int64_t post_delay_us;
	struct rng post_rng;
	struct outbuf *outbuf;
	void (*outbuf_flush)(struct outbuf *);
	void (*outbuf_free)(struct outbuf *);
	char *piece; /* NULL: it is out */
	char scratch[LOOP_SCRATCH_BYTES];
};

#define LOOP_MAGIC 0x100b5e1f

struct fdwatch {
	unsigned magic;
	struct loop *loop;
	fdwatch_on_ready_f *on_ready;
	void *cookie;
	unsigned wanted, added;
	struct event read, write;
};

#define FDWATCH_MAGIC 0xfd3a7c40

static void after_handler(struct loop *l)
{
	if (l->outbuf)
		l->outbuf_flush(l->outbuf);
}

/* ---- timers ---- */

static struct timer *timer_of(struct heap_node *node)
{
	return (struct timer *)(void *)((char *)node - offsetof(struct timer, node));
}

static mono_us queued_for(const struct heap_node *node)
{
	return ((const struct timer *)(const void *)((const char *)node - offsetof(struct timer, node)))->queued;
}

static bool timer_less(const struct heap_node *a, const struct heap_node *b)
{
	return queued_for(a) < queued_for(b);
}

/* Arms libevent's one timer for the earliest of ours. */
static void tick_arm(struct loop *l, mono_us at)
{
	mono_us wait = at - loop_now(l);
	struct timeval tv;

	if (wait < 0)
		wait = 0;
	tv.tv_sec = wait / 1000000;
	tv.tv_usec = wait % 1000000;
	l->tick_at = at;
	event_add(&l->tick, &tv);
}

void timer_init(struct timer *t, struct loop *l, loop_fn *fn, void *arg)
{
	*t = (struct timer){.loop = l, .due = MONO_NEVER, .fn = fn, .arg = arg};
}

void timer_set(struct timer *t, mono_us due)
{
	struct loop *l = t->loop;

	t->due = due;
	if (heap_has(&t->node)) {
		if (t->queued <= due)
			return;
		t->queued = due;
		heap_moved(&l->timers, &t->node);
	} else {
		t->queued = due;
		heap_insert(&l->timers, &t->node);
	}
	if (due < l->tick_at)
		tick_arm(l, due);
}

void timer_set_in(struct timer *t, dur_ms from_now)
{
	timer_set(t, mono_after(loop_now(t->loop), from_now));
}

void timer_clear(struct timer *t)
{
	t->due = MONO_NEVER;
}

void timer_fini(struct timer *t)
{
	t->due = MONO_NEVER;
	if (t->loop && heap_has(&t->node))
		heap_remove(&t->loop->timers, &t->node);
}

static void run_timers(struct loop *l)
{
	mono_us now = loop_now(l);
	struct heap_node *min;

	while ((min = heap_min(&l->timers)) != NULL) {
		struct timer *t = timer_of(min);

		if (t->queued > now)
			break;
		if (t->due > now) { /* was moved later, or cleared */
			t->queued = t->due;
			if (t->due == MONO_NEVER)
				heap_remove(&l->timers, min);
			else
				heap_moved(&l->timers, min);
			continue;
		}
		heap_remove(&l->timers, min);
		t->due = MONO_NEVER;
		t->fn(t->arg);
		after_handler(l);
	}
	min = heap_min(&l->timers);
	if (min && queued_for(min) < l->tick_at)
		tick_arm(l, queued_for(min));
}

static bool has_due_timer(const struct loop *l)
{
	const struct heap_node *min = heap_min(&l->timers);

	return min && queued_for(min) <= loop_now(l);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	l->tick_at = MONO_NEVER;
	run_timers(l);
}

/* ---- posts ---- */

static void wake_up(struct loop *l)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(l->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

void loop_post(struct loop *l, loop_fn *fn, void *arg)
{
	struct post *p = mem_alloc(sizeof(*p));
	bool wake;

	CHECK(l, LOOP_MAGIC);
	*p = (struct post){.fn = fn, .arg = arg};
	pthread_mutex_lock(&l->posts_lock);
	STAILQ_INSERT_TAIL(&l->posts, p, entry);
	wake = !l->woken;
	l->woken = true;
	pthread_mutex_unlock(&l->posts_lock);
	if (wake)
		wake_up(l);
}

void loop_delay_posts(struct loop *l, int64_t max_us, uint64_t seed)
{
	l->post_delay_us = max_us;
	rng_seed(&l->post_rng, seed);
}

static void take_posts(struct loop *l)
{
	struct posts fresh = STAILQ_HEAD_INITIALIZER(fresh);
	struct post *p;

	pthread_mutex_lock(&l->posts_lock);
	STAILQ_CONCAT(&fresh, &l->posts);
	l->woken = false;
	pthread_mutex_unlock(&l->posts_lock);
	if (l->post_delay_us > 0)
		STAILQ_FOREACH(p, &fresh, entry)
	p->due = loop_now(l) + (int64_t)rng_below(&l->post_rng, (uint64_t)l->post_delay_us);
	STAILQ_CONCAT(&l->taken, &fresh);
}

static void run_posts(struct loop *l)
{
	struct post *p;

	while ((p = STAILQ_FIRST(&l->taken)) != NULL) {
		if (p->due && p->due > loop_now(l)) {
			if (p->due < l->tick_at)
				tick_arm(l, p->due);
			return;
		}
		STAILQ_REMOVE_HEAD(&l->taken, entry);
		p->fn(p->arg);
		free(p);
		after_handler(l);
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t count;

	(void)what;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	take_posts(l);
}

/* ---- deferred and bulk ---- */

static void defer(struct loop *l, struct deferred *d, unsigned when, loop_fn *fn, void *arg)
{
	if (d->set)
		return;
	d->set = true;
	d->when = when;
	d->fn = fn;
	d->arg = arg;
	TAILQ_INSERT_TAIL(&l->deferred[when], d, entry);
}

void loop_defer(struct loop *l, struct deferred *d, loop_fn *fn, void *arg)
{
	defer(l, d, DEFERRED_TURN, fn, arg);
}

void loop_bulk(struct loop *l, struct deferred *d, loop_fn *fn, void *arg)
{
	defer(l, d, DEFERRED_BULK, fn, arg);
}

void loop_at_end(struct loop *l, struct deferred *d, loop_fn *fn, void *arg)
{
	defer(l, d, DEFERRED_END, fn, arg);
}

void loop_defer_cancel(struct loop *l, struct deferred *d)
{
	if (!d->set)
		return;
	TAILQ_REMOVE(&l->deferred[d->when], d, entry);
	d->set = false;
}

static bool has_deferred(const struct loop *l, unsigned when)
{
	return !TAILQ_EMPTY(&l->deferred[when]);
}

static void run_first(struct loop *l, unsigned when)
{
	struct deferred *d = TAILQ_FIRST(&l->deferred[when]);
	loop_fn *fn = d->fn;
	void *arg = d->arg;

	TAILQ_REMOVE(&l->deferred[when], d, entry);
	d->set = false;
	fn(arg); /* d may be gone now */
	after_handler(l);
}

/* What is deferred while this runs comes in the same turn, but not for ever: a turn has an end. */
#define DEFERRED_A_TURN 256

static void run_deferred(struct loop *l)
{
	for (int i = 0; i < DEFERRED_A_TURN && has_deferred(l, DEFERRED_TURN); i++)
		run_first(l, DEFERRED_TURN);
}

/* ---- the loop ---- */

static struct event_base *base_new(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base;

	CHECK_THAT(cfg != NULL);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	CHECK_THAT(base != NULL);
	return base;
}

struct loop *loop_new(int id, const struct clock *clock)
{
	struct loop *l = NEW(struct loop);

	l->magic = LOOP_MAGIC;
	l->id = id;
	l->clock = clock;
	l->base = base_new();
	l->tick_at = MONO_NEVER;
	pthread_mutex_init(&l->posts_lock, NULL);
	STAILQ_INIT(&l->posts);
	STAILQ_INIT(&l->taken);
	for (int i = 0; i < 3; i++)
		TAILQ_INIT(&l->deferred[i]);
	heap_init(&l->timers, timer_less);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK_THAT(l->wake_fd >= 0);
	event_assign(&l->wake, l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	event_add(&l->wake, NULL);
	event_assign(&l->tick, l->base, -1, 0, on_tick, l);
	return l;
}

static bool has_work(const struct loop *l)
{
	const struct post *p = STAILQ_FIRST(&l->taken);

	return has_deferred(l, DEFERRED_TURN) || has_deferred(l, DEFERRED_BULK) || (p && p->due <= loop_now(l)) ||
	       has_due_timer(l);
}

void loop_run(struct loop *l)
{
	CHECK(l, LOOP_MAGIC);
	while (!l->stopping) {
		event_base_loop(l->base, EVLOOP_ONCE | (has_work(l) ? EVLOOP_NONBLOCK : 0));
		run_timers(l); /* libevent's clock may be 4 ms behind ours: who is awake does not wait for it */
		run_posts(l);
		run_deferred(l);
		if (has_deferred(l, DEFERRED_BULK))
			run_first(l, DEFERRED_BULK);
	}
	l->stopping = false; /* may be run again */
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
	event_base_loopbreak(l->base);
}

static void drop_posts(struct posts *posts)
{
	struct post *p;

	while ((p = STAILQ_FIRST(posts)) != NULL) {
		STAILQ_REMOVE_HEAD(posts, entry);
		free(p);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	CHECK(l, LOOP_MAGIC);
	while (has_deferred(l, DEFERRED_END))
		run_first(l, DEFERRED_END);
	if (l->outbuf)
		l->outbuf_free(l->outbuf);
	event_del(&l->wake);
	event_del(&l->tick);
	event_base_free(l->base);
	close(l->wake_fd);
	drop_posts(&l->posts);
	drop_posts(&l->taken);
	heap_fini(&l->timers);
	pthread_mutex_destroy(&l->posts_lock);
	free(l->piece);
	l->magic = 0;
	free(l);
}

int loop_id(const struct loop *l)
{
	return l->id;
}

mono_us loop_now(const struct loop *l)
{
	return clock_mono(l->clock);
}

wall_ms loop_wall(const struct loop *l)
{
	return clock_wall(l->clock);
}

struct outbuf *loop_outbuf(struct loop *l)
{
	return l->outbuf;
}

void loop_set_outbuf(struct loop *l, struct outbuf *o, void (*flush)(struct outbuf *), void (*free_it)(struct outbuf *))
{
	l->outbuf = o;
	l->outbuf_flush = flush;
	l->outbuf_free = free_it;
}

char *loop_scratch(struct loop *l)
{
	return l->scratch;
}

char *loop_piece_take(struct loop *l)
{
	char *p = l->piece;

	l->piece = NULL;
	return p ? p : mem_alloc(LOOP_PIECE_BYTES);
}

void loop_piece_give(struct loop *l, char *p)
{
	if (!l->piece)
		l->piece = p;
	else
		free(p);
}

/* ---- fdwatch ---- */

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct fdwatch *w = arg;
	struct loop *l = w->loop;
	unsigned event = what & EV_READ ? FD_READ : FD_WRITE;

	(void)fd;
	CHECK(w, FDWATCH_MAGIC);
	if (!(w->wanted & event)) {
		event_del(event == FD_READ ? &w->read : &w->write);
		w->added &= ~event;
		return;
	}
	w->on_ready(w->cookie, event); /* w may be gone now */
	after_handler(l);
}

struct fdwatch *fdwatch_new(struct loop *l, int fd, fdwatch_on_ready_f *on_ready, void *cookie)
{
	struct fdwatch *w = NEW(struct fdwatch);

	w->magic = FDWATCH_MAGIC;
	w->loop = l;
	w->on_ready = on_ready;
	w->cookie = cookie;
	event_assign(&w->read, l->base, fd, EV_READ | EV_PERSIST, on_fd, w);
	event_assign(&w->write, l->base, fd, EV_WRITE | EV_PERSIST, on_fd, w);
	return w;
}

void fdwatch_want(struct fdwatch *w, unsigned events)
{
	unsigned missing = events & ~w->added;

	w->wanted = events;
	if (missing & FD_READ)
		event_add(&w->read, NULL);
	if (missing & FD_WRITE)
		event_add(&w->write, NULL);
	w->added |= missing;
}

void fdwatch_free(struct fdwatch *w)
{
	if (!w)
		return;
	CHECK(w, FDWATCH_MAGIC);
	if (w->added & FD_READ)
		event_del(&w->read);
	if (w->added & FD_WRITE)
		event_del(&w->write);
	w->magic = 0;
	free(w);
}
