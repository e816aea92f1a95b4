#include "node/cache/evict.h"

#include "node/base/check.h"

/* ---- policies ---- */

static double gdsf(const struct evict_item *item, double age)
{
	return age + (double)item->refs / (double)(item->bytes ? item->bytes : 1);
}

static double lfuda(const struct evict_item *item, double age)
{
	return age + (double)item->refs;
}

static double lru(const struct evict_item *item, double age)
{
	(void)item;
	return age; /* 0, always: turns alone decide */
}

static double sieve(const struct evict_item *item, double age)
{
	return item->refs == 1 ? age : item->key + 1; /* at the end of this round; in its place in the next */
}

const struct evict_policy evict_gdsf = {.name = "gdsf", .weigh = gdsf};
const struct evict_policy evict_lfuda = {.name = "lfuda", .weigh = lfuda};
const struct evict_policy evict_lru = {.name = "lru", .weigh = lru};
const struct evict_policy evict_sieve = {.name = "sieve", .weigh = sieve, .in_rounds = true};

const struct evict_policy *evict_named(struct span name)
{
	static const struct evict_policy *const all[] = {&evict_gdsf, &evict_lfuda, &evict_lru, &evict_sieve};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (span_eq(name, span_str(all[i]->name)))
			return all[i];
	return NULL;
}

/* ---- the line ---- */

static const struct evict_item *item_of(const struct heap_node *node)
{
	return (const void *)((const char *)node - offsetof(struct evict_item, node));
}

static bool before(const struct heap_node *x, const struct heap_node *y)
{
	const struct evict_item *a = item_of(x), *b = item_of(y);

	return a->key < b->key || (a->key <= b->key && a->turn < b->turn);
}

void evict_line_init(struct evict_line *l, const struct evict_policy *policy)
{
	*l = (struct evict_line){.policy = policy};
	heap_init(&l->heap, before);
}

void evict_line_fini(struct evict_line *l)
{
	heap_fini(&l->heap);
}

void evict_set_policy(struct evict_line *l, const struct evict_policy *policy)
{
	struct heap old = l->heap;

	if (l->policy == policy)
		return;
	l->policy = policy;
	l->age = 0;
	heap_init(&l->heap, before);
	for (size_t i = 1; i <= old.n; i++) {
		struct evict_item *item =
			(struct evict_item *)(void *)((char *)old.v[i] - offsetof(struct evict_item, node));

		item->node.at = 0;
		item->key = 0;
		item->key = policy->weigh(item, 0);
		heap_insert(&l->heap, &item->node);
	}
	heap_fini(&old);
}

static double age_of(const struct evict_line *l)
{
	const struct evict_item *first = l->policy->in_rounds ? evict_first(l) : NULL;

	return first ? first->key : l->age;
}

void evict_insert(struct evict_line *l, struct evict_item *item, uint64_t bytes)
{
	item->refs = 1;
	item->bytes = bytes;
	item->turn = ++l->turns;
	item->key = l->policy->weigh(item, age_of(l));
	heap_insert(&l->heap, &item->node);
}

void evict_remove(struct evict_line *l, struct evict_item *item)
{
	heap_remove(&l->heap, &item->node);
}

struct evict_item *evict_at(const struct evict_line *l, size_t place)
{
	if (place >= l->heap.n)
		return NULL;
	return (struct evict_item *)(void *)((char *)l->heap.v[place + 1] - offsetof(struct evict_item, node));
}

struct evict_item *evict_first(const struct evict_line *l)
{
	return evict_at(l, 0);
}

void evict_again(struct evict_line *l, struct evict_item *item, uint64_t hits)
{
	CHECK_THAT(hits > 0);
	item->refs = hits < UINT32_MAX - item->refs ? item->refs + (uint32_t)hits : UINT32_MAX;
	item->key = l->policy->weigh(item, age_of(l));
	if (!l->policy->in_rounds)
		item->turn = ++l->turns;
	heap_moved(&l->heap, &item->node);
}

void evict_out(struct evict_line *l, struct evict_item *item)
{
	heap_remove(&l->heap, &item->node);
	l->age = item->key;
	l->evicted++;
}
