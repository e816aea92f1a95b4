/* pmcachectl log: which client got what, and when, from the access log in either format. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/conf/conf.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_logfiles.h"
#include "node/ctl/ctl_logline.h"
#include "node/ctl/ctl_table.h"
#include "node/ctl/ctl_when.h"

#define TAIL_LINES 10 /* where following begins, when nothing is asked for */
#define MOST_LINES 1000000
#define LEAST_DIGEST 8 /* characters */

struct view {
	/* what is asked for; NULL, 0: anything */
	const char *url, *digest, *job, *client, *file;
	wall_ms since;
	bool follow, json, colour;
	/* the last so many, kept until all has been read */
	size_t last, kept_n, kept_at;
	char **kept;
	bool live; /* all has been read: what comes now is new */
	struct ctl_logline *line;
	uint64_t odd; /* lines that are none */
};

/* ---- which ---- */

static bool contains(struct span s, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = 0; i + n <= s.n; i++)
		if (memcmp(s.p + i, what, n) == 0)
			return true;
	return false;
}

/* The digest of the body, or one that stands in the URL. */
static bool has_digest(const struct ctl_logline *l, const char *digest)
{
	return span_starts(l->digest, span_str(digest)) || contains(l->url, digest);
}

static bool is_asked_for(const struct view *v, const struct ctl_logline *l)
{
	return l->time >= v->since && (!v->url || contains(l->url, v->url)) &&
	       (!v->digest || has_digest(l, v->digest)) && (!v->job || span_eq(l->user, span_str(v->job))) &&
	       (!v->client || span_eq(l->client, span_str(v->client)));
}

/* ---- how ---- */

static enum ctl_colour colour_of(const struct ctl_logline *l)
{
	if (l->status >= 400 || contains(l->result, "DENIED"))
		return CTL_RED;
	if (contains(l->result, "HIT") || contains(l->result, "UNMODIFIED"))
		return CTL_GREEN;
	return contains(l->result, "TUNNEL") || span_eq(l->result, SPAN("NONE")) ? CTL_DIM : CTL_YELLOW;
}

static const char *or_dash(struct span s, char *room, size_t cap)
{
	snprintf(room, cap, "%.*s", SPAN_ARG(s.n ? s : SPAN("-")));
	return room;
}

static void print_text(const struct view *v, const struct ctl_logline *l)
{
	char when[32], result[48], job[80], client[64], bytes[CTL_NUMBER_BYTES], took[CTL_NUMBER_BYTES];
	time_t seconds = (time_t)(l->time / 1000);
	struct tm t;

	localtime_r(&seconds, &t);
	strftime(when, sizeof(when), "%F %T", &t);
	snprintf(result, sizeof(result), "%.*s/%03d", SPAN_ARG(l->result), l->status);
	fputs(when, stdout);
	printf(" %-15s %-12s ", or_dash(l->client, client, sizeof(client)), or_dash(l->user, job, sizeof(job)));
	ctl_put_coloured(stdout, v->colour, colour_of(l), result);
	printf("%*s%8s %8s %-12.*s %.*s %.*s\n", (int)(strlen(result) < 26 ? 26 - strlen(result) : 1), "",
	       ctl_format_bytes(l->bytes, bytes), ctl_format_us(l->elapsed_ms * 1000, took),
	       SPAN_ARG(l->peer.n ? l->peer : SPAN("-")), SPAN_ARG(l->method.n ? l->method : SPAN("-")),
	       SPAN_ARG(l->url.n ? l->url : SPAN("-")));
}

static void put_member(struct buf *b, const char *name, struct span s)
{
	buf_printf(b, ",\"%s\":", name);
	if (s.n)
		json_put_string(b, s);
	else
		buf_put(b, SPAN("null"));
}

static void print_json(const struct ctl_logline *l)
{
	size_t cap = 1024 + JSON_GROWTH * (l->client.n + l->result.n + l->method.n + l->url.n + l->user.n +
					   l->hierarchy.n + l->peer.n + l->type.n + l->digest.n + l->id.n);
	struct buf b = buf_over(mem_alloc(cap), cap);

	buf_put(&b, SPAN("{\"time\":"));
	json_put_time(&b, l->time);
	buf_printf(&b, ",\"elapsed_ms\":%llu", (unsigned long long)l->elapsed_ms);
	put_member(&b, "client", l->client);
	put_member(&b, "user", l->user);
	put_member(&b, "result", l->result);
	buf_printf(&b, ",\"status\":%d,\"bytes\":%llu", l->status, (unsigned long long)l->bytes);
	put_member(&b, "method", l->method);
	put_member(&b, "url", l->url);
	put_member(&b, "hierarchy", l->hierarchy);
	put_member(&b, "peer", l->peer);
	put_member(&b, "type", l->type);
	put_member(&b, "digest", l->digest);
	put_member(&b, "id", l->id);
	printf("%.*s}\n", SPAN_ARG(buf_span(&b)));
	free(b.p);
}

static void print_line(struct view *v, struct span text)
{
	if (!ctl_logline_parse(text, v->line))
		return;
	if (v->json)
		print_json(v->line);
	else
		print_text(v, v->line);
}

/* ---- lines ---- */

static void keep(struct view *v, struct span text)
{
	size_t at = (v->kept_at + v->kept_n) % v->last;

	if (v->kept_n == v->last) {
		free(v->kept[at]);
		v->kept_at = (v->kept_at + 1) % v->last;
	} else {
		v->kept_n++;
	}
	v->kept[at] = span_dup(text);
}

static void on_line(void *cookie, struct span text)
{
	struct view *v = cookie;

	if (!ctl_logline_parse(text, v->line)) {
		v->odd++;
		return;
	}
	if (!is_asked_for(v, v->line))
		return;
	if (v->last && !v->live)
		keep(v, text);
	else
		print_line(v, text);
}

static void on_pause(void *cookie)
{
	struct view *v = cookie;

	v->live = true;
	for (size_t i = 0; i < v->kept_n; i++) {
		char *text = v->kept[(v->kept_at + i) % v->last];

		print_line(v, span_str(text));
		free(text);
	}
	v->kept_n = 0;
	if (fflush(stdout) != 0)
		exit(CTL_FAILED); /* nobody reads any more */
}

/* ---- the command ---- */

struct words {
	const char *since, *last;
};

static int take_option(struct ctl *c, struct view *v, struct words *w, struct ctl_args *a)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {{"--url", &v->url},     {"--digest", &v->digest}, {"--job", &v->job}, {"--client", &v->client},
		       {"--since", &w->since}, {"--last", &w->last},     {"-n", &w->last},   {"--file", &v->file}};

	if (ctl_flag(a, "-f") || ctl_flag(a, "--follow"))
		return v->follow = true;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		int taken = ctl_option(a, options[i].name, options[i].value);

		if (taken)
			return taken;
	}
	return ctl_common_option(c, a);
}

static bool is_digest(const char *text)
{
	return strlen(text) >= LEAST_DIGEST && strspn(text, "0123456789abcdef") == strlen(text);
}

static int check(struct view *v, const struct words *w)
{
	uint64_t n = 0;

	if (w->since && ctl_when_option("--since", w->since, &v->since) < 0)
		return CTL_USAGE;
	if (v->digest && !is_digest(v->digest)) {
		ctl_say("--digest takes at least %d hex digits, lower case", LEAST_DIGEST);
		return CTL_USAGE;
	}
	if (w->last && (span_to_u64(span_str(w->last), &n) != 0 || n < 1 || n > MOST_LINES)) {
		ctl_say("--last takes a number from 1 to %d", MOST_LINES);
		return CTL_USAGE;
	}
	v->last = (size_t)n;
	if (!w->last && v->follow && !w->since && !v->url && !v->digest && !v->job && !v->client)
		v->last = TAIL_LINES;
	if (v->last)
		v->kept = mem_zalloc(v->last * sizeof(*v->kept));
	v->line = NEW(struct ctl_logline);
	return CTL_OK;
}

static int find_file(const struct ctl *c, struct view *v)
{
	if (v->file)
		return CTL_OK;
	if (c->state_opt && !c->config)
		v->file = ctl_text("%s/access.log", c->state);
	else
		v->file = c->conf->access_log.path;
	if (v->file)
		return CTL_OK;
	ctl_say("there is no access log: log.access.path is off");
	return CTL_FAILED;
}

int ctl_log(struct ctl *c, struct ctl_args *a)
{
	struct view v = {0};
	struct words w = {0};
	int code;

	while (a->at < a->n) {
		int taken = take_option(c, &v, &w, a);

		if (taken <= 0)
			return taken ? CTL_USAGE : ctl_unknown("log", a);
	}
	code = check(&v, &w);
	if (code == CTL_OK)
		code = ctl_load(c);
	if (code == CTL_OK)
		code = find_file(c, &v);
	if (code != CTL_OK)
		return code;
	v.json = c->json;
	v.colour = ctl_wants_colour();
	if (v.follow)
		return ctl_logfiles_follow(v.file, v.since, on_line, on_pause, &v);
	code = ctl_logfiles_read(v.file, v.since, on_line, &v);
	on_pause(&v);
	if (code == CTL_OK && v.odd)
		ctl_say("%llu lines of the log are not understood, and left out", (unsigned long long)v.odd);
	return code == CTL_OK ? ctl_finish() : code;
}
