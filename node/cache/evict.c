#include "node/cache/evict.h"

static double gdsf(double age, uint64_t refs, uint64_t bytes)
{
	return age + (double)refs / (double)(bytes ? bytes : 1);
}

const struct evict_policy evict_gdsf = {.name = "gdsf", .weigh = gdsf};
