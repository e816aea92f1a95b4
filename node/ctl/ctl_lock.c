#include "node/ctl/ctl_lock.h"

#include <stdlib.h>
#include <string.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_json.h"

#define NEWEST_VERSION 3
#define NAME_BYTES 256
#define INTEGRITY_BYTES 1024
#define MOST_NESTED (CTL_JSON_DEPTH / 2)

/* ---- integrity ---- */

static const struct {
	struct span word;
	enum hash_kind kind;
} algorithms[] = {
	{SPAN("sha512-"), HASH_SHA512}, /* the strongest first */
	{SPAN("sha384-"), HASH_SHA384},
	{SPAN("sha256-"), HASH_SHA256},
	{SPAN("sha1-"), HASH_SHA1},
};

#define N_ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))

/* The next one of this algorithm; options behind '?' are left out. */
static bool next_of(struct span *rest, size_t algorithm, uint8_t *digest)
{
	struct span word;

	while (span_cut(rest, ' ', &word)) {
		word = span_upto(word, span_find(word, '?'));
		if (!span_starts(word, algorithms[algorithm].word))
			continue;
		word = span_from(word, algorithms[algorithm].word.n);
		if (base64_decode(word, digest, HASH_MAX_BYTES) == (long)hash_bytes(algorithms[algorithm].kind))
			return true;
	}
	return false;
}

bool ctl_lock_strongest(struct span integrity, enum hash_kind *kind)
{
	uint8_t digest[HASH_MAX_BYTES];

	for (size_t i = 0; i < N_ALGORITHMS; i++) {
		struct span rest = integrity;

		*kind = algorithms[i].kind;
		if (next_of(&rest, i, digest))
			return true;
	}
	return false;
}

bool ctl_lock_fits(struct span integrity, enum hash_kind kind, const uint8_t *digest)
{
	uint8_t want[HASH_MAX_BYTES];

	for (size_t i = 0; i < N_ALGORITHMS; i++)
		while (algorithms[i].kind == kind && next_of(&integrity, i, want))
			if (memcmp(want, digest, hash_bytes(kind)) == 0)
				return true;
	return false;
}

/* ---- items ---- */

/* "node_modules/a/node_modules/b" is b. */
static struct span last_name(struct span path)
{
	static const struct span below = SPAN("node_modules/");
	struct span name = path;

	for (size_t i = 0; i < path.n; i++)
		if (span_starts(span_from(path, i), below))
			name = span_from(path, i + below.n);
	return name;
}

static bool add(struct ctl_lock *l, struct span name, struct span entry, const char **why)
{
	char url[CTL_LOCK_URL_BYTES], integrity[INTEGRITY_BYTES];

	ctl_json_text(entry, "resolved", url, sizeof(url));
	ctl_json_text(entry, "integrity", integrity, sizeof(integrity));
	if (strlen(url) == sizeof(url) - 1 || !ctl_is_url(url)) {
		l->left_out++;
		return true;
	}
	if (l->n == CTL_LOCK_MOST) {
		*why = "there are too many packages in it";
		return false;
	}
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 256;
		l->v = mem_realloc(l->v, l->room * sizeof(*l->v));
	}
	l->v[l->n++] = (struct ctl_lock_item){
		.name = span_dup(span_upto(last_name(name), NAME_BYTES)),
		.url = span_dup(span_str(url)),
		.integrity = span_dup(span_str(integrity)),
	};
	return true;
}

static bool add_packages(struct ctl_lock *l, struct span packages, const char **why)
{
	struct span name, entry;

	while (ctl_json_member(&packages, &name, &entry)) {
		if (!name.n) /* the project itself */
			continue;
		if (!add(l, name, entry, why))
			return false;
	}
	return true;
}

static bool add_dependencies(struct ctl_lock *l, struct span all, int depth, const char **why)
{
	struct span name, entry;

	if (depth == 0) {
		*why = "its dependencies are nested too deep";
		return false;
	}
	while (ctl_json_member(&all, &name, &entry)) {
		struct span nested = ctl_json_get(entry, "dependencies");

		if (!add(l, name, entry, why) || (nested.n && !add_dependencies(l, nested, depth - 1, why)))
			return false;
	}
	return true;
}

static int by_url(const void *a, const void *b)
{
	const struct ctl_lock_item *x = a, *y = b;
	int c = strcmp(x->url, y->url);

	return c ? c : strcmp(x->integrity, y->integrity);
}

static void item_free(struct ctl_lock_item *i)
{
	free(i->name);
	free(i->url);
	free(i->integrity);
}

static void make_unique(struct ctl_lock *l)
{
	size_t n = 0;

	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_url);
	for (size_t i = 0; i < l->n; i++) {
		if (n && by_url(&l->v[n - 1], &l->v[i]) == 0)
			item_free(&l->v[i]);
		else
			l->v[n++] = l->v[i];
	}
	l->n = n;
}

/* ---- the whole ---- */

static bool read_version(struct ctl_lock *l, struct span text, const char **why)
{
	uint64_t version = ctl_json_u64(text, "lockfileVersion");

	*why = "this version of lock file is not known here: 1, 2 and 3 are";
	if (!ctl_json_has(text, "lockfileVersion")) /* a shrinkwrap of old */
		version = 1;
	if (version < 1 || version > NEWEST_VERSION)
		return false;
	l->version = (int)version;
	return true;
}

static bool read_items(struct ctl_lock *l, struct span text, const char **why)
{
	struct span packages = ctl_json_get(text, "packages"), dependencies = ctl_json_get(text, "dependencies");

	*why = "it has neither packages nor dependencies";
	if (l->version > 1 && packages.n && packages.p[0] == '{')
		return add_packages(l, packages, why);
	if (l->version < NEWEST_VERSION && dependencies.n && dependencies.p[0] == '{')
		return add_dependencies(l, dependencies, MOST_NESTED, why);
	return l->version == 1 && ctl_json_has(text, "lockfileVersion"); /* of a project without any */
}

bool ctl_lock_parse(struct span text, struct ctl_lock *l, const char **why)
{
	*l = (struct ctl_lock){0};
	*why = "it is no JSON: npm's package-lock.json and npm-shrinkwrap.json are understood";
	if (text.n > CTL_LOCK_MOST_BYTES || !ctl_json_is_good(text))
		return false;
	if (!read_version(l, text, why) || !read_items(l, text, why)) {
		ctl_lock_free(l);
		return false;
	}
	make_unique(l);
	return true;
}

void ctl_lock_free(struct ctl_lock *l)
{
	for (size_t i = 0; i < l->n; i++)
		item_free(&l->v[i]);
	free(l->v);
	*l = (struct ctl_lock){0};
}
