/* bumprule and classrule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "node/base/mem.h"
#include "node/policy/bumprule.h"
#include "node/policy/classrule.h"

static char *word(const char *literal)
{
	return (char *)(uintptr_t)literal;
}

static void bumps_all_unless_told(void **state)
{
	struct policy_bump p = {0};

	(void)state;
	assert_int_equal(bumprule_decide(&p, SPAN("any.test")), BUMPRULE_BUMP);
	p.refuse_others = true; /* of nothing left out */
	assert_int_equal(bumprule_decide(&p, SPAN("any.test")), BUMPRULE_BUMP);
}

static void splice_wins_and_others_go_their_way(void **state)
{
	char *only[] = {word("*.npm.test"), word("npm.test")}, *splice[] = {word("pinned.npm.test")};
	struct policy_bump p = {.only = {only, 2}, .splice = {splice, 1}};

	(void)state;
	assert_int_equal(bumprule_decide(&p, SPAN("npm.test")), BUMPRULE_BUMP);
	assert_int_equal(bumprule_decide(&p, SPAN("a.NPM.test")), BUMPRULE_BUMP);
	assert_int_equal(bumprule_decide(&p, SPAN("pinned.npm.test.")), BUMPRULE_SPLICE);
	assert_int_equal(bumprule_decide(&p, SPAN("other.test")), BUMPRULE_SPLICE);
	p.refuse_others = true;
	assert_int_equal(bumprule_decide(&p, SPAN("other.test")), BUMPRULE_REFUSE);
	assert_int_equal(bumprule_decide(&p, SPAN("pinned.npm.test")), BUMPRULE_SPLICE);
}

static void globs(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool fits;
	} cases[] = {{"", "", true},
		     {"", "a", false},
		     {"*", "", true},
		     {"*", "/a/b", true},
		     {"?", "", false},
		     {"?", "a", true},
		     {"?", "ab", false},
		     {"/a/*.tgz", "/a/b/c.tgz", true},
		     {"/a/*.tgz", "/a/b/c.tgz.asc", false},
		     {"*.whl", "/x.whl", true},
		     {"*.whl", "/x.WHL", false},
		     {"?-/*", "/p/-/p-1.tgz", false},
		     {"*/-/*", "/p/-/p-1.tgz", true},
		     {"*ab*ab", "/abxabyab", true},
		     {"*ab*abc", "/abxabyab", false},
		     {"/a**b", "/ab", true},
		     {"a?c*", "abc", true}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (classrule_glob(span_str(cases[i].pattern), span_str(cases[i].text), false) != cases[i].fits)
			fail_msg("%s and %s", cases[i].pattern, cases[i].text);
	assert_true(classrule_glob(SPAN("*.Test"), SPAN("a.tEST"), true));
}

/* A pattern full of stars costs no more than pattern times text. */
static void globs_do_not_explode(void **state)
{
	char text[4096];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_false(
		classrule_glob(SPAN("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"), span_of(text, sizeof(text)), false));
}

static void first_class_rule_decides(void **state)
{
	struct policy_class_rule rules[] = {
		{.host = word("*.intern.test"), .path = word("/wheels/*"), .class = POLICY_CLASS_IMMUTABLE},
		{.path = word("/wheels/*"), .class = POLICY_CLASS_PASS},
		{.host = word("index.test"), .class = POLICY_CLASS_MUTABLE, .ttl = DUR_MINUTE}};
	struct policy_cache p = {.classes = rules, .n_classes = 3};

	(void)state;
	assert_ptr_equal(classrule_find(&p, SPAN("a.Intern.test"), SPAN("/wheels/x.whl")), &rules[0]);
	assert_ptr_equal(classrule_find(&p, SPAN("a.intern.test."), SPAN("/wheels/x.whl")), &rules[0]);
	assert_ptr_equal(classrule_find(&p, SPAN("intern.test"), SPAN("/wheels/x.whl")), &rules[1]);
	assert_ptr_equal(classrule_find(&p, SPAN("index.test"), SPAN("/any")), &rules[2]);
	assert_null(classrule_find(&p, SPAN("other.test"), SPAN("/any")));
	p.n_classes = 0;
	assert_null(classrule_find(&p, SPAN("index.test"), SPAN("/any")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bumps_all_unless_told),
		cmocka_unit_test(splice_wins_and_others_go_their_way),
		cmocka_unit_test(globs),
		cmocka_unit_test(globs_do_not_explode),
		cmocka_unit_test(first_class_rule_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
