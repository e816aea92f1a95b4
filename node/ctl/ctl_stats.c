/* pmcachectl stats: the daemon's counters, one a line, all or since a time; --json as the daemon sent them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/span.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_when.h"

#define WIDTH 36

static void skip_space(struct span *s)
{
	while (s->n && strchr(" \t\r\n", s->p[0]))
		*s = span_from(*s, 1);
}

/* Cuts one string, number or word off. */
static struct span cut_scalar(struct span *s)
{
	struct span whole = *s;
	size_t n = 0;

	if (s->p[0] == '"') {
		for (n = 1; n < s->n && s->p[n] != '"'; n++)
			if (s->p[n] == '\\')
				n++;
		n = n < s->n ? n + 1 : s->n;
	} else {
		while (n < s->n && !strchr(",}] \t\r\n", s->p[n]))
			n++;
	}
	*s = span_from(*s, n);
	return span_upto(whole, n);
}

static struct span unquoted(struct span s)
{
	return s.n >= 2 && s.p[0] == '"' ? span_of(s.p + 1, s.n - 2) : s;
}

/* Behind its end; the text is good JSON, or ends. */
static void skip_list(struct span *s)
{
	bool in_string = false;
	int depth = 0;

	do {
		char c = s->p[0];

		*s = span_from(*s, c == '\\' ? 2 : 1);
		if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '[' || c == ']'))
			depth += c == '[' ? 1 : -1;
	} while (s->n && depth);
}

/* An object of objects and scalars, as statsjson.h describes it, one line per scalar. Names of inner objects are put before
 * ("memory.objects"), except "counters"; lists are left out. Returns how many lines. */
static int put_lines(FILE *f, struct span s)
{
	struct span inner = SPAN_NONE;
	int lines = 0;

	while (s.n) {
		struct span name, value;
		int gap;

		skip_space(&s);
		if (!s.n)
			break;
		if (strchr("{},:", s.p[0])) {
			if (s.p[0] == '}')
				inner = SPAN_NONE;
			s = span_from(s, 1);
			continue;
		}
		name = unquoted(cut_scalar(&s));
		skip_space(&s);
		if (s.n && s.p[0] == ':')
			s = span_from(s, 1);
		skip_space(&s);
		if (!s.n)
			break;
		if (s.p[0] == '{') {
			inner = span_eq(name, SPAN("counters")) ? SPAN_NONE : name;
			continue;
		}
		if (s.p[0] == '[') {
			skip_list(&s);
			continue;
		}
		value = cut_scalar(&s);
		if (!value.n)
			break; /* no object after all */
		gap = WIDTH - (int)name.n - (inner.n ? (int)inner.n + 1 : 0);
		fprintf(f, "%.*s%s%.*s%*s%.*s\n", SPAN_ARG(inner), inner.n ? "." : "", SPAN_ARG(name),
			gap > 1 ? gap : 1, "", SPAN_ARG(unquoted(value)));
		lines++;
	}
	return lines;
}

/* On standard error: what is printed stays one name and one value a line. */
static void warn_of_limit(const char *json)
{
	char since[64], limit[16];
	struct span all = span_str(json);

	ctl_json_text(all, "limited_by", limit, sizeof(limit));
	ctl_json_text(all, "since", since, sizeof(since));
	if (strcmp(limit, "start") == 0)
		ctl_say("counted since %s only: the daemon started then", since);
	else if (strcmp(limit, "week") == 0)
		ctl_say("counted since %s only: no more than a week is kept", since);
}

static int take(void *since, struct ctl_args *a)
{
	return ctl_option(a, "--since", since);
}

/* *request: on the heap. */
static int read_request(struct ctl *c, struct ctl_args *a, char **request)
{
	const char *since = NULL;
	wall_ms at;

	if (ctl_read_words(c, a, "stats", take, &since) != CTL_OK)
		return CTL_USAGE;
	if (since && ctl_when_option("--since", since, &at) < 0)
		return CTL_USAGE;
	*request = since ? ctl_text("since %lld", (long long)at) : ctl_text("stats");
	return CTL_OK;
}

int ctl_stats(struct ctl *c, struct ctl_args *a)
{
	char *request = NULL, *json;
	int code = read_request(c, a, &request);

	if (code == CTL_OK)
		code = ctl_load(c);
	if (code == CTL_OK)
		code = ctl_control_ask(c->control, request, &json);
	free(request);
	if (code != CTL_OK)
		return code;
	if (c->json) {
		fputs(json, stdout);
	} else if (!put_lines(stdout, span_str(json))) {
		ctl_say("the daemon's statistics are not understood");
		code = CTL_FAILED;
	} else {
		warn_of_limit(json);
	}
	free(json);
	return code == CTL_OK ? ctl_finish() : code;
}
