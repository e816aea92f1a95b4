/* Parts of files on the disk: whatever the bytes, no length in them is believed; and what is taken is written again
 * with the same bytes.
 *
 * The input is a head part, and behind it an end part. Its sums are put right first (they are no defence against
 * somebody who chooses the bytes, and no fuzzer gets past them), unless its first bit says not to. */
#include <stdlib.h>

#include "node/base/checksum.h"
#include "node/base/mem.h"
#include "node/cache/disk_format.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* As disk_format.c has them. */
#define HEAD_SUM_AT (DISK_FIXED_BYTES - 8)
#define HEAD_SERIAL_AT 16
#define END_SUM_AT (DISK_LAST_BYTES - 16)

static void mend_head(char *part, size_t n)
{
	uint64_t serial, sum;

	if (n < DISK_FIXED_BYTES)
		return;
	memcpy(&serial, part + HEAD_SERIAL_AT, 8);
	sum = checksum_seeded(span_of(part, HEAD_SUM_AT), serial);
	sum = checksum_seeded(span_of(part + DISK_FIXED_BYTES, n - DISK_FIXED_BYTES), sum);
	memcpy(part + HEAD_SUM_AT, &sum, 8);
}

static void mend_end(char *part, size_t n, uint64_t serial)
{
	uint64_t sum;

	if (n < DISK_LAST_BYTES)
		return;
	sum = checksum_seeded(span_of(part, n - DISK_LAST_BYTES), serial);
	sum = checksum_seeded(span_of(part + n - DISK_LAST_BYTES, END_SUM_AT), sum);
	memcpy(part + n - DISK_LAST_BYTES + END_SUM_AT, &sum, 8);
}

static void check_head(struct span part)
{
	struct disk_label label;
	struct head *head;
	char *again;

	if (!disk_format_get_head(part, &label, &head))
		return;
	CHECK_THAT(head->has_room && !head->has_digest);
	CHECK_THAT((uint64_t)head->etag.at + head->etag.n <= head->n &&
		   (uint64_t)head->type.at + head->type.n <= head->n);
	CHECK_THAT(disk_format_head_bytes(head) == part.n);
	/* What the fixed part has no field for may differ, so it is compared after one more round. */
	again = mem_alloc(part.n);
	disk_format_put_head(head, &label, again, (uint32_t)part.n);
	head_unref(&head);
	CHECK_THAT(disk_format_get_head(span_of(again, part.n), &label, &head));
	head_unref(&head);
	free(again);
}

static void check_end(struct span part, uint64_t serial)
{
	uint64_t *sums = mem_alloc(part.n + 8);
	struct disk_end end;

	if (disk_format_get_end(part, serial, &end, sums)) {
		char *again = mem_alloc(part.n);

		CHECK_THAT(disk_format_end_bytes(end.length) == part.n);
		disk_format_put_end(&end, serial, sums, again);
		CHECK_THAT(memcmp(again, part.p, part.n - DISK_LAST_BYTES) == 0);
		free(again);
	}
	free(sums);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n), head, end;
	uint64_t serial = 0, length = 0;
	uint32_t head_bytes;

	if (n > 0 && in.p[0] != '!') {
		head_bytes = disk_format_look(in);
		head = span_upto(in, head_bytes);
		end = span_from(in, head.n);
		mend_head((char *)head.p, head.n);
		if (head.n)
			memcpy(&serial, head.p + HEAD_SERIAL_AT, 8);
		mend_end((char *)end.p, end.n, serial);
		if (disk_format_length(n, head_bytes, &length))
			CHECK_THAT(disk_format_file_bytes(head_bytes, length) == n);
		check_head(head);
		check_end(end, serial);
	} else {
		check_head(in);
		check_end(in, 0);
	}
	free((char *)in.p);
	return 0;
}
