#include "proto/certmsg.h"

#include <msgpack.h>

#include "node/base/check.h"
#include "proto/peermsg.h"

#define FIRST_CRITICAL_KEY 64
#define ZONE_CHUNK_BYTES 4096

enum {
	KEY_VERDICT = 1,
	KEY_SANS = 2,
	KEY_NOT_AFTER = 3,
	KEY_SPKI = 4,
	KEY_ALPN = 5,
	KEY_TTL = 6,
	KEY_NOT_BEFORE = 7,
	KEY_SUBJECT = 8,
	KEY_REASON = 9,
};

/* ---- reading ---- */

static bool take_uint(const msgpack_object *o, uint64_t most, uint64_t *out)
{
	if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > most)
		return false;
	*out = o->via.u64;
	return true;
}

/* Printable, without a space. */
static bool take_text(const msgpack_object *o, size_t least, size_t most, struct span *out)
{
	if (o->type != MSGPACK_OBJECT_STR || o->via.str.size < least || o->via.str.size > most)
		return false;
	*out = span_of(o->via.str.size ? o->via.str.ptr : "", o->via.str.size);
	for (size_t i = 0; i < out->n; i++)
		if (out->p[i] <= 0x20 || out->p[i] >= 0x7f)
			return false;
	return true;
}

static bool take_sans(const msgpack_object *o, struct certmsg *out)
{
	if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > CERTMSG_SANS)
		return false;
	for (uint32_t i = 0; i < o->via.array.size; i++)
		if (!take_text(&o->via.array.ptr[i], 1, CERTMSG_NAME_BYTES, &out->sans[out->n_sans++]))
			return false;
	return true;
}

static bool take_spki(const msgpack_object *o, struct certmsg *out)
{
	if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != sizeof(out->spki_sha256))
		return false;
	memcpy(out->spki_sha256, o->via.bin.ptr, sizeof(out->spki_sha256));
	return true;
}

static bool take_subject(const msgpack_object *o, struct certmsg *out)
{
	if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size > CERTMSG_SUBJECT_BYTES)
		return false;
	out->subject = span_of(o->via.bin.size ? o->via.bin.ptr : "", o->via.bin.size);
	return true;
}

static bool take_verdict(const msgpack_object *o, struct certmsg *out)
{
	uint64_t v;

	if (!take_uint(o, UINT8_MAX, &v))
		return false;
	out->verdict = v > CERTMSG_UNKNOWN ? CERTMSG_UNKNOWN : (uint8_t)v;
	return true;
}

static bool take_value(uint64_t key, const msgpack_object *o, struct certmsg *out)
{
	uint64_t v;

	switch (key) {
	case KEY_VERDICT:
		return take_verdict(o, out);
	case KEY_SANS:
		return take_sans(o, out);
	case KEY_NOT_AFTER:
		return take_uint(o, INT64_MAX, &out->not_after);
	case KEY_SPKI:
		return take_spki(o, out);
	case KEY_ALPN:
		return take_text(o, 0, CERTMSG_WORD_BYTES, &out->alpn);
	case KEY_TTL:
		return take_uint(o, UINT32_MAX, &v) && (out->ttl_s = (uint32_t)v, true);
	case KEY_NOT_BEFORE:
		return take_uint(o, INT64_MAX, &out->not_before);
	case KEY_SUBJECT:
		return take_subject(o, out);
	case KEY_REASON:
		return take_text(o, 0, CERTMSG_WORD_BYTES, &out->reason);
	default:
		return key < FIRST_CRITICAL_KEY; /* of a later version */
	}
}

static bool take_map(const msgpack_object *o, struct certmsg *out)
{
	uint64_t seen = 0;

	if (o->type != MSGPACK_OBJECT_MAP)
		return false;
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		const msgpack_object_kv *pair = &o->via.map.ptr[i];
		uint64_t key;

		if (!take_uint(&pair->key, FIRST_CRITICAL_KEY - 1, &key) || seen >> key & 1)
			return false;
		seen |= (uint64_t)1 << key;
		if (!take_value(key, &pair->val, out))
			return false;
	}
	return seen >> KEY_VERDICT & 1;
}

bool certmsg_parse(struct span bytes, struct certmsg *out)
{
	msgpack_zone zone;
	msgpack_object o;
	size_t at = 0;
	bool good;

	memset(out, 0, sizeof(*out));
	if (!peermsg_walk_upto(bytes, CERTMSG_MAX_BYTES) || !msgpack_zone_init(&zone, ZONE_CHUNK_BYTES))
		return false;
	good = msgpack_unpack(bytes.p, bytes.n, &at, &zone, &o) == MSGPACK_UNPACK_SUCCESS && take_map(&o, out);
	msgpack_zone_destroy(&zone);
	return good;
}

/* ---- writing ---- */

static int write_to_buf(void *cookie, const char *p, size_t n)
{
	buf_put(cookie, span_of(p, n));
	return 0;
}

static void put_uint(msgpack_packer *pk, unsigned key, uint64_t v)
{
	msgpack_pack_uint64(pk, key);
	msgpack_pack_uint64(pk, v);
}

static void put_text(msgpack_packer *pk, struct span s)
{
	msgpack_pack_str(pk, s.n);
	msgpack_pack_str_body(pk, s.p, s.n);
}

static void put_bin(msgpack_packer *pk, unsigned key, const void *p, size_t n)
{
	msgpack_pack_uint64(pk, key);
	msgpack_pack_bin(pk, n);
	msgpack_pack_bin_body(pk, p, n);
}

/* Of a certificate that is valid. */
static void put_details(msgpack_packer *pk, const struct certmsg *m)
{
	msgpack_pack_uint64(pk, KEY_SANS);
	msgpack_pack_array(pk, m->n_sans);
	for (unsigned i = 0; i < m->n_sans; i++)
		put_text(pk, m->sans[i]);
	put_uint(pk, KEY_NOT_AFTER, m->not_after);
	put_bin(pk, KEY_SPKI, m->spki_sha256, sizeof(m->spki_sha256));
	msgpack_pack_uint64(pk, KEY_ALPN);
	put_text(pk, m->alpn);
	put_uint(pk, KEY_NOT_BEFORE, m->not_before);
	put_bin(pk, KEY_SUBJECT, m->subject.p, m->subject.n);
}

void certmsg_format(struct buf *b, const struct certmsg *m)
{
	msgpack_packer pk;
	bool valid = m->verdict == CERTMSG_VALID;

	CHECK_THAT(m->n_sans <= CERTMSG_SANS);
	msgpack_packer_init(&pk, b, write_to_buf);
	msgpack_pack_map(&pk, valid ? 8 : m->reason.n ? 3 : 2);
	put_uint(&pk, KEY_VERDICT, m->verdict);
	put_uint(&pk, KEY_TTL, m->ttl_s);
	if (valid) {
		put_details(&pk, m);
	} else if (m->reason.n) {
		msgpack_pack_uint64(&pk, KEY_REASON);
		put_text(&pk, m->reason);
	}
}
