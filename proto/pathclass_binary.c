#include "proto/pathclass_internal.h"

static bool is_versioned_file(struct span f)
{
	return ENDS(f, ".tar.gz") || ENDS(f, ".tar.xz") || ENDS(f, ".zip") || ENDS(f, ".7z") || ENDS(f, ".pkg") ||
	       ENDS(f, ".msi") || ENDS(f, ".tgz");
}

/* Four numbers, as Chrome counts. */
static bool is_four_numbers(struct span s)
{
	struct span part;
	int n = 0;

	while (span_cut(&s, '.', &part)) {
		if (!is_digits(part))
			return false;
		n++;
	}
	return n == 4;
}

static bool binary_by_version(const struct path *p, struct path_facts *out)
{
	struct span file = p->file, dir = back(p, 1);

	if (path_is_v_semver(dir))
		return (STARTS(file, "SHASUMS") || (path_contains(file, dir) && is_versioned_file(file))) &&
		       immutable(out, path_content_of(file));
	if (STARTS(dir, "win-") && path_is_v_semver(back(p, 2)))
		return (ENDS(file, ".lib") || ENDS(file, ".exe")) && immutable(out, CONTENT_ANY);
	if (!ENDS(file, ".zip"))
		return false;
	if (is_four_numbers(back(p, 2)))
		return path_contains(file, dir) && dir.n && immutable(out, CONTENT_ZIP);
	return IS(back(p, 3), "builds") && is_digits(dir) && immutable(out, CONTENT_ZIP);
}

static bool is_release_dir(struct span s)
{
	return IS(s, "dist") || IS(s, "release");
}

bool pathclass_binary(const struct path *p, struct path_facts *out)
{
	struct span dir = back(p, 1);

	if (STARTS(p->file, "LATEST_RELEASE"))
		return mutable(out);
	if (is_release_dir(dir))
		return (IS(p->file, "index.json") || IS(p->file, "index.tab")) && mutable(out);
	if (STARTS(dir, "latest") && is_release_dir(back(p, 2)))
		return mutable(out);
	return binary_by_version(p, out);
}
