/* pmcachectl explain: would this URL be a hit here, and if not, why, and which node has it. */
#include "node/ctl/ctl_explain.h"

#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_table.h"

#define URL_BYTES 16384
#define TEXT_BYTES 300

struct meaning {
	const char *word, *text;
	enum ctl_colour colour;
};

static const struct meaning classes[] = {
	{"immutable", "immutable: what this URL names never changes", CTL_PLAIN},
	{"mutable", "mutable: may change, so it is fresh for a limited time", CTL_PLAIN},
	{"pass", "pass: never stored", CTL_PLAIN},
};

static const struct meaning outcomes[] = {
	{"hit", "a hit: from the cache of this node", CTL_GREEN},
	{"stale-hit", "a stale hit: from the cache of this node, and fetched anew meanwhile", CTL_GREEN},
	{"join", "a hit on what somebody is fetching", CTL_GREEN},
	{"revalidate", "asked for whether it has changed, and sent from here if not", CTL_YELLOW},
	{"fetch", "a miss: has to be fetched", CTL_YELLOW},
	{"bypass", "fetched, and not stored", CTL_DIM},
};

static const struct meaning states[] = {
	{"fresh", "fresh", CTL_GREEN},
	{"stale", "stale", CTL_YELLOW},
	{"pending", "somebody is fetching it", CTL_YELLOW},
	{"private", "marked private: its answers cannot be shared", CTL_DIM},
	{"absent", "not here", CTL_YELLOW},
};

static const struct meaning holdings[] = {
	{"whole", "has it", CTL_GREEN},
	{"growing", "is fetching it", CTL_YELLOW},
};

static const struct meaning *meaning_of(const struct meaning *v, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].word, word) == 0)
			return &v[i];
	return NULL;
}

#define MEANING_OF(table, word) meaning_of(table, sizeof(table) / sizeof((table)[0]), word)

/* The word itself where a later daemon says what we do not know. */
static void put_meaning(FILE *f, bool colour, const struct meaning *m, const char *word)
{
	ctl_put_coloured(f, colour, m ? m->colour : CTL_PLAIN, m ? m->text : word);
}

static void put_label(FILE *f, const char *label)
{
	fprintf(f, "  %-10s", label);
}

static void print_here(FILE *f, struct span here, bool colour)
{
	char state[64], on[16], why[TEXT_BYTES], number[CTL_NUMBER_BYTES];
	bool fresh, stale;

	ctl_json_text(here, "state", state, sizeof(state));
	ctl_json_text(here, "why", why, sizeof(why));
	fresh = strcmp(state, "fresh") == 0;
	stale = strcmp(state, "stale") == 0;
	put_label(f, "here");
	put_meaning(f, colour, MEANING_OF(states, state), state);
	if (strcmp(ctl_json_text(here, "on", on, sizeof(on)), "disk") == 0)
		fputs(" on disk", f);
	if (ctl_json_has(here, "age_s"))
		fprintf(f, ", %s old", ctl_format_s(ctl_json_u64(here, "age_s"), number));
	if (fresh && ctl_json_has(here, "ttl_s"))
		fprintf(f, ", good for %s", ctl_format_s(ctl_json_u64(here, "ttl_s"), number));
	else if (fresh)
		fputs(", good for ever", f);
	if (stale && ctl_json_number(here, "ttl_s") < 0)
		fprintf(f, ", for %s", ctl_format_s((uint64_t)-ctl_json_number(here, "ttl_s"), number));
	if (ctl_json_u64(here, "size"))
		fprintf(f, ", %s", ctl_format_bytes(ctl_json_u64(here, "size"), number));
	if (*why && strcmp(why, "none") != 0)
		fprintf(f, ": %s", why);
	fputc('\n', f);
}

static void print_siblings(FILE *f, struct span json, bool colour)
{
	struct span rest = ctl_json_get(json, "siblings"), sibling;
	unsigned long long asked = ctl_json_u64(json, "asked"), n = 0;

	for (; ctl_json_next(&rest, &sibling); n++) {
		char node[80], has[32];

		put_label(f, n ? "" : "siblings");
		fprintf(f, "%s ", ctl_json_text(sibling, "node", node, sizeof(node)));
		ctl_json_text(sibling, "has", has, sizeof(has));
		put_meaning(f, colour, MEANING_OF(holdings, has), has);
		fputc('\n', f);
	}
	if (n)
		return;
	put_label(f, "siblings");
	if (asked)
		fprintf(f, "%llu asked, nobody has it\n", asked);
	else
		fputs("nobody was asked\n", f);
}

bool ctl_explain_print(FILE *f, struct span json, bool colour)
{
	char url[URL_BYTES], word[64], parent[80];

	if (!ctl_json_has(json, "url") || !ctl_json_has(json, "here"))
		return false;
	ctl_put_coloured(f, colour, CTL_BOLD, ctl_json_text(json, "url", url, sizeof(url)));
	fputc('\n', f);
	put_label(f, "would be");
	ctl_json_text(json, "would", word, sizeof(word));
	put_meaning(f, colour, MEANING_OF(outcomes, word), word);
	fputc('\n', f);
	print_here(f, ctl_json_get(json, "here"), colour);
	put_label(f, "class");
	ctl_json_text(json, "class", word, sizeof(word));
	put_meaning(f, colour, MEANING_OF(classes, word), word);
	fputc('\n', f);
	print_siblings(f, json, colour);
	if (ctl_json_has(json, "parent")) {
		put_label(f, "parent");
		fprintf(f, "%s\n", ctl_json_text(json, "parent", parent, sizeof(parent)));
	}
	put_label(f, "key");
	ctl_json_text(json, "key", parent, sizeof(parent));
	ctl_put_coloured(f, colour, CTL_DIM, parent);
	fputc('\n', f);
	return true;
}

static int show(const struct ctl *c, const char *url)
{
	char *request = ctl_text("explain %s", url), *json;
	int code = ctl_control_ask_long(c->control, request, &json);

	free(request);
	if (code != CTL_OK)
		return code;
	if (c->json) {
		fputs(json, stdout);
	} else if (!ctl_json_is_good(span_str(json)) ||
		   !ctl_explain_print(stdout, span_str(json), ctl_wants_colour())) {
		ctl_say("the daemon's answer is not understood");
		code = CTL_FAILED;
	}
	free(json);
	return code == CTL_OK ? ctl_finish() : code;
}

int ctl_explain(struct ctl *c, struct ctl_args *a)
{
	const char *url;
	int code = ctl_read_url(c, a, "explain", &url);

	if (code == CTL_OK)
		code = ctl_load(c);
	return code == CTL_OK ? show(c, url) : code;
}
