/* Whom to ask, in which order: the only place that knows it.
 *
 *     our disk    what was stored there (from_disk.c)
 *     siblings    for what may be shared: anonymous, immutable (sibling.c)
 *     its home    from a parent: the fellow whose key it is, only for what it has or is fetching (via_parent.c)
 *     a parent    the one that the key belongs to, else the next in rank (via_parent.c)
 *     the origin  when there are no parents; or when they have failed, and policy allows it (upstream.c)
 *
 * One way after the other, but for a node that is late: then the next may be asked besides (hedge.c).
 *
 * A node's failure is a miss: the next way is tried, also in the middle of a body, which then goes on where it stopped. When all
 * parents have failed, only so many requests at a time go to one origin host directly; the others stand in line, so that a
 * thousand edges without a parent do not become a flood. */
#include "node/base/check.h"
#include "node/fetch/flight_internal.h"

#define MOST_RESUMES 3

/* ---- going direct ---- */

static bool same_host(const struct flight *a, const struct flight *b)
{
	return a->url.port == b->url.port && span_eq_icase(a->url.host, b->url.host);
}

static unsigned going_direct(const struct flight *f)
{
	const struct flight *other;
	unsigned n = 0;

	LIST_FOREACH(other, f->fetcher->flights, entry_of_all)
	n += other->counts && same_host(other, f);
	return n;
}

static void on_direct(void *arg)
{
	struct flight *f = arg;

	CHECK(f, FLIGHT_MAGIC);
	upstream_begin(f);
}

static void go_direct(struct flight *f)
{
	if (!f->parent.failed) {
		upstream_begin(f);
		return;
	}
	if (going_direct(f) >= f->policy->cluster.direct_limit) {
		f->waits = true;
		return;
	}
	f->counts = true;
	upstream_begin(f);
}

/* One that went direct has ended: the one that has waited longest for the same host is next. */
static void call_next(struct flight *done)
{
	struct flight *f, *next = NULL;

	LIST_FOREACH(f, done->fetcher->flights, entry_of_all)
	if (f->waits && same_host(f, done))
		next = f; /* new ones are put in front */
	if (!next)
		return;
	next->waits = false;
	next->counts = true;
	loop_defer(next->fetcher->loop, &next->job, on_direct, next);
}

/* ---- upwards ---- */

static void give_up(struct flight *f, enum reason why, const char *detail)
{
	flight__failed(f, why, detail);
}

static void up(struct flight *f, enum reason why, const char *detail)
{
	const struct fetch_cluster *c = f->fetcher->cluster;

	if (c && parent_set_count(c->parents)) {
		if (via_parent_begin(f))
			return;
		f->parent.failed = true;
		if (f->policy->cluster.on_parent_failure != POLICY_PARENT_DIRECT) {
			give_up(f, why && why != REASON_CONNECT_FAILED ? why : REASON_PARENT_DOWN, detail);
			return;
		}
	}
	go_direct(f);
}

void route_is_up(struct flight *f)
{
	if (f->sibling.errand.desk)
		peer_errand_fetching(&f->sibling.errand);
	entry_set_order(f->entry, 1);
}

void route_up(struct flight *f)
{
	route_is_up(f);
	up(f, REASON_NONE, NULL);
}

/* ---- beginning ---- */

static bool is_trusted_enough(const struct flight *f)
{
	switch (f->policy->cluster.trust) {
	case POLICY_TRUST_VERIFIED:
		return f->path.digest_bytes > 0;
	case POLICY_TRUST_ATTESTED:
		return f->path.digest_bytes > 0 || parent_set_count(f->fetcher->cluster->parents) > 0;
	case POLICY_TRUST_ANY:
		return true;
	}
	return false;
}

/* No question is even sent about what is somebody's own. */
static bool may_ask_siblings(const struct flight *f)
{
	const struct fetch_cluster *c = f->fetcher->cluster;

	if (!c || !c->desk || c->is_parent || !f->store || f->stale || f->afresh || f->path.class != PATH_IMMUTABLE)
		return false;
	if (f->facts.has_authorization || f->facts.has_cookie || !key_credential_is_nobody(&f->who))
		return false;
	return is_trusted_enough(f);
}

void route_begin(struct flight *f)
{
	if (f->brought)
		brought_begin(f);
	else if (!from_disk_begin(f))
		route_on(f);
}

void route_on(struct flight *f)
{
	if (f->here_only)
		flight__end(f, ENTRY_BROKEN, f->here_only);
	else if (may_ask_siblings(f))
		sibling_begin(f);
	else if (!via_home_begin(f))
		route_up(f);
}

/* ---- failing ---- */

/* Nothing has been done that may not be done twice, and what is here can be gone on with. */
static bool may_go_on(const struct flight *f)
{
	if (f->upload_begun || !http1_method_is_idempotent(f->request->method))
		return false;
	return !f->begun || (f->summed && f->resumes <= MOST_RESUMES);
}

static enum parent_outcome outcome_of(enum reason why)
{
	switch (why) {
	case REASON_CONNECT_FAILED:
		return PARENT_CONNECT;
	case REASON_FIRST_BYTE_TIMEOUT: /* as slow as the origin is, perhaps */
	case REASON_READ_TIMEOUT:
		return PARENT_SLOW;
	default:
		return PARENT_FAILED;
	}
}

/* A body that ends early was cut by the origin as likely as by the parent; one that is gone shows when it is dialled next. */
static bool may_be_the_origin(const struct flight *f, enum reason why)
{
	return f->begun && (why == REASON_UPSTREAM_CUT || why == REASON_UPSTREAM_RESET);
}

static void parent_failed(struct flight *f, enum reason why, const char *detail)
{
	bool was_only = f->up->only && !f->begun;

	via_parent_done(f, may_be_the_origin(f, why) ? PARENT_CANCELLED : outcome_of(why));
	if (hedge_take_over(f))
		return;
	if (was_only) /* it has it not: nothing is lost */
		route_up(f);
	else if (may_go_on(f))
		up(f, why, detail);
	else
		give_up(f, why, detail);
}

void route_failed(struct flight *f, enum reason why, const char *detail)
{
	CHECK(f, FLIGHT_MAGIC);
	exchange_cancel(&f->exchange);
	if (f->begun)
		f->resumes++;
	switch (f->way) {
	case FLIGHT_SIBLING:
		sibling_failed(f, sibling_fault(why));
		return;
	case FLIGHT_PARENT:
		parent_failed(f, why, detail);
		return;
	case FLIGHT_BROUGHT:
		give_up(f, why, detail);
		return;
	case FLIGHT_DIRECT:
		upstream_failed(f, why);
		give_up(f, why, detail);
		return;
	}
}

void route_end(struct flight *f, bool stored)
{
	nodelink_cancel(&f->node_dial);
	upstream_end(f);
	proof_cancel(f);
	sibling_done(f, false);
	via_parent_end(f);
	if (stored && !f->sibling.errand.desk && f->fetcher->cluster && f->fetcher->cluster->desk)
		peer_desk_stored(f->fetcher->cluster->desk, &f->key);
	peer_errand_end(&f->sibling.errand, stored, body_length(&f->entry->body));
	if (f->counts) {
		f->counts = false;
		call_next(f);
	}
}
