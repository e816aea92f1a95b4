/* replay: one trace through one cache, under a policy of node/cache/evict.c, with its line and in the manner of the memory tier. */
#ifndef TESTS_BENCH_POLICY_REPLAY_H
#define TESTS_BENCH_POLICY_REPLAY_H

#include <stdbool.h>
#include <stdio.h>

#include "node/cache/evict.h"
#include "tests/bench/policy/trace.h"

struct replay {
	const struct evict_policy *policy;
	bool at_once;      /* the line is told of each hit as it comes, not when room is wanted: what the count costs */
	uint64_t size;     /* bytes; UINT64_MAX: nothing ever goes */
	uint64_t overhead; /* that an object costs beside its body */
	uint64_t max_object; /* larger bodies are passed on */
	size_t warm;         /* so many requests are not counted */
	FILE *misses;        /* a trace of what is missed goes here: what the tier behind sees; NULL: nowhere */
};

struct replay_result {
	uint64_t requests, hits;
	uint64_t bytes, hit_bytes;
	uint64_t evicted, looked_at; /* weighed again, because it was asked for meanwhile */
	uint64_t most_used;          /* bytes, at any time */
};

void replay_run(const struct trace *, const struct replay *, struct replay_result *);
/* What one of each object costs. */
uint64_t replay_working_set(const struct trace *, uint64_t overhead);

#endif
