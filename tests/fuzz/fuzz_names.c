/* A line of the file of remembered origins: what is taken must be written again byte for byte. The same bytes as a host and
 * as a subjectAltName: what is taken must stay as it is when taken again. */
#include <string.h>

#include "node/base/check.h"
#include "node/tls/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_line(struct span line)
{
	char host[NAMES_HOST_MAX + 1], again[NAMES_LINE_MAX];
	struct buf b = buf_over(again, sizeof(again));
	struct origin_cert *oc = names_parse(line, host);

	if (!oc)
		return;
	CHECK_THAT(oc->n_sans <= NAMES_SANS_MAX && oc->sans_bytes <= NAMES_SANS_BYTES);
	names_format(&b, host, oc);
	CHECK_THAT(!b.full && span_eq(line, buf_span(&b)));
	names_origin_unref(&oc);
}

static void check_name(struct span text)
{
	char name[NAMES_HOST_MAX + 1], again[NAMES_HOST_MAX + 1];
	enum name_kind kind = names_host(text, name);

	CHECK_THAT((kind == NAME_BAD) == (name[0] == '\0'));
	if (kind != NAME_BAD)
		CHECK_THAT(names_host(span_str(name), again) == kind && strcmp(name, again) == 0 &&
			   names_covers(name, again));
	kind = names_san(text, name);
	if (kind != NAME_BAD)
		CHECK_THAT(names_san(span_str(name), again) == kind && strcmp(name, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	check_line(span_of((const char *)bytes, n));
	check_name(span_of((const char *)bytes, n));
	return 0;
}
