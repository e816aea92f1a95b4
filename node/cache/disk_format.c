#include "node/cache/disk_format.h"

#include "node/base/check.h"
#include "node/base/checksum.h"
#include "node/base/mem.h"

#define ALIGN 64

static const char head_magic[6] = {'p', 'm', 'c', 'o', 'b', 'j'};
static const char end_magic[8] = {'p', 'm', 'c', 'e', 'n', 'd', '\r', '\n'};

enum { HAS_LENGTH = 1, IS_HTML = 2, GUARDED = 4, NO_CACHE = 8, MUST_REVALIDATE = 16, IS_MUTABLE = 32, FLAGS = 63 };

/* The fixed part. Naturally aligned, so that the compiler puts in no holes. */
struct fixed {
	char magic[6];
	uint16_t version;
	uint32_t head_bytes, flags;
	uint64_t serial;
	uint8_t key[KEY_BYTES];
	uint8_t variant[KEY_VARIANT_BYTES];
	uint32_t fields_n;
	uint16_t phrase_n, vary_n, url_n, status;
	uint32_t source;
	uint32_t etag_at, etag_n, type_at, type_n;
	uint64_t length;
	int64_t received_wall, date, last_modified;
	int64_t lifetime_s, age_s, counted_s, while_revalidate_s, if_error_s;
	uint8_t zeros[72];
	uint64_t sum;
};

struct last {
	uint64_t serial, length;
	uint8_t digest[HEAD_DIGEST_BYTES];
	uint64_t sum;
	char magic[8];
};

_Static_assert(sizeof(struct fixed) == DISK_FIXED_BYTES, "no holes");
_Static_assert(sizeof(struct last) == DISK_LAST_BYTES, "no holes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are written as memory has them");

static uint64_t text_bytes(const struct head *h)
{
	return (uint64_t)h->n + h->phrase_n + h->vary_n + h->url_n;
}

static uint64_t aligned(uint64_t n)
{
	return (n + ALIGN - 1) / ALIGN * ALIGN;
}

uint32_t disk_format_head_bytes(const struct head *h)
{
	uint64_t n = aligned(DISK_FIXED_BYTES + text_bytes(h));

	return n <= DISK_HEAD_MOST ? (uint32_t)n : 0;
}

static uint32_t flags_of(const struct head *h, const struct disk_label *l)
{
	return (h->has_length ? HAS_LENGTH : 0u) | (h->is_html ? IS_HTML : 0u) | (l->guarded ? GUARDED : 0u) |
	       (h->terms.no_cache ? NO_CACHE : 0u) | (h->terms.must_revalidate ? MUST_REVALIDATE : 0u) |
	       (h->terms.is_mutable ? IS_MUTABLE : 0u);
}

/* Over all of the part but the sum, which is the last of the fixed fields. */
static uint64_t head_sum(const char *part, uint32_t n, uint64_t serial)
{
	uint64_t first = checksum_seeded(span_of(part, offsetof(struct fixed, sum)), serial);

	return checksum_seeded(span_of(part + DISK_FIXED_BYTES, n - DISK_FIXED_BYTES), first);
}

void disk_format_put_head(const struct head *h, const struct disk_label *l, char *to, uint32_t n)
{
	const struct fresh_terms *t = &h->terms;
	struct fixed f = {
		.version = DISK_FORMAT_VERSION,
		.head_bytes = n,
		.flags = flags_of(h, l),
		.serial = l->serial,
		.fields_n = h->n,
		.phrase_n = h->phrase_n,
		.vary_n = h->vary_n,
		.url_n = h->url_n,
		.status = h->status,
		.source = t->source,
		.etag_at = h->etag.at,
		.etag_n = h->etag.n,
		.type_at = h->type.at,
		.type_n = h->type.n,
		.length = h->length,
		.received_wall = l->received_wall,
		.date = h->date,
		.last_modified = h->last_modified,
		.lifetime_s = t->lifetime_s,
		.age_s = t->age_s,
		.counted_s = t->counted_s,
		.while_revalidate_s = t->stale_while_revalidate_s,
		.if_error_s = t->stale_if_error_s,
	};

	CHECK_THAT(n == disk_format_head_bytes(h));
	memcpy(f.magic, head_magic, sizeof(f.magic));
	memcpy(f.key, l->key.b, sizeof(f.key));
	memcpy(f.variant, l->variant.b, sizeof(f.variant));
	memset(to, 0, n);
	memcpy(to + DISK_FIXED_BYTES, h->text, text_bytes(h));
	memcpy(to, &f, sizeof(f));
	f.sum = head_sum(to, n, l->serial);
	memcpy(to, &f, sizeof(f));
}

uint32_t disk_format_look(struct span first)
{
	struct fixed f;

	if (first.n < sizeof(f))
		return 0;
	memcpy(&f, first.p, sizeof(f));
	if (memcmp(f.magic, head_magic, sizeof(f.magic)) != 0 || f.version != DISK_FORMAT_VERSION)
		return 0;
	if (f.head_bytes < DISK_FIXED_BYTES || f.head_bytes > DISK_HEAD_MOST || f.head_bytes % ALIGN)
		return 0;
	return f.head_bytes;
}

static bool is_within(uint32_t at, uint32_t n, uint32_t whole)
{
	return at <= whole && n <= whole - at;
}

/* What our own sums vouch for is what we have written; still no length is believed. */
static bool is_sound(const struct fixed *f)
{
	uint64_t text = (uint64_t)f->fields_n + f->phrase_n + f->vary_n + f->url_n;

	return aligned(DISK_FIXED_BYTES + text) == f->head_bytes && f->flags <= FLAGS && f->source < FRESH_WHY_COUNT &&
	       is_within(f->etag_at, f->etag_n, f->fields_n) && is_within(f->type_at, f->type_n, f->fields_n);
}

static void get_facts(const struct fixed *f, struct head *h)
{
	h->status = f->status;
	h->has_length = (f->flags & HAS_LENGTH) != 0;
	h->is_html = (f->flags & IS_HTML) != 0;
	h->length = f->length;
	h->date = f->date;
	h->last_modified = f->last_modified;
	h->terms = (struct fresh_terms){
		.lifetime_s = f->lifetime_s,
		.age_s = fresh_seconds(f->age_s),
		.counted_s = fresh_seconds(f->counted_s),
		.stale_while_revalidate_s = fresh_seconds(f->while_revalidate_s),
		.stale_if_error_s = fresh_seconds(f->if_error_s),
		.no_cache = (f->flags & NO_CACHE) != 0,
		.must_revalidate = (f->flags & MUST_REVALIDATE) != 0,
		.is_mutable = (f->flags & IS_MUTABLE) != 0,
		.source = (uint8_t)f->source,
	};
	h->etag = (struct head_part){f->etag_at, f->etag_n};
	h->type = (struct head_part){f->type_at, f->type_n};
	h->n = f->fields_n;
	h->phrase_n = f->phrase_n;
	h->vary_n = f->vary_n;
	h->url_n = f->url_n;
}

bool disk_format_get_head(struct span part, struct disk_label *l, struct head **head)
{
	struct fixed f;
	struct head *h;
	size_t text;

	if (!part.n || disk_format_look(part) != part.n)
		return false;
	memcpy(&f, part.p, sizeof(f));
	if (head_sum(part.p, f.head_bytes, f.serial) != f.sum || !is_sound(&f))
		return false;
	text = (size_t)f.fields_n + f.phrase_n + f.vary_n + f.url_n;
	h = mem_alloc(sizeof(*h) + text + HEAD_DIGEST_BYTES);
	*h = (struct head){.refs = 1, .has_room = true};
	get_facts(&f, h);
	memcpy(h->text, part.p + DISK_FIXED_BYTES, text);
	*l = (struct disk_label){
		.serial = f.serial,
		.received_wall = f.received_wall,
		.guarded = (f.flags & GUARDED) != 0,
	};
	memcpy(l->key.b, f.key, sizeof(f.key));
	memcpy(l->variant.b, f.variant, sizeof(f.variant));
	*head = h;
	return true;
}

/* ---- the end ---- */

uint64_t disk_format_end_bytes(uint64_t length)
{
	return disk_format_chunks(length) * sizeof(uint64_t) + DISK_LAST_BYTES;
}

uint64_t disk_format_file_bytes(uint32_t head_bytes, uint64_t length)
{
	return head_bytes + length + disk_format_end_bytes(length);
}

uint64_t disk_format_sum(struct span chunk, uint64_t serial)
{
	return checksum_seeded(chunk, serial);
}

static uint64_t end_sum(const char *part, size_t n, uint64_t serial)
{
	uint64_t first = checksum_seeded(span_of(part, n - DISK_LAST_BYTES), serial);

	return checksum_seeded(span_of(part + n - DISK_LAST_BYTES, offsetof(struct last, sum)), first);
}

void disk_format_put_end(const struct disk_end *e, uint64_t serial, const uint64_t *sums, char *to)
{
	size_t n = disk_format_end_bytes(e->length);
	struct last last = {.serial = serial, .length = e->length};

	memcpy(last.digest, e->digest, sizeof(last.digest));
	memcpy(last.magic, end_magic, sizeof(last.magic));
	if (n > DISK_LAST_BYTES)
		memcpy(to, sums, n - DISK_LAST_BYTES);
	memcpy(to + n - DISK_LAST_BYTES, &last, sizeof(last));
	last.sum = end_sum(to, n, serial);
	memcpy(to + n - DISK_LAST_BYTES, &last, sizeof(last));
}

bool disk_format_length(uint64_t file_bytes, uint32_t head_bytes, uint64_t *length)
{
	const uint64_t step = DISK_CHUNK_BYTES + sizeof(uint64_t);
	uint64_t rest, chunks;

	if (file_bytes < (uint64_t)head_bytes + DISK_LAST_BYTES || file_bytes > INT64_MAX)
		return false;
	rest = file_bytes - head_bytes - DISK_LAST_BYTES;
	chunks = (rest + step - 1) / step;
	*length = rest - chunks * sizeof(uint64_t);
	return rest >= chunks * sizeof(uint64_t) && disk_format_file_bytes(head_bytes, *length) == file_bytes;
}

bool disk_format_get_end(struct span part, uint64_t serial, struct disk_end *e, uint64_t *sums)
{
	struct last l;

	if (part.n < sizeof(l))
		return false;
	memcpy(&l, part.p + part.n - sizeof(l), sizeof(l));
	if (memcmp(l.magic, end_magic, sizeof(l.magic)) != 0 || l.serial != serial ||
	    disk_format_end_bytes(l.length) != part.n || l.sum != end_sum(part.p, part.n, serial))
		return false;
	e->length = l.length;
	memcpy(e->digest, l.digest, sizeof(e->digest));
	if (part.n > sizeof(l))
		memcpy(sums, part.p, part.n - sizeof(l));
	return true;
}
