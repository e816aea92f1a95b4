/* doctor: the daemon, its ports, the CA, clock, disk, upstreams and the cluster. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>

#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/conf/conf.h"
#include "node/ctl/ctl_ask.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_doctor.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_table.h"
#include "node/ctl/ctl_trust.h"
#include "node/net/portowner.h"
#include "node/tls/ca.h"
#include "proto/doctor.h"
#include "proto/url.h"

#define GROUP "node"
#define SOON_DAYS 30
#define NEAR_S 5      /* for one of our own ports */
#define UPSTREAM_S 30 /* for an origin, through the node */

#define START "systemctl start pmcached (or pmcached -c FILE)"
#define TRUST_IN_SYSTEM                                                                                                \
	"pmcachectl ca export --out /usr/local/share/ca-certificates/pmcache.crt && update-ca-certificates"

#define ADD(d, verdict, name, fix, ...) ctl_finding_add(&(d)->found, verdict, GROUP, name, fix, __VA_ARGS__)

/* ---- daemon and ports ---- */

static void look_at_daemon(struct ctl_doctor *d, char boot[17])
{
	char node[80], version[32], up[CTL_NUMBER_BYTES], *json;
	int code = ctl_control_try(d->c->control, "stats", &json), why = errno;

	boot[0] = '\0';
	if (code == CTL_OK && ctl_json_is_good(span_str(json))) {
		struct span s = span_str(json);

		d->control = true;
		ctl_json_text(s, "boot", boot, 17);
		ADD(d, CTL_VERDICT_OK, "daemon", NULL, "pmcached %s serves as %s, up %s",
		    ctl_json_text(s, "version", version, sizeof(version)), ctl_json_text(s, "node", node, sizeof(node)),
		    ctl_format_s(ctl_json_u64(s, "uptime_s"), up));
	} else if (code == CTL_NO_DAEMON && why == EACCES) {
		ADD(d, CTL_VERDICT_SKIP, "daemon", NULL, "%s is for its user and root", d->c->control);
	} else if (code == CTL_NO_DAEMON) {
		ADD(d, CTL_VERDICT_FAIL, "daemon", START, "does not answer at %s: %s", d->c->control, strerror(why));
	} else {
		ADD(d, CTL_VERDICT_FAIL, "daemon", NULL, "%s", json ? json : "gave an answer that is not understood");
	}
	free(json);
}

static void tell_stranger(struct ctl_doctor *d, const char *name, const struct ctl_door *door)
{
	char owner[200];

	portowner_describe((uint16_t)strtol(door->port, NULL, 10), owner, sizeof(owner));
	ADD(d, CTL_VERDICT_FAIL, name, "stop it, or give pmcached another port under listen", "is not pmcached's: %s",
	    owner);
}

static bool tell_answer(struct ctl_doctor *d, const char *name, const struct ctl_door *door, const struct ctl_answer *a,
			const char *boot)
{
	struct span about = span_str(a->body);
	char node[80], theirs[17];

	if (a->status == 403 && *a->error) {
		ADD(d, CTL_VERDICT_FAIL, name, "add this address to access.clients", "refuses us: %s", a->error);
		return false;
	}
	if (a->status != 200 || !ctl_json_is_good(about) || !ctl_json_has(about, "boot")) {
		tell_stranger(d, name, door);
		return false;
	}
	ctl_json_text(about, "node", node, sizeof(node));
	ctl_json_text(about, "boot", theirs, sizeof(theirs));
	if (*boot && strcmp(boot, theirs) != 0) {
		ADD(d, CTL_VERDICT_FAIL, name, "stop it, or give pmcached another port under listen",
		    "is another pmcached's, %s, not that of %s", node, d->c->control);
		return true;
	}
	ADD(d, CTL_VERDICT_OK, name, NULL, "pmcached listens (%s), %s", node,
	    door->bump ? "and bumps" : "without bumping: https passes uncached");
	return true;
}

static bool look_at_door(struct ctl_doctor *d, const struct ctl_door *door, const char *boot)
{
	struct ctl_answer *a = NEW(struct ctl_answer);
	char *name = ctl_text("%s:%s", door->host, door->port);
	bool answers = false;

	ctl_ask(door->host, door->port, "GET", "http://" DOCTOR_HOST DOCTOR_ABOUT, DOCTOR_HOST, NEAR_S, a);
	switch (a->end) {
	case CTL_ASK_ANSWERED:
		answers = tell_answer(d, name, door, a, boot);
		break;
	case CTL_ASK_REFUSED:
		ADD(d, CTL_VERDICT_FAIL, name, START, "nobody listens");
		break;
	case CTL_ASK_FAILED:
		ADD(d, CTL_VERDICT_FAIL, name, NULL, "cannot be reached: %s", a->why);
		break;
	case CTL_ASK_SILENT:
		tell_stranger(d, name, door);
		break;
	}
	free(name);
	free(a);
	return answers;
}

/* ---- CA, clock ---- */

/* What stands between the lines of a PEM certificate, without line ends. */
static char *base64_of(const char *ca_cert)
{
	char why[CA_WHY_BYTES], *out;
	size_t n, at = 0;
	uint8_t *pem = ca_export(ca_cert, CA_PEM, &n, why, sizeof(why));
	struct span rest, line;

	if (!pem)
		return NULL;
	out = mem_alloc(n + 1);
	rest = span_of((const char *)pem, n);
	while (span_cut(&rest, '\n', &line)) {
		if (span_starts(line, SPAN("-----")))
			continue;
		memcpy(out + at, line.p, line.n);
		at += line.n;
	}
	out[at] = '\0';
	free(pem);
	return out;
}

static void look_at_system_store(struct ctl_doctor *d)
{
	const char *system = ctl_trust_system_bundle();
	struct ctl_judgement j;

	if (!d->ca)
		return;
	if (!system) {
		ADD(d, CTL_VERDICT_WARN, "system store", "install ca-certificates",
		    "the system's certificates are in none of the usual places");
		return;
	}
	j = ctl_doctor_judge_ca_file(d, system);
	if (j.verdict == CTL_VERDICT_OK)
		ADD(d, j.verdict, "system store", NULL, "%s holds our CA", system);
	else if (getenv("SSL_CERT_FILE"))
		ADD(d, CTL_VERDICT_SKIP, "system store", NULL,
		    "%s does not hold our CA; SSL_CERT_FILE is set in its place", system);
	else
		ADD(d, CTL_VERDICT_WARN, "system store", TRUST_IN_SYSTEM, "%s does not hold our CA", system);
}

static void look_at_ca(struct ctl_doctor *d)
{
	char why[CA_WHY_BYTES];
	struct ca_about about;
	wall_ms now = clock_wall(&clock_system);

	if (ca_describe(d->c->ca_cert, &about, why, sizeof(why)) != 0) {
		ADD(d, CTL_VERDICT_FAIL, "CA", "start pmcached once, or pmcachectl ca init", "%s", why);
		return;
	}
	d->ca = base64_of(d->c->ca_cert);
	if (now >= about.not_after)
		ADD(d, CTL_VERDICT_FAIL, "CA",
		    "pmcachectl ca init --force, restart pmcached, have clients trust the new one", "%s has ended",
		    about.subject);
	else if (now < about.not_before)
		ADD(d, CTL_VERDICT_FAIL, "CA", "set the clock", "%s is not good yet: this machine's clock is late",
		    about.subject);
	else if (about.not_after - now < SOON_DAYS * DUR_DAY)
		ADD(d, CTL_VERDICT_WARN, "CA",
		    "pmcachectl ca init --force, restart pmcached, have clients trust the new one",
		    "%s ends in %d days", about.subject, (int)((about.not_after - now) / DUR_DAY));
	else
		ADD(d, CTL_VERDICT_OK, "CA", NULL, "%s is good for %d days", about.subject,
		    (int)((about.not_after - now) / DUR_DAY));
	if (*about.permits)
		ADD(d, CTL_VERDICT_WARN, "CA", NULL,
		    "is good for %s alone, hence no client can be tried with " DOCTOR_HOST, about.permits);
	look_at_system_store(d);
}

static void look_at_clock(struct ctl_doctor *d)
{
	struct timex t = {0};

	if (adjtimex(&t) < 0)
		ADD(d, CTL_VERDICT_SKIP, "clock", NULL, "cannot be looked at: %s", strerror(errno));
	else if (t.status & STA_UNSYNC)
		ADD(d, CTL_VERDICT_WARN, "clock", "timedatectl set-ntp true",
		    "is not kept in time: certificates and ages are judged by it");
	else
		ADD(d, CTL_VERDICT_OK, "clock", NULL, "is kept in time");
}

/* ---- disk ---- */

static void look_at_disk(struct ctl_doctor *d)
{
	const struct conf *conf = d->c->conf;
	unsigned floor = conf->policy->cache.disk_min_free_percent, free_percent;
	char free_text[CTL_NUMBER_BYTES];
	struct statvfs fs;

	if (d->c->state_opt && !d->c->config)
		return; /* where the cache is stands in a configuration that was not given */
	if (!conf->disk_path) {
		ADD(d, CTL_VERDICT_SKIP, "disk", NULL, "no tier on disk is configured (cache.disk)");
		return;
	}
	if (statvfs(conf->disk_path, &fs) < 0) {
		ADD(d, CTL_VERDICT_FAIL, "disk", "start pmcached, which makes it, or see to its parent folder",
		    "%s: %s", conf->disk_path, strerror(errno));
		return;
	}
	free_percent = fs.f_blocks ? (unsigned)((double)fs.f_bavail * 100 / (double)fs.f_blocks) : 0;
	ctl_format_bytes((uint64_t)fs.f_bavail * fs.f_frsize, free_text);
	if (fs.f_flag & ST_RDONLY)
		ADD(d, CTL_VERDICT_FAIL, "disk", "mount it read-write; see dmesg for why it is not",
		    "%s can only be read", conf->disk_path);
	else if (fs.f_files && fs.f_favail == 0)
		ADD(d, CTL_VERDICT_FAIL, "disk", NULL, "%s has no inode left", conf->disk_path);
	else if (free_percent < floor)
		ADD(d, CTL_VERDICT_WARN, "disk", "make room, or lower cache.disk.size or cache.disk.min_free",
		    "%s free (%u %%), below the floor of %u %%: stored responses go until it is kept", free_text,
		    free_percent, floor);
	else
		ADD(d, CTL_VERDICT_OK, "disk", NULL, "%s free (%u %%), floor %u %%: %s", free_text, free_percent, floor,
		    conf->disk_path);
}

/* ---- upstreams ---- */

static void tell_upstream(struct ctl_doctor *d, const char *name, const struct ctl_answer *a)
{
	const struct policy *p = d->c->conf->policy;
	bool dns = strncmp(a->error, "dns-", 4) == 0, cert = strncmp(a->error, "cert-", 5) == 0;
	char *way = p->upstream.proxy_host ? ctl_text(" through upstream.proxy") : ctl_text("%s", "");

	if (a->end != CTL_ASK_ANSWERED)
		ADD(d, CTL_VERDICT_FAIL, name, NULL, "no answer within %d s", UPSTREAM_S);
	else if (strcmp(a->error, "offline") == 0)
		ADD(d, CTL_VERDICT_WARN, name, "pmcachectl offline config, or cache.offline: off",
		    "not asked: the node is offline");
	else if (*a->error)
		ADD(d, CTL_VERDICT_FAIL, name,
		    dns    ? "see to /etc/resolv.conf, or upstream.hosts_file"
		    : cert ? "have upstream.ca_file name the CA that this origin's certificate is from"
			   : NULL,
		    "%s%s", a->error, way);
	else
		ADD(d, CTL_VERDICT_OK, name, NULL, "answers %d%s", a->status, way);
	free(way);
}

static void look_at_upstream(struct ctl_doctor *d, const char *text)
{
	struct ctl_answer *a = NEW(struct ctl_answer);
	char *name, *authority;
	enum reason why;
	struct url u;

	if (url_parse_absolute(span_str(text), &u, &why) != 0) { /* cannot be: the command has looked */
		free(a);
		return;
	}
	name = ctl_text("origin %.*s", SPAN_ARG(u.host));
	authority = ctl_text(u.is_ipv6 ? "[%.*s]:%u" : "%.*s:%u", SPAN_ARG(u.host), u.port);
	ctl_ask(d->proxy.proxy_host, d->proxy.proxy_port, "HEAD", text, authority, UPSTREAM_S, a);
	tell_upstream(d, name, a);
	free(authority);
	free(name);
	free(a);
}

static void look_at_upstreams(struct ctl_doctor *d)
{
	if (!d->answers)
		ADD(d, CTL_VERDICT_SKIP, "origins", NULL, "not tried: no pmcached answers at %s", d->proxy.proxy_url);
	else if (!d->upstreams[0])
		ADD(d, CTL_VERDICT_SKIP, "origins", NULL, "none to try; --upstream URL names one");
	for (size_t i = 0; d->answers && d->upstreams[i]; i++)
		look_at_upstream(d, d->upstreams[i]);
}

/* ---- the cluster ---- */

static bool is_well(const char *state)
{
	return strcmp(state, "up") == 0 || strcmp(state, "new") == 0 || strcmp(state, "draining") == 0;
}

/* How many there are, and how many of them are not well. */
static size_t look_at_nodes(struct ctl_doctor *d, struct span list, const char *kind, size_t *ill)
{
	struct span node;
	size_t n = 0;

	for (*ill = 0; ctl_json_next(&list, &node); n++) {
		char name[80], state[32], address[300], *title;

		ctl_json_text(node, "name", name, sizeof(name));
		ctl_json_text(node, "state", state, sizeof(state));
		if (is_well(state))
			continue;
		++*ill;
		title = ctl_text("%s %s", kind, name);
		ADD(d, CTL_VERDICT_WARN, title,
		    strcmp(state, "udp-blocked") == 0
			    ? "let UDP to the cluster port through in both directions"
			    : "see whether it runs, and whether its cluster port is reachable",
		    "is %s (%s)", state, ctl_json_text(node, "address", address, sizeof(address)));
		free(title);
	}
	return n;
}

static void look_at_certificate(struct ctl_doctor *d, struct span peers)
{
	char text[40], until[40], soon[40];
	struct buf b = buf_over(text, sizeof(text) - 1);

	json_put_time(&b, clock_wall(&clock_system) + SOON_DAYS * DUR_DAY);
	text[b.n] = '\0';
	snprintf(soon, sizeof(soon), "%.*s", (int)b.n - 2,
		 text + 1); /* without its quotes; such times compare as text */
	ctl_json_text(peers, "certificate_not_after", until, sizeof(until));
	if (*until && strcmp(until, soon) < 0)
		ADD(d, CTL_VERDICT_WARN, "certificate", "pmcachectl cluster issue NODE --renew, and copy it here",
		    "of this node in the cluster ends at %s", until);
}

static void look_at_cluster(struct ctl_doctor *d)
{
	size_t peers, parents, ill, down;
	struct span s;
	char *json;
	int code;

	if (!d->control) {
		ADD(d, CTL_VERDICT_SKIP, "cluster", NULL, "not asked: no daemon answers at the control socket");
		return;
	}
	code = ctl_control_try(d->c->control, "peers", &json);
	if (code != CTL_OK || !ctl_json_is_good(span_str(json))) {
		ADD(d, CTL_VERDICT_SKIP, "cluster", NULL, "%s", code == CTL_FAILED ? json : "gave no answer");
		free(json);
		return;
	}
	s = span_str(json);
	peers = look_at_nodes(d, ctl_json_get(s, "peers"), "peer", &ill);
	parents = look_at_nodes(d, ctl_json_get(s, "parents"), "parent", &down);
	if (parents && down == parents)
		ADD(d, CTL_VERDICT_FAIL, "parents", NULL,
		    "none of %zu is up: what siblings do not have comes from origins, or not at all", parents);
	look_at_certificate(d, s);
	ADD(d, CTL_VERDICT_OK, "cluster", NULL, "%zu of %zu peers and %zu of %zu parents are up", peers - ill, peers,
	    parents - down, parents);
	free(json);
}

void ctl_doctor_node(struct ctl_doctor *d)
{
	char boot[17] = "";

	if (d->in_state)
		look_at_daemon(d, boot);
	for (size_t i = 0; i < d->n_doors; i++) {
		bool answers = look_at_door(d, &d->doors[i], boot);

		d->answers |= answers && i == 0;
	}
	if (d->in_state) {
		look_at_ca(d);
		look_at_disk(d);
	}
	look_at_clock(d);
	look_at_upstreams(d);
	if (d->in_state)
		look_at_cluster(d);
}
