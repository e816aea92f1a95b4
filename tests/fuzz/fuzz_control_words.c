/* A request line: what is taken says the same when it is put together again, and half of it asks for more. */
#include <stdint.h>

#include "node/admin/control_words.h"
#include "node/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_again(const struct control_request *r, struct span line)
{
	char text[CONTROL_WORDS_LINE_MAX];
	struct buf b = buf_over(text, sizeof(text));

	buf_put_str(&b, control_words_verb(r->verb));
	if (r->arg.p) {
		buf_putc(&b, ' ');
		buf_put(&b, r->arg);
	}
	buf_putc(&b, '\n');
	CHECK_THAT(!b.full && span_eq(buf_span(&b), line));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span s = span_of((const char *)bytes, n);
	struct control_request r, half;
	const char *why = NULL;
	char text[CONTROL_WORDS_ANSWER_MAX];
	struct buf b = buf_over(text, sizeof(text));

	switch (control_words_parse(s, &r, &why)) {
	case CONTROL_WORDS_DONE:
		check_again(&r, s);
		CHECK_THAT(control_words_parse(span_upto(s, n - 1), &half, &why) == CONTROL_WORDS_MORE);
		break;
	case CONTROL_WORDS_MORE:
		CHECK_THAT(n < CONTROL_WORDS_LINE_MAX && span_find(s, '\n') == n);
		break;
	case CONTROL_WORDS_BAD:
		CHECK_THAT(why && *why);
		break;
	}
	control_words_error(&b, s);
	CHECK_THAT(!b.full && span_find(buf_span(&b), '\n') == b.n - 1);
	return 0;
}
