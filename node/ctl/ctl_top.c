/* pmcachectl top: what the node does, live; and once, where no terminal is. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_hosts.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_peers.h"
#include "node/ctl/ctl_screen.h"
#include "node/ctl/ctl_table.h"

#define EVERY DUR_SECOND
#define ERRORS_SHOWN 8
#define BAR 20 /* columns */

/* What the daemon says at one moment: texts of its own JSON, NULL where there is none. */
struct sample {
	mono_us at;
	char *stats, *peers, *recent;
};

static const struct {
	const char *word, *label;
	enum ctl_colour colour;
} sources[] = {
	{"local_hit", "memory", CTL_GREEN},
	{"disk_hit", "disk", CTL_GREEN},
	{"local_join", "joined a fetch", CTL_GREEN},
	{"revalidated", "revalidated", CTL_GREEN},
	{"stale", "stale", CTL_YELLOW},
	{"sibling_hit", "sibling", CTL_GREEN},
	{"sibling_stream", "sibling, growing", CTL_GREEN},
	{"parent_hit", "parent", CTL_GREEN},
	{"parent_join", "parent, joined", CTL_GREEN},
	{"parent_miss", "origin by parent", CTL_YELLOW},
	{"direct", "origin", CTL_YELLOW},
	{"bypass", "not to be cached", CTL_DIM},
	{"tunnel", "tunnels", CTL_DIM},
	{"denied", "denied", CTL_RED},
	{"error", "errors", CTL_RED},
};

#define N_SOURCES (sizeof(sources) / sizeof(sources[0]))

/* ---- samples ---- */

static char *ask(const struct ctl *c, const char *word)
{
	char *json;

	if (ctl_control_try(c->control, word, &json) == CTL_OK && ctl_json_is_good(span_str(json)))
		return json;
	free(json);
	return NULL;
}

static void sample_take(const struct ctl *c, struct sample *s)
{
	s->at = clock_mono(&clock_system);
	s->stats = ask(c, "stats");
	s->peers = s->stats ? ask(c, "peers") : NULL;
	s->recent = s->stats ? ask(c, "recent") : NULL;
}

static void sample_free(struct sample *s)
{
	free(s->stats);
	free(s->peers);
	free(s->recent);
	*s = (struct sample){0};
}

static uint64_t number(const struct sample *s, const char *path)
{
	return s->stats ? ctl_json_u64(span_str(s->stats), path) : 0;
}

/* Of the same process: counters begin anew with a new one. */
static bool fit(const struct sample *now, const struct sample *before)
{
	char a[17], b[17];

	return now->stats && before->stats &&
	       strcmp(ctl_json_text(span_str(now->stats), "boot", a, sizeof(a)),
		      ctl_json_text(span_str(before->stats), "boot", b, sizeof(b))) == 0;
}

/* Per second; negative: not known. */
static double rate(const struct sample *now, const struct sample *before, const char *path)
{
	uint64_t a = number(before, path), b = number(now, path);

	if (!fit(now, before) || now->at <= before->at || b < a)
		return -1;
	return (double)(b - a) * 1e6 / (double)(now->at - before->at);
}

/* ---- the picture ---- */

static void put_rate(FILE *f, double per_second)
{
	if (per_second < 0)
		fputs("-", f);
	else
		fprintf(f, per_second < 9.95 ? "%.1f" : "%.0f", per_second);
}

static void put_byte_rate(FILE *f, double per_second)
{
	char text[CTL_NUMBER_BYTES];

	fprintf(f, "%s%s", per_second < 0 ? "-" : ctl_format_bytes((uint64_t)per_second, text),
		per_second < 0 ? "" : "/s");
}

static const char *ratio_text(const struct sample *s, const char *path, char text[CTL_NUMBER_BYTES])
{
	if (!ctl_json_has(span_str(s->stats), path))
		return "-";
	return ctl_format_ratio(ctl_json_number(span_str(s->stats), path), text);
}

static void put_head(FILE *f, const struct sample *now, bool colour)
{
	char node[80], version[32], up[CTL_NUMBER_BYTES], clock[16], *title;
	struct span s = span_str(now->stats);
	time_t seconds = time(NULL);
	struct tm t;

	localtime_r(&seconds, &t);
	strftime(clock, sizeof(clock), "%T", &t);
	title = ctl_text("%s", ctl_json_text(s, "node", node, sizeof(node)));
	ctl_put_coloured(f, colour, CTL_BOLD, title);
	free(title);
	fprintf(f, "  pmcached %s, up %s, %s", ctl_json_text(s, "version", version, sizeof(version)),
		ctl_format_s(ctl_json_u64(s, "uptime_s"), up), clock);
	if (number(now, "counters.offline"))
		ctl_put_coloured(f, colour, CTL_YELLOW, "  offline: no origin is asked");
	fputc('\n', f);
}

static void put_figures(FILE *f, const struct sample *now, const struct sample *before)
{
	char a[CTL_NUMBER_BYTES], b[CTL_NUMBER_BYTES];
	uint64_t sent = number(now, "tally.client_bytes"), got = number(now, "tally.fetched_bytes");

	fprintf(f, "hit ratio %s, of bytes %s", ratio_text(now, "hit_ratio", a), ratio_text(now, "byte_hit_ratio", b));
	fprintf(f, ", saved %s of %s\n", ctl_format_bytes(sent > got ? sent - got : 0, a), ctl_format_bytes(sent, b));
	fprintf(f, "memory %s of %s, %llu objects; %llu connections\n",
		ctl_format_bytes(number(now, "memory.used_bytes"), a),
		ctl_format_bytes(number(now, "memory.limit_bytes"), b),
		(unsigned long long)number(now, "memory.objects"),
		(unsigned long long)number(now, "counters.connections"));
	put_rate(f, rate(now, before, "counters.requests_total"));
	fputs(" requests/s, to clients ", f);
	put_byte_rate(f, rate(now, before, "counters.client_bytes_sent_total"));
	fputs(", from origins ", f);
	put_byte_rate(f, rate(now, before, "counters.upstream_bytes_received_total"));
	fputs("\n\n", f);
}

static void put_bar(FILE *f, uint64_t part, uint64_t whole, enum ctl_colour which, bool colour)
{
	char bar[BAR + 1];
	size_t n = whole ? (size_t)((double)part * BAR / (double)whole + 0.5) : 0;

	memset(bar, '#', sizeof(bar) - 1);
	bar[n < BAR ? n : BAR] = '\0';
	ctl_put_coloured(f, colour, which, bar);
}

static void put_sources(FILE *f, const struct sample *now, const struct sample *before, bool colour)
{
	uint64_t v[N_SOURCES], whole = 0;
	char path[64];

	for (size_t i = 0; i < N_SOURCES; i++) {
		snprintf(path, sizeof(path), "tally.sources.%s", sources[i].word);
		v[i] = number(now, path);
		whole += v[i];
	}
	ctl_put_coloured(f, colour, CTL_BOLD, "ANSWERS FROM           TOTAL    PER S");
	fputc('\n', f);
	for (size_t i = 0; i < N_SOURCES; i++) {
		if (!v[i])
			continue;
		snprintf(path, sizeof(path), "tally.sources.%s", sources[i].word);
		fprintf(f, "%-16s %11llu ", sources[i].label, (unsigned long long)v[i]);
		if (rate(now, before, path) < 0)
			fputs("       -  ", f);
		else
			fprintf(f, "%8.1f  ", rate(now, before, path));
		put_bar(f, v[i], whole, sources[i].colour, colour);
		fputc('\n', f);
	}
	if (!whole)
		fputs("nobody has asked for anything yet\n", f);
}

static void put_hosts(FILE *f, const struct sample *now, const struct sample *before, bool colour)
{
	struct span s = span_str(now->stats);

	if (fit(now, before) && now->at > before->at)
		ctl_hosts_print(f, s, span_str(before->stats), (double)(now->at - before->at) / 1e6, colour);
	else
		ctl_hosts_print(f, s, SPAN_NONE, 0, colour);
}

static void put_errors(FILE *f, const struct sample *now, bool colour)
{
	struct span rest = now->recent ? ctl_json_get(span_str(now->recent), "lines") : SPAN_NONE, line;

	for (size_t i = 0; i < ERRORS_SHOWN && ctl_json_next(&rest, &line); i++) {
		char when[32], what[120], url[200];

		if (i == 0) {
			fputc('\n', f);
			ctl_put_coloured(f, colour, CTL_BOLD, "LATELY WRONG (UTC)");
			fputc('\n', f);
		}
		ctl_json_text(line, "time", when, sizeof(when));
		when[strlen(when) > 19 ? 19 : 0] = '\0';
		fprintf(f, "%s  %5llux  ", when[0] ? when + 11 : "-", (unsigned long long)ctl_json_u64(line, "count"));
		ctl_put_coloured(f, colour, CTL_RED, ctl_json_text(line, "what", what, sizeof(what)));
		fprintf(f, "  %s\n", ctl_json_text(line, "url", url, sizeof(url)));
	}
}

static void put_picture(FILE *f, const struct ctl *c, const struct sample *now, const struct sample *before,
			bool colour)
{
	if (!now->stats) {
		ctl_put_coloured(f, colour, CTL_RED, "no daemon answers");
		fprintf(f, " at %s; it is asked again\n", c->control);
		return;
	}
	put_head(f, now, colour);
	put_figures(f, now, before);
	put_sources(f, now, before, colour);
	put_hosts(f, now, before, colour);
	if (now->peers) {
		fputc('\n', f);
		ctl_peers_print(f, span_str(now->peers), colour);
	}
	put_errors(f, now, colour);
}

/* ---- live, or once ---- */

static void draw(struct ctl_screen *screen, const struct ctl *c, const struct sample *now, const struct sample *before)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return;
	put_picture(f, c, now, before, ctl_wants_colour());
	fclose(f);
	ctl_screen_draw(screen, span_of(text, n));
	free(text);
}

static bool is_end(char key)
{
	return key == 'q' || key == 'Q' || key == 3 ||
	       key == 4; /* ctrl-C and ctrl-D as keys, should the terminal send them so */
}

/* Until the next second; false: the end. */
static bool rest(struct ctl_screen *screen, const struct ctl *c, const struct sample *now, const struct sample *before)
{
	mono_us until = mono_after(now->at, EVERY), time;

	while ((time = clock_mono(&clock_system)) < until) {
		char key = 0;

		switch (ctl_screen_wait(screen, (until - time) / 1000 + 1, &key)) {
		case CTL_SCREEN_END:
			return false;
		case CTL_SCREEN_KEY:
			if (is_end(key))
				return false;
			if (key != ' ')
				break;
			return true; /* at once */
		case CTL_SCREEN_RESIZED:
			draw(screen, c, now, before);
			break;
		case CTL_SCREEN_TIME:
			break;
		}
	}
	return true;
}

static int live(struct ctl_screen *screen, const struct ctl *c, struct sample *now)
{
	struct sample before = {0};

	for (;;) {
		draw(screen, c, now, &before);
		if (!rest(screen, c, now, &before))
			break;
		sample_free(&before);
		before = *now;
		sample_take(c, now);
	}
	ctl_screen_close(&screen);
	sample_free(&before);
	return ctl_finish();
}

static void print_json(const struct sample *s)
{
	printf("{\"stats\":%s,\"peers\":%s,\"recent\":%s}\n", s->stats, s->peers ? s->peers : "null",
	       s->recent ? s->recent : "null");
}

static int once(const struct ctl *c, const struct sample *now)
{
	const struct sample nothing = {0};

	if (c->json)
		print_json(now);
	else
		put_picture(stdout, c, now, &nothing, false);
	return ctl_finish();
}

static int take(void *wants_once, struct ctl_args *a)
{
	return ctl_flag(a, "--once") ? *(bool *)wants_once = true : 0;
}

int ctl_top(struct ctl *c, struct ctl_args *a)
{
	struct ctl_screen *screen = NULL;
	struct sample now;
	bool wants_once = false;
	char *json;
	int code = ctl_read_words(c, a, "top", take, &wants_once);

	if (code == CTL_OK)
		code = ctl_load(c);
	if (code == CTL_OK)
		code = ctl_control_ask(c->control, "stats", &json); /* says why, if nobody is there to begin with */
	if (code != CTL_OK)
		return code;
	free(json);
	sample_take(c, &now);
	if (!now.stats) {
		ctl_say("the daemon has just gone away");
		return CTL_NO_DAEMON;
	}
	if (!c->json && !wants_once)
		screen = ctl_screen_open();
	code = screen ? live(screen, c, &now) : once(c, &now);
	sample_free(&now);
	return code;
}
