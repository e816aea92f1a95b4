/* What is said on the door between nodes: the bytes as a request for an object, as an answer to one, and as trailers. */
#include "peer/peer_link.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* What was understood says the same when it is said again. */
static void check_again(const struct http1_request *r, const struct peer_link_request *asked)
{
	struct peer_link_ask ask = {
		.head_only = r->method == METHOD_HEAD,
		.key = asked->key,
		.node = SPAN("edge1"),
		.store_id = asked->store_id,
		.from = asked->from,
		.order = asked->order,
		.request = r,
	};
	struct peer_link_request again;
	struct http1_request parsed;
	size_t cap = r->head_bytes + PEER_LINK_HEAD_BYTES + 4 * HDR_MAX_FIELDS, scanned = 0;
	struct buf b = buf_over(malloc(cap), cap);
	enum reason why;

	peer_link_format(&b, &ask);
	CHECK_THAT(!b.full);
	switch (http1_parse_request(buf_span(&b), &scanned, cap, &parsed, &why)) {
	case HTTP1_DONE:
		break;
	default:
		/* Ours come on top of as many fields as a head may have. */
		CHECK_THAT(r->fields.n > HDR_MAX_FIELDS - 4);
		free(b.p);
		return;
	}
	CHECK_THAT(peer_link_parse(&parsed, &again));
	CHECK_THAT(parsed.method == r->method && key_same(&again.key, &asked->key));
	CHECK_THAT(again.from == asked->from && again.order == asked->order);
	CHECK_THAT(span_eq(again.store_id, asked->store_id));
	CHECK_THAT(!hdr_has(&parsed.fields, HDR_AUTHORIZATION) && !hdr_has(&parsed.fields, HDR_COOKIE));
	CHECK_THAT(!hdr_has(&parsed.fields, HDR_RANGE) && !hdr_has(&parsed.fields, HDR_IF_NONE_MATCH));
	free(b.p);
}

static void run_request(struct span in)
{
	struct peer_link_request asked;
	struct http1_request r;
	size_t scanned = 0;
	enum reason why;

	if (http1_parse_request(in, &scanned, 65536, &r, &why) != HTTP1_DONE || !peer_link_parse(&r, &asked))
		return;
	CHECK_THAT(asked.store_id.n && asked.from <= INT64_MAX);
	check_again(&r, &asked);
}

static void run_answer(struct span in, bool head_only, uint64_t from, uint32_t order)
{
	struct peer_link_ask ask = {.head_only = head_only, .from = from, .order = order};
	struct peer_link_reply reply;
	struct http1_response r;
	size_t scanned = 0;
	enum reason why;

	if (http1_parse_response(in, &scanned, 65536, head_only ? METHOD_HEAD : METHOD_GET, &r, &why) != HTTP1_DONE)
		return;
	if (peer_link_read(&r, &ask, &reply) == PEER_LINK_REFUSED) {
		CHECK_THAT(reply.why < PEER_FALSES && reply.wait_ms <= 60000);
		return;
	}
	CHECK_THAT(r.status == 200 && (!head_only || reply.has_digest));
	CHECK_THAT(head_only || (r.body == HTTP1_BODY_CHUNKED && reply.from == from));
	CHECK_THAT(head_only || !order || reply.order < order);
	CHECK_THAT(head_only || !reply.has_length || reply.length >= from);
}

static void run_trailers(struct span in)
{
	struct hdrs h;
	uint8_t digest[32];
	size_t scanned = 0, used;
	enum reason why;

	if (http1_parse_trailers(in, &scanned, 65536, &h, &used, &why) == HTTP1_DONE && peer_link_digest(&h, digest))
		CHECK_THAT(hdr_find(&h, SPAN("Pmc-Digest"))->value.n == 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);

	run_request(in);
	run_answer(in, false, 0, 0);
	run_answer(in, false, 65536, 3);
	run_answer(in, true, 0, 0);
	run_trailers(in);
	free((char *)(uintptr_t)in.p);
	return 0;
}
