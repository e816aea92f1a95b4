/* A target or Host value in each of its forms: what is taken has a sound host and port, fits itself, and has no byte in
 * it that could end a line or a header. */
#include "proto/url.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_host(const struct url *u)
{
	CHECK_THAT(u->port > 0 && u->host.n > 0 && u->host.n <= URL_MAX_HOST);
	CHECK_THAT(u->is_ip || !u->is_ipv6);
	CHECK_THAT(u->is_ipv6 || url_is_host(u->host));
	CHECK_THAT(u->host.p[u->host.n - 1] != '.');
}

static void check_clean(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		CHECK_THAT((unsigned char)s.p[i] > 0x20 && s.p[i] != 0x7f);
}

static void check_path(const struct url *u)
{
	CHECK_THAT(u->path.n > 0 && u->path.p[0] == '/');
	CHECK_THAT(u->path_query.n == u->path.n + (u->query.p ? u->query.n + 1 : 0));
	CHECK_THAT(span_find(u->path, '?') == u->path.n);
	CHECK_THAT(span_find(u->path_query, '#') == u->path_query.n);
	check_clean(u->path_query);
}

/* Written as a Host field, it must fit. */
static void check_fits(const struct url *u)
{
	char mem[URL_MAX_HOST + 16];
	struct buf b = buf_over(mem, sizeof(mem));

	buf_put_str(&b, u->is_ipv6 ? "[" : "");
	buf_put(&b, u->host);
	buf_put_str(&b, u->is_ipv6 ? "]:" : ":");
	buf_put_u64(&b, u->port);
	CHECK_THAT(!b.full && url_host_fits(buf_span(&b), u->https, u));
}

/* As outgoing requests take the room for it. */
static void check_user_pass(struct span userinfo)
{
	char *mem = malloc(userinfo.n + 1);
	struct buf b = buf_over(mem, userinfo.n + 1);

	url_put_user_pass(&b, userinfo);
	CHECK_THAT(!b.full && span_find(buf_span(&b), ':') < b.n);
	free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	struct url u, origin;
	enum reason why = REASON_NONE;

	if (url_parse_absolute(in, &u, &why) == 0) {
		check_host(&u);
		check_path(&u);
		check_clean(u.userinfo);
		check_user_pass(u.userinfo);
		check_fits(&u);
	} else {
		CHECK_THAT(why == REASON_BAD_URL || why == REASON_BAD_SCHEME);
	}
	if (url_parse_authority(in, 0, &u, &why) == 0) {
		check_host(&u);
		check_fits(&u);
		CHECK_THAT(url_parse_origin(SPAN("/x"), true, &u, &origin, &why) == 0);
	} else {
		CHECK_THAT(why == REASON_BAD_URL);
	}
	if (url_parse_host(in, true, &u, &why) == 0) {
		check_host(&u);
		CHECK_THAT(url_host_fits(in, true, &u));
		if (url_parse_origin(in, true, &u, &origin, &why) == 0)
			check_path(&origin);
	} else {
		CHECK_THAT(why == REASON_BAD_HOST);
	}
	free((char *)in.p);
	return 0;
}
