/* pmcachectl ca: makes, shows and exports the CA of the bump. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/clock.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/conf/conf.h"
#include "node/ctl/ctl.h"
#include "node/tls/ca.h"

#define DOMAINS_MAX 64

/* ---- init ---- */

struct init {
	const char *name, *days;
	const char *domains[DOMAINS_MAX];
	size_t n_domains;
	bool force;
};

/* 1, 0, -1 as the options of ctl.h. */
static int init_option(struct ctl *c, struct init *o, struct ctl_args *a)
{
	const char *domain;
	int taken;

	if (ctl_flag(a, "--force"))
		return o->force = true;
	if ((taken = ctl_option(a, "--name", &o->name)) != 0)
		return taken;
	if ((taken = ctl_option(a, "--days", &o->days)) != 0)
		return taken;
	taken = ctl_option(a, "--permit-dns", &domain);
	if (taken != 1)
		return taken ? taken : ctl_common_option(c, a);
	if (o->n_domains == DOMAINS_MAX) {
		ctl_say("--permit-dns: at most %d domains", DOMAINS_MAX);
		return -1;
	}
	o->domains[o->n_domains++] = domain;
	return 1;
}

/* The state folder, and those above it, for its owner alone. */
static int make_state(const char *state)
{
	char *path = ctl_text("%s", state);
	int failed = 0;

	for (char *p = path + 1; !failed; p++) {
		char was = *p;

		if (was && was != '/')
			continue;
		*p = '\0';
		failed = mkdir(path, 0700) != 0 && errno != EEXIST;
		*p = was;
		if (!was)
			break;
	}
	if (failed)
		ctl_say("cannot make the folder %s: %s", path, strerror(errno));
	free(path);
	return failed ? CTL_FAILED : CTL_OK;
}

/* Options before the configuration before the built-in. */
static int init_ca(struct ctl *c, struct init *o)
{
	const struct conf *conf = c->conf;
	struct ca_settings set = {
		.cert_path = c->ca_cert,
		.key_path = c->ca_key,
		.common_name = o->name ? o->name : conf->ca.name,
		.life_days = ctl_days(o->days, (int)(conf->ca.life / DUR_DAY)),
		.permit_dns = o->n_domains ? o->domains : (const char *const *)conf->ca.permit_dns.v,
		.n_permit_dns = o->n_domains ? o->n_domains : conf->ca.permit_dns.n,
		.overwrite = o->force,
	};
	char why[CA_WHY_BYTES];

	if (make_state(c->state) != CTL_OK)
		return CTL_FAILED;
	if (ca_create(&set, clock_wall(&clock_system), why, sizeof(why)) != 0) {
		ctl_say("%s", why);
		return CTL_FAILED;
	}
	return CTL_OK;
}

static int ca_init(struct ctl *c, struct ctl_args *a)
{
	struct init o = {.n_domains = 0};
	int code;

	while (a->at < a->n) {
		int taken = init_option(c, &o, a);

		if (taken <= 0)
			return taken ? CTL_USAGE : ctl_unknown("ca init", a);
	}
	if (ctl_days(o.days, 1) < 0) {
		ctl_say("--days %s is not a number of days from 1 to %d", o.days, CTL_DAYS_MAX);
		return CTL_USAGE;
	}
	code = ctl_load(c);
	if (code == CTL_OK)
		code = init_ca(c, &o);
	if (code != CTL_OK)
		return code;
	if (!c->json)
		printf("made %s and %s\n%s", c->ca_cert, c->ca_key,
		       o.force ? "reload pmcached (SIGHUP), and have clients trust the new one\n" : "");
	return ctl_finish();
}

/* ---- show ---- */

static void put_fingerprint(const uint8_t sha256[32])
{
	for (int i = 0; i < 32; i++)
		printf("%s%02X", i ? ":" : "", sha256[i]);
}

static void put_string(const char *label, const char *text)
{
	size_t cap = strlen(text) * JSON_GROWTH + 2;
	struct buf b = buf_over(mem_alloc(cap), cap);

	json_put_string(&b, span_str(text));
	printf("%s%.*s", label, (int)b.n, b.p);
	free(b.p);
}

/* With the quotes of JSON, or the date and time alone. */
static void put_time(const char *label, wall_ms t, bool json)
{
	char text[40];
	struct buf b = buf_over(text, sizeof(text));

	json_put_time(&b, t);
	printf(json ? "%s%.*s" : "%s%.*s\n", label, json ? (int)b.n : (int)b.n - 2, json ? text : text + 1);
}

static void show_json(const char *path, const struct ca_about *about)
{
	put_string("{\"file\":", path);
	put_string(",\"subject\":", about->subject);
	fputs(",\"sha256\":\"", stdout);
	put_fingerprint(about->fingerprint);
	put_time("\",\"not_before\":", about->not_before, true);
	put_time(",\"not_after\":", about->not_after, true);
	put_string(",\"permit_dns\":", about->permits);
	printf(",\"root\":%s}\n", about->is_root ? "true" : "false");
}

static void show_text(const char *path, const struct ca_about *about)
{
	wall_ms left = about->not_after - clock_wall(&clock_system);

	printf("file        %s\nsubject     %s%s\nsha256      ", path, about->subject,
	       about->is_root ? "" : " (an intermediate)");
	put_fingerprint(about->fingerprint);
	put_time("\nnot before  ", about->not_before, false);
	put_time("not after   ", about->not_after, false);
	printf("            %lld days left\n", left > 0 ? (long long)(left / DUR_DAY) : 0);
	printf("signs for   %s\n", about->permits[0] ? about->permits : "any name");
}

static int ca_show(struct ctl *c, struct ctl_args *a)
{
	char why[CA_WHY_BYTES];
	struct ca_about about;
	int code = ctl_read_words(c, a, "ca show", NULL, NULL);

	if (code == CTL_OK)
		code = ctl_load(c);
	if (code != CTL_OK)
		return code;
	if (ca_describe(c->ca_cert, &about, why, sizeof(why)) != 0) {
		ctl_say("%s", why);
		return CTL_FAILED;
	}
	if (c->json)
		show_json(c->ca_cert, &about);
	else
		show_text(c->ca_cert, &about);
	return ctl_finish();
}

/* ---- export ---- */

static int format_of(const char *text, enum ca_format *out)
{
	static const char *const names[] = {[CA_PEM] = "pem", [CA_DER] = "der", [CA_P12] = "p12"};

	for (int i = CA_PEM; i <= CA_P12; i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = (enum ca_format)i;
			return 0;
		}
	}
	ctl_say("--format %s is not known here: pem, der, p12", text);
	return -1;
}

static int write_file(const char *path, const uint8_t *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	bool good = f && fwrite(bytes, 1, n, f) == n;

	if (f && fclose(f) != 0)
		good = false;
	if (!good)
		ctl_say("cannot write %s: %s", path, strerror(errno));
	return good ? CTL_OK : CTL_FAILED;
}

static int put_export(const char *out, enum ca_format format, const uint8_t *bytes, size_t n)
{
	if (out && strcmp(out, "-") != 0)
		return write_file(out, bytes, n);
	if (format != CA_PEM && isatty(STDOUT_FILENO)) {
		ctl_say("this format is not for a terminal; give --out FILE");
		return CTL_USAGE;
	}
	fwrite(bytes, 1, n, stdout);
	return ctl_finish();
}

static int ca_export_to(struct ctl *c, struct ctl_args *a)
{
	const char *format_name = "pem", *out = NULL;
	char why[CA_WHY_BYTES];
	enum ca_format format;
	uint8_t *bytes;
	size_t n;
	int code;

	while (a->at < a->n) {
		int taken = ctl_option(a, "--format", &format_name);

		if (!taken)
			taken = ctl_option(a, "--out", &out);
		if (!taken)
			taken = ctl_common_option(c, a);
		if (taken <= 0)
			return taken ? CTL_USAGE : ctl_unknown("ca export", a);
	}
	if (format_of(format_name, &format) != 0)
		return CTL_USAGE;
	code = ctl_load(c);
	if (code != CTL_OK)
		return code;
	bytes = ca_export(c->ca_cert, format, &n, why, sizeof(why));
	if (!bytes) {
		ctl_say("%s", why);
		return CTL_FAILED;
	}
	code = put_export(out, format, bytes, n);
	free(bytes);
	return code;
}

int ctl_ca(struct ctl *c, struct ctl_args *a)
{
	if (ctl_flag(a, "init"))
		return ca_init(c, a);
	if (ctl_flag(a, "show"))
		return ca_show(c, a);
	if (ctl_flag(a, "export"))
		return ca_export_to(c, a);
	ctl_say("ca: one of init, show, export is missing");
	return CTL_USAGE;
}
