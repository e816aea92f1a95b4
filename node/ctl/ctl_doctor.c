/* pmcachectl doctor: what keeps package managers from being served by the cache, and what to do about it. */
#include "node/ctl/ctl_doctor.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/mem.h"
#include "node/conf/conf.h"
#include "node/ctl/ctl_setup.h"
#include "node/ctl/ctl_table.h"

struct options {
	const char *host;
	bool strict;
	size_t n_clients, n_upstreams;
};

static int take_client(struct ctl_doctor *d, struct options *o, const char *name)
{
	char *names;

	if (!ctl_doctor_knows_client(name)) {
		names = ctl_doctor_client_names();
		ctl_say("--client %s is not known here: %s", name, names);
		free(names);
		return -1;
	}
	if (o->n_clients == CTL_DOCTOR_MOST) {
		ctl_say("--client is taken %d times at most", CTL_DOCTOR_MOST);
		return -1;
	}
	d->clients[o->n_clients++] = name;
	return 1;
}

static int take_upstream(struct ctl_doctor *d, struct options *o, const char *url)
{
	if (!ctl_is_url(url)) {
		ctl_say("--upstream takes a URL, http or https: https://registry.test/");
		return -1;
	}
	if (o->n_upstreams == CTL_DOCTOR_MOST) {
		ctl_say("--upstream is taken %d times at most", CTL_DOCTOR_MOST);
		return -1;
	}
	d->upstreams[o->n_upstreams++] = url;
	return 1;
}

/* 1, 0, -1 as the options of ctl.h. */
static int take_option(struct ctl *c, struct ctl_doctor *d, struct options *o, struct ctl_args *a)
{
	const char *value;
	int taken;

	if (ctl_flag(a, "--strict"))
		return o->strict = true;
	if ((taken = ctl_option(a, "--client", &value)) != 0)
		return taken < 0 ? taken : take_client(d, o, value);
	if ((taken = ctl_option(a, "--upstream", &value)) != 0)
		return taken < 0 ? taken : take_upstream(d, o, value);
	if ((taken = ctl_option(a, "--host", &o->host)) != 0)
		return taken;
	return ctl_common_option(c, a);
}

static void add_doors(struct ctl_doctor *d, const struct conf_addresses *list, bool bump)
{
	for (size_t i = 0; i < list->n; i++) {
		struct ctl_door door = {.bump = bump};
		char *host, *port;

		if (ctl_setup_split(list->v[i].text, "0", &host, &port) != 0 || strcmp(port, "0") == 0)
			continue;
		door.host = host;
		door.port = port;
		if (bump && strcmp(port, d->proxy.proxy_port) == 0 && strcmp(host, d->proxy.proxy_host) == 0)
			continue; /* the first of all */
		d->doors[d->n_doors++] = door;
	}
}

/* The port that clients are sent to, then the others that they may find. */
static void find_doors(struct ctl_doctor *d)
{
	const struct conf *conf = d->c->conf;

	d->doors = mem_zalloc((1 + conf->listen.bump.n + conf->listen.proxy.n) * sizeof(*d->doors));
	d->doors[d->n_doors++] =
		(struct ctl_door){.host = d->proxy.proxy_host, .port = d->proxy.proxy_port, .bump = true};
	if (!d->in_state)
		return;
	add_doors(d, &conf->listen.bump, true);
	add_doors(d, &conf->listen.proxy, false);
}

static int exit_code(const struct ctl_doctor *d, const struct options *o)
{
	if (!d->answers)
		return CTL_NO_DAEMON;
	if (d->found.count[CTL_VERDICT_FAIL] || (o->strict && d->found.count[CTL_VERDICT_WARN]))
		return CTL_FAILED;
	return CTL_OK;
}

static int examine(struct ctl_doctor *d, const struct options *o)
{
	int came, code;

	ctl_doctor_node(d);
	if (!o->n_clients) {
		ctl_doctor_environment(d);
		ctl_doctor_files(d);
	}
	came = ctl_doctor_clients(d);
	if (came) {
		signal(came, SIG_DFL);
		raise(came);
		return CTL_FAILED;
	}
	if (d->c->json)
		ctl_findings_put_json(&d->found, stdout);
	else
		ctl_findings_print(&d->found, stdout, ctl_wants_colour());
	code = ctl_finish();
	return code == CTL_OK ? exit_code(d, o) : code;
}

int ctl_doctor(struct ctl *c, struct ctl_args *a)
{
	struct ctl_doctor d = {.c = c};
	struct options o = {.host = NULL};
	int code;

	while (a->at < a->n) {
		int taken = take_option(c, &d, &o, a);

		if (taken <= 0)
			return taken ? CTL_USAGE : ctl_unknown("doctor", a);
	}
	code = ctl_load(c);
	if (code == CTL_OK)
		code = ctl_setup_proxy(c, o.host, &d.proxy);
	if (code != CTL_OK)
		return code;
	d.in_state = !o.host;
	find_doors(&d);
	return examine(&d, &o);
}
