#include "node/base/metric.h"

#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"

#define CACHE_LINE 64u

static const struct {
	const char *name, *help;
} table[METRIC_COUNT] = {
#define X(id, name, what) {name, what},
	METRIC_TABLE(X)
#undef X
};

const char *metric_name(enum metric id)
{
	CHECK_THAT((unsigned)id < METRIC_COUNT);
	return table[id].name;
}

const char *metric_help(enum metric id)
{
	CHECK_THAT((unsigned)id < METRIC_COUNT);
	return table[id].help;
}

struct metrics *metrics_new(void)
{
	size_t n = (sizeof(struct metrics) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	struct metrics *m = aligned_alloc(CACHE_LINE, n);

	CHECK_THAT(m != NULL);
	memset(m, 0, n);
	return m;
}
