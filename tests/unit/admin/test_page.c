#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/page.h"
#include "node/base/hash.h"

static bool holds(struct span text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

static void it_is_the_file_that_lies_in_the_tree(void **state)
{
	struct span page = page_text();

	(void)state;
	assert_true(span_starts(page, SPAN("<!doctype html>\n")));
	assert_true(span_ends(page, SPAN("</html>\n")));
	assert_true(memchr(page.p, '\0', page.n) == NULL);
}

/* A policy knows the script by its hash only: what is put between the tags by anybody else does not run. */
static void the_policy_holds_the_hash_of_the_script(void **state)
{
	struct span page = page_text();
	const char *open = memmem(page.p, page.n, "<script>", 8), *close = memmem(page.p, page.n, "</script>", 9);
	char policy[PAGE_POLICY_BYTES + 1], wanted[100];
	struct buf b = buf_over(policy, PAGE_POLICY_BYTES), h = buf_over(wanted, sizeof(wanted) - 1);
	uint8_t digest[SHA256_BYTES];

	(void)state;
	assert_non_null(open);
	sha256_of(span_of(open + 8, (size_t)(close - open) - 8), digest);
	buf_put_str(&h, "; script-src 'sha256-");
	base64_encode(span_of((const char *)digest, sizeof(digest)), &h);
	buf_put_str(&h, "'; ");
	wanted[h.n] = '\0';
	page_put_policy(&b);
	assert_false(b.full);
	assert_true(holds(buf_span(&b), wanted));
	assert_true(span_starts(buf_span(&b), SPAN("default-src 'none'; ")));
	assert_false(holds(buf_span(&b), "unsafe"));
	assert_false(holds(buf_span(&b), "*"));
}

static void nothing_in_it_needs_more_than_the_policy_allows(void **state)
{
	static const char *const bad[] = {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
					  " onclick=", " onload=",  " onerror=",          " style=\"",      " src="};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (holds(page_text(), bad[i]))
			fail_msg("the page has %s", bad[i]);
}

static struct page_door door(const char *text, bool bump)
{
	struct page_door d = {.bump = bump};

	assert_int_equal(0, addr_parse(span_str(text), &d.at));
	return d;
}

static void what_the_page_is_told(void **state)
{
	char text[PAGE_JSON_MAX + 1];
	struct buf b = buf_over(text, PAGE_JSON_MAX);
	struct page_facts f = {.in_cluster = true};

	(void)state;
	f.doors[f.n_doors++] = door("127.0.0.1:8080", false);
	f.doors[f.n_doors++] = door("[::1]:8081", true);
	f.doors[f.n_doors++] = door("0.0.0.0:8081", true);
	page_put_json(&b, &f, false, true);
	text[b.n] = '\0';
	assert_string_equal(text, "{\"state\":\"ready\",\"role\":\"edge\",\"proxy\":[\"127.0.0.1:8080\"],"
				  "\"bump\":[\"[::1]:8081\",\"0.0.0.0:8081\"],\"ca\":true,\"cluster\":true}\n");

	b = buf_over(text, PAGE_JSON_MAX);
	page_put_json(&b, &(struct page_facts){.parent = true}, true, false);
	text[b.n] = '\0';
	assert_string_equal(text, "{\"state\":\"draining\",\"role\":\"parent\",\"proxy\":[],\"bump\":[],\"ca\":false,"
				  "\"cluster\":false}\n");
}

static void as_many_addresses_as_there_may_be_fit(void **state)
{
	char text[PAGE_JSON_MAX];
	struct buf b = buf_over(text, PAGE_JSON_MAX);
	struct page_facts f = {0};

	(void)state;
	while (f.n_doors < PAGE_DOORS)
		f.doors[f.n_doors++] = door("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", true);
	page_put_json(&b, &f, true, false);
	assert_false(b.full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_the_file_that_lies_in_the_tree),
		cmocka_unit_test(the_policy_holds_the_hash_of_the_script),
		cmocka_unit_test(nothing_in_it_needs_more_than_the_policy_allows),
		cmocka_unit_test(what_the_page_is_told),
		cmocka_unit_test(as_many_addresses_as_there_may_be_fit),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
