/* work: threads for what would block a loop: disk, key generation.
 *
 * A job runs on a worker with its own copies of what it needs; when it is done, `done` is posted to the loop that
 * asked. There are two queues, each bounded: what somebody waits for (work_start) goes before what may be done later
 * (work_start_later), but every eighth job is one of the latter while there are any. Within a queue jobs start in
 * order. There is no cancelling: a `done` finds its owner by reference or id, or finds nobody. A `done` whose loop is
 * freed before it has run does not come. */
#ifndef NODE_NET_WORK_H
#define NODE_NET_WORK_H

#include "node/net/loop.h"

struct work;

#define WORK_MOST_WAITING 1024 /* of each queue */

struct work *work_new(unsigned threads);
/* `done` may be NULL, and loop then too. -1: the queue is full (the caller does less, it never waits). Any thread. */
int work_start(struct work *, loop_fn *job, struct loop *, loop_fn *done, void *arg);
int work_start_later(struct work *, loop_fn *job, struct loop *, loop_fn *done, void *arg);

struct work_counts {
	unsigned waiting, waiting_later, running;
	uint64_t done, refused;
};

struct work_counts work_counts(struct work *);

/* Runs what is queued, then ends the threads. Clears *w; harmless on NULL inside. */
void work_free(struct work **w);

#endif
