#include "node/ctl/ctl_json.h"

#include <stdlib.h>
#include <string.h>

#include "node/base/json.h"
#include "node/base/mem.h"

static void skip_space(struct span *s)
{
	while (s->n && (s->p[0] == ' ' || s->p[0] == '\t' || s->p[0] == '\r' || s->p[0] == '\n'))
		*s = span_from(*s, 1);
}

static bool skip_char(struct span *s, char c)
{
	skip_space(s);
	if (!s->n || s->p[0] != c)
		return false;
	*s = span_from(*s, 1);
	return true;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool skip_string(struct span *s)
{
	size_t i = 1;

	if (!s->n || s->p[0] != '"')
		return false;
	while (i < s->n && s->p[i] != '"') {
		if ((unsigned char)s->p[i] < 0x20)
			return false;
		if (s->p[i++] != '\\')
			continue;
		if (i == s->n || !memchr("\"\\/bfnrtu", s->p[i], 9))
			return false;
		if (s->p[i++] == 'u')
			for (size_t end = i + 4; i < end; i++)
				if (i >= s->n || !is_hex(s->p[i]))
					return false;
	}
	if (i >= s->n)
		return false;
	*s = span_from(*s, i + 1);
	return true;
}

static size_t digits_at(struct span s, size_t at)
{
	size_t n = 0;

	while (at + n < s.n && s.p[at + n] >= '0' && s.p[at + n] <= '9')
		n++;
	return n;
}

static bool skip_number(struct span *s)
{
	size_t at = s->n && s->p[0] == '-', n = digits_at(*s, at);

	if (!n || (n > 1 && s->p[at] == '0'))
		return false;
	at += n;
	if (at < s->n && s->p[at] == '.') {
		n = digits_at(*s, at + 1);
		if (!n)
			return false;
		at += 1 + n;
	}
	if (at < s->n && (s->p[at] == 'e' || s->p[at] == 'E')) {
		at++;
		at += at < s->n && (s->p[at] == '+' || s->p[at] == '-');
		n = digits_at(*s, at);
		if (!n)
			return false;
		at += n;
	}
	*s = span_from(*s, at);
	return true;
}

static bool skip_value(struct span *s, int depth);

/* An object or an array, behind its first character. */
static bool skip_members(struct span *s, bool object, int depth)
{
	char end = object ? '}' : ']';

	if (skip_char(s, end))
		return true;
	do {
		skip_space(s);
		if (object && (!skip_string(s) || !skip_char(s, ':')))
			return false;
		if (!skip_value(s, depth))
			return false;
	} while (skip_char(s, ','));
	return skip_char(s, end);
}

static bool skip_word(struct span *s)
{
	static const struct span words[] = {SPAN("true"), SPAN("false"), SPAN("null")};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!span_starts(*s, words[i]))
			continue;
		*s = span_from(*s, words[i].n);
		return true;
	}
	return false;
}

static bool skip_value(struct span *s, int depth)
{
	skip_space(s);
	if (!s->n || depth == 0)
		return false;
	switch (s->p[0]) {
	case '{':
	case '[': {
		bool object = s->p[0] == '{';

		*s = span_from(*s, 1);
		return skip_members(s, object, depth - 1);
	}
	case '"':
		return skip_string(s);
	case 't':
	case 'f':
	case 'n':
		return skip_word(s);
	default:
		return skip_number(s);
	}
}

bool ctl_json_is_good(struct span text)
{
	if (!skip_value(&text, CTL_JSON_DEPTH))
		return false;
	skip_space(&text);
	return text.n == 0;
}

/* Cuts one value off. */
static struct span cut_value(struct span *s)
{
	struct span whole;

	skip_space(s);
	whole = *s;
	if (!skip_value(s, CTL_JSON_DEPTH))
		return SPAN_NONE;
	return span_upto(whole, whole.n - s->n);
}

static struct span member(struct span object, struct span name)
{
	if (!skip_char(&object, '{'))
		return SPAN_NONE;
	for (;;) {
		struct span key = cut_value(&object), value;

		if (key.n < 2 || !skip_char(&object, ':'))
			return SPAN_NONE;
		value = cut_value(&object);
		if (span_eq(span_of(key.p + 1, key.n - 2), name))
			return value;
		if (!skip_char(&object, ','))
			return SPAN_NONE;
	}
}

struct span ctl_json_get(struct span object, const char *path)
{
	struct span rest = span_str(path), name;

	while (rest.n && span_cut(&rest, '.', &name))
		object = member(object, name);
	return object;
}

bool ctl_json_next(struct span *rest, struct span *item)
{
	if (!skip_char(rest, '[') && !skip_char(rest, ','))
		return false;
	*item = cut_value(rest);
	return item->n > 0;
}

bool ctl_json_member(struct span *rest, struct span *name, struct span *value)
{
	struct span key;

	if (!skip_char(rest, '{') && !skip_char(rest, ','))
		return false;
	key = cut_value(rest);
	if (key.n < 2 || !skip_char(rest, ':'))
		return false;
	*name = span_of(key.p + 1, key.n - 2);
	*value = cut_value(rest);
	return value->n > 0;
}

bool ctl_json_has(struct span object, const char *path)
{
	struct span v = ctl_json_get(object, path);

	return v.n > 0 && v.p[0] != 'n';
}

double ctl_json_number(struct span object, const char *path)
{
	struct span v = ctl_json_get(object, path);
	char text[64];

	if (v.n >= sizeof(text) || !v.n || v.p[0] == '"')
		return 0;
	memcpy(text, v.p, v.n);
	text[v.n] = '\0';
	return strtod(text, NULL);
}

uint64_t ctl_json_u64(struct span object, const char *path)
{
	struct span v = ctl_json_get(object, path);
	uint64_t n = 0;

	/* Not span_to_u64, which ends at 19 digits: counters may have 20. */
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return 0;
		n = n * 10 + (uint64_t)(v.p[i] - '0');
	}
	return n;
}

bool ctl_json_is_true(struct span object, const char *path)
{
	return span_eq(ctl_json_get(object, path), SPAN("true"));
}

char *ctl_json_string(struct span v, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 1; v.n >= 2 && v.p[0] == '"' && i < v.n - 1 && n < cap - 1; i++) {
		char c = v.p[i];

		if (c == '\\') {
			c = v.p[++i];
			if (c == 'u')
				i += 4;
			if (c != '"' && c != '\\' && c != '/')
				c = '?';
		}
		if (((unsigned char)c & 0xc0) == 0x80)
			continue; /* one '?' for each character of UTF-8 */
		out[n++] = c >= ' ' && c <= '~' ? c : '?';
	}
	out[n] = '\0';
	return out;
}

char *ctl_json_text(struct span object, const char *path, char *out, size_t cap)
{
	return ctl_json_string(ctl_json_get(object, path), out, cap);
}

void ctl_json_print(const char *text)
{
	size_t room = JSON_GROWTH * strlen(text) + 2;
	struct buf b = buf_over(mem_alloc(room), room);

	json_put_string(&b, span_str(text));
	fwrite(b.p, 1, b.n, stdout);
	free(b.p);
}
