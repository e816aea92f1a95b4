#include "node/ctl/ctl_finding.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_table.h"

static const struct {
	const char *word;
	enum ctl_colour colour;
} verdicts[CTL_VERDICTS] = {
	[CTL_VERDICT_OK] = {"ok", CTL_GREEN},
	[CTL_VERDICT_SKIP] = {"skip", CTL_DIM},
	[CTL_VERDICT_WARN] = {"warn", CTL_YELLOW},
	[CTL_VERDICT_FAIL] = {"fail", CTL_RED},
};

const char *ctl_verdict_word(enum ctl_verdict v)
{
	return verdicts[v].word;
}

static char *printable(char *text)
{
	for (char *p = text; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return text;
}

void ctl_finding_add(struct ctl_findings *f, enum ctl_verdict verdict, const char *group, const char *name,
		     const char *fix, const char *fmt, ...)
{
	char what[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	if (f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 32;
		f->v = mem_realloc(f->v, f->cap * sizeof(f->v[0]));
	}
	f->v[f->n++] = (struct ctl_finding){
		.verdict = verdict,
		.group = group,
		.name = printable(ctl_text("%s", name)),
		.what = printable(ctl_text("%s", what)),
		.fix = fix ? printable(ctl_text("%s", fix)) : NULL,
	};
	f->count[verdict]++;
}

static size_t widest_name(const struct ctl_findings *f)
{
	size_t most = 0;

	for (size_t i = 0; i < f->n; i++)
		most = strlen(f->v[i].name) > most ? strlen(f->v[i].name) : most;
	return most;
}

void ctl_findings_print(const struct ctl_findings *f, FILE *out, bool colour)
{
	int width = (int)widest_name(f);
	const char *group = "";

	for (size_t i = 0; i < f->n; i++) {
		const struct ctl_finding *it = &f->v[i];

		if (strcmp(it->group, group) != 0) {
			group = it->group;
			fputs(i ? "\n" : "", out);
			ctl_put_coloured(out, colour, CTL_BOLD, group);
			fputc('\n', out);
		}
		fputs("  ", out);
		ctl_put_coloured(out, colour, verdicts[it->verdict].colour, verdicts[it->verdict].word);
		fprintf(out, "%*s%-*s  %s\n", (int)(6 - strlen(verdicts[it->verdict].word)), "", width, it->name,
			it->what);
		if (it->fix)
			fprintf(out, "%*s-> %s\n", 10 + width, "", it->fix);
	}
	fprintf(out, "\n%zu ok, %zu warning%s, %zu failure%s, %zu skipped\n", f->count[CTL_VERDICT_OK],
		f->count[CTL_VERDICT_WARN], f->count[CTL_VERDICT_WARN] == 1 ? "" : "s", f->count[CTL_VERDICT_FAIL],
		f->count[CTL_VERDICT_FAIL] == 1 ? "" : "s", f->count[CTL_VERDICT_SKIP]);
}

static void put_string(FILE *out, const char *before, const char *text)
{
	size_t cap = JSON_GROWTH * strlen(text) + 2;
	struct buf b = buf_over(mem_alloc(cap), cap);

	json_put_string(&b, span_str(text));
	fprintf(out, "%s%.*s", before, SPAN_ARG(buf_span(&b)));
	free(b.p);
}

void ctl_findings_put_json(const struct ctl_findings *f, FILE *out)
{
	enum ctl_verdict worst = CTL_VERDICT_OK;

	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].verdict > worst)
			worst = f->v[i].verdict;
	fprintf(out, "{\"verdict\":\"%s\"", verdicts[worst].word);
	for (enum ctl_verdict v = CTL_VERDICT_OK; v < CTL_VERDICTS; v++)
		fprintf(out, ",\"%s\":%zu", verdicts[v].word, f->count[v]);
	fputs(",\"checks\":[", out);
	for (size_t i = 0; i < f->n; i++) {
		const struct ctl_finding *it = &f->v[i];

		fprintf(out, "%s{\"group\":\"%s\"", i ? "," : "", it->group);
		put_string(out, ",\"name\":", it->name);
		fprintf(out, ",\"verdict\":\"%s\"", verdicts[it->verdict].word);
		put_string(out, ",\"what\":", it->what);
		if (it->fix)
			put_string(out, ",\"fix\":", it->fix);
		else
			fputs(",\"fix\":null", out);
		fputc('}', out);
	}
	fputs("]}\n", out);
}
