#include "node/net/hosts.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "proto/url.h"

struct pair {
	struct span name; /* lower case, in `text` */
	struct addr addr;
};

struct hosts {
	unsigned magic;
	char *text;     /* a copy in lower case */
	struct pair *v; /* by name; pairs of one name in the order of the lines */
	size_t n, room;
};

#define HOSTS_MAGIC 0x05755ab1

static bool is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct span next_word(struct span *line)
{
	struct span word;
	size_t n = 0;

	while (line->n && is_white(line->p[0]))
		*line = span_from(*line, 1);
	while (n < line->n && !is_white(line->p[n]))
		n++;
	word = span_upto(*line, n);
	*line = span_from(*line, n);
	return word;
}

static struct span without_last_dot(struct span name)
{
	return name.n > 1 && name.p[name.n - 1] == '.' ? span_upto(name, name.n - 1) : name;
}

static void add(struct hosts *h, struct span name, const struct addr *a)
{
	if (h->n == h->room) {
		h->room = h->room ? 2 * h->room : 16;
		h->v = mem_realloc(h->v, h->room * sizeof(h->v[0]));
	}
	h->v[h->n++] = (struct pair){name, *a};
}

static void parse_line(struct hosts *h, struct span line)
{
	struct span word;
	struct addr a;

	line = span_upto(line, span_find(line, '#'));
	if (addr_parse_ip(next_word(&line), 0, &a) < 0)
		return;
	while ((word = next_word(&line)).n) {
		word = without_last_dot(word);
		if (url_is_host(word))
			add(h, word, &a);
	}
}

static int compare_names(struct span a, struct span b)
{
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int order = compare_names(x->name, y->name);

	return order ? order : (x->name.p > y->name.p) - (x->name.p < y->name.p);
}

static void to_lower(char *to, struct span from)
{
	for (size_t i = 0; i < from.n; i++)
		to[i] = from.p[i] >= 'A' && from.p[i] <= 'Z' ? (char)(from.p[i] + ('a' - 'A')) : from.p[i];
}

struct hosts *hosts_parse(struct span text)
{
	struct hosts *h = NEW(struct hosts);
	struct span rest, line;

	h->magic = HOSTS_MAGIC;
	h->text = mem_alloc(text.n);
	to_lower(h->text, text);
	rest = span_of(h->text, text.n);
	while (span_cut(&rest, '\n', &line))
		parse_line(h, line);
	if (h->n)
		qsort(h->v, h->n, sizeof(h->v[0]), compare_pairs);
	return h;
}

void hosts_free(struct hosts *h)
{
	if (!h)
		return;
	CHECK(h, HOSTS_MAGIC);
	free(h->text);
	free(h->v);
	h->magic = 0;
	free(h);
}

static size_t first_not_before(const struct hosts *h, struct span name)
{
	size_t from = 0, to = h->n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (compare_names(h->v[mid].name, name) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

size_t hosts_find(const struct hosts *h, struct span name, struct addr *v, size_t room)
{
	char lower[URL_MAX_HOST];
	size_t n = 0;

	name = without_last_dot(name);
	if (!h || name.n == 0 || name.n > sizeof(lower))
		return 0;
	CHECK(h, HOSTS_MAGIC);
	to_lower(lower, name);
	name = span_of(lower, name.n);
	for (size_t i = first_not_before(h, name); i < h->n && n < room && span_eq(h->v[i].name, name); i++)
		v[n++] = h->v[i].addr;
	return n;
}

size_t hosts_count(const struct hosts *h)
{
	return h->n;
}
