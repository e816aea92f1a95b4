/* options: the command line of pmcached. */
#ifndef NODE_OPTIONS_H
#define NODE_OPTIONS_H

#include <stdbool.h>

enum options_action {
	OPTIONS_SERVE,
	OPTIONS_CHECK_CONFIG,
	OPTIONS_DUMP_CONFIG,
	OPTIONS_CONFIG_REFERENCE,
	OPTIONS_HELP,
	OPTIONS_VERSION
};

struct options {
	enum options_action action;
	const char *config; /* NULL: built-in defaults */
	char **argv;        /* all of it, borrowed */
	bool run;           /* for people: say what to paste, show requests as they come */
};

/* 0, or -1 after saying on standard error what is wrong. */
int options_parse(struct options *, int argc, char **argv);
void options_help(void);

#endif
