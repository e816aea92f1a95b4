/* Settings of a single value: how each type is read from YAML, written as YAML, and freed. And what other types need of that. */
#include "node/conf/conf_internal.h"

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/tls/nodecert.h"

#define CONF_SHOWN "%.60s" /* a value in an error text */
/* ---- what many types need ---- */

const char *conf__scalar(const struct conf_row *row, const struct conf_yaml *y, struct conf_errors *e)
{
	if (y->kind != CONF_YAML_SCALAR) {
		conf__say(e, y->line, row->key, "a single value is expected, not a %s",
			  y->kind == CONF_YAML_MAP ? "map" : "list");
		return NULL;
	}
	if (conf_yaml_is_null(y)) {
		conf__say(e, y->key ? y->key_line : y->line, row->key, "no value; leave the key out for the default%s",
			  row->none ? ", or write \"\" for none" : "");
		return NULL;
	}
	return y->text;
}

const char *conf__clean_text(const struct conf_row *row, const struct conf_yaml *y, bool may_be_empty,
			     struct conf_errors *e)
{
	const char *text = conf__scalar(row, y, e);

	if (!text)
		return NULL;
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			conf__say(e, y->line, row->key, "control characters are not allowed");
			return NULL;
		}
	}
	if (!*text && !may_be_empty) {
		conf__say(e, y->line, row->key, "must not be empty");
		return NULL;
	}
	return text;
}

int conf__elements(const struct conf_row *row, const struct conf_yaml *y, const struct conf_yaml **first,
		   struct conf_errors *e)
{
	*first = NULL;
	if (y->kind == CONF_YAML_LIST) {
		*first = y->first;
	} else if (y->kind == CONF_YAML_MAP) {
		conf__say(e, y->line, row->key, "a list is expected, not a map");
		return -1;
	} else {
		if (!conf__scalar(row, y, e))
			return -1;
		*first = y->text[0] ? y : NULL;
	}
	if (!*first && row->filled) {
		conf__say(e, y->line, row->key, "must not be empty");
		return -1;
	}
	return 0;
}

const struct conf_yaml *conf__after(const struct conf_yaml *list, const struct conf_yaml *el)
{
	return el == list ? NULL : el->next;
}

static void store(const struct conf_row *row, void *field, uint64_t v)
{
	switch (row->width) {
	case 1:
		*(uint8_t *)field = (uint8_t)v;
		return;
	case 4:
		*(uint32_t *)field = (uint32_t)v;
		return;
	case 8:
		*(uint64_t *)field = v;
		return;
	}
	check_failed(__FILE__, __LINE__, __func__, row->key);
}

static uint64_t load(const struct conf_row *row, const void *field)
{
	switch (row->width) {
	case 1:
		return *(const uint8_t *)field;
	case 4:
		return *(const uint32_t *)field;
	case 8:
		return *(const uint64_t *)field;
	}
	check_failed(__FILE__, __LINE__, __func__, row->key);
}

static void fini_text(void *field)
{
	free(*(char **)field);
	*(char **)field = NULL;
}

void conf__replace_text(void *field, const char *text)
{
	fini_text(field);
	*(char **)field = text ? span_dup(span_str(text)) : NULL;
}

/* ---- numbers ---- */

struct unit {
	const char *word;
	uint64_t factor;
};

/* Largest first: the first that divides a value is the one it is written in. */
static const struct unit sizes[] = {
	{"TB", 1ull << 40},  {"GB", 1ull << 30},  {"MB", 1ull << 20},  {"KB", 1ull << 10}, {"TiB", 1ull << 40},
	{"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"B", 1},           {NULL, 0}};
static const struct unit durations[] = {{"d", DUR_DAY},    {"h", DUR_HOUR}, {"m", DUR_MINUTE},
					{"s", DUR_SECOND}, {"ms", 1},       {NULL, 0}};
static const struct unit no_units[] = {{NULL, 0}};
static const struct unit percents[] = {{"%", 1}, {NULL, 0}};

/* "4 MB". Factor 1 without unit, if `bare` allows that. */
static int number_of(const char *text, const struct unit *units, bool bare, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	struct span word = span_trim(span_from(span_str(text), digits));
	uint64_t v, factor = 0;

	if (span_to_u64(span_of(text, digits), &v) < 0)
		return -1;
	if (word.n == 0 && (bare || v == 0))
		factor = 1;
	for (; !factor && units->word; units++)
		if (span_eq_icase(word, span_str(units->word)))
			factor = units->factor;
	if (!factor || v > INT64_MAX / factor)
		return -1;
	*out = v * factor;
	return 0;
}

static void print_number(uint64_t v, const struct unit *units, FILE *out)
{
	while (units->word && (v == 0 || v % units->factor))
		units++;
	if (units->word && units->factor > 1)
		fprintf(out, "%llu%s", (unsigned long long)(v / units->factor), units->word);
	else
		fprintf(out, "%llu", (unsigned long long)v);
}

/* 0 needs no unit; other milliseconds always have one. */
static void print_duration(uint64_t v, FILE *out)
{
	if (v % DUR_SECOND)
		fprintf(out, "%llums", (unsigned long long)v);
	else
		print_number(v, durations, out);
}

static int in_bounds(const struct conf_row *row, const struct conf_yaml *y, uint64_t v, void (*print)(uint64_t, FILE *),
		     struct conf_errors *e)
{
	char text[96];
	FILE *out;

	if (v >= row->min && v <= row->max)
		return 0;
	out = fmemopen(text, sizeof(text), "w");
	CHECK_THAT(out);
	print(row->min, out);
	fputs(" to ", out);
	print(row->max, out);
	fclose(out);
	conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is out of bounds; allowed is %s", y->text, text);
	return -1;
}

static void print_plain(uint64_t v, FILE *out)
{
	print_number(v, no_units, out);
}

static void print_size(uint64_t v, FILE *out)
{
	print_number(v, sizes, out);
}

static void print_percent(uint64_t v, FILE *out)
{
	fprintf(out, "%llu%%", (unsigned long long)v);
}

static int parse_number(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e,
			const struct unit *units, bool bare, void (*print)(uint64_t, FILE *), const char *example)
{
	const char *text = conf__scalar(row, y, e);
	uint64_t v;

	if (!text)
		return -1;
	if (number_of(text, units, bare, &v) < 0) {
		conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is not %s", text, example);
		return -1;
	}
	if (in_bounds(row, y, v, print, e) < 0)
		return -1;
	store(row, field, v);
	return 0;
}

static int parse_count(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, no_units, true, print_plain, "a whole number");
}

static int parse_size(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, sizes, true, print_size,
			    "a size, such as 64KB, 4 MB, 1GB or plain bytes");
}

static int parse_duration(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, durations, false, print_duration,
			    "a duration, such as 500ms, 10s, 2m, 1h or 1d");
}

static int parse_percent(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, percents, true, print_percent, "a percentage, such as 95 or 95%");
}

static void format_count(const struct conf_row *row, const void *field, FILE *out)
{
	print_plain(load(row, field), out);
}

static void format_size(const struct conf_row *row, const void *field, FILE *out)
{
	print_size(load(row, field), out);
}

static void format_duration(const struct conf_row *row, const void *field, FILE *out)
{
	print_duration(load(row, field), out);
}

static void format_percent(const struct conf_row *row, const void *field, FILE *out)
{
	print_percent(load(row, field), out);
}

static int parse_loops(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	if (y->kind == CONF_YAML_SCALAR && span_eq_icase(span_str(y->text), SPAN("auto"))) {
		store(row, field, 0);
		return 0;
	}
	return parse_number(row, y, field, e, no_units, true, print_plain, "auto or a whole number");
}

static void format_loops(const struct conf_row *row, const void *field, FILE *out)
{
	uint64_t v = load(row, field);

	if (v)
		print_plain(v, out);
	else
		fputs("auto", out);
}

/* ---- words ---- */

static int parse_bool(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	static const char *const words[][2] = {{"off", "on"}, {"no", "yes"}, {"false", "true"}};
	const char *text = conf__scalar(row, y, e);

	if (!text)
		return -1;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (size_t v = 0; v < 2; v++) {
			if (span_eq_icase(span_str(text), span_str(words[i][v]))) {
				store(row, field, v);
				return 0;
			}
		}
	}
	conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is neither on nor off", text);
	return -1;
}

static void format_bool(const struct conf_row *row, const void *field, FILE *out)
{
	fputs(load(row, field) ? "on" : "off", out);
}

/* The place of a word in "a|b|!c", with the part itself; -1 when it is not there. */
static int choice_of(const char *choice, struct span word, struct span *part)
{
	struct span rest = span_str(choice);

	for (int i = 0; span_cut(&rest, '|', part); i++) {
		struct span bare = part->p[0] == '!' ? span_from(*part, 1) : *part;

		if (span_eq_icase(bare, word))
			return i;
	}
	return -1;
}

static void print_choices(const char *choice, FILE *out)
{
	struct span rest = span_str(choice), part;
	bool first = true;

	while (span_cut(&rest, '|', &part)) {
		if (part.p[0] == '!')
			continue;
		fprintf(out, "%s%.*s", first ? "" : rest.p && rest.p[0] != '!' ? ", " : " or ", SPAN_ARG(part));
		first = false;
	}
}

int conf__parse_word(const struct conf_row *row, const struct conf_yaml *y, const char *choice, unsigned *out,
		     struct conf_errors *e)
{
	const char *text = conf__scalar(row, y, e);
	char words[120] = "";
	struct span part;
	FILE *list;
	int i;

	if (!text)
		return -1;
	i = choice_of(choice, span_str(text), &part);
	if (i >= 0 && part.p[0] != '!') {
		*out = (unsigned)i;
		return 0;
	}
	list = fmemopen(words, sizeof(words), "w");
	CHECK_THAT(list);
	print_choices(choice, list);
	fclose(list);
	if (i >= 0)
		conf__say(e, y->line, row->key, "%s is not in this version; it knows %s", text, words);
	else
		conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is not known; it can be %s", text, words);
	return -1;
}

static int parse_enum(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	unsigned v;

	if (conf__parse_word(row, y, row->choice, &v, e) < 0)
		return -1;
	store(row, field, v);
	return 0;
}

struct span conf__choice_at(const char *choice, uint64_t n)
{
	struct span rest = span_str(choice), part = SPAN_NONE;

	while (span_cut(&rest, '|', &part) && n--)
		;
	return part;
}

static void format_enum(const struct conf_row *row, const void *field, FILE *out)
{
	fprintf(out, "%.*s", SPAN_ARG(conf__choice_at(row->choice, load(row, field))));
}

/* ---- texts and paths ---- */

static int parse_text(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	const char *text = conf__clean_text(row, y, row->none != NULL, e);

	if (!text)
		return -1;
	if (row->max && strlen(text) > row->max) {
		conf__say(e, y->line, row->key, "longer than %llu bytes", (unsigned long long)row->max);
		return -1;
	}
	if (row->none && (!*text || strcmp(text, row->none) == 0))
		text = NULL;
	conf__replace_text(field, text);
	return 0;
}

static void format_text(const struct conf_row *row, const void *field, FILE *out)
{
	const char *text = *(char *const *)field;

	conf__format_text(text ? text : row->none ? row->none : "", out);
}

static int parse_name(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	const char *text = conf__clean_text(row, y, false, e);
	size_t n;

	if (!text)
		return -1;
	n = strlen(text);
	if (n > row->max || strspn(text, letters) != n) {
		conf__say(e, y->line, row->key,
			  "\"" CONF_SHOWN "\" is not a name of at most %llu letters, digits, '.', '-' and '_'", text,
			  (unsigned long long)row->max);
		return -1;
	}
	conf__replace_text(field, text);
	return 0;
}

/* One host name, such as the SRV record's; "" for none. */
static int parse_domain(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	const char *text = conf__clean_text(row, y, true, e);
	char *host;

	if (!text)
		return -1;
	host = *text ? conf__domain_of(text) : NULL;
	if (*text && !host) {
		conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is not a host name", text);
		return -1;
	}
	conf__replace_text(field, host);
	free(host);
	return 0;
}

/* Names of clusters and nodes, as certificates have them; "" for none where the row allows it. */
static int parse_node_name(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	const char *text = conf__clean_text(row, y, row->none != NULL, e);

	if (!text)
		return -1;
	if (*text && !nodecert_name_is_good(span_str(text))) {
		conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is not " CONF_NODE_NAME, text);
		return -1;
	}
	conf__replace_text(field, *text ? text : NULL);
	return 0;
}

/* "file:PATH" and PATH mean the same: a secret itself never stands in the configuration. */
static int parse_secret_path(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	const char *text = conf__clean_text(row, y, true, e);

	if (!text)
		return -1;
	if (strncmp(text, "file:", 5) == 0)
		text += 5;
	conf__replace_text(field, *text ? text : NULL);
	return 0;
}

/* ---- what a later version will know ---- */

/* Only a value that says what this version does anyway is let through (`standard`, where it has one). */
static int parse_later(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	bool is_empty_list = y->kind == CONF_YAML_LIST && !y->first;

	(void)field;
	if (row->standard && is_empty_list && strcmp(row->standard, "[]") == 0)
		return 0;
	if (row->standard && y->kind == CONF_YAML_SCALAR && span_eq_icase(span_str(y->text), span_str(row->standard)))
		return 0;
	conf__say(e, y->key ? y->key_line : y->line, row->key, "not in this version: %s%s%s", row->help,
		  row->standard ? "; can only be " : "; leave it out", row->standard ? row->standard : "");
	return -1;
}

/* ---- the types ---- */

const struct conf_type conf__bool = {
	.name = "switch",
	.explain = "`on` or `off` (also `yes`, `no`, `true`, `false`)",
	.parse = parse_bool,
	.format = format_bool,
};
const struct conf_type conf__count = {
	.name = "number",
	.explain = "a whole number",
	.parse = parse_count,
	.format = format_count,
};
const struct conf_type conf__loops = {
	.name = "number or auto",
	.explain = "a whole number, or `auto`",
	.parse = parse_loops,
	.format = format_loops,
};
const struct conf_type conf__size = {
	.name = "size",
	.explain = "`64KB`, `4 MB`, `1GB`, `1TB` in powers of 1024, or plain bytes",
	.parse = parse_size,
	.format = format_size,
};
const struct conf_type conf__duration = {
	.name = "duration",
	.explain = "`500ms`, `10s`, `2m`, `1h`, `1d`",
	.parse = parse_duration,
	.format = format_duration,
};
const struct conf_type conf__percent = {
	.name = "percentage",
	.explain = "`95` or `95%`",
	.parse = parse_percent,
	.format = format_percent,
};
const struct conf_type conf__enum = {
	.name = "word",
	.explain = "one of the words given",
	.parse = parse_enum,
	.format = format_enum,
};
const struct conf_type conf__name = {
	.name = "name",
	.explain = "letters, digits, `.`, `-` and `_`",
	.parse = parse_name,
	.format = format_text,
	.fini = fini_text,
};
const struct conf_type conf__node_name = {
	.name = "name in a cluster",
	.explain = "1 to 48 letters, digits, `.`, `-` and `_`, the first a letter or digit",
	.parse = parse_node_name,
	.format = format_text,
	.fini = fini_text,
};
const struct conf_type conf__text = {
	.name = "text",
	.explain = "any text",
	.parse = parse_text,
	.format = format_text,
	.fini = fini_text,
};
const struct conf_type conf__domain = {
	.name = "domain",
	.explain = "a host name",
	.parse = parse_domain,
	.format = format_text,
	.fini = fini_text,
};
const struct conf_type conf__kept_path = {
	.name = "path below state",
	.explain = "a path; a relative one starts at `state`",
	.parse = parse_text,
	.format = format_text,
	.fini = fini_text,
	.base = CONF_BASE_STATE,
};
const struct conf_type conf__kept_secret = {
	.name = "secret below state",
	.explain =
		"a path, with or without `file:` before it, of a regular file that only its owner can read; a relative one starts at `state`",
	.parse = parse_secret_path,
	.format = format_text,
	.fini = fini_text,
	.base = CONF_BASE_STATE,
};
const struct conf_type conf__read_path = {
	.name = "file",
	.explain = "a path; a relative one starts at the folder of the configuration file",
	.parse = parse_text,
	.format = format_text,
	.fini = fini_text,
	.base = CONF_BASE_FILE,
};
const struct conf_type conf__folder = {
	.name = "folder",
	.explain = "a path; a relative one starts at the folder of the configuration file",
	.parse = parse_text,
	.format = format_text,
	.fini = fini_text,
	.base = CONF_BASE_FILE,
};
const struct conf_type conf__secret_path = {
	.name = "secret file",
	.explain = "a path, with or without `file:` before it, of a regular file that only its owner can read",
	.parse = parse_secret_path,
	.format = format_text,
	.fini = fini_text,
	.base = CONF_BASE_FILE,
};
const struct conf_type conf__later = {
	.name = "later",
	.explain = "not in this version",
	.parse = parse_later,
};
