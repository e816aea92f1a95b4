/* pmcachectl reload, rotate: what SIGHUP and SIGUSR1 do, and what came of it. */
#include <stdio.h>
#include <stdlib.h>

#include "node/base/span.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_json.h"

#define PIECE_BYTES 8192
#define FILE_BYTES 4100

/* The answer, on the heap, good JSON. */
static int ask(const struct ctl *c, const char *command, char **json)
{
	int code = ctl_control_ask_long(c->control, command, json);

	if (code != CTL_OK || ctl_json_is_good(span_str(*json)))
		return code;
	ctl_say("the daemon's answer is not understood");
	free(*json);
	return CTL_FAILED;
}

static void print_pieces(FILE *f, struct span list, const char *between)
{
	struct span item;
	char text[PIECE_BYTES];

	for (bool first = true; ctl_json_next(&list, &item); first = false)
		fprintf(f, "%s%s", first ? "" : between, ctl_json_text(item, "", text, sizeof(text)));
	fputs("\n", f);
}

static void print_reloaded(struct span json)
{
	struct span waiting = ctl_json_get(json, "waits_for_restart"), rest = waiting, item;

	if (!ctl_json_is_true(json, "in_force")) {
		print_pieces(stderr, ctl_json_get(json, "faults"), "\n");
		ctl_say("the old configuration stays in force");
		return;
	}
	puts("the configuration is read again, and in force");
	if (!ctl_json_next(&rest, &item))
		return;
	fputs("changed, but in force only after a restart: ", stdout);
	print_pieces(stdout, waiting, ", ");
}

int ctl_reload(struct ctl *c, struct ctl_args *a)
{
	char *json;
	int code = ctl_read_words(c, a, "reload", NULL, NULL), printed;
	bool in_force;

	if (code != CTL_OK)
		return code;
	code = ctl_load(c);
	if (code != CTL_OK) {
		ctl_say("the daemon is not asked to read it; its configuration stays in force");
		return code;
	}
	code = ask(c, "reload", &json);
	if (code != CTL_OK)
		return code;
	in_force = ctl_json_is_true(span_str(json), "in_force");
	if (c->json)
		fputs(json, stdout);
	else
		print_reloaded(span_str(json));
	free(json);
	printed = ctl_finish();
	return in_force ? printed : CTL_FAILED;
}

int ctl_rotate(struct ctl *c, struct ctl_args *a)
{
	char *json, file[FILE_BYTES];
	int code = ctl_read_words(c, a, "rotate", NULL, NULL);

	if (code == CTL_OK)
		code = ctl_load(c);
	if (code == CTL_OK)
		code = ask(c, "rotate", &json);
	if (code != CTL_OK)
		return code;
	if (c->json)
		fputs(json, stdout);
	else
		printf("%s is opened anew\n", ctl_json_text(span_str(json), "file", file, sizeof(file)));
	free(json);
	return ctl_finish();
}
