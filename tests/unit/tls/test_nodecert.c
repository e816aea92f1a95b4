#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <unistd.h>

#include "node/tls/nodecert.h"
#include "tests/unit/tls/certs_make.h"
#include "tests/unit/tls/nodes.h"

struct place {
	char *folder;
	wall_ms now;
	struct nodes c;
	char why[NODECERT_WHY_BYTES];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	p->folder = make_folder();
	p->now = 1767225600000; /* 2026-01-01 */
	p->c = nodes_make_ca(p->folder, "ca", p->now);
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

static X509 *load(const char *path)
{
	FILE *f = fopen(path, "r");
	X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

	assert_non_null(cert);
	fclose(f);
	return cert;
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (unsigned)st.st_mode & 07777;
}

/* Milliseconds. */
static wall_ms when(const ASN1_TIME *t)
{
	struct tm tm;

	assert_int_equal(ASN1_TIME_to_tm(t, &tm), 1);
	return (wall_ms)timegm(&tm) * DUR_SECOND;
}

static int issue(struct place *p, const char *cluster, const char *node, int days, wall_ms now, bool renew)
{
	struct node_files f = nodes_files(&p->c, "x");
	struct node_name who = {.role = NODE_PARENT};

	strcpy(who.cluster, cluster);
	strcpy(who.node, node);
	p->why[0] = '\0';
	return nodecert_issue(p->c.ca, p->c.ca_key, &who, days, now, f.cert, f.key, renew, p->why, sizeof(p->why));
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} t[] = {
		{"edge1", true},
		{"e", true},
		{"0", true},
		{"Edge-1.rack_2", true},
		{"123456789012345678901234567890123456789012345678", true},
		{"1234567890123456789012345678901234567890123456789", false},
		{"", false},
		{"-a", false},
		{".a", false},
		{"_a", false},
		{"a b", false},
		{"a/b", false},
		{"a%2fb", false},
		{"a\n", false},
		{"\xc3\xa4", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(nodecert_name_is_good(span_str(t[i].name)), t[i].good);
	assert_false(nodecert_name_is_good(SPAN("a\0b")));
}

static void test_roles(void **state)
{
	static const char *const words[] = {"edge", "parent", "admin"};
	enum node_role role;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(nodecert_role(span_str(words[i]), &role), 0);
		assert_int_equal(role, i);
		assert_string_equal(nodecert_role_word(role), words[i]);
	}
	assert_int_equal(nodecert_role(SPAN("Edge"), &role), -1);
	assert_int_equal(nodecert_role(SPAN(""), &role), -1);
	assert_int_equal(nodecert_role(SPAN("edges"), &role), -1);
}

static void test_uri(void **state)
{
	static const char *const bad[] = {
		"",
		"pmcache://",
		"pmcache://c",
		"pmcache://c/edge",
		"pmcache://c/edge/",
		"pmcache://c//n",
		"pmcache:///edge/n",
		"pmcache://c/edge/n/",
		"pmcache://c/edge/n/m",
		"pmcache://c/edge/n?x",
		"pmcache://c/edge/n#x",
		"pmcache://c/Edge/n",
		"pmcache://c/root/n",
		"PMCACHE://c/edge/n",
		"pmcache:/c/edge/n",
		" pmcache://c/edge/n",
		"pmcache://c/edge/n ",
		"pmcache://u@c/edge/n",
		"pmcache://c:1/edge/n",
		"https://c/edge/n",
	};
	struct node_name who;

	(void)state;
	assert_int_equal(nodecert_parse_uri(SPAN("pmcache://prod-1/parent/p.2"), &who), 0);
	assert_string_equal(who.cluster, "prod-1");
	assert_int_equal(who.role, NODE_PARENT);
	assert_string_equal(who.node, "p.2");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (nodecert_parse_uri(span_str(bad[i]), &who) != -1)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(nodecert_parse_uri(SPAN("pmcache://c/edge/n\0"), &who), -1);
	assert_int_equal(nodecert_parse_uri(SPAN("pmcache://c/edge/n\0x"), &who), -1);
}

static void test_ca(void **state)
{
	struct place *p = *state;
	X509 *ca = load(p->c.ca);
	char cn[65], cert[600], key[600];

	assert_int_equal(mode_of(p->c.ca_key), 0600);
	assert_int_equal(mode_of(p->c.ca), 0644);
	assert_int_equal(X509_check_ca(ca), 1);
	assert_int_equal(X509_get_pathlen(ca), 0);
	assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(X509_self_signed(ca, 1), 1);
	assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_commonName, cn, sizeof(cn)) > 0);
	assert_string_equal(cn, "pmcache cluster test");
	assert_int_equal(when(X509_get0_notBefore(ca)), p->now - DUR_DAY);
	assert_int_equal(when(X509_get0_notAfter(ca)), p->now + 365 * DUR_DAY);
	X509_free(ca);

	assert_int_equal(nodecert_make_ca("test", p->c.ca, p->c.ca_key, 9, p->now, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "is there already"));
	snprintf(cert, sizeof(cert), "%s/other.pem", p->folder);
	assert_int_equal(nodecert_make_ca("test", cert, p->c.ca_key, 9, p->now, p->why, sizeof(p->why)), -1);
	assert_int_equal(access(cert, F_OK), -1);
	snprintf(key, sizeof(key), "%s/other.key", p->folder);
	assert_int_equal(nodecert_make_ca("a/b", cert, key, 9, p->now, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "\"a/b\" cannot be the name of a cluster"));
	assert_int_equal(nodecert_make_ca("test", cert, key, 0, p->now, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "1 to 36500 days"));
	snprintf(cert, sizeof(cert), "%s/none/other.pem", p->folder);
	snprintf(key, sizeof(key), "%s/none/other.key", p->folder);
	assert_int_equal(nodecert_make_ca("test", cert, key, 9, p->now, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "does the folder exist"));
}

static void test_issue(void **state)
{
	struct place *p = *state;
	struct node_files f = nodes_files(&p->c, "x");
	struct node_name who;
	wall_ms not_after;
	X509 *ca, *cert;

	assert_int_equal(issue(p, "test", "parent1", 30, p->now, false), 0);
	assert_int_equal(mode_of(f.key), 0600);
	cert = load(f.cert);
	ca = load(p->c.ca);
	assert_int_equal(X509_check_ca(cert), 0);
	assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER | XKU_SSL_CLIENT);
	assert_int_equal(X509_check_issued(ca, cert), X509_V_OK);
	assert_int_equal(when(X509_get0_notBefore(cert)), p->now - DUR_DAY);
	assert_int_equal(when(X509_get0_notAfter(cert)), p->now + 30 * DUR_DAY);
	assert_int_equal(make_verify(ca, NULL, cert, NULL, NULL, p->now), X509_V_OK);
	assert_int_equal(nodecert_read(cert, &who), 0);
	assert_string_equal(who.cluster, "test");
	assert_string_equal(who.node, "parent1");
	assert_int_equal(who.role, NODE_PARENT);
	X509_free(cert);
	X509_free(ca);
	assert_int_equal(nodecert_describe(f.cert, &who, &not_after, p->why, sizeof(p->why)), 0);
	assert_string_equal(who.node, "parent1");
	assert_int_equal(not_after, p->now + 30 * DUR_DAY);

	assert_int_equal(issue(p, "test", "parent2", 30, p->now, false), -1);
	assert_non_null(strstr(p->why, "is there already"));
	assert_int_equal(issue(p, "test", "parent2", 30, p->now + DUR_DAY, true), 0);
	assert_int_equal(nodecert_describe(f.cert, &who, &not_after, p->why, sizeof(p->why)), 0);
	assert_string_equal(who.node, "parent2");
}

/* Never longer, and never earlier, than the CA lives. */
static void test_ca_life(void **state)
{
	struct place *p = *state;
	struct node_files f = nodes_files(&p->c, "x");
	X509 *cert;

	assert_int_equal(issue(p, "test", "a", 1000, p->now, false), 0);
	cert = load(f.cert);
	assert_int_equal(when(X509_get0_notAfter(cert)), p->now + 365 * DUR_DAY);
	X509_free(cert);
	assert_int_equal(issue(p, "test", "a", 10, p->now - DUR_HOUR, true), 0);
	cert = load(f.cert);
	assert_int_equal(when(X509_get0_notBefore(cert)), p->now - DUR_DAY);
	X509_free(cert);
	assert_int_equal(issue(p, "test", "a", 10, p->now + 366 * DUR_DAY, true), -1);
	assert_non_null(strstr(p->why, "has expired"));
	assert_int_equal(issue(p, "test", "a", 10, p->now - 2 * DUR_DAY, true), -1);
}

static void test_bad_wishes(void **state)
{
	struct place *p = *state;
	struct node_files f = nodes_files(&p->c, "x"), y = nodes_files(&p->c, "y");
	struct node_name who = {.cluster = "test", .node = "n"};
	wall_ms until;

	assert_int_equal(issue(p, "test", "a b", 30, p->now, false), -1);
	assert_non_null(strstr(p->why, "name of a node"));
	assert_int_equal(issue(p, "", "a", 30, p->now, false), -1);
	assert_non_null(strstr(p->why, "name of a cluster"));
	assert_int_equal(issue(p, "test", "a", -1, p->now, false), -1);
	assert_int_equal(issue(p, "test", "a", NODECERT_DAYS_MAX + 1, p->now, false), -1);
	assert_int_equal(access(f.cert, F_OK), -1);
	assert_int_equal(access(f.key, F_OK), -1);

	/* A node's certificate signs nothing; another's key fits no certificate; a key that all may read is none. */
	assert_int_equal(issue(p, "test", "a", 30, p->now, false), 0);
	assert_int_equal(nodecert_issue(f.cert, f.key, &who, 30, p->now, y.cert, y.key, false, p->why, sizeof(p->why)),
			 -1);
	assert_non_null(strstr(p->why, "is no CA"));
	assert_int_equal(nodecert_issue(p->c.ca, f.key, &who, 30, p->now, y.cert, y.key, false, p->why, sizeof(p->why)),
			 -1);
	assert_non_null(strstr(p->why, "is not the key of"));
	assert_int_equal(chmod(p->c.ca_key, 0644), 0);
	assert_int_equal(
		nodecert_issue(p->c.ca, p->c.ca_key, &who, 30, p->now, y.cert, y.key, false, p->why, sizeof(p->why)),
		-1);
	assert_non_null(strstr(p->why, "chmod 600"));
	assert_int_equal(nodecert_describe(p->c.ca, &who, &until, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "names no node"));
	assert_int_equal(nodecert_describe(p->c.ca_key, &who, &until, p->why, sizeof(p->why)), -1);
	assert_int_equal(nodecert_describe("/nowhere", &who, &until, p->why, sizeof(p->why)), -1);
}

/* A URI given as bytes, since OpenSSL's words end at a NUL. */
static X509 *with_uri(const char *bytes, int n, int copies)
{
	X509 *cert = X509_new();
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	ASN1_STRING_set(text, bytes, n);
	GENERAL_NAME_set0_value(name, GEN_URI, text);
	sk_GENERAL_NAME_push(names, name);
	for (int i = 0; i < copies; i++)
		assert_int_equal(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND), 1);
	GENERAL_NAMES_free(names);
	return cert;
}

static void test_read(void **state)
{
	static const struct {
		const char *san;
		int r;
	} t[] = {
		{NULL, -1},
		{"DNS:pmcache.test", -1},
		{"URI:pmcache://c/edge/n", 0},
		{"DNS:n.test,URI:pmcache://c/edge/n,IP:127.0.0.1", 0},
		{"URI:pmcache://c/edge/n,URI:pmcache://c/edge/n", -1},
		{"URI:pmcache://c/edge/n,URI:pmcache://c/parent/n", -1},
		{"URI:pmcache://c/edge/n,URI:https://x.test/", -1},
		{"URI:https://x.test/,URI:pmcache://c/edge/n", -1},
		{"URI:pmcache://c/root/n", -1},
		{"DNS:pmcache://c/edge/n", -1},
		{"email:pmcache://c/edge/n", -1},
	};
	struct place *p = *state;
	struct node_name who;
	X509 *cert;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct made m = make_cert((struct make){.cn = "pmcache://c/edge/n", .san = t[i].san}, NULL, p->now);

		if (nodecert_read(m.cert, &who) != t[i].r)
			fail_msg("%s", t[i].san);
		made_free(&m);
	}
	cert = with_uri("pmcache://c/edge/n", 18, 1);
	assert_int_equal(nodecert_read(cert, &who), 0);
	X509_free(cert);
	cert = with_uri("pmcache://c/edge/n\0", 19, 1);
	assert_int_equal(nodecert_read(cert, &who), -1);
	X509_free(cert);
	cert = with_uri("pmcache://c/edge/n\0.test", 24, 1);
	assert_int_equal(nodecert_read(cert, &who), -1);
	X509_free(cert);
	cert = with_uri("pmcache://c/edge/n", 18, 2); /* two extensions */
	assert_int_equal(nodecert_read(cert, &who), -1);
	X509_free(cert);
	cert = with_uri("", 0, 1);
	assert_int_equal(nodecert_read(cert, &who), -1);
	X509_free(cert);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_uri),
		T(test_ca),
		T(test_issue),
		T(test_ca_life),
		T(test_bad_wishes),
		T(test_read),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
