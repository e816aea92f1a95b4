/* pmcachectl peers: the cluster as this node sees it, or (--matrix) as all nodes do. */
#include "node/ctl/ctl_peers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_table.h"

#define WATCH_S 2
#define NAME_BYTES 72
#define TEXT_BYTES 300
#define LOSS_SEEN 0.01
#define LOSS_BAD 0.05

static enum ctl_colour colour_of_state(const char *state)
{
	static const struct {
		const char *word;
		enum ctl_colour colour;
	} states[] = {
		{"up", CTL_GREEN},         {"new", CTL_DIM},      {"suspect", CTL_YELLOW},
		{"probation", CTL_YELLOW}, {"trial", CTL_YELLOW}, {"draining", CTL_DIM},
		{"dead", CTL_RED},         {"down", CTL_RED},     {"udp-blocked", CTL_RED},
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(state, states[i].word) == 0)
			return states[i].colour;
	return CTL_PLAIN;
}

static void put_heading(struct ctl_table *t, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ctl_table_put(t, CTL_BOLD, "%s", words[i]);
}

static void put_text(struct ctl_table *t, struct span object, const char *path)
{
	char text[TEXT_BYTES];

	ctl_json_text(object, path, text, sizeof(text));
	ctl_table_put(t, CTL_PLAIN, "%s", *text ? text : "-");
}

static void put_state(struct ctl_table *t, struct span object)
{
	char state[32];

	ctl_json_text(object, "state", state, sizeof(state));
	ctl_table_put(t, colour_of_state(state), "%s", state);
}

static void put_count(struct ctl_table *t, uint64_t n, enum ctl_colour colour)
{
	ctl_table_put(t, n ? colour : CTL_PLAIN, "%llu", (unsigned long long)n);
}

static void put_bytes(struct ctl_table *t, struct span object, const char *path)
{
	char text[CTL_NUMBER_BYTES];

	ctl_table_put(t, CTL_PLAIN, "%s", ctl_format_bytes(ctl_json_u64(object, path), text));
}

static void put_ratio(struct ctl_table *t, struct span object, const char *path)
{
	char text[CTL_NUMBER_BYTES];

	if (ctl_json_has(object, path))
		ctl_table_put(t, CTL_PLAIN, "%s", ctl_format_ratio(ctl_json_number(object, path), text));
	else
		ctl_table_put(t, CTL_PLAIN, "-");
}

/* As nodes say it, of 255. */
static void put_load(struct ctl_table *t, struct span object)
{
	char text[CTL_NUMBER_BYTES];

	if (ctl_json_has(object, "load"))
		ctl_table_put(t, CTL_PLAIN, "%s", ctl_format_ratio(ctl_json_number(object, "load") / 255, text));
	else
		ctl_table_put(t, CTL_PLAIN, "-");
}

static void put_times(struct ctl_table *t, struct span object, const char *low, const char *high)
{
	uint64_t a = ctl_json_u64(object, low), b = ctl_json_u64(object, high);
	char a_text[CTL_NUMBER_BYTES], b_text[CTL_NUMBER_BYTES];

	if (a || b)
		ctl_table_put(t, CTL_PLAIN, "%s / %s", ctl_format_us(a, a_text), ctl_format_us(b, b_text));
	else
		ctl_table_put(t, CTL_PLAIN, "-");
}

/* All numbers of an object of numbers. */
static uint64_t sum_of(struct span object)
{
	uint64_t sum = 0;

	while (object.n) {
		size_t at = span_find(object, ':');
		struct span rest = span_from(object, at + 1);
		uint64_t v = 0;

		for (size_t i = 0; i < rest.n && rest.p[i] >= '0' && rest.p[i] <= '9'; i++)
			v = v * 10 + (uint64_t)(rest.p[i] - '0');
		sum += v;
		object = rest;
	}
	return sum;
}

/* ---- one node ---- */

struct look {
	bool colour, wide;
};

struct totals {
	uint64_t peers, up, silent; /* silent: dead or suspect */
	uint64_t asked, said, found, fetched, false_hits, in, out;
};

static uint64_t said_by(struct span peer)
{
	return ctl_json_u64(peer, "asked.keys") - ctl_json_u64(peer, "asked.timeouts");
}

static void count_peer(struct totals *s, struct span peer)
{
	char state[32];

	ctl_json_text(peer, "state", state, sizeof(state));
	s->peers++;
	s->up += strcmp(state, "up") == 0;
	s->silent += strcmp(state, "dead") == 0 || strcmp(state, "suspect") == 0;
	s->asked += ctl_json_u64(peer, "asked.keys");
	s->said += said_by(peer);
	s->found += ctl_json_u64(peer, "asked.hit") + ctl_json_u64(peer, "asked.pending");
	s->fetched += ctl_json_u64(peer, "fetched");
	s->false_hits += sum_of(ctl_json_get(peer, "false_hits"));
	s->in += ctl_json_u64(peer, "bytes_in");
	s->out += ctl_json_u64(peer, "bytes_out");
}

static void put_peer(struct ctl_table *t, struct span peer)
{
	put_text(t, peer, "name");
	put_text(t, peer, "role");
	put_state(t, peer);
	put_text(t, peer, "address");
	put_times(t, peer, "rtt_us.p50", "rtt_us.p99");
	put_count(t, ctl_json_u64(peer, "asked.keys"), CTL_PLAIN);
	put_ratio(t, peer, "hit_ratio");
	put_count(t, ctl_json_u64(peer, "fetched"), CTL_PLAIN);
	put_count(t, sum_of(ctl_json_get(peer, "false_hits")), CTL_YELLOW);
	put_bytes(t, peer, "bytes_in");
	put_bytes(t, peer, "bytes_out");
}

static void put_more_of_peer(struct ctl_table *t, struct span peer)
{
	put_count(t, ctl_json_u64(peer, "asked.timeouts"), CTL_YELLOW);
	put_ratio(t, peer, "loss");
	put_count(t, ctl_json_u64(peer, "hedged"), CTL_YELLOW);
	put_count(t, ctl_json_u64(peer, "cancelled"), CTL_PLAIN);
	put_count(t, ctl_json_u64(peer, "served"), CTL_PLAIN);
	put_times(t, peer, "ttfb_us.p50", "ttfb_us.p99");
	put_load(t, peer);
}

#define PEER_COLUMNS 11 /* that are not wide */

static void print_peers(FILE *f, struct span json, struct look look, struct totals *s)
{
	static const char *const words[] = {"NAME",   "ROLE",           "STATE",   "ADDRESS", "RTT p50 / p99",
					    "ASKED",  "HIT%",           "FETCHED", "FALSE",   "IN",
					    "OUT",    "UNANSWERED",     "LOSS",    "HEDGED",  "CANCELLED",
					    "SERVED", "TTFB p50 / p99", "LOAD"};
	size_t n = look.wide ? sizeof(words) / sizeof(words[0]) : PEER_COLUMNS;
	struct ctl_table *t = ctl_table_new(n, ~(uint64_t)0xf);
	struct span rest = ctl_json_get(json, "peers"), peer;

	put_heading(t, words, n);
	while (ctl_json_next(&rest, &peer)) {
		put_peer(t, peer);
		if (look.wide)
			put_more_of_peer(t, peer);
		count_peer(s, peer);
	}
	if (s->peers)
		ctl_table_print(t, f, look.colour);
	ctl_table_free(t);
}

static void put_parent(struct ctl_table *t, struct span parent)
{
	put_text(t, parent, "name");
	put_state(t, parent);
	put_text(t, parent, "address");
	put_times(t, parent, "ttfb_us.p50", "ttfb_us.p95");
	put_count(t, ctl_json_u64(parent, "requests"), CTL_PLAIN);
	put_ratio(t, parent, "hit_ratio");
	put_count(t, ctl_json_u64(parent, "failures") + ctl_json_u64(parent, "connect_failures"), CTL_YELLOW);
	put_count(t, ctl_json_u64(parent, "in_hand"), CTL_PLAIN);
	put_bytes(t, parent, "bytes_in");
}

static void put_more_of_parent(struct ctl_table *t, struct span parent)
{
	put_count(t, ctl_json_u64(parent, "retries"), CTL_YELLOW);
	put_count(t, ctl_json_u64(parent, "hedged"), CTL_YELLOW);
	put_count(t, ctl_json_u64(parent, "cancelled"), CTL_PLAIN);
	put_load(t, parent);
}

#define PARENT_COLUMNS 9 /* that are not wide */

/* The parents, or the fellows: `who` is the first column's heading. */
static void print_parents(FILE *f, struct span parents, const char *who, struct look look)
{
	const char *const words[] = {who,       "STATE", "ADDRESS", "TTFB p50 / p95", "ASKED",     "HIT%", "FAILED",
				     "IN HAND", "IN",    "RETRIED", "HEDGED",         "CANCELLED", "LOAD"};
	size_t n = look.wide ? sizeof(words) / sizeof(words[0]) : PARENT_COLUMNS;
	struct ctl_table *t = ctl_table_new(n, ~(uint64_t)0x7);
	struct span parent;
	bool any = false;

	put_heading(t, words, n);
	for (; ctl_json_next(&parents, &parent); any = true) {
		put_parent(t, parent);
		if (look.wide)
			put_more_of_parent(t, parent);
	}
	if (any) {
		fputc('\n', f);
		ctl_table_print(t, f, look.colour);
	}
	ctl_table_free(t);
}

static void print_totals(FILE *f, struct span json, const struct totals *s)
{
	char node[NAME_BYTES], cluster[NAME_BYTES], in[CTL_NUMBER_BYTES], out[CTL_NUMBER_BYTES];
	char ratio[CTL_NUMBER_BYTES] = "-";

	if (s->said)
		ctl_format_ratio((double)s->found / (double)s->said, ratio);
	fprintf(f,
		"\n%s in %s: %llu other%s, %llu up, %llu silent; %llu asked, %s hits, %llu fetched, %llu false, %s in, %s out\n",
		ctl_json_text(json, "node", node, sizeof(node)),
		ctl_json_text(json, "cluster", cluster, sizeof(cluster)), (unsigned long long)s->peers,
		s->peers == 1 ? "" : "s", (unsigned long long)s->up, (unsigned long long)s->silent,
		(unsigned long long)s->asked, ratio, (unsigned long long)s->fetched, (unsigned long long)s->false_hits,
		ctl_format_bytes(s->in, in), ctl_format_bytes(s->out, out));
}

/* Nothing until there is something to say. */
static void print_audits(FILE *f, struct span json)
{
	struct span audits = ctl_json_get(json, "audits");
	unsigned long long asked = (unsigned long long)ctl_json_number(audits, "asked");

	if (asked)
		fprintf(f, "%llu of %llu audited misses were false\n",
			(unsigned long long)ctl_json_number(audits, "found"), asked);
}

static bool print_node(FILE *f, struct span json, struct look look)
{
	struct totals s = {0};

	if (!ctl_json_has(json, "node") || !ctl_json_has(json, "peers"))
		return false;
	print_peers(f, json, look, &s);
	print_parents(f, ctl_json_get(json, "parents"), "PARENT", look);
	print_parents(f, ctl_json_get(json, "fellows"), "FELLOW", look);
	print_totals(f, json, &s);
	print_audits(f, json);
	if (ctl_json_is_true(json, "cut"))
		fputs("there are more peers, for which there was no room\n", f);
	if (ctl_json_is_true(json, "isolated"))
		ctl_put_coloured(f, look.colour, CTL_RED,
				 "this node seems to be cut off from the others; nobody is asked\n");
	return true;
}

bool ctl_peers_print(FILE *f, struct span json, bool colour)
{
	return print_node(f, json, (struct look){.colour = colour});
}

bool ctl_peers_print_wide(FILE *f, struct span json, bool colour)
{
	return print_node(f, json, (struct look){.colour = colour, .wide = true});
}

/* ---- all nodes ---- */

/* What one node says about another. */
struct view {
	char name[NAME_BYTES];
	bool has_ratio;
	double ratio;
	uint64_t sent, received;
};

struct who {
	char name[NAME_BYTES], error[TEXT_BYTES];
	struct view *v;
	size_t n;
};

static void read_views(struct who *w, struct span node)
{
	struct span rest = ctl_json_get(node, "peers"), peer;
	size_t cap = 0;

	while (ctl_json_next(&rest, &peer)) {
		struct view *v;

		if (w->n == cap) {
			cap = cap ? 2 * cap : 16;
			w->v = mem_realloc(w->v, cap * sizeof(w->v[0]));
		}
		v = &w->v[w->n++];
		ctl_json_text(peer, "name", v->name, sizeof(v->name));
		v->has_ratio = ctl_json_has(peer, "hit_ratio");
		v->ratio = ctl_json_number(peer, "hit_ratio");
		v->sent = ctl_json_u64(peer, "asked.keys");
		v->received = ctl_json_u64(peer, "answered.keys");
	}
}

static const struct view *view_of(const struct who *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->v[i].name, name) == 0)
			return &w->v[i];
	return NULL;
}

static void put_meeting(struct ctl_table *t, const struct who *asker, const struct who *asked)
{
	const struct view *v = view_of(asker, asked->name), *back = view_of(asked, asker->name);
	char ratio[CTL_NUMBER_BYTES], loss[CTL_NUMBER_BYTES];
	double lost;

	if (asker == asked) {
		ctl_table_put(t, CTL_DIM, ".");
		return;
	}
	if (!v || !v->sent) {
		ctl_table_put(t, CTL_DIM, "-");
		return;
	}
	snprintf(ratio, sizeof(ratio), "-");
	if (v->has_ratio)
		ctl_format_ratio(v->ratio, ratio);
	if (!back) {
		ctl_table_put(t, CTL_PLAIN, "%s ?", ratio);
		return;
	}
	/* The two have counted at different times: what is under way may look like a gain. */
	lost = back->received < v->sent ? 1 - (double)back->received / (double)v->sent : 0;
	ctl_table_put(t,
		      lost >= LOSS_BAD    ? CTL_RED
		      : lost >= LOSS_SEEN ? CTL_YELLOW
					  : CTL_PLAIN,
		      "%s -%s", ratio, ctl_format_ratio(lost, loss));
}

static void print_grid(FILE *f, const struct who *v, size_t n, bool colour)
{
	struct ctl_table *t = ctl_table_new(n + 1, ~(uint64_t)1);

	ctl_table_put(t, CTL_BOLD, "ASKS");
	for (size_t i = 0; i < n; i++)
		ctl_table_put(t, CTL_BOLD, "%s", v[i].name);
	for (size_t i = 0; i < n; i++) {
		if (v[i].error[0])
			continue;
		ctl_table_put(t, CTL_BOLD, "%s", v[i].name);
		for (size_t k = 0; k < n; k++)
			put_meeting(t, &v[i], &v[k]);
	}
	ctl_table_print(t, f, colour);
	ctl_table_free(t);
}

bool ctl_peers_print_matrix(FILE *f, struct span json, bool colour)
{
	struct span rest = json, node;
	struct who *v = NULL;
	size_t n = 0, cap = 0;

	if (!json.n || json.p[0] != '[')
		return false;
	while (ctl_json_next(&rest, &node)) {
		if (n == cap) {
			cap = cap ? 2 * cap : 16;
			v = mem_realloc(v, cap * sizeof(v[0]));
		}
		memset(&v[n], 0, sizeof(v[n]));
		ctl_json_text(node, "node", v[n].name, sizeof(v[n].name));
		ctl_json_text(node, "error", v[n].error, sizeof(v[n].error));
		read_views(&v[n], node);
		n++;
	}
	print_grid(f, v, n, colour);
	fputs("\nrows ask, columns are asked: hit ratio of what was answered, -loss on the way there (?: not known)\n",
	      f);
	for (size_t i = 0; i < n; i++)
		if (v[i].error[0])
			fprintf(f, "%s did not say: %s\n", v[i].name, v[i].error);
	for (size_t i = 0; i < n; i++)
		free(v[i].v);
	free(v);
	return true;
}

/* ---- the command ---- */

struct wish {
	bool watch, matrix, wide;
};

static int show_once(const struct ctl *c, const struct wish *w)
{
	char *json, *text = NULL;
	size_t n = 0;
	bool colour = ctl_wants_colour(), good;
	int code = w->matrix ? ctl_control_ask_long(c->control, "matrix", &json)
			     : ctl_control_ask(c->control, "peers", &json);
	FILE *f;

	if (code != CTL_OK)
		return code;
	if (c->json) {
		fputs(json, stdout);
		free(json);
		return ctl_finish();
	}
	f = open_memstream(&text, &n); /* whole pictures, so that a redrawn one does not flicker */
	good = f && ctl_json_is_good(span_str(json)) &&
	       (w->matrix ? ctl_peers_print_matrix
		: w->wide ? ctl_peers_print_wide
			  : ctl_peers_print)(f, span_str(json), colour);
	if (f)
		fclose(f);
	free(json);
	if (good) {
		if (w->watch && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		fputs(text, stdout);
	} else {
		ctl_say("the daemon's answer is not understood");
	}
	free(text);
	return good ? ctl_finish() : CTL_FAILED;
}

static int take(void *wish, struct ctl_args *a)
{
	struct wish *w = wish;

	if (ctl_flag(a, "--watch"))
		return w->watch = true;
	if (ctl_flag(a, "--wide"))
		return w->wide = true;
	return ctl_flag(a, "--matrix") ? w->matrix = true : 0;
}

int ctl_peers(struct ctl *c, struct ctl_args *a)
{
	struct wish w = {0};
	int code = ctl_read_words(c, a, "peers", take, &w);

	if (code == CTL_OK && w.matrix && w.wide) {
		ctl_say("--wide is for what one node sees, not for --matrix");
		code = CTL_USAGE;
	}
	if (code == CTL_OK)
		code = ctl_load(c);
	if (code == CTL_OK)
		code = show_once(c, &w);
	while (code == CTL_OK && w.watch) {
		sleep(WATCH_S);
		code = show_once(c, &w);
	}
	return code;
}
