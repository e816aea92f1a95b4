/* ledger: all counters as they stood, a row a minute for the last hour, a row a quarter of an hour for the last week: so that one can ask
 * what has happened since then. It lives with the process, on one loop, and takes half a megabyte when the week is full.
 *
 *     {"node":"edge1","version":"0.1.0","time":"2026-11-23T13:00:00.000Z","asked":"2026-11-23T12:00:00.000Z",
 *      "since":"2026-11-23T11:59:12.345Z","limited_by":null,"span_s":3647,"hits":4,"hit_ratio":0.8000,"byte_hit_ratio":0.7512,
 *      "tally":{…},"disk":{"writes":1,…},"counters":{"connections_total":5,…}}
 *
 * asked       what was asked for
 * since       the row that the rest is counted from: the last one not later than that, or else the oldest
 * limited_by  why it is later than what was asked: "start" (of the process), "week" (more is not kept); null: it is not
 * span_s      from there until now; by a clock that nobody sets, as all that is kept here
 * the rest    as in statsjson.h, of this span; gauges are left out; disk is null where there is none */
#ifndef NODE_ADMIN_LEDGER_H
#define NODE_ADMIN_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/admin/statsjson.h"
#include "node/base/metric.h"
#include "node/base/span.h"
#include "node/net/loop.h"

#define LEDGER_EVERY DUR_MINUTE
#define LEDGER_MINUTES 61              /* rows: an hour, with both its ends */
#define LEDGER_QUARTERS (7 * 96 + 1)   /* a week */
#define LEDGER_QUARTER 15              /* minutes */
#define LEDGER_MAX ((size_t)16 * 1024) /* room for the JSON, with a node name of up to 255 bytes */

#define LEDGER_DISK_COUNT (0 STATSJSON_DISK_TABLE(LEDGER_ONE_MORE))
#define LEDGER_ONE_MORE(name, metric, help, value) +1

struct ledger_row {
	mono_us at;
	uint64_t v[METRIC_COUNT];
	uint64_t disk[LEDGER_DISK_COUNT]; /* in the order of STATSJSON_DISK_TABLE */
	bool has_disk;
};

/* The counters as they are now; c: of the tier on disk, NULL where there is none. The time is the ledger's to write. */
void ledger_read(struct ledger_row *, const struct metrics *const *rows, size_t n, const struct disk_counts *c);

struct ledger;

/* Calls this each minute, and when it is asked, on the loop. */
typedef void ledger_read_f(void *cookie, struct ledger_row *);

/* Begins with a row of zeros: made when nothing has been counted yet. */
struct ledger *ledger_new(struct loop *, ledger_read_f *, void *cookie);
/* Harmless on NULL. */
void ledger_free(struct ledger *);

/* The minutes that are kept, the oldest first, then now; `at` is when that was, by the clock on the wall as it goes now. */
typedef void ledger_on_row_f(void *cookie, wall_ms at, const struct ledger_row *);
void ledger_last_hour(struct ledger *, ledger_on_row_f *, void *cookie);

/* The object and a line's end. False: that time is still to come. */
bool ledger_put(struct ledger *, struct buf *, wall_ms since, const char *node);

#endif
