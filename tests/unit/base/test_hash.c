#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/base/hash.h"
#include "node/base/rng.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void assert_hex(const void *bytes, size_t n, const char *want)
{
	char hex[2 * HASH_MAX_BYTES + 1];
	struct buf b = buf_over(hex, sizeof(hex) - 1);

	buf_put_hex(&b, bytes, n);
	hex[b.n] = '\0';
	assert_string_equal(hex, want);
}

/* FIPS 180-4 and RFC 1321 examples; those of BLAKE2b-256 are from other implementations of RFC 7693. */
static const struct {
	enum hash_kind kind;
	const char *in, *hex;
} known[] = {
	{HASH_MD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
	{HASH_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72"},
	{HASH_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
	{HASH_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{HASH_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{HASH_SHA384, "abc",
	 "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
	 "8086072ba1e7cc2358baeca134c825a7"},
	{HASH_BLAKE2B_256, "", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
	{HASH_BLAKE2B_256, "abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
	{HASH_BLAKE2B_256, "The quick brown fox jumps over the lazy dog",
	 "01718cec35cd3d796dd00020e0bfecb473ad23457d063b75eff29c0ffa2e58a9"},
	{HASH_SHA512, "abc",
	 "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
	 "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
};

static void known_digests(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		struct hash *h = hash_new(known[i].kind);
		uint8_t out[HASH_MAX_BYTES];

		for (const char *p = known[i].in; *p; p++) /* in pieces of one byte */
			hash_add(h, p, 1);
		assert_hex(out, hash_end(h, out), known[i].hex);
		hash_free(h);
	}
	hash_free(NULL);
}

static void sha256_in_pieces_is_sha256_at_once(void **state)
{
	struct rng rng;
	char bytes[5000];

	(void)state;
	rng_seed(&rng, 1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)rng_next(&rng);
	for (int round = 0; round < 100; round++) {
		size_t n = (size_t)rng_below(&rng, sizeof(bytes)), at = 0;
		uint8_t whole[SHA256_BYTES], pieces[SHA256_BYTES], running[HASH_MAX_BYTES];
		struct hash *h = hash_new(HASH_SHA256);
		struct sha256 s;

		sha256_init(&s);
		while (at < n) {
			size_t piece = 1 + (size_t)rng_below(&rng, 200);

			piece = piece < n - at ? piece : n - at;
			sha256_add(&s, bytes + at, piece);
			hash_add(h, bytes + at, piece);
			at += piece;
		}
		sha256_end(&s, pieces);
		sha256_of(span_of(bytes, n), whole);
		assert_int_equal(hash_end(h, running), SHA256_BYTES);
		hash_free(h);
		assert_memory_equal(whole, pieces, SHA256_BYTES);
		assert_memory_equal(whole, running, SHA256_BYTES);
	}
}

/* Two blocks of 128 bytes, the end of the second: the last block is compressed in another way than those before. */
static void blake2b_over_several_blocks(void **state)
{
	static const struct {
		size_t n;
		const char *hex;
	} t[] = {
		{127, "83be85bf8f9c7c5c90d6d1b9129bd1c332f73aa0d468c4a3fa267f1903c4c877"},
		{128, "4413634ab84fd41826173c8468b13a6777c16b3d5ad36a751e8d8a8f139e4334"},
		{129, "355fdd9ffb24e7cc8d57d9ef407956747790ebcc9767b0bcb7160f426547f3b0"},
		{256, "53c75db646053711c82b9d070b308262c42158d691c8a223e6bf987a810f3de2"},
		{4096, "c99fa551197ec883f4c7fd5746ffd678e13e2c3fecf04dcf3214b9cd51eb5615"},
	};
	char bytes[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = "0123456789abcdef"[i % 16];
	for (size_t i = 0; i < COUNT(t); i++) {
		for (size_t piece = 1; piece <= t[i].n; piece = 3 * piece + 1) {
			struct hash *h = hash_new(HASH_BLAKE2B_256);
			uint8_t out[HASH_MAX_BYTES];

			for (size_t at = 0; at < t[i].n; at += piece)
				hash_add(h, bytes + at, piece < t[i].n - at ? piece : t[i].n - at);
			assert_hex(out, hash_end(h, out), t[i].hex);
			hash_free(h);
		}
	}
}

static void a_digest_is_as_long_as_its_kind_says(void **state)
{
	(void)state;
	for (int kind = 0; kind < HASH_KINDS; kind++) {
		struct hash *h = hash_new((enum hash_kind)kind);
		uint8_t out[HASH_MAX_BYTES];

		assert_int_equal(hash_end(h, out), hash_bytes((enum hash_kind)kind));
		hash_free(h);
	}
}

static void hmac_of_rfc_4231(void **state)
{
	uint8_t out[SHA256_BYTES];
	char key[131];

	(void)state;
	hmac_sha256("Jefe", 4, SPAN("what do ya want for nothing?"), out);
	assert_hex(out, sizeof(out), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key)); /* longer than a block */
	hmac_sha256(key, sizeof(key), SPAN("Test Using Larger Than Block-Size Key - Hash Key First"), out);
	assert_hex(out, sizeof(out), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void same(void **state)
{
	(void)state;
	assert_true(hash_same("abc", "abc", 3));
	assert_false(hash_same("abc", "abd", 3));
	assert_false(hash_same("xbc", "abc", 3));
	assert_true(hash_same("abc", "abd", 2));
	assert_true(hash_same("", "", 0));
}

static void base64_of_rfc_4648(void **state)
{
	static const struct {
		const char *plain, *coded;
	} t[] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
		{"\xfb\xff\xfe", "+//+"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		char room[20];
		struct buf b = buf_over(room, sizeof(room));
		uint8_t back[20];

		base64_encode(span_str(t[i].plain), &b);
		assert_false(b.full);
		assert_true(span_eq(buf_span(&b), span_str(t[i].coded)));
		assert_int_equal(base64_decode(buf_span(&b), back, sizeof(back)), strlen(t[i].plain));
		assert_memory_equal(back, t[i].plain, strlen(t[i].plain));
	}
}

static void base64_refuses_what_is_not_canonical(void **state)
{
	static const char *const bad[] = {
		"Z",    "Zg",     "Zg=",      "Zg===", "=",    "====",     "Zg==Zg==",
		"Z=g=", "Zm9v\n", "Zm 9",     "Zm9-v", "Zm9_", "Zm9vYg=a", "Zh==", /* bits set behind the last byte */
		"Zm9=", "\0m9v",  "Zm9v====",
	};
	uint8_t out[20];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		size_t n = bad[i][0] ? strlen(bad[i]) : 4;

		assert_int_equal(base64_decode(span_of(bad[i], n), out, sizeof(out)), -1);
	}
}

static void base64_stays_in_its_room(void **state)
{
	uint8_t out[4] = {9, 9, 9, 9};

	(void)state;
	assert_int_equal(base64_decode(SPAN("Zm9v"), out, 3), 3);
	assert_int_equal(out[3], 9);
	assert_int_equal(base64_decode(SPAN("Zm9vYg=="), out, 3), -1);
	assert_int_equal(out[3], 9);
	assert_int_equal(base64_decode(SPAN("Zg=="), out, 0), -1);
	assert_int_equal(base64_decode(SPAN(""), out, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_digests),
		cmocka_unit_test(sha256_in_pieces_is_sha256_at_once),
		cmocka_unit_test(blake2b_over_several_blocks),
		cmocka_unit_test(a_digest_is_as_long_as_its_kind_says),
		cmocka_unit_test(hmac_of_rfc_4231),
		cmocka_unit_test(same),
		cmocka_unit_test(base64_of_rfc_4648),
		cmocka_unit_test(base64_refuses_what_is_not_canonical),
		cmocka_unit_test(base64_stays_in_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
