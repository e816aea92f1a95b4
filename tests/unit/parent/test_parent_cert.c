/* A parent's word about a certificate, as the certificate that the mint will know: what is odd in it is left out, or makes it none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "parent/parent_cert.h"
#include "proto/certmsg.h"

static void good(struct certmsg *m)
{
	memset(m, 0, sizeof(*m));
	m->n_sans = 3;
	m->sans[0] = SPAN("Registry.test");
	m->sans[1] = SPAN("no name");
	m->sans[2] = SPAN("*.registry.test");
	m->not_before = 1000;
	m->not_after = 2000;
	m->spki_sha256[31] = 1;
	m->subject = SPAN("der");
}

static void test_read(void **state)
{
	struct certmsg m;
	struct origin_cert *cert;

	(void)state;
	good(&m);
	cert = parent_cert_read(&m);
	assert_non_null(cert);
	assert_int_equal(cert->n_sans, 2);
	assert_string_equal(cert->sans[0], "registry.test");
	assert_string_equal(cert->sans[1], "*.registry.test");
	assert_int_equal(cert->not_before, 1000 * DUR_SECOND);
	assert_int_equal(cert->not_after, 2000 * DUR_SECOND);
	assert_int_equal(cert->spki_sha256[31], 1);
	assert_int_equal(cert->subject_bytes, 3);
	names_origin_unref(&cert);
}

static void test_none(void **state)
{
	struct certmsg m;

	(void)state;
	good(&m);
	m.verdict = CERTMSG_INVALID;
	assert_null(parent_cert_read(&m));
	good(&m);
	m.verdict = CERTMSG_UNKNOWN;
	assert_null(parent_cert_read(&m));
	good(&m);
	m.not_after = 0;
	assert_null(parent_cert_read(&m));
	good(&m);
	m.not_after = INT64_MAX;
	assert_null(parent_cert_read(&m));
	good(&m);
	m.not_before = 2001;
	assert_null(parent_cert_read(&m));
	good(&m);
	m.spki_sha256[31] = 0;
	assert_null(parent_cert_read(&m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_none)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
