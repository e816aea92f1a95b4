#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <pthread.h>
#include <unistd.h>

#include "node/base/rng.h"
#include "node/tls/certs.h"
#include "node/tls/mint.h"
#include "node/tls/trust.h"
#include "tests/unit/tls/certs_make.h"

#define NOW INT64_C(1800000000000)
#define CA_LEFT (3000 * DUR_DAY)

struct place {
	char *folder;
	char names[600];
	char why[MINT_WHY_BYTES];
	struct made root;
	struct ca *ca;
	struct mint *mint;
	enum reason reason;
};

static struct ca *open_ca(struct place *p, struct make how, struct made *root)
{
	how.is_ca = true;
	*root = make_cert(how, NULL, NOW);
	return make_ca(p->folder, root->pkey, &root->cert, 1, NOW);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	p->folder = make_folder();
	snprintf(p->names, sizeof(p->names), "%s/names", p->folder);
	p->ca = open_ca(p, (struct make){.cn = "test CA", .from = -DUR_DAY, .to = CA_LEFT}, &p->root);
	p->mint = mint_new(p->ca, &(struct mint_settings){.names_path = p->names});
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	assert_int_equal(ERR_peek_error(), 0);
	mint_free(p->mint);
	ca_unref(&p->ca);
	made_free(&p->root);
	make_folder_remove(p->folder);
	free(p);
	return 0;
}

static struct leaf *leaf_at(struct place *p, const char *name, const struct origin_cert *mimic, wall_ms now)
{
	struct span s = span_str(name);

	return mint_leaf(p->mint, &s, 1, mimic, now, &p->reason);
}

static struct leaf *leaf_for(struct place *p, const char *name)
{
	struct leaf *leaf = leaf_at(p, name, NULL, NOW);

	if (!leaf)
		fail_msg("%s: %s", name, reason_word(p->reason));
	return leaf;
}

static int verify(struct place *p, struct leaf *leaf, const char *host, const char *ip, wall_ms now)
{
	return make_verify(p->root.cert, leaf_chain(leaf), leaf_cert(leaf), host, ip, now);
}

static wall_ms starts(struct leaf *leaf)
{
	return certs_wall(X509_get0_notBefore(leaf_cert(leaf)));
}

static wall_ms ends(struct leaf *leaf)
{
	return certs_wall(X509_get0_notAfter(leaf_cert(leaf)));
}

static const char *common_name(struct leaf *leaf, char cn[128])
{
	cn[0] = '\0';
	X509_NAME_get_text_by_NID(X509_get_subject_name(leaf_cert(leaf)), NID_commonName, cn, 128);
	return cn;
}

static void test_leaf(void **state)
{
	struct place *p = *state;
	struct leaf *leaf = leaf_for(p, "Registry.Test."), *again = leaf_for(p, "registry.test");
	char cn[128];

	assert_ptr_equal(leaf, again);
	assert_int_equal(mint_counts(p->mint).minted, 1);
	assert_int_equal(verify(p, leaf, "registry.test", NULL, NOW), X509_V_OK);
	assert_int_equal(verify(p, leaf, "other.test", NULL, NOW), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_string_equal(common_name(leaf, cn), "registry.test");
	assert_int_equal(starts(leaf), NOW - DUR_DAY);
	assert_int_equal(ends(leaf), NOW - DUR_DAY + 398 * DUR_DAY - DUR_SECOND);
	assert_int_equal(X509_check_private_key(leaf_cert(leaf), leaf_pkey(leaf)), 1);
	assert_int_equal(EVP_PKEY_eq(leaf_pkey(leaf), p->root.pkey), 0); /* the CA's key stays where it is */
	leaf_unref(&again);
	assert_null(again);
	leaf_unref(&again);
	leaf_unref(&leaf);
}

static void test_names(void **state)
{
	struct place *p = *state;
	struct span two[] = {SPAN("sni.test"), SPAN("10.0.0.1")}, turned[] = {SPAN("10.0.0.1"), SPAN("sni.test")};
	struct span twice[] = {SPAN("sni.test"), SPAN("SNI.test."), SPAN("10.0.0.1"), SPAN("sni.test")};
	struct leaf *leaf = mint_leaf(p->mint, two, 2, NULL, NOW, &p->reason), *other, *one = leaf_for(p, "sni.test");
	char cn[128];

	assert_int_equal(verify(p, leaf, "sni.test", NULL, NOW), X509_V_OK);
	assert_int_equal(verify(p, leaf, NULL, "10.0.0.1", NOW), X509_V_OK);
	assert_memory_not_equal(leaf_context(leaf), leaf_context(one), MINT_CONTEXT_BYTES);
	other = mint_leaf(p->mint, twice, 4, NULL, NOW, &p->reason);
	assert_ptr_equal(other, leaf);
	leaf_unref(&other);
	other = mint_leaf(p->mint, turned, 2, NULL, NOW, &p->reason);
	assert_ptr_not_equal(other, leaf);
	assert_string_equal(common_name(other, cn), "10.0.0.1");
	leaf_unref(&other);
	leaf_unref(&leaf);
	leaf_unref(&one);
	one = leaf_for(p, "[::1]");
	assert_int_equal(verify(p, one, NULL, "::1", NOW), X509_V_OK);
	leaf_unref(&one);
}

static void test_bad_names(void **state)
{
	static const char *const bad[] = {"", "a b", "*.a.test", "a..b", "127.1", "a\nb", "a,DNS:b"};
	struct place *p = *state;
	struct span many[] = {SPAN("a.test"), SPAN("b.test"), SPAN("c.test"), SPAN("d.test"), SPAN("e.test")};
	struct span nul = span_of("a\0b", 3);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(leaf_at(p, bad[i], NULL, NOW));
		assert_int_equal(p->reason, REASON_BAD_HOST);
	}
	assert_null(mint_leaf(p->mint, &nul, 1, NULL, NOW, &p->reason));
	assert_null(mint_leaf(p->mint, many, 5, NULL, NOW, &p->reason));
	assert_null(mint_leaf(p->mint, many, 0, NULL, NOW, &p->reason));
	assert_int_equal(p->reason, REASON_BAD_HOST);
	assert_int_equal(mint_counts(p->mint).minted, 0);
}

static void test_renewal(void **state)
{
	struct place *p = *state;
	struct leaf *leaf = leaf_for(p, "a.test"), *later;
	wall_ms end = ends(leaf);

	later = leaf_at(p, "a.test", NULL, end - 8 * DUR_DAY);
	assert_ptr_equal(later, leaf);
	leaf_unref(&later);
	later = leaf_at(p, "a.test", NULL, end - 6 * DUR_DAY);
	assert_ptr_not_equal(later, leaf);
	assert_int_equal(ends(later), end - 6 * DUR_DAY - DUR_DAY + 398 * DUR_DAY - DUR_SECOND);
	assert_memory_equal(leaf_context(later), leaf_context(leaf), MINT_CONTEXT_BYTES); /* sessions live on */
	assert_int_equal(verify(p, leaf, "a.test", NULL, NOW), X509_V_OK); /* so does who holds the old one */
	assert_int_equal(mint_counts(p->mint).leaves, 1);
	leaf_unref(&later);
	leaf_unref(&leaf);
}

/* The CA's last days: a leaf that cannot be bettered is not minted again and again. */
static void test_end_of_ca(void **state)
{
	struct place *p = *state;
	wall_ms end = NOW + CA_LEFT;
	struct leaf *leaf = leaf_at(p, "a.test", NULL, end - DUR_HOUR), *again;

	assert_int_equal(ends(leaf), end);
	again = leaf_at(p, "a.test", NULL, end - 1000);
	assert_ptr_equal(leaf, again);
	assert_null(leaf_at(p, "a.test", NULL, end));
	assert_int_equal(p->reason, REASON_INTERNAL);
	leaf_unref(&leaf);
	leaf_unref(&again);
}

static void test_lru(void **state)
{
	struct place *p = *state;
	struct leaf *leaf, *kept;
	char name[32];

	mint_free(p->mint);
	p->mint = mint_new(p->ca, &(struct mint_settings){.max_leaves = 3});
	kept = leaf_for(p, "n0.test");
	for (int i = 1; i < 6; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		leaf = leaf_for(p, name);
		leaf_unref(&leaf);
		leaf = leaf_for(p, "n0.test"); /* in use: stays */
		assert_ptr_equal(leaf, kept);
		leaf_unref(&leaf);
	}
	assert_int_equal(mint_counts(p->mint).leaves, 3);
	assert_int_equal(mint_counts(p->mint).minted, 6);
	leaf = leaf_for(p, "n5.test");
	leaf_unref(&leaf);
	assert_int_equal(mint_counts(p->mint).minted, 6);
	leaf = leaf_for(p, "n1.test");
	leaf_unref(&leaf);
	assert_int_equal(mint_counts(p->mint).minted, 7);
	leaf_unref(&kept);
}

static void test_other_ca(void **state)
{
	struct place *p = *state;
	struct leaf *old = leaf_for(p, "a.test"), *leaf;
	struct made root;
	struct ca *ca = open_ca(p, (struct make){.cn = "second CA", .pathlen = 0}, &root);

	mint_use_ca(p->mint, ca);
	ca_unref(&ca);
	leaf = leaf_for(p, "a.test");
	assert_int_equal(verify(p, old, "a.test", NULL, NOW), X509_V_OK);
	assert_int_equal(make_verify(root.cert, NULL, leaf_cert(leaf), "a.test", NULL, NOW), X509_V_OK);
	assert_memory_not_equal(leaf_context(leaf), leaf_context(old), MINT_CONTEXT_BYTES);
	mint_free(p->mint); /* leaves outlive the mint */
	p->mint = NULL;
	assert_int_equal(make_verify(root.cert, NULL, leaf_cert(leaf), "a.test", NULL, NOW), X509_V_OK);
	leaf_unref(&leaf);
	leaf_unref(&old);
	made_free(&root);
}

/* The same CA as before, with another chain: what is sent behind a leaf is the new one. */
static void test_other_chain(void **state)
{
	struct place *p = *state;
	struct made root = make_cert((struct make){.cn = "root", .is_ca = true, .pathlen = 2}, NULL, NOW);
	struct made middle = make_cert((struct make){.cn = "middle", .is_ca = true, .pathlen = 1}, &root, NOW);
	struct made signer = make_cert((struct make){.cn = "signer", .is_ca = true, .pathlen = 0}, &middle, NOW);
	struct ca *alone = make_ca(p->folder, signer.pkey, (X509 *[]){signer.cert}, 1, NOW);
	struct ca *longer = make_ca(p->folder, signer.pkey, (X509 *[]){signer.cert, middle.cert}, 2, NOW);
	struct leaf *old, *leaf;

	assert_true(ca_same(alone, alone) && !ca_same(alone, longer) && !ca_same(longer, alone));
	mint_use_ca(p->mint, alone);
	old = leaf_for(p, "a.test");
	mint_use_ca(p->mint, longer);
	leaf = leaf_for(p, "a.test");
	assert_ptr_not_equal(leaf, old);
	assert_ptr_equal(leaf_chain(leaf), ca_chain(longer));
	assert_int_equal(sk_X509_num(leaf_chain(old)), 1);
	assert_int_equal(sk_X509_num(leaf_chain(leaf)), 2);
	assert_memory_equal(leaf_context(leaf), leaf_context(old), MINT_CONTEXT_BYTES);
	leaf_unref(&leaf);
	leaf_unref(&old);
	ca_unref(&alone);
	ca_unref(&longer);
	made_free(&signer);
	made_free(&middle);
	made_free(&root);
}

static struct origin_cert *origin(struct make how)
{
	struct made m = make_cert(how, NULL, NOW);
	struct origin_cert *oc = trust_describe(m.cert);

	made_free(&m);
	return oc;
}

static void test_mimic(void **state)
{
	struct place *p = *state;
	struct made m = make_cert((struct make){.cn = "www.test",
						.org = "Example Ltd",
						.from = -30 * DUR_DAY,
						.to = 60 * DUR_DAY,
						.san = "DNS:www.test,DNS:*.files.test,IP:10.0.0.1"},
				  NULL, NOW);
	struct origin_cert *oc = trust_describe(m.cert);
	struct span names[] = {SPAN("a.files.test"), SPAN("extra.test")};
	struct leaf *leaf = mint_leaf(p->mint, names, 2, oc, NOW, &p->reason), *again, *plain;

	assert_int_equal(X509_NAME_cmp(X509_get_subject_name(leaf_cert(leaf)), X509_get_subject_name(m.cert)), 0);
	assert_int_equal(starts(leaf), NOW - 30 * DUR_DAY);
	assert_int_equal(ends(leaf), NOW + 60 * DUR_DAY);
	assert_int_equal(verify(p, leaf, "www.test", NULL, NOW), X509_V_OK);
	assert_int_equal(verify(p, leaf, "b.files.test", NULL, NOW), X509_V_OK);
	assert_int_equal(verify(p, leaf, "extra.test", NULL, NOW), X509_V_OK);
	assert_int_equal(verify(p, leaf, NULL, "10.0.0.1", NOW), X509_V_OK);
	assert_int_equal(verify(p, leaf, "c.b.files.test", NULL, NOW), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(leaf_cert(leaf)), m.pkey), 0);
	again = mint_leaf(p->mint, names, 2, oc, NOW + DUR_HOUR, &p->reason);
	assert_ptr_equal(leaf, again);
	plain = mint_leaf(p->mint, names, 2, NULL, NOW, &p->reason); /* other knowledge, other leaf, same place */
	assert_ptr_not_equal(leaf, plain);
	assert_int_equal(mint_counts(p->mint).leaves, 1);
	leaf_unref(&again);
	leaf_unref(&plain);
	leaf_unref(&leaf);
	names_origin_unref(&oc);
	made_free(&m);
}

static void test_mimic_dates(void **state)
{
	static const struct {
		dur_ms from, to, leaf_from, leaf_to;
	} cases[] = {
		{-10 * DUR_HOUR, 80 * DUR_DAY, -10 * DUR_HOUR, 80 * DUR_DAY},
		/* so long a life is refused by clients */
		{-10 * DUR_HOUR, 800 * DUR_DAY, -10 * DUR_HOUR, -10 * DUR_HOUR + 398 * DUR_DAY - DUR_SECOND},
		{-700 * DUR_DAY, 20 * DUR_DAY, -DUR_DAY, 20 * DUR_DAY},
		/* about to end, ended, not begun: our own dates */
		{-80 * DUR_DAY, 6 * DUR_DAY, -DUR_DAY, 397 * DUR_DAY - DUR_SECOND},
		{-80 * DUR_DAY, -DUR_DAY, -DUR_DAY, 397 * DUR_DAY - DUR_SECOND},
		{DUR_DAY, 80 * DUR_DAY, -DUR_DAY, 397 * DUR_DAY - DUR_SECOND},
		/* longer than the CA */
		{-DUR_DAY, CA_LEFT + DUR_DAY, -DUR_DAY, 397 * DUR_DAY - DUR_SECOND},
	};
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct origin_cert *oc = origin(
			(struct make){.cn = "a.test", .san = "DNS:a.test", .from = cases[i].from, .to = cases[i].to});
		struct leaf *leaf = leaf_at(p, "a.test", oc, NOW), *again = leaf_at(p, "a.test", oc, NOW);

		if (starts(leaf) != NOW + cases[i].leaf_from || ends(leaf) != NOW + cases[i].leaf_to || leaf != again)
			fail_msg("%zu: %lld to %lld", i, (long long)(starts(leaf) - NOW),
				 (long long)(ends(leaf) - NOW));
		leaf_unref(&leaf);
		leaf_unref(&again);
		names_origin_unref(&oc);
	}
}

static void test_constraints(void **state)
{
	struct place *p = *state;
	struct made root;
	struct ca *ca = open_ca(p, (struct make){.cn = "tight CA", .permits = "permitted;DNS:corp.test"}, &root);
	struct origin_cert *oc = origin((struct make){.cn = "x", .san = "DNS:elsewhere.test,DNS:*.corp.test"});
	struct leaf *leaf;

	mint_use_ca(p->mint, ca);
	assert_null(leaf_at(p, "elsewhere.test", NULL, NOW));
	assert_int_equal(p->reason, REASON_DENIED_BUMP);
	leaf = leaf_at(p, "a.corp.test", oc, NOW);
	assert_int_equal(make_verify(root.cert, NULL, leaf_cert(leaf), "a.corp.test", NULL, NOW), X509_V_OK);
	leaf_unref(&leaf);
	names_origin_unref(&oc);
	ca_unref(&ca);
	made_free(&root);
}

/* --- What is remembered. --- */

static void remember(struct place *p, const char *host, const char *san, dur_ms to)
{
	struct origin_cert *oc = origin((struct make){.cn = "x", .san = san, .from = -DUR_DAY, .to = to});

	mint_remember(p->mint, span_str(host), oc, NOW);
	names_origin_unref(&oc);
}

static const char *first_san(struct place *p, const char *host, wall_ms now, char out[NAMES_HOST_MAX + 1])
{
	struct origin_cert *oc = mint_recall(p->mint, span_str(host), now);

	strcpy(out, oc ? oc->sans[0] : "nothing");
	names_origin_unref(&oc);
	return out;
}

static long reload(struct place *p, size_t *skipped)
{
	mint_free(p->mint);
	p->mint = mint_new(p->ca, &(struct mint_settings){.names_path = p->names, .max_origins = 4});
	return mint_load(p->mint, NOW, skipped, p->why, sizeof(p->why));
}

static int lines_of(const char *path)
{
	FILE *f = fopen(path, "r");
	int n = 0;

	for (int c; f && (c = fgetc(f)) != EOF;)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

static void flush(struct place *p)
{
	if (mint_flush(p->mint, p->why, sizeof(p->why)))
		fail_msg("%s", p->why);
}

static void test_remember(void **state)
{
	struct place *p = *state;
	struct origin_cert *oc = origin((struct make){.cn = "x", .san = "DNS:first.test", .to = 50 * DUR_DAY});
	char san[NAMES_HOST_MAX + 1];
	size_t skipped;
	struct stat st;

	assert_true(mint_remember(p->mint, SPAN("A.test"), oc, NOW));  /* a flush is wanted */
	assert_false(mint_remember(p->mint, SPAN("b.test"), oc, NOW)); /* and was already asked for */
	assert_false(mint_remember(p->mint, SPAN("a b"), oc, NOW));
	names_origin_unref(&oc);
	assert_string_equal(first_san(p, "a.test.", NOW, san), "first.test");
	assert_string_equal(first_san(p, "c.test", NOW, san), "nothing");
	assert_string_equal(first_san(p, "a b", NOW, san), "nothing");
	assert_string_equal(first_san(p, "a.test", NOW + 50 * DUR_DAY, san), "nothing");
	/* Of two certificates in use at once, the one that lasts longer; nothing is written for the other. */
	remember(p, "a.test", "DNS:shorter.test", 40 * DUR_DAY);
	assert_string_equal(first_san(p, "a.test", NOW, san), "first.test");
	flush(p);
	assert_int_equal(lines_of(p->names), 2);
	remember(p, "a.test", "DNS:longer.test", 60 * DUR_DAY);
	assert_string_equal(first_san(p, "a.test", NOW, san), "longer.test");
	flush(p);
	flush(p);
	assert_int_equal(lines_of(p->names), 3);
	assert_int_equal(stat(p->names, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* A restart: the same knowledge, the file without what is past. */
	assert_int_equal(reload(p, &skipped), 2);
	assert_int_equal(skipped, 0);
	assert_string_equal(first_san(p, "a.test", NOW, san), "longer.test");
	assert_string_equal(first_san(p, "b.test", NOW, san), "first.test");
	assert_int_equal(lines_of(p->names), 2);
	/* What is known but about to end gives way to anything. */
	oc = origin((struct make){.cn = "x", .san = "DNS:next.test", .to = 58 * DUR_DAY});
	mint_remember(p->mint, SPAN("a.test"), oc, NOW + 56 * DUR_DAY);
	names_origin_unref(&oc);
	assert_string_equal(first_san(p, "a.test", NOW, san), "next.test");
}

static void append(const char *path, const char *bytes, size_t n)
{
	FILE *f = fopen(path, "a");

	fwrite(bytes, 1, n, f);
	fclose(f);
}

static void test_damaged_file(void **state)
{
	struct place *p = *state;
	char san[NAMES_HOST_MAX + 1];
	char *longer = calloc(1, 3 * NAMES_LINE_MAX);
	size_t skipped;

	assert_int_equal(reload(p, &skipped), 0); /* no file */
	remember(p, "a.test", "DNS:a.test", 50 * DUR_DAY);
	remember(p, "old.test", "DNS:a.test", -DUR_HOUR);
	flush(p);
	append(p->names, "junk\n\n", 6);
	append(p->names, "a\0b\n", 4);
	memset(longer, 'x', 3 * NAMES_LINE_MAX);
	append(p->names, longer, 3 * NAMES_LINE_MAX);
	append(p->names, "\n", 1);
	remember(p, "b.test", "DNS:b.test", 50 * DUR_DAY);
	flush(p);
	append(p->names, "c.test\tc.te", 11); /* torn by a crash */
	assert_int_equal(reload(p, &skipped), 2);
	assert_int_equal(skipped, 5);
	assert_string_equal(first_san(p, "a.test", NOW, san), "a.test");
	assert_string_equal(first_san(p, "b.test", NOW, san), "b.test");
	assert_int_equal(lines_of(p->names), 2); /* made clean at once */
	assert_int_equal(reload(p, &skipped), 2);
	assert_int_equal(skipped, 0);
	free(longer);
}

static void test_bounds(void **state)
{
	struct place *p = *state;
	char host[64], san[NAMES_HOST_MAX + 1];
	size_t skipped;

	reload(p, &skipped); /* at most four origins: the file is made anew beyond eight lines */
	for (int i = 0; i < 20; i++) {
		snprintf(host, sizeof(host), "h%d.test", i);
		remember(p, host, "DNS:a.test", 50 * DUR_DAY);
		flush(p);
		assert_true(lines_of(p->names) <= 8);
	}
	assert_int_equal(mint_counts(p->mint).origins, 4);
	assert_string_equal(first_san(p, "h16.test", NOW, san), "a.test");
	assert_string_equal(first_san(p, "h15.test", NOW, san), "nothing");
	assert_int_equal(reload(p, &skipped), 4);
	assert_string_equal(first_san(p, "h16.test", NOW, san), "a.test");
	assert_string_equal(first_san(p, "h19.test", NOW, san), "a.test");
	for (int i = 0; i < 1100; i++) {
		struct origin_cert *oc = names_origin_new();

		oc->not_before = NOW;
		oc->not_after = NOW + 60 * DUR_DAY + i * DUR_SECOND;
		mint_remember(p->mint, SPAN("many.test"), oc, NOW);
		names_origin_unref(&oc);
	}
	assert_int_equal(mint_counts(p->mint).dropped, 1100 - 1024);
	flush(p);
	assert_int_equal(lines_of(p->names), 4);
}

static void test_no_file(void **state)
{
	struct place *p = *state;
	char san[NAMES_HOST_MAX + 1];
	size_t skipped;

	mint_free(p->mint);
	p->mint = mint_new(p->ca, &(struct mint_settings){.names_path = "/nowhere/at/all"});
	assert_int_equal(mint_load(p->mint, NOW, &skipped, p->why, sizeof(p->why)), 0);
	remember(p, "a.test", "DNS:a.test", 50 * DUR_DAY);
	assert_int_equal(mint_flush(p->mint, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "/nowhere/at/all cannot be written"));
	assert_string_equal(first_san(p, "a.test", NOW, san), "a.test");
	mint_free(p->mint);
	p->mint = mint_new(p->ca, &(struct mint_settings){.names_path = p->folder});
	assert_int_equal(mint_load(p->mint, NOW, &skipped, p->why, sizeof(p->why)), 0); /* a folder reads as nothing */
	mint_free(p->mint);
	p->mint = mint_new(p->ca, &(struct mint_settings){.names_path = NULL});
	remember(p, "a.test", "DNS:a.test", 50 * DUR_DAY);
	flush(p);
	assert_int_equal(mint_load(p->mint, NOW, &skipped, p->why, sizeof(p->why)), 0);
	assert_string_equal(first_san(p, "a.test", NOW, san), "a.test");
}

/* --- Threads. --- */

#define N_THREADS 4
#define N_NAMES 12
#define ROUNDS 60

struct crowd {
	struct place *p;
	struct ca *cas[2];
	struct origin_cert *origin;
	pthread_barrier_t start;
	struct leaf *first[N_THREADS][N_NAMES];
	int failures; /* atomic */
};

struct member {
	struct crowd *crowd;
	unsigned id;
	pthread_t thread;
};

static void sign_with(struct leaf *leaf, struct crowd *c)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char sig[128];
	size_t n = sizeof(sig);

	if (EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, leaf_pkey(leaf)) != 1 ||
	    EVP_DigestSign(md, sig, &n, (const unsigned char *)"x", 1) != 1)
		__atomic_fetch_add(&c->failures, 1, __ATOMIC_RELAXED);
	EVP_MD_CTX_free(md);
}

static void *same_names(void *cookie)
{
	struct member *me = cookie;
	struct crowd *c = me->crowd;
	char name[32];

	for (int i = 0; i < N_NAMES; i++) {
		struct span s;
		enum reason why;

		snprintf(name, sizeof(name), "n%d.test", i);
		s = span_str(name);
		pthread_barrier_wait(&c->start);
		c->first[me->id][i] = mint_leaf(c->p->mint, &s, 1, NULL, NOW, &why);
	}
	return NULL;
}

static void *everything(void *cookie)
{
	struct member *me = cookie;
	struct crowd *c = me->crowd;
	struct rng rng;
	char name[32], why_text[MINT_WHY_BYTES];

	rng_seed(&rng, me->id + 1);
	pthread_barrier_wait(&c->start);
	for (int i = 0; i < ROUNDS; i++) {
		struct span s;
		struct leaf *leaf;
		enum reason why;

		snprintf(name, sizeof(name), "n%d.test", (int)rng_below(&rng, N_NAMES));
		s = span_str(name);
		leaf = mint_leaf(c->p->mint, &s, 1, rng_below(&rng, 2) ? c->origin : NULL, NOW, &why);
		if (!leaf || X509_check_host(leaf_cert(leaf), name, 0, 0, NULL) != 1)
			__atomic_fetch_add(&c->failures, 1, __ATOMIC_RELAXED);
		else
			sign_with(leaf, c);
		leaf_unref(&leaf);
		switch (rng_below(&rng, 5)) {
		case 0:
			mint_use_ca(c->p->mint, c->cas[rng_below(&rng, 2)]);
			break;
		case 1:
			mint_remember(c->p->mint, s, c->origin, NOW);
			break;
		case 2:
			mint_flush(c->p->mint, why_text, sizeof(why_text));
			break;
		case 3: {
			struct origin_cert *oc = mint_recall(c->p->mint, s, NOW);

			names_origin_unref(&oc);
			break;
		}
		default:
			mint_counts(c->p->mint);
		}
	}
	return NULL;
}

static void run(struct crowd *c, void *(*fn)(void *))
{
	struct member members[N_THREADS];

	pthread_barrier_init(&c->start, NULL, N_THREADS);
	for (unsigned i = 0; i < N_THREADS; i++) {
		members[i] = (struct member){.crowd = c, .id = i};
		assert_int_equal(pthread_create(&members[i].thread, NULL, fn, &members[i]), 0);
	}
	for (unsigned i = 0; i < N_THREADS; i++)
		pthread_join(members[i].thread, NULL);
	pthread_barrier_destroy(&c->start);
}

/* All at once for the same new name: everybody gets the same leaf. */
static void test_threads_share(void **state)
{
	struct crowd c = {.p = *state};

	run(&c, same_names);
	for (int i = 0; i < N_NAMES; i++)
		for (int t = 0; t < N_THREADS; t++) {
			assert_non_null(c.first[t][i]);
			assert_ptr_equal(c.first[t][i], c.first[0][i]);
		}
	for (int i = 0; i < N_NAMES; i++)
		for (int t = 0; t < N_THREADS; t++)
			leaf_unref(&c.first[t][i]);
	assert_int_equal(mint_counts(c.p->mint).leaves, N_NAMES);
}

static void test_threads_mix(void **state)
{
	struct place *p = *state;
	struct crowd c = {.p = p};
	struct made root;
	size_t skipped;

	mint_free(p->mint);
	p->mint = mint_new(p->ca, &(struct mint_settings){.names_path = p->names, .max_leaves = 5, .max_origins = 5});
	c.cas[0] = p->ca;
	c.cas[1] = open_ca(p, (struct make){.cn = "second CA"}, &root);
	c.origin = origin((struct make){.cn = "x", .san = "DNS:x.test", .to = 50 * DUR_DAY});
	run(&c, everything);
	assert_int_equal(c.failures, 0);
	assert_true(mint_counts(p->mint).leaves <= 5);
	assert_true(mint_counts(p->mint).origins <= 5);
	flush(p);
	assert_int_equal(reload(p, &skipped), 4); /* of the five, as many as this one may hold */
	assert_int_equal(skipped, 0);
	names_origin_unref(&c.origin);
	ca_unref(&c.cas[1]);
	made_free(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_leaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renewal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_ca, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lru, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_ca, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mimic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mimic_dates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_constraints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remember, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads_share, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads_mix, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
