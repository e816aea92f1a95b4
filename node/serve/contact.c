#include "node/serve/contact.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/tls/mint.h"
#include "parent/parent_cert.h"
#include "proto/url.h"

#define ORIGIN_BYTES (2 * URL_MAX_HOST + 64)
#define PARENT_MS (5 * DUR_SECOND)
#define REST_MS (30 * DUR_SECOND)
#define RESTING_MOST 1000

struct contact {
	LIST_ENTRY(contact) entry;
	struct contacts *all;
	struct policy *policy;
	enum contact_way way;
	struct dial_target target; /* spans into host, tls_host */
	/* one of these is under way, or neither: it rests, nobody could say anything */
	struct dial *dial;
	struct parent_cert *by_parent;
	mono_us rests_until;
	struct timer patience; /* of those who wait for a parent; or the end of its rest */
	LIST_HEAD(, contact_wait) waits;
	char host[URL_MAX_HOST + 1], tls_host[URL_MAX_HOST + 1];
	char origin[ORIGIN_BYTES]; /* pool's name of it */
};

struct contacts {
	unsigned magic;
	const struct fetcher *fetcher;
	LIST_HEAD(, contact) list; /* few at a time: only hosts that were never seen */
	unsigned n;
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
	LIST_REMOVE(c, entry);
	c->all->n--;
	dial_cancel(&c->dial);
	parent_cert_cancel(&c->by_parent);
	timer_fini(&c->patience);
	policy_unref(&c->policy);
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
static void tell_all(struct contact *c, struct origin_cert *cert, enum reason why)
{
	struct contact_wait *w;

	while ((w = LIST_FIRST(&c->waits)) != NULL) {
		contact_on_done_f *on_done = w->on_done;
		void *cookie = w->cookie;

		CHECK_THAT(on_done != NULL);
		contact_cancel(w);
		on_done(cookie, cert, why); /* w may be gone now */
	}
}

/* ---- the origin itself ---- */

static void remember(const struct contact *c, struct origin_cert *cert)
{
	const struct fetcher *f = c->all->fetcher;

	if (f->mint)
		mint_remember(f->mint, c->target.tls_host, cert, loop_wall(f->loop));
}

static void on_dialled(void *cookie, struct stream *s, const struct dial_report *report)
{
	struct contact *c = cookie;
	struct link *link;

	c->dial = NULL;
	if (report->cert)
		remember(c, report->cert);
	if (s) {
		link = link_new(&s, c->origin);
		pool_give(c->all->fetcher->pool, &link);
	}
	tell_all(c, report->cert, report->why);
	contact_free(c);
}

static void go_direct(struct contact *c)
{
	timer_clear(&c->patience);
	c->dial = dial_start(c->all->fetcher->dialer, &c->target, c->policy, on_dialled, c);
}

/* ---- a parent ---- */

/* It stays for a while without doing anything, so that nobody is asked again. */
static void rest(struct contact *c)
{
	mono_us now = loop_now(c->all->fetcher->loop);

	tell_all(c, NULL, REASON_NONE);
	c->rests_until = c->all->n > RESTING_MOST ? now : mono_after(now, REST_MS);
	timer_set(&c->patience, c->rests_until);
}

static void on_parent(void *cookie, enum parent_cert_answer answer, struct origin_cert *cert)
{
	struct contact *c = cookie;

	c->by_parent = NULL;
	switch (answer) {
	case PARENT_CERT_VALID:
		remember(c, cert);
		tell_all(c, cert, REASON_NONE);
		contact_free(c);
		return;
	case PARENT_CERT_NOBODY:
		if (c->policy->cluster.on_parent_failure == POLICY_PARENT_DIRECT)
			go_direct(c);
		else
			rest(c);
		return;
	case PARENT_CERT_INVALID: /* is told in answer to the request, by the parent that has met it */
	case PARENT_CERT_UNKNOWN:
		rest(c);
		return;
	}
}

/* Who waits has waited long enough; or it rests, and there is nothing to wait for. */
static void on_patience(void *arg)
{
	struct contact *c = arg;

	tell_all(c, NULL, REASON_NONE);
	if (!c->rests_until)
		return;
	if (loop_now(c->all->fetcher->loop) >= c->rests_until)
		contact_free(c);
	else
		timer_set(&c->patience, c->rests_until);
}

static void ask_parent(struct contact *c)
{
	const struct fetcher *f = c->all->fetcher;
	struct parent_cert_ground ground = {
		.loop = f->loop,
		.dns = f->cluster->dns,
		.pool = f->pool,
		.tls = f->cluster->tls,
		.parents = f->cluster->parents,
	};
	struct parent_cert_ask ask = {
		.host = c->target.host, .port = c->target.port, .sni = c->target.tls_host, .limit = PARENT_MS};

	c->by_parent = parent_cert_start(&ground, &ask, on_parent, c);
}

/* ---- starting ---- */

static bool goes_by_parent(const struct contact *c)
{
	const struct fetch_cluster *cluster = c->all->fetcher->cluster;

	return c->way == CONTACT_AS_ROUTED && cluster && parent_set_count(cluster->parents) > 0;
}

static struct contact *find(struct contacts *all, enum contact_way way, const char *origin)
{
	struct contact *c;

	LIST_FOREACH(c, &all->list, entry)
	if (c->way == way && strcmp(c->origin, origin) == 0)
		return c;
	return NULL;
}

static struct span copy_host(char room[URL_MAX_HOST + 1], struct span host)
{
	struct buf b = buf_over(room, URL_MAX_HOST);

	buf_put(&b, host);
	CHECK_THAT(!b.full);
	return buf_span(&b);
}

static struct contact *contact_new(struct contacts *all, enum contact_way way, const struct dial_target *target,
				   struct policy *policy, struct span origin)
{
	struct contact *c = NEW(struct contact);

	c->all = all;
	c->way = way;
	c->policy = policy_ref(policy);
	c->target = *target;
	c->target.host = copy_host(c->host, target->host);
	c->target.tls_host = copy_host(c->tls_host, target->tls_host.n ? target->tls_host : target->host);
	c->target.wants_cert = true;
	memcpy(c->origin, origin.p, origin.n);
	LIST_INIT(&c->waits);
	timer_init(&c->patience, all->fetcher->loop, on_patience, c);
	LIST_INSERT_HEAD(&all->list, c, entry);
	all->n++;
	if (goes_by_parent(c))
		ask_parent(c);
	else
		go_direct(c);
	return c;
}

void contact_start(struct contacts *all, enum contact_way way, const struct dial_target *target, struct policy *policy,
		   struct contact_wait *w, contact_on_done_f *on_done, void *cookie)
{
	char origin[ORIGIN_BYTES];
	struct buf b = buf_over(origin, sizeof(origin) - 1);
	struct contact *c;

	CHECK(all, CONTACTS_MAGIC);
	dial_origin(target, &b);
	CHECK_THAT(!b.full);
	origin[b.n] = '\0';
	c = find(all, way, origin);
	if (!c)
		c = contact_new(all, way, target, policy, buf_span(&b));
	w->on_done = on_done;
	w->cookie = cookie;
	LIST_INSERT_HEAD(&c->waits, w, entry);
	if (c->rests_until)
		timer_set_in(&c->patience, 0);
	else if (c->by_parent && c->patience.due == MONO_NEVER)
		timer_set_in(&c->patience, CONTACT_PATIENCE_MS);
}

void contact_cancel(struct contact_wait *w)
{
	if (!w->on_done)
		return;
	w->on_done = NULL;
	LIST_REMOVE(w, entry);
}
