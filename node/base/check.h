/* check: our own bugs stop here, not three callbacks later.
 *
 * Every long-lived struct begins with `unsigned magic`, set at birth and wiped at death. CHECK looks at it where a
 * pointer comes through a door (a callback's cookie, a public function). Both macros are on in production and abort
 * with file, line and text. They are for our own mistakes only: bytes that a stranger sent are never asserted on,
 * they get a `reason` (reason.h). */
#ifndef NODE_BASE_CHECK_H
#define NODE_BASE_CHECK_H

#include <stddef.h>

/* Prints "file:line: function: text" on stderr and aborts. */
_Noreturn void check_failed(const char *file, int line, const char *function, const char *text);

#define CHECK_THAT(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, __func__, #cond))

/* The object is there, alive, and of the kind that the caller believes. */
#define CHECK(obj, MAGIC) CHECK_THAT((obj) != NULL && (obj)->magic == (MAGIC))

#endif
