#include "node/admin/control_words.h"

#include "node/base/check.h"

#define ERROR_MAX 400

static const struct {
	struct span word;
	bool has_arg;
} verbs[CONTROL_VERB_COUNT] = {
#define X(id, word, arg) {SPAN(word), arg},
	CONTROL_WORDS_TABLE(X)
#undef X
};

const char *control_words_verb(enum control_verb v)
{
	CHECK_THAT((unsigned)v < CONTROL_VERB_COUNT);
	return verbs[v].word.p;
}

static bool is_printable_word(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}

static enum control_words_result bad(const char **why, const char *sentence)
{
	*why = sentence;
	return CONTROL_WORDS_BAD;
}

static enum control_words_result parse_line(struct span line, struct control_request *out, const char **why)
{
	size_t space = span_find(line, ' ');
	struct span word = span_upto(line, space);

	for (int v = 0; v < CONTROL_VERB_COUNT; v++) {
		if (!span_eq(word, verbs[v].word))
			continue;
		out->verb = (enum control_verb)v;
		out->arg = SPAN_NONE;
		if (!verbs[v].has_arg)
			return space == line.n ? CONTROL_WORDS_DONE : bad(why, "this request has no argument");
		if (space == line.n)
			return bad(why, "this request needs an argument");
		out->arg = span_from(line, space + 1);
		if (!is_printable_word(out->arg))
			return bad(why, "the argument must be one word of printable ASCII");
		return CONTROL_WORDS_DONE;
	}
	return bad(why, "this request is not known here");
}

enum control_words_result control_words_parse(struct span bytes, struct control_request *out, const char **why)
{
	size_t end = span_find(bytes, '\n');

	if (end >= CONTROL_WORDS_LINE_MAX) /* also when no end is in sight */
		return bad(why, "the request is too long");
	if (end == bytes.n)
		return CONTROL_WORDS_MORE;
	if (end + 1 < bytes.n)
		return bad(why, "only one request is taken per connection");
	return parse_line(span_upto(bytes, end), out, why);
}

void control_words_ok(struct buf *b)
{
	buf_put(b, SPAN("ok\n"));
}

void control_words_purged(struct buf *b, uint64_t n)
{
	control_words_ok(b);
	buf_put(b, SPAN("{\"purged\":"));
	buf_put_u64(b, n);
	buf_put(b, SPAN("}\n"));
}

void control_words_error(struct buf *b, struct span text)
{
	text = span_upto(text, ERROR_MAX);
	buf_put(b, SPAN("error "));
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		buf_putc(b, c < 0x20 || c == 0x7f ? '?' : text.p[i]);
	}
	buf_putc(b, '\n');
}
