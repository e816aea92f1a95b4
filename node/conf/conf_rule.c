/* Settings that are lists of rules: cache.classes. */
#include "node/conf/conf_internal.h"

#include "node/base/mem.h"

static const char class_words[] = "immutable|mutable|pass";

enum { RULE_HOST, RULE_PATH, RULE_CLASS, RULE_TTL, N_RULE_KEYS };

static const char *const rule_keys[N_RULE_KEYS] = {"host", "path", "class", "ttl"};

static const struct conf_row rule_ttl = {.key = "cache.classes",
					 .width = sizeof(((struct policy_class_rule *)0)->ttl),
					 .min = DUR_SECOND,
					 .max = 365 * DUR_DAY};

static int rule_glob(const struct conf_row *row, const struct conf_yaml *y, bool is_path, char **out,
		     struct conf_errors *e)
{
	const char *text = conf__clean_text(row, y, false, e);

	if (!text)
		return -1;
	if (is_path && text[0] != '/' && text[0] != '*') {
		conf__say(e, y->line, row->key, "path \"" CONF_SHOWN "\" begins neither with / nor with *", text);
		return -1;
	}
	if (!is_path && strpbrk(text, ":/[] ")) {
		conf__say(e, y->line, row->key, "host \"" CONF_SHOWN "\" is a name without scheme and port", text);
		return -1;
	}
	*out = span_dup(span_str(text));
	return 0;
}

static int rule_value(const struct conf_row *row, const struct conf_yaml *y, int which, struct policy_class_rule *r,
		      struct conf_errors *e)
{
	unsigned class;

	switch (which) {
	case RULE_HOST:
		return rule_glob(row, y, false, &r->host, e);
	case RULE_PATH:
		return rule_glob(row, y, true, &r->path, e);
	case RULE_CLASS:
		if (conf__parse_word(row, y, class_words, &class, e) < 0)
			return -1;
		r->class = (enum policy_class) class;
		return 0;
	default:
		return conf__duration.parse(&rule_ttl, y, &r->ttl, e);
	}
}

static int rule_key(const char *key)
{
	for (int i = 0; i < N_RULE_KEYS; i++)
		if (strcmp(key, rule_keys[i]) == 0)
			return i;
	return -1;
}

/* Fills r, which the caller frees also when it is wrong. */
static int parse_rule(const struct conf_row *row, const struct conf_yaml *y, struct policy_class_rule *r,
		      struct conf_errors *e)
{
	bool seen[N_RULE_KEYS] = {false};
	unsigned before = e->count;

	if (y->kind != CONF_YAML_MAP) {
		conf__say(e, y->line, row->key, "each rule is a map such as {path: \"*.whl\", class: immutable}");
		return -1;
	}
	for (const struct conf_yaml *v = y->first; v && e->count < CONF_MAX_ERRORS; v = v->next) {
		int which = rule_key(v->key);

		if (which < 0) {
			conf__say(e, v->key_line, row->key,
				  "unknown key \"" CONF_SHOWN "\" in a rule; it can be host, path, class or ttl",
				  v->key);
		} else if (seen[which]) {
			conf__say(e, v->key_line, row->key, "%s is given twice in one rule", v->key);
		} else {
			seen[which] = true;
			rule_value(row, v, which, r, e);
		}
	}
	if (e->count == before && !seen[RULE_CLASS])
		conf__say(e, y->line, row->key, "a rule needs a class: immutable, mutable or pass");
	if (e->count == before && !seen[RULE_HOST] && !seen[RULE_PATH])
		conf__say(e, y->line, row->key, "a rule needs a host, a path, or both");
	if (e->count == before && seen[RULE_TTL] && r->class != POLICY_CLASS_MUTABLE)
		conf__say(e, y->line, row->key, "ttl has a meaning for class mutable only");
	return e->count == before ? 0 : -1;
}

static int parse_classes(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct policy_cache *cache = field;
	struct policy_class_rule *got = NULL;
	size_t n = 0;
	int rc = 0;

	if (y->kind != CONF_YAML_LIST) {
		conf__say(e, y->line, row->key, "a list of rules is expected");
		return -1;
	}
	for (const struct conf_yaml *el = y->first; el; el = el->next) {
		got = mem_realloc(got, (n + 1) * sizeof(*got));
		got[n] = (struct policy_class_rule){0};
		if (parse_rule(row, el, &got[n++], e) < 0)
			rc = -1;
	}
	if (rc < 0) {
		policy_classes_fini(&got, &n);
		return -1;
	}
	policy_classes_fini(&cache->classes, &cache->n_classes);
	cache->classes = got;
	cache->n_classes = n;
	return 0;
}

static void print_rule(const struct policy_class_rule *r, FILE *out)
{
	putc('{', out);
	if (r->host) {
		fputs("host: ", out);
		conf__format_text(r->host, out);
		fputs(", ", out);
	}
	if (r->path) {
		fputs("path: ", out);
		conf__format_text(r->path, out);
		fputs(", ", out);
	}
	fprintf(out, "class: %.*s", SPAN_ARG(conf__choice_at(class_words, r->class)));
	if (r->ttl) {
		fputs(", ttl: ", out);
		conf__duration.format(&rule_ttl, &r->ttl, out);
	}
	putc('}', out);
}

static void format_classes(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_cache *cache = field;

	(void)row;
	putc('[', out);
	for (size_t i = 0; i < cache->n_classes; i++) {
		conf__separate(i, out);
		print_rule(&cache->classes[i], out);
	}
	putc(']', out);
}

const struct conf_type conf__classes = {
	.name = "rules",
	.explain = "a list of maps with `host` and `path` (globs: `*` any characters, `?` one), `class` and `ttl`",
	.parse = parse_classes,
	.format = format_classes,
};
