#include "node/tls/names.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "node/base/mem.h"

#define LABEL_MAX 63
#define SECONDS_MAX INT64_C(253402300799) /* the end of the year 9999, as far as certificates go */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

static bool is_number(struct span label)
{
	for (size_t i = 0; i < label.n; i++)
		if (!is_digit(label.p[i]))
			return false;
	return true;
}

static bool is_address(const char *text, char out[NAMES_HOST_MAX + 1])
{
	unsigned char a[16];

	if (inet_pton(AF_INET, text, a) == 1)
		return inet_ntop(AF_INET, a, out, NAMES_HOST_MAX + 1) != NULL;
	if (inet_pton(AF_INET6, text, a) == 1)
		return inet_ntop(AF_INET6, a, out, NAMES_HOST_MAX + 1) != NULL;
	return false;
}

/* Lower-cases into out; 0 unless every label is well formed. */
static size_t dns_labels(struct span in, char out[NAMES_HOST_MAX + 1])
{
	struct span rest, label = SPAN_NONE;
	size_t labels = 0;

	for (size_t i = 0; i < in.n; i++)
		out[i] = in.p[i] >= 'A' && in.p[i] <= 'Z' ? (char)(in.p[i] + ('a' - 'A')) : in.p[i];
	out[in.n] = '\0';
	rest = span_of(out, in.n);
	while (span_cut(&rest, '.', &label)) {
		if (label.n == 0 || label.n > LABEL_MAX)
			return 0;
		for (size_t i = 0; i < label.n; i++)
			if (!is_name_char(label.p[i]))
				return 0;
		labels++;
		if (rest.p == NULL && is_number(label))
			return 0;
	}
	return labels;
}

enum name_kind names_host(struct span in, char out[NAMES_HOST_MAX + 1])
{
	char text[NAMES_HOST_MAX + 1];

	out[0] = '\0';
	if (in.n > 2 && in.p[0] == '[' && in.p[in.n - 1] == ']') {
		in = span_of(in.p + 1, in.n - 2);
		if (span_find(in, ':') == in.n)
			return NAME_BAD;
	}
	if (in.n > 1 && in.p[in.n - 1] == '.' && span_find(in, ':') == in.n)
		in.n--;
	if (in.n == 0 || in.n > NAMES_HOST_MAX || memchr(in.p, '\0', in.n))
		return NAME_BAD;
	memcpy(text, in.p, in.n);
	text[in.n] = '\0';
	if (is_address(text, out))
		return NAME_IP;
	if (dns_labels(in, out))
		return NAME_DNS;
	out[0] = '\0';
	return NAME_BAD;
}

enum name_kind names_san(struct span in, char out[NAMES_HOST_MAX + 1])
{
	char rest[NAMES_HOST_MAX + 1];

	if (!span_starts(in, SPAN("*.")))
		return names_host(in, out);
	out[0] = '\0';
	if (in.n > NAMES_HOST_MAX || names_host(span_from(in, 2), rest) != NAME_DNS || !strchr(rest, '.'))
		return NAME_BAD;
	out[0] = '*';
	out[1] = '.';
	memcpy(out + 2, rest, strlen(rest) + 1);
	return NAME_DNS;
}

bool names_covers(const char *san, const char *host)
{
	char address[NAMES_HOST_MAX + 1];
	const char *dot = strchr(host, '.');

	if (strcmp(san, host) == 0)
		return true;
	return san[0] == '*' && dot && !is_address(host, address) && strcmp(san + 1, dot) == 0;
}

struct origin_cert *names_origin_new(void)
{
	struct origin_cert *oc = NEW(struct origin_cert);

	oc->magic = ORIGIN_CERT_MAGIC;
	oc->refs = 1;
	return oc;
}

bool names_origin_add_san(struct origin_cert *oc, struct span san)
{
	char name[NAMES_HOST_MAX + 1];
	size_t n;

	CHECK(oc, ORIGIN_CERT_MAGIC);
	if (names_san(san, name) == NAME_BAD)
		return false;
	n = strlen(name) + 1;
	if (oc->n_sans == NAMES_SANS_MAX || oc->sans_bytes + n > NAMES_SANS_BYTES)
		return false;
	oc->sans = mem_realloc(oc->sans, (oc->n_sans + 1) * sizeof(oc->sans[0]));
	oc->sans[oc->n_sans++] = span_dup(span_of(name, n - 1));
	oc->sans_bytes += n;
	return true;
}

bool names_origin_set_subject(struct origin_cert *oc, const void *der, size_t n)
{
	CHECK(oc, ORIGIN_CERT_MAGIC);
	CHECK_THAT(!oc->subject);
	if (n == 0 || n > NAMES_SUBJECT_BYTES)
		return false;
	oc->subject = mem_alloc(n);
	memcpy(oc->subject, der, n);
	oc->subject_bytes = n;
	return true;
}

struct origin_cert *names_origin_ref(struct origin_cert *oc)
{
	CHECK(oc, ORIGIN_CERT_MAGIC);
	__atomic_fetch_add(&oc->refs, 1, __ATOMIC_RELAXED);
	return oc;
}

void names_origin_unref(struct origin_cert **p)
{
	struct origin_cert *oc = *p;

	*p = NULL;
	if (!oc)
		return;
	CHECK(oc, ORIGIN_CERT_MAGIC);
	if (__atomic_sub_fetch(&oc->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	oc->magic = 0;
	for (size_t i = 0; i < oc->n_sans; i++)
		free(oc->sans[i]);
	free(oc->sans);
	free(oc->subject);
	free(oc);
}

bool names_origin_same(const struct origin_cert *a, const struct origin_cert *b)
{
	return a->not_before == b->not_before && a->not_after == b->not_after && a->n_sans == b->n_sans &&
	       memcmp(a->spki_sha256, b->spki_sha256, sizeof(a->spki_sha256)) == 0;
}

void names_format(struct buf *b, const char *host, const struct origin_cert *oc)
{
	char line[NAMES_LINE_MAX];
	struct buf l = buf_over(line, sizeof(line));

	CHECK(oc, ORIGIN_CERT_MAGIC);
	buf_put_str(&l, host);
	for (size_t i = 0; i < oc->n_sans; i++) {
		buf_putc(&l, i ? ',' : '\t');
		buf_put_str(&l, oc->sans[i]);
	}
	buf_put_str(&l, oc->n_sans ? "\t" : "\t\t");
	base64_encode(span_of((const char *)oc->subject, oc->subject_bytes), &l);
	buf_printf(&l, "\t%lld\t%lld\t", (long long)(oc->not_before / DUR_SECOND),
		   (long long)(oc->not_after / DUR_SECOND));
	buf_put_hex(&l, oc->spki_sha256, sizeof(oc->spki_sha256));
	if (l.full)
		b->full = true;
	else
		buf_put(b, buf_span(&l));
}

static bool parse_sans(struct span list, struct origin_cert *oc)
{
	char name[NAMES_HOST_MAX + 1];
	struct span san = SPAN_NONE;

	if (list.n == 0)
		return true;
	while (span_cut(&list, ',', &san)) {
		if (!names_origin_add_san(oc, san))
			return false;
		names_san(san, name);
		if (!span_eq(san, span_str(name)))
			return false;
	}
	return true;
}

static bool parse_subject(struct span text, struct origin_cert *oc)
{
	uint8_t der[NAMES_SUBJECT_BYTES];
	long n;

	if (text.n == 0)
		return true;
	n = base64_decode(text, der, sizeof(der));
	return n > 0 && names_origin_set_subject(oc, der, (size_t)n);
}

static bool parse_time(struct span text, wall_ms *out)
{
	uint64_t seconds;

	if ((text.n > 1 && text.p[0] == '0') || span_to_u64(text, &seconds) || seconds > SECONDS_MAX)
		return false;
	*out = (wall_ms)seconds * DUR_SECOND;
	return true;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(struct span text, uint8_t *out, size_t n)
{
	if (text.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

enum { FIELD_HOST, FIELD_SANS, FIELD_SUBJECT, FIELD_NOT_BEFORE, FIELD_NOT_AFTER, FIELD_SPKI, N_FIELDS };

static bool parse_fields(const struct span f[N_FIELDS], char host[NAMES_HOST_MAX + 1], struct origin_cert *oc)
{
	return names_host(f[FIELD_HOST], host) != NAME_BAD && span_eq(f[FIELD_HOST], span_str(host)) &&
	       parse_sans(f[FIELD_SANS], oc) && parse_subject(f[FIELD_SUBJECT], oc) &&
	       parse_time(f[FIELD_NOT_BEFORE], &oc->not_before) && parse_time(f[FIELD_NOT_AFTER], &oc->not_after) &&
	       oc->not_before < oc->not_after && parse_hex(f[FIELD_SPKI], oc->spki_sha256, sizeof(oc->spki_sha256));
}

struct origin_cert *names_parse(struct span line, char host[NAMES_HOST_MAX + 1])
{
	struct span field[N_FIELDS], part = SPAN_NONE;
	struct origin_cert *oc;
	size_t n = 0;

	host[0] = '\0';
	if (line.n > NAMES_LINE_MAX)
		return NULL;
	while (span_cut(&line, '\t', &part)) {
		if (n == N_FIELDS)
			return NULL;
		field[n++] = part;
	}
	if (n != N_FIELDS)
		return NULL;
	oc = names_origin_new();
	if (!parse_fields(field, host, oc))
		names_origin_unref(&oc);
	return oc;
}
