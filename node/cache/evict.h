/* evict: who has to go when there is no room.
 *
 * What is kept stands in a line: a heap by key, among equal keys by turn; the first goes first. Where it stands is decided by a
 * policy when it comes, and again when it is about to go and has been asked for meanwhile: its hits are counted by whoever serves
 * it, in an atomic of its own, and a hit touches neither line nor lock. So every policy has to do with what that count tells.
 *
 * Who wants room asks for the first, takes the count of its hits, and either puts it back for them or lets it go:
 *
 *     while ((item = evict_first(&line)) != NULL && (hits = take_hits(item)) > 0)
 *         evict_again(&line, item, hits);
 *     if (item)
 *         evict_out(&line, item);
 *
 * The key of the last that has gone is the line's age (mostly), which raises the keys given afterwards: so what was popular once ages
 * without anybody touching it. Counters have 64 bits: nothing stops being counted.
 *
 * docs/policies.md has what the policies are worth. */
#ifndef NODE_CACHE_EVICT_H
#define NODE_CACHE_EVICT_H

#include <stdint.h>

#include "node/base/heap.h"
#include "node/base/span.h"

/* Embedded in what is kept. Zeroed: in no line. */
struct evict_item {
	struct heap_node node;
	uint32_t refs; /* requests it has served as far as they were told, 1 for the one that brought it; saturated */
	double key;
	uint64_t turn;
	uint64_t bytes; /* what it costs */
};

struct evict_policy {
	const char *name;
	/* The new key of an item, from its refs and bytes; refs 1: it has just come. */
	double (*weigh)(const struct evict_item *, double age);
	/* Keys count the rounds of a hand: who is weighed again keeps its turn, and the age is the round under way. False: it goes
	 * behind those of equal key, and the age is the key of the last that has gone. */
	bool in_rounds;
};

/* Greedy-Dual-Size-Frequency with cost 1: age + refs / bytes. Many small hits are worth more than few large ones. */
extern const struct evict_policy evict_gdsf;
/* Least frequently used, with dynamic aging: age + refs. Sizes do not matter, so it saves bytes rather than requests. */
extern const struct evict_policy evict_lfuda;
/* Least recently used, as far as a count can tell: in the order in which they came, but who was asked for goes to the end once
 * more when it is at the front (also known as CLOCK, or second chance). */
extern const struct evict_policy evict_lru;
/* SIEVE (Zhang and others, NSDI 2024), exactly: a hand goes from the oldest to the newest, spares for one round who was asked for, in
 * its place, and takes who was not. The key counts rounds. */
extern const struct evict_policy evict_sieve;

/* NULL: no policy has this name. */
const struct evict_policy *evict_named(struct span name);

/* Not thread-safe: its owner has the lock. */
struct evict_line {
	const struct evict_policy *policy;
	struct heap heap;
	double age; /* key of the last that has gone */
	uint64_t turns;
	uint64_t evicted; /* by evict_out */
};

void evict_line_init(struct evict_line *, const struct evict_policy *);
void evict_line_fini(struct evict_line *); /* forgets its items */
/* Everything is weighed anew, as if it had come in the order of its turns. */
void evict_set_policy(struct evict_line *, const struct evict_policy *);

static inline uint64_t evict_count(const struct evict_line *l)
{
	return l->heap.n;
}

static inline bool evict_has(const struct evict_item *item)
{
	return heap_has(&item->node);
}

void evict_insert(struct evict_line *, struct evict_item *, uint64_t bytes);
/* For other reasons than room: the age stays. */
void evict_remove(struct evict_line *, struct evict_item *);
/* NULL: the line is empty. */
struct evict_item *evict_first(const struct evict_line *);
/* All of them: the first at 0, then in no order; NULL behind the last. */
struct evict_item *evict_at(const struct evict_line *, size_t place);
/* It was asked for so many times more. */
void evict_again(struct evict_line *, struct evict_item *, uint64_t hits);
/* It goes, being the first. */
void evict_out(struct evict_line *, struct evict_item *);

#endif
