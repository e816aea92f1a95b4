/* histogram: how long something takes, as counts in buckets, two per doubling.
 *
 * Bucket 0 is below 64 us; then 64, 96, 128, 192, 256, 384, ...; the last of n has no end. The counts are the caller's. Pure. */
#ifndef NODE_BASE_HISTOGRAM_H
#define NODE_BASE_HISTOGRAM_H

#include <stdint.h>

/* Of n buckets, the one that this belongs to. */
unsigned histogram_bucket(int64_t us, unsigned n);
/* The value below which so many percent lie, in microseconds (the end of a bucket: up to half too much); 0 when nothing was counted. */
int64_t histogram_percentile(const uint64_t *v, unsigned n, unsigned percent);

#endif
