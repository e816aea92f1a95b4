#include "node/base/reason.h"

#include "node/base/check.h"

static const struct {
	int status;
	const char *word, *sentence;
} table[] = {
#define X(name, status, word, sentence) {status, word, sentence},
	REASON_TABLE(X)
#undef X
};

const char *reason_word(enum reason r)
{
	CHECK_THAT(r < REASON_COUNT);
	return table[r].word;
}

const char *reason_sentence(enum reason r)
{
	CHECK_THAT(r < REASON_COUNT);
	return table[r].sentence;
}

int reason_status(enum reason r)
{
	CHECK_THAT(r < REASON_COUNT);
	return table[r].status;
}
