#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <unistd.h>

#include "node/tls/sign.h"
#include "tests/unit/tls/certs_make.h"

struct place {
	char *folder;
	char key[600], pub[600], why[512];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	p->folder = make_folder();
	snprintf(p->key, sizeof(p->key), "%s/purge.key", p->folder);
	snprintf(p->pub, sizeof(p->pub), "%s/purge.pub", p->folder);
	assert_int_equal(sign_make(p->key, p->pub, p->why, sizeof(p->why)), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	assert_int_equal(ERR_peek_error(), 0);
	make_folder_remove(p->folder);
	free(p);
	return 0;
}

static void test_pair(void **state)
{
	struct place *p = *state;
	struct sign_key *key = sign_open(p->key, p->why, sizeof(p->why));
	uint8_t a[SIGN_PUBLIC_BYTES], b[SIGN_PUBLIC_BYTES], s[SIGN_BYTES];
	struct stat st;

	assert_non_null(key);
	assert_int_equal(stat(p->key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	sign_public(key, a);
	assert_int_equal(sign_read_public(p->pub, b, p->why, sizeof(p->why)), 0);
	assert_memory_equal(a, b, sizeof(a));
	sign_bytes(key, SPAN("purge all"), s);
	assert_true(sign_fits(a, SPAN("purge all"), s));
	assert_false(sign_fits(a, SPAN("purge al"), s));
	assert_false(sign_fits(a, SPAN(""), s));
	for (size_t i = 0; i < sizeof(s); i++) {
		s[i] ^= 1;
		assert_false(sign_fits(a, SPAN("purge all"), s));
		s[i] ^= 1;
	}
	a[3] ^= 1;
	assert_false(sign_fits(a, SPAN("purge all"), s));
	sign_bytes(key, SPAN_NONE, s);
	assert_true(sign_fits(b, SPAN(""), s));
	sign_free(key);
	sign_free(NULL);
}

/* RFC 8032 §7.1, test 2. */
static void test_vector(void **state)
{
	static const uint8_t pub[] = {0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a,
				      0xa7, 0x4d, 0x1b, 0x7e, 0xbc, 0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4,
				      0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};
	static const uint8_t s[] = {0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f,
				    0x64, 0x25, 0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76,
				    0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda, 0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99,
				    0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c, 0x38, 0x7b, 0x2e, 0xae,
				    0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};

	(void)state;
	assert_true(sign_fits(pub, SPAN("\x72"), s));
	assert_false(sign_fits(pub, SPAN("\x73"), s));
}

static void test_files(void **state)
{
	struct place *p = *state;
	EVP_PKEY *other = EVP_EC_gen("P-256");
	uint8_t pub[SIGN_PUBLIC_BYTES];
	char path[600];

	assert_int_equal(sign_make(p->key, p->pub, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "is there already"));
	unlink(p->key);
	assert_int_equal(sign_make(p->key, p->pub, p->why, sizeof(p->why)), -1); /* the public one is there */
	assert_int_equal(access(p->key, F_OK), -1);
	assert_null(sign_open(p->key, p->why, sizeof(p->why)));
	assert_null(sign_open(p->pub, p->why, sizeof(p->why)));
	snprintf(path, sizeof(path), "%s/ec.key", p->folder);
	make_key_file(path, other, 0600);
	assert_null(sign_open(path, p->why, sizeof(p->why)));
	assert_non_null(strstr(p->why, "is not an Ed25519 key"));
	assert_int_equal(chmod(path, 0640), 0);
	assert_null(sign_open(path, p->why, sizeof(p->why)));
	assert_non_null(strstr(p->why, "chmod 600"));
	assert_int_equal(sign_read_public(path, pub, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "no Ed25519 public key"));
	EVP_PKEY_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pair, setup, teardown),
		cmocka_unit_test(test_vector),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
