#include "proto/fresh.h"

#include "proto/httpdate.h"
#include "proto/validator.h"
#include "proto/vary.h"

const char *fresh_why_word(enum fresh_why why)
{
	static const char *const words[FRESH_WHY_COUNT] = {
#define X(name, word, sentence) [FRESH_WHY_##name] = word,
		FRESH_WHY_TABLE(X)
#undef X
	};

	return words[why];
}

const char *fresh_why_sentence(enum fresh_why why)
{
	static const char *const sentences[FRESH_WHY_COUNT] = {
#define X(name, word, sentence) [FRESH_WHY_##name] = sentence,
		FRESH_WHY_TABLE(X)
#undef X
	};

	return sentences[why];
}

/* --- facts from heads --- */

void fresh_read_request(const struct http1_request *r, struct fresh_request *out)
{
	out->method = r->method;
	out->has_authorization = hdr_has(&r->fields, HDR_AUTHORIZATION);
	out->has_cookie = hdr_has(&r->fields, HDR_COOKIE);
	cachectl_request(&r->fields, &out->cc);
}

/* delta-seconds of the first member (RFC 9111 §5.1); a broken one is ignored. */
static int64_t read_age(const struct hdrs *h)
{
	struct hdr_list it = {0};
	uint64_t age;

	if (!hdr_next(h, HDR_AGE, &it) || span_to_u64(it.member, &age) != 0)
		return 0;
	return age < CACHECTL_MAX_S ? (int64_t)age : CACHECTL_MAX_S;
}

void fresh_read_response(int status, const struct hdrs *h, wall_ms request_time, wall_ms response_time,
			 const struct path_facts *path, struct fresh_response *out)
{
	struct entity entity;
	struct vary vary;

	validator_entity(h, response_time, &entity);
	vary_read(h, &vary);
	*out = (struct fresh_response){
		.status = status,
		.date = entity.date,
		.last_modified = entity.last_modified,
		.expires = HTTPDATE_NONE,
		.has_expires = hdr_has(h, HDR_EXPIRES),
		.has_validator = entity.etag.opaque.n || entity.last_modified != HTTPDATE_NONE,
		.has_set_cookie = hdr_has(h, HDR_SET_COOKIE),
		.vary_star = vary.star,
		.age_s = read_age(h),
		.request_time = request_time,
		.response_time = response_time,
		.class = path->class,
		.class_ttl_s = path->ttl_s,
	};
	cachectl_response(h, &out->cc);
	if (hdr_count(h, HDR_EXPIRES) == 1)
		httpdate_parse(hdr_value(h, HDR_EXPIRES), response_time, &out->expires);
}

/* --- storing (RFC 9111 §3) --- */

bool fresh_is_heuristic_status(int status)
{
	switch (status) {
	case 200:
	case 203:
	case 204:
	case 300:
	case 301:
	case 308:
	case 404:
	case 405:
	case 410:
	case 414:
	case 501:
		return true;
	}
	return false;
}

/* Those whose meaning for a cache is known here: "understood" in the words of §3. */
static bool is_understood(int status)
{
	return fresh_is_heuristic_status(status) || status == 302 || status == 303 || status == 307;
}

static bool is_private(const struct cachectl *cc)
{
	return (cc->flags & (CACHECTL_PRIVATE | CACHECTL_PRIVATE_FIELDS)) != 0;
}

static bool is_no_cache(const struct cachectl *cc)
{
	return (cc->flags & (CACHECTL_NO_CACHE | CACHECTL_NO_CACHE_FIELDS)) != 0;
}

/* must-understand lifts no-store for a status that is understood (§5.2.2.3), as all are that come this far. */
static bool is_no_store(const struct cachectl *cc)
{
	return cachectl_has(cc, CACHECTL_NO_STORE) && !cachectl_has(cc, CACHECTL_MUST_UNDERSTAND);
}

/* Explicit permission to share (§3.5); it also outweighs Set-Cookie. */
static bool is_for_all(const struct cachectl *cc)
{
	return cachectl_has(cc, CACHECTL_PUBLIC) || cc->s_maxage >= 0;
}

/* What class IMMUTABLE overrides, it does for the artefact itself only: not for an error, a redirect or a login
 * page. */
static bool is_artefact(const struct fresh_response *r)
{
	return r->class == PATH_IMMUTABLE && r->status == 200 && r->earned;
}

static enum fresh_why forbidden_by_answer(const struct fresh_response *r)
{
	if (r->class == PATH_PASS)
		return FRESH_WHY_PASS;
	if (r->status == 206)
		return FRESH_WHY_PARTIAL;
	if (!is_understood(r->status))
		return FRESH_WHY_STATUS;
	if (is_no_store(&r->cc))
		return FRESH_WHY_NO_STORE;
	if (is_private(&r->cc))
		return FRESH_WHY_PRIVATE;
	if (r->vary_star)
		return FRESH_WHY_VARY_STAR;
	if (r->has_set_cookie && !is_artefact(r) && !is_for_all(&r->cc))
		return FRESH_WHY_SET_COOKIE;
	return FRESH_WHY_NONE;
}

static enum fresh_why forbidden_by_request(const struct fresh_request *q, const struct fresh_response *r)
{
	if (q->method != METHOD_GET)
		return FRESH_WHY_METHOD;
	if (is_artefact(r))
		return FRESH_WHY_NONE;
	if (cachectl_has(&q->cc, CACHECTL_NO_STORE))
		return FRESH_WHY_REQUEST_NO_STORE;
	return q->has_cookie ? FRESH_WHY_COOKIE : FRESH_WHY_NONE;
}

/* It could neither be served without asking, nor asked for with a condition. */
static bool is_useless(const struct fresh_response *r)
{
	struct fresh_terms terms;

	fresh_terms(r, &terms);
	return !r->has_validator && (terms.no_cache || terms.lifetime_s <= terms.counted_s);
}

enum fresh_store fresh_may_store(const struct fresh_request *q, const struct fresh_response *r, enum fresh_why *why)
{
	bool rfc = is_for_all(&r->cc) || cachectl_has(&r->cc, CACHECTL_MUST_REVALIDATE);

	*why = forbidden_by_request(q, r);
	if (*why == FRESH_WHY_NONE)
		*why = forbidden_by_answer(r);
	if (*why == FRESH_WHY_NONE && q->has_authorization && !rfc && !is_artefact(r))
		*why = FRESH_WHY_AUTHORIZATION;
	if (*why == FRESH_WHY_NONE && is_useless(r))
		*why = FRESH_WHY_USELESS;
	if (*why != FRESH_WHY_NONE)
		return FRESH_STORE_NO;
	if (!q->has_authorization)
		return FRESH_STORE_SHARED;
	return rfc ? FRESH_STORE_AUTH_RFC : FRESH_STORE_AUTH_CLASS;
}

/* --- lifetime and age (RFC 9111 §4.2) --- */

static int64_t at_least_0(int64_t v)
{
	return v > 0 ? v : 0;
}

/* §4.2.3: corrected_initial_age, in seconds. */
static int64_t initial_age_s(const struct fresh_response *r)
{
	int64_t apparent = r->date == HTTPDATE_NONE ? 0 : at_least_0(r->response_time - r->date) / 1000;
	int64_t corrected = r->age_s + at_least_0(r->response_time - r->request_time) / 1000;

	return apparent > corrected ? apparent : corrected;
}

static wall_ms date_or_receipt(const struct fresh_response *r)
{
	return r->date == HTTPDATE_NONE ? r->response_time : r->date;
}

static int64_t explicit_s(const struct fresh_response *r)
{
	if (r->cc.s_maxage >= 0)
		return r->cc.s_maxage;
	if (r->cc.max_age >= 0)
		return r->cc.max_age;
	if (!r->has_expires)
		return CACHECTL_NONE;
	return r->expires == HTTPDATE_NONE ? 0 : at_least_0(r->expires - date_or_receipt(r)) / 1000;
}

/* A tenth of the time since it changed (§4.2.2), at most a day. */
static int64_t heuristic_s(const struct fresh_response *r)
{
	int64_t tenth;

	if (r->last_modified == HTTPDATE_NONE)
		return 0;
	if (!fresh_is_heuristic_status(r->status) && !cachectl_has(&r->cc, CACHECTL_PUBLIC))
		return 0;
	tenth = at_least_0(date_or_receipt(r) - r->last_modified) / 10000;
	return tenth < FRESH_HEURISTIC_MAX_S ? tenth : FRESH_HEURISTIC_MAX_S;
}

static int64_t lifetime_s(const struct fresh_response *r, enum fresh_why *source)
{
	int64_t s = explicit_s(r);

	*source = FRESH_WHY_IMMUTABLE;
	if (is_artefact(r))
		return FRESH_FOREVER_S;
	*source = FRESH_WHY_EXPLICIT;
	if (s >= 0)
		return s;
	*source = FRESH_WHY_NEGATIVE;
	if ((r->status == 404 || r->status == 410) && (r->class == PATH_IMMUTABLE || r->class == PATH_MUTABLE))
		return FRESH_NEGATIVE_S;
	*source = FRESH_WHY_CLASS_TTL;
	if (r->class == PATH_MUTABLE && r->status == 200)
		return r->class_ttl_s;
	s = heuristic_s(r);
	*source = s > 0 ? FRESH_WHY_HEURISTIC : FRESH_WHY_NO_LIFETIME;
	return s;
}

static bool may_not_be_stale(const struct cachectl *cc)
{
	return is_no_cache(cc) || cc->s_maxage >= 0 ||
	       (cc->flags & (CACHECTL_MUST_REVALIDATE | CACHECTL_PROXY_REVALIDATE)) != 0;
}

static int64_t stale_if_error_s(const struct fresh_response *r)
{
	if (r->cc.stale_if_error >= 0)
		return r->cc.stale_if_error;
	return r->class == PATH_MUTABLE && r->status == 200 ? FRESH_MUTABLE_ERROR_S : 0;
}

static int64_t stale_while_revalidate_s(const struct fresh_response *r, int64_t lifetime)
{
	if (r->cc.stale_while_revalidate >= 0)
		return r->cc.stale_while_revalidate;
	return r->class == PATH_MUTABLE && r->status == 200 && lifetime >= FRESH_MUTABLE_WHILE_S ? FRESH_MUTABLE_WHILE_S
												 : 0;
}

void fresh_terms(const struct fresh_response *r, struct fresh_terms *out)
{
	enum fresh_why source;
	bool forever;

	out->lifetime_s = lifetime_s(r, &source);
	out->source = (uint8_t)source;
	forever = out->lifetime_s == FRESH_FOREVER_S;
	out->age_s = out->counted_s = fresh_seconds(initial_age_s(r));
	if (r->class == PATH_MUTABLE && out->counted_s >= out->lifetime_s)
		out->counted_s = 0;
	out->no_cache = !forever && is_no_cache(&r->cc);
	out->must_revalidate = !forever && may_not_be_stale(&r->cc);
	out->stale_while_revalidate_s = fresh_seconds(stale_while_revalidate_s(r, out->lifetime_s));
	out->stale_if_error_s = fresh_seconds(stale_if_error_s(r));
	out->is_mutable = r->class == PATH_MUTABLE;
}

void fresh_outdate(struct fresh_terms *t)
{
	if (t->lifetime_s == FRESH_FOREVER_S)
		t->stale_if_error_s = UINT32_MAX;
	else if (t->stale_if_error_s > 0)
		t->stale_if_error_s = fresh_seconds((int64_t)fresh_seconds(t->lifetime_s) + t->stale_if_error_s);
	t->lifetime_s = 0;
	t->stale_while_revalidate_s = 0;
}

/* --- the verdict --- */

static int64_t counted_age_s(const struct fresh_terms *t, dur_ms here)
{
	return t->counted_s + here / 1000;
}

int64_t fresh_age_s(const struct fresh_terms *t, dur_ms here)
{
	return t->age_s + at_least_0(here) / 1000;
}

int64_t fresh_ttl_s(const struct fresh_terms *t, dur_ms here)
{
	if (t->lifetime_s == FRESH_FOREVER_S)
		return FRESH_FOREVER_S;
	return t->lifetime_s - counted_age_s(t, at_least_0(here));
}

static enum fresh_verdict say(enum fresh_verdict verdict, enum fresh_why because, enum fresh_why *why)
{
	*why = because;
	return verdict;
}

/* max-age=0 asks for a validation, whatever the age: every client that sends it means that. */
static bool is_too_old(const struct cachectl *q, int64_t age_s)
{
	return q->max_age >= 0 && (q->max_age == 0 || age_s > q->max_age);
}

static enum fresh_verdict verdict_stale(const struct fresh_terms *t, const struct cachectl *q, int64_t staleness_s,
					enum fresh_why *why)
{
	if (!t->must_revalidate && q->max_stale >= 0 && (q->max_stale == CACHECTL_MAX_S || staleness_s <= q->max_stale))
		return say(FRESH_SERVE_STALE, FRESH_WHY_MAX_STALE, why);
	if (!t->must_revalidate && staleness_s < t->stale_while_revalidate_s)
		return say(FRESH_SERVE_AND_REVALIDATE, FRESH_WHY_WHILE_REVALIDATE, why);
	return say(FRESH_REVALIDATE, t->source == FRESH_WHY_NO_LIFETIME ? FRESH_WHY_NO_LIFETIME : FRESH_WHY_EXPIRED,
		   why);
}

enum fresh_verdict fresh_verdict(const struct fresh_terms *t, const struct cachectl *q, dur_ms here,
				 enum fresh_why *why)
{
	int64_t ttl_s;

	if (t->lifetime_s == FRESH_FOREVER_S)
		return say(FRESH_SERVE, FRESH_WHY_IMMUTABLE, why);
	if (here < 0)
		return say(FRESH_REVALIDATE, FRESH_WHY_CLOCK, why);
	if (t->no_cache)
		return say(FRESH_REVALIDATE, FRESH_WHY_NO_CACHE, why);
	if (cachectl_has(q, CACHECTL_NO_CACHE))
		return say(FRESH_REVALIDATE, FRESH_WHY_REQUEST_NO_CACHE, why);
	if (is_too_old(q, counted_age_s(t, here)))
		return say(FRESH_REVALIDATE, FRESH_WHY_REQUEST_MAX_AGE, why);
	ttl_s = t->lifetime_s - counted_age_s(t, here);
	if (q->min_fresh >= 0 && ttl_s < q->min_fresh)
		return say(FRESH_REVALIDATE, FRESH_WHY_REQUEST_MIN_FRESH, why);
	if (ttl_s > 0)
		return say(FRESH_SERVE, t->source, why);
	return verdict_stale(t, q, -ttl_s, why);
}

bool fresh_on_error(const struct fresh_terms *t, const struct cachectl *q, dur_ms here)
{
	int64_t window_s = q->stale_if_error > t->stale_if_error_s ? q->stale_if_error : t->stale_if_error_s;

	if (t->lifetime_s == FRESH_FOREVER_S)
		return true;
	if (t->must_revalidate || here < 0)
		return false;
	if (cachectl_has(q, CACHECTL_NO_CACHE) && !t->is_mutable)
		return false;
	return -fresh_ttl_s(t, here) < window_s;
}
