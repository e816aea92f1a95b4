/* Writing: the values in effect, and the reference. */
#include "node/conf/conf_internal.h"

#include "node/base/check.h"

void conf__format_text(const char *text, FILE *out)
{
	putc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		putc(*text, out);
	}
	putc('"', out);
}

void conf__format_row(const struct conf *c, const struct conf_row *row, FILE *out)
{
	const char *base = row->in_policy ? (const char *)c->policy : (const char *)c;

	row->type->format(row, base + row->offset, out);
}

/* The length of the sections that two keys share, dots included. */
static size_t shared_sections(const char *a, const char *b)
{
	size_t n = 0;

	for (size_t i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '.')
			n = i + 1;
	return n;
}

static void indent(size_t depth, FILE *out)
{
	fprintf(out, "%*s", (int)(2 * depth), "");
}

/* "cache.memory.size" behind "cache.max_object": the headings that are new, then "size: ". */
static void print_key(const char *last, const char *key, FILE *out)
{
	size_t known = shared_sections(last, key), depth = 0;
	struct span rest;

	for (size_t i = 0; i < known; i++)
		depth += key[i] == '.';
	rest = span_str(key + known);
	while (span_find(rest, '.') < rest.n) {
		struct span part;

		span_cut(&rest, '.', &part);
		indent(depth++, out);
		fprintf(out, "%.*s:\n", SPAN_ARG(part));
	}
	indent(depth, out);
	fprintf(out, "%.*s: ", SPAN_ARG(rest));
}

void conf_dump(const struct conf *c, FILE *out)
{
	const char *last = "";

	CHECK(c, CONF_MAGIC);
	for (size_t i = 0; i < conf__n_rows; i++) {
		const struct conf_row *row = &conf__rows[i];

		if (!row->type->format)
			continue;
		print_key(last, row->key, out);
		conf__format_row(c, row, out);
		putc('\n', out);
		last = row->key;
	}
}

/* ---- the reference ---- */

static const char intro[] =
	"# Configuration\n"
	"\n"
	"This text is made by `pmcached --config-reference` from the table that also reads the file (`node/conf/conf_schema.c`).\n"
	"\n"
	"`pmcached -c FILE` reads a file in YAML. Without one the defaults below are in effect. An unknown key, a value out of\n"
	"bounds or a file that is missing stops the start, with the line of each fault; a reload (SIGHUP) with any fault changes\n"
	"nothing. `pmcached --check-config -c FILE` only checks, `pmcached --dump-config -c FILE` prints the values in effect.\n"
	"`conf/edge.yaml` shows every setting with its default, `conf/cluster-edge.yaml` and `conf/parent.yaml` two nodes of a\n"
	"cluster.\n"
	"\n"
	"Keys are nested maps: `cache.memory.size` below is `cache: {memory: {size: 1GB}}`. A list with one element may be\n"
	"written without brackets. Anchors, aliases, merge keys and tags of YAML are not read. Settings marked *restart* are read\n"
	"at start only; after a reload the log names those whose change waits for a restart. Passwords never stand in this file,\n"
	"but in files that it names.\n"
	"\n"
	"## Types\n"
	"\n"
	"| Type | Written as |\n"
	"|---|---|\n";

static bool is_first_of_type(size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (conf__rows[i].type == conf__rows[row].type)
			return false;
	return conf__rows[row].type != &conf__later;
}

static void write_types(FILE *out)
{
	for (size_t i = 0; i < conf__n_rows; i++)
		if (is_first_of_type(i))
			fprintf(out, "| %s | %s |\n", conf__rows[i].type->name, conf__rows[i].type->explain);
}

static void write_choices(const char *choice, FILE *out)
{
	struct span rest = span_str(choice), word;
	bool first = true;

	while (span_cut(&rest, '|', &word)) {
		if (word.p[0] == '!')
			continue;
		fprintf(out, "%s`%.*s`", first ? "" : ", ", SPAN_ARG(word));
		first = false;
	}
}

static void write_row(const struct conf_row *row, FILE *out)
{
	fprintf(out, "| `%s` | ", row->key);
	if (row->choice)
		write_choices(row->choice, out);
	else
		fputs(row->type->name, out);
	if (row->standard)
		fprintf(out, " | `%s` | ", row->standard);
	else
		fputs(" | see text | ", out);
	fprintf(out, "%s | %s |\n", row->live ? "reload" : "*restart*", row->help);
}

/* "cache" of "cache.memory.size"; keys without a section are in "General". */
static struct span heading(const char *key)
{
	struct span s = span_str(key);
	size_t dot = span_find(s, '.');

	return dot < s.n ? span_upto(s, dot) : SPAN("General");
}

static void write_rows(FILE *out)
{
	struct span last = SPAN_NONE;

	for (size_t i = 0; i < conf__n_rows; i++) {
		const struct conf_row *row = &conf__rows[i];
		struct span head = heading(row->key);

		if (row->type == &conf__later)
			continue;
		if (!span_eq(head, last))
			fprintf(out,
				"\n## %.*s\n\n| Key | Type | Default | Applied at | Meaning |\n|---|---|---|---|---|\n",
				SPAN_ARG(head));
		write_row(row, out);
		last = head;
	}
}

static void write_later(FILE *out)
{
	fputs("\n## Not in this version\n\nThese keys are refused, so that no file promises what the node does not do.\n\n"
	      "| Key | Accepted | Why |\n|---|---|---|\n",
	      out);
	for (size_t i = 0; i < conf__n_rows; i++) {
		const struct conf_row *row = &conf__rows[i];

		if (row->type == &conf__later)
			fprintf(out, "| `%s` | %s%s%s | %s |\n", row->key, row->standard ? "`" : "nothing",
				row->standard ? row->standard : "", row->standard ? "`" : "", row->help);
	}
}

void conf_reference_write(FILE *out)
{
	fputs(intro, out);
	write_types(out);
	write_rows(out);
	write_later(out);
}
