/* ctl_screen: the terminal as a picture that is drawn anew, by plain ANSI sequences; given back as it was, however the program ends.
 *
 * Keys come one by one and are not shown. SIGINT, SIGTERM, SIGHUP, SIGWINCH and SIGTSTP are taken in ctl_screen_wait. */
#ifndef NODE_CTL_CTL_SCREEN_H
#define NODE_CTL_CTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#include "node/base/clock.h"
#include "node/base/span.h"

struct ctl_screen;

/* NULL: standard input or output is no terminal, or one that cannot do this (TERM=dumb). */
struct ctl_screen *ctl_screen_open(void);
/* Harmless on NULL. */
void ctl_screen_close(struct ctl_screen **);

/* Lines of text, with colour sequences as ctl_table.h makes them; what is wider or longer than the terminal is cut. */
void ctl_screen_draw(struct ctl_screen *, struct span text);

enum ctl_screen_event { CTL_SCREEN_TIME, CTL_SCREEN_KEY, CTL_SCREEN_RESIZED, CTL_SCREEN_END };

/* Until the time is over, a key is there (*key), the size has changed or one of the signals says to end. After SIGTSTP and its end it
 * says that the size has changed. */
enum ctl_screen_event ctl_screen_wait(struct ctl_screen *, dur_ms, char *key);

/* ---- pure ---- */

/* How many bytes of a line fit into so many columns: colour sequences take none, a character of UTF-8 one. */
size_t ctl_screen_fit(struct span line, size_t columns);

#endif
