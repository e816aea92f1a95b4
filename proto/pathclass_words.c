#include "proto/pathclass_internal.h"

#define MAX_NAME 512 /* of a file name that is searched for a version */

/* ---- text ---- */

const uint8_t path_hex_digits[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

struct span path_behind(struct span s, struct span part)
{
	for (size_t i = 0; i + part.n <= s.n; i++) {
		i += span_find(span_from(s, i), part.p[0]);
		if (span_starts(span_from(s, i), part))
			return span_from(s, i + part.n);
	}
	return SPAN_NONE;
}

bool path_contains(struct span s, struct span part)
{
	return path_behind(s, part).p != NULL;
}

bool path_contains_icase(struct span s, struct span part)
{
	for (size_t i = 0; i + part.n <= s.n; i++)
		if (span_eq_icase(span_of(s.p + i, part.n), part))
			return true;
	return false;
}

/* ---- names and versions ---- */

/* A number without leading zeros at *at. */
static bool skip_number(struct span s, size_t *at)
{
	size_t start = *at;

	while (*at < s.n && is_digit(s.p[*at]))
		++*at;
	return *at > start && (s.p[start] != '0' || *at == start + 1);
}

/* Identifiers of letters, digits and '-', separated by '.', none empty. */
static bool skip_identifiers(struct span s, size_t *at)
{
	size_t start;

	do {
		start = *at += *at < s.n && s.p[*at] == '.';
		while (*at < s.n && (is_alnum(s.p[*at]) || s.p[*at] == '-'))
			++*at;
		if (*at == start)
			return false;
	} while (*at < s.n && s.p[*at] == '.');
	return true;
}

bool path_is_semver(struct span s)
{
	size_t at = 0;

	for (int part = 0; part < 3; part++) {
		if (part && (at >= s.n || s.p[at++] != '.'))
			return false;
		if (!skip_number(s, &at))
			return false;
	}
	for (const char *mark = "-+"; *mark; mark++) {
		if (at == s.n || s.p[at] != *mark)
			continue;
		at++;
		if (at == s.n || s.p[at] == '.' || !skip_identifiers(s, &at))
			return false;
	}
	return at == s.n;
}

bool path_is_v_semver(struct span s)
{
	return s.n > 1 && s.p[0] == 'v' && path_is_semver(span_from(s, 1));
}

bool path_ends_in_semver(struct span s)
{
	if (s.n > MAX_NAME)
		return false;
	for (size_t i = 1; i + 1 < s.n; i++)
		if (s.p[i] == '-' && is_digit(s.p[i + 1]) && path_is_semver(span_from(s, i + 1)))
			return true;
	return false;
}

bool path_has_dashed_digit(struct span s)
{
	for (size_t i = 1; i + 1 < s.n; i++)
		if (s.p[i] == '-' && is_digit(s.p[i + 1]))
			return true;
	return false;
}

bool path_is_name(struct span s)
{
	if (s.n < 1 || s.n > 214 || !is_alnum(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.' && s.p[i] != '_' && s.p[i] != '~')
			return false;
	return true;
}

bool path_is_scope(struct span s)
{
	return s.n > 1 && s.p[0] == '@' && path_is_name(span_from(s, 1));
}

/* ---- segments ---- */

struct span path_suffix_of(struct span file)
{
	size_t dot = file.n;

	while (dot && file.p[dot - 1] != '.')
		dot--;
	return dot ? span_from(file, dot) : SPAN_NONE;
}

int path_find(const struct path *p, struct span name)
{
	for (int i = p->n - 2; i >= 0; i--)
		if (span_eq(p->s[i], name))
			return i;
	return -1;
}

bool path_named(const struct path *p, int i, struct span word)
{
	return (i >= 1 && path_contains_icase(p->s[i - 1], word)) || (i >= 2 && path_contains_icase(p->s[i - 2], word));
}

/* ---- results ---- */

static const struct {
	struct span end;
	enum content_kind kind;
} suffixes[] = {
#define X(end, kind) {{end, sizeof(end) - 1}, CONTENT_##kind},
	X("tgz", GZIP) X("gz", GZIP) X("crate", GZIP) X("zip", ZIP) X("whl", ZIP) X("jar", ZIP) X("war", ZIP)
		X("ear", ZIP) X("aar", ZIP) X("egg", ZIP) X("klib", ZIP) X("xz", XZ) X("zst", ZSTD) X("bz2", BZIP2)
			X("rz", ZLIB) X("deb", AR) X("udeb", AR) X("ddeb", AR) X("gem", TAR) X("tar", TAR) X("rpm", RPM)
#undef X
};

enum content_kind path_content_of(struct span file)
{
	struct span end = path_suffix_of(file);

	for (size_t i = 0; end.n && i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (span_eq(end, suffixes[i].end))
			return suffixes[i].kind;
	return CONTENT_ANY;
}

void path_add_digest(struct path_facts *out, enum path_digest kind, struct span hex)
{
	out->digest_kind = kind;
	for (size_t i = 0; i + 1 < hex.n; i += 2)
		out->digest[out->digest_bytes++] = (uint8_t)(hex_value(hex.p[i]) << 4 | hex_value(hex.p[i + 1]));
}

static const struct digest_name digest_names[] = {
#define X(name, kind, digits)                                                                                          \
	{                                                                                                              \
		{name, sizeof(name) - 1}, PATH_DIGEST_##kind, digits                                                   \
	}
	X("SHA256", SHA256, 64),
	X("SHA512", SHA512, 128),
	X("SHA1", SHA1, 40),
	X("MD5Sum", MD5, 32),
#undef X
};

const struct digest_name *path_digest_by_name(struct span name)
{
	for (size_t i = 0; i < sizeof(digest_names) / sizeof(digest_names[0]); i++)
		if (span_eq_icase(name, digest_names[i].name))
			return &digest_names[i];
	return NULL;
}
