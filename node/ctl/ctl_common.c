#include "node/ctl/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/conf/conf.h"
#include "proto/url.h"

#define SYSTEM_STATE "/var/lib/pmcache"

__attribute__((format(printf, 1, 0))) static char *text_of(const char *fmt, va_list args)
{
	va_list again;
	char *text;
	int n;

	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	text = mem_alloc((size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, args);
	return text;
}

/* In one write: the other end of a pipe may say something just then. */
void ctl_say(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = text_of(fmt, args);
	va_end(args);
	fprintf(stderr, "pmcachectl: %s\n", text);
	free(text);
}

char *ctl_text(const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = text_of(fmt, args);
	va_end(args);
	return text;
}

bool ctl_flag(struct ctl_args *a, const char *name)
{
	if (a->at >= a->n || strcmp(a->v[a->at], name) != 0)
		return false;
	a->at++;
	return true;
}

int ctl_option(struct ctl_args *a, const char *name, const char **value)
{
	size_t n = strlen(name);
	const char *word = a->at < a->n ? a->v[a->at] : "";

	if (strncmp(word, name, n) != 0)
		return 0;
	if (word[n] == '=' && name[1] == '-') { /* --long=value */
		*value = word + n + 1;
		a->at++;
		return 1;
	}
	if (word[n])
		return 0;
	if (a->at + 1 >= a->n) {
		ctl_say("%s needs a value", name);
		return -1;
	}
	*value = a->v[a->at + 1];
	a->at += 2;
	return 1;
}

int ctl_common_option(struct ctl *c, struct ctl_args *a)
{
	int taken;

	if (ctl_flag(a, "--json")) {
		c->json = true;
		return 1;
	}
	taken = ctl_option(a, "-c", &c->config);
	return taken ? taken : ctl_option(a, "--state", &c->state_opt);
}

int ctl_operand(struct ctl_args *a, const char **value)
{
	const char *word = a->v[a->at];

	if (*value || (word[0] == '-' && word[1]))
		return 0;
	*value = word;
	a->at++;
	return 1;
}

int ctl_read_words(struct ctl *c, struct ctl_args *a, const char *command, ctl_take_f *take, void *wish)
{
	while (a->at < a->n) {
		int taken = ctl_common_option(c, a);

		if (!taken && take)
			taken = take(wish, a);
		if (taken <= 0)
			return taken ? CTL_USAGE : ctl_unknown(command, a);
	}
	return CTL_OK;
}

int ctl_days(const char *text, int fallback)
{
	uint64_t days;

	if (!text)
		return fallback;
	return span_to_u64(span_str(text), &days) == 0 && days >= 1 && days <= CTL_DAYS_MAX ? (int)days : -1;
}

int ctl_unknown(const char *command, const struct ctl_args *a)
{
	ctl_say("%s: \"%s\" is not understood here; see pmcachectl --help", command, a->v[a->at]);
	return CTL_USAGE;
}

bool ctl_is_word(const char *text)
{
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return *text != '\0';
}

bool ctl_is_url(const char *text)
{
	enum reason why;
	struct url u;

	return ctl_is_word(text) && url_parse_absolute(span_str(text), &u, &why) == 0;
}

static char *absolute(const char *path)
{
	char *here, *joined;

	if (path[0] == '/')
		return ctl_text("%s", path);
	here = getcwd(NULL, 0);
	joined = ctl_text("%s/%s", here ? here : "", path);
	free(here);
	return joined;
}

static bool is_readable(const char *folder, const char *name)
{
	char *path = ctl_text("%s/%s", folder, name);
	bool yes = access(path, R_OK) == 0;

	free(path);
	return yes;
}

static void use_state(struct ctl *c, const char *state)
{
	c->state = state;
	c->control = ctl_text("%s/control.sock", state);
	c->ca_cert = ctl_text("%s/ca.crt", state);
	c->ca_key = ctl_text("%s/ca.key", state);
}

int ctl_load(struct ctl *c)
{
	char errors[4096];
	const char *state = c->state_opt ? absolute(c->state_opt) : NULL;

	if (c->config || !state)
		c->conf = conf_load_settings(c->config, errors, sizeof(errors));
	else /* the defaults; `state` there is not looked at, but must be found also where HOME is not set */
		c->conf = conf_load_text(SPAN("state: /\n"), "pmcachectl", errors, sizeof(errors));
	if (!c->conf) {
		fputs(errors, stderr);
		ctl_say("the configuration cannot be used");
		return CTL_FAILED;
	}
	if (state) {
		use_state(c, state);
		return CTL_OK;
	}
	c->state = c->conf->state;
	c->control = c->conf->control;
	c->ca_cert = c->conf->ca.cert;
	c->ca_key = c->conf->ca.key;
	/* a user of the machine's own daemon, who runs none himself */
	if (!c->config && access(c->ca_cert, F_OK) != 0 && is_readable(SYSTEM_STATE, "ca.crt"))
		use_state(c, SYSTEM_STATE);
	return CTL_OK;
}

int ctl_finish(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CTL_OK;
	ctl_say("cannot write the output: %s", strerror(errno));
	return CTL_FAILED;
}

static int take_operand(void *wish, struct ctl_args *a)
{
	return ctl_operand(a, wish);
}

int ctl_read_url(struct ctl *c, struct ctl_args *a, const char *command, const char **url)
{
	*url = NULL;
	if (ctl_read_words(c, a, command, take_operand, url) != CTL_OK)
		return CTL_USAGE;
	if (*url && ctl_is_url(*url))
		return CTL_OK;
	ctl_say("%s needs a URL, http or https, percent-encoded: https://registry.test/left-pad", command);
	return CTL_USAGE;
}
