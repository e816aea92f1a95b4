#include "node/admin/ledger.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/base/version.h"
#include "node/record/tally.h"

struct ring {
	struct ledger_row *rows;
	size_t cap, n, next;
};

struct ledger {
	unsigned magic;
	struct loop *loop;
	struct timer timer;
	ledger_read_f *read;
	void *cookie;
	mono_us began;
	unsigned minutes; /* since the last row of the quarters */
	struct ring by_minute, by_quarter;
};

#define LEDGER_MAGIC 0x1ed6e401

void ledger_read(struct ledger_row *out, const struct metrics *const *rows, size_t n, const struct disk_counts *c)
{
	size_t i = 0;

	for (int m = 0; m < METRIC_COUNT; m++)
		out->v[m] = statsjson_sum(rows, n, (enum metric)m);
	out->has_disk = c != NULL;
#define X(name, metric, help, value) out->disk[i++] = c ? (value) : 0;
	STATSJSON_DISK_TABLE(X)
#undef X
}

/* ---- rings ---- */

/* Zeroed, so that the system gives the memory when a row is first written. */
static void ring_init(struct ring *r, size_t cap)
{
	r->rows = mem_zalloc(cap * sizeof(*r->rows));
	r->cap = cap;
}

static void ring_keep(struct ring *r, const struct ledger_row *row)
{
	r->rows[r->next] = *row;
	r->next = (r->next + 1) % r->cap;
	if (r->n < r->cap)
		r->n++;
}

/* i = 0: the oldest. */
static const struct ledger_row *ring_at(const struct ring *r, size_t i)
{
	return &r->rows[(r->next + r->cap - r->n + i) % r->cap];
}

/* The last one that is not later; NULL: all are. */
static const struct ledger_row *ring_find(const struct ring *r, mono_us at)
{
	for (size_t i = r->n; i-- > 0;)
		if (ring_at(r, i)->at <= at)
			return ring_at(r, i);
	return NULL;
}

static const struct ledger_row *find(const struct ledger *l, mono_us at)
{
	const struct ledger_row *fine = ring_find(&l->by_minute, at), *coarse = ring_find(&l->by_quarter, at);

	if (!fine && !coarse)
		return ring_at(&l->by_quarter, 0); /* it goes back further than the other */
	if (!fine || !coarse)
		return fine ? fine : coarse;
	return fine->at > coarse->at ? fine : coarse;
}

/* ---- keeping ---- */

static void read_now(struct ledger *l, struct ledger_row *row)
{
	l->read(l->cookie, row);
	row->at = loop_now(l->loop);
}

static void on_minute(void *arg)
{
	struct ledger *l = arg;
	struct ledger_row row = {0};

	CHECK(l, LEDGER_MAGIC);
	read_now(l, &row);
	ring_keep(&l->by_minute, &row);
	if (++l->minutes == LEDGER_QUARTER) {
		ring_keep(&l->by_quarter, &row);
		l->minutes = 0;
	}
	timer_set_in(&l->timer, LEDGER_EVERY);
}

struct ledger *ledger_new(struct loop *loop, ledger_read_f *read, void *cookie)
{
	struct ledger *l = NEW(struct ledger);
	struct ledger_row start = {.at = loop_now(loop)};

	l->magic = LEDGER_MAGIC;
	l->loop = loop;
	l->read = read;
	l->cookie = cookie;
	l->began = start.at;
	ring_init(&l->by_minute, LEDGER_MINUTES);
	ring_init(&l->by_quarter, LEDGER_QUARTERS);
	ring_keep(&l->by_minute, &start);
	ring_keep(&l->by_quarter, &start);
	timer_init(&l->timer, loop, on_minute, l);
	timer_set_in(&l->timer, LEDGER_EVERY);
	return l;
}

void ledger_free(struct ledger *l)
{
	if (!l)
		return;
	CHECK(l, LEDGER_MAGIC);
	timer_fini(&l->timer);
	free(l->by_minute.rows);
	free(l->by_quarter.rows);
	l->magic = 0;
	free(l);
}

/* ---- the last hour ---- */

void ledger_last_hour(struct ledger *l, ledger_on_row_f *on_row, void *cookie)
{
	wall_ms wall = loop_wall(l->loop);
	struct ledger_row now = {0};

	CHECK(l, LEDGER_MAGIC);
	read_now(l, &now);
	for (size_t i = 0; i < l->by_minute.n; i++) {
		const struct ledger_row *r = ring_at(&l->by_minute, i);

		on_row(cookie, wall - (now.at - r->at) / 1000, r);
	}
	on_row(cookie, wall, &now);
}

/* ---- what has happened since ---- */

static void put_disk(struct buf *b, const struct ledger_row *then, const struct ledger_row *now)
{
	static const struct {
		const char *name, *metric;
	} columns[LEDGER_DISK_COUNT] = {
#define X(name, metric, help, value) {name, metric},
		STATSJSON_DISK_TABLE(X)
#undef X
	};
	bool first = true;

	buf_put(b, SPAN(",\"disk\":"));
	if (!now->has_disk) {
		buf_put(b, SPAN("null"));
		return;
	}
	for (size_t i = 0; i < LEDGER_DISK_COUNT; i++) {
		if (!statsjson_is_counter(columns[i].metric))
			continue;
		buf_printf(b, "%c\"%s\":", first ? '{' : ',', columns[i].name);
		buf_put_u64(b, now->disk[i] - then->disk[i]);
		first = false;
	}
	buf_putc(b, '}');
}

static void put_counts(struct buf *b, const struct ledger_row *then, const struct ledger_row *now)
{
	struct metrics grown = {0};
	const struct metrics *rows[] = {&grown};

	for (int m = 0; m < METRIC_COUNT; m++)
		metric_set(&grown, (enum metric)m, now->v[m] - then->v[m]);
	statsjson_put_ratios(b, rows, 1);
	put_disk(b, then, now);
	buf_putc(b, ',');
	statsjson_put_counters(b, rows, 1, false);
}

static const char *limit_of(const struct ledger *l, const struct ledger_row *then, mono_us asked)
{
	if (then->at <= asked)
		return "null";
	return then->at == l->began ? "\"start\"" : "\"week\"";
}

bool ledger_put(struct ledger *l, struct buf *b, wall_ms since, const char *node)
{
	wall_ms wall = loop_wall(l->loop);
	struct ledger_row now = {0};
	const struct ledger_row *then;
	mono_us asked;

	CHECK(l, LEDGER_MAGIC);
	if (since > wall)
		return false;
	read_now(l, &now);
	asked = now.at - (wall - (since > 0 ? since : 0)) * 1000;
	then = find(l, asked);
	buf_put(b, SPAN("{\"node\":"));
	json_put_string(b, span_str(node));
	buf_put(b, SPAN(",\"version\":"));
	json_put_string(b, SPAN(PMCACHE_VERSION));
	buf_put(b, SPAN(",\"time\":"));
	json_put_time(b, wall);
	buf_put(b, SPAN(",\"asked\":"));
	json_put_time(b, since);
	buf_put(b, SPAN(",\"since\":"));
	json_put_time(b, wall - (now.at - then->at) / 1000);
	buf_put(b, SPAN(",\"limited_by\":"));
	buf_put_str(b, limit_of(l, then, asked));
	buf_put(b, SPAN(",\"span_s\":"));
	buf_put_i64(b, (now.at - then->at) / (1000 * DUR_SECOND));
	buf_putc(b, ',');
	put_counts(b, then, &now);
	buf_put(b, SPAN("}\n"));
	return true;
}
