/* The input is a line with a Vary value, and lines of request fields "Name:value". The names come back from their text,
 * and what is hashed is what vary_value gives. */
#include "proto/http1_parse.h"
#include "proto/vary.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_names(const struct vary *v)
{
	char mem[VARY_TEXT_BYTES];
	struct buf b = buf_over(mem, sizeof(mem));
	struct vary again;

	vary_format(v, &b);
	CHECK_THAT(!b.full);
	vary_parse(buf_span(&b), &again);
	CHECK_THAT(again.star == v->star && again.n == v->n);
	for (unsigned i = 0; i < v->n; i++)
		CHECK_THAT(span_eq_icase(again.v[i].name, v->v[i].name) && again.v[i].id == v->v[i].id);
}

static void check_hash(const struct vary *v, const struct hdrs *request, size_t n)
{
	size_t cap = VARY_TEXT_BYTES + 2 * VARY_MAX_NAMES * (n + 64);
	struct buf b = buf_over(malloc(cap), cap);
	uint8_t expected[SHA256_BYTES], got[SHA256_BYTES];
	struct sha256 h;

	for (unsigned i = 0; i < v->n; i++) {
		struct vary one = {.n = 1, .v[0] = v->v[i]};

		vary_format(&one, &b);
		if (hdr_find(request, v->v[i].name)) {
			buf_putc(&b, ':');
			CHECK_THAT(vary_value(request, v->v[i].name, &b));
		}
		buf_putc(&b, '\n');
	}
	CHECK_THAT(!b.full);
	sha256_of(buf_span(&b), expected);
	sha256_init(&h);
	vary_hash(v, request, &h);
	sha256_end(&h, got);
	CHECK_THAT(memcmp(expected, got, sizeof(got)) == 0);
	free(b.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n), rest = in, line, name;
	struct hdrs response = {0}, request = {0};
	struct vary v;

	span_cut(&rest, '\n', &line);
	hdr_add(&response, SPAN("Vary"), span_trim(line));
	while (span_cut(&rest, '\n', &line))
		if (span_cut(&line, ':', &name) && http1_is_token(name))
			hdr_add(&request, name, span_trim(line));
	vary_read(&response, &v);
	check_names(&v);
	if (!v.star)
		check_hash(&v, &request, n);
	free((char *)in.p);
	return 0;
}
