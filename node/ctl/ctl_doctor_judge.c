/* What a setting of a client means, found out as the client does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "node/base/mem.h"
#include "node/base/span.h"
#include "node/ctl/ctl_doctor.h"
#include "proto/url.h"

#define CA_FILE_MOST (16L * 1024 * 1024)

static struct ctl_judgement judged(enum ctl_verdict verdict, const char *what)
{
	return (struct ctl_judgement){verdict, what};
}

static bool is_this_machine(struct span host)
{
	return span_eq_icase(host, SPAN("localhost")) || span_starts(host, SPAN("127.")) || span_eq(host, SPAN("::1"));
}

static bool is_any(struct span host)
{
	return span_eq(host, SPAN("0.0.0.0")) || span_eq(host, SPAN("::"));
}

static struct span bare(const char *host)
{
	struct span s = span_str(host);

	return s.n > 2 && s.p[0] == '[' ? span_of(s.p + 1, s.n - 2) : s;
}

static const struct ctl_door *find_door(const struct url *u, const struct ctl_door *doors, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct span host = bare(doors[i].host);
		bool same = span_eq_icase(u->host, host) || is_any(host) ||
			    (is_this_machine(u->host) && is_this_machine(host));

		if (same && strtol(doors[i].port, NULL, 10) == u->port)
			return &doors[i];
	}
	return NULL;
}

/* What stands before "://", or an empty span. */
static struct span scheme_of(struct span s)
{
	for (size_t i = 0; i + 2 < s.n; i++)
		if (s.p[i] == ':' && s.p[i + 1] == '/' && s.p[i + 2] == '/')
			return span_upto(s, i);
	return SPAN_NONE;
}

struct ctl_judgement ctl_doctor_judge_proxy(const char *value, const struct ctl_door *doors, size_t n)
{
	struct span s = span_trim(span_str(value)), scheme = scheme_of(s), rest, path;
	const struct ctl_door *door;
	struct url u;
	enum reason why;

	if (!s.n)
		return judged(CTL_VERDICT_WARN, "is empty: some programs take that for a proxy without a name");
	if (span_eq(s, SPAN(".")))
		return judged(
			CTL_VERDICT_FAIL,
			"means a proxy named \".\": Bundler and Composer fail at it, apt goes direct; to have no proxy, unset it");
	if (!scheme.n)
		return judged(CTL_VERDICT_FAIL, "has no http:// before it: npm and pip refuse it");
	if (span_eq_icase(scheme, SPAN("https")))
		return judged(
			CTL_VERDICT_FAIL,
			"begins with https://: yarn, Maven and Gradle fail at it, curl and git need a CA of their "
			"own for it");
	if (!span_eq_icase(scheme, SPAN("http")))
		return judged(CTL_VERDICT_FAIL, "is no http:// URL");
	rest = span_from(s, scheme.n + 3);
	path = span_from(rest, span_find(rest, '/'));
	rest = span_upto(rest, rest.n - path.n);
	for (size_t at; (at = span_find(rest, '@')) < rest.n;)
		rest = span_from(rest, at + 1);
	if (url_parse_authority(rest, 0, &u, &why) != 0)
		return judged(CTL_VERDICT_FAIL, "is no URL with a host and a port");
	if (u.port == 0)
		return judged(CTL_VERDICT_FAIL, "has no port: programs take 80, 443 or 1080");
	if (path.n > 1)
		return judged(CTL_VERDICT_WARN, "has a path behind the port: some programs refuse that");
	door = find_door(&u, doors, n);
	if (!door)
		return judged(CTL_VERDICT_WARN, "leads elsewhere, not to this daemon");
	if (!door->bump)
		return judged(CTL_VERDICT_WARN,
			      "leads to a port that does not bump: nothing fetched by https is cached");
	return judged(CTL_VERDICT_OK, "leads here");
}

/* An entry that fits nearly every host. */
static bool swallows(struct span entry)
{
	if (span_eq(entry, SPAN("*")) || span_ends(entry, SPAN("/0")))
		return true;
	if (span_starts(entry, SPAN("*")))
		entry = span_from(entry, 1);
	if (span_starts(entry, SPAN(".")))
		entry = span_from(entry, 1);
	if (entry.n < 2 || span_find(entry, '.') < entry.n || span_find(entry, ':') < entry.n)
		return false;
	/* one label: a top level domain, with all below it; local names are meant alone */
	return span_eq_icase(entry, SPAN("com")) || span_eq_icase(entry, SPAN("org")) ||
	       span_eq_icase(entry, SPAN("net")) || span_eq_icase(entry, SPAN("io")) ||
	       span_eq_icase(entry, SPAN("dev")) || span_eq_icase(entry, SPAN("invalid"));
}

struct ctl_judgement ctl_doctor_judge_no_proxy(const char *value)
{
	struct span rest = span_str(value), entry;

	while (span_cut(&rest, ',', &entry)) {
		struct span part;

		entry = span_trim(entry);
		while (span_cut(&entry, ' ', &part))
			if (part.n && swallows(part))
				return judged(CTL_VERDICT_FAIL,
					      "has an entry that fits nearly every host: programs go past the cache");
	}
	return judged(CTL_VERDICT_OK, "leaves registries to the proxy");
}

/* A whole file without white space, NUL-ended, on the heap; NULL with errno. */
static char *read_squeezed(const char *path)
{
	FILE *f = fopen(path, "re");
	size_t cap = 65536, n = 0;
	char *text;
	int c;

	if (!f)
		return NULL;
	text = mem_alloc(cap);
	while (n < CA_FILE_MOST && (c = getc_unlocked(f)) != EOF) {
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0')
			continue;
		if (n + 1 == cap)
			text = mem_realloc(text, cap *= 2);
		text[n++] = (char)c;
	}
	text[n] = '\0';
	if (ferror(f)) {
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

struct ctl_judgement ctl_doctor_judge_ca_file(const struct ctl_doctor *d, const char *path)
{
	char *text = read_squeezed(path);
	bool ours;

	if (!text)
		return judged(CTL_VERDICT_FAIL, "cannot be read: programs then trust nobody, or refuse to run");
	ours = d->ca && strstr(text, d->ca) != NULL;
	free(text);
	if (!d->ca)
		return judged(CTL_VERDICT_SKIP, "cannot be compared: our CA is not readable here");
	return ours ? judged(CTL_VERDICT_OK, "holds our CA")
		    : judged(CTL_VERDICT_FAIL, "does not hold our CA, and is taken in place of what does");
}
