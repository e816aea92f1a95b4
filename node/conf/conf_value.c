/* What the types of a single value share: the scalar, its place in the struct. And those that are words: switches, enums, what a later version
 * will know. */
#include "node/conf/conf_internal.h"

#include "node/base/check.h"

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

void conf__store(const struct conf_row *row, void *field, uint64_t v)
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

uint64_t conf__load(const struct conf_row *row, const void *field)
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
				conf__store(row, field, v);
				return 0;
			}
		}
	}
	conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is neither on nor off", text);
	return -1;
}

static void format_bool(const struct conf_row *row, const void *field, FILE *out)
{
	fputs(conf__load(row, field) ? "on" : "off", out);
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
	conf__store(row, field, v);
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
	fprintf(out, "%.*s", SPAN_ARG(conf__choice_at(row->choice, conf__load(row, field))));
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
const struct conf_type conf__enum = {
	.name = "word",
	.explain = "one of the words given",
	.parse = parse_enum,
	.format = format_enum,
};
const struct conf_type conf__later = {
	.name = "later",
	.explain = "not in this version",
	.parse = parse_later,
};
