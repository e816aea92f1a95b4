/* doctor: settings in files that win over the environment. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/base/span.h"
#include "node/ctl/ctl_doctor.h"
#include "node/ctl/ctl_trial.h"

#define GROUP "files"
#define LINES_MOST 10000
#define GIT_PATIENCE (10 * DUR_SECOND)

enum kind { CA_FILE, CA_TEXT, PROXY, NO_PROXY, CHECKING };

/* One row per setting: whose, its name ('-' and '_' count as the same, as does case), what it is, and the variable that wins over it. */
struct key {
	const char *program, *name;
	enum kind kind;
	const char *env; /* NULL: none does */
};

struct place {
	const char *path; /* "~/" is the home folder, "./" the current one; "$NAME" what a variable says */
	const char *program;
};

static const struct key keys[] = {
	{"npm", "cafile", CA_FILE, "npm_config_cafile"},
	{"npm", "ca", CA_TEXT, NULL},
	{"npm", "ca[]", CA_TEXT, NULL},
	{"npm", "proxy", PROXY, NULL},
	{"npm", "http-proxy", PROXY, NULL},
	{"npm", "https-proxy", PROXY, NULL},
	{"npm", "noproxy", NO_PROXY, NULL},
	{"npm", "strict-ssl", CHECKING, NULL},
	{"pip", "cert", CA_FILE, "PIP_CERT"},
	{"pip", "proxy", PROXY, "PIP_PROXY"},
	{"curl", "cacert", CA_FILE, NULL},
	{"curl", "--cacert", CA_FILE, NULL},
	{"curl", "proxy", PROXY, NULL},
	{"curl", "--proxy", PROXY, NULL},
	{"curl", "noproxy", NO_PROXY, NULL},
	{"curl", "--noproxy", NO_PROXY, NULL},
	{"wget", "ca_certificate", CA_FILE, NULL},
	{"wget", "http_proxy", PROXY, NULL},
	{"wget", "https_proxy", PROXY, NULL},
	{"wget", "no_proxy", NO_PROXY, NULL},
	{"wget", "check_certificate", CHECKING, NULL},
	{"gem", "ssl_ca_cert", CA_FILE, NULL},
	{"gem", "http_proxy", PROXY, NULL},
	{"bundler", "BUNDLE_SSL_CA_CERT", CA_FILE, "BUNDLE_SSL_CA_CERT"},
	{"cargo", "cainfo", CA_FILE, "CARGO_HTTP_CAINFO"},
	{"cargo", "proxy", PROXY, "CARGO_HTTP_PROXY"},
	{"yarn", "cafile", CA_FILE, "YARN_CAFILE"},
	{"yarn", "proxy", PROXY, NULL},
	{"yarn", "https-proxy", PROXY, NULL},
	{"yarn", "strict-ssl", CHECKING, NULL},
	{"berry", "httpsCaFilePath", CA_FILE, "YARN_HTTPS_CA_FILE_PATH"},
	{"berry", "caFilePath", CA_FILE, NULL},
	{"berry", "httpProxy", PROXY, "YARN_HTTP_PROXY"},
	{"berry", "httpsProxy", PROXY, "YARN_HTTPS_PROXY"},
	{"berry", "enableStrictSsl", CHECKING, NULL},
	{"git", "proxy", PROXY, NULL},
	{"git", "sslcainfo", CA_FILE, "GIT_SSL_CAINFO"},
	{"git", "sslverify", CHECKING, NULL},
};

static const struct place places[] = {
	{"./.npmrc", "npm"},
	{"~/.npmrc", "npm"},
	{"$npm_config_userconfig", "npm"},
	{"/etc/npmrc", "npm"},
	{"/usr/etc/npmrc", "npm"},
	{"/usr/local/etc/npmrc", "npm"},
	{"$PIP_CONFIG_FILE", "pip"},
	{"~/.config/pip/pip.conf", "pip"},
	{"~/.pip/pip.conf", "pip"},
	{"/etc/pip.conf", "pip"},
	{"~/.curlrc", "curl"},
	{"$WGETRC", "wget"},
	{"~/.wgetrc", "wget"},
	{"/etc/wgetrc", "wget"},
	{"~/.gemrc", "gem"},
	{"/etc/gemrc", "gem"},
	{"~/.bundle/config", "bundler"},
	{"~/.cargo/config.toml", "cargo"},
	{"~/.cargo/config", "cargo"},
	{"~/.yarnrc", "yarn"},
	{"./.yarnrc", "yarn"},
	{"~/.yarnrc.yml", "berry"},
	{"./.yarnrc.yml", "berry"},
};

/* ---- one setting ---- */

static char fold(char c)
{
	return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

static bool same_name(struct span s, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; s.n == n && i < n; i++)
		if (fold(s.p[i]) != fold(name[i]))
			return false;
	return s.n == n;
}

static bool is_off(const char *value)
{
	return strcmp(value, "false") == 0 || strcmp(value, "off") == 0 || strcmp(value, "0") == 0 ||
	       strcmp(value, "no") == 0;
}

static struct ctl_judgement judge(const struct ctl_doctor *d, enum kind kind, const char *value)
{
	switch (kind) {
	case CA_FILE:
		return ctl_doctor_judge_ca_file(d, value);
	case CA_TEXT:
		return (struct ctl_judgement){CTL_VERDICT_WARN,
					      "is taken in place of NODE_EXTRA_CA_CERTS and of the system's roots"};
	case PROXY:
		return ctl_doctor_judge_proxy(value, d->doors, d->n_doors);
	case NO_PROXY:
		return ctl_doctor_judge_no_proxy(value);
	case CHECKING:
		break;
	}
	if (is_off(value))
		return (struct ctl_judgement){CTL_VERDICT_WARN, "switches off that certificates are looked at"};
	return (struct ctl_judgement){CTL_VERDICT_OK, "is on"};
}

static void look_at_setting(struct ctl_doctor *d, const char *path, const struct key *key, const char *value)
{
	struct ctl_judgement j;
	char *fix, *title;

	if (!*value || strcmp(value, "null") == 0 || (key->kind == PROXY && is_off(value)) || strstr(value, "${"))
		return;
	j = judge(d, key->kind, value);
	title = ctl_text("%s %s", key->program, key->name);
	if (j.verdict >= CTL_VERDICT_WARN && key->env && getenv(key->env)) {
		ctl_finding_add(&d->found, CTL_VERDICT_SKIP, GROUP, title, NULL,
				"%s: %s does not count, since %s is set", path, value, key->env);
		free(title);
		return;
	}
	fix = strcmp(key->program, "git") == 0
		      ? ctl_text("git config --unset %s, with --global or --system where it stands", path)
		      : ctl_text("take %s out of %s", key->name, path);
	ctl_finding_add(&d->found, j.verdict, GROUP, title, j.verdict >= CTL_VERDICT_WARN ? fix : NULL, "%s: %s %s",
			path, value, j.what);
	free(fix);
	free(title);
}

/* The setting of this program; NULL: nothing that we look for. */
static const struct key *find_key(const char *program, struct span name)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].program, program) == 0 && same_name(name, keys[i].name))
			return &keys[i];
	return NULL;
}

/* One that may be none of those that we look for. */
static void look_at(struct ctl_doctor *d, const char *path, const char *program, struct span name, struct span value)
{
	const struct key *key = find_key(program, name);
	char *text;

	if (!key)
		return;
	text = span_dup(value);
	look_at_setting(d, path, key, text);
	free(text);
}

/* ---- files ---- */

static struct span unquoted(struct span s)
{
	if (s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0])
		return span_of(s.p + 1, s.n - 2);
	return s;
}

static bool is_between(char c)
{
	return c == '=' || c == ':' || c == ' ' || c == '\t';
}

/* "name = value", "name: value", ":name: value", "name value". False: no such thing. */
static bool take_apart(struct span line, struct span *name, struct span *value)
{
	size_t n = 0;

	line = span_trim(line);
	if (!line.n || line.p[0] == '#' || line.p[0] == ';' || line.p[0] == '[')
		return false;
	if (line.p[0] == ':')
		line = span_from(line, 1);
	while (n < line.n && !is_between(line.p[n]))
		n++;
	*name = unquoted(span_upto(line, n));
	while (n < line.n && is_between(line.p[n]))
		n++;
	*value = unquoted(span_trim(span_from(line, n)));
	return true;
}

static char *place_path(const char *path)
{
	const char *base;
	char *here, *out;

	if (path[0] == '/')
		return ctl_text("%s", path);
	if (path[0] == '$')
		return (base = getenv(path + 1)) && *base ? ctl_text("%s", base) : NULL;
	if (path[0] == '~')
		return (base = getenv("HOME")) && *base ? ctl_text("%s%s", base, path + 1) : NULL;
	here = getcwd(NULL, 0);
	out = here ? ctl_text("%s%s", here, path + 1) : NULL;
	free(here);
	return out;
}

static void look_at_file(struct ctl_doctor *d, const char *path, const char *program)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!f)
		return;
	for (int lines = 0; lines < LINES_MOST && (n = getline(&line, &cap, f)) > 0; lines++) {
		struct span name, value;

		if (line[n - 1] == '\n')
			n--;
		if (n > 0 && line[n - 1] == '\r')
			n--;
		if (take_apart(span_of(line, (size_t)n), &name, &value))
			look_at(d, path, program, name, value);
	}
	free(line);
	fclose(f);
}

/* The home folder may be the current one. */
static bool is_seen(char *const *seen, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(seen[i], path) == 0)
			return true;
	return false;
}

/* ---- git, whose files are read best by itself ---- */

/* "http.https://a.test/.sslcainfo /path": the last part of the name counts. */
static void look_at_git_line(struct ctl_doctor *d, struct span line)
{
	size_t at = span_find(line, ' ');
	struct span name = span_upto(line, at), last = name;
	char *where;

	for (size_t dot; (dot = span_find(last, '.')) < last.n;)
		last = span_from(last, dot + 1);
	where = span_dup(name);
	look_at(d, where, "git", last, span_from(line, at + 1));
	free(where);
}

static void look_at_git(struct ctl_doctor *d)
{
	static const char *const argv[] = {"git", "config", "--get-regexp",
					   "^http\\.(.*\\.)?(proxy|sslcainfo|sslverify)$", NULL};
	char folder[] = "/tmp/pmcachectl.XXXXXX", *out;
	struct ctl_trial t = {.argv = argv, .folder = "/", .patience = GIT_PATIENCE};
	char *here = getcwd(NULL, 0);
	struct span rest, line;

	if (!mkdtemp(folder)) {
		free(here);
		return;
	}
	t.out = out = ctl_text("%s/out", folder);
	t.folder = here ? here : "/";
	if (ctl_trials_run(&t, 1, 1) == 0 && t.status == 0) {
		rest = span_str(t.said);
		while (span_cut(&rest, '\n', &line))
			if (line.n)
				look_at_git_line(d, line);
	}
	unlink(out);
	rmdir(folder);
	free(t.said);
	free(out);
	free(here);
}

void ctl_doctor_files(struct ctl_doctor *d)
{
	size_t before = d->found.n, n = 0;
	char *seen[sizeof(places) / sizeof(places[0])];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char *path = place_path(places[i].path);

		if (path && !is_seen(seen, n, path)) {
			look_at_file(d, path, places[i].program);
			seen[n++] = path;
		} else {
			free(path);
		}
	}
	while (n > 0)
		free(seen[--n]);
	look_at_git(d);
	if (d->found.n == before)
		ctl_finding_add(
			&d->found, CTL_VERDICT_OK, GROUP, "settings", NULL,
			"no proxy and no CA in npmrc, pip.conf, gemrc, wgetrc, curlrc, yarnrc, Cargo's and git's configuration");
}
