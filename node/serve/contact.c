#include "node/serve/contact.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/tls/mint.h"
#include "proto/url.h"

#define ORIGIN_BYTES (2 * URL_MAX_HOST + 64)

struct contact {
	LIST_ENTRY(contact) entry;
	struct contacts *all;
	struct dial *dial;
	LIST_HEAD(, contact_wait) waits;
	char host[URL_MAX_HOST + 1];
	char origin[ORIGIN_BYTES]; /* pool's name of it */
};

struct contacts {
	unsigned magic;
	const struct fetcher *fetcher;
	LIST_HEAD(, contact) list; /* few at a time: only hosts that were never seen */
};

#define CONTACTS_MAGIC 0xc047ac75

struct contacts *contacts_new(const struct fetcher *f)
{
	struct contacts *all = NEW(struct contacts);

	all->magic = CONTACTS_MAGIC;
	all->fetcher = f;
	LIST_INIT(&all->list);
	return all;
}

static void contact_free(struct contact *c)
{
	CHECK_THAT(LIST_EMPTY(&c->waits));
	dial_cancel(&c->dial);
	free(c);
}

void contacts_free(struct contacts *all)
{
	struct contact *c, *next;

	if (!all)
		return;
	CHECK(all, CONTACTS_MAGIC);
	for (c = LIST_FIRST(&all->list); c; c = next) {
		next = LIST_NEXT(c, entry);
		contact_free(c);
	}
	all->magic = 0;
	free(all);
}

/* A callback may close any client, and so cancel any wait: each is taken off before it is called. */
static void tell_all(struct contact *c, struct origin_cert *cert)
{
	struct contact_wait *w;

	while ((w = LIST_FIRST(&c->waits)) != NULL) {
		contact_on_done_f *on_done = w->on_done;
		void *cookie = w->cookie;

		CHECK_THAT(on_done != NULL);
		contact_cancel(w);
		on_done(cookie, cert); /* w may be gone now */
	}
}

static void on_dialled(void *cookie, struct stream *s, const struct dial_report *report)
{
	struct contact *c = cookie;
	const struct fetcher *f = c->all->fetcher;
	struct link *link;

	c->dial = NULL;
	if (report->cert)
		mint_remember(f->mint, span_str(c->host), report->cert, loop_wall(f->loop));
	if (s) {
		link = link_new(&s, c->origin);
		pool_give(f->pool, &link);
	}
	LIST_REMOVE(c, entry); /* who comes from now on finds the mint wiser */
	tell_all(c, report->cert);
	contact_free(c);
}

static struct contact *find(struct contacts *all, const char *origin)
{
	struct contact *c;

	LIST_FOREACH(c, &all->list, entry)
	if (strcmp(c->origin, origin) == 0)
		return c;
	return NULL;
}

void contact_start(struct contacts *all, const struct dial_target *target, struct policy *policy,
		   struct contact_wait *w, contact_on_done_f *on_done, void *cookie)
{
	struct span host = target->tls_host.n ? target->tls_host : target->host;
	char origin[ORIGIN_BYTES];
	struct buf b = buf_over(origin, sizeof(origin) - 1), h;
	struct contact *c;

	CHECK(all, CONTACTS_MAGIC);
	dial_origin(target, &b);
	CHECK_THAT(!b.full);
	origin[b.n] = '\0';
	c = find(all, origin);
	if (!c) {
		c = NEW(struct contact);
		c->all = all;
		memcpy(c->origin, origin, b.n + 1);
		h = buf_over(c->host, URL_MAX_HOST);
		buf_put(&h, host);
		LIST_INIT(&c->waits);
		LIST_INSERT_HEAD(&all->list, c, entry);
		c->dial = dial_start(all->fetcher->dialer, target, policy, on_dialled, c);
	}
	w->on_done = on_done;
	w->cookie = cookie;
	LIST_INSERT_HEAD(&c->waits, w, entry);
}

void contact_cancel(struct contact_wait *w)
{
	if (!w->on_done)
		return;
	w->on_done = NULL;
	LIST_REMOVE(w, entry);
}
