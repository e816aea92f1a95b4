#include "node/ctl/ctl_roster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/conf/conf_yaml.h"
#include "node/ctl/ctl_setup.h"
#include "node/tls/certs.h"
#include "node/tls/sign.h"

#define FILE_MAX_BYTES CONF_YAML_MAX_BYTES
#define SECRET_HEX (2 * POLICY_SECRET_BYTES + 1) /* and a line's end */
#define FIRST_KEY 1

/* ---- paths and files ---- */

char *ctl_roster_path(const struct ctl_roster *r, const char *name)
{
	return ctl_text("%s/%s", r->folder, name);
}

char *ctl_roster_node_path(const struct ctl_roster *r, const char *node, const char *name)
{
	return ctl_text("%s/nodes/%s%s%s", r->folder, node, *name ? "/" : "", name);
}

static int make_folder(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return CTL_OK;
	ctl_say("cannot make the folder %s: %s", path, strerror(errno));
	return CTL_FAILED;
}

/* The file holds just this, with this mode. */
static bool is_so(const char *path, struct span bytes, mode_t mode)
{
	char why[CERTS_WHY_BYTES], *there;
	struct stat st;
	bool same;
	size_t n;

	if (stat(path, &st) != 0 || (st.st_mode & 07777) != mode || (size_t)st.st_size != bytes.n)
		return false;
	there = certs_slurp(path, bytes.n, false, &n, why, sizeof(why));
	same = there && span_eq(span_of(there, n), bytes);
	if (there)
		explicit_bzero(there, n);
	free(there);
	return same;
}

static int put_file(const char *path, struct span bytes, mode_t mode)
{
	char why[CERTS_WHY_BYTES];

	if (is_so(path, bytes, mode) || certs_write(path, bytes.p, bytes.n, mode, true, why, sizeof(why)) == 0)
		return CTL_OK;
	ctl_say("%s", why);
	return CTL_FAILED;
}

static int copy_file(const struct ctl_roster *r, const char *name, const char *node, mode_t mode)
{
	char *from = ctl_roster_path(r, name), *to = ctl_roster_node_path(r, node, name), why[CERTS_WHY_BYTES];
	int code = CTL_FAILED;
	size_t n;
	char *bytes = certs_slurp(from, FILE_MAX_BYTES, mode == 0600, &n, why, sizeof(why));

	if (bytes) {
		code = put_file(to, span_of(bytes, n), mode);
		explicit_bzero(bytes, n);
	} else {
		ctl_say("%s", why);
	}
	free(bytes);
	free(from);
	free(to);
	return code;
}

static int remove_file(char *path)
{
	int code = CTL_OK;

	if (unlink(path) != 0 && errno != ENOENT) {
		ctl_say("cannot delete %s: %s", path, strerror(errno));
		code = CTL_FAILED;
	}
	free(path);
	return code;
}

/* ---- secrets ---- */

/* A line of random hex digits. */
static int put_secret(const char *path)
{
	char text[SECRET_HEX];
	struct buf b = buf_over(text, sizeof(text));
	uint8_t secret[POLICY_SECRET_BYTES];
	int code;

	rng_secret(secret, sizeof(secret));
	buf_put_hex(&b, secret, sizeof(secret));
	buf_putc(&b, '\n');
	code = put_file(path, buf_span(&b), 0600);
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(text, sizeof(text));
	return code;
}

static char *key_file(unsigned id)
{
	return ctl_text("peer-%u.key", id);
}

int ctl_roster_make_key(const struct ctl_roster *r, unsigned id)
{
	char *name = key_file(id), *path = ctl_roster_path(r, name);
	int code = put_secret(path);

	free(name);
	free(path);
	return code;
}

int ctl_roster_drop_key(const struct ctl_roster *r, unsigned id)
{
	char *name = key_file(id);
	int code = remove_file(ctl_roster_path(r, name));

	for (size_t i = 0; i < r->n_members; i++)
		if (remove_file(ctl_roster_node_path(r, r->members[i].name, name)) != CTL_OK)
			code = CTL_FAILED;
	free(name);
	return code;
}

/* ---- make ---- */

static bool is_empty(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	bool yes = true;

	if (!d)
		return false;
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			yes = false;
	closedir(d);
	return yes;
}

static int make_private(const char *folder)
{
	if (mkdir(folder, 0700) == 0)
		return CTL_OK;
	if (errno == EEXIST && is_empty(folder) && chmod(folder, 0700) == 0)
		return CTL_OK;
	if (errno == EEXIST || access(folder, F_OK) == 0)
		ctl_say("%s is there already, and not as an empty folder; nothing is overwritten", folder);
	else
		ctl_say("cannot make the folder %s: %s", folder, strerror(errno));
	return CTL_FAILED;
}

static int make_ca(const struct ctl_roster *r, int days, wall_ms now)
{
	char *cert = ctl_roster_path(r, "cluster-ca.crt"), *key = ctl_roster_path(r, "cluster-ca.key"),
	     why[NODECERT_WHY_BYTES];
	int code = CTL_OK;

	if (nodecert_make_ca(r->cluster, cert, key, days, now, why, sizeof(why)) < 0) {
		ctl_say("%s", why);
		code = CTL_FAILED;
	}
	free(cert);
	free(key);
	return code;
}

static int make_purge_keys(const struct ctl_roster *r)
{
	char *key = ctl_roster_path(r, "purge.key"), *pub = ctl_roster_path(r, "purge.pub"), why[CERTS_WHY_BYTES];
	int code = CTL_OK;

	if (sign_make(key, pub, why, sizeof(why)) < 0) {
		ctl_say("%s", why);
		code = CTL_FAILED;
	}
	free(key);
	free(pub);
	return code;
}

int ctl_roster_make(const char *folder, const char *cluster, int days, wall_ms now)
{
	struct ctl_roster r = {.folder = folder, .lock = -1, .keys = {FIRST_KEY}, .n_keys = 1, .active = FIRST_KEY};
	char *salt = ctl_roster_path(&r, "salt"), *nodes = ctl_roster_path(&r, "nodes");
	int code = make_private(folder);

	snprintf(r.cluster, sizeof(r.cluster), "%s", cluster);
	if (code == CTL_OK)
		code = make_ca(&r, days, now);
	if (code == CTL_OK)
		code = ctl_roster_make_key(&r, FIRST_KEY);
	if (code == CTL_OK)
		code = put_secret(salt);
	if (code == CTL_OK)
		code = make_purge_keys(&r);
	if (code == CTL_OK)
		code = make_folder(nodes);
	if (code == CTL_OK)
		code = ctl_roster_save(&r); /* last: what it is found by */
	free(salt);
	free(nodes);
	return code;
}

/* ---- open ---- */

const char *ctl_roster_find(void)
{
	const char *found = NULL;
	glob_t g;

	if (access("cluster.yaml", F_OK) == 0 && access("cluster-ca.key", F_OK) == 0)
		return ".";
	if (glob("*-cluster/cluster.yaml", 0, NULL, &g) == 0 && g.gl_pathc == 1)
		found = ctl_text("%.*s", (int)(strrchr(g.gl_pathv[0], '/') - g.gl_pathv[0]), g.gl_pathv[0]);
	globfree(&g);
	if (!found)
		ctl_say("which cluster? Give its folder with --dir (pmcachectl cluster init makes one)");
	return found;
}

/* The tree of one of the two files, or NULL: said. */
static struct conf_yaml *read_yaml(const struct ctl_roster *r, const char *name, enum conf_yaml_kind kind)
{
	char *path = ctl_roster_path(r, name), why[CERTS_WHY_BYTES];
	struct conf_yaml_error err;
	struct conf_yaml *y = NULL;
	size_t n;
	char *text = certs_slurp(path, FILE_MAX_BYTES, false, &n, why, sizeof(why));

	if (!text)
		ctl_say("%s", why);
	else if (!(y = conf_yaml_parse(span_of(text, n), &err)))
		ctl_say("%s:%u: %s", path, err.line, err.text);
	else if (y->kind != kind && y->first) {
		ctl_say("%s: is not what pmcachectl cluster writes", path);
		conf_yaml_free(y);
		y = NULL;
	}
	free(text);
	free(path);
	return y;
}

static const struct conf_yaml *value_of(const struct conf_yaml *map, const char *key)
{
	for (const struct conf_yaml *y = map->first; y; y = y->next)
		if (map->kind == CONF_YAML_MAP && strcmp(y->key, key) == 0)
			return y;
	return NULL;
}

/* NULL: not there, or no text. */
static const char *text_of(const struct conf_yaml *map, const char *key)
{
	const struct conf_yaml *y = value_of(map, key);

	return y && y->kind == CONF_YAML_SCALAR ? y->text : NULL;
}

static bool id_of(const char *text, unsigned *id)
{
	uint64_t v;

	if (!text || span_to_u64(span_str(text), &v) < 0 || v < 1 || v > 127)
		return false;
	*id = (unsigned)v;
	return true;
}

static bool read_keys(struct ctl_roster *r, const struct conf_yaml *y)
{
	const struct conf_yaml *keys = value_of(y, "peer_keys");
	bool has_active = false;

	if (!id_of(text_of(y, "active_key"), &r->active) || !keys || keys->kind != CONF_YAML_LIST)
		return false;
	for (const struct conf_yaml *k = keys->first; k; k = k->next) {
		if (r->n_keys == POLICY_MOST_SECRETS || k->kind != CONF_YAML_SCALAR ||
		    !id_of(k->text, &r->keys[r->n_keys]))
			return false;
		has_active |= r->keys[r->n_keys++] == r->active;
	}
	return has_active;
}

static bool read_cluster(struct ctl_roster *r, const struct conf_yaml *y)
{
	const char *name = text_of(y, "name");

	if (!name || !nodecert_name_is_good(span_str(name)))
		return false;
	snprintf(r->cluster, sizeof(r->cluster), "%s", name);
	return read_keys(r, y);
}

static bool read_member(struct ctl_roster *r, const struct conf_yaml *y)
{
	const char *name = text_of(y, "name"), *role = text_of(y, "role"), *address = text_of(y, "address");
	struct ctl_member m = {0};
	char *host, *port;

	if (!name || !nodecert_name_is_good(span_str(name)) || ctl_roster_member(r, name) || !role ||
	    nodecert_role(span_str(role), &m.role) < 0 || (m.role != NODE_ADMIN && !address))
		return false;
	m.name = ctl_text("%s", name);
	if (address) {
		if (ctl_setup_split(address, "0", &host, &port) < 0)
			return false;
		m.host = host;
		m.port = port;
	}
	ctl_roster_add(r, &m);
	return true;
}

static int read_members(struct ctl_roster *r, const struct conf_yaml *list)
{
	for (const struct conf_yaml *y = list->first; y; y = y->next) {
		if (read_member(r, y))
			continue;
		ctl_say("%s/members.yaml:%u: not {name: NAME, role: edge|parent|admin, address: \"HOST:PORT\"}, or there "
			"twice",
			r->folder, y->line);
		return CTL_FAILED;
	}
	return CTL_OK;
}

static int lock_folder(struct ctl_roster *r)
{
	char *path = ctl_roster_path(r, "cluster.yaml");

	if (access(path, F_OK) != 0) {
		ctl_say("%s is not the folder of a cluster: %s: %s", r->folder, path, strerror(errno));
		free(path);
		return CTL_FAILED;
	}
	free(path);
	r->lock = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->lock >= 0 && flock(r->lock, LOCK_EX) == 0)
		return CTL_OK;
	ctl_say("cannot lock the folder %s: %s", r->folder, strerror(errno));
	return CTL_FAILED;
}

int ctl_roster_open(const char *folder, struct ctl_roster *r)
{
	struct conf_yaml *y;
	int code;

	*r = (struct ctl_roster){.folder = folder, .lock = -1};
	code = lock_folder(r);
	if (code != CTL_OK)
		return code;
	if (!(y = read_yaml(r, "cluster.yaml", CONF_YAML_MAP)))
		return CTL_FAILED;
	if (!read_cluster(r, y)) {
		ctl_say("%s/cluster.yaml: is not what pmcachectl cluster writes", folder);
		code = CTL_FAILED;
	}
	conf_yaml_free(y);
	if (code != CTL_OK || !(y = read_yaml(r, "members.yaml", CONF_YAML_LIST)))
		return CTL_FAILED;
	code = read_members(r, y);
	conf_yaml_free(y);
	return code;
}

/* ---- members ---- */

struct ctl_member *ctl_roster_member(const struct ctl_roster *r, const char *name)
{
	for (size_t i = 0; i < r->n_members; i++)
		if (strcmp(r->members[i].name, name) == 0)
			return &r->members[i];
	return NULL;
}

void ctl_roster_add(struct ctl_roster *r, const struct ctl_member *m)
{
	r->members = mem_realloc(r->members, (r->n_members + 1) * sizeof(*r->members));
	r->members[r->n_members++] = *m;
}

/* ---- save ---- */

/* A text that is written to like a file. */
struct text {
	char *p;
	size_t n;
	FILE *out;
};

static void text_open(struct text *t)
{
	*t = (struct text){0};
	t->out = open_memstream(&t->p, &t->n);
	CHECK_THAT(t->out);
}

static int text_put(struct text *t, char *path, mode_t mode)
{
	int code;

	fclose(t->out);
	CHECK_THAT(t->p);
	code = put_file(path, span_of(t->p, t->n), mode);
	free(t->p);
	free(path);
	return code;
}

static int save_cluster(const struct ctl_roster *r)
{
	struct text t;

	text_open(&t);
	fprintf(t.out, "# Written by pmcachectl cluster.\nname: \"%s\"\npeer_keys: [", r->cluster);
	for (size_t i = 0; i < r->n_keys; i++)
		fprintf(t.out, "%s%u", i ? ", " : "", r->keys[i]);
	fprintf(t.out, "] # the oldest first\nactive_key: %u\n", r->active);
	return text_put(&t, ctl_roster_path(r, "cluster.yaml"), 0600);
}

static int save_members(const struct ctl_roster *r)
{
	struct text t;

	text_open(&t);
	fputs("# Written by pmcachectl cluster. To take a node out, delete its line and its folder below nodes.\n",
	      t.out);
	for (size_t i = 0; i < r->n_members; i++) {
		const struct ctl_member *m = &r->members[i];

		fprintf(t.out, "- {name: \"%s\", role: %s", m->name, nodecert_role_word(m->role));
		if (m->host)
			fprintf(t.out, ", address: \"%s:%s\"", m->host, m->port);
		fputs("}\n", t.out);
	}
	return text_put(&t, ctl_roster_path(r, "members.yaml"), 0600);
}

int ctl_roster_save(const struct ctl_roster *r)
{
	int code = save_members(r);

	return code == CTL_OK ? save_cluster(r) : code;
}

/* ---- what a member gets ---- */

static void put_nodes(const struct ctl_roster *r, const struct ctl_member *self, enum node_role role, FILE *out)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_members; i++) {
		const struct ctl_member *m = &r->members[i];

		if (m->role != role || (m == self && role == NODE_EDGE))
			continue;
		if (!n++)
			fprintf(out, "  %s:\n", role == NODE_PARENT ? "parents" : "siblings");
		fprintf(out, "    - {name: \"%s\", address: \"%s:%s\"}\n", m->name, m->host, m->port);
	}
}

static int put_configuration(const struct ctl_roster *r, const struct ctl_member *m)
{
	struct text t;

	text_open(&t);
	fprintf(t.out,
		"# Written by pmcachectl cluster: who %s is. All other files of this folder belong into its state folder. Use this\n"
		"# one as its configuration, or take these settings over into the one that it has.\n"
		"node: \"%s\"\n"
		"role: %s\n"
		"listen:\n"
		"  cluster: \"%s:%s\"\n"
		"cluster:\n"
		"  name: \"%s\"\n"
		"  peer_keys: {",
		m->name, m->name, nodecert_role_word(m->role), m->host[0] == '[' ? "[::]" : "0.0.0.0", m->port,
		r->cluster);
	for (size_t i = 0; i < r->n_keys; i++)
		fprintf(t.out, "%s%u: \"file:peer-%u.key\"", i ? ", " : "", r->keys[i], r->keys[i]);
	fprintf(t.out,
		"}\n"
		"  active_key: %u\n"
		"  salt: \"file:salt\"\n"
		"  purge_public: purge.pub\n",
		r->active);
	if (m->role == NODE_PARENT)
		fputs("  purge_key: purge.key\n", t.out);
	put_nodes(r, m, NODE_EDGE, t.out);
	put_nodes(r, m, NODE_PARENT, t.out);
	return text_put(&t, ctl_roster_node_path(r, m->name, "cluster.yaml"), 0644);
}

static int copy_shared(const struct ctl_roster *r, const struct ctl_member *m)
{
	int code = copy_file(r, "salt", m->name, 0600);

	for (size_t i = 0; i < r->n_keys && code == CTL_OK; i++) {
		char *name = key_file(r->keys[i]);

		code = copy_file(r, name, m->name, 0600);
		free(name);
	}
	return code;
}

int ctl_roster_equip(const struct ctl_roster *r, const struct ctl_member *m)
{
	char *folder = ctl_roster_node_path(r, m->name, "");
	int code = make_folder(folder);

	free(folder);
	if (code == CTL_OK)
		code = copy_file(r, "cluster-ca.crt", m->name, 0644);
	if (code == CTL_OK)
		code = copy_file(r, "purge.pub", m->name, 0644);
	if (code == CTL_OK && m->role != NODE_EDGE)
		code = copy_file(r, "purge.key", m->name, 0600);
	if (code == CTL_OK && m->role == NODE_EDGE)
		code = remove_file(ctl_roster_node_path(r, m->name, "purge.key")); /* it may have been a parent */
	if (code != CTL_OK || m->role == NODE_ADMIN)
		return code;
	code = copy_shared(r, m);
	return code == CTL_OK ? put_configuration(r, m) : code;
}

int ctl_roster_equip_all(const struct ctl_roster *r)
{
	for (size_t i = 0; i < r->n_members; i++)
		if (ctl_roster_equip(r, &r->members[i]) != CTL_OK)
			return CTL_FAILED;
	return CTL_OK;
}
