#include "node/ctl/ctl_hosts.h"

#include <stdlib.h>

#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_table.h"

#define MOST_HOSTS 64 /* that a daemon tells (hosttally.h) */
#define NAME_BYTES 64

struct line {
	struct span host;
	uint64_t requests, lately;
};

static uint64_t requests_of(struct span stats, struct span name)
{
	struct span rest = ctl_json_get(stats, "hosts"), host;

	while (ctl_json_next(&rest, &host))
		if (span_eq(ctl_json_get(host, "host"), name))
			return ctl_json_u64(host, "requests");
	return 0;
}

/* Who has just come onto the list has its whole count from an unknown time: nothing is said of it. */
static uint64_t lately(struct span host, struct span before)
{
	uint64_t now = ctl_json_u64(host, "requests"), then = requests_of(before, ctl_json_get(host, "host"));

	return then && now > then ? now - then : 0;
}

static int by_requests(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->lately != y->lately)
		return x->lately < y->lately ? 1 : -1;
	return (x->requests < y->requests) - (x->requests > y->requests);
}

static size_t read_lines(struct line v[MOST_HOSTS], struct span now, struct span before)
{
	struct span rest = ctl_json_get(now, "hosts"), host;
	size_t n = 0;

	while (n < MOST_HOSTS && ctl_json_next(&rest, &host))
		v[n++] = (struct line){host, ctl_json_u64(host, "requests"), lately(host, before)};
	qsort(v, n, sizeof(*v), by_requests);
	return n;
}

static void put_ratio(struct ctl_table *t, struct span host)
{
	uint64_t hits = ctl_json_u64(host, "hits") + ctl_json_u64(host, "sibling") + ctl_json_u64(host, "parent");
	uint64_t all = hits + ctl_json_u64(host, "misses");
	char text[CTL_NUMBER_BYTES];

	ctl_table_put(t, CTL_PLAIN, "%s", all ? ctl_format_ratio((double)hits / (double)all, text) : "-");
}

static void put_line(struct ctl_table *t, const struct line *l, double seconds)
{
	uint64_t failures = ctl_json_u64(l->host, "failures");
	char name[NAME_BYTES], text[CTL_NUMBER_BYTES];

	ctl_table_put(t, CTL_PLAIN, "%s", ctl_json_text(l->host, "host", name, sizeof(name)));
	ctl_table_put(t, CTL_PLAIN, "%llu", (unsigned long long)l->requests);
	if (seconds > 0)
		ctl_table_put(t, CTL_PLAIN, "%.1f", (double)l->lately / seconds);
	else
		ctl_table_put(t, CTL_PLAIN, "-");
	put_ratio(t, l->host);
	ctl_table_put(t, failures ? CTL_YELLOW : CTL_PLAIN, "%llu", (unsigned long long)failures);
	ctl_table_put(t, CTL_PLAIN, "%s", ctl_format_bytes(ctl_json_u64(l->host, "client_bytes"), text));
	if (ctl_json_has(l->host, "first_byte_us.p50"))
		ctl_table_put(t, CTL_PLAIN, "%s", ctl_format_us(ctl_json_u64(l->host, "first_byte_us.p50"), text));
	else
		ctl_table_put(t, CTL_PLAIN, "-");
}

void ctl_hosts_print(FILE *f, struct span now, struct span before, double seconds, bool colour)
{
	static const char *const words[] = {"HOST", "REQUESTS", "PER S", "HIT%", "FAILED", "TO CLIENTS", "TTFB p50"};
	const size_t columns = sizeof(words) / sizeof(words[0]);
	struct line v[MOST_HOSTS];
	size_t n = read_lines(v, now, before);
	struct ctl_table *t;

	if (!n)
		return;
	t = ctl_table_new(columns, ~(uint64_t)1);
	for (size_t i = 0; i < columns; i++)
		ctl_table_put(t, CTL_BOLD, "%s", words[i]);
	for (size_t i = 0; i < n && i < CTL_HOSTS_SHOWN; i++)
		put_line(t, &v[i], seconds);
	fputc('\n', f);
	ctl_table_print(t, f, colour);
	ctl_table_free(t);
}
