/* pmcachectl offline: no origin is asked any more, or is again, until the daemon ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"

static bool is_known(const char *how)
{
	return strcmp(how, "on") == 0 || strcmp(how, "off") == 0 || strcmp(how, "config") == 0;
}

static int take(void *how, struct ctl_args *a)
{
	return is_known(a->v[a->at]) ? ctl_operand(a, how) : 0;
}

static int print_state(const char *json)
{
	bool configured = strstr(json, "\"configured\":true") != NULL;

	if (strstr(json, "\"offline\":true"))
		printf("offline: no origin is asked%s\n",
		       configured ? "" : "; cache.offline in the configuration is off");
	else if (strstr(json, "\"offline\":false"))
		printf("online: origins are asked%s\n", configured ? "; cache.offline in the configuration is on" : "");
	else {
		ctl_say("the daemon's answer is not understood");
		return CTL_FAILED;
	}
	return ctl_finish();
}

int ctl_offline(struct ctl *c, struct ctl_args *a)
{
	const char *how = NULL;
	char *request, *json;
	int code = ctl_read_words(c, a, "offline", take, &how);

	if (code == CTL_OK)
		code = ctl_load(c);
	if (code != CTL_OK)
		return code;
	request = ctl_text("offline %s", how ? how : "show");
	code = ctl_control_ask(c->control, request, &json);
	free(request);
	if (code != CTL_OK)
		return code;
	if (c->json) {
		fputs(json, stdout);
		code = ctl_finish();
	} else {
		code = print_state(json);
	}
	free(json);
	return code;
}
