#include "node/admin/purge.h"

#include <stdlib.h>
#include <string.h>

#include "node/base/mem.h"
#include "node/cache/aim.h"
#include "node/cache/disk.h"
#include "node/cache/orders.h"
#include "node/net/loop.h"
#include "node/base/reason.h"
#include "proto/storeid.h"

static bool put_url(struct span text, struct buf *b, const char **why)
{
	enum reason reason;
	struct storeid id;
	struct url url;

	if (url_parse_absolute(text, &url, &reason) < 0) {
		*why = reason_sentence(reason);
		return false;
	}
	storeid_format(b, &url, &id);
	return true;
}

/* By way of a URL that has it: so the host looks as in store-ids. */
static bool put_host(struct span text, struct buf *b, const char **why)
{
	static const struct span scheme = SPAN("https://");
	char *room = mem_alloc(text.n + 16);
	struct buf url = buf_over(room, text.n + 16);
	bool is_good;

	buf_put(&url, scheme);
	buf_put(&url, text);
	buf_putc(&url, '/');
	is_good = span_find(text, '/') == text.n && put_url(buf_span(&url), b, why);
	free(room);
	/* "host/", and no more: a '?' or '#' would have left more than that. */
	if (!is_good || span_find(span_from(buf_span(b), scheme.n), '/') != b->n - scheme.n - 1) {
		*why = "this is no host: say registry.test, registry.test:8443 or [2001:db8::1]";
		return false;
	}
	b->n -= scheme.n + 1;
	memmove(b->p, b->p + scheme.n, b->n);
	return true;
}

static bool put_class(struct span text, struct buf *b, const char **why)
{
	buf_put(b, text);
	*why = "this is no class: say immutable, mutable or negative";
	return purgerec_fits(PURGEREC_CLASS, text);
}

/* "sha256:…", or the 64 digits alone, in capitals too: as other programs print it. */
static bool put_digest(struct span text, struct buf *b, const char **why)
{
	if (!span_starts_icase(text, SPAN("sha256:")))
		buf_put_str(b, "sha256:");
	for (size_t i = 0; i < text.n; i++)
		buf_putc(b, text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] | 0x20) : text.p[i]);
	*why = "this is no digest: say sha256: and 64 hex digits";
	return purgerec_fits(PURGEREC_DIGEST, buf_span(b));
}

bool purge_normalize(enum purgerec_kind kind, struct span text, struct buf *b, const char **why)
{
	switch (purgerec_base(kind)) {
	case PURGEREC_URL:
	case PURGEREC_PREFIX:
		return put_url(text, b, why);
	case PURGEREC_HOST:
		return put_host(text, b, why);
	case PURGEREC_ALL:
		return true;
	case PURGEREC_CLASS:
		return put_class(text, b, why);
	case PURGEREC_DIGEST:
	case PURGEREC_DENY:
	case PURGEREC_ALLOW:
		return put_digest(text, b, why);
	}
	return true;
}

static bool fits(void *cookie, const struct head *head, const uint8_t *digest)
{
	return aim_fits(cookie, head, digest);
}

/* ---- on disk ---- */

struct disk_purging {
	struct loop *loop;
	struct index *index;
	struct deferred at_end; /* the loop goes first */
	struct orders *orders;  /* who has such a body is a suspect; NULL: nobody */
	struct aim aim;         /* its value is in `text` */
	struct span salt;       /* likewise */
	char text[];
};

static bool fits_on_disk(void *cookie, const struct head *head, const uint8_t *digest)
{
	struct disk_purging *p = cookie;
	struct key key;

	if (!aim_fits(&p->aim, head, digest))
		return false;
	if (p->orders && digest) {
		key_make(&key, p->salt, head_url(head));
		orders_suspect(p->orders, &key);
	}
	return true;
}

static void on_purged(void *cookie, unsigned n)
{
	struct disk_purging *p = cookie;

	(void)n;
	/* What was asked for before the disk had let go of it has come back to memory from there. */
	index_purge_if(p->index, fits, NULL, &p->aim);
	loop_defer_cancel(p->loop, &p->at_end);
	free(p);
}

static void purge_disk(const struct purge_ground *g, struct span salt, enum purgerec_kind kind, struct span value)
{
	size_t room = value.n + salt.n;
	struct disk_purging *p = mem_zalloc(sizeof(*p) + room);
	struct buf b = buf_over(p->text, room);

	p->loop = g->loop;
	p->index = g->index;
	p->orders = kind == PURGEREC_DENY ? g->orders : NULL;
	buf_put(&b, value);
	buf_put(&b, salt);
	aim_take(&p->aim, kind, span_of(p->text, value.n));
	p->salt = span_of(p->text + value.n, salt.n);
	disk_purge_if(g->disk, fits_on_disk, g->loop, on_purged, p);
	/* Behind the disk's own: until that has run, the disk may still ask us. */
	loop_at_end(g->loop, &p->at_end, free, p);
}

/* ---- what goes ---- */

static long purge_url(const struct purge_ground *g, struct span salt, struct span store_id)
{
	unsigned in_memory, on_disk = 0;
	struct key key;

	key_make(&key, salt, store_id);
	in_memory = index_purge(g->index, &key);
	if (g->disk)
		on_disk = disk_purge(g->disk, &key);
	return in_memory > on_disk ? in_memory : on_disk; /* as a rule the same ones */
}

static long purge_many(const struct purge_ground *g, struct span salt, enum purgerec_kind kind, struct span value)
{
	struct aim aim;

	aim_take(&aim, kind, value);
	if (g->disk)
		purge_disk(g, salt, kind, value);
	return index_purge_if(g->index, fits, NULL, &aim);
}

struct denying {
	struct aim aim; /* the first: what index_purge_if asks takes it for one */
	struct orders *orders;
};

static void on_denied(void *cookie, const struct entry *e)
{
	struct denying *d = cookie;

	orders_suspect(d->orders, &e->key);
}

/* The order comes first, so that what is fetched meanwhile is not stored. */
static long deny(const struct purge_ground *g, struct span salt, struct span value, const char **why)
{
	struct denying d = {.orders = g->orders};

	aim_take(&d.aim, PURGEREC_DENY, value);
	if (!orders_deny(g->orders, d.aim.digest, g->at)) {
		*why = "the deny-list is full: take something from it by pmcachectl purge --allow";
		return -1;
	}
	if (g->disk)
		purge_disk(g, salt, PURGEREC_DENY, value);
	return index_purge_if(g->index, fits, on_denied, &d);
}

static long allow(const struct purge_ground *g, struct span value, const char **why)
{
	uint8_t digest[PURGEREC_DIGEST_BYTES];
	bool was;

	purgerec_digest(value, digest);
	was = orders_denies(g->orders, digest);
	if (orders_allow(g->orders, digest, g->at))
		return was;
	*why = "the deny-list is full";
	return -1;
}

/* ---- what becomes stale ---- */

static bool is_on_disk(const struct purge_ground *g, struct span salt, struct span store_id)
{
	struct key key;

	key_make(&key, salt, store_id);
	return g->disk && disk_has(g->disk, &key);
}

static long outdate(const struct purge_ground *g, struct span salt, enum purgerec_kind kind, struct span value)
{
	struct aim aim;
	long n;

	aim_take(&aim, kind, value);
	orders_outdate(g->orders, kind, value, g->at);
	n = index_outdate_if(g->index, fits, &aim);
	return n == 0 && kind == PURGEREC_URL && is_on_disk(g, salt, value) ? 1 : n;
}

long purge_stored(const struct purge_ground *g, struct span salt, enum purgerec_kind kind, struct span value,
		  const char **why)
{
	if (purgerec_is_soft(kind))
		return outdate(g, salt, purgerec_base(kind), value);
	switch (kind) {
	case PURGEREC_URL:
		return purge_url(g, salt, value);
	case PURGEREC_DENY:
		return deny(g, salt, value, why);
	case PURGEREC_ALLOW:
		return allow(g, value, why);
	case PURGEREC_PREFIX:
	case PURGEREC_HOST:
	case PURGEREC_ALL:
	case PURGEREC_CLASS:
	case PURGEREC_DIGEST:
		break;
	}
	return purge_many(g, salt, kind, value);
}
