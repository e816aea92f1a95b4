#include "node/admin/metricstext.h"

#define PREFIX "pmcache_"

static void put_about(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_put_str(b, "# HELP " PREFIX);
	buf_put_str(b, name);
	buf_putc(b, ' ');
	buf_put_str(b, help);
	buf_put_str(b, "\n# TYPE " PREFIX);
	buf_put_str(b, name);
	buf_putc(b, ' ');
	buf_put_str(b, type);
	buf_put_str(b, "\n" PREFIX);
	buf_put_str(b, name);
}

static void put_counters(struct buf *b, const struct metrics *const *rows, size_t n)
{
	for (int i = 0; i < METRIC_COUNT; i++) {
		const char *name = metric_name((enum metric)i);
		bool counter = span_ends(span_str(name), SPAN("_total"));
		uint64_t sum = statsjson_sum(rows, n, (enum metric)i);

		put_about(b, name, counter ? "counter" : "gauge", metric_help((enum metric)i));
		buf_putc(b, ' ');
		if (counter)
			buf_put_u64(b, sum);
		else
			buf_put_i64(b, (int64_t)sum);
		buf_putc(b, '\n');
	}
}

static void put_gauge(struct buf *b, const char *name, const char *help, uint64_t v)
{
	put_about(b, name, "gauge", help);
	buf_putc(b, ' ');
	buf_put_u64(b, v);
	buf_putc(b, '\n');
}

static void put_time(struct buf *b, const char *name, const char *help, wall_ms t)
{
	put_about(b, name, "gauge", help);
	buf_printf(b, " %lld.%03d\n", (long long)(t / 1000), (int)(t % 1000));
}

/* A label's value: backslash, quote and line feed are escaped, everything else stands for itself. */
static void put_label_value(struct buf *b, struct span s)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' || s.p[i] == '"')
			buf_putc(b, '\\');
		if (s.p[i] == '\n')
			buf_put(b, SPAN("\\n"));
		else
			buf_putc(b, s.p[i]);
	}
	buf_putc(b, '"');
}

static void put_build(struct buf *b, const char *version)
{
	put_about(b, "build_info", "gauge", "always 1; the label says which version runs");
	buf_put_str(b, "{version=");
	put_label_value(b, span_str(version));
	buf_put_str(b, "} 1\n");
}

void metricstext_put(struct buf *b, const struct metrics *const *rows, size_t n, const struct statsjson_gauges *g)
{
	put_build(b, g->version);
	put_time(b, "start_time_seconds", "when this process began to serve, in seconds since 1970", g->began);
	put_counters(b, rows, n);
	put_gauge(b, "memory_store_bytes", "memory that stored responses take", g->memory_used_bytes);
	put_gauge(b, "memory_store_limit_bytes", "memory that they may take", g->memory_limit_bytes);
	put_gauge(b, "memory_store_objects", "stored responses in memory", g->objects);
	if (g->ca_not_after)
		put_time(b, "ca_not_after_timestamp_seconds", "when the bumping CA ends, in seconds since 1970",
			 g->ca_not_after);
}
