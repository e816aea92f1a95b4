/* lanes: loops on threads of their own, for tests of what loops share. */
#ifndef TESTS_UNIT_LANES_H
#define TESTS_UNIT_LANES_H

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "node/net/loop.h"

struct lane {
	struct loop *loop;
	pthread_t thread;
};

static inline void *lane_run(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* Posts to it wait up to delay_us (0: not at all). */
static inline void lane_start(struct lane *l, int id, const struct clock *clock, int64_t delay_us, uint64_t seed)
{
	l->loop = loop_new(id, clock);
	if (delay_us)
		loop_delay_posts(l->loop, delay_us, seed);
	if (pthread_create(&l->thread, NULL, lane_run, l->loop) != 0)
		abort();
}

struct lane_call {
	loop_fn *fn;
	void *arg;
	sem_t done;
};

static inline void lane_on_call(void *arg)
{
	struct lane_call *c = arg;

	c->fn(c->arg);
	sem_post(&c->done);
}

/* Runs fn(arg) on the lane's thread and waits for it: after all that was posted there before. */
static inline void lane_do(struct lane *l, loop_fn *fn, void *arg)
{
	struct lane_call c = {.fn = fn, .arg = arg};

	sem_init(&c.done, 0, 0);
	loop_post(l->loop, lane_on_call, &c);
	while (sem_wait(&c.done) != 0)
		;
	sem_destroy(&c.done);
}

static inline void lane_nothing(void *arg)
{
	(void)arg;
}

/* What was posted before, and what that deferred, has run. */
static inline void lane_settle(struct lane *l)
{
	lane_do(l, lane_nothing, NULL);
	lane_do(l, lane_nothing, NULL);
}

static inline void lane_on_stop(void *arg)
{
	loop_stop(arg);
}

static inline void lane_stop(struct lane *l)
{
	loop_post(l->loop, lane_on_stop, l->loop);
	pthread_join(l->thread, NULL);
	loop_free(l->loop);
	l->loop = NULL;
}

#endif
