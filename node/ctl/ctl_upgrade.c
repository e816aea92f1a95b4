/* pmcachectl upgrade: has the daemon started anew, and waits until the new process serves. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"

#define LOOKS 700 /* of a tenth of a second: a little more than the old process waits */

/* The process that listens now, if it is not that one; 0: there is none in time. */
static long other_than(const char *path, long old)
{
	const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};

	for (int i = 0; i < LOOKS; i++) {
		long pid = ctl_control_pid(path);

		if (pid && pid != old)
			return pid;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int say_done(const struct ctl *c, long old, long pid)
{
	if (!pid) {
		ctl_say("the old process %ld has given its state away, but no new one serves; see the daemon's log",
			old);
		return CTL_FAILED;
	}
	if (c->json)
		printf("{\"old\":%ld,\"new\":%ld}\n", old, pid);
	else
		printf("process %ld serves; process %ld finishes what it has begun\n", pid, old);
	return ctl_finish();
}

int ctl_upgrade(struct ctl *c, struct ctl_args *a)
{
	char *json;
	long old;
	int code = ctl_read_words(c, a, "upgrade", NULL, NULL);

	if (code == CTL_OK)
		code = ctl_load(c);
	if (code != CTL_OK)
		return code;
	old = ctl_control_pid(c->control);
	code = ctl_control_ask_long(c->control, "upgrade", &json);
	if (code != CTL_OK)
		return code;
	free(json);
	return say_done(c, old, other_than(c->control, old));
}
