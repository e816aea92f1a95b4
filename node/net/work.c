#include "node/net/work.h"

#include <pthread.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define TURNS_OF_LATER 8

struct job {
	STAILQ_ENTRY(job) entry;
	loop_fn *job, *done;
	struct loop *loop;
	void *arg;
};

struct queue {
	STAILQ_HEAD(, job) jobs;
	unsigned n;
};

enum { SOON, LATER, QUEUES };

struct work {
	unsigned magic;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t ready;
	struct queue queues[QUEUES];
	unsigned turn, running;
	uint64_t done, refused;
	bool ending;
	unsigned n_threads;
	pthread_t threads[];
};

#define WORK_MAGIC 0x303c4e77

static struct job *take(struct queue *q)
{
	struct job *j = STAILQ_FIRST(&q->jobs);

	if (!j)
		return NULL;
	STAILQ_REMOVE_HEAD(&q->jobs, entry);
	q->n--;
	return j;
}

static struct job *take_next(struct work *w)
{
	bool later_first = ++w->turn % TURNS_OF_LATER == 0;
	struct job *j = take(&w->queues[later_first ? LATER : SOON]);

	return j ? j : take(&w->queues[later_first ? SOON : LATER]);
}

static struct job *wait_for_job(struct work *w)
{
	struct job *j;

	pthread_mutex_lock(&w->lock);
	while ((j = take_next(w)) == NULL && !w->ending)
		pthread_cond_wait(&w->ready, &w->lock);
	if (j)
		w->running++;
	pthread_mutex_unlock(&w->lock);
	return j;
}

static void count_done(struct work *w)
{
	pthread_mutex_lock(&w->lock);
	w->running--;
	w->done++;
	pthread_mutex_unlock(&w->lock);
}

static void *worker(void *arg)
{
	struct work *w = arg;
	struct job *j;

	while ((j = wait_for_job(w)) != NULL) {
		j->job(j->arg);
		count_done(w);
		if (j->done)
			loop_post(j->loop, j->done, j->arg);
		free(j);
	}
	return NULL;
}

struct work *work_new(unsigned threads)
{
	struct work *w = mem_zalloc(sizeof(*w) + threads * sizeof(pthread_t));

	w->magic = WORK_MAGIC;
	w->n_threads = threads;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->ready, NULL);
	for (int i = 0; i < QUEUES; i++)
		STAILQ_INIT(&w->queues[i].jobs);
	for (unsigned i = 0; i < threads; i++)
		CHECK_THAT(pthread_create(&w->threads[i], NULL, worker, w) == 0);
	return w;
}

static int start(struct work *w, int which, struct job job)
{
	struct job *j = mem_alloc(sizeof(*j));
	struct queue *q = &w->queues[which];
	bool full;

	CHECK(w, WORK_MAGIC);
	*j = job;
	pthread_mutex_lock(&w->lock);
	full = q->n >= WORK_MOST_WAITING;
	if (full) {
		w->refused++;
	} else {
		STAILQ_INSERT_TAIL(&q->jobs, j, entry);
		q->n++;
		pthread_cond_signal(&w->ready);
	}
	pthread_mutex_unlock(&w->lock);
	if (full)
		free(j);
	return full ? -1 : 0;
}

int work_start(struct work *w, loop_fn *job, struct loop *loop, loop_fn *done, void *arg)
{
	return start(w, SOON, (struct job){.job = job, .done = done, .loop = loop, .arg = arg});
}

int work_start_later(struct work *w, loop_fn *job, struct loop *loop, loop_fn *done, void *arg)
{
	return start(w, LATER, (struct job){.job = job, .done = done, .loop = loop, .arg = arg});
}

struct work_counts work_counts(struct work *w)
{
	struct work_counts c;

	CHECK(w, WORK_MAGIC);
	pthread_mutex_lock(&w->lock);
	c = (struct work_counts){
		.waiting = w->queues[SOON].n,
		.waiting_later = w->queues[LATER].n,
		.running = w->running,
		.done = w->done,
		.refused = w->refused,
	};
	pthread_mutex_unlock(&w->lock);
	return c;
}

void work_free(struct work **wp)
{
	struct work *w = *wp;

	if (!w)
		return;
	CHECK(w, WORK_MAGIC);
	*wp = NULL;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_broadcast(&w->ready);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->ready);
	pthread_mutex_destroy(&w->lock);
	w->magic = 0;
	free(w);
}
