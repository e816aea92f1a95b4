/* ledger_ground: a ledger over the counters of two loops, on a loop and thread of its own whose clock goes a minute at a time. */
#ifndef TESTS_UNIT_ADMIN_LEDGER_GROUND_H
#define TESTS_UNIT_ADMIN_LEDGER_GROUND_H

#include "node/admin/ledger.h"
#include "tests/unit/lanes.h"

#define LEDGER_GROUND_START INT64_C(1795441498122)

struct ledger_ground {
	struct metrics a, b;
	struct disk_counts counts;
	bool has_disk;
	void (*each_minute)(struct ledger_ground *); /* what happens in it; on the ledger's loop */
	const struct metrics *rows[2];
	struct clock_fake clock;
	struct lane lane;
	struct ledger *ledger;
	struct timer kick;
};

static inline void ledger_ground_read(void *cookie, struct ledger_row *now)
{
	struct ledger_ground *g = cookie;

	ledger_read(now, g->rows, 2, g->has_disk ? &g->counts : NULL);
}

static inline void ledger_ground_open(void *arg)
{
	struct ledger_ground *g = arg;

	g->ledger = ledger_new(g->lane.loop, ledger_ground_read, g);
}

static inline void ledger_ground_close(void *arg)
{
	struct ledger_ground *g = arg;

	ledger_free(g->ledger);
	timer_fini(&g->kick);
}

static inline void ledger_ground_minute(void *arg)
{
	struct ledger_ground *g = arg;

	g->each_minute(g);
	clock_fake_pass(&g->clock, DUR_MINUTE);
	timer_set(&g->kick, 1); /* long ago: the kernel does not know of our clock */
}

static inline void ledger_ground_minutes(struct ledger_ground *g, int n)
{
	for (int i = 0; i < n; i++) {
		lane_do(&g->lane, ledger_ground_minute, g);
		lane_settle(&g->lane);
	}
}

/* A zeroed one. */
static inline void ledger_ground_start(struct ledger_ground *g, void (*each_minute)(struct ledger_ground *))
{
	g->each_minute = each_minute;
	g->rows[0] = &g->a;
	g->rows[1] = &g->b;
	clock_fake_init(&g->clock, LEDGER_GROUND_START);
	lane_start(&g->lane, 0, &g->clock.clock, 0, 0);
	timer_init(&g->kick, g->lane.loop, lane_nothing, g);
	lane_do(&g->lane, ledger_ground_open, g);
}

static inline void ledger_ground_stop(struct ledger_ground *g)
{
	lane_do(&g->lane, ledger_ground_close, g);
	lane_stop(&g->lane);
}

#endif
