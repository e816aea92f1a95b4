#include "node/options.h"

#include <getopt.h>
#include <stdio.h>

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'C'},
	{"dump-config", no_argument, NULL, 'D'},  {"config-reference", no_argument, NULL, 'R'},
	{"run", no_argument, NULL, 'r'},          {"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0},
};

void options_help(void)
{
	fputs("usage: pmcached [-c FILE] [--run]\n"
	      "       pmcached --check-config | --dump-config [-c FILE]\n"
	      "\n"
	      "A caching proxy for package managers: plain on 8080, with TLS bumped on 8081.\n"
	      "\n"
	      "  -c, --config FILE     configuration; without it, the built-in defaults\n"
	      "      --run             for people: print what to paste, show requests as they come\n"
	      "      --check-config    read the configuration, say what is wrong with it, and end\n"
	      "      --dump-config     print the values in effect (secrets left out), and end\n"
	      "      --config-reference  print what every setting means, and end\n"
	      "  -h, --help            this text\n"
	      "  -V, --version         the version\n"
	      "\n"
	      "signals: HUP reads the configuration again, USR1 reopens the logs, TERM and INT drain and end,\n"
	      "         USR2 starts the program anew, for another version: the new process takes over, this one drains and ends\n"
	      "exit codes: 0 ended as asked, 1 cannot run (the reason is on standard error), 2 wrong options\n",
	      stdout);
}

int options_parse(struct options *o, int argc, char **argv)
{
	int c;

	*o = (struct options){.action = OPTIONS_SERVE, .argv = argv};
	while ((c = getopt_long(argc, argv, "c:hV", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'C':
			o->action = OPTIONS_CHECK_CONFIG;
			break;
		case 'D':
			o->action = OPTIONS_DUMP_CONFIG;
			break;
		case 'R':
			o->action = OPTIONS_CONFIG_REFERENCE;
			break;
		case 'r':
			o->run = true;
			break;
		case 'h':
			o->action = OPTIONS_HELP;
			break;
		case 'V':
			o->action = OPTIONS_VERSION;
			break;
		default:
			fputs("try pmcached --help\n", stderr);
			return -1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "pmcached: \"%s\" is one word too many; try pmcached --help\n", argv[optind]);
		return -1;
	}
	return 0;
}
