#include "node/deliver/errpage.h"

#include "proto/http1_format.h"

/* URL and detail come from strangers: printable ASCII only, and not for ever. */
static void put_plain(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.n && i < 500; i++)
		buf_putc(b, s.p[i] > ' ' && s.p[i] < 0x7f ? s.p[i] : s.p[i] == ' ' ? ' ' : '?');
}

static void put_text(struct buf *b, const struct errpage *e)
{
	buf_put_str(b, "pmcache: ");
	buf_put_str(b, reason_sentence(e->why));
	buf_putc(b, '\n');
	if (e->url.n) {
		put_plain(b, e->url);
		buf_putc(b, '\n');
	}
	if (e->detail.n) {
		put_plain(b, e->detail);
		buf_putc(b, '\n');
	}
	buf_printf(b, "node %.*s, request %016llx\n", SPAN_ARG(e->node), (unsigned long long)e->request_id);
}

int errpage_format(struct buf *b, const struct errpage *e)
{
	int status = e->status ? e->status : reason_status(e->why);
	char text[2048];
	struct buf body = buf_over(text, sizeof(text));

	put_text(&body, e);
	http1_format_status_line(b, status, SPAN(""));
	buf_put_str(
		b,
		"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
		"X-Pmcache-Error: ");
	buf_put_str(b, reason_word(e->why));
	buf_put_str(b, "\r\nContent-Length: ");
	buf_put_u64(b, body.n);
	buf_put_str(b, "\r\n");
	buf_put(b, e->extra);
	if (e->close)
		buf_put_str(b, "Connection: close\r\n");
	else if (e->http10)
		buf_put_str(b, "Connection: keep-alive\r\n");
	http1_format_end(b);
	if (!e->head_only)
		buf_put(b, buf_span(&body));
	return status;
}
