/* Texts, names and paths: how they are read from YAML, written as YAML, and freed. */
#include "node/conf/conf_internal.h"

#include "node/base/mem.h"
#include "node/tls/nodecert.h"

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

/* ---- the types ---- */

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
