/* doctor: the variables of the caller. */
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl_doctor.h"

#define GROUP "environment"

static void add(struct ctl_doctor *d, enum ctl_verdict verdict, const char *name, const char *what)
{
	ctl_finding_add(&d->found, verdict, GROUP, name, verdict >= CTL_VERDICT_WARN ? CTL_FIX_ENV : NULL, "%s", what);
}

/* ---- proxies ---- */

/* A variable and its twin in capitals. What is said of one that is good alone is said by the caller. */
static void look_at_pair(struct ctl_doctor *d, const char *lower, const char *upper, const char *readers)
{
	const char *l = getenv(lower), *u = getenv(upper);
	struct ctl_judgement j = ctl_doctor_judge_proxy(l ? l : u, d->doors, d->n_doors);
	char *both = ctl_text("%s, %s", lower, upper), *text;

	if (l && u && strcmp(l, u) != 0) {
		text = ctl_text("differ: \"%s\" and \"%s\"; programs read one or the other", l, u);
		add(d, CTL_VERDICT_WARN, both, text);
		free(text);
		if (j.verdict == CTL_VERDICT_OK)
			j = ctl_doctor_judge_proxy(u, d->doors, d->n_doors);
	} else if (!l) {
		text = ctl_text("is not set, only %s is: %s", upper, readers);
		add(d, CTL_VERDICT_WARN, lower, text);
		free(text);
	} else if (!u) {
		text = ctl_text("is not set, only %s is: a few programs read only this one", lower);
		add(d, CTL_VERDICT_WARN, upper, text);
		free(text);
	}
	text = ctl_text("\"%s\" %s", l ? l : u, j.what);
	add(d, j.verdict, l && u ? both : l ? lower : upper, text);
	free(text);
	free(both);
}

static void look_at_proxies(struct ctl_doctor *d)
{
	bool http = getenv("http_proxy") || getenv("HTTP_PROXY"),
	     https = getenv("https_proxy") || getenv("HTTPS_PROXY");

	if (!http && !https) {
		add(d, CTL_VERDICT_WARN, "http_proxy, https_proxy",
		    "are not set: programs that read them go past the cache");
		return;
	}
	if (http)
		look_at_pair(d, "http_proxy", "HTTP_PROXY", "curl, wget and apt do not read that");
	else
		add(d, CTL_VERDICT_FAIL, "http_proxy",
		    "is not set, only https_proxy is: Bundler reads nothing else, and goes direct");
	if (https)
		look_at_pair(d, "https_proxy", "HTTPS_PROXY", "wget does not read that");
	else
		add(d, CTL_VERDICT_FAIL, "https_proxy",
		    "is not set, only http_proxy is: most programs go past the cache for https");
}

/* Each of them wins over the four above, for one program. */
static void look_at_shadows(struct ctl_doctor *d)
{
	static const char *const names[] = {
		"npm_config_proxy",
		"NPM_CONFIG_PROXY",
		"npm_config_https_proxy",
		"NPM_CONFIG_HTTPS_PROXY",
		"YARN_HTTP_PROXY",
		"YARN_HTTPS_PROXY",
		"PIP_PROXY",
		"CARGO_HTTP_PROXY",
		"BUNDLE_HTTP_PROXY",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);
		struct ctl_judgement j;
		char *text;

		if (!value || !*value)
			continue;
		j = ctl_doctor_judge_proxy(value, d->doors, d->n_doors);
		if (j.verdict == CTL_VERDICT_OK)
			continue;
		text = ctl_text("\"%s\" %s; it wins over http_proxy and https_proxy", value, j.what);
		add(d, j.verdict, names[i], text);
		free(text);
	}
}

static void look_at_all_proxy(struct ctl_doctor *d)
{
	static const char *const names[] = {"all_proxy", "ALL_PROXY"};

	for (size_t i = 0; i < 2; i++) {
		const char *value = getenv(names[i]);

		if (value && *value && ctl_doctor_judge_proxy(value, d->doors, d->n_doors).verdict != CTL_VERDICT_OK)
			ctl_finding_add(&d->found, CTL_VERDICT_WARN, GROUP, names[i], "unset all_proxy ALL_PROXY",
					"\"%s\" is taken where no other variable says something", value);
	}
}

static void look_at_no_proxy(struct ctl_doctor *d)
{
	static const char *const names[] = {"no_proxy", "NO_PROXY", "npm_config_noproxy", "NPM_CONFIG_NOPROXY"};
	const char *l = getenv("no_proxy");

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);
		struct ctl_judgement j;

		if (!value)
			continue;
		j = ctl_doctor_judge_no_proxy(value);
		if (j.verdict == CTL_VERDICT_OK && i == 1 && l && strcmp(l, value) == 0)
			continue; /* the same once more */
		ctl_finding_add(&d->found, j.verdict, GROUP, names[i],
				j.verdict == CTL_VERDICT_OK ? NULL : "take that entry out, or " CTL_FIX_ENV,
				"\"%s\" %s", value, j.what);
	}
}

/* ---- trust ---- */

static void look_at_ca_files(struct ctl_doctor *d)
{
	size_t good = 0, unknown = 0;
	const char *name;

	for (size_t i = 0; (name = ctl_vars_ca_name(i)); i++) {
		const char *path = getenv(name);
		struct ctl_judgement j;

		if (!path || !*path)
			continue;
		j = ctl_doctor_judge_ca_file(d, path);
		good += j.verdict == CTL_VERDICT_OK;
		unknown += j.verdict == CTL_VERDICT_SKIP;
		if (j.verdict == CTL_VERDICT_FAIL)
			ctl_finding_add(&d->found, j.verdict, GROUP, name, CTL_FIX_ENV, "%s %s", path, j.what);
	}
	if (good)
		ctl_finding_add(&d->found, CTL_VERDICT_OK, GROUP, "CA variables", NULL,
				"%zu of them name a file with our CA", good);
	else if (unknown)
		ctl_finding_add(&d->found, CTL_VERDICT_SKIP, GROUP, "CA variables", NULL,
				"%zu are set; our CA is not readable here to compare", unknown);
	else
		ctl_finding_add(&d->found, CTL_VERDICT_WARN, GROUP, "CA variables", CTL_FIX_ENV,
				"none names a file with our CA: node, pip and others look into no system store");
}

static void look_at_switches(struct ctl_doctor *d)
{
	static const struct {
		const char *name, *value; /* NULL: any */
	} switches[] = {
		{"NODE_TLS_REJECT_UNAUTHORIZED", "0"},
		{"GIT_SSL_NO_VERIFY", NULL},
		{"PYTHONHTTPSVERIFY", "0"},
		{"npm_config_strict_ssl", "false"},
		{"YARN_ENABLE_STRICT_SSL", "false"},
		{"PERL_LWP_SSL_VERIFY_HOSTNAME", "0"},
	};

	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		const char *value = getenv(switches[i].name);
		char *fix;

		if (!value || (switches[i].value && strcmp(value, switches[i].value) != 0))
			continue;
		fix = ctl_text("unset %s", switches[i].name);
		ctl_finding_add(
			&d->found, CTL_VERDICT_WARN, GROUP, switches[i].name, fix,
			"switches off that certificates are looked at: our CA is not needed, and anybody may be trusted");
		free(fix);
	}
}

void ctl_doctor_environment(struct ctl_doctor *d)
{
	look_at_proxies(d);
	look_at_shadows(d);
	look_at_all_proxy(d);
	look_at_no_proxy(d);
	look_at_ca_files(d);
	look_at_switches(d);
}
