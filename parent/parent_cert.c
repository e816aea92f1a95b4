#include "parent/parent_cert.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "node/base/mem.h"
#include "node/link/nodecall.h"
#include "node/net/loop.h"
#include "node/tls/nodetls.h"
#include "proto/certmsg.h"
#include "proto/url.h"

#define PATH_BYTES (2 * URL_MAX_HOST + 64)
#define SECONDS_MOST ((uint64_t)253402300799) /* the end of the year 9999 */

struct parent_cert {
	unsigned magic;
	struct parent_cert_ground ground;
	parent_cert_on_done_f *on_done;
	void *cookie;
	char path[PATH_BYTES];
	size_t path_n;
	dur_ms limit;
	struct key key;
	struct parent_pick pick;
	bool asked; /* pick is in use */
	unsigned tried[PARENT_MOST_TRIES], n_tried;
	struct nodecall *call;
	struct deferred job;
};

#define PARENT_CERT_MAGIC 0x9a4ece47

static void ended(struct parent_cert *c, enum parent_outcome outcome)
{
	if (!c->asked)
		return;
	c->asked = false;
	parent_set_ended(c->ground.parents, &c->pick, outcome, 0, -1, 0, loop_now(c->ground.loop));
}

static void cert_free(struct parent_cert *c)
{
	nodecall_cancel(&c->call);
	ended(c, PARENT_CANCELLED);
	loop_defer_cancel(c->ground.loop, &c->job);
	nodetls_unref(&c->ground.tls);
	c->magic = 0;
	free(c);
}

/* It is gone before its owner hears of it. */
static void finish(struct parent_cert *c, enum parent_cert_answer answer, struct origin_cert *cert)
{
	parent_cert_on_done_f *on_done = c->on_done;
	void *cookie = c->cookie;

	cert_free(c);
	on_done(cookie, answer, cert);
	names_origin_unref(&cert);
}

/* ---- the answer ---- */

static bool is_empty(const uint8_t *p, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

/* A name that is none is left out, as it would be of the certificate itself. */
struct origin_cert *parent_cert_read(const struct certmsg *m)
{
	struct origin_cert *cert;

	if (m->verdict != CERTMSG_VALID || !m->not_after || m->not_after > SECONDS_MOST ||
	    m->not_before > m->not_after || is_empty(m->spki_sha256, sizeof(m->spki_sha256)))
		return NULL;
	cert = names_origin_new();
	cert->not_before = (wall_ms)m->not_before * DUR_SECOND;
	cert->not_after = (wall_ms)m->not_after * DUR_SECOND;
	memcpy(cert->spki_sha256, m->spki_sha256, sizeof(cert->spki_sha256));
	for (unsigned i = 0; i < m->n_sans; i++)
		names_origin_add_san(cert, m->sans[i]);
	if (m->subject.n)
		names_origin_set_subject(cert, m->subject.p, m->subject.n);
	return cert;
}

static void take_answer(struct parent_cert *c, struct span body)
{
	struct certmsg *m = mem_alloc(sizeof(*m));
	struct origin_cert *cert = NULL;
	enum parent_cert_answer answer = PARENT_CERT_UNKNOWN;

	if (certmsg_parse(body, m)) {
		cert = parent_cert_read(m);
		if (cert)
			answer = PARENT_CERT_VALID;
		else if (m->verdict == CERTMSG_INVALID)
			answer = PARENT_CERT_INVALID;
	}
	free(m);
	finish(c, answer, cert);
}

static void ask_next(struct parent_cert *c);

static void on_answer(void *cookie, int status, struct span body, bool more)
{
	struct parent_cert *c = cookie;

	(void)more;
	CHECK(c, PARENT_CERT_MAGIC);
	c->call = NULL;
	/* That it took too long may be the origin's fault. */
	ended(c, status ? PARENT_OK : PARENT_CANCELLED);
	if (status == 200)
		take_answer(c, body);
	else if (status && status != 503)
		finish(c, PARENT_CERT_UNKNOWN, NULL);
	else
		ask_next(c);
}

/* ---- asking ---- */

static void ask_next(struct parent_cert *c)
{
	struct nodecall_ask ask = {.parent = true, .limit = c->limit, .path = span_of(c->path, c->path_n)};

	c->asked = parent_set_pick(c->ground.parents, &c->key, c->tried, c->n_tried, c->n_tried > 0,
				   loop_now(c->ground.loop), &c->pick);
	if (!c->asked) {
		finish(c, PARENT_CERT_NOBODY, NULL);
		return;
	}
	c->tried[c->n_tried++] = c->pick.id;
	ask.node = span_str(c->pick.member.name);
	ask.host = span_str(c->pick.member.host);
	ask.port = c->pick.member.port;
	c->call = nodecall_start(c->ground.loop, c->ground.dns, c->ground.pool, c->ground.tls, &ask, on_answer, c);
}

static void on_begin(void *arg)
{
	struct parent_cert *c = arg;

	CHECK(c, PARENT_CERT_MAGIC);
	ask_next(c);
}

struct parent_cert *parent_cert_start(const struct parent_cert_ground *ground, const struct parent_cert_ask *ask,
				      parent_cert_on_done_f *on_done, void *cookie)
{
	struct parent_cert *c = NEW(struct parent_cert);
	struct buf b = buf_over(c->path, sizeof(c->path));

	c->magic = PARENT_CERT_MAGIC;
	c->ground = *ground;
	c->ground.tls = nodetls_ref(ground->tls);
	c->on_done = on_done;
	c->cookie = cookie;
	c->limit = ask->limit;
	sha256_of(ask->host, c->key.b);
	buf_put_str(&b, "/.pmc/v1/cert?host=");
	buf_put(&b, ask->host);
	buf_put_str(&b, "&port=");
	buf_put_u64(&b, ask->port);
	buf_put_str(&b, "&sni=");
	buf_put(&b, ask->sni);
	CHECK_THAT(!b.full);
	c->path_n = b.n;
	loop_defer(ground->loop, &c->job, on_begin, c);
	return c;
}

void parent_cert_cancel(struct parent_cert **cp)
{
	struct parent_cert *c = *cp;

	if (!c)
		return;
	CHECK(c, PARENT_CERT_MAGIC);
	*cp = NULL;
	cert_free(c);
}
