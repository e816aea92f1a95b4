#include "proto/hdr.h"

#include "node/base/check.h"
#include "proto/chars.h"

static const struct span names[HDR_COUNT] = {
#define X(id, name) [HDR_##id] = {name, sizeof(name) - 1},
	HDR_TABLE(X)
#undef X
};

#define LONGEST_NAME 25 /* Proxy-Authentication-Info */

/* A perfect hash of the names: each has a slot to itself, so that an id costs one look and one comparison.
 *
 * A new name needs a line here; its slot is what slot_of() gives. The compiler warns when it is taken already: then look
 * for other factors (a few hundred random tries below 32 find some). The unit test looks every name up. */
static const uint8_t slots[256] = {
	[5] = HDR_CONTENT_RANGE,
	[7] = HDR_CONTENT_LENGTH,
	[9] = HDR_UPGRADE,
	[14] = HDR_COOKIE,
	[16] = HDR_VIA,
	[17] = HDR_USER_AGENT,
	[22] = HDR_PROXY_CONNECTION,
	[25] = HDR_IF_UNMODIFIED_SINCE,
	[35] = HDR_CONTENT_MD5,
	[50] = HDR_HOST,
	[52] = HDR_WWW_AUTHENTICATE,
	[60] = HDR_ETAG,
	[67] = HDR_ACCEPT_RANGES,
	[72] = HDR_AUTHORIZATION,
	[74] = HDR_CACHE_STATUS,
	[75] = HDR_REPR_DIGEST,
	[77] = HDR_IF_MODIFIED_SINCE,
	[78] = HDR_LOCATION,
	[79] = HDR_FORWARDED,
	[85] = HDR_EXPIRES,
	[94] = HDR_IF_RANGE,
	[97] = HDR_PROXY_AUTHENTICATE,
	[99] = HDR_PACOTE_INTEGRITY,
	[106] = HDR_TRANSFER_ENCODING,
	[115] = HDR_IF_MATCH,
	[118] = HDR_KEEP_ALIVE,
	[131] = HDR_RETRY_AFTER,
	[133] = HDR_VARY,
	[139] = HDR_PROXY_STATUS,
	[148] = HDR_RANGE,
	[151] = HDR_AGE,
	[153] = HDR_TRAILER,
	[162] = HDR_X_CACHE,
	[167] = HDR_PROXY_AUTHORIZATION,
	[168] = HDR_X_CACHE_LOOKUP,
	[169] = HDR_CONTENT_LOCATION,
	[171] = HDR_X_FORWARDED_FOR,
	[185] = HDR_CONNECTION,
	[189] = HDR_LAST_MODIFIED,
	[192] = HDR_CACHE_CONTROL,
	[195] = HDR_TE,
	[196] = HDR_ALTERNATES,
	[201] = HDR_WARNING,
	[203] = HDR_DATE,
	[205] = HDR_ACCEPT_ENCODING,
	[210] = HDR_SET_COOKIE,
	[219] = HDR_PRAGMA,
	[222] = HDR_CONTENT_ENCODING,
	[224] = HDR_PROXY_AUTHENTICATION_INFO,
	[233] = HDR_ACCEPT,
	[238] = HDR_IF_NONE_MATCH,
	[248] = HDR_DIGEST,
	[253] = HDR_EXPECT,
	[254] = HDR_CONTENT_TYPE,
};

static inline unsigned lower_at(struct span s, size_t i)
{
	return chars_lower[(uint8_t)s.p[i]];
}

static inline unsigned slot_of(struct span name)
{
	unsigned n = (unsigned)name.n;

	return (7 * n + 5 * lower_at(name, 0) + 7 * lower_at(name, n - 1) + 22 * lower_at(name, n / 2)) & 255;
}

enum hdr_id hdr_id(struct span name)
{
	enum hdr_id id;

	if (name.n < 1 || name.n > LONGEST_NAME)
		return HDR_OTHER;
	id = (enum hdr_id)slots[slot_of(name)];
	if (names[id].n != name.n)
		return HDR_OTHER;
	for (size_t i = 0; i < name.n; i++)
		if (lower_at(name, i) != lower_at(names[id], i))
			return HDR_OTHER;
	return id;
}

struct span hdr_name(enum hdr_id id)
{
	CHECK_THAT(id > HDR_OTHER && id < HDR_COUNT);
	return names[id];
}

const struct hdr *hdr_get(const struct hdrs *h, enum hdr_id id)
{
	if (!hdr_has(h, id))
		return NULL;
	for (unsigned i = 0; i < h->n; i++)
		if (h->v[i].id == id)
			return &h->v[i];
	return NULL;
}

struct span hdr_value(const struct hdrs *h, enum hdr_id id)
{
	const struct hdr *f = hdr_get(h, id);

	return f ? f->value : SPAN_NONE;
}

unsigned hdr_count(const struct hdrs *h, enum hdr_id id)
{
	unsigned count = 0;

	if (!hdr_has(h, id))
		return 0;
	for (unsigned i = 0; i < h->n; i++)
		count += h->v[i].id == id;
	return count;
}

const struct hdr *hdr_find(const struct hdrs *h, struct span name)
{
	enum hdr_id id = hdr_id(name);

	if (id != HDR_OTHER)
		return hdr_get(h, id);
	if (!hdr_has(h, HDR_OTHER))
		return NULL;
	for (unsigned i = 0; i < h->n; i++)
		if (h->v[i].id == HDR_OTHER && span_eq_icase(h->v[i].name, name))
			return &h->v[i];
	return NULL;
}

int hdr_add(struct hdrs *h, struct span name, struct span value)
{
	struct hdr *f = &h->v[h->n];

	if (h->n >= HDR_MAX_FIELDS)
		return -1;
	*f = (struct hdr){name, value, hdr_id(name)};
	h->seen |= 1ull << f->id;
	h->n++;
	return 0;
}

/* Where the member that s begins with ends: at a comma outside of quoted strings, or with s. */
static size_t member_end(struct span s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '\\' && quoted)
			i++;
		else if (s.p[i] == ',' && !quoted)
			return i;
	}
	return s.n;
}

static bool next_field(const struct hdrs *h, enum hdr_id id, struct hdr_list *it)
{
	for (; it->at < h->n; it->at++) {
		if (h->v[it->at].id == id) {
			it->rest = h->v[it->at++].value;
			return true;
		}
	}
	return false;
}

bool hdr_next(const struct hdrs *h, enum hdr_id id, struct hdr_list *it)
{
	if (!hdr_has(h, id))
		return false;
	do {
		while (it->rest.n) {
			size_t end = member_end(it->rest);

			it->member = span_trim(span_upto(it->rest, end));
			it->rest = span_from(it->rest, end + 1);
			if (it->member.n)
				return true;
		}
	} while (next_field(h, id, it));
	return false;
}

#define BIT(name) (1ull << HDR_##name)
#define ALWAYS_HOP_BY_HOP                                                                                              \
	(BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) | BIT(TE) | BIT(TRAILER) | BIT(TRANSFER_ENCODING) | \
	 BIT(UPGRADE) | BIT(PROXY_AUTHENTICATE) | BIT(PROXY_AUTHORIZATION) | BIT(PROXY_AUTHENTICATION_INFO))
#define NEVER_HOP_BY_HOP (BIT(HOST) | BIT(CONTENT_LENGTH) | BIT(CACHE_CONTROL) | BIT(AUTHORIZATION))

uint64_t hdr_hop_by_hop_ids(const struct hdrs *h)
{
	uint64_t ids = ALWAYS_HOP_BY_HOP;
	struct hdr_list it = {0};

	while (hdr_next(h, HDR_CONNECTION, &it))
		ids |= 1ull << hdr_id(it.member);
	return ids & ~NEVER_HOP_BY_HOP;
}

static bool connection_names(const struct hdrs *h, struct span name)
{
	struct hdr_list it = {0};

	while (hdr_next(h, HDR_CONNECTION, &it))
		if (span_eq_icase(it.member, name))
			return true;
	return false;
}

bool hdr_is_hop_by_hop(const struct hdrs *h, const struct hdr *f)
{
	if (f->id != HDR_OTHER)
		return hdr_hop_by_hop_ids(h) >> f->id & 1;
	return connection_names(h, f->name);
}
