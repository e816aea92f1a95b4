/* pmcachectl purge: forgets what is stored under a URL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/span.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"
#include "proto/url.h"

static int print_number(const char *json)
{
	const char *at = strstr(json, "\"purged\":");
	long n = at ? strtol(at + strlen("\"purged\":"), NULL, 10) : -1;

	if (n < 0) {
		ctl_say("the daemon's answer is not understood");
		return CTL_FAILED;
	}
	if (n == 0)
		puts("nothing is stored under this URL");
	else
		printf("purged %ld stored response%s\n", n, n == 1 ? "" : "s");
	return ctl_finish();
}

static bool is_url(const char *text)
{
	enum reason why;
	struct url u;

	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return url_parse_absolute(span_str(text), &u, &why) == 0;
}

int ctl_purge(struct ctl *c, struct ctl_args *a)
{
	const char *url = NULL;
	char *request, *json;
	int code;

	while (a->at < a->n) {
		int taken = ctl_common_option(c, a);

		if (taken < 0)
			return CTL_USAGE;
		if (taken)
			continue;
		if (url || a->v[a->at][0] == '-')
			return ctl_unknown("purge", a);
		url = a->v[a->at++];
	}
	if (!url || !is_url(url)) {
		ctl_say("purge needs a URL, http or https, percent-encoded: https://registry.test/left-pad");
		return CTL_USAGE;
	}
	code = ctl_load(c);
	if (code != CTL_OK)
		return code;
	request = ctl_text("purge %s", url);
	code = ctl_control_ask(c->control, request, &json);
	free(request);
	if (code != CTL_OK)
		return code;
	if (c->json) {
		fputs(json, stdout);
		code = ctl_finish();
	} else {
		code = print_number(json);
	}
	free(json);
	return code;
}
