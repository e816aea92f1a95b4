#include "node/serve/certword.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/policy/access.h"
#include "node/tls/names.h"
#include "proto/certmsg.h"
#include "proto/url.h"

#define GOOD_MS DUR_HOUR
#define OTHERWISE_MS (30 * DUR_SECOND)
#define WORDS_MOST 512
#define WAITING_MOST 64

/* What is known of one origin; or being asked for. */
struct certword {
	LIST_ENTRY(certword) entry;
	char host[URL_MAX_HOST + 1], sni[URL_MAX_HOST + 1];
	uint16_t port;
	struct origin_cert *cert; /* shared; NULL: why, or just not known */
	enum reason why;
	mono_us until;
};

struct waiting {
	LIST_ENTRY(waiting) entry;
	struct certwords *all;
	struct contact_wait contact;
	certword_on_done_f *on_done;
	void *cookie;
	struct certword word;
};

struct certwords {
	unsigned magic;
	struct loop *loop;
	struct contacts *contacts;
	LIST_HEAD(, certword) words; /* the newest first */
	unsigned n_words, n_waiting;
	LIST_HEAD(, waiting) waiting;
};

#define CERTWORDS_MAGIC 0xce47308d

/* ---- telling ---- */

static bool is_of_certificate(enum reason why)
{
	return why >= REASON_CERT_EXPIRED && why <= REASON_CERT_BAD;
}

static void describe(const struct origin_cert *cert, struct certmsg *m)
{
	m->verdict = CERTMSG_VALID;
	for (size_t i = 0; i < cert->n_sans && m->n_sans < CERTMSG_SANS; i++)
		m->sans[m->n_sans++] = span_str(cert->sans[i]);
	m->not_before = (uint64_t)cert->not_before / DUR_SECOND;
	m->not_after = (uint64_t)cert->not_after / DUR_SECOND;
	memcpy(m->spki_sha256, cert->spki_sha256, sizeof(m->spki_sha256));
	m->subject = span_of((const char *)cert->subject, cert->subject_bytes);
}

/* What was tried and what may not be are told in the same words, the time included. */
static void tell(const struct certword *w, mono_us now, certword_on_done_f *on_done, void *cookie)
{
	struct certmsg *m = mem_zalloc(sizeof(*m));
	char room[CERTMSG_MAX_BYTES];
	struct buf b = buf_over(room, sizeof(room));

	m->verdict = is_of_certificate(w->why) ? CERTMSG_INVALID : CERTMSG_UNKNOWN;
	if (w->cert)
		describe(w->cert, m);
	else if (m->verdict == CERTMSG_INVALID)
		m->reason = span_str(reason_word(w->why));
	m->ttl_s = (uint32_t)(w->cert ? (w->until - now) / 1000000 : OTHERWISE_MS / DUR_SECOND);
	certmsg_format(&b, m);
	CHECK_THAT(!b.full);
	free(m);
	on_done(cookie, buf_span(&b));
}

/* ---- remembering ---- */

static void forget(struct certwords *all, struct certword *w)
{
	LIST_REMOVE(w, entry);
	all->n_words--;
	names_origin_unref(&w->cert);
	free(w);
}

static struct certword *find(struct certwords *all, const struct certword_ask *ask, mono_us now)
{
	struct certword *w, *next;

	for (w = LIST_FIRST(&all->words); w; w = next) {
		next = LIST_NEXT(w, entry);
		if (w->port != ask->port || !span_eq_icase(span_str(w->host), ask->host) ||
		    !span_eq_icase(span_str(w->sni), ask->sni))
			continue;
		if (w->until > now)
			return w;
		forget(all, w);
	}
	return NULL;
}

static mono_us good_until(const struct origin_cert *cert, mono_us now, wall_ms wall)
{
	dur_ms left = cert->not_after - wall;

	return mono_after(now, left < 0 ? 0 : left < GOOD_MS ? left : GOOD_MS);
}

static struct certword *oldest(struct certwords *all)
{
	struct certword *w = LIST_FIRST(&all->words);

	while (LIST_NEXT(w, entry))
		w = LIST_NEXT(w, entry);
	return w;
}

/* The words of a wait, kept. */
static void keep(struct certwords *all, const struct certword *from)
{
	struct certword *w = NEW(struct certword);

	*w = *from;
	if (w->cert)
		names_origin_ref(w->cert);
	LIST_INSERT_HEAD(&all->words, w, entry);
	if (++all->n_words > WORDS_MOST)
		forget(all, oldest(all));
}

/* ---- asking ---- */

static void finish(struct waiting *w, bool keeps)
{
	struct certwords *all = w->all;
	mono_us now = loop_now(all->loop);
	struct certword_ask same = {.host = span_str(w->word.host), .sni = span_str(w->word.sni), .port = w->word.port};

	LIST_REMOVE(w, entry);
	all->n_waiting--;
	if (keeps && !find(all, &same, now)) /* the first of several who have waited has done it */
		keep(all, &w->word);
	tell(&w->word, now, w->on_done, w->cookie);
	names_origin_unref(&w->word.cert);
	free(w);
}

static void on_contact(void *cookie, struct origin_cert *cert, enum reason why)
{
	struct waiting *w = cookie;
	mono_us now = loop_now(w->all->loop);

	w->word.why = why;
	w->word.until = mono_after(now, OTHERWISE_MS);
	if (cert && cert->not_after > 0) {
		w->word.cert = names_origin_ref(cert);
		w->word.until = good_until(cert, now, loop_wall(w->all->loop));
	}
	finish(w, true);
}

static bool may_ask(const struct policy *p, const struct certword_ask *ask)
{
	return !ask->offline && access_port_allowed(&p->access, ask->port, true) &&
	       access_host_allowed(&p->access, ask->host) && access_host_allowed(&p->access, ask->sni);
}

static void copy(char room[URL_MAX_HOST + 1], struct span s)
{
	struct buf b = buf_over(room, URL_MAX_HOST);

	buf_put(&b, s);
}

static void contact(struct certwords *all, struct policy *policy, const struct certword_ask *ask,
		    certword_on_done_f *on_done, void *cookie)
{
	struct waiting *w = NEW(struct waiting);

	w->all = all;
	w->on_done = on_done;
	w->cookie = cookie;
	w->word.port = ask->port;
	copy(w->word.host, ask->host);
	copy(w->word.sni, ask->sni);
	LIST_INSERT_HEAD(&all->waiting, w, entry);
	all->n_waiting++;
	contact_start(all->contacts, CONTACT_DIRECT,
		      &(struct dial_target){.host = ask->host, .port = ask->port, .https = true, .tls_host = ask->sni},
		      policy, &w->contact, on_contact, w);
}

void certword_ask(struct certwords *all, struct policy *policy, const struct certword_ask *asked,
		  certword_on_done_f *on_done, void *cookie)
{
	struct certword_ask ask = *asked;
	struct certword nothing = {0}, *known;
	mono_us now = loop_now(all->loop);

	CHECK(all, CERTWORDS_MAGIC);
	if (!ask.sni.n)
		ask.sni = ask.host;
	if (ask.host.n > URL_MAX_HOST || ask.sni.n > URL_MAX_HOST || !may_ask(policy, &ask)) {
		tell(&nothing, now, on_done, cookie);
		return;
	}
	known = find(all, &ask, now);
	if (known || all->n_waiting >= WAITING_MOST)
		tell(known ? known : &nothing, now, on_done, cookie);
	else
		contact(all, policy, &ask, on_done, cookie);
}

/* ---- life ---- */

struct certwords *certwords_new(struct loop *loop, struct contacts *contacts)
{
	struct certwords *all = NEW(struct certwords);

	all->magic = CERTWORDS_MAGIC;
	all->loop = loop;
	all->contacts = contacts;
	LIST_INIT(&all->words);
	LIST_INIT(&all->waiting);
	return all;
}

void certwords_free(struct certwords *all)
{
	struct waiting *w, *w_next;
	struct certword *word, *next;

	if (!all)
		return;
	CHECK(all, CERTWORDS_MAGIC);
	for (w = LIST_FIRST(&all->waiting); w; w = w_next) {
		w_next = LIST_NEXT(w, entry);
		contact_cancel(&w->contact);
		finish(w, false);
	}
	for (word = LIST_FIRST(&all->words); word; word = next) {
		next = LIST_NEXT(word, entry);
		forget(all, word);
	}
	all->magic = 0;
	free(all);
}
