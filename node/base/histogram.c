#include "node/base/histogram.h"

#define FIRST_BUCKET_US 64

static int64_t bucket_start(unsigned i)
{
	unsigned step = i - 1;

	return (int64_t)(step % 2 ? FIRST_BUCKET_US * 3 / 2 : FIRST_BUCKET_US) << (step / 2);
}

unsigned histogram_bucket(int64_t us, unsigned n)
{
	unsigned i = 0;

	while (i + 1 < n && us >= bucket_start(i + 1))
		i++;
	return i;
}

int64_t histogram_percentile(const uint64_t *v, unsigned n, unsigned percent)
{
	uint64_t all = 0, below = 0, wanted;

	for (unsigned i = 0; i < n; i++)
		all += v[i];
	if (all == 0)
		return 0;
	wanted = (all * percent + 99) / 100;
	if (wanted == 0)
		wanted = 1;
	for (unsigned i = 0; i < n; i++) {
		below += v[i];
		if (below >= wanted)
			return bucket_start(i + 1);
	}
	return bucket_start(n);
}
