#include "proto/pathclass_internal.h"

/* Behind white space, a byte order mark, <?xml …?> and comments. */
static struct span skip_prologue(struct span s)
{
	for (;;) {
		struct span rest = SPAN_NONE;

		while (s.n && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
			s = span_from(s, 1);
		if (STARTS(s, "\xef\xbb\xbf"))
			rest = span_from(s, 3);
		else if (STARTS(s, "<?"))
			rest = path_behind(s, SPAN("?>"));
		else if (STARTS(s, "<!--"))
			rest = path_behind(s, SPAN("-->"));
		if (!rest.p)
			return s;
		s = rest;
	}
}

static bool is_html(struct span s)
{
	s = skip_prologue(s);
	return span_starts_icase(s, SPAN("<!doctype html")) || span_starts_icase(s, SPAN("<html")) ||
	       span_starts_icase(s, SPAN("<head")) || span_starts_icase(s, SPAN("<body"));
}

static bool is_zlib(struct span s)
{
	return s.n >= 2 && (s.p[0] & 0x0f) == 8 && ((uint8_t)s.p[0] << 8 | (uint8_t)s.p[1]) % 31 == 0;
}

bool pathclass_bytes_fit(enum content_kind kind, struct span first)
{
	switch (kind) {
	case CONTENT_ANY:
		return !is_html(first);
	case CONTENT_GZIP:
		return STARTS(first, "\x1f\x8b\x08");
	case CONTENT_ZIP:
		return STARTS(first, "PK\x03\x04") || STARTS(first, "PK\x05\x06");
	case CONTENT_XZ:
		return STARTS(first, "\xfd"
				     "7zXZ\0");
	case CONTENT_ZSTD:
		return STARTS(first, "\x28\xb5\x2f\xfd");
	case CONTENT_BZIP2:
		return STARTS(first, "BZh");
	case CONTENT_ZLIB:
		return is_zlib(first);
	case CONTENT_AR:
		return STARTS(first, "!<arch>\n");
	case CONTENT_TAR:
		return STARTS(span_from(first, 257), "ustar");
	case CONTENT_RPM:
		return STARTS(first, "\xed\xab\xee\xdb");
	}
	return false;
}
