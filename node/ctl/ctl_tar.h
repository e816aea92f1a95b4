/* ctl_tar: headers of a tar archive (POSIX ustar), one block at a time, and no more of that format than our archives need.
 *
 * Read are regular files with a short name alone: links, devices, folders, sparse files and headers of extensions are refused, as are names
 * that lead anywhere (absolute, "..", what is not a-z, 0-9, '.', '-' or '/'), a wrong sum, and a size that is no number. A size of 8 GiB or more
 * is in base 256, as GNU tar has it. Pure. */
#ifndef NODE_CTL_CTL_TAR_H
#define NODE_CTL_CTL_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTL_TAR_BLOCK 512
#define CTL_TAR_NAME_BYTES 100

struct ctl_tar_member {
	char name[CTL_TAR_NAME_BYTES + 1]; /* also of a bad one, as far as it is known: printable */
	uint64_t bytes;                    /* below 2^62 */
};

enum ctl_tar_read { CTL_TAR_MEMBER, CTL_TAR_END /* a block of zeros */, CTL_TAR_BAD /* *why is a sentence */ };

enum ctl_tar_read ctl_tar_read(const uint8_t block[CTL_TAR_BLOCK], struct ctl_tar_member *, const char **why);
/* `name` as it is read. */
void ctl_tar_write(uint8_t block[CTL_TAR_BLOCK], const char *name, uint64_t bytes, uint64_t mtime_s);

/* What follows so many bytes, up to the next block. */
static inline size_t ctl_tar_padding(uint64_t bytes)
{
	return (size_t)(-bytes % CTL_TAR_BLOCK);
}

#endif
