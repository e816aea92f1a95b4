/* Numbers with and without a unit: how they are read from YAML, and written as YAML. */
#include "node/conf/conf_internal.h"

#include "node/base/check.h"

struct unit {
	const char *word;
	uint64_t factor;
};

/* Largest first: the first that divides a value is the one it is written in. */
static const struct unit sizes[] = {
	{"TB", 1ull << 40},  {"GB", 1ull << 30},  {"MB", 1ull << 20},  {"KB", 1ull << 10}, {"TiB", 1ull << 40},
	{"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"B", 1},           {NULL, 0}};
static const struct unit durations[] = {{"d", DUR_DAY},    {"h", DUR_HOUR}, {"m", DUR_MINUTE},
					{"s", DUR_SECOND}, {"ms", 1},       {NULL, 0}};
static const struct unit no_units[] = {{NULL, 0}};
static const struct unit percents[] = {{"%", 1}, {NULL, 0}};

/* ---- a number and its unit ---- */

/* "4 MB". Factor 1 without unit, if `bare` allows that. */
static int number_of(const char *text, const struct unit *units, bool bare, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	struct span word = span_trim(span_from(span_str(text), digits));
	uint64_t v, factor = 0;

	if (span_to_u64(span_of(text, digits), &v) < 0)
		return -1;
	if (word.n == 0 && (bare || v == 0))
		factor = 1;
	for (; !factor && units->word; units++)
		if (span_eq_icase(word, span_str(units->word)))
			factor = units->factor;
	if (!factor || v > INT64_MAX / factor)
		return -1;
	*out = v * factor;
	return 0;
}

static void print_number(uint64_t v, const struct unit *units, FILE *out)
{
	while (units->word && (v == 0 || v % units->factor))
		units++;
	if (units->word && units->factor > 1)
		fprintf(out, "%llu%s", (unsigned long long)(v / units->factor), units->word);
	else
		fprintf(out, "%llu", (unsigned long long)v);
}

/* 0 needs no unit; other milliseconds always have one. */
static void print_duration(uint64_t v, FILE *out)
{
	if (v % DUR_SECOND)
		fprintf(out, "%llums", (unsigned long long)v);
	else
		print_number(v, durations, out);
}

static int in_bounds(const struct conf_row *row, const struct conf_yaml *y, uint64_t v, void (*print)(uint64_t, FILE *),
		     struct conf_errors *e)
{
	char text[96];
	FILE *out;

	if (v >= row->min && v <= row->max)
		return 0;
	out = fmemopen(text, sizeof(text), "w");
	CHECK_THAT(out);
	print(row->min, out);
	fputs(" to ", out);
	print(row->max, out);
	fclose(out);
	conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is out of bounds; allowed is %s", y->text, text);
	return -1;
}

static void print_plain(uint64_t v, FILE *out)
{
	print_number(v, no_units, out);
}

static void print_size(uint64_t v, FILE *out)
{
	print_number(v, sizes, out);
}

static void print_percent(uint64_t v, FILE *out)
{
	fprintf(out, "%llu%%", (unsigned long long)v);
}

static int parse_number(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e,
			const struct unit *units, bool bare, void (*print)(uint64_t, FILE *), const char *example)
{
	const char *text = conf__scalar(row, y, e);
	uint64_t v;

	if (!text)
		return -1;
	if (number_of(text, units, bare, &v) < 0) {
		conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is not %s", text, example);
		return -1;
	}
	if (in_bounds(row, y, v, print, e) < 0)
		return -1;
	conf__store(row, field, v);
	return 0;
}

/* ---- the types ---- */

static int parse_count(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, no_units, true, print_plain, "a whole number");
}

static int parse_size(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, sizes, true, print_size,
			    "a size, such as 64KB, 4 MB, 1GB or plain bytes");
}

static int parse_duration(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, durations, false, print_duration,
			    "a duration, such as 500ms, 10s, 2m, 1h or 1d");
}

static int parse_percent(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, percents, true, print_percent, "a percentage, such as 95 or 95%");
}

static void format_count(const struct conf_row *row, const void *field, FILE *out)
{
	print_plain(conf__load(row, field), out);
}

static void format_size(const struct conf_row *row, const void *field, FILE *out)
{
	print_size(conf__load(row, field), out);
}

static void format_duration(const struct conf_row *row, const void *field, FILE *out)
{
	print_duration(conf__load(row, field), out);
}

static void format_percent(const struct conf_row *row, const void *field, FILE *out)
{
	print_percent(conf__load(row, field), out);
}

static int parse_loops(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	if (y->kind == CONF_YAML_SCALAR && span_eq_icase(span_str(y->text), SPAN("auto"))) {
		conf__store(row, field, 0);
		return 0;
	}
	return parse_number(row, y, field, e, no_units, true, print_plain, "auto or a whole number");
}

static void format_loops(const struct conf_row *row, const void *field, FILE *out)
{
	uint64_t v = conf__load(row, field);

	if (v)
		print_plain(v, out);
	else
		fputs("auto", out);
}

const struct conf_type conf__count = {
	.name = "number",
	.explain = "a whole number",
	.parse = parse_count,
	.format = format_count,
};
const struct conf_type conf__loops = {
	.name = "number or auto",
	.explain = "a whole number, or `auto`",
	.parse = parse_loops,
	.format = format_loops,
};
const struct conf_type conf__size = {
	.name = "size",
	.explain = "`64KB`, `4 MB`, `1GB`, `1TB` in powers of 1024, or plain bytes",
	.parse = parse_size,
	.format = format_size,
};
const struct conf_type conf__duration = {
	.name = "duration",
	.explain = "`500ms`, `10s`, `2m`, `1h`, `1d`",
	.parse = parse_duration,
	.format = format_duration,
};
const struct conf_type conf__percent = {
	.name = "percentage",
	.explain = "`95` or `95%`",
	.parse = parse_percent,
	.format = format_percent,
};
