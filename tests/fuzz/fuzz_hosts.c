/* A hosts file: every line that is right by itself is found by each of its names, and a table made of what is found holds the
 * same again. */
#include <stdlib.h>

#include "node/base/check.h"
#include "node/net/hosts.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Words of the text, cut at white space: each may be a name. */
static void look_up_all(const struct hosts *h, struct span text)
{
	struct span word = SPAN_NONE;
	struct addr v[4], again[4];
	char ip[ADDR_TEXT_BYTES];

	while (span_cut(&text, ' ', &word)) {
		size_t found = hosts_find(h, word, v, 4);
		char line[ADDR_TEXT_BYTES + 300];
		struct buf b = buf_over(line, sizeof(line));
		struct hosts *one;

		CHECK_THAT(found <= hosts_count(h));
		if (!found)
			continue;
		buf_put_str(&b, addr_format_ip(&v[0], ip));
		buf_putc(&b, ' ');
		buf_put(&b, word);
		CHECK_THAT(!b.full);
		one = hosts_parse(buf_span(&b));
		CHECK_THAT(hosts_count(one) == 1 && hosts_find(one, word, again, 4) == 1);
		hosts_free(one);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span text = pieces_copy(bytes, n);
	struct hosts *h = hosts_parse(text);

	look_up_all(h, text);
	hosts_free(h);
	free((void *)(uintptr_t)text.p);
	return 0;
}
