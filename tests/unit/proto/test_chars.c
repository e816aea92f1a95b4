#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/chars.h"

static void test_tokens(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		int is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		int is_token = is_letter || (c >= '0' && c <= '9') || (c && c < 128 && strchr("!#$%&'*+-.^_`|~", c));

		assert_int_equal(chars_lower[c], !is_token ? 0 : is_letter ? c | 0x20 : c);
	}
}

static int is_text(int c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static int is_target(int c)
{
	return c > 0x20 && c != 0x7f;
}

/* Each character at each place of runs of each length, so that both the wide and the single steps see it. */
static void test_ends(void **state)
{
	char run[40];

	(void)state;
	for (size_t n = 1; n <= sizeof(run); n++) {
		for (size_t at = 0; at < n; at++) {
			for (int c = 0; c < 256; c++) {
				memset(run, 'x', n);
				run[at] = (char)c;
				assert_ptr_equal(chars_text_end(run, run + n), run + (is_text(c) ? n : at));
				assert_ptr_equal(chars_target_end(run, run + n), run + (is_target(c) ? n : at));
				assert_ptr_equal(chars_token_end(run, run + n), run + (chars_lower[c] ? n : at));
			}
		}
	}
	assert_ptr_equal(chars_text_end(run, run), run);
}

/* The first of two faults is found. */
static void test_first(void **state)
{
	char run[40];

	(void)state;
	for (size_t a = 0; a < sizeof(run); a++) {
		for (size_t b = a; b < sizeof(run); b++) {
			memset(run, 'x', sizeof(run));
			run[a] = '\r';
			run[b] = '\n';
			assert_ptr_equal(chars_text_end(run, run + sizeof(run)), run + a);
			assert_ptr_equal(chars_target_end(run, run + sizeof(run)), run + a);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
