/* ctl_control: the client's end of the control socket (admin/control_words.h has the words). */
#ifndef NODE_CTL_CTL_CONTROL_H
#define NODE_CTL_CTL_CONTROL_H

#include "node/base/span.h"

/* Sends one request line (without its end) to the socket at `path` and reads the answer. CTL_OK with *payload, on the heap,
 * what follows the line "ok"; CTL_FAILED when the daemon said error; CTL_NO_DAEMON when nobody answers. Failures are said. */
int ctl_control_ask(const char *path, const char *request, char **payload);
/* The same in silence: *payload is the daemon's own sentence when it said error, and NULL when nobody answers. */
int ctl_control_try(const char *path, const char *request, char **payload);
/* The same as the first for what takes the daemon longer, or is said piece by piece. */
int ctl_control_ask_long(const char *path, const char *request, char **payload);
/* Brings an object: "import URL", then, if the daemon asks for it, the head (as it is) and so many bytes of a file from a place on. The
 * answer as above, said by nobody; CTL_FAILED also when the file cannot be read, with a sentence. */
struct ctl_bringing {
	const char *url;
	struct span head;
	int fd;
	uint64_t at, bytes;
};

int ctl_control_bring(const char *path, const struct ctl_bringing *, char **payload);
/* The process that listens at `path`; 0: nobody does. Nothing is said about it. */
long ctl_control_pid(const char *path);

#endif
