#include "node/node_internal.h"

#include <time.h>
#include <unistd.h>

#include "node/base/check.h"

void node_upgrade_failed(struct node *n, const char *why)
{
	CHECK(n, NODE_MAGIC);
	log_line(n->log, LOG_ERROR, "node", "%s; this process goes on", why);
	errands_upgrade_failed(n->errands, why);
}

static void on_let_go(void *arg)
{
	struct node *n = arg;

	console_let_go(n);
	if (n->cluster)
		cluster_let_go(n->cluster);
	scrub_free(n->scrub); /* the next process does that now */
	n->scrub = NULL;
	atomic_store(&n->let_go, true);
}

void node_let_go(struct node *n)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};

	CHECK(n, NODE_MAGIC);
	loop_post(n->lanes[0].loop, on_let_go, n);
	while (!atomic_load(&n->let_go))
		nanosleep(&pause, NULL);
	node_tend(n);
	if (n->disk)
		disk_let_go(n->disk);
	close(n->lock_fd);
	n->lock_fd = -1;
}
