#include "node/node_internal.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/rng.h"

#define TICKET_KEY_MS (12 * DUR_HOUR)

/* What a lane is told, on its own thread. */
struct new_keys {
	struct lane *lane;
	uint8_t keys[TLSCTX_TICKET_KEY_BYTES];
};

static void on_new_ticket_keys(void *arg)
{
	struct new_keys *new = arg;

	tlsctx_set_ticket_keys(new->lane->tls, new->keys);
	free(new);
}

static void renew_ticket_keys(struct node *n)
{
	mono_us now = clock_mono(&clock_system);
	uint8_t keys[TLSCTX_TICKET_KEY_BYTES];

	if (now < mono_after(n->ticket_keys_at ? n->ticket_keys_at : n->began, TICKET_KEY_MS))
		return;
	n->ticket_keys_at = now;
	rng_secret(keys, sizeof(keys));
	for (unsigned i = 0; i < n->n_lanes; i++) {
		struct new_keys *new = NEW(struct new_keys);

		new->lane = &n->lanes[i];
		memcpy(new->keys, keys, sizeof(keys));
		loop_post(n->lanes[i].loop, on_new_ticket_keys, new);
	}
}

void node_tend(struct node *n)
{
	char why[NODE_WHY_BYTES];

	if (n->mint && n->lock_fd >= 0 && mint_flush(n->mint, why, sizeof(why)) < 0)
		log_line(n->log, LOG_WARNING, "mint", "%s", why);
	renew_ticket_keys(n);
}

static void on_beat(void *arg)
{
	struct lane *l = arg;

	atomic_fetch_add(&l->node->beats, 1);
}

bool node_is_alive(struct node *n)
{
	CHECK(n, NODE_MAGIC);
	if (atomic_load(&n->beats) < n->n_lanes)
		return false;
	atomic_store(&n->beats, 0);
	for (unsigned i = 0; i < n->n_lanes; i++)
		loop_post(n->lanes[i].loop, on_beat, &n->lanes[i]);
	return true;
}
