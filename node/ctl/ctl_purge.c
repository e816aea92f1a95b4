/* pmcachectl purge: forgets what is stored under a URL, or all that begins so, or of a host, or everything; here or on all nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/span.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"

enum kind { URL, PREFIX, HOST, ALL };

static const struct {
	const char *option, *verb, *needs, *nothing;
} kinds[] = {
	[URL] = {NULL, "purge", "a URL, http or https, percent-encoded: https://registry.test/left-pad",
		 "nothing is stored under this URL"},
	[PREFIX] = {"--prefix", "purge-prefix", "the beginning of URLs, with the host: https://registry.test/left-pad/",
		    "nothing is stored that begins so"},
	[HOST] = {"--host", "purge-host", "a host: registry.test", "nothing is stored of this host"},
	[ALL] = {"--all", "purge-all", "no value", "nothing is stored"},
};

struct wish {
	enum kind kind;
	bool chosen, whole_cluster;
	const char *value;
};

static int print_number(const struct wish *w, const char *json)
{
	const char *at = strstr(json, "\"purged\":");
	long n = at ? strtol(at + strlen("\"purged\":"), NULL, 10) : -1;
	const char *others = w->whole_cluster ? " here; the other nodes are told" : "";

	if (n < 0) {
		ctl_say("the daemon's answer is not understood");
		return CTL_FAILED;
	}
	if (n == 0)
		printf("%s%s\n", kinds[w->kind].nothing, others);
	else
		printf("purged %ld stored response%s%s\n", n, n == 1 ? "" : "s", others);
	return ctl_finish();
}

static bool is_good(const struct wish *w)
{
	if (w->kind == ALL)
		return !w->value;
	if (!w->value)
		return false;
	return w->kind == HOST ? ctl_is_word(w->value) && !strchr(w->value, '/') : ctl_is_url(w->value);
}

/* 1 taken, 0 something else, -1 two kinds at once. */
static int take_kind(struct wish *w, struct ctl_args *a)
{
	for (enum kind k = PREFIX; k <= ALL; k++) {
		if (!ctl_flag(a, kinds[k].option))
			continue;
		if (w->chosen) {
			ctl_say("purge takes one of --prefix, --host, --all");
			return -1;
		}
		w->kind = k;
		w->chosen = true;
		return 1;
	}
	return 0;
}

static int read_wish(struct ctl *c, struct ctl_args *a, struct wish *w)
{
	while (a->at < a->n) {
		int taken = ctl_common_option(c, a);

		if (!taken)
			taken = take_kind(w, a);
		if (taken < 0)
			return CTL_USAGE;
		if (taken)
			continue;
		if (ctl_flag(a, "--cluster")) {
			w->whole_cluster = true;
			continue;
		}
		if (w->value || a->v[a->at][0] == '-')
			return ctl_unknown("purge", a);
		w->value = a->v[a->at++];
	}
	if (is_good(w))
		return CTL_OK;
	ctl_say("purge%s%s needs %s", w->chosen ? " " : "", w->chosen ? kinds[w->kind].option : "",
		kinds[w->kind].needs);
	return CTL_USAGE;
}

int ctl_purge(struct ctl *c, struct ctl_args *a)
{
	struct wish w = {.kind = URL};
	char *request, *json;
	int code = read_wish(c, a, &w);

	if (code == CTL_OK)
		code = ctl_load(c);
	if (code != CTL_OK)
		return code;
	request = ctl_text("%s%s%s%s", w.whole_cluster ? "cluster-" : "", kinds[w.kind].verb, w.value ? " " : "",
			   w.value ? w.value : "");
	code = ctl_control_ask(c->control, request, &json);
	free(request);
	if (code != CTL_OK)
		return code;
	if (c->json) {
		fputs(json, stdout);
		code = ctl_finish();
	} else {
		code = print_number(&w, json);
	}
	free(json);
	return code;
}
