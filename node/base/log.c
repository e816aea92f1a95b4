#include "node/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define LOG_MAGIC 0x10c11e55u
#define TEXT_BYTES 2048u                 /* of one line; a longer one is cut and ends in "..." */
#define LINE_BYTES (TEXT_BYTES * 4 + 96) /* every byte may become \xNN */

struct log {
	unsigned magic;
	struct sink *sink;
	const struct clock *clock;
	_Atomic int level; /* any thread writes, any reads */
};

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};

struct log *log_new(struct sink *sink, const struct clock *clock, enum log_level level)
{
	struct log *l = NEW(struct log);

	l->magic = LOG_MAGIC;
	l->sink = sink;
	l->clock = clock;
	atomic_init(&l->level, (int)level);
	return l;
}

void log_set_level(struct log *l, enum log_level level)
{
	CHECK(l, LOG_MAGIC);
	atomic_store_explicit(&l->level, (int)level, memory_order_relaxed);
}

void log_free(struct log *l)
{
	if (!l)
		return;
	CHECK(l, LOG_MAGIC);
	l->magic = 0;
	free(l);
}

static void put_time(struct buf *b, wall_ms now)
{
	time_t s = (time_t)(now / 1000);
	struct tm t;

	if (!gmtime_r(&s, &t)) /* a year beyond int */
		t = (struct tm){.tm_mday = 1, .tm_year = 70};
	buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
		   t.tm_min, t.tm_sec, (int)(now % 1000));
}

/* Length of a control character at p: C0 and DEL are one byte, C1 (which some terminals obey) are two in UTF-8. */
static size_t control_len(struct span s)
{
	unsigned char c = (unsigned char)s.p[0];

	if (c < 0x20 || c == 0x7f)
		return 1;
	if (c == 0xc2 && s.n > 1 && (unsigned char)s.p[1] >= 0x80 && (unsigned char)s.p[1] < 0xa0)
		return 2;
	return 0;
}

static void put_escaped(struct buf *b, struct span s)
{
	while (s.n) {
		size_t n = control_len(s);

		if (!n)
			buf_putc(b, s.p[0]);
		for (size_t i = 0; i < n; i++) {
			buf_put(b, SPAN("\\x"));
			buf_put_hex(b, s.p + i, 1);
		}
		s = span_from(s, n ? n : 1);
	}
}

void log_line(struct log *l, enum log_level level, const char *where, const char *fmt, ...)
{
	char text[TEXT_BYTES], line[LINE_BYTES];
	struct buf b = buf_over(line, sizeof(line));
	va_list args;
	int n;

	if (!l)
		return;
	CHECK(l, LOG_MAGIC);
	if ((int)level > atomic_load_explicit(&l->level, memory_order_relaxed))
		return;
	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(text)) {
		n = sizeof(text) - 1;
		memcpy(text + n - 3, "...", 3);
	}
	put_time(&b, clock_wall(l->clock));
	buf_put_str(&b, log_level_name(level));
	buf_putc(&b, ' ');
	buf_put_str(&b, where);
	buf_put(&b, SPAN(": "));
	put_escaped(&b, span_of(text, (size_t)n));
	sink_put(l->sink, buf_span(&b));
}

int log_level_parse(const char *name, enum log_level *out)
{
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

const char *log_level_name(enum log_level level)
{
	CHECK_THAT((unsigned)level <= LOG_DEBUG);
	return level_names[level];
}
