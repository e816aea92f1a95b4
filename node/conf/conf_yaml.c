#include "node/conf/conf_yaml.h"

#include <stdio.h>
#include <yaml.h>

#include "node/base/mem.h"

struct builder {
	yaml_parser_t parser;
	struct span text;
	struct conf_yaml *root;
	struct conf_yaml *open[CONF_YAML_MAX_DEPTH]; /* the lists and maps around the next event, outermost first */
	size_t depth, nodes;
	char *key; /* read, its value not yet; owned */
	unsigned key_line;
	bool done;
	struct conf_yaml_error *err;
};

static int fail(struct builder *b, unsigned line, const char *text)
{
	b->err->line = line;
	snprintf(b->err->text, sizeof(b->err->text), "%s", text);
	return -1;
}

static unsigned line_of(yaml_mark_t mark)
{
	return (unsigned)mark.line + 1;
}

/* Errors of the reader (bytes that are not UTF-8) have an offset only. */
static unsigned line_at(struct span text, size_t offset)
{
	unsigned line = 1;

	for (size_t i = 0; i < offset && i < text.n; i++)
		line += text.p[i] == '\n';
	return line;
}

static bool is_tabbed(struct span text, unsigned line)
{
	struct span row = SPAN_NONE;

	while (line-- && span_cut(&text, '\n', &row))
		;
	for (size_t i = 0; i < row.n && (row.p[i] == ' ' || row.p[i] == '\t'); i++)
		if (row.p[i] == '\t')
			return true;
	return false;
}

static int fail_syntax(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	const char *problem = p->problem ? p->problem : "not YAML";

	if (p->error == YAML_READER_ERROR)
		return fail(b, line_at(b->text, p->problem_offset), problem);
	if (p->error == YAML_SCANNER_ERROR && is_tabbed(b->text, line_of(p->problem_mark)))
		return fail(b, line_of(p->problem_mark), "a tab cannot indent in YAML; use spaces");
	if (p->context && strstr(p->context, "alias")) /* what `*.host.example` without quotes is to YAML */
		return fail(b, line_of(p->problem_mark), "a text that begins with * needs quotes");
	return fail(b, line_of(p->problem_mark), problem);
}

static struct conf_yaml *add_node(struct builder *b, enum conf_yaml_kind kind, unsigned line)
{
	struct conf_yaml *y = NEW(struct conf_yaml), *parent = b->depth ? b->open[b->depth - 1] : NULL;

	y->kind = kind;
	y->line = line;
	y->key = b->key;
	y->key_line = b->key_line;
	b->key = NULL;
	if (!parent)
		b->root = y;
	else if (parent->last)
		parent->last = parent->last->next = y;
	else
		parent->first = parent->last = y;
	return y;
}

/* True where a map waits for its next key. */
static bool wants_key(const struct builder *b)
{
	return b->depth && b->open[b->depth - 1]->kind == CONF_YAML_MAP && !b->key;
}

static int check_marks(struct builder *b, unsigned line, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return fail(b, line, "anchors (&name) are not read here; write the value out");
	if (tag)
		return fail(b, line, "tags (!name) are not read here");
	if (++b->nodes > CONF_YAML_MAX_NODES)
		return fail(b, line, "too many values");
	return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *ev)
{
	struct span text = span_of((const char *)ev->data.scalar.value, ev->data.scalar.length);
	unsigned line = line_of(ev->start_mark);
	struct conf_yaml *y;

	if (check_marks(b, line, ev->data.scalar.anchor, ev->data.scalar.tag) < 0)
		return -1;
	if (span_find(text, '\0') < text.n)
		return fail(b, line, "a NUL character");
	if (wants_key(b)) {
		if (span_eq(text, SPAN("<<")))
			return fail(b, line, "merge keys (<<) are not read here; write the settings out");
		b->key = span_dup(text);
		b->key_line = line;
		return 0;
	}
	y = add_node(b, CONF_YAML_SCALAR, line);
	y->text = span_dup(text);
	y->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return 0;
}

static int on_open(struct builder *b, enum conf_yaml_kind kind, const yaml_event_t *ev)
{
	unsigned line = line_of(ev->start_mark);
	const yaml_char_t *anchor =
		kind == CONF_YAML_MAP ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor;
	const yaml_char_t *tag = kind == CONF_YAML_MAP ? ev->data.mapping_start.tag : ev->data.sequence_start.tag;

	if (check_marks(b, line, anchor, tag) < 0)
		return -1;
	if (wants_key(b))
		return fail(b, line, "a key must be a plain word");
	if (b->depth == CONF_YAML_MAX_DEPTH)
		return fail(b, line, "nested too deeply");
	b->open[b->depth] = add_node(b, kind, line);
	b->depth++;
	return 0;
}

static int on_event(struct builder *b, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(b, ev);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, CONF_YAML_LIST, ev);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, CONF_YAML_MAP, ev);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_ALIAS_EVENT:
		return fail(b, line_of(ev->start_mark),
			    "aliases (*name) are not read here; a text that begins with * needs quotes");
	case YAML_DOCUMENT_START_EVENT:
		return b->root ? fail(b, line_of(ev->start_mark), "a second document; one file holds one") : 0;
	case YAML_STREAM_END_EVENT:
		b->done = true;
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return 0;
	}
	return fail(b, line_of(ev->start_mark), "not understood");
}

static int build(struct builder *b)
{
	while (!b->done) {
		yaml_event_t ev;
		int rc;

		if (!yaml_parser_parse(&b->parser, &ev))
			return fail_syntax(b);
		rc = on_event(b, &ev);
		yaml_event_delete(&ev);
		if (rc < 0)
			return -1;
	}
	if (!b->root)
		add_node(b, CONF_YAML_MAP, 1);
	return 0;
}

struct conf_yaml *conf_yaml_parse(struct span text, struct conf_yaml_error *err)
{
	struct builder b = {.text = text, .err = err};
	int rc;

	if (text.n > CONF_YAML_MAX_BYTES) {
		fail(&b, 1, "larger than a configuration may be (256 KB)");
		return NULL;
	}
	if (!yaml_parser_initialize(&b.parser)) {
		fail(&b, 1, "out of memory");
		return NULL;
	}
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)(text.n ? text.p : ""), text.n);
	rc = build(&b);
	yaml_parser_delete(&b.parser);
	free(b.key);
	if (rc == 0)
		return b.root;
	conf_yaml_free(b.root);
	return NULL;
}

/* Recursion is bounded by CONF_YAML_MAX_DEPTH. */
void conf_yaml_free(struct conf_yaml *y)
{
	while (y) {
		struct conf_yaml *next = y->next;

		conf_yaml_free(y->first);
		free(y->key);
		free(y->text);
		free(y);
		y = next;
	}
}

bool conf_yaml_is_null(const struct conf_yaml *y)
{
	struct span text;

	if (y->kind != CONF_YAML_SCALAR || !y->plain)
		return false;
	text = span_str(y->text);
	return text.n == 0 || span_eq(text, SPAN("~")) || span_eq_icase(text, SPAN("null"));
}
