/* pmcachectl scrub: has the daemon read all that is on its disk and check it, and watches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_table.h"

#define LOOK_NS (300 * 1000 * 1000)
#define MOST_RATE ((uint64_t)1 << 50)

enum action { WATCH, STATUS, STOP, LEAVE };

struct wish {
	enum action action;
	const char *rate; /* NULL: the configuration's */
	uint64_t bytes;
};

/* "20MB", "64k", "0": powers of 1024, as the configuration has them. */
static bool read_rate(const char *text, uint64_t *out)
{
	static const char units[] = "KMG";
	char *end;
	const char *unit;
	unsigned long long v;

	if (*text < '0' || *text > '9')
		return false;
	v = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
	for (int i = 0; unit && i <= unit - units && v < MOST_RATE; i++)
		v *= 1024;
	end += unit ? 1 : 0;
	if (*end == 'B' || *end == 'b')
		end++;
	*out = v;
	return !*end && v < MOST_RATE;
}

static int ask(const struct ctl *c, const char *how, char **json)
{
	char *request = ctl_text("scrub %s", how);
	int code = ctl_control_ask(c->control, request, json);

	free(request);
	if (code == CTL_OK && !ctl_json_is_good(span_str(*json))) {
		ctl_say("the daemon's answer is not understood");
		free(*json);
		code = CTL_FAILED;
	}
	return code;
}

static bool is_state(const char *json, const char *word)
{
	char state[16];

	return strcmp(ctl_json_text(span_str(json), "state", state, sizeof(state)), word) == 0;
}

static void put_figures(FILE *f, const char *text)
{
	struct span json = span_str(text);
	char bytes[CTL_NUMBER_BYTES], time[CTL_NUMBER_BYTES];

	fprintf(f, "%llu of %llu objects, %s in %s, %llu damaged", (unsigned long long)ctl_json_u64(json, "objects"),
		(unsigned long long)ctl_json_u64(json, "total"), ctl_format_bytes(ctl_json_u64(json, "bytes"), bytes),
		ctl_format_s(ctl_json_u64(json, "took_s"), time), (unsigned long long)ctl_json_u64(json, "damaged"));
}

static void put_next(const char *text)
{
	char time[CTL_NUMBER_BYTES];

	if (ctl_json_has(span_str(text), "next_s"))
		printf("the next one in the background begins in %s\n",
		       ctl_format_s(ctl_json_u64(span_str(text), "next_s"), time));
}

/* Damage is a failure: what was damaged is in quarantine, and has to be fetched again. */
static int conclude(const struct ctl *c, const char *json)
{
	bool damaged = ctl_json_u64(span_str(json), "damaged") > 0;

	if (c->json) {
		fputs(json, stdout);
	} else if (is_state(json, "never")) {
		puts("no scrub has run since the start");
		put_next(json);
	} else {
		printf("%s: ", is_state(json, "running") ? "running" : is_state(json, "stopped") ? "stopped" : "done");
		put_figures(stdout, json);
		puts(damaged ? "; what is damaged is in quarantine, and fetched again when it is asked for" : "");
	}
	return ctl_finish() == CTL_OK && !damaged ? CTL_OK : CTL_FAILED;
}

static void show_progress(const char *json)
{
	uint64_t total = ctl_json_u64(span_str(json), "total"), n = ctl_json_u64(span_str(json), "objects");

	fprintf(stderr, "\r\033[K%3llu %%  ",
		(unsigned long long)(total ? (n < total ? n : total) * 100 / total : 100));
	put_figures(stderr, json);
	fflush(stderr);
}

/* Until it is over, whoever began it. Interrupted, it goes on without us. */
static int watch(const struct ctl *c, char *json)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	bool tty = isatty(STDERR_FILENO) && !c->json;
	int code = CTL_OK;

	while (code == CTL_OK && is_state(json, "running")) {
		if (tty)
			show_progress(json);
		nanosleep(&pause, NULL);
		free(json);
		code = ask(c, "status", &json);
	}
	if (tty)
		fputs("\r\033[K", stderr);
	if (code != CTL_OK)
		return code;
	code = conclude(c, json);
	free(json);
	return code;
}

static int begin(const struct ctl *c, const struct wish *w)
{
	char *how = w->rate ? ctl_text("start=%llu", (unsigned long long)w->bytes) : ctl_text("start");
	char *json;
	int code = ask(c, how, &json);

	free(how);
	if (code != CTL_OK)
		return code;
	if (w->action == WATCH)
		return watch(c, json);
	if (c->json)
		fputs(json, stdout);
	else
		puts("begun; pmcachectl scrub --status shows how far it is");
	free(json);
	return ctl_finish();
}

static int look(const struct ctl *c, const struct wish *w)
{
	char *json;
	int code = ask(c, w->action == STOP ? "stop" : "status", &json);

	if (code != CTL_OK)
		return code;
	code = conclude(c, json);
	free(json);
	return code;
}

static int take(void *wish, struct ctl_args *a)
{
	static const struct {
		const char *option;
		enum action action;
	} actions[] = {{"--status", STATUS}, {"--stop", STOP}, {"--no-wait", LEAVE}};
	struct wish *w = wish;
	int taken = ctl_option(a, "--rate", &w->rate);

	for (size_t i = 0; taken == 0 && i < sizeof(actions) / sizeof(actions[0]); i++)
		if (ctl_flag(a, actions[i].option)) {
			w->action = actions[i].action;
			taken = 1;
		}
	return taken;
}

int ctl_scrub(struct ctl *c, struct ctl_args *a)
{
	struct wish w = {.action = WATCH};
	int code = ctl_read_words(c, a, "scrub", take, &w);

	if (code != CTL_OK)
		return code;
	if (w.rate && !read_rate(w.rate, &w.bytes)) {
		ctl_say("--rate wants bytes a second: 20MB, or 0 for as fast as it goes");
		return CTL_USAGE;
	}
	code = ctl_load(c);
	if (code != CTL_OK)
		return code;
	return w.action == WATCH || w.action == LEAVE ? begin(c, &w) : look(c, &w);
}
