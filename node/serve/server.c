#include "node/serve/server.h"

#include <stdlib.h>

#include "node/base/mem.h"
#include "node/deliver/deliver.h"
#include "node/serve/client.h"
#include "node/serve/contact.h"

void server_init(struct server *s)
{
	TAILQ_INIT(&s->clients);
	s->room = mem_alloc(DELIVER_ROOM_BYTES);
	s->contacts = contacts_new(&s->fetcher);
}

void server_fini(struct server *s)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&s->clients)) != NULL)
		client_close(c, STREAM_CUT);
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
		if ((c->state == CLIENT_READING || c->state == CLIENT_FIRST_BYTES) && c->in_n == c->in_at)
			client_close(c, STREAM_CLEAN);
	}
}
