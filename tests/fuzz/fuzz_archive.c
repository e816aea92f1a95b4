/* Archives for import: whatever comes, what is taken for good fits its manifest, has URLs, and heads that can be sent. */
#include <sys/mman.h>
#include <unistd.h>

#include "node/ctl/ctl.h"
#include "node/ctl/ctl_archive.h"
#include "node/ctl/ctl_tar.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_items(int fd, const struct ctl_archive *a, size_t n)
{
	char *room = malloc(CTL_ARCHIVE_HEAD_BYTES + 128);

	CHECK_THAT(room);
	for (size_t i = 0; i < a->n; i++) {
		struct buf b = buf_over(room, CTL_ARCHIVE_HEAD_BYTES + 128);

		CHECK_THAT(ctl_is_url(a->v[i].url));
		CHECK_THAT(a->v[i].body_at + a->v[i].body_bytes <= n);
		if (ctl_archive_put_head(fd, &a->v[i], 1764500000, &b))
			CHECK_THAT(span_ends(buf_span(&b), SPAN("\r\n\r\n")));
	}
	free(room);
}

/* Digests are hard to guess: the manifest for itself, too. */
static void read_manifest(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	struct ctl_archive_item v[2] = {0};
	char why[CTL_ARCHIVE_WHY_BYTES] = "";

	CHECK_THAT(ctl_archive_fits(in, v, 2, why) || *why);
	free(v[0].url);
	free(v[1].url);
	free((char *)in.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);
	char why[CTL_ARCHIVE_WHY_BYTES] = "";
	struct ctl_archive a;

	CHECK_THAT(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	if (ctl_archive_check(fd, &a, why))
		check_items(fd, &a, n);
	else
		CHECK_THAT(*why);
	ctl_archive_free(&a);
	close(fd);
	read_manifest(bytes, n);
	return 0;
}
