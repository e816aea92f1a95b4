#include "node/net/work.h"

#include <pthread.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define MOST_WAITING 1024

struct job {
	STAILQ_ENTRY(job) entry;
	loop_fn *job, *done;
	struct loop *loop;
	void *arg;
};

struct work {
	unsigned magic;
	pthread_mutex_t lock;
	pthread_cond_t ready;
	STAILQ_HEAD(, job) jobs;
	unsigned waiting;
	bool ending;
	unsigned n_threads;
	pthread_t threads[];
};

#define WORK_MAGIC 0x303c4e77

static struct job *next_job(struct work *w)
{
	struct job *j;

	pthread_mutex_lock(&w->lock);
	while ((j = STAILQ_FIRST(&w->jobs)) == NULL && !w->ending)
		pthread_cond_wait(&w->ready, &w->lock);
	if (j) {
		STAILQ_REMOVE_HEAD(&w->jobs, entry);
		w->waiting--;
	}
	pthread_mutex_unlock(&w->lock);
	return j;
}

static void *worker(void *arg)
{
	struct work *w = arg;
	struct job *j;

	while ((j = next_job(w)) != NULL) {
		j->job(j->arg);
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
	STAILQ_INIT(&w->jobs);
	for (unsigned i = 0; i < threads; i++)
		CHECK_THAT(pthread_create(&w->threads[i], NULL, worker, w) == 0);
	return w;
}

int work_start(struct work *w, loop_fn *job, struct loop *loop, loop_fn *done, void *arg)
{
	struct job *j = mem_alloc(sizeof(*j));
	bool full;

	CHECK(w, WORK_MAGIC);
	*j = (struct job){.job = job, .done = done, .loop = loop, .arg = arg};
	pthread_mutex_lock(&w->lock);
	full = w->waiting >= MOST_WAITING;
	if (!full) {
		STAILQ_INSERT_TAIL(&w->jobs, j, entry);
		w->waiting++;
		pthread_cond_signal(&w->ready);
	}
	pthread_mutex_unlock(&w->lock);
	if (full)
		free(j);
	return full ? -1 : 0;
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
