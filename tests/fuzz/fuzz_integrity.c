/* Promises about a body: one field a line; a line that begins with '>' is of the request (">Host:" is the path), one with '<' the body. A
 * promise that was read is kept by some body and broken by another; those about the file are not read from a coded answer. */
#include "node/base/mem.h"
#include "node/fetch/integrity.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct message {
	struct http1_request request;
	struct http1_response response;
	struct path_facts path;
	struct span body;
};

static void read_message(struct span in, struct message *m)
{
	struct span line, name;

	m->request.method = METHOD_GET;
	m->response.status = 200;
	while (span_cut(&in, '\n', &line)) {
		bool asked = line.n && line.p[0] == '>';

		if (line.n && line.p[0] == '<') {
			m->body = span_from(line, 1);
			continue;
		}
		line = span_from(line, asked);
		if (span_cut(&line, ':', &name) && line.p)
			(void)hdr_add(asked ? &m->request.fields : &m->response.fields, name, span_trim(line));
	}
	if (hdr_has(&m->request.fields, HDR_HOST)) /* not a field here, but the path */
		pathclass_of(hdr_value(&m->request.fields, HDR_HOST), SPAN_NONE, &m->request.fields, &m->path);
}

static bool is_of_the_file(enum integrity_source s)
{
	return s == INTEGRITY_PATH || s == INTEGRITY_X_CHECKSUM || s == INTEGRITY_PACOTE;
}

/* Is the body kept to? */
static bool fits(const struct message *m, struct span more)
{
	char said[INTEGRITY_TEXT_BYTES];
	struct buf b = buf_over(said, sizeof(said));
	const struct integrity_promise *broken;
	struct integrity i;

	integrity_begin(&i, &m->path, &m->request, &m->response);
	CHECK_THAT(i.n <= INTEGRITY_MOST);
	for (unsigned k = 0; k < i.n; k++) {
		CHECK_THAT(i.v[k].kind == HASH_SHA256 || i.others[i.v[k].kind]);
		CHECK_THAT(!hdr_has(&m->response.fields, HDR_CONTENT_ENCODING) || !is_of_the_file(i.v[k].source) ||
			   !span_eq_icase(hdr_value(&m->response.fields, HDR_CONTENT_ENCODING), SPAN("gzip")));
	}
	integrity_add(&i, m->body.p, m->body.n);
	integrity_add(&i, more.p, more.n);
	broken = integrity_end(&i);
	if (broken)
		integrity_format(broken, &b);
	CHECK_THAT(!b.full && (!broken || integrity_is_promised(&i)));
	integrity_fini(&i);
	return !broken;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	struct message *m = NEW(struct message);
	struct integrity i;

	read_message(in, m);
	integrity_begin(&i, &m->path, &m->request, &m->response);
	integrity_fini(&i);
	if (integrity_is_promised(&i))
		CHECK_THAT(!fits(m, SPAN("")) || !fits(m, SPAN("more")));
	else
		CHECK_THAT(fits(m, SPAN("")));
	free(m);
	free((char *)in.p);
	return 0;
}
