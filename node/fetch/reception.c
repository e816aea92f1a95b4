/* What the head of an answer means: not modified, storable, for one only, too large. */
#include "node/base/check.h"
#include "node/cache/orders.h"
#include "node/fetch/flight_internal.h"
#include "node/fetch/from_disk.h"
#include "node/fetch/recall.h"
#include "node/fetch/stored_head.h"
#include "proto/http1_format.h"
#include "proto/range.h"
#include "proto/validator.h"
#include "proto/vary.h"

/* How long an URL whose answers cannot be shared is remembered as such, and a credential that the origin has accepted. */
#define MARK_MS (2 * DUR_MINUTE)
#define PASS_MS (5 * DUR_MINUTE)
#define SWITCH_BYTES (256 * 1024) /* a head and what may be read behind it */

/* What was answered to a credential is not for everybody, unless RFC 9111 §3.5 allows it and the policy goes by that. */
static bool is_for_credentials(const struct flight *f, enum fresh_store verdict)
{
	return verdict == FRESH_STORE_AUTH_CLASS ||
	       (verdict == FRESH_STORE_AUTH_RFC && f->policy->cache.authorized == POLICY_AUTH_CREDENTIAL);
}

static void not_modified(struct flight *f, const struct http1_response *r)
{
	const struct fetcher *c = f->fetcher;
	mono_us now = loop_now(c->loop);
	enum fresh_store allowed;
	struct link *link;

	entry_swap_head(f->stale, stored_head_freshen(f->stale_head, &f->facts, r, &f->path, f->request_time, now,
						      loop_wall(c->loop), &allowed));
	if (allowed == FRESH_STORE_NO) /* private now, or not to be stored: whoever asks next asks the origin */
		from_disk_purge(c, &f->key);
	else if (is_for_credentials(f, allowed)) /* said to one credential: says nothing about others */
		entry_guard(f->stale);
	entry_admit(f->stale, &f->who, mono_after(now, PASS_MS));
	link = r->status == 304 ? exchange_finish(&f->exchange) : NULL;
	if (link)
		pool_give(c->pool, &link);
	flight__end(f, ENTRY_NOT_MODIFIED, REASON_NONE);
}

/* Some registries ignore If-None-Match and send the same thing again, tag and all. */
static bool is_same_again(const struct flight *f, const struct http1_response *r)
{
	struct etag ours, theirs;

	if (!f->conditional || r->status != 200 || !f->stale_head->etag.n || f->stale_head->status != 200)
		return false;
	if (validator_etag(head_part(f->stale_head, f->stale_head->etag), &ours) ||
	    validator_etag(hdr_value(&r->fields, HDR_ETAG), &theirs))
		return false;
	return validator_same_strong(&ours, &theirs) && r->length_known && r->length == body_length(&f->stale->body);
}

static void switch_protocols(struct flight *f, const struct http1_response *r)
{
	struct buf b = buf_over(arena_alloc(&f->arena, SWITCH_BYTES), SWITCH_BYTES);
	const struct flight_owner *owner;
	struct stream *s;
	size_t n;

	/* The fields are formatted first: they go with the exchange. */
	http1_format_status_line(&b, 101, r->phrase);
	http1_format_fields(&b, &r->fields, 0);
	buf_put_str(&b, "Connection: Upgrade\r\n");
	http1_format_field(&b, SPAN("Upgrade"), hdr_value(&r->fields, HDR_UPGRADE));
	http1_format_end(&b);
	if (b.full || !f->request->upgrade || !f->owner || !f->owner->switched) {
		flight__failed(f, REASON_BAD_RESPONSE, "an upgrade that nobody asked for");
		return;
	}
	s = exchange_detach(&f->exchange, b.p + b.n, b.cap - b.n, &n);
	b.n += n;
	/* It ends before the owner hears of it, who may let go of it in the call: f may be gone afterwards. */
	owner = f->owner;
	flight__end(f, ENTRY_BROKEN, REASON_NONE);
	owner->switched(f->cookie, s, buf_span(&b));
}

static bool is_html(const struct http1_response *r)
{
	struct span type = hdr_value(&r->fields, HDR_CONTENT_TYPE);

	return span_starts_icase(type, SPAN("text/html")) || span_starts_icase(type, SPAN("application/xhtml"));
}

/* So far: the body may prove otherwise. */
static bool is_earned(const struct flight *f, const struct http1_response *r)
{
	return f->path.class == PATH_IMMUTABLE && r->status == 200 && !is_html(r) &&
	       !hdr_has(&r->fields, HDR_CONTENT_ENCODING);
}

bool reception_is_for_all(const struct flight *f, const struct http1_response *r, enum fresh_why *why)
{
	struct fresh_response facts;

	fresh_read_response(r->status, &r->fields, f->request_time, loop_wall(f->fetcher->loop), &f->path, &facts);
	facts.earned = is_earned(f, r);
	return fresh_may_store(&f->facts, &facts, why) == FRESH_STORE_SHARED;
}

/* An answer for one that will be one for one the next time too, whoever asks. */
static bool is_private(enum fresh_why why)
{
	switch (why) {
	case FRESH_WHY_NO_STORE:
	case FRESH_WHY_PRIVATE:
	case FRESH_WHY_SET_COOKIE:
	case FRESH_WHY_VARY_STAR:
		return true;
	default:
		return false;
	}
}

static void remember_private(struct flight *f)
{
	const struct fetcher *c = f->fetcher;
	struct entry *mark;

	/* What was told to a credential says nothing about others. */
	if (!key_credential_is_nobody(&f->who))
		return;
	mark = index_mark(c->index, &f->key, mono_after(loop_now(c->loop), MARK_MS));
	if (mark)
		c->store->ops->keep(c->store, mark, 0);
	entry_unref(&mark);
}

/* ---- from siblings ---- */

bool reception_is_shareable(const struct flight *f, const struct http1_response *r)
{
	struct fresh_response facts;
	struct fresh_terms terms;
	enum fresh_why why;

	if (r->status != 200 || is_html(r) || hdr_has(&r->fields, HDR_SET_COOKIE))
		return false;
	fresh_read_response(r->status, &r->fields, f->request_time, loop_wall(f->fetcher->loop), &f->path, &facts);
	facts.earned = true;
	if (fresh_may_store(&f->facts, &facts, &why) != FRESH_STORE_SHARED)
		return false;
	fresh_terms(&facts, &terms);
	return terms.lifetime_s == FRESH_FOREVER_S;
}

/* A sibling's body that is small enough is shown to nobody before it is proven: then there is still time for another source. Nor is what
 * was denied under this URL before: then there is still time for an error page. */
#define PARK_BYTES ((uint64_t)256 * 1024)

static bool is_parkable(const struct flight *f, const struct http1_response *r)
{
	if (f->stored && orders_suspects(f->fetcher->orders, &f->key))
		return true;
	return f->proof.wanted && r->length_known && r->length <= PARK_BYTES;
}

void reception_unpark(struct flight *f)
{
	struct head *head = f->parked;

	if (!head)
		return;
	f->parked = NULL;
	if (!f->stored) /* there was no room for it */
		f->parked_terms.stored = f->parked_terms.joinable = false;
	if (!f->parked_terms.joinable)
		index_withdraw(f->fetcher->index, f->entry);
	entry_set_head(f->entry, head, &f->parked_terms);
}

/* ---- going on with a body that broke off ---- */

/* "bytes 100-199/200", or "…" + "/" + "*": does it go on exactly where we are? */
static bool goes_on_here(const struct flight *f, const struct http1_response *r)
{
	struct content_range range;

	if (range_parse_content(hdr_value(&r->fields, HDR_CONTENT_RANGE), &range) || range.start != fill_here(f))
		return false;
	return f->expected == UINT64_MAX ||
	       (range.length_known && range.length == f->expected && range.start + range.n == f->expected);
}

static void take_rest(struct flight *f, const struct http1_response *r)
{
	if (r->status == 206 && !f->proof.wanted && goes_on_here(f, r)) {
		fill_resume(f, 0);
		return;
	}
	if (r->status == 200 && (f->expected == UINT64_MAX || !r->length_known || r->length == f->expected)) {
		fill_resume(f, fill_here(f));
		return;
	}
	flight__failed(f, REASON_UPSTREAM_CUT, "in the middle of the body, and it is another one now");
}

/* In memory, or on the disk: then that is noted. */
static bool may_be_kept(struct flight *f, const struct http1_response *r)
{
	if (!r->length_known ||
	    (r->length <= f->policy->cache.memory_max_object && r->length <= f->policy->cache.max_object))
		return true;
	f->disk.wanted = to_disk_may(f, r->length);
	return f->disk.wanted;
}

static bool succeeded(int status)
{
	return status >= 200 && status < 400;
}

void reception_take(struct flight *f, const struct http1_response *r)
{
	const struct fetcher *c = f->fetcher;
	uint64_t limit = f->policy->limits.reply_body;
	struct entry_terms terms = {0};
	enum fresh_why why = FRESH_WHY_METHOD;
	enum fresh_store verdict = FRESH_STORE_NO;
	struct vary vary;

	CHECK(f, FLIGHT_MAGIC);
	if (f->begun) {
		take_rest(f, r);
		return;
	}
	if (r->status == 101) {
		switch_protocols(f, r);
		return;
	}
	if ((r->status == 304 && f->conditional) || is_same_again(f, r)) {
		if (f->recheck)
			recall_confirmed(f);
		not_modified(f, r);
		return;
	}
	if (f->recheck) {
		recall_judge(f, r);
		return;
	}
	if (limit && r->length_known && r->length > limit && f->request->method != METHOD_HEAD) {
		flight__failed(f, REASON_REPLY_TOO_LARGE, NULL);
		return;
	}
	fresh_read_response(r->status, &r->fields, f->request_time, loop_wall(c->loop), &f->path, &f->answer);
	f->answer.earned = is_earned(f, r);
	if (f->store && !(f->afresh && r->status != 200))
		verdict = fresh_may_store(&f->facts, &f->answer, &why);
	if (!http1_method_is_safe(f->request->method) && succeeded(r->status))
		from_disk_purge(c, &f->key);

	vary_read(&r->fields, &vary);
	if (!vary.star)
		key_variant(&terms.variant, &vary, &f->request->fields);
	f->guarded = terms.guarded = is_for_credentials(f, verdict);
	terms.shared =
		verdict != FRESH_STORE_NO || (f->store && why == FRESH_WHY_USELESS && !f->facts.has_authorization);
	terms.stored = verdict != FRESH_STORE_NO && may_be_kept(f, r);
	if (f->answer.has_set_cookie && !terms.stored) /* the field stays in the head: it is for one alone */
		terms.shared = false;
	terms.joinable = terms.stored;
	f->stored = terms.stored;
	if (!f->stored && f->way != FLIGHT_SIBLING) /* nobody is to wait for what is not for others */
		peer_errand_end(&f->sibling.errand, false, 0);
	if (f->store && is_private(why))
		remember_private(f);
	f->begun = true;
	f->parked = stored_head_make(r, &f->answer, f->store_id, terms.stored, terms.stored, loop_now(c->loop),
				     loop_wall(c->loop));
	f->parked_terms = terms;
	if (!is_parkable(f, r))
		reception_unpark(f);
	fill_begin(f, r);
}
