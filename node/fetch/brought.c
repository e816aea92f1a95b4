/* What somebody brings (import): the answer is asked for on a connection of theirs, as it would be at an origin, and judged as one from
 * there; but for what is not for everybody, which goes no further than its head. No other way is tried. */
#include "node/base/check.h"
#include "node/fetch/flight_internal.h"

static void on_failed(void *cookie, enum reason why)
{
	route_failed(cookie, why, NULL);
}

static const char *refused(const struct flight *f, const struct http1_response *r)
{
	enum fresh_why why;

	if (r->status != 200)
		return "its status is not 200";
	if (r->body != HTTP1_BODY_LENGTH)
		return "its length is not said";
	if (hdr_has(&r->fields, HDR_SET_COOKIE))
		return "it sets a cookie";
	return reception_is_for_all(f, r, &why) ? NULL : fresh_why_sentence(why);
}

static void on_head(void *cookie, const struct http1_response *r)
{
	struct flight *f = cookie;
	const char *why;

	CHECK(f, FLIGHT_MAGIC);
	why = refused(f, r);
	if (why)
		flight__failed(f, REASON_NOT_TAKEN, why);
	else
		reception_take(f, r);
}

static const struct exchange_on exchange_on = {
	.head = on_head,
	.body = outgoing_on_body,
	.failed = on_failed,
};

void brought_begin(struct flight *f)
{
	f->way = FLIGHT_BROUGHT;
	flight__set_peer(f, f->brought->origin);
	f->asked_at = loop_now(f->fetcher->loop);
	f->request_time = loop_wall(f->fetcher->loop);
	f->exchange = outgoing_start(f, &f->brought, NULL, &exchange_on, f);
}
