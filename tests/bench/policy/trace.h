/* trace: requests as they came, read whole. README.md has the format. */
#ifndef TESTS_BENCH_POLICY_TRACE_H
#define TESTS_BENCH_POLICY_TRACE_H

#include <stddef.h>
#include <stdint.h>

/* A key with a size. Under one key another size is another object: its content has changed. */
struct trace_object {
	uint64_t size;
	uint32_t key;
};

struct trace {
	uint32_t *requests; /* numbers of objects */
	size_t n;
	struct trace_object *objects;
	uint32_t n_objects, n_keys;
	uint64_t bytes; /* asked for, in all */
};

#define TRACE_WHY_BYTES 200

/* Of a file, or of standard input ("-"). -1 with a sentence. */
int trace_read(struct trace *, const char *path, char why[TRACE_WHY_BYTES]);
void trace_fini(struct trace *);

#endif
