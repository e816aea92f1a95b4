/* stress: three loops, many clients that come, join, leave, abort, purge and ask anew, origins that are slow, broken or change
 * their mind, posts between loops that are late; each byte that arrives is checked.
 *
 *     stress [SEED]
 *
 * Takes about ten seconds, times PMC_TEST_SCALE percent. What is sent can be told from its head: kind and number of the URL, version,
 * and for whom it was made; the bytes follow from these. */
#include "tests/stress/engine.h"
#include "tests/stress/wire.h"

#define LOOPS 3
#define CLIENTS 16
#define IDS 8
#define ACCEPTS 3
#define WAIT_SECONDS 60 /* whoever waits so long waits for ever */

#define MEMORY_BYTES ((uint64_t)1024 * 1024)
#define MAX_OBJECT_BYTES ((uint64_t)100 * 1024)
#define READ_AHEAD_BYTES ((uint64_t)40 * 1024)

/* What an origin does for an URL "/KIND/ID". Columns: name, may the answer fail or be cut. */
#define KINDS(X)                                                                                                       \
	X(LEN, "len", false) /* a length, a life of some seconds */                                                    \
	X(CHUNKED, "chunked", false)                                                                                   \
	X(CLOSE, "close", false) /* HTTP/1.0, ends with the connection */                                              \
	X(SLOW, "slow", false)                                                                                         \
	X(ETAG, "etag", false) /* must be asked for each time; 304, or now and then another version */                 \
	X(VARY, "vary", false)                                                                                         \
	X(NO_STORE, "no-store", false)                                                                                 \
	X(PRIVATE, "private", false)                                                                                   \
	X(AUTH, "auth", false) /* for those with a good credential, the same for all of them */                        \
	X(OWN, "own", false)   /* to each credential its own */                                                        \
	X(BIG, "big", false)   /* larger than is kept; its length is known */                                          \
	X(BIG_CHUNKED, "bigchunked", false)                                                                            \
	X(IMM, "imm", false)        /* an artefact, for good */                                                        \
	X(IMM_BIG, "immbig", false) /* one that proves too large on the way */                                         \
	X(BROKEN, "broken", true)   /* cut in the middle, as often as not */                                           \
	X(BAD_CHUNK, "badchunk", true)                                                                                 \
	X(SILENT, "silent", true) /* closes without a word */                                                          \
	X(MOOD, "mood", true)     /* 200, 404, 500, 503 or 302 */

enum kind {
#define X(id, name, fails) KIND_##id,
	KINDS(X)
#undef X
		KIND_COUNT
};

static const struct {
	const char *name;
	bool fails;
} kinds[] = {
#define X(id, word, may_fail) {word, may_fail},
	KINDS(X)
#undef X
};

struct test {
	struct engine engine;
	struct origin origin;
	_Atomic unsigned versions[KIND_COUNT][IDS];
	_Atomic uint64_t origin_seed;
	_Atomic bool stops;
	_Atomic unsigned requests, cut, failures, origin_requests, unmodified;
};

/* What a body is made of. */
struct brew {
	unsigned kind, id, version, accept, who;
};

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15u;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9u;
	return x ^ x >> 32;
}

static uint64_t seed_of(const struct brew *b)
{
	return mix(b->kind + 100 * b->id + 10000 * b->accept + 1000000 * b->who + 100000000ull * b->version + 1);
}

/* n bytes of a body from pos on. */
static void brew(const struct brew *b, uint64_t seed, uint64_t pos, char *to, size_t n)
{
	static const char gzip[] = {0x1f, (char)0x8b, 8};
	uint64_t word = mix(seed + pos / 8);

	for (size_t i = 0; i < n; i++, pos++) {
		if (pos % 8 == 0)
			word = mix(seed + pos / 8);
		to[i] = (char)(word >> 8 * (pos % 8));
		if (pos < sizeof(gzip) && (b->kind == KIND_IMM || b->kind == KIND_IMM_BIG))
			to[i] = gzip[pos];
	}
}

static bool is_brewed(const struct brew *b, uint64_t seed, uint64_t pos, struct span bytes)
{
	char right[4096];

	for (size_t at = 0; at < bytes.n; at += sizeof(right)) {
		struct span piece = span_upto(span_from(bytes, at), sizeof(right));

		brew(b, seed, pos + at, right, piece.n);
		if (memcmp(piece.p, right, piece.n) != 0)
			return false;
	}
	return true;
}

static uint64_t size_of(unsigned kind, unsigned id)
{
	static const uint64_t sizes[IDS] = {0, 1, 1000, 5000, 20000, 65536, 70000, 95000};

	switch (kind) {
	case KIND_BIG:
	case KIND_BIG_CHUNKED:
	case KIND_IMM_BIG:
		return 110000 + 40000 * id;
	case KIND_IMM:
		return sizes[id] + 3;
	default:
		return sizes[id];
	}
}

__attribute__((format(printf, 2, 3))) static void fault(struct test *t, const char *fmt, ...)
{
	va_list args;

	if (atomic_fetch_add(&t->failures, 1) >= 20)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

/* ---- the origin ---- */

struct play {
	struct test *test;
	struct wire *wire;
	struct wire_request *request;
	struct rng rng;
	struct brew brew;
	uint64_t size;
};

static unsigned who_of(const struct hdrs *h)
{
	struct span v = hdr_value(h, HDR_AUTHORIZATION);

	return span_starts(v, SPAN("Bearer ")) ? 1 + (unsigned)(v.p[7] - 'a') : 0;
}

/* Credentials c and d are good for nobody. */
static bool is_good(unsigned who)
{
	return who == 1 || who == 2;
}

static bool send_body(struct play *p, uint64_t until, bool chunked)
{
	uint64_t seed = seed_of(&p->brew);
	char *bytes = mem_alloc(65536);
	bool ok = true;

	for (uint64_t pos = 0; ok && pos < until;) {
		uint64_t n = 1 + rng_below(&p->rng, 30000);
		char line[CHUNKED_LINE_BYTES];

		if (p->brew.kind == KIND_SLOW || p->brew.kind == KIND_IMM_BIG) {
			engine_sleep_ms((long)rng_below(&p->rng, 4));
			n = 1 + n / 4;
		}
		if (n > until - pos)
			n = until - pos;
		brew(&p->brew, seed, pos, bytes, (size_t)n);
		ok = (!chunked || wire_send(p->wire, line, chunked_line(line, n))) && wire_send(p->wire, bytes, n) &&
		     (!chunked || wire_send(p->wire, "\r\n", 2));
		pos += n;
	}
	free(bytes);
	return ok;
}

static bool say_head(struct play *p, const char *first, const char *fields)
{
	const struct brew *b = &p->brew;

	return wire_say(p->wire, "HTTP/%s\r\nX-Brew: %u %u %u %u %u\r\n%s", first, b->kind, b->id, b->version,
			b->accept, b->who, fields);
}

static bool send_length(struct play *p, const char *fields)
{
	return say_head(p, "1.1 200 OK", fields) &&
	       wire_say(p->wire, "Content-Length: %llu\r\n\r\n", (unsigned long long)p->size) &&
	       (p->request->head.method == METHOD_HEAD || send_body(p, p->size, false));
}

static bool send_chunked(struct play *p, const char *fields)
{
	return say_head(p, "1.1 200 OK", fields) && wire_say(p->wire, "Transfer-Encoding: chunked\r\n\r\n") &&
	       (p->request->head.method == METHOD_HEAD ||
		(send_body(p, p->size, true) && wire_say(p->wire, "0\r\n\r\n")));
}

static bool send_etag(struct play *p, const char *fields)
{
	char tagged[400];
	char etag[40];

	snprintf(etag, sizeof(etag), "\"v%u\"", p->brew.version);
	snprintf(tagged, sizeof(tagged), "ETag: %s\r\n%s", etag, fields);
	if (span_eq(hdr_value(&p->request->head.fields, HDR_IF_NONE_MATCH), span_str(etag))) {
		atomic_fetch_add(&p->test->unmodified, 1);
		return wire_say(p->wire, "HTTP/1.1 304 Not Modified\r\n%s\r\n", tagged);
	}
	return send_length(p, tagged);
}

static bool play_mood(struct play *p)
{
	static const char *const moods[] = {"404 Not Found", "500 Oh", "503 Busy", "302 Found"};

	if (rng_below(&p->rng, 2))
		return send_length(p, "Cache-Control: max-age=60\r\nETag: \"x\"\r\n");
	return wire_say(p->wire, "HTTP/1.1 %s\r\nLocation: /len/1\r\nContent-Length: 4\r\n\r\n%s",
			moods[rng_below(&p->rng, 4)], p->request->head.method == METHOD_HEAD ? "" : "oops");
}

static bool refuse(struct play *p)
{
	return wire_say(p->wire, "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nContent-Length: 4\r\n\r\n%s",
			p->request->head.method == METHOD_HEAD ? "" : "nope");
}

static bool play_auth(struct play *p)
{
	if (!is_good(p->brew.who))
		return refuse(p);
	p->brew.who = 0; /* the same bytes for all of them */
	return send_etag(p, "Cache-Control: public, max-age=20\r\n");
}

static bool play_kind(struct play *p)
{
	bool head = p->request->head.method == METHOD_HEAD;

	if (head && kinds[p->brew.kind].fails) /* a link that dies while it is idle may cost a POST its answer */
		return send_length(p, "");
	switch ((enum kind)p->brew.kind) {
	case KIND_LEN:
	case KIND_SLOW:
		return send_etag(p, "Cache-Control: max-age=20\r\n");
	case KIND_CHUNKED:
		return send_chunked(p, "Cache-Control: max-age=5\r\n");
	case KIND_CLOSE:
		if (say_head(p, "1.0 200 OK", "Cache-Control: max-age=5\r\n\r\n") && !head)
			send_body(p, p->size, false);
		return false;
	case KIND_ETAG:
		return send_etag(p, "Cache-Control: no-cache\r\n");
	case KIND_VARY:
		return send_etag(p, "Vary: Accept\r\nCache-Control: max-age=5\r\n");
	case KIND_NO_STORE:
		return send_length(p, "Cache-Control: no-store\r\n");
	case KIND_PRIVATE:
		return send_chunked(p, "Cache-Control: private, max-age=60\r\n");
	case KIND_AUTH:
		return play_auth(p);
	case KIND_OWN:
		return p->brew.who ? send_length(p, "Cache-Control: max-age=60\r\n") : refuse(p);
	case KIND_BIG:
		return send_length(p, "Cache-Control: max-age=60\r\n");
	case KIND_BIG_CHUNKED:
		return send_chunked(p, "Cache-Control: max-age=60\r\n");
	case KIND_IMM:
		return send_length(p, "ETag: \"i\"\r\n");
	case KIND_IMM_BIG:
		return send_chunked(p, "");
	case KIND_BROKEN:
		if (rng_below(&p->rng, 2))
			return send_length(p, "Cache-Control: max-age=5\r\n");
		if (say_head(p, "1.1 200 OK", "") &&
		    wire_say(p->wire, "Content-Length: %llu\r\n\r\n", (unsigned long long)p->size + 1))
			send_body(p, p->size / 2, false);
		return false;
	case KIND_BAD_CHUNK:
		if (say_head(p, "1.1 200 OK", "Transfer-Encoding: chunked\r\n\r\n") && send_body(p, p->size / 2, true))
			wire_say(p->wire, "%s\r\n", rng_below(&p->rng, 2) ? "-1" : "1;x");
		return false;
	case KIND_SILENT:
		return rng_below(&p->rng, 2) && send_length(p, "Cache-Control: max-age=1\r\n");
	case KIND_MOOD:
		return play_mood(p);
	case KIND_COUNT:
		break;
	}
	return false;
}

static char upload_byte(uint64_t pos)
{
	return (char)(mix(pos / 8 + 77) >> 8 * (pos % 8));
}

/* Is the body of a request what clients send? */
static bool take_upload(struct play *p)
{
	struct wire_body body = {.kind = p->request->head.body, .left = p->request->head.length};
	struct span piece;
	uint64_t n = 0;
	bool right = true;

	while (wire_body(p->wire, &body, &piece, 20000)) {
		for (size_t i = 0; i < piece.n; i++)
			right = right && piece.p[i] == upload_byte(n + i);
		n += piece.n;
	}
	if (!body.whole) /* the client has left */
		return false;
	return wire_say(p->wire, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Bytes: %llu\r\n\r\n%s",
			(unsigned long long)n, right ? "right" : "wrong");
}

static bool answer(void *cookie, struct wire *w, struct wire_request *r)
{
	struct test *t = cookie;
	struct play p = {.test = t, .wire = w, .request = r};
	struct span target = r->head.target, name;
	uint64_t id = 0;

	atomic_fetch_add(&t->origin_requests, 1);
	rng_seed(&p.rng, mix(atomic_fetch_add(&t->origin_seed, 1)));
	if (r->head.method == METHOD_POST)
		return take_upload(&p);
	target = span_from(target, 1);
	span_cut(&target, '/', &name);
	while (p.brew.kind < KIND_COUNT && !span_eq(name, span_str(kinds[p.brew.kind].name)))
		p.brew.kind++;
	if (p.brew.kind == KIND_COUNT || span_to_u64(span_upto(target, 1), &id) || id >= IDS)
		return false;
	p.brew.id = (unsigned)id;
	if (p.brew.kind == KIND_ETAG && rng_below(&p.rng, 10) == 0)
		atomic_fetch_add(&t->versions[KIND_ETAG][id], 1);
	p.brew.version = atomic_load(&t->versions[p.brew.kind][id]);
	if (p.brew.kind == KIND_VARY) {
		struct span accept = hdr_value(&r->head.fields, HDR_ACCEPT);

		p.brew.accept = accept.n ? (unsigned)(accept.p[accept.n - 1] - '0') : 0;
	}
	if (p.brew.kind == KIND_AUTH || p.brew.kind == KIND_OWN)
		p.brew.who = who_of(&r->head.fields);
	p.size = size_of(p.brew.kind, p.brew.id);
	return play_kind(&p);
}

/* ---- a client ---- */

struct client_run {
	struct test *test;
	pthread_t thread;
	struct rng rng;
	struct wire wire;
	struct wire_response *response;
};

/* One request and what is right for it. */
struct errand {
	enum http1_method method;
	unsigned kind, id, accept, who;
	bool range, only_if_cached;
	uint64_t first, last; /* of the range */
	bool leaves;
	uint64_t leaves_at;
	bool dawdles;
};

static bool chance(struct client_run *c, uint64_t percent)
{
	return rng_below(&c->rng, 100) < percent;
}

static void choose(struct client_run *c, struct errand *e)
{
	*e = (struct errand){.method = METHOD_GET};
	e->kind = (unsigned)rng_below(&c->rng, KIND_COUNT);
	e->id = (unsigned)rng_below(&c->rng, IDS);
	if (chance(c, 50)) /* some are asked for more often */
		e->id /= 4;
	e->accept = (unsigned)rng_below(&c->rng, ACCEPTS);
	if (e->kind == KIND_AUTH || e->kind == KIND_OWN || chance(c, 5))
		e->who = (unsigned)rng_below(&c->rng, 5);
	if (chance(c, 6))
		e->method = METHOD_HEAD;
	else if (chance(c, 4))
		e->method = METHOD_PURGE;
	else if (chance(c, 5))
		e->method = METHOD_POST;
	else if (chance(c, 10)) {
		e->range = true;
		e->first = rng_below(&c->rng, 100000);
		e->last = e->first + rng_below(&c->rng, 20000);
	}
	e->only_if_cached = e->method == METHOD_GET && chance(c, 5);
	e->leaves = chance(c, 8);
	e->leaves_at = chance(c, 30) ? 0 : rng_below(&c->rng, 100000);
	e->dawdles = chance(c, 6);
}

static bool put_upload(struct client_run *c)
{
	bool chunked = chance(c, 50), tiny = chance(c, 30);
	uint64_t n = rng_below(&c->rng, tiny ? 3000 : 60000);
	char *bytes = mem_alloc(n * 8 + 64);
	struct buf b = buf_over(bytes, n * 8 + 64);
	bool ok;

	for (uint64_t pos = 0; pos < n;) {
		uint64_t piece = tiny ? 1 : 1 + rng_below(&c->rng, 30000);
		char line[CHUNKED_LINE_BYTES];

		if (piece > n - pos)
			piece = n - pos;
		if (chunked)
			buf_put(&b, span_of(line, chunked_line(line, piece)));
		for (uint64_t i = 0; i < piece; i++)
			buf_putc(&b, upload_byte(pos + i));
		if (chunked)
			buf_put_str(&b, "\r\n");
		pos += piece;
	}
	if (chunked)
		buf_put_str(&b, "0\r\n\r\n");
	ok = (chunked ? wire_say(&c->wire, "Transfer-Encoding: chunked\r\n\r\n")
		      : wire_say(&c->wire, "Content-Length: %llu\r\n\r\n", (unsigned long long)n)) &&
	     wire_send(&c->wire, bytes, b.n);
	free(bytes);
	return ok;
}

static bool ask(struct client_run *c, const struct errand *e)
{
	static const char *const methods[] = {
		[METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD", [METHOD_POST] = "POST", [METHOD_PURGE] = "PURGE"};
	const char *path = e->kind == KIND_IMM || e->kind == KIND_IMM_BIG ? "/thing/-/thing-1.0.0.tgz" : "";
	struct wire *w = &c->wire;

	if (!wire_say(w, "%s http://127.0.0.1:%u/%s/%u%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", methods[e->method],
		      c->test->origin.port, kinds[e->kind].name, e->id, path, c->test->origin.port))
		return false;
	if (e->kind == KIND_VARY && !wire_say(w, "Accept: a/%u\r\n", e->accept))
		return false;
	if (e->who && !wire_say(w, "Authorization: Bearer %c\r\n", (char)('a' + e->who - 1)))
		return false;
	if (e->range &&
	    !wire_say(w, "Range: bytes=%llu-%llu\r\n", (unsigned long long)e->first, (unsigned long long)e->last))
		return false;
	if (e->only_if_cached && !wire_say(w, "Cache-Control: only-if-cached\r\n"))
		return false;
	if (!e->only_if_cached && e->method == METHOD_GET && chance(c, 8) &&
	    !wire_say(w, "Cache-Control: no-cache\r\n"))
		return false;
	return e->method == METHOD_POST ? put_upload(c) : wire_say(w, "\r\n");
}

static void name_errand(const struct errand *e, char out[160])
{
	snprintf(out, 160, "method %d /%s/%u accept %u who %u%s", e->method, kinds[e->kind].name, e->id, e->accept,
		 e->who, e->range ? " range" : "");
}

static bool read_brew(const struct hdrs *h, struct brew *b)
{
	const struct hdr *f = hdr_find(h, SPAN("X-Brew"));
	char text[100];

	if (!f || f->value.n >= sizeof(text))
		return false;
	memcpy(text, f->value.p, f->value.n);
	text[f->value.n] = '\0';
	return sscanf(text, "%u %u %u %u %u", &b->kind, &b->id, &b->version, &b->accept, &b->who) == 5;
}

/* Is this response one that the errand may get? */
static bool check_head(struct client_run *c, const struct errand *e, const struct http1_response *r, struct brew *b)
{
	char name[160];

	name_errand(e, name);
	if (!read_brew(&r->fields, b)) {
		fault(c->test, "%s: status %d without a brew", name, r->status);
		return false;
	}
	if (b->kind != e->kind || b->id != e->id)
		fault(c->test, "%s: got /%s/%u", name, kinds[b->kind % KIND_COUNT].name, b->id);
	else if (e->kind == KIND_VARY && b->accept != e->accept)
		fault(c->test, "%s: got variant %u", name, b->accept);
	else if (e->kind == KIND_OWN && b->who != e->who)
		fault(c->test, "%s: got what is for %u", name, b->who);
	else if (e->kind == KIND_AUTH && !is_good(e->who))
		fault(c->test, "%s: got what it may not see", name);
	else
		return true;
	return false;
}

/* Is an answer without a body of ours to be expected? */
static bool may_be_refused(const struct errand *e, int status)
{
	if (e->method == METHOD_PURGE)
		return status == 200 || status == 404;
	if (e->only_if_cached && status == 504)
		return true;
	if ((e->kind == KIND_AUTH && !is_good(e->who)) || (e->kind == KIND_OWN && !e->who))
		return status == 401;
	if (e->range && status == 416)
		return true;
	if (e->kind == KIND_MOOD && (status == 404 || status == 500 || status == 503 || status == 302))
		return true;
	return kinds[e->kind].fails && (status == 502 || status == 504);
}

/* Reads the body to its end, or to where this client leaves. False: the connection is of no more use. */
static bool take_body(struct client_run *c, const struct errand *e, const struct brew *b, uint64_t from, uint64_t n)
{
	const struct http1_response *r = &c->response->head;
	struct wire_body body = {.kind = r->body, .left = r->length};
	uint64_t seed = b ? seed_of(b) : 0, got = 0;
	struct span piece;
	char name[160];

	name_errand(e, name);
	while (wire_body(&c->wire, &body, &piece, e->dawdles ? 3000 : WIRE_ROOM)) {
		if (b && !is_brewed(b, seed, from + got, piece)) {
			fault(c->test, "%s: wrong bytes behind %llu of version %u", name,
			      (unsigned long long)(from + got), b->version);
			return false;
		}
		got += piece.n;
		if (e->leaves && got >= e->leaves_at)
			return false;
		if (e->dawdles && chance(c, 30))
			engine_sleep_ms((long)rng_below(&c->rng, 4));
	}
	if (!body.whole) {
		atomic_fetch_add(&c->test->cut, 1);
		if (!kinds[e->kind].fails || c->wire.timed_out)
			fault(c->test, "%s: %s after %llu bytes of %llu", name, c->wire.timed_out ? "hangs" : "cut",
			      (unsigned long long)got, (unsigned long long)n);
		return false;
	}
	if (b && got != n)
		fault(c->test, "%s: %llu bytes instead of %llu", name, (unsigned long long)got, (unsigned long long)n);
	return r->keep_alive && r->body != HTTP1_BODY_CLOSE;
}

/* Where a 206 lies. */
static bool read_range(const struct hdrs *h, uint64_t *from, uint64_t *n, uint64_t *of)
{
	struct span v = hdr_value(h, HDR_CONTENT_RANGE);
	unsigned long long a, z, all;
	char text[100];

	if (v.n >= sizeof(text))
		return false;
	memcpy(text, v.p, v.n);
	text[v.n] = '\0';
	if (sscanf(text, "bytes %llu-%llu/%llu", &a, &z, &all) != 3 || z < a)
		return false;
	*from = a;
	*n = z - a + 1;
	*of = all;
	return true;
}

static bool take_answer(struct client_run *c, const struct errand *e)
{
	const struct http1_response *r = &c->response->head;
	uint64_t size = size_of(e->kind, e->id), from = 0, n = size, of = size;
	struct brew b = {0};
	char name[160];

	name_errand(e, name);
	if (e->method == METHOD_POST) {
		if (r->status != 200 && !(r->status == 502 && kinds[e->kind].fails)) {
			fault(c->test, "%s: status %d", name, r->status);
			return false;
		}
		return take_body(c, e, NULL, 0, 0);
	}
	if (may_be_refused(e, r->status))
		return take_body(c, e, NULL, 0, 0);
	if (r->status != 200 && !(e->range && r->status == 206)) {
		fault(c->test, "%s: status %d", name, r->status);
		return false;
	}
	if (!check_head(c, e, r, &b))
		return false;
	if (r->status == 206 && (!read_range(&r->fields, &from, &n, &of) || from != e->first || of != size)) {
		fault(c->test, "%s: a wrong Content-Range", name);
		return false;
	}
	if (e->method == METHOD_HEAD) {
		if (r->length_known && r->length != size && !kinds[e->kind].fails)
			fault(c->test, "%s: HEAD with a length of %llu", name, (unsigned long long)r->length);
		n = 0;
	} else if (r->length_known && r->length != n && !kinds[e->kind].fails) {
		fault(c->test, "%s: a length of %llu instead of %llu", name, (unsigned long long)r->length,
		      (unsigned long long)n);
	}
	return take_body(c, e, &b, from, n);
}

/* One connection. */
static void visit(struct client_run *c)
{
	struct test *t = c->test;
	unsigned lane = (unsigned)rng_below(&c->rng, LOOPS);

	wire_open(&c->wire, engine_connect(&t->engine, lane, WAIT_SECONDS));
	for (uint64_t n = 1 + rng_below(&c->rng, 6); n > 0 && !atomic_load(&t->stops); n--) {
		struct errand e;
		char name[160];

		choose(c, &e);
		name_errand(&e, name);
		atomic_fetch_add(&t->requests, 1);
		if (!ask(c, &e)) {
			fault(t, "%s: the request was not taken", name);
			break;
		}
		if (e.leaves && e.leaves_at == 0)
			break;
		if (!wire_response(&c->wire, e.method, c->response)) {
			fault(t, "%s: %s", name, c->wire.timed_out ? "no answer at all" : "closed, or no HTTP");
			break;
		}
		if (!take_answer(c, &e))
			break;
	}
	wire_close(&c->wire);
}

static void *client_main(void *arg)
{
	struct client_run *c = arg;

	c->response = NEW(struct wire_response);
	while (!atomic_load(&c->test->stops))
		visit(c);
	free(c->response);
	return NULL;
}

/* ---- the course of things ---- */

static struct policy *stress_policy(void)
{
	struct policy *p = engine_policy();

	p->cache.memory_size = MEMORY_BYTES;
	p->cache.memory_max_object = MAX_OBJECT_BYTES;
	p->cache.read_ahead = READ_AHEAD_BYTES;
	p->cache.quick_abort_percent = 50;
	/* Time passes twenty times as fast as it should. */
	p->upstream.connect_timeout = p->upstream.first_byte_timeout = p->upstream.read_timeout = DUR_DAY;
	p->limits.header_timeout = p->limits.idle_timeout = p->limits.stall_timeout = DUR_DAY;
	return p;
}

static void pass_time(struct test *t, long run_ms, struct rng *rng)
{
	mono_us end = clock_mono(&clock_system) + run_ms * 1000;

	while (clock_mono(&clock_system) < end) {
		engine_sleep_ms(5);
		atomic_fetch_add(&t->engine.clock.by_ms, 100);
		if (rng_below(rng, 40) == 0) /* memory is taken away, and given back */
			t->engine.store->ops->set_size(t->engine.store, MEMORY_BYTES / (1 + rng_below(rng, 8)));
	}
}

static int check_end(struct test *t)
{
	uint64_t left;

	if (!engine_is_quiet(&t->engine, WAIT_SECONDS * 1000))
		fault(t, "%u clients and %llu flights do not end", atomic_load(&t->engine.connections),
		      (unsigned long long)index_counts(t->engine.index).pending);
	printf("stress: %u requests, %u of them cut, %u at the origin (%u unmodified), %llu stored, %llu joined, %llu hits\n",
	       t->requests, t->cut, t->origin_requests, t->unmodified,
	       (unsigned long long)engine_metric(&t->engine, METRIC_STORED),
	       (unsigned long long)engine_metric(&t->engine, METRIC_HITS_JOINED),
	       (unsigned long long)engine_metric(&t->engine, METRIC_HITS_MEMORY));
	if (!engine_flights_end(&t->engine, WAIT_SECONDS * 1000))
		fault(t, "a flight does not end, though nobody waits for it");
	left = engine_stop(&t->engine);
	if (left)
		fault(t, "%llu bytes of the store are lost", (unsigned long long)left);
	origin_stop(&t->origin);
	if (t->requests < 20)
		fault(t, "too little happened");
	return t->failures ? 1 : 0;
}

static uint64_t choose_seed(int argc, char **argv)
{
	uint64_t seed;

	if (argc > 1)
		return strtoull(argv[1], NULL, 0);
	rng_secret(&seed, sizeof(seed));
	return seed >> 32;
}

static long scaled(long n)
{
	const char *scale = getenv("PMC_TEST_SCALE");
	long percent = scale ? strtol(scale, NULL, 10) : 100;

	return percent > 0 ? n * percent / 100 : n;
}

int main(int argc, char **argv)
{
	struct test *t = NEW(struct test);
	uint64_t seed = choose_seed(argc, argv);
	struct client_run clients[CLIENTS] = {0};
	struct rng rng;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	printf("stress: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	rng_seed(&rng, seed);
	atomic_store(&t->origin_seed, rng_next(&rng));
	origin_start(&t->origin, answer, t);
	engine_start(&t->engine, stress_policy(), LOOPS, 2000, seed);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i].test = t;
		rng_seed(&clients[i].rng, rng_next(&rng));
		if (pthread_create(&clients[i].thread, NULL, client_main, &clients[i]) != 0)
			abort();
	}
	pass_time(t, scaled(9000), &rng);
	atomic_store(&t->stops, true);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(clients[i].thread, NULL);
	failed = check_end(t);
	printf("%d passed, %d failed\n", !failed, failed);
	free(t);
	return failed;
}
