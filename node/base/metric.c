#include "node/base/metric.h"

#include "node/base/check.h"

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
