#include "node/hints.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/base/version.h"
#include "node/conf/conf.h"

/* pmcachectl beside this program, if it is there; else by name. */
static void find_ctl(char *out, size_t cap)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	snprintf(out, cap, "pmcachectl");
	if (n <= 0)
		return;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash || (size_t)(slash - self) + sizeof("/pmcachectl") > sizeof(self))
		return;
	memcpy(slash, "/pmcachectl", sizeof("/pmcachectl"));
	if (access(self, X_OK) == 0)
		snprintf(out, cap, "%s", self);
}

static void print_addresses(const char *label, const struct conf_addresses *list)
{
	for (size_t i = 0; i < list->n; i++)
		printf("  %-28s http://%s\n", i ? "" : label, list->v[i].text);
}

void hints_print(const struct conf *conf, unsigned loops)
{
	char ctl[PATH_MAX];

	find_ctl(ctl, sizeof(ctl));
	printf("pmcached " PMCACHE_VERSION " is running (%u loop%s). Stop it with Ctrl-C.\n\n", loops,
	       loops == 1 ? "" : "s");
	print_addresses("proxy that caches https too", &conf->listen.bump);
	print_addresses("plain proxy", &conf->listen.proxy);
	printf("  %-28s %s\n", "CA certificate", conf->ca.cert);
	printf("\nIn another shell, paste:\n\n"
	       "  eval \"$(%s --state %s env)\"\n\n"
	       "Then use npm, pip, bundle, curl … as always, twice. Requests:\n\n",
	       ctl, conf->state);
	fflush(stdout);
}
