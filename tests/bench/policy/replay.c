#include "tests/bench/policy/replay.h"

#include <inttypes.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

struct cached {
	struct evict_item item;
	uint32_t hits; /* since it was last weighed, as in struct entry */
};

struct cache {
	const struct trace *t;
	const struct replay *how;
	struct replay_result *out;
	struct evict_line line;
	struct cached *objects;
	uint32_t *present; /* of each key: its object that came last, + 1 */
	uint64_t used;
};

static struct cached *cached_of(struct evict_item *item)
{
	return (struct cached *)(void *)((char *)item - offsetof(struct cached, item));
}

static bool evict_one(struct cache *c)
{
	struct evict_item *item;

	while ((item = evict_first(&c->line)) != NULL) {
		uint32_t hits = cached_of(item)->hits;

		cached_of(item)->hits = 0;
		if (hits) {
			evict_again(&c->line, item, hits);
			c->out->looked_at++;
			continue;
		}
		evict_out(&c->line, item);
		c->used -= item->bytes;
		return true;
	}
	return false;
}

static void drop(struct cache *c, struct cached *o)
{
	evict_remove(&c->line, &o->item);
	c->used -= o->item.bytes;
	o->hits = 0;
}

static void store(struct cache *c, struct cached *o, uint64_t body)
{
	uint64_t cost = body + c->how->overhead;

	if (body > c->how->max_object || cost > c->how->size)
		return;
	c->used += cost;
	while (c->used > c->how->size)
		CHECK_THAT(evict_one(c));
	evict_insert(&c->line, &o->item, cost);
	if (c->used > c->out->most_used)
		c->out->most_used = c->used;
}

static bool request(struct cache *c, uint32_t number)
{
	const struct trace_object *what = &c->t->objects[number];
	struct cached *o = &c->objects[number];
	uint32_t *present = &c->present[what->key];

	if (evict_has(&o->item) && *present == number + 1) {
		if (c->how->at_once)
			evict_again(&c->line, &o->item, 1);
		else
			o->hits++;
		return true;
	}
	if (*present && evict_has(&c->objects[*present - 1].item))
		drop(c, &c->objects[*present - 1]); /* its content has changed */
	*present = number + 1;
	store(c, o, what->size);
	return false;
}

void replay_run(const struct trace *t, const struct replay *how, struct replay_result *out)
{
	struct cache c = {.t = t, .how = how, .out = out};

	*out = (struct replay_result){0};
	c.objects = mem_zalloc(t->n_objects * sizeof(*c.objects));
	c.present = mem_zalloc(t->n_keys * sizeof(*c.present));
	evict_line_init(&c.line, how->policy);
	for (size_t i = 0; i < t->n; i++) {
		uint64_t bytes = t->objects[t->requests[i]].size;
		bool hit = request(&c, t->requests[i]);

		if (!hit && how->misses)
			fprintf(how->misses, "%zu %" PRIu32 " %" PRIu64 "\n", i, t->objects[t->requests[i]].key, bytes);
		if (i < how->warm)
			continue;
		out->requests++;
		out->bytes += bytes;
		out->hits += hit;
		out->hit_bytes += hit ? bytes : 0;
	}
	out->evicted = c.line.evicted;
	CHECK_THAT(out->most_used <= how->size);
	evict_line_fini(&c.line);
	free(c.objects);
	free(c.present);
}

uint64_t replay_working_set(const struct trace *t, uint64_t overhead)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < t->n_objects; i++)
		sum += t->objects[i].size + overhead;
	return sum;
}
