/* pmcachectl cluster: makes a cluster, lets nodes in, changes its keys. Works on files alone (ctl_roster.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_roster.h"
#include "node/ctl/ctl_setup.h"
#include "node/tls/ca.h"
#include "proto/rendezvous.h"

#define CA_DAYS 3650
#define NODE_DAYS 365
#define STANDARD_PORT "8083"
#define LAST_KEY 127

struct options {
	const char *word; /* the cluster's or the node's name */
	const char *dir, *days, *role, *address, *step;
	bool renew;
};

/* The options of one command, "d" --dir, "n" --days, "r" --role, --address and --renew, "s" --step, "w" one word without a dash. */
static int next_option(struct ctl *c, struct ctl_args *a, const char *known, struct options *o)
{
	int taken = 0;

	if (strchr(known, 'd'))
		taken = ctl_option(a, "--dir", &o->dir);
	if (!taken && strchr(known, 'n'))
		taken = ctl_option(a, "--days", &o->days);
	if (!taken && strchr(known, 's'))
		taken = ctl_option(a, "--step", &o->step);
	if (!taken && strchr(known, 'r'))
		taken = ctl_option(a, "--role", &o->role);
	if (!taken && strchr(known, 'r'))
		taken = ctl_option(a, "--address", &o->address);
	if (!taken && strchr(known, 'r') && ctl_flag(a, "--renew"))
		taken = o->renew = true;
	if (!taken)
		taken = ctl_common_option(c, a);
	if (!taken && strchr(known, 'w') && !o->word && a->v[a->at][0] != '-') {
		o->word = a->v[a->at++];
		taken = 1;
	}
	return taken;
}

/* Also the days. CTL_OK or CTL_USAGE. */
static int read_options(struct ctl *c, struct ctl_args *a, const char *command, const char *known, struct options *o)
{
	while (a->at < a->n) {
		int taken = next_option(c, a, known, o);

		if (taken <= 0)
			return taken ? CTL_USAGE : ctl_unknown(command, a);
	}
	if (strchr(known, 'w') && !o->word) {
		ctl_say("%s: a name is missing", command);
		return CTL_USAGE;
	}
	if (o->word && !nodecert_name_is_good(span_str(o->word))) {
		ctl_say("%s: \"%s\" is not a name of 1 to %d letters, digits, '.', '-' and '_' that begins with a letter or "
			"digit",
			command, o->word, NODECERT_NAME_BYTES);
		return CTL_USAGE;
	}
	if (ctl_days(o->days, 1) < 0) {
		ctl_say("--days %s is not a number of days from 1 to %d", o->days, CTL_DAYS_MAX);
		return CTL_USAGE;
	}
	return CTL_OK;
}

static int open_roster(const struct options *o, struct ctl_roster *r)
{
	const char *folder = o->dir ? o->dir : ctl_roster_find();

	return folder ? ctl_roster_open(folder, r) : CTL_USAGE;
}

/* "2027-11-23", or with all the rest and the quotes of JSON. */
static void put_date(wall_ms t, bool json)
{
	char text[40];
	struct buf b = buf_over(text, sizeof(text));

	json_put_time(&b, t);
	if (json)
		printf("%.*s", (int)b.n, text);
	else
		printf("%.10s", text + 1);
}

static void put_json_text(const char *label, const char *text)
{
	size_t cap = strlen(text) * JSON_GROWTH + 2;
	struct buf b = buf_over(mem_alloc(cap), cap);

	json_put_string(&b, span_str(text));
	printf("%s%.*s", label, (int)b.n, b.p);
	free(b.p);
}

/* ---- init ---- */

static int cluster_init(struct ctl *c, struct ctl_args *a)
{
	struct options o = {0};
	const char *folder;
	int code = read_options(c, a, "cluster init", "wdn", &o);

	if (code != CTL_OK)
		return code;
	folder = o.dir ? o.dir : ctl_text("%s-cluster", o.word);
	code = ctl_roster_make(folder, o.word, ctl_days(o.days, CA_DAYS), clock_wall(&clock_system));
	if (code != CTL_OK)
		return code;
	if (c->json) {
		put_json_text("{\"folder\":", folder);
		puts("}");
	} else {
		printf("made %s: the CA and the keys of the cluster %s\n"
		       "Whoever has this folder can let nodes in: keep it private, keep a backup, and put it on no node.\n"
		       "next: pmcachectl cluster issue NODE --role edge|parent --address HOST:PORT --dir %s\n",
		       folder, o.word, folder);
	}
	return ctl_finish();
}

/* ---- issue ---- */

/* Role and address, from the options, else as they were. */
static int describe_member(const struct options *o, const struct ctl_member *before, struct ctl_member *m)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
	char *host, *port;

	*m = before ? *before : (struct ctl_member){.name = o->word};
	if (!before && !o->role) {
		ctl_say("cluster issue: --role edge, parent or admin is missing");
		return CTL_USAGE;
	}
	if (o->role && nodecert_role(span_str(o->role), &m->role) < 0) {
		ctl_say("--role %s is not known here: edge, parent, admin", o->role);
		return CTL_USAGE;
	}
	if (o->address) {
		if (strspn(o->address, letters) != strlen(o->address) ||
		    ctl_setup_split(o->address, STANDARD_PORT, &host, &port) < 0 || strcmp(port, "0") == 0) {
			ctl_say("--address \"%s\" is neither HOST nor HOST:PORT", o->address);
			return CTL_USAGE;
		}
		m->host = host;
		m->port = port;
	}
	if (!m->host && m->role != NODE_ADMIN) {
		ctl_say("cluster issue: --address HOST:PORT is missing: where do the other nodes reach %s?", m->name);
		return CTL_USAGE;
	}
	return CTL_OK;
}

/* Datagrams name nodes by ids made from their names. */
static int check_clash(const struct ctl_roster *r, const char *name)
{
	uint32_t id = rendezvous_node_id(span_str(name));

	for (size_t i = 0; i < r->n_members; i++) {
		const char *other = r->members[i].name;

		if (strcmp(other, name) == 0 || rendezvous_node_id(span_str(other)) != id)
			continue;
		ctl_say("%s has by chance the same id as %s; choose another name", name, other);
		return CTL_FAILED;
	}
	return CTL_OK;
}

static int make_certificate(const struct ctl_roster *r, const struct ctl_member *m, int days)
{
	char *ca = ctl_roster_path(r, "cluster-ca.crt"), *ca_key = ctl_roster_path(r, "cluster-ca.key"),
	     *folder = ctl_roster_node_path(r, m->name, ""), *cert = ctl_roster_node_path(r, m->name, "node.crt"),
	     *key = ctl_roster_node_path(r, m->name, "node.key"), why[NODECERT_WHY_BYTES];
	struct node_name who = {.role = m->role};
	int code = CTL_OK;

	snprintf(who.cluster, sizeof(who.cluster), "%s", r->cluster);
	snprintf(who.node, sizeof(who.node), "%s", m->name);
	mkdir(folder, 0700); /* if that fails, so does the next, and says why */
	/* What lies in the folder of one that is no member is left from an attempt that was broken off. */
	if (nodecert_issue(ca, ca_key, &who, days, clock_wall(&clock_system), cert, key, true, why, sizeof(why)) < 0) {
		ctl_say("%s", why);
		code = CTL_FAILED;
	}
	free(ca);
	free(ca_key);
	free(folder);
	free(cert);
	free(key);
	return code;
}

static bool has_parents(const struct ctl_roster *r)
{
	for (size_t i = 0; i < r->n_members; i++)
		if (r->members[i].role == NODE_PARENT)
			return true;
	return false;
}

static bool same_place(const struct ctl_member *a, const struct ctl_member *b)
{
	if (!a->host || !b->host)
		return a->host == b->host;
	return strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

/* Who comes, goes or moves changes the others' files: parents always, others where no parent tells of them. */
static bool concerns_others(const struct ctl_roster *r, const struct ctl_member *before, const struct ctl_member *m)
{
	bool parent = m->role == NODE_PARENT || (before && before->role == NODE_PARENT);

	if (before && before->role == m->role && same_place(before, m))
		return false;
	if (m->role == NODE_ADMIN && (!before || before->role == NODE_ADMIN))
		return false;
	return parent || !has_parents(r);
}

static bool ends_when(const struct ctl_roster *r, const char *name, wall_ms *not_after)
{
	char *cert = ctl_roster_node_path(r, name, "node.crt"), why[NODECERT_WHY_BYTES];
	struct node_name who;
	bool good = nodecert_describe(cert, &who, not_after, why, sizeof(why)) == 0;

	free(cert);
	return good;
}

static void tell_issued(const struct ctl_roster *r, const struct ctl_member *m, bool others, bool renewed)
{
	char *folder = ctl_roster_node_path(r, m->name, "");
	wall_ms end;

	printf("%s %s: certificate for %s %s of %s", renewed ? "renewed" : "made", folder, nodecert_role_word(m->role),
	       m->name, r->cluster);
	if (ends_when(r, m->name, &end)) {
		fputs(", until ", stdout);
		put_date(end, false);
	}
	if (m->role == NODE_ADMIN)
		puts("\ncopy this folder to the machine of the administrator; it is good for purges of the whole cluster");
	else
		printf("\ncopy into the state folder of %s:  all of it but cluster.yaml (the daemon's user must own it)\n"
		       "its configuration:  cluster.yaml, alone or as a part of the one that it has\n",
		       m->name);
	if (others && r->n_members > 1)
		printf("the others' cluster.yaml below %s/nodes have changed: copy them, too, and reload (SIGHUP)\n",
		       r->folder);
	else if (m->role == NODE_EDGE && has_parents(r))
		puts("the other nodes learn of it from the parents");
	free(folder);
}

static void tell_issued_json(const struct ctl_roster *r, const struct ctl_member *m, bool others)
{
	char *folder = ctl_roster_node_path(r, m->name, "");
	wall_ms end;

	put_json_text("{\"name\":", m->name);
	put_json_text(",\"folder\":", folder);
	if (ends_when(r, m->name, &end)) {
		fputs(",\"not_after\":", stdout);
		put_date(end, true);
	}
	printf(",\"others_changed\":%s}\n", others && r->n_members > 1 ? "true" : "false");
	free(folder);
}

static int issue(struct ctl *c, const struct options *o, struct ctl_roster *r)
{
	struct ctl_member *before = ctl_roster_member(r, o->word), m;
	bool others;
	int code;

	if (before && !o->renew) {
		ctl_say("%s is in the cluster already; --renew makes a new certificate and key for it", o->word);
		return CTL_FAILED;
	}
	if (!before && o->renew) {
		ctl_say("%s is not in the cluster, so there is nothing to renew", o->word);
		return CTL_FAILED;
	}
	code = describe_member(o, before, &m);
	if (code == CTL_OK)
		code = check_clash(r, m.name);
	if (code == CTL_OK)
		code = make_certificate(r, &m, ctl_days(o->days, NODE_DAYS));
	if (code != CTL_OK)
		return code;
	others = concerns_others(r, before, &m);
	if (before)
		*before = m;
	else
		ctl_roster_add(r, &m);
	code = ctl_roster_save(r);
	if (code == CTL_OK)
		code = others ? ctl_roster_equip_all(r) : ctl_roster_equip(r, ctl_roster_member(r, m.name));
	if (code != CTL_OK)
		return code;
	if (c->json)
		tell_issued_json(r, &m, others);
	else
		tell_issued(r, &m, others, before);
	return ctl_finish();
}

static int cluster_issue(struct ctl *c, struct ctl_args *a)
{
	struct options o = {0};
	struct ctl_roster r;
	int code = read_options(c, a, "cluster issue", "wdnr", &o);

	if (code == CTL_OK)
		code = open_roster(&o, &r);
	return code == CTL_OK ? issue(c, &o, &r) : code;
}

/* ---- list ---- */

static void put_keys(const struct ctl_roster *r, bool json)
{
	for (size_t i = 0; i < r->n_keys; i++)
		printf("%s%u%s", i ? json ? "," : ", " : "", r->keys[i],
		       !json && r->keys[i] == r->active ? " (active)" : "");
}

static bool ca_end(const struct ctl_roster *r, wall_ms *not_after)
{
	char *cert = ctl_roster_path(r, "cluster-ca.crt"), why[CA_WHY_BYTES];
	struct ca_about about;
	bool good = ca_describe(cert, &about, why, sizeof(why)) == 0;

	*not_after = about.not_after;
	free(cert);
	return good;
}

static void list_json(const struct ctl_roster *r)
{
	wall_ms end;

	put_json_text("{\"cluster\":", r->cluster);
	if (ca_end(r, &end)) {
		fputs(",\"ca_not_after\":", stdout);
		put_date(end, true);
	}
	fputs(",\"peer_keys\":[", stdout);
	put_keys(r, true);
	printf("],\"active_key\":%u,\"nodes\":[", r->active);
	for (size_t i = 0; i < r->n_members; i++) {
		const struct ctl_member *m = &r->members[i];

		printf("%s{\"name\":\"%s\",\"role\":\"%s\"", i ? "," : "", m->name, nodecert_role_word(m->role));
		if (m->host)
			printf(",\"address\":\"%s:%s\"", m->host, m->port);
		if (ends_when(r, m->name, &end)) {
			fputs(",\"not_after\":", stdout);
			put_date(end, true);
		}
		putchar('}');
	}
	puts("]}");
}

/* "2027-11-23 (in 364 days)" */
static void put_end(bool known, wall_ms end)
{
	wall_ms left = end - clock_wall(&clock_system);

	if (!known) {
		fputs("no certificate", stdout);
		return;
	}
	put_date(end, false);
	if (left > 0)
		printf(" (in %lld days)", (long long)(left / DUR_DAY));
	else
		fputs(" (expired)", stdout);
}

static void list_text(const struct ctl_roster *r)
{
	wall_ms end;
	bool known = ca_end(r, &end);

	printf("cluster    %s\nCA ends    ", r->cluster);
	put_end(known, end);
	fputs("\npeer keys  ", stdout);
	put_keys(r, false);
	printf("\n\n%-24s %-7s %-28s %s\n", "node", "role", "address", "certificate ends");
	for (size_t i = 0; i < r->n_members; i++) {
		const struct ctl_member *m = &r->members[i];
		char *address = m->host ? ctl_text("%s:%s", m->host, m->port) : ctl_text("-");

		printf("%-24s %-7s %-28s ", m->name, nodecert_role_word(m->role), address);
		free(address);
		known = ends_when(r, m->name, &end);
		put_end(known, end);
		putchar('\n');
	}
}

static int cluster_list(struct ctl *c, struct ctl_args *a)
{
	struct options o = {0};
	struct ctl_roster r;
	int code = read_options(c, a, "cluster list", "d", &o);

	if (code == CTL_OK)
		code = open_roster(&o, &r);
	if (code != CTL_OK)
		return code;
	if (c->json)
		list_json(&r);
	else
		list_text(&r);
	return ctl_finish();
}

/* ---- rotate-key ----
 *
 * All nodes open with every key they have and seal with the active one. So a new one is first given to all (add), then sealed with
 * (switch), and only then is the old one taken away (remove): at each moment every node can open what the others seal. Each step may
 * be repeated. */

static unsigned newest(const struct ctl_roster *r)
{
	return r->keys[r->n_keys - 1];
}

enum step { STEP_ADD, STEP_SWITCH, STEP_REMOVE };

static const char *const step_words[] = {"add", "switch", "remove"};

/* Where the rotation stands: the step that comes next. */
static enum step next_step(const struct ctl_roster *r)
{
	if (r->n_keys == 1)
		return STEP_ADD;
	return newest(r) == r->active ? STEP_REMOVE : STEP_SWITCH;
}

static int step_add(struct ctl_roster *r)
{
	unsigned id = r->active % LAST_KEY + 1;
	int code;

	if (newest(r) != r->active)
		return CTL_OK; /* done before */
	if (r->n_keys > 1) {
		ctl_say("the last rotation is not finished: pmcachectl cluster rotate-key --step remove");
		return CTL_FAILED;
	}
	code = ctl_roster_make_key(r, id);
	if (code == CTL_OK)
		r->keys[r->n_keys++] = id;
	return code;
}

static int step_switch(struct ctl_roster *r)
{
	if (r->n_keys == 1) {
		ctl_say("%u is the only key, so there is none to switch to: pmcachectl cluster rotate-key --step add",
			r->active);
		return CTL_FAILED;
	}
	r->active = newest(r);
	return CTL_OK;
}

static int step_remove(struct ctl_roster *r)
{
	if (newest(r) != r->active) {
		ctl_say("the nodes still seal with %u: pmcachectl cluster rotate-key --step switch comes first",
			r->active);
		return CTL_FAILED;
	}
	r->keys[0] = r->active;
	r->n_keys = 1;
	return CTL_OK;
}

/* Key files that are not on the list any more: after it is saved, so that no list names a key that is gone. */
static int drop_others(const struct ctl_roster *r, const unsigned *before, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (before[i] != r->active && ctl_roster_drop_key(r, before[i]) != CTL_OK)
			return CTL_FAILED;
	return CTL_OK;
}

static int take_step(struct ctl_roster *r, enum step step)
{
	unsigned before[POLICY_MOST_SECRETS];
	size_t n = r->n_keys;
	int code;

	memcpy(before, r->keys, sizeof(before));
	code = step == STEP_ADD ? step_add(r) : step == STEP_SWITCH ? step_switch(r) : step_remove(r);
	if (code == CTL_OK)
		code = ctl_roster_save(r);
	if (code == CTL_OK)
		code = ctl_roster_equip_all(r);
	if (code == CTL_OK && step == STEP_REMOVE)
		code = drop_others(r, before, n);
	return code;
}

static void tell_step(const struct ctl_roster *r, enum step next)
{
	fputs("peer keys  ", stdout);
	put_keys(r, false);
	putchar('\n');
	if (next == STEP_ADD)
		puts("copy cluster.yaml of all nodes, delete the old key in their state folders, and reload (SIGHUP): done");
	else
		printf("copy %s of all nodes, reload them all (SIGHUP), and when the last one has it:\n"
		       "  pmcachectl cluster rotate-key --step %s --dir %s\n",
		       next == STEP_SWITCH ? "the new key and cluster.yaml" : "cluster.yaml", step_words[next],
		       r->folder);
}

static int step_of(const char *word, enum step *step)
{
	for (int i = STEP_ADD; i <= STEP_REMOVE; i++) {
		if (strcmp(word, step_words[i]) == 0) {
			*step = (enum step)i;
			return CTL_OK;
		}
	}
	ctl_say("--step %s is not known here: add, switch, remove", word);
	return CTL_USAGE;
}

static int cluster_rotate(struct ctl *c, struct ctl_args *a)
{
	enum step step = STEP_ADD;
	struct options o = {0};
	struct ctl_roster r;
	int code = read_options(c, a, "cluster rotate-key", "ds", &o);

	if (code == CTL_OK && o.step)
		code = step_of(o.step, &step);
	if (code == CTL_OK)
		code = open_roster(&o, &r);
	/* Without a step a rotation is begun; whether all nodes have what the last step made, only its maker knows. */
	if (code == CTL_OK && (o.step || next_step(&r) == STEP_ADD))
		code = take_step(&r, step);
	if (code != CTL_OK)
		return code;
	if (c->json) {
		fputs("{\"peer_keys\":[", stdout);
		put_keys(&r, true);
		printf("],\"active_key\":%u,\"next\":\"%s\"}\n", r.active, step_words[next_step(&r)]);
	} else {
		tell_step(&r, next_step(&r));
	}
	return ctl_finish();
}

int ctl_cluster(struct ctl *c, struct ctl_args *a)
{
	if (ctl_flag(a, "init"))
		return cluster_init(c, a);
	if (ctl_flag(a, "issue"))
		return cluster_issue(c, a);
	if (ctl_flag(a, "list"))
		return cluster_list(c, a);
	if (ctl_flag(a, "rotate-key"))
		return cluster_rotate(c, a);
	ctl_say("cluster: one of init, issue, list, rotate-key is missing");
	return CTL_USAGE;
}
