#include "proto/pathclass_internal.h"

/* ---- git hosting ---- */

static bool by_commit(struct path_facts *out, enum content_kind content)
{
	out->regenerated = true;
	return immutable(out, content);
}

static bool by_name(struct path_facts *out, bool tag)
{
	mutable(out);
	if (tag)
		out->ttl_s = PATH_ARCHIVE_TTL_S;
	return true;
}

/* "zipball", "legacy.tar.gz" and so on: *content is what they pack; *sure = the word stands for nothing else. */
static bool is_ball(struct span word, enum content_kind *content, bool *sure)
{
	bool legacy = STARTS(word, "legacy.");
	struct span kind = legacy ? span_from(word, 7) : word;

	*sure = legacy || IS(word, "zipball") || IS(word, "tarball");
	*content = IS(kind, "zip") || IS(kind, "zipball") ? CONTENT_ZIP : CONTENT_GZIP;
	return *content == CONTENT_ZIP || IS(kind, "tar.gz") || IS(kind, "tarball");
}

static bool git_ball(const struct path *p, struct path_facts *out)
{
	enum content_kind content;
	bool sure;

	if (!is_ball(back(p, 1), &content, &sure) || p->n < 4 || !p->file.n)
		return false;
	return is_commit(p->file) ? by_commit(out, content) : sure && by_name(out, false);
}

/* …/archive/refs/tags/v1.zip, …/zip/refs/heads/main */
static bool git_refs(const struct path *p, struct path_facts *out)
{
	int i = path_find(p, SPAN("refs"));
	bool tag = IS(at(p, i + 1), "tags"), sure;
	enum content_kind content;

	if (i < 1 || p->n < i + 3 || !(tag || IS(at(p, i + 1), "heads")))
		return false;
	return (IS(p->s[i - 1], "archive") || is_ball(p->s[i - 1], &content, &sure)) && by_name(out, tag);
}

static bool is_archive(struct span file, size_t *end)
{
	*end = ENDS(file, ".tar.gz")    ? 7
	       : ENDS(file, ".zip")     ? 4
	       : ENDS(file, ".tar.bz2") ? 8
	       : ENDS(file, ".tar")     ? 4
					: 0;
	return *end && file.n > *end;
}

static bool git_archive(const struct path *p, struct path_facts *out)
{
	enum content_kind content = path_content_of(p->file);
	size_t end;

	if (p->n < 4 || !is_archive(p->file, &end))
		return false;
	if (IS(back(p, 1), "archive"))
		return is_commit(without_end(p->file, end)) ? by_commit(out, content) : by_name(out, false);
	if (IS(back(p, 2), "archive") && IS(back(p, 3), "-"))
		return is_commit(back(p, 1)) ? by_commit(out, content) : by_name(out, false);
	return false;
}

/* A tag without a digit ("nightly") is moved from build to build. */
static bool git_release(const struct path *p, struct path_facts *out)
{
	if (!p->file.n || p->n < 5)
		return false;
	if (IS(back(p, 3), "releases") && IS(back(p, 2), "download"))
		return has_digit(back(p, 1)) ? immutable(out, path_content_of(p->file)) : mutable(out);
	return IS(back(p, 3), "releases") && IS(back(p, 2), "latest") && IS(back(p, 1), "download") && mutable(out);
}

bool pathclass_githost(const struct path *p, struct path_facts *out)
{
	return git_release(p, out) || git_archive(p, out) || git_refs(p, out) || git_ball(p, out);
}

/* ---- the smart protocol ---- */

bool pathclass_git(const struct path *p, struct path_facts *out)
{
	if (IS(p->file, "refs"))
		return IS(back(p, 1), "info") && path_contains(p->query, SPAN("service=git-")) && pass(out);
	return (IS(p->file, "git-upload-pack") || IS(p->file, "git-receive-pack")) && pass(out);
}
