#include "node/record/recent.h"

#include <pthread.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"

#define CLIENT_BYTES 64

struct line {
	const char *word, *what; /* NULL: nothing yet */
	int status;
	uint64_t count;
	wall_ms last;
	size_t url_bytes;
	char url[RECENT_URL_BYTES], client[CLIENT_BYTES];
};

struct recent {
	unsigned magic;
	pthread_mutex_t lock;
	struct line lines[RECENT_LINES]; /* the latest first; behind the last that is in use all are empty */
};

#define RECENT_MAGIC 0x4ece4701

struct recent *recent_new(void)
{
	struct recent *r = NEW(struct recent);

	r->magic = RECENT_MAGIC;
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void recent_free(struct recent *r)
{
	if (!r)
		return;
	CHECK(r, RECENT_MAGIC);
	pthread_mutex_destroy(&r->lock);
	r->magic = 0;
	free(r);
}

static struct span url_of(const struct line *l)
{
	return span_of(l->url, l->url_bytes);
}

/* Where it stands, or else the place of who has to go. */
static size_t place_of(const struct recent *r, const struct recent_event *e, struct span url)
{
	for (size_t i = 0; i < RECENT_LINES; i++)
		if (!r->lines[i].word || (r->lines[i].word == e->word && span_eq(url_of(&r->lines[i]), url)))
			return i;
	return RECENT_LINES - 1;
}

void recent_note(struct recent *r, const struct recent_event *e)
{
	struct span url = span_upto(e->url, RECENT_URL_BYTES);
	struct line line = {.word = e->word, .what = e->what, .status = e->status, .last = e->now, .url_bytes = url.n};
	struct buf client = buf_over(line.client, sizeof(line.client) - 1);
	size_t at;

	CHECK(r, RECENT_MAGIC);
	if (url.n)
		memcpy(line.url, url.p, url.n);
	buf_put_str(&client, e->client);
	pthread_mutex_lock(&r->lock);
	at = place_of(r, e, url);
	line.count = 1;
	if (r->lines[at].word == e->word && span_eq(url_of(&r->lines[at]), url))
		line.count += r->lines[at].count;
	memmove(&r->lines[1], &r->lines[0], at * sizeof(line));
	r->lines[0] = line;
	pthread_mutex_unlock(&r->lock);
}

static void put_line(struct buf *b, const struct line *l, uint64_t count, bool urls)
{
	buf_put(b, SPAN("{\"time\":"));
	json_put_time(b, l->last);
	buf_printf(b, ",\"count\":%llu,\"word\":\"%s\",\"what\":", (unsigned long long)count, l->word);
	json_put_string(b, span_str(l->what));
	buf_printf(b, ",\"status\":%d,\"url\":", l->status);
	if (urls)
		json_put_string(b, url_of(l));
	else
		buf_put(b, SPAN("null"));
	buf_put(b, SPAN(",\"client\":"));
	if (urls)
		json_put_string(b, span_str(l->client));
	else
		buf_put(b, SPAN("null"));
	buf_putc(b, '}');
}

/* An earlier line has the same word. */
static bool is_told(const struct recent *r, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (r->lines[i].word == r->lines[at].word)
			return true;
	return false;
}

static uint64_t count_of_word(const struct recent *r, const char *word)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < RECENT_LINES; i++)
		if (r->lines[i].word == word)
			sum += r->lines[i].count;
	return sum;
}

void recent_put(struct recent *r, struct buf *b, bool urls)
{
	const char *between = "";

	CHECK(r, RECENT_MAGIC);
	buf_printf(b, "{\"urls\":%s,\"lines\":[", urls ? "true" : "false");
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < RECENT_LINES && r->lines[i].word; i++) {
		const struct line *l = &r->lines[i];

		if (!urls && is_told(r, i))
			continue;
		buf_put_str(b, between);
		put_line(b, l, urls ? l->count : count_of_word(r, l->word), urls);
		between = ",";
	}
	pthread_mutex_unlock(&r->lock);
	buf_put(b, SPAN("]}\n"));
}
