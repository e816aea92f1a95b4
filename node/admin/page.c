#include "node/admin/page.h"

#include "node/base/check.h"
#include "node/base/hash.h"

/* The file as it is; found from the root of the project, where the compiler runs. */
__asm__(".pushsection .rodata\n"
	".global page__file\n"
	".hidden page__file\n"
	".global page__file_end\n"
	".hidden page__file_end\n"
	"page__file:\n"
	".incbin \"node/admin/page/page.html\"\n"
	"page__file_end:\n"
	".byte 0\n"
	".popsection\n");

extern const char page__file[] __attribute__((visibility("hidden")));
extern const char page__file_end[] __attribute__((visibility("hidden")));

struct span page_text(void)
{
	return span_of(page__file, (size_t)(page__file_end - page__file));
}

/* Offset behind the first `mark`, which is there: the file is ours. */
static size_t behind(struct span s, struct span mark)
{
	for (size_t i = 0; i + mark.n <= s.n; i++)
		if (memcmp(s.p + i, mark.p, mark.n) == 0)
			return i + mark.n;
	check_failed(__FILE__, __LINE__, __func__, "a mark in the page");
}

/* 'sha256-…' of what stands between the two. */
static void put_hash(struct buf *b, struct span open, struct span close)
{
	struct span text = span_from(page_text(), behind(page_text(), open));
	uint8_t digest[SHA256_BYTES];

	text = span_upto(text, behind(text, close) - close.n);
	sha256_of(text, digest);
	buf_put(b, SPAN("'sha256-"));
	base64_encode(span_of((const char *)digest, sizeof(digest)), b);
	buf_putc(b, '\'');
}

void page_put_policy(struct buf *b)
{
	buf_put(b, SPAN("default-src 'none'; script-src "));
	put_hash(b, SPAN("<script>"), SPAN("</script>"));
	buf_put(b, SPAN("; style-src "));
	put_hash(b, SPAN("<style>"), SPAN("</style>"));
	buf_put(b,
		SPAN("; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"));
}

static void put_bool(struct buf *b, bool v)
{
	buf_put_str(b, v ? "true" : "false");
}

static void put_doors(struct buf *b, const struct page_facts *f, bool bump)
{
	char text[ADDR_TEXT_BYTES];
	const char *between = "";

	for (size_t i = 0; i < f->n_doors; i++) {
		if (f->doors[i].bump != bump)
			continue;
		buf_printf(b, "%s\"%s\"", between, addr_format(&f->doors[i].at, text));
		between = ",";
	}
}

void page_put_json(struct buf *b, const struct page_facts *f, bool draining, bool has_ca)
{
	buf_printf(b, "{\"state\":\"%s\",\"role\":\"%s\",\"proxy\":[", draining ? "draining" : "ready",
		   f->parent ? "parent" : "edge");
	put_doors(b, f, false);
	buf_put(b, SPAN("],\"bump\":["));
	put_doors(b, f, true);
	buf_put(b, SPAN("],\"ca\":"));
	put_bool(b, has_ca);
	buf_put(b, SPAN(",\"cluster\":"));
	put_bool(b, f->in_cluster);
	buf_put(b, SPAN("}\n"));
}
