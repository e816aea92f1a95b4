#include "node/ctl/ctl_table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/base/mem.h"

#define GAP 2 /* between columns */

struct cell {
	enum ctl_colour colour;
	char *text;
};

struct ctl_table {
	size_t columns, n, cap;
	uint64_t right;
	struct cell *v;
};

bool ctl_wants_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

void ctl_put_coloured(FILE *f, bool colour, enum ctl_colour which, const char *text)
{
	static const char *const codes[] = {
		[CTL_BOLD] = "1", [CTL_DIM] = "2", [CTL_GREEN] = "32", [CTL_YELLOW] = "33", [CTL_RED] = "31"};

	if (colour && which != CTL_PLAIN)
		fprintf(f, "\033[%sm%s\033[0m", codes[which], text);
	else
		fputs(text, f);
}

struct ctl_table *ctl_table_new(size_t columns, uint64_t right)
{
	struct ctl_table *t = NEW(struct ctl_table);

	t->columns = columns;
	t->right = right;
	return t;
}

void ctl_table_put(struct ctl_table *t, enum ctl_colour colour, const char *fmt, ...)
{
	va_list args;
	struct cell *c;
	int n;

	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->v = mem_realloc(t->v, t->cap * sizeof(t->v[0]));
	}
	c = &t->v[t->n++];
	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	c->colour = colour;
	c->text = mem_alloc((size_t)n + 1);
	va_start(args, fmt);
	vsnprintf(c->text, (size_t)n + 1, fmt, args);
	va_end(args);
}

/* Cells of whole rows. */
static size_t shown(const struct ctl_table *t)
{
	return t->n / t->columns * t->columns;
}

static size_t *widths_of(const struct ctl_table *t)
{
	size_t *width = mem_zalloc((t->columns + 1) * sizeof(*width));

	for (size_t i = 0; i < shown(t); i++) {
		size_t n = strlen(t->v[i].text), column = i % t->columns;

		if (n > width[column])
			width[column] = n;
	}
	return width;
}

static void print_cell(const struct ctl_table *t, size_t column, const struct cell *c, size_t width, FILE *f,
		       bool colour)
{
	int gap = (int)(width - strlen(c->text)), last = column + 1 == t->columns;

	if (column < 64 && t->right >> column & 1)
		fprintf(f, "%*s", gap, "");
	ctl_put_coloured(f, colour, c->colour, c->text);
	if (!last && !(column < 64 && t->right >> column & 1))
		fprintf(f, "%*s", gap, "");
	if (last)
		fputc('\n', f);
	else
		fprintf(f, "%*s", GAP, "");
}

void ctl_table_print(const struct ctl_table *t, FILE *f, bool colour)
{
	size_t *width = widths_of(t);

	for (size_t i = 0; i < shown(t); i++)
		print_cell(t, i % t->columns, &t->v[i], width[i % t->columns], f, colour);
	free(width);
}

void ctl_table_free(struct ctl_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].text);
	free(t->v);
	free(t);
}

/* Two digits at least, no more places than that. */
static char *scaled(double v, const char *unit, char out[CTL_NUMBER_BYTES])
{
	snprintf(out, CTL_NUMBER_BYTES, v < 9.95 ? "%.1f %s" : "%.0f %s", v, unit);
	return out;
}

char *ctl_format_bytes(uint64_t n, char out[CTL_NUMBER_BYTES])
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double)n / 1000;
	size_t i = 0;

	if (n < 1000) {
		snprintf(out, CTL_NUMBER_BYTES, "%u B", (unsigned)n);
		return out;
	}
	for (; v >= 999.5 && i < sizeof(units) / sizeof(units[0]) - 1; i++)
		v /= 1000;
	return scaled(v, units[i], out);
}

char *ctl_format_us(uint64_t us, char out[CTL_NUMBER_BYTES])
{
	double ms = (double)us / 1000;

	return ms < 999.5 ? scaled(ms, "ms", out) : scaled(ms / 1000, "s", out);
}

char *ctl_format_s(uint64_t s, char out[CTL_NUMBER_BYTES])
{
	static const struct {
		uint64_t below, unit;
		const char *word;
	} steps[] = {{120, 1, "s"}, {7200, 60, "min"}, {172800, 3600, "h"}, {UINT64_MAX, 86400, "days"}};
	size_t i = 0;

	while (s >= steps[i].below && i < 3)
		i++;
	snprintf(out, CTL_NUMBER_BYTES, "%llu %s", (unsigned long long)(s / steps[i].unit), steps[i].word);
	return out;
}

char *ctl_format_ratio(double ratio, char out[CTL_NUMBER_BYTES])
{
	double percent = ratio * 100;

	snprintf(out, CTL_NUMBER_BYTES, percent > 0 && percent < 9.95 ? "%.1f %%" : "%.0f %%", percent);
	return out;
}
