#include "node/ctl/ctl_quote.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/json.h"
#include "node/base/mem.h"

static bool has_control(const char *v)
{
	for (; *v; v++)
		if ((unsigned char)*v < 0x20 || *v == 0x7f)
			return true;
	return false;
}

static bool is_bare_line(const char *v)
{
	size_t n = strlen(v);

	return !has_control(v) && (n == 0 || (v[0] != ' ' && v[n - 1] != ' '));
}

/* `c` stands before each of `special`. */
static void put_escaped(FILE *f, const char *v, const char *special, char c)
{
	for (; *v; v++) {
		if (strchr(special, *v))
			fputc(c, f);
		fputc(*v, f);
	}
}

static void put_sh(FILE *f, const char *v)
{
	fputc('\'', f);
	for (; *v; v++) {
		if (*v == '\'')
			fputs("'\\''", f);
		else
			fputc(*v, f);
	}
	fputc('\'', f);
}

static void put_json(FILE *f, const char *v)
{
	size_t cap = strlen(v) * JSON_GROWTH + 2;
	struct buf b = buf_over(mem_alloc(cap), cap);

	json_put_string(&b, span_str(v));
	fwrite(b.p, 1, b.n, f);
	free(b.p);
}

static void put_systemd(FILE *f, const char *v)
{
	for (; *v; v++) {
		if (*v == '"' || *v == '\\')
			fputc('\\', f);
		if (*v == '%')
			fputc('%', f);
		fputc(*v, f);
	}
}

static bool is_ascii(const char *v)
{
	for (; *v; v++)
		if ((unsigned char)*v >= 0x80)
			return false;
	return true;
}

static void put_properties(FILE *f, const char *v)
{
	if (*v == ' ')
		fputc('\\', f);
	put_escaped(f, v, "\\", '\\');
}

int ctl_quote_put(FILE *f, enum ctl_quote how, const char *v)
{
	switch (how) {
	case CTL_QUOTE_SH:
		put_sh(f, v);
		return 0;
	case CTL_QUOTE_FISH:
		fputc('\'', f);
		put_escaped(f, v, "'\\", '\\');
		fputc('\'', f);
		return 0;
	case CTL_QUOTE_JSON:
		put_json(f, v);
		return 0;
	case CTL_QUOTE_GITHUB:
		if (has_control(v))
			return -1;
		fputs(v, f);
		return 0;
	case CTL_QUOTE_DOCKERFILE:
		if (has_control(v))
			return -1;
		fputc('"', f);
		put_escaped(f, v, "\"\\$", '\\');
		fputc('"', f);
		return 0;
	case CTL_QUOTE_PROPERTIES:
		if (has_control(v) || !is_ascii(v)) /* Java reads these files as ISO 8859-1 */
			return -1;
		put_properties(f, v);
		return 0;
	case CTL_QUOTE_SYSTEMD:
		if (has_control(v))
			return -1;
		put_systemd(f, v);
		return 0;
	case CTL_QUOTE_APT:
		if (has_control(v) || strchr(v, '"'))
			return -1;
		fprintf(f, "\"%s\"", v);
		return 0;
	case CTL_QUOTE_LINE:
		if (!is_bare_line(v))
			return -1;
		fputs(v, f);
		return 0;
	}
	return -1;
}
