/* pmcachectl purge: forgets what is stored under a URL, or all that begins so, or of a host, a class, with a digest, or everything; or
 * marks it stale; or denies a digest. Here or on all nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/span.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_json.h"

enum kind { URL, PREFIX, HOST, CLASS, DIGEST, ALL };

static const struct {
	const char *option, *verb, *needs, *nothing;
} kinds[] = {
	[URL] = {NULL, "purge", "a URL, http or https, percent-encoded: https://registry.test/left-pad",
		 "nothing is stored under this URL"},
	[PREFIX] = {"--prefix", "purge-prefix", "the beginning of URLs, with the host: https://registry.test/left-pad/",
		    "nothing is stored that begins so"},
	[HOST] = {"--host", "purge-host", "a host: registry.test", "nothing is stored of this host"},
	[CLASS] = {"--class", "purge-class", "a class: immutable, mutable or negative",
		   "nothing is stored of this class"},
	[DIGEST] = {"--digest", "purge-digest", "a digest: sha256:… (64 hex digits)",
		    "nothing is stored with this digest"},
	[ALL] = {"--all", "purge-all", "no value", "nothing is stored"},
};

enum how { REMOVE, SOFT, DENY, ALLOW };

static const char *const hows[] = {
	[SOFT] = "--soft",
	[DENY] = "--deny",
	[ALLOW] = "--allow",
};

struct wish {
	enum kind kind;
	enum how how;
	bool chosen, whole_cluster, list;
	const char *value;
};

static const char *plural(long n)
{
	return n == 1 ? "" : "s";
}

static int print_number(const struct wish *w, const char *json)
{
	const char *at = strstr(json, "\"purged\":");
	long n = at ? strtol(at + strlen("\"purged\":"), NULL, 10) : -1;
	const char *others = w->whole_cluster ? " here; the other nodes are told" : "";

	if (n < 0) {
		ctl_say("the daemon's answer is not understood");
		return CTL_FAILED;
	}
	if (w->how == DENY)
		printf("denied; purged %ld stored response%s%s\n", n, plural(n), others);
	else if (w->how == ALLOW)
		printf("%s%s\n", n ? "taken from the deny-list" : "it was not on the deny-list", others);
	else if (n == 0)
		printf("%s%s\n", kinds[w->kind].nothing, others);
	else if (w->how == SOFT)
		printf("marked %ld stored response%s stale%s\n", n, plural(n), others);
	else
		printf("purged %ld stored response%s%s\n", n, plural(n), others);
	return ctl_finish();
}

static int print_list(const char *json)
{
	struct span rest = ctl_json_get(span_str(json), "denied"), item;
	size_t n = 0;

	if (!ctl_json_is_good(span_str(json))) {
		ctl_say("the daemon's answer is not understood");
		return CTL_FAILED;
	}
	while (ctl_json_next(&rest, &item)) {
		char digest[80], at[40];

		ctl_json_text(item, "digest", digest, sizeof(digest));
		ctl_json_text(item, "at", at, sizeof(at));
		printf("%s  since %s\n", digest, at);
		n++;
	}
	if (!n)
		puts("nothing is denied");
	return ctl_finish();
}

static bool is_good(const struct wish *w)
{
	if (w->kind == ALL || w->list)
		return !w->value;
	if (!w->value)
		return false;
	if (w->kind == URL || w->kind == PREFIX)
		return ctl_is_url(w->value);
	return ctl_is_word(w->value) && (w->kind != HOST || !strchr(w->value, '/'));
}

/* 1 taken, 0 something else, -1 two kinds at once. */
static int take_kind(struct wish *w, struct ctl_args *a)
{
	for (enum kind k = PREFIX; k <= ALL; k++) {
		if (!ctl_flag(a, kinds[k].option))
			continue;
		if (w->chosen) {
			ctl_say("purge takes one of --prefix, --host, --class, --digest, --all");
			return -1;
		}
		w->kind = k;
		w->chosen = true;
		return 1;
	}
	return 0;
}

static int take_how(struct wish *w, struct ctl_args *a)
{
	for (enum how h = SOFT; h <= ALLOW; h++) {
		if (!ctl_flag(a, hows[h]))
			continue;
		if (w->how != REMOVE) {
			ctl_say("purge takes one of --soft, --deny, --allow");
			return -1;
		}
		w->how = h;
		return 1;
	}
	return 0;
}

static int take_flag(struct wish *w, struct ctl_args *a)
{
	if (ctl_flag(a, "--cluster"))
		w->whole_cluster = true;
	else if (ctl_flag(a, "--denied"))
		w->list = true;
	else
		return 0;
	return 1;
}

static int check(const struct wish *w)
{
	if (w->list && (w->chosen || w->how != REMOVE || w->whole_cluster || w->value)) {
		ctl_say("purge --denied lists the deny-list, and takes nothing else");
		return CTL_USAGE;
	}
	if ((w->how == DENY || w->how == ALLOW) && w->kind != DIGEST) {
		ctl_say("purge %s needs --digest: a body is denied, whatever its URL", hows[w->how]);
		return CTL_USAGE;
	}
	if (is_good(w))
		return CTL_OK;
	ctl_say("purge%s%s needs %s", w->chosen ? " " : "", w->chosen ? kinds[w->kind].option : "",
		kinds[w->kind].needs);
	return CTL_USAGE;
}

static int take(void *wish, struct ctl_args *a)
{
	struct wish *w = wish;
	int taken = take_kind(w, a);

	if (!taken)
		taken = take_how(w, a);
	if (!taken)
		taken = take_flag(w, a);
	return taken ? taken : ctl_operand(a, &w->value);
}

static int read_wish(struct ctl *c, struct ctl_args *a, struct wish *w)
{
	int code = ctl_read_words(c, a, "purge", take, w);

	return code == CTL_OK ? check(w) : code;
}

static char *request_of(const struct wish *w)
{
	static const char *const verbs[] = {[REMOVE] = "", [SOFT] = "soft-", [DENY] = "deny", [ALLOW] = "allow"};
	const char *where = w->whole_cluster ? "cluster-" : "", *space = w->value ? " " : "";
	const char *what = w->how == REMOVE || w->how == SOFT ? kinds[w->kind].verb : "";

	if (w->list)
		return ctl_text("denied");
	return ctl_text("%s%s%s%s%s", where, verbs[w->how], what, space, w->value ? w->value : "");
}

int ctl_purge(struct ctl *c, struct ctl_args *a)
{
	struct wish w = {.kind = URL};
	char *request, *json;
	int code = read_wish(c, a, &w);

	if (code == CTL_OK)
		code = ctl_load(c);
	if (code != CTL_OK)
		return code;
	request = request_of(&w);
	code = ctl_control_ask(c->control, request, &json);
	free(request);
	if (code != CTL_OK)
		return code;
	if (c->json) {
		fputs(json, stdout);
		code = ctl_finish();
	} else {
		code = w.list ? print_list(json) : print_number(&w, json);
	}
	free(json);
	return code;
}
