/* pmcachectl exec: a command with the variables of `env`, and no shell in between. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/ctl/ctl_setup.h"

/* As env(1) and the shells. */
#define CANNOT_RUN 126
#define NOT_FOUND 127

int ctl_exec(struct ctl *c, struct ctl_args *a)
{
	struct ctl_var vars[CTL_VARS_MAX];
	struct ctl_setup setup = {0};
	struct ctl_settings s;
	size_t n;
	int code;

	while (a->at < a->n && a->v[a->at][0] == '-' && strcmp(a->v[a->at], "--") != 0) {
		int taken = ctl_setup_option(c, &setup, a);

		if (taken <= 0)
			return taken ? CTL_USAGE : ctl_unknown("exec", a);
	}
	ctl_flag(a, "--");
	if (a->at >= a->n) {
		ctl_say("exec: a command is missing");
		return CTL_USAGE;
	}
	code = ctl_setup_settings(c, &setup, &s);
	if (code != CTL_OK)
		return code;
	n = ctl_vars_make(&s, vars);
	for (size_t i = 0; i < n; i++)
		setenv(vars[i].name, vars[i].value, 1);
	execvp(a->v[a->at], a->v + a->at); /* argv ends in NULL */
	code = errno == ENOENT ? NOT_FOUND : CANNOT_RUN;
	ctl_say("cannot run %s: %s", a->v[a->at], strerror(errno));
	return code;
}
