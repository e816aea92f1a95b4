/* pmcached: a caching proxy for package managers. */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "node/base/version.h"
#include "node/conf/conf.h"
#include "node/node.h"
#include "node/options.h"

#define ERRORS_BYTES 8192

static struct conf *load(const char *path)
{
	char errors[ERRORS_BYTES];
	struct conf *conf = conf_load(path, errors, sizeof(errors));

	if (!conf)
		fputs(errors, stderr);
	return conf;
}

static int only_look(const struct options *o)
{
	struct conf *conf = load(o->config);

	if (!conf)
		return 1;
	if (o->action == OPTIONS_DUMP_CONFIG)
		conf_dump(conf, stdout);
	else
		printf("%s: no faults found\n", o->config ? o->config : "built-in defaults");
	conf_free(conf);
	return 0;
}

/* Signals are taken by this thread alone, one after the other; the loops inherit the mask. */
static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGPIPE);
	sigprocmask(SIG_BLOCK, set, NULL);
	sigdelset(set, SIGPIPE);
}

static void serve_until_told(struct node *node, const struct options *o, const sigset_t *set)
{
	const struct timespec second = {.tv_sec = 1};
	struct conf *conf;

	for (;;) {
		switch (sigtimedwait(set, NULL, &second)) {
		case SIGHUP:
			conf = load(o->config);
			if (conf)
				node_reload(node, conf);
			else
				fputs("pmcached: the old configuration stays in force\n", stderr);
			break;
		case SIGUSR1:
			node_reopen_logs(node);
			break;
		case SIGTERM:
		case SIGINT:
			return;
		default:
			node_tend(node);
			break;
		}
	}
}

/* A second signal ends the patience. */
static void drain(struct node *node, const sigset_t *set)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	int left = NODE_DRAIN_SECONDS * 100, got = 0;

	node_drain(node);
	while (!node_is_drained(node) && got != SIGTERM && got != SIGINT && left-- > 0)
		got = sigtimedwait(set, NULL, &pause);
	node_stop(node);
}

static int serve(const struct options *o)
{
	char why[NODE_WHY_BYTES];
	struct conf *conf = load(o->config);
	struct node *node;
	sigset_t set;

	if (!conf)
		return 1;
	block_signals(&set);
	node = node_start(conf, o->run, why, sizeof(why));
	if (!node) {
		fprintf(stderr, "pmcached: %s\n", why);
		return 1;
	}
	serve_until_told(node, o, &set);
	drain(node, &set);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o;

	if (options_parse(&o, argc, argv))
		return 2;
	switch (o.action) {
	case OPTIONS_HELP:
		options_help();
		return 0;
	case OPTIONS_VERSION:
		puts("pmcached " PMCACHE_VERSION);
		return 0;
	case OPTIONS_CONFIG_REFERENCE:
		conf_reference_write(stdout);
		return 0;
	case OPTIONS_CHECK_CONFIG:
	case OPTIONS_DUMP_CONFIG:
		return only_look(&o);
	case OPTIONS_SERVE:
		break;
	}
	return serve(&o);
}
