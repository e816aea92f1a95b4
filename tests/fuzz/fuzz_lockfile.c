/* Lock files of npm: whatever comes, items have URLs, and an integrity that counts fits a digest of its own. */
#include <string.h>

#include "node/ctl/ctl.h"
#include "node/ctl/ctl_lock.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const uint8_t zeros[HASH_MAX_BYTES];
	struct span in = pieces_copy(bytes, n);
	struct ctl_lock lock;
	const char *why = NULL;
	enum hash_kind kind;

	if (ctl_lock_parse(in, &lock, &why)) {
		CHECK_THAT(lock.version >= 1 && lock.version <= 3);
		for (size_t i = 0; i < lock.n; i++) {
			struct span integrity = span_str(lock.v[i].integrity);

			CHECK_THAT(ctl_is_url(lock.v[i].url));
			CHECK_THAT(i == 0 || strcmp(lock.v[i - 1].url, lock.v[i].url) <= 0);
			if (ctl_lock_strongest(integrity, &kind))
				ctl_lock_fits(integrity, kind, zeros);
		}
		ctl_lock_free(&lock);
	} else {
		CHECK_THAT(why && *why);
	}
	free((char *)in.p);
	return 0;
}
