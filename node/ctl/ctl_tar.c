#include "node/ctl/ctl_tar.h"

#include <stdio.h>
#include <string.h>

#include "node/base/check.h"

#define MOST_BYTES ((uint64_t)1 << 62)
#define OCTAL_BYTES ((uint64_t)1 << 33)

/* Where the fields are, and how long. */
enum {
	NAME = 0,
	MODE = 100,
	UID = 108,
	GID = 116,
	SIZE = 124,
	SIZE_N = 12,
	MTIME = 136,
	SUM = 148,
	SUM_N = 8,
	TYPE = 156,
	MAGIC = 257,
	MAGIC_N = 8,
	PREFIX = 345
};

/* As if the field of the sum were spaces. */
static unsigned sum_of(const uint8_t *block)
{
	unsigned sum = SUM_N * ' ';

	for (int i = 0; i < CTL_TAR_BLOCK; i++)
		sum += i >= SUM && i < SUM + SUM_N ? 0 : block[i];
	return sum;
}

/* Digits, then at least one NUL or space, and nothing else behind them. */
static bool read_octal(const uint8_t *p, size_t n, uint64_t *out)
{
	size_t i = 0;

	*out = 0;
	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		*out = *out << 3 | (uint64_t)(p[i] - '0');
	if (i == 0 || i == n || p[i - 1] == ' ')
		return false;
	for (; i < n; i++)
		if (p[i] != 0 && p[i] != ' ')
			return false;
	return true;
}

static bool read_size(const uint8_t *p, uint64_t *out)
{
	if (p[0] != 0x80)
		return read_octal(p, SIZE_N, out);
	*out = 0;
	for (int i = 1; i < SIZE_N - 8; i++)
		if (p[i])
			return false;
	for (int i = SIZE_N - 8; i < SIZE_N; i++)
		*out = *out << 8 | p[i];
	return *out < MOST_BYTES;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '/';
}

static bool is_good_name(const char *name)
{
	if (!*name || *name == '/' || strstr(name, ".."))
		return false;
	for (; *name; name++)
		if (!is_plain(*name))
			return false;
	return true;
}

static void take_name(const uint8_t *block, struct ctl_tar_member *m)
{
	memcpy(m->name, block + NAME, CTL_TAR_NAME_BYTES);
	m->name[CTL_TAR_NAME_BYTES] = '\0';
}

static void make_printable(char *name)
{
	for (; *name; name++)
		if (*name < 0x20 || *name >= 0x7f)
			*name = '?';
}

static const char *type_fault(uint8_t type)
{
	switch (type) {
	case 0:
	case '0':
		return NULL;
	case '1':
	case '2':
		return "it is a link";
	case '3':
	case '4':
	case '6':
		return "it is a device";
	case '5':
		return "it is a folder";
	case 'S':
		return "it is a sparse file";
	default:
		return "it is of a kind that is not understood here";
	}
}

static const char *fault_of(const uint8_t *block, struct ctl_tar_member *m)
{
	uint64_t sum;
	const char *fault;

	if (!read_octal(block + SUM, SUM_N, &sum) || sum != sum_of(block))
		return "this is no tar header: its sum is wrong";
	if (memcmp(block + MAGIC, "ustar\0" /* */ "00", MAGIC_N) != 0 && memcmp(block + MAGIC, "ustar  ", MAGIC_N) != 0)
		return "this is no ustar archive";
	fault = type_fault(block[TYPE]);
	if (fault)
		return fault;
	if (!is_good_name(m->name) || block[PREFIX])
		return "its name is none that an archive of pmcachectl has";
	return read_size(block + SIZE, &m->bytes) ? NULL : "its size is no number";
}

static bool is_zero(const uint8_t *block)
{
	for (int i = 0; i < CTL_TAR_BLOCK; i++)
		if (block[i])
			return false;
	return true;
}

enum ctl_tar_read ctl_tar_read(const uint8_t block[CTL_TAR_BLOCK], struct ctl_tar_member *m, const char **why)
{
	*m = (struct ctl_tar_member){.bytes = 0};
	if (is_zero(block))
		return CTL_TAR_END;
	take_name(block, m);
	*why = fault_of(block, m);
	make_printable(m->name);
	return *why ? CTL_TAR_BAD : CTL_TAR_MEMBER;
}

static void put_octal(uint8_t *p, int digits, uint64_t value)
{
	for (int i = digits; i-- > 0; value >>= 3)
		p[i] = (uint8_t)('0' + (value & 7));
}

static void put_size(uint8_t *p, uint64_t bytes)
{
	if (bytes < OCTAL_BYTES) {
		put_octal(p, SIZE_N - 1, bytes);
		return;
	}
	p[0] = 0x80;
	for (int i = SIZE_N; i-- > SIZE_N - 8; bytes >>= 8)
		p[i] = (uint8_t)bytes;
}

void ctl_tar_write(uint8_t block[CTL_TAR_BLOCK], const char *name, uint64_t bytes, uint64_t mtime_s)
{
	CHECK_THAT(strlen(name) < CTL_TAR_NAME_BYTES && is_good_name(name) && bytes < MOST_BYTES);
	memset(block, 0, CTL_TAR_BLOCK);
	memcpy(block + NAME, name, strlen(name));
	put_octal(block + MODE, 7, 0644);
	put_octal(block + UID, 7, 0);
	put_octal(block + GID, 7, 0);
	put_size(block + SIZE, bytes);
	put_octal(block + MTIME, 11, mtime_s < OCTAL_BYTES ? mtime_s : 0);
	block[TYPE] = '0';
	memcpy(block + MAGIC, "ustar\0" /* */ "00", MAGIC_N);
	put_octal(block + SUM, 6, sum_of(block));
	block[SUM + 7] = ' ';
}
