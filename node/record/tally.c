#include "node/record/tally.h"

#include "node/base/json.h"

static uint64_t sum_of(const struct metrics *const *rows, size_t n, enum metric id)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += metric_read(rows[i], id);
	return sum;
}

const char *tally_word(enum tally_source s)
{
	static const char *const words[] = {
#define X(id, word, metric) [TALLY_##id] = (word),
		TALLY_TABLE(X)
#undef X
	};

	return words[s];
}

void tally_of(const struct metrics *const *rows, size_t n, struct tally *t)
{
	static const enum metric metrics[] = {
#define X(id, word, metric) [TALLY_##id] = METRIC_##metric,
		TALLY_TABLE(X)
#undef X
	};

	*t = (struct tally){0};
	for (int i = 0; i < TALLY_SOURCES; i++)
		t->v[i] = sum_of(rows, n, metrics[i]);
	t->local = t->v[TALLY_LOCAL_HIT] + t->v[TALLY_DISK_HIT] + t->v[TALLY_LOCAL_JOIN] + t->v[TALLY_STALE];
	t->sibling = t->v[TALLY_SIBLING_HIT] + t->v[TALLY_SIBLING_STREAM];
	t->parent = t->v[TALLY_PARENT_HIT] + t->v[TALLY_PARENT_JOIN];
	t->upstream = t->v[TALLY_REVALIDATED] + t->v[TALLY_PARENT_MISS] + t->v[TALLY_DIRECT];
	t->eligible = t->local + t->sibling + t->parent + t->upstream;
	t->client_bytes = sum_of(rows, n, METRIC_BYTES_TO_CLIENTS);
	t->fetches = sum_of(rows, n, METRIC_UPSTREAM_FETCHES);
	t->fetched_bytes = sum_of(rows, n, METRIC_UPSTREAM_FETCHED_BYTES);
	t->sibling_bytes = sum_of(rows, n, METRIC_SIBLING_BYTES);
	t->parent_bytes = sum_of(rows, n, METRIC_PARENT_BYTES);
}

static void put_count(struct buf *b, const char *name, uint64_t v)
{
	buf_printf(b, ",\"%s\":%llu", name, (unsigned long long)v);
}

static void put_part(struct buf *b, const char *name, uint64_t part, uint64_t of)
{
	buf_printf(b, ",\"%s\":", name);
	json_put_ratio(b, part, of);
}

void tally_put_json(struct buf *b, const struct tally *t)
{
	buf_printf(b, "{\"eligible\":%llu,\"sources\":{", (unsigned long long)t->eligible);
	for (int i = 0; i < TALLY_SOURCES; i++)
		buf_printf(b, "%s\"%s\":%llu", i ? "," : "", tally_word((enum tally_source)i),
			   (unsigned long long)t->v[i]);
	buf_putc(b, '}');
	put_part(b, "local", t->local, t->eligible);
	put_part(b, "sibling", t->sibling, t->eligible);
	put_part(b, "parent", t->parent, t->eligible);
	put_part(b, "upstream", t->upstream, t->eligible);
	put_count(b, "client_bytes", t->client_bytes);
	put_count(b, "fetches", t->fetches);
	put_count(b, "fetched_bytes", t->fetched_bytes);
	put_count(b, "sibling_bytes", t->sibling_bytes);
	put_count(b, "parent_bytes", t->parent_bytes);
	buf_putc(b, '}');
}
