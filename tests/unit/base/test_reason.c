#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/base/reason.h"

static void words_are_unique_tokens(void **state)
{
	(void)state;
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		const char *word = reason_word((enum reason)i);

		/* They stand unquoted in logs, metrics and Cache-Status. */
		assert_in_range(strlen(word), 1, 40);
		assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(word));
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(word, reason_word((enum reason)j));
	}
}

static void sentences_can_be_read(void **state)
{
	(void)state;
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		const char *sentence = reason_sentence((enum reason)i);

		assert_true(strlen(sentence) >= 10);
		assert_true(strpbrk(sentence, "\r\n\"\\") == NULL);
		assert_true(sentence[strlen(sentence) - 1] != '.');
	}
}

/* What package managers make of an answer: 404 is cached or read as "no such package", 401 and 407 ask for a password,
 * 416 breaks Bundler's append. Nothing of ours may look like that. */
static void statuses_do_not_mislead(void **state)
{
	(void)state;
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		int status = reason_status((enum reason)i);

		assert_true(status == 0 || (status >= 400 && status <= 599));
		assert_true(status != 401 && status != 404 && status != 407 && status != 410 && status != 416);
	}
}

static void a_fault_of_upstream_is_502_or_504(void **state)
{
	(void)state;
	for (unsigned i = REASON_DNS_FAILED; i <= REASON_REPLY_TOO_LARGE; i++)
		assert_true(reason_status((enum reason)i) == 502 || reason_status((enum reason)i) == 504);
}

static void columns_belong_together(void **state)
{
	(void)state;
	assert_int_equal(reason_status(REASON_NONE), 0);
	assert_string_equal(reason_word(REASON_NONE), "none");
	assert_int_equal(reason_status(REASON_HEAD_TOO_LARGE), 431);
	assert_int_equal(reason_status(REASON_BODY_TOO_LARGE), 413);
	assert_int_equal(reason_status(REASON_CERT_EXPIRED), 502);
	assert_string_equal(reason_word(REASON_CERT_EXPIRED), "cert-expired");
	assert_string_equal(reason_word(REASON_INTERNAL), "internal"); /* the last of the table */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_unique_tokens), cmocka_unit_test(sentences_can_be_read),
		cmocka_unit_test(statuses_do_not_mislead), cmocka_unit_test(a_fault_of_upstream_is_502_or_504),
		cmocka_unit_test(columns_belong_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
