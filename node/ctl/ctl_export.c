/* pmcachectl export: what is stored and fresh, and for everybody, into an archive (ctl_archive.h).
 *
 * The daemon says what there is, and serves it as to any client, but only from what it has: so what may not be given away, or is stale, stays. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_archive.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_get.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_setup.h"
#include "node/ctl/ctl_spool.h"
#include "node/ctl/ctl_table.h"

#define URL_BYTES 16384
#define CUT_BYTES 200

struct urls {
	size_t n, room;
	char **v;
};

struct exporting {
	struct urls urls;
	struct ctl_settings proxy;
	struct ctl_archive_writer writer;
	bool tty;
	size_t left_out; /* not fresh any more, only for some, or not to be asked for */
	const char *why; /* it has failed */
	char fault[200];
};

/* ---- what there is ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_once(struct urls *u)
{
	size_t n = 0;

	if (u->n)
		qsort(u->v, u->n, sizeof(*u->v), by_text);
	for (size_t i = 0; i < u->n; i++)
		if (n && strcmp(u->v[n - 1], u->v[i]) == 0)
			free(u->v[i]);
		else
			u->v[n++] = u->v[i];
	u->n = n;
}

/* How many are no URLs to ask for. */
static size_t take_urls(struct urls *u, struct span json)
{
	struct span rest = ctl_json_get(json, "urls"), item;
	char url[URL_BYTES];
	size_t odd = 0;

	while (ctl_json_next(&rest, &item)) {
		ctl_json_string(item, url, sizeof(url));
		if (!ctl_is_url(url)) {
			odd++;
			continue;
		}
		if (u->n == u->room)
			u->v = mem_realloc(u->v, (u->room = u->room ? 2 * u->room : 1024) * sizeof(*u->v));
		u->v[u->n++] = span_dup(span_str(url));
	}
	sort_once(u);
	return odd;
}

/* What keeps an archive of all that is listed from being whole; NULL: nothing does. */
static const char *take_list(struct exporting *x, struct span json, char cut[CUT_BYTES])
{
	if (!ctl_json_is_good(json) || !ctl_json_get(json, "cut").n)
		return "the daemon has broken off before its end";
	if (*ctl_json_text(json, "cut", cut, CUT_BYTES))
		return cut;
	x->left_out = take_urls(&x->urls, json);
	if (x->urls.n > CTL_ARCHIVE_MOST)
		return "it is longer than an archive may be: ask for less, a host or a prefix";
	return NULL;
}

static int list(const struct ctl *c, const char *request, struct exporting *x)
{
	char *json, cut[CUT_BYTES];
	const char *fault;
	int code = ctl_control_ask_long(c->control, request, &json);

	if (code != CTL_OK)
		return code;
	fault = take_list(x, span_str(json), cut);
	if (fault)
		ctl_say("the list of what is stored: %s; nothing was exported", fault);
	free(json);
	return fault ? CTL_FAILED : CTL_OK;
}

static void free_urls(struct urls *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->v[i]);
	free(u->v);
}

/* ---- one object ---- */

static void on_head(void *cookie, const struct http1_response *r)
{
	struct exporting *x = cookie;

	ctl_archive_head(&x->writer, r, (uint64_t)time(NULL));
}

static void on_body(void *cookie, struct span piece)
{
	struct exporting *x = cookie;

	ctl_archive_body(&x->writer, piece);
}

/* False: no use going on. */
static bool take(struct exporting *x, const char *url)
{
	struct ctl_get_ask ask = {.host = x->proxy.proxy_host,
				  .port = x->proxy.proxy_port,
				  .url = url,
				  .integrity = "",
				  .only_if_cached = true};
	struct ctl_got got;

	ctl_get(&ask, on_head, on_body, x, &got);
	if (got.whole && got.hit && x->writer.begun) {
		ctl_archive_keep(&x->writer, url);
	} else {
		ctl_archive_drop(&x->writer);
		x->left_out++;
	}
	if (x->writer.failed)
		x->why = strerror(x->writer.failed);
	else if (!got.whole || (got.status >= 500 && got.status != 504 /* not stored and fresh */)) {
		snprintf(x->fault, sizeof(x->fault), "%s", got.fault);
		x->why = x->fault;
	}
	return !x->why;
}

/* ---- all ---- */

static void show_progress(const struct exporting *x, size_t done)
{
	char bytes[CTL_NUMBER_BYTES];

	if (!x->tty)
		return;
	fprintf(stderr, "\r\033[K%zu of %zu, %s", done, x->urls.n, ctl_format_bytes(x->writer.bytes, bytes));
	fflush(stderr);
}

static void take_all(struct exporting *x)
{
	for (size_t i = 0; i < x->urls.n && take(x, x->urls.v[i]); i++)
		show_progress(x, i + 1);
	if (x->tty)
		fputs("\r\033[K", stderr);
	if (!ctl_archive_end(&x->writer) && !x->why)
		x->why = strerror(x->writer.failed);
}

/* Beside the archive when that goes to standard output. */
static void print(const struct ctl *c, const struct exporting *x, FILE *out)
{
	char bytes[CTL_NUMBER_BYTES];

	if (c->json)
		fprintf(out, "{\"objects\":%zu,\"bytes\":%llu,\"left_out\":%zu,\"archive_bytes\":%llu}\n", x->writer.n,
			(unsigned long long)x->writer.bytes, x->left_out, (unsigned long long)x->writer.at);
	else
		fprintf(out, "%zu objects, %s; %zu left out: not fresh now, or not for everybody\n", x->writer.n,
			ctl_format_bytes(x->writer.bytes, bytes), x->left_out);
}

static int export_to(const struct ctl *c, struct exporting *x, const char *path)
{
	struct ctl_spool spool;
	bool to_stdout = strcmp(path, "-") == 0;

	if (!ctl_spool_create(&spool, path))
		return CTL_FAILED;
	ctl_archive_begin(&x->writer, spool.fd);
	take_all(x);
	if (!x->why && !x->writer.n)
		x->why = "nothing that is stored and fresh fits";
	if (x->why) {
		ctl_say("%s: %s", spool.path, x->why);
		ctl_spool_drop(&spool);
		return CTL_FAILED;
	}
	if (!ctl_spool_publish(&spool))
		return CTL_FAILED;
	print(c, x, to_stdout ? stderr : stdout);
	return ctl_finish();
}

static int export(const struct ctl *c, const char *request, const char *host, const char *path)
{
	struct exporting x = {.tty = isatty(STDERR_FILENO) && !c->json};
	int code = ctl_setup_proxy(c, host, &x.proxy);

	if (code == CTL_OK)
		code = list(c, request, &x);
	if (code == CTL_OK)
		code = export_to(c, &x, path);
	free_urls(&x.urls);
	return code;
}

/* ---- the command ---- */

static const struct {
	const char *option, *word;
} aims[] = {{"--host", "list-host"}, {"--prefix", "list-prefix"}, {"--class", "list-class"}};

#define N_AIMS (sizeof(aims) / sizeof(aims[0]))

/* One that is named; 1 taken, 0 something else, -1 no value, or another one already. */
static int take_aim(struct ctl_args *a, char **request)
{
	for (size_t i = 0; i < N_AIMS; i++) {
		const char *value;
		int taken = ctl_option(a, aims[i].option, &value);

		if (taken == 0)
			continue;
		if (taken < 0 || *request || !ctl_is_word(value))
			return -1;
		*request = ctl_text("%s %s", aims[i].word, value);
		return 1;
	}
	if (!ctl_flag(a, "--all"))
		return 0;
	if (*request)
		return -1;
	*request = ctl_text("list-all");
	return 1;
}

struct wish {
	const char *path, *proxy;
	char *request;
};

static int take_word(void *wish, struct ctl_args *a)
{
	struct wish *w = wish;
	int taken = ctl_option(a, "--proxy", &w->proxy);

	if (!taken)
		taken = take_aim(a, &w->request);
	return taken ? taken : ctl_operand(a, &w->path);
}

int ctl_export(struct ctl *c, struct ctl_args *a)
{
	struct wish w = {0};
	int code = ctl_read_words(c, a, "export", take_word, &w);

	if (code != CTL_OK || !w.path || !w.request) {
		code = CTL_USAGE;
		ctl_say("export needs a file (or -), and one of --host HOST, --prefix URL, --class CLASS, --all");
	}
	if (code == CTL_OK)
		code = ctl_load(c);
	if (code == CTL_OK)
		code = export(c, w.request, w.proxy, w.path);
	free(w.request);
	return code;
}
