/* pmcachectl import: brings what is in an archive (ctl_archive.h) to the daemon, which judges each object as if an origin had sent it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_archive.h"
#include "node/ctl/ctl_control.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_spool.h"
#include "node/ctl/ctl_table.h"

#define WHY_BYTES 300

struct importing {
	const char *control;
	struct ctl_archive archive;
	int fd;
	bool tty, dry;
	size_t done, stored, fresh, refused;
	uint64_t bytes; /* stored */
	char **faults;  /* of each item; NULL: none */
};

/* ---- one object ---- */

static bool is_same(struct span json, const uint8_t digest[SHA256_BYTES])
{
	char said[80], ours[2 * SHA256_BYTES + 8];
	struct buf b = buf_over(ours, sizeof(ours) - 1);

	buf_put_str(&b, "sha256:");
	buf_put_hex(&b, digest, SHA256_BYTES);
	ours[b.n] = '\0';
	return strcmp(ctl_json_text(json, "digest", said, sizeof(said)), ours) == 0;
}

/* What the daemon has said of it: the fault, on the heap, or NULL. */
static char *judge(struct importing *m, const struct ctl_archive_item *item, struct span json)
{
	char result[32], why[WHY_BYTES];

	if (!ctl_json_is_good(json))
		return ctl_text("the daemon's answer is not understood");
	ctl_json_text(json, "result", result, sizeof(result));
	ctl_json_text(json, "why", why, sizeof(why));
	if (strcmp(result, "fresh") == 0) {
		m->fresh++;
		return NULL;
	}
	if (strcmp(result, "new") != 0 && strcmp(result, "changed") != 0 && strcmp(result, "unchanged") != 0)
		return ctl_text("%s", *why ? why : "the daemon does not take it");
	if (!is_same(json, item->digest))
		return ctl_text("the archive has changed while it was read");
	m->stored++;
	m->bytes += item->body_bytes;
	return NULL;
}

/* False: there is no daemon (any more). */
static bool bring(struct importing *m, const struct ctl_archive_item *item, char **fault)
{
	size_t room = CTL_ARCHIVE_HEAD_BYTES + 128;
	struct buf head = buf_over(mem_alloc(room), room);
	struct ctl_bringing what = {.url = item->url, .fd = m->fd, .at = item->body_at, .bytes = item->body_bytes};
	char *payload = NULL;
	int code = CTL_OK;

	if (!ctl_archive_put_head(m->fd, item, (uint64_t)time(NULL), &head)) {
		*fault = ctl_text("its head is no HTTP response");
	} else if (!m->dry) {
		what.head = buf_span(&head);
		code = ctl_control_bring(m->control, &what, &payload);
		*fault = code == CTL_OK ? judge(m, item, span_str(payload))
			 : payload      ? span_dup(span_str(payload))
					: NULL;
	}
	free(payload);
	free(head.p);
	return code != CTL_NO_DAEMON;
}

/* ---- all ---- */

static void show_progress(const struct importing *m)
{
	char bytes[CTL_NUMBER_BYTES];

	if (!m->tty)
		return;
	fprintf(stderr, "\r\033[K%zu of %zu, %s stored, %zu refused", m->done, m->archive.n,
		ctl_format_bytes(m->bytes, bytes), m->refused);
	fflush(stderr);
}

static bool bring_all(struct importing *m)
{
	bool answers = true;

	m->faults = mem_zalloc((m->archive.n + 1) * sizeof(*m->faults));
	while (answers && m->done < m->archive.n) {
		answers = bring(m, &m->archive.v[m->done], &m->faults[m->done]);
		m->refused += m->faults[m->done] != NULL;
		m->done += answers;
		show_progress(m);
	}
	if (m->tty)
		fputs("\r\033[K", stderr);
	return answers;
}

static void print_json(const struct importing *m)
{
	bool first = true;

	printf("{\"objects\":%zu,\"bytes\":%llu,\"dry_run\":%s,\"stored\":%zu,\"stored_bytes\":%llu,\"fresh\":%zu,\"refused\":[",
	       m->archive.n, (unsigned long long)m->archive.bytes, m->dry ? "true" : "false", m->stored,
	       (unsigned long long)m->bytes, m->fresh);
	for (size_t i = 0; i < m->archive.n; i++) {
		if (!m->faults[i])
			continue;
		fputs(first ? "{\"url\":" : ",{\"url\":", stdout);
		first = false;
		ctl_json_print(m->archive.v[i].url);
		fputs(",\"why\":", stdout);
		ctl_json_print(m->faults[i]);
		putchar('}');
	}
	puts("]}");
}

static void print(const struct importing *m)
{
	char bytes[CTL_NUMBER_BYTES];

	for (size_t i = 0; i < m->archive.n; i++)
		if (m->faults[i])
			ctl_say("objects/%zu, %s: %s", i + 1, m->archive.v[i].url, m->faults[i]);
	if (m->dry)
		printf("%zu objects, %s, all as the manifest says; nothing was stored\n", m->archive.n,
		       ctl_format_bytes(m->archive.bytes, bytes));
	else
		printf("%zu of %zu stored, %s; %zu were here and fresh, %zu refused\n", m->stored, m->archive.n,
		       ctl_format_bytes(m->bytes, bytes), m->fresh, m->refused);
}

static int bring_archive(const struct ctl *c, struct importing *m)
{
	bool answers = bring_all(m);
	int code = m->refused ? CTL_FAILED : CTL_OK;

	if (!answers) {
		ctl_say("no daemon answers at %s: is pmcached running? %zu objects were stored before", c->control,
			m->stored);
		code = CTL_NO_DAEMON;
	} else if (c->json) {
		print_json(m);
	} else {
		print(m);
	}
	for (size_t i = 0; i < m->archive.n; i++)
		free(m->faults[i]);
	free(m->faults);
	return ctl_finish() == CTL_OK ? code : CTL_FAILED;
}

struct wish {
	const char *path;
	bool dry;
};

static int import(const struct ctl *c, const struct wish *w)
{
	struct importing m = {.control = c->control, .tty = isatty(STDERR_FILENO) && !c->json, .dry = w->dry};
	char why[CTL_ARCHIVE_WHY_BYTES];
	struct ctl_spool spool;
	int code = CTL_FAILED;

	if (!ctl_spool_open(&spool, w->path))
		return CTL_FAILED;
	m.fd = spool.fd;
	if (ctl_archive_check(spool.fd, &m.archive, why))
		code = bring_archive(c, &m);
	else
		ctl_say("%s: %s; nothing was stored", spool.path, why);
	ctl_archive_free(&m.archive);
	ctl_spool_drop(&spool);
	return code;
}

/* ---- the command ---- */

static int take(void *wish, struct ctl_args *a)
{
	struct wish *w = wish;

	if (ctl_flag(a, "--dry-run"))
		return w->dry = true;
	return ctl_operand(a, &w->path);
}

int ctl_import(struct ctl *c, struct ctl_args *a)
{
	struct wish w = {0};
	int code = ctl_read_words(c, a, "import", take, &w);

	if (code != CTL_OK)
		return code;
	if (!w.path) {
		ctl_say("import needs an archive that export has written, or - for standard input");
		return CTL_USAGE;
	}
	code = ctl_load(c);
	return code == CTL_OK ? import(c, &w) : code;
}
