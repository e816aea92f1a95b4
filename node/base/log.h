/* log: what the node has to say to its operator, one line each, through a sink (never blocking).
 *
 * Lines read "2026-11-23T13:00:00.123Z warning tls: text". Levels in order; those above the set level are not formatted.
 * Never pass credentials, cookies or query strings: see ARCHITECTURE "Privacy" in docs/. Any thread. */
#ifndef NODE_BASE_LOG_H
#define NODE_BASE_LOG_H

#include "node/base/clock.h"
#include "node/base/sink.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

struct log;

/* Borrows the sink and the clock. */
struct log *log_new(struct sink *, const struct clock *, enum log_level);
void log_set_level(struct log *, enum log_level);
void log_free(struct log *);

/* `where` is the module in one word ("tls", "upstream"). Control characters in the text are escaped. A NULL log is silent. */
__attribute__((format(printf, 4, 5))) void log_line(struct log *, enum log_level, const char *where, const char *fmt,
						    ...);

int log_level_parse(const char *name, enum log_level *out); /* "error" … "debug"; -1 for another word */
const char *log_level_name(enum log_level);

#endif
