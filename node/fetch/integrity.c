#include "node/fetch/integrity.h"

#include "node/base/check.h"

#define BASE64_MOST 88 /* digits of the longest digest */

/* ---- promises ---- */

/* Of one source the strongest, and of equal ones the last. */
static void promise(struct integrity *i, enum integrity_source source, enum hash_kind kind, const uint8_t *digest)
{
	struct integrity_promise *p = i->n && i->v[i->n - 1].source == source ? &i->v[i->n - 1] : &i->v[i->n];

	if (p == &i->v[i->n])
		CHECK_THAT(i->n++ < INTEGRITY_MOST);
	else if (p->kind > kind)
		return;
	p->source = source;
	p->kind = kind;
	memcpy(p->digest, digest, hash_bytes(kind));
}

/* names: by kind; NULL where there is none. */
static bool kind_of(struct span name, const char *const names[HASH_KINDS], enum hash_kind *kind)
{
	for (int k = 0; k < HASH_KINDS; k++) {
		if (!names[k] || !span_eq_icase(name, span_str(names[k])))
			continue;
		*kind = (enum hash_kind)k;
		return true;
	}
	return false;
}

static const char *const field_names[HASH_KINDS] = {
	[HASH_MD5] = "md5",
	[HASH_SHA1] = "sha",
	[HASH_SHA256] = "sha-256",
	[HASH_SHA512] = "sha-512",
};

static const char *const checksum_names[HASH_KINDS] = {
	[HASH_MD5] = "X-Checksum-Md5",
	[HASH_SHA1] = "X-Checksum-Sha1",
	[HASH_SHA256] = "X-Checksum-Sha256",
	[HASH_SHA512] = "X-Checksum-Sha512",
};

static const char *const sri_names[HASH_KINDS] = {
	[HASH_MD5] = "md5",       [HASH_SHA1] = "sha1",     [HASH_SHA256] = "sha256",
	[HASH_SHA384] = "sha384", [HASH_SHA512] = "sha512",
};

/* ---- digests as text ---- */

/* Padding may be missing (RFC 8941 §4.2.7). */
static bool from_base64(struct span text, enum hash_kind kind, uint8_t out[HASH_MAX_BYTES])
{
	char room[BASE64_MOST];
	struct buf b = buf_over(room, sizeof(room));

	buf_put(&b, text);
	while (b.n % 4 && !b.full)
		buf_putc(&b, '=');
	return !b.full && base64_decode(buf_span(&b), out, HASH_MAX_BYTES) == (long)hash_bytes(kind);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool from_hex(struct span text, enum hash_kind kind, uint8_t out[HASH_MAX_BYTES])
{
	if (text.n != 2 * hash_bytes(kind))
		return false;
	for (size_t k = 0; k < text.n; k += 2) {
		int high = hex_value(text.p[k]), low = hex_value(text.p[k + 1]);

		if (high < 0 || low < 0)
			return false;
		out[k / 2] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* The text between the colons of a byte sequence (RFC 8941 §3.3.5), perhaps with parameters behind it. */
static bool byte_sequence(struct span item, struct span *text)
{
	size_t end;

	if (!item.n || item.p[0] != ':')
		return false;
	item = span_from(item, 1);
	end = span_find(item, ':');
	if (end == item.n)
		return false;
	*text = span_upto(item, end);
	item = span_from(item, end + 1);
	return item.n == 0 || item.p[0] == ';';
}

/* ---- fields ---- */

/* Repr-Digest and Content-Digest: "sha-256=:<base64>:, …" */
static void from_dictionary(struct integrity *i, enum integrity_source source, struct span value)
{
	uint8_t digest[HASH_MAX_BYTES];
	enum hash_kind kind;
	struct span member, name, text;

	while (span_cut(&value, ',', &member)) {
		member = span_trim(member);
		if (span_cut(&member, '=', &name) && kind_of(name, field_names, &kind) &&
		    byte_sequence(member, &text) && from_base64(text, kind, digest))
			promise(i, source, kind, digest);
	}
}

/* Digest: "sha-256=<base64>, …" */
static void from_digest(struct integrity *i, struct span value)
{
	uint8_t digest[HASH_MAX_BYTES];
	enum hash_kind kind;
	struct span member, name;

	while (span_cut(&value, ',', &member)) {
		member = span_trim(member);
		if (span_cut(&member, '=', &name) && kind_of(name, field_names, &kind) &&
		    from_base64(member, kind, digest))
			promise(i, INTEGRITY_DIGEST, kind, digest);
	}
}

static void from_md5(struct integrity *i, struct span value)
{
	uint8_t digest[HASH_MAX_BYTES];

	if (from_base64(value, HASH_MD5, digest))
		promise(i, INTEGRITY_CONTENT_MD5, HASH_MD5, digest);
}

static void from_checksums(struct integrity *i, const struct hdrs *fields)
{
	uint8_t digest[HASH_MAX_BYTES];
	enum hash_kind kind;

	for (unsigned k = 0; k < fields->n; k++) {
		const struct hdr *h = &fields->v[k];

		if (h->id == HDR_OTHER && kind_of(h->name, checksum_names, &kind) && from_hex(h->value, kind, digest))
			promise(i, INTEGRITY_X_CHECKSUM, kind, digest);
	}
}

/* A field may come in several lines: all of one name one after the other, so that promise() sees them as one source. */
static void from_response(struct integrity *i, const struct hdrs *fields)
{
	for (unsigned k = 0; k < fields->n; k++)
		if (fields->v[k].id == HDR_REPR_DIGEST)
			from_dictionary(i, INTEGRITY_REPR_DIGEST, fields->v[k].value);
	for (unsigned k = 0; k < fields->n; k++)
		if (fields->v[k].id == HDR_OTHER && span_eq_icase(fields->v[k].name, SPAN("Content-Digest")))
			from_dictionary(i, INTEGRITY_CONTENT_DIGEST, fields->v[k].value);
	for (unsigned k = 0; k < fields->n; k++)
		if (fields->v[k].id == HDR_DIGEST)
			from_digest(i, fields->v[k].value);
	for (unsigned k = 0; k < fields->n; k++)
		if (fields->v[k].id == HDR_CONTENT_MD5)
			from_md5(i, fields->v[k].value);
}

static void from_path(struct integrity *i, const struct path_facts *path)
{
	switch (path->digest_kind) {
	case PATH_DIGEST_NONE:
		return;
	case PATH_DIGEST_MD5:
		promise(i, INTEGRITY_PATH, HASH_MD5, path->digest);
		return;
	case PATH_DIGEST_SHA1:
		promise(i, INTEGRITY_PATH, HASH_SHA1, path->digest);
		return;
	case PATH_DIGEST_SHA256:
		promise(i, INTEGRITY_PATH, HASH_SHA256, path->digest);
		return;
	case PATH_DIGEST_SHA512:
		promise(i, INTEGRITY_PATH, HASH_SHA512, path->digest);
		return;
	case PATH_DIGEST_BLAKE2B_256:
		promise(i, INTEGRITY_PATH, HASH_BLAKE2B_256, path->digest);
		return;
	}
}

/* ---- Subresource Integrity ---- */

/* "sha512-<base64>", perhaps with "?options" behind it. */
static bool sri_digest(struct span word, struct integrity_promise *p)
{
	struct span name;

	word = span_upto(word, span_find(word, '?'));
	return span_cut(&word, '-', &name) && kind_of(name, sri_names, &p->kind) &&
	       from_base64(word, p->kind, p->digest);
}

/* Of all digests in the list those of the strongest algorithm, which begin at v[first]. */
static void add_sri(struct integrity *i, unsigned first, const struct integrity_promise *p)
{
	if (i->n > first && i->v[first].kind > p->kind)
		return;
	if (i->n > first && i->v[first].kind < p->kind)
		i->n = first;
	if (i->n < INTEGRITY_MOST)
		i->v[i->n] = *p;
	i->n++;
}

static void from_request(struct integrity *i, const struct hdrs *fields)
{
	struct hdr_list it = {0};
	unsigned first = i->n;
	struct span word;

	while (hdr_next(fields, HDR_PACOTE_INTEGRITY, &it)) {
		while (span_cut(&it.member, ' ', &word)) {
			struct integrity_promise p = {.source = INTEGRITY_PACOTE};

			if (sri_digest(span_trim(word), &p))
				add_sri(i, first, &p);
		}
	}
	if (i->n - first > INTEGRITY_MOST_SRI)
		i->n = first;
}

/* ---- a body ---- */

static bool is_coded(const struct hdrs *fields)
{
	struct hdr_list it = {0};

	while (hdr_next(fields, HDR_CONTENT_ENCODING, &it))
		if (!span_eq_icase(it.member, SPAN("identity")))
			return true;
	return false;
}

void integrity_begin(struct integrity *i, const struct path_facts *path, const struct http1_request *request,
		     const struct http1_response *response)
{
	*i = (struct integrity){.n = 0};
	sha256_init(&i->running);
	if (request->method != METHOD_GET || response->status != 200)
		return;
	from_response(i, &response->fields);
	if (!is_coded(&response->fields)) {
		from_path(i, path);
		from_checksums(i, &response->fields);
		from_request(i, &request->fields);
	}
	for (unsigned k = 0; k < i->n; k++) {
		enum hash_kind kind = i->v[k].kind;

		if (kind != HASH_SHA256 && !i->others[kind])
			i->others[kind] = hash_new(kind);
	}
}

void integrity_add(struct integrity *i, const void *bytes, size_t n)
{
	sha256_add(&i->running, bytes, n);
	for (int kind = 0; kind < HASH_KINDS; kind++)
		if (i->others[kind])
			hash_add(i->others[kind], bytes, n);
}

/* Any of one source: only SRI has several. */
static bool is_kept(const struct integrity *i, enum integrity_source source,
		    uint8_t digests[HASH_KINDS][HASH_MAX_BYTES])
{
	for (unsigned k = 0; k < i->n; k++)
		if (i->v[k].source == source &&
		    hash_same(i->v[k].digest, digests[i->v[k].kind], hash_bytes(i->v[k].kind)))
			return true;
	return false;
}

const struct integrity_promise *integrity_end(struct integrity *i)
{
	uint8_t digests[HASH_KINDS][HASH_MAX_BYTES];

	sha256_end(&i->running, i->sha256);
	memcpy(digests[HASH_SHA256], i->sha256, SHA256_BYTES);
	for (int kind = 0; kind < HASH_KINDS; kind++)
		if (i->others[kind])
			hash_end(i->others[kind], digests[kind]);
	for (unsigned k = 0; k < i->n; k++)
		if (!is_kept(i, i->v[k].source, digests))
			return &i->v[k];
	return NULL;
}

void integrity_fini(struct integrity *i)
{
	for (int kind = 0; kind < HASH_KINDS; kind++) {
		hash_free(i->others[kind]);
		i->others[kind] = NULL;
	}
}

enum metric integrity_metric(enum integrity_source source)
{
	switch (source) {
	case INTEGRITY_PATH:
		return METRIC_INTEGRITY_PATH;
	case INTEGRITY_REPR_DIGEST:
	case INTEGRITY_CONTENT_DIGEST:
	case INTEGRITY_DIGEST:
		return METRIC_INTEGRITY_DIGEST;
	case INTEGRITY_CONTENT_MD5:
		return METRIC_INTEGRITY_CONTENT_MD5;
	case INTEGRITY_X_CHECKSUM:
		return METRIC_INTEGRITY_X_CHECKSUM;
	case INTEGRITY_PACOTE:
		return METRIC_INTEGRITY_PACOTE;
	}
	check_failed(__FILE__, __LINE__, __func__, "unknown source of a digest");
}

void integrity_format(const struct integrity_promise *p, struct buf *b)
{
	static const char *const kinds[HASH_KINDS] = {"MD5", "SHA-1", "SHA-256", "SHA-384", "SHA-512", "BLAKE2b-256"};
	static const char *const sources[] = {
		"the path", "Repr-Digest", "Content-Digest", "Digest", "Content-MD5", "X-Checksum", "pacote-integrity",
	};

	buf_put_str(b, "not the ");
	buf_put_str(b, kinds[p->kind]);
	buf_put_str(b, " of ");
	buf_put_str(b, sources[p->source]);
}
