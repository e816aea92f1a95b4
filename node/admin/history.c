#include "node/admin/history.h"

#include "node/admin/statsjson.h"

static const struct {
	const char *word;
	enum metric metric;
} columns[HISTORY_COLUMNS] = {
#define X(id, word, metric) [HISTORY_##id] = {word, METRIC_##metric},
	TALLY_TABLE(X) HISTORY_BYTES_TABLE(X)
#undef X
};

void history_read(struct history_row *out, const struct metrics *const *rows, size_t n, wall_ms now)
{
	out->time = now;
	for (size_t i = 0; i < HISTORY_COLUMNS; i++)
		out->v[i] = statsjson_sum(rows, n, columns[i].metric);
}

void history_keep(struct history *h, const struct history_row *row)
{
	h->rows[h->next] = *row;
	h->next = (h->next + 1) % HISTORY_ROWS;
	if (h->n < HISTORY_ROWS)
		h->n++;
}

static void put_row(struct buf *b, const struct history_row *r)
{
	buf_putc(b, '[');
	buf_put_i64(b, r->time);
	for (size_t i = 0; i < HISTORY_COLUMNS; i++) {
		buf_putc(b, ',');
		buf_put_u64(b, r->v[i]);
	}
	buf_putc(b, ']');
}

void history_put(struct buf *b, const struct history *h, const struct history_row *now)
{
	size_t oldest = (h->next + HISTORY_ROWS - h->n) % HISTORY_ROWS;

	buf_printf(b, "{\"interval_s\":%d,\"columns\":[\"time\"", (int)(HISTORY_EVERY / DUR_SECOND));
	for (size_t i = 0; i < HISTORY_COLUMNS; i++)
		buf_printf(b, ",\"%s\"", columns[i].word);
	buf_put(b, SPAN("],\"rows\":["));
	for (size_t i = 0; i < h->n; i++) {
		put_row(b, &h->rows[(oldest + i) % HISTORY_ROWS]);
		buf_putc(b, ',');
	}
	put_row(b, now);
	buf_put(b, SPAN("]}\n"));
}
