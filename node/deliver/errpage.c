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
	if (e->page.n) {
		buf_put(b, SPAN("this node's page: "));
		buf_put(b, e->page);
		buf_putc(b, '\n');
	}
	buf_printf(b, "node %.*s, request %016llx\n", SPAN_ARG(e->node), (unsigned long long)e->request_id);
}

/* Nothing of a stranger's is in it. */
static void put_html(struct buf *b, const struct errpage *e)
{
	buf_printf(
		b,
		"<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light "
		"dark\">\n<title>pmcache</title>\n<p>pmcache: %s</p>\n",
		reason_sentence(e->why));
	if (e->page.n)
		buf_printf(b, "<p><a href=\"%.*s\">This node's page</a></p>\n", SPAN_ARG(e->page));
}

int errpage_format(struct buf *b, const struct errpage *e)
{
	int status = e->status ? e->status : reason_status(e->why);
	char text[2048];
	struct buf body = buf_over(text, sizeof(text));

	if (e->html)
		put_html(&body, e);
	else
		put_text(&body, e);
	http1_format_status_line(b, status, SPAN(""));
	buf_printf(b, "Content-Type: text/%s; charset=utf-8\r\n", e->html ? "html" : "plain");
	if (e->html)
		buf_put_str(b, "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n");
	buf_put_str(b, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Pmcache-Error: ");
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
