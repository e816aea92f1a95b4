/* A line of the access log: what is read holds nothing that a terminal obeys, and lies within the line or the room for it. */
#include "node/base/mem.h"
#include "node/ctl/ctl_logline.h"
#include "tests/fuzz/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void look_at(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		CHECK_THAT(s.p[i] >= ' ' && s.p[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct span in = pieces_copy(bytes, n);
	struct ctl_logline *l = NEW(struct ctl_logline);

	if (ctl_logline_parse(in, l)) {
		const struct span all[] = {l->client,    l->result, l->method, l->url,    l->user,
					   l->hierarchy, l->peer,   l->type,   l->digest, l->id};

		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
			look_at(all[i]);
		CHECK_THAT(l->time >= 0 && l->status >= 0 && l->status <= 999);
	}
	free(l);
	free((char *)in.p);
	return 0;
}
