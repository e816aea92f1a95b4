/* ctl_trial: other programs, run several at once, each with a deadline, none left behind. */
#ifndef NODE_CTL_CTL_TRIAL_H
#define NODE_CTL_CTL_TRIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "node/base/clock.h"

#define CTL_TRIAL_SAID_BYTES 65536 /* what is read of a program's output: its end */

struct ctl_trial {
	/* to be filled in; borrowed */
	const char *const *argv; /* ends in NULL; argv[0] is looked for in PATH */
	const char *const *env;  /* "NAME=value", "NAME" to be taken out; ends in NULL; NULL: as ours */
	const char *folder;      /* to run in, and to keep `out` in */
	const char *out;         /* path for what it says, standard output and error together */
	dur_ms patience;
	/* the result */
	bool ran, late; /* late: it was killed */
	int status;     /* its exit code, 128 + signal, 127 when it could not be started */
	char *said;     /* NUL-ended, on the heap */
	/* of ctl_trial.c */
	int pid, pidfd;
	mono_us deadline;
};

/* Runs all of them, at most `at_once` at a time, in process groups of their own and with nothing to read. 0; or the number of the signal
 * (SIGINT, SIGTERM, SIGHUP) that came meanwhile: then all have been killed. */
int ctl_trials_run(struct ctl_trial *, size_t n, size_t at_once);

#endif
