/* work: threads for what would block a loop: disk, key generation.
 *
 * A job runs on a worker with its own copies of what it needs; when it is done, `done` is posted to the loop that asked.
 * Jobs start in order; there is no cancelling: a `done` finds its owner by reference or id, or finds nobody. */
#ifndef NODE_NET_WORK_H
#define NODE_NET_WORK_H

#include "node/net/loop.h"

struct work;

struct work *work_new(unsigned threads);
/* `done` may be NULL. -1 when `most` jobs are waiting already (the caller does less, it never waits). Any thread. */
int work_start(struct work *, loop_fn *job, struct loop *, loop_fn *done, void *arg);
/* Runs what is queued, then ends the threads. Clears *w. */
void work_free(struct work **w);

#endif
