#include "node/serve/server.h"

#include <stdlib.h>

#include "node/base/mem.h"
#include "node/deliver/deliver.h"
#include "node/serve/certword.h"
#include "node/serve/client.h"
#include "node/serve/contact.h"

#define PROBE_MS 20
#define FULL_LATE_US 100000
#define LOAD_MOST 255

static void on_probe(void *arg)
{
	struct server *s = arg;

	s->late_us += (loop_now(s->loop) - s->probe_due - s->late_us) / 4;
}

int server_load(struct server *s)
{
	uint64_t connections = atomic_load_explicit(s->connections, memory_order_relaxed);
	uint64_t by_connections = connections * LOAD_MOST / s->policy->limits.connections;
	uint64_t by_lateness = (uint64_t)(s->late_us > 0 ? s->late_us : 0) * LOAD_MOST / FULL_LATE_US;
	uint64_t load = by_connections > by_lateness ? by_connections : by_lateness;

	if (s->probe.due == MONO_NEVER) {
		s->probe_due = mono_after(loop_now(s->loop), PROBE_MS);
		timer_set(&s->probe, s->probe_due);
	}
	return load < LOAD_MOST ? (int)load : LOAD_MOST;
}

void server_init(struct server *s)
{
	timer_init(&s->probe, s->loop, on_probe, s);
	TAILQ_INIT(&s->clients);
	s->room = mem_alloc(DELIVER_ROOM_BYTES);
	s->contacts = contacts_new(&s->fetcher);
	s->certwords = certwords_new(s->loop, s->contacts);
}

void server_fini(struct server *s)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&s->clients)) != NULL)
		client_close(c, STREAM_CUT);
	timer_fini(&s->probe);
	certwords_free(s->certwords);
	s->certwords = NULL;
	contacts_free(s->contacts);
	s->contacts = NULL;
	free(s->room);
	s->room = NULL;
	policy_unref(&s->policy);
}

void server_set_policy(struct server *s, struct policy *p)
{
	policy_unref(&s->policy);
	s->policy = policy_ref(p);
}

void server_drain(struct server *s)
{
	struct client *c, *next;

	s->draining = true;
	for (c = TAILQ_FIRST(&s->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		client_drain(c);
	}
}
