/* pmcached: a caching proxy for package managers. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "node/base/version.h"
#include "node/conf/conf.h"
#include "node/net/service.h"
#include "node/node.h"
#include "node/options.h"
#include "node/succession.h"
#include "node/successor.h"

#define ERRORS_BYTES 8192
#define MOST_ADDRESSES 256 /* of sockets kept over a restart; beyond, they are opened anew */

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
	sigaddset(set, SIGUSR2);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGPIPE);
	sigprocmask(SIG_BLOCK, set, NULL);
	sigdelset(set, SIGPIPE);
}

static void reload(struct node *node, const struct options *o)
{
	bool done;

	service_reloading(&clock_system);
	done = node_reload(node, o->config);
	service_ready(done ? "serving" : "serving; the new configuration has faults, the old one stays in force");
}

/* A second, or less where the service manager wants to hear more often. */
static struct timespec turn(void)
{
	dur_ms watchdog = service_watchdog_interval();

	if (!watchdog || watchdog >= DUR_SECOND)
		return (struct timespec){.tv_sec = 1};
	return (struct timespec){.tv_nsec = watchdog * 1000 * 1000};
}

/* What it ended for. */
static enum succession serve_until_told(struct node *node, const struct options *o, const sigset_t *set)
{
	const struct timespec pause = turn();
	enum succession result;

	for (;;) {
		if (node_is_alive(node))
			service_alive();
		switch (sigtimedwait(set, NULL, &pause)) {
		case SIGHUP:
			reload(node, o);
			break;
		case SIGUSR1:
			node_reopen_logs(node);
			break;
		case SIGUSR2:
			result = succession_run(node, o->argv);
			if (result != SUCCESSION_NONE)
				return result;
			break;
		case SIGTERM:
		case SIGINT:
			service_stopping("draining");
			return SUCCESSION_NONE;
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

static size_t add_addresses(struct addr *to, size_t n, size_t room, const struct conf_addresses *list)
{
	for (size_t i = 0; i < list->n && n < room; i++, n++) {
		to[n].len = list->v[i].addr_len;
		memcpy(&to[n].sa, &list->v[i].addr, to[n].len);
	}
	return n;
}

/* Sockets that the last process listened on, and this one does not. */
static void drop_old_sockets(const struct conf *conf)
{
	struct addr wanted[MOST_ADDRESSES];
	size_t n = add_addresses(wanted, 0, MOST_ADDRESSES, &conf->listen.proxy);

	n = add_addresses(wanted, n, MOST_ADDRESSES, &conf->listen.bump);
	n = add_addresses(wanted, n, MOST_ADDRESSES, &conf->listen.admin);
	n = add_addresses(wanted, n, MOST_ADDRESSES, &conf->listen.cluster);
	service_drop_others(wanted, n);
}

/* What the service manager brought, and nobody asked for. */
static void say_what_is_left(void)
{
	unsigned n = service_drop_untaken();

	if (n)
		fprintf(stderr,
			"pmcached: %u socket%s of the socket unit at no address under listen: clients there wait in vain\n",
			n, n == 1 ? " is" : "s are");
}

static int serve(const struct options *o)
{
	char why[NODE_WHY_BYTES];
	struct conf *conf = load(o->config);
	enum succession result;
	struct node *node;
	sigset_t set;

	if (!conf)
		return 1;
	if (predecessor_ask() < 0) {
		fputs("pmcached: the process that started this one does not give its state away\n", stderr);
		return 1;
	}
	drop_old_sockets(conf);
	block_signals(&set);
	node = node_start(conf, o->run, why, sizeof(why));
	if (!node) {
		fprintf(stderr, "pmcached: %s\n", why);
		return 1;
	}
	say_what_is_left();
	service_ready("serving");
	predecessor_tell();
	result = serve_until_told(node, o, &set);
	drain(node, &set);
	return result == SUCCESSION_FAILED;
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
