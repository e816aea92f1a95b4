/* replay: a fuzz target without a fuzzer. Gives each file of the folders named to the target once, so that
 * `make test` (also under the sanitizers) goes through the seeds and every regression kept among them. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "node/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The copy has exactly the size of the input, so that a sanitizer sees a read beyond it. */
static int replay_file(const char *path)
{
	struct stat st;
	FILE *f = fopen(path, "rb");
	uint8_t *bytes;
	size_t n;

	if (!f || fstat(fileno(f), &st) < 0) {
		perror(path);
		if (f)
			fclose(f);
		return -1;
	}
	n = (size_t)st.st_size;
	bytes = mem_alloc(n);
	if (fread(bytes, 1, n, f) != n) {
		perror(path);
		free(bytes);
		fclose(f);
		return -1;
	}
	fclose(f);
	printf("%s (%zu bytes)\n", path, n);
	fflush(stdout); /* so that the last name printed is the one that broke it */
	LLVMFuzzerTestOneInput(bytes, n);
	free(bytes);
	return 0;
}

static int is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* How many files were replayed; -1 when one could not be read. */
static int replay_folder(const char *folder)
{
	struct dirent **names;
	int n = scandir(folder, &names, is_visible, alphasort), bad = 0;

	if (n < 0) {
		perror(folder);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char path[4096];

		if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name) >= sizeof(path) ||
		    replay_file(path) < 0)
			bad = 1;
		free(names[i]);
	}
	free(names);
	return bad ? -1 : n;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (replay_folder(argv[i]) < 1) {
			fprintf(stderr, "%s: no seeds, or one that cannot be read\n", argv[i]);
			return 1;
		}
	return argc > 1 ? 0 : 1;
}
