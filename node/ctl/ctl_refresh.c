/* pmcachectl refresh: fetches a URL again from upstream, and says what came of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_json.h"

static int print(struct span json)
{
	char result[32], digest[80], before[80], why[200];

	ctl_json_text(json, "result", result, sizeof(result));
	ctl_json_text(json, "digest", digest, sizeof(digest));
	ctl_json_text(json, "before", before, sizeof(before));
	ctl_json_text(json, "why", why, sizeof(why));
	if (strcmp(result, "unchanged") == 0)
		printf("unchanged: %s\n", digest);
	else if (strcmp(result, "changed") == 0)
		printf("changed: %s\n    was: %s\n", digest, before);
	else if (strcmp(result, "new") == 0)
		printf("fetched; nothing was stored before: %s\n", digest);
	else if (strcmp(result, "kept") == 0)
		printf("what is stored stays (the answer is %d): %s\n", (int)ctl_json_u64(json, "status"), why);
	else
		ctl_say("not fetched, what is stored stays: %s", why);
	return ctl_finish();
}

/* 0 when what is stored is what the origin gives now. */
static int code_of(struct span json)
{
	char result[32];

	ctl_json_text(json, "result", result, sizeof(result));
	return strcmp(result, "kept") == 0 || strcmp(result, "failed") == 0 || !*result ? CTL_FAILED : CTL_OK;
}

static int refresh(struct ctl *c, const char *url)
{
	char *request = ctl_text("refresh %s", url), *json;
	int code = ctl_control_ask_long(c->control, request, &json), printed;

	free(request);
	if (code != CTL_OK)
		return code;
	if (!ctl_json_is_good(span_str(json))) {
		ctl_say("the daemon's answer is not understood");
		free(json);
		return CTL_FAILED;
	}
	if (c->json)
		fputs(json, stdout);
	printed = c->json ? ctl_finish() : print(span_str(json));
	code = code_of(span_str(json));
	free(json);
	return printed == CTL_OK ? code : printed;
}

int ctl_refresh(struct ctl *c, struct ctl_args *a)
{
	const char *url;
	int code = ctl_read_url(c, a, "refresh", &url);

	if (code == CTL_OK)
		code = ctl_load(c);
	return code == CTL_OK ? refresh(c, url) : code;
}
