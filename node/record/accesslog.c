#include "node/record/accesslog.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/record/mask.h"
#include "proto/http1_format.h"

#define ACCESSLOG_MAGIC 0xacce5510u
#define FIXED_BYTES 1024u /* of a line: all but what strangers gave, in either format */
/* A line up to here is made on the stack, one beyond (long URLs, log.headers) in memory got for it. */
#define STACK_BYTES 8192u

struct accesslog {
	unsigned magic;
	struct sink *file; /* owned; NULL: none */
	struct sink *echo; /* owned; NULL: none */
	enum accesslog_format format;
	unsigned keep;
	bool colour;
	_Atomic bool headers, query; /* set after a reload, read by all loops */
	_Atomic uint64_t lost;       /* lines for which there was no memory */
};

static const char *const result_words[ACCESSLOG_RESULT_COUNT] = {
#define X(id, word) word,
	ACCESSLOG_RESULT_TABLE(X)
#undef X
};

static const char *const hier_words[ACCESSLOG_HIER_COUNT] = {
#define X(id, word) word,
	ACCESSLOG_HIER_TABLE(X)
#undef X
};

const char *accesslog_result_word(enum accesslog_result r)
{
	CHECK_THAT((unsigned)r < ACCESSLOG_RESULT_COUNT);
	return result_words[r];
}

const char *accesslog_hier_word(enum accesslog_hier h)
{
	CHECK_THAT((unsigned)h < ACCESSLOG_HIER_COUNT);
	return hier_words[h];
}

/* What a field may hold as it is: no white space, no control character, nothing above ASCII. */
static inline bool is_field_byte(unsigned char c)
{
	return (unsigned char)(c - 0x21) < 0x7f - 0x21;
}

/* As Squid's native log quotes header blobs. */
static inline bool is_blob_byte(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '%' && c != '[' && c != ']' && c != '\\';
}

static void put_percent(struct buf *b, unsigned char c, const char *digits)
{
	char three[3] = {'%', digits[c >> 4], digits[c & 15]};

	buf_put(b, span_of(three, 3));
}

/* One field of a line: %XX for what would break it. */
static void put_field(struct buf *b, struct span s)
{
	while (s.n) {
		size_t n = 0;

		while (n < s.n && is_field_byte((unsigned char)s.p[n]))
			n++;
		buf_put(b, span_upto(s, n));
		if (n < s.n)
			put_percent(b, (unsigned char)s.p[n++], "0123456789ABCDEF");
		s = span_from(s, n);
	}
}

static void put_field_or_dash(struct buf *b, struct span s)
{
	if (s.n)
		put_field(b, s);
	else
		buf_putc(b, '-');
}

static void put_blob(struct buf *b, struct span s)
{
	while (s.n) {
		size_t n = 0;

		while (n < s.n && is_blob_byte((unsigned char)s.p[n]))
			n++;
		buf_put(b, span_upto(s, n));
		if (n < s.n && s.p[n] == '\\')
			buf_put(b, SPAN("\\\\"));
		else if (n < s.n && s.p[n] == '\r')
			buf_put(b, SPAN("\\r"));
		else if (n < s.n && s.p[n] == '\n')
			buf_put(b, SPAN("\\n"));
		else if (n < s.n)
			put_percent(b, (unsigned char)s.p[n], "0123456789abcdef");
		s = span_from(s, n < s.n ? n + 1 : n);
	}
}

/* At least `width` characters, `fill` before the number. */
static void put_number(struct buf *b, uint64_t v, unsigned width, char fill)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (sizeof(digits) - at < width)
		digits[--at] = fill;
	buf_put(b, span_of(digits + at, sizeof(digits) - at));
}

static uint64_t not_negative(int64_t v)
{
	return v < 0 ? 0 : (uint64_t)v;
}

static void put_result(struct buf *b, const struct accesslog_line *l)
{
	buf_put_str(b, accesslog_result_word(l->result));
	if (l->aborted)
		buf_put(b, SPAN("_ABORTED"));
}

static bool is_secret_field(const struct hdr *f)
{
	switch (f->id) {
	case HDR_OTHER:
		return mask_is_secret(f->name);
	case HDR_AUTHORIZATION:
	case HDR_PROXY_AUTHORIZATION:
	case HDR_COOKIE:
	case HDR_SET_COOKIE:
		return true;
	default:
		return false;
	}
}

static bool is_url_field(const struct hdr *f)
{
	return f->id == HDR_LOCATION || f->id == HDR_CONTENT_LOCATION ||
	       (f->id == HDR_OTHER && span_eq_icase(f->name, SPAN("referer")));
}

/* A header value as it may be shown; `room` is where a masked one is made. */
static struct span shown_value(const struct hdr *f, bool query, struct buf *room)
{
	if (is_secret_field(f))
		return SPAN(MASK_TEXT);
	room->n = 0;
	if (is_url_field(f))
		mask_url(room, f->value, query);
	else if (span_find(f->value, '=') < f->value.n || span_find(f->value, '@') < f->value.n)
		mask_text(room, f->value);
	else
		return f->value; /* no parameter, no userinfo */
	return buf_span(room);
}

static void put_blob_fields(struct buf *b, const struct hdrs *h, bool query, struct buf *room)
{
	for (unsigned i = 0; i < h->n; i++) {
		put_blob(b, h->v[i].name);
		buf_put(b, SPAN(": "));
		put_blob(b, shown_value(&h->v[i], query, room));
		buf_put(b, SPAN("\\r\\n"));
	}
}

static void put_blobs(struct buf *b, const struct accesslog_line *l, bool query, struct buf *room)
{
	buf_put(b, SPAN(" ["));
	if (l->request)
		put_blob_fields(b, l->request, query, room);
	buf_put(b, SPAN("] ["));
	if (l->reply) {
		buf_put(b, SPAN("HTTP/1.1 "));
		put_number(b, not_negative(l->status), 3, '0');
		buf_putc(b, ' ');
		buf_put(b, http1_phrase(l->status));
		buf_put(b, SPAN("\\r\\n"));
		put_blob_fields(b, l->reply, query, room);
		buf_put(b, SPAN("\\r\\n"));
	}
	buf_putc(b, ']');
}

/* "%9ld.%03d %6ld %s %s/%03d %ld %s %s %s %s/%s %s" */
static void put_native(struct buf *b, const struct accesslog_line *l, struct span url)
{
	uint64_t end = not_negative(l->end);

	put_number(b, end / 1000, 9, ' ');
	buf_putc(b, '.');
	put_number(b, end % 1000, 3, '0');
	buf_putc(b, ' ');
	put_number(b, not_negative(l->elapsed), 6, ' ');
	buf_putc(b, ' ');
	put_field_or_dash(b, span_str(l->client));
	buf_putc(b, ' ');
	put_result(b, l);
	buf_putc(b, '/');
	put_number(b, not_negative(l->status), 3, '0');
	buf_putc(b, ' ');
	buf_put_u64(b, l->bytes);
	buf_putc(b, ' ');
	put_field_or_dash(b, l->method);
	buf_putc(b, ' ');
	put_field_or_dash(b, url);
	buf_putc(b, ' ');
	put_field_or_dash(b, l->user);
	buf_putc(b, ' ');
	buf_put_str(b, accesslog_hier_word(l->hier));
	buf_putc(b, '/');
	put_field_or_dash(b, l->peer);
	buf_putc(b, ' ');
	put_field_or_dash(b, l->type);
}

static void put_json_text(struct buf *b, struct span before, struct span s)
{
	buf_put(b, before);
	if (s.n)
		json_put_string(b, s);
	else
		buf_put(b, SPAN("null"));
}

static void put_json_fields(struct buf *b, struct span before, const struct hdrs *h, bool query, struct buf *room)
{
	buf_put(b, before);
	buf_putc(b, '[');
	for (unsigned i = 0; h && i < h->n; i++) {
		buf_put(b, i ? SPAN(",[") : SPAN("["));
		json_put_string(b, h->v[i].name);
		buf_putc(b, ',');
		json_put_string(b, shown_value(&h->v[i], query, room));
		buf_putc(b, ']');
	}
	buf_putc(b, ']');
}

static void put_json(struct buf *b, const struct accesslog_line *l, struct span url)
{
	buf_put(b, SPAN("{\"time\":"));
	json_put_time(b, l->end);
	buf_put(b, SPAN(",\"elapsed_ms\":"));
	buf_put_u64(b, not_negative(l->elapsed));
	put_json_text(b, SPAN(",\"client\":"), span_str(l->client));
	buf_put(b, SPAN(",\"result\":\""));
	put_result(b, l);
	buf_put(b, SPAN("\",\"status\":"));
	buf_put_u64(b, not_negative(l->status));
	buf_put(b, SPAN(",\"bytes\":"));
	buf_put_u64(b, l->bytes);
	put_json_text(b, SPAN(",\"method\":"), l->method);
	put_json_text(b, SPAN(",\"url\":"), url);
	put_json_text(b, SPAN(",\"user\":"), l->user);
	buf_put(b, SPAN(",\"hierarchy\":\""));
	buf_put_str(b, accesslog_hier_word(l->hier));
	put_json_text(b, SPAN("\",\"peer\":"), l->peer);
	put_json_text(b, SPAN(",\"type\":"), l->type);
	put_json_text(b, SPAN(",\"cache_status\":"), l->cache_status);
	if (l->node.n)
		put_json_text(b, SPAN(",\"node\":"), l->node);
	if (l->answer.n)
		put_json_text(b, SPAN(",\"answer\":"), l->answer);
	if (l->digest) {
		buf_put(b, SPAN(",\"digest\":\""));
		buf_put_hex(b, l->digest, SHA256_BYTES);
		buf_put(b, SPAN("\",\"id\":\""));
	} else {
		buf_put(b, SPAN(",\"digest\":null,\"id\":\""));
	}
	for (unsigned shift = 64; shift > 0; shift -= 8) {
		uint8_t byte = (uint8_t)(l->request_id >> (shift - 8));

		buf_put_hex(b, &byte, 1);
	}
	buf_putc(b, '"');
}

static const char *colour_of(const struct accesslog_line *l)
{
	bool datagram = l->result >= ACCESSLOG_UDP_HIT; /* has no status */

	if (l->status >= 400 || (l->status == 0 && !datagram) || l->result == ACCESSLOG_TCP_DENIED)
		return "\033[31m"; /* red */
	switch (l->result) {
	case ACCESSLOG_TCP_HIT:
	case ACCESSLOG_TCP_MEM_HIT:
	case ACCESSLOG_TCP_CF_HIT:
	case ACCESSLOG_TCP_IMS_HIT:
	case ACCESSLOG_TCP_INM_HIT:
	case ACCESSLOG_TCP_NEGATIVE_HIT:
	case ACCESSLOG_TCP_OFFLINE_HIT:
	case ACCESSLOG_TCP_REFRESH_UNMODIFIED:
	case ACCESSLOG_UDP_HIT:
		return "\033[32m"; /* green */
	case ACCESSLOG_NONE:
	case ACCESSLOG_TCP_TUNNEL:
		return "\033[2m"; /* dim */
	default:
		return "\033[33m"; /* yellow */
	}
}

/* "999 B", "1.2 kB", "34 MB": right-aligned in eight. */
static void put_size(struct buf *b, uint64_t bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double v = (double)bytes;
	unsigned u = 0;

	while (v >= 999.5 && u + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1000;
		u++;
	}
	buf_printf(b, "%5.*f %-2s", u && v < 9.95 ? 1 : 0, v, units[u]);
}

static void put_echo(struct buf *b, const struct accesslog_line *l, struct span url, bool colour)
{
	time_t s = (time_t)(l->end / 1000);
	struct tm t = {0};
	const char *word = accesslog_result_word(l->result);
	char result[40];

	localtime_r(&s, &t);
	snprintf(result, sizeof(result), "%s%s", strncmp(word, "TCP_", 4) == 0 ? word + 4 : word,
		 l->aborted ? "_ABORTED" : "");
	buf_printf(b, "%02d:%02d:%02d %s%-10s %03d%s ", t.tm_hour, t.tm_min, t.tm_sec, colour ? colour_of(l) : "",
		   result, l->status, colour ? "\033[0m" : "");
	put_size(b, l->bytes);
	buf_printf(b, " %6lld ms  ", (long long)l->elapsed);
	put_field_or_dash(b, l->method);
	buf_putc(b, ' ');
	put_field_or_dash(b, url);
}

static size_t fields_bytes(const struct hdrs *h)
{
	size_t n = 0;

	for (unsigned i = 0; h && i < h->n; i++)
		n += h->v[i].name.n + h->v[i].value.n + sizeof(MASK_TEXT) + 8;
	return n;
}

static size_t longest_value(const struct hdrs *h)
{
	size_t most = 0;

	for (unsigned i = 0; h && i < h->n; i++)
		most = h->v[i].value.n > most ? h->v[i].value.n : most;
	return most;
}

/* What the strangers' parts of a line need at most: masked they may double, each byte of that may become six. */
static size_t line_bytes(const struct accesslog_line *l, size_t url_bytes, bool headers)
{
	size_t n = url_bytes + l->method.n + l->user.n + l->peer.n + l->type.n + l->cache_status.n + l->node.n +
		   l->answer.n;

	if (headers)
		n += MASK_GROWTH * (fields_bytes(l->request) + fields_bytes(l->reply));
	return FIXED_BYTES + JSON_GROWTH * n;
}

/* The line for the file, made in b; room is for masked header values. */
static void put_file(struct accesslog *a, const struct accesslog_line *l, struct span url, bool headers, bool query,
		     struct buf *b, struct buf *room)
{
	if (a->format == ACCESSLOG_JSON) {
		put_json(b, l, url);
		if (headers) {
			put_json_fields(b, SPAN(",\"request_headers\":"), l->request, query, room);
			put_json_fields(b, SPAN(",\"reply_headers\":"), l->reply, query, room);
		}
		buf_putc(b, '}');
	} else {
		put_native(b, l, url);
		if (headers)
			put_blobs(b, l, query, room);
	}
	CHECK_THAT(!b->full && !room->full);
	sink_put(a->file, buf_span(b));
}

bool accesslog_is_json(const struct accesslog *a)
{
	return a->file && a->format == ACCESSLOG_JSON;
}

bool accesslog_is_on(const struct accesslog *a)
{
	return a->file || a->echo;
}

void accesslog_put(struct accesslog *a, const struct accesslog_line *l)
{
	bool headers = atomic_load_explicit(&a->headers, memory_order_relaxed);
	bool query = atomic_load_explicit(&a->query, memory_order_relaxed);
	size_t url_bytes, room_bytes = 0, bytes;
	char stack[STACK_BYTES], *heap = NULL, *at = stack;
	struct span url = l->url;
	struct buf masked, room, line;
	bool mask;

	CHECK(a, ACCESSLOG_MAGIC);
	if (!a->file && !a->echo)
		return;
	mask = mask_url_may_change(url);
	url_bytes = mask ? MASK_GROWTH * url.n : url.n;
	if (headers) {
		size_t asked = longest_value(l->request), said = longest_value(l->reply);

		room_bytes = MASK_GROWTH * (asked > said ? asked : said) + sizeof(MASK_TEXT);
	}
	bytes = url_bytes + room_bytes + line_bytes(l, url_bytes, headers);
	if (bytes > sizeof(stack)) {
		at = heap = mem_try(bytes);
		if (!heap) {
			atomic_fetch_add_explicit(&a->lost, 1, memory_order_relaxed);
			return;
		}
	}
	masked = buf_over(at, url_bytes);
	room = buf_over(at + url_bytes, room_bytes);
	line = buf_over(at + url_bytes + room_bytes, bytes - url_bytes - room_bytes);
	if (mask) {
		mask_url(&masked, url, query);
		url = buf_span(&masked);
	}
	if (a->file)
		put_file(a, l, url, headers, query, &line, &room);
	if (a->echo) {
		line.n = 0;
		put_echo(&line, l, url, a->colour);
		sink_put(a->echo, buf_span(&line));
	}
	free(heap);
}

static bool wants_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && *no);
}

struct accesslog *accesslog_open(const struct accesslog_settings *set, char *err, size_t err_cap)
{
	struct accesslog *a = NEW(struct accesslog);

	a->magic = ACCESSLOG_MAGIC;
	a->format = set->format;
	a->keep = set->keep;
	atomic_init(&a->headers, set->headers);
	atomic_init(&a->query, set->query);
	if (set->path) {
		a->file = sink_open(set->path);
		if (!a->file) {
			snprintf(err, err_cap, "cannot write the access log %s: %s", set->path, strerror(errno));
			goto err0;
		}
	}
	if (set->echo) {
		a->colour = wants_colour();
		a->echo = sink_open_fd(STDOUT_FILENO);
		if (!a->echo) {
			snprintf(err, err_cap, "cannot start the thread of the access log: %s", strerror(errno));
			goto err1;
		}
	}
	return a;
err1:
	sink_close(&a->file);
err0:
	free(a);
	return NULL;
}

bool accesslog_reopen(struct accesslog *a, sink_reopened_f *on_reopened, void *cookie)
{
	CHECK(a, ACCESSLOG_MAGIC);
	if (!a->file)
		return false;
	sink_reopen(a->file, a->keep, on_reopened, cookie);
	return true;
}

void accesslog_set_masks(struct accesslog *a, bool headers, bool query)
{
	CHECK(a, ACCESSLOG_MAGIC);
	atomic_store_explicit(&a->headers, headers, memory_order_relaxed);
	atomic_store_explicit(&a->query, query, memory_order_relaxed);
}

uint64_t accesslog_dropped(const struct accesslog *a)
{
	uint64_t lost = atomic_load_explicit(&a->lost, memory_order_relaxed);

	return lost + (a->file ? sink_dropped(a->file) : 0);
}

void accesslog_close(struct accesslog **log)
{
	struct accesslog *a = *log;

	if (!a)
		return;
	CHECK(a, ACCESSLOG_MAGIC);
	*log = NULL;
	sink_close(&a->file);
	sink_close(&a->echo);
	a->magic = 0;
	free(a);
}
