/* pmcachectl env: the variables, in the words of a shell or of a CI system. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl_files.h"
#include "node/ctl/ctl_quote.h"
#include "node/ctl/ctl_setup.h"

/* What stands before a name, between name and value, behind a value, and before a name to unset (NULL: cannot). */
struct format {
	const char *name, *before, *between, *after, *unset, *after_unset;
	enum ctl_quote quote;
};

static const struct format formats[] = {
	{"sh", "export ", "=", "\n", "unset ", "\n", CTL_QUOTE_SH},
	{"fish", "set -gx ", " ", "\n", "set -e ", "\n", CTL_QUOTE_FISH},
	{"json", "\"", "\":", "", "\"", "\":null", CTL_QUOTE_JSON},
	{"github", "", "=", "\n", NULL, NULL, CTL_QUOTE_GITHUB},
	{"dockerfile", "ENV ", "=", "\n", NULL, NULL, CTL_QUOTE_DOCKERFILE},
};

struct options {
	struct ctl_setup setup;
	const char *format;
	bool unset, files;
	const char *file; /* --files=NAME */
};

static const struct format *find_format(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	ctl_say("--format %s is not known here: sh, fish, json, github, dockerfile", name);
	return NULL;
}

static int put_var(FILE *out, const struct format *f, const struct ctl_var *v)
{
	if (!v->value) {
		fprintf(out, "%s%s%s", f->unset, v->name, f->after_unset);
		return CTL_OK;
	}
	fprintf(out, "%s%s%s", f->before, v->name, f->between);
	if (ctl_quote_put(out, f->quote, v->value) != 0) {
		ctl_say("%s cannot be written in this format: its value has a control character", v->name);
		return CTL_FAILED;
	}
	fputs(f->after, out);
	return CTL_OK;
}

static int put_vars(FILE *out, const struct format *f, const struct ctl_var *v, size_t n)
{
	bool json = f->quote == CTL_QUOTE_JSON;
	int code = CTL_OK;

	if (json)
		fputc('{', out);
	for (size_t i = 0; i < n && code == CTL_OK; i++) {
		if (json && i)
			fputc(',', out);
		code = put_var(out, f, &v[i]);
	}
	if (json)
		fputs("}\n", out);
	return code;
}

static int put_files(FILE *out, const struct options *o, const struct ctl_settings *s)
{
	const char *which = "";

	switch (ctl_files_put(out, o->file, s, &which)) {
	case -1:
		ctl_say("--files=%s is not known here: maven, gradle, apt, wget, yarn, gem, docker", o->file);
		return CTL_USAGE;
	case -2:
		ctl_say("the path of the CA has a character that the file for %s cannot hold", which);
		return CTL_FAILED;
	default:
		return CTL_OK;
	}
}

/* All or nothing: half of it must not reach an eval. */
static int put_all(const struct options *o, const struct format *format, const struct ctl_settings *s)
{
	struct ctl_var vars[CTL_VARS_MAX];
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	int code;

	if (!out) {
		ctl_say("no memory");
		return CTL_FAILED;
	}
	if (o->unset)
		code = put_vars(out, format, vars, ctl_vars_unmake(getenv("JAVA_TOOL_OPTIONS"), vars));
	else if (o->files)
		code = put_files(out, o, s);
	else
		code = put_vars(out, format, vars, ctl_vars_make(s, vars));
	fclose(out);
	if (code == CTL_OK)
		fwrite(text, 1, n, stdout);
	free(text);
	return code == CTL_OK ? ctl_finish() : code;
}

/* 1, 0, -1 as the options of ctl.h. */
static int option(struct ctl *c, struct options *o, struct ctl_args *a)
{
	int taken;

	if (ctl_flag(a, "--unset"))
		return o->unset = true;
	if (ctl_flag(a, "--files"))
		return o->files = true;
	if (a->at < a->n && strncmp(a->v[a->at], "--files=", 8) == 0) {
		o->file = a->v[a->at++] + 8;
		return o->files = true;
	}
	taken = ctl_option(a, "--format", &o->format);
	return taken ? taken : ctl_setup_option(c, &o->setup, a);
}

int ctl_env(struct ctl *c, struct ctl_args *a)
{
	struct options o = {.format = NULL};
	const struct format *format;
	struct ctl_settings s = {0};
	int code = CTL_OK;

	while (a->at < a->n) {
		int taken = option(c, &o, a);

		if (taken <= 0)
			return taken ? CTL_USAGE : ctl_unknown("env", a);
	}
	format = find_format(o.format ? o.format : c->json ? "json" : "sh");
	if (!format)
		return CTL_USAGE;
	if (o.unset && !format->unset) {
		ctl_say("--unset: this format cannot take a variable back");
		return CTL_USAGE;
	}
	if (!o.unset)
		code = ctl_setup_settings(c, &o.setup, &s);
	return code == CTL_OK ? put_all(&o, format, &s) : code;
}
