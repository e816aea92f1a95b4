/* Reading: from a file to a struct conf that is whole and checked, or to a list of faults. */
#include "node/conf/conf.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/conf/conf_internal.h"

#define STATE_OF_ROOT "/var/lib/pmcache"

void conf__say(struct conf_errors *e, unsigned line, const char *key, const char *fmt, ...)
{
	size_t start = e->text.n, colon;
	char where[16] = "", what[512];
	va_list args;

	if (++e->count > CONF_MAX_ERRORS)
		return;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	if (line)
		snprintf(where, sizeof(where), ":%u", line);
	buf_printf(&e->text, "%s%s: %s%s%s", e->file, where, key ? key : "", key ? ": " : "", what);
	for (colon = start; colon < e->text.n; colon++)
		if ((unsigned char)e->text.p[colon] < 0x20 || e->text.p[colon] == 0x7f)
			e->text.p[colon] = '?';
	if (e->text.n > start)
		buf_putc(&e->text, '\n');
}

struct reader {
	struct conf *conf;
	struct conf_errors *errors;
	struct conf_seen seen[CONF_MAX_ROWS];
};

/* ---- defaults ---- */

static void set_standard(struct reader *r, const struct conf_row *row)
{
	struct conf_yaml_error err;
	struct conf_yaml *y = conf_yaml_parse(span_str(row->standard), &err);

	CHECK_THAT(y);
	CHECK_THAT(row->type->parse(row, y, conf__field(r->conf, row), r->errors) == 0);
	conf_yaml_free(y);
}

static char *host_name(void)
{
	char name[HOST_NAME_MAX + 1] = "";

	if (gethostname(name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	name[strcspn(name, ".")] = '\0';
	name[48] = '\0';
	for (char *p = name; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-'))
			*p = '-';
	return span_dup(span_str(name[0] ? name : "edge"));
}

static char *joined(const char *folder, const char *path)
{
	size_t n = strlen(folder) + strlen(path) + 2;
	char *p = mem_alloc(n);

	snprintf(p, n, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path);
	return p;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* NULL when the environment does not say. */
static char *standard_state(void)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (geteuid() == 0 && is_folder(STATE_OF_ROOT))
		return span_dup(SPAN(STATE_OF_ROOT));
	if (xdg && xdg[0] == '/') /* the specification tells to ignore a relative one */
		return joined(xdg, "pmcache");
	if (home && home[0] == '/')
		return joined(home, ".local/state/pmcache");
	return NULL;
}

static bool is_given(const struct reader *r, const char *key)
{
	return r->seen[conf__find(key) - conf__rows].line != 0;
}

static void clear(struct conf *c, const char *key)
{
	const struct conf_row *row = conf__find(key);

	row->type->fini(conf__field(c, row));
}

/* Those that depend on the machine or on other settings. */
static void set_computed(struct reader *r)
{
	struct conf *c = r->conf;
	char name[65];

	if (!c->state)
		c->state = standard_state();
	if (!c->ca.name) {
		snprintf(name, sizeof(name), "pmcache CA of %s", c->policy->node);
		c->ca.name = span_dup(span_str(name));
	}
	if (c->role == CONF_ROLE_PARENT && !is_given(r, "listen.proxy"))
		clear(c, "listen.proxy");
	if (c->role == CONF_ROLE_PARENT && !is_given(r, "listen.bump"))
		clear(c, "listen.bump");
	conf__compute_cluster(c, r->seen);
}

static struct conf *conf_new(struct reader *r)
{
	struct conf *c = NEW(struct conf);

	c->magic = CONF_MAGIC;
	c->policy = policy_new();
	free(c->policy->node);
	c->policy->node = host_name();
	r->conf = c;
	for (size_t i = 0; i < conf__n_rows; i++)
		if (conf__rows[i].standard && conf__rows[i].type != &conf__later)
			set_standard(r, &conf__rows[i]);
	return c;
}

/* ---- from the tree to the struct ---- */

/* Down to the first setting in a section that nobody knows, since that name says more. */
static void say_unknown(struct reader *r, const struct conf_yaml *y, const char *key)
{
	char whole[CONF_MAX_KEY];
	struct buf path = buf_over(whole, sizeof(whole) - 1);
	const struct conf_yaml *at = y;
	struct span near;

	buf_put_str(&path, key);
	while (at->kind == CONF_YAML_MAP && at->first && path.n + strlen(at->first->key) + 1 < path.cap) {
		at = at->first;
		buf_printf(&path, ".%s", at->key);
	}
	whole[path.n] = '\0';
	near = conf__nearest(whole);
	conf__say(r->errors, y->key_line, whole, "unknown key%s%.*s%s", near.p ? "; did you mean " : "", SPAN_ARG(near),
		  near.p ? "?" : "");
}

static const struct conf_yaml *earlier(const struct conf_yaml *map, const struct conf_yaml *y)
{
	for (const struct conf_yaml *e = map->first; e != y; e = e->next)
		if (strcmp(e->key, y->key) == 0)
			return e;
	return NULL;
}

static void read_row(struct reader *r, const struct conf_row *row, const struct conf_yaml *y)
{
	struct conf_seen *seen = &r->seen[row - conf__rows];

	seen->line = y->key_line;
	seen->bad = row->type->parse(row, y, conf__field(r->conf, row), r->errors) < 0;
}

static void read_map(struct reader *r, const struct conf_yaml *map, const char *section);

static void read_key(struct reader *r, const struct conf_yaml *map, const struct conf_yaml *y, const char *key)
{
	const struct conf_yaml *twin = earlier(map, y);
	const struct conf_row *row = conf__find(key);

	if (twin)
		conf__say(r->errors, y->key_line, key, "given twice, first in line %u", twin->key_line);
	else if (strchr(y->key, '.'))
		conf__say(r->errors, y->key_line, key, "unknown key; settings are nested in maps, not joined by dots");
	else if (row)
		read_row(r, row, y);
	else if (!conf__is_section(key))
		say_unknown(r, y, key);
	else if (y->kind == CONF_YAML_MAP)
		read_map(r, y, key);
	else if (!conf_yaml_is_null(y)) /* nothing but comments below it is fine */
		conf__say(r->errors, y->line, key, "a map of settings is expected");
}

static void read_map(struct reader *r, const struct conf_yaml *map, const char *section)
{
	char key[CONF_MAX_KEY];

	for (const struct conf_yaml *y = map->first; y && r->errors->count < CONF_MAX_ERRORS; y = y->next) {
		if (snprintf(key, sizeof(key), "%s%s%s", section, *section ? "." : "", y->key) >= (int)sizeof(key))
			conf__say(r->errors, y->key_line, NULL, "unknown key \"%.60s\"", y->key);
		else
			read_key(r, map, y, key);
	}
}

/* ---- paths ---- */

/* NULL, after having said why, when `path` depends on something unknown. */
static char *absolute(const char *path, const char *folder)
{
	const char *home = getenv("HOME");

	if (path[0] == '/')
		return span_dup(span_str(path));
	if (path[0] == '~' && (path[1] == '/' || path[1] == '\0'))
		return home && home[0] == '/' ? joined(home, path[1] ? path + 2 : "") : NULL;
	return folder ? joined(folder, path) : NULL;
}

/* The folder of the configuration file, absolute; NULL when the working folder is gone. */
static char *folder_of(const char *name)
{
	const char *slash = name ? strrchr(name, '/') : NULL;
	char here[PATH_MAX], *folder, *whole;

	if (slash == name && slash)
		return span_dup(SPAN("/"));
	if (name && name[0] == '/')
		return span_dup(span_of(name, (size_t)(slash - name)));
	if (!getcwd(here, sizeof(here)))
		return NULL;
	if (!slash)
		return span_dup(span_str(here));
	folder = span_dup(span_of(name, (size_t)(slash - name)));
	whole = joined(here, folder);
	free(folder);
	return whole;
}

static void resolve_path(struct reader *r, size_t row, char **path, const char *folder)
{
	char *whole = absolute(*path, folder);

	if (!whole) {
		conf__say(r->errors, r->seen[row].line, conf__rows[row].key,
			  "the folder that \"%.60s\" starts from is not known", *path);
		return;
	}
	free(*path);
	*path = whole;
}

static void resolve(struct reader *r, enum conf_base base, const char *folder)
{
	for (size_t i = 0; i < conf__n_rows; i++) {
		const struct conf_row *row = &conf__rows[i];
		void *field = conf__field(r->conf, row);
		char **path;

		if (row->type->base != base)
			continue;
		if (row->type->path_at) {
			for (size_t at = 0; (path = row->type->path_at(field, at)); at++)
				resolve_path(r, i, path, folder);
		} else if (*(path = field)) {
			resolve_path(r, i, path, folder);
		}
	}
}

static void resolve_all(struct reader *r, const char *name)
{
	char *folder = folder_of(name);

	resolve(r, CONF_BASE_FILE, folder);
	free(folder);
	if (r->conf->state)
		resolve(r, CONF_BASE_STATE, r->conf->state);
	else
		conf__say(r->errors, 0, "state", "must be given, since neither HOME nor XDG_STATE_HOME says where");
}

/* ---- the whole ---- */

static void read_text(struct reader *r, struct span text)
{
	struct conf_yaml_error err;
	struct conf_yaml *y = conf_yaml_parse(text, &err);

	if (!y) {
		conf__say(r->errors, err.line, NULL, "%s", err.text);
		return;
	}
	if (y->kind == CONF_YAML_MAP)
		read_map(r, y, "");
	else if (!conf_yaml_is_null(y))
		conf__say(r->errors, y->line, NULL, "a map of settings is expected");
	conf_yaml_free(y);
}

static struct conf *load_text(struct span text, const char *name, bool with_files, struct conf_errors *errors)
{
	struct reader r = {.errors = errors};
	struct conf_checker c = {.seen = r.seen, .errors = errors, .with_files = with_files};

	c.conf = conf_new(&r);
	read_text(&r, text);
	set_computed(&r);
	resolve_all(&r, name);
	conf__check(&c);
	if (errors->count == 0)
		return r.conf;
	conf_free(r.conf);
	return NULL;
}

/* Up to one byte more than a configuration may have. NULL with errno. */
static char *read_file(const char *path, size_t *n)
{
	FILE *in = fopen(path, "re");
	char *text;
	int why;

	if (!in)
		return NULL;
	text = mem_alloc(CONF_YAML_MAX_BYTES + 1);
	errno = 0;
	*n = fread(text, 1, CONF_YAML_MAX_BYTES + 1, in);
	why = ferror(in) ? errno : 0;
	fclose(in);
	if (!why)
		return text;
	free(text);
	errno = why;
	return NULL;
}

static struct conf_errors errors_over(const char *name, char *errors, size_t cap)
{
	CHECK_THAT(cap > 0);
	errors[0] = '\0';
	return (struct conf_errors){.file = name ? name : "built-in defaults", .text = buf_over(errors, cap - 1)};
}

static void end_errors(struct conf_errors *e)
{
	if (e->count > CONF_MAX_ERRORS)
		buf_printf(&e->text, "%s: more than these %d faults\n", e->file, CONF_MAX_ERRORS);
	e->text.p[e->text.n] = '\0';
}

struct conf *conf_load_text(struct span text, const char *name, char errors[], size_t errors_cap)
{
	struct conf_errors e = errors_over(name, errors, errors_cap);
	struct conf *c = load_text(text, name, true, &e);

	end_errors(&e);
	return c;
}

static struct conf *load(const char *path, bool with_files, char errors[], size_t errors_cap)
{
	struct conf_errors e = errors_over(path, errors, errors_cap);
	struct conf *c = NULL;
	char *text = NULL;
	size_t n = 0;

	if (path && !(text = read_file(path, &n)))
		conf__say(&e, 0, NULL, "%s", strerror(errno));
	else
		c = load_text(span_of(text, n), path, with_files, &e);
	free(text);
	end_errors(&e);
	return c;
}

struct conf *conf_load(const char *path, char errors[], size_t errors_cap)
{
	return load(path, true, errors, errors_cap);
}

struct conf *conf_load_settings(const char *path, char errors[], size_t errors_cap)
{
	return load(path, false, errors, errors_cap);
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	CHECK(c, CONF_MAGIC);
	for (size_t i = 0; i < conf__n_rows; i++)
		if (!conf__rows[i].in_policy && conf__rows[i].type->fini)
			conf__rows[i].type->fini(conf__field(c, &conf__rows[i]));
	if (c->cluster.salt)
		explicit_bzero(c->cluster.salt, strlen(c->cluster.salt));
	free(c->cluster.salt);
	policy_unref(&c->policy);
	c->magic = 0;
	free(c);
}

/* What a row says, as text; owned by the caller. */
static char *said(const struct conf *c, const struct conf_row *row)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	CHECK_THAT(out);
	conf__format_row(c, row, out);
	fclose(out);
	CHECK_THAT(text);
	return text;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Of two readings of one row: what the table cannot tell by its text or by `live`. */
static bool differs_beyond(const struct conf *old, const struct conf *new, const struct conf_row *row)
{
	if (strcmp(row->key, "node") == 0) /* the name that others know, and that stands in the certificate */
		return old->cluster.name && new->cluster.name && !same_text(old->policy->node, new->policy->node);
	if (strcmp(row->key, "cluster.salt") == 0) /* the file is the same, what is in it is not */
		return old->cluster.salt && new->cluster.salt && !same_text(old->cluster.salt, new->cluster.salt);
	return false;
}

static bool differs(const struct conf *old, const struct conf *new, const struct conf_row *row)
{
	char *before, *now;
	bool yes;

	if (row->type == &conf__later)
		return false;
	if (row->live)
		return differs_beyond(old, new, row);
	before = said(old, row);
	now = said(new, row);
	yes = strcmp(before, now) != 0;
	free(before);
	free(now);
	return yes || differs_beyond(old, new, row);
}

size_t conf_reload_differs(const struct conf *old, const struct conf *new, char *keys, size_t cap)
{
	struct buf list = buf_over(keys, cap - 1);
	size_t count = 0;

	CHECK(old, CONF_MAGIC);
	CHECK(new, CONF_MAGIC);
	for (size_t i = 0; i < conf__n_rows; i++)
		if (differs(old, new, &conf__rows[i]))
			buf_printf(&list, "%s%s", count++ ? ", " : "", conf__rows[i].key);
	keys[list.n] = '\0';
	return count;
}
