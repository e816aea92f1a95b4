#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/base/mem.h"

static bool all_zero(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((const char *)p)[i])
			return false;
	return true;
}

static void heap(void **state)
{
	char *p = mem_alloc(0), *z = mem_zalloc(1000);

	(void)state;
	assert_non_null(p);
	assert_true(all_zero(z, 1000));
	memset(z, 'x', 1000);
	z = mem_realloc(z, 2000);
	assert_memory_equal(z, "xxxxxxxx", 8);
	free(p);
	free(z);
}

static void try_may_fail(void **state)
{
	volatile size_t too_much = PTRDIFF_MAX; /* volatile: the compiler would see it coming */
	void *p = mem_try(16);

	(void)state;
	assert_non_null(p);
	free(p);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* these end the program instead */
	assert_null(mem_try(too_much));
#else
	(void)too_much;
#endif
}

/* What a function does that must not return: the signal it ends with. */
static int signal_of(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		close(STDERR_FILENO);
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WIFEXITED(status) && WEXITSTATUS(status) ? -1 : 0;
}

static void take_half_the_address_space(void)
{
	struct arena a = {0};

	arena_alloc(&a, SIZE_MAX / 2 + 1);
}

static void absurd_sizes_abort(void **state)
{
	(void)state;
	assert_int_not_equal(signal_of(take_half_the_address_space), 0);
}

static void arena_pieces_are_aligned_and_apart(void **state)
{
	struct arena a = {0};
	unsigned char *piece[300];

	(void)state;
	for (size_t i = 0; i < 300; i++) {
		piece[i] = arena_alloc(&a, i);
		assert_non_null(piece[i]); /* of 0 bytes too */
		assert_int_equal((uintptr_t)piece[i] % _Alignof(max_align_t), 0);
		memset(piece[i], (int)(i & 0xff), i);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t j = 0; j < i; j++)
			assert_int_equal(piece[i][j], i & 0xff);
	arena_free(&a);
}

static void arena_takes_pieces_larger_than_a_block(void **state)
{
	struct arena a = {0};
	char *small = arena_alloc(&a, 10), *big = arena_alloc(&a, 1000000), *after = arena_zalloc(&a, 100);

	(void)state;
	memset(small, 1, 10);
	memset(big, 2, 1000000);
	assert_true(all_zero(after, 100));
	assert_int_equal(small[9], 1);
	assert_int_equal(big[999999], 2);
	arena_free(&a);
}

static void arena_copies_end_in_nul(void **state)
{
	struct arena a = {0};
	struct span s = arena_copy(&a, span_of("abcdef", 3)), none = arena_copy(&a, SPAN_NONE);

	(void)state;
	assert_int_equal(s.n, 3);
	assert_string_equal(s.p, "abc");
	assert_int_equal(none.n, 0);
	assert_string_equal(none.p, "");
	arena_free(&a);
}

static void arena_is_usable_again(void **state)
{
	struct arena a = {0};

	(void)state;
	arena_free(&a);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(arena_copy(&a, SPAN("again")).p, "again");
		arena_free(&a);
		assert_null(a.blocks);
		assert_int_equal(a.left, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heap),
		cmocka_unit_test(try_may_fail),
		cmocka_unit_test(absurd_sizes_abort),
		cmocka_unit_test(arena_pieces_are_aligned_and_apart),
		cmocka_unit_test(arena_takes_pieces_larger_than_a_block),
		cmocka_unit_test(arena_copies_end_in_nul),
		cmocka_unit_test(arena_is_usable_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
