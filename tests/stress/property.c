/* property: random credentials, Vary, classes, methods and faulty origins, against a slow reference that knows all.
 *
 *     property [SEED]
 *
 * The origin writes down each answer it gives: to whom, what, under which terms. Its bodies say which answer and which content they
 * are, so that whatever reaches a client can be held against that book. A scenario is some URLs with terms of their own, and
 * some steps: one request, or several at once, and then time passes (on a clock that is moved). What must hold:
 *
 *   - who is refused by the origin, as are all who are nobody, gets nothing of it: no body, no part, no 304;
 *   - what is private, not to be stored, or varies in ways that nobody knows, reaches one request alone; cookies too;
 *   - what varies reaches only whom it fits; what is made for one credential only that one;
 *   - what was cut or does not fit its digest is never served again, and is not taken for whole;
 *   - what is stale, purged, or to be asked for is not served without asking, where no rule allows it;
 *   - what is fresh is served without asking: checked for the plain cases, where the reference can be sure.
 *
 * Takes about ten seconds, times PMC_TEST_SCALE percent; stops at the first faults, with the seed to see them again. */
#include "tests/stress/engine.h"
#include "tests/stress/wire.h"

#include "node/base/hash.h"

#define WHOS 4 /* 0: nobody in particular */
#define ACCEPTS 3
#define SITES 5 /* of one scenario */
#define MOST_SITES 200
#define MOST_ANSWERS 20000
#define MOST_CONTENTS 10000
#define MOST_AT_ONCE 4
#define STEPS 25
#define SCENARIOS 12 /* of one engine */
#define SLACK_S 2    /* real time passes too */
#define WAIT_SECONDS 30
#define NONE (-1)

/* ---- what is known ---- */

enum shape { SHAPE_PLAIN, SHAPE_ARTEFACT, SHAPE_BLOB, SHAPE_INDEX, SHAPE_COUNT };

/* An URL and the terms of its origin. */
struct site {
	char path[160];
	enum shape shape;
	bool simple; /* explicit life, for all, no faults: here the reference can be sure */
	bool allowed[WHOS];
	bool own; /* to each credential its own content */
	bool vary_accept, vary_other, vary_star;
	char terms[200]; /* Cache-Control and the like, as lines */
	int64_t life_s;  /* explicit, as a shared cache has it; NONE: none */
	bool no_store, private, no_cache, must_ask, may_share, may_be_stale, set_cookie, etag;
	unsigned cut, silent, error; /* percent */
	bool chunked, fits;          /* fits: the bytes are what the name says */
	uint64_t size;
	unsigned version;

	/* the book */
	unsigned asked;           /* requests that reached the origin */
	int64_t accepted_s[WHOS]; /* when it last said yes to them; NONE: never */
	uint64_t gone_from,
		gone; /* seq: what began before the first must not be served to what begins after the second */

	/* the reference cache, for simple ones */
	int stored; /* content that is stored; NONE: nothing, or it is not known */
	int64_t stored_s;
};

/* Bytes that differ from all others. */
struct content {
	struct site *site;
	unsigned version, accept, other, who;
	int64_t confirmed_s; /* last time that the origin sent it, or said that it is still good */
	uint64_t confirmed;  /* seq of that */
};

/* One 200 of an origin. */
struct answer {
	int content;
	unsigned who;
	bool to_cookie, to_no_store;
	bool cut, done;
	uint64_t began, ended; /* seq */
	unsigned reached;      /* requests that got something of it */
};

struct asking;

struct test {
	struct engine engine;
	struct origin origin;
	struct rng rng;
	uint64_t seed;
	bool small_memory;
	int loops;

	pthread_mutex_t lock; /* guards the book */
	uint64_t seq;
	struct site sites[MOST_SITES];
	unsigned n_sites;
	struct site *last;
	const struct asking *looked_at; /* the request that is being checked */
	struct content contents[MOST_CONTENTS];
	unsigned n_contents;
	struct answer answers[MOST_ANSWERS];
	unsigned n_answers;

	unsigned faults, requests, delivered, sure, step, scenarios;
	_Atomic uint64_t origin_seed;
};

static int64_t now_s(struct test *t)
{
	return moved_mono(&t->engine.clock.clock) / 1000000;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15u;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	return x ^ x >> 32;
}

static bool chance(struct rng *r, uint64_t percent)
{
	return rng_below(r, 100) < percent;
}

/* Must this one not see it? Whom nobody in particular may see, everybody may. */
static bool is_refused(const struct site *s, unsigned who)
{
	return !s->allowed[0] && !s->allowed[who];
}

/* Byte `pos` of a content. */
static char byte_of(const struct site *s, unsigned content, uint64_t pos)
{
	static const char gzip[] = "\x1f\x8b\x08", html[] = "<html><body>";

	if (s->shape == SHAPE_BLOB) /* one for good, else its digest would not fit */
		return (char)mix(s->size * 7919 + pos);
	if (s->shape == SHAPE_ARTEFACT && s->fits && pos < 3)
		return gzip[pos];
	if (s->shape == SHAPE_ARTEFACT && !s->fits && pos < sizeof(html) - 1)
		return html[pos];
	return (char)mix(content * 100003ull + pos);
}

static void say_request(const struct asking *);

__attribute__((format(printf, 3, 4))) static void fault(struct test *t, const struct site *s, const char *fmt, ...)
{
	va_list args;

	if (t->faults++ >= 10)
		return;
	printf("scenario %u step %u: ", t->scenarios, t->step);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n    %s life %lld%s%s%s%s%s%s%s%s access %d%d%d%d\n", s->path, (long long)s->life_s,
	       s->simple ? " simple" : "", s->own ? " own" : "", s->vary_accept ? " vary-accept" : "",
	       s->vary_other ? " vary-other" : "", s->vary_star ? " vary-*" : "", s->set_cookie ? " set-cookie" : "",
	       s->etag ? " etag" : "", s->fits ? "" : " unfit", s->allowed[0], s->allowed[1], s->allowed[2],
	       s->allowed[3]);
	printf("    %s", s->terms);
	if (t->looked_at)
		say_request(t->looked_at);
	fflush(stdout);
}

/* ---- making a site ---- */

static void add_term(struct site *s, const char *directive)
{
	size_t n = strlen(s->terms);

	snprintf(s->terms + n, sizeof(s->terms) - n, "Cache-Control: %s\r\n", directive);
}

static void choose_terms(struct test *t, struct site *s)
{
	static const int lives[] = {0, 10, 60, 600};
	int64_t max_age = NONE, s_maxage = NONE;
	bool must = false, public = false, proxy_must = false;
	struct rng *r = &t->rng;
	char text[60];

	if (s->simple || chance(r, 70)) {
		max_age = lives[s->simple ? 1 + rng_below(r, 3) : rng_below(r, 4)];
		snprintf(text, sizeof(text), "max-age=%d", (int)max_age);
		add_term(s, text);
	}
	if (!s->simple) {
		if (chance(r, 12)) {
			s_maxage = lives[rng_below(r, 4)];
			snprintf(text, sizeof(text), "s-maxage=%d", (int)s_maxage);
			add_term(s, text);
		}
		if ((s->no_store = chance(r, 8)))
			add_term(s, "no-store");
		if ((s->private = chance(r, 8)))
			add_term(s, chance(r, 70) ? "private" : "private=\"X-Answer\"");
		if ((s->no_cache = chance(r, 10)))
			add_term(s, "no-cache");
		if ((must = chance(r, 12)))
			add_term(s, "must-revalidate");
		if ((proxy_must = chance(r, 5)))
			add_term(s, "proxy-revalidate");
		if ((public = chance(r, 40)))
			add_term(s, "public");
		if ((s->may_be_stale = chance(r, 15)))
			add_term(s, chance(r, 50) ? "stale-while-revalidate=100" : "stale-if-error=1000");
		s->vary_accept = chance(r, 25);
		s->vary_other = chance(r, 12);
		s->vary_star = chance(r, 4);
		s->set_cookie = chance(r, 10);
	}
	s->life_s = s_maxage != NONE ? s_maxage : max_age;
	s->may_share = public || s_maxage != NONE || must;
	s->must_ask = s->no_cache || s_maxage != NONE || must || proxy_must;
}

static void choose_access(struct test *t, struct site *s)
{
	bool all = s->simple || chance(&t->rng, 50);

	for (unsigned i = 0; i < WHOS; i++)
		s->allowed[i] = all || (i > 0 && chance(&t->rng, 50));
	s->own = !s->simple && s->shape == SHAPE_PLAIN && chance(&t->rng, 15);
}

/* The path says of which class it is. */
static void choose_path(struct test *t, struct site *s, unsigned n)
{
	uint8_t digest[SHA256_BYTES];
	struct sha256 h;
	struct buf b = buf_over(s->path, sizeof(s->path) - 1);

	switch (s->shape) {
	case SHAPE_ARTEFACT:
		buf_printf(&b, "/s%u/thing%u/-/thing%u-1.0.0.tgz", t->scenarios, n, n);
		break;
	case SHAPE_INDEX:
		buf_printf(&b, "/simple/s%u-u%u/", t->scenarios, n);
		break;
	case SHAPE_BLOB:
		sha256_init(&h);
		for (uint64_t i = 0; i < s->size; i++) {
			char c = byte_of(s, 0, i);

			sha256_add(&h, &c, 1);
		}
		if (!s->fits)
			sha256_add(&h, "x", 1);
		sha256_end(&h, digest);
		buf_printf(&b, "/v2/s%u/u%u/blobs/sha256:", t->scenarios, n);
		buf_put_hex(&b, digest, sizeof(digest));
		break;
	default:
		buf_printf(&b, "/s%u/u%u", t->scenarios, n);
		break;
	}
	s->path[b.n] = '\0';
}

static struct site *add_site(struct test *t, unsigned n)
{
	static const uint64_t sizes[] = {1, 20, 4096, 5000, 65536, 70000};
	struct site *s = &t->sites[t->n_sites];
	struct rng *r = &t->rng;

	*s = (struct site){.stored = NONE, .fits = true};
	s->simple = chance(r, 40);
	s->shape = s->simple || chance(r, 50) ? SHAPE_PLAIN : (enum shape)rng_below(r, SHAPE_COUNT);
	s->size = sizes[rng_below(r, sizeof(sizes) / sizeof(*sizes))] + 12;
	s->fits = chance(r, 60);
	s->etag = chance(r, 60);
	s->chunked = chance(r, 40);
	choose_terms(t, s);
	choose_access(t, s);
	choose_path(t, s, n);
	for (unsigned i = 0; i < WHOS; i++)
		s->accepted_s[i] = NONE;
	if (!s->simple && chance(r, 40)) {
		s->cut = chance(r, 50) ? 30 : 0;
		s->silent = chance(r, 50) ? 30 : 0;
		s->error = chance(r, 50) ? 30 : 0;
	}
	pthread_mutex_lock(&t->lock);
	t->n_sites++;
	pthread_mutex_unlock(&t->lock);
	return s;
}

/* ---- the origin ---- */

struct selecting {
	unsigned who, accept, other;
};

static unsigned number_at_end(struct span v)
{
	return v.n ? (unsigned)(v.p[v.n - 1] - '0') : 0;
}

static struct selecting selecting_of(const struct hdrs *h)
{
	const struct hdr *other = hdr_find(h, SPAN("X-Other"));

	return (struct selecting){
		.who = number_at_end(hdr_value(h, HDR_AUTHORIZATION)),
		.accept = number_at_end(hdr_value(h, HDR_ACCEPT)),
		.other = other ? number_at_end(other->value) : 0,
	};
}

/* Under the lock: the content that this request is to get now. */
static int content_for(struct test *t, struct site *s, const struct selecting *q)
{
	struct content want = {
		.site = s,
		.version = s->version,
		.accept = s->vary_accept || s->vary_star ? q->accept : 0,
		.other = s->vary_other || s->vary_star ? q->other : 0,
		.who = s->own ? q->who : 0,
	};

	for (unsigned i = t->n_contents; i-- > 0;) {
		struct content *c = &t->contents[i];

		if (c->site == s && c->version == want.version && c->accept == want.accept && c->other == want.other &&
		    c->who == want.who)
			return (int)i;
	}
	if (t->n_contents == MOST_CONTENTS)
		abort();
	t->contents[t->n_contents] = want;
	return (int)t->n_contents++;
}

static struct site *site_of(struct test *t, struct span path)
{
	for (unsigned i = t->n_sites; i-- > 0;)
		if (span_eq(path, span_str(t->sites[i].path)))
			return &t->sites[i];
	return NULL;
}

static bool send_content(struct test *t, struct wire *w, const struct site *s, unsigned content, uint64_t until)
{
	char *bytes = mem_alloc(s->size + 1);
	char line[CHUNKED_LINE_BYTES];
	bool ok = true;

	(void)t;
	for (uint64_t i = 0; i < until; i++)
		bytes[i] = byte_of(s, content, i);
	for (uint64_t pos = 0; ok && pos < until;) {
		uint64_t n = until - pos < 30000 ? until - pos : 30000;

		ok = (!s->chunked || wire_send(w, line, chunked_line(line, n))) && wire_send(w, bytes + pos, n) &&
		     (!s->chunked || wire_send(w, "\r\n", 2));
		pos += n;
	}
	free(bytes);
	return ok;
}

static void say_vary(const struct site *s, char out[80])
{
	snprintf(out, 80, "%s%s%s", s->vary_accept ? "Vary: Accept\r\n" : "", s->vary_other ? "Vary: X-Other\r\n" : "",
		 s->vary_star ? "Vary: *\r\n" : "");
}

static bool send_200(struct test *t, struct wire *w, const struct http1_request *q, struct site *s, unsigned n,
		     unsigned content, bool cut)
{
	char vary[80], etag[40] = "", cookie[40] = "", length[60];
	bool ok;

	say_vary(s, vary);
	if (s->etag)
		snprintf(etag, sizeof(etag), "ETag: \"c%u\"\r\n", content);
	if (s->set_cookie)
		snprintf(cookie, sizeof(cookie), "Set-Cookie: n=%u\r\n", n);
	snprintf(length, sizeof(length), s->chunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: %llu\r\n",
		 (unsigned long long)s->size);
	ok = wire_say(w, "HTTP/1.1 200 OK\r\nX-Answer: %u\r\nX-Content: %u\r\n%s%s%s%s%s\r\n", n, content, s->terms,
		      vary, etag, cookie, length);
	if (q->method == METHOD_HEAD)
		return ok;
	ok = ok && send_content(t, w, s, content, cut ? s->size / 2 : s->size);
	return ok && !cut && (!s->chunked || wire_say(w, "0\r\n\r\n"));
}

static bool says_no_store(const struct http1_request *q)
{
	return span_eq(hdr_value(&q->fields, HDR_CACHE_CONTROL), SPAN("no-store"));
}

/* Under the lock. */
static void confirm(struct test *t, struct site *s, unsigned content, unsigned who)
{
	struct content *c = &t->contents[content];

	c->confirmed = ++t->seq;
	c->confirmed_s = s->accepted_s[who] = now_s(t);
}

/* Under the lock: a line in the book. */
static unsigned write_down(struct test *t, const struct http1_request *q, unsigned content, unsigned who, bool cut,
			   uint64_t began)
{
	struct answer *a = &t->answers[t->n_answers];

	if (t->n_answers == MOST_ANSWERS)
		abort();
	*a = (struct answer){.content = (int)content, .who = who, .cut = cut, .began = began, .ended = UINT64_MAX};
	a->to_cookie = hdr_has(&q->fields, HDR_COOKIE);
	a->to_no_store = says_no_store(q);
	return t->n_answers++;
}

static bool answer(void *cookie, struct wire *w, struct wire_request *r)
{
	struct test *t = cookie;
	const struct http1_request *q = &r->head;
	struct selecting from = selecting_of(&q->fields);
	char etag[40];
	unsigned content, n;
	struct site *s;
	struct rng rng;
	uint64_t began;
	bool cut, same, ok;

	rng_seed(&rng, mix(t->seed + atomic_fetch_add(&t->origin_seed, 1)));
	pthread_mutex_lock(&t->lock);
	s = site_of(t, q->target);
	if (!s) {
		pthread_mutex_unlock(&t->lock);
		return false;
	}
	s->asked++;
	began = ++t->seq;
	if (!s->allowed[from.who]) {
		pthread_mutex_unlock(&t->lock);
		/* Not even when it says so is this for others. */
		return wire_say(
			w,
			"HTTP/1.1 401 No\r\nX-Seq: %llu\r\nCache-Control: public, max-age=100\r\nContent-Length: 2\r\n\r\n%s",
			(unsigned long long)began, q->method == METHOD_HEAD ? "" : "no");
	}
	if (q->method == METHOD_POST) {
		s->version += s->shape != SHAPE_BLOB && s->shape != SHAPE_ARTEFACT;
		pthread_mutex_unlock(&t->lock);
		return wire_say(w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
	if (chance(&rng, s->silent)) {
		pthread_mutex_unlock(&t->lock);
		return false;
	}
	if (chance(&rng, s->error)) {
		pthread_mutex_unlock(&t->lock);
		return wire_say(w, "HTTP/1.1 %d Oh\r\nContent-Length: 2\r\n\r\n%s", chance(&rng, 50) ? 500 : 503,
				q->method == METHOD_HEAD ? "" : "oh");
	}
	if ((s->shape == SHAPE_PLAIN || s->shape == SHAPE_INDEX) && chance(&rng, 15))
		s->version++;
	content = (unsigned)content_for(t, s, &from);
	confirm(t, s, content, from.who);
	snprintf(etag, sizeof(etag), "\"c%u\"", content);
	same = s->etag && span_eq(hdr_value(&q->fields, HDR_IF_NONE_MATCH), span_str(etag));
	cut = q->method == METHOD_GET && !same && chance(&rng, s->cut);
	n = same ? 0 : write_down(t, q, content, from.who, cut, began);
	pthread_mutex_unlock(&t->lock);
	if (same)
		return wire_say(w, "HTTP/1.1 304 Not Modified\r\nETag: %s\r\n%s\r\n", etag, s->terms);
	ok = send_200(t, w, q, s, n, content, cut);
	pthread_mutex_lock(&t->lock);
	t->answers[n].ended = ++t->seq;
	pthread_mutex_unlock(&t->lock);
	return ok;
}

/* ---- a request, and what came of it ---- */

enum directive {
	SAYS_NOTHING,
	SAYS_NO_CACHE,
	SAYS_MAX_AGE_0,
	SAYS_MAX_AGE,
	SAYS_NO_STORE,
	SAYS_ONLY_IF_CACHED,
	SAYS_MAX_STALE,
	SAYS_MIN_FRESH,
	SAYS_COUNT
};

struct asking {
	struct test *test;
	pthread_t thread;
	unsigned lane;

	/* the request */
	struct site *site;
	enum http1_method method;
	struct selecting from;
	enum directive says;
	bool cookie, range, leaves;
	uint64_t first, last;
	int if_none_match; /* content; NONE */
	uint64_t began;    /* seq */
	unsigned asked_before;

	/* the answer */
	struct wire_response response;
	bool answered, whole, timed_out;
	char *body;
	uint64_t n;
};

static void say_request(const struct asking *a)
{
	struct span status = hdr_value(&a->response.head.fields, HDR_CACHE_STATUS);

	printf("    method %d who %u accept %u other %u says %d cookie %d range %d leaves %d if-none-match %d: status %d, %llu bytes, %.*s\n",
	       a->method, a->from.who, a->from.accept, a->from.other, a->says, a->cookie, a->range, a->leaves,
	       a->if_none_match, a->response.head.status, (unsigned long long)a->n, SPAN_ARG(status));
}

static void choose_request(struct test *t, struct asking *a, struct site *s)
{
	struct rng *r = &t->rng;

	a->test = t;
	a->site = s;
	a->lane = (unsigned)rng_below(r, (uint64_t)t->loops);
	a->method = chance(r, 82)   ? METHOD_GET
		    : chance(r, 50) ? METHOD_HEAD
		    : chance(r, 50) ? METHOD_POST
				    : METHOD_PURGE;
	a->from.who = s->simple || chance(r, 50) ? 0 : (unsigned)rng_below(r, WHOS);
	a->from.accept = (unsigned)rng_below(r, ACCEPTS);
	a->from.other = (unsigned)rng_below(r, 2);
	a->cookie = !s->simple && chance(r, 5);
	a->if_none_match = NONE;
	if (a->method == METHOD_GET || a->method == METHOD_HEAD) {
		if (chance(r, 20))
			a->says = (enum directive)rng_below(r, SAYS_COUNT);
		if (t->n_contents && chance(r, 10))
			a->if_none_match =
				(int)(t->n_contents - 1 - rng_below(r, t->n_contents < 12 ? t->n_contents : 12));
		else if (chance(r, 10)) {
			a->range = true;
			a->first = rng_below(r, s->size + 10);
			a->last = a->first + rng_below(r, 3000);
		}
	}
	a->leaves = chance(r, 4);
}

static bool send_request(struct asking *a, struct wire *w)
{
	static const char *const methods[] = {
		[METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD", [METHOD_POST] = "POST", [METHOD_PURGE] = "PURGE"};
	static const char *const says[] = {[SAYS_NOTHING] = "",
					   [SAYS_NO_CACHE] = "no-cache",
					   [SAYS_MAX_AGE_0] = "max-age=0",
					   [SAYS_MAX_AGE] = "max-age=30",
					   [SAYS_NO_STORE] = "no-store",
					   [SAYS_ONLY_IF_CACHED] = "only-if-cached",
					   [SAYS_MAX_STALE] = "max-stale",
					   [SAYS_MIN_FRESH] = "min-fresh=5"};
	unsigned port = a->test->origin.port;
	char fields[500];
	struct buf b = buf_over(fields, sizeof(fields) - 1);

	if (a->from.who)
		buf_printf(&b, "Authorization: Bearer %u\r\n", a->from.who);
	if (a->from.accept)
		buf_printf(&b, "Accept: a/%u\r\n", a->from.accept);
	if (a->from.other)
		buf_printf(&b, "X-Other: %u\r\n", a->from.other);
	if (a->cookie)
		buf_put_str(&b, "Cookie: c=d\r\n");
	if (a->says)
		buf_printf(&b, "Cache-Control: %s\r\n", says[a->says]);
	if (a->if_none_match != NONE)
		buf_printf(&b, "If-None-Match: \"c%d\"\r\n", a->if_none_match);
	if (a->range)
		buf_printf(&b, "Range: bytes=%llu-%llu\r\n", (unsigned long long)a->first, (unsigned long long)a->last);
	if (a->method == METHOD_POST)
		buf_put_str(&b, "Content-Length: 0\r\n");
	fields[b.n] = '\0';
	return wire_say(w, "%s http://127.0.0.1:%u%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", methods[a->method],
			port, a->site->path, port, fields);
}

static void *run_request(void *arg)
{
	struct asking *a = arg;
	struct wire_body body;
	struct span piece;
	struct wire w;

	wire_open(&w, engine_connect(&a->test->engine, a->lane, WAIT_SECONDS));
	a->body = mem_alloc(a->site->size + WIRE_ROOM);
	if (send_request(a, &w) && wire_response(&w, a->method, &a->response)) {
		a->answered = true;
		body = (struct wire_body){.kind = a->response.head.body, .left = a->response.head.length};
		while (wire_body(&w, &body, &piece, WIRE_ROOM) && a->n + piece.n <= a->site->size + WIRE_ROOM) {
			memcpy(a->body + a->n, piece.p, piece.n);
			a->n += piece.n;
			if (a->leaves)
				break;
		}
		a->whole = body.whole;
	}
	a->timed_out = w.timed_out;
	wire_close(&w);
	return NULL;
}

/* ---- what must hold ---- */

static bool read_number(const struct hdrs *h, const char *name, unsigned most, unsigned *out)
{
	const struct hdr *f = hdr_find(h, span_str(name));
	uint64_t v;

	if (!f || span_to_u64(f->value, &v) || v >= most)
		return false;
	*out = (unsigned)v;
	return true;
}

static bool is_artefact(const struct site *s)
{
	return s->shape == SHAPE_ARTEFACT || s->shape == SHAPE_BLOB;
}

/* May it reach more than the one request that it answered? */
static bool is_for_one(const struct site *s, const struct answer *an)
{
	if (s->no_store || s->private || s->vary_star)
		return true;
	if (is_artefact(s))
		return false;
	if (an->to_cookie || an->to_no_store || (s->set_cookie && !s->may_share))
		return true;
	return an->who && !s->may_share;
}

static bool fits_selection(const struct site *s, const struct content *c, const struct selecting *q)
{
	if (s->vary_accept && c->accept != q->accept)
		return false;
	if (s->vary_other && c->other != q->other)
		return false;
	return !s->own || c->who == q->who || (c->who == 0 && s->allowed[0]);
}

/* A body, or a part of it, has reached a client. */
static void check_bytes(struct test *t, const struct asking *a, const struct answer *an)
{
	const struct site *s = a->site;
	uint64_t from = 0, n = s->size;

	if (a->response.head.status == 206) {
		struct span v = hdr_value(&a->response.head.fields, HDR_CONTENT_RANGE);

		if (!span_starts(v, SPAN("bytes "))) {
			fault(t, s, "206 without a Content-Range");
			return;
		}
		from = a->first;
		n = (a->last < s->size ? a->last + 1 : s->size) - from;
	}
	if (a->method == METHOD_HEAD) {
		if (a->response.head.length_known && a->response.head.length != n)
			fault(t, s, "HEAD: a length of %llu instead of %llu",
			      (unsigned long long)a->response.head.length, (unsigned long long)n);
		n = 0;
	}
	for (uint64_t i = 0; i < a->n && i < n; i++) {
		if (a->body[i] != byte_of(s, (unsigned)an->content, from + i)) {
			fault(t, s, "byte %llu is not of content %d", (unsigned long long)(from + i), an->content);
			return;
		}
	}
	if (a->whole && a->n != n)
		fault(t, s, "%llu bytes instead of %llu", (unsigned long long)a->n, (unsigned long long)n);
	if (a->whole && an->cut && a->response.head.status == 200 && a->method == METHOD_GET)
		fault(t, s, "what was cut at the origin is whole for the client");
	if (a->whole && s->shape == SHAPE_BLOB && !s->fits && a->method == METHOD_GET &&
	    a->response.head.status == 200 && !is_for_one(s, an))
		fault(t, s, "what does not fit its digest is whole for the client");
	if (!a->whole && !an->cut && !a->leaves && s->fits)
		fault(t, s, "%s, but the origin sent it to its end", a->timed_out ? "hangs" : "cut");
}

/* Must it not be served without asking: too old, or told so? */
static void check_age(struct test *t, const struct asking *a, const struct answer *an, uint64_t batch_began)
{
	const struct site *s = a->site;
	const struct content *c = &t->contents[an->content];
	/* What is fresh serves a client that would like it fresher, when the origin fails. */
	bool plain = s->shape == SHAPE_PLAIN, failed = s->silent || s->error || s->cut,
	     stale_allowed = s->may_be_stale || a->says == SAYS_MAX_STALE;
	int64_t age = now_s(t) - c->confirmed_s;

	if (c->confirmed > batch_began || !plain)
		return;
	if (a->says == SAYS_NO_CACHE || (a->says == SAYS_MAX_AGE_0 && !failed))
		fault(t, s, "the request says no-cache, and nobody asked");
	if (s->no_cache)
		fault(t, s, "the answer said no-cache, and nobody asked");
	if (a->says == SAYS_MAX_AGE && !failed && age > 30 + SLACK_S)
		fault(t, s, "%lld s old, and the request wants at most 30", (long long)age);
	if (s->life_s != NONE && (!stale_allowed || s->must_ask) && age > s->life_s + SLACK_S)
		fault(t, s, "%lld s old, good for %lld", (long long)age, (long long)s->life_s);
	if (s->life_s == NONE && !stale_allowed && age > SLACK_S)
		fault(t, s, "%lld s old, without any life", (long long)age);
}

/* Made for another credential: has the origin said yes to this one too, lately? */
static void check_credential(struct test *t, const struct asking *a, const struct answer *an)
{
	const struct site *s = a->site;
	int64_t said_s = s->accepted_s[a->from.who];

	if (!an->who || an->who == a->from.who || s->accepted_s[0] != NONE)
		return;
	if (said_s == NONE || now_s(t) - said_s > 300 + SLACK_S)
		fault(t, s, "made for %u, reached %u, of whom the origin has not said yes", an->who, a->from.who);
}

static void check_delivery(struct test *t, const struct asking *a, uint64_t batch_began)
{
	const struct hdrs *h = &a->response.head.fields;
	const struct site *s = a->site;
	struct answer *an;
	unsigned n, content, cookie;

	if (is_refused(s, a->from.who)) {
		fault(t, s, "status %d reached %u, who is refused", a->response.head.status, a->from.who);
		return;
	}
	if (!read_number(h, "X-Answer", t->n_answers, &n) || !read_number(h, "X-Content", t->n_contents, &content)) {
		fault(t, s, "status %d of nobody knows what", a->response.head.status);
		return;
	}
	t->delivered++;
	an = &t->answers[n];
	an->reached++;
	if ((unsigned)an->content != content || t->contents[content].site != s) {
		fault(t, s, "content %u of %s", content, t->contents[content].site->path);
		return;
	}
	if (!fits_selection(s, &t->contents[content], &a->from))
		fault(t, s, "the variant for accept %u, other %u, who %u reached %u, %u, %u",
		      t->contents[content].accept, t->contents[content].other, t->contents[content].who, a->from.accept,
		      a->from.other, a->from.who);
	if (is_for_one(s, an) && an->reached > 1)
		fault(t, s, "answer %u is for one, and reached %u", n, an->reached);
	if (an->cut && an->ended < a->began)
		fault(t, s, "answer %u was cut, and is served", n);
	if (s->shape == SHAPE_BLOB && !s->fits && an->ended < a->began)
		fault(t, s, "answer %u does not fit its digest, and is served", n);
	if (hdr_has(h, HDR_SET_COOKIE) && an->reached > 1)
		fault(t, s, "a cookie reached a second client");
	if (read_number(h, "Set-Cookie", 1, &cookie))
		fault(t, s, "never");
	if (an->began < s->gone_from && a->began > s->gone)
		fault(t, s, "answer %u was purged, and is served", n);
	check_credential(t, a, an);
	check_age(t, a, an, batch_began);
	check_bytes(t, a, an);
}

static void check_304(struct test *t, const struct asking *a)
{
	const struct site *s = a->site;
	const struct content *c;

	if (is_refused(s, a->from.who)) {
		fault(t, s, "304 reached %u, who is refused", a->from.who);
		return;
	}
	if (a->if_none_match == NONE) {
		fault(t, s, "304, but nobody asked for that");
		return;
	}
	c = &t->contents[a->if_none_match];
	if (c->site != s || !fits_selection(s, c, &a->from))
		fault(t, s, "304 for content %d, which is not for this request", a->if_none_match);
}

static bool may_fail(const struct site *s)
{
	return s->cut || s->silent || s->error || !s->fits;
}

static void check_answer(struct test *t, const struct asking *a, uint64_t batch_began)
{
	const struct site *s = a->site;
	int status = a->response.head.status;
	unsigned seq;

	t->requests++;
	if (!a->answered) {
		fault(t, s, a->timed_out ? "no answer at all" : "closed, or no HTTP");
		return;
	}
	switch (status) {
	case 200:
		if (a->method == METHOD_GET || a->method == METHOD_HEAD)
			check_delivery(t, a, batch_began);
		break;
	case 206:
		if (!a->range)
			fault(t, s, "206, but no range was asked for");
		else
			check_delivery(t, a, batch_began);
		break;
	case 304:
		check_304(t, a);
		break;
	case 401:
		if (s->allowed[a->from.who])
			fault(t, s, "401 reached %u, who is allowed", a->from.who);
		else if (!read_number(&a->response.head.fields, "X-Seq", UINT32_MAX, &seq) || seq < batch_began)
			fault(t, s, "a stored 401");
		break;
	case 404:
		if (a->method != METHOD_PURGE)
			fault(t, s, "404");
		break;
	case 416:
		if (!a->range || a->first < s->size || is_refused(s, a->from.who))
			fault(t, s, "416");
		break;
	case 504:
		if (a->says != SAYS_ONLY_IF_CACHED)
			fault(t, s, "504");
		break;
	case 500:
	case 502:
	case 503:
		if (!may_fail(s))
			fault(t, s, "%d, but the origin has no faults", status);
		break;
	default:
		fault(t, s, "status %d", status);
		break;
	}
}

/* ---- the reference cache: one request at a time, plain terms ---- */

static bool is_fresh_here(struct test *t, const struct asking *a)
{
	int64_t age = now_s(t) - a->site->stored_s, life = a->site->life_s;

	if (a->site->stored == NONE)
		return false;
	switch (a->says) {
	case SAYS_NOTHING:
	case SAYS_NO_STORE:
	case SAYS_ONLY_IF_CACHED:
	case SAYS_MAX_STALE:
		return age + SLACK_S < life;
	case SAYS_MAX_AGE:
		return age + SLACK_S < life && age + SLACK_S < 30;
	case SAYS_MIN_FRESH:
		return age + SLACK_S + 5 < life;
	default:
		return false;
	}
}

/* Before the request: must it be a hit? */
static bool must_hit(struct test *t, const struct asking *a)
{
	return a->site->simple && !t->small_memory && (a->method == METHOD_GET || a->method == METHOD_HEAD) &&
	       is_fresh_here(t, a);
}

static void check_hit(struct test *t, const struct asking *a)
{
	struct site *s = a->site;
	unsigned content;

	t->sure++;
	if (s->asked != a->asked_before)
		fault(t, s, "fresh, and yet the origin was asked (method %d, says %d, range %d)", a->method, a->says,
		      a->range);
	if (a->answered && (a->response.head.status == 200 || a->response.head.status == 206) &&
	    read_number(&a->response.head.fields, "X-Content", MOST_CONTENTS, &content) && (int)content != s->stored)
		fault(t, s, "content %u instead of %d", content, s->stored);
	if (a->answered && a->response.head.status == 504)
		fault(t, s, "only-if-cached, and it is not found");
}

/* After a request that was alone: what is stored now? */
static void learn(struct test *t, struct asking *a)
{
	struct site *s = a->site;
	unsigned content;

	if (a->method == METHOD_POST || a->method == METHOD_PURGE) {
		s->stored = NONE;
		return;
	}
	if (s->asked == a->asked_before || a->method == METHOD_HEAD)
		return;
	s->stored = NONE;
	if (a->range || a->leaves || a->says == SAYS_NO_STORE || !a->whole || a->response.head.status != 200)
		return;
	if (!read_number(&a->response.head.fields, "X-Content", MOST_CONTENTS, &content))
		return;
	s->stored = (int)content;
	s->stored_s = now_s(t);
}

/* ---- the course of things ---- */

static void note_removal(struct test *t, const struct asking *a)
{
	bool done = a->answered && a->response.head.status == 200;

	if (done && (a->method == METHOD_PURGE || a->method == METHOD_POST)) {
		a->site->gone_from = a->began;
		a->site->gone = ++t->seq;
	}
}

/* Mostly those that were asked for before. */
static struct site *choose_site(struct test *t, struct site *sites)
{
	if (!t->last || chance(&t->rng, 35))
		t->last = &sites[rng_below(&t->rng, SITES)];
	return t->last;
}

static void step(struct test *t, struct site *sites)
{
	unsigned n = chance(&t->rng, 75) ? 1 : 2 + (unsigned)rng_below(&t->rng, MOST_AT_ONCE - 1);
	struct asking *a = mem_zalloc(n * sizeof(*a));
	struct site *one = choose_site(t, sites);
	uint64_t batch_began;
	bool hit;

	pthread_mutex_lock(&t->lock);
	batch_began = ++t->seq;
	for (unsigned i = 0; i < n; i++) {
		choose_request(t, &a[i], i == 0 || chance(&t->rng, 70) ? one : &sites[rng_below(&t->rng, SITES)]);
		a[i].began = batch_began;
		a[i].asked_before = a[i].site->asked;
	}
	hit = n == 1 && must_hit(t, &a[0]);
	pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&a[i].thread, NULL, run_request, &a[i]) != 0)
			abort();
	for (unsigned i = 0; i < n; i++)
		pthread_join(a[i].thread, NULL);
	if (!engine_is_quiet(&t->engine, WAIT_SECONDS * 1000))
		fault(t, one, "clients or flights do not end");
	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < n; i++) {
		t->looked_at = &a[i];
		check_answer(t, &a[i], batch_began);
	}
	if (hit)
		check_hit(t, &a[0]);
	t->looked_at = NULL;
	if (n == 1)
		learn(t, &a[0]);
	for (unsigned i = 0; i < n; i++) {
		if (n > 1)
			a[i].site->stored = NONE;
		note_removal(t, &a[i]);
		free(a[i].body);
	}
	pthread_mutex_unlock(&t->lock);
	free(a);
}

static void scenario(struct test *t)
{
	static const int jumps_s[] = {0, 0, 0, 0, 5, 5, 5, 25, 100, 1000};
	struct site *sites = &t->sites[t->n_sites];

	for (unsigned i = 0; i < SITES; i++)
		add_site(t, i);
	t->last = NULL;
	for (t->step = 0; t->step < STEPS && !t->faults; t->step++) {
		step(t, sites);
		atomic_fetch_add(&t->engine.clock.by_ms,
				 1000ll * jumps_s[rng_below(&t->rng, sizeof(jumps_s) / sizeof(*jumps_s))]);
	}
	t->scenarios++;
}

static void world(struct test *t)
{
	struct policy *p = engine_policy();
	uint64_t left;

	t->small_memory = chance(&t->rng, 25);
	t->loops = 1 + (int)rng_below(&t->rng, 3);
	p->cache.memory_size = t->small_memory ? 150000 : 100000000;
	p->cache.read_ahead = 20000;
	p->limits.idle_timeout = p->limits.stall_timeout = p->limits.header_timeout = DUR_DAY;
	p->upstream.first_byte_timeout = p->upstream.read_timeout = p->upstream.connect_timeout = DUR_DAY;
	engine_start(&t->engine, p, (unsigned)t->loops, 0,
		     0); /* posts that wait for a time do not go with a clock that jumps */
	t->n_sites = t->n_contents = t->n_answers = 0;
	for (unsigned i = 0; i < SCENARIOS && !t->faults; i++)
		scenario(t);
	if (!engine_flights_end(&t->engine, WAIT_SECONDS * 1000))
		fault(t, &t->sites[0], "a flight does not end, though nobody waits for it");
	left = engine_stop(&t->engine);
	if (left && !t->faults)
		fault(t, &t->sites[0], "%llu bytes of the store are lost", (unsigned long long)left);
}

static long run_ms(void)
{
	const char *scale = getenv("PMC_TEST_SCALE");
	long percent = scale ? strtol(scale, NULL, 10) : 100;

	return 9000 * (percent > 0 ? percent : 100) / 100;
}

int main(int argc, char **argv)
{
	struct test *t = NEW(struct test);
	mono_us end = clock_mono(&clock_system) + run_ms() * 1000;
	uint64_t seed;
	bool failed;

	signal(SIGPIPE, SIG_IGN);
	rng_secret(&seed, sizeof(seed));
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : seed >> 32;
	printf("property: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	pthread_mutex_init(&t->lock, NULL);
	origin_start(&t->origin, answer, t);
	/* Each world has its own seed, so that a fault needs only its world again. */
	do {
		t->seed = seed++;
		rng_seed(&t->rng, t->seed);
		world(t);
	} while (!t->faults && clock_mono(&clock_system) < end);
	failed = t->faults > 0;
	origin_stop(&t->origin);
	if (failed)
		printf("property: see it again with seed %llu\n", (unsigned long long)t->seed);
	printf("property: up to seed %llu, %u scenarios, %u requests, %u with a body, %u certain hits\n",
	       (unsigned long long)t->seed, t->scenarios, t->requests, t->delivered, t->sure);
	printf("%d passed, %d failed\n", !failed, failed);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return failed;
}
