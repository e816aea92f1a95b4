/* allowance: leave for something extra, in proportion to the ordinary: a token bucket that the ordinary fills.
 *
 * So many percent in the long run, and a few at once. Full when it begins. No lock: its owner has the loop or a lock. */
#ifndef NODE_BASE_ALLOWANCE_H
#define NODE_BASE_ALLOWANCE_H

#include <stdbool.h>

#define ALLOWANCE_MOST 3 /* at once, after a time in which nothing extra was wanted */

struct allowance {
	unsigned percent;
	unsigned hundredths; /* of one */
};

static inline struct allowance allowance_of(unsigned percent)
{
	return (struct allowance){.percent = percent, .hundredths = ALLOWANCE_MOST * 100};
}

/* One ordinary thing has begun. */
static inline void allowance_earn(struct allowance *a)
{
	a->hundredths += a->percent;
	if (a->hundredths > ALLOWANCE_MOST * 100)
		a->hundredths = ALLOWANCE_MOST * 100;
}

/* May one extra thing be done? True: it is spent. */
static inline bool allowance_spend(struct allowance *a)
{
	if (a->hundredths < 100)
		return false;
	a->hundredths -= 100;
	return true;
}

#endif
