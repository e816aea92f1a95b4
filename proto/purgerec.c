#include "proto/purgerec.h"

#include "node/base/check.h"

/* One encoding of each record, so that what was signed can be made anew from what was read:
 * 96 01, cf serial, cf at, kind, da and the length of the value, value, c4 40, signature. */
enum {
	HEAD_ARRAY6 = 0x96,
	VERSION = 1,
	HEAD_U64 = 0xcf,
	HEAD_STR16 = 0xda,
	HEAD_BIN8 = 0xc4,
	AT_SERIAL = 2,
	AT_TIME = 11,
	AT_KIND = 20,
	AT_LENGTH = 21,
	AT_VALUE = 24,
	SIGNATURE_ELEMENT_BYTES = 2 + PURGEREC_SIGNATURE_BYTES,
};

static bool is_plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return false;
	return true;
}

/* http or https, a host, a slash. */
static bool is_url(struct span s)
{
	if (span_starts(s, SPAN("https://")))
		s = span_from(s, 8);
	else if (span_starts(s, SPAN("http://")))
		s = span_from(s, 7);
	else
		return false;
	return span_find(s, '/') > 0 && span_find(s, '/') < s.n;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool purgerec_digest(struct span value, uint8_t out[PURGEREC_DIGEST_BYTES])
{
	struct span hex = span_from(value, sizeof("sha256:") - 1);

	if (value.n != PURGEREC_DIGEST_TEXT || !span_starts(value, SPAN("sha256:")))
		return false;
	for (size_t i = 0; i < PURGEREC_DIGEST_BYTES; i++) {
		int high = hex_digit(hex.p[2 * i]), low = hex_digit(hex.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool is_class(struct span s)
{
	return span_eq(s, SPAN("immutable")) || span_eq(s, SPAN("mutable")) || span_eq(s, SPAN("negative"));
}

bool purgerec_fits(enum purgerec_kind kind, struct span value)
{
	uint8_t digest[PURGEREC_DIGEST_BYTES];

	if (value.n > PURGEREC_VALUE_BYTES || !is_plain(value))
		return false;
	if (purgerec_is_soft(kind) && purgerec_base(kind) > PURGEREC_DIGEST)
		return false;
	switch (purgerec_base(kind)) {
	case PURGEREC_URL:
	case PURGEREC_PREFIX:
		return is_url(value);
	case PURGEREC_HOST:
		return value.n > 0 && span_find(value, '/') == value.n;
	case PURGEREC_ALL:
		return value.n == 0;
	case PURGEREC_CLASS:
		return is_class(value);
	case PURGEREC_DIGEST:
	case PURGEREC_DENY:
	case PURGEREC_ALLOW:
		return purgerec_digest(value, digest);
	}
	return false;
}

const char *purgerec_word(enum purgerec_kind kind)
{
	static const char *const words[][2] = {
		[PURGEREC_URL] = {"purge of a URL", "soft purge of a URL"},
		[PURGEREC_PREFIX] = {"purge by prefix", "soft purge by prefix"},
		[PURGEREC_HOST] = {"purge of a host", "soft purge of a host"},
		[PURGEREC_ALL] = {"purge of everything", "soft purge of everything"},
		[PURGEREC_CLASS] = {"purge of a class", "soft purge of a class"},
		[PURGEREC_DIGEST] = {"purge of a digest", "soft purge of a digest"},
		[PURGEREC_DENY] = {"denial of a digest", "denial of a digest"},
		[PURGEREC_ALLOW] = {"permission for a digest", "permission for a digest"},
	};

	return words[purgerec_base(kind)][purgerec_is_soft(kind)];
}

static void put_big_endian(struct buf *b, uint64_t v, unsigned bytes)
{
	while (bytes--)
		buf_putc(b, (char)(v >> (8 * bytes) & 0xff));
}

static void put_u64(struct buf *b, uint64_t v)
{
	buf_putc(b, (char)HEAD_U64);
	put_big_endian(b, v, 8);
}

/* All but the signature. */
static void put_covered(struct buf *b, const struct purgerec *r)
{
	CHECK_THAT(r->serial > 0 && r->at >= 0 && purgerec_fits(r->kind, r->value));
	buf_putc(b, (char)HEAD_ARRAY6);
	buf_putc(b, VERSION);
	put_u64(b, r->serial);
	put_u64(b, (uint64_t)r->at);
	buf_putc(b, (char)r->kind);
	buf_putc(b, (char)HEAD_STR16);
	put_big_endian(b, r->value.n, 2);
	buf_put(b, r->value);
}

void purgerec_put_signed(struct buf *b, struct span cluster, const struct purgerec *r)
{
	buf_put(b, SPAN("pmcache purge 1\n"));
	buf_put(b, cluster);
	buf_putc(b, '\n');
	put_covered(b, r);
}

void purgerec_format(struct buf *b, const struct purgerec *r)
{
	put_covered(b, r);
	buf_putc(b, (char)HEAD_BIN8);
	buf_putc(b, PURGEREC_SIGNATURE_BYTES);
	buf_put(b, span_of((const char *)r->signature, PURGEREC_SIGNATURE_BYTES));
}

static uint64_t big_endian(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

bool purgerec_parse(struct span bytes, struct purgerec *out)
{
	const uint8_t *p = (const uint8_t *)bytes.p, *signature;
	uint64_t at;

	*out = (struct purgerec){0};
	if (bytes.n < AT_VALUE + SIGNATURE_ELEMENT_BYTES || p[0] != HEAD_ARRAY6 || p[1] != VERSION ||
	    p[AT_SERIAL] != HEAD_U64 || p[AT_TIME] != HEAD_U64 || p[AT_LENGTH] != HEAD_STR16)
		return false;
	out->value = span_of(bytes.p + AT_VALUE, (size_t)big_endian(p + AT_LENGTH + 1, 2));
	if (bytes.n != AT_VALUE + out->value.n + SIGNATURE_ELEMENT_BYTES)
		return false;
	signature = p + AT_VALUE + out->value.n;
	if (signature[0] != HEAD_BIN8 || signature[1] != PURGEREC_SIGNATURE_BYTES)
		return false;
	out->serial = big_endian(p + AT_SERIAL + 1, 8);
	at = big_endian(p + AT_TIME + 1, 8);
	out->at = (int64_t)at;
	out->kind = (enum purgerec_kind)p[AT_KIND];
	memcpy(out->signature, signature + 2, PURGEREC_SIGNATURE_BYTES);
	return out->serial > 0 && at <= INT64_MAX && purgerec_fits(out->kind, out->value);
}
