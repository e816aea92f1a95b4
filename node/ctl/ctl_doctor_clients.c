/* doctor: do the package managers of this machine come through us, and trust us? Each fetches something under DOCTOR_URL, as the caller
 * has set it up. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/base/span.h"
#include "node/ctl/ctl_doctor.h"
#include "node/ctl/ctl_trial.h"
#include "proto/doctor.h"

#define GROUP "clients"
#define AT_ONCE 4
#define PATIENCE (60 * DUR_SECOND)
#define PATIENCE_JVM (120 * DUR_SECOND) /* a cold one on a busy machine */
#define WORDS 16
#define SAID_BYTES 200

#define NODE_PROBE                                                                                                     \
	"{\"name\":\"probe\",\"version\":\"0.0.1\",\"private\":true,\"dependencies\":{\"" DOCTOR_PACKAGE               \
	"\":\"1.0.0\"}}\n"

struct file {
	const char *name, *text;
};

/* In words, files and variables %T is the client's own folder. */
struct client {
	const char *name;
	const char *programs[3]; /* the first that is installed */
	const char *words[WORDS];
	const char *env[12];
	struct file files[2];
	struct {
		const char *env,
			*home; /* the folder in which it keeps settings beside what it writes: variable (NULL: none), place below HOME */
		const char *names[2]; /* the settings: they stand in %T/home, too */
	} keeps;
	const char *expects; /* in its output; NULL: that it ends with 0 is enough */
	dur_ms patience;
	const char *trust, *way; /* fixes: when it does not trust the CA; when it goes past the proxy */
	const char *cannot;      /* in its output: it cannot do what is asked of it, however it is set up */
};

static const struct client clients[] = {
	{.name = "curl", .programs = {"curl"}, .words = {"-sS", (DOCTOR_URL DOCTOR_OBJECT)}, .expects = DOCTOR_TEXT},
	{.name = "wget",
	 .programs = {"wget"},
	 .words = {"-nv", "--tries=1", "-O", "-", (DOCTOR_URL DOCTOR_OBJECT)},
	 .expects = DOCTOR_TEXT,
	 .trust = "pmcachectl env --files=wget >> ~/.wgetrc"},
	{.name = "git",
	 .programs = {"git"},
	 .words = {"ls-remote", (DOCTOR_URL "/git")},
	 .env = {"GIT_TERMINAL_PROMPT=0", "GIT_DIR"},
	 .expects = "refs/heads/" DOCTOR_PACKAGE},
	{.name = "npm",
	 .programs = {"npm"},
	 .words = {"view", DOCTOR_PACKAGE, "description", ("--registry=" DOCTOR_URL "/npm/"), "--cache=%T/cache",
		   "--no-update-notifier", "--fetch-retries=0"},
	 .expects = DOCTOR_TEXT},
	/* classic and berry, which have no other command in common that asks a registry */
	{.name = "yarn",
	 .programs = {"yarn", "yarnpkg"},
	 .words = {"install"},
	 .env = {("npm_config_registry=" DOCTOR_URL "/npm/"), ("YARN_REGISTRY=" DOCTOR_URL "/npm/"),
		 ("YARN_NPM_REGISTRY_SERVER=" DOCTOR_URL "/npm"), "YARN_CACHE_FOLDER=%T/cache",
		 "YARN_GLOBAL_FOLDER=%T/global", "YARN_ENABLE_GLOBAL_CACHE=false",
		 "YARN_ENABLE_IMMUTABLE_INSTALLS=false", "YARN_ENABLE_TELEMETRY=false", "YARN_HTTP_RETRY=0",
		 "TMPDIR=%T"},
	 .files = {{"package.json", NODE_PROBE}, {"yarn.lock", ""}}},
	{.name = "pnpm",
	 .programs = {"pnpm"},
	 .words = {"install", "--lockfile-only", "--ignore-workspace", ("--registry=" DOCTOR_URL "/npm/"),
		   "--store-dir=%T/store", "--config.cache-dir=%T/cache", "--config.state-dir=%T/state",
		   "--config.fetch-retries=0"},
	 .env = {"TMPDIR=%T"},
	 .files = {{"package.json", NODE_PROBE}}},
	{.name = "pip",
	 .programs = {"pip", "pip3"},
	 .words = {"index", "versions", DOCTOR_PACKAGE, "--no-index", ("--find-links=" DOCTOR_URL "/pip/"),
		   "--no-cache-dir", "--disable-pip-version-check", "--retries=0"},
	 .expects = DOCTOR_PACKAGE " (1.0.0)",
	 .cannot = "unknown command"},
	{.name = "uv",
	 .programs = {"uv"},
	 .words = {"pip", "compile", "%T/requirements.in", "--no-index", ("--find-links=" DOCTOR_URL "/pip/"),
		   "--cache-dir=%T/cache", "--no-python-downloads"},
	 .env = {"UV_HTTP_RETRIES=0"},
	 .files = {{"requirements.in", DOCTOR_PACKAGE "\n"}},
	 .expects = DOCTOR_PACKAGE "==1.0.0",
	 .cannot = "No interpreter found"},
	{.name = "gem",
	 .programs = {"gem"},
	 .words = {"list", "--remote", DOCTOR_PACKAGE, "--clear-sources", "--source", (DOCTOR_URL "/gem/")},
	 .env = {"GEM_SPEC_CACHE=%T/specs"},
	 .expects = DOCTOR_PACKAGE " (1.0.0)"},
	{.name = "bundler",
	 .programs = {"bundle"},
	 .words = {"lock", "--print"},
	 .env = {"BUNDLE_USER_CACHE=%T/cache", "BUNDLE_GEMFILE=%T/Gemfile", "BUNDLE_FROZEN=false",
		 "BUNDLE_DEPLOYMENT=false", "BUNDLE_RETRY=0", "RUBYOPT"},
	 .files = {{"Gemfile", "source \"" DOCTOR_URL "/gem\"\ngem \"" DOCTOR_PACKAGE "\"\n"}},
	 .expects = DOCTOR_PACKAGE " (1.0.0)",
	 .way = "set http_proxy, the only one that Bundler reads: " CTL_FIX_ENV},
	{.name = "java",
	 .programs = {"java"},
	 .words = {"%T/Doctor.java", (DOCTOR_URL DOCTOR_OBJECT)},
	 .files = {{"Doctor.java", "class Doctor {\n"
				   "  public static void main(String[] a) throws Exception {\n"
				   "    java.net.URL url = new java.net.URL(a[0]);\n"
				   "    System.out.write(url.openStream().readAllBytes());\n"
				   "    System.out.flush();\n"
				   "  }\n"
				   "}\n"}},
	 .expects = DOCTOR_TEXT,
	 .patience = PATIENCE_JVM,
	 .trust = "eval \"$(pmcachectl env --java)\"",
	 .way = "eval \"$(pmcachectl env --java)\"",
	 .cannot = "Could not find or load main class"},
	{.name = "maven",
	 .programs = {"mvn"},
	 .words = {"-B", "-q", "-f", "%T/pom.xml", "-Dmaven.repo.local=%T/repository", "validate"},
	 .files = {{"pom.xml",
		    "<project><modelVersion>4.0.0</modelVersion><parent><groupId>invalid.pmcache</groupId>"
		    "<artifactId>doctor</artifactId><version>1.0.0</version><relativePath/></parent>"
		    "<artifactId>probe</artifactId><packaging>pom</packaging><repositories><repository>"
		    "<id>pmcache-doctor</id><url>" DOCTOR_URL "/maven</url></repository></repositories></project>\n"}},
	 .patience = PATIENCE_JVM,
	 .trust = "eval \"$(pmcachectl env --java)\"",
	 .way = "pmcachectl env --files=maven > ~/.m2/settings.xml"},
	{.name = "gradle",
	 .programs = {"gradle"},
	 .words = {"--no-daemon", "-q", "fetch"},
	 .keeps = {"GRADLE_USER_HOME", ".gradle", {"gradle.properties", "init.gradle"}},
	 .env = {"GRADLE_USER_HOME=%T/home"},
	 .files = {{"settings.gradle", ""},
		   {"build.gradle",
		    "repositories { maven { url '" DOCTOR_URL "/maven' } }\nconfigurations { probe }\n"
		    "dependencies { probe 'invalid.pmcache:doctor:1.0.0@pom' }\n"
		    "tasks.create('fetch') { doLast { configurations.probe.files.each { println it.name } } }\n"}},
	 .expects = "doctor-1.0.0.pom",
	 .patience = PATIENCE_JVM,
	 .trust = "pmcachectl env --files=gradle >> ~/.gradle/gradle.properties",
	 .way = "pmcachectl env --files=gradle >> ~/.gradle/gradle.properties"},
	{.name = "cargo",
	 .programs = {"cargo"},
	 .words = {"generate-lockfile", "--manifest-path", "%T/Cargo.toml"},
	 .keeps = {"CARGO_HOME", ".cargo", {"config.toml", "config"}},
	 .env = {"CARGO_HOME=%T/home", ("CARGO_REGISTRIES_PMCACHE_DOCTOR_INDEX=sparse+" DOCTOR_URL "/cargo/"),
		 "CARGO_NET_RETRY=0"},
	 .files = {{"Cargo.toml",
		    "[package]\nname = \"probe\"\nversion = \"0.0.1\"\n[lib]\npath = \"Cargo.toml\"\n"
		    "[dependencies]\n" DOCTOR_PACKAGE " = { version = \"1\", registry = \"" DOCTOR_PACKAGE "\" }\n"}}},
	{.name = "go",
	 .programs = {"go"},
	 .words = {"list", "-m", (DOCTOR_HOST "/module@v1.0.0")},
	 .keeps = {NULL, ".config/go", {"env"}},
	 .env = {"GOMODCACHE=%T/modules", "GOCACHE=%T/cache", ("GOPROXY=" DOCTOR_URL "/go"), "GOSUMDB=off", "GOFLAGS=",
		 "GONOPROXY=none", "GOTOOLCHAIN=local", "GO111MODULE=on", "GOENV=%T/home/env", "XDG_CONFIG_HOME=%T"},
	 .expects = DOCTOR_HOST "/module v1.0.0"},
	{.name = "composer",
	 .programs = {"composer"},
	 .words = {"show", "--all", "--no-interaction", "pmcache/doctor", "--working-dir=%T"},
	 .keeps = {"COMPOSER_HOME", ".config/composer", {"config.json", "auth.json"}},
	 .env = {"COMPOSER_HOME=%T/home", "COMPOSER_CACHE_DIR=%T/cache", "COMPOSER"},
	 .files = {{"composer.json", "{\"repositories\":[{\"type\":\"composer\",\"url\":\"" DOCTOR_URL "/composer\"},"
				     "{\"packagist\":false}]}\n"}},
	 .expects = "1.0.0"},
	{.name = "apt",
	 .programs = {"/usr/lib/apt/apt-helper"},
	 .words = {"-o", "Acquire::Retries=0", "download-file", (DOCTOR_URL DOCTOR_OBJECT), "%T/object"},
	 .trust = "pmcachectl env --files=apt | sudo tee /etc/apt/apt.conf.d/95pmcache",
	 .way = "pmcachectl env --files=apt | sudo tee /etc/apt/apt.conf.d/95pmcache"},
};

#define N_CLIENTS (sizeof(clients) / sizeof(clients[0]))

bool ctl_doctor_knows_client(const char *name)
{
	for (size_t i = 0; i < N_CLIENTS; i++)
		if (strcmp(clients[i].name, name) == 0)
			return true;
	return false;
}

char *ctl_doctor_client_names(void)
{
	char *all = ctl_text("%s", clients[0].name);

	for (size_t i = 1; i < N_CLIENTS; i++) {
		char *more = ctl_text("%s, %s", all, clients[i].name);

		free(all);
		all = more;
	}
	return all;
}

/* ---- is it there? ---- */

static bool is_in_path(const char *program)
{
	struct span rest = span_str(getenv("PATH")), folder;
	bool found = false;

	if (program[0] == '/')
		return access(program, X_OK) == 0;
	while (!found && span_cut(&rest, ':', &folder)) {
		char *path = ctl_text("%.*s/%s", SPAN_ARG(folder), program);

		found = folder.n && access(path, X_OK) == 0;
		free(path);
	}
	return found;
}

static const char *program_of(const struct client *cl)
{
	for (size_t i = 0; i < sizeof(cl->programs) / sizeof(cl->programs[0]) && cl->programs[i]; i++)
		if (is_in_path(cl->programs[i]))
			return cl->programs[i];
	return NULL;
}

static bool is_wanted(const struct ctl_doctor *d, const struct client *cl)
{
	for (size_t i = 0; d->clients[i]; i++)
		if (strcmp(d->clients[i], cl->name) == 0)
			return true;
	return !d->clients[0];
}

/* ---- its folder, words and variables ---- */

static char *expand(const char *text, const char *folder)
{
	char *out = ctl_text("%s", text), *at;

	while ((at = strstr(out, "%T"))) {
		char *more = ctl_text("%.*s%s%s", (int)(at - out), out, folder, at + 2);

		free(out);
		out = more;
	}
	return out;
}

static const char **expand_all(const char *first, const char *const *words, size_t most, const char *folder)
{
	const char **out = mem_zalloc((most + 4) * sizeof(*out));
	size_t n = 0;

	if (first)
		out[n++] = first;
	for (size_t i = 0; i < most && words[i]; i++)
		out[n++] = expand(words[i], folder);
	return out;
}

static void write_file(const char *folder, const struct file *file)
{
	char *path = ctl_text("%s/%s", folder, file->name);
	FILE *f = fopen(path, "we");

	if (f) {
		fputs(file->text, f);
		fclose(f);
	}
	free(path);
}

/* The settings are to be the user's, what it writes not. */
static void link_settings(const struct client *cl, const char *folder)
{
	const char *set = cl->keeps.env ? getenv(cl->keeps.env) : NULL, *user = getenv("HOME");
	char *theirs = set && *set ? ctl_text("%s", set) : ctl_text("%s/%s", user ? user : "", cl->keeps.home);
	char *ours = ctl_text("%s/home", folder);

	mkdir(ours, 0700);
	for (size_t i = 0; i < sizeof(cl->keeps.names) / sizeof(cl->keeps.names[0]) && cl->keeps.names[i]; i++) {
		char *from = ctl_text("%s/%s", theirs, cl->keeps.names[i]),
		     *to = ctl_text("%s/%s", ours, cl->keeps.names[i]);

		if (access(from, R_OK) == 0 && symlink(from, to) < 0)
			ctl_say("%s: %s", to, strerror(errno));
		free(from);
		free(to);
	}
	free(theirs);
	free(ours);
}

static void prepare(const struct client *cl, const char *program, const char *top, struct ctl_trial *t)
{
	static const char *const plain[] = {"LC_ALL=C", "LANGUAGE", "NO_COLOR=1"}; /* what it says is read */
	char *folder = ctl_text("%s/%s", top, cl->name);
	const char **env = expand_all(NULL, cl->env, sizeof(cl->env) / sizeof(cl->env[0]), folder);
	size_t n = 0;

	mkdir(folder, 0700);
	for (size_t i = 0; i < sizeof(cl->files) / sizeof(cl->files[0]) && cl->files[i].name; i++)
		write_file(folder, &cl->files[i]);
	if (cl->keeps.home)
		link_settings(cl, folder);
	while (env[n])
		n++;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		env[n++] = plain[i];
	*t = (struct ctl_trial){
		.argv = expand_all(program, cl->words, WORDS, folder),
		.env = env,
		.folder = folder,
		.out = ctl_text("%s/said", folder),
		.patience = cl->patience ? cl->patience : PATIENCE,
	};
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return kind == FTW_DP ? rmdir(path) : unlink(path);
}

static int make_writable(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return kind == FTW_D ? chmod(path, 0700) : 0; /* Go leaves folders that nobody may write to */
}

static void remove_tree(const char *top)
{
	nftw(top, make_writable, 16, FTW_PHYS);
	nftw(top, remove_one, 16, FTW_PHYS | FTW_DEPTH);
}

/* ---- what came of it ---- */

enum cause { MISTRUST, BAD_PROXY, REFUSED, DIRECT, FORBIDDEN, UNKNOWN };

/* *where: the sign that was found. */
static enum cause cause_of(const char *said, const char **where)
{
	static const struct {
		enum cause cause;
		const char *word;
	} signs[] = {
		{BAD_PROXY, "resolve proxy"},
		{BAD_PROXY, "EINVALIDPROXY"},
		{BAD_PROXY, "Invalid URL"},
		{BAD_PROXY, "ERR_INVALID_URL"},
		{BAD_PROXY, "LocationParse"},
		{BAD_PROXY, "malformed"},
		{BAD_PROXY, "proxy URL"},
		{BAD_PROXY, "Unsupported proxy"},
		{MISTRUST, "certificate"},
		{MISTRUST, "self-signed"},
		{MISTRUST, "self signed"},
		{MISTRUST, "PKIX"},
		{MISTRUST, "x509"},
		{MISTRUST, "UNABLE_TO_"},
		{MISTRUST, "_CERT"},
		{MISTRUST, "SSL_connect"},
		{REFUSED, "refused"},
		{REFUSED, "ECONNREFUSED"},
		{FORBIDDEN, "403"},
		{FORBIDDEN, "407"},
		{DIRECT, "resolve"},
		{DIRECT, "ENOTFOUND"},
		{DIRECT, "EAI_AGAIN"},
		{DIRECT, "Name or service"},
		{DIRECT, "no such host"},
		{DIRECT, "UnknownHost"},
		{DIRECT, "Unknown host"},
		{DIRECT, "getaddrinfo"},
		{DIRECT, "name resolution"},
		{DIRECT, "lookup "},
		{DIRECT, "Could not reach host"},
		{DIRECT, "Could not connect"},
		{DIRECT, "Network error"},
		{DIRECT, "Failed to connect"},
		{DIRECT, "fetch failed"},
		{UNKNOWN, "Usage Error"},
		{UNKNOWN, "requires at least"},
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if ((*where = strcasestr(said, signs[i].word)))
			return signs[i].cause;
	return UNKNOWN;
}

static bool has_letter(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] | 0x20) >= 'a' && (s.p[i] | 0x20) <= 'z')
			return true;
	return false;
}

/* The line in which the sign stands, or without one the last line that says something. */
static char *telling_line(const char *said, const char *sign)
{
	struct span rest = span_str(said), line, last = SPAN_NONE;

	while (span_cut(&rest, '\n', &line)) {
		if (has_letter(line))
			last = span_trim(line);
		if (sign && sign >= line.p && sign < line.p + line.n)
			break;
	}
	return ctl_text("%.*s", SPAN_ARG(span_upto(last, SAID_BYTES)));
}

static void tell_failure(struct ctl_doctor *d, const struct client *cl, const struct ctl_trial *t)
{
	const char *trust = cl->trust ? cl->trust : CTL_FIX_ENV, *way = cl->way ? cl->way : CTL_FIX_ENV, *fix = NULL,
		   *what = "failed";
	const char *sign = NULL;
	enum cause cause = cause_of(t->said, &sign);
	char *words = telling_line(t->said, sign);

	if (t->late) {
		ctl_finding_add(&d->found, CTL_VERDICT_FAIL, GROUP, cl->name, NULL, "did not end within %d s",
				(int)(t->patience / DUR_SECOND));
		free(words);
		return;
	}
	switch (cause) {
	case MISTRUST:
		what = "does not trust our CA";
		fix = trust;
		break;
	case BAD_PROXY:
		what = "cannot use the proxy it is given";
		fix = way;
		break;
	case REFUSED:
		what = "is led to a port where nobody listens";
		fix = way;
		break;
	case DIRECT:
		what = "goes past the proxy";
		fix = way;
		break;
	case FORBIDDEN:
		what = "was refused by a proxy";
		break;
	case UNKNOWN:
		break;
	}
	if (*words)
		ctl_finding_add(&d->found, CTL_VERDICT_FAIL, GROUP, cl->name, fix, "%s: %s", what, words);
	else
		ctl_finding_add(&d->found, CTL_VERDICT_FAIL, GROUP, cl->name, way,
				"has fetched nothing, and says nothing (exit code %d)", t->status);
	free(words);
}

static void tell(struct ctl_doctor *d, const struct client *cl, const struct ctl_trial *t)
{
	bool fetched = t->status == 0 && !t->late && (!cl->expects || strstr(t->said, cl->expects));

	if (fetched)
		ctl_finding_add(&d->found, CTL_VERDICT_OK, GROUP, cl->name, NULL, "comes through us and trusts our CA");
	else if (cl->cannot && strstr(t->said, cl->cannot))
		ctl_finding_add(&d->found, CTL_VERDICT_SKIP, GROUP, cl->name, NULL,
				"is too old, or not whole, to be tried this way");
	else
		tell_failure(d, cl, t);
}

/* ---- all of them ---- */

static char *make_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = ctl_text("%s/pmcachectl.XXXXXX", tmp && *tmp ? tmp : "/tmp");

	if (mkdtemp(path))
		return path;
	ctl_say("cannot make a temporary folder: %s", strerror(errno));
	free(path);
	return NULL;
}

/* Lists those that are there in `which`; says which are not. */
static size_t choose(struct ctl_doctor *d, const struct client *which[N_CLIENTS])
{
	char *absent = NULL;
	size_t n = 0;

	for (size_t i = 0; i < N_CLIENTS; i++) {
		char *more;

		if (!is_wanted(d, &clients[i]))
			continue;
		if (program_of(&clients[i])) {
			which[n++] = &clients[i];
			continue;
		}
		more = absent ? ctl_text("%s, %s", absent, clients[i].name) : ctl_text("%s", clients[i].name);
		free(absent);
		absent = more;
	}
	if (absent)
		ctl_finding_add(&d->found, d->clients[0] ? CTL_VERDICT_FAIL : CTL_VERDICT_SKIP, GROUP, "not installed",
				NULL, "%s", absent);
	free(absent);
	return n;
}

int ctl_doctor_clients(struct ctl_doctor *d)
{
	const struct client *which[N_CLIENTS];
	struct ctl_trial trials[N_CLIENTS];
	size_t n = choose(d, which);
	char *top;
	int came;

	if (!d->answers) {
		ctl_finding_add(&d->found, CTL_VERDICT_SKIP, GROUP, "trust", NULL,
				"not tried: no pmcached answers at %s", d->proxy.proxy_url);
		return 0;
	}
	top = make_folder();
	if (!top) {
		ctl_finding_add(&d->found, CTL_VERDICT_FAIL, GROUP, "trust", NULL, "not tried: no temporary folder");
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		prepare(which[i], program_of(which[i]), top, &trials[i]);
	came = ctl_trials_run(trials, n, AT_ONCE);
	for (size_t i = 0; i < n && !came; i++)
		tell(d, which[i], &trials[i]);
	remove_tree(top);
	free(top);
	return came;
}
