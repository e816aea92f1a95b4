#include "node/admin/history.h"

#include "node/record/tally.h"

static const struct {
	const char *word;
	enum metric metric;
} columns[] = {
#define X(id, word, metric) {word, METRIC_##metric},
	TALLY_TABLE(X)
#undef X
		{"client_bytes", METRIC_BYTES_TO_CLIENTS},
	{"cache_bytes", METRIC_BYTES_FROM_CACHE},
	{"sibling_bytes", METRIC_SIBLING_BYTES},
	{"parent_bytes", METRIC_PARENT_BYTES},
	{"upstream_bytes", METRIC_UPSTREAM_BYTES},
};

#define N_COLUMNS (sizeof(columns) / sizeof(columns[0]))

static void put_row(void *cookie, wall_ms at, const struct ledger_row *r)
{
	struct buf *b = cookie;

	if (b->p[b->n - 1] != '[')
		buf_putc(b, ',');
	buf_putc(b, '[');
	buf_put_i64(b, at);
	for (size_t i = 0; i < N_COLUMNS; i++) {
		buf_putc(b, ',');
		buf_put_u64(b, r->v[columns[i].metric]);
	}
	buf_putc(b, ']');
}

void history_put(struct buf *b, struct ledger *l)
{
	buf_printf(b, "{\"interval_s\":%d,\"columns\":[\"time\"", (int)(LEDGER_EVERY / DUR_SECOND));
	for (size_t i = 0; i < N_COLUMNS; i++)
		buf_printf(b, ",\"%s\"", columns[i].word);
	buf_put(b, SPAN("],\"rows\":["));
	ledger_last_hour(l, put_row, b);
	buf_put(b, SPAN("]}\n"));
}
