/* evict: who has to go when there is no room, as a small table, so that policies can be compared on a trace.
 *
 * An entry's key says how much it is worth keeping; the smallest goes first, and its key becomes the age, which raises all keys
 * given afterwards: so what was popular once ages without anybody touching it. */
#ifndef NODE_CACHE_EVICT_H
#define NODE_CACHE_EVICT_H

#include <stdint.h>

struct evict_policy {
	const char *name;
	/* age: key of the last one evicted; refs: requests it has served, 1 for the one that brought it; bytes: what it costs. */
	double (*weigh)(double age, uint64_t refs, uint64_t bytes);
};

/* Greedy-Dual-Size-Frequency with cost 1: age + refs / bytes. Many small hits are worth more than few large ones. */
extern const struct evict_policy evict_gdsf;

#endif
