#include "node/succession.h"

#include <stdbool.h>
#include <stdio.h>

#include "node/net/service.h"
#include "node/node.h"
#include "node/successor.h"

#define PATIENCE_S 60 /* for each step */

static bool hear(struct successor *next, enum successor_word wanted)
{
	enum successor_word word = SUCCESSOR_QUIET;

	for (int s = 0; word == SUCCESSOR_QUIET && s < PATIENCE_S; s++) {
		word = successor_hear(next, DUR_SECOND);
		if (wanted == SUCCESSOR_WANTS_STATE) /* later it is the successor that is listened to */
			service_alive();
	}
	return word == wanted;
}

/* From here on there is no way back: when the successor fails now, the service manager has to start a new one. */
static bool hand_over(struct node *node, struct successor *next)
{
	node_let_go(node);
	service_succeeded_by(successor_pid(next));
	successor_give(next);
	return hear(next, SUCCESSOR_SERVES);
}

enum succession succession_run(struct node *node, char *const argv[])
{
	char why[NODE_WHY_BYTES];
	struct successor *next = successor_start(argv, why, sizeof(why));

	if (!next) {
		node_upgrade_failed(node, why);
		return SUCCESSION_NONE;
	}
	if (!hear(next, SUCCESSOR_WANTS_STATE)) {
		node_upgrade_failed(node, "no successor has come up: its reason is on this process's standard error");
		successor_kill(&next);
		return SUCCESSION_NONE;
	}
	if (!hand_over(node, next)) {
		fputs("pmcached: the successor has taken the state over, but does not serve; this process ends, too\n",
		      stderr);
		successor_kill(&next);
		return SUCCESSION_FAILED;
	}
	successor_free(&next);
	return SUCCESSION_DONE;
}
