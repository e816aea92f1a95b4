#include "node/admin/purge.h"

#include <stdlib.h>
#include <string.h>

#include "node/base/mem.h"
#include "node/cache/disk.h"
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

bool purge_normalize(enum purgerec_kind kind, struct span text, struct buf *b, const char **why)
{
	switch (kind) {
	case PURGEREC_URL:
	case PURGEREC_PREFIX:
		return put_url(text, b, why);
	case PURGEREC_HOST:
		return put_host(text, b, why);
	case PURGEREC_ALL:
		break;
	}
	return true;
}

static bool fits_all(void *cookie, struct span store_id)
{
	(void)cookie;
	(void)store_id;
	return true;
}

static bool fits_prefix(void *cookie, struct span store_id)
{
	return span_starts(store_id, *(const struct span *)cookie);
}

/* "https://host/…" and "https://host:8443/…" are of the host. */
static bool fits_host(void *cookie, struct span store_id)
{
	const struct span *host = cookie;
	struct span rest = span_from(store_id, span_find(store_id, '/') + 2);

	if (!span_starts(rest, *host))
		return false;
	rest = span_from(rest, host->n);
	return rest.n && (rest.p[0] == '/' || rest.p[0] == ':');
}

/* ---- on disk ---- */

struct disk_purging {
	struct loop *loop;
	struct deferred at_end; /* the loop goes first */
	enum purgerec_kind kind;
	struct span value; /* into `text` */
	char text[];
};

static bool fits_on_disk(void *cookie, const struct head *head, const uint8_t *digest)
{
	struct disk_purging *p = cookie;

	(void)digest;
	switch (p->kind) {
	case PURGEREC_PREFIX:
		return fits_prefix(&p->value, head_url(head));
	case PURGEREC_HOST:
		return fits_host(&p->value, head_url(head));
	case PURGEREC_URL: /* goes by its key */
	case PURGEREC_ALL:
		break;
	}
	return true;
}

static void on_purged(void *cookie, unsigned n)
{
	struct disk_purging *p = cookie;

	(void)n;
	loop_defer_cancel(p->loop, &p->at_end);
	free(p);
}

static void purge_disk(const struct purge_ground *g, enum purgerec_kind kind, struct span value)
{
	struct disk_purging *p = mem_zalloc(sizeof(*p) + value.n);

	p->loop = g->loop;
	p->kind = kind;
	if (value.n)
		memcpy(p->text, value.p, value.n);
	p->value = span_of(p->text, value.n);
	disk_purge_if(g->disk, fits_on_disk, g->loop, on_purged, p);
	/* Behind the disk's own: until that has run, the disk may still ask us. */
	loop_at_end(g->loop, &p->at_end, free, p);
}

static unsigned purge_url(const struct purge_ground *g, struct span salt, struct span store_id)
{
	unsigned in_memory, on_disk = 0;
	struct key key;

	key_make(&key, salt, store_id);
	in_memory = index_purge(g->index, &key);
	if (g->disk)
		on_disk = disk_purge(g->disk, &key);
	return in_memory > on_disk ? in_memory : on_disk; /* as a rule the same ones */
}

unsigned purge_stored(const struct purge_ground *g, struct span salt, enum purgerec_kind kind, struct span value)
{
	if (kind == PURGEREC_URL)
		return purge_url(g, salt, value);
	if (g->disk)
		purge_disk(g, kind, value);
	switch (kind) {
	case PURGEREC_PREFIX:
		return index_purge_if(g->index, fits_prefix, &value);
	case PURGEREC_HOST:
		return index_purge_if(g->index, fits_host, &value);
	case PURGEREC_ALL:
		return index_purge_if(g->index, fits_all, NULL);
	case PURGEREC_URL:
		break;
	}
	return 0;
}
